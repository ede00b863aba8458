#include "fastin/geometry/site_symmetry.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "fastin/base/error.hpp"

namespace fastin {
namespace {

Vec3 nearest_image(Vec3 d) {
  for (int k = 0; k < 3; ++k) d[k] -= std::round(d[k]);
  return d;
}

using Rotation = std::array<std::array<std::int32_t, 3>, 3>;

constexpr Vec3 kWeights{1.0, 3.0, 7.0};

// Finds the site at a position by an integer combination of its coordinates, whose fraction lattice
// translations leave alone.
class SiteFinder {
 public:
  SiteFinder(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<std::int32_t>& kind,
             double tolerance)
      : lattice_(lattice),
        frac_(frac),
        kind_(kind),
        tolerance_(tolerance),
        order_(frac.size()),
        key_(frac.size()) {
    double reach = 0.0;
    for (int k = 0; k < 3; ++k) reach += kWeights[k] * tolerance / lattice.plane_spacing(k);
    reach_ = std::min(0.5, 1.01 * reach);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::vector<double> raw(frac.size());
    for (std::size_t i = 0; i < frac.size(); ++i) raw[i] = key(frac[i]);
    std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return raw[a] < raw[b]; });
    for (std::size_t i = 0; i < frac.size(); ++i) key_[i] = raw[order_[i]];
  }

  // Index of the nearest site of that kind within the tolerance, or -1; `offset` = position - site, minimum
  // image.
  std::ptrdiff_t find(const Vec3& position, std::int32_t kind, Vec3* offset) const {
    const double center = key(position);
    best_ = tolerance_;
    found_ = -1;
    scan(center - reach_, center + reach_, position, kind, offset);
    if (center - reach_ < 0.0) scan(center - reach_ + 1.0, 2.0, position, kind, offset);
    if (center + reach_ >= 1.0) scan(-1.0, center + reach_ - 1.0, position, kind, offset);
    return found_;
  }

 private:
  static double key(const Vec3& x) {
    const double v = dot(kWeights, x);
    return v - std::floor(v);
  }
  void scan(double low, double high, const Vec3& position, std::int32_t kind, Vec3* offset) const {
    auto at = static_cast<std::size_t>(std::lower_bound(key_.begin(), key_.end(), low) - key_.begin());
    for (; at < key_.size() && key_[at] <= high; ++at) {
      const std::size_t i = order_[at];
      if (kind_[i] != kind) continue;
      const Vec3 d = nearest_image(position - frac_[i]);
      const double distance = norm(lattice_.to_cart(d));
      if (distance <= best_) {
        best_ = distance;
        found_ = static_cast<std::ptrdiff_t>(i);
        *offset = d;
      }
    }
  }

  const Lattice& lattice_;
  const std::vector<Vec3>& frac_;
  const std::vector<std::int32_t>& kind_;
  double tolerance_;
  double reach_ = 0.0;
  std::vector<std::size_t> order_;
  std::vector<double> key_;
  mutable double best_ = 0.0;
  mutable std::ptrdiff_t found_ = -1;
};

// Largest relative change of a scalar product of the cell vectors under the rotation.
double strain(const Lattice& lattice, const Operation& g) {
  const Mat3& cell = lattice.cell();
  double worst = 0.0;
  for (int a = 0; a < 3; ++a)
    for (int b = a; b < 3; ++b) {
      Vec3 u, v;
      for (int k = 0; k < 3; ++k) {  // image of cell vector a: column a of the rotation
        u += static_cast<double>(g.rotation[static_cast<std::size_t>(k)][static_cast<std::size_t>(a)]) *
             cell[k];
        v += static_cast<double>(g.rotation[static_cast<std::size_t>(k)][static_cast<std::size_t>(b)]) *
             cell[k];
      }
      worst = std::max(worst, std::abs(dot(u, v) - dot(cell[a], cell[b])) / (norm(cell[a]) * norm(cell[b])));
    }
  return worst;
}

// Closed under composition (finite, so inverses follow).
bool is_group(const std::vector<Operation>& all, const std::vector<std::size_t>& kept) {
  constexpr double kSameTranslation = 1e-3;  // fractional; centring translations differ by far more
  std::map<Rotation, std::vector<Vec3>> translations;
  for (const std::size_t k : kept) translations[all[k].rotation].push_back(all[k].translation);
  for (const std::size_t i : kept)
    for (const std::size_t j : kept) {
      Rotation product{};
      for (std::size_t a = 0; a < 3; ++a)
        for (std::size_t b = 0; b < 3; ++b)
          for (std::size_t k = 0; k < 3; ++k) product[a][b] += all[i].rotation[a][k] * all[j].rotation[k][b];
      const auto found = translations.find(product);
      if (found == translations.end()) return false;
      const Vec3 shift = all[i].apply(all[j].translation);
      const auto equal = [&](const Vec3& t) { return norm(nearest_image(shift - t)) < kSameTranslation; };
      if (std::none_of(found->second.begin(), found->second.end(), equal)) return false;
    }
  return true;
}

}  // namespace

SiteSymmetry site_symmetry(const Lattice& lattice, const std::vector<Vec3>& frac,
                           const std::vector<std::int32_t>& kind, const std::vector<Operation>& operations,
                           double tolerance) {
  if (kind.size() != frac.size()) throw InvalidInput("frac and kind must have equal lengths");
  constexpr double kReach = 10.0;  // angstrom over which a strain must stay within the tolerance
  // deviation[g] = largest distance of a mapped site from its partner; sum[g] = their offsets by partner.
  std::vector<double> deviation(operations.size(), 0.0);
  std::vector<std::vector<Vec3>> offsets(operations.size());
  const SiteFinder finder(lattice, frac, kind, tolerance);
  for (std::size_t g = 0; g < operations.size(); ++g) {
    deviation[g] = 0.5 * kReach * strain(lattice, operations[g]);
    offsets[g].assign(frac.size(), Vec3{});
    for (std::size_t i = 0; i < frac.size() && deviation[g] <= tolerance; ++i) {
      Vec3 d;
      const std::ptrdiff_t j = finder.find(operations[g].apply(frac[i]), kind[i], &d);
      if (j < 0) {
        deviation[g] = std::numeric_limits<double>::infinity();
      } else {
        deviation[g] = std::max(deviation[g], norm(lattice.to_cart(d)));
        offsets[g][static_cast<std::size_t>(j)] = d;
      }
    }
  }
  SiteSymmetry result;
  for (double limit = tolerance; limit > 1e-9; limit *= 0.5) {
    result.kept.clear();
    for (std::size_t g = 0; g < operations.size(); ++g)
      if (deviation[g] <= limit) result.kept.push_back(g);
    if (result.kept.size() == operations.size() || is_group(operations, result.kept)) break;
    result.kept.clear();
  }
  result.frac = frac;
  if (result.kept.empty()) return result;
  for (std::size_t i = 0; i < frac.size(); ++i) {
    Vec3 mean;
    for (const std::size_t g : result.kept) mean += offsets[g][i];
    mean = (1.0 / static_cast<double>(result.kept.size())) * mean;
    result.frac[i] += mean;
    result.largest_shift = std::max(result.largest_shift, norm(lattice.to_cart(mean)));
  }
  return result;
}

}  // namespace fastin
