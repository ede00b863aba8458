// Energy, gradient and Hessian at one point: neighbours collected in small blocks, each summed by a SIMD
// kernel in float64.
#pragma once

#include <array>
#include <cstddef>

#include "bvse_images.hpp"
#include "bvse_split_terms.hpp"

namespace fastin::bvse {

constexpr std::size_t kPointLanes = 8;  // one AVX-512 register of doubles

// Lane-wise partial sums; `total` adds the lanes in order.
struct PointSums {
  using Lanes = std::array<double, kPointLanes>;
  Lanes energy{};
  std::array<Lanes, 3> slope{};      // of the energy with respect to the point
  std::array<Lanes, 6> curvature{};  // xx, xy, xz, yy, yz, zz
  static double total(const Lanes& lanes) {
    double sum = 0.0;
    for (const double v : lanes) sum += v;
    return sum;
  }
};

// Add the block to the sums and empty it. Without derivatives only the energy is summed, to the same bits.
void add_morse_block(PointBlock& block, bool derivatives, PointSums& sums);
void add_coulomb_block(PointBlock& block, bool derivatives, PointSums& sums);

// The same for the near part of one term.
void add_near_block(const SplitTerm& term, TermBlock& block, bool derivatives, PointSums& sums);

}  // namespace fastin::bvse
