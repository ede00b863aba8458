// The perturbation that turns equal powers (every high symmetry) into different ones.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "fastin/geometry/lattice.hpp"

namespace fastin {

// Size relative to the squared distance of neighbours (weights) and to one (metric). Large against rounding
// (1e-15), so that ties of symmetry are broken the same way from all sides; small against the tolerance that
// merges vertices.
constexpr double kPerturbation = 4e-9;

// SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014): a fixed stream of well mixed numbers in [-1, 1).
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 0x632be59bd9b4e019ULL) {}
  double operator()() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1.0;
  }

 private:
  std::uint64_t state_;
};

// A strained lattice and, from the second attempt on, shifted weights; both respect the translations. The
// strain is one and the same in space whatever cell, origin and order of the atoms describe the crystal, so
// that vertices which only the perturbation decides are decided alike. Where it leaves a tie, the weights
// tell atoms apart.
struct PerturbedProblem {
  Lattice lattice;
  std::vector<double> weight;
};

inline PerturbedProblem perturb(const Lattice& lattice, std::vector<double> weight, std::uint64_t seed) {
  Noise noise(seed);
  Mat3 strain;
  for (int i = 0; i < 3; ++i) {
    for (int j = i; j < 3; ++j) strain[i][j] = strain[j][i] = (i == j ? 1.0 : 0.0) + kPerturbation * noise();
  }
  Mat3 cell;
  for (int i = 0; i < 3; ++i) cell[i] = row_times(lattice.cell()[i], strain);
  if (seed == 0) return {Lattice(cell), std::move(weight)};
  const double scale = std::pow(lattice.volume() / static_cast<double>(weight.size()), 2.0 / 3.0);
  for (double& w : weight) w += kPerturbation * scale * noise();
  return {Lattice(cell), std::move(weight)};
}

}  // namespace fastin
