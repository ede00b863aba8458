// SphereSearch: spheres that come nearer to a point or a segment than a clearance known already.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

#include "fastin/bottleneck.hpp"
#include "fastin/cell_list.hpp"
#include "fastin/lattice.hpp"
#include "fastin/lattice_reduction.hpp"
#include "fastin/vec3.hpp"

namespace fastin {

struct Narrowest {
  double radius;
  double t;  // where along the segment
};

// Where the generators of a vertex or an edge have common power p > 0, a sphere j that is no generator has
// power >= p, hence clearance >= sqrt(p + r_j^2) - r_j, which falls with r_j: only spheres larger than every
// generator can be nearer. For p <= 0 (points inside spheres) every sphere is looked at.
class SphereSearch {
 public:
  SphereSearch(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<double>& radius);

  // Smallest clearance along p .. q (Cartesian), given the one over the generators, their lowest power on the
  // segment and their largest radius.
  Narrowest narrowest(const Vec3& p, const Vec3& q, Narrowest known, double power, double largest_generator);

 private:
  const CellList& cells(double threshold, double reach);

  ReducedBasis basis_;
  Lattice lattice_;  // reduced
  std::vector<Vec3> frac_;
  std::vector<double> radius_;
  double max_radius_;
  double threshold_ = std::numeric_limits<double>::infinity();  // the list holds the spheres larger than this
  std::vector<std::int32_t> listed_;
  std::unique_ptr<CellList> cells_;
};

}  // namespace fastin
