// Bond valence site energy of one mobile ion in a periodic framework: at points, with derivatives, and on
// grids.
//
// E(x) = sum over framework atoms and all their images of occupancy * phi(R), with
//   counter-ions       phi = D ((exp(alpha (Rmin - R)) - 1)^2 - 1)        (Morse)
//   like-charged ions  phi = K / R * erfc(R / rho)                        (screened Coulomb)
// Adams and Prasada Rao, phys. stat. sol. (a) 208, 1746 (2011); Chen, Wong and Adams, Acta Cryst. B75, 18
// (2019).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// One kind of framework species as the mobile ion sees it; amplitudes are for occupancy 1.
struct PairTerm {
  bool coulomb = false;
  double amplitude = 0.0;  // Morse: D (eV), the convention's factor included; Coulomb: K (eV angstrom)
  double length = 0.0;     // Morse: Rmin; Coulomb: rho (angstrom)
  double alpha = 0.0;      // Morse: 1/b (1/angstrom); unused for Coulomb
};

// Operation of the space group acting on grid indices: i' = rotation i + shift (mod shape).
struct GridOperation {
  std::array<std::array<std::int32_t, 3>, 3> rotation{};
  std::array<std::int32_t, 3> shift{};
};

class BvseField {
 public:
  // Pairs closer than this count as at this distance, so that an ion on top of an atom stays finite
  // (angstrom); their derivatives stay those at this distance and lead out.
  static constexpr double kMinDistance = 0.1;
  // Energies above this are returned as this (eV); migration barriers lie three orders of magnitude below.
  static constexpr double kMaxEnergy = 1000.0;
  // Every term is switched off over this width below its cutoff (angstrom): value and gradient are
  // continuous.
  static constexpr double kSwitchWidth = 1.0;
  // Shorter cutoffs would leave bonds to the mean of the tail (angstrom).
  static constexpr double kMinCutoff = 4.0;
  static constexpr double kMaxCutoff = 50.0;
  // A term whose magnitude stays below this (eV) beyond some distance is cut there instead of at `cutoff`.
  static constexpr double kNegligible = 1e-7;

  // Row i of `frac` holds the species `term[i]` with occupancy `weight[i]`. What the cutoff removes comes
  // back as its mean, the constant `tail_energy()`. Throws InvalidInput for indices out of range, values that
  // are not finite, negative occupancies or a cutoff outside [4, 50] angstrom.
  BvseField(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<std::int32_t>& term,
            const std::vector<double>& weight, const std::vector<PairTerm>& terms, double cutoff);
  ~BvseField();
  BvseField(BvseField&&) noexcept;
  BvseField& operator=(BvseField&&) noexcept;

  const Lattice& lattice() const;
  double cutoff() const;
  // Distance at which term k ends: `cutoff`, or less where the term is negligible before (angstrom).
  double term_cutoff(std::size_t k) const;
  double tail_energy() const;
  std::size_t image_count() const;

  // Energy at a fractional point (eV), at most kMaxEnergy; float64.
  double energy(const Vec3& frac) const;
  // Energy without the ceiling and, unless null, its Cartesian gradient (eV/angstrom) and Hessian
  // (eV/angstrom^2).
  double energy_gradient(const Vec3& frac, Vec3* gradient, Mat3* hessian) const;
  // Energies at n fractional points.
  void energies(const Vec3* frac, std::size_t n, int num_threads, double* out) const;

  // Fills values[(i nb + j) nc + k] with the energy at (i/na, j/nb, k/nc) (eV, float32 sums). `operations`
  // must map the field onto itself; one point of each orbit is computed. An empty list or one operation
  // computes every point. Same bits for every thread count. Throws InvalidInput for a shape below 1 or above
  // 2^31 - 1 points.
  void grid(const Int3& shape, const std::vector<GridOperation>& operations, int num_threads,
            float* values) const;

 private:
  friend class BvseSplit;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastin
