// The path that sets a percolation level, as a polyline through minima and saddles.
#pragma once

#include <cstdint>
#include <vector>

#include "fastin/percolation/grid_percolation.hpp"
#include "fastin/percolation/refine.hpp"

namespace fastin {

struct PercolationPath {
  std::vector<PathPoint> points;  // not wrapped; the last is the first moved by `translation`
  Int3 translation;
};

// A connection taken from the grid: passes up to `top`, in order.
std::vector<Connection> grid_connections(GridLandscape& landscape, double top);

// Steps of the shortest loop (in connections) that contains the first connection at which some component
// reaches `dimensions` directions and that moves in a direction new to it. Connections must be in order of
// energy.
struct LoopStep {
  std::size_t connection;
  bool forward;  // from its a to its b
};
std::vector<LoopStep> critical_loop(std::size_t basins, const std::vector<Connection>& connections,
                                    int dimensions, Int3* translation);

// Points from basin a in cell 0 to basin b in its cell, both sites included, over the connection's saddle;
// hops polished on the way stay below `top`.
std::vector<PathPoint> connection_path(GridLandscape& landscape, const Connection& connection, double top,
                                       const EnergyField* field, Polisher* polisher);

// Path for a level; empty where `dimensions` is never reached. With a field the polyline consists of steepest
// descents from saddles to minima; without one, of chains of grid points.
// `exact`, unless null: what `field` approximates; the path follows `field`, its energies and saddles are
// exact.
PercolationPath trace_path(GridLandscape& landscape, const std::vector<Connection>& connections,
                           int dimensions, const EnergyField* field, Polisher* polisher,
                           const EnergyField* exact = nullptr);

}  // namespace fastin
