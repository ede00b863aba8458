// What a refinement knows of each pass, and the list that its union-find runs through.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fastin/percolation/refine.hpp"

namespace fastin::refining {

constexpr std::int32_t kByArms = -1;
constexpr std::int32_t kSlope = -2;

// One entry of the list that the union-find runs through.
struct Item {
  double energy;
  std::int32_t pass;
  std::int32_t hop;  // kByArms: as the grid has it; kSlope: `pass` numbers a slope instead
  bool unsure;       // the energy is a lower bound
};

enum class State : std::uint8_t { raw, polished, settled };

struct PassState {
  State state = State::raw;
  double residual = 0.0;  // lower bound for what the hops found so far do not explain
  std::vector<Hop> hops;
  std::vector<BasinEdge> edges;
  std::vector<BasinEdge> arms;  // edges_of_arms
};

// A grid minimum that is a point on a slope of the field, the foot of a string, or two hops that end in one
// minimum between: its basin and another are one from `energy` on.
struct Slope {
  double energy;
  BasinEdge edge;
  // From a grid point of the first basin to a point that drains to the second; empty for a point on a slope.
  std::vector<Vec3> way;
  Vec3 top;  // the point of the way that has this energy
  bool stationary = false;
};

}  // namespace fastin::refining
