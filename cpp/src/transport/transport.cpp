#include "fastin/transport/transport.hpp"

#include <algorithm>
#include <cmath>

#include "fastin/percolation/percolation_path.hpp"

namespace fastin {
namespace {

constexpr double kSameSite = 0.05;       // angstrom between two descents into one minimum
constexpr double kSameSaddle = 0.02;     // angstrom between two searches that found one saddle
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
                                       const std::vector<FractionalOperation>& operations,
                                       const TransportOptions& options)
    : landscape_(landscape),
      field_(field),
      operations_(operations),
      options_(options),
      polisher_(landscape, field, operations, options.refine),
      basin_site_(landscape.minima().size()),
      basin_known_(landscape.minima().size(), 0) {}

SiteLabel TransportLandscape::site_at(const StationaryPoint& minimum) {
  Vec3 frac = minimum.frac;
  Int3 cell = wrap_near(&frac);
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Vec3 gap = frac - sites_[i].frac;
    const Vec3 whole{std::round(gap.x), std::round(gap.y), std::round(gap.z)};
    if (norm(field_.lattice().to_cart(gap - whole)) > kSameSite) continue;
    for (int k = 0; k < 3; ++k) cell[k] += static_cast<std::int32_t>(whole[k]);
    return {static_cast<std::int32_t>(i), cell};
  }
  if (minimum.energy > options_.ceiling) return {};
  sites_.push_back({frac, minimum.energy});
  return {static_cast<std::int32_t>(sites_.size() - 1), cell};
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

SiteLabel TransportLandscape::site_near(const Vec3& frac, double energy) {
  StationaryPoint point;
  point.frac = frac;
  point.energy = energy;
  return site_at(point);
}

void TransportLandscape::add_end(const SiteLabel& label, std::vector<End>* ends) {
  const auto same = [&](const End& e) { return e.site == label.site && e.cell == label.cell; };
  if (label.site >= 0 && std::none_of(ends->begin(), ends->end(), same)) ends->push_back(label);
}

// Operations that leave the saddle where it is.
std::vector<FractionalOperation> TransportLandscape::stabiliser(const Vec3& saddle) const {
  std::vector<FractionalOperation> kept;
  for (const FractionalOperation& op : operations_) {
    const Vec3 gap = apply(op, saddle) - saddle;
    const Vec3 whole{std::round(gap.x), std::round(gap.y), std::round(gap.z)};
    if (norm(field_.lattice().to_cart(gap - whole)) > kSameSaddle) continue;
    kept.push_back(op);
    kept.back().translation -= whole;
  }
  return kept;
}

// A descent from a saddle on a symmetry element falls to one of several equivalent minima by chance; the flux
// goes to all of them. Adds the images of the ends on their own side, or on the other when the operation
// turns the path round.
void TransportLandscape::add_images(const std::vector<FractionalOperation>& operations, const Vec3& mode,
                                    std::vector<End>* here, std::vector<End>* there) {
  const Lattice& lattice = field_.lattice();
  for (const FractionalOperation& op : operations) {
    const Vec3 turned = apply(op, lattice.to_frac(mode)) - op.translation;
    const bool same_side = dot(lattice.to_cart(turned), mode) > 0.0;
    for (std::size_t n = 0; n < here->size(); ++n) {
      const SiteLabel end = (*here)[n];
      const TransportSite site = sites_[static_cast<std::size_t>(end.site)];
      add_end(site_near(apply(op, site.frac + to_vec(end.cell)), site.energy), same_side ? here : there);
    }
  }
}

bool TransportLandscape::new_saddle(const Vec3& frac) {
  for (const Vec3& known : saddles_) {
    const Vec3 gap = frac - known;
    const Vec3 whole{std::round(gap.x), std::round(gap.y), std::round(gap.z)};
    if (norm(field_.lattice().to_cart(gap - whole)) < kSameSaddle) return false;
  }
  saddles_.push_back(frac);
  return true;
}

void TransportLandscape::add_hop(const Hop& hop) {
  if (hop.energy > options_.ceiling || !new_saddle(hop.saddle)) return;
  std::vector<End> first = ends_at(hop.ends[0]), second = ends_at(hop.ends[1]);
  const std::vector<FractionalOperation> operations = stabiliser(hop.saddle);
  if (operations.size() > 1) {
    Vec3 gradient;
    Mat3 hessian;
    field_.derivatives(hop.saddle, &gradient, &hessian);
    const Vec3 mode = symmetric_eigen(hessian).vectors[0];
    add_images(operations, mode, &first, &second);
    add_images(operations, mode, &second, &first);
  }
  const double weight = 1.0 / static_cast<double>(first.size() * second.size());
  for (const End& a : first) {
    for (const End& b : second) {
      const Int3 cell = b.cell - a.cell;
      if (a.site == b.site && is_zero(cell)) continue;  // a bump inside one basin
      hops_.push_back(
          {a.site, b.site, cell, hop.energy, hop.saddle - to_vec(a.cell), weight, hop.stationary, {}});
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
  link_below_grid();
  add_missing(levels);
  std::stable_sort(hops_.begin(), hops_.end(),
                   [](const TransportHop& x, const TransportHop& y) { return x.energy < y.energy; });
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
  *direct = {site, target.site, target.cell, std::max(from.energy, to.energy), path[path.size() / 2].frac,
             1.0,  false,       path};
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
// the grid to leave by. Each is linked to the basin's, once a symmetry class.
void TransportLandscape::link_below_grid() {
  std::vector<std::uint8_t> linked;
  for (std::size_t s = 0; s < sites_.size(); ++s) {
    linked.resize(std::max(linked.size(), sites_.size()), 0);
    const auto site = static_cast<std::int32_t>(s);
    const SiteLabel target = label(sites_[s].frac);
    if (linked[s] != 0 || target.site < 0 || (target.site == site && is_zero(target.cell))) continue;
    TransportHop direct;
    const std::vector<Hop> found = hops_below_grid(site, target, &direct);
    const TransportSite from = sites_[s], to = sites_[static_cast<std::size_t>(target.site)];
    std::vector<FractionalOperation> all(operations_);
    if (all.empty()) all.push_back(identity_operation());
    for (const FractionalOperation& op : all) {
      const SiteLabel a = site_near(apply(op, from.frac), from.energy);
      const SiteLabel b = site_near(apply(op, to.frac + to_vec(target.cell)), to.energy);
      if (a.site < 0 || b.site < 0) continue;
      linked.resize(std::max(linked.size(), sites_.size()), 0);
      if (linked[static_cast<std::size_t>(a.site)] != 0) continue;
      linked[static_cast<std::size_t>(a.site)] = 1;
      for (Hop hop : found) {
        hop.saddle = apply(op, hop.saddle);
        for (Vec3& end : hop.ends) end = apply(op, end);
        add_hop(hop);
      }
      if (!found.empty() || direct.energy > options_.ceiling) continue;
      TransportHop image(direct);
      image.a = a.site;
      image.b = b.site;
      image.cell = b.cell - a.cell;
      image.saddle = apply(op, direct.saddle) - to_vec(a.cell);
      for (PathPoint& p : image.route) p.frac = apply(op, p.frac) - to_vec(a.cell);
      if (new_saddle(image.saddle)) hops_.push_back(image);
    }
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
      saddle = c.hop.saddle - to_vec(polisher_.label_at(c.hop.ends[0]).cell + a.cell);
      stationary = c.hop.stationary;
    } else if (c.pass >= 0) {
      const GridLandscape::Pass& pass = landscape_.passes()[static_cast<std::size_t>(c.pass)];
      std::vector<GridLandscape::Arm> arms;
      landscape_.arms(pass, &arms);
      const GridLandscape::Arm& arm = arms[static_cast<std::size_t>(c.first_arm)];
      saddle = landscape_.grid().frac(pass.voxel) - to_vec(arm.cell + a.cell);
    }
    wanted.push_back({a.site, b.site, cell, c.energy, saddle, 1.0, stationary, {}});
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
    hops_.push_back(hop);
    const auto& [connection, cell] = origin[i - own];
    hops_.back().route = connection_path(landscape_, *connection, options_.ceiling, &field_, &polisher_);
    for (PathPoint& p : hops_.back().route) p.frac -= to_vec(cell);
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
