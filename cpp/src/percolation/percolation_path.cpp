#include "fastin/percolation/percolation_path.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <tuple>

#include "fastin/percolation/sharpen.hpp"

namespace fastin {
namespace {

// Loops that wind by more cells than this are not searched (each step moves by at most one or two).
constexpr std::int32_t kReach = 4;
// A descent that ends this close to the site it belongs to has arrived (angstrom).
constexpr double kArrived = 0.1;

int rank_with(TranslationLattice lattice, const Int3& v) {
  lattice.add(v);
  return lattice.rank();
}

class PathBuilder {
 public:
  PathBuilder(GridLandscape& landscape, const EnergyField* field, Polisher* polisher, double top)
      : landscape_(landscape), field_(field), polisher_(polisher), top_(top) {}

  // Points from basin a in cell 0 to basin b in its cell, both sites included.
  std::vector<PathPoint> points(const Connection& c) {
    if (c.pass < 0 && !c.way.empty() && field_ != nullptr) return way_points(c);
    if (c.pass < 0) return {site(c.edge.a, {}), site(c.edge.b, c.edge.cell)};
    const GridLandscape::Pass& pass = landscape_.passes()[static_cast<std::size_t>(c.pass)];
    if (c.has_hop && field_ != nullptr) return hop_points(c.hop);
    if (field_ !=
        nullptr) {  // a pass far below the level: polished for the path's sake, if that keeps its sides
      for (const Hop& hop : polisher_->hops(pass, -1.0)) {
        const BasinEdge edge = polisher_->edge_of(hop);
        const bool same = edge.a == c.edge.a && edge.b == c.edge.b && edge.cell == c.edge.cell;
        const bool reversed = edge.a == c.edge.b && edge.b == c.edge.a && edge.cell == -c.edge.cell;
        if (hop.highest().energy > top_ || (!same && !reversed)) continue;
        if (same) return hop_points(hop);
        Hop turned(hop);
        std::swap(turned.ends[0], turned.ends[1]);
        std::swap(turned.beyond[0], turned.beyond[1]);
        return hop_points(turned);
      }
    }
    return chain_points(pass, c);
  }

 private:
  PathPoint at(const Vec3& frac) const {
    if (field_ != nullptr) return {frac, field_->energy(frac)};
    Int3 cell;
    return {frac, landscape_.grid().at(landscape_.grid().nearest(frac, &cell))};
  }

  PathPoint site(std::int32_t basin, const Int3& cell) const {
    if (field_ != nullptr) {
      const StationaryPoint point = polisher_->minimum_of(basin);
      return {point.frac + to_vec(cell), point.energy};
    }
    const std::int32_t voxel = landscape_.minima()[static_cast<std::size_t>(basin)];
    return at(landscape_.grid().frac(voxel) + to_vec(cell));
  }

  // Grid points from a voxel down to the minimum of its basin.
  void append_chain(std::int32_t voxel, Int3 cell, std::vector<PathPoint>* out) const {
    for (;;) {
      out->push_back(at(landscape_.grid().frac(voxel) + to_vec(cell)));
      Int3 step;
      const std::int32_t next = landscape_.descend(voxel, &step);
      if (next == voxel) return;
      voxel = next;
      cell = cell + step;
    }
  }

  std::vector<PathPoint> chain_points(const GridLandscape::Pass& pass, const Connection& c) {
    std::vector<GridLandscape::Arm> arms;
    landscape_.arms(pass, &arms);
    const GridLandscape::Arm& a = arms[static_cast<std::size_t>(c.first_arm)];
    const GridLandscape::Arm& b = arms[static_cast<std::size_t>(c.second_arm)];
    std::vector<PathPoint> path;
    append_chain(a.voxel, a.voxel_cell, &path);
    path.push_back(site(a.basin, a.cell));
    std::reverse(path.begin(), path.end());
    path.push_back(at(landscape_.grid().frac(pass.voxel)));
    append_chain(b.voxel, b.voxel_cell, &path);
    path.push_back(site(b.basin, b.cell));
    return shifted(path, a.cell);
  }

  // From the site of basin a up to the first point of the way, along it, and down from its last to the site
  // of basin b.
  std::vector<PathPoint> way_points(const Connection& c) {
    Int3 cell;
    const std::int32_t foot = landscape_.grid().nearest(c.way.front(), &cell);
    const GridLandscape::Label label = landscape_.label(foot);
    std::vector<PathPoint> path;
    append_chain(foot, cell, &path);
    path.push_back(site(label.basin, cell + label.cell));
    std::reverse(path.begin(), path.end());
    for (std::size_t i = 1; i + 1 < c.way.size(); ++i) path.push_back(at(c.way[i]));
    for (const Vec3& frac : polisher_->chain_to_minimum(c.way.back())) path.push_back(at(frac));
    return shifted(path, cell + label.cell);
  }

  static std::vector<PathPoint> shifted(std::vector<PathPoint> path, const Int3& cell) {
    for (PathPoint& p : path) p.frac -= to_vec(cell);
    return path;
  }

  double distance(const Vec3& a, const Vec3& b) const { return norm(field_->lattice().to_cart(a - b)); }

  bool arrives(const std::vector<PathPoint>& path, const Vec3& frac) const {
    return !path.empty() && distance(path.back().frac, frac) <= kArrived;
  }

  // The descents from a saddle: the first is the one that comes nearest to `first`; where in doubt the one
  // that sets out towards it.
  std::array<std::vector<PathPoint>, 2> descents(const Vec3& top, const Vec3& first,
                                                 const Vec3& second) const {
    StationaryPoint saddle;
    saddle.frac = top;
    Vec3 gradient;
    Mat3 hessian;
    saddle.energy = field_->derivatives(top, &gradient, &hessian);
    saddle.mode = symmetric_eigen(hessian).vectors[0];
    const double guess = dot(field_->lattice().to_cart(first - second), saddle.mode) > 0.0 ? 1.0 : -1.0;
    std::array<std::vector<PathPoint>, 2> down;
    std::array<double, 2> best{};
    for (std::size_t s = 0; s < 2; ++s) {
      descend(
          *field_, saddle, s == 0 ? guess : -guess, SearchOptions{},
          [](const Vec3&, double) { return false; }, &down[s]);
      best[s] = std::numeric_limits<double>::infinity();
      for (const PathPoint& p : down[s]) best[s] = std::min(best[s], distance(p.frac, first));
    }
    if (best[1] < best[0]) std::swap(down[0], down[1]);
    return down;
  }

  // One side of a hop: a descent from the saddle, ended at the site that the hop's end drains to; over what
  // lies beyond the end.
  std::vector<PathPoint> side_points(std::vector<PathPoint> path, const Vec3& end, GridLandscape::Label label,
                                     const Hop::Ridge& beyond) const {
    const PathPoint last = site(label.basin, label.cell);
    if (path.empty() || distance(path.back().frac, last.frac) > kArrived) {
      // The valley forks below the point where the basin was read: follow the grid from there.
      auto nearest = path.begin();
      for (auto p = path.begin(); p != path.end(); ++p) {
        if (distance(p->frac, end) < distance(nearest->frac, end)) nearest = p;
      }
      if (!path.empty()) path.erase(nearest + 1, path.end());
      if (std::isfinite(beyond.energy)) {
        const auto down = descents(beyond.saddle, end, last.frac);
        const bool whole = arrives(down[0], end) && arrives(down[1], last.frac);
        if (whole) path.insert(path.end(), down[0].rbegin(), down[0].rend());
        path.push_back({beyond.saddle, beyond.energy, beyond.stationary});
        if (whole) {
          path.insert(path.end(), down[1].begin(), down[1].end());
          path.push_back(last);
          return path;
        }
      }
      std::int32_t voxel;
      Int3 cell;
      polisher_->lowest_corner(end, &voxel, &cell);
      append_chain(voxel, cell, &path);
    }
    path.push_back(last);
    return path;
  }

  std::vector<PathPoint> hop_points(const Hop& hop) const {
    const GridLandscape::Label a = polisher_->label_at(hop.ends[0]), b = polisher_->label_at(hop.ends[1]);
    std::array<std::vector<PathPoint>, 2> down = descents(hop.saddle, hop.ends[0], hop.ends[1]);
    std::vector<PathPoint> path = side_points(std::move(down[0]), hop.ends[0], a, hop.beyond[0]);
    std::reverse(path.begin(), path.end());
    path.push_back({hop.saddle, hop.energy, hop.stationary});
    const std::vector<PathPoint> rest = side_points(std::move(down[1]), hop.ends[1], b, hop.beyond[1]);
    path.insert(path.end(), rest.begin(), rest.end());
    return shifted(path, a.cell);
  }

  GridLandscape& landscape_;
  const EnergyField* field_;
  Polisher* polisher_;
  double top_;
};

}  // namespace

std::vector<Connection> grid_connections(GridLandscape& landscape, double top) {
  std::vector<Connection> connections;
  std::vector<GridLandscape::Arm> arms;
  const auto& passes = landscape.passes();
  for (std::size_t i = 0; i < passes.size() && passes[i].energy <= top; ++i) {
    landscape.arms(passes[i], &arms);
    for (std::size_t a = 1; a < arms.size(); ++a) {
      Connection c;
      c.edge = {arms[0].basin, arms[a].basin, arms[a].cell - arms[0].cell};
      c.energy = passes[i].energy;
      c.pass = static_cast<std::int32_t>(i);
      c.second_arm = static_cast<std::int32_t>(a);
      connections.push_back(c);
    }
  }
  return connections;
}

std::vector<LoopStep> critical_loop(std::size_t basins, const std::vector<Connection>& connections,
                                    int dimensions, Int3* translation) {
  PeriodicUnionFind components(basins);
  std::size_t critical = connections.size();
  TranslationLattice before;
  for (std::size_t i = 0; i < connections.size() && critical == connections.size(); ++i) {
    const BasinEdge& e = connections[i].edge;
    const TranslationLattice lattice = components.translations(components.find(e.a).root);
    const auto joined = components.join(e.a, e.b, e.cell);
    if (components.rank(joined.root) >= dimensions) {
      critical = i;
      before = lattice;
    }
  }
  if (critical == connections.size()) return {};
  std::vector<std::vector<std::pair<std::size_t, bool>>> around(basins);
  for (std::size_t i = 0; i <= critical; ++i) {
    around[static_cast<std::size_t>(connections[i].edge.a)].push_back({i, true});
    around[static_cast<std::size_t>(connections[i].edge.b)].push_back({i, false});
  }
  // Breadth first over (basin, cell), from the far side of the critical connection back to an image of its
  // near side.
  using Node = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t>;
  const auto key = [](std::int32_t basin, const Int3& c) { return Node{basin, c.x, c.y, c.z}; };
  struct From {
    Node previous;
    LoopStep step;
  };
  const BasinEdge& first = connections[critical].edge;
  std::map<Node, From> seen;
  std::deque<std::pair<std::int32_t, Int3>> queue{{first.b, first.cell}};
  const Node start = key(first.b, first.cell);
  seen[start] = {start, {critical, true}};
  while (!queue.empty()) {
    const auto [basin, cell] = queue.front();
    queue.pop_front();
    if (basin == first.a && rank_with(before, cell) > before.rank()) {
      *translation = cell;
      std::vector<LoopStep> steps;
      for (Node at = key(basin, cell);; at = seen.at(at).previous) {
        steps.push_back(seen.at(at).step);
        if (at == start) break;
      }
      std::reverse(steps.begin(), steps.end());
      return steps;
    }
    for (const auto& [i, forward] : around[static_cast<std::size_t>(basin)]) {
      const BasinEdge& e = connections[i].edge;
      const std::int32_t next = forward ? e.b : e.a;
      const Int3 there = forward ? cell + e.cell : cell - e.cell;
      if (std::max({std::abs(there.x), std::abs(there.y), std::abs(there.z)}) > kReach) continue;
      if (seen.emplace(key(next, there), From{key(basin, cell), {i, forward}}).second)
        queue.push_back({next, there});
    }
  }
  return {};
}

std::vector<PathPoint> connection_path(GridLandscape& landscape, const Connection& connection, double top,
                                       const EnergyField* field, Polisher* polisher) {
  return PathBuilder(landscape, field, polisher, top).points(connection);
}

PercolationPath trace_path(GridLandscape& landscape, const std::vector<Connection>& connections,
                           int dimensions, const EnergyField* field, Polisher* polisher,
                           const EnergyField* exact) {
  PercolationPath path;
  const std::vector<LoopStep> steps =
      critical_loop(landscape.minima().size(), connections, dimensions, &path.translation);
  if (steps.empty()) return path;
  PathBuilder builder(landscape, field, polisher, connections[steps[0].connection].energy);
  Int3 cell;
  for (const LoopStep& step : steps) {
    const Connection& c = connections[step.connection];
    std::vector<PathPoint> points = builder.points(c);
    if (!step.forward) {
      std::reverse(points.begin(), points.end());
      cell = cell - c.edge.cell;
    }
    for (PathPoint& p : points) p.frac += to_vec(cell);
    if (step.forward) cell = cell + c.edge.cell;
    // The shared site appears once.
    path.points.insert(path.points.end(), points.begin() + (path.points.empty() ? 0 : 1), points.end());
  }
  if (exact != nullptr) {
    for (PathPoint& p : path.points) {
      if (p.saddle) {
        p = sharpened_saddle(*exact, p.frac, SearchOptions{});
      } else {
        p.energy = exact->energy(p.frac);
      }
    }
  }
  return path;
}

}  // namespace fastin
