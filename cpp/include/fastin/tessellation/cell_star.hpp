// CellStar: the power cell of one atom, traced within its own half-spaces.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/tessellation/halfspaces.hpp"
#include "fastin/tessellation/reduced_frame.hpp"

namespace fastin {

// Positions are relative to the atom; the other generators are seen from its home image.
struct CellStar {
  struct Vertex {
    std::array<GeneratorCode, 3> g;  // with the atom itself, positively oriented
    Vec3 x;
  };
  // From vertex `from` to vertex `to` along d(j) x d(k).
  struct Edge {
    GeneratorCode j, k;
    std::int32_t from, to;
  };
  std::vector<Vertex> vertex;
  std::vector<Edge> edge;
  double volume = 0.0;
};

// False when the cell is not simple enough: its centre lies outside, or its vertices are ill defined. `half`
// holds the perturbed problem, `frame` and `weight` the exact one.
bool trace_star(HalfspaceLists* half, const ReducedFrame& frame, const std::vector<double>& weight,
                std::int32_t atom, CellStar* star);

}  // namespace fastin
