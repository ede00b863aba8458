#include "fastin/network/clearance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/base/periodic_union_find.hpp"
#include "fastin/network/clearance_field.hpp"

namespace fastin {

namespace {

// How far above the maximum of f the bound may lie: a tighter one costs more box evaluations than it saves
// pairs.
constexpr double kBoundSlack = 0.3;
// Reach of the neighbour lists beyond what two touching spheres need: the length of ascent steps near the
// maximum.
constexpr double kMargin = 0.5;
// First step off a bottleneck along the normal of its plane, angstrom (shorter where another sphere is in the
// way).
constexpr double kFirstStep = 0.2;
// Points this close are one; f differs by at most half of it.
constexpr double kSamePoint = 1e-8;
// Ends of ascents this close are linked by the clearance of the straight segment between them.
constexpr double kLinkDistance = 0.05;
constexpr double kLevelTolerance = 1e-9;

struct Edge {
  std::int32_t from, to;
  Int3 image;  // caller's basis
  double level;
};

// Points of the crystal, found again by position modulo the lattice.
class PointSet {
 public:
  explicit PointSet(const ClearanceField& field) : field_(field) {
    for (int k = 0; k < 3; ++k) {
      bins_[k] = std::max(1, static_cast<std::int32_t>(field.reduced().plane_spacing(k) / kLinkDistance));
    }
  }

  struct Seen {
    std::int32_t id;
    Int3 cell;  // reduced basis
  };

  // Id and cell of the point; a new point is linked to the near ones that it meets.
  Seen insert(const AnchoredPoint& p, double value, std::vector<Edge>* edges) {
    Vec3 frac = field_.reduced().to_frac(field_.cart(p));
    const Int3 cell = wrap_frac(frac);
    Int3 home;
    for (int k = 0; k < 3; ++k)
      home[k] = std::min(bins_[k] - 1, static_cast<std::int32_t>(frac[k] * bins_[k]));
    std::vector<Edge> links;
    const auto id = static_cast<std::int32_t>(frac_.size());
    for (int c = 0; c < 27; ++c) {
      Int3 b{home.x + c / 9 - 1, home.y + c / 3 % 3 - 1, home.z + c % 3 - 1};
      Int3 image;
      for (int k = 0; k < 3; ++k) {
        image[k] = b[k] < 0 ? -1 : (b[k] >= bins_[k] ? 1 : 0);
        b[k] -= image[k] * bins_[k];
      }
      const auto bin = members_.find({b.x, b.y, b.z});
      if (bin == members_.end()) continue;
      for (const std::int32_t other : bin->second) {
        const Vec3 step =
            field_.reduced().to_cart(frac_[static_cast<std::size_t>(other)] + to_vec(image) - frac);
        const double distance = norm(step);
        if (distance < kSamePoint) return {other, cell + image};
        if (distance > kLinkDistance) continue;
        links.push_back({id, other, field_.to_caller(image), field_.segment_clearance(p, step)});
      }
    }
    edges->insert(edges->end(), links.begin(), links.end());
    members_[{home.x, home.y, home.z}].push_back(id);
    frac_.push_back(frac);
    value_.push_back(value);
    return {id, cell};
  }

  std::size_t size() const { return frac_.size(); }
  const Vec3& frac(std::size_t i) const { return frac_[i]; }
  double value(std::size_t i) const { return value_[i]; }

 private:
  const ClearanceField& field_;
  Int3 bins_{};
  std::map<std::tuple<int, int, int>, std::vector<std::int32_t>> members_;
  std::vector<Vec3> frac_;
  std::vector<double> value_;
};

// Where the two ascents from one bottleneck lead.
struct Climb {
  std::array<AnchoredPoint, 2> top;
  std::array<double, 2> value{};
  std::array<double, 2> level{};
  std::array<bool, 2> open{};
};

Climb climb(const ClearanceField& field, const SaddleCandidate& saddle) {
  Climb out;
  for (std::size_t side = 0; side < 2; ++side) {
    const Vec3 d = side == 0 ? saddle.normal : -saddle.normal;
    const double run = field.free_run(saddle.point, d, saddle.value - kLevelTolerance, 2.0 * kFirstStep);
    if (run < kSamePoint) continue;
    AnchoredPoint p = saddle.point;
    const Vec3 step = 0.5 * run * d;
    const double start = field.segment_clearance(p, step);
    p.rel += step;
    double level = 0.0;
    out.value[side] = field.ascend(&p, &level);
    out.level[side] = std::min({start, level, saddle.value});
    out.top[side] = p;
    out.open[side] = true;
  }
  return out;
}

// Percolation of the edges in order of falling level.
struct Thresholds {
  std::array<double, 3> axis, rank;
  bool complete = false;
};

Thresholds percolate(std::size_t num_points, std::vector<Edge> edges) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  Thresholds out{{kNone, kNone, kNone}, {kNone, kNone, kNone}, false};
  std::stable_sort(edges.begin(), edges.end(),
                   [](const Edge& a, const Edge& b) { return a.level > b.level; });
  PeriodicUnionFind sets(num_points);
  int rank = 0;
  for (const Edge& e : edges) {
    const auto joined = sets.join(e.from, e.to, e.image);
    for (; rank < sets.rank(joined.root); ++rank) out.rank[static_cast<std::size_t>(rank)] = e.level;
    for (int k = 0; k < 3; ++k) {
      double& radius = out.axis[static_cast<std::size_t>(k)];
      if (radius == kNone && sets.moves_along(joined.root, k)) radius = e.level;
    }
    if (rank == 3) break;
  }
  out.complete = rank == 3;
  return out;
}

// Every pair of spheres that one sphere could touch together with a third is looked at: the work grows with
// the sixth power of the widest void. Refused where it would take minutes or gigabytes.
void check_work(const Lattice& lattice, const std::vector<double>& radius, double bound) {
  constexpr double kMostPairs = 1e9;         // about 25 ns each
  constexpr double kMostNeighbours = 1.5e7;  // 64 bytes each
  const auto atoms = static_cast<double>(radius.size());
  const double widest = *std::max_element(radius.begin(), radius.end());
  const double reach = 2.0 * (bound + std::max(0.0, widest)) + kMargin;
  constexpr double kBall = 4.18879020478639;
  const double partners = atoms * std::max(1.0, kBall * reach * reach * reach / lattice.volume());
  if (atoms * partners * partners / 6.0 <= kMostPairs && atoms * partners <= kMostNeighbours) return;
  throw TooLarge("exact free spheres: a void of " + std::to_string(bound) + " angstrom in radius among " +
                 std::to_string(radius.size()) + " atoms would take too long (" +
                 std::to_string(static_cast<long long>(partners)) +
                 " spheres can touch there); check the cell edges, or use the edges of the power diagram "
                 "(exact=False)");
}

}  // namespace

ExactFreeSpheres exact_free_spheres(const Lattice& lattice, const std::vector<Vec3>& frac,
                                    const std::vector<double>& radius, int num_threads) {
  ClearanceField field(lattice, frac, radius);
  const double bound = field.upper_bound(kBoundSlack);
  check_work(lattice, radius, bound);
  field.build_neighbours(bound, kMargin, num_threads);
  const std::vector<SaddleCandidate> saddles =
      saddle_candidates(field, std::numeric_limits<double>::lowest(), num_threads);
  PointSet points(field);
  std::vector<Edge> edges;
  ExactFreeSpheres out;
  Thresholds thresholds;
  std::vector<std::array<std::int32_t, 2>> tops;
  // From the widest bottleneck down, in growing batches, until the paths found beat every bottleneck not yet
  // followed.
  std::size_t done = 0;
  for (std::size_t batch = 32; done < saddles.size(); batch = done / 2 + 32) {
    const std::size_t end = std::min(saddles.size(), done + batch);
    std::vector<Climb> climbs(end - done);
    parallel_for(
        climbs.size(), num_threads, [&](std::size_t i, int) { climbs[i] = climb(field, saddles[done + i]); },
        4);
    for (std::size_t i = done; i < end; ++i) {
      const Climb& c = climbs[i - done];
      const auto from = points.insert(saddles[i].point, saddles[i].value, &edges);
      std::array<PointSet::Seen, 2> top{};
      for (std::size_t side = 0; side < 2; ++side) {
        if (!c.open[side]) continue;
        top[side] = points.insert(c.top[side], c.value[side], &edges);
        edges.push_back({from.id, top[side].id, field.to_caller(top[side].cell - from.cell), c.level[side]});
      }
      if (c.open[0] && c.open[1]) {
        out.link.push_back({top[0].id, top[1].id});
        out.link_image.push_back(field.to_caller(top[1].cell - top[0].cell));
        out.link_radius.push_back(std::min(c.level[0], c.level[1]));
      }
      Vec3 where = lattice.to_frac(field.cart(saddles[i].point));
      wrap_frac(where);
      out.saddle_frac.push_back(where);
      out.saddle_radius.push_back(saddles[i].value);
    }
    done = end;
    thresholds = percolate(points.size(), edges);
    if (thresholds.complete && (done == saddles.size() || thresholds.rank[2] >= saddles[done].value)) break;
  }
  if (!thresholds.complete) {
    throw NoConvergence("the ascents from " + std::to_string(saddles.size()) +
                        " bottlenecks do not connect in three dimensions");
  }
  out.axis = thresholds.axis;
  out.rank = thresholds.rank;
  // Keep the tops only, in order of first use; image offsets refer to positions wrapped in the caller's
  // basis.
  std::vector<std::int32_t> new_id(points.size(), -1);
  std::vector<Int3> shift(points.size());
  out.largest = -std::numeric_limits<double>::infinity();
  for (std::size_t e = 0; e < out.link.size(); ++e) {
    for (std::int32_t& id : out.link[e]) {
      const auto n = static_cast<std::size_t>(id);
      if (new_id[n] < 0) {
        new_id[n] = static_cast<std::int32_t>(out.void_frac.size());
        Vec3 where = lattice.to_frac(field.reduced().to_cart(points.frac(n)));
        shift[n] = wrap_frac(where);
        out.void_frac.push_back(where);
        out.void_radius.push_back(points.value(n));
        out.largest = std::max(out.largest, points.value(n));
      }
    }
    const auto a = static_cast<std::size_t>(out.link[e][0]), b = static_cast<std::size_t>(out.link[e][1]);
    out.link_image[e] = out.link_image[e] + shift[b] - shift[a];
    out.link[e] = {new_id[a], new_id[b]};
  }
  return out;
}

}  // namespace fastin
