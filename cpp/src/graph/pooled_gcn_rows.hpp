// The loops over rows of pooled_gcn.cpp, vectorised: all arrays are rows of `columns` numbers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fastin/graph/pooled_gcn.hpp"

namespace fastin::gcn {

// Edges of one graph: those that arrive at row i are source[pointer[i]] ... source[pointer[i + 1] - 1], and
// `base` is the number of its first row in `source`.
struct Edges {
  const std::int32_t* pointer;
  const std::int32_t* source;
  std::int32_t base;
};

// Standardised rows of `count` nodes of a part from `start` on; `mark`: the last column where there is one.
void environment_rows(const GcnInput& input, const GcnNodes& part, float mark, std::size_t start,
                      std::size_t count, float* rows);

// x = max(y + bias, 0) (y where bias is null) and score = x . weight, row by row.
void activate_rows(const float* y, const float* bias, const float* weight, std::size_t rows,
                   std::size_t columns, float* x, float* score);

// The rows x of the numbers `kept` of y, activated as above.
void take_rows(const float* y, const float* bias, const std::int32_t* kept, std::size_t rows,
               std::size_t columns, float* x);

// out = x[kept] gate; readout: their means, then their maxima; 0 without rows.
void gate_rows(const float* x, const std::int32_t* kept, const float* gate, std::size_t rows,
               std::size_t columns, float* out, float* readout);

// out[i] = root[i] (root[i] x[i] + sum over the sources j of root[j] x[j]).
void sum_rows(const Edges& edges, const float* root, std::size_t rows, std::size_t columns, const float* x,
              float* out);

// Its transpose, added to `gradient`; `buffer`: columns.
void spread_rows(const Edges& edges, const float* root, std::size_t rows, std::size_t columns,
                 const float* of_sums, float* gradient, float* buffer);

// Adds the gradient of mean and maximum of the rows x gate; `top` are the maxima, `buffer`: 2 columns.
void add_readout(const float* x, const float* gate, std::size_t rows, std::size_t columns, const float* top,
                 const float* of_readout, float* gradient, float* buffer);

// From the gradient of x gate to of_y[kept]; adds the gradients of the bias and, along the weight's unit
// vector, of the scores: `parts`, 2 columns. `clipped`: x is zero where y + bias is not positive.
void finish_rows(const float* x, const float* gate, const std::int32_t* kept, const float* unit, bool clipped,
                 std::size_t rows, std::size_t columns, const float* gradient, float* of_y, float* parts);

}  // namespace fastin::gcn
