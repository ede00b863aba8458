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

struct KernelTerm;
using PairKernel = void(const KernelTerm& term, const Neighbors& atoms, const PointGroups& points,
                        float* energy);

// The numbers of a term that the kernels need. They count distances r and their squares s in a unit of their
// own, `unit` to the angstrom, and energies in `energy_unit`: Morse, exp(alpha (Rmin - R)) = 2^(offset - r),
// and eV; Coulomb, erfc(R / rho) / R = 1/r - a polynomial in t = s - 1, erf(R / rho) / R, or r = R / rho
// where that polynomial would be too long.
struct KernelTerm {
  static constexpr std::size_t kMostSeries = 20;
  float unit = 1.0f, energy_unit = 1.0f;      // 1/angstrom; weights are multiplied by energy_unit
  float plain_low = 0.0f, plain_high = 0.0f;  // angstrom: between them the energy needs no window and no join
  float end = 0.0f;                           // angstrom
  float least = 0.0f, limit = 0.0f;           // distances below and above count as this
  float least2 = 0.0f, limit2 = 0.0f;         // their squares
  float range = 0.0f, range2 = 0.0f;          // kNearRange
  float shift = 0.0f;                         // Morse: 1.5 * 2^23 + the integer next to offset
  std::array<float, 6> exp2{};                // 2^f on [-1/2, 1/2] times 2^(what is left of offset)
  float inverse_width = 0.0f, window_start = 0.0f;  // of the window
  std::array<float, kJoinOrder + 1> join{};         // SplitTerm
  std::array<float, kMostSeries + 1> series{};      // of the near part: with the join's polynomial
  PairKernel* add = nullptr;
};
// Parts near and far only of terms that are split.
KernelTerm kernel_term(const SplitTerm& term, Part part);

PairKernel add_morse, add_morse_near, add_morse_far;
PairKernel add_coulomb_12, add_coulomb_15, add_coulomb_20, add_coulomb_short;  // by degree of the series
PairKernel add_coulomb_near_10, add_coulomb_near_12, add_coulomb_near_16, add_coulomb_near_20;
PairKernel add_coulomb_far_15, add_coulomb_far_20;

}  // namespace fastin::bvse
