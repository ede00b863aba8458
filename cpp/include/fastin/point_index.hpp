// PointIndex: finds a periodic point again from coordinates that agree to a tolerance.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "fastin/lattice.hpp"
#include "fastin/vec3.hpp"

namespace fastin {

// A hash of boxes in fractional space; each point is filed in one box, a search looks into the boxes that its tolerance
// touches (almost always one).
class PointIndex {
 public:
  struct Match {
    std::int32_t point = -1;  // -1: none within the tolerance
    Int3 cell;                // the query lies at the point displaced by `cell`
    double distance = 0.0;    // angstrom
  };

  // `expected` points; searches find the nearest point within `tolerance` (angstrom, small against the boxes).
  PointIndex(const Lattice& lattice, std::size_t expected, double tolerance)
      : lattice_(lattice), tolerance_(tolerance) {
    const double edge = std::max(0.25, 0.5 * std::cbrt(lattice.volume() / static_cast<double>(expected + 1)));
    for (int k = 0; k < 3; ++k) {
      boxes_[k] = std::max(1, static_cast<std::int32_t>(lattice.plane_spacing(k) / edge));
      margin_[k] = tolerance / lattice.plane_spacing(k) * boxes_[k];
    }
    std::size_t size = 64;
    while (size < 4 * expected) size *= 2;
    head_.assign(size, -1);
  }

  std::size_t size() const { return points_.size(); }
  const Vec3& operator[](std::int32_t i) const { return points_[static_cast<std::size_t>(i)].frac; }

  // Files a point of [0, 1); returns its number.
  std::int32_t insert(const Vec3& frac) {
    const auto id = static_cast<std::int32_t>(points_.size());
    Int3 box;
    for (int k = 0; k < 3; ++k) box[k] = box_of(k, std::floor(scaled(k, frac[k])));
    std::int32_t& head = head_[slot(box)];
    points_.push_back({frac, box, head});
    head = id;
    return id;
  }

  // Any image of a point.
  Match find(const Vec3& frac) const {
    std::int32_t candidates[3][2];
    int count[3];
    for (int k = 0; k < 3; ++k) {
      const double u = scaled(k, frac[k]), low = std::floor(u - margin_[k]), high = std::floor(u + margin_[k]);
      candidates[k][0] = box_of(k, low);
      candidates[k][1] = box_of(k, high);
      count[k] = candidates[k][0] == candidates[k][1] ? 1 : 2;
    }
    Match best;
    double best2 = tolerance_ * tolerance_;
    for (int a = 0; a < count[0]; ++a) {
      for (int b = 0; b < count[1]; ++b) {
        for (int c = 0; c < count[2]; ++c) {
          search({candidates[0][a], candidates[1][b], candidates[2][c]}, frac, &best, &best2);
        }
      }
    }
    return best;
  }

 private:
  struct Filed {
    Vec3 frac;
    Int3 box;
    std::int32_t next;
  };
  // Boxes are shifted, so that special positions (0, 1/2, 1/3...) do not lie on their walls.
  static constexpr double kShift = 0.3819660112501051;

  double scaled(int k, double f) const { return f * boxes_[k] + kShift; }

  std::int32_t box_of(int k, double floored) const {
    const auto b = static_cast<std::int32_t>(floored) % boxes_[k];
    return b < 0 ? b + boxes_[k] : b;
  }

  std::size_t slot(const Int3& box) const {
    const std::uint64_t key = static_cast<std::uint64_t>((box.x * boxes_[1] + box.y)) * static_cast<std::uint64_t>(boxes_[2]) +
                              static_cast<std::uint64_t>(box.z);
    return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15ULL) >> 32) & (head_.size() - 1);
  }

  void search(const Int3& box, const Vec3& frac, Match* best, double* best2) const {
    for (std::int32_t i = head_[slot(box)]; i >= 0; i = points_[static_cast<std::size_t>(i)].next) {
      const Filed& p = points_[static_cast<std::size_t>(i)];
      if (p.box != box) continue;
      Vec3 d = frac - p.frac;
      Int3 cell;
      for (int k = 0; k < 3; ++k) {
        const double nearest = std::floor(d[k] + 0.5);
        cell[k] = static_cast<std::int32_t>(nearest);
        d[k] -= nearest;
      }
      const double d2 = norm2(lattice_.to_cart(d));
      if (d2 > *best2) continue;
      *best2 = d2;
      *best = {i, cell, std::sqrt(d2)};
    }
  }

  const Lattice& lattice_;
  double tolerance_;
  std::int32_t boxes_[3];
  double margin_[3];
  std::vector<std::int32_t> head_;
  std::vector<Filed> points_;
};

}  // namespace fastin
