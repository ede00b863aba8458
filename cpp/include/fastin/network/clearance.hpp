// Exact free spheres: percolation of the clearance f(x) = min_i (|x - c_i| - r_i) of a periodic set of
// spheres (additively weighted, or Apollonius, diagram). No grid, no bisection, no probe.
//
// Why a short list of points is enough. Each |x - c_i| - r_i is convex, so at a point touched by the spheres
// A (those that attain the minimum, with unit gradients u_i away from their centres) the directions along
// which f does not fall are the cone {d : u_i . d >= 0 for all i in A}, and along each of them f rises (to
// second order where u_i . d = 0). A superlevel set {f >= t} can change its connections, as t falls, only
// where that cone is a line: three or more touching spheres whose gradients positively span one plane. Those
// points are the bottlenecks; where the cone is {0} f has a maximum (a void); where it is a plane (two
// opposite spheres) a loop is filled and nothing is joined. (Morse theory of min-type functions: V.
// Gershkovich and H. Rubinstein, Asian J. Math. 1, 264 (1997).)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// Result of exact_free_spheres. Radii in angstrom; they may be negative where the spheres overlap everywhere.
struct ExactFreeSpheres {
  std::array<double, 3> axis{};  // widest periodic path with a net displacement along a, b, c (the rest free)
  std::array<double, 3> rank{};  // widest path system that spans 1, 2, 3 dimensions
  double largest = 0.0;          // largest f among the voids that the ascents reached
  std::vector<Vec3> saddle_frac;      // (S, 3) bottlenecks followed upwards, by falling radius, in [0, 1)
  std::vector<double> saddle_radius;  // (S,) f there
  std::vector<Vec3> void_frac;        // (V, 3) maxima that they lead to, in [0, 1)
  std::vector<double> void_radius;    // (V,)
  // Links between voids, one a saddle that joins two: void_frac[to] + image - void_frac[from].
  std::vector<std::array<std::int32_t, 2>> link;
  std::vector<Int3> link_image;
  std::vector<double> link_radius;
};

// Each radius that it returns is the smallest f along a path that was followed explicitly, so it is a lower
// bound up to rounding (1e-9 A); that no wider path exists follows from the completeness of the bottleneck
// list. Throws InvalidInput for no spheres, sizes that differ or values that are not finite, NoConvergence
// when the ascents leave the crystal without a three-dimensional path (impossible for a correct list).
ExactFreeSpheres exact_free_spheres(const Lattice& lattice, const std::vector<Vec3>& frac,
                                    const std::vector<double>& radius, int num_threads);

// f at each Cartesian point; the plain evaluation, for tests and grids.
std::vector<double> clearance_at(const Lattice& lattice, const std::vector<Vec3>& frac,
                                 const std::vector<double>& radius, const std::vector<Vec3>& points,
                                 int num_threads);

}  // namespace fastin
