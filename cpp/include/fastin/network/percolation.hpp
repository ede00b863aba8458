// Percolation of a periodic network: free-sphere radii, percolation radii, channels. Exact: no bisection, no
// supercell.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"

namespace fastin {

// Undirected edges i -> j displaced by image, each with the radius of the largest sphere that passes.
struct NetworkView {
  std::size_t sites;
  const double* site_radius;
  std::size_t edges;
  const std::int32_t* i;
  const std::int32_t* j;
  const Int3* image;
  const double* radius;
};

// -infinity where no path exists.
struct FreeSpheres {
  std::array<double, 3> axis;  // widest periodic path with a net displacement along a, b, c (the others free)
  std::array<double, 3> rank;  // widest component that percolates in 1, 2, 3 dimensions
  std::array<double, 3> included;  // largest site on the component of that axis at that radius
};

FreeSpheres free_spheres(const NetworkView& network);

struct ChannelSet {
  std::vector<std::int32_t>
      dimensionality;  // one per channel; widest dimensionality first, then by first site
  std::vector<std::int32_t> site_start, site;
  std::vector<std::int32_t> edge_start, edge;
};

// Components that percolate for a probe: edges wider than the probe (strictly) between sites larger than it.
ChannelSet find_channels(const NetworkView& network, double probe_radius);

}  // namespace fastin
