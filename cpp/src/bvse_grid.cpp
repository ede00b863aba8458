// Grids: the points of one asymmetric part, in compact tiles, each summed over its neighbours by the SIMD
// kernels.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "bvse_impl.hpp"
#include "bvse_kernels.hpp"
#include "fastin/error.hpp"
#include "fastin/parallel.hpp"

namespace fastin {
namespace {

using bvse::kTilePoints;

// Grid indices of the points to compute, cut into tiles of at most kTilePoints that lie close together.
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

inline std::int32_t modulo(std::int32_t v, std::int32_t n) {
  v %= n;
  return v < 0 ? v + n : v;
}

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

// Index of the image of (i, j, k) under the operation.
inline std::size_t image_index(const GridOperation& g, const Shape& s, std::int32_t i, std::int32_t j,
                               std::int32_t k) {
  const auto row = [&](std::size_t a, std::int32_t n) {
    return modulo(g.rotation[a][0] * i + g.rotation[a][1] * j + g.rotation[a][2] * k + g.shift[a], n);
  };
  return static_cast<std::size_t>(s.index(row(0, s.a), row(1, s.b), row(2, s.c)));
}

// Block edge in points along each axis, so that a block holds at most kTilePoints and is about as wide as
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
      if (block[i] >= n[i] || grown > static_cast<std::int32_t>(kTilePoints)) continue;
      if (best < 0 ||
          block[i] * step[i] < block[static_cast<std::size_t>(best)] * step[static_cast<std::size_t>(best)])
        best = k;
    }
    if (best < 0) return block;
    block[static_cast<std::size_t>(best)] *= 2;
  }
}

// Walks the grid block by block (each axis to and fro, so that consecutive blocks touch) and keeps the first
// point met of each orbit. `orbit`, the grid's own memory, receives for every point the position of its
// orbit's representative in `points`; with one operation it is left alone.
Tiles make_tiles(const Lattice& lattice, const Shape& s, const std::vector<GridOperation>& operations,
                 OrbitMap orbit) {
  const bool symmetric = operations.size() > 1;
  const std::array<std::int32_t, 3> block = block_shape(lattice, s);
  const std::array<std::int32_t, 3> count{(s.a + block[0] - 1) / block[0], (s.b + block[1] - 1) / block[1],
                                          (s.c + block[2] - 1) / block[2]};
  Tiles tiles;
  if (symmetric)
    for (std::size_t i = 0; i < s.size(); ++i) orbit.set(i, -1);
  tiles.points.reserve(symmetric ? s.size() / operations.size() * 5 / 4 + kTilePoints : s.size());
  std::int32_t blocks_in_tile = 0;
  for (std::int32_t u = 0; u < count[0]; ++u)
    for (std::int32_t vv = 0; vv < count[1]; ++vv) {
      const std::int32_t v = u % 2 == 0 ? vv : count[1] - 1 - vv;
      for (std::int32_t ww = 0; ww < count[2]; ++ww) {
        const std::int32_t w = (u * count[1] + vv) % 2 == 0 ? ww : count[2] - 1 - ww;
        const std::size_t before = tiles.points.size();
        const std::int32_t i1 = std::min(s.a, (u + 1) * block[0]), j1 = std::min(s.b, (v + 1) * block[1]),
                           k1 = std::min(s.c, (w + 1) * block[2]);
        for (std::int32_t i = u * block[0]; i < i1; ++i)
          for (std::int32_t j = v * block[1]; j < j1; ++j)
            for (std::int32_t k = w * block[2]; k < k1; ++k) {
              const std::int32_t index = s.index(i, j, k);
              if (symmetric) {
                if (orbit.get(static_cast<std::size_t>(index)) >= 0) continue;
                const auto id = static_cast<std::int32_t>(tiles.points.size());
                for (const GridOperation& g : operations) orbit.set(image_index(g, s, i, j, k), id);
                orbit.set(static_cast<std::size_t>(index), id);
              }
              tiles.points.push_back(index);
            }
        if (tiles.points.size() == before) continue;
        // A new tile starts unless the block's points still fit and the tile would span at most two blocks.
        if (before > tiles.start.back() &&
            (tiles.points.size() - tiles.start.back() > kTilePoints || blocks_in_tile >= 2)) {
          tiles.start.push_back(before);
          blocks_in_tile = 0;
        }
        ++blocks_in_tile;
      }
    }
  tiles.start.push_back(tiles.points.size());
  return tiles;
}

// Per-thread buffers: neighbours of one tile by term, relative to the tile's centre.
struct Scratch {
  std::vector<bvse::Neighbors> by_term;
  std::array<float, kTilePoints> x, y, z, energy;
};

void fill_tile(const Lattice& lattice, double tail, const std::vector<bvse::WindowedTerm>& terms,
               const bvse::ImageBins& images, const Shape& s, const std::int32_t* points, std::size_t n,
               Scratch& scratch, float* out) {
  std::array<Vec3, kTilePoints> cart;
  Vec3 low, high;
  for (std::size_t p = 0; p < n; ++p) {
    const std::int32_t k = points[p] % s.c, rest = points[p] / s.c;
    cart[p] = lattice.to_cart({static_cast<double>(rest / s.b) / s.a, static_cast<double>(rest % s.b) / s.b,
                               static_cast<double>(k) / s.c});
    for (int a = 0; a < 3; ++a) {
      low[a] = p == 0 ? cart[p][a] : std::min(low[a], cart[p][a]);
      high[a] = p == 0 ? cart[p][a] : std::max(high[a], cart[p][a]);
    }
  }
  const Vec3 center = 0.5 * (low + high);
  double reach = 0.0;
  for (std::size_t p = 0; p < n; ++p) reach = std::max(reach, norm(cart[p] - center));
  const std::size_t padded = (n + bvse::kLanes - 1) / bvse::kLanes * bvse::kLanes;
  for (std::size_t p = 0; p < padded; ++p) {
    const Vec3 d = cart[std::min(p, n - 1)] - center;
    scratch.x[p] = static_cast<float>(d.x);
    scratch.y[p] = static_cast<float>(d.y);
    scratch.z[p] = static_cast<float>(d.z);
    scratch.energy[p] = static_cast<float>(tail);
  }
  for (bvse::Neighbors& list : scratch.by_term) list.clear();
  images.near(center, reach, [&](std::size_t k, const Vec3& d, double weight, double) {
    scratch.by_term[k].push(d, weight * terms[k].pair.amplitude);
  });
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const auto kernel = terms[k].pair.coulomb ? bvse::add_coulomb : bvse::add_morse;
    kernel(bvse::kernel_term(terms[k]), scratch.by_term[k], scratch.x.data(), scratch.y.data(),
           scratch.z.data(), padded, scratch.energy.data());
  }
  constexpr auto kCeiling = static_cast<float>(BvseField::kMaxEnergy);
  for (std::size_t p = 0; p < n; ++p) out[p] = std::min(scratch.energy[p], kCeiling);
}

}  // namespace

void BvseField::grid(const Int3& shape, const std::vector<GridOperation>& operations, int num_threads,
                     float* values) const {
  const Shape s{shape.x, shape.y, shape.z};
  if (s.a < 1 || s.b < 1 || s.c < 1 || static_cast<double>(s.a) * s.b * s.c > 2147483647.0) {
    throw InvalidInput("the grid's shape must be positive and hold at most 2^31 - 1 points, not (" +
                       std::to_string(s.a) + ", " + std::to_string(s.b) + ", " + std::to_string(s.c) + ")");
  }
  OrbitMap orbit(values);
  const Tiles tiles = make_tiles(impl_->lattice, s, operations, orbit);
  std::vector<Scratch> scratch(static_cast<std::size_t>(std::max(1, num_threads)));
  for (Scratch& t : scratch) t.by_term.resize(impl_->terms.size());
  std::vector<float> energy(tiles.points.size());
  parallel_for(tiles.start.size() - 1, num_threads, [&](std::size_t t, int thread) {
    const std::size_t first = tiles.start[t];
    fill_tile(impl_->lattice, impl_->tail_energy, impl_->terms, impl_->images, s, tiles.points.data() + first,
              tiles.start[t + 1] - first, scratch[static_cast<std::size_t>(thread)], energy.data() + first);
  });
  if (operations.size() > 1) {
    for (std::size_t i = 0; i < s.size(); ++i) values[i] = energy[static_cast<std::size_t>(orbit.get(i))];
  } else {
    for (std::size_t i = 0; i < energy.size(); ++i) values[tiles.points[i]] = energy[i];
  }
}

}  // namespace fastin
