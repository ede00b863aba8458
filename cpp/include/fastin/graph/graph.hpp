// Local environments and graph arrays: nearest framework atoms of any point of a crystal, and the elements of
// a network that set its percolation energies.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// One atom seen from a point: it sits at frac[atom] + image, `distance` angstrom away.
struct Neighbour {
  std::int32_t atom = -1;
  Int3 image{};
  double distance = 0.0;
};

// Finds the k nearest atoms of a point among all periodic images, by a cell list over the unit cell.
//
// Atoms whose distances differ by less than kTieTolerance are ordered by their key (a number of the species,
// say), then by distance, then by index: the list, and which of several equidistant atoms make it into the
// first k, does not depend on the order of the atoms in the file.
class NeighbourFinder {
 public:
  // `key`: one a atom. Throws InvalidInput on an empty list or a length that differs.
  NeighbourFinder(const Lattice& lattice, std::vector<Vec3> frac, std::vector<std::int32_t> key);

  // Writes the k nearest atoms of the fractional point to out[0..k). With skip >= 0 that atom's own image 0
  // is left out (neighbours of an atom itself). `scratch` is reused between calls of one thread.
  void nearest(const Vec3& point, std::size_t k, std::int32_t skip, std::vector<Neighbour>* scratch,
               Neighbour* out) const;

  // Coordinates from relaxed or rounded CIFs differ by less than this between equivalent atoms (angstrom).
  static constexpr double kTieTolerance = 1e-3;

 private:
  void collect(const Vec3& point, double radius, std::int32_t skip, std::vector<Neighbour>* found) const;

  Lattice lattice_;
  std::vector<Vec3> frac_;   // wrapped into [0, 1)
  std::vector<Int3> shift_;  // frac as given = frac_ + shift_
  std::vector<std::int32_t> key_;
  Int3 bins_;
  std::vector<std::int32_t> bin_start_;  // bins + 1
  std::vector<std::int32_t> bin_atom_;
};

// All points at once; out has points.size() * k entries. skip: empty, or one atom a point.
std::vector<Neighbour> nearest_atoms(const NeighbourFinder& finder, const std::vector<Vec3>& points,
                                     std::size_t k, const std::vector<std::int32_t>& skip, int num_threads);

// A network without coordinates: undirected edges with cell offsets.
struct NetworkTopology {
  std::size_t num_sites = 0;
  const std::int32_t* ends = nullptr;  // 2 a edge
  const Int3* image = nullptr;
  std::size_t num_edges = 0;
};

// Which elements set the percolation energies of a network. Element codes: edge e is e, site s is -1 - s.
// `saddle[d]` is the highest element of the cheapest path that percolates in d + 1 dimensions, `lowest[d]`
// the lowest site of that component at that level; kNone where the network never percolates so.
struct CriticalElements {
  static constexpr std::int64_t kNone = INT64_MAX;
  std::array<std::int64_t, 3> saddle{kNone, kNone, kNone};
  std::array<std::int64_t, 3> lowest{kNone, kNone, kNone};
};

// An edge is passable at max(its energy, the energies of both ends). Ties fall to the lower index.
CriticalElements critical_elements(const NetworkTopology& network, const float* site_energy,
                                   const float* edge_energy);

}  // namespace fastin
