#include "fastin/base/trees.hpp"

#include "fastin/base/error.hpp"

namespace fastin {

void add_leaves(const Trees& trees, const float* rows, std::size_t count, std::size_t columns, double* sums,
                std::size_t members) {
  const auto nodes = static_cast<std::int64_t>(trees.nodes);
  for (std::size_t t = 0; t < trees.trees; ++t) {
    const std::int32_t root = trees.roots[t], member = trees.member[t];
    if (root < 0 || root >= nodes || member < 0 || static_cast<std::size_t>(member) >= members) {
      throw InvalidInput("trees: a root or member that does not exist");
    }
    double* out = sums + static_cast<std::size_t>(member) * count;
    for (std::size_t r = 0; r < count; ++r) {
      const float* row = rows + r * columns;
      auto node = static_cast<std::size_t>(root);
      for (std::int16_t feature = trees.feature[node]; feature >= 0; feature = trees.feature[node]) {
        if (static_cast<std::size_t>(feature) >= columns) throw InvalidInput("trees: no such column");
        const std::int32_t next =
            row[feature] <= trees.threshold[node] ? trees.left[node] : trees.right[node];
        if (next <= static_cast<std::int64_t>(node) || next >= nodes) {  // children stand behind their parent
          throw InvalidInput("trees: a node that points to no later one");
        }
        node = static_cast<std::size_t>(next);
      }
      out[r] += static_cast<double>(trees.value[node]);
    }
  }
}

}  // namespace fastin
