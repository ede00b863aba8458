#include "fastin/transport/transport.hpp"

#include <algorithm>
#include <cmath>

#include "fastin/percolation/percolation_path.hpp"
#include "tolerances.hpp"

namespace fastin {
namespace {

constexpr double kForkCurvature = 1e-4;  // eV/angstrom^2 below zero: the point is a saddle, not a minimum
constexpr double kStringSpacing = 0.08;  // angstrom between the points of a string
constexpr int kStringSweeps = 60;
constexpr double kNearString = 0.3;  // angstrom from a string's top to the saddle that it stands for
// Energies (eV) that sub-grid saddles may raise a level by before the grid's own connection is taken instead.
constexpr double kSubGrid = 0.03;
constexpr double kForkStep = 0.05;  // angstrom to either side of a fork

// Fractional point -> [0, 1), up to rounding at the faces: -1e-12 counts as 0.
Int3 wrap_near(Vec3* frac) {
  constexpr double kFace = 1e-7;
  Int3 cell;
  for (int k = 0; k < 3; ++k) {
    const double whole = std::floor((*frac)[k] + kFace);
    (*frac)[k] = std::max((*frac)[k] - whole, 0.0);
    cell[k] = static_cast<std::int32_t>(whole);
  }
  return cell;
}

}  // namespace

TransportLandscape::TransportLandscape(GridLandscape& landscape, const EnergyField& field,
                                       const std::vector<FractionalOperation>& exact,
                                       const std::vector<CrystalOperation>& operations,
                                       const TransportOptions& options)
    : landscape_(landscape),
      field_(field),
      exact_(exact),
      operations_(operations),
      rounded_(operations.size() > exact.size()),
      options_(options),
      polisher_(landscape, field, exact, options.refine),
      basin_site_(landscape.minima().size()),
      basin_known_(landscape.minima().size(), 0) {
  if (operations_.empty()) operations_.push_back({{{Vec3{1, 0, 0}, Vec3{0, 1, 0}, Vec3{0, 0, 1}}}, Vec3{}});
  strained_ = strained();
}

SiteLabel TransportLandscape::nearest_site(const Vec3& frac, double within, std::int32_t orbit) const {
  SiteLabel found;
  double nearest = within;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    if (orbit >= 0 && sites_[i].orbit != orbit) continue;
    const Vec3 gap = frac - sites_[i].frac;
    const Vec3 whole{std::round(gap.x), std::round(gap.y), std::round(gap.z)};
    const double distance = norm(field_.lattice().to_cart(gap - whole));
    if (distance > nearest) continue;
    nearest = distance;
    found.site = static_cast<std::int32_t>(i);
    for (int k = 0; k < 3; ++k) found.cell[k] = static_cast<std::int32_t>(whole[k]);
  }
  return found;
}

SiteLabel TransportLandscape::find_site(const Vec3& frac) const { return nearest_site(frac, kSameSite, -1); }

// A new minimum comes with its whole orbit, all with the energy of the lowest: which one was found first
// depends on the grid.
SiteLabel TransportLandscape::site_at(const StationaryPoint& minimum) {
  const SiteLabel known = find_site(minimum.frac);
  if (known.site >= 0 || minimum.energy > options_.ceiling) return known;
  const Vec3 frac = centred(minimum.frac, kSameSite);
  const std::size_t first = sites_.size();
  double energy = minimum.energy;
  for (const CrystalOperation& op : operations_) {
    Vec3 image = polished_minimum(apply(op, frac), &energy);
    wrap_near(&image);
    if (find_site(image).site < 0) sites_.push_back({image, energy, static_cast<std::int32_t>(first)});
  }
  for (std::size_t s = first; s < sites_.size(); ++s) sites_[s].energy = energy;
  return find_site(minimum.frac);
}

SiteLabel TransportLandscape::site_of_basin(std::int32_t basin) {
  const auto b = static_cast<std::size_t>(basin);
  if (basin_known_[b] == 0) {
    basin_known_[b] = 1;
    // The polished minimum lies at most a margin below its grid point.
    const double lowest = landscape_.grid().at(landscape_.minima()[b]);
    if (lowest <= options_.ceiling + options_.refine.margin) {
      const StationaryPoint point = polisher_.minimum_of(basin);
      if (point.converged) basin_site_[b] = site_at(point);
    }
  }
  return basin_site_[b];
}

SiteLabel TransportLandscape::label(const Vec3& frac) {
  const GridLandscape::Label drained = polisher_.label_at(frac);
  SiteLabel label = site_of_basin(drained.basin);
  if (label.site >= 0) label.cell = label.cell + drained.cell;
  return label;
}

// The minimum where a descent ended; two where it ran along a ridge of symmetry into a saddle.
std::vector<TransportLandscape::End> TransportLandscape::ends_at(const Vec3& frac) {
  Vec3 gradient;
  Mat3 hessian;
  field_.derivatives(frac, &gradient, &hessian);
  const SymmetricEigen eigen = symmetric_eigen(hessian);
  std::vector<End> ends;
  const bool forked = eigen.values.x < -kForkCurvature;
  for (const double side : {1.0, -1.0}) {
    const Vec3 start = forked ? frac + field_.lattice().to_frac(side * kForkStep * eigen.vectors[0]) : frac;
    const StationaryPoint minimum = find_minimum(field_, start, options_.refine.search);
    if (minimum.converged) add_end(site_at(minimum), &ends);
    if (!forked) break;
  }
  return ends;
}

void TransportLandscape::add_end(const SiteLabel& label, std::vector<End>* ends) {
  const auto same = [&](const End& e) { return e.site == label.site && e.cell == label.cell; };
  if (label.site >= 0 && std::none_of(ends->begin(), ends->end(), same)) ends->push_back(label);
}

bool TransportLandscape::knows_saddle(const Vec3& frac) const {
  return std::any_of(saddles_.begin(), saddles_.end(), [&](const Vec3& known) {
    const Vec3 gap = frac - known;
    const Vec3 whole{std::round(gap.x), std::round(gap.y), std::round(gap.z)};
    return norm(field_.lattice().to_cart(gap - whole)) < kSameSaddle;
  });
}

// Whether the hops from `from` on hold this one in either direction. A hop with a route is known by its ends.
bool TransportLandscape::holds(const TransportHop& hop, std::size_t from) const {
  const auto same = [&](const TransportHop& h, bool turned) {
    if (turned ? h.a != hop.b || h.b != hop.a || !(h.cell == Int3{} - hop.cell)
               : h.a != hop.a || h.b != hop.b || !(h.cell == hop.cell)) {
      return false;
    }
    const Vec3 saddle = turned ? h.saddle - to_vec(h.cell) : h.saddle;
    return !hop.route.empty() || norm(field_.lattice().to_cart(saddle - hop.saddle)) < kSameSaddle;
  };
  return std::any_of(hops_.begin() + static_cast<std::ptrdiff_t>(from), hops_.end(),
                     [&](const TransportHop& h) { return same(h, false) || same(h, true); });
}

// Adds a hop and its images under all operations but for those among the hops from `from` on.
void TransportLandscape::add_orbit(const TransportHop& hop, std::size_t from) {
  if (holds(hop, from)) return;
  const auto orbit = static_cast<std::int32_t>(hops_.size());
  Vec3 gradient, mode;
  Mat3 hessian;
  if (rounded_) {
    field_.derivatives(hop.saddle, &gradient, &hessian);
    mode = symmetric_eigen(hessian).vectors[0];
  }
  for (const CrystalOperation& op : operations_) {
    const SiteLabel a = moved(op, {hop.a, {}}), b = moved(op, {hop.b, hop.cell});
    if (a.site < 0 || b.site < 0) continue;
    TransportHop image(hop);
    image.a = a.site;
    image.b = b.site;
    image.cell = b.cell - a.cell;
    image.orbit = orbit;
    image.saddle = apply(op, hop.saddle) - to_vec(a.cell);
    double energy = hop.energy;
    if (hop.route.empty()) image.saddle = polished_saddle(image.saddle, turned(op, mode), &energy);
    for (PathPoint& p : image.route) p.frac = apply(op, p.frac) - to_vec(a.cell);
    if (!holds(image, from)) hops_.push_back(image);
  }
}

// The hop over the lowest image of a saddle: where operations hold within rounding only the images differ,
// and which one was found first depends on the grid.
Hop TransportLandscape::lowest_image(const Hop& hop) const {
  if (!rounded_ || !hop.stationary) return hop;
  Vec3 gradient;
  Mat3 hessian;
  field_.derivatives(hop.saddle, &gradient, &hessian);
  const Vec3 mode = symmetric_eigen(hessian).vectors[0];
  Hop lowest(hop);
  for (const CrystalOperation& op : operations_) {
    double energy = lowest.energy;
    const Vec3 image = polished_saddle(apply(op, hop.saddle), turned(op, mode), &energy);
    if (energy > lowest.energy - kLevelTie) continue;
    StationaryPoint top;
    top.frac = image;
    top.energy = energy;
    field_.derivatives(image, &gradient, &hessian);
    top.mode = symmetric_eigen(hessian).vectors[0];
    Hop other;
    if (!fall_off(top, &other)) continue;
    lowest = other;
  }
  return lowest;
}

// The hop over a saddle: its two steepest descents down to the minima; false where one does not end.
bool TransportLandscape::fall_off(const StationaryPoint& saddle, Hop* hop) const {
  hop->energy = saddle.energy;
  hop->saddle = saddle.frac;
  hop->stationary = true;
  const auto never = [](const Vec3&, double) { return false; };
  std::vector<PathPoint> path;
  for (std::size_t side = 0; side < 2; ++side) {
    path.clear();
    if (!descend(field_, saddle, side == 0 ? -1.0 : 1.0, options_.refine.search, never, &path)) return false;
    hop->ends[side] = path.back().frac;
  }
  return true;
}

// The hops over a saddle, and those over its images.
void TransportLandscape::add_hop(const Hop& found) {
  if (found.energy > options_.ceiling || knows_saddle(found.saddle)) return;
  const Hop hop = lowest_image(found);
  const Vec3 saddle = centred(hop.saddle, kSameSaddle);
  std::vector<End> first = ends_at(hop.ends[0]), second = ends_at(hop.ends[1]);
  const std::vector<CrystalOperation> operations = stabiliser(saddle, kSameSaddle);
  Vec3 gradient;
  Mat3 hessian;
  field_.derivatives(saddle, &gradient, &hessian);
  const Vec3 mode = symmetric_eigen(hessian).vectors[0];
  if (operations.size() > 1) {
    add_images(operations, mode, &first, &second);
    add_images(operations, mode, &second, &first);
  }
  double energy = hop.energy;
  for (const CrystalOperation& op : operations_) {
    const Vec3 image = polished_saddle(apply(op, saddle), turned(op, mode), &energy);
    if (!knows_saddle(image)) saddles_.push_back(image);
  }
  if (!knows_saddle(found.saddle)) saddles_.push_back(found.saddle);
  const double weight = 1.0 / static_cast<double>(first.size() * second.size());
  const std::size_t from = hops_.size();
  for (const End& a : first) {
    for (const End& b : second) {
      const Int3 cell = b.cell - a.cell;
      if (a.site == b.site && is_zero(cell)) continue;  // a bump inside one basin
      add_orbit({a.site, b.site, cell, energy, saddle - to_vec(a.cell), weight, hop.stationary, {}, -1},
                from);
    }
  }
}

void TransportLandscape::build(const RefinedPercolation& levels) {
  for (std::size_t b = 0; b < landscape_.minima().size(); ++b) {
    if (landscape_.grid().at(landscape_.minima()[b]) <= options_.ceiling) {
      site_of_basin(static_cast<std::int32_t>(b));
    }
  }
  const auto& passes = landscape_.passes();
  const double bottom = landscape_.grid().at(landscape_.minima().empty() ? 0 : landscape_.minima()[0]);
  const double reach =
      options_.refine.margin + options_.refine.margin_slope * std::max(0.0, options_.ceiling - bottom);
  for (std::size_t i = 0; i < passes.size() && passes[i].energy <= options_.ceiling + reach; ++i) {
    for (const Hop& hop : polisher_.hops(passes[i], -1.0)) add_hop(hop);
  }
  search_everywhere(options_.ceiling + reach);
  link_below_grid();
  add_missing(levels);
  std::stable_sort(hops_.begin(), hops_.end(),
                   [](const TransportHop& x, const TransportHop& y) { return x.energy < y.energy; });
  number_orbits();
}

// Classes are named after their first hop in the final order.
void TransportLandscape::number_orbits() {
  std::vector<std::int32_t> first(hops_.size(), -1);
  for (std::size_t h = 0; h < hops_.size(); ++h) {
    std::int32_t& name = first[static_cast<std::size_t>(hops_[h].orbit)];
    if (name < 0) name = static_cast<std::int32_t>(h);
    hops_[h].orbit = name;
  }
}

// Saddles between a minimum that the grid does not resolve and the one whose basin the grid puts it in: the
// tops of a relaxed string along the grid's way down. `direct` becomes that string, for when none of its tops
// is a saddle.
std::vector<Hop> TransportLandscape::hops_below_grid(std::int32_t site, const SiteLabel& target,
                                                     TransportHop* direct) {
  const TransportSite &from = sites_[static_cast<std::size_t>(site)],
                      &to = sites_[static_cast<std::size_t>(target.site)];
  std::vector<Vec3> points{from.frac};
  std::int32_t voxel;
  Int3 cell;
  polisher_.lowest_corner(from.frac, &voxel, &cell);
  for (;;) {
    points.push_back(landscape_.grid().frac(voxel) + to_vec(cell));
    Int3 step;
    const std::int32_t next = landscape_.descend(voxel, &step);
    if (next == voxel) break;
    voxel = next;
    cell = cell + step;
  }
  points.push_back(to.frac + to_vec(target.cell));
  const Lattice& lattice = field_.lattice();
  const std::vector<PathPoint> path =
      relax_string(field_, points, kStringSpacing, kStringSweeps, std::max(from.energy, to.energy));
  *direct = {
      site,  target.site, target.cell, std::max(from.energy, to.energy), path[path.size() / 2].frac, 1.0,
      false, path,        -1};
  std::vector<Hop> found;
  for (std::size_t i = 1; i + 1 < path.size(); ++i) {
    if (path[i].energy > direct->energy) {
      direct->energy = path[i].energy;
      direct->saddle = path[i].frac;
    }
    if (path[i].energy < path[i - 1].energy || path[i].energy < path[i + 1].energy) continue;
    const Vec3 along = lattice.to_cart(path[i + 1].frac - path[i - 1].frac);
    const StationaryPoint saddle = find_saddle(field_, path[i].frac, along, options_.refine.search);
    if (!saddle.converged || norm(lattice.to_cart(saddle.frac - path[i].frac)) > kNearString) continue;
    Hop hop;
    hop.energy = saddle.energy;
    hop.saddle = saddle.frac;
    hop.stationary = true;
    const std::vector<PathPoint> way = saddle_path(field_, saddle.frac);
    hop.ends = {way.front().frac, way.back().frac};
    found.push_back(hop);
  }
  return found;
}

// The grid assigns every minimum to one of its basins; minima that are not that basin's own have no pass of
// the grid to leave by. Each that no saddle was found for is linked to the basin's, once a symmetry class.
void TransportLandscape::link_below_grid() {
  std::vector<std::uint8_t> linked(sites_.size(), 0);  // by class
  for (const TransportHop& hop : hops_) {
    for (const std::int32_t s : {hop.a, hop.b})
      linked[static_cast<std::size_t>(sites_[static_cast<std::size_t>(s)].orbit)] = 1;
  }
  for (std::size_t s = 0; s < sites_.size(); ++s) {
    linked.resize(std::max(linked.size(), sites_.size()), 0);
    const auto site = static_cast<std::int32_t>(s);
    const auto orbit = static_cast<std::size_t>(sites_[s].orbit);
    const SiteLabel target = label(sites_[s].frac);
    if (linked[orbit] != 0 || target.site < 0 || (target.site == site && is_zero(target.cell))) continue;
    linked.resize(std::max(linked.size(), sites_.size()), 0);  // the label may have found a new site
    linked[orbit] = 1;
    TransportHop direct;
    const std::vector<Hop> found = hops_below_grid(site, target, &direct);
    for (const Hop& hop : found) add_hop(hop);
    if (found.empty() && direct.energy <= options_.ceiling) add_orbit(direct, 0);
  }
}

// Connections of the refined percolation that the hops do not give by the same energy: strings, and passes
// where no saddle was found.
void TransportLandscape::add_missing(const RefinedPercolation& levels) {
  std::vector<TransportHop> wanted;
  std::vector<std::pair<const Connection*, Int3>> origin;
  for (const Connection& c : levels.connections) {
    if (c.energy > options_.ceiling) continue;
    const SiteLabel a = site_of_basin(c.edge.a), b = site_of_basin(c.edge.b);
    if (a.site < 0 || b.site < 0) continue;
    const Int3 cell = c.edge.cell + b.cell - a.cell;
    if (a.site == b.site && is_zero(cell)) continue;
    Vec3 saddle = sites_[static_cast<std::size_t>(a.site)].frac;
    bool stationary = false;
    if (c.has_hop) {
      saddle = c.hop.highest().saddle - to_vec(polisher_.label_at(c.hop.ends[0]).cell + a.cell);
      stationary = c.hop.highest().stationary;
    } else if (!c.way.empty()) {
      Int3 foot;
      const std::int32_t voxel = landscape_.grid().nearest(c.way.front(), &foot);
      saddle = c.top - to_vec(foot + landscape_.label(voxel).cell + a.cell);
      stationary = c.stationary;
    } else if (c.pass >= 0) {
      const GridLandscape::Pass& pass = landscape_.passes()[static_cast<std::size_t>(c.pass)];
      std::vector<GridLandscape::Arm> arms;
      landscape_.arms(pass, &arms);
      const GridLandscape::Arm& arm = arms[static_cast<std::size_t>(c.first_arm)];
      saddle = landscape_.grid().frac(pass.voxel) - to_vec(arm.cell + a.cell);
    }
    wanted.push_back({a.site, b.site, cell, c.energy, saddle, 1.0, stationary, {}, -1});
    origin.push_back({&c, a.cell});
  }
  std::vector<TransportHop> all(hops_);
  const std::size_t own = all.size();
  all.insert(all.end(), wanted.begin(), wanted.end());
  std::vector<std::size_t> order(all.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  // A connection waits until the hops a little above it have had their turn.
  const auto rank = [&](std::size_t i) { return all[i].energy + (i < own ? 0.0 : kSubGrid); };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return rank(x) < rank(y); });
  PeriodicUnionFind sets(sites_.size());
  for (const std::size_t i : order) {
    const TransportHop& hop = all[i];
    const std::int32_t root_a = sets.find(hop.a).root, root_b = sets.find(hop.b).root;
    const int before = std::max(sets.rank(root_a), sets.rank(root_b));
    const auto joined = sets.join(hop.a, hop.b, hop.cell);
    if (i < own || (joined.absorbed < 0 && sets.rank(joined.root) <= before)) continue;
    TransportHop added(hop);
    const auto& [connection, cell] = origin[i - own];
    added.route = connection_path(landscape_, *connection, options_.ceiling, &field_, &polisher_);
    for (PathPoint& p : added.route) p.frac -= to_vec(cell);
    const std::size_t from = hops_.size();
    add_orbit(added, from);
    for (std::size_t h = from; h < hops_.size(); ++h) sets.join(hops_[h].a, hops_[h].b, hops_[h].cell);
  }
}

std::vector<PathPoint> saddle_path(const EnergyField& field, const Vec3& saddle) {
  StationaryPoint top;
  top.frac = saddle;
  Vec3 gradient;
  Mat3 hessian;
  top.energy = field.derivatives(saddle, &gradient, &hessian);
  top.mode = symmetric_eigen(hessian).vectors[0];
  const SearchOptions options;
  const auto never = [](const Vec3&, double) { return false; };
  std::vector<PathPoint> path, rest;
  descend(field, top, -1.0, options, never, &path);
  std::reverse(path.begin(), path.end());
  path.push_back({saddle, top.energy});
  descend(field, top, 1.0, options, never, &rest);
  path.insert(path.end(), rest.begin(), rest.end());
  return path;
}

}  // namespace fastin
