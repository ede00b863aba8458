#include "bvse_kernels.hpp"

#include <cmath>

#include "fastin/base/simd.hpp"

// Fused multiply-adds where the instruction set has them; ISO mode of GCC would forbid them.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast")
#endif

namespace fastin::bvse {
namespace {

// c[0] + t (c[1] + t (c[2] + ...)) up to t^Degree; unrolled before the compiler vectorises the loop around
// it.
template <std::size_t Degree, std::size_t K = 0>
FASTIN_INLINE float horner(const float* c, float t) {
  if constexpr (K == Degree) {
    return c[K];
  } else {
    return horner<Degree, K + 1>(c, t) * t + c[K];
  }
}

// Adds the energy of every atom at n points, n a multiple of kLanes; `pair(s, k)` is the energy at distance
// squared s for unit weight.
template <class Pair>
FASTIN_INLINE void add_pairs(const KernelTerm& term, const Neighbors& atoms, const float* x, const float* y,
                             const float* z, std::size_t n, float* energy, const Pair& pair) {
  const KernelTerm k = term;
  const std::size_t count = atoms.count;
  const float *ax = atoms.x.data(), *ay = atoms.y.data(), *az = atoms.z.data(), *aw = atoms.weight.data();
  constexpr auto kSmallest = static_cast<float>(BvseField::kMinDistance * BvseField::kMinDistance);
  for (std::size_t v = 0; v < n; v += kLanes) {
    float px[kLanes], py[kLanes], pz[kLanes], sum[kLanes] = {};
    for (std::size_t l = 0; l < kLanes; ++l) px[l] = x[v + l], py[l] = y[v + l], pz[l] = z[v + l];
    for (std::size_t i = 0; i < count; ++i) {
      const float cx = ax[i], cy = ay[i], cz = az[i], w = aw[i];
      for (std::size_t l = 0; l < kLanes; ++l) {
        const float dx = px[l] - cx, dy = py[l] - cy, dz = pz[l] - cz;
        float s = dx * dx + dy * dy + dz * dz;
        if constexpr (!Pair::kFar) s = s > kSmallest ? s : kSmallest;  // the far part is smooth down to 0
        s = s < k.limit2 ? s : k.limit2;
        sum[l] += w * pair(s, k);
      }
    }
    for (std::size_t l = 0; l < kLanes; ++l) energy[v + l] += sum[l];
  }
}

FASTIN_INLINE float morse(float r, const KernelTerm& k) {
  const float e = simd::exp2_core(k.offset - k.rate * r);
  return e * (e - 2.0f);
}

FASTIN_INLINE float window(float r, const KernelTerm& k) {
  float t = (r - k.start) * k.inverse_width;
  t = t > 0.0f ? t : 0.0f;
  const float q = 1.0f - t * t;
  return q * q;
}

FASTIN_INLINE float join(float s, const KernelTerm& k) {
  return horner<kJoinOrder>(k.join.data(), s - k.range2);
}

struct Morse {
  static constexpr bool kFar = false;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float r = std::sqrt(s);
    return morse(r, k) * window(r, k);
  }
};

struct MorseNear {
  static constexpr bool kFar = false;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    return morse(std::sqrt(s), k) - join(s, k);
  }
};

struct MorseFar {
  static constexpr bool kFar = true;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float beyond = s > k.range2 ? s : k.range2, r = std::sqrt(beyond);
    const float out = morse(r, k) * window(r, k), in = join(s < k.range2 ? s : k.range2, k);
    return s < k.range2 ? in : out;
  }
};

template <std::size_t Degree>
FASTIN_INLINE float screened(float s, float inverse_r, const KernelTerm& k) {
  return inverse_r - horner<Degree>(k.series.data(), s * k.series_scale - 1.0f);
}

template <std::size_t Degree>
struct Coulomb {
  static constexpr bool kFar = false;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float inverse_r = 1.0f / std::sqrt(s);
    return screened<Degree>(s, inverse_r, k) * window(s * inverse_r, k);
  }
};

template <std::size_t Degree>
struct CoulombNear {
  static constexpr bool kFar = false;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    return screened<Degree>(s, 1.0f / std::sqrt(s), k);
  }
};

template <std::size_t Degree>
struct CoulombFar {
  static constexpr bool kFar = true;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float beyond = s > k.range2 ? s : k.range2, inverse_r = 1.0f / std::sqrt(beyond);
    const float out = screened<Degree>(beyond, inverse_r, k) * window(beyond * inverse_r, k);
    const float in = join(s < k.range2 ? s : k.range2, k);
    return s < k.range2 ? in : out;
  }
};

// Where the series of erf(R / rho) / R would be too long.
struct CoulombShort {
  static constexpr bool kFar = false;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float r = std::sqrt(s);
    const float x = r * k.inverse_rho, d = 1.0f + 0.5f * x;
    const float both = 1.0f / (r * d);  // one division serves 1/R and 1/d
    const float u = both * r;
    // u * tail / R
    return both * simd::exp2_core((simd::log_erfcx_over_t(u) - x * x) * 1.44269504f) * window(r, k);
  }
};

}  // namespace

#define FASTIN_PAIR_KERNEL(name, pair)                                                           \
  FASTIN_CLONED(void, name,                                                                      \
                (const KernelTerm& term, const Neighbors& atoms, const float* x, const float* y, \
                 const float* z, std::size_t n, float* energy),                                  \
                (term, atoms, x, y, z, n, energy)) {                                             \
    add_pairs(term, atoms, x, y, z, n, energy, pair{});                                          \
  }

FASTIN_PAIR_KERNEL(add_morse, Morse)
FASTIN_PAIR_KERNEL(add_morse_near, MorseNear)
FASTIN_PAIR_KERNEL(add_morse_far, MorseFar)
FASTIN_PAIR_KERNEL(add_coulomb_short, CoulombShort)
FASTIN_PAIR_KERNEL(add_coulomb_12, Coulomb<12>)
FASTIN_PAIR_KERNEL(add_coulomb_16, Coulomb<16>)
FASTIN_PAIR_KERNEL(add_coulomb_20, Coulomb<20>)
FASTIN_PAIR_KERNEL(add_coulomb_near_12, CoulombNear<12>)
FASTIN_PAIR_KERNEL(add_coulomb_near_16, CoulombNear<16>)
FASTIN_PAIR_KERNEL(add_coulomb_near_20, CoulombNear<20>)
FASTIN_PAIR_KERNEL(add_coulomb_far, CoulombFar<20>)

namespace {

// Series of f over [0, high]: coefficients of powers of t = 2 s / high - 1, up to the degree at which what is
// left is below kSeriesError of the largest coefficient; the degree, or kMostSeries + 1 where that is not
// reached.
constexpr double kSeriesError = 1e-8;  // 1/angstrom

template <class F>
std::size_t fit_series(const F& f, double high, std::array<float, KernelTerm::kMostSeries + 1>* series) {
  constexpr std::size_t kNodes = 40, kMost = KernelTerm::kMostSeries;
  constexpr double kPi = 3.14159265358979323846;
  std::array<double, kNodes> values{}, chebyshev{};
  for (std::size_t i = 0; i < kNodes; ++i) {
    const double t = std::cos(kPi * (static_cast<double>(i) + 0.5) / kNodes);
    values[i] = f(0.5 * high * (t + 1.0));
  }
  for (std::size_t k = 0; k < kNodes; ++k) {
    for (std::size_t i = 0; i < kNodes; ++i)
      chebyshev[k] +=
          values[i] * std::cos(kPi * static_cast<double>(k) * (static_cast<double>(i) + 0.5) / kNodes);
    chebyshev[k] *= (k == 0 ? 1.0 : 2.0) / kNodes;
  }
  double left = 0.0;
  std::size_t degree = kNodes - 1;
  while (degree > 0 && left + std::abs(chebyshev[degree]) < kSeriesError)
    left += std::abs(chebyshev[degree--]);
  if (degree > kMost) return kMost + 1;
  // Powers of t from T_{k+1} = 2 t T_k - T_{k-1}.
  std::array<double, kMost + 1> powers{}, last{}, now{};
  last[0] = 1.0;
  now[1] = 1.0;
  powers[0] = chebyshev[0];
  for (std::size_t k = 1; k <= degree; ++k) {
    for (std::size_t j = 0; j <= k; ++j) powers[j] += chebyshev[k] * now[j];
    std::array<double, kMost + 1> next{};
    for (std::size_t j = 0; j + 1 <= kMost; ++j) next[j + 1] = 2.0 * now[j];
    for (std::size_t j = 0; j <= kMost; ++j) next[j] -= last[j];
    last = now;
    now = next;
  }
  for (std::size_t j = 0; j <= kMost; ++j) (*series)[j] = static_cast<float>(powers[j]);
  return degree;
}

}  // namespace

KernelTerm kernel_term(const SplitTerm& split, Part part) {
  constexpr double kLog2e = 1.44269504088896340736;
  const WindowedTerm& term = split.term;
  KernelTerm k;
  k.offset = static_cast<float>(term.pair.alpha * term.pair.length * kLog2e);
  k.rate = static_cast<float>(term.pair.alpha * kLog2e);
  k.inverse_rho = static_cast<float>(1.0 / term.pair.length);
  k.start = static_cast<float>(term.start);
  k.inverse_width = static_cast<float>(1.0 / (term.end - term.start));
  k.range2 = static_cast<float>(kNearRange * kNearRange);
  const double limit = part == Part::near ? kNearRange : term.end, limit2 = limit * limit;
  k.limit2 = static_cast<float>(limit2);
  for (std::size_t j = 0; j < k.join.size(); ++j) k.join[j] = static_cast<float>(split.join[j]);
  if (!term.pair.coulomb) {
    k.add = part == Part::whole ? add_morse : part == Part::near ? add_morse_near : add_morse_far;
    return k;
  }
  const auto smooth = [&](double s) {
    const double r = std::sqrt(s);
    double value = std::erf(r / term.pair.length) / r;
    if (part != Part::near) return value;
    double power = 1.0;
    for (const double c : split.join) {
      value += c * power;
      power *= s - kNearRange * kNearRange;
    }
    return value;
  };
  k.series_scale = static_cast<float>(2.0 / limit2);
  const std::size_t degree = fit_series(smooth, limit2, &k.series);
  const std::size_t kind = degree <= 12 ? 0 : degree <= 16 ? 1 : degree <= 20 ? 2 : 3;
  constexpr std::array<decltype(k.add), 4> kWhole{add_coulomb_12, add_coulomb_16, add_coulomb_20,
                                                  add_coulomb_short};
  constexpr std::array<decltype(k.add), 4> kNear{add_coulomb_near_12, add_coulomb_near_16,
                                                 add_coulomb_near_20, nullptr};
  k.add = part == Part::whole  ? kWhole[kind]
          : part == Part::near ? kNear[kind]
          : kind < 3           ? add_coulomb_far
                               : nullptr;
  return k;
}

}  // namespace fastin::bvse
