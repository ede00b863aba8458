// Positions freed of their noise: the mean over the operations that they obey.
#pragma once

#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"
#include "fastin/geometry/symmetry_orbits.hpp"

namespace fastin {

// Atoms count as obeying the operations when none is farther (angstrom) from where the mean over the
// operations puts it, apart from what moves all of them alike (1e-5 angstrom at most): the rounding of single
// precision. Coarser coordinates are left alone.
constexpr double kExactPosition = 1e-6;

// The positions `frac` (any images) moved to the mean over the operations, each in its own image: exactly
// symmetric, and the same atom for atom in any order. As given where some atom has no partner of its radius
// or lies farther than kExactPosition from its mean, and where there is nothing but the identity.
std::vector<Vec3> symmetrized(const Lattice& lattice, const std::vector<Vec3>& frac,
                              const std::vector<double>& radius,
                              const std::vector<SymmetryOperation>& operations);

}  // namespace fastin
