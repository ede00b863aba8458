#include "fastin/percolation/stationary.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace fastin {
namespace {

// Smallest curvature that a step divides by (eV/angstrom^2): flatter directions move by at most the trust
// radius.
constexpr double kFlat = 1e-3;

Vec3 clipped(const Vec3& step, double limit) {
  const double length = norm(step);
  return length > limit ? (limit / length) * step : step;
}

int count_negative(const Vec3& values) {
  return (values.x < 0.0 ? 1 : 0) + (values.y < 0.0 ? 1 : 0) + (values.z < 0.0 ? 1 : 0);
}

Vec3 unit(const Vec3& v) {
  const double length = norm(v);
  return length > 0.0 ? (1.0 / length) * v : v;
}

// Jacobi's rotation of a symmetric matrix that makes its element (P, Q) zero; v collects the rotations.
template <int P, int Q>
inline void rotate(double (&a)[3][3], double (&v)[3][3]) {
  if (a[P][Q] == 0.0) return;
  const double theta = (a[Q][Q] - a[P][P]) / (2.0 * a[P][Q]);
  const double t = (theta >= 0.0 ? 1.0 : -1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1.0));
  const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
  for (int k = 0; k < 3; ++k) {
    const double x = a[k][P], y = a[k][Q];
    a[k][P] = c * x - s * y;
    a[k][Q] = s * x + c * y;
  }
  for (int k = 0; k < 3; ++k) {
    const double x = a[P][k], y = a[Q][k];
    a[P][k] = c * x - s * y;
    a[Q][k] = s * x + c * y;
  }
  for (int k = 0; k < 3; ++k) {
    const double x = v[k][P], y = v[k][Q];
    v[k][P] = c * x - s * y;
    v[k][Q] = s * x + c * y;
  }
}

}  // namespace

SymmetricEigen symmetric_eigen(const Mat3& m) {
  double a[3][3], v[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  double scale = 0.0;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      a[i][j] = 0.5 * (m[i][j] + m[j][i]);
      scale += a[i][j] * a[i][j];
    }
  }
  for (int sweep = 0; sweep < 30; ++sweep) {  // cyclic
    const double off = a[0][1] * a[0][1] + a[0][2] * a[0][2] + a[1][2] * a[1][2];
    if (off <= 1e-28 * scale) break;
    rotate<0, 1>(a, v);
    rotate<0, 2>(a, v);
    rotate<1, 2>(a, v);
  }
  int order[3] = {0, 1, 2};
  std::sort(order, order + 3, [&a](int i, int j) { return a[i][i] < a[j][j]; });
  SymmetricEigen eigen;
  for (int k = 0; k < 3; ++k) {
    eigen.values[k] = a[order[k]][order[k]];
    eigen.vectors[k] = Vec3{v[0][order[k]], v[1][order[k]], v[2][order[k]]};
  }
  return eigen;
}

Vec3 descent_step(const Vec3& gradient, const SymmetricEigen& eigen, double reach) {
  // x(t) of dx/dt = -(g + H x): component k is -g_k (1 - exp(-l t)) / l.
  Vec3 g;
  for (int k = 0; k < 3; ++k) g[k] = dot(gradient, eigen.vectors[k]);
  const auto at = [&](double t) {
    Vec3 x;
    for (int k = 0; k < 3; ++k) {
      const double lt = eigen.values[k] * t;
      const double factor =
          std::abs(lt) < 1e-8 ? t : (lt < -40.0 ? 1e18 : -std::expm1(-lt) / eigen.values[k]);
      x[k] = -g[k] * factor;
    }
    return x;
  };
  const double slope = norm(g);
  if (slope == 0.0) return {};
  double high = reach / slope;
  int doublings = 0;
  while (norm(at(high)) < reach && doublings < 60) {
    high *= 2.0;
    ++doublings;
  }
  Vec3 x = at(high);
  if (norm(x) > reach) {
    double low = 0.0;
    for (int i = 0; i < 40; ++i) {
      const double middle = 0.5 * (low + high);
      x = at(middle);
      if (norm(x) > reach) {
        high = middle;
      } else {
        low = middle;
      }
      if (std::abs(norm(x) - reach) < 0.01 * reach) break;
    }
  }
  return clipped(x.x * eigen.vectors[0] + x.y * eigen.vectors[1] + x.z * eigen.vectors[2], reach);
}

StationaryPoint find_minimum(const EnergyField& field, const Vec3& start, const SearchOptions& options) {
  const Lattice& lattice = field.lattice();
  StationaryPoint point;
  point.frac = start;
  Vec3 gradient;
  Mat3 hessian;
  point.energy = field.derivatives(point.frac, &gradient, &hessian);
  double reach = options.max_step;
  for (int i = 0; i < 4 * options.max_steps; ++i) {
    const SymmetricEigen eigen = symmetric_eigen(hessian);
    point.negative = count_negative(eigen.values);
    point.mode = eigen.vectors[0];
    if (norm(gradient) < options.gradient_tolerance) {
      if (point.negative == 0) {
        point.converged = true;
        return point;
      }
      // Resting on a saddle by symmetry: step off along the falling mode.
      const Vec3 next = point.frac + lattice.to_frac(options.max_step * point.mode);
      point.frac = next;
      point.energy = field.derivatives(next, &gradient, &hessian);
      continue;
    }
    const Vec3 step = descent_step(gradient, eigen, reach);
    const Vec3 next = point.frac + lattice.to_frac(step);
    Vec3 next_gradient;
    Mat3 next_hessian;
    const double energy = field.derivatives(next, &next_gradient, &next_hessian);
    if (energy > point.energy + 1e-12) {
      reach = 0.5 * norm(step);
      if (reach < 1e-7) {
        point.converged = norm(gradient) < 100.0 * options.gradient_tolerance;
        return point;
      }
      continue;
    }
    point.frac = next;
    point.energy = energy;
    gradient = next_gradient;
    hessian = next_hessian;
    reach = std::min(options.max_step, 2.0 * reach);
  }
  return point;
}

StationaryPoint find_saddle(const EnergyField& field, const Vec3& start, const Vec3& along,
                            const SearchOptions& options) {
  const Lattice& lattice = field.lattice();
  StationaryPoint point;
  point.frac = start;
  Vec3 guide = unit(along);
  double reach = options.max_step;
  double last = 0.0;
  for (int i = 0; i < options.max_steps; ++i) {
    Vec3 gradient;
    Mat3 hessian;
    point.energy = field.derivatives(point.frac, &gradient, &hessian);
    const SymmetricEigen eigen = symmetric_eigen(hessian);
    point.negative = count_negative(eigen.values);
    point.mode = eigen.vectors[0];
    const double slope = norm(gradient);
    if (slope < options.gradient_tolerance) {
      point.converged = point.negative == 1;
      return point;
    }
    int climb = 0;  // the mode that continues the one followed so far, else the lowest
    if (norm2(guide) > 0.0) {
      for (int k = 1; k < 3; ++k) {
        if (std::abs(dot(eigen.vectors[k], guide)) > std::abs(dot(eigen.vectors[climb], guide))) climb = k;
      }
    }
    if (eigen.values[0] < 0.0 && eigen.values[1] > 0.0)
      climb = 0;  // the right shape already: the lowest mode it is
    guide = eigen.vectors[climb];
    Vec3 step;
    for (int k = 0; k < 3; ++k) {
      const double g = dot(gradient, eigen.vectors[k]);
      const double length = g / std::max(std::abs(eigen.values[k]), kFlat);
      step += (k == climb ? length : -length) * eigen.vectors[k];
    }
    if (i > 0 && slope > 1.5 * last) reach = std::max(0.25 * options.max_step, 0.5 * reach);
    last = slope;
    point.frac += lattice.to_frac(clipped(step, reach));
    if (norm(lattice.to_cart(point.frac - start)) > options.max_travel) return point;
  }
  return point;
}

namespace {

// Points spread evenly along a polyline, both ends kept, at most `spacing` apart (within reason).
std::vector<Vec3> spread(const Lattice& lattice, const std::vector<Vec3>& points, double spacing) {
  std::vector<double> arc(points.size(), 0.0);
  for (std::size_t i = 1; i < points.size(); ++i) {
    arc[i] = arc[i - 1] + norm(lattice.to_cart(points[i] - points[i - 1]));
  }
  const auto count = static_cast<std::size_t>(std::clamp(std::ceil(arc.back() / spacing) + 1.0, 7.0, 101.0));
  std::vector<Vec3> out;
  out.reserve(count);
  std::size_t segment = 1;
  for (std::size_t i = 0; i < count; ++i) {
    const double target = arc.back() * static_cast<double>(i) / static_cast<double>(count - 1);
    while (segment + 1 < points.size() && arc[segment] < target) ++segment;
    const double length = arc[segment] - arc[segment - 1];
    const double w = length > 0.0 ? std::clamp((target - arc[segment - 1]) / length, 0.0, 1.0) : 0.0;
    out.push_back(points[segment - 1] + w * (points[segment] - points[segment - 1]));
  }
  return out;
}

}  // namespace

std::vector<PathPoint> relax_string(const EnergyField& field, const std::vector<Vec3>& start, double spacing,
                                    int iterations, double floor_energy) {
  const Lattice& lattice = field.lattice();
  std::vector<Vec3> points = spread(lattice, start, spacing);
  constexpr double kMove = 0.06;    // angstrom a point may move in one sweep
  constexpr double kStill = 0.004;  // angstrom: the tops are polished afterwards
  // An end only goes down: a step that climbs is taken back, and the end stays.
  struct End {
    Vec3 at;
    double energy = std::numeric_limits<double>::infinity();
    bool rests = false;
  };
  std::array<End, 2> ends;
  for (int sweep = 0; sweep < iterations; ++sweep) {
    double largest = 0.0;
    std::vector<double> energies(points.size());
    for (std::size_t side = 0; side < 2; ++side) {
      Vec3& point = side == 0 ? points.front() : points.back();
      const double energy = field.energy(point);
      if (energy <= ends[side].energy) {
        ends[side].at = point;
        ends[side].energy = energy;
      } else {
        point = ends[side].at;
        ends[side].rests = true;
      }
    }
    std::vector<Vec3> moved(points);
    for (std::size_t i = 0; i < points.size(); ++i) {
      Vec3 gradient;
      Mat3 hessian;
      energies[i] = field.derivatives(points[i], &gradient, &hessian);
      Vec3 step;
      if (i == 0 || i + 1 == points.size()) {
        if (energies[i] > floor_energy && !ends[i == 0 ? 0 : 1].rests)
          step = descent_step(gradient, symmetric_eigen(hessian), kMove);
      } else {
        const Vec3 tangent = unit(lattice.to_cart(points[i + 1] - points[i - 1]));
        // Project the gradient and the Hessian on the plane across the path.
        const Vec3 across = gradient - dot(gradient, tangent) * tangent;
        Mat3 projected = hessian;
        const Vec3 ht = times_col(hessian, tangent);
        const double tht = dot(tangent, ht);
        for (int r = 0; r < 3; ++r) {
          for (int c = 0; c < 3; ++c) {
            projected[r][c] += -tangent[r] * ht[c] - ht[r] * tangent[c] + tht * tangent[r] * tangent[c];
          }
        }
        const SymmetricEigen eigen = symmetric_eigen(projected);
        for (int k = 0; k < 3; ++k) {
          step +=
              (-dot(across, eigen.vectors[k]) / std::max(std::abs(eigen.values[k]), 0.5)) * eigen.vectors[k];
        }
        step = clipped(step, kMove);
        step -= dot(step, tangent) * tangent;
        largest = std::max(largest, norm(step));
      }
      moved[i] = points[i] + lattice.to_frac(step);
    }
    // What lies below the floor at either end needs no relaxing: one point of it stays.
    std::size_t first = 0, last = points.size() - 1;
    while (first + 4 < last && energies[first] <= floor_energy && energies[first + 1] <= floor_energy)
      ++first;
    while (first + 4 < last && energies[last] <= floor_energy && energies[last - 1] <= floor_energy) --last;
    if (!std::isfinite(floor_energy)) {
      first = 0;
      last = points.size() - 1;
    }
    if (first > 0) ends[0] = End{};
    if (last + 1 < points.size()) ends[1] = End{};
    points = spread(lattice,
                    {moved.begin() + static_cast<std::ptrdiff_t>(first),
                     moved.begin() + static_cast<std::ptrdiff_t>(last) + 1},
                    spacing);
    if (largest < kStill) break;
  }
  std::vector<PathPoint> path;
  path.reserve(points.size());
  for (const Vec3& p : points) path.push_back({p, field.energy(p)});
  return path;
}

}  // namespace fastin
