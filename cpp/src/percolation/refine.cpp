#include "fastin/percolation/refine.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "refine_state.hpp"
#include "resting_minima.hpp"

namespace fastin {
namespace {

using refining::Item;
using refining::kByArms;
using refining::kSlope;
using refining::PassState;
using refining::RestingMinima;
using refining::Slope;
using refining::State;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr double kRounding = 1e-9;  // eV

class Refiner {
 public:
  Refiner(GridLandscape& landscape, const GridPercolation& grid, Polisher& polisher,
          const RefineOptions& options)
      : landscape_(landscape), polisher_(polisher), options_(options), resting_(polisher) {
    states_.resize(landscape.passes().size());
    looked_.assign(landscape.minima().size(), 0);
    for (std::size_t d = 0; d < 3; ++d) {
      result_.levels[d].grid_energy = grid.levels[d].energy;
      energy_[d] = grid.levels[d].energy;
    }
    bottom_ = landscape.grid().at(grid.minimum_voxel);
  }

  RefinedPercolation run() {
    std::vector<std::int32_t> all(landscape_.minima().size());
    std::iota(all.begin(), all.end(), 0);
    const StationaryPoint lowest = polisher_.lowest_minimum(all);
    result_.minimum = lowest.frac;
    wrap_frac(result_.minimum);
    result_.minimum_energy = lowest.energy;
    if (std::isfinite(energy_[0])) {
      iterate();
      finish();
    }
    result_.polished = polisher_.polished();
    result_.evaluations = polisher_.evaluations();
    result_.strings = polisher_.strings_relaxed();
    return result_;
  }

 private:
  double margin(double energy) const { return options_.margin + options_.margin_slope * (energy - bottom_); }
  bool in_window(double energy) const {
    const auto near = [&](double level) {
      return std::isfinite(level) && std::abs(energy - level) <= margin(level);
    };
    return std::any_of(energy_.begin(), energy_.end(), near) ||
           std::any_of(kept_levels_.begin(), kept_levels_.end(), near);
  }
  double depth(double energy) const { return 0.5 * margin(energy); }

  void iterate() {
    std::vector<Item> items, wanted;
    for (result_.rounds = 1; result_.rounds <= options_.max_rounds; ++result_.rounds) {
      collect(&items);
      wanted.clear();
      incomplete_ = false;
      run_levels(items, &wanted);
      looks_ += static_cast<std::int64_t>(items.size());
      bool learnt = false;
      std::vector<State> before;
      for (const Item& item : wanted) before.push_back(states_[static_cast<std::size_t>(item.pass)].state);
      const std::int64_t enough = polisher_.evaluations() + static_cast<std::int64_t>(items.size()) / 4;
      for (std::size_t i = 0; i < wanted.size() && !spent(); ++i) {
        if (late() && polisher_.evaluations() > enough) break;  // another round costs less than all of them
        const Item& item = wanted[i];
        if (states_[static_cast<std::size_t>(item.pass)].state != before[i])
          continue;  // known through its equals
        learnt |= improve(item);
        improve_equals(item);
      }
      if (!learnt && !incomplete_ && !spent()) return;
      if (spent()) break;
      keep_windows(learnt);
    }
    result_.rounds = std::min(result_.rounds, options_.max_rounds);
    result_.settled = false;
    decide_as_known();
  }

  bool late() const { return result_.rounds > options_.batch_rounds; }
  bool spent() const { return polisher_.evaluations() + looks_ / 16 > options_.max_work; }

  // How far the energy of a pass on the grid may lie from that of its saddle.
  double reach(std::size_t pass) {
    const double energy = landscape_.passes()[pass].energy;
    if (result_.rounds <= options_.patient_rounds) return margin(energy);
    if (variation_.empty()) variation_.assign(landscape_.passes().size(), -1.0);
    double& variation = variation_[pass];
    if (variation < 0.0) variation = landscape_.variation(landscape_.passes()[pass].voxel);
    return std::min(margin(energy), 2.0 * variation);
  }

  // The windows follow the levels, and the levels what lies in the windows: the two may chase each other for
  // ever. Levels that come back with nothing learnt in between keep their windows from then on.
  void keep_windows(bool learnt) {
    if (learnt) visited_.clear();
    if (std::find(visited_.begin(), visited_.end(), energy_) == visited_.end()) {
      visited_.push_back(energy_);
      return;
    }
    for (const auto& levels : visited_) kept_levels_.insert(kept_levels_.end(), levels.begin(), levels.end());
    visited_.clear();
  }

  // The levels where the search ended before its time: what was found counts, else the grid's word. None of
  // the lower bounds that the search goes by: a barrier from them would be too low by the whole margin.
  void decide_as_known() {
    final_ = true;
    std::vector<Item> items, wanted;
    for (bool all = !everything_; all != everything_;) {  // once more where it begins to look at all passes
      all = everything_;
      collect(&items);
      incomplete_ = false;
      run_levels(items, &wanted);
    }
  }

  // Every pass below the highest level's window, with the best knowledge of its energy.
  void collect(std::vector<Item>* items) {
    items->clear();
    double top = everything_ ? kInfinity : -kInfinity;
    const auto include = [&](double level) {
      if (std::isfinite(level)) top = std::max(top, level + margin(level));
    };
    std::for_each(energy_.begin(), energy_.end(), include);
    for (const RefinedLevel& level : result_.levels) include(level.grid_energy);
    std::for_each(kept_levels_.begin(), kept_levels_.end(), include);
    const auto& passes = landscape_.passes();
    const auto above = [](double energy, const GridLandscape::Pass& pass) { return energy < pass.energy; };
    const auto count =
        static_cast<std::size_t>(std::upper_bound(passes.begin(), passes.end(), top, above) - passes.begin());
    landscape_.label_ahead(labelled_, count);
    labelled_ = std::max(labelled_, count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto pass = static_cast<std::int32_t>(i);
      const PassState& s = states_[i];
      if (s.state == State::raw) {
        const double below = !final_ && in_window(passes[i].energy) ? reach(i) : 0.0;
        const bool unsure = below > kLevelTie;
        items->push_back({passes[i].energy - (unsure ? below : 0.0), pass, kByArms, unsure});
        continue;
      }
      for (std::size_t h = 0; h < s.hops.size(); ++h) {
        items->push_back({s.hops[h].highest().energy, pass, static_cast<std::int32_t>(h), false});
      }
      if (s.state == State::polished) {
        const double below = final_ ? 0.0 : reach(i);
        const bool unsure = below > kLevelTie;
        const double energy = std::max(s.residual, passes[i].energy - (unsure ? below : 0.0));
        items->push_back({energy, pass, kByArms, unsure});
      }
    }
    for (std::size_t i = 0; i < slopes_.size(); ++i) {
      items->push_back({slopes_[i].energy, static_cast<std::int32_t>(i), kSlope, false});
    }
    std::sort(items->begin(), items->end(), [](const Item& x, const Item& y) {
      if (x.energy != y.energy) return x.energy < y.energy;
      return x.pass != y.pass ? x.pass < y.pass : x.hop > y.hop;
    });
  }

  // Joins the edges of an item; true when that changed what is connected or how far it reaches.
  bool join(const Item& item, PeriodicUnionFind* components, std::int32_t* basin) {
    bool changed = false;
    const auto add = [&](const BasinEdge& edge) {
      const int before = std::max(components->rank(components->find(edge.a).root),
                                  components->rank(components->find(edge.b).root));
      const auto joined = components->join(edge.a, edge.b, edge.cell);
      changed |= joined.absorbed >= 0 || components->rank(joined.root) > before;
      *basin = edge.a;
    };
    if (item.hop == kSlope) {
      add(slopes_[static_cast<std::size_t>(item.pass)].edge);
      return changed;
    }
    const PassState& s = states_[static_cast<std::size_t>(item.pass)];
    if (item.hop >= 0) {
      add(s.edges[static_cast<std::size_t>(item.hop)]);
      return changed;
    }
    for (const BasinEdge& edge : edges_of_arms(item.pass)) add(edge);
    return changed;
  }

  // From the first arm of a pass to each other; asked for in every round, found once.
  const std::vector<BasinEdge>& edges_of_arms(std::int32_t pass) {
    const auto i = static_cast<std::size_t>(pass);
    std::vector<BasinEdge>& edges = states_[i].arms;
    if (!edges.empty()) return edges;  // a pass has two arms at least
    landscape_.arms(landscape_.passes()[i], &arms_);
    for (std::size_t a = 1; a < arms_.size(); ++a)
      edges.push_back({arms_[0].basin, arms_[a].basin, arms_[a].cell - arms_[0].cell});
    return edges;
  }

  // Whether an unsure item would take a component beyond `rank` directions by its lower bound.
  bool raises(const Item& item, int rank, PeriodicUnionFind* components) {
    for (const BasinEdge& edge : edges_of_arms(item.pass)) {
      const auto from = components->find(edge.a), to = components->find(edge.b);
      TranslationLattice both = components->translations(from.root);
      if (from.root == to.root) {
        both.add(from.offset + edge.cell - to.offset);
      } else {
        both.merge(components->translations(to.root));
      }
      if (both.rank() > rank) return true;
    }
    return false;
  }

  // Percolation on the items; the unsure ones that mattered are returned in `wanted`. A ridge of thousands of
  // passes near one level (Sr3Nb4O13, mp-756435) would be looked at one pass a round, each with the lowest
  // energy it could have as the level of that round: after `batch_rounds` such passes wait outside, and
  // many are polished at once.
  void run_levels(const std::vector<Item>& items, std::vector<Item>* wanted) {
    PeriodicUnionFind components(landscape_.minima().size());
    std::array<double, 3> reached{kInfinity, kInfinity, kInfinity};
    int rank = 0;
    SparsePoll poll;
    for (const Item& item : items) {
      poll();
      if (rank == 3 && item.energy > reached[2] + kLevelTie) break;
      if (item.unsure && late() && raises(item, rank, &components)) {
        wanted->push_back(item);
        incomplete_ = true;
        continue;
      }
      std::int32_t basin = -1;
      const bool changed = join(item, &components, &basin);
      if (changed && item.unsure) wanted->push_back(item);
      if (basin < 0) continue;
      for (const int now = components.rank(components.find(basin).root); rank < now; ++rank) {
        const auto d = static_cast<std::size_t>(rank);
        reached[d] = item.energy;
        critical_[d] = item;
      }
    }
    for (std::size_t d = 0; d < 3; ++d) {
      if (!std::isfinite(result_.levels[d].grid_energy)) continue;
      if (std::isfinite(reached[d])) {
        incomplete_ |= reached[d] != energy_[d];  // the windows move with the levels
        energy_[d] = reached[d];
      } else if (!everything_) {  // the polished passes lie above the window: look at all of them
        everything_ = true;
        incomplete_ = true;
      } else {
        energy_[d] = kInfinity;
      }
    }
  }

  // Polishes a pass, or settles what its hops left unexplained; true when something was learnt.
  bool improve(const Item& item) {
    PassState& s = states_[static_cast<std::size_t>(item.pass)];
    const GridLandscape::Pass& pass = landscape_.passes()[static_cast<std::size_t>(item.pass)];
    if (s.state == State::settled) return false;
    if (s.state == State::polished) {
      const std::vector<Hop>& strings = polisher_.strings(pass, depth(pass.energy));
      for (const Hop& hop : strings) {
        add_hop(hop, &s);
        keep_feet(hop);
      }
      s.state = State::settled;
      return true;
    }
    landscape_.arms(pass, &arms_);
    for (const GridLandscape::Arm& arm : std::vector<GridLandscape::Arm>(arms_))
      look_for_slope(arm.basin, pass.energy);
    const double reach = margin(pass.energy);
    s.residual = pass.energy - reach;
    for (const Hop& hop : polisher_.hops(pass, depth(pass.energy))) {
      add_hop(hop, &s);
      // Just above the hop: if the hop explains the pass, its arms are joined already by then.
      const double joined = hop.highest().energy;
      if (std::abs(joined - pass.energy) <= reach) s.residual = std::max(s.residual, joined + kLevelTie);
    }
    s.state = State::polished;
    return true;
  }

  // The passes that symmetry makes equal to one just polished: known by now, and wanted soon.
  void improve_equals(const Item& item) {
    const auto& passes = landscape_.passes();
    const auto center = static_cast<std::size_t>(item.pass);
    const double energy = passes[center].energy;
    std::size_t low = center, high = center + 1;
    while (low > 0 && passes[low - 1].energy >= energy - kLevelTie) --low;
    while (high < passes.size() && passes[high].energy <= energy + kLevelTie) ++high;
    for (std::size_t i = low; i < high; ++i) {
      const bool follow = states_[i].state < states_[center].state && states_[i].state != State::settled;
      const bool known = states_[i].state == State::raw ? polisher_.knows_hops(passes[i])
                                                        : polisher_.knows_strings(passes[i]);
      if (i == center || !follow || !known) continue;
      improve({item.energy, static_cast<std::int32_t>(i), kByArms, true});
    }
  }

  // Where grid points tie beside the minimum that an end reached, the hop joins all of their basins: images
  // of the end would be read in one or the other (Na4CO4, mp-546707: 12 meV too high).
  void add_hop(const Hop& hop, PassState* s) {
    resting_.arrive(hop, &slopes_);
    for (const GridLandscape::Label& a : polisher_.labels_at(hop.ends[0])) {
      for (const GridLandscape::Label& b : polisher_.labels_at(hop.ends[1])) {
        s->hops.push_back(hop);
        s->edges.push_back({a.basin, b.basin, b.cell - a.cell});
        for (const std::int32_t basin : {a.basin, b.basin}) look_for_slope(basin, hop.energy);
      }
    }
  }

  // A string relaxes out of a shallow basin: the basin it left and the one it ended in stay joined.
  void keep_feet(const Hop& hop) {
    for (std::size_t side = 0; hop.strung && side < 2; ++side) {
      if (polisher_.energy(hop.ends[side]) > hop.foot_energy[side] + kLevelTie) continue;
      const BasinEdge edge = polisher_.drained_edge(hop.feet[side], hop.ends[side]);
      if (edge.a == edge.b && edge.cell == Int3{}) continue;
      const BasinEdge below = polisher_.drained_edge(hop.tips[side], hop.ends[side]);
      const bool same = below.a == edge.a && below.cell == edge.cell;
      slopes_.push_back({hop.foot_energy[side],
                         edge,
                         {same ? hop.tips[side] : hop.feet[side], hop.ends[side]},
                         hop.feet[side],
                         false});
    }
  }

  // A shallow minimum of the grid may be a point on a slope of the field: it then drains to another basin,
  // and the two are one from its energy on.
  void look_for_slope(std::int32_t basin, double energy) {
    const auto b = static_cast<std::size_t>(basin);
    const std::int32_t voxel = landscape_.minima()[b];
    if (looked_[b] != 0 || landscape_.grid().at(voxel) < energy - margin(energy)) return;
    looked_[b] = 1;
    const GridLandscape::Label label = polisher_.label_at(polisher_.minimum_of(basin).frac);
    if (label.basin != basin)
      slopes_.push_back({landscape_.grid().at(voxel), {basin, label.basin, label.cell}, {}, {}, false});
  }

  void keep_connections(const std::vector<Item>& items) {
    double top = -kInfinity;
    for (const double level : energy_) top = std::isfinite(level) ? std::max(top, level) : top;
    for (const Item& item : items) {
      if (item.energy > top + kLevelTie) return;
      if (item.unsure) continue;  // adds nothing: else it would have been polished
      Connection c;
      c.energy = item.energy;
      const auto i = static_cast<std::size_t>(item.pass);
      if (item.hop == kSlope) {
        c.edge = slopes_[i].edge;
        c.way = slopes_[i].way;
        c.top = slopes_[i].top;
        c.stationary = slopes_[i].stationary;
        result_.connections.push_back(c);
        continue;
      }
      c.pass = item.pass;
      if (item.hop >= 0) {
        c.edge = states_[i].edges[static_cast<std::size_t>(item.hop)];
        c.has_hop = true;
        c.hop = states_[i].hops[static_cast<std::size_t>(item.hop)];
        result_.connections.push_back(c);
        continue;
      }
      for (const BasinEdge& edge : edges_of_arms(item.pass)) {
        c.edge = edge;
        result_.connections.push_back(c);
        ++c.second_arm;
      }
    }
  }

  // On a coarse grid no grid point may drain to the lowest minimum of a component, but the ends of its hops
  // do: without them its saddles could lie below its minimum. Only hops as low as that reach so far down.
  void look_below(const std::vector<Item>& items, double level, std::int32_t root,
                  PeriodicUnionFind* components, StationaryPoint* lowest) {
    for (const Item& item : items) {
      if (item.energy > level + kLevelTie || item.energy > lowest->energy + depth(lowest->energy)) break;
      if (item.hop < 0) continue;
      const PassState& s = states_[static_cast<std::size_t>(item.pass)];
      const auto h = static_cast<std::size_t>(item.hop);
      if (components->find(s.edges[h].a).root != root) continue;
      for (const Vec3& end : s.hops[h].ends) {
        if (polisher_.energy(end) < lowest->energy - kRounding) *lowest = polisher_.minimum_near(end);
      }
    }
  }

  // The component at each level: its lowest point and translations.
  void finish() {
    std::vector<Item> items;
    collect(&items);
    keep_connections(items);
    const auto& minima = landscape_.minima();
    for (std::size_t d = 0; d < 3; ++d) {
      RefinedLevel& level = result_.levels[d];
      if (!std::isfinite(energy_[d])) continue;
      level.energy = energy_[d];
      PeriodicUnionFind components(minima.size());
      std::int32_t basin = -1, some = -1;
      for (const Item& item : items) {
        if (item.energy > energy_[d] + kLevelTie) break;
        join(item, &components, &some);
        if (item.pass == critical_[d].pass && item.hop == critical_[d].hop) basin = some;
      }
      if (critical_[d].hop == kSlope) {
        const Slope& slope = slopes_[static_cast<std::size_t>(critical_[d].pass)];
        // Of a string the foot, whose energy this is; its basin's grid minimum may lie an eV below.
        level.saddle = slope.way.empty()
                           ? landscape_.grid().frac(minima[static_cast<std::size_t>(slope.edge.a)])
                           : slope.top;
        level.stationary = slope.stationary;
      } else if (critical_[d].hop >= 0) {
        const PassState& s = states_[static_cast<std::size_t>(critical_[d].pass)];
        const Hop& hop = s.hops[static_cast<std::size_t>(critical_[d].hop)];
        level.saddle = hop.highest().saddle;
        level.stationary = hop.highest().stationary;
      } else {
        level.saddle =
            landscape_.grid().frac(landscape_.passes()[static_cast<std::size_t>(critical_[d].pass)].voxel);
      }
      wrap_frac(level.saddle);
      const std::int32_t root = components.find(basin).root;
      level.translations = components.translations(root);
      std::vector<std::int32_t> members;
      for (std::size_t b = 0; b < minima.size(); ++b) {
        const auto i = static_cast<std::int32_t>(b);
        if (components.find(i).root == root) members.push_back(i);
      }
      StationaryPoint lowest = polisher_.lowest_minimum(members);
      look_below(items, energy_[d], root, &components, &lowest);
      level.minimum = lowest.frac;
      wrap_frac(level.minimum);
      level.minimum_energy = lowest.energy;
      // The search over the whole cell skips basins that its estimate calls shallow; a part may know better.
      if (lowest.energy < result_.minimum_energy) {
        result_.minimum = level.minimum;
        result_.minimum_energy = lowest.energy;
      }
    }
  }

  GridLandscape& landscape_;
  Polisher& polisher_;
  RefineOptions options_;
  RestingMinima resting_;
  double bottom_ = 0.0;
  bool everything_ = false;                     // passes above the windows count too
  bool incomplete_ = false;                     // the windows changed in this round
  bool final_ = false;                          // no more polishing: nothing counts with a lower bound
  std::size_t labelled_ = 0;                    // passes whose basins are known
  std::int64_t looks_ = 0;                      // items run through, all rounds together
  std::vector<double> variation_;               // of the grid around each pass; -1 not known yet
  std::vector<std::array<double, 3>> visited_;  // levels since something was learnt
  std::vector<double> kept_levels_;             // whose windows stay
  std::vector<PassState> states_;
  std::vector<Slope> slopes_;
  std::vector<std::uint8_t> looked_;  // basins that were tested for a slope
  std::vector<GridLandscape::Arm> arms_;
  std::array<double, 3> energy_{};
  std::array<Item, 3> critical_{};
  RefinedPercolation result_;
};

}  // namespace

RefinedPercolation refine_percolation(GridLandscape& landscape, const GridPercolation& grid,
                                      Polisher& polisher, const RefineOptions& options) {
  const Int3 n = landscape.grid().shape;
  if (std::min({n.x, n.y, n.z}) < 4) {
    throw InvalidInput("refinement needs a grid of at least 4 points along each axis, not " +
                       std::to_string(n.x) + " x " + std::to_string(n.y) + " x " + std::to_string(n.z));
  }
  return Refiner(landscape, grid, polisher, options).run();
}

}  // namespace fastin
