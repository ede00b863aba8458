// Which points of a grid are computed: one of each orbit, in compact tiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/bvse/bvse.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin::bvse {

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

// Tiles of all points.
Tiles every_point(const Lattice& lattice, const Shape& s);

// Tiles of the first point of each orbit on a walk through the grid. `orbits`, memory of the grid's energies,
// receives for every point the position of its orbit's point in the tiles; energies_of_orbits turns it into
// energies. Any number of threads gives the same.
Tiles orbit_tiles(const Lattice& lattice, const Shape& s, const std::vector<GridOperation>& operations,
                  int num_threads, float* orbits);
void energies_of_orbits(const std::vector<float>& energy, std::size_t points, int num_threads, float* orbits);

// Part of the grid that translations along the axes repeat (of a supercell), the grid itself where none does;
// and the operations on it, each once.
Shape smallest_box(const Shape& s, const std::vector<GridOperation>& operations);
std::vector<GridOperation> operations_of_box(const Shape& box, const std::vector<GridOperation>& operations);

}  // namespace fastin::bvse
