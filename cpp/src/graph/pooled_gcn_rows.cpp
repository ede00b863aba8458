#include "pooled_gcn_rows.hpp"

#include <algorithm>

#include "fastin/base/simd.hpp"

namespace fastin::gcn {
namespace {

constexpr std::size_t kLanes = 16;  // independent sums of a product of rows

FASTIN_INLINE float product(const float* __restrict a, const float* __restrict b, std::size_t columns) {
  float lane[kLanes] = {};
  std::size_t f = 0;
  for (; f + kLanes <= columns; f += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) lane[l] += a[f + l] * b[f + l];
  }
  for (std::size_t l = 0; f < columns; ++f, ++l) lane[l] += a[f] * b[f];
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

FASTIN_INLINE void activate(const float* __restrict y, const float* __restrict bias, std::size_t columns,
                            float* __restrict x) {
  if (bias == nullptr) {
    for (std::size_t f = 0; f < columns; ++f) x[f] = y[f];
    return;
  }
  for (std::size_t f = 0; f < columns; ++f) {
    const float sum = y[f] + bias[f];
    x[f] = sum < 0.0f ? 0.0f : sum;  // what is not a number stays
  }
}

FASTIN_INLINE void add_scaled(const float* __restrict x, float scale, std::size_t columns,
                              float* __restrict out) {
  for (std::size_t f = 0; f < columns; ++f) out[f] += scale * x[f];
}

FASTIN_INLINE void standardise(const float* __restrict mean, const float* __restrict deviation,
                               std::size_t columns, float* __restrict row) {
  for (std::size_t f = 0; f < columns; ++f) row[f] = (row[f] - mean[f]) / deviation[f];
}

FASTIN_INLINE void scaled(const float* __restrict x, float scale, std::size_t columns,
                          float* __restrict out) {
  for (std::size_t f = 0; f < columns; ++f) out[f] = scale * x[f];
}

FASTIN_INLINE void larger(const float* __restrict x, std::size_t columns, float* __restrict top) {
  for (std::size_t f = 0; f < columns; ++f) top[f] = top[f] < x[f] ? x[f] : top[f];
}

FASTIN_INLINE void count_tops(const float* __restrict x, float gate, const float* __restrict top,
                              std::size_t columns, float* __restrict count) {
  for (std::size_t f = 0; f < columns; ++f) count[f] += x[f] * gate == top[f] ? 1.0f : 0.0f;
}

FASTIN_INLINE void add_tops(const float* __restrict x, float gate, const float* __restrict top,
                            const float* __restrict of_mean, const float* __restrict of_top,
                            std::size_t columns, float* __restrict gradient) {
  for (std::size_t f = 0; f < columns; ++f) {
    gradient[f] += of_mean[f] + (x[f] * gate == top[f] ? of_top[f] : 0.0f);
  }
}

}  // namespace

FASTIN_CLONED(void, environment_rows,
              (const GcnInput& input, const GcnNodes& part, float mark, std::size_t start, std::size_t count,
               float* rows),
              (input, part, mark, start, count, rows)) {
  const std::size_t columns = input.columns(), own = input.own_columns, k = input.k;
  for (std::size_t i = start; i < start + count; ++i, rows += columns) {
    for (std::size_t c = 0; c < own; ++c) rows[c] = part.own[i * own + c];
    float* __restrict around = rows + own;
    for (std::size_t j = 0; j < k; ++j, around += kAtomColumns) {
      const float* __restrict atom =
          input.atoms + static_cast<std::size_t>(part.neighbour[i * k + j]) * kAtomColumns;
      const float distance = part.distance[i * k + j];
      for (std::size_t c = 0; c < kAtomColumns; ++c) around[c] = atom[c];
      around[0] += distance;
      around[1] += distance;
    }
    if (input.marked) rows[columns - 1] = mark;
    standardise(input.mean, input.deviation, columns, rows);
  }
}

FASTIN_CLONED(void, activate_rows,
              (const float* y, const float* bias, const float* weight, std::size_t rows, std::size_t columns,
               float* x, float* score),
              (y, bias, weight, rows, columns, x, score)) {
  for (std::size_t i = 0; i < rows; ++i) {
    activate(y + i * columns, bias, columns, x + i * columns);
    score[i] = product(x + i * columns, weight, columns);
  }
}

FASTIN_CLONED(void, take_rows,
              (const float* y, const float* bias, const std::int32_t* kept, std::size_t rows,
               std::size_t columns, float* x),
              (y, bias, kept, rows, columns, x)) {
  for (std::size_t i = 0; i < rows; ++i) {
    activate(y + static_cast<std::size_t>(kept[i]) * columns, bias, columns, x + i * columns);
  }
}

FASTIN_CLONED(void, gate_rows,
              (const float* x, const std::int32_t* kept, const float* gate, std::size_t rows,
               std::size_t columns, float* out, float* readout),
              (x, kept, gate, rows, columns, out, readout)) {
  float *mean = readout, *top = readout + columns;
  for (std::size_t f = 0; f < 2 * columns; ++f) readout[f] = 0.0f;
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = out + i * columns;
    scaled(x + static_cast<std::size_t>(kept[i]) * columns, gate[i], columns, row);
    add_scaled(row, 1.0f, columns, mean);
    if (i == 0) scaled(row, 1.0f, columns, top);
    larger(row, columns, top);
  }
  if (rows == 0) return;
  const float share = 1.0f / static_cast<float>(rows);
  for (std::size_t f = 0; f < columns; ++f) mean[f] *= share;
}

FASTIN_CLONED(void, sum_rows,
              (const Edges& edges, const float* root, std::size_t rows, std::size_t columns, const float* x,
               float* out),
              (edges, root, rows, columns, x, out)) {
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = out + i * columns;
    scaled(x + i * columns, root[i] * root[i], columns, row);
    for (std::int32_t e = edges.pointer[i]; e < edges.pointer[i + 1]; ++e) {
      const auto j = static_cast<std::size_t>(edges.source[e] - edges.base);
      add_scaled(x + j * columns, root[i] * root[j], columns, row);
    }
  }
}

FASTIN_CLONED(void, spread_rows,
              (const Edges& edges, const float* root, std::size_t rows, std::size_t columns,
               const float* of_sums, float* gradient, float* buffer),
              (edges, root, rows, columns, of_sums, gradient, buffer)) {
  for (std::size_t i = 0; i < rows; ++i) {
    scaled(of_sums + i * columns, root[i], columns, buffer);
    add_scaled(buffer, root[i], columns, gradient + i * columns);
    for (std::int32_t e = edges.pointer[i]; e < edges.pointer[i + 1]; ++e) {
      const auto j = static_cast<std::size_t>(edges.source[e] - edges.base);
      add_scaled(buffer, root[j], columns, gradient + j * columns);
    }
  }
}

FASTIN_CLONED(void, add_readout,
              (const float* x, const float* gate, std::size_t rows, std::size_t columns, const float* top,
               const float* of_readout, float* gradient, float* buffer),
              (x, gate, rows, columns, top, of_readout, gradient, buffer)) {
  if (rows == 0) return;
  float *of_mean = buffer, *of_top = buffer + columns;
  for (std::size_t f = 0; f < columns; ++f) of_top[f] = 0.0f;
  for (std::size_t i = 0; i < rows; ++i) count_tops(x + i * columns, gate[i], top, columns, of_top);
  const float share = 1.0f / static_cast<float>(rows);
  for (std::size_t f = 0; f < columns; ++f) {
    of_mean[f] = of_readout[f] * share;
    of_top[f] = of_readout[columns + f] / (of_top[f] < 1.0f ? 1.0f : of_top[f]);
  }
  for (std::size_t i = 0; i < rows; ++i) {
    add_tops(x + i * columns, gate[i], top, of_mean, of_top, columns, gradient + i * columns);
  }
}

FASTIN_CLONED(void, finish_rows,
              (const float* x, const float* gate, const std::int32_t* kept, const float* unit, bool clipped,
               std::size_t rows, std::size_t columns, const float* gradient, float* of_y, float* parts),
              (x, gate, kept, unit, clipped, rows, columns, gradient, of_y, parts)) {
  float* __restrict of_bias = parts, * __restrict along = parts + columns;
  for (std::size_t i = 0; i < rows; ++i) {
    const float* __restrict row = x + i * columns, * __restrict of_row = gradient + i * columns;
    const float g = gate[i], slope = product(of_row, row, columns) * (1.0f - g * g);
    float* __restrict out = of_y + static_cast<std::size_t>(kept[i]) * columns;
    add_scaled(row, slope, columns, along);
    for (std::size_t f = 0; f < columns; ++f) {
      const float value = of_row[f] * g + slope * unit[f];
      out[f] = !clipped || row[f] > 0.0f ? value : 0.0f;
      of_bias[f] += out[f];
    }
  }
}

}  // namespace fastin::gcn
