// Mean, deviation, extremes and median of some numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace fastin {

struct Spread {
  double mean, deviation, least, median, most;  // deviation over n, not n - 1; NaN for no numbers
};

// NaN among the numbers makes every value NaN.
inline Spread spread_of(std::vector<double> values) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::size_t n = values.size();
  if (n == 0 || std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); })) {
    return {nan, nan, nan, nan, nan};
  }
  double sum = 0.0, squares = 0.0;
  for (const double v : values) sum += v;
  const double mean = sum / static_cast<double>(n);
  for (const double v : values) squares += (v - mean) * (v - mean);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(n / 2);
  std::nth_element(values.begin(), middle, values.end());
  const double above = *middle, below = *std::max_element(values.begin(), n > 1 ? middle : middle + 1);
  const double median = n % 2 == 1 ? above : 0.5 * (below + above);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {mean, std::sqrt(squares / static_cast<double>(n)), *least, median, *most};
}

}  // namespace fastin
