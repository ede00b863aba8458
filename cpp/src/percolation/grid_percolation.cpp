#include "fastin/percolation/grid_percolation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/base/simd.hpp"

namespace fastin {
namespace {

// Cells of a jump packed into one integer, linear in each component: sums of jumps are sums of the integers.
// +-511 cells along each axis.
constexpr std::int32_t kPackBase = 1024;
std::int32_t pack(const Int3& cell) { return cell.x + kPackBase * (cell.y + kPackBase * cell.z); }
Int3 unpack(std::int32_t code) {
  const auto digit = [&code]() {
    const std::int32_t low = ((code + kPackBase / 2) % kPackBase + kPackBase) % kPackBase - kPackBase / 2;
    code = (code - low) / kPackBase;
    return low;
  };
  Int3 cell;
  cell.x = digit();
  cell.y = digit();
  cell.z = digit();
  return cell;
}

// The 3x3x3 neighbourhood as 27 bits, bit (di + 1) * 9 + (dj + 1) * 3 + (dk + 1).
constexpr std::uint32_t kLowK = 0x1249249u;   // dk = -1
constexpr std::uint32_t kHighK = 0x4924924u;  // dk = +1
constexpr std::uint32_t kLowJ = 0x01C0E07u;   // dj = -1
constexpr std::uint32_t kHighJ = 0x70381C0u;  // dj = +1
constexpr std::uint32_t kAll = 0x7FFFFFFu;
constexpr std::uint32_t kFaces = (1u << 4) | (1u << 10) | (1u << 12) | (1u << 14) | (1u << 16) | (1u << 22);

FASTIN_INLINE std::uint32_t spread_k(std::uint32_t m) { return ((m & ~kHighK) << 1) | ((m & ~kLowK) >> 1); }
FASTIN_INLINE std::uint32_t spread_j(std::uint32_t m) { return ((m & ~kHighJ) << 3) | ((m & ~kLowJ) >> 3); }
FASTIN_INLINE std::uint32_t spread_i(std::uint32_t m) { return ((m << 9) & kAll) | (m >> 9); }

// Bits of the neighbourhood adjacent to some bit of m, and m.
template <int Connectivity>
FASTIN_INLINE std::uint32_t grow(std::uint32_t m) {
  if (Connectivity == 6) return m | spread_k(m) | spread_j(m) | spread_i(m);
  m |= spread_k(m);
  m |= spread_j(m);
  return m | spread_i(m);
}

// The connected piece of `mask` that holds the bits of `seed`.
template <int Connectivity>
std::uint32_t flood(std::uint32_t seed, std::uint32_t mask) {
  for (;;) {
    const std::uint32_t next = grow<Connectivity>(seed) & mask;
    if (next == seed) return seed;
    seed = next;
  }
}
std::uint32_t piece_of(std::uint32_t seed, std::uint32_t mask, int connectivity) {
  return connectivity == 6 ? flood<6>(seed, mask) : flood<26>(seed, mask);
}

FASTIN_INLINE std::uint32_t lowest_bit(std::uint32_t m) { return m & (~m + 1u); }

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

}  // namespace

Int3 GridView::wrap(Int3& p) const {
  Int3 cell;
  for (int a = 0; a < 3; ++a) {
    const std::int32_t n = shape[a];
    std::int32_t c = p[a] / n;
    if (p[a] - c * n < 0) --c;
    p[a] -= c * n;
    cell[a] = c;
  }
  return cell;
}

GridLandscape::GridLandscape(GridView grid, int connectivity) : grid_(grid), connectivity_(connectivity) {
  if (connectivity != 6 && connectivity != 26) {
    throw InvalidInput("connectivity must be 6 or 26, not " + std::to_string(connectivity));
  }
  const Int3 n = grid.shape;
  if (n.x < 1 || n.y < 1 || n.z < 1) throw InvalidInput("the energy grid is empty");
  if (grid.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw InvalidInput("the energy grid has more than 2^31 points");
  }
  if (all_floats(grid.values, grid.size())) {  // half the memory to walk
    scan<float>();
  } else {
    const double* const end = grid.values + grid.size();
    const double* const bad = std::find_if(grid.values, end, [](double v) { return std::isnan(v); });
    if (bad != end)
      throw InvalidInput("the energy grid holds NaN at point " + std::to_string(bad - grid.values));
    scan<double>();
  }
  target_.assign(grid.size(), -1);
  shift_.assign(grid.size(), 0);
  for (std::size_t b = 0; b < minima_.size(); ++b) {
    target_[static_cast<std::size_t>(minima_[b])] = -static_cast<std::int32_t>(b) - 2;
  }
  std::sort(passes_.begin(), passes_.end(), [](const Pass& a, const Pass& b) {
    return a.energy < b.energy || (a.energy == b.energy && a.voxel < b.voxel);
  });
}

template <class Real>
void GridLandscape::scan() {
  const Int3 n = grid_.shape;
  const auto nz = static_cast<std::size_t>(n.z), width = nz + 2;
  // Planes i - 1, i, i + 1 with the ends of their rows wrapped, by i modulo 3.
  std::array<std::vector<Real>, 3> planes;
  std::array<std::int32_t, 3> held{-1, -1, -1};
  const auto plane = [&](std::int32_t i, std::int32_t slot) {
    const auto at = static_cast<std::size_t>(slot);
    if (held[at] == i) return;
    held[at] = i;
    planes[at].resize(static_cast<std::size_t>(n.y) * width);
    const double* from = grid_.values + static_cast<std::size_t>(i) * static_cast<std::size_t>(n.y) * nz;
    for (std::size_t j = 0; j < static_cast<std::size_t>(n.y); ++j, from += nz) {
      Real* to = planes[at].data() + j * width;
      for (std::size_t k = 0; k < nz; ++k) to[k + 1] = static_cast<Real>(from[k]);
      to[0] = to[nz];
      to[nz + 1] = to[1];
    }
  };
  std::vector<std::uint32_t> lower(nz), rest(nz);
  for (std::int32_t i = 0; i < n.x; ++i) {
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
          minima_.push_back(voxel);
        } else if (std::isfinite(row[at])) {
          passes_.push_back({static_cast<double>(row[at]), voxel, lower[at]});
        }
      }
    }
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

std::int32_t GridLandscape::descend(std::int32_t voxel, Int3* cell) const {
  const Int3 p = grid_.unravel(voxel);
  std::int32_t best = voxel;
  *cell = Int3{};
  for (int di = -1; di <= 1; ++di) {
    for (int dj = -1; dj <= 1; ++dj) {
      for (int dk = -1; dk <= 1; ++dk) {
        if (connectivity_ == 6 && std::abs(di) + std::abs(dj) + std::abs(dk) != 1) continue;
        Int3 q{p.x + di, p.y + dj, p.z + dk};
        const Int3 c = grid_.wrap(q);
        const std::int32_t other = grid_.ravel(q);
        if (before(other, best)) {
          best = other;
          *cell = c;
        }
      }
    }
  }
  return best;
}

double GridLandscape::variation(std::int32_t voxel) const {
  const Int3 p = grid_.unravel(voxel);
  double most = 0.0;
  for (int b = 0; b < 27; ++b) {
    Int3 q{p.x + b / 9 - 1, p.y + (b / 3) % 3 - 1, p.z + b % 3 - 1};
    grid_.wrap(q);
    most = std::max(most, std::abs(grid_.at(grid_.ravel(q)) - grid_.at(voxel)));
  }
  return most;
}

// Refuses a chain that leaves the cells that pack() can tell apart. All jumps but the last one, which may be
// the sum of an earlier chain, cross one cell at most, so that short chains need no count.
void GridLandscape::check_offsets() const {
  constexpr std::size_t kShort = 256;
  constexpr std::int32_t kFarthest = kPackBase / 2 - 1;
  if (chain_.empty()) return;
  const auto jump = [this](std::size_t i) { return unpack(shift_[static_cast<std::size_t>(chain_[i])]); };
  Int3 cell = jump(chain_.size() - 1);
  const auto widest = [](const Int3& c) { return std::max({std::abs(c.x), std::abs(c.y), std::abs(c.z)}); };
  if (chain_.size() <= kShort && widest(cell) < kFarthest - static_cast<std::int32_t>(kShort)) return;
  for (std::size_t i = chain_.size() - 1; i-- > 0;) {
    cell = cell + jump(i);
    if (widest(cell) <= kFarthest) continue;
    throw TooLarge("the energy grid holds a valley that winds through more than " +
                   std::to_string(kFarthest) + " cells: use a cell that is less thin");
  }
}

GridLandscape::Label GridLandscape::label(std::int32_t voxel) {
  chain_.clear();
  std::int32_t at = voxel;
  while (target_[static_cast<std::size_t>(at)] >= -1) {
    const auto a = static_cast<std::size_t>(at);
    if (target_[a] == -1) {
      Int3 cell;
      target_[a] = descend(at, &cell);
      shift_[a] = pack(cell);
    }
    chain_.push_back(at);
    at = target_[a];
  }
  const std::int32_t minimum = at;
  check_offsets();
  std::int32_t total = 0;
  for (std::size_t i = chain_.size(); i-- > 0;) {  // every point on the way now points at the minimum
    const auto a = static_cast<std::size_t>(chain_[i]);
    total += shift_[a];
    shift_[a] = total;
    target_[a] = minimum;
  }
  return {-target_[static_cast<std::size_t>(minimum)] - 2, unpack(total)};
}

void GridLandscape::arms(const Pass& pass, std::vector<Arm>* out) {
  out->clear();
  const Int3 p = grid_.unravel(pass.voxel);
  std::uint32_t open = pass.lower & (connectivity_ == 6 ? kFaces : kAll);
  while (open != 0) {
    const std::uint32_t piece = piece_of(lowest_bit(open), pass.lower, connectivity_);
    Arm arm{-1, {}, -1, {}};
    for (std::uint32_t bits = piece & open; bits != 0; bits &= bits - 1) {
      int b = 0;
      while (((bits >> b) & 1u) == 0) ++b;
      Int3 q{p.x + b / 9 - 1, p.y + (b / 3) % 3 - 1, p.z + b % 3 - 1};
      const Int3 cell = grid_.wrap(q);
      const std::int32_t voxel = grid_.ravel(q);
      if (arm.voxel < 0 || before(voxel, arm.voxel)) {
        arm.voxel = voxel;
        arm.voxel_cell = cell;
      }
    }
    open &= ~piece;
    const Label drained = label(arm.voxel);
    arm.basin = drained.basin;
    arm.cell = arm.voxel_cell + drained.cell;
    out->push_back(arm);
  }
}

namespace {

// Basins joined so far, the lowest point of each component, and the levels at which the rank grew.
class Flood {
 public:
  explicit Flood(GridLandscape& landscape)
      : landscape_(landscape),
        components_(landscape.minima().size()),
        lowest_(landscape.minima()),
        basins_(landscape.minima().size(), 1) {}

  int rank() const { return reached_; }
  // True once every event that belongs to the last level has been seen.
  bool complete(double next_energy) const {
    return reached_ == 3 && next_energy > levels_[2].energy + kLevelTie;
  }

  void join(std::int32_t a, std::int32_t b, const Int3& image) {
    const auto joined = components_.join(a, b, image);
    if (joined.absorbed < 0) return;
    const auto root = static_cast<std::size_t>(joined.root), gone = static_cast<std::size_t>(joined.absorbed);
    if (landscape_.before(lowest_[gone], lowest_[root])) lowest_[root] = lowest_[gone];
    basins_[root] += basins_[gone];
  }

  // To be called after all joins at a point.
  void record(std::int32_t basin, double energy, std::int32_t voxel) {
    const int rank = components_.rank(components_.find(basin).root);
    for (; reached_ < rank; ++reached_) {
      PercolationLevel& level = levels_[static_cast<std::size_t>(reached_)];
      level.energy = energy;
      level.voxel = voxel;
      basin_[static_cast<std::size_t>(reached_)] = basin;
    }
  }

  // Fills in the component of every level that lies below `energy` by more than a tie: before the joins
  // there.
  void settle(double energy) {
    for (; settled_ < reached_; ++settled_) {
      const auto d = static_cast<std::size_t>(settled_);
      if (!(energy > levels_[d].energy + kLevelTie)) return;
      const std::int32_t root = components_.find(basin_[d]).root;
      levels_[d].minimum_voxel = lowest_[static_cast<std::size_t>(root)];
      levels_[d].basins = basins_[static_cast<std::size_t>(root)];
      levels_[d].translations = components_.translations(root);
    }
  }
  const std::array<PercolationLevel, 3>& levels() const { return levels_; }

 private:
  GridLandscape& landscape_;
  PeriodicUnionFind components_;
  std::vector<std::int32_t> lowest_;  // by root
  std::vector<std::int32_t> basins_;
  std::array<PercolationLevel, 3> levels_;
  std::array<std::int32_t, 3> basin_{};  // some basin of the component that percolates
  int reached_ = 0;
  int settled_ = 0;
};

// An axis of one point: each point is its own neighbour, so that a basin percolates along it when it is born.
class ThinAxes {
 public:
  explicit ThinAxes(GridLandscape& landscape) : landscape_(landscape) {
    const Int3 n = landscape.grid().shape;
    if (n.x > 1 && n.y > 1 && n.z > 1) return;
    order_.resize(landscape.minima().size());
    for (std::size_t b = 0; b < order_.size(); ++b) order_[b] = static_cast<std::int32_t>(b);
    std::sort(order_.begin(), order_.end(),
              [this](std::int32_t a, std::int32_t b) { return landscape_.before(minimum(a), minimum(b)); });
  }

  // Every basin whose minimum comes before that point; -1: every basin.
  void bear_before(std::int32_t voxel, Flood* flood) {
    for (; next_ < order_.size(); ++next_) {
      const std::int32_t basin = order_[next_], at = minimum(basin);
      if (voxel >= 0 && !landscape_.before(at, voxel)) return;
      if (!std::isfinite(landscape_.grid().at(at))) return;
      flood->settle(landscape_.grid().at(at));
      for (int a = 0; a < 3; ++a) {
        Int3 step;
        step[a] = 1;
        if (landscape_.grid().shape[a] == 1) flood->join(basin, basin, step);
      }
      flood->record(basin, landscape_.grid().at(at), at);
    }
  }

 private:
  std::int32_t minimum(std::int32_t basin) const {
    return landscape_.minima()[static_cast<std::size_t>(basin)];
  }
  GridLandscape& landscape_;
  std::vector<std::int32_t> order_;
  std::size_t next_ = 0;
};

}  // namespace

GridPercolation percolate(GridLandscape& landscape) {
  GridPercolation result;
  for (const std::int32_t v : landscape.minima()) {
    if (result.minimum_voxel < 0 || landscape.before(v, result.minimum_voxel)) result.minimum_voxel = v;
  }
  Flood flood(landscape);
  ThinAxes births(landscape);
  std::vector<GridLandscape::Arm> arms;
  SparsePoll poll;
  for (const GridLandscape::Pass& pass : landscape.passes()) {
    poll();
    if (flood.complete(pass.energy)) break;
    births.bear_before(pass.voxel, &flood);
    landscape.arms(pass, &arms);
    flood.settle(pass.energy);
    for (std::size_t a = 1; a < arms.size(); ++a)
      flood.join(arms[0].basin, arms[a].basin, arms[a].cell - arms[0].cell);
    flood.record(arms[0].basin, pass.energy, pass.voxel);
  }
  births.bear_before(-1, &flood);
  flood.settle(std::numeric_limits<double>::infinity());
  result.levels = flood.levels();
  return result;
}

}  // namespace fastin
