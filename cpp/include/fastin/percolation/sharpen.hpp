// Stationary points of an approximate field made those of the exact one: the search runs on the cheap field,
// what it reports is exact.
#pragma once

#include "fastin/bvse/energy_field.hpp"
#include "fastin/percolation/refine.hpp"
#include "fastin/percolation/stationary.hpp"

namespace fastin {

// The exact field's saddle next to an approximate one; where none is found, the point itself with its exact
// energy.
PathPoint sharpened_saddle(const EnergyField& exact, const Vec3& frac, const SearchOptions& options);

// Levels and minima on the exact field. The passes that set the levels stay those of the approximate field:
// another whose energy differs by no more than the approximation's error may be the lower one.
void sharpen(const EnergyField& exact, const SearchOptions& options, RefinedPercolation* result);

}  // namespace fastin
