// The bond valence field as the searches for stationary points see it.
#pragma once

#include "fastin/base/interrupt.hpp"
#include "fastin/bvse/bvse.hpp"
#include "fastin/bvse/bvse_split.hpp"
#include "fastin/bvse/energy_field.hpp"

namespace fastin {

// Without the ceiling, so that gradient and energy belong together. The field must outlive the object.
template <class Field>
class FieldEnergy final : public EnergyField {
 public:
  explicit FieldEnergy(const Field& field) : field_(field) {}
  const Lattice& lattice() const override { return field_.lattice(); }
  double energy(const Vec3& frac) const override {
    poll_interrupt();
    return field_.energy_gradient(frac, nullptr, nullptr);
  }
  double derivatives(const Vec3& frac, Vec3* gradient, Mat3* hessian) const override {
    poll_interrupt();
    return field_.energy_gradient(frac, gradient, hessian);
  }

 private:
  const Field& field_;
};
using BvseEnergy = FieldEnergy<BvseField>;
using SplitEnergy = FieldEnergy<BvseSplit>;

}  // namespace fastin
