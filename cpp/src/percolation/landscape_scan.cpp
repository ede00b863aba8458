// Minima and passes of a grid: every point's lower neighbours, row by row, and the pieces that they fall
// into.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
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

// Points looked at side by side: one register. Longer vectors than the processor has would be taken apart
// number by number.
constexpr int kLanes = 16;  // at most
constexpr int lanes(simd::Level level) {
  return level == simd::Level::v4 ? 16 : level == simd::Level::v3 ? 8 : 4;
}

// The nine rows around a row of points, by (di + 1) * 3 + (dj + 1), each with its ends wrapped: at[r][k + 1]
// is the neighbour of point k, and memory for kLanes more points than there are follows.
enum class Order { before, after, own };  // which comes first where two points are equal
template <class Real>
struct Rows {
  std::array<const Real*, 9> at;
  std::array<Order, 9>
      order;  // of the row's points: their indices are smaller, larger, or it is the row itself
};

template <class Real, int Lanes>
struct Wide {
  typedef std::uint32_t Bits __attribute__((vector_size(4 * Lanes)));  // one word a point
  typedef Real Values __attribute__((vector_size(sizeof(Real) * Lanes)));
};

// Bits of the neighbours below the points from the k-th on. kUsual: rows in the order of their indices, as
// everywhere but at the faces of the cell.
constexpr Order usual(std::size_t r) { return r < 4 ? Order::before : r == 4 ? Order::own : Order::after; }
template <bool kUsual, int Lanes, class Real, class Bits>
FASTIN_INLINE void mark_lower(const Rows<Real>& rows, int k, Bits* lower) {
  using Values = typename Wide<Real, Lanes>::Values;
  const auto load = [](const Real* from, Values* to) { std::memcpy(to, from, sizeof *to); };
  Values v;
  load(rows.at[4] + 1 + k, &v);
  Bits sum = {};
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 9
#endif
  for (std::size_t r = 0; r < 9; ++r) {
    const std::uint32_t b0 = 1u << (3 * r), b1 = b0 << 1, b2 = b0 << 2;
    const Order order = kUsual ? usual(r) : rows.order[r];
    Values q0, q1, q2;
    load(rows.at[r] + k, &q0);
    load(rows.at[r] + k + 1, &q1);
    load(rows.at[r] + k + 2, &q2);
    if (order == Order::before) {
      sum |= __builtin_convertvector(q0 <= v, Bits) & b0;
      sum |= __builtin_convertvector(q1 <= v, Bits) & b1;
      sum |= __builtin_convertvector(q2 <= v, Bits) & b2;
    } else if (order == Order::after) {
      sum |= __builtin_convertvector(q0 < v, Bits) & b0;
      sum |= __builtin_convertvector(q1 < v, Bits) & b1;
      sum |= __builtin_convertvector(q2 < v, Bits) & b2;
    } else {  // a point is never below itself
      sum |= __builtin_convertvector(q0 <= v, Bits) & b0;
      sum |= __builtin_convertvector(q2 < v, Bits) & b2;
    }
  }
  *lower = sum;
}

// What mark_lower has wrong at the ends of a row's own points: there the neighbour's index lies on the other
// side.
template <class Real>
FASTIN_INLINE std::uint32_t mended_end(const Rows<Real>& rows, int n, int k, std::uint32_t lower) {
  for (std::size_t r = 0; r < 9; ++r) {
    if (rows.order[r] != Order::own) continue;
    const Real* q = rows.at[r] + k;
    const std::uint32_t b0 = 1u << (3 * r), b2 = b0 << 2;
    if (k == 0) lower = (lower & ~b0) | (n > 1 && q[0] < q[1] ? b0 : 0u);
    if (k == n - 1) lower = (lower & ~b2) | (n > 1 && q[2] <= q[1] ? b2 : 0u);
  }
  return lower;
}

// grow() of every word.
template <int Connectivity, class Bits>
FASTIN_INLINE void grow_bits(Bits* bits) {
  const Bits m = *bits;
  const Bits k = ((m & ~kHighK) << 1) | ((m & ~kLowK) >> 1);
  const Bits mk = m | k, from_j = Connectivity == 6 ? m : mk;
  const Bits j = ((from_j & ~kHighJ) << 3) | ((from_j & ~kLowJ) >> 3);
  const Bits mj = mk | j, from_i = Connectivity == 6 ? m : mj;
  *bits = mj | (from_i << 9) | (from_i >> 9);
}

// What of the lower neighbours in reach two steps among lower neighbours from one of them do not reach; kAll
// where there is none in reach. Nothing is left of nearly all points.
template <int Connectivity, class Bits>
FASTIN_INLINE void find_left(const Bits& lower, Bits* left) {
  constexpr std::uint32_t kReach = Connectivity == 6 ? kFaces : kAll;
  const Bits open = lower & kReach, faces = lower & kFaces;
  const Bits from = faces != 0u ? faces : open;  // most neighbours touch those across a face
  Bits piece = from & (~from + 1u);
  grow_bits<Connectivity>(&piece);
  piece &= lower;
  grow_bits<Connectivity>(&piece);
  *left = open == 0u ? Bits{} + kAll : open & ~piece;
}

// lower[k], left[k] of the points of a row of n; whether anything is left of one of them. There is room for
// kLanes numbers more.
template <int Connectivity, bool kUsual, int Lanes, class Real>
FASTIN_INLINE bool look_at_row(const Rows<Real>& rows, int n, std::uint32_t* lower, std::uint32_t* left) {
  using Bits = typename Wide<Real, Lanes>::Bits;
  Bits any = {};
  for (int k = 0; k < n; k += Lanes) {
    Bits bits, rest;
    mark_lower<kUsual, Lanes>(rows, k, &bits);
    std::memcpy(lower + k, &bits, sizeof bits);
    if (k == 0 || k + Lanes >= n) {
      if (k == 0) lower[0] = mended_end(rows, n, 0, lower[0]);
      if (k + Lanes >= n) {
        if (n > 1) lower[n - 1] = mended_end(rows, n, n - 1, lower[n - 1]);
        for (int l = n; l < k + Lanes; ++l)
          lower[l] = kFaces & (~kFaces + 1u);  // no point of the row: nothing is left
      }
      std::memcpy(&bits, lower + k, sizeof bits);
    }
    find_left<Connectivity>(bits, &rest);
    std::memcpy(left + k, &rest, sizeof rest);
    any |= rest;
  }
  std::uint32_t words[Lanes], sum = 0;
  std::memcpy(words, &any, sizeof words);
  for (const std::uint32_t word : words) sum |= word;
  return sum != 0;
}
FASTIN_CLONED_BY_LEVEL(bool, look_at_usual_row,
                       (const Rows<float>& rows, int n, std::uint32_t* lower, std::uint32_t* left),
                       (rows, n, lower, left)) {
  return look_at_row<26, true, lanes(kLevel)>(rows, n, lower, left);
}
FASTIN_CLONED_BY_LEVEL(bool, look_at_any_row,
                       (const Rows<float>& rows, int n, int connectivity, std::uint32_t* lower,
                        std::uint32_t* left),
                       (rows, n, connectivity, lower, left)) {
  return connectivity == 6 ? look_at_row<6, false, lanes(kLevel)>(rows, n, lower, left)
                           : look_at_row<26, false, lanes(kLevel)>(rows, n, lower, left);
}
bool look(const Rows<float>& rows, int n, int connectivity, bool in_order, std::uint32_t* lower,
          std::uint32_t* left) {
  return in_order && connectivity == 26 ? look_at_usual_row(rows, n, lower, left)
                                        : look_at_any_row(rows, n, connectivity, lower, left);
}
bool look(const Rows<double>& rows, int n, int connectivity, bool, std::uint32_t* lower,
          std::uint32_t* left) {
  return connectivity == 6 ? look_at_row<6, false, 4>(rows, n, lower, left)
                           : look_at_row<26, false, 4>(rows, n, lower, left);
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
                                << 19;  // points; below, waking a thread costs more than it gives
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
  const auto nz = static_cast<std::size_t>(n.z), width = nz + 2 + kLanes;
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
  SparsePoll poll;
  std::vector<std::uint32_t> lower(nz + kLanes), left(nz + kLanes);
  const std::uint32_t reach = connectivity_ == 6 ? kFaces : kAll;
  Rows<Real> rows;
  for (std::int32_t i = first; i < last; ++i) {
    for (int di = -1; di <= 1; ++di) plane((i + di + n.x) % n.x, (i + di + 3) % 3);
    for (std::int32_t j = 0; j < n.y; ++j) {
      poll();
      const std::int32_t own = i * n.y + j;
      bool in_order = true;
      for (std::size_t r = 0; r < 9; ++r) {
        const int di = static_cast<int>(r / 3) - 1, dj = static_cast<int>(r % 3) - 1;
        const std::int32_t oj = (j + dj + n.y) % n.y, other = (i + di + n.x) % n.x * n.y + oj;
        const auto& held_plane = planes[static_cast<std::size_t>((i + di + 3) % 3)];
        rows.at[r] = held_plane.data() + static_cast<std::size_t>(oj) * width;
        rows.order[r] = other == own ? Order::own : other < own ? Order::before : Order::after;
        in_order &= rows.order[r] == usual(r);
      }
      if (!look(rows, n.z, connectivity_, in_order, lower.data(), left.data())) continue;
      for (std::int32_t k = 0; k < n.z; ++k) {
        const auto at = static_cast<std::size_t>(k);
        if (left[at] == 0u) continue;
        const std::uint32_t open = lower[at] & reach;
        const Real value = rows.at[4][k + 1];
        const std::int32_t voxel = own * n.z + k;
        if (open == 0u) {
          found->minima.push_back(voxel);
        } else if (std::isfinite(value) &&
                   (open & ~piece_of(lowest_bit(open), lower[at], connectivity_)) != 0u) {
          found->passes.push_back({static_cast<double>(value), voxel, lower[at]});
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

}  // namespace fastin
