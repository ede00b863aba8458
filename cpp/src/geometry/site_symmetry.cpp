#include "fastin/geometry/site_symmetry.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"

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

constexpr double kSameTranslation = 1e-3;  // fractional; centring translations differ by far more

Rotation product(const Rotation& a, const Rotation& b) {
  Rotation c{};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      for (std::size_t k = 0; k < 3; ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}

// Closed under composition (finite, so inverses follow).
bool is_group(const std::vector<Operation>& all, const std::vector<std::size_t>& kept) {
  std::map<Rotation, std::vector<Vec3>> translations;
  for (const std::size_t k : kept) translations[all[k].rotation].push_back(all[k].translation);
  SparsePoll poll;
  for (const std::size_t i : kept)
    for (const std::size_t j : kept) {
      poll();
      const auto found = translations.find(product(all[i].rotation, all[j].rotation));
      if (found == translations.end()) return false;
      const Vec3 shift = all[i].apply(all[j].translation);
      const auto equal = [&](const Vec3& t) { return norm(nearest_image(shift - t)) < kSameTranslation; };
      if (std::none_of(found->second.begin(), found->second.end(), equal)) return false;
    }
  return true;
}

// The operation that moves nothing; none where the list lacks it.
std::vector<std::size_t> identity_alone(const std::vector<Operation>& operations) {
  for (std::size_t g = 0; g < operations.size(); ++g) {
    bool same = norm(nearest_image(operations[g].translation)) < kSameTranslation;
    for (std::size_t a = 0; a < 3 && same; ++a)
      for (std::size_t b = 0; b < 3; ++b) same = same && operations[g].rotation[a][b] == (a == b ? 1 : 0);
    if (same) return {g};
  }
  return {};
}

// Keeps the operations (by their deviations) up to the largest limit at which they form a group.
template <class IsGroup>
std::vector<std::size_t> largest_group(const std::vector<double>& deviation, double tolerance,
                                       IsGroup&& closed) {
  std::vector<std::size_t> kept;
  for (double limit = tolerance; limit > 1e-9; limit *= 0.5) {
    kept.clear();
    for (std::size_t g = 0; g < deviation.size(); ++g)
      if (deviation[g] <= limit) kept.push_back(g);
    if (kept.size() == deviation.size() || closed(kept)) return kept;
  }
  return {};
}

constexpr double kReach = 10.0;  // angstrom over which a strain must stay within the tolerance

// Supercells: the operations are the pure translations times one operation a rotation, and every orbit of the
// translations is one site, averaged first. Work grows with the sites plus the rotations, not with sites
// times operations.
class CosetSymmetry {
 public:
  CosetSymmetry(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<std::int32_t>& kind,
                const std::vector<Operation>& operations, double tolerance)
      : lattice_(lattice),
        frac_(frac),
        kind_(kind),
        operations_(operations),
        tolerance_(tolerance),
        base_(frac.size(), 0) {
    Rotation identity{};
    for (std::size_t k = 0; k < 3; ++k) identity[k][k] = 1;
    for (std::size_t g = 0; g < operations.size(); ++g) {
      if (operations[g].rotation == identity) translations_.push_back(operations[g].translation);
      representative_.emplace(operations[g].rotation, g);
    }
  }

  // Whether the list is the product of its translations and one operation a rotation.
  bool is_product() const { return translations_.size() * representative_.size() == operations_.size(); }

  // False where some site has no partner under a translation within the tolerance.
  bool average_translations(SiteSymmetry* result) {
    constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
    const SiteFinder finder(lattice_, frac_, kind_, tolerance_);
    std::fill(base_.begin(), base_.end(), kNone);
    result->frac = frac_;
    std::vector<std::size_t> orbit;
    std::vector<Vec3> offset;
    for (std::size_t b = 0; b < frac_.size(); ++b) {
      if (base_[b] != kNone) continue;
      orbit.clear();
      offset.clear();
      Vec3 mean;
      for (const Vec3& t : translations_) {
        Vec3 d;
        const std::ptrdiff_t found = finder.find(frac_[b] + t, kind_[b], &d);
        if (found < 0 || base_[static_cast<std::size_t>(found)] != kNone) return false;
        base_[static_cast<std::size_t>(found)] = bases_.size();
        orbit.push_back(static_cast<std::size_t>(found));
        offset.push_back(d);
        mean += d;
      }
      mean = (1.0 / static_cast<double>(translations_.size())) * mean;
      for (std::size_t i = 0; i < orbit.size(); ++i) {
        // Two sites of the orbit differ by at most twice the largest distance from its mean.
        if (2.0 * norm(lattice_.to_cart(offset[i] - mean)) > tolerance_) return false;
        result->frac[orbit[i]] += offset[i] - mean;
      }
      bases_.push_back(b);
    }
    return true;
  }

  void average_rotations(SiteSymmetry* result) {
    std::vector<std::size_t> coset;
    for (const auto& entry : representative_) coset.push_back(entry.second);
    const std::vector<Vec3> averaged = result->frac;
    const SiteFinder finder(lattice_, averaged, kind_, tolerance_);
    std::vector<double> deviation(coset.size(), 0.0);
    std::vector<std::vector<Vec3>> offsets(coset.size(), std::vector<Vec3>(bases_.size()));
    for (std::size_t c = 0; c < coset.size(); ++c) {
      const Operation& g = operations_[coset[c]];
      deviation[c] = 0.5 * kReach * strain(lattice_, g);
      for (std::size_t b = 0; b < bases_.size() && deviation[c] <= tolerance_; ++b) {
        Vec3 d;
        const std::ptrdiff_t j = finder.find(g.apply(averaged[bases_[b]]), kind_[bases_[b]], &d);
        if (j < 0) {
          deviation[c] = std::numeric_limits<double>::infinity();
        } else {
          deviation[c] = std::max(deviation[c], norm(lattice_.to_cart(d)));
          offsets[c][base_[static_cast<std::size_t>(j)]] = d;
        }
      }
    }
    const std::vector<std::size_t> kept =
        largest_group(deviation, tolerance_,
                      [&](const std::vector<std::size_t>& some) { return is_factor_group(coset, some); });
    std::map<Rotation, bool> keep;
    for (const std::size_t c : kept) keep[operations_[coset[c]].rotation] = true;
    for (std::size_t g = 0; g < operations_.size(); ++g)
      if (keep.count(operations_[g].rotation) != 0) result->kept.push_back(g);
    std::vector<Vec3> mean(bases_.size());
    for (const std::size_t c : kept)
      for (std::size_t b = 0; b < bases_.size(); ++b)
        mean[b] += (1.0 / static_cast<double>(kept.size())) * offsets[c][b];
    for (std::size_t i = 0; i < frac_.size(); ++i) {
      result->frac[i] += mean[base_[i]];
      result->largest_shift =
          std::max(result->largest_shift, norm(lattice_.to_cart(result->frac[i] - frac_[i])));
    }
  }

 private:
  // Closed under composition up to the translations.
  bool is_factor_group(const std::vector<std::size_t>& coset, const std::vector<std::size_t>& kept) const {
    std::map<Rotation, Vec3> shift_of;
    for (const std::size_t c : kept)
      shift_of.emplace(operations_[coset[c]].rotation, operations_[coset[c]].translation);
    for (const std::size_t i : kept)
      for (const std::size_t j : kept) {
        const Operation &a = operations_[coset[i]], &b = operations_[coset[j]];
        const auto found = shift_of.find(product(a.rotation, b.rotation));
        if (found == shift_of.end()) return false;
        const Vec3 gap = a.apply(b.translation) - found->second;
        const auto equal = [&](const Vec3& t) { return norm(nearest_image(gap - t)) < kSameTranslation; };
        if (std::none_of(translations_.begin(), translations_.end(), equal)) return false;
      }
    return true;
  }

  const Lattice& lattice_;
  const std::vector<Vec3>& frac_;
  const std::vector<std::int32_t>& kind_;
  const std::vector<Operation>& operations_;
  double tolerance_;
  std::vector<Vec3> translations_;
  std::map<Rotation, std::size_t> representative_;
  std::vector<std::size_t> bases_;  // one site an orbit of the translations
  std::vector<std::size_t> base_;   // of every site: its orbit's index in bases_
};

}  // namespace

SiteSymmetry site_symmetry(const Lattice& lattice, const std::vector<Vec3>& frac,
                           const std::vector<std::int32_t>& kind, const std::vector<Operation>& operations,
                           double tolerance) {
  if (kind.size() != frac.size()) throw InvalidInput("frac and kind must have equal lengths");
  SiteSymmetry result;
  // Up to here the plain loops take some tens of milliseconds.
  constexpr double kFewMappings = 2e5, kMostMappings = 2e6;
  const double mappings = static_cast<double>(frac.size()) * static_cast<double>(operations.size());
  if (mappings > kFewMappings) {
    CosetSymmetry cosets(lattice, frac, kind, operations, tolerance);
    if (cosets.is_product() && cosets.average_translations(&result)) {
      cosets.average_rotations(&result);
      return result;
    }
  }
  result.frac = frac;
  if (mappings > kMostMappings) {  // a large crystal that is a supercell almost: no symmetry costs less
    result.kept = identity_alone(operations);
    return result;
  }
  // deviation[g] = largest distance of a mapped site from its partner; sum[g] = their offsets by partner.
  std::vector<double> deviation(operations.size(), 0.0);
  std::vector<std::vector<Vec3>> offsets(operations.size());
  const SiteFinder finder(lattice, frac, kind, tolerance);
  for (std::size_t g = 0; g < operations.size(); ++g) {
    poll_interrupt();
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
  result.kept = largest_group(
      deviation, tolerance, [&](const std::vector<std::size_t>& kept) { return is_group(operations, kept); });
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
