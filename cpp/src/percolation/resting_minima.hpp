// Minima that have no grid point of their own, and the hops that end there.
#pragma once

#include <vector>

#include "fastin/percolation/refine.hpp"
#include "refine_state.hpp"

namespace fastin::refining {

// A hop that ends in such a minimum joins its other end to the basin beyond only from the ridge on
// (Hop::beyond). Two hops that end there join their other ends below that.
class RestingMinima {
 public:
  explicit RestingMinima(Polisher& polisher) : polisher_(polisher) {}

  // Takes a hop in; what it joins to those that came before is appended.
  void arrive(const Hop& hop, std::vector<Slope>* joined);

 private:
  // Another end, seen from the minimum in its home cell.
  struct Arrival {
    GridLandscape::Label label;
    Vec3 corner, end;  // the grid point that the end was read at, and the end
    Hop::Ridge saddle;
  };
  struct Minimum {
    Vec3 frac;
    std::vector<Arrival> arrivals;
  };
  // The minimum at a point, made where it is new; `cell` is that of the point.
  Minimum& at(const Vec3& frac, Int3* cell);

  Polisher& polisher_;
  std::vector<Minimum> minima_;
};

}  // namespace fastin::refining
