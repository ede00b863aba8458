// Regression trees: sums of the leaves that rows of features reach.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastin {

// Trees one after the other. A node goes left where features[feature] <= threshold; feature -1 is a leaf.
struct Trees {
  const std::int16_t* feature = nullptr;  // nodes
  const float* threshold = nullptr;
  const std::int32_t* left = nullptr;
  const std::int32_t* right = nullptr;
  const float* value = nullptr;
  std::size_t nodes = 0;
  const std::int32_t* roots = nullptr;   // trees
  const std::int32_t* member = nullptr;  // trees: the sum that each adds to
  std::size_t trees = 0;
};

// sums (members, count) += leaf of each tree for each of the rows (count, columns). Throws InvalidInput where
// a tree names a column, node or member that does not exist, or leads backwards.
void add_leaves(const Trees& trees, const float* rows, std::size_t count, std::size_t columns, double* sums,
                std::size_t members);

}  // namespace fastin
