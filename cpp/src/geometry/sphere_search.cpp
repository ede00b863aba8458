#include "fastin/geometry/sphere_search.hpp"

#include <algorithm>
#include <cmath>

namespace fastin {
namespace {

// A clearance must be beaten by more than rounding to count (angstrom).
constexpr double kClearanceMargin = 1e-12;

}  // namespace

SphereSearch::SphereSearch(const Lattice& lattice, const std::vector<Vec3>& frac,
                           const std::vector<double>& radius)
    : basis_(reduce_basis(lattice.cell())), lattice_(basis_.cell), radius_(radius) {
  frac_.reserve(frac.size());
  for (const Vec3& f : frac) {
    Vec3 g =
        f.x * to_vec(basis_.inverse[0]) + f.y * to_vec(basis_.inverse[1]) + f.z * to_vec(basis_.inverse[2]);
    wrap_frac(g);
    frac_.push_back(g);
  }
  max_radius_ = *std::max_element(radius.begin(), radius.end());
}

bool SphereSearch::open(const Known& known) const {
  if (!(max_radius_ > threshold_of(known))) return false;
  // Nearest that any larger sphere could come.
  return known.power <= 0.0 ||
         std::sqrt(known.power + max_radius_ * max_radius_) - max_radius_ < known.narrowest.radius;
}

void SphereSearch::prepare(const Known& known, double half_length) {
  threshold_ = std::min(threshold_, threshold_of(known));
  reach_ = std::max(reach_, reach_of(known, half_length));
}

void SphereSearch::build() {
  listed_.clear();
  std::vector<Vec3> frac;
  for (std::size_t i = 0; i < radius_.size(); ++i) {
    if (!(radius_[i] > threshold_)) continue;
    listed_.push_back(static_cast<std::int32_t>(i));
    frac.push_back(frac_[i]);
  }
  cells_ = std::make_unique<CellList>(lattice_, frac, reach_ * (1.0 + 1e-9));
}

Narrowest SphereSearch::narrowest(const Vec3& p, const Vec3& q, const Known& known) const {
  Narrowest best = known.narrowest;
  if (!open(known)) return best;
  const double threshold = threshold_of(known);
  Vec3 f = lattice_.to_frac(0.5 * (p + q));
  const Int3 cell = wrap_frac(f);
  const Vec3 back = lattice_.to_cart(to_vec(cell));
  const Vec3 a = p - back, b = q - back, middle = 0.5 * (a + b);
  const double half = 0.5 * norm(q - p);
  const CellList& list = *cells_;
  list.for_each_stretch(f, reach_of(known, half), [&](std::size_t begin, std::size_t end) {
    for (std::size_t s = begin; s < end; ++s) {
      const auto slot = static_cast<std::size_t>(generator_atom(list.code()[s]));
      const double r = radius_[static_cast<std::size_t>(listed_[slot])];
      const double far = half + best.radius + r;
      const Vec3 centre{list.x()[s], list.y()[s], list.z()[s]};
      if (!(r > threshold) || norm2(centre - middle) > far * std::abs(far)) continue;
      const SegmentPoint near = nearest_on_segment(a, b, centre);
      if (near.distance - r < best.radius - kClearanceMargin) best = {near.distance - r, near.t};
    }
  });
  return best;
}

}  // namespace fastin
