// Regression trees: sums of the leaves that rows of features reach.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace fastin {

// Trees one after the other, each node on one cache line: its feature (-1: a leaf), the bits of a float (its
// threshold, or a leaf's value), and its children. A node goes left where features[feature] <= threshold.
using TreeNode = std::array<std::int32_t, 4>;

struct Trees {
  const TreeNode* nodes = nullptr;
  std::size_t count = 0;
  const std::int32_t* roots = nullptr;   // trees
  const std::int32_t* member = nullptr;  // trees: the sum that each adds to
  std::size_t trees = 0;
};

// sums (members, count) += leaf of each tree for each of the rows (count, columns). Throws InvalidInput where
// a tree names a column, node or member that does not exist, or leads backwards.
void add_leaves(const Trees& trees, const float* rows, std::size_t count, std::size_t columns, double* sums,
                std::size_t members);

}  // namespace fastin
