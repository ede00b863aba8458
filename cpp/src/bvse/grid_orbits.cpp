#include "grid_orbits.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

#include "bvse_kernels.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/base/parallel.hpp"

namespace fastin::bvse {
namespace {

bool before(const GridOperation& x, const GridOperation& y) {
  return std::tie(x.rotation, x.shift) < std::tie(y.rotation, y.shift);
}

constexpr std::size_t kCopied = std::size_t{1} << 16;  // points that a thread takes at once

// For every point of the grid the number of its orbit, kept in the memory of the grid's energies; below zero
// where it has none yet.
class OrbitMap {
 public:
  explicit OrbitMap(float* values) : values_(values) {}
  std::int32_t get(std::size_t i) const {
    std::int32_t id;
    std::memcpy(&id, values_ + i, sizeof id);
    return id;
  }
  void set(std::size_t i, std::int32_t id) { std::memcpy(values_ + i, &id, sizeof id); }

  // What several threads may do at once.
  std::int32_t peek(std::size_t i) const { return shared(i).load(std::memory_order_relaxed); }
  void lower(std::size_t i, std::int32_t id) const {
    std::atomic<std::int32_t>& here = shared(i);
    std::int32_t held = here.load(std::memory_order_relaxed);
    while (id < held && !here.compare_exchange_weak(held, id, std::memory_order_relaxed)) {
    }
  }

 private:
  static_assert(sizeof(float) == sizeof(std::atomic<std::int32_t>), "a number must fit into an energy");
  std::atomic<std::int32_t>& shared(std::size_t i) const {
    return *reinterpret_cast<std::atomic<std::int32_t>*>(values_ + i);
  }
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
    count_ = tabulated.size();
    stride_ = (count_ + kStep - 1) / kStep * kStep;
    while (tabulated.size() < stride_) tabulated.push_back(tabulated.back());
    columns_.resize(static_cast<std::size_t>(s.a + s.b + s.c) * stride_);
    for (std::size_t o = 0; o < stride_; ++o) {
      const std::vector<std::int32_t>& table = tabulated[o].table();
      for (std::size_t i = 0; i < table.size(); ++i) columns_[i * stride_ + o] = table[i];
    }
  }

  // Sets the orbit of the point's images to `id`.
  void mark(const Int3& at, std::int32_t id, OrbitMap& orbit) const {
    std::size_t left = count_;
    steps(at, [&](const std::array<std::int32_t, kStep>& image) {
      if (left >= kStep) {
        for (const std::int32_t i : image) orbit.set(static_cast<std::size_t>(i), id);
        left -= kStep;
      } else {
        for (std::size_t l = 0; l < left; ++l) orbit.set(static_cast<std::size_t>(image[l]), id);
      }
    });
    for (const IndexMap& map : others_) orbit.set(map(at.x, at.y, at.z), id);
  }

  // The first of the point's images, itself among them: the same for every point of the orbit.
  std::int32_t first(const Int3& at) const {
    std::array<std::int32_t, kStep> low;
    low.fill(shape_.index(at.x, at.y, at.z));
    steps(at, [&](const std::array<std::int32_t, kStep>& image) {
      for (std::size_t l = 0; l < kStep; ++l) low[l] = low[l] < image[l] ? low[l] : image[l];
    });
    std::int32_t found = *std::min_element(low.begin(), low.end());
    for (const IndexMap& map : others_)
      found = std::min(found, static_cast<std::int32_t>(map(at.x, at.y, at.z)));
    return found;
  }

 private:
  // Calls each() with the images by the tabulated operations, kStep at a time.
  template <class Each>
  void steps(const Int3& at, Each&& each) const {
    const auto column = [this](std::int32_t i) {
      return columns_.data() + static_cast<std::size_t>(i) * stride_;
    };
    const std::int32_t *x = column(at.x), *y = column(shape_.a + at.y),
                       *z = column(shape_.a + shape_.b + at.z);
    std::array<std::int32_t, kStep> image;
    for (std::size_t o = 0; o < stride_; o += kStep) {
      for (std::size_t l = 0; l < kStep; ++l) image[l] = x[o + l] + y[o + l] + z[o + l];
      each(image);
    }
  }

  static constexpr std::size_t kStep = 8;  // operations at once; the last one is repeated
  Shape shape_;
  std::size_t count_ = 0, stride_ = 0;  // tabulated operations, and their number in the tables
  std::vector<std::int32_t> columns_;   // by index along the three axes, then by operation
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

// The walk over the grid, block by block, each axis to and fro, so that consecutive blocks touch.
class Walk {
 public:
  Walk(const Shape& s, const std::array<std::int32_t, 3>& block) : s_(s), block_(block) {
    const std::array<std::int32_t, 3> n{s.a, s.b, s.c};
    for (std::size_t k = 0; k < 3; ++k) count_[k] = (n[k] + block[k] - 1) / block[k];
    each_by_cubes<kGathered>(
        {0, 0, 0}, {block[0], block[1], block[2]},
        [&](std::int32_t i, std::int32_t j, std::int32_t k) { whole_.push_back({i, j, k}); });
  }
  std::size_t blocks() const {
    return static_cast<std::size_t>(count_[0]) * static_cast<std::size_t>(count_[1]) *
           static_cast<std::size_t>(count_[2]);
  }
  // Calls each(point) for the points of a block.
  template <class Each>
  void points(std::size_t number, Each&& each) const {
    const auto at = static_cast<std::int32_t>(number);
    const std::int32_t row = at / count_[2], ww = at % count_[2], u = row / count_[1], vv = row % count_[1];
    const std::int32_t v = u % 2 == 0 ? vv : count_[1] - 1 - vv, w = row % 2 == 0 ? ww : count_[2] - 1 - ww;
    const Int3 low{u * block_[0], v * block_[1], w * block_[2]};
    const Int3 high{std::min(s_.a, low.x + block_[0]), std::min(s_.b, low.y + block_[1]),
                    std::min(s_.c, low.z + block_[2])};
    if (high == low + Int3{block_[0], block_[1], block_[2]}) {
      for (const Int3& step : whole_) each(low + step);
      return;
    }
    each_by_cubes<kGathered>(low, high,
                             [&](std::int32_t i, std::int32_t j, std::int32_t k) { each(Int3{i, j, k}); });
  }

 private:
  Shape s_;
  std::array<std::int32_t, 3> block_, count_{};
  std::vector<Int3> whole_;  // the points of a block that no edge cuts
};

// The points to compute, cut into tiles block by block.
class TileList {
 public:
  explicit TileList(std::size_t expected) { tiles_.points.reserve(expected); }
  std::vector<std::int32_t>& points() { return tiles_.points; }
  std::int32_t size() const { return static_cast<std::int32_t>(tiles_.points.size()); }
  // A block's points follow from here: a new tile starts unless they still fit and the tile would span at
  // most two blocks.
  void end_block(std::size_t before) {
    if (tiles_.points.size() == before) return;
    if (before > tiles_.start.back() &&
        (tiles_.points.size() - tiles_.start.back() > kGathered || blocks_in_tile_ >= 2)) {
      tiles_.start.push_back(before);
      blocks_in_tile_ = 0;
    }
    ++blocks_in_tile_;
  }
  Tiles finish() {
    tiles_.start.push_back(tiles_.points.size());
    return std::move(tiles_);
  }

 private:
  Tiles tiles_;
  int blocks_in_tile_ = 0;
};

// Whether sorted operations of the box hold all their products. Operations that atoms obey within a tolerance
// need not.
bool is_group(const Shape& s, const std::vector<GridOperation>& sorted) {
  const std::array<std::int32_t, 3> n{s.a, s.b, s.c};
  const auto product = [&n](const GridOperation& x, const GridOperation& y) {
    GridOperation out;
    for (std::size_t a = 0; a < 3; ++a) {
      std::int64_t shift = x.shift[a];
      for (std::size_t b = 0; b < 3; ++b) {
        std::int64_t entry = 0;
        for (std::size_t k = 0; k < 3; ++k)
          entry += static_cast<std::int64_t>(x.rotation[a][k]) * y.rotation[k][b];
        out.rotation[a][b] = static_cast<std::int32_t>(entry % n[a]);
        shift += static_cast<std::int64_t>(x.rotation[a][b]) * y.shift[b];
      }
      out.shift[a] = static_cast<std::int32_t>(shift % n[a]);
    }
    return out;
  };
  const auto number = [&](const GridOperation& g) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), g, before);
    return at != sorted.end() && !before(g, *at) ? static_cast<std::size_t>(at - sorted.begin())
                                                 : sorted.size();
  };
  GridOperation one;
  for (std::size_t a = 0; a < 3; ++a) one.rotation[a][a] = 1 % n[a];
  const std::size_t identity = number(one);
  if (identity == sorted.size()) return false;
  // Products with generators, found one after the other, reach the whole group.
  std::vector<std::uint8_t> seen(sorted.size(), 0);
  std::vector<std::size_t> reached{identity}, generators;
  seen[identity] = 1;
  for (std::size_t g = 0; g < sorted.size(); ++g) {
    if (seen[g] != 0) continue;
    generators.push_back(g);
    for (std::size_t i = 0; i < reached.size(); ++i) {  // grows while it runs
      for (const std::size_t h : generators) {
        const std::size_t next = number(product(sorted[reached[i]], sorted[h]));
        if (next == sorted.size()) return false;
        if (seen[next] == 0) {
          seen[next] = 1;
          reached.push_back(next);
        }
      }
    }
  }
  return true;
}

// The first point of every orbit on the walk, by several threads: batches of blocks, in each of which the
// orbits that are new compete at their first point. The result is that of one thread going alone.
void shared_walk(const Walk& walk, const Shape& s, const Images& images, int num_threads, OrbitMap orbit,
                 TileList* list) {
  constexpr std::size_t kFewest = 64, kMost = 4096;  // blocks in a batch
  constexpr std::int32_t kLowest = std::numeric_limits<std::int32_t>::min();
  struct Candidate {
    Int3 at;
    std::int32_t first, claim, id;
  };
  std::vector<std::vector<Candidate>> found(kMost);
  std::size_t size = kFewest;
  for (std::size_t begin = 0; begin < walk.blocks();) {
    const std::size_t count = std::min(size, walk.blocks() - begin);
    parallel_for(
        count, num_threads,
        [&](std::size_t b, int) {
          std::vector<Candidate>& mine = found[b];
          mine.clear();
          // Claims are in the order of the walk and below every number of an orbit.
          std::int32_t claim = kLowest + static_cast<std::int32_t>(b * kGathered);
          walk.points(begin + b, [&](const Int3& at) {
            const auto index = static_cast<std::size_t>(s.index(at.x, at.y, at.z));
            if (orbit.peek(index) >= 0) return;
            mine.push_back({at, images.first(at), claim++, -1});
            orbit.lower(static_cast<std::size_t>(mine.back().first), mine.back().claim);
          });
        },
        4);
    std::size_t candidates = 0;
    for (std::size_t b = 0; b < count; ++b) {
      const std::size_t before = list->points().size();
      for (Candidate& c : found[b]) {
        ++candidates;
        if (orbit.get(static_cast<std::size_t>(c.first)) != c.claim) continue;
        c.id = list->size();
        list->points().push_back(s.index(c.at.x, c.at.y, c.at.z));
      }
      list->end_block(before);
    }
    parallel_for(
        count, num_threads,
        [&](std::size_t b, int) {
          OrbitMap map = orbit;
          for (const Candidate& c : found[b]) {
            if (c.id < 0) continue;
            images.mark(c.at, c.id, map);
            map.set(static_cast<std::size_t>(s.index(c.at.x, c.at.y, c.at.z)), c.id);
          }
        },
        4);
    begin += count;
    if (4 * candidates < count * kGathered) size = std::min(2 * size, kMost);
  }
}

}  // namespace

Tiles every_point(const Lattice& lattice, const Shape& s) {
  const Walk walk(s, block_shape(lattice, s));
  TileList list(s.size());
  for (std::size_t b = 0; b < walk.blocks(); ++b) {
    if (b % 64 == 0) poll_interrupt();
    const std::size_t before = list.points().size();
    walk.points(b, [&](const Int3& at) { list.points().push_back(s.index(at.x, at.y, at.z)); });
    list.end_block(before);
  }
  return list.finish();
}

Tiles orbit_tiles(const Lattice& lattice, const Shape& s, const std::vector<GridOperation>& operations,
                  int num_threads, float* orbits) {
  constexpr std::size_t kWorthThreads = std::size_t{1} << 19;  // points
  constexpr std::size_t kMostTogether = 1024;                  // operations
  const Images images(operations, s);
  const Walk walk(s, block_shape(lattice, s));
  OrbitMap orbit(orbits);
  parallel_blocks(s.size(), num_threads, kCopied, [&](std::size_t begin, std::size_t end, int) {
    std::memset(orbits + begin, 0xff, (end - begin) * sizeof(float));  // -1
  });
  TileList list(s.size() / operations.size() * 5 / 4 + kGathered);
  if (num_threads > 1 && s.size() >= kWorthThreads && operations.size() <= kMostTogether &&
      is_group(s, operations_of_box(s, operations))) {
    shared_walk(walk, s, images, num_threads, orbit, &list);
    return list.finish();
  }
  for (std::size_t b = 0; b < walk.blocks(); ++b) {
    if (b % 64 == 0) poll_interrupt();
    const std::size_t before = list.points().size();
    walk.points(b, [&](const Int3& at) {
      const std::int32_t index = s.index(at.x, at.y, at.z);
      if (orbit.get(static_cast<std::size_t>(index)) >= 0) return;
      const std::int32_t id = list.size();
      images.mark(at, id, orbit);
      orbit.set(static_cast<std::size_t>(index), id);
      list.points().push_back(index);
    });
    list.end_block(before);
  }
  return list.finish();
}

void energies_of_orbits(const std::vector<float>& energy, std::size_t points, int num_threads,
                        float* orbits) {
  parallel_blocks(points, num_threads, kCopied, [&](std::size_t begin, std::size_t end, int) {
    const OrbitMap orbit(orbits);
    for (std::size_t i = begin; i < end; ++i) orbits[i] = energy[static_cast<std::size_t>(orbit.get(i))];
  });
}

Shape smallest_box(const Shape& s, const std::vector<GridOperation>& operations) {
  const std::array<std::int32_t, 3> n{s.a, s.b, s.c};
  std::array<std::int32_t, 3> box = n;
  const auto remainder = [](std::int64_t v, std::int32_t m) {
    return static_cast<std::int32_t>(((v % m) + m) % m);
  };
  for (const GridOperation& g : operations) {
    std::array<std::int32_t, 3> shift{};
    int moved = 0;
    std::size_t axis = 0;
    bool identity = true;
    for (std::size_t a = 0; a < 3; ++a) {
      shift[a] = remainder(g.shift[a], n[a]);
      if (shift[a] != 0) ++moved, axis = a;
      for (std::size_t b = 0; b < 3; ++b)
        identity &= remainder(g.rotation[a][b] - (a == b ? 1 : 0), n[a]) == 0;
    }
    if (identity && moved == 1) box[axis] = std::gcd(box[axis], shift[axis]);
  }
  // Every operation must map points a box apart to points that are boxes apart.
  for (const GridOperation& g : operations) {
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < 3; ++b)
        if (remainder(static_cast<std::int64_t>(g.rotation[a][b]) * box[b], box[a]) != 0) return s;
  }
  return {box[0], box[1], box[2]};
}

std::vector<GridOperation> operations_of_box(const Shape& box, const std::vector<GridOperation>& operations) {
  const std::array<std::int32_t, 3> n{box.a, box.b, box.c};
  std::vector<GridOperation> out = operations;
  for (GridOperation& g : out) {
    for (std::size_t a = 0; a < 3; ++a) {
      g.shift[a] = (g.shift[a] % n[a] + n[a]) % n[a];
      for (std::int32_t& entry : g.rotation[a]) entry = (entry % n[a] + n[a]) % n[a];
    }
  }
  std::sort(out.begin(), out.end(), before);
  const auto same = [](const GridOperation& x, const GridOperation& y) {
    return x.rotation == y.rotation && x.shift == y.shift;
  };
  out.erase(std::unique(out.begin(), out.end(), same), out.end());
  return out;
}

}  // namespace fastin::bvse
