// The 26 neighbours of a grid point as bits, and what of them is connected.
#pragma once

#include <cstdint>

#include "fastin/base/simd.hpp"

namespace fastin {

// The 3x3x3 neighbourhood as 27 bits, bit (di + 1) * 9 + (dj + 1) * 3 + (dk + 1).
constexpr std::uint32_t kLowK = 0x1249249u;   // dk = -1
constexpr std::uint32_t kHighK = 0x4924924u;  // dk = +1
constexpr std::uint32_t kLowJ = 0x01C0E07u;   // dj = -1
constexpr std::uint32_t kHighJ = 0x70381C0u;  // dj = +1
constexpr std::uint32_t kAll = 0x7FFFFFFu;
constexpr std::uint32_t kFaces = (1u << 4) | (1u << 10) | (1u << 12) | (1u << 14) | (1u << 16) | (1u << 22);

FASTIN_INLINE std::uint32_t spread_k(std::uint32_t m) { return ((m & ~kHighK) << 1) | ((m & ~kLowK) >> 1); }
FASTIN_INLINE std::uint32_t spread_j(std::uint32_t m) { return ((m & ~kHighJ) << 3) | ((m & ~kLowJ) >> 3); }
FASTIN_INLINE std::uint32_t spread_i(std::uint32_t m) { return ((m << 9) & kAll) | (m >> 9); }

// Bits of the neighbourhood adjacent to some bit of m, and m.
template <int Connectivity>
FASTIN_INLINE std::uint32_t grow(std::uint32_t m) {
  if (Connectivity == 6) return m | spread_k(m) | spread_j(m) | spread_i(m);
  m |= spread_k(m);
  m |= spread_j(m);
  return m | spread_i(m);
}

// The connected piece of `mask` that holds the bits of `seed`.
template <int Connectivity>
inline std::uint32_t flood(std::uint32_t seed, std::uint32_t mask) {
  for (;;) {
    const std::uint32_t next = grow<Connectivity>(seed) & mask;
    if (next == seed) return seed;
    seed = next;
  }
}
inline std::uint32_t piece_of(std::uint32_t seed, std::uint32_t mask, int connectivity) {
  return connectivity == 6 ? flood<6>(seed, mask) : flood<26>(seed, mask);
}

FASTIN_INLINE std::uint32_t lowest_bit(std::uint32_t m) { return m & (~m + 1u); }

}  // namespace fastin
