#include "fastin/percolation/walks.hpp"

#include <algorithm>
#include <cmath>

#include "fastin/bvse/bvse.hpp"
#include "fastin/percolation/stationary.hpp"

namespace fastin {
namespace {

constexpr int kDescents = 5;          // steps of a descent, in space or in a plane
constexpr int kClimbs = 2;            // steps towards the saddle
constexpr double kFirstReach = 0.25;  // angstrom, of the first step; grows to the next
constexpr double kReach = 0.5;
constexpr double kClimbReach = 0.2;
constexpr double kFromVoid = 1.5;  // angstrom, from the start
constexpr double kInPlane = 0.5;
constexpr double kFromBottleneck = 0.7;
constexpr double kFlat = 1e-3;      // eV/angstrom^2: smallest curvature that a descent divides by
constexpr double kFlatClimb = 0.3;  // the same along the direction of a climb: slower, but it stays near
constexpr double kRidge = 0.05;     // eV/angstrom^2: a mode that falls less is flat, not a ridge
constexpr double kLevel = 1e-4;     // eV/angstrom: a smaller slope along a falling mode is none
constexpr double kSteep = 1e6;      // eV/angstrom^2
constexpr double kNear = 1e-3;      // angstrom: a shorter step ends the walk (1e-5 eV at 10 eV/angstrom^2)

Vec3 clipped(const Vec3& step, double limit) {
  const double length = norm(step);
  return length > limit ? (limit / length) * step : step;
}

struct Place {
  Vec3 off;  // Cartesian, from the start
  double energy = 0.0;
  Vec3 gradient;
  Mat3 hessian;
};

Place at(const EnergyField& field, const Vec3& start, const Vec3& off) {
  Place place;
  place.off = off;
  place.energy = field.derivatives(start + field.lattice().to_frac(off), &place.gradient, &place.hessian);
  return place;
}

struct Downhill {
  Vec3 step;
  bool either = false;  // resting on a ridge, by symmetry: the way back is as good
};

// -|H|^-1 g: downhill along every mode. Off a ridge, along its most falling mode.
Downhill downhill(const Vec3& gradient, const Mat3& hessian, double reach) {
  const SymmetricEigen eigen = symmetric_eigen(hessian);
  Downhill out;
  for (int k = 0; k < 3; ++k) {
    const Vec3& mode = eigen.vectors[k];
    const double slope = dot(gradient, mode), curvature = eigen.values[k];
    if (k == 0 && curvature < -kRidge && std::abs(slope) < kLevel) {
      out.step += reach * mode;
      out.either = true;
    } else {
      out.step += (-slope / std::max(std::abs(curvature), kFlat)) * mode;
    }
  }
  out.step = clipped(out.step, reach);
  return out;
}

// Newton steps downhill, where `seen` makes of a Hessian (and of the gradient's directions) what the walk
// sees: all of it, or a plane. Keeps what is lower.
template <class Seen>
Place descend_from(const EnergyField& field, const Vec3& start, Place place, double travel, Seen&& seen) {
  double reach = kFirstReach;
  for (int i = 0; i < kDescents; ++i) {
    const Downhill wanted = downhill(seen.gradient(place.gradient), seen.hessian(place.hessian), reach);
    if (norm(wanted.step) < kNear) break;
    Place next = at(field, start, clipped(place.off + wanted.step, travel));
    if (wanted.either) {
      const Place back = at(field, start, clipped(place.off - wanted.step, travel));
      if (back.energy < next.energy) next = back;
    }
    if (next.energy < place.energy) {
      place = next;
      reach = std::min(1.5 * reach, kReach);
    } else {
      reach *= 0.35;
    }
  }
  return place;
}

struct Space {
  Vec3 gradient(const Vec3& g) const { return g; }
  Mat3 hessian(const Mat3& h) const { return h; }
};

// The plane across a direction, with what a walk in it sees of gradient and Hessian.
class Plane {
 public:
  explicit Plane(const Vec3& normal) : normal_(normal) {
    const Vec3 other = std::abs(normal.x) < 0.6 ? Vec3{1, 0, 0} : Vec3{0, 1, 0};
    const Vec3 across = cross(normal, other);
    u_ = (1.0 / norm(across)) * across;
    v_ = cross(normal, u_);
  }

  Vec3 gradient(const Vec3& g) const { return g - dot(g, normal_) * normal_; }
  // The Hessian in the plane, so steep across it that no step leaves it.
  Mat3 hessian(const Mat3& h) const {
    const Vec3 hu = times_col(h, u_), hv = times_col(h, v_);
    const double a = dot(u_, hu), b = dot(u_, hv), d = dot(v_, hv);
    Mat3 out;
    for (int i = 0; i < 3; ++i) {
      out[i] = (a * u_[i] + b * v_[i]) * u_ + (b * u_[i] + d * v_[i]) * v_ + (kSteep * normal_[i]) * normal_;
    }
    return out;
  }
  // -|H|^-1 of this Cartesian vector, both seen in the plane.
  Vec3 solve(const Mat3& hessian, const Vec3& vector) const {
    const Vec3 hu = times_col(hessian, u_), hv = times_col(hessian, v_);
    const double a = dot(u_, hu), b = dot(u_, hv), d = dot(v_, hv);
    const double gu = dot(u_, vector), gv = dot(v_, vector);
    const double half = 0.5 * (a - d), mean = 0.5 * (a + d), spread = std::hypot(half, b);
    const double first = std::max(std::abs(mean + spread), kFlat);
    const double second = std::max(std::abs(mean - spread), kFlat);
    // |H|^-1 = p + q (H - mean), from its values at both eigenvalues.
    const double p = 0.5 * (1.0 / first + 1.0 / second);
    const double q = spread > 1e-12 ? 0.5 * (1.0 / first - 1.0 / second) / spread : 0.0;
    const double x = p * gu + q * (half * gu + b * gv), y = p * gv + q * (b * gu - half * gv);
    return -x * u_ - y * v_;
  }

  // Newton step to the saddle along the normal: up along it, down across it.
  Vec3 climb(const Place& place) const {
    const Vec3 along = times_col(place.hessian, normal_);
    const Vec3 rest = solve(place.hessian, place.gradient);
    const Vec3 response = solve(place.hessian, along);
    const double slope = dot(place.gradient, normal_) + dot(along, rest);
    const double curvature = dot(along, normal_) + dot(along, response);
    const double forward = slope / std::max(std::abs(curvature), kFlatClimb);
    return forward * normal_ + rest + forward * response;
  }

 private:
  Vec3 normal_, u_, v_;
};

double capped(double energy) { return std::min(energy, BvseField::kMaxEnergy); }

}  // namespace

VoidWalk walk_void(const EnergyField& field, const Vec3& frac) {
  const Place first = at(field, frac, {});
  const Place last = descend_from(field, frac, first, kFromVoid, Space{});
  return {capped(first.energy), capped(last.energy)};
}

BottleneckWalk walk_bottleneck(const EnergyField& field, const Vec3& frac, const Vec3& direction) {
  Place place = at(field, frac, {});
  BottleneckWalk out;
  out.centre = out.crossing = out.pass = capped(place.energy);
  const double length = norm(direction);
  if (!(length > 1e-6)) return out;
  const Plane plane((1.0 / length) * direction);
  place = descend_from(field, frac, place, kInPlane, plane);
  out.crossing = out.pass = capped(place.energy);
  for (int i = 0; i < kClimbs; ++i) {
    const Vec3 step = clipped(plane.climb(place), kClimbReach);
    if (norm(step) < kNear) break;
    place = at(field, frac, clipped(place.off + step, kFromBottleneck));
    out.pass = capped(place.energy);
  }
  return out;
}

}  // namespace fastin
