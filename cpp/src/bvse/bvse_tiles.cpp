// Grids: the points of one asymmetric part, in compact tiles, each summed over its neighbours by the SIMD
// kernels.
#include "bvse_tiles.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"
#include "grid_orbits.hpp"

namespace fastin::bvse {
namespace {

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
  constexpr double kFar = std::numeric_limits<double>::infinity();
  Vec3 low{kFar, kFar, kFar}, high{-kFar, -kFar, -kFar};
  for (std::size_t p = 0; p < n; ++p) {
    const Int3 at = grid.indices(indices[p]);
    const Vec3 r = grid.cart(at);
    cart[0][p] = r.x, cart[1][p] = r.y, cart[2][p] = r.z;
    low.x = r.x < low.x ? r.x : low.x, high.x = r.x > high.x ? r.x : high.x;
    low.y = r.y < low.y ? r.y : low.y, high.y = r.y > high.y ? r.y : high.y;
    low.z = r.z < low.z ? r.z : low.z, high.z = r.z > high.z ? r.z : high.z;
    scratch.energy[p] = sum.far != nullptr ? constant + sum.far->at(at) : constant;
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
    const double middle = 0.5 * (low[static_cast<int>(a)] + high[static_cast<int>(a)]);
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

// Energies of the points of tiles, in their order.
std::vector<float> tile_energies(const TileSum& sum, const Shape& s, const Tiles& tiles, int num_threads) {
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
  return energy;
}

// The box repeated through the grid.
void repeat_box(const float* box_values, const Shape& box, const Shape& s, int num_threads, float* values) {
  const auto rows = static_cast<std::size_t>(s.a) * static_cast<std::size_t>(s.b);
  const auto row = static_cast<std::size_t>(s.c), piece = static_cast<std::size_t>(box.c);
  parallel_blocks(rows, num_threads, 64, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t r = begin; r < end; ++r) {
      const std::size_t i = r / static_cast<std::size_t>(s.b) % static_cast<std::size_t>(box.a),
                        j = r % static_cast<std::size_t>(s.b) % static_cast<std::size_t>(box.b);
      const float* from = box_values + (i * static_cast<std::size_t>(box.b) + j) * piece;
      for (std::size_t k = 0; k < row; k += piece) std::copy(from, from + piece, values + r * row + k);
    }
  });
}

}  // namespace

void fill_grid(const TileSum& sum, const Int3& shape, const std::vector<GridOperation>& operations,
               int num_threads, float* values) {
  const Shape s{shape.x, shape.y, shape.z};
  if (s.a < 1 || s.b < 1 || s.c < 1 || static_cast<double>(s.a) * s.b * s.c > 2147483647.0) {
    throw InvalidInput("the grid's shape must be positive and hold at most 2^31 - 1 points, not (" +
                       std::to_string(s.a) + ", " + std::to_string(s.b) + ", " + std::to_string(s.c) + ")");
  }
  if (operations.size() < 2) {
    const Tiles tiles = every_point(sum.lattice, s);
    const std::vector<float> energy = tile_energies(sum, s, tiles, num_threads);
    parallel_blocks(energy.size(), num_threads, std::size_t{1} << 16,
                    [&](std::size_t begin, std::size_t end, int) {
                      for (std::size_t i = begin; i < end; ++i) values[tiles.points[i]] = energy[i];
                    });
    return;
  }
  const Shape box = smallest_box(s, operations);
  if (box.size() == s.size()) {
    const Tiles tiles = orbit_tiles(sum.lattice, s, operations, num_threads, values);
    energies_of_orbits(tile_energies(sum, s, tiles, num_threads), s.size(), num_threads, values);
    return;
  }
  // Points of a supercell: those of one box, repeated.
  const std::unique_ptr<float[]> of_box(new float[box.size()]);  // orbit_tiles writes all of it
  Mat3 cell = sum.lattice.cell();
  const std::array<double, 3> share{static_cast<double>(box.a) / s.a, static_cast<double>(box.b) / s.b,
                                    static_cast<double>(box.c) / s.c};
  for (std::size_t k = 0; k < 3; ++k) cell[static_cast<int>(k)] = share[k] * cell[static_cast<int>(k)];
  Tiles tiles =
      orbit_tiles(Lattice(cell), box, operations_of_box(box, operations), num_threads, of_box.get());
  constexpr std::size_t kMoved = std::size_t{1} << 14;  // points that a thread takes at once
  parallel_blocks(tiles.points.size(), num_threads, kMoved, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t p = begin; p < end; ++p) {
      const std::int32_t point = tiles.points[p];
      const std::int32_t k = point % box.c, row = point / box.c, j = row % box.b, i = row / box.b;
      tiles.points[p] = s.index(i, j, k);
    }
  });
  energies_of_orbits(tile_energies(sum, s, tiles, num_threads), box.size(), num_threads, of_box.get());
  repeat_box(of_box.get(), box, s, num_threads, values);
}

}  // namespace fastin::bvse
