#include "fastin/base/trees.hpp"

#include <algorithm>
#include <cstring>

#include "fastin/base/error.hpp"

namespace fastin {
namespace {

constexpr std::size_t kTogether =
    8;  // trees that are walked side by side: one waits for memory while others go on

float number_of(const TreeNode& node) {
  float value = 0.0F;
  std::memcpy(&value, &node[1], sizeof value);
  return value;
}

}  // namespace

void add_leaves(const Trees& trees, const float* rows, std::size_t count, std::size_t columns, double* sums,
                std::size_t members) {
  const auto nodes = static_cast<std::int64_t>(trees.count);
  for (std::size_t t = 0; t < trees.trees; ++t) {
    const std::int32_t root = trees.roots[t], member = trees.member[t];
    if (root < 0 || root >= nodes || member < 0 || static_cast<std::size_t>(member) >= members) {
      throw InvalidInput("trees: a root or member that does not exist");
    }
  }
  for (std::size_t first = 0; first < trees.trees; first += kTogether) {
    const std::size_t some = std::min(kTogether, trees.trees - first);
    for (std::size_t r = 0; r < count; ++r) {
      const float* row = rows + r * columns;
      std::array<std::size_t, kTogether> at{};
      for (std::size_t k = 0; k < some; ++k) at[k] = static_cast<std::size_t>(trees.roots[first + k]);
      for (bool moved = true; moved;) {
        moved = false;
        for (std::size_t k = 0; k < some; ++k) {
          const TreeNode& node = trees.nodes[at[k]];
          if (node[0] < 0) continue;
          if (static_cast<std::size_t>(node[0]) >= columns) throw InvalidInput("trees: no such column");
          const std::int32_t next = row[node[0]] <= number_of(node) ? node[2] : node[3];
          if (next <= static_cast<std::int64_t>(at[k]) ||
              next >= nodes) {  // children stand behind their parent
            throw InvalidInput("trees: a node that points to no later one");
          }
          at[k] = static_cast<std::size_t>(next);
          moved = true;
        }
      }
      for (std::size_t k = 0; k < some; ++k) {
        const auto member = static_cast<std::size_t>(trees.member[first + k]);
        sums[member * count + r] += static_cast<double>(number_of(trees.nodes[at[k]]));
      }
    }
  }
}

}  // namespace fastin
