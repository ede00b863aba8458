// Products of many rows with one small matrix, for the blocks of pooled_gcn.cpp: a graph's rows are in the
// cache, so that what a general library spends on packing them is saved.
#pragma once

#include <cstddef>
#include <vector>

namespace fastin::gcn {

// A matrix (terms, columns) by panels of kGcnLanes columns, each row after row; whole panels only.
std::vector<float> in_panels(const float* matrix, std::size_t terms, std::size_t columns);

// The same of its transpose (columns, terms); `terms` are whole panels.
std::vector<float> transposed_in_panels(const float* matrix, std::size_t terms, std::size_t columns);

// out (rows, columns) = a times the matrix in panels; rows of `a` are `stride` apart, `terms` of each count.
void multiply_rows(const float* a, std::size_t rows, std::size_t stride, std::size_t terms,
                   const float* panels, std::size_t columns, float* out);

// out (terms, columns) += transpose of a (rows, terms) times b (rows, columns), columns in whole panels.
void add_outer(const float* a, std::size_t rows, std::size_t stride, std::size_t terms, const float* b,
               std::size_t columns, float* out);

}  // namespace fastin::gcn
