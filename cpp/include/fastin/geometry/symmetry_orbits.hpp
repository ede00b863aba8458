// Which points of a crystal the operations of its space group map on each other.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// x' = rotation x + translation on fractional columns, in the basis of the crystal's own cell.
struct SymmetryOperation {
  std::array<Int3, 3> rotation;  // rows
  Vec3 translation;

  Vec3 operator()(const Vec3& x) const {
    return {dot(to_vec(rotation[0]), x) + translation.x, dot(to_vec(rotation[1]), x) + translation.y,
            dot(to_vec(rotation[2]), x) + translation.z};
  }
};

// An image is matched with the nearest point within this distance (angstrom): coordinates obey the symmetry
// found in them only to its precision (0.01 A), and positions derived from them to a few times that.
constexpr double kOrbitTolerance = 0.05;

// Label of each point's orbit, numbered in order of first appearance. Points closer than the tolerance stay
// distinct: each image takes the nearest.
std::vector<std::int32_t> point_orbits(const Lattice& lattice, const std::vector<Vec3>& frac,
                                       const std::vector<SymmetryOperation>& operations,
                                       double tolerance = kOrbitTolerance);

}  // namespace fastin
