// PointIndex: finds a periodic point again from coordinates that agree to a tolerance.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "fastin/base/rounding.hpp"
#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// A hash of boxes in fractional space; each point is filed in one box, a search looks into the boxes that its
// tolerance touches (almost always one).
class PointIndex {
 public:
  struct Match {
    std::int32_t point = -1;  // -1: none within the tolerance
    Int3 cell;                // the query lies at the point displaced by `cell`
    double distance = 0.0;    // angstrom
  };

  // `expected` points; searches find the nearest point within `tolerance` (angstrom, small against the
  // boxes).
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
    for (int k = 0; k < 3; ++k) box[k] = box_of(k, floor_int(scaled(k, frac[k])));
    std::int32_t& head = head_[slot(box)];
    points_.push_back({frac, box, head});
    head = id;
    return id;
  }

  // Any image of a point.
  Match find(const Vec3& frac) const {
    Int3 low, high;
    for (int k = 0; k < 3; ++k) {
      const double u = scaled(k, frac[k]);
      low[k] = floor_int(u - margin_[k]);
      high[k] = floor_int(u + margin_[k]);
    }
    Match best;
    double best2 = tolerance_ * tolerance_;
    for (Int3 b{low.x, 0, 0}; b.x <= high.x; ++b.x) {
      for (b.y = low.y; b.y <= high.y; ++b.y) {
        for (b.z = low.z; b.z <= high.z; ++b.z) {
          search({box_of(0, b.x), box_of(1, b.y), box_of(2, b.z)}, frac, &best, &best2);
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

  std::int32_t box_of(int k, std::int32_t b) const {
    if (b >= 0 && b < boxes_[k]) return b;
    b %= boxes_[k];
    return b < 0 ? b + boxes_[k] : b;
  }

  std::size_t slot(const Int3& box) const {
    const std::uint64_t key =
        static_cast<std::uint64_t>((box.x * boxes_[1] + box.y)) * static_cast<std::uint64_t>(boxes_[2]) +
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
        cell[k] = nearest_int(d[k]);
        d[k] -= cell[k];
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
