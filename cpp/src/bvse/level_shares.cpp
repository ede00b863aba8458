#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "fastin/base/error.hpp"
#include "fastin/base/simd.hpp"
#include "fastin/bvse/valence.hpp"

namespace fastin {
namespace {

constexpr std::size_t kLanes = 16, kBlock = 4096;
constexpr float kLeast = -120.0f;  // exponents of two below it add nothing

}  // namespace

// `count` is a multiple of kLanes.
FASTIN_CLONED(void, count_levels,
              (const float* values, std::size_t count, float minimum, const float* levels,
               std::size_t num_levels, float rate, std::int64_t* at_most, double* thermal),
              (values, count, minimum, levels, num_levels, rate, at_most, thermal)) {
  for (std::size_t l = 0; l < num_levels; ++l) {
    const float level = levels[l];
    std::int32_t n = 0;
    for (std::size_t k = 0; k < count; ++k) n += values[k] - minimum <= level ? 1 : 0;
    at_most[l] += n;
  }
  float sum[kLanes] = {};
  for (std::size_t k = 0; k < count; k += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      const float height = values[k + l] - minimum;
      const float x = (height > 0.0f ? -height : 0.0f) * rate;
      sum[l] += simd::exp2_core(x < kLeast ? kLeast : x);
    }
  }
  double total = 0.0;
  for (const float s : sum) total += static_cast<double>(s);
  *thermal += total;
}

LevelShares level_shares(const float* values, std::size_t count, float minimum,
                         const std::vector<float>& levels, float kt) {
  if (count == 0) throw InvalidInput("the grid is empty");
  const float rate = 1.44269504f / kt;
  std::vector<std::int64_t> at_most(levels.size(), 0);
  LevelShares out{std::vector<double>(levels.size()), 0.0};
  const auto add = [&](const float* block, std::size_t n) {
    count_levels(block, n, minimum, levels.data(), levels.size(), rate, at_most.data(), &out.thermal);
  };
  std::size_t begin = 0;
  for (; begin + kLanes <= count; begin += kBlock) {  // blocks: sums in single precision stay short
    add(values + begin, std::min(kBlock, (count - begin) / kLanes * kLanes));
  }
  begin = count / kLanes * kLanes;
  if (begin < count) {
    std::array<float, kLanes> rest;
    rest.fill(std::numeric_limits<float>::max());
    std::copy(values + begin, values + count, rest.begin());
    add(rest.data(), kLanes);
  }
  for (std::size_t l = 0; l < levels.size(); ++l) {
    out.share[l] = static_cast<double>(at_most[l]) / static_cast<double>(count);
  }
  out.thermal /= static_cast<double>(count);
  return out;
}

}  // namespace fastin
