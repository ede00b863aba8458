// PowerTriangulation: the regular (weighted Delaunay) triangulation of a periodic set of spheres, dual to its
// power diagram.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "fastin/base/scratch.hpp"
#include "fastin/base/vec3.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/geometry/lattice.hpp"
#include "fastin/tessellation/halfspaces.hpp"
#include "fastin/tessellation/perturbation.hpp"

namespace fastin {

// Built by walking: each tetrahedron's facet is the dual of an edge of the power diagram, and the plane that
// ends this edge names the next tetrahedron (edge tracing). The walk runs on a problem perturbed by about
// 1e-9 in the weights and in the metric, in which no five generators have equal power: the result is a
// simplicial complex whatever the symmetry, and it is checked to be closed (each facet shared by two
// tetrahedra of opposite sides) and to fill the cell once. Vertices that coincide without the perturbation
// are merged afterwards (tessellation.hpp).
//
// Large crystals (kSweptAtoms) are walked in as many parts as there are threads. What comes out does not
// depend on the parts: the tetrahedra, their generators and their frames are brought into a canonical order.
struct PowerTriangulation {
  // Generators g[0..3], positively oriented, in the frame where one of them has image 0; face f is opposite
  // g[f]. Its neighbour's generators plus `shift[f]` are in this frame. In large crystals g is sorted but for
  // the last two, which may be exchanged for the orientation.
  struct Tetrahedron {
    std::array<GeneratorCode, 4> g;
    std::array<std::int32_t, 4> neighbour;
    std::array<std::int32_t, 4> shift;
  };

  Scratch<Tetrahedron> tetrahedra;
  // The point of equal power of each in the perturbed problem (Cartesian, its frame).
  Scratch<Vec3> centre;
  // Of large crystals: the problem that was walked. A centre there has the last digits of the ray that found
  // it, which may come from any part.
  std::optional<PerturbedProblem> problem;
};

// Corner indices of face f, so that (g[b] - g[a]) x (g[c] - g[a]) points out of the tetrahedron.
constexpr std::array<std::array<int, 3>, 4> kFaceCorners{{{1, 2, 3}, {0, 3, 2}, {0, 1, 3}, {0, 2, 1}}};

// From this number on atoms should be numbered along a curve through space (spatial_order): the walk then
// needs little memory.
constexpr std::size_t kSweptAtoms = 512;
std::vector<std::int32_t> spatial_order(const Lattice& lattice, const std::vector<Vec3>& frac);

// `lattice` reduced, `frac` in [0, 1), `weight` = radius squared. Throws DegenerateGeometry for overlapping
// atoms and NoConvergence when no perturbation gives a closed complex.
// `names`: numbers of the atoms for messages, empty for their own.
PowerTriangulation triangulate(const Lattice& lattice, const std::vector<Vec3>& frac,
                               const std::vector<double>& weight, const std::vector<std::int32_t>& names = {},
                               int num_threads = 1);

}  // namespace fastin
