// Rounding to integers without a library call (baseline x86-64 has no instruction for floor).
#pragma once

#include <cstdint>

namespace fastin {

// Largest integer <= x, for |x| < 2^31.
inline std::int32_t floor_int(double x) {
  const auto i = static_cast<std::int32_t>(x);
  return i - (x < static_cast<double>(i) ? 1 : 0);
}

inline std::int32_t nearest_int(double x) { return floor_int(x + 0.5); }

}  // namespace fastin
