#include "planes.hpp"

#include <algorithm>
#include <cmath>

#include "fastin/base/simd.hpp"

namespace fastin {

FASTIN_CLONED(std::size_t, slots_within,
              (const SlotView& from, const Vec3& centre, double reach2, std::size_t begin, std::size_t end,
               std::uint32_t* slots),
              (from, centre, reach2, begin, end, slots)) {
  constexpr std::size_t kBlock = 32;
  const double *x = from.x, *y = from.y, *z = from.z;
  const double cx = centre.x, cy = centre.y, cz = centre.z;
  std::size_t count = 0;
  for (; begin < end; begin += kBlock) {
    double d2[kBlock];
    const std::size_t n = std::min(kBlock, end - begin);
    for (std::size_t k = 0; k < n; ++k) {
      const double dx = x[begin + k] - cx, dy = y[begin + k] - cy, dz = z[begin + k] - cz;
      d2[k] = dx * dx + dy * dy + dz * dz;
    }
    for (std::size_t k = 0; k < n; ++k) {  // no branch: whether a point is near cannot be foreseen
      slots[count] = static_cast<std::uint32_t>(begin + k);
      count += static_cast<std::size_t>(d2[k] <= reach2);
    }
  }
  return count;
}

FASTIN_CLONED(void, bucket_planes,
              (const SlotView& from, const std::uint32_t* slots, std::size_t blocks, const Vec3& centre,
               double weight, double covers, double scale, std::int32_t* __restrict bucket),
              (from, slots, blocks, centre, weight, covers, scale, bucket)) {
  const double *x = from.x, *y = from.y, *z = from.z, *w = from.weight;
  const double cx = centre.x, cy = centre.y, cz = centre.z;
  for (std::size_t k = 0; k < blocks * kPlaneLanes; ++k) {
    const std::uint32_t s = slots[k];
    const double dx = x[s] - cx, dy = y[s] - cy, dz = z[s] - cz;
    const double d2 = dx * dx + dy * dy + dz * dz;
    const double distance = 0.5 * (d2 + weight - w[s]) / std::sqrt(d2);  // of the atom itself 0 / 0
    const double scaled = distance * scale, low = scaled > 0.0 ? scaled : 0.0;
    const double inside = low < kPlaneBuckets - 1.0 ? low : kPlaneBuckets - 1.0;
    bucket[k] = static_cast<std::int32_t>(distance <= covers ? inside : kPlaneBuckets);
  }
}

FASTIN_CLONED(void, make_planes,
              (const SlotView& from, const std::uint32_t* slots, std::size_t blocks, const Vec3& centre,
               double weight, double* __restrict dx, double* __restrict dy, double* __restrict dz,
               double* __restrict h, GeneratorCode* __restrict code),
              (from, slots, blocks, centre, weight, dx, dy, dz, h, code)) {
  const double *x = from.x, *y = from.y, *z = from.z, *w = from.weight;
  const GeneratorCode* codes = from.code;
  const double cx = centre.x, cy = centre.y, cz = centre.z;
  for (std::size_t k = 0; k < blocks * kPlaneLanes; ++k) {
    const std::uint32_t s = slots[k];
    const double px = x[s] - cx, py = y[s] - cy, pz = z[s] - cz;
    dx[k] = px;
    dy[k] = py;
    dz[k] = pz;
    h[k] = 0.5 * (px * px + py * py + pz * pz + weight - w[s]);
    code[k] = codes[s];
  }
}

}  // namespace fastin
