#include "bvse_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

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

// c[0] + c[1] t + ... + c[Degree] t^Degree by Horner's rule on pairs of terms in t^2: one chain over all of
// them waits for each of its steps. Unrolled before the compiler vectorises the loop around it.
template <std::size_t Degree, std::size_t First = 0>
FASTIN_INLINE float polynomial(const float* c, float t, float t2) {
  if constexpr (First == Degree) {
    return c[First];
  } else if constexpr (First + 1 == Degree) {
    return c[First + 1] * t + c[First];
  } else {
    return polynomial<Degree, First + 2>(c, t, t2) * t2 + (c[First + 1] * t + c[First]);
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

FASTIN_INLINE Limits limits_of(const KernelTerm& k, float radius, float square_unit) {
  const float low = k.plain_low + radius, high = k.plain_high - radius, end = k.end + radius;
  return {square_unit * low * low, high > 0.0f ? square_unit * high * high : 0.0f, square_unit * end * end};
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

// Places in a list of atoms.
struct Numbers {
  typedef std::uint16_t Eight __attribute__((vector_size(16)));
  std::uint16_t number[kChunk + 16];
  std::size_t count = 0;
  FASTIN_INLINE void add(std::size_t base, unsigned mask) {
    Eight from;
    std::memcpy(&from, kSetBits.number[mask], sizeof from);
    from += static_cast<std::uint16_t>(base);
    std::memcpy(number + count, &from, sizeof from);
    count += kSetBits.count[mask];
  }
  FASTIN_INLINE void add(const Numbers& more) {
    for (std::size_t i = 0; i < more.count; i += 8) std::memcpy(number + count + i, more.number + i, 16);
    count += more.count;
  }
  // 0, 1, ..., n - 1
  FASTIN_INLINE void start_with(std::size_t n) {
    Eight from{0, 1, 2, 3, 4, 5, 6, 7};
    for (std::size_t i = 0; i < n; i += 8) {
      std::memcpy(number + i, &from, sizeof from);
      from += 8;
    }
    count = n;
  }
};

// Atoms copied out of a longer list, in the term's units.
struct Copies {
  float x[kChunk + 8], y[kChunk + 8], z[kChunk + 8], weight[kChunk + 8];
  std::size_t count = 0;
  FASTIN_INLINE Columns columns() const { return {x, y, z, weight}; }
  FASTIN_INLINE void add(const Columns& from, const Numbers& numbers, const KernelTerm& k) {
    for (std::size_t n = 0; n < numbers.count; ++n, ++count) {
      const std::size_t i = numbers.number[n];
      x[count] = k.unit * from.x[i], y[count] = k.unit * from.y[i], z[count] = k.unit * from.z[i];
      weight[count] = k.energy_unit * from.weight[i];
    }
  }
  FASTIN_INLINE void pad() {
    for (std::size_t n = count; n < count + 8; ++n) x[n] = y[n] = z[n] = kNowhere, weight[n] = 0.0f;
  }
};

// Atoms by which the distances are ahead of the energies: a processor looks at some 60 vector operations at a
// time, and the energy of one atom alone is a chain of 25, each waiting for the one before.
constexpr std::size_t kAhead = 8;

// Adds the energy of every atom at the points. `pair.of(s)` is what the energies take for the square s of a
// distance, `pair.plain(d, k)` the energy of unit weight there in the plain zone, `pair(d, k)` anywhere.
// Atoms are chosen twice: for a tile of points, where many of the chosen are plain for all of them, and the
// others for each group. Loops over lanes are marked for the vectoriser: unrolled before it, they stay
// scalar.
template <std::size_t Lanes, class Pair>
FASTIN_INLINE void add_pairs(const KernelTerm& term, const Neighbors& atoms, const PointGroups& points,
                             float* energy, const Pair& pair) {
  const KernelTerm k = term;
  Numbers inside, around;
  Copies chosen;  // plain for all points of the tile, then the others
  for (std::size_t tile = 0; tile < points.count; tile += kTilePoints) {
    const std::size_t tile_end = tile + kTilePoints < points.count ? tile + kTilePoints : points.count;
    const PointGroups::Ball tile_ball = points.tile_balls[tile / kTilePoints];
    const Limits tile_limits = limits_of(k, tile_ball.radius, 1.0f);
    for (std::size_t first = 0; first < atoms.count; first += kChunk) {
      const Columns chunk{atoms.x.data() + first, atoms.y.data() + first, atoms.z.data() + first,
                          atoms.weight.data() + first};
      const std::size_t count = atoms.count - first < kChunk ? atoms.count - first : kChunk;
      inside.count = around.count = chosen.count = 0;
      for (std::size_t i = 0; i < count; i += 8) {
        const Masks masks = compare(chunk, i, tile_ball, tile_limits);
        inside.add(i, masks.plain);
        around.add(i, masks.edge);
      }
      const std::size_t plain_for_all = inside.count;
      chosen.add(chunk, inside, k);
      chosen.add(chunk, around, k);
      chosen.pad();
      for (std::size_t v = tile; v < tile_end; v += Lanes) {
        const PointGroups::Ball& own = points.balls[v / Lanes];
        const PointGroups::Ball ball{k.unit * own.x, k.unit * own.y, k.unit * own.z, own.radius};
        const Limits limits = limits_of(k, ball.radius, k.unit * k.unit);
        inside.start_with(plain_for_all);
        around.count = 0;
        for (std::size_t i = plain_for_all; i < chosen.count; i += 8) {
          const Masks masks = compare(chosen.columns(), i, ball, limits);
          inside.add(i, masks.plain);
          around.add(i, masks.edge);
        }
        const std::size_t plain = inside.count;
        inside.add(around);
        const std::size_t all = inside.count;
        float px[Lanes], py[Lanes], pz[Lanes], sum[Lanes] = {};
#pragma omp simd
        for (std::size_t l = 0; l < Lanes; ++l)
          px[l] = k.unit * points.x[v + l], py[l] = k.unit * points.y[v + l],
          pz[l] = k.unit * points.z[v + l];
        float distance[2 * kAhead][Lanes];
        const auto measure = [&](std::size_t n) {
          const std::size_t i = inside.number[n];
          const float cx = chosen.x[i], cy = chosen.y[i], cz = chosen.z[i];
          float* d = distance[n % (2 * kAhead)];
#pragma omp simd
          for (std::size_t l = 0; l < Lanes; ++l) {
            const float dx = px[l] - cx, dy = py[l] - cy, dz = pz[l] - cz;
            d[l] = pair.of(dx * dx + dy * dy + dz * dz);
          }
        };
        for (std::size_t n = 0; n < kAhead && n < all; ++n) measure(n);
        for (std::size_t n = 0; n < plain; ++n) {
          if (n + kAhead < all) measure(n + kAhead);
          const float w = chosen.weight[inside.number[n]];
          const float* d = distance[n % (2 * kAhead)];
#pragma omp simd
          for (std::size_t l = 0; l < Lanes; ++l) sum[l] += w * pair.plain(d[l], k);
        }
        for (std::size_t n = plain; n < all; ++n) {
          if (n + kAhead < all) measure(n + kAhead);
          const float w = chosen.weight[inside.number[n]];
          const float* d = distance[n % (2 * kAhead)];
#pragma omp simd
          for (std::size_t l = 0; l < Lanes; ++l) sum[l] += w * pair(d[l], k);
        }
#pragma omp simd
        for (std::size_t l = 0; l < Lanes; ++l) energy[v + l] += sum[l];
      }
    }
  }
}

// e (e - 2), e = 2^(offset - r).
FASTIN_INLINE float morse(float r, const KernelTerm& k) {
  const float shifted = k.shift - r;
  const float f = (k.shift - shifted) - r;
  const float e = simd::times_power_of_two(polynomial<5>(k.exp2.data(), f, f * f), shifted);
  return e * (e - 2.0f);
}

FASTIN_INLINE float window(float r, const KernelTerm& k) {
  float t = r * k.inverse_width - k.window_start;
  t = t > 0.0f ? t : 0.0f;
  const float q = 1.0f - t * t;
  return q * q;
}

FASTIN_INLINE float join(float s, const KernelTerm& k) {
  const float t = s - k.range2;
  return polynomial<kJoinOrder>(k.join.data(), t, t * t);
}

FASTIN_INLINE float between(float r, const KernelTerm& k) {
  r = r > k.least ? r : k.least;
  return r < k.limit ? r : k.limit;
}

// Morse terms take r, Coulomb's its square.
struct Morse {
  FASTIN_INLINE float of(float s) const { return std::sqrt(s); }
  FASTIN_INLINE float plain(float r, const KernelTerm& k) const { return morse(r, k); }
  FASTIN_INLINE float operator()(float r, const KernelTerm& k) const {
    r = between(r, k);
    return morse(r, k) * window(r, k);
  }
};

struct MorseNear {
  FASTIN_INLINE float of(float s) const { return std::sqrt(s); }
  FASTIN_INLINE float plain(float r, const KernelTerm& k) const { return morse(r, k) - join(r * r, k); }
  FASTIN_INLINE float operator()(float r, const KernelTerm& k) const { return plain(between(r, k), k); }
};

struct MorseFar {
  FASTIN_INLINE float of(float s) const { return std::sqrt(s); }
  FASTIN_INLINE float plain(float r, const KernelTerm& k) const { return morse(r, k); }
  FASTIN_INLINE float operator()(float r, const KernelTerm& k) const {
    const float last = r < k.limit ? r : k.limit, beyond = last > k.range ? last : k.range;
    const float out = morse(beyond, k) * window(beyond, k), in = join(r < k.range ? r * r : k.range2, k);
    return r < k.range ? in : out;
  }
};

template <std::size_t Degree>
FASTIN_INLINE float screened(float s, float inverse_r, const KernelTerm& k) {
  const float t = s - 1.0f;
  return inverse_r - polynomial<Degree>(k.series.data(), t, t * t);
}

FASTIN_INLINE float between2(float s, const KernelTerm& k) {
  s = s > k.least2 ? s : k.least2;
  return s < k.limit2 ? s : k.limit2;
}

template <std::size_t Degree>
struct Coulomb {
  FASTIN_INLINE float of(float s) const { return s; }
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const {
    return screened<Degree>(s, 1.0f / std::sqrt(s), k);
  }
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    s = between2(s, k);
    const float inverse_r = 1.0f / std::sqrt(s);
    return screened<Degree>(s, inverse_r, k) * window(s * inverse_r, k);
  }
};

template <std::size_t Degree>
struct CoulombNear {
  FASTIN_INLINE float of(float s) const { return s; }
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const {
    return screened<Degree>(s, 1.0f / std::sqrt(s), k);
  }
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const { return plain(between2(s, k), k); }
};

template <std::size_t Degree>
struct CoulombFar {
  FASTIN_INLINE float of(float s) const { return s; }
  FASTIN_INLINE float plain(float s, const KernelTerm& k) const {
    return screened<Degree>(s, 1.0f / std::sqrt(s), k);
  }
  FASTIN_INLINE float operator()(float s, const KernelTerm& k) const {
    s = s < k.limit2 ? s : k.limit2;  // smooth down to 0
    const float beyond = s > k.range2 ? s : k.range2, inverse_r = 1.0f / std::sqrt(beyond);
    const float out = screened<Degree>(beyond, inverse_r, k) * window(beyond * inverse_r, k);
    const float in = join(s < k.range2 ? s : k.range2, k);
    return s < k.range2 ? in : out;
  }
};

// Where the series of erf(R / rho) / R would be too long.
struct CoulombShort {
  FASTIN_INLINE float of(float s) const { return std::sqrt(s); }
  FASTIN_INLINE float plain(float r, const KernelTerm&) const {
    const float d = 1.0f + 0.5f * r;
    const float both = 1.0f / (r * d);  // one division serves 1/R and 1/d
    const float u = both * r;
    // u * tail / R
    return both * simd::exp2_core((simd::log_erfcx_over_t(u) - r * r) * 1.44269504f);
  }
  FASTIN_INLINE float operator()(float r, const KernelTerm& k) const {
    r = between(r, k);
    return plain(r, k) * window(r, k);
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

}  // namespace fastin::bvse
