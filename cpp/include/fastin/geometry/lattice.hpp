// Lattice: cell matrix (rows are the cell vectors, angstrom), fractional <-> Cartesian, wrapping.
#pragma once

#include <cmath>

#include "fastin/base/error.hpp"
#include "fastin/base/vec3.hpp"

namespace fastin {

class Lattice {
 public:
  // Throws DegenerateGeometry when the cell is not finite or its volume is (relatively) zero.
  explicit Lattice(const Mat3& cell) : cell_(cell) {
    double scale = 1.0;
    for (int i = 0; i < 3; ++i) {
      const double length = norm(cell[i]);
      if (!std::isfinite(length)) throw DegenerateGeometry("the cell has a component that is not finite");
      scale *= length;
    }
    volume_ = std::abs(determinant(cell));
    if (!(volume_ > kMinRelativeVolume * scale) || scale <= 0.0) {
      throw DegenerateGeometry("the cell has zero volume (its vectors are coplanar)");
    }
    inverse_ = inverse(cell);
  }

  const Mat3& cell() const { return cell_; }
  const Mat3& inverse_cell() const { return inverse_; }
  double volume() const { return volume_; }

  Vec3 to_cart(const Vec3& frac) const { return row_times(frac, cell_); }
  Vec3 to_frac(const Vec3& cart) const { return row_times(cart, inverse_); }

  // Distance between the lattice planes normal to reciprocal vector k (angstrom).
  double plane_spacing(int k) const {
    const Vec3 g{inverse_[0][k], inverse_[1][k], inverse_[2][k]};
    return 1.0 / norm(g);
  }

  // How many cells to either side a sphere of that radius can reach along each axis.
  Int3 images_within(double radius) const {
    Int3 n;
    for (int k = 0; k < 3; ++k) n[k] = static_cast<std::int32_t>(std::ceil(radius / plane_spacing(k)));
    return n;
  }

 private:
  // Cells flatter than this (volume over the product of the lengths) are refused.
  static constexpr double kMinRelativeVolume = 1e-9;
  Mat3 cell_;
  Mat3 inverse_;
  double volume_ = 0.0;
};

// Wraps into [0, 1) and returns the cell that was subtracted: wrapped = frac - cell.
inline Int3 wrap_frac(Vec3& frac) {
  Int3 shift;
  for (int k = 0; k < 3; ++k) {
    const double floor_value = std::floor(frac[k]);
    frac[k] -= floor_value;
    shift[k] = static_cast<std::int32_t>(floor_value);
    if (frac[k] >= 1.0) {  // -1e-17 wraps to 1.0 in floating point
      frac[k] = 0.0;
      ++shift[k];
    }
  }
  return shift;
}

}  // namespace fastin
