// A smooth periodic potential energy, as the searches for stationary points see it.
#pragma once

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

class EnergyField {
 public:
  EnergyField() = default;
  EnergyField(const EnergyField&) = delete;
  EnergyField& operator=(const EnergyField&) = delete;
  virtual ~EnergyField() = default;

  virtual const Lattice& lattice() const = 0;
  // Energy (eV) at a fractional point.
  virtual double energy(const Vec3& frac) const = 0;
  // Energy, its Cartesian gradient (eV/angstrom) and Hessian (eV/angstrom^2).
  virtual double derivatives(const Vec3& frac, Vec3* gradient, Mat3* hessian) const = 0;
};

}  // namespace fastin
