#include "fastin/sphere_search.hpp"

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

const CellList& SphereSearch::cells(double threshold, double reach) {
  if (!cells_ || threshold < threshold_ || reach > cells_->reach()) {
    threshold_ = std::min(threshold, threshold_);
    const double far = cells_ ? std::max(reach * 1.2, cells_->reach()) : reach * 1.2;
    listed_.clear();
    std::vector<Vec3> frac;
    for (std::size_t i = 0; i < radius_.size(); ++i) {
      if (!(radius_[i] > threshold_)) continue;
      listed_.push_back(static_cast<std::int32_t>(i));
      frac.push_back(frac_[i]);
    }
    cells_ = std::make_unique<CellList>(lattice_, frac, far);
  }
  return *cells_;
}

Narrowest SphereSearch::narrowest(const Vec3& p, const Vec3& q, Narrowest known, double power,
                                  double largest_generator) {
  const double threshold = power > 0.0 ? largest_generator : -std::numeric_limits<double>::infinity();
  if (!(max_radius_ > threshold)) return known;
  // Nearest that any larger sphere could come.
  if (power > 0.0 && std::sqrt(power + max_radius_ * max_radius_) - max_radius_ >= known.radius) return known;
  const double half = 0.5 * norm(q - p);
  const double reach = half + std::max(0.0, known.radius + max_radius_);
  const CellList& list = cells(threshold, reach);
  Vec3 f = lattice_.to_frac(0.5 * (p + q));
  const Int3 cell = wrap_frac(f);
  const Vec3 back = lattice_.to_cart(to_vec(cell));
  const Vec3 a = p - back, b = q - back;
  list.for_each_stretch(f, reach, [&](std::size_t begin, std::size_t end) {
    for (std::size_t s = begin; s < end; ++s) {
      const double r = radius_[static_cast<std::size_t>(
          listed_[static_cast<std::size_t>(generator_atom(list.code()[s]))])];
      if (!(r > threshold)) continue;
      const SegmentPoint near = nearest_on_segment(a, b, {list.x()[s], list.y()[s], list.z()[s]});
      if (near.distance - r < known.radius - kClearanceMargin) known = {near.distance - r, near.t};
    }
  });
  return known;
}

}  // namespace fastin
