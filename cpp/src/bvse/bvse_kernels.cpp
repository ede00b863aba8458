#include "bvse_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "fastin/base/simd.hpp"

// Fused multiply-adds where the instruction set has them; ISO mode of GCC would forbid them.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast")
#endif

namespace fastin::bvse {
namespace {

// Points summed side by side: one register of AVX-512 or of AVX2, two of SSE2 or NEON.
constexpr std::size_t lanes(simd::Level level) { return level == simd::Level::v4 ? 16 : 8; }
static_assert(lanes(simd::Level::v4) == kMostLanes && kTilePoints % kMostLanes == 0 &&
              kGathered % kTilePoints == 0);

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

typedef float Four __attribute__((vector_size(16)));
typedef std::int32_t FourInts __attribute__((vector_size(16)));

// Bit l is set where the l-th is true.
FASTIN_INLINE unsigned bits_of(FourInts truth) {
#if defined(__SSE2__)
  return static_cast<unsigned>(__builtin_ia32_movmskps(reinterpret_cast<Four>(truth)));
#else
  truth &= FourInts{1, 2, 4, 8};
  return static_cast<unsigned>(truth[0] + truth[1] + truth[2] + truth[3]);
#endif
}

// Squares of the distances from a ball's centre between which neighbours are in the plain zone of all its
// points, and at which they end for all of them.
struct Limits {
  float low2, high2, end2;
};

FASTIN_INLINE Limits limits_of(const KernelTerm& k, float radius) {
  const float low = k.plain_low + radius, high = k.plain_high - radius, end = k.end + radius;
  return {low * low, high > 0.0f ? high * high : 0.0f, end * end};
}

// Columns of at least eight atoms more than they hold.
struct Columns {
  const float *x, *y, *z, *weight;
};

// Bits of the eight atoms from the i-th on: in the plain zone, and near but not in it.
struct Masks {
  unsigned plain, edge;
};
FASTIN_INLINE Masks compare(const Columns& atoms, std::size_t i, const PointGroups::Ball& ball,
                            const Limits& limits) {
  unsigned near = 0, plain = 0;
  for (std::size_t half = 0; half < 8; half += 4) {
    Four x, y, z;
    std::memcpy(&x, atoms.x + i + half, sizeof x);
    std::memcpy(&y, atoms.y + i + half, sizeof y);
    std::memcpy(&z, atoms.z + i + half, sizeof z);
    x -= ball.x, y -= ball.y, z -= ball.z;
    const Four d2 = x * x + y * y + z * z;
    near |= bits_of(d2 < limits.end2) << half;
    plain |= bits_of((d2 > limits.low2) & (d2 < limits.high2)) << half;
  }
  return {plain, near & ~plain};
}

// The numbers of the set bits of a byte.
struct SetBits {
  std::uint16_t number[256][8] = {};
  std::uint8_t count[256] = {};
};
constexpr SetBits make_set_bits() {
  SetBits table;
  for (unsigned mask = 0; mask < 256; ++mask) {
    std::uint8_t n = 0;
    for (unsigned bit = 0; bit < 8; ++bit) {
      if (((mask >> bit) & 1U) != 0) table.number[mask][n++] = static_cast<std::uint16_t>(bit);
    }
    table.count[mask] = n;
  }
  return table;
}
constexpr SetBits kSetBits = make_set_bits();

constexpr std::size_t kChunk = 256;  // atoms looked at in one go

struct Numbers {
  typedef std::uint16_t Eight __attribute__((vector_size(16)));
  std::uint16_t number[kChunk + 8];
  std::size_t count = 0;
  FASTIN_INLINE void add(std::size_t base, unsigned mask) {
    Eight from;
    std::memcpy(&from, kSetBits.number[mask], sizeof from);
    from += static_cast<std::uint16_t>(base);
    std::memcpy(number + count, &from, sizeof from);
    count += kSetBits.count[mask];
  }
};

// Atoms copied out of a longer list.
struct Copies {
  float x[kChunk + 8], y[kChunk + 8], z[kChunk + 8], weight[kChunk + 8];
  std::size_t count = 0;
  FASTIN_INLINE Columns columns() const { return {x, y, z, weight}; }
  FASTIN_INLINE void take(const Columns& from, const Numbers& numbers) {
    count = numbers.count;
    for (std::size_t n = 0; n < count; ++n) {
      const std::size_t i = numbers.number[n];
      x[n] = from.x[i], y[n] = from.y[i], z[n] = from.z[i], weight[n] = from.weight[i];
    }
    for (std::size_t n = count; n < count + 8; ++n) x[n] = y[n] = z[n] = kNowhere, weight[n] = 0.0f;
  }
};

// sum[l] += weight times energy(s) of the atoms number(0), number(1), ... at the points (px[l], py[l],
// pz[l]).
template <std::size_t Lanes, class Number, class Energy>
FASTIN_INLINE void sum_pairs(const Columns& atoms, std::size_t count, const Number& number, const float* px,
                             const float* py, const float* pz, float* sum, const Energy& energy) {
  for (std::size_t n = 0; n < count; ++n) {
    const std::size_t i = number(n);
    const float cx = atoms.x[i], cy = atoms.y[i], cz = atoms.z[i], w = atoms.weight[i];
    for (std::size_t l = 0; l < Lanes; ++l) {
      const float dx = px[l] - cx, dy = py[l] - cy, dz = pz[l] - cz;
      sum[l] += w * energy(dx * dx + dy * dy + dz * dz);
    }
  }
}

// Adds the energy of every atom at the points. `pair.plain(s, k)` is the energy of unit weight at distance
// squared s in the plain zone, `pair(s, k)` anywhere. Atoms are chosen twice: for a tile of points, where
// most of the chosen are plain for all of them, and what is left for each group.
template <std::size_t Lanes, class Pair>
FASTIN_INLINE void add_pairs(const KernelTerm& term, const Neighbors& atoms, const PointGroups& points,
                             float* energy, const Pair& pair) {
  const KernelTerm k = term;
  constexpr auto kSmallest = static_cast<float>(BvseField::kMinDistance * BvseField::kMinDistance);
  const auto plain = [&](float s) { return pair.plain(s, k); };
  const auto any = [&](float s) {
    if constexpr (!Pair::kFar) s = s > kSmallest ? s : kSmallest;  // the far part is smooth down to 0
    return pair(s < k.limit2 ? s : k.limit2, k);
  };
  Numbers inside, around, inside_group, around_group;
  Copies all_plain, shell;
  for (std::size_t tile = 0; tile < points.count; tile += kTilePoints) {
    const std::size_t tile_end = tile + kTilePoints < points.count ? tile + kTilePoints : points.count;
    const PointGroups::Ball tile_ball = points.tile_balls[tile / kTilePoints];
    const Limits tile_limits = limits_of(k, tile_ball.radius);
    for (std::size_t first = 0; first < atoms.count; first += kChunk) {
      const Columns chunk{atoms.x.data() + first, atoms.y.data() + first, atoms.z.data() + first,
                          atoms.weight.data() + first};
      const std::size_t count = atoms.count - first < kChunk ? atoms.count - first : kChunk;
      inside.count = around.count = 0;
      for (std::size_t i = 0; i < count; i += 8) {
        const Masks masks = compare(chunk, i, tile_ball, tile_limits);
        inside.add(i, masks.plain);
        around.add(i, masks.edge);
      }
      all_plain.take(chunk, inside);
      shell.take(chunk, around);
      for (std::size_t v = tile; v < tile_end; v += Lanes) {
        float px[Lanes], py[Lanes], pz[Lanes], sum[Lanes] = {};
        for (std::size_t l = 0; l < Lanes; ++l)
          px[l] = points.x[v + l], py[l] = points.y[v + l], pz[l] = points.z[v + l];
        const auto straight = [](std::size_t n) { return n; };
        sum_pairs<Lanes>(all_plain.columns(), all_plain.count, straight, px, py, pz, sum, plain);
        const PointGroups::Ball ball = points.balls[v / Lanes];
        const Limits limits = limits_of(k, ball.radius);
        inside_group.count = around_group.count = 0;
        for (std::size_t i = 0; i < shell.count; i += 8) {
          const Masks masks = compare(shell.columns(), i, ball, limits);
          if constexpr (Pair::kTwoForms) {
            inside_group.add(i, masks.plain);
            around_group.add(i, masks.edge);
          } else {
            around_group.add(i, masks.plain | masks.edge);
          }
        }
        const auto numbered = [](const Numbers& numbers) {
          return [at = numbers.number](std::size_t n) { return std::size_t{at[n]}; };
        };
        if constexpr (Pair::kTwoForms)
          sum_pairs<Lanes>(shell.columns(), inside_group.count, numbered(inside_group), px, py, pz, sum,
                           plain);
        sum_pairs<Lanes>(shell.columns(), around_group.count, numbered(around_group), px, py, pz, sum, any);
        for (std::size_t l = 0; l < Lanes; ++l) energy[v + l] += sum[l];
      }
    }
  }
}

FASTIN_INLINE float morse(float r, const KernelTerm& k) {
  const float e = simd::exp2_core(k.offset - k.rate * r);
  return e * (e - 2.0f);
}

FASTIN_INLINE float window(float r, const KernelTerm& k) {
  float t = r * k.inverse_width - k.window_start;
  t = t > 0.0f ? t : 0.0f;
  const float q = 1.0f - t * t;
  return q * q;
}

FASTIN_INLINE float join(float s, const KernelTerm& k) {
  return horner<kJoinOrder>(k.join.data(), s - k.range2);
}

struct Morse {
  static constexpr bool kFar = false, kTwoForms = true;
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const { return morse(std::sqrt(s), k); }
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float r = std::sqrt(s);
    return morse(r, k) * window(r, k);
  }
};

struct MorseNear {
  static constexpr bool kFar = false, kTwoForms = false;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    return morse(std::sqrt(s), k) - join(s, k);
  }
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const { return (*this)(s, k); }
};

struct MorseFar {
  static constexpr bool kFar = true, kTwoForms = true;
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const { return morse(std::sqrt(s), k); }
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
  static constexpr bool kFar = false, kTwoForms = true;
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const {
    return screened<Degree>(s, 1.0f / std::sqrt(s), k);
  }
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float inverse_r = 1.0f / std::sqrt(s);
    return screened<Degree>(s, inverse_r, k) * window(s * inverse_r, k);
  }
};

template <std::size_t Degree>
struct CoulombNear {
  static constexpr bool kFar = false, kTwoForms = false;
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    return screened<Degree>(s, 1.0f / std::sqrt(s), k);
  }
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const { return (*this)(s, k); }
};

template <std::size_t Degree>
struct CoulombFar {
  static constexpr bool kFar = true, kTwoForms = true;
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const {
    return screened<Degree>(s, 1.0f / std::sqrt(s), k);
  }
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float beyond = s > k.range2 ? s : k.range2, inverse_r = 1.0f / std::sqrt(beyond);
    const float out = screened<Degree>(beyond, inverse_r, k) * window(beyond * inverse_r, k);
    const float in = join(s < k.range2 ? s : k.range2, k);
    return s < k.range2 ? in : out;
  }
};

// Where the series of erf(R / rho) / R would be too long.
struct CoulombShort {
  static constexpr bool kFar = false, kTwoForms = true;
  FASTIN_INLINE float bare(float r, const KernelTerm& k) const {
    const float x = r * k.inverse_rho, d = 1.0f + 0.5f * x;
    const float both = 1.0f / (r * d);  // one division serves 1/R and 1/d
    const float u = both * r;
    // u * tail / R
    return both * simd::exp2_core((simd::log_erfcx_over_t(u) - x * x) * 1.44269504f);
  }
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const { return bare(std::sqrt(s), k); }
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    const float r = std::sqrt(s);
    return bare(r, k) * window(r, k);
  }
};

}  // namespace

// The extreme of n numbers, a power of two; halves are compared side by side.
template <std::size_t N, class Better>
FASTIN_INLINE float extreme(float* v, const Better& better) {
  if constexpr (N == 1) {
    return v[0];
  } else {
    for (std::size_t l = 0; l < N / 2; ++l) v[l] = better(v[l], v[l + N / 2]) ? v[l] : v[l + N / 2];
    return extreme<N / 2>(v, better);
  }
}

FASTIN_CLONED_BY_LEVEL(float, enclose, (PointGroups & points), (points)) {
  constexpr std::size_t kLanes = lanes(kLevel);
  constexpr float kRounding = 1e-5f;  // angstrom
  const auto less = [](float a, float b) { return a < b; };
  const auto greater = [](float a, float b) { return a > b; };
  const auto enclosing = [&](std::size_t first, std::size_t last) {
    const auto middle = [&](const float* c) {
      float low[kLanes], high[kLanes];
      for (std::size_t l = 0; l < kLanes; ++l) low[l] = high[l] = c[first + l];
      for (std::size_t p = first + kLanes; p < last; p += kLanes) {
        for (std::size_t l = 0; l < kLanes; ++l) {
          low[l] = low[l] < c[p + l] ? low[l] : c[p + l];
          high[l] = high[l] > c[p + l] ? high[l] : c[p + l];
        }
      }
      return 0.5f * (extreme<kLanes>(low, less) + extreme<kLanes>(high, greater));
    };
    PointGroups::Ball ball{middle(points.x.data()), middle(points.y.data()), middle(points.z.data()), 0.0f};
    float most[kLanes] = {};
    for (std::size_t p = first; p < last; p += kLanes) {
      for (std::size_t l = 0; l < kLanes; ++l) {
        const float dx = points.x[p + l] - ball.x, dy = points.y[p + l] - ball.y,
                    dz = points.z[p + l] - ball.z;
        const float d2 = dx * dx + dy * dy + dz * dz;
        most[l] = most[l] > d2 ? most[l] : d2;
      }
    }
    ball.radius = std::sqrt(extreme<kLanes>(most, greater)) + kRounding;
    return ball;
  };
  float reach = 0.0f;
  for (std::size_t tile = 0; tile < points.count; tile += kTilePoints) {
    const std::size_t last = tile + kTilePoints < points.count ? tile + kTilePoints : points.count;
    const PointGroups::Ball ball = enclosing(tile, last);
    points.tile_balls[tile / kTilePoints] = ball;
    reach = std::max(reach, std::sqrt(ball.x * ball.x + ball.y * ball.y + ball.z * ball.z) + ball.radius);
    for (std::size_t p = tile; p < last; p += kLanes) points.balls[p / kLanes] = enclosing(p, p + kLanes);
  }
  return reach;
}

#define FASTIN_PAIR_KERNEL(name, pair)                                                            \
  FASTIN_CLONED_BY_LEVEL(                                                                         \
      void, name,                                                                                 \
      (const KernelTerm& term, const Neighbors& atoms, const PointGroups& points, float* energy), \
      (term, atoms, points, energy)) {                                                            \
    add_pairs<lanes(kLevel)>(term, atoms, points, energy, pair{});                                \
  }

FASTIN_PAIR_KERNEL(add_morse, Morse)
FASTIN_PAIR_KERNEL(add_morse_near, MorseNear)
FASTIN_PAIR_KERNEL(add_morse_far, MorseFar)
FASTIN_PAIR_KERNEL(add_coulomb_short, CoulombShort)
FASTIN_PAIR_KERNEL(add_coulomb_12, Coulomb<12>)
FASTIN_PAIR_KERNEL(add_coulomb_15, Coulomb<15>)
FASTIN_PAIR_KERNEL(add_coulomb_20, Coulomb<20>)
FASTIN_PAIR_KERNEL(add_coulomb_near_10, CoulombNear<10>)
FASTIN_PAIR_KERNEL(add_coulomb_near_12, CoulombNear<12>)
FASTIN_PAIR_KERNEL(add_coulomb_near_16, CoulombNear<16>)
FASTIN_PAIR_KERNEL(add_coulomb_near_20, CoulombNear<20>)
FASTIN_PAIR_KERNEL(add_coulomb_far_15, CoulombFar<15>)
FASTIN_PAIR_KERNEL(add_coulomb_far_20, CoulombFar<20>)

namespace {

// Series of f over [0, high]: coefficients of powers of t = 2 s / high - 1, up to the degree at which what is
// left is below kSeriesError of the largest coefficient; the degree, or kMostSeries + 1 where that is not
// reached.
constexpr double kSeriesError = 1e-8;  // 1/angstrom

template <class F>
std::size_t fit_series(const F& f, double high, std::array<float, KernelTerm::kMostSeries + 1>* series) {
  constexpr std::size_t kNodes = 40, kMost = KernelTerm::kMostSeries;
  // T_k at the nodes: cos(pi k (i + 1/2) / 40)
  static const std::array<std::array<double, kNodes>, kNodes> cosines = [] {
    std::array<std::array<double, kNodes>, kNodes> table{};
    for (std::size_t k = 0; k < kNodes; ++k)
      for (std::size_t i = 0; i < kNodes; ++i)
        table[k][i] =
            std::cos(3.14159265358979323846 * static_cast<double>(k * (2 * i + 1)) / (2.0 * kNodes));
    return table;
  }();
  std::array<double, kNodes> values{}, chebyshev{};
  for (std::size_t i = 0; i < kNodes; ++i) values[i] = f(0.5 * high * (cosines[1][i] + 1.0));
  for (std::size_t k = 0; k < kNodes; ++k) {
    for (std::size_t i = 0; i < kNodes; ++i) chebyshev[k] += values[i] * cosines[k][i];
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
  k.inverse_width = static_cast<float>(1.0 / (term.end - term.start));
  k.window_start = static_cast<float>(term.start / (term.end - term.start));
  k.range2 = static_cast<float>(kNearRange * kNearRange);
  const double limit = part == Part::near ? kNearRange : term.end, limit2 = limit * limit;
  k.limit2 = static_cast<float>(limit2);
  k.end = static_cast<float>(limit);
  k.plain_low = static_cast<float>(part == Part::far ? kNearRange : BvseField::kMinDistance);
  k.plain_high = static_cast<float>(part == Part::near ? kNearRange : term.start);
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
  struct OfDegree {
    std::size_t degree;
    decltype(k.add) add;
  };
  const auto choose = [degree](std::initializer_list<OfDegree> kernels) {
    for (const OfDegree& kernel : kernels)
      if (degree <= kernel.degree) return kernel.add;
    return decltype(k.add){nullptr};
  };
  switch (part) {
    case Part::near:
      k.add = choose({{10, add_coulomb_near_10},
                      {12, add_coulomb_near_12},
                      {16, add_coulomb_near_16},
                      {20, add_coulomb_near_20}});
      break;
    case Part::far:
      k.add = choose({{15, add_coulomb_far_15}, {20, add_coulomb_far_20}});
      break;
    case Part::whole:
      k.add = choose({{12, add_coulomb_12},
                      {15, add_coulomb_15},
                      {20, add_coulomb_20},
                      {KernelTerm::kMostSeries + 1, add_coulomb_short}});
  }
  return k;
}

}  // namespace fastin::bvse
