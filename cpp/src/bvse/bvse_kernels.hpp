// SIMD kernels of the grid: the neighbours of one species added to the points of one tile, in float32.
#pragma once

#include <array>
#include <cstddef>

#include "bvse_images.hpp"
#include "bvse_split_terms.hpp"

namespace fastin::bvse {

constexpr std::size_t kMostLanes = 16;   // points of the widest group
constexpr std::size_t kTilePoints = 64;  // 4 x 4 x 4 points: neighbours shared, little waste
constexpr std::size_t kGathered = 512;   // points whose neighbours are gathered in one go

// Points in tiles of kTilePoints and in groups, as many as are summed side by side at this process's
// instruction set, that lie close together, each with a ball that holds it.
struct PointGroups {
  struct Ball {
    float x, y, z, radius;
  };
  std::array<float, kGathered> x{}, y{}, z{};
  std::array<Ball, kGathered> balls{};  // by group
  std::array<Ball, kGathered / kTilePoints> tile_balls{};
  std::size_t count = 0;  // a multiple of kMostLanes; the last points may repeat
};
// Sets the balls; the largest distance of a point from the origin.
float enclose(PointGroups& points);

// Which part of the pair energy a kernel adds.
enum class Part { whole, near, far };

// The numbers of a term that the kernels need. Morse: exp(alpha (Rmin - R)) = 2^(offset - rate R). Coulomb:
// erfc(R / rho) / R = 1/R - a polynomial in R^2, erf(R / rho) / R; its argument is series_scale R^2 - 1.
struct KernelTerm {
  static constexpr std::size_t kMostSeries = 20;
  float offset = 0.0f, rate = 0.0f;           // Morse
  float inverse_rho = 0.0f;                   // Coulomb without a series
  float end = 0.0f, limit2 = 0.0f;            // distances (squared) above count as this
  float plain_low = 0.0f, plain_high = 0.0f;  // angstrom: between them the energy needs no window and no join
  float inverse_width = 0.0f, window_start = 0.0f;  // of the window
  float range2 = 0.0f;                              // kNearRange^2
  std::array<float, kJoinOrder + 1> join{};         // SplitTerm
  float series_scale = 0.0f;
  std::array<float, kMostSeries + 1> series{};  // of the near part: with the join's polynomial
  void (*add)(const KernelTerm& term, const Neighbors& atoms, const PointGroups& points,
              float* energy) = nullptr;
};
// Parts near and far only of terms that are split.
KernelTerm kernel_term(const SplitTerm& term, Part part);

}  // namespace fastin::bvse
