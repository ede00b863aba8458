// Periodic quintic spline through values on a grid of the cell: tensor product of B-splines, four times
// differentiable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin::bvse {

class FarSpline {
 public:
  static constexpr std::size_t kTaps = 6;  // coefficients along each axis that a point needs

  // values[(i nb + j) nc + k] at (i/na, j/nb, k/nc).
  FarSpline(const Lattice& lattice, const Int3& shape, const std::vector<float>& values);

  // Value at a point of [0, 1)^3; Cartesian gradient and Hessian unless null.
  double value(const Vec3& home, Vec3* gradient, Mat3* hessian) const;

  // The spline on a finer grid of the same cell. `everywhere`: at all of its points at once (4 bytes each,
  // less than a nanosecond); else only along its last two axes, and at() finishes a point.
  class OnGrid {
   public:
    OnGrid(const FarSpline& spline, const Int3& shape, bool everywhere);
    // At grid point `at`, the `index`-th.
    float at(const Int3& at, std::int32_t index) const {
      if (!values_.empty()) return values_[static_cast<std::size_t>(index)];
      const Tap& tap = first_[static_cast<std::size_t>(at.x)];
      const std::size_t in_plane = static_cast<std::size_t>(at.y) * row_ + static_cast<std::size_t>(at.z);
      float sum = 0.0f;
      for (std::size_t t = 0; t < kTaps; ++t)
        sum += tap.weight[t] * planes_[tap.plane[t] * plane_ + in_plane];
      return sum;
    }

   private:
    struct Tap {
      std::array<float, kTaps> weight;
      std::array<std::size_t, kTaps> plane;
    };
    static std::vector<Tap> taps(std::int32_t coarse, std::int32_t fine);
    std::vector<Tap> first_;
    std::size_t row_, plane_;
    std::vector<float> planes_, values_;
  };

 private:
  static constexpr std::size_t kPad =
      8;  // along the last axis: a point reads eight numbers, two of weight zero
  std::array<std::size_t, 3> n_;
  std::array<std::size_t, 3> padded_;
  // Partial derivatives of grid coordinates with respect to Cartesian ones: slope_[axis] is a gradient.
  std::array<Vec3, 3> slope_;
  // coefficient of node (i - 2, j - 2, k - 2), wrapped
  std::vector<double> coefficients_;
};

}  // namespace fastin::bvse
