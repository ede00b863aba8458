#include "fastin/tessellation/power_triangulation.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/tessellation/perturbation.hpp"

namespace fastin {
namespace {

constexpr int kMaxAttempts = 8;
constexpr double kVolumeTolerance =
    1e-7;  // relative; a complex that fills the cell twice or not at all is off by 1

class Walker {
 public:
  Walker(const Lattice& lattice, const std::vector<Vec3>& frac, std::vector<double> weight)
      : half_(lattice, frac, std::move(weight)), head_(frac.size(), -1) {
    out_.tetrahedra.reserve(frac.size() * 7);
    open_.reserve(frac.size() * 15);
  }

  // False when rounding beat the perturbation: the complex is not closed or does not fill the cell once.
  bool run() {
    seed();
    SparsePoll poll;
    while (ok_ && !stack_.empty()) {
      poll();
      const std::int32_t top = stack_.back();
      stack_.pop_back();
      const OpenFacet& facet = open_[static_cast<std::size_t>(top)];
      if (facet.tetrahedron >= 0) advance(facet.tetrahedron, facet.face);
    }
    return ok_ && closed_ == open_.size() && fills_cell();
  }

  PowerTriangulation take() { return std::move(out_); }

 private:
  // A face that has one tetrahedron so far, filed under its lowest atom; second and third as seen from that
  // atom's image.
  struct OpenFacet {
    GeneratorCode second, third;
    std::int32_t tetrahedron;  // -1 once the second one is found
    std::int32_t shift;        // image of the lowest atom in the tetrahedron's frame
    std::int32_t next;
    std::int8_t face;
    bool odd;  // the outward order of the corners is an odd permutation of the sorted one
  };

  Vec3 relative(std::int32_t atom, GeneratorCode code) const {
    const Lattice& l = half_.lattice();
    return half_.position(generator_atom(code)) + l.to_cart(to_vec(generator_image(code))) -
           half_.position(atom);
  }

  double plane(std::int32_t atom, GeneratorCode code, const Vec3& d) const {
    return 0.5 * (norm2(d) + half_.weight(atom) - half_.weight(generator_atom(code)));
  }

  // The largest sphere owns its own centre; three rays from there lead to a face, an edge and a vertex of its
  // cell.
  void seed() {
    std::int32_t atom = 0;
    for (std::int32_t i = 1; i < static_cast<std::int32_t>(head_.size()); ++i) {
      if (half_.weight(i) > half_.weight(atom)) atom = i;
    }
    const Vec3 u1{0.5377, 0.8339, -0.2588};
    const RayHit first = half_.shoot(atom, {}, u1, 0, 0);
    const Vec3 d1 = relative(atom, first.code), x1 = first.t * u1;
    const Vec3 u2 = cross(d1, {0.8622, -0.3188, 0.3077});
    const RayHit second = half_.shoot(atom, x1, u2, first.code, 0);
    const Vec3 d2 = relative(atom, second.code), u3 = cross(d1, d2);
    const RayHit third = half_.shoot(atom, x1 + second.t * u2, u3, first.code, second.code);
    add({make_generator(atom, {}), first.code, second.code, third.code},
        half_.position(atom) + x1 + second.t * u2 + third.t * u3);
  }

  void advance(std::int32_t tetrahedron, int face) {
    const auto& g = out_.tetrahedra[static_cast<std::size_t>(tetrahedron)].g;
    const auto& corner = kFaceCorners[static_cast<std::size_t>(face)];
    std::array<GeneratorCode, 3> p;
    for (std::size_t k = 0; k < 3; ++k) p[k] = g[static_cast<std::size_t>(corner[k])];
    for (int turn = 0; turn < 2 && !half_.has_list(generator_atom(p[0])); ++turn) {
      std::rotate(p.begin(), p.begin() + 1, p.end());  // prefer an atom whose neighbours are known already
    }
    const std::int32_t atom = generator_atom(p[0]);
    const ImageDelta frame = generator_delta(p[0]);
    const GeneratorCode j = shifted(p[1], -frame), k = shifted(p[2], -frame);
    const Vec3 dj = relative(atom, j), dk = relative(atom, k), u = cross(dj, dk);
    const Vec3 foot =
        (1.0 / norm2(u)) * (plane(atom, j, dj) * cross(dk, u) + plane(atom, k, dk) * cross(u, dj));
    const RayHit hit = half_.shoot(atom, foot, u, j, k);
    add({make_generator(atom, {}), j, k, hit.code}, half_.position(atom) + foot + hit.t * u);
  }

  void add(const std::array<GeneratorCode, 4>& g, const Vec3& centre) {
    const auto id = static_cast<std::int32_t>(out_.tetrahedra.size());
    out_.tetrahedra.push_back({g, {-1, -1, -1, -1}, {}, centre});
    for (int f = 0; f < 4; ++f) file(id, f);
    // A regular triangulation of n points has far fewer; more means that the walk does not close.
    if (out_.tetrahedra.size() > 64 * (head_.size() + 64)) ok_ = false;
  }

  // Closes the face with its waiting partner, or makes it wait.
  void file(std::int32_t id, int face) {
    auto& tet = out_.tetrahedra[static_cast<std::size_t>(id)];
    const auto& corner = kFaceCorners[static_cast<std::size_t>(face)];
    GeneratorCode a = tet.g[static_cast<std::size_t>(corner[0])],
                  b = tet.g[static_cast<std::size_t>(corner[1])],
                  c = tet.g[static_cast<std::size_t>(corner[2])];
    bool odd = false;
    const auto order = [&odd](GeneratorCode& p, GeneratorCode& q) {
      if (q < p) {
        std::swap(p, q);
        odd = !odd;
      }
    };
    order(a, b);
    order(b, c);
    order(a, b);
    const auto shift = static_cast<std::int32_t>(generator_delta(a));
    b = shifted(b, -shift);
    c = shifted(c, -shift);
    std::int32_t* link = &head_[static_cast<std::size_t>(generator_atom(a))];
    while (*link >= 0) {
      OpenFacet& other = open_[static_cast<std::size_t>(*link)];
      if (other.second == b && other.third == c) {
        join(id, face, shift, odd, &other);
        *link = other.next;
        return;
      }
      link = &other.next;
    }
    open_.push_back({b, c, id, shift, head_[static_cast<std::size_t>(generator_atom(a))],
                     static_cast<std::int8_t>(face), odd});
    head_[static_cast<std::size_t>(generator_atom(a))] = static_cast<std::int32_t>(open_.size()) - 1;
    stack_.push_back(static_cast<std::int32_t>(open_.size()) - 1);
  }

  void join(std::int32_t id, int face, std::int32_t shift, bool odd, OpenFacet* other) {
    if (odd == other->odd) ok_ = false;  // both tetrahedra lie on the same side
    auto& mine = out_.tetrahedra[static_cast<std::size_t>(id)];
    mine.neighbour[static_cast<std::size_t>(face)] = other->tetrahedron;
    mine.shift[static_cast<std::size_t>(face)] = shift - other->shift;
    auto& theirs = out_.tetrahedra[static_cast<std::size_t>(other->tetrahedron)];
    theirs.neighbour[static_cast<std::size_t>(other->face)] = id;
    theirs.shift[static_cast<std::size_t>(other->face)] = other->shift - shift;
    other->tetrahedron = -1;
    ++closed_;
  }

  bool fills_cell() const {
    double six_volumes = 0.0;
    for (const auto& t : out_.tetrahedra) {
      const std::int32_t atom = generator_atom(t.g[0]);
      const ImageDelta frame = generator_delta(t.g[0]);
      const Vec3 a = relative(atom, shifted(t.g[1], -frame)), b = relative(atom, shifted(t.g[2], -frame)),
                 c = relative(atom, shifted(t.g[3], -frame));
      six_volumes += dot(a, cross(b, c));
    }
    const double volume = half_.lattice().volume();
    return std::abs(six_volumes / 6.0 - volume) <= kVolumeTolerance * volume;
  }

  HalfspaceLists half_;
  PowerTriangulation out_;
  std::vector<OpenFacet> open_;
  std::vector<std::int32_t> head_, stack_;
  std::size_t closed_ = 0;
  bool ok_ = true;
};

}  // namespace

PowerTriangulation triangulate(const Lattice& lattice, const std::vector<Vec3>& frac,
                               const std::vector<double>& weight) {
  for (std::uint64_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
    PerturbedProblem problem = perturb(lattice, weight, attempt);
    Walker walker(problem.lattice, frac, std::move(problem.weight));
    if (walker.run()) return walker.take();
  }
  throw NoConvergence("no closed power diagram after " + std::to_string(kMaxAttempts) + " perturbations");
}

}  // namespace fastin
