// SIMD kernels of the grid: the neighbours of one species added to the points of one tile, in float32.
#pragma once

#include <array>
#include <cstddef>

#include "bvse_images.hpp"
#include "bvse_split_terms.hpp"

namespace fastin::bvse {

constexpr std::size_t kLanes = 16;       // points per vector: one AVX-512 register of floats
constexpr std::size_t kTilePoints = 64;  // 4 x 4 x 4 points at 0.2 angstrom: neighbours shared, little waste

// Which part of the pair energy a kernel adds.
enum class Part { whole, near, far };

// The numbers of a term that the kernels need. Morse: exp(alpha (Rmin - R)) = 2^(offset - rate R). Coulomb:
// erfc(R / rho) / R = 1/R - a polynomial in R^2, erf(R / rho) / R; its argument is series_scale R^2 - 1.
struct KernelTerm {
  static constexpr std::size_t kMostSeries = 20;
  float offset = 0.0f, rate = 0.0f;          // Morse
  float inverse_rho = 0.0f;                  // Coulomb without a series
  float limit2 = 0.0f;                       // distances squared above count as this
  float start = 0.0f, inverse_width = 0.0f;  // of the window
  float range2 = 0.0f;                       // kNearRange^2
  std::array<float, kJoinOrder + 1> join{};  // SplitTerm
  float series_scale = 0.0f;
  std::array<float, kMostSeries + 1> series{};  // of the near part: with the join's polynomial
  void (*add)(const KernelTerm& term, const Neighbors& atoms, const float* x, const float* y, const float* z,
              std::size_t n, float* energy) = nullptr;
};
// Parts near and far only of terms that are split.
KernelTerm kernel_term(const SplitTerm& term, Part part);

}  // namespace fastin::bvse
