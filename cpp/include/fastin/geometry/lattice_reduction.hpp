// Minkowski-reduced basis of a lattice: skewed and needle-shaped cells become cells whose image searches are
// short.
#pragma once

#include <array>
#include <vector>

#include "fastin/base/vec3.hpp"

namespace fastin {

struct ReducedBasis {
  Mat3 cell;                    // rows are the reduced vectors (angstrom)
  std::array<Int3, 3> rows;     // cell[i] = rows[i] @ original cell
  std::array<Int3, 3> inverse;  // original cell[i] = inverse[i] @ cell

  bool identity;  // the cell was reduced already

  // Image in units of the reduced vectors -> units of the original ones, and back.
  Int3 to_original(const Int3& s) const {
    return identity ? s : s.x * rows[0] + s.y * rows[1] + s.z * rows[2];
  }
  Int3 to_reduced(const Int3& s) const {
    return identity ? s : s.x * inverse[0] + s.y * inverse[1] + s.z * inverse[2];
  }
};

// Greedy reduction (I. Semaev, CaLC 2001; P. Nguyen and D. Stehle, ACM Trans. Algorithms 5, 46 (2009)): exact
// in three dimensions, the reduced vectors are the successive minima. The handedness of the cell is kept.
ReducedBasis reduce_basis(const Mat3& cell);

// Fractional points of the original cell in [0, 1) of the reduced one. Throws InvalidInput for a coordinate
// that is not finite.
std::vector<Vec3> in_reduced_cell(const ReducedBasis& basis, const std::vector<Vec3>& frac);

}  // namespace fastin
