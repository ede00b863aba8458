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

// Small crystals are walked from the facet found last, with the lists of all atoms at hand. Large ones (atoms
// numbered along a curve through space) atom after atom: each facet is passed from its lowest atom, so that
// one list is held at a time, and few facets are open.
class Walker {
 public:
  Walker(const Lattice& lattice, const std::vector<Vec3>& frac, std::vector<double> weight,
         const std::vector<std::int32_t>& names)
      : half_(lattice, frac, std::move(weight), frac.size() < kSweptAtoms, names),
        head_(frac.size(), -1),
        swept_(frac.size() >= kSweptAtoms) {
    out_.tetrahedra.reserve(frac.size() * 7);
    if (!swept_) open_.reserve(frac.size() * 15);
  }

  // False when rounding beat the perturbation: the complex is not closed or does not fill the cell once.
  bool run() {
    seed();
    if (swept_) {
      sweep();
    } else {
      follow();
    }
    return ok_ && waiting_ == 0 && fills_cell();
  }

  PowerTriangulation take() { return std::move(out_); }

 private:
  void follow() {
    SparsePoll poll;
    while (ok_ && !stack_.empty()) {
      poll();
      const std::int32_t top = stack_.back();
      stack_.pop_back();
      const OpenFacet& facet = open_[static_cast<std::size_t>(top)];
      if (facet.tetrahedron >= 0) advance(facet.tetrahedron, facet.face);
    }
  }

  void sweep() {
    SparsePoll poll;
    const auto end = static_cast<std::int32_t>(head_.size());
    for (lowest_ = 0; ok_ && lowest_ < end;) {
      const std::int32_t waiting = head_[static_cast<std::size_t>(lowest_)];
      if (waiting < 0) {
        ++lowest_;
        continue;
      }
      poll();
      const OpenFacet& facet = open_[static_cast<std::size_t>(waiting)];
      advance(facet.tetrahedron, facet.face);
    }
  }

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
    // Prefer an atom whose neighbours are known already; in a sweep that is the one under work.
    const auto at_hand = [this](std::int32_t a) { return swept_ ? a == lowest_ : half_.has_list(a); };
    for (int turn = 0; turn < 2 && !at_hand(generator_atom(p[0])); ++turn) {
      std::rotate(p.begin(), p.begin() + 1, p.end());
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
        const std::int32_t slot = *link;
        *link = other.next;
        if (swept_) free_.push_back(slot);
        return;
      }
      link = &other.next;
    }
    const std::int32_t lowest = generator_atom(a);
    std::int32_t& head = head_[static_cast<std::size_t>(lowest)];
    const OpenFacet facet{b, c, id, shift, head, static_cast<std::int8_t>(face), odd};
    ++waiting_;
    if (!free_.empty()) {
      head = free_.back();
      free_.pop_back();
      open_[static_cast<std::size_t>(head)] = facet;
    } else {
      head = static_cast<std::int32_t>(open_.size());
      open_.push_back(facet);
    }
    if (swept_) {
      lowest_ = std::min(lowest_, lowest);
    } else {
      stack_.push_back(head);
    }
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
    --waiting_;
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
  Scratch<OpenFacet> open_;
  Scratch<std::int32_t> head_, stack_, free_;
  std::size_t waiting_ = 0;
  std::int32_t lowest_ = 0;  // atom under work
  bool swept_;
  bool ok_ = true;
};

}  // namespace

// Along a Z-order curve through boxes of a few atoms.
std::vector<std::int32_t> spatial_order(const Lattice& lattice, const std::vector<Vec3>& frac) {
  constexpr double kAtomsPerBox = 2.0;
  constexpr int kBits = 10;
  const double edge = std::cbrt(kAtomsPerBox * lattice.volume() / static_cast<double>(frac.size() + 1));
  double boxes[3];
  for (int k = 0; k < 3; ++k) {
    boxes[k] = std::clamp(std::ceil(lattice.plane_spacing(k) / edge), 1.0, static_cast<double>(1 << kBits));
  }
  std::vector<std::pair<std::uint32_t, std::int32_t>> keyed;
  keyed.reserve(frac.size());
  for (std::size_t i = 0; i < frac.size(); ++i) {
    std::uint32_t key = 0;
    for (int k = 0; k < 3; ++k) {
      const double box = std::clamp((frac[i][k] - std::floor(frac[i][k])) * boxes[k], 0.0, boxes[k] - 1.0);
      const auto b = static_cast<std::uint32_t>(box);
      for (int bit = 0; bit < kBits; ++bit) key |= (b >> bit & 1U) << (3 * bit + k);
    }
    keyed.emplace_back(key, static_cast<std::int32_t>(i));
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::int32_t> order;
  order.reserve(keyed.size());
  for (const auto& [key, atom] : keyed) order.push_back(atom);
  return order;
}

PowerTriangulation triangulate(const Lattice& lattice, const std::vector<Vec3>& frac,
                               const std::vector<double>& weight, const std::vector<std::int32_t>& names) {
  for (std::uint64_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
    PerturbedProblem problem = perturb(lattice, weight, attempt);
    Walker walker(problem.lattice, frac, std::move(problem.weight), names);
    if (walker.run()) return walker.take();
  }
  throw NoConvergence("no closed power diagram after " + std::to_string(kMaxAttempts) + " perturbations");
}

}  // namespace fastin
