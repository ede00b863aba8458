// Monotone ascents of the clearance by sequential linear programming.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "fastin/base/interrupt.hpp"
#include "fastin/network/clearance_field.hpp"

namespace fastin {

namespace {

constexpr double kLevelTolerance = 1e-9;   // a drop of f that counts as rounding, angstrom
constexpr double kGainTolerance = 1e-12;   // a predicted rise below this ends the linear steps, angstrom
constexpr double kActiveTolerance = 1e-8;  // spheres this close to the minimum count as touching, angstrom
constexpr double kSmallestEscape = 1e-6;   // shorter moves along a second-order direction are noise, angstrom
// A touching sphere whose clearance falls faster than this (per angstrom) leaves no room for an escape:
// the run would end within (kActiveTolerance + kLevelTolerance) / kBlocked, about kSmallestEscape.
constexpr double kBlocked = 0.01;
constexpr int kMaxSteps = 400;
constexpr int kMaxPivots = 200;
constexpr double kPivotTolerance = 1e-13;  // a row violated by less is satisfied, angstrom
constexpr double kSmallestPivot = 1e-10;

using Vec4 = std::array<double, 4>;

// One row of: maximise z subject to n . (d, z) <= h.
struct Row {
  Vec4 n;
  double h;
};

// Dual simplex for: maximise z, rows n . (d, z) <= h. Starts from row `nearest`, z - u . d <= h, and the
// three box rows (2k: d_k <= half, 2k + 1: -d_k <= half) that limit u . d, which together are dual feasible.
// The inverse of the basis is carried along and updated by one exchange a pivot. Ties by lowest index. The
// vertex that the pivot limit may stop at is only a step that is not the best one: the caller computes what
// it is worth.
Vec3 maximise(const std::vector<Row>& rows, std::size_t nearest) {
  std::array<std::size_t, 4> basis{nearest, 0, 0, 0};
  std::array<Vec4, 4> inverse{};  // columns belong to the basis rows
  inverse[3][0] = 1.0;
  for (std::size_t k = 0; k < 3; ++k) {
    const double u = -rows[nearest].n[k];
    const double sign = u >= 0.0 ? 1.0 : -1.0;
    basis[k + 1] = 2 * k + (u >= 0.0 ? 0 : 1);
    inverse[k][k + 1] = sign;
    inverse[3][k + 1] = u * sign;
  }
  Vec4 y{};
  for (int pivot = 0; pivot < kMaxPivots; ++pivot) {
    for (std::size_t i = 0; i < 4; ++i) {
      y[i] = 0.0;
      for (std::size_t k = 0; k < 4; ++k) y[i] += inverse[i][k] * rows[basis[k]].h;
    }
    std::size_t enter = rows.size();
    double worst = kPivotTolerance;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Vec4& n = rows[i].n;
      const double excess = n[0] * y[0] + n[1] * y[1] + n[2] * y[2] + n[3] * y[3] - rows[i].h;
      if (excess > worst) {
        worst = excess;
        enter = i;
      }
    }
    if (enter == rows.size()) break;
    // The entering row in terms of the basis; the last row of the inverse holds the multipliers of z.
    Vec4 alpha{};
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t i = 0; i < 4; ++i) alpha[k] += rows[enter].n[i] * inverse[i][k];
    std::size_t leave = 4;
    double ratio = std::numeric_limits<double>::max();
    for (std::size_t k = 0; k < 4; ++k) {
      if (alpha[k] <= kSmallestPivot) continue;
      const double r = std::max(inverse[3][k], 0.0) / alpha[k];
      if (r < ratio || (r == ratio && leave < 4 && basis[k] < basis[leave])) {
        ratio = r;
        leave = k;
      }
    }
    if (leave == 4) break;
    for (std::size_t i = 0; i < 4; ++i) {
      const double scaled = inverse[i][leave] / alpha[leave];
      for (std::size_t k = 0; k < 4; ++k) inverse[i][k] -= alpha[k] * scaled;
      inverse[i][leave] = scaled;
    }
    basis[leave] = enter;
  }
  return {y[0], y[1], y[2]};
}

}  // namespace

// The step that maximises the smallest linearised clearance within a box. Each clearance is convex, so its
// linearisation bounds it from below: f rises by at least the returned gain, and nowhere on the way falls.
double ClearanceField::linear_step(const AnchoredPoint& p, double value, Vec3* step) const {
  const double reach = std::max(bound_ - value, 0.0) + 0.5 * margin_;
  const double half = reach / std::sqrt(3.0);
  std::vector<Row> rows;
  rows.reserve(64);
  for (int k = 0; k < 3; ++k) {
    for (const double sign : {1.0, -1.0}) {
      Row row{{0.0, 0.0, 0.0, 0.0}, half};
      row.n[static_cast<std::size_t>(k)] = sign;
      rows.push_back(row);
    }
  }
  std::size_t nearest = 0;
  for (const SphereNeighbour& s : neighbours(p.sphere)) {
    const Vec3 x = p.rel - s.offset;
    const double distance = norm(x);
    const double above = distance - s.radius - value;
    if (above > 2.0 * reach) continue;
    // At a centre every direction leads away: the row would only say that z may rise.
    const Vec3 u = distance > 0.0 ? (1.0 / distance) * x : Vec3{};
    if (nearest == 0 || above < rows[nearest].h) nearest = rows.size();
    rows.push_back({{-u.x, -u.y, -u.z, 1.0}, above});
  }
  *step = maximise(rows, nearest);
  // The gain that the rows prove for this very step, whatever the simplex believed.
  double gain = std::numeric_limits<double>::max();
  for (std::size_t i = 6; i < rows.size(); ++i) {
    const Vec4& r = rows[i].n;
    gain = std::min(gain, rows[i].h - r[0] * step->x - r[1] * step->y - r[2] * step->z);
  }
  const double length = norm(*step);
  return length <= reach * (1.0 + 1e-9) ? gain : -1.0;
}

// At a point where the gradients of the touching spheres have 0 in their hull f may still rise to second
// order, along a direction of the cone {d : u_i . d >= 0}. Its extreme rays are among the cross products of
// two gradients; when all gradients lie on one line every direction at right angles belongs to it.
bool ClearanceField::escape(AnchoredPoint* p, double* value) const {
  std::vector<Vec3> u;
  for (const SphereNeighbour& s : neighbours(p->sphere)) {
    const Vec3 x = p->rel - s.offset;
    const double distance = norm(x);
    if (distance > 0.0 && distance - s.radius - *value < kActiveTolerance) u.push_back((1.0 / distance) * x);
  }
  double best_run = kSmallestEscape;
  Vec3 best{};
  const auto consider = [&](const Vec3& d) {
    const double length = norm(d);
    if (length < 1e-6) return;
    for (const double sign : {1.0, -1.0}) {
      const Vec3 unit = (sign / length) * d;
      const auto blocks = [&](const Vec3& g) { return dot(g, unit) < -kBlocked; };
      if (std::any_of(u.begin(), u.end(), blocks)) continue;
      const double run = free_run(*p, unit, *value - kLevelTolerance, 0.5 * margin_);
      if (run > best_run) {
        best_run = run;
        best = unit;
      }
    }
  };
  for (std::size_t i = 0; i < u.size(); ++i) {
    for (std::size_t j = i + 1; j < u.size(); ++j) consider(cross(u[i], u[j]));
    const Vec3 axis = std::abs(u[i].x) < 0.6 ? Vec3{1, 0, 0} : Vec3{0, 1, 0};
    const Vec3 side = cross(u[i], axis);
    consider(side);
    consider(cross(u[i], side));
  }
  if (best_run <= kSmallestEscape) return false;
  AnchoredPoint moved = *p;
  moved.rel += (0.5 * best_run) * best;
  const double reached = settle(&moved);
  if (reached <= *value + kGainTolerance) return false;
  *p = moved;
  *value = reached;
  return true;
}

double ClearanceField::ascend(AnchoredPoint* p, double* level) const {
  double value = settle(p);
  *level = value;
  for (int iteration = 0; iteration < kMaxSteps; ++iteration) {
    poll_interrupt();
    Vec3 step;
    double gain = linear_step(*p, value, &step);
    AnchoredPoint moved = *p;
    moved.rel += step;
    const double reached = gain > kGainTolerance ? settle(&moved) : value;
    if (gain > kGainTolerance && reached > value) {
      *p = moved;
      value = reached;
    } else if (!escape(p, &value)) {
      break;
    }
  }
  return value;
}

}  // namespace fastin
