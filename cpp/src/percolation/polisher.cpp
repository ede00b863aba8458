#include <algorithm>
#include <cmath>

#include "fastin/percolation/refine.hpp"

namespace fastin {
namespace {

constexpr double kGridTolerance = 1e-4;  // of a grid step: translations are known to about 1e-5
constexpr double kStringSpacing = 0.1;   // angstrom between the points of a string
constexpr int kStringSweeps = 30;
constexpr double kSamePoint = 0.01;  // angstrom between two polished copies of one stationary point
constexpr double kAtRest = 1e-4;     // eV/angstrom: a search that ends below this has found its minimum

}  // namespace

Polisher::Polisher(GridLandscape& landscape, const EnergyField& field,
                   const std::vector<FractionalOperation>& operations, const RefineOptions& options)
    : landscape_(landscape), field_(field), options_(options) {
  std::vector<FractionalOperation> all{identity_operation()};
  all.insert(all.end(), operations.begin(), operations.end());
  const Int3 n = landscape.grid().shape;
  for (std::size_t o = 0; o < all.size(); ++o) {
    Image image;
    image.operation = all[o];
    bool maps = true;
    for (int r = 0; r < 3 && maps; ++r) {
      const double t = all[o].translation[r] * n[r];
      const double whole = std::round(t);
      maps = std::abs(t - whole) < kGridTolerance;
      image.shift[r] = static_cast<std::int32_t>(whole);
      image.operation.translation[r] = whole / n[r];
      for (int c = 0; c < 3 && maps; ++c) {
        const auto i = static_cast<std::size_t>(r), j = static_cast<std::size_t>(c);
        const std::int32_t scaled = all[o].rotation[i][j] * n[r];
        maps = scaled % n[c] == 0;
        image.rotation[i][j] = scaled / n[c];
      }
    }
    if (maps) images_.push_back(image);
  }
}

bool Polisher::same_point(const Vec3& a, const Vec3& b) const {
  return norm(field_.lattice().to_cart(a - b)) < kSamePoint;
}

Polisher::Corners Polisher::corners_around(const Vec3& frac, double touches) const {
  const GridView& grid = landscape_.grid();
  Corners around;
  for (int a = 0; a < 3; ++a) {
    const auto axis = static_cast<std::size_t>(a);
    const double at = frac[a] * grid.shape[a];
    const auto low = static_cast<std::int32_t>(std::floor(at - touches));
    const auto high = static_cast<std::int32_t>(std::floor(at + touches)) + 1;
    for (std::int32_t i = low; i <= high; ++i) {
      Int3 p;
      p[a] = i;
      around.cell[axis][around.count[axis]] = grid.wrap(p)[a];
      around.index[axis][around.count[axis]++] = p[a];
    }
  }
  return around;
}

template <class Each>
void Polisher::each_corner(const Corners& around, const Each& each) const {
  const GridView& grid = landscape_.grid();
  for (std::size_t i = 0; i < around.count[0]; ++i) {
    for (std::size_t j = 0; j < around.count[1]; ++j) {
      for (std::size_t k = 0; k < around.count[2]; ++k) {
        each(grid.ravel({around.index[0][i], around.index[1][j], around.index[2][k]}),
             Int3{around.cell[0][i], around.cell[1][j], around.cell[2][k]});
      }
    }
  }
}

double Polisher::lowest_corner(const Vec3& frac, std::int32_t* voxel, Int3* cell) const {
  std::int32_t best = -1;
  Int3 home;
  each_corner(corners_around(frac, 0.0), [&](std::int32_t v, const Int3& c) {
    if (best >= 0 && !landscape_.before(v, best)) return;
    best = v;
    home = c;
  });
  *voxel = best;
  *cell = home;
  return landscape_.grid().at(best);
}

bool Polisher::lies_deep(const Vec3& frac, double energy, double target) const {
  std::int32_t voxel;
  Int3 cell;
  return energy <= target && lowest_corner(frac, &voxel, &cell) <= target;
}

Vec3 Polisher::sunk(const Vec3& frac, double target) const {
  StationaryPoint from;
  from.frac = frac;
  Vec3 gradient;
  Mat3 hessian;
  from.energy = field_.derivatives(frac, &gradient, &hessian);
  if (lies_deep(frac, from.energy, target) || norm(gradient) < options_.search.gradient_tolerance)
    return frac;
  from.mode = (-1.0 / norm(gradient)) * gradient;
  std::vector<PathPoint> path;
  descend(
      field_, from, 1.0, options_.search,
      [&](const Vec3& at, double energy) { return lies_deep(at, energy, target); }, &path);
  return path.empty() ? frac : path.back().frac;
}

GridLandscape::Label Polisher::label_at(const Vec3& frac) {
  std::int32_t voxel;
  Int3 cell;
  lowest_corner(frac, &voxel, &cell);
  const GridLandscape::Label drained = landscape_.label(voxel);
  return {drained.basin, cell + drained.cell};
}

std::vector<GridLandscape::Label> Polisher::labels_at(const Vec3& frac) {
  constexpr double kTouches = 0.1;  // of a grid step
  std::int32_t voxel;
  Int3 cell;
  const double lowest = lowest_corner(frac, &voxel, &cell);
  const GridLandscape::Label first = landscape_.label(voxel);
  std::vector<GridLandscape::Label> labels{{first.basin, cell + first.cell}};
  const auto minimum = [&](const GridLandscape::Label& label) {
    return minimum_of(label.basin).frac + to_vec(label.cell);
  };
  each_corner(corners_around(frac, kTouches), [&](std::int32_t v, const Int3& home) {
    if (landscape_.grid().at(v) > lowest + kLevelTie) return;
    const GridLandscape::Label drained = landscape_.label(v);
    const GridLandscape::Label label{drained.basin, home + drained.cell};
    const bool known = std::any_of(labels.begin(), labels.end(), [&](const GridLandscape::Label& l) {
      return l.basin == label.basin && l.cell == label.cell;
    });
    if (!known && same_point(minimum(label), minimum(labels[0]))) labels.push_back(label);
  });
  return labels;
}

BasinEdge Polisher::drained_edge(const Vec3& grid_point, const Vec3& end) {
  Int3 cell;
  const GridLandscape::Label from = landscape_.label(landscape_.grid().nearest(grid_point, &cell));
  const GridLandscape::Label to = label_at(end);
  return {from.basin, to.basin, to.cell - (cell + from.cell)};
}

BasinEdge Polisher::edge_of(const Hop& hop) {
  const GridLandscape::Label a = label_at(hop.ends[0]), b = label_at(hop.ends[1]);
  return {a.basin, b.basin, b.cell - a.cell};
}

std::vector<Hop> Polisher::search_hops(const GridLandscape::Pass& pass, double depth) {
  std::vector<Hop> hops;
  const GridView& grid = landscape_.grid();
  const Lattice& lattice = field_.lattice();
  std::vector<GridLandscape::Arm> arms;
  landscape_.arms(pass, &arms);
  const Vec3 start = grid.frac(pass.voxel);
  std::vector<PathPoint> path;
  for (std::size_t a = 1; a < arms.size(); ++a) {
    const Vec3 tip = grid.frac(arms[a].voxel) + to_vec(arms[a].voxel_cell);
    const Vec3 tail = grid.frac(arms[0].voxel) + to_vec(arms[0].voxel_cell);
    StationaryPoint saddle = find_saddle(field_, start, lattice.to_cart(tip - tail), options_.search);
    if (!saddle.converged) saddle = find_saddle(field_, start, Vec3{}, options_.search);
    if (!saddle.converged) continue;
    if (std::any_of(hops.begin(), hops.end(),
                    [&](const Hop& h) { return same_point(h.saddle, saddle.frac); })) {
      continue;
    }
    Hop hop;
    hop.energy = saddle.energy;
    hop.saddle = saddle.frac;
    hop.stationary = true;
    const double target = saddle.energy - depth;
    const auto deep = [&](const Vec3& at, double energy) {
      return depth >= 0.0 && lies_deep(at, energy, target);
    };
    bool reached = true;
    for (int side = 0; side < 2 && reached; ++side) {
      path.clear();
      reached = descend(field_, saddle, side == 0 ? -1.0 : 1.0, options_.search, deep, &path);
      if (!path.empty()) hop.ends[static_cast<std::size_t>(side)] = path.back().frac;
    }
    if (reached) hops.push_back(hop);
  }
  return hops;
}

std::int32_t Polisher::moved_voxel(const Image& image, std::int32_t voxel, Int3* cell) const {
  const GridView& grid = landscape_.grid();
  const Int3 p = grid.unravel(voxel);
  Int3 q = image.shift;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      q[r] += image.rotation[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)] * p[c];
    }
  }
  *cell = grid.wrap(q);
  return grid.ravel(q);
}

const std::vector<Hop>& Polisher::store(const GridLandscape::Pass& pass, const std::vector<Hop>& hops,
                                        HopTable* table) {
  for (const Image& image : images_) {
    Int3 cell;
    const std::int32_t voxel = moved_voxel(image, pass.voxel, &cell);
    if (table->count(voxel) != 0) continue;
    std::vector<Hop> moved(hops);
    for (Hop& hop : moved) {
      hop.saddle = apply(image.operation, hop.saddle) - to_vec(cell);
      for (Vec3& end : hop.ends) end = apply(image.operation, end) - to_vec(cell);
      for (auto* points : {&hop.feet, &hop.tips}) {
        for (Vec3& point : *points) point = apply(image.operation, point) - to_vec(cell);
      }
      for (Hop::Ridge& ridge : hop.beyond) ridge.saddle = apply(image.operation, ridge.saddle) - to_vec(cell);
    }
    table->emplace(voxel, std::move(moved));
  }
  return table->at(pass.voxel);
}

const std::vector<Hop>& Polisher::hops(const GridLandscape::Pass& pass, double depth) {
  const auto found = known_.find(pass.voxel);
  if (found != known_.end()) return found->second;
  ++polished_;
  std::vector<Hop> found_hops = search_hops(pass, depth);
  for (Hop& hop : found_hops) look_beyond(depth, &hop);
  return store(pass, found_hops, &known_);
}

const std::vector<Hop>& Polisher::strings(const GridLandscape::Pass& pass, double depth) {
  const auto found = known_strings_.find(pass.voxel);
  if (found != known_strings_.end()) return found->second;
  std::vector<GridLandscape::Arm> arms;
  landscape_.arms(pass, &arms);
  std::vector<Hop> hops;
  for (std::size_t a = 1; a < arms.size(); ++a) {
    hops.push_back(relax_between(pass, arms[0], arms[a], depth));
    look_beyond(depth, &hops.back());
    ++strings_relaxed_;
  }
  return store(pass, hops, &known_strings_);
}

Hop Polisher::relax_between(const GridLandscape::Pass& pass, const GridLandscape::Arm& a,
                            const GridLandscape::Arm& b, double depth) {
  const GridView& grid = landscape_.grid();
  Hop hop;
  hop.strung = true;
  // Down from each arm until `depth` below the pass.
  const auto chain = [&](const GridLandscape::Arm& arm, std::size_t side) {
    std::vector<Vec3> points;
    std::int32_t voxel = arm.voxel;
    Int3 cell = arm.voxel_cell;
    for (int i = 0; i < 40; ++i) {
      points.push_back(grid.frac(voxel) + to_vec(cell));
      if (grid.at(voxel) <= pass.energy - depth) break;
      Int3 step;
      const std::int32_t next = landscape_.descend(voxel, &step);
      if (next == voxel) break;
      voxel = next;
      cell = cell + step;
    }
    hop.feet[side] = points.front();
    hop.tips[side] = points.back();
    // Not the energy that the chain reached: an image of the foot may drain to the other side of a tie.
    hop.foot_energy[side] = std::max(grid.at(arm.voxel), pass.energy - depth);
    return points;
  };
  std::vector<Vec3> points = chain(a, 0);
  std::reverse(points.begin(), points.end());
  points.push_back(grid.frac(pass.voxel));
  const std::vector<Vec3> tail = chain(b, 1);
  points.insert(points.end(), tail.begin(), tail.end());
  const std::vector<PathPoint> path =
      relax_string(field_, points, kStringSpacing, kStringSweeps, pass.energy - depth);
  const PathPoint& high = path.front().energy > path.back().energy ? path.front() : path.back();
  hop.energy = high.energy;
  hop.saddle = high.frac;
  for (std::size_t i = 1; i + 1 < path.size(); ++i) {
    if (path[i].energy < path[i - 1].energy || path[i].energy < path[i + 1].energy) continue;
    bool stationary = false;
    const PathPoint top = polished_top(path, i, &stationary);
    if (top.energy > hop.energy) {
      hop.energy = top.energy;
      hop.saddle = top.frac;
      hop.stationary = stationary;
    }
  }
  // An end just below the string's top may have its lowest corner across the ridge (Sr3Nb4O13, mp-756435, at
  // 0.15 angstrom: 0.03 eV too low).
  const double target = std::min(hop.energy, pass.energy) - depth;
  hop.ends = {sunk(path.front().frac, target), sunk(path.back().frac, target)};
  return hop;
}

PathPoint Polisher::polished_top(const std::vector<PathPoint>& path, std::size_t i, bool* stationary) const {
  const Lattice& lattice = field_.lattice();
  const Vec3 along = lattice.to_cart(path[i + 1].frac - path[i - 1].frac);
  const StationaryPoint saddle = find_saddle(field_, path[i].frac, along, options_.search);
  *stationary = saddle.converged && norm(lattice.to_cart(saddle.frac - path[i].frac)) < 3.0 * kStringSpacing;
  if (*stationary) return {saddle.frac, saddle.energy};
  return path[i];
}

std::vector<Hop> Polisher::hops_along(const std::vector<Vec3>& polyline) const {
  const std::vector<PathPoint> path =
      relax_string(field_, polyline, kStringSpacing, kStringSweeps, std::numeric_limits<double>::infinity());
  std::vector<Hop> hops;
  std::size_t dip = 0;
  for (std::size_t i = 1; i + 1 < path.size(); ++i) {
    if (path[i].energy < path[i - 1].energy && path[i].energy <= path[i + 1].energy) dip = i;
    if (path[i].energy < path[i - 1].energy || path[i].energy <= path[i + 1].energy) continue;
    Hop hop;
    const PathPoint top = polished_top(path, i, &hop.stationary);
    hop.energy = top.energy;
    hop.saddle = top.frac;
    std::size_t next = i + 1;
    while (next + 1 < path.size() && path[next + 1].energy <= path[next].energy) ++next;
    hop.ends = {path[dip].frac, path[next].frac};
    hops.push_back(hop);
  }
  return hops;
}

// The minimum between two saddles 0.5 angstrom apart has no grid point of its own at 0.2 angstrom: read where
// the grid drains to, the lower saddle joined what the higher one parts (Li13Ni15O28, mp-757347: 13 meV too
// low).
void Polisher::look_beyond(double depth, Hop* hop) {
  for (std::size_t side = 0; side < 2; ++side) {
    const Vec3& end = hop->ends[side];
    Vec3 gradient;
    Mat3 hessian;
    field_.derivatives(end, &gradient, &hessian);
    if (norm(gradient) > kAtRest) continue;  // left on its way down, deep in its basin
    const GridLandscape::Label label = label_at(end);
    if (same_point(minimum_of(label.basin).frac + to_vec(label.cell), end)) continue;
    const double target = depth < 0.0 ? -std::numeric_limits<double>::infinity() : hop->energy - depth;
    for (const Hop& way : hops_along(chain_down(end, target))) {
      Hop::Ridge& ridge = hop->beyond[side];
      if (way.energy > std::max(hop->energy + kLevelTie, ridge.energy))
        ridge = {way.energy, way.saddle, way.stationary};
    }
  }
}

std::vector<Vec3> Polisher::chain_to_minimum(const Vec3& frac) {
  return chain_down(frac, -std::numeric_limits<double>::infinity());
}

std::vector<Vec3> Polisher::chain_down(const Vec3& frac, double target) {
  std::int32_t voxel;
  Int3 cell;
  lowest_corner(frac, &voxel, &cell);
  std::vector<Vec3> points{frac};
  for (;;) {
    points.push_back(landscape_.grid().frac(voxel) + to_vec(cell));
    if (landscape_.grid().at(voxel) <= target) return points;
    Int3 step;
    const std::int32_t next = landscape_.descend(voxel, &step);
    if (next == voxel) break;
    voxel = next;
    cell = cell + step;
  }
  points.push_back(minimum_of(landscape_.label(voxel).basin).frac + to_vec(cell));
  return points;
}

StationaryPoint Polisher::minimum_of(std::int32_t basin) {
  const std::int32_t voxel = landscape_.minima()[static_cast<std::size_t>(basin)];
  const auto found = minima_.find(voxel);
  if (found != minima_.end()) return found->second;
  const StationaryPoint point = find_minimum(field_, landscape_.grid().frac(voxel), options_.search);
  for (const Image& image : images_) {
    Int3 cell;
    const std::int32_t other = moved_voxel(image, voxel, &cell);
    StationaryPoint moved = point;
    moved.frac = apply(image.operation, point.frac) - to_vec(cell);
    minima_.emplace(other, moved);
  }
  return point;
}

StationaryPoint Polisher::lowest_minimum(std::vector<std::int32_t> basins) {
  const GridView& grid = landscape_.grid();
  const auto& minima = landscape_.minima();
  const auto voxel_of = [&](std::int32_t b) { return minima[static_cast<std::size_t>(b)]; };
  std::sort(basins.begin(), basins.end(),
            [&](std::int32_t a, std::int32_t b) { return landscape_.before(voxel_of(a), voxel_of(b)); });
  constexpr double kDeepest = 0.4;  // eV: no minimum lies farther below its grid point
  StationaryPoint best;
  double last = -std::numeric_limits<double>::infinity();
  for (const std::int32_t basin : basins) {
    const double energy = grid.at(voxel_of(basin));
    if (best.converged && energy > best.energy + kDeepest) break;
    if (energy - last < kLevelTie) continue;
    last = energy;
    if (best.converged) {  // twice what the quadratic model promises must reach below the best
      Vec3 gradient;
      Mat3 hessian;
      const double here = field_.derivatives(grid.frac(voxel_of(basin)), &gradient, &hessian);
      const SymmetricEigen eigen = symmetric_eigen(hessian);
      double gain = 0.0;
      for (int k = 0; k < 3; ++k) {
        const double g = dot(gradient, eigen.vectors[k]);
        gain += 0.5 * g * g / std::max(std::abs(eigen.values[k]), 0.2);
      }
      if (here - 2.0 * gain > best.energy) continue;
    }
    const StationaryPoint point = minimum_of(basin);
    if (!best.converged || point.energy < best.energy) {
      best = point;
      best.converged = true;
    }
  }
  return best;
}

}  // namespace fastin
