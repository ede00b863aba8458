// The clearance f(x) = min_i (|x - c_i| - r_i) with what its critical points need: neighbour lists long
// enough to prove that no other sphere matters, monotone ascents, and points carried with their lattice cell.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// Sphere j in the surroundings of sphere i of the home cell.
struct SphereNeighbour {
  Vec3 offset;         // c_j + image @ cell - c_i, angstrom
  double radius;       // r_j
  std::int32_t index;  // j
  Int3 image;          // in the reduced basis
};

// A point given relative to one sphere that touches it (nearly): c_sphere + cell @ basis + rel.
struct AnchoredPoint {
  std::int32_t sphere = 0;
  Int3 cell{};
  Vec3 rel{};
};

class ClearanceField {
 public:
  ClearanceField(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<double>& radius);

  std::size_t size() const { return centre_.size(); }
  const Lattice& reduced() const { return reduced_; }
  double radius(std::int32_t i) const { return radius_[static_cast<std::size_t>(i)]; }
  // Integer combination of the caller's cell vectors that equals that one of the reduced vectors.
  Int3 to_caller(const Int3& image) const;
  Vec3 cart(const AnchoredPoint& p) const {
    return centre_[static_cast<std::size_t>(p.sphere)] + reduced_.to_cart(to_vec(p.cell)) + p.rel;
  }

  double clearance(const Vec3& point) const;
  // Bound on f from above over the whole crystal, by branch and bound; at most `slack` above the maximum.
  double upper_bound(double slack) const;
  // Lists every sphere within r_i + r_j + 2 * bound + margin of sphere i, the sphere itself included, nearest
  // surfaces first.
  void build_neighbours(double bound, double margin, int num_threads);
  const std::vector<SphereNeighbour>& neighbours(std::int32_t i) const {
    return neighbours_[static_cast<std::size_t>(i)];
  }
  double bound() const { return bound_; }
  double margin() const { return margin_; }

  // f at a point of the lists' reach; moves the anchor to the touching sphere.
  double settle(AnchoredPoint* p) const;
  // Largest step s <= limit along the unit vector d for which f(p + s' d) >= level for all s' <= s.
  double free_run(const AnchoredPoint& p, const Vec3& d, double level, double limit) const;
  // Smallest f on the segment from p to p + step; |step| at most half the margin.
  double segment_clearance(const AnchoredPoint& p, const Vec3& step) const;
  // Climbs to a maximum of f along a path that never falls below f(start) by more than rounding.
  // *level becomes the smallest f met (start included). Returns f at the end.
  double ascend(AnchoredPoint* p, double* level) const;

 private:
  struct Bin {
    std::int32_t begin, end;
  };
  template <class Visit>
  void visit_ring(const Int3& home, int ring, Visit&& visit) const;
  double linear_step(const AnchoredPoint& p, double value, Vec3* step) const;
  bool escape(AnchoredPoint* p, double* value) const;

  Lattice reduced_;
  std::array<Int3, 3> basis_;  // reduced vector k = basis_[k] @ the caller's cell
  std::vector<Vec3> centre_;   // in the home cell of the reduced basis
  std::vector<double> radius_;
  double largest_radius_ = 0.0;
  Int3 bins_{};
  double bin_width_ = 0.0;  // smallest distance between opposite faces of a bin
  std::vector<Bin> bin_;
  std::vector<std::int32_t> order_;
  double bound_ = 0.0, margin_ = 0.0;
  std::vector<std::vector<SphereNeighbour>> neighbours_;
};

// A bottleneck candidate: three spheres whose gradients have 0 in their hull, no sphere nearer.
struct SaddleCandidate {
  AnchoredPoint point;
  Vec3 normal;   // of the plane of the three centres
  double value;  // f there
};

// All candidates with f >= lowest, by falling value, each once.
std::vector<SaddleCandidate> saddle_candidates(const ClearanceField& field, double lowest, int num_threads);

}  // namespace fastin
