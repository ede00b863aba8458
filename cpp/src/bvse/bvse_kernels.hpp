// SIMD kernels of the grid: the neighbours of one species added to the points of one tile, in float32.
#pragma once

#include <cstddef>

#include "bvse_images.hpp"

namespace fastin::bvse {

constexpr std::size_t kLanes = 16;       // points per vector: one AVX-512 register of floats
constexpr std::size_t kTilePoints = 64;  // 4 x 4 x 4 points at 0.2 angstrom: neighbours shared, little waste

// The numbers of a term that the kernels need. Morse: exp(alpha (Rmin - R)) = 2^(offset - rate R).
struct KernelTerm {
  float offset, rate;  // Morse
  float inverse_rho;   // Coulomb
  float end, start, inverse_width;
};
KernelTerm kernel_term(const WindowedTerm& term);

// energy[p] += sum over neighbours; `n` is a multiple of kLanes.
void add_morse(const KernelTerm& term, const Neighbors& atoms, const float* x, const float* y, const float* z,
               std::size_t n, float* energy);
void add_coulomb(const KernelTerm& term, const Neighbors& atoms, const float* x, const float* y,
                 const float* z, std::size_t n, float* energy);

}  // namespace fastin::bvse
