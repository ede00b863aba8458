// Network: the interstitial sites and bottlenecks of a framework, as flat arrays.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"
#include "fastin/geometry/symmetry_orbits.hpp"
#include "fastin/network/percolation.hpp"
#include "fastin/tessellation/tessellation.hpp"

namespace fastin {

enum class Clearance {
  kAllAtoms,    // min over every atom of (distance - radius): what a sphere can really do
  kGenerators,  // only over the atoms that own the vertex or the edge (CAVD, Zeo++)
};

struct NetworkOptions {
  Clearance clearance = Clearance::kAllAtoms;
  bool face_centers = false;
  std::vector<SymmetryOperation> operations;  // of the crystal; they label the orbits
  bool use_symmetry = true;                   // compute distinct parts only where the operations allow it
  int num_threads = 1;
  double merge_tolerance = kMergeTolerance;
};

// Edges join site edge_i with site edge_j displaced by edge_image: i < j, or i == j and image > 0
// lexicographically, sorted by (i, j, image). Radii are clearances in angstrom and may be negative where
// spheres overlap.
struct Network {
  std::vector<Vec3> site_frac;  // in [0, 1)
  std::vector<double> site_radius;
  std::vector<std::int32_t> site_kind;  // 0 Voronoi vertex, 1 centre of a Voronoi face
  std::vector<std::int32_t> edge_i, edge_j;
  std::vector<Int3> edge_image;
  std::vector<double> edge_length;
  std::vector<Vec3> edge_bottleneck_frac;  // in [0, 1)
  std::vector<double> edge_bottleneck_radius;
  std::vector<std::int32_t> site_orbit, edge_orbit;  // symmetry classes, numbered in order of appearance
  std::vector<double> cell_volume;                   // one per atom
  FreeSpheres free;
  bool symmetry_used = false;  // only the distinct atoms' cells were computed
};

inline NetworkView view_of(const Network& n) {
  return {
      n.site_frac.size(),  n.site_radius.data(),           n.edge_i.size(), n.edge_i.data(), n.edge_j.data(),
      n.edge_image.data(), n.edge_bottleneck_radius.data()};
}

Network build_network(const Lattice& lattice, const std::vector<Vec3>& frac,
                      const std::vector<double>& radius, const NetworkOptions& options = {});

}  // namespace fastin
