#include "fastin/base/simd.hpp"

#include <array>
#include <cstdlib>
#include <string>

#include "fastin/base/error.hpp"

namespace fastin {
namespace {

constexpr std::array<const char*, 3> kNames = {"baseline", "x86-64-v3", "x86-64-v4"};

simd::Level supported() {
#if FASTIN_HAS_CLONES
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return simd::Level::v4;
  if (__builtin_cpu_supports("x86-64-v3")) return simd::Level::v3;
#endif
  return simd::Level::baseline;
}

// Index of the level that FASTIN_SIMD names; -1 where it is unset or empty, -2 where it names none.
int wanted() {
  const char* text = std::getenv("FASTIN_SIMD");
  if (text == nullptr || *text == '\0') return -1;
  for (std::size_t k = 0; k < kNames.size(); ++k) {
    if (std::string(text) == kNames[k]) return static_cast<int>(k);
  }
  return -2;
}

simd::Level decide() {
  const simd::Level highest = supported();
  const int asked = wanted();
  return asked >= 0 && asked < static_cast<int>(highest) ? static_cast<simd::Level>(asked) : highest;
}

}  // namespace

simd::Level simd::level() {
  static const Level chosen = decide();
  return chosen;
}

const char* simd_level() {
  if (wanted() == -2) {
    throw InvalidInput("the environment variable FASTIN_SIMD must be baseline, x86-64-v3 or x86-64-v4");
  }
  return kNames[static_cast<std::size_t>(simd::level())];
}

}  // namespace fastin
