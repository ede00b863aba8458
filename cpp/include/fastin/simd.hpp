// The only file with ISA attributes: FASTIN_CLONES builds a hot leaf kernel for baseline x86-64, x86-64-v3 (AVX2)
// and x86-64-v4 (AVX-512) and picks one at load time. glibc on x86-64 only (needs ifunc); elsewhere it is empty.
#pragma once

#include <cstddef>  // defines __GLIBC__ where the C library is glibc

#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(FASTIN_NO_CLONES)
#define FASTIN_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#define FASTIN_HAS_CLONES 1
#else
#define FASTIN_CLONES
#define FASTIN_HAS_CLONES 0
#endif

namespace fastin {

// "x86-64-v4", "x86-64-v3" or "baseline": the level that FASTIN_CLONES resolves to on this machine.
inline const char* simd_level() {
#if FASTIN_HAS_CLONES
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
  if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
#endif
  return "baseline";
}

}  // namespace fastin
