// SphereSearch: spheres that come nearer to a point or a segment than a clearance known already.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/bottleneck.hpp"
#include "fastin/geometry/cell_list.hpp"
#include "fastin/geometry/lattice.hpp"
#include "fastin/geometry/lattice_reduction.hpp"

namespace fastin {

struct Narrowest {
  double radius;
  double t;  // where along the segment
};

// Clearance over some of the spheres (the generators), with what bounds the others.
struct Known {
  Narrowest narrowest{std::numeric_limits<double>::infinity(), 0.0};
  double power =
      std::numeric_limits<double>::infinity();  // lowest power of the spheres seen, along the segment
  double largest = -std::numeric_limits<double>::infinity();  // largest radius seen

  // Takes in one sphere; p .. q and its centre in one Cartesian frame.
  void add(const Vec3& p, const Vec3& q, const Vec3& centre, double radius) {
    const SegmentPoint near = nearest_on_segment(p, q, centre);
    if (near.distance - radius < narrowest.radius) narrowest = {near.distance - radius, near.t};
    power = std::min(power, near.distance * near.distance - radius * radius);
    largest = std::max(largest, radius);
  }
};

// Where the generators of a vertex or an edge have common power p > 0, a sphere j that is no generator has
// power >= p, hence clearance >= sqrt(p + r_j^2) - r_j, which falls with r_j: only spheres larger than every
// generator can be nearer. For p <= 0 (points inside spheres) every sphere is looked at.
class SphereSearch {
 public:
  SphereSearch(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<double>& radius);

  // Whether any sphere that was not seen could be nearer to the segment of this half length.
  bool open(const Known& known) const;
  // Makes the search ready for a segment; call it for all of them before narrowest().
  void prepare(const Known& known, double half_length);
  void build();
  // Smallest clearance along p .. q (Cartesian) over every sphere. Safe to call from many threads.
  Narrowest narrowest(const Vec3& p, const Vec3& q, const Known& known) const;

 private:
  static double threshold_of(const Known& known) {
    return known.power > 0.0 ? known.largest : -std::numeric_limits<double>::infinity();
  }
  double reach_of(const Known& known, double half_length) const {
    return half_length + std::max(0.0, known.narrowest.radius + max_radius_);
  }

  ReducedBasis basis_;
  Lattice lattice_;  // reduced
  std::vector<Vec3> frac_;
  std::vector<double> radius_;
  double max_radius_;
  double threshold_ = std::numeric_limits<double>::infinity();  // the list holds the spheres larger than this
  double reach_ = 0.0;
  std::vector<std::int32_t> listed_;
  std::unique_ptr<CellList> cells_;
};

}  // namespace fastin
