// Where the generators of a vertex have equal power.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/tessellation/reduced_frame.hpp"

namespace fastin {

// Smallest pivot of a least-squares system relative to the largest.
constexpr double kFlatVertex = 1e-10;

// Point of least squared spread of power over the generators: linear in x (the |x|^2 term is common). False
// when the generators do not span space well enough.
inline bool least_squares_vertex(const ReducedFrame& frame, const std::vector<double>& weight,
                                 const std::vector<GeneratorCode>& g, Vec3* x) {
  const Vec3 base = frame.position(g[0]);
  const auto n = static_cast<double>(g.size());
  Vec3 mean{};
  double mean_h = 0.0;
  std::array<std::pair<Vec3, double>, 64> local;
  const std::size_t count = std::min(g.size(), local.size());
  for (std::size_t k = 0; k < count; ++k) {
    const Vec3 d = frame.position(g[k]) - base;
    const double h = 0.5 * (norm2(d) - weight[static_cast<std::size_t>(generator_atom(g[k]))]);
    local[k] = {d, h};
    mean += d;
    mean_h += h;
  }
  mean = (1.0 / n) * mean;
  mean_h /= n;
  Mat3 a;
  Vec3 b{};
  for (std::size_t k = 0; k < count; ++k) {
    const Vec3 d = local[k].first - mean;
    const double h = local[k].second - mean_h;
    for (int i = 0; i < 3; ++i) a[i] += d[i] * d;
    b += h * d;
  }
  const double scale = (a[0].x + a[1].y + a[2].z) / 3.0;
  if (!(determinant(a) > kFlatVertex * scale * scale * scale)) return false;
  *x = base + times_col(inverse(a), b);
  return true;
}

// Exact meeting point of four generators (Cramer's rule), given their centres.
inline bool solve_vertex(const std::vector<double>& weight, const std::array<GeneratorCode, 4>& g,
                         const std::array<Vec3, 4>& centre, Vec3* x) {
  const Vec3 base = centre[0];
  const double w0 = weight[static_cast<std::size_t>(generator_atom(g[0]))];
  Mat3 d;
  Vec3 h;
  for (int k = 0; k < 3; ++k) {
    const auto c = static_cast<std::size_t>(k) + 1;
    d[k] = centre[c] - base;
    h[k] = 0.5 * (norm2(d[k]) + w0 - weight[static_cast<std::size_t>(generator_atom(g[c]))]);
  }
  const Vec3 c0 = cross(d[1], d[2]), c1 = cross(d[2], d[0]), c2 = cross(d[0], d[1]);
  const double det = dot(d[0], c0);
  if (!(std::abs(det) > 0.0)) return false;
  *x = base + (1.0 / det) * (h.x * c0 + h.y * c1 + h.z * c2);
  return true;
}

}  // namespace fastin
