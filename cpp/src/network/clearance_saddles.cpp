// Bottleneck candidates of the clearance: points touched by three spheres, in the plane of their centres.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "fastin/base/parallel.hpp"
#include "fastin/network/clearance_field.hpp"

namespace fastin {

namespace {

// Slack of the hull test (sines of angles): right-angled triples of square windows must pass.
constexpr double kHullTolerance = 1e-7;
// A sphere may come this much nearer than the three, angstrom: more than rounding, less than any real
// difference.
constexpr double kEmptyTolerance = 1e-9;
// Candidates closer than this with parallel planes are one (square and hexagonal windows give several
// triples).
constexpr double kSamePoint = 1e-7;

struct Planar {
  double x, y;
};

double cross2(const Planar& a, const Planar& b) { return a.x * b.y - a.y * b.x; }

// Points equidistant from the surfaces of three circles at 0 (radius r), (d, 0) (r + delta_j), (a, b) (r +
// delta_k); `distance` is the one from 0. At most two.
struct Tangent {
  Planar at;
  double distance;
};
int tangent_points(double d, double delta_j, double a, double b, double delta_k,
                   std::array<Tangent, 2>* out) {
  // x . c = (|c|^2 - delta^2) / 2 - delta s for both, with |x| = s.
  const double p1 = (d * d - delta_j * delta_j) / (2.0 * d), q1 = -delta_j / d;
  const double p2 = ((a * a + b * b - delta_k * delta_k) / 2.0 - a * p1) / b, q2 = (-delta_k - a * q1) / b;
  const double qa = 1.0 - q1 * q1 - q2 * q2;  // qa s^2 - 2 qb s - qc = 0
  const double qb = p1 * q1 + p2 * q2;
  const double qc = p1 * p1 + p2 * p2;
  const double discriminant = qb * qb + qa * qc;
  if (discriminant < 0.0) return 0;
  const double root = std::sqrt(discriminant);
  const double sum = qb >= 0.0 ? qb + root : qb - root;
  double s[2] = {sum != 0.0 ? -qc / sum : -1.0, qa != 0.0 ? sum / qa : -1.0};
  int count = 0;
  for (const double v : s) {
    if (!(v > 0.0) || !std::isfinite(v)) continue;
    (*out)[static_cast<std::size_t>(count++)] = {{p1 + q1 * v, p2 + q2 * v}, v};
  }
  return count;
}

bool contains_origin(const Planar& u, const Planar& v, const Planar& w) {
  const double a = cross2(v, w), b = cross2(w, u), c = cross2(u, v);
  const bool positive = a >= -kHullTolerance && b >= -kHullTolerance && c >= -kHullTolerance;
  const bool negative = a <= kHullTolerance && b <= kHullTolerance && c <= kHullTolerance;
  return positive || negative;
}

class TripleSearch {
 public:
  TripleSearch(const ClearanceField& field, double lowest, std::int32_t sphere)
      : field_(field),
        lowest_(lowest),
        sphere_(sphere),
        list_(field.neighbours(sphere)),
        radius_(field.radius(sphere)) {}

  std::vector<SaddleCandidate> run() {
    collect_partners();
    for (std::size_t j = 0; j < partner_.size(); ++j) {
      poll_interrupt();
      for (std::size_t k = j + 1; k < partner_.size(); ++k) visit(j, k);
    }
    return std::move(found_);
  }

 private:
  struct Partner {
    const SphereNeighbour* sphere;
    Vec3 unit;
    double distance;
  };

  void collect_partners() {
    for (const SphereNeighbour& s : list_) {
      // The triple is found from its sphere of lowest index.
      if (s.index < sphere_) continue;
      const double distance = norm(s.offset);
      // A point touched by both at f needs distance <= r_i + r_j + 2 f; one sphere inside the other has no
      // such point.
      if (distance > radius_ + s.radius + 2.0 * field_.bound()) continue;
      if (distance <= std::abs(radius_ - s.radius) || distance <= 0.0) continue;
      partner_.push_back({&s, (1.0 / distance) * s.offset, distance});
    }
  }

  void visit(std::size_t j, std::size_t k) {
    const Partner &pj = partner_[j], &pk = partner_[k];
    const double reach = pj.sphere->radius + pk.sphere->radius + 2.0 * field_.bound();
    if (reach <= 0.0 || norm2(pj.sphere->offset - pk.sphere->offset) > reach * reach) return;
    const double a = dot(pk.sphere->offset, pj.unit);
    const Vec3 across = pk.sphere->offset - a * pj.unit;
    const double b2 = norm2(across);
    if (b2 < 1e-18 * pk.distance * pk.distance)
      return;  // collinear centres: a circle of points, never a bottleneck
    const double b = std::sqrt(b2);
    const double delta_j = pj.sphere->radius - radius_, delta_k = pk.sphere->radius - radius_;
    std::array<Tangent, 2> points;
    const int count = tangent_points(pj.distance, delta_j, a, b, delta_k, &points);
    for (int n = 0; n < count; ++n) {
      const auto& [at, s] = points[static_cast<std::size_t>(n)];
      const double value = s - radius_;
      if (value < lowest_ || value > field_.bound()) continue;
      const double dj = s + delta_j, dk = s + delta_k;
      if (dj <= 0.0 || dk <= 0.0) continue;
      const Planar ui{at.x / s, at.y / s}, uj{(at.x - pj.distance) / dj, at.y / dj},
          uk{(at.x - a) / dk, (at.y - b) / dk};
      if (!contains_origin(ui, uj, uk)) continue;
      const Vec3 e2 = (1.0 / b) * across;
      accept(at.x * pj.unit + at.y * e2, cross(pj.unit, e2), value);
    }
  }

  void accept(const Vec3& rel, const Vec3& normal, double value) {
    if (last_ < list_.size() && nearer(list_[last_], rel, value)) return;
    for (std::size_t m = 0; m < list_.size(); ++m) {
      if (nearer(list_[m], rel, value)) {
        last_ = m;
        return;
      }
    }
    for (const SaddleCandidate& c : found_) {
      if (norm(c.point.rel - rel) < kSamePoint && norm(cross(c.normal, normal)) < 1e-6) return;
    }
    found_.push_back({{sphere_, {}, rel}, normal, value});
  }

  static bool nearer(const SphereNeighbour& s, const Vec3& x, double value) {
    const double reach = s.radius + value - kEmptyTolerance;
    return reach > 0.0 && norm2(x - s.offset) < reach * reach;
  }

  const ClearanceField& field_;
  double lowest_;
  std::int32_t sphere_;
  const std::vector<SphereNeighbour>& list_;
  double radius_;
  std::vector<Partner> partner_;
  std::vector<SaddleCandidate> found_;
  std::size_t last_ =
      static_cast<std::size_t>(-1);  // the sphere that refuted the previous point often refutes the next
};

}  // namespace

std::vector<SaddleCandidate> saddle_candidates(const ClearanceField& field, double lowest, int num_threads) {
  std::vector<std::vector<SaddleCandidate>> found(field.size());
  parallel_for(
      field.size(), num_threads,
      [&](std::size_t i, int) { found[i] = TripleSearch(field, lowest, static_cast<std::int32_t>(i)).run(); },
      1);
  std::vector<SaddleCandidate> all;
  for (const auto& part : found) all.insert(all.end(), part.begin(), part.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const SaddleCandidate& a, const SaddleCandidate& b) { return a.value > b.value; });
  return all;
}

}  // namespace fastin
