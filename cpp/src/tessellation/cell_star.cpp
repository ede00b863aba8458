#include "fastin/tessellation/cell_star.hpp"

#include <algorithm>
#include <cmath>

#include "fastin/base/interrupt.hpp"

namespace fastin {
namespace {

// Perturbed and exact vertices of a well-conditioned cell agree to this (angstrom).
constexpr double kMaxShift = 1e-6;
constexpr std::size_t kMaxVertices = 2000;

class Tracer {
 public:
  Tracer(HalfspaceLists* half, const ReducedFrame& frame, const std::vector<double>& weight,
         std::int32_t atom, CellStar* star)
      : half_(*half), frame_(frame), weight_(weight), atom_(atom), star_(*star) {}

  bool run() {
    star_.vertex.clear();
    star_.edge.clear();
    open_.clear();
    if (!seed()) return false;
    while (!open_.empty()) {
      if (star_.vertex.size() > kMaxVertices) return false;
      poll_interrupt();
      const Open o = open_.back();
      const Vec3 dj = perturbed(o.j), dk = perturbed(o.k), u = cross(dj, dk);
      const Vec3 foot = (1.0 / norm2(u)) * (plane(o.j, dj) * cross(dk, u) + plane(o.k, dk) * cross(u, dj));
      const RayHit hit = half_.shoot(atom_, foot, u, o.j, o.k);
      if (!add({o.j, o.k, hit.code}, foot + hit.t * u)) return false;
    }
    measure();
    return true;
  }

 private:
  struct Open {
    GeneratorCode j, k;  // leads outwards along d(j) x d(k)
    std::int32_t from;
  };

  Vec3 perturbed(GeneratorCode code) const {
    return half_.position(generator_atom(code)) + half_.lattice().to_cart(to_vec(generator_image(code))) -
           half_.position(atom_);
  }
  double plane(GeneratorCode code, const Vec3& d) const {
    return 0.5 * (norm2(d) + half_.weight(atom_) - half_.weight(generator_atom(code)));
  }
  Vec3 exact(GeneratorCode code) const {
    return frame_.position(code) - frame_.cart[static_cast<std::size_t>(atom_)];
  }
  double weight_of(GeneratorCode code) const {
    return weight_[static_cast<std::size_t>(generator_atom(code))];
  }

  // Three rays from the centre, which must lie inside the cell.
  bool seed() {
    const HalfspaceView list = half_.view(atom_);
    for (std::size_t b = 0; b < list.blocks * HalfspaceLists::kLanes; ++b) {
      if (!(list.h[b] > 0.0)) return false;
    }
    if (!(list.covers > 0.0)) return false;
    const Vec3 u1{0.5377, 0.8339, -0.2588};
    const RayHit first = half_.shoot(atom_, {}, u1, 0, 0);
    const Vec3 d1 = perturbed(first.code), x1 = first.t * u1, u2 = cross(d1, {0.8622, -0.3188, 0.3077});
    const RayHit second = half_.shoot(atom_, x1, u2, first.code, 0);
    const Vec3 d2 = perturbed(second.code), u3 = cross(d1, d2), x2 = x1 + second.t * u2;
    const RayHit third = half_.shoot(atom_, x2, u3, first.code, second.code);
    return add({first.code, second.code, third.code}, x2 + third.t * u3);
  }

  bool add(const std::array<GeneratorCode, 3>& g, const Vec3& perturbed_x) {
    Vec3 x;
    if (!solve(g, &x) || !(norm(x - perturbed_x) < kMaxShift)) return false;
    const auto id = static_cast<std::int32_t>(star_.vertex.size());
    star_.vertex.push_back({g, x});
    // (atom, j, k, l) is positively oriented: its edges lead away along d(k) x d(j), d(l) x d(k) and d(j) x
    // d(l).
    return link(id, g[1], g[0]) && link(id, g[2], g[1]) && link(id, g[0], g[2]);
  }

  // The far end of this edge, seen from there, is the same pair in the other order.
  bool link(std::int32_t id, GeneratorCode j, GeneratorCode k) {
    for (std::size_t o = 0; o < open_.size(); ++o) {
      if (open_[o].j == j && open_[o].k == k) return false;
      if (open_[o].j != k || open_[o].k != j) continue;
      star_.edge.push_back({open_[o].j, open_[o].k, open_[o].from, id});
      open_[o] = open_.back();
      open_.pop_back();
      return true;
    }
    open_.push_back({j, k, id});
    return true;
  }

  bool solve(const std::array<GeneratorCode, 3>& g, Vec3* x) const {
    Mat3 d;
    Vec3 h;
    for (int k = 0; k < 3; ++k) {
      const GeneratorCode code = g[static_cast<std::size_t>(k)];
      d[k] = exact(code);
      h[k] = 0.5 * (norm2(d[k]) + weight_[static_cast<std::size_t>(atom_)] - weight_of(code));
    }
    const Vec3 c0 = cross(d[1], d[2]);
    const double det = dot(d[0], c0);
    if (!(std::abs(det) > 0.0)) return false;
    *x = (1.0 / det) * (h.x * c0 + h.y * cross(d[2], d[0]) + h.z * cross(d[0], d[1]));
    return true;
  }

  void measure() {
    double six_volumes = 0.0;
    for (const CellStar::Edge& e : star_.edge) {
      const Vec3 dj = exact(e.j), dk = exact(e.k);
      const Vec3 area = cross(star_.vertex[static_cast<std::size_t>(e.from)].x,
                              star_.vertex[static_cast<std::size_t>(e.to)].x);
      const double own = weight_[static_cast<std::size_t>(atom_)];
      six_volumes += 0.5 * (1.0 + (own - weight_of(e.j)) / norm2(dj)) * dot(dj, area) -
                     0.5 * (1.0 + (own - weight_of(e.k)) / norm2(dk)) * dot(dk, area);
    }
    star_.volume = six_volumes / 6.0;
  }

  HalfspaceLists& half_;
  const ReducedFrame& frame_;
  const std::vector<double>& weight_;
  std::int32_t atom_;
  CellStar& star_;
  std::vector<Open> open_;
};

}  // namespace

bool trace_star(HalfspaceLists* half, const ReducedFrame& frame, const std::vector<double>& weight,
                std::int32_t atom, CellStar* star) {
  return Tracer(half, frame, weight, atom, star).run();
}

}  // namespace fastin
