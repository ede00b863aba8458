#include "fastin/graph/graph.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/base/periodic_union_find.hpp"

namespace fastin {

namespace {

constexpr double kPi = 3.14159265358979323846;
// A sphere that holds on average this many times k atoms is searched first.
constexpr double kSearchSurplus = 1.7;
constexpr double kSearchGrowth = 1.3;

std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }

// Quotient rounded towards minus infinity.
std::int32_t floor_div(std::int32_t a, std::int32_t b) {
  const std::int32_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

}  // namespace

NeighbourFinder::NeighbourFinder(const Lattice& lattice, std::vector<Vec3> frac,
                                 std::vector<std::int32_t> key)
    : lattice_(lattice), frac_(std::move(frac)), key_(std::move(key)) {
  if (frac_.empty()) throw InvalidInput("no atoms to search for neighbours");
  if (key_.size() != frac_.size()) {
    throw InvalidInput("key must have one value an atom: " + std::to_string(frac_.size()) + ", not " +
                       std::to_string(key_.size()));
  }
  shift_.reserve(frac_.size());
  for (std::size_t i = 0; i < frac_.size(); ++i) {
    for (int k = 0; k < 3; ++k) {
      if (!std::isfinite(frac_[i][k]))
        throw InvalidInput("atom " + std::to_string(i) + " has a coordinate that is not finite");
    }
    shift_.push_back(wrap_frac(frac_[i]));
  }
  // Bins about as wide as the mean distance between atoms.
  const double width = std::cbrt(lattice_.volume() / static_cast<double>(frac_.size()));
  std::size_t total = 1;
  for (int k = 0; k < 3; ++k) {
    bins_[k] = std::clamp(static_cast<std::int32_t>(lattice_.plane_spacing(k) / width), 1, 128);
    total *= index(bins_[k]);
  }
  const auto bin_of = [&](const Vec3& f) {
    Int3 b;
    for (int k = 0; k < 3; ++k) b[k] = std::min(static_cast<std::int32_t>(f[k] * bins_[k]), bins_[k] - 1);
    return index((b.x * bins_.y + b.y) * bins_.z + b.z);
  };
  bin_start_.assign(total + 1, 0);
  for (const Vec3& f : frac_) ++bin_start_[bin_of(f) + 1];
  std::partial_sum(bin_start_.begin(), bin_start_.end(), bin_start_.begin());
  std::vector<std::int32_t> fill(bin_start_.begin(), bin_start_.end() - 1);
  bin_atom_.resize(frac_.size());
  for (std::size_t i = 0; i < frac_.size(); ++i) {
    bin_atom_[index(fill[bin_of(frac_[i])]++)] = static_cast<std::int32_t>(i);
  }
}

void NeighbourFinder::collect(const Vec3& point, double radius, std::int32_t skip,
                              std::vector<Neighbour>* found) const {
  found->clear();
  Int3 low, high;
  for (int k = 0; k < 3; ++k) {
    const double reach = radius / lattice_.plane_spacing(k);
    low[k] = static_cast<std::int32_t>(std::floor((point[k] - reach) * bins_[k]));
    high[k] = static_cast<std::int32_t>(std::floor((point[k] + reach) * bins_[k]));
  }
  const double radius2 = radius * radius;
  for (std::int32_t bx = low.x; bx <= high.x; ++bx) {
    const std::int32_t cx = floor_div(bx, bins_.x);
    for (std::int32_t by = low.y; by <= high.y; ++by) {
      const std::int32_t cy = floor_div(by, bins_.y);
      for (std::int32_t bz = low.z; bz <= high.z; ++bz) {
        const std::int32_t cz = floor_div(bz, bins_.z);
        const Int3 cell{cx, cy, cz};
        const Vec3 origin = to_vec(cell) - point;
        const std::size_t bin =
            index(((bx - cx * bins_.x) * bins_.y + (by - cy * bins_.y)) * bins_.z + (bz - cz * bins_.z));
        for (std::int32_t s = bin_start_[bin]; s < bin_start_[bin + 1]; ++s) {
          const std::int32_t atom = bin_atom_[index(s)];
          const double d2 = norm2(lattice_.to_cart(frac_[index(atom)] + origin));
          if (d2 > radius2) continue;
          const Int3 image = cell - shift_[index(atom)];
          if (atom == skip && is_zero(image)) continue;
          found->push_back({atom, image, std::sqrt(d2)});
        }
      }
    }
  }
}

void NeighbourFinder::nearest(const Vec3& point, std::size_t k, std::int32_t skip,
                              std::vector<Neighbour>* scratch, Neighbour* out) const {
  for (int c = 0; c < 3; ++c) {
    if (!std::isfinite(point[c])) throw InvalidInput("a point has a coordinate that is not finite");
  }
  const double per_atom = lattice_.volume() / static_cast<double>(frac_.size());
  double radius = std::cbrt(3.0 / (4.0 * kPi) * kSearchSurplus * static_cast<double>(k + 1) * per_atom);
  std::vector<Neighbour>& found = *scratch;
  const auto by_distance = [](const Neighbour& a, const Neighbour& b) {
    return a.distance != b.distance ? a.distance < b.distance
                                    : (a.atom != b.atom ? a.atom < b.atom : a.image < b.image);
  };
  std::size_t group_end = 0;
  for (;; radius *= kSearchGrowth) {
    collect(point, radius, skip, &found);
    if (found.size() < k) continue;
    std::sort(found.begin(), found.end(), by_distance);
    // The whole group of ties around the k-th must lie inside the sphere.
    group_end = k;
    while (group_end < found.size() &&
           found[group_end].distance - found[group_end - 1].distance < kTieTolerance) {
      ++group_end;
    }
    if (found[group_end - 1].distance + kTieTolerance < radius) break;
  }
  for (std::size_t begin = 0; begin < k;) {
    std::size_t end = begin + 1;
    while (end < group_end && found[end].distance - found[end - 1].distance < kTieTolerance) ++end;
    std::stable_sort(
        found.begin() + static_cast<std::ptrdiff_t>(begin), found.begin() + static_cast<std::ptrdiff_t>(end),
        [&](const Neighbour& a, const Neighbour& b) { return key_[index(a.atom)] < key_[index(b.atom)]; });
    begin = end;
  }
  std::copy_n(found.begin(), k, out);
}

std::vector<Neighbour> nearest_atoms(const NeighbourFinder& finder, const std::vector<Vec3>& points,
                                     std::size_t k, const std::vector<std::int32_t>& skip, int num_threads) {
  if (!skip.empty() && skip.size() != points.size()) {
    throw InvalidInput("skip must be empty or have one atom a point: " + std::to_string(points.size()) +
                       ", not " + std::to_string(skip.size()));
  }
  std::vector<Neighbour> out(points.size() * k);
  if (k == 0) return out;
  constexpr std::size_t kChunk = 256;  // below this a parallel region costs more than it saves
  const std::size_t chunks = (points.size() + kChunk - 1) / kChunk;
  parallel_for(chunks, num_threads, [&](std::size_t c, int) {
    std::vector<Neighbour> scratch;
    const std::size_t end = std::min(points.size(), (c + 1) * kChunk);
    for (std::size_t i = c * kChunk; i < end; ++i) {
      finder.nearest(points[i], k, skip.empty() ? -1 : skip[i], &scratch, out.data() + i * k);
    }
  });
  return out;
}

CriticalElements critical_elements(const NetworkTopology& network, const float* site_energy,
                                   const float* edge_energy) {
  CriticalElements result;
  const std::size_t n = network.num_edges;
  std::vector<float> level(n);
  for (std::size_t e = 0; e < n; ++e) {
    level[e] = std::max({edge_energy[e], site_energy[index(network.ends[2 * e])],
                         site_energy[index(network.ends[2 * e + 1])]});
  }
  std::vector<std::int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const float x = level[index(a)], y = level[index(b)];
    return x != y ? x < y : a < b;
  });
  PeriodicUnionFind sets(network.num_sites);
  std::vector<std::int32_t> lowest(network.num_sites);  // lowest site of the component, kept at its root
  std::iota(lowest.begin(), lowest.end(), 0);
  int reached = 0;
  for (const std::int32_t e : order) {
    const std::int32_t i = network.ends[2 * index(e)], j = network.ends[2 * index(e) + 1];
    const auto joined = sets.join(i, j, network.image[index(e)]);
    if (joined.absorbed >= 0) {
      const std::int32_t a = lowest[index(joined.root)], b = lowest[index(joined.absorbed)];
      const float x = site_energy[index(a)], y = site_energy[index(b)];
      lowest[index(joined.root)] = x != y ? (x < y ? a : b) : std::min(a, b);
    }
    for (const int rank = sets.rank(joined.root); reached < rank; ++reached) {
      const auto d = static_cast<std::size_t>(reached);
      const float top = level[index(e)];
      result.saddle[d] = top <= edge_energy[e] ? e : -1 - (top <= site_energy[i] ? i : j);
      result.lowest[d] = -1 - lowest[index(joined.root)];
    }
    if (reached == 3) break;
  }
  return result;
}

}  // namespace fastin
