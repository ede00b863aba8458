#include "fastin/percolation/grid_percolation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/base/parallel.hpp"
#include "neighborhood.hpp"

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

// The points one before, at and one after a point of the cell along each axis, and the cells they lie in.
struct Around {
  Around(const Int3& p, const Int3& shape) {
    for (int a = 0; a < 3; ++a) {
      const std::int32_t at = p[a], n = shape[a];
      near[0][a] = at > 0 ? at - 1 : n - 1;
      near[1][a] = at;
      near[2][a] = at + 1 < n ? at + 1 : 0;
      cell[0][a] = at > 0 ? 0 : -1;
      cell[2][a] = at + 1 < n ? 0 : 1;
    }
  }
  std::array<Int3, 3> near, cell{};
};

}  // namespace

Int3 GridView::wrap(Int3& p) const {
  Int3 cell;
  for (int a = 0; a < 3; ++a) {
    const std::int32_t n = shape[a];
    if (static_cast<std::uint32_t>(p[a]) < static_cast<std::uint32_t>(n)) continue;  // no division
    std::int32_t c = p[a] / n;
    if (p[a] - c * n < 0) --c;
    p[a] -= c * n;
    cell[a] = c;
  }
  return cell;
}

GridLandscape::GridLandscape(GridView grid, int connectivity, int num_threads)
    : grid_(grid), connectivity_(connectivity), num_threads_(std::max(1, num_threads)) {
  if (connectivity != 6 && connectivity != 26) {
    throw InvalidInput("connectivity must be 6 or 26, not " + std::to_string(connectivity));
  }
  const Int3 n = grid.shape;
  if (n.x < 1 || n.y < 1 || n.z < 1) throw InvalidInput("the energy grid is empty");
  if (grid.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw InvalidInput("the energy grid has more than 2^31 points");
  }
  scan(num_threads);
  steps_ = std::make_unique<DescentSteps>(grid.size());
  for (std::size_t b = 0; b < minima_.size(); ++b)
    steps_->set(minima_[b], {-static_cast<std::int32_t>(b) - 1, 0});
}

std::int32_t GridLandscape::descend(std::int32_t voxel, Int3* cell) const {
  const Int3 p = grid_.unravel(voxel);
  const Around around(p, grid_.shape);
  const auto& near = around.near;
  std::int32_t best = voxel;
  double lowest = grid_.at(voxel);
  *cell = Int3{};
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      const std::int32_t row = (near[i].x * grid_.shape.y + near[j].y) * grid_.shape.z;
      for (std::size_t k = 0; k < 3; ++k) {
        if (connectivity_ == 6 && (i == 1) + (j == 1) + (k == 1) != 2) continue;
        const std::int32_t other = row + near[k].z;
        const double value = grid_.at(other);
        if (value > lowest || (value == lowest && other >= best)) continue;
        best = other;
        lowest = value;
        *cell = {around.cell[i].x, around.cell[j].y, around.cell[k].z};
      }
    }
  }
  return best;
}

double GridLandscape::variation(std::int32_t voxel) const {
  const Around around(grid_.unravel(voxel), grid_.shape);
  double most = 0.0;
  for (std::size_t b = 0; b < 27; ++b) {
    const Int3 q{around.near[b / 9].x, around.near[b / 3 % 3].y, around.near[b % 3].z};
    most = std::max(most, std::abs(grid_.at(grid_.ravel(q)) - grid_.at(voxel)));
  }
  return most;
}

// Refuses a chain that leaves the cells that pack() can tell apart. All jumps but the last one, which may be
// the sum of an earlier chain, cross one cell at most, so that short chains need no count.
void GridLandscape::check_offsets(const std::vector<Link>& chain) {
  constexpr std::size_t kShort = 256;
  constexpr std::int32_t kFarthest = kPackBase / 2 - 1;
  if (chain.empty()) return;
  const auto jump = [&](std::size_t i) { return unpack(chain[i].shift); };
  Int3 cell = jump(chain.size() - 1);
  const auto widest = [](const Int3& c) { return std::max({std::abs(c.x), std::abs(c.y), std::abs(c.z)}); };
  if (chain.size() <= kShort && widest(cell) < kFarthest - static_cast<std::int32_t>(kShort)) return;
  for (std::size_t i = chain.size() - 1; i-- > 0;) {
    cell = cell + jump(i);
    if (widest(cell) <= kFarthest) continue;
    throw TooLarge("the energy grid holds a valley that winds through more than " +
                   std::to_string(kFarthest) + " cells: use a cell that is less thin");
  }
}

GridLandscape::Label GridLandscape::label(std::int32_t voxel) {
  // With the jumps as they were met: other threads shorten steps meanwhile.
  thread_local std::vector<Link> chain;
  chain.clear();
  std::int32_t at = voxel;
  DescentStep next = steps_->get(at);
  while (next.target >= 0) {
    if (next.target == 0) {
      Int3 cell;
      next.target = descend(at, &cell) + 1;
      next.shift = pack(cell);
      steps_->set(at, next);
    }
    chain.push_back({at, next.shift});
    at = next.target - 1;
    next = steps_->get(at);
  }
  const std::int32_t minimum = at;
  check_offsets(chain);
  std::int32_t total = 0;
  for (std::size_t i = chain.size(); i-- > 0;) {  // every point on the way now points at the minimum
    total += chain[i].shift;
    steps_->set(chain[i].voxel, {minimum + 1, total});
  }
  return {-next.target - 1, unpack(total)};
}

void GridLandscape::label_ahead(std::size_t begin, std::size_t end) {
  // Below this many passes, or points of the grid, threads cost more to wake than they do.
  constexpr std::size_t kFewest = 64, kSmallGrid = std::size_t{1} << 18;
  end = std::min(end, passes_.size());
  if (num_threads_ == 1 || grid_.size() < kSmallGrid || end < begin + kFewest) return;
  parallel_blocks(end - begin, num_threads_, 8, [&](std::size_t first, std::size_t last, int) {
    std::vector<Arm> met;
    for (std::size_t i = first; i < last; ++i) arms(passes_[begin + i], &met);
  });
}

void GridLandscape::arms(const Pass& pass, std::vector<Arm>* out) {
  out->clear();
  const Int3 p = grid_.unravel(pass.voxel);
  const Around around(p, grid_.shape);
  std::uint32_t open = pass.lower & (connectivity_ == 6 ? kFaces : kAll);
  while (open != 0) {
    const std::uint32_t piece = piece_of(lowest_bit(open), pass.lower, connectivity_);
    Arm arm{-1, {}, -1, {}};
    for (std::uint32_t bits = piece & open; bits != 0; bits &= bits - 1) {
      std::size_t b = 0;
      while (((bits >> b) & 1u) == 0) ++b;
      const std::size_t i = b / 9, j = b / 3 % 3, k = b % 3;
      const std::int32_t voxel = grid_.ravel({around.near[i].x, around.near[j].y, around.near[k].z});
      if (arm.voxel < 0 || before(voxel, arm.voxel)) {
        arm.voxel = voxel;
        arm.voxel_cell = {around.cell[i].x, around.cell[j].y, around.cell[k].z};
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
  constexpr std::size_t kAhead = 128;  // and a quarter of what is done: little is labelled in vain
  std::size_t labelled = 0;
  const std::vector<GridLandscape::Pass>& passes = landscape.passes();
  for (std::size_t i = 0; i < passes.size(); ++i) {
    const GridLandscape::Pass& pass = passes[i];
    poll();
    if (flood.complete(pass.energy)) break;
    if (i == labelled) {
      labelled += kAhead + i / 4;
      landscape.label_ahead(i, labelled);
    }
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
