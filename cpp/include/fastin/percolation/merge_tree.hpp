// The landscape as a network: minima (sites) and saddles (hops), from the merge tree of the grid, polished on
// the field.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fastin/percolation/refine.hpp"

namespace fastin {

struct LandscapeSite {
  Vec3 frac;  // in [0, 1)
  double energy = 0.0;
  double volume = 0.0;        // share of the cell that drains to it below the cutoff
  double merge_energy = 0.0;  // where it joins a deeper site; inf for the deepest of its component
  std::int32_t orbit = 0;
};

// From site a to site b displaced by `image` cells; a < b, or a == b and image > 0 in lexicographic order.
struct LandscapeHop {
  std::int32_t a = 0, b = 0;
  Int3 image;
  Vec3 saddle;  // in [0, 1)
  double energy = 0.0;
  std::int32_t orbit = 0;
  bool stationary = true;
};

struct SaddleNetwork {
  double cutoff = 0.0;
  std::vector<LandscapeSite> sites;  // in order of (energy, frac)
  std::vector<LandscapeHop> hops;    // in order of (a, b, image, energy)
  std::array<double, 3> levels{};  // where the network percolates in 1, 2, 3 dimensions; inf above the cutoff
};

// Every site and hop with an energy up to `cutoff` (absolute, eV). `operations` are obeyed by the field.
SaddleNetwork saddle_network(GridLandscape& landscape, Polisher& polisher, const EnergyField& field,
                             const std::vector<FractionalOperation>& operations, const RefineOptions& options,
                             const std::vector<Connection>& known, double cutoff);

}  // namespace fastin
