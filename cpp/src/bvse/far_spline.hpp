// Periodic quintic spline through values on a grid of the cell: tensor product of B-splines, four times
// differentiable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin::bvse {

class FarSpline {
 public:
  static constexpr std::size_t kTaps = 6;  // coefficients along each axis that a point needs

  // values[(i nb + j) nc + k] at (i/na, j/nb, k/nc).
  FarSpline(const Lattice& lattice, const Int3& shape, const std::vector<float>& values, int num_threads);

  // Value at a point of [0, 1)^3; Cartesian gradient and Hessian unless null.
  double value(const Vec3& home, Vec3* gradient, Mat3* hessian) const;

  // The spline on a finer grid of the same cell, at its points below `extent`. `everywhere`: at all of them
  // at once (4 bytes each, less than a nanosecond); else only along the last two axes, and at() finishes a
  // point.
  class OnGrid {
   public:
    OnGrid(const FarSpline& spline, const Int3& shape, const Int3& extent, bool everywhere, int num_threads);
    float at(const Int3& at) const {
      const std::size_t in_plane = static_cast<std::size_t>(at.y) * row_ + static_cast<std::size_t>(at.z);
      if (values_ != nullptr) return values_[static_cast<std::size_t>(at.x) * plane_ + in_plane];
      const Tap& tap = first_[static_cast<std::size_t>(at.x)];
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
    // Of the first `count` points of an axis.
    static std::vector<Tap> taps(std::size_t coarse, std::int32_t fine, std::int32_t count);
    std::vector<Tap> first_;
    std::size_t row_, plane_;
    std::unique_ptr<float[]> planes_, values_;
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
