#include "bvse_point.hpp"

#include <cmath>

#include "fastin/base/simd.hpp"
#include "fastin/bvse/bvse.hpp"

// Fused multiply-adds where the instruction set has them; ISO mode of GCC would forbid them.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast")
#endif

namespace fastin::bvse {
namespace {

constexpr double kTwoOverRootPi = 1.12837916709551257390;

// Fills up the last vector with neighbours that weigh nothing.
std::size_t pad(PointBlock& b) {
  const std::size_t padded = (b.count + kPointLanes - 1) / kPointLanes * kPointLanes;
  for (std::size_t i = b.count; i < padded; ++i) {
    b.x[i] = b.start[i] = 1.0;
    b.y[i] = b.z[i] = b.strength[i] = b.offset[i] = 0.0;
    b.rate[i] = 1.0;
  }
  return padded;
}

// The window S and its first two derivatives: S = (1 - t^2)^2 beyond `start`, 1 before.
struct Window {
  double s, s1, s2;
};
inline Window window(double r, double start) {
  constexpr double kInverse = 1.0 / BvseField::kSwitchWidth;
  double t = (r - start) * kInverse;
  t = t > 0.0 ? t : 0.0;
  const double q = 1.0 - t * t;
  const double s2 = (12.0 * t * t - 4.0) * kInverse * kInverse;
  return {q * q, -4.0 * t * q * kInverse, t > 0.0 ? s2 : 0.0};
}

// Adds lane l of the gradient and Hessian of a function of R = |d| with first and second derivative d1 and
// d2; d from the point to the atom.
inline void add_radial(std::size_t l, double x, double y, double z, double inverse_r, double d1, double d2,
                       PointSums& sums) {
  const double first = d1 * inverse_r, second = (d2 - first) * inverse_r * inverse_r;
  sums.slope[0][l] -= first * x;
  sums.slope[1][l] -= first * y;
  sums.slope[2][l] -= first * z;
  const double sx = second * x, sy = second * y, sz = second * z;
  sums.curvature[0][l] += sx * x + first;
  sums.curvature[1][l] += sx * y;
  sums.curvature[2][l] += sx * z;
  sums.curvature[3][l] += sy * y + first;
  sums.curvature[4][l] += sy * z;
  sums.curvature[5][l] += sz * z + first;
}

// The same of phi(R) S(R).
inline void add_derivatives(std::size_t l, double x, double y, double z, double inverse_r, double p0,
                            double p1, double p2, const Window& w, PointSums& sums) {
  add_radial(l, x, y, z, inverse_r, p1 * w.s + p0 * w.s1, p2 * w.s + 2.0 * p1 * w.s1 + p0 * w.s2, sums);
}

// The polynomial of a split term and its first two derivatives along R.
struct Join {
  double p0, p1, p2;
};
inline Join join(const std::array<double, kJoinOrder + 1>& c, double r) {
  const double q = r * r - kNearRange * kNearRange;
  double value = c[kJoinOrder], first = 0.0, second = 0.0;  // by q
  for (std::size_t k = kJoinOrder; k-- > 0;) {
    second = second * q + 2.0 * first;
    first = first * q + value;
    value = value * q + c[k];
  }
  return {value, 2.0 * r * first, 2.0 * first + 4.0 * r * r * second};
}

// Derivatives of the bare pair energy of weight 1.
struct Bare {
  double p0, p1, p2;
};
struct MorseShape {
  double rate, offset;
  FASTIN_INLINE Bare operator()(double r) const {
    const double e = simd::exp(offset - rate * r);
    return {e * (e - 2.0), -2.0 * rate * e * (e - 1.0), 2.0 * rate * rate * e * (2.0 * e - 1.0)};
  }
};
struct CoulombShape {
  double rate;
  FASTIN_INLINE Bare operator()(double r) const {
    const double x = r * rate, inverse = 1.0 / r;
    const double gauss = kTwoOverRootPi * rate * simd::exp(-x * x);
    const double p0 = simd::erfc_tail(x) * inverse;
    return {p0, -(p0 + gauss) * inverse,
            2.0 * p0 * inverse * inverse + 2.0 * gauss * (inverse * inverse + rate * rate)};
  }
};

template <class Shape>
FASTIN_INLINE void add_near(const SplitTerm& term, TermBlock& b, bool derivatives, PointSums& sums,
                            const Shape& shape) {
  const std::size_t padded = (b.count + kPointLanes - 1) / kPointLanes * kPointLanes;
  for (std::size_t i = b.count; i < padded; ++i) {
    b.x[i] = 1.0;
    b.y[i] = b.z[i] = b.strength[i] = 0.0;
  }
  const double start = term.term.start;
  PointSums s = sums;
  for (std::size_t i = 0; i < padded; i += kPointLanes) {
    // Columns, not an array of structures: the compiler keeps each in one register.
    double r[kPointLanes], p0[kPointLanes], p1[kPointLanes], p2[kPointLanes];
    double j0[kPointLanes], j1[kPointLanes], j2[kPointLanes], w0[kPointLanes], w1[kPointLanes],
        w2[kPointLanes];
    for (std::size_t l = 0; l < kPointLanes; ++l) {
      const std::size_t k = i + l;
      const double d = std::sqrt(b.x[k] * b.x[k] + b.y[k] * b.y[k] + b.z[k] * b.z[k]);
      r[l] = d < BvseField::kMinDistance ? BvseField::kMinDistance : d;
      const Bare bare = shape(r[l]);
      const Join in = join(term.join, r[l]);
      const Window w = window(r[l], start);
      p0[l] = bare.p0, p1[l] = bare.p1, p2[l] = bare.p2;
      j0[l] = in.p0, j1[l] = in.p1, j2[l] = in.p2;
      w0[l] = w.s, w1[l] = w.s1, w2[l] = w.s2;
      s.energy[l] += b.strength[k] * (p0[l] * w0[l] - j0[l]);
    }
    if (!derivatives) continue;
    for (std::size_t l = 0; l < kPointLanes; ++l) {
      const std::size_t k = i + l;
      const double d1 = b.strength[k] * (p1[l] * w0[l] + p0[l] * w1[l] - j1[l]);
      const double d2 = b.strength[k] * (p2[l] * w0[l] + 2.0 * p1[l] * w1[l] + p0[l] * w2[l] - j2[l]);
      add_radial(l, b.x[k], b.y[k], b.z[k], 1.0 / r[l], d1, d2, s);
    }
  }
  sums = s;
  b.count = 0;
}

}  // namespace

FASTIN_CLONED(void, add_near_morse,
              (const SplitTerm& term, TermBlock& block, bool derivatives, PointSums& sums),
              (term, block, derivatives, sums)) {
  add_near(term, block, derivatives, sums,
           MorseShape{term.term.pair.alpha, term.term.pair.alpha * term.term.pair.length});
}

FASTIN_CLONED(void, add_near_coulomb,
              (const SplitTerm& term, TermBlock& block, bool derivatives, PointSums& sums),
              (term, block, derivatives, sums)) {
  add_near(term, block, derivatives, sums, CoulombShape{1.0 / term.term.pair.length});
}

void add_near_block(const SplitTerm& term, TermBlock& block, bool derivatives, PointSums& sums) {
  if (block.count == 0) return;
  (term.term.pair.coulomb ? add_near_coulomb : add_near_morse)(term, block, derivatives, sums);
}

FASTIN_CLONED(void, add_morse_block, (PointBlock & block, bool derivatives, PointSums& sums),
              (block, derivatives, sums)) {
  const std::size_t n = pad(block);
  PointSums s = sums;
  for (std::size_t i = 0; i < n; i += kPointLanes) {
    double e[kPointLanes], r[kPointLanes];
    for (std::size_t l = 0; l < kPointLanes; ++l) {
      const std::size_t k = i + l;
      const double d = std::sqrt(block.x[k] * block.x[k] + block.y[k] * block.y[k] + block.z[k] * block.z[k]);
      r[l] = d < BvseField::kMinDistance ? BvseField::kMinDistance : d;
      e[l] = simd::exp(block.offset[k] - block.rate[k] * r[l]);
      const Window w = window(r[l], block.start[k]);
      s.energy[l] += block.strength[k] * e[l] * (e[l] - 2.0) * w.s;
    }
    if (!derivatives) continue;
    for (std::size_t l = 0; l < kPointLanes; ++l) {
      const std::size_t k = i + l;
      const double a = block.rate[k], we = block.strength[k] * e[l];
      add_derivatives(l, block.x[k], block.y[k], block.z[k], 1.0 / r[l], we * (e[l] - 2.0),
                      -2.0 * a * we * (e[l] - 1.0), 2.0 * a * a * we * (2.0 * e[l] - 1.0),
                      window(r[l], block.start[k]), s);
    }
  }
  sums = s;
  block.count = 0;
}

FASTIN_CLONED(void, add_coulomb_block, (PointBlock & block, bool derivatives, PointSums& sums),
              (block, derivatives, sums)) {
  const std::size_t n = pad(block);
  PointSums s = sums;
  for (std::size_t i = 0; i < n; i += kPointLanes) {
    double tail[kPointLanes], r[kPointLanes];
    for (std::size_t l = 0; l < kPointLanes; ++l) {
      const std::size_t k = i + l;
      const double d = std::sqrt(block.x[k] * block.x[k] + block.y[k] * block.y[k] + block.z[k] * block.z[k]);
      r[l] = d < BvseField::kMinDistance ? BvseField::kMinDistance : d;
      tail[l] = simd::erfc_tail(r[l] * block.rate[k]);
      const Window w = window(r[l], block.start[k]);
      s.energy[l] += block.strength[k] * (tail[l] / r[l]) * w.s;
    }
    if (!derivatives) continue;
    for (std::size_t l = 0; l < kPointLanes; ++l) {
      const std::size_t k = i + l;
      const double a = block.rate[k], x = r[l] * a, inverse = 1.0 / r[l], weight = block.strength[k];
      const double gauss = kTwoOverRootPi * a * simd::exp(-x * x);
      const double p0 = weight * tail[l] * inverse, p1 = -p0 * inverse - weight * gauss * inverse;
      const double p2 = 2.0 * p0 * inverse * inverse + 2.0 * weight * gauss * (inverse * inverse + a * a);
      add_derivatives(l, block.x[k], block.y[k], block.z[k], inverse, p0, p1, p2,
                      window(r[l], block.start[k]), s);
    }
  }
  sums = s;
  block.count = 0;
}

}  // namespace fastin::bvse
