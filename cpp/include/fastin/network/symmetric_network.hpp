// The network from the power cells of the symmetry-distinct atoms alone; the operations give the rest.
#pragma once

#include <vector>

#include "fastin/network/network.hpp"

namespace fastin {

// Fills everything but `free`; the orbit labels come for nothing. False, and nothing filled, where the
// shortcut does not hold: operations that the atoms obey only roughly, vertices that almost coincide, hidden
// or outlying atoms, face centres. The answer is certified by the volumes of the cells (1e-9 relative).
bool build_symmetric_network(const Lattice& lattice, const std::vector<Vec3>& frac,
                             const std::vector<double>& radius, const NetworkOptions& options, Network* out);

}  // namespace fastin
