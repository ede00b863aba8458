// Short walks from the voids and bottlenecks of a network to the valleys and passes of the landscape beside
// them: the geometric centre of a gap between spheres is not where an ion crosses it.
//
// A walk takes a few Newton steps and says the energy that it reached; nothing is converged. Steps are
// functions of gradient, Hessian and the bottleneck's direction alone, so that equivalent points get equal
// energies whatever the origin and the orientation of the cell.
#pragma once

#include "fastin/base/vec3.hpp"
#include "fastin/bvse/energy_field.hpp"

namespace fastin {

struct VoidWalk {
  double centre = 0.0;  // eV, at the void
  double valley = 0.0;  // lowest on a short descent from there
};
VoidWalk walk_void(const EnergyField& field, const Vec3& frac);

struct BottleneckWalk {
  double centre = 0.0;    // eV, where the gap is widest for spheres
  double crossing = 0.0;  // lowest found in the plane through there, across the bottleneck's direction
  double pass = 0.0;      // after two steps from there towards the saddle along the direction
};
// `direction`: Cartesian, of the step from void to void; a zero vector has no plane, and nothing is walked.
BottleneckWalk walk_bottleneck(const EnergyField& field, const Vec3& frac, const Vec3& direction);

}  // namespace fastin
