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

// A grid minimum that is a point on a slope of the field, or the foot of a string: its basin and another are
// one from `energy` on.
struct Slope {
  double energy;
  BasinEdge edge;
  bool strung = false;  // `way` leads from the foot of a string to its end
  std::array<Vec3, 2> way{};
  Vec3 foot;  // of the string
};

}  // namespace fastin::refining
