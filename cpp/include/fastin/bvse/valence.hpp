// Bond valence sums of the sites of a crystal, and what a grid of energies holds up to some heights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// exp((r0 - R) / b) up to R = cutoff (angstrom) for a cation and an anion of these kinds, times `weight`.
// Several may stand for one pair of kinds.
struct ValencePair {
  std::int32_t cation, anion;
  double r0, b, cutoff, weight;
};

struct ValenceSums {
  std::vector<double> sum;          // one per site
  std::vector<std::int64_t> bonds;  // neighbours within its cutoff, for each pair
};

// Sum over all periodic neighbours farther than `too_near` (alternatives of the site itself), each weighted
// by its occupancy. Throws InvalidInput for a kind out of range or a coordinate that is not finite.
ValenceSums bond_valence_sums(const Lattice& lattice, const std::vector<Vec3>& frac,
                              const std::vector<std::int32_t>& kind, const std::vector<double>& occupancy,
                              const std::vector<ValencePair>& pairs, double too_near);

struct LevelShares {
  std::vector<double> share;  // of the points at most that high, for each level
  double thermal;             // mean of exp(-height / kt), heights below 0 counted as 0
};

// Heights value - minimum are taken in single precision, as the values are.
LevelShares level_shares(const float* values, std::size_t count, float minimum,
                         const std::vector<float>& levels, float kt);

}  // namespace fastin
