#include "fastin/tessellation/halfspaces.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/base/simd.hpp"

namespace fastin {
namespace {

// Atoms of one crystal nearer than this (angstrom) are an input error, not a structure.
constexpr double kMinDistance = 0.1;
// Neighbours that a list holds at first: a Voronoi cell has about 15 faces, its vertices are cut off by about
// 60 planes.
constexpr double kInitialNeighbours = 50.0;
constexpr double kGrowth = 1.5;
// A list that would reach farther than this many times its first reach means an infinite void, i.e. a broken
// input.
constexpr int kMaxExtensions = 24;
constexpr int kBuckets = 24;
constexpr double kDistanceMargin = 1e-9;
constexpr std::size_t kOverlapBlock = 512;

// Image that can bound a power cell out to plane distance `covers` lie within this distance of the atom.
double reach_for(double covers, double weight, double max_weight) {
  return covers + std::sqrt(std::max(0.0, covers * covers + max_weight - weight));
}

double covers_for(double reach, double weight, double max_weight) {
  return (reach * reach - (max_weight - weight)) / (2.0 * reach);
}

// Four lanes, two of them a block: GCC keeps 32-byte vectors whole from AVX2 on; wider ones it would take
// apart.
typedef double Lanes __attribute__((vector_size(32)));
typedef std::int64_t LaneCodes __attribute__((vector_size(32)));
constexpr std::size_t kHalf = HalfspaceLists::kLanes / 2;

// The best hit of each lane as a fraction num / den, compared by cross-multiplication.
struct Best {
  Lanes num, den;
  LaneCodes code;
};

}  // namespace

FASTIN_CLONED(RayHit, shoot_ray,
              (const HalfspaceView& list, const Vec3& origin, const Vec3& direction, GeneratorCode skip_a,
               GeneratorCode skip_b),
              (list, origin, direction, skip_a, skip_b)) {
  const double ox = origin.x, oy = origin.y, oz = origin.z;
  const double ux = direction.x, uy = direction.y, uz = direction.z;
  const double ou = dot(origin, direction), uu = norm2(direction);
  const double nearest2 =
      norm2(origin) - ou * ou / uu;  // squared distance between the atom and the ray's line
  const auto a = static_cast<std::int64_t>(skip_a), b = static_cast<std::int64_t>(skip_b);
  const Lanes zero = {}, one = zero + 1.0;
  Best best[2] = {{one, zero, {}}, {one, zero, {}}};
  for (std::size_t block = 0; block < list.blocks; ++block) {
    const double tail = list.tail[block];
    if (block > 1 && tail > 0.0 && tail * tail > nearest2) {
      // The line is inside the sphere that the remaining planes leave alone for t in (low, high): stop when
      // the best hit is.
      const double root = std::sqrt((tail * tail - nearest2) / uu), low = -ou / uu - root,
                   high = -ou / uu + root;
      const LaneCodes inside = (best[0].num < high * best[0].den) | (best[1].num < high * best[1].den);
      const LaneCodes outside = (best[0].num <= low * best[0].den) | (best[1].num <= low * best[1].den);
      if ((inside[0] | inside[1] | inside[2] | inside[3]) != 0 &&
          (outside[0] | outside[1] | outside[2] | outside[3]) == 0) {
        break;
      }
    }
    for (std::size_t half = 0; half < 2; ++half) {
      const std::size_t at = (2 * block + half) * kHalf;
      Lanes dx, dy, dz, h;
      LaneCodes code;
      std::memcpy(&dx, list.dx + at, sizeof dx);
      std::memcpy(&dy, list.dy + at, sizeof dy);
      std::memcpy(&dz, list.dz + at, sizeof dz);
      std::memcpy(&h, list.h + at, sizeof h);
      std::memcpy(&code, list.code + at, sizeof code);
      const Lanes den = dx * ux + dy * uy + dz * uz;
      const Lanes num = h - (dx * ox + dy * oy + dz * oz);
      const LaneCodes better =
          (den > zero) & (num * best[half].den < best[half].num * den) & (code != a) & (code != b);
      best[half].num = better ? num : best[half].num;
      best[half].den = better ? den : best[half].den;
      best[half].code = better ? code : best[half].code;
    }
  }
  RayHit hit{std::numeric_limits<double>::infinity(), 0};
  for (const Best& half : best) {
    for (std::size_t l = 0; l < kHalf; ++l) {
      if (!(half.den[l] > 0.0)) continue;
      const double t = half.num[l] / half.den[l];
      if (t < hit.t) hit = {t, static_cast<GeneratorCode>(half.code[l])};
    }
  }
  return hit;
}

std::shared_ptr<const HalfspaceLists::Atoms> HalfspaceLists::gather(const Lattice& lattice,
                                                                    std::vector<Vec3> frac,
                                                                    std::vector<double> weight,
                                                                    std::vector<std::int32_t> names) {
  const double volume_per_atom = lattice.volume() / static_cast<double>(frac.size());
  const double reach = std::cbrt(kInitialNeighbours * volume_per_atom * 3.0 / (4.0 * 3.14159265358979323846));
  const double largest = *std::max_element(weight.begin(), weight.end());
  Scratch<Vec3> cart;
  cart.reserve(frac.size());
  for (const Vec3& f : frac) cart.push_back(lattice.to_cart(f));
  return std::make_shared<const Atoms>(
      Atoms{lattice, std::move(frac), std::move(cart), std::move(weight), std::move(names), largest, reach});
}

HalfspaceLists::HalfspaceLists(const Lattice& lattice, std::vector<Vec3> frac, std::vector<double> weight,
                               bool keep, std::vector<std::int32_t> names, int num_threads)
    : HalfspaceLists(gather(lattice, std::move(frac), std::move(weight), std::move(names)), nullptr, keep) {
  cells_ = std::make_shared<const CellList>(lattice, atoms_->frac, atoms_->default_reach);
  check_overlaps(num_threads);
}

HalfspaceLists::HalfspaceLists(std::shared_ptr<const Atoms> atoms, std::shared_ptr<const CellList> cells,
                               bool keep)
    : atoms_(std::move(atoms)),
      cells_(std::move(cells)),
      cart_(atoms_->cart.data()),
      weight_(atoms_->weight.data()),
      keep_(keep) {
  const std::size_t lists = keep_ ? atoms_->frac.size() : 1;
  lists_.resize(lists);
  const std::size_t expected = lists * static_cast<std::size_t>(kInitialNeighbours * 1.25);
  for (auto* v : {&dx_, &dy_, &dz_, &h_}) v->reserve(expected);
  code_.reserve(expected);
}

// Before any list is made: atoms that lie on each other make lists without end.
void HalfspaceLists::check_overlaps(int num_threads) const {
  parallel_blocks(atoms_->frac.size(), num_threads, kOverlapBlock, [&](std::size_t i, std::size_t last, int) {
    for (; i < last; ++i) {
      const GeneratorCode self = make_generator(static_cast<std::int32_t>(i), {});
      cells_->for_each_stretch(atoms_->frac[i], kMinDistance, [&](std::size_t begin, std::size_t end) {
        for (std::size_t s = begin; s < end; ++s) {
          const double d2 = norm2(Vec3{cells_->x()[s], cells_->y()[s], cells_->z()[s]} - cart_[i]);
          if (d2 < kMinDistance * kMinDistance && cells_->code()[s] != self) {
            refuse_overlap(static_cast<std::int32_t>(i), generator_atom(cells_->code()[s]), d2);
          }
        }
      });
    }
  });
}

void HalfspaceLists::refuse_overlap(std::int32_t one, std::int32_t other, double d2) const {
  throw DegenerateGeometry("atoms " + std::to_string(std::min(name(one), name(other))) + " and " +
                           std::to_string(std::max(name(one), name(other))) + " overlap: they are " +
                           std::to_string(std::sqrt(d2)) + " angstrom apart");
}

HalfspaceView HalfspaceLists::view(std::int32_t atom) {
  if (!has_list(atom)) build(atom, atoms_->default_reach);
  const List& list = list_of(atom);
  return {dx_.data() + list.begin,
          dy_.data() + list.begin,
          dz_.data() + list.begin,
          h_.data() + list.begin,
          code_.data() + list.begin,
          tail_.data() + list.tail,
          list.blocks,
          list.covers};
}

void HalfspaceLists::extend(std::int32_t atom, double covers) {
  build(atom, reach_for(covers, weight(atom), atoms_->max_weight) * (1.0 + kDistanceMargin));
}

RayHit HalfspaceLists::shoot(std::int32_t atom, const Vec3& origin, const Vec3& direction,
                             GeneratorCode skip_a, GeneratorCode skip_b) {
  for (int round = 0; round < kMaxExtensions; ++round) {
    const HalfspaceView list = view(atom);
    const RayHit hit = shoot_ray(list, origin, direction, skip_a, skip_b);
    const double distance = norm(origin + hit.t * direction);
    if (hit.code != 0 && distance < list.covers) return hit;
    extend(atom, hit.code != 0 ? std::min(distance * 1.01, list.covers * 2.0 + atoms_->default_reach)
                               : list.covers * kGrowth + 0.25 * atoms_->default_reach);
  }
  throw NoConvergence("power cell of atom " + std::to_string(name(atom)) + " is unbounded");
}

void HalfspaceLists::build(std::int32_t atom, double reach) {
  if (reach > cells_->reach()) cells_ = std::make_shared<const CellList>(lattice(), atoms_->frac, reach);
  const double covers = covers_for(reach, weight(atom), atoms_->max_weight);
  collect(atom, reach, covers);
  if (!keep_) {
    for (auto* v : {&dx_, &dy_, &dz_, &h_, &tail_}) v->clear();
    code_.clear();
  }
  store(&list_of(atom), covers);
  last_ = atom;
}

// Slots begin .. end whose point lies within `reach` of the centre, in order; `slots` has room for all.
// Returns how many there are.
FASTIN_CLONED(std::size_t, slots_within,
              (const double* x, const double* y, const double* z, const Vec3& centre, double reach2,
               std::size_t begin, std::size_t end, std::uint32_t* slots),
              (x, y, z, centre, reach2, begin, end, slots)) {
  constexpr std::size_t kBlock = 32;
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

void HalfspaceLists::collect(std::int32_t atom, double reach, double covers) {
  const auto i = static_cast<std::size_t>(atom);
  const Vec3 c = cart_[i];
  const double w = weight_[i], reach2 = reach * reach;
  const double *x = cells_->x(), *y = cells_->y(), *z = cells_->z();
  const GeneratorCode* code = cells_->code();
  const GeneratorCode self = make_generator(atom, {});
  std::size_t count = 0;
  cells_->for_each_stretch(atoms_->frac[i], reach, [&](std::size_t begin, std::size_t end) {
    if (near_.size() < count + (end - begin)) near_.resize(2 * (count + (end - begin)));
    count += slots_within(x, y, z, c, reach2, begin, end, near_.data() + count);
  });
  if (scratch_.size() < count) scratch_.resize(count);
  planes_ = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t s = near_[k];
    const Vec3 d{x[s] - c.x, y[s] - c.y, z[s] - c.z};
    const double d2 = norm2(d);
    if (d2 < kMinDistance * kMinDistance) {
      if (code[s] == self) continue;
      refuse_overlap(atom, generator_atom(code[s]), d2);
    }
    const double h = 0.5 * (d2 + w - weight_[static_cast<std::size_t>(generator_atom(code[s]))]);
    const double distance = h / std::sqrt(d2);
    scratch_[planes_] = {d, h, distance, code[s]};
    planes_ += distance <= covers ? 1 : 0;
  }
}

void HalfspaceLists::store(List* list, double covers) {
  std::array<std::uint32_t, kBuckets + 1> start{};
  const double scale = covers > 0.0 ? kBuckets / covers : 0.0;
  const auto bucket_of = [scale](double distance) {
    return static_cast<std::size_t>(std::clamp(distance * scale, 0.0, kBuckets - 1.0));
  };
  for (std::size_t k = 0; k < planes_; ++k) ++start[bucket_of(scratch_[k].distance) + 1];
  for (std::size_t b = 0; b < kBuckets; ++b) start[b + 1] += start[b];

  list->begin = dx_.size();
  list->tail = tail_.size();
  list->blocks = planes_ / kLanes + 1;  // one block at least, so that a made list is known by its blocks
  list->covers = covers;
  const std::size_t padded = list->blocks * kLanes;
  for (auto* v : {&dx_, &dy_, &dz_}) v->resize(list->begin + padded, 0.0);
  h_.resize(list->begin + padded, 1.0);  // padding: a plane that faces no ray
  code_.resize(list->begin + padded, 0);
  std::size_t b = 0;
  for (std::size_t block = 0; block < list->blocks; ++block) {
    while (b + 1 < kBuckets && start[b + 1] <= block * kLanes) ++b;
    // Bucket 0 also holds the negative distances; the margin covers the rounding of the bucket's edge.
    tail_.push_back(b == 0 ? 0.0 : (static_cast<double>(b) / scale) * (1.0 - kDistanceMargin));
  }
  for (std::size_t k = 0; k < planes_; ++k) {
    const Plane& p = scratch_[k];
    const std::size_t slot = list->begin + start[bucket_of(p.distance)]++;
    dx_[slot] = p.d.x;
    dy_[slot] = p.d.y;
    dz_[slot] = p.d.z;
    h_[slot] = p.h;
    code_[slot] = p.code;
  }
}

}  // namespace fastin
