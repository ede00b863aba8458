// Grids: the points of one asymmetric part, in compact tiles, each summed over its neighbours by the SIMD
// kernels.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "bvse_tiles.hpp"
#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/base/parallel.hpp"

namespace fastin::bvse {
namespace {

// Grid indices of the points to compute, cut into tiles of at most kGathered that lie close together.
struct Tiles {
  std::vector<std::int32_t> points;
  std::vector<std::size_t> start{0};
};

struct Shape {
  std::int32_t a, b, c;
  std::size_t size() const {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c);
  }
  std::int32_t index(std::int32_t i, std::int32_t j, std::int32_t k) const { return (i * b + j) * c + k; }
};

// Position of every point's representative among the points to compute, kept in the memory of the grid
// itself.
class OrbitMap {
 public:
  explicit OrbitMap(float* values) : values_(values) {}
  std::int32_t get(std::size_t i) const {
    std::int32_t id;
    std::memcpy(&id, values_ + i, sizeof id);
    return id;
  }
  void set(std::size_t i, std::int32_t id) { std::memcpy(values_ + i, &id, sizeof id); }

 private:
  static_assert(sizeof(float) == sizeof(std::int32_t), "an index must fit into a value");
  float* values_;
};

// A grid operation with its shifts raised so that no index turns negative, and 1/n for a division-free
// remainder.
class IndexMap {
 public:
  // `tables`: memory for speed.
  IndexMap(const GridOperation& g, const Shape& s, bool tables) : shape_(s), rotation_(g.rotation) {
    const std::array<std::int32_t, 3> n{s.a, s.b, s.c};
    for (std::size_t a = 0; a < 3; ++a) {
      std::int64_t lowest = g.shift[a];
      for (std::size_t b = 0; b < 3; ++b) {
        // Only the remainder of an entry matters; the one nearest to zero keeps the products small.
        std::int32_t& entry = rotation_[a][b];
        entry %= n[a];
        if (2 * entry > n[a]) entry -= n[a];
        if (2 * entry < -n[a]) entry += n[a];
        if (entry < 0) lowest += static_cast<std::int64_t>(entry) * (n[b] - 1);
      }
      const std::int64_t turns = lowest < 0 ? (-lowest + n[a] - 1) / n[a] : -(lowest / n[a]);
      shift_[a] = static_cast<std::int32_t>(g.shift[a] + turns * n[a]);
      inverse_[a] = 1.0 / n[a];
    }
    if (tables) tabulate(n);
  }

  std::size_t operator()(std::int32_t i, std::int32_t j, std::int32_t k) const {
    return static_cast<std::size_t>(
        shape_.index(row(0, shape_.a, i, j, k), row(1, shape_.b, i, j, k), row(2, shape_.c, i, j, k)));
  }

  // Where every index moves one axis of the image alone (all but the hexagonal family), the image's position
  // is a sum of one number for each index: those of the first axis, then of the second and third. Else empty.
  const std::vector<std::int32_t>& table() const { return table_; }

 private:
  std::int32_t row(std::size_t a, std::int32_t n, std::int32_t i, std::int32_t j, std::int32_t k) const {
    const std::int32_t v = rotation_[a][0] * i + rotation_[a][1] * j + rotation_[a][2] * k + shift_[a];
    // (v + 1/2) / n is at least 1/(2n) away from an integer, far more than the rounding of the product.
    return v - n * static_cast<std::int32_t>((v + 0.5) * inverse_[a]);
  }

  void tabulate(const std::array<std::int32_t, 3>& n) {
    std::array<std::size_t, 3> target{};
    for (std::size_t b = 0; b < 3; ++b) {
      int uses = 0;
      for (std::size_t a = 0; a < 3; ++a)
        if (rotation_[a][b] != 0) ++uses, target[b] = a;
      if (uses != 1) return;
    }
    if (target[0] == target[1] || target[0] == target[2] || target[1] == target[2]) return;
    const std::array<std::int32_t, 3> stride{shape_.b * shape_.c, shape_.c, 1};
    for (std::size_t b = 0; b < 3; ++b) {
      const std::size_t a = target[b];
      for (std::int32_t i = 0; i < n[b]; ++i) {
        std::int32_t v = (rotation_[a][b] * i + shift_[a]) % n[a];
        if (v < 0) v += n[a];
        table_.push_back(v * stride[a]);
      }
    }
  }

  Shape shape_;
  std::vector<std::int32_t> table_;
  std::array<std::array<std::int32_t, 3>, 3> rotation_;
  std::array<std::int32_t, 3> shift_{};
  std::array<double, 3> inverse_{};
};

// Every image of a point of the grid.
class Images {
 public:
  Images(const std::vector<GridOperation>& operations, const Shape& s) : shape_(s) {
    constexpr std::size_t kMostTables = 1024;  // a few kB each; supercells have 10^5 operations
    std::vector<IndexMap> tabulated;
    for (const GridOperation& g : operations) {
      IndexMap map(g, s, operations.size() <= kMostTables);
      (map.table().empty() ? others_ : tabulated).push_back(std::move(map));
    }
    if (tabulated.empty()) return;
    stride_ = (tabulated.size() + kStep - 1) / kStep * kStep;
    while (tabulated.size() < stride_) tabulated.push_back(tabulated.back());
    columns_.resize(static_cast<std::size_t>(s.a + s.b + s.c) * stride_);
    for (std::size_t o = 0; o < stride_; ++o) {
      const std::vector<std::int32_t>& table = tabulated[o].table();
      for (std::size_t i = 0; i < table.size(); ++i) columns_[i * stride_ + o] = table[i];
    }
  }

  // Sets the orbit of the point's images to `id`.
  void mark(std::int32_t i, std::int32_t j, std::int32_t k, std::int32_t id, OrbitMap& orbit) const {
    const auto column = [this](std::int32_t at) {
      return columns_.data() + static_cast<std::size_t>(at) * stride_;
    };
    const std::int32_t *x = column(i), *y = column(shape_.a + j), *z = column(shape_.a + shape_.b + k);
    for (std::size_t o = 0; o < stride_; o += kStep) {
      std::array<std::int32_t, kStep> image;
      for (std::size_t l = 0; l < kStep; ++l) image[l] = x[o + l] + y[o + l] + z[o + l];
      for (const std::int32_t at : image) orbit.set(static_cast<std::size_t>(at), id);
    }
    for (const IndexMap& map : others_) orbit.set(map(i, j, k), id);
  }

 private:
  static constexpr std::size_t kStep = 8;  // operations at once; the last one is repeated
  Shape shape_;
  std::size_t stride_ = 0;
  std::vector<std::int32_t> columns_;  // by index along the three axes, then by operation
  std::vector<IndexMap> others_;
};

// Block edge in points along each axis, so that a block holds at most kGathered and is about as wide as
// high.
std::array<std::int32_t, 3> block_shape(const Lattice& lattice, const Shape& s) {
  const std::array<double, 3> step{norm(lattice.cell()[0]) / s.a, norm(lattice.cell()[1]) / s.b,
                                   norm(lattice.cell()[2]) / s.c};
  const std::array<std::int32_t, 3> n{s.a, s.b, s.c};
  std::array<std::int32_t, 3> block{1, 1, 1};
  while (true) {
    int best = -1;
    for (int k = 0; k < 3; ++k) {
      const auto i = static_cast<std::size_t>(k);
      const std::int32_t grown = block[0] * block[1] * block[2] / block[i] * (2 * block[i]);
      if (block[i] >= n[i] || grown > static_cast<std::int32_t>(kGathered)) continue;
      if (best < 0 ||
          block[i] * step[i] < block[static_cast<std::size_t>(best)] * step[static_cast<std::size_t>(best)])
        best = k;
    }
    if (best < 0) return block;
    block[static_cast<std::size_t>(best)] *= 2;
  }
}

// Calls each(i, j, k) for the points of a block from `low` to below `high`, in cubes of cubes: consecutive
// points make compact groups and tiles.
template <std::int32_t Edge, class Each>
void each_by_cubes(const Int3& low, const Int3& high, Each&& each) {
  if constexpr (Edge == 1) {
    each(low.x, low.y, low.z);
  } else {
    constexpr std::int32_t kStep = Edge / 2;
    for (std::int32_t i = low.x; i < std::min(low.x + Edge, high.x); i += kStep)
      for (std::int32_t j = low.y; j < std::min(low.y + Edge, high.y); j += kStep)
        for (std::int32_t k = low.z; k < std::min(low.z + Edge, high.z); k += kStep)
          each_by_cubes<kStep>({i, j, k}, high, each);
  }
}

// Walks the grid block by block (each axis to and fro, so that consecutive blocks touch) and keeps the first
// point met of each orbit. `orbit`, the grid's own memory, receives for every point the position of its
// orbit's representative in `points`; with one operation it is left alone.
Tiles make_tiles(const Lattice& lattice, const Shape& s, const std::vector<GridOperation>& operations,
                 OrbitMap orbit) {
  const bool symmetric = operations.size() > 1;
  const Images images(symmetric ? operations : std::vector<GridOperation>{}, s);
  const std::array<std::int32_t, 3> block = block_shape(lattice, s);
  const std::array<std::int32_t, 3> count{(s.a + block[0] - 1) / block[0], (s.b + block[1] - 1) / block[1],
                                          (s.c + block[2] - 1) / block[2]};
  Tiles tiles;
  if (symmetric)
    for (std::size_t i = 0; i < s.size(); ++i) orbit.set(i, -1);
  tiles.points.reserve(symmetric ? s.size() / operations.size() * 5 / 4 + kGathered : s.size());
  std::int32_t blocks_in_tile = 0;
  for (std::int32_t u = 0; u < count[0]; ++u)
    for (std::int32_t vv = 0; vv < count[1]; ++vv) {
      poll_interrupt();
      const std::int32_t v = u % 2 == 0 ? vv : count[1] - 1 - vv;
      for (std::int32_t ww = 0; ww < count[2]; ++ww) {
        const std::int32_t w = (u * count[1] + vv) % 2 == 0 ? ww : count[2] - 1 - ww;
        const std::size_t before = tiles.points.size();
        const std::int32_t i1 = std::min(s.a, (u + 1) * block[0]), j1 = std::min(s.b, (v + 1) * block[1]),
                           k1 = std::min(s.c, (w + 1) * block[2]);
        each_by_cubes<kGathered>({u * block[0], v * block[1], w * block[2]}, {i1, j1, k1},
                                 [&](std::int32_t i, std::int32_t j, std::int32_t k) {
                                   const std::int32_t index = s.index(i, j, k);
                                   if (symmetric) {
                                     if (orbit.get(static_cast<std::size_t>(index)) >= 0) return;
                                     const auto id = static_cast<std::int32_t>(tiles.points.size());
                                     images.mark(i, j, k, id, orbit);
                                     orbit.set(static_cast<std::size_t>(index), id);
                                   }
                                   tiles.points.push_back(index);
                                 });
        if (tiles.points.size() == before) continue;
        // A new tile starts unless the block's points still fit and the tile would span at most two blocks.
        if (before > tiles.start.back() &&
            (tiles.points.size() - tiles.start.back() > kGathered || blocks_in_tile >= 2)) {
          tiles.start.push_back(before);
          blocks_in_tile = 0;
        }
        ++blocks_in_tile;
      }
    }
  tiles.start.push_back(tiles.points.size());
  return tiles;
}

// Cartesian steps of each index along its axis, and the indices of a point without divisions.
class GridPoints {
 public:
  GridPoints(const Lattice& lattice, const Shape& s) : s_(s), inverse_b_(1.0 / s.b), inverse_c_(1.0 / s.c) {
    const std::array<std::int32_t, 3> n{s.a, s.b, s.c};
    for (int axis = 0; axis < 3; ++axis) {
      const auto k = static_cast<std::size_t>(axis);
      along_[k].reserve(static_cast<std::size_t>(n[k]));
      for (std::int32_t i = 0; i < n[k]; ++i)
        along_[k].push_back((static_cast<double>(i) / n[k]) * lattice.cell()[axis]);
    }
  }
  Int3 indices(std::int32_t point) const {
    // (v + 1/2) / n is at least 1/(2n) away from an integer, far more than the rounding of the product.
    const auto rest = static_cast<std::int32_t>((point + 0.5) * inverse_c_);
    const auto i = static_cast<std::int32_t>((rest + 0.5) * inverse_b_);
    return {i, rest - i * s_.b, point - rest * s_.c};
  }
  Vec3 cart(const Int3& at) const {
    return along_[0][static_cast<std::size_t>(at.x)] + along_[1][static_cast<std::size_t>(at.y)] +
           along_[2][static_cast<std::size_t>(at.z)];
  }

 private:
  Shape s_;
  double inverse_b_, inverse_c_;
  std::array<std::vector<Vec3>, 3> along_;
};

// Per-thread buffers: neighbours of one tile by term, relative to the tile's centre.
struct Scratch {
  std::vector<Neighbors> by_term;
  std::array<std::array<double, kGathered>, 3> cart;
  PointGroups points;
  std::array<float, kGathered> energy;
};

void fill_tile(const TileSum& sum, const GridPoints& grid, const std::int32_t* indices, std::size_t n,
               Scratch& scratch, float* out) {
  const auto constant = static_cast<float>(sum.constant);
  auto& cart = scratch.cart;
  for (std::size_t p = 0; p < n; ++p) {
    const Int3 at = grid.indices(indices[p]);
    const Vec3 r = grid.cart(at);
    cart[0][p] = r.x, cart[1][p] = r.y, cart[2][p] = r.z;
    scratch.energy[p] = sum.far != nullptr ? constant + sum.far->at(at, indices[p]) : constant;
  }
  PointGroups& points = scratch.points;
  points.count = (n + kMostLanes - 1) / kMostLanes * kMostLanes;
  for (std::size_t p = n; p < points.count; ++p) {
    for (auto& axis : cart) axis[p] = axis[n - 1];
    scratch.energy[p] = 0.0f;
  }
  Vec3 center;
  std::array<float*, 3> relative{points.x.data(), points.y.data(), points.z.data()};
  for (std::size_t a = 0; a < 3; ++a) {
    const auto ends = std::minmax_element(cart[a].data(), cart[a].data() + n);
    const double middle = 0.5 * (*ends.first + *ends.second);
    for (std::size_t p = 0; p < points.count; ++p) relative[a][p] = static_cast<float>(cart[a][p] - middle);
    center[static_cast<int>(a)] = middle;
  }
  const float reach = enclose(points);
  sum.images.gather(center, static_cast<double>(reach), scratch.by_term);
  for (std::size_t k = 0; k < sum.terms.size(); ++k) {
    const KernelTerm& term = sum.terms[k];
    if (term.add != nullptr) term.add(term, scratch.by_term[k], points, scratch.energy.data());
  }
  const auto ceiling =
      sum.ceiling ? static_cast<float>(BvseField::kMaxEnergy) : std::numeric_limits<float>::max();
  for (std::size_t p = 0; p < n; ++p) out[p] = std::min(scratch.energy[p], ceiling);
}

}  // namespace

void fill_grid(const TileSum& sum, const Int3& shape, const std::vector<GridOperation>& operations,
               int num_threads, float* values) {
  const Shape s{shape.x, shape.y, shape.z};
  if (s.a < 1 || s.b < 1 || s.c < 1 || static_cast<double>(s.a) * s.b * s.c > 2147483647.0) {
    throw InvalidInput("the grid's shape must be positive and hold at most 2^31 - 1 points, not (" +
                       std::to_string(s.a) + ", " + std::to_string(s.b) + ", " + std::to_string(s.c) + ")");
  }
  OrbitMap orbit(values);
  const Tiles tiles = make_tiles(sum.lattice, s, operations, orbit);
  // A tile takes some 80 microseconds: fewer than this many a thread do not pay for waking it, least of all
  // on a busy machine, where the last thread to be scheduled sets the time.
  constexpr std::size_t kTilesPerThread = 8;
  const std::size_t tile_count = tiles.start.size() - 1;
  const int threads = std::clamp(static_cast<int>(tile_count / kTilesPerThread), 1, std::max(1, num_threads));
  std::vector<Scratch> scratch(static_cast<std::size_t>(threads));
  for (Scratch& t : scratch) t.by_term.resize(sum.terms.size());
  std::vector<float> energy(tiles.points.size());
  const GridPoints grid(sum.lattice, s);
  parallel_for(tile_count, threads, [&](std::size_t t, int thread) {
    const std::size_t first = tiles.start[t];
    fill_tile(sum, grid, tiles.points.data() + first, tiles.start[t + 1] - first,
              scratch[static_cast<std::size_t>(thread)], energy.data() + first);
  });
  if (operations.size() > 1) {
    for (std::size_t i = 0; i < s.size(); ++i) values[i] = energy[static_cast<std::size_t>(orbit.get(i))];
  } else {
    for (std::size_t i = 0; i < energy.size(); ++i) values[tiles.points[i]] = energy[i];
  }
}

}  // namespace fastin::bvse
