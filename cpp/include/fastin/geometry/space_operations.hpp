// The space group operations of a primitive cell, where they are beyond doubt.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// x' = R x + t on fractional columns; t in twenty-fourths, 0 to 23.
struct SpaceOperation {
  std::array<Int3, 3> rotation;  // rows
  Int3 twentyfourths;
};

struct SpaceOperations {
  bool certain = false;  // false: leave it to a search that weighs tolerances; the rest is empty
  std::vector<SpaceOperation> operations;  // the identity first, then by rotation
  std::vector<std::int32_t> orbit;         // the first point that the operations map on each
};

// Certain: each operation maps the lattice and every point within `tight` (angstrom) with exact fractions as
// translations, and each other operation of the lattice is off by more than `loose`. A cell that is not
// primitive, and an origin where the translations are no fractions, are never certain. Throws InvalidInput
// for points and kinds that do not fit, or tolerances that are not 0 < tight < loose <= 0.1.
SpaceOperations space_operations(const Lattice& lattice, const std::vector<Vec3>& frac,
                                 const std::vector<std::int32_t>& kind, double tight, double loose);

}  // namespace fastin
