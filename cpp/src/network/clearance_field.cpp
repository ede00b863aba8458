#include "fastin/network/clearance_field.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/network/clearance.hpp"

namespace fastin {

namespace {

// A drop of f that counts as rounding, angstrom.
constexpr double kLevelTolerance = 1e-9;
// Branch and bound starts from boxes of about this edge, angstrom.
constexpr double kFirstBox = 2.0;
// In large cells from so many: boxes are cut where that matters.
constexpr double kMostFirstBoxes = 2e5;

struct Reduction {
  Mat3 cell;
  std::array<Int3, 3> basis;
};

// Shortens the cell vectors pairwise and against sums of two, until no step shortens one: a compact basis of
// the same lattice, so that skewed and needle-shaped cells cost no more than their shape requires.
Reduction reduce(const Mat3& cell) {
  Reduction r{cell, {Int3{1, 0, 0}, Int3{0, 1, 0}, Int3{0, 0, 1}}};
  constexpr double kShorter = 1.0 - 1e-9;
  bool changed = true;
  for (int round = 0; changed && round < 1000; ++round) {
    changed = false;
    for (int i = 0; i < 3; ++i) {
      const int j = (i + 1) % 3, k = (i + 2) % 3;
      for (int p = -1; p <= 1; ++p) {
        for (int q = -1; q <= 1; ++q) {
          if (p == 0 && q == 0) continue;
          const Vec3 w = static_cast<double>(p) * r.cell[j] + static_cast<double>(q) * r.cell[k];
          const double length2 = norm2(w);
          if (length2 <= 0.0) continue;
          const double n = std::round(dot(r.cell[i], w) / length2);
          const Vec3 shorter = r.cell[i] - n * w;
          if (n == 0.0 || norm2(shorter) >= kShorter * norm2(r.cell[i])) continue;
          const auto m = static_cast<std::int32_t>(n);
          Int3& row = r.basis[static_cast<std::size_t>(i)];
          const Int3 bj = r.basis[static_cast<std::size_t>(j)], bk = r.basis[static_cast<std::size_t>(k)];
          for (int c = 0; c < 3; ++c) row[c] -= m * (p * bj[c] + q * bk[c]);
          r.cell[i] = shorter;
          changed = true;
        }
      }
    }
  }
  return r;
}

void check_spheres(const std::vector<Vec3>& frac, const std::vector<double>& radius) {
  if (frac.empty()) throw InvalidInput("no spheres: the framework is empty");
  if (frac.size() != radius.size()) {
    throw InvalidInput("frac holds " + std::to_string(frac.size()) + " positions but radius " +
                       std::to_string(radius.size()) + " values");
  }
  for (std::size_t i = 0; i < frac.size(); ++i) {
    if (!std::isfinite(frac[i].x + frac[i].y + frac[i].z)) {
      throw InvalidInput("position " + std::to_string(i) + " is not finite");
    }
    if (!std::isfinite(radius[i])) throw InvalidInput("radius " + std::to_string(i) + " is not finite");
  }
}

}  // namespace

ClearanceField::ClearanceField(const Lattice& lattice, const std::vector<Vec3>& frac,
                               const std::vector<double>& radius)
    : reduced_(lattice.cell()), radius_(radius) {
  check_spheres(frac, radius);
  const Reduction reduction = reduce(lattice.cell());
  reduced_ = Lattice(reduction.cell);
  basis_ = reduction.basis;
  const double target = std::max(1.5, std::cbrt(lattice.volume() / static_cast<double>(frac.size())));
  bin_width_ = std::numeric_limits<double>::max();
  std::size_t count = 1;
  for (int k = 0; k < 3; ++k) {
    const double spacing = reduced_.plane_spacing(k);
    bins_[k] = std::max(1, static_cast<std::int32_t>(spacing / target));
    bin_width_ = std::min(bin_width_, spacing / bins_[k]);
    count *= static_cast<std::size_t>(bins_[k]);
  }
  std::vector<std::int32_t> home(frac.size());
  std::vector<std::int32_t> begin(count + 1, 0);
  largest_radius_ = radius[0];
  for (std::size_t i = 0; i < frac.size(); ++i) {
    Vec3 f = reduced_.to_frac(lattice.to_cart(frac[i]));
    wrap_frac(f);
    centre_.push_back(reduced_.to_cart(f));
    Int3 b;
    for (int k = 0; k < 3; ++k) b[k] = std::min(bins_[k] - 1, static_cast<std::int32_t>(f[k] * bins_[k]));
    home[i] = (b.x * bins_.y + b.y) * bins_.z + b.z;
    ++begin[static_cast<std::size_t>(home[i]) + 1];
    largest_radius_ = std::max(largest_radius_, radius[i]);
  }
  for (std::size_t b = 0; b < count; ++b) begin[b + 1] += begin[b];
  for (std::size_t b = 0; b < count; ++b) bin_.push_back({begin[b], begin[b + 1]});
  order_.resize(frac.size());
  for (std::size_t i = 0; i < frac.size(); ++i) {
    order_[static_cast<std::size_t>(begin[static_cast<std::size_t>(home[i])]++)] =
        static_cast<std::int32_t>(i);
  }
}

Int3 ClearanceField::to_caller(const Int3& image) const {
  Int3 out;
  for (int c = 0; c < 3; ++c)
    for (int k = 0; k < 3; ++k) out[c] += image[k] * basis_[static_cast<std::size_t>(k)][c];
  return out;
}

// Calls visit(sphere, image) for the spheres of all bins at Chebyshev distance `ring` from bin `home`
// (unwrapped).
template <class Visit>
void ClearanceField::visit_ring(const Int3& home, int ring, Visit&& visit) const {
  for (int dx = -ring; dx <= ring; ++dx) {
    for (int dy = -ring; dy <= ring; ++dy) {
      const bool face = std::abs(dx) == ring || std::abs(dy) == ring;
      const int step = face || ring == 0 ? 1 : 2 * ring;
      for (int dz = -ring; dz <= ring; dz += step) {
        Int3 b{home.x + dx, home.y + dy, home.z + dz};
        Int3 image;
        for (int k = 0; k < 3; ++k) {
          image[k] = b[k] >= 0 ? b[k] / bins_[k] : -((bins_[k] - 1 - b[k]) / bins_[k]);
          b[k] -= image[k] * bins_[k];
        }
        const Bin& bin = bin_[static_cast<std::size_t>((b.x * bins_.y + b.y) * bins_.z + b.z)];
        if (bin.begin == bin.end) continue;
        const Vec3 shift = reduced_.to_cart(to_vec(image));
        for (std::int32_t n = bin.begin; n < bin.end; ++n)
          visit(order_[static_cast<std::size_t>(n)], image, shift);
      }
    }
  }
}

double ClearanceField::clearance(const Vec3& point) const {
  Vec3 f = reduced_.to_frac(point);
  wrap_frac(f);
  const Vec3 x = reduced_.to_cart(f);
  Int3 home;
  for (int k = 0; k < 3; ++k) home[k] = std::min(bins_[k] - 1, static_cast<std::int32_t>(f[k] * bins_[k]));
  double best = std::numeric_limits<double>::max();
  for (int ring = 0; (ring - 1) * bin_width_ - largest_radius_ < best; ++ring) {
    visit_ring(home, ring, [&](std::int32_t j, const Int3&, const Vec3& shift) {
      const auto n = static_cast<std::size_t>(j);
      best = std::min(best, norm(centre_[n] + shift - x) - radius_[n]);
    });
  }
  return best;
}

double ClearanceField::upper_bound(double slack) const {
  struct Box {
    Vec3 centre;  // fractional
    double bound;
    int depth;
  };
  Int3 first;
  Vec3 width;
  const double edge = std::max(kFirstBox, std::cbrt(reduced_.volume() / kMostFirstBoxes));
  for (int k = 0; k < 3; ++k) {
    first[k] = std::max(1, static_cast<std::int32_t>(std::ceil(norm(reduced_.cell()[k]) / edge)));
    width[k] = 1.0 / first[k];
  }
  double half_diagonal = 0.0;  // of a box at depth 0: the farthest corner from its centre
  for (int sy = -1; sy <= 1; sy += 2)
    for (int sz = -1; sz <= 1; sz += 2)
      half_diagonal =
          std::max(half_diagonal, 0.5 * norm(reduced_.to_cart({width.x, sy * width.y, sz * width.z})));
  double best = std::numeric_limits<double>::lowest();
  std::vector<Box> stack;
  const auto add = [&](const Vec3& centre, int depth) {
    poll_interrupt();
    const double value = clearance(reduced_.to_cart(centre));
    best = std::max(best, value);
    stack.push_back({centre, value + std::ldexp(half_diagonal, -depth), depth});
  };
  for (int i = 0; i < first.x; ++i)
    for (int j = 0; j < first.y; ++j)
      for (int k = 0; k < first.z; ++k)
        add({(i + 0.5) * width.x, (j + 0.5) * width.y, (k + 0.5) * width.z}, 0);
  while (!stack.empty()) {
    const Box box = stack.back();
    stack.pop_back();
    if (box.bound <= best + slack) continue;
    const double s = std::ldexp(0.25, -box.depth);
    for (int c = 0; c < 8; ++c) {
      add({box.centre.x + (c & 1 ? s : -s) * width.x, box.centre.y + (c & 2 ? s : -s) * width.y,
           box.centre.z + (c & 4 ? s : -s) * width.z},
          box.depth + 1);
    }
  }
  return best + slack;
}

void ClearanceField::build_neighbours(double bound, double margin, int num_threads) {
  bound_ = bound;
  margin_ = margin;
  neighbours_.assign(size(), {});
  parallel_for(
      size(), num_threads,
      [&](std::size_t i, int) {
        const Vec3 f = reduced_.to_frac(centre_[i]);
        Int3 home;
        for (int k = 0; k < 3; ++k) {
          home[k] = std::clamp(static_cast<std::int32_t>(f[k] * bins_[k]), 0, bins_[k] - 1);
        }
        const double reach = radius_[i] + 2.0 * bound + margin;
        auto& list = neighbours_[i];
        for (int ring = 0; (ring - 1) * bin_width_ <= reach + largest_radius_; ++ring) {
          visit_ring(home, ring, [&](std::int32_t j, const Int3& image, const Vec3& shift) {
            const auto n = static_cast<std::size_t>(j);
            const Vec3 offset = centre_[n] + shift - centre_[i];
            const double limit = reach + radius_[n];
            const bool self = n == i && is_zero(image);
            if (self || (limit > 0.0 && norm2(offset) <= limit * limit)) {
              list.push_back({offset, radius_[n], j, image});
            }
          });
        }
        std::vector<std::pair<double, std::size_t>> key(list.size());
        for (std::size_t n = 0; n < list.size(); ++n) key[n] = {norm(list[n].offset) - list[n].radius, n};
        std::sort(key.begin(), key.end());
        std::vector<SphereNeighbour> sorted;
        sorted.reserve(list.size());
        for (const auto& [gap, n] : key) sorted.push_back(list[n]);
        list = std::move(sorted);
      },
      4);
}

double ClearanceField::settle(AnchoredPoint* p) const {
  double best = std::numeric_limits<double>::max();
  const SphereNeighbour* touching = nullptr;
  for (const SphereNeighbour& s : neighbours(p->sphere)) {
    const double value = norm(p->rel - s.offset) - s.radius;
    if (value < best) {
      best = value;
      touching = &s;
    }
  }
  if (touching->index != p->sphere || !is_zero(touching->image)) {
    p->sphere = touching->index;
    p->cell = p->cell + touching->image;
    p->rel -= touching->offset;
  }
  return best;
}

double ClearanceField::free_run(const AnchoredPoint& p, const Vec3& d, double level, double limit) const {
  double run = limit;
  for (const SphereNeighbour& s : neighbours(p.sphere)) {
    const Vec3 x = p.rel - s.offset;
    const double reach = s.radius + level;
    if (reach <= 0.0) continue;
    const double along = dot(x, d);
    if (along >= 0.0) continue;  // moving away
    const double outside = norm2(x) - reach * reach;
    const double discriminant = along * along - outside;
    if (discriminant <= 0.0) continue;  // passes beside the inflated sphere
    // Roots -along -+ sqrt: the first is where it enters; the product form keeps digits when `outside` is
    // small.
    const double enter = outside / (-along + std::sqrt(discriminant));
    run = std::min(run, std::max(enter, 0.0));
  }
  return run;
}

double ClearanceField::segment_clearance(const AnchoredPoint& p, const Vec3& step) const {
  const double length2 = norm2(step);
  double best = std::numeric_limits<double>::max();
  for (const SphereNeighbour& s : neighbours(p.sphere)) {
    const Vec3 x = s.offset - p.rel;
    const double t = length2 > 0.0 ? std::clamp(dot(x, step) / length2, 0.0, 1.0) : 0.0;
    best = std::min(best, norm(x - t * step) - s.radius);
  }
  return best;
}

std::vector<double> clearance_at(const Lattice& lattice, const std::vector<Vec3>& frac,
                                 const std::vector<double>& radius, const std::vector<Vec3>& points,
                                 int num_threads) {
  const ClearanceField field(lattice, frac, radius);
  std::vector<double> out(points.size());
  parallel_for(
      points.size(), num_threads, [&](std::size_t i, int) { out[i] = field.clearance(points[i]); }, 256);
  return out;
}

}  // namespace fastin
