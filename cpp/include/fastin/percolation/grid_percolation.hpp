// Exact minimax percolation on a periodic energy grid.
//
// Points join in the total order (energy, index). Only two kinds of points change the topology of the set
// below an energy: minima (no lower neighbour: a basin is born) and passes (the lower neighbours fall into
// two or more pieces that are not adjacent inside the 3x3x3 neighbourhood: pieces meet). Every other point
// falls to the basin of any lower neighbour. So the union-find runs over basins and passes alone, a few per
// cent of the points, and its levels equal those of a union-find over all points
// (tests/unit/test_percolation.py keeps that slow twin).
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "fastin/base/periodic_union_find.hpp"
#include "fastin/base/vec3.hpp"
#include "fastin/percolation/descent_steps.hpp"

namespace fastin {

// Periodic grid, C order; point (i, j, k) lies at frac (i / n[0], j / n[1], k / n[2]). The values are not
// owned.
struct GridView {
  GridView(const double* energies, const Int3& points) : values(energies), shape(points) {}
  // Single precision; energies of `closed` and more count as infinite.
  GridView(const float* energies, const Int3& points, float closed)
      : floats(energies), closed_from(closed), shape(points) {}

  const double* values = nullptr;
  const float* floats = nullptr;  // instead of values
  float closed_from = std::numeric_limits<float>::infinity();
  Int3 shape;

  std::size_t size() const {
    return static_cast<std::size_t>(shape.x) * static_cast<std::size_t>(shape.y) *
           static_cast<std::size_t>(shape.z);
  }
  double at(std::int32_t voxel) const {
    const auto i = static_cast<std::size_t>(voxel);
    if (floats == nullptr) return values[i];
    return floats[i] >= closed_from ? std::numeric_limits<double>::infinity()
                                    : static_cast<double>(floats[i]);
  }
  Int3 unravel(std::int32_t voxel) const {
    return {voxel / (shape.y * shape.z), (voxel / shape.z) % shape.y, voxel % shape.z};
  }
  std::int32_t ravel(const Int3& p) const { return (p.x * shape.y + p.y) * shape.z + p.z; }
  Vec3 frac(std::int32_t voxel) const {
    const Int3 p = unravel(voxel);
    return {static_cast<double>(p.x) / shape.x, static_cast<double>(p.y) / shape.y,
            static_cast<double>(p.z) / shape.z};
  }
  // Wraps p into the cell; the return value is the cell it lay in.
  Int3 wrap(Int3& p) const;
  // The grid point at (or nearest to) a fractional position, and its cell.
  std::int32_t nearest(const Vec3& frac, Int3* cell) const {
    Int3 p;
    for (int a = 0; a < 3; ++a) p[a] = static_cast<std::int32_t>(std::lround(frac[a] * shape[a]));
    *cell = wrap(p);
    return ravel(p);
  }
};

class GridLandscape {
 public:
  // Where points adjacent to a pass drain to: basin `basin` in cell `cell`, when the pass lies in cell 0.
  struct Arm {
    std::int32_t basin;
    Int3 cell;
    std::int32_t voxel;  // the lowest point of that piece of the neighbourhood
    Int3 voxel_cell;     // its cell
  };
  struct Pass {
    double energy;
    std::int32_t voxel;
    std::uint32_t lower;  // bit (di + 1) * 9 + (dj + 1) * 3 + (dk + 1) per lower neighbour
  };
  struct Label {
    std::int32_t basin;
    Int3 cell;
  };

  // Throws InvalidInput on an empty shape, NaN values, or a connectivity other than 6 and 26. +inf marks
  // points that nothing enters. The view's values must outlive the object. The threads change no result.
  GridLandscape(GridView grid, int connectivity, int num_threads = 1);

  const GridView& grid() const { return grid_; }
  int connectivity() const { return connectivity_; }
  // Basin b drains to the point minima()[b]; in order of index.
  const std::vector<std::int32_t>& minima() const { return minima_; }
  // In order of (energy, index).
  const std::vector<Pass>& passes() const { return passes_; }
  // Labels what the passes from `begin` to `end` ask for, by all threads, where there are enough of them.
  void label_ahead(std::size_t begin, std::size_t end);
  // Basin of a point: following the lowest neighbour from the point in cell 0 ends in cell `cell`. Throws
  // TooLarge where that lies more than 511 cells away.
  Label label(std::int32_t voxel);
  // The pieces that meet at a pass (two or more), in a fixed order.
  void arms(const Pass& pass, std::vector<Arm>* out);
  // The point that (value, index) puts first.
  bool before(std::int32_t a, std::int32_t b) const {
    const double va = grid_.at(a), vb = grid_.at(b);
    return va < vb || (va == vb && a < b);
  }
  // Largest difference between a point and its 26 neighbours; infinite beside points that nothing enters.
  double variation(std::int32_t voxel) const;
  // Lowest of the lower neighbours of a point and its cell; the point itself at a minimum.
  std::int32_t descend(std::int32_t voxel, Int3* cell) const;

 private:
  // What one slab of planes holds, in order of index.
  struct Found {
    std::vector<std::int32_t> minima;
    std::vector<Pass> passes;
    bool broken = false;  // a value is not a number
  };
  void scan(int num_threads);
  template <class Real, class From>
  void scan_as(const From* values, int num_threads);
  template <class Real, class From>
  void scan_planes(const From* values, std::int32_t first, std::int32_t last, Found* found) const;
  struct Link {  // of a chain of steps down
    std::int32_t voxel, shift;
  };
  static void check_offsets(const std::vector<Link>& chain);

  GridView grid_;
  int connectivity_;
  std::vector<std::int32_t> minima_;
  std::vector<Pass> passes_;
  // Threads write at once: whichever of them is last, its step leads to the same minimum.
  std::unique_ptr<DescentSteps> steps_;
  int num_threads_;
};

// Energies closer than this (eV) are one level where the component that percolates is described: passes that
// symmetry makes equal differ in the last digits, and which comes first must not decide the component's
// extent.
constexpr double kLevelTie = 1e-6;

// One dimensionality's threshold.
struct PercolationLevel {
  double energy = std::numeric_limits<double>::infinity();  // where the rank reaches d (absolute, eV)
  std::int32_t voxel = -1;                                  // the bottleneck
  std::int32_t minimum_voxel = -1;                          // lowest point of the component at that energy
  std::int32_t basins = 0;                                  // basins in the component
  TranslationLattice translations;
};

struct GridPercolation {
  std::int32_t minimum_voxel = -1;  // of the whole grid
  std::array<PercolationLevel, 3> levels;
};

// Stops as soon as some component percolates in three dimensions.
GridPercolation percolate(GridLandscape& landscape);

}  // namespace fastin
