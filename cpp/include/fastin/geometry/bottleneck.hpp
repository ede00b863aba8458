// Narrowest point of a straight segment between spheres, in closed form.
#pragma once

#include <algorithm>
#include <cmath>

#include "fastin/base/vec3.hpp"

namespace fastin {

struct SegmentPoint {
  double t;         // position along the segment, 0 at p and 1 at q
  double distance;  // to the centre (angstrom)
};

// Point of the segment p .. q nearest to a centre. For one sphere the smallest clearance over a segment is
// that distance minus the radius, so the clearance of an edge is the smallest over the spheres, without any
// sampling.
inline SegmentPoint nearest_on_segment(const Vec3& p, const Vec3& q, const Vec3& centre) {
  const Vec3 along = q - p, to = centre - p;
  const double length2 = norm2(along);
  const double t = length2 > 0.0 ? std::clamp(dot(to, along) / length2, 0.0, 1.0) : 0.0;
  return {t, norm(to - t * along)};
}

}  // namespace fastin
