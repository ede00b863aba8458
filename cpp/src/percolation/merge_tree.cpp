#include "fastin/percolation/merge_tree.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fastin/base/interrupt.hpp"

namespace fastin {
namespace {

constexpr double kSame = 0.05;           // angstrom between copies of one stationary point
constexpr double kSameEnergy = 1e-4;     // eV between them
constexpr double kHiddenError = 0.005;   // eV; a site linked within this needs no string
constexpr double kCompleteError = 5e-4;  // eV; a connection that the hops make within this is not missing
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Distinct points of the cell with their energies; finds the one at a position, up to a lattice vector.
class PointSet {
 public:
  explicit PointSet(const Lattice& lattice) : lattice_(lattice) {}

  struct Match {
    std::int32_t index;  // -1: none
    Int3 cell;           // of the position when the stored point lies in [0, 1)
  };
  Match find(const Vec3& frac, double energy) const {
    for (std::size_t i = 0; i < frac_.size(); ++i) {
      if (std::abs(energy_[i] - energy) > kSameEnergy) continue;
      Vec3 gap = frac - frac_[i];
      Int3 cell;
      for (int a = 0; a < 3; ++a) {
        cell[a] = static_cast<std::int32_t>(std::lround(gap[a]));
        gap[a] -= cell[a];
      }
      if (norm(lattice_.to_cart(gap)) < kSame) return {static_cast<std::int32_t>(i), cell};
    }
    return {-1, {}};
  }
  Match add(const Vec3& frac, double energy) {
    const Match found = find(frac, energy);
    if (found.index >= 0) return found;
    Vec3 home = frac;
    const Int3 cell = wrap_frac(home);
    frac_.push_back(home);
    energy_.push_back(energy);
    return {static_cast<std::int32_t>(frac_.size()) - 1, cell};
  }
  std::size_t size() const { return frac_.size(); }
  const Vec3& frac(std::size_t i) const { return frac_[i]; }
  double energy(std::size_t i) const { return energy_[i]; }

 private:
  const Lattice& lattice_;
  std::vector<Vec3> frac_;
  std::vector<double> energy_;
};

class Builder {
 public:
  Builder(GridLandscape& landscape, Polisher& polisher, const EnergyField& field,
          const std::vector<FractionalOperation>& operations, const RefineOptions& options, double cutoff)
      : landscape_(landscape),
        polisher_(polisher),
        field_(field),
        operations_(operations),
        options_(options),
        sites_(field.lattice()),
        saddles_(field.lattice()) {
    network_.cutoff = cutoff;
    bottom_ = kInfinity;
    for (const std::int32_t v : landscape.minima()) bottom_ = std::min(bottom_, landscape.grid().at(v));
  }

  SaddleNetwork run(const std::vector<Connection>& known) {
    collect_sites();
    for (const Connection& c : known) {
      if (c.has_hop) add_hop(c.hop);
    }
    const auto& passes = landscape_.passes();
    const double top = network_.cutoff + margin(network_.cutoff);
    std::size_t count = 0;
    while (count < passes.size() && passes[count].energy <= top) ++count;
    for (std::size_t i = 0; i < count; ++i) {
      for (const Hop& hop : polisher_.hops(passes[i], depth(passes[i].energy))) add_hop(hop);
    }
    add_strings(count);
    link_hidden_sites();
    complete(known);
    find_volumes();
    return finish();
  }

 private:
  double margin(double energy) const { return options_.margin + options_.margin_slope * (energy - bottom_); }
  double depth(double energy) const { return 0.5 * margin(energy); }

  // Sites from the polished minimum of every basin below the cutoff, and their images by symmetry.
  void collect_sites() {
    const auto& minima = landscape_.minima();
    site_of_.assign(minima.size(), {-1, {}});
    for (std::size_t b = 0; b < minima.size(); ++b) {
      if (landscape_.grid().at(minima[b]) > network_.cutoff) continue;
      const StationaryPoint point = polisher_.minimum_of(static_cast<std::int32_t>(b));
      site_of_[b] = add_site(point.frac, point.energy);
    }
  }

  PointSet::Match add_site(const Vec3& frac, double energy) {
    const PointSet::Match known = sites_.find(frac, energy);
    if (known.index >= 0) return known;
    const PointSet::Match added = sites_.add(frac, energy);
    const auto orbit = static_cast<std::int32_t>(site_orbits_++);
    site_orbit_.resize(sites_.size(), orbit);
    const Vec3 home = sites_.frac(static_cast<std::size_t>(added.index));
    for (const FractionalOperation& op : operations_) {
      sites_.add(apply(op, home), energy);
      site_orbit_.resize(sites_.size(), orbit);
    }
    return added;
  }

  // A hop and its images; ends are descended to their minima first.
  void add_hop(const Hop& hop) {
    if (hop.energy > network_.cutoff || saddles_.find(hop.saddle, hop.energy).index >= 0) return;
    std::array<Vec3, 2> ends;
    std::array<double, 2> energies{};
    for (std::size_t s = 0; s < 2; ++s) {
      const StationaryPoint point = find_minimum(field_, hop.ends[s], options_.search);
      ends[s] = point.frac;
      energies[s] = point.energy;
    }
    const PointSet::Match a = add_site(ends[0], energies[0]), b = add_site(ends[1], energies[1]);
    const bool trivial = a.index == b.index && a.cell == b.cell;  // both sides drain to one site: no hop
    const std::int32_t orbit = trivial ? -1 : hop_orbits_++;
    const auto place = [&](const FractionalOperation* op) {
      const auto moved = [op](const Vec3& x) { return op == nullptr ? x : apply(*op, x); };
      const Vec3 saddle = moved(hop.saddle);
      if (saddles_.find(saddle, hop.energy).index >= 0) return;
      const PointSet::Match at = saddles_.add(saddle, hop.energy);
      if (trivial) return;
      LandscapeHop out;
      const PointSet::Match from = sites_.find(moved(ends[0]), energies[0]);
      const PointSet::Match to = sites_.find(moved(ends[1]), energies[1]);
      if (from.index < 0 || to.index < 0) return;
      out.a = from.index;
      out.b = to.index;
      out.image = to.cell - from.cell;
      out.saddle = saddles_.frac(static_cast<std::size_t>(at.index));
      out.energy = hop.energy;
      out.orbit = orbit;
      out.stationary = hop.stationary;
      network_.hops.push_back(out);
    };
    place(nullptr);
    for (const FractionalOperation& op : operations_) place(&op);
  }

  std::vector<std::size_t> hops_by_energy() const {
    std::vector<std::size_t> order(network_.hops.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) {
      return network_.hops[x].energy < network_.hops[y].energy;
    });
    return order;
  }

  // Passes whose basins the hops do not connect within the grid's error get their relaxed strings.
  void add_strings(std::size_t count) {
    const std::vector<std::size_t> order = hops_by_energy();
    PeriodicUnionFind components(sites_.size());
    std::size_t next = 0;
    std::vector<GridLandscape::Arm> arms;
    for (std::size_t i = 0; i < count; ++i) {
      const GridLandscape::Pass& pass = landscape_.passes()[i];
      for (; next < order.size(); ++next) {
        const LandscapeHop& hop = network_.hops[order[next]];
        if (hop.energy > pass.energy + margin(pass.energy)) break;
        components.join(hop.a, hop.b, hop.image);
      }
      landscape_.arms(pass, &arms);
      for (std::size_t a = 1; a < arms.size(); ++a) {
        const PointSet::Match from = site_of_[static_cast<std::size_t>(arms[0].basin)];
        const PointSet::Match to = site_of_[static_cast<std::size_t>(arms[a].basin)];
        if (from.index < 0 || to.index < 0) continue;
        const Int3 image = arms[a].cell + to.cell - arms[0].cell - from.cell;
        const int rank = std::max(components.rank(components.find(from.index).root),
                                  components.rank(components.find(to.index).root));
        const auto joined = components.join(from.index, to.index, image);
        if (joined.absorbed < 0 && components.rank(joined.root) == rank) continue;
        for (const Hop& hop : polisher_.strings(pass, depth(pass.energy))) add_hop(hop);
      }
    }
  }

  // Whether hops up to `energy` make a connection between two sites redundant.
  bool connected(const PointSet::Match& from, const PointSet::Match& to, double energy) const {
    PeriodicUnionFind components(sites_.size());
    for (const LandscapeHop& hop : network_.hops) {
      if (hop.energy <= energy) components.join(hop.a, hop.b, hop.image);
    }
    const int rank = components.rank(components.find(from.index).root);
    const auto joined = components.join(from.index, to.index, to.cell - from.cell);
    return joined.absorbed < 0 && components.rank(joined.root) == rank;
  }

  // A site that descents found but the grid has no minimum for lies in the grid's basin of another site: the
  // passes between the two are hidden from the grid and found along a string.
  void link_hidden_sites() {
    std::vector<std::uint8_t> on_grid(sites_.size(), 0);
    for (const PointSet::Match& m : site_of_) {
      if (m.index >= 0) on_grid[static_cast<std::size_t>(m.index)] = 1;
    }
    for (std::size_t i = 0; i < sites_.size(); ++i) {  // grows while it runs
      if (i < on_grid.size() && on_grid[i] != 0) continue;
      const Vec3 start = sites_.frac(i);
      const GridLandscape::Label label = polisher_.label_at(start);
      PointSet::Match to = site_of_[static_cast<std::size_t>(label.basin)];
      if (to.index < 0) continue;
      to.cell = to.cell + label.cell;
      // The grid says that nothing on the way down is higher than where the way starts.
      std::int32_t voxel;
      Int3 cell;
      const double energy = std::max(sites_.energy(i), polisher_.lowest_corner(start, &voxel, &cell));
      if (connected({static_cast<std::int32_t>(i), {}}, to, energy + kHiddenError)) continue;
      for (const Hop& hop : polisher_.hops_along(polisher_.chain_to_minimum(start))) add_hop(hop);
    }
  }

  // What the percolation ran through and the hops still lack (a saddle that no search could pin down) is
  // taken over as a hop that is not stationary, so that the network percolates where the barriers say.
  void complete(const std::vector<Connection>& known) {
    const std::vector<std::size_t> order = hops_by_energy();
    PeriodicUnionFind components(sites_.size());
    std::size_t next = 0;
    for (const Connection& c : known) {
      for (; next < order.size(); ++next) {
        const LandscapeHop& hop = network_.hops[order[next]];
        if (hop.energy > c.energy + kCompleteError) break;
        components.join(hop.a, hop.b, hop.image);
      }
      const PointSet::Match from = site_of_[static_cast<std::size_t>(c.edge.a)];
      const PointSet::Match to = site_of_[static_cast<std::size_t>(c.edge.b)];
      if (from.index < 0 || to.index < 0) continue;
      LandscapeHop hop;
      hop.a = from.index;
      hop.b = to.index;
      hop.image = c.edge.cell + to.cell - from.cell;
      const int rank = std::max(components.rank(components.find(hop.a).root),
                                components.rank(components.find(hop.b).root));
      const auto joined = components.join(hop.a, hop.b, hop.image);
      if (joined.absorbed < 0 && components.rank(joined.root) == rank) continue;
      const GridView& grid = landscape_.grid();
      hop.energy = std::max({c.energy, sites_.energy(static_cast<std::size_t>(hop.a)),
                             sites_.energy(static_cast<std::size_t>(hop.b))});
      if (c.has_hop) {
        hop.saddle = c.hop.highest().saddle;
      } else if (!c.way.empty()) {
        hop.saddle = c.top;
      } else {
        hop.saddle = grid.frac(c.pass >= 0 ? landscape_.passes()[static_cast<std::size_t>(c.pass)].voxel
                                           : landscape_.minima()[static_cast<std::size_t>(c.edge.a)]);
      }
      wrap_frac(hop.saddle);
      hop.orbit = hop_orbits_++;
      hop.stationary = c.stationary;
      network_.hops.push_back(hop);
    }
  }

  // Shares of the cell below the cutoff, by site.
  void find_volumes() {
    volume_.assign(sites_.size(), 0.0);
    const auto n = static_cast<std::int32_t>(landscape_.grid().size());
    std::vector<std::int64_t> count(landscape_.minima().size(), 0);
    SparsePoll poll;
    for (std::int32_t v = 0; v < n; ++v) {
      poll();
      if (landscape_.grid().at(v) <= network_.cutoff)
        ++count[static_cast<std::size_t>(landscape_.label(v).basin)];
    }
    for (std::size_t b = 0; b < count.size(); ++b) {
      const std::int32_t site = site_of_[b].index;
      if (site >= 0) volume_[static_cast<std::size_t>(site)] += static_cast<double>(count[b]) / n;
    }
    // Points on a boundary fall to either side: equal by symmetry means equal.
    std::vector<double> sum(static_cast<std::size_t>(site_orbits_), 0.0), members(sum.size(), 0.0);
    for (std::size_t i = 0; i < volume_.size(); ++i) {
      sum[static_cast<std::size_t>(site_orbit_[i])] += volume_[i];
      members[static_cast<std::size_t>(site_orbit_[i])] += 1.0;
    }
    for (std::size_t i = 0; i < volume_.size(); ++i) {
      const auto o = static_cast<std::size_t>(site_orbit_[i]);
      volume_[i] = sum[o] / members[o];
    }
  }

  SaddleNetwork finish() {
    // Sites in order of energy, then position; orbits numbered in that order.
    std::vector<std::size_t> order(sites_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::vector<double> orbit_energy(static_cast<std::size_t>(site_orbits_), kInfinity);
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      double& e = orbit_energy[static_cast<std::size_t>(site_orbit_[i])];
      e = std::min(e, sites_.energy(i));
    }
    const auto key = [&](std::size_t i) { return orbit_energy[static_cast<std::size_t>(site_orbit_[i])]; };
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) {
      if (key(x) != key(y)) return key(x) < key(y);
      if (site_orbit_[x] != site_orbit_[y]) return site_orbit_[x] < site_orbit_[y];
      const Vec3 &p = sites_.frac(x), &q = sites_.frac(y);
      return p.x != q.x ? p.x < q.x : (p.y != q.y ? p.y < q.y : p.z < q.z);
    });
    std::vector<std::int32_t> place(order.size()), orbit(static_cast<std::size_t>(site_orbits_), -1);
    std::int32_t orbits = 0;
    for (std::size_t k = 0; k < order.size(); ++k) {
      const std::size_t i = order[k];
      place[i] = static_cast<std::int32_t>(k);
      std::int32_t& o = orbit[static_cast<std::size_t>(site_orbit_[i])];
      if (o < 0) o = orbits++;
      network_.sites.push_back({sites_.frac(i), sites_.energy(i), volume_[i], kInfinity, o});
    }
    for (LandscapeHop& hop : network_.hops) {
      hop.a = place[static_cast<std::size_t>(hop.a)];
      hop.b = place[static_cast<std::size_t>(hop.b)];
      if (hop.b < hop.a || (hop.a == hop.b && hop.image < Int3{})) {
        std::swap(hop.a, hop.b);
        hop.image = -hop.image;
      }
    }
    std::sort(network_.hops.begin(), network_.hops.end(), [](const LandscapeHop& x, const LandscapeHop& y) {
      if (x.a != y.a) return x.a < y.a;
      if (x.b != y.b) return x.b < y.b;
      if (x.image != y.image) return x.image < y.image;
      return x.energy < y.energy;
    });
    merge();
    return std::move(network_);
  }

  // Kruskal over the hops: percolation levels of the network and the merge energy of each site.
  void merge() {
    network_.levels = {kInfinity, kInfinity, kInfinity};
    std::vector<std::size_t> order(network_.hops.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) {
      return network_.hops[x].energy < network_.hops[y].energy;
    });
    PeriodicUnionFind components(network_.sites.size());
    std::vector<std::int32_t> deepest(
        network_.sites.size());  // sites are in order of energy: the lowest index
    for (std::size_t i = 0; i < deepest.size(); ++i) deepest[i] = static_cast<std::int32_t>(i);
    int rank = 0;
    for (const std::size_t i : order) {
      const LandscapeHop& hop = network_.hops[i];
      const std::int32_t a = deepest[static_cast<std::size_t>(components.find(hop.a).root)];
      const std::int32_t b = deepest[static_cast<std::size_t>(components.find(hop.b).root)];
      const auto joined = components.join(hop.a, hop.b, hop.image);
      if (joined.absorbed >= 0) {
        network_.sites[static_cast<std::size_t>(std::max(a, b))].merge_energy = hop.energy;
        deepest[static_cast<std::size_t>(joined.root)] = std::min(a, b);
      }
      for (const int now = components.rank(joined.root); rank < now; ++rank) {
        network_.levels[static_cast<std::size_t>(rank)] = hop.energy;
      }
    }
  }

  GridLandscape& landscape_;
  Polisher& polisher_;
  const EnergyField& field_;
  const std::vector<FractionalOperation>& operations_;
  RefineOptions options_;
  double bottom_ = 0.0;
  PointSet sites_, saddles_;
  std::vector<PointSet::Match> site_of_;  // by basin: its site and the cell of the polished minimum
  std::vector<std::int32_t> site_orbit_;
  std::vector<double> volume_;
  std::int32_t site_orbits_ = 0, hop_orbits_ = 0;
  SaddleNetwork network_;
};

}  // namespace

SaddleNetwork saddle_network(GridLandscape& landscape, Polisher& polisher, const EnergyField& field,
                             const std::vector<FractionalOperation>& operations, const RefineOptions& options,
                             const std::vector<Connection>& known, double cutoff) {
  return Builder(landscape, polisher, field, operations, options, cutoff).run(known);
}

}  // namespace fastin
