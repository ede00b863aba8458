#include "bvse_kernels.hpp"

#include <cmath>

#include "fastin/base/simd.hpp"

// Fused multiply-adds where the instruction set has them; ISO mode of GCC would forbid them.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast")
#endif

namespace fastin::bvse {

KernelTerm kernel_term(const WindowedTerm& term) {
  constexpr double kLog2e = 1.44269504088896340736;
  KernelTerm k{};
  k.offset = static_cast<float>(term.pair.alpha * term.pair.length * kLog2e);
  k.rate = static_cast<float>(term.pair.alpha * kLog2e);
  k.inverse_rho = static_cast<float>(1.0 / term.pair.length);
  k.end = static_cast<float>(term.end);
  k.start = static_cast<float>(term.start);
  k.inverse_width = static_cast<float>(1.0 / (term.end - term.start));
  return k;
}

namespace {

// Adds the windowed pair energy of every atom at n points; `pair(r, k)` is the energy at distance r without
// weight and window.
template <class Pair>
FASTIN_INLINE void add_pairs(const KernelTerm& term, const Neighbors& atoms, const float* x, const float* y,
                             const float* z, std::size_t n, float* energy, const Pair& pair) {
  const KernelTerm k = term;
  const std::size_t count = atoms.count;
  const float *ax = atoms.x.data(), *ay = atoms.y.data(), *az = atoms.z.data(), *aw = atoms.weight.data();
  const float smallest = static_cast<float>(BvseField::kMinDistance);
  for (std::size_t v = 0; v < n; v += kLanes) {
    float px[kLanes], py[kLanes], pz[kLanes], sum[kLanes] = {};
    for (std::size_t l = 0; l < kLanes; ++l) px[l] = x[v + l], py[l] = y[v + l], pz[l] = z[v + l];
    for (std::size_t i = 0; i < count; ++i) {
      const float cx = ax[i], cy = ay[i], cz = az[i], w = aw[i];
      for (std::size_t l = 0; l < kLanes; ++l) {
        const float dx = px[l] - cx, dy = py[l] - cy, dz = pz[l] - cz;
        float r = std::sqrt(dx * dx + dy * dy + dz * dz);
        r = r < smallest ? smallest : r;
        r = r < k.end ? r : k.end;
        const float e = pair(r, k);
        float t = (r - k.start) * k.inverse_width;
        t = t > 0.0f ? t : 0.0f;
        const float q = 1.0f - t * t;
        sum[l] += (w * q * q) * e;
      }
    }
    for (std::size_t l = 0; l < kLanes; ++l) energy[v + l] += sum[l];
  }
}

struct Morse {
  FASTIN_INLINE float operator()(float r, const KernelTerm& k) const {
    const float e = simd::exp2_core(k.offset - k.rate * r);
    return e * (e - 2.0f);
  }
};

struct Coulomb {
  FASTIN_INLINE float operator()(float r, const KernelTerm& k) const {
    const float s = r * k.inverse_rho, d = 1.0f + 0.5f * s;
    const float both = 1.0f / (r * d);  // one division serves 1/R and 1/d
    const float u = both * r;
    return both * simd::exp2_core((simd::log_erfcx_over_t(u) - s * s) * 1.44269504f);  // u * tail / R
  }
};

}  // namespace

FASTIN_CLONED(void, add_morse,
              (const KernelTerm& term, const Neighbors& atoms, const float* x, const float* y, const float* z,
               std::size_t n, float* energy),
              (term, atoms, x, y, z, n, energy)) {
  add_pairs(term, atoms, x, y, z, n, energy, Morse{});
}

FASTIN_CLONED(void, add_coulomb,
              (const KernelTerm& term, const Neighbors& atoms, const float* x, const float* y, const float* z,
               std::size_t n, float* energy),
              (term, atoms, x, y, z, n, energy)) {
  add_pairs(term, atoms, x, y, z, n, energy, Coulomb{});
}

}  // namespace fastin::bvse
