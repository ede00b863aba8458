#include "pooled_gcn_rows.hpp"

#include "fastin/base/simd.hpp"

namespace fastin::gcn {
namespace {

constexpr std::size_t kLanes = kGcnLanes;

// out[f] = op(out[f], in[f]...); columns are whole groups of lanes: none is computed alone.
template <class Op, class... In>
FASTIN_INLINE void by_columns(std::size_t columns, float* out, const Op& op, const In*... in) {
  for (std::size_t f = 0; f < columns; f += kLanes) {
    float result[kLanes];
    for (std::size_t l = 0; l < kLanes; ++l) result[l] = op(out[f + l], in[f + l]...);
    for (std::size_t l = 0; l < kLanes; ++l) out[f + l] = result[l];
  }
}

FASTIN_INLINE float product(const float* a, const float* b, std::size_t columns) {
  float lane[kLanes] = {};
  for (std::size_t f = 0; f < columns; f += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) lane[l] += a[f + l] * b[f + l];
  }
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

FASTIN_INLINE void activate(const float* y, const float* bias, std::size_t columns, float* x) {
  if (bias == nullptr) {
    by_columns(columns, x, [](float, float value) { return value; }, y);
    return;
  }
  const auto clipped = [](float, float value, float shift) {
    const float sum = value + shift;
    return sum < 0.0f ? 0.0f : sum;  // what is not a number stays
  };
  by_columns(columns, x, clipped, y, bias);
}

FASTIN_INLINE void add_scaled(const float* x, float scale, std::size_t columns, float* out) {
  by_columns(columns, out, [scale](float sum, float value) { return sum + scale * value; }, x);
}

FASTIN_INLINE void scaled(const float* x, float scale, std::size_t columns, float* out) {
  by_columns(columns, out, [scale](float, float value) { return scale * value; }, x);
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
    std::size_t filled = own + kAtomColumns * k;
    if (input.marked) rows[filled++] = mark;
    for (; filled < columns; ++filled) rows[filled] = 0.0f;
    by_columns(
        columns, rows, [](float value, float mean, float deviation) { return (value - mean) / deviation; },
        input.mean, input.deviation);
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
    by_columns(columns, top, [](float most, float value) { return most < value ? value : most; }, row);
  }
  if (rows == 0) return;
  const float share = 1.0f / static_cast<float>(rows);
  scaled(mean, share, columns, mean);
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
  for (std::size_t i = 0; i < rows; ++i) {
    const float g = gate[i];
    const auto counted = [g](float count, float value, float most) {
      return count + (value * g == most ? 1.0f : 0.0f);
    };
    by_columns(columns, of_top, counted, x + i * columns, top);
  }
  scaled(of_readout, 1.0f / static_cast<float>(rows), columns, of_mean);
  const auto shared = [](float count, float of) { return of / (count < 1.0f ? 1.0f : count); };
  by_columns(columns, of_top, shared, of_readout + columns);
  for (std::size_t i = 0; i < rows; ++i) {
    const float g = gate[i];
    const auto of_ties = [g](float sum, float value, float most, float tie) {
      return sum + (value * g == most ? tie : 0.0f);
    };
    by_columns(columns, gradient + i * columns, of_ties, x + i * columns, top, of_top);
    add_scaled(of_mean, 1.0f, columns, gradient + i * columns);
  }
}

FASTIN_CLONED(void, finish_rows,
              (const float* x, const float* gate, const std::int32_t* kept, const float* unit, bool clipped,
               std::size_t rows, std::size_t columns, const float* gradient, float* of_y, float* parts),
              (x, gate, kept, unit, clipped, rows, columns, gradient, of_y, parts)) {
  float *of_bias = parts, *along = parts + columns;
  for (std::size_t i = 0; i < rows; ++i) {
    const float *row = x + i * columns, *of_row = gradient + i * columns;
    const float g = gate[i], slope = product(of_row, row, columns) * (1.0f - g * g);
    float* out = of_y + static_cast<std::size_t>(kept[i]) * columns;
    add_scaled(row, slope, columns, along);
    const auto whole = [g, slope](float, float of, float direction) { return of * g + slope * direction; };
    by_columns(columns, out, whole, of_row, unit);
    if (clipped) {
      by_columns(columns, out, [](float value, float at) { return at > 0.0f ? value : 0.0f; }, row);
    }
    add_scaled(out, 1.0f, columns, of_bias);
  }
}

}  // namespace fastin::gcn
