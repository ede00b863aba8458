// What the operations of the crystal do with points, sites and saddles of the landscape.
#include <algorithm>
#include <cmath>

#include "fastin/transport/transport.hpp"
#include "tolerances.hpp"

namespace fastin {
namespace {

constexpr double kStrained = 1e-8;  // relative: axes that an operation maps on each other differ by rounding

}  // namespace

// Whether the cell obeys the operations to within rounded lengths and angles only.
bool TransportLandscape::strained() const {
  const Lattice& lattice = field_.lattice();
  const Mat3& cell = lattice.cell();
  double worst = 0.0;
  for (const CrystalOperation& op : operations_) {
    Mat3 image;  // of the cell vectors
    for (int k = 0; k < 3; ++k) {
      Vec3 unit;
      unit[k] = 1.0;
      image[k] = lattice.to_cart(times_col(op.rotation, unit));
    }
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b <= a; ++b)
        worst = std::max(worst, std::abs(dot(image[a], image[b]) - dot(cell[a], cell[b])) /
                                    (norm(cell[a]) * norm(cell[b])));
  }
  return worst > kStrained;
}

// Where an operation takes a site: the nearest one of its class. Where operations hold within rounding only,
// a soft minimum may lie farther from the image of another than two sites may from each other.
SiteLabel TransportLandscape::moved(const CrystalOperation& op, const SiteLabel& label) const {
  const TransportSite& site = sites_[static_cast<std::size_t>(label.site)];
  const Vec3 image = apply(op, site.frac + to_vec(label.cell));
  const SiteLabel found = nearest_site(image, rounded_ ? kRounded : kSameSite, site.orbit);
  return found.site >= 0 ? found : find_site(image);
}

// A Cartesian direction under the rotation of an operation.
Vec3 TransportLandscape::turned(const CrystalOperation& op, const Vec3& direction) const {
  const Lattice& lattice = field_.lattice();
  return lattice.to_cart(apply(op, lattice.to_frac(direction)) - op.translation);
}

// Where operations hold within rounding only, the image of a minimum lies next to one. `energy` becomes the
// lower one of the two.
Vec3 TransportLandscape::polished_minimum(const Vec3& frac, double* energy) const {
  if (strained_) *energy = std::min(*energy, field_.energy(frac));
  if (!rounded_) return frac;
  const StationaryPoint point = find_minimum(field_, frac, options_.refine.search);
  if (!point.converged || norm(field_.lattice().to_cart(point.frac - frac)) >= kRounded) return frac;
  *energy = std::min(*energy, point.energy);
  return point.frac;
}

Vec3 TransportLandscape::polished_saddle(const Vec3& frac, const Vec3& along, double* energy) const {
  if (strained_) *energy = std::min(*energy, field_.energy(frac));
  if (!rounded_) return frac;
  const StationaryPoint point = find_saddle(field_, frac, along, options_.refine.search);
  if (!point.converged || norm(field_.lattice().to_cart(point.frac - frac)) >= kRounded) return frac;
  *energy = std::min(*energy, point.energy);
  return point.frac;
}

// Operations that leave a point where it is.
std::vector<CrystalOperation> TransportLandscape::stabiliser(const Vec3& point, double tolerance) const {
  std::vector<CrystalOperation> kept;
  for (const CrystalOperation& op : operations_) {
    const Vec3 gap = apply(op, point) - point;
    const Vec3 whole{std::round(gap.x), std::round(gap.y), std::round(gap.z)};
    if (norm(field_.lattice().to_cart(gap - whole)) > tolerance) continue;
    kept.push_back(op);
    kept.back().translation -= whole;
  }
  return kept;
}

// A point found by a search next to a symmetry element, on it.
Vec3 TransportLandscape::centred(const Vec3& point, double tolerance) const {
  const std::vector<CrystalOperation> operations = stabiliser(point, tolerance);
  Vec3 sum{};
  for (const CrystalOperation& op : operations) sum += apply(op, point);
  return operations.empty() ? point : (1.0 / static_cast<double>(operations.size())) * sum;
}

// A descent from a saddle on a symmetry element falls to one of several equivalent minima by chance; the flux
// goes to all of them. Adds the images of the ends on their own side, or on the other when the operation
// turns the path round.
void TransportLandscape::add_images(const std::vector<CrystalOperation>& operations, const Vec3& mode,
                                    std::vector<End>* here, std::vector<End>* there) {
  for (const CrystalOperation& op : operations) {
    const bool same_side = dot(turned(op, mode), mode) > 0.0;
    for (std::size_t n = 0; n < here->size(); ++n) {
      const SiteLabel end = (*here)[n];
      add_end(moved(op, end), same_side ? here : there);
    }
  }
}

}  // namespace fastin
