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
#include "planes.hpp"

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
// Images are gathered to so many times the reach that is asked for, where that takes at most so many times as
// many.
constexpr double kRoom = 1.3, kMostRoom = 1.35;
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
static_assert(HalfspaceLists::kLanes == kPlaneLanes);

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

HalfspaceLists::Images::Images(const Atoms& atoms, double reach) : cells(atoms.lattice, atoms.frac, reach) {
  weight.reserve(cells.size());
  for (std::size_t s = 0; s < cells.size(); ++s)
    weight.push_back(atoms.weight[static_cast<std::size_t>(generator_atom(cells.code()[s]))]);
}

SlotView HalfspaceLists::Images::view() const {
  return {cells.x(), cells.y(), cells.z(), weight.data(), cells.code()};
}

HalfspaceLists::HalfspaceLists(const Lattice& lattice, std::vector<Vec3> frac, std::vector<double> weight,
                               bool keep, std::vector<std::int32_t> names, int num_threads)
    : HalfspaceLists(gather(lattice, std::move(frac), std::move(weight), std::move(names)),
                     std::make_shared<Stock>(), keep) {
  images_ = images_for(atoms_->default_reach);
  check_overlaps(num_threads);
}

HalfspaceLists::HalfspaceLists(std::shared_ptr<const Atoms> atoms, std::shared_ptr<Stock> stock, bool keep)
    : atoms_(std::move(atoms)),
      stock_(std::move(stock)),
      images_(stock_->farthest),
      cart_(atoms_->cart.data()),
      weight_(atoms_->weight.data()),
      keep_(keep) {
  const std::size_t lists = keep_ ? atoms_->frac.size() : 1;
  lists_.resize(lists);
  const std::size_t expected = lists * static_cast<std::size_t>(kInitialNeighbours * 1.25);
  for (auto* v : {&dx_, &dy_, &dz_, &h_}) v->reserve(expected);
  code_.reserve(expected);
}

// Images of `reach` at least, and of some more where that costs few of them: lists are extended by little.
std::shared_ptr<const HalfspaceLists::Images> HalfspaceLists::images_for(double reach) const {
  const std::lock_guard<std::mutex> guard(stock_->lock);
  std::shared_ptr<const Images>& farthest = stock_->farthest;
  if (farthest == nullptr || farthest->cells.reach() < reach) {
    double atoms = 1.0, images = 1.0;
    for (int k = 0; k < 3; ++k) {
      atoms *= 1.0 + 2.0 * reach / lattice().plane_spacing(k);
      images *= 1.0 + 2.0 * kRoom * reach / lattice().plane_spacing(k);
    }
    farthest = std::make_shared<const Images>(*atoms_, images < kMostRoom * atoms ? kRoom * reach : reach);
  }
  return farthest;
}

// Before any list is made: atoms that lie on each other make lists without end.
void HalfspaceLists::check_overlaps(int num_threads) const {
  const CellList& cells = images_->cells;
  parallel_blocks(atoms_->frac.size(), num_threads, kOverlapBlock, [&](std::size_t i, std::size_t last, int) {
    for (; i < last; ++i) {
      const GeneratorCode self = make_generator(static_cast<std::int32_t>(i), {});
      cells.for_each_stretch(atoms_->frac[i], kMinDistance, [&](std::size_t begin, std::size_t end) {
        for (std::size_t s = begin; s < end; ++s) {
          const double d2 = norm2(Vec3{cells.x()[s], cells.y()[s], cells.z()[s]} - cart_[i]);
          if (!(d2 < kMinDistance * kMinDistance) || cells.code()[s] == self) continue;
          const std::int32_t one = name(static_cast<std::int32_t>(i)),
                             other = name(generator_atom(cells.code()[s]));
          throw DegenerateGeometry("atoms " + std::to_string(std::min(one, other)) + " and " +
                                   std::to_string(std::max(one, other)) + " overlap: they are " +
                                   std::to_string(std::sqrt(d2)) + " angstrom apart");
        }
      });
    }
  });
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
  if (reach > images_->cells.reach()) images_ = images_for(reach);
  const double covers = covers_for(reach, weight(atom), atoms_->max_weight);
  const std::size_t near = find_near(atom, reach);
  List& list = list_of(atom);
  if (!keep_) tail_.clear();
  list.begin = keep_ ? dx_.size() : 0;
  const std::size_t planes = arrange(atom, near, covers, &list);
  fill(atom, planes, list);
  last_ = atom;
}

// Fills near_; returns how many there are.
std::size_t HalfspaceLists::find_near(std::int32_t atom, double reach) {
  const CellList& cells = images_->cells;
  const SlotView from = images_->view();
  const Vec3 c = position(atom);
  std::size_t count = 0;
  cells.for_each_stretch(atoms_->frac[static_cast<std::size_t>(atom)], reach,
                         [&](std::size_t begin, std::size_t end) {
                           const std::size_t most = count + (end - begin) + kLanes;
                           if (near_.size() < most) near_.resize(2 * most);
                           count += slots_within(from, c, reach * reach, begin, end, near_.data() + count);
                         });
  return count;
}

// Sorts the slots whose planes are not farther than `covers` by buckets of distance into sorted_, and says
// for each block of the list from where on it is. Returns how many they are.
std::size_t HalfspaceLists::arrange(std::int32_t atom, std::size_t near, double covers, List* list) {
  if (bucket_.size() < near + kLanes) {
    bucket_.resize(2 * near + kLanes);
    sorted_.resize(2 * near + kLanes);
  }
  const std::size_t blocks = near / kLanes + 1;
  std::fill(near_.begin() + static_cast<std::ptrdiff_t>(near),
            near_.begin() + static_cast<std::ptrdiff_t>(blocks * kLanes), 0);  // any slot
  const double scale = covers > 0.0 ? kPlaneBuckets / covers : 0.0;
  bucket_planes(images_->view(), near_.data(), blocks, position(atom), weight(atom), covers, scale,
                bucket_.data());
  std::array<std::uint32_t, kPlaneBuckets + 2> start{};
  for (std::size_t k = 0; k < near; ++k) ++start[static_cast<std::size_t>(bucket_[k]) + 1];
  for (std::size_t b = 0; b <= kPlaneBuckets; ++b) start[b + 1] += start[b];
  const std::size_t planes = start[kPlaneBuckets];

  list->tail = tail_.size();
  list->blocks = planes / kLanes + 1;  // one block at least, so that a made list is known by its blocks
  list->covers = covers;
  std::size_t b = 0;
  for (std::size_t block = 0; block < list->blocks; ++block) {
    while (b + 1 < kPlaneBuckets && start[b + 1] <= block * kLanes) ++b;
    // Bucket 0 also holds the negative distances; the margin covers the rounding of the bucket's edge.
    tail_.push_back(b == 0 ? 0.0 : (static_cast<double>(b) / scale) * (1.0 - kDistanceMargin));
  }
  for (std::size_t k = 0; k < near; ++k) sorted_[start[static_cast<std::size_t>(bucket_[k])]++] = near_[k];
  return planes;
}

// Writes the first slots of sorted_ as planes, and padding.
void HalfspaceLists::fill(std::int32_t atom, std::size_t planes, const List& list) {
  const std::size_t begin = list.begin, end = begin + list.blocks * kLanes;
  if (dx_.size() < end) {
    for (auto* v : {&dx_, &dy_, &dz_, &h_}) v->resize(end);
    code_.resize(end);
  }
  std::fill(sorted_.begin() + static_cast<std::ptrdiff_t>(planes),
            sorted_.begin() + static_cast<std::ptrdiff_t>(end - begin), 0);
  make_planes(images_->view(), sorted_.data(), list.blocks, position(atom), weight(atom), &dx_[begin],
              &dy_[begin], &dz_[begin], &h_[begin], &code_[begin]);
  for (std::size_t k = begin + planes; k < end; ++k) {  // planes that face no ray
    dx_[k] = dy_[k] = dz_[k] = 0.0;
    h_[k] = 1.0;
    code_[k] = 0;
  }
}

}  // namespace fastin
