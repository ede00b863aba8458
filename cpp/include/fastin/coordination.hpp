// Neighbours within a cutoff in a periodic crystal, and coordination numbers after Hoppe.
#pragma once

#include <cstdint>
#include <vector>

#include "fastin/lattice.hpp"
#include "fastin/vec3.hpp"

namespace fastin {

// Compressed rows: the neighbours of point i are index[k], distance[k] for offsets[i] <= k < offsets[i + 1],
// nearest first. A pair appears from both ends, once for every periodic image; a point is its own neighbour only
// through a lattice translation.
struct Neighbours {
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> index;
  std::vector<double> distance;  // angstrom
};

// All pairs of points (fractional, any cell) with a distance of at most `cutoff` angstrom.
// Throws InvalidInput when a coordinate or the cutoff is not finite.
Neighbours neighbours_within(const Lattice& lattice, const std::vector<Vec3>& frac, double cutoff);

// Coordination number of each point: counter-ions (sign opposite to its own) whose bond weight
// exp(1 - (d / d_mean)^6) reaches `min_weight`, d_mean being Hoppe's weighted mean bond length (R. Hoppe, Z.
// Kristallogr. 150, 23 (1979)), here iterated to self-consistency. Each neighbour counts with its occupancy, so split
// positions are not counted twice. Points of sign 0 are coordinated by all points; 0 where no counter-ion is in reach.
std::vector<double> coordination_numbers(const Neighbours& neighbours, const std::vector<double>& sign,
                                         const std::vector<double>& occupancy, double min_weight);

}  // namespace fastin
