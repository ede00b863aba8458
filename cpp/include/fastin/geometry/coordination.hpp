// Neighbours within a cutoff in a periodic crystal, and coordination numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// Compressed rows: the neighbours of point i are index[k], distance[k] for offsets[i] <= k < offsets[i + 1],
// nearest first. A pair appears from both ends, once for every periodic image; a point is its own neighbour
// only through a lattice translation.
struct Neighbours {
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> index;
  std::vector<double> distance;  // angstrom
};

// All pairs of points (fractional, any cell) with a distance of at most `cutoff` angstrom.
// Throws InvalidInput when a coordinate or the cutoff is not finite.
Neighbours neighbours_within(const Lattice& lattice, const std::vector<Vec3>& frac, double cutoff);

// Coordination number of each point: counter-ions (sign opposite to its own) whose bond is at most `reach`
// times as long as the shortest one, lengths in units of size_i + size_j (covalent radii), so that the short
// bonds of a small cation do not hide the long ones of a large cation. Each neighbour counts with its
// occupancy, so split positions are not counted twice. Points of sign 0 are coordinated by all points;
// neighbours nearer than `too_near` angstrom are alternatives of the point itself; 0 without a counter-ion in
// the list.
struct CoordinationRule {
  double reach = 1.35;
  double too_near = 0.5;
};
std::vector<double> coordination_numbers(const Neighbours& neighbours, const std::vector<double>& sign,
                                         const std::vector<double>& size,
                                         const std::vector<double>& occupancy, const CoordinationRule& rule);

// Distance of each marked point to the nearest marked and to the nearest unmarked one (angstrom), over all
// images: `reach` where there is none within it. Nearer than `too_near` lie alternatives of the point itself.
struct NearestKinds {
  std::vector<double> marked, unmarked;  // one per marked point, in their order
};
NearestKinds nearest_kinds(const Lattice& lattice, const std::vector<Vec3>& frac,
                           const std::vector<char>& is_marked, double reach, double too_near);

}  // namespace fastin
