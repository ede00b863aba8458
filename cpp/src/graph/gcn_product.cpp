#include "gcn_product.hpp"

#include <cstring>

#include "fastin/base/simd.hpp"
#include "fastin/graph/pooled_gcn.hpp"

namespace fastin::gcn {
namespace {

constexpr std::size_t kPanel = kGcnLanes;
constexpr std::size_t kRowsAtOnce = 192;  // of multiply_rows: half of a second-level cache of 256 kB
constexpr std::size_t kTermsAtOnce = 96;  // of add_outer: two lines of b for each stay in the first level

// Numbers in a register, and how many rows' sums fit into the registers.
template <simd::Level kLevel>
constexpr std::size_t kWidth = kLevel == simd::Level::v4   ? 16
                               : kLevel == simd::Level::v3 ? 8
                                                           : 4;
template <simd::Level kLevel>
constexpr std::size_t kTile = kLevel == simd::Level::v4 ? 12 : 6;

#if defined(__GNUC__)
template <std::size_t kLanes>
struct Register {
  typedef float Type __attribute__((vector_size(kLanes * sizeof(float))));
};
#else
template <std::size_t kLanes>
struct Register {
  struct Type {
    float of[kLanes] = {};
    friend Type operator*(float x, Type v) {
      for (float& each : v.of) each *= x;
      return v;
    }
    Type& operator+=(const Type& v) {
      for (std::size_t l = 0; l < kLanes; ++l) of[l] += v.of[l];
      return *this;
    }
  };
};
#endif

// Where the next term and the next row stand.
struct Steps {
  std::size_t row, term, b, out;
};

// `kRows` rows by two registers of columns: sums over the terms of a(row, term) b(term), written or added.
template <std::size_t kLanes, std::size_t kRows, bool kAdd>
FASTIN_INLINE void tile(const float* a, const float* first, const float* second, std::size_t terms,
                        const Steps& step, float* out, std::size_t apart) {
  using Values = typename Register<kLanes>::Type;
  Values sum[kRows][2];
  for (std::size_t r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = Values{};
  for (std::size_t k = 0; k < terms; ++k) {
    Values b[2];
    std::memcpy(&b[0], first + k * step.b, sizeof b[0]);
    std::memcpy(&b[1], second + k * step.b, sizeof b[1]);
#if defined(__GNUC__)
#pragma GCC unroll 16
#endif
    for (std::size_t r = 0; r < kRows; ++r) {
      const float x = a[r * step.row + k * step.term];
      sum[r][0] += x * b[0];
      sum[r][1] += x * b[1];
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t c = 0; c < 2; ++c) {
      float* to = out + r * step.out + c * apart;
      if constexpr (kAdd) {
        Values before;
        std::memcpy(&before, to, sizeof before);
        sum[r][c] += before;
      }
      std::memcpy(to, &sum[r][c], sizeof sum[r][c]);
    }
  }
}

// All rows, as many at once as are left.
template <std::size_t kLanes, std::size_t kRows, bool kAdd>
FASTIN_INLINE void strip(const float* a, std::size_t rows, const float* first, const float* second,
                         std::size_t terms, const Steps& step, float* out, std::size_t apart) {
  for (; rows >= kRows; rows -= kRows, a += kRows * step.row, out += kRows * step.out) {
    tile<kLanes, kRows, kAdd>(a, first, second, terms, step, out, apart);
  }
  if constexpr (kRows > 1) {
    if (rows > 0) strip<kLanes, kRows / 2, kAdd>(a, rows, first, second, terms, step, out, apart);
  }
}

// All columns; panel p of b begins at b + p * panel.
template <simd::Level kLevel, bool kAdd>
FASTIN_INLINE void sweep(const float* a, std::size_t rows, const float* b, std::size_t panel,
                         std::size_t terms, const Steps& step, std::size_t columns, float* out) {
  constexpr std::size_t lanes = kWidth<kLevel>;
  std::size_t c = 0;
  if constexpr (lanes == kPanel) {
    for (; c + 2 * kPanel <= columns; c += 2 * kPanel) {
      const float* at = b + c / kPanel * panel;
      strip<lanes, kTile<kLevel>, kAdd>(a, rows, at, at + panel, terms, step, out + c, kPanel);
    }
  }
  constexpr std::size_t half = lanes == kPanel ? lanes / 2 : lanes;  // two registers within a panel
  for (; c < columns; c += 2 * half) {
    const float* at = b + c / kPanel * panel + c % kPanel;
    strip<half, kTile<kLevel>, kAdd>(a, rows, at, at + half, terms, step, out + c, half);
  }
}

}  // namespace

std::vector<float> in_panels(const float* matrix, std::size_t terms, std::size_t columns) {
  std::vector<float> out(terms * columns);
  float* to = out.data();
  for (std::size_t c = 0; c < columns; c += kPanel) {
    for (std::size_t k = 0; k < terms; ++k, to += kPanel) {
      std::memcpy(to, matrix + k * columns + c, kPanel * sizeof(float));
    }
  }
  return out;
}

std::vector<float> transposed_in_panels(const float* matrix, std::size_t terms, std::size_t columns) {
  std::vector<float> turned(terms * columns);
  for (std::size_t k = 0; k < terms; ++k) {
    for (std::size_t c = 0; c < columns; ++c) turned[c * terms + k] = matrix[k * columns + c];
  }
  return in_panels(turned.data(), columns, terms);
}

FASTIN_CLONED_BY_LEVEL(void, multiply_rows,
                       (const float* a, std::size_t rows, std::size_t stride, std::size_t terms,
                        const float* panels, std::size_t columns, float* out),
                       (a, rows, stride, terms, panels, columns, out)) {
  const Steps step{stride, 1, kPanel, columns};
  for (std::size_t i = 0; i < rows; i += kRowsAtOnce) {
    const std::size_t count = rows - i < kRowsAtOnce ? rows - i : kRowsAtOnce;
    sweep<kLevel, false>(a + i * stride, count, panels, terms * kPanel, terms, step, columns,
                         out + i * columns);
  }
}

FASTIN_CLONED_BY_LEVEL(void, add_outer,
                       (const float* a, std::size_t rows, std::size_t stride, std::size_t terms,
                        const float* b, std::size_t columns, float* out),
                       (a, rows, stride, terms, b, columns, out)) {
  const Steps step{1, stride, columns, columns};
  for (std::size_t i = 0; i < rows; i += kTermsAtOnce) {
    const std::size_t count = rows - i < kTermsAtOnce ? rows - i : kTermsAtOnce;
    sweep<kLevel, true>(a + i * stride, terms, b + i * columns, kPanel, count, step, columns, out);
  }
}

}  // namespace fastin::gcn
