// Minima and passes of a grid: every point's lower neighbours, row by row, and the pieces that they fall
// into.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/base/simd.hpp"
#include "fastin/percolation/grid_percolation.hpp"
#include "neighborhood.hpp"

namespace fastin {
namespace {

// Sets bits base, base + 1, base + 2 of lower[k] where the neighbour at k - 1, k, k + 1 of another row is
// below row[k]; `earlier`: that row has the smaller indices, so that ties count as below. padded[k + 1] is
// the other row's point k, its ends wrapped.
template <class Real>
FASTIN_INLINE void mark_neighbors(const Real* row, const Real* padded, int n, bool earlier, int base,
                                  std::uint32_t* lower) {
  const std::uint32_t b0 = 1u << base, b1 = 1u << (base + 1), b2 = 1u << (base + 2);
  if (earlier) {
    for (int k = 0; k < n; ++k) {
      const Real v = row[k];
      lower[k] |=
          (padded[k] <= v ? b0 : 0u) | (padded[k + 1] <= v ? b1 : 0u) | (padded[k + 2] <= v ? b2 : 0u);
    }
  } else {
    for (int k = 0; k < n; ++k) {
      const Real v = row[k];
      lower[k] |= (padded[k] < v ? b0 : 0u) | (padded[k + 1] < v ? b1 : 0u) | (padded[k + 2] < v ? b2 : 0u);
    }
  }
}
FASTIN_CLONED(void, mark_row,
              (const double* row, const double* padded, int n, bool earlier, int base, std::uint32_t* lower),
              (row, padded, n, earlier, base, lower)) {
  mark_neighbors(row, padded, n, earlier, base, lower);
}
FASTIN_CLONED(void, mark_row_of_floats,
              (const float* row, const float* padded, int n, bool earlier, int base, std::uint32_t* lower),
              (row, padded, n, earlier, base, lower)) {
  mark_neighbors(row, padded, n, earlier, base, lower);
}
void mark(const double* row, const double* padded, int n, bool earlier, int base, std::uint32_t* lower) {
  mark_row(row, padded, n, earlier, base, lower);
}
void mark(const float* row, const float* padded, int n, bool earlier, int base, std::uint32_t* lower) {
  mark_row_of_floats(row, padded, n, earlier, base, lower);
}

// The same of the row's own points, a point itself never below itself; interior k only.
template <class Real>
void mark_own(const Real* row, int n, int base, std::uint32_t* lower) {
  const std::uint32_t b0 = 1u << base, b2 = 1u << (base + 2);
  for (int k = 1; k < n - 1; ++k) {
    const Real v = row[k];
    lower[k] |= (row[k - 1] <= v ? b0 : 0u) | (row[k + 1] < v ? b2 : 0u);
  }
}

// rest[k]: what of the lower neighbours in reach is not connected, among lower neighbours, with the first of
// them; kAll where there is none in reach.
template <int Connectivity>
FASTIN_INLINE void rest_rows(const std::uint32_t* lower, int n, std::uint32_t* rest) {
  constexpr std::uint32_t kReach = Connectivity == 6 ? kFaces : kAll;
  for (int k = 0; k < n; ++k) rest[k] = lowest_bit(lower[k] & kReach);
  for (std::uint32_t changed = 1; changed != 0;) {
    changed = 0;
    for (int k = 0; k < n; ++k) {
      const std::uint32_t next = grow<Connectivity>(rest[k]) & lower[k];
      changed |= next ^ rest[k];
      rest[k] = next;
    }
  }
  for (int k = 0; k < n; ++k) {
    const std::uint32_t open = lower[k] & kReach;
    rest[k] = open == 0u ? kAll : open & ~rest[k];
  }
}
FASTIN_CLONED(void, rest_of_row, (const std::uint32_t* lower, int n, int connectivity, std::uint32_t* rest),
              (lower, n, connectivity, rest)) {
  if (connectivity == 6) {
    rest_rows<6>(lower, n, rest);
  } else {
    rest_rows<26>(lower, n, rest);
  }
}

// Whether every value is a number of single precision; NaN is none.
FASTIN_CLONED(bool, all_floats, (const double* values, std::size_t n), (values, n)) {
  unsigned bad = 0;
  for (std::size_t i = 0; i < n; ++i)
    bad |= static_cast<double>(static_cast<float>(values[i])) == values[i] ? 0u : 1u;
  return bad == 0;
}

// n values as the scan reads them: `closed` and more is infinite. Returns whether one is not a number.
template <class From, class Real>
FASTIN_INLINE bool widen(const From* from, std::size_t n, From closed, Real* to) {
  constexpr Real kWall = std::numeric_limits<Real>::infinity();
  unsigned broken = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const auto v = static_cast<Real>(from[k]);
    to[k] = from[k] >= closed ? kWall : v;
    broken |= v == v ? 0u : 1u;
  }
  return broken != 0;
}
FASTIN_CLONED(bool, widen_row, (const float* from, std::size_t n, float closed, float* to),
              (from, n, closed, to)) {
  return widen(from, n, closed, to);
}
bool widen_row(const double* from, std::size_t n, double closed, float* to) {
  return widen(from, n, closed, to);
}
bool widen_row(const double* from, std::size_t n, double closed, double* to) {
  return widen(from, n, closed, to);
}

}  // namespace

// Minima and passes, slab by slab; what a slab holds does not depend on the others, and their order is that
// of the index.
template <class Real, class From>
void GridLandscape::scan_as(const From* values, int num_threads) {
  constexpr std::size_t kSlab = std::size_t{1}
                                << 18;  // points; below, waking a thread costs more than it gives
  const auto plane = static_cast<std::size_t>(grid_.shape.y) * static_cast<std::size_t>(grid_.shape.z);
  const std::size_t planes = static_cast<std::size_t>(grid_.shape.x);
  const std::size_t thick = std::clamp((kSlab + plane - 1) / plane, std::size_t{1}, planes);
  std::vector<Found> slabs((planes + thick - 1) / thick);
  const auto first = [](const Pass& a, const Pass& b) {
    return a.energy < b.energy || (a.energy == b.energy && a.voxel < b.voxel);
  };
  parallel_blocks(planes, num_threads, thick, [&](std::size_t begin, std::size_t end, int) {
    Found& found = slabs[begin / thick];
    scan_planes<Real>(values, static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end), &found);
    std::sort(found.passes.begin(), found.passes.end(), first);
  });
  std::vector<std::size_t> start{0};
  std::size_t minima = 0;
  for (const Found& slab : slabs) {
    if (slab.broken) {
      const auto bad = std::find_if(values, values + grid_.size(), [](From v) { return std::isnan(v); });
      throw InvalidInput("the energy grid holds NaN at point " + std::to_string(bad - values));
    }
    minima += slab.minima.size();
    start.push_back(start.back() + slab.passes.size());
  }
  minima_.reserve(minima);
  for (const Found& slab : slabs) minima_.insert(minima_.end(), slab.minima.begin(), slab.minima.end());
  if (slabs.size() == 1) {
    passes_ = std::move(slabs[0].passes);
    return;
  }
  passes_.resize(start.back());
  parallel_for(slabs.size(), num_threads, [&](std::size_t s, int) {
    std::copy(slabs[s].passes.begin(), slabs[s].passes.end(),
              passes_.begin() + static_cast<std::ptrdiff_t>(start[s]));
    slabs[s] = Found{};
  });
  // Sorted runs merged two by two.
  const auto at = [&](std::size_t s) {
    return passes_.begin() + static_cast<std::ptrdiff_t>(start[std::min(s, slabs.size())]);
  };
  for (std::size_t width = 1; width < slabs.size(); width *= 2) {
    parallel_for((slabs.size() + 2 * width - 1) / (2 * width), num_threads, [&](std::size_t k, int) {
      const std::size_t low = 2 * width * k;
      std::inplace_merge(at(low), at(low + width), at(low + 2 * width), first);
    });
  }
}

template <class Real, class From>
void GridLandscape::scan_planes(const From* values, std::int32_t first, std::int32_t last,
                                Found* found) const {
  const Int3 n = grid_.shape;
  const auto nz = static_cast<std::size_t>(n.z), width = nz + 2;
  const auto closed = static_cast<From>(grid_.closed_from);
  // Planes i - 1, i, i + 1 with the ends of their rows wrapped, by i modulo 3.
  std::array<std::vector<Real>, 3> planes;
  std::array<std::int32_t, 3> held{-1, -1, -1};
  const auto plane = [&](std::int32_t i, std::int32_t slot) {
    const auto at = static_cast<std::size_t>(slot);
    if (held[at] == i) return;
    held[at] = i;
    planes[at].resize(static_cast<std::size_t>(n.y) * width);
    const From* from = values + static_cast<std::size_t>(i) * static_cast<std::size_t>(n.y) * nz;
    for (std::size_t j = 0; j < static_cast<std::size_t>(n.y); ++j, from += nz) {
      Real* to = planes[at].data() + j * width;
      found->broken |= widen_row(from, nz, closed, to + 1);
      to[0] = to[nz];
      to[nz + 1] = to[1];
    }
  };
  std::vector<std::uint32_t> lower(nz), rest(nz);
  for (std::int32_t i = first; i < last; ++i) {
    for (int di = -1; di <= 1; ++di) plane((i + di + n.x) % n.x, (i + di + 3) % 3);
    for (std::int32_t j = 0; j < n.y; ++j) {
      poll_interrupt();
      const std::int32_t own = i * n.y + j;
      const Real* row =
          planes[static_cast<std::size_t>(i % 3)].data() + static_cast<std::size_t>(j) * width + 1;
      std::fill(lower.begin(), lower.end(), 0u);
      for (int di = -1; di <= 1; ++di) {
        for (int dj = -1; dj <= 1; ++dj) {
          const std::int32_t oj = (j + dj + n.y) % n.y, other = ((i + di + n.x) % n.x) * n.y + oj;
          const int base = (di + 1) * 9 + (dj + 1) * 3;
          if (other == own) {
            mark_own(row, n.z, base, lower.data());
            mark_own_ends(own, base, lower.data());
            continue;
          }
          const Real* padded = planes[static_cast<std::size_t>((i + di + 3) % 3)].data();
          mark(row, padded + static_cast<std::size_t>(oj) * width, n.z, other < own, base, lower.data());
        }
      }
      rest_of_row(lower.data(), n.z, connectivity_, rest.data());
      for (std::int32_t k = 0; k < n.z; ++k) {
        const auto at = static_cast<std::size_t>(k);
        if (rest[at] == 0u) continue;
        const std::int32_t voxel = own * n.z + k;
        if (rest[at] == kAll) {
          found->minima.push_back(voxel);
        } else if (std::isfinite(row[at])) {
          found->passes.push_back({static_cast<double>(row[at]), voxel, lower[at]});
        }
      }
    }
  }
}

void GridLandscape::scan(int num_threads) {
  if (grid_.floats != nullptr) {
    scan_as<float>(grid_.floats, num_threads);
  } else if (all_floats(grid_.values, grid_.size())) {  // half the memory to walk
    scan_as<float>(grid_.values, num_threads);
  } else {
    scan_as<double>(grid_.values, num_threads);
  }
}

// The two ends of a row among its own points; a copy of the point itself is never below it.
void GridLandscape::mark_own_ends(std::int32_t own, int base, std::uint32_t* lower) const {
  const std::int32_t n = grid_.shape.z;
  for (const std::int32_t k : {0, n - 1}) {
    for (const int dk : {-1, 1}) {
      const std::int32_t q = (k + dk + n) % n;
      if (before(own * n + q, own * n + k)) lower[k] |= 1u << (base + 1 + dk);
    }
  }
}

}  // namespace fastin
