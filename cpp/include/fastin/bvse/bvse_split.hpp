// The bond valence energy of a BvseField as a near sum and a spline.
//
// Every pair energy is split at 4.5 angstrom: up to there it is summed as it is, less an even polynomial that
// joins it there with five derivatives; the rest, that polynomial within and the pair energy beyond, is
// smooth and is interpolated from a grid of 0.55 angstrom by a periodic quintic spline. The energy is
// within kErrorBound of the plain sum; gradient and Hessian are those of the split energy itself.
#pragma once

#include <memory>
#include <vector>

#include "fastin/bvse/bvse.hpp"
#include "fastin/bvse/energy_field.hpp"

namespace fastin {

class BvseSplit {
 public:
  // Stated and tested (tests/property/test_split_sum.py), eV, float32 grids below 20 eV included.
  static constexpr double kErrorBound = 2e-4;
  // Spacing of the spline's grid along each cell vector (angstrom).
  static constexpr double kSpacing = 0.55;

  // `shape`: of the spline's grid; `operations` map that grid and the field onto themselves (see
  // BvseField::grid). Throws InvalidInput for a shape below 1 or above 2^31 - 1 points.
  BvseSplit(const BvseField& field, const Int3& shape, const std::vector<GridOperation>& operations,
            int num_threads);
  ~BvseSplit();
  BvseSplit(BvseSplit&&) noexcept;
  BvseSplit& operator=(BvseSplit&&) noexcept;

  // Pairs of the near sum over pairs of the plain sum, at the mean density.
  static double near_share(const BvseField& field);

  const Lattice& lattice() const;
  // As those of BvseField.
  double energy_gradient(const Vec3& frac, Vec3* gradient, Mat3* hessian) const;
  void grid(const Int3& shape, const std::vector<GridOperation>& operations, int num_threads,
            float* values) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastin
