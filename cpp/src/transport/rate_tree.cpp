#include "fastin/transport/rate_tree.hpp"

namespace fastin {

RateTree::RateTree(std::size_t entries) {
  std::size_t n = entries;
  do {
    n = (n + kWidth - 1) / kWidth * kWidth;
    levels_.emplace_back(n, 0.0);
    n /= kWidth;
  } while (n > 1);
  for (const auto& level : levels_) {
    stale_.emplace_back(level.size() / kWidth, std::uint8_t{0});
    queue_.emplace_back();
    queue_.back().reserve(level.size() / kWidth);
  }
}

void RateTree::set(std::size_t entry, double rate) {
  levels_[0][entry] = rate;
  const std::size_t line = entry / kWidth;
  if (!stale_[0][line]) {
    stale_[0][line] = 1;
    queue_[0].push_back(line);
  }
}

void RateTree::renew() {
  for (std::size_t level = 0; level < levels_.size(); ++level) {
    const std::vector<double>& sums = levels_[level];
    const bool top = level + 1 == levels_.size();
    for (const std::size_t line : queue_[level]) {
      stale_[level][line] = 0;
      const double* c = sums.data() + line * kWidth;
      const double sum = ((c[0] + c[1]) + (c[2] + c[3])) + ((c[4] + c[5]) + (c[6] + c[7]));
      if (top) {
        total_ = sum;
        continue;
      }
      levels_[level + 1][line] = sum;
      const std::size_t parent = line / kWidth;
      if (!stale_[level + 1][parent]) {
        stale_[level + 1][parent] = 1;
        queue_[level + 1].push_back(parent);
      }
    }
    queue_[level].clear();
  }
}

std::size_t RateTree::find(double x, double* rest) const {
  std::size_t line = 0;
  for (std::size_t level = levels_.size(); level-- > 0;) {
    const double* c = levels_[level].data() + line * kWidth;
    std::size_t pick = kWidth, last = 0;
    for (std::size_t k = 0; k < kWidth; ++k) {
      if (c[k] <= 0.0) continue;
      last = k;
      if (x < c[k]) {
        pick = k;
        break;
      }
      x -= c[k];
    }
    if (pick == kWidth) {  // rounding carried x past the end
      pick = last;
      x = c[last];
    }
    line = line * kWidth + pick;
  }
  *rest = x;
  return line;
}

}  // namespace fastin
