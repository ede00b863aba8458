#include "fastin/geometry/coordination.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "fastin/geometry/cell_list.hpp"
#include "fastin/geometry/lattice_reduction.hpp"

namespace fastin {

namespace {

// Points sorted into a grid of bins over the unit cell.
class Bins {
 public:
  Bins(const Lattice& lattice, const std::vector<Vec3>& frac, double cutoff)
      : lattice_(lattice), near2_(cutoff * cutoff * (1.0 + kRounding)) {
    for (int k = 0; k < 3; ++k) {
      const double spacing = lattice.plane_spacing(k);
      count_[k] = std::clamp(static_cast<std::int32_t>(spacing / cutoff), 1, kMaxBins);
      reach_[k] = static_cast<std::int32_t>(std::ceil(cutoff * count_[k] / spacing));
    }
    const auto bins = static_cast<std::size_t>(count_.x) * static_cast<std::size_t>(count_.y) *
                      static_cast<std::size_t>(count_.z);
    start_.assign(bins + 1, 0);
    std::vector<std::size_t> of_point(frac.size());
    for (std::size_t i = 0; i < frac.size(); ++i) {
      of_point[i] = flat(bin_of(frac[i]));
      ++start_[of_point[i] + 1];
    }
    for (std::size_t b = 0; b < bins; ++b) start_[b + 1] += start_[b];
    members_.resize(frac.size());
    std::vector<std::size_t> next(start_.begin(), start_.end() - 1);
    for (std::size_t i = 0; i < frac.size(); ++i) members_[next[of_point[i]]++] = i;
    for (const std::size_t i : members_) cart_.push_back(lattice.to_cart(frac[i]));
  }

  Int3 bin_of(const Vec3& frac) const {
    Int3 bin;
    for (int k = 0; k < 3; ++k) {
      bin[k] = std::clamp(static_cast<std::int32_t>(frac[k] * count_[k]), 0, count_[k] - 1);
    }
    return bin;
  }

  // Calls visit(j, image) for every point image that lies within the cutoff of `here`, and for a few beyond
  // it by no more than rounding.
  template <class Visit>
  void around(const Vec3& here, Visit visit) const {
    const Int3 bin = bin_of(here);
    const Vec3 centre = lattice_.to_cart(here);
    for (std::int32_t ox = -reach_.x; ox <= reach_.x; ++ox) {
      const auto [bx, ix] = wrap(bin.x + ox, count_.x);
      for (std::int32_t oy = -reach_.y; oy <= reach_.y; ++oy) {
        const auto [by, iy] = wrap(bin.y + oy, count_.y);
        for (std::int32_t oz = -reach_.z; oz <= reach_.z; ++oz) {
          const auto [bz, iz] = wrap(bin.z + oz, count_.z);
          const std::size_t b = flat({bx, by, bz});
          const Vec3 shift = lattice_.to_cart(to_vec(Int3{ix, iy, iz})) - centre;
          for (std::size_t m = start_[b]; m < start_[b + 1]; ++m) {
            if (norm2(cart_[m] + shift) <= near2_) visit(members_[m], Int3{ix, iy, iz});
          }
        }
      }
    }
  }

 private:
  static constexpr double kRounding =
      1e-6;  // relative, of squared distances: far above what the sums round off
  static constexpr std::int32_t kMaxBins = 64;  // an axis; bounds the memory of needle-shaped cells

  static std::pair<std::int32_t, std::int32_t> wrap(std::int32_t bin, std::int32_t count) {
    std::int32_t image = bin / count;
    if (bin % count < 0) --image;
    return {bin - image * count, image};
  }
  std::size_t flat(const Int3& b) const {
    return (static_cast<std::size_t>(b.x) * static_cast<std::size_t>(count_.y) +
            static_cast<std::size_t>(b.y)) *
               static_cast<std::size_t>(count_.z) +
           static_cast<std::size_t>(b.z);
  }

  const Lattice& lattice_;
  double near2_;
  Int3 count_, reach_;
  std::vector<std::size_t> start_, members_;
  std::vector<Vec3> cart_;  // of the members, angstrom
};

}  // namespace

Neighbours neighbours_within(const Lattice& lattice, const std::vector<Vec3>& frac, double cutoff) {
  if (!(cutoff > 0.0) || !std::isfinite(cutoff)) {
    throw InvalidInput("the neighbour cutoff must be a positive number, not " + std::to_string(cutoff));
  }
  std::vector<Vec3> wrapped = frac;
  for (std::size_t i = 0; i < wrapped.size(); ++i) {
    if (!std::isfinite(wrapped[i].x + wrapped[i].y + wrapped[i].z)) {
      throw InvalidInput("the coordinates of point " + std::to_string(i) + " are not finite");
    }
    wrap_frac(wrapped[i]);
  }
  Neighbours out;
  out.offsets.reserve(wrapped.size() + 1);
  out.offsets.push_back(0);
  if (wrapped.empty()) return out;
  const Bins bins(lattice, wrapped, cutoff);
  const double cutoff2 = cutoff * cutoff;
  std::vector<std::pair<double, std::int64_t>> found;
  for (std::size_t i = 0; i < wrapped.size(); ++i) {
    found.clear();
    const Vec3 here = wrapped[i];
    bins.around(here, [&](std::size_t j, const Int3& image) {
      if (j == i && is_zero(image)) return;
      const double d2 = norm2(lattice.to_cart(wrapped[j] + to_vec(image) - here));
      if (d2 <= cutoff2) found.emplace_back(d2, static_cast<std::int64_t>(j));
    });
    std::sort(found.begin(), found.end());
    for (const auto& [d2, j] : found) {
      out.index.push_back(j);
      out.distance.push_back(std::sqrt(d2));
    }
    out.offsets.push_back(static_cast<std::int64_t>(out.index.size()));
  }
  return out;
}

std::vector<double> coordination_numbers(const Neighbours& neighbours, const std::vector<double>& sign,
                                         const std::vector<double>& size,
                                         const std::vector<double>& occupancy, const CoordinationRule& rule) {
  const std::size_t n = sign.size();
  std::vector<double> out(n, 0.0);
  std::vector<std::pair<double, double>> bonds;  // relative length, occupancy
  for (std::size_t i = 0; i < n; ++i) {
    bonds.clear();
    double shortest = std::numeric_limits<double>::infinity();
    for (std::int64_t k = neighbours.offsets[i]; k < neighbours.offsets[i + 1]; ++k) {
      const auto at = static_cast<std::size_t>(k);
      const auto j = static_cast<std::size_t>(neighbours.index[at]);
      const bool counter_ion = sign[i] == 0.0 || sign[i] * sign[j] < 0.0;
      if (!counter_ion || neighbours.distance[at] < rule.too_near) continue;
      const double length = neighbours.distance[at] / (size[i] + size[j]);
      bonds.emplace_back(length, occupancy[j]);
      shortest = std::min(shortest, length);
    }
    for (const auto& [length, share] : bonds) {
      if (length <= rule.reach * shortest) out[i] += share;
    }
  }
  return out;
}

NearestKinds nearest_kinds(const Lattice& lattice, const std::vector<Vec3>& frac,
                           const std::vector<char>& is_marked, double reach, double too_near) {
  if (is_marked.size() != frac.size()) throw InvalidInput("frac and the marks differ in length");
  if (!(reach > 0.0) || !std::isfinite(reach)) {
    throw InvalidInput("the reach must be a positive number, not " + std::to_string(reach));
  }
  NearestKinds out;
  if (frac.empty()) return out;
  const ReducedBasis basis = reduce_basis(lattice.cell());
  const Lattice reduced(basis.cell);
  const std::vector<Vec3> points = in_reduced_cell(basis, frac);
  const double search = reach * (1.0 + 1e-9);
  const CellList cells(reduced, points, search);
  const double *x = cells.x(), *y = cells.y(), *z = cells.z();
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (is_marked[i] == 0) continue;
    const Vec3 here = reduced.to_cart(points[i]);
    double nearest2[2] = {reach * reach, reach * reach};
    cells.for_each_stretch(points[i], search, [&](std::size_t begin, std::size_t end) {
      for (std::size_t s = begin; s < end; ++s) {
        const double d2 = norm2(Vec3{x[s] - here.x, y[s] - here.y, z[s] - here.z});
        if (!(d2 > too_near * too_near)) continue;
        double& nearest =
            nearest2[is_marked[static_cast<std::size_t>(generator_atom(cells.code()[s]))] != 0 ? 0 : 1];
        nearest = std::min(nearest, d2);
      }
    });
    out.marked.push_back(std::sqrt(nearest2[0]));
    out.unmarked.push_back(std::sqrt(nearest2[1]));
  }
  return out;
}

}  // namespace fastin
