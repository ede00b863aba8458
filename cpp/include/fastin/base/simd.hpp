// The only file with ISA attributes: FASTIN_CLONED builds a hot leaf kernel for baseline x86-64, x86-64-v3
// (AVX2) and x86-64-v4 (AVX-512), and one of them is picked when the program is loaded: the highest that the
// processor has, or the one that the environment variable FASTIN_SIMD names, if that is lower. Below it,
// exponentials without branches or library calls, which the compiler vectorises inside such kernels.
//
// Kernel files are compiled with -fno-trapping-math (CMakeLists.txt): without it GCC does not turn the
// selections `a < b ? a : b` into packed instructions for AVX2, SSE2 and NEON. tests/test_vector_code.py
// looks at the result.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__GNUC__)
#define FASTIN_INLINE inline __attribute__((always_inline))  // a clone's body must hold the whole loop
#else
#define FASTIN_INLINE inline
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FASTIN_HAS_CLONES 1
#define FASTIN_CLONE_AT(level) static __attribute__((noinline, target("arch=" level)))
// Defines `result name parameters` by the body that follows; `arguments` are the parameters' names.
#define FASTIN_CLONED(result, name, parameters, arguments)                                             \
  static FASTIN_INLINE result name##_body parameters;                                                  \
  static __attribute__((noinline)) result name##_baseline parameters { return name##_body arguments; } \
  FASTIN_CLONE_AT("x86-64-v3") result name##_v3 parameters { return name##_body arguments; }           \
  FASTIN_CLONE_AT("x86-64-v4") result name##_v4 parameters { return name##_body arguments; }           \
  static const auto name##_chosen = ::fastin::simd::choose(&name##_baseline, &name##_v3, &name##_v4);  \
  result name parameters { return name##_chosen arguments; }                                           \
  static FASTIN_INLINE result name##_body parameters
// The same with a body that knows its level, kLevel.
#define FASTIN_CLONED_BY_LEVEL(result, name, parameters, arguments)                                   \
  template <::fastin::simd::Level kLevel>                                                             \
  static FASTIN_INLINE result name##_body parameters;                                                 \
  static __attribute__((noinline)) result name##_baseline parameters {                                \
    return name##_body<::fastin::simd::Level::baseline> arguments;                                    \
  }                                                                                                   \
  FASTIN_CLONE_AT("x86-64-v3") result name##_v3 parameters {                                          \
    return name##_body<::fastin::simd::Level::v3> arguments;                                          \
  }                                                                                                   \
  FASTIN_CLONE_AT("x86-64-v4") result name##_v4 parameters {                                          \
    return name##_body<::fastin::simd::Level::v4> arguments;                                          \
  }                                                                                                   \
  static const auto name##_chosen = ::fastin::simd::choose(&name##_baseline, &name##_v3, &name##_v4); \
  result name parameters { return name##_chosen arguments; }                                          \
  template <::fastin::simd::Level kLevel>                                                             \
  static FASTIN_INLINE result name##_body parameters
#else
#define FASTIN_HAS_CLONES 0
#define FASTIN_CLONED(result, name, parameters, arguments) result name parameters
#define FASTIN_CLONED_BY_LEVEL(result, name, parameters, arguments)                         \
  template <::fastin::simd::Level kLevel>                                                   \
  static FASTIN_INLINE result name##_body parameters;                                       \
  result name parameters { return name##_body<::fastin::simd::Level::baseline> arguments; } \
  template <::fastin::simd::Level kLevel>                                                   \
  static FASTIN_INLINE result name##_body parameters
#endif

namespace fastin {

// "x86-64-v4", "x86-64-v3" or "baseline": the level that the kernels run at in this process. Throws
// InvalidInput where FASTIN_SIMD names none of them.
const char* simd_level();

namespace simd {

enum class Level { baseline, v3, v4 };
Level level();  // decided once

template <class Function>
Function choose(Function baseline, Function v3, Function v4) {
  return level() == Level::v4 ? v4 : level() == Level::v3 ? v3 : baseline;
}

// Binary layout of a floating-point type, and the constants of its exp().
template <class Real>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = std::uint32_t;
  static constexpr int kMantissa = 23, kDegree = 6;
  static constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  static constexpr float kLow = -87.3f, kHigh = 88.0f;
  static constexpr float kLog2e = 1.44269504f, kLn2High = 0.693145752f, kLn2Low = 1.42860677e-6f;
};

template <>
struct ExpConstants<double> {
  using Bits = std::uint64_t;
  static constexpr int kMantissa = 52, kDegree = 13;
  static constexpr double kShift = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kLow = -700.0, kHigh = 700.0;
  static constexpr double kLog2e = 1.4426950408889634;
  static constexpr double kLn2High = 6.93147180369123816490e-1, kLn2Low = 1.90821492927058770002e-10;
};

// p * 2^n, where n is the integer that the addition of kShift left in the low bits of `shifted`.
template <class Real>
inline Real times_power_of_two(Real p, Real shifted) {
  using Constants = ExpConstants<Real>;
  typename Constants::Bits bits, power;
  std::memcpy(&bits, &shifted, sizeof bits);
  std::memcpy(&power, &p, sizeof power);
  power += bits << Constants::kMantissa;
  Real result;
  std::memcpy(&result, &power, sizeof result);
  return result;
}

// 1/K! + f (1/(K+1)! + ... + f/Degree!) by Horner's rule.
template <class Real, int Degree, int K = 0>
inline Real exp_series(Real f) {
  double factorial = 1.0;
  for (int k = 2; k <= K; ++k) factorial *= k;
  const Real coefficient = static_cast<Real>(1.0 / factorial);
  if constexpr (K == Degree) {
    return coefficient;
  } else {
    return exp_series<Real, Degree, K + 1>(f) * f + coefficient;
  }
}

// 2^x for -126 <= x <= 127, relative error below 2e-7 (measured in cpp/tests/bvse/test_bvse.cpp). Minimax
// polynomial of degree 5 on [-1/2, 1/2], its coefficients chosen among floats with and without fused
// operations; the integer part is read off the mantissa of x + 1.5 * 2^23 and added to the exponent.
constexpr float kExp2[] = {1.0f,           6.93146944e-1f, 2.40222365e-1f,
                           5.55073582e-2f, 9.6715074e-3f,  1.32647587e-3f};
inline float exp2_core(float x) {
  const float shifted = x + ExpConstants<float>::kShift;
  const float f = x - (shifted - ExpConstants<float>::kShift);
  float p = 1.32647587e-3f;
  p = p * f + 9.6715074e-3f;
  p = p * f + 5.55073582e-2f;
  p = p * f + 2.40222365e-1f;
  p = p * f + 6.93146944e-1f;
  p = p * f + 1.0f;
  return times_power_of_two(p, shifted);
}

// exp(x) for kLow <= x <= kHigh: the argument is split with two-part ln 2, then a Taylor series; the integer
// part is read off the mantissa as in exp2_core.
template <class Real, int Degree = ExpConstants<Real>::kDegree>
inline Real exp_in_range(Real x) {
  using Constants = ExpConstants<Real>;
  const Real shifted = x * Constants::kLog2e + Constants::kShift;
  const Real n = shifted - Constants::kShift;
  const Real f = (x - n * Constants::kLn2High) - n * Constants::kLn2Low;
  return times_power_of_two(exp_series<Real, Degree>(f), shifted);
}

// exp(x) with the argument clamped to the range of normal numbers: float [-87.3, 88], relative error below
// 2e-7; double +-700, relative error below 1e-15.
template <class Real>
inline Real exp(Real x) {
  using Constants = ExpConstants<Real>;
  x = x < Constants::kLow ? Constants::kLow : x;
  x = x > Constants::kHigh ? Constants::kHigh : x;
  return exp_in_range(x);
}

// Scaled complementary error function exp(x^2) erfc(x) for x >= 0, given t = 1 / (1 + x/2): t exp(P(t)) with
// a minimax P of degree 9 (absolute error of P 5e-8 on 0 <= x <= 10.2). Returns P(t) - the caller folds it
// into one exponential.
inline float log_erfcx_over_t(float t) {
  float p = 0.143676947f;
  p = p * t - 0.674198156f;
  p = p * t + 1.14169923f;
  p = p * t - 0.677156593f;
  p = p * t - 0.0951602181f;
  p = p * t + 0.00859259790f;
  p = p * t + 0.0323442871f;
  p = p * t + 0.387056591f;
  p = p * t + 0.998591734f;
  p = p * t - 1.26544637f;
  return p;
}

// erfc(x) for every x: absolute error below 5e-7; relative error below 2e-6 up to x = 4, 1e-5 down to erfc(9)
// = 4e-37.
inline float erfc(float x) {
  const float a = x < 0.0f ? -x : x;
  const float t = 1.0f / (1.0f + 0.5f * a);
  const float tail = t * simd::exp(log_erfcx_over_t(t) - a * a);
  return x < 0.0f ? 2.0f - tail : tail;
}

// erfc(x) in double for 0 <= x <= 10, relative error below 3e-13: t exp(P(u) - x^2) with t = 1 / (1 + x/2), u
// the image of t on [-1, 1] and P a Chebyshev fit of degree 18.
inline double erfc_tail(double x) {
  const double t = 1.0 / (1.0 + 0.5 * x);
  const double u = (2.0 * t - (1.0 + 1.0 / 6.1)) * (6.1 / 5.1);
  double p = 9.084033081308007e-09;
  p = p * u - 7.340895535890013e-08;
  p = p * u + 3.143767595665126e-08;
  p = p * u + 6.083383265883559e-07;
  p = p * u - 1.07548742677801e-06;
  p = p * u - 2.0235781138660684e-06;
  p = p * u + 8.716767368805754e-06;
  p = p * u - 1.7314658188651941e-06;
  p = p * u - 4.375151944647251e-05;
  p = p * u + 6.811097558927527e-05;
  p = p * u + 0.00015191418108267347;
  p = p * u - 0.0005623991553569748;
  p = p * u - 0.0002787193218252678;
  p = p * u + 0.0037796104442438857;
  p = p * u - 0.0011187601443328349;
  p = p * u - 0.029747917001663255;
  p = p * u + 0.01614001562437537;
  p = p * u + 0.5720724745862399;
  p = p * u - 0.5604650403560241;
  return t * simd::exp(p - x * x);
}

}  // namespace simd

}  // namespace fastin
