// Percolation barriers without the grid's error: passes polished to saddles of the continuous field, minima
// to minima, and the percolation decided on the polished energies.
//
// A grid gives the topology of the landscape and its levels to within an error that grows with the energy.
// Passes farther than that error from a level cannot decide it and keep the grid's word; those within it are
// polished to stationary points, whose steepest descents say which basins they really join. Passes not yet
// polished count with the lowest energy they could have, so that the search stops only when every pass that
// decides a level is polished. A pass whose saddle turns out to belong elsewhere is settled by a relaxed
// string between the basins it seemed to join.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "fastin/percolation/grid_percolation.hpp"
#include "fastin/percolation/stationary.hpp"

namespace fastin {

// x' = rotation x + translation on fractional columns.
struct FractionalOperation {
  std::array<std::array<std::int32_t, 3>, 3> rotation{};
  Vec3 translation;
};

inline Vec3 apply(const FractionalOperation& op, const Vec3& x) {
  Vec3 y = op.translation;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      y[r] += op.rotation[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)] * x[c];
    }
  }
  return y;
}

inline FractionalOperation identity_operation() {
  FractionalOperation op;
  for (std::size_t k = 0; k < 3; ++k) op.rotation[k][k] = 1;
  return op;
}

struct RefineOptions {
  double margin =
      0.12;  // eV: largest error of a level near the bottom of the landscape, grid of 0.2 angstrom
  double margin_slope = 0.06;  // and its growth with the height above the minimum
  int max_rounds = 1000;
  // From so many rounds on a pass can err by no more than twice the field varies around it: plateaus, where
  // thousands of passes lie within the margin of a level, are not polished point by point. Of 1,500 crystals
  // none took more than 184 rounds.
  int patient_rounds = 200;
  // From so many on the passes that would decide a level by their lower bounds are polished many at a time.
  int batch_rounds = 40;
  // Budget of the search: evaluations of the field, and a sixteenth for every pass looked at in a round.
  std::int64_t max_work = 1'000'000;
  SearchOptions search;
};

// A saddle and the two points its steepest descents reached; fractional, next to the pass they were found
// from.
struct Hop {
  double energy = 0.0;
  Vec3 saddle;
  std::array<Vec3, 2> ends;
  bool stationary = false;  // false: the top of a relaxed string, an upper bound
  // Of a string: the grid points next to the pass that it was strung between, and the energy from which each
  // is joined to the end that the string settled at.
  bool strung = false;
  std::array<Vec3, 2> feet;
  std::array<Vec3, 2> tips;  // grid points below the feet where the string began
  std::array<double, 2> foot_energy{};
  // An end may rest in a minimum too shallow for a grid point of its own: the highest point on the way from
  // there to the basin that it is read in, where that lies above the saddle.
  struct Ridge {
    double energy = -std::numeric_limits<double>::infinity();
    Vec3 saddle;
    bool stationary = false;
  };
  std::array<Ridge, 2> beyond;

  // The point that decides when the basins of the two ends are one.
  Ridge highest() const {
    Ridge top{energy, saddle, stationary};
    for (const Ridge& ridge : beyond) {
      if (ridge.energy > top.energy) top = ridge;
    }
    return top;
  }
};

// Basin a in cell 0 and basin b in cell `cell` are connected.
struct BasinEdge {
  std::int32_t a, b;
  Int3 cell;
};

// A connection that percolation ran through, with what is needed to draw it.
struct Connection {
  BasinEdge edge;
  double energy = 0.0;
  std::int32_t pass = -1;      // -1: one basin is a point on the slope of the other
  std::int32_t first_arm = 0;  // of the pass, where no hop was polished
  std::int32_t second_arm = 1;
  bool has_hop = false;
  Hop hop;  // its ends lie in a and b
  // Without pass and hop: a way from a grid point of basin a to a point that drains to basin b.
  std::vector<Vec3> way;
  Vec3 top;  // the point of the way that has this energy
  bool stationary = false;
};

struct RefinedLevel {
  double energy = std::numeric_limits<double>::infinity();  // absolute, eV
  double grid_energy = std::numeric_limits<double>::infinity();
  Vec3 saddle;              // in [0, 1)
  bool stationary = false;  // the saddle is a stationary point of index 1
  Vec3 minimum;             // lowest point of the component that percolates, in [0, 1)
  double minimum_energy = 0.0;
  TranslationLattice translations;
};

struct RefinedPercolation {
  Vec3 minimum;  // of the whole landscape, in [0, 1)
  double minimum_energy = 0.0;
  std::array<RefinedLevel, 3> levels;
  std::int32_t polished = 0;  // passes polished, one a symmetry class
  std::int32_t strings = 0;   // of which needed a string
  std::int32_t rounds = 0;
  std::int64_t evaluations = 0;         // of the field
  bool settled = true;                  // false: max_rounds or max_work was reached
  std::vector<Connection> connections;  // up to the highest level, in order
};

// Counts what it is asked for.
class CountedField final : public EnergyField {
 public:
  explicit CountedField(const EnergyField& field) : field_(field) {}
  const Lattice& lattice() const override { return field_.lattice(); }
  double energy(const Vec3& frac) const override {
    ++count_;
    return field_.energy(frac);
  }
  double derivatives(const Vec3& frac, Vec3* gradient, Mat3* hessian) const override {
    ++count_;
    return field_.derivatives(frac, gradient, hessian);
  }
  std::int64_t count() const { return count_; }

 private:
  const EnergyField& field_;
  mutable std::int64_t count_ = 0;
};

// Polishes passes and minima; what an operation of the space group maps on something known is not computed
// again.
class Polisher {
 public:
  Polisher(GridLandscape& landscape, const EnergyField& field,
           const std::vector<FractionalOperation>& operations, const RefineOptions& options);

  // Saddles near a pass with their ends, descended until they lie `depth` below the saddle (a negative depth:
  // down to the minima). Every pair of the pass's arms is tried. Empty where no search converged.
  const std::vector<Hop>& hops(const GridLandscape::Pass& pass, double depth);
  // The relaxed strings between the pass's first arm and each other, their tops polished where that succeeds.
  const std::vector<Hop>& strings(const GridLandscape::Pass& pass, double depth);
  // A hop for every top of the relaxed string along a polyline whose ends stay; its ends are the dips beside
  // it.
  std::vector<Hop> hops_along(const std::vector<Vec3>& polyline) const;
  // Fractional points from a point in the home cell down the grid to the minimum of its basin, both polished
  // ends kept.
  std::vector<Vec3> chain_to_minimum(const Vec3& frac);
  // Basin and cell that a point drains to: through the lowest corner of the grid cell around it.
  GridLandscape::Label label_at(const Vec3& frac);
  // The same, with the other basins of the same minimum that a point next to this one, or the image of this
  // one under rounding, would be read in: through grid points as low, of this cell or one that it all but
  // touches.
  std::vector<GridLandscape::Label> labels_at(const Vec3& frac);
  // The basins that the two ends of a hop drain to.
  BasinEdge edge_of(const Hop& hop);
  // Basin of a grid point of a string, and the one that the string's end settled in.
  BasinEdge drained_edge(const Vec3& grid_point, const Vec3& end);
  // Lowest of the eight grid points around a point: its energy, the voxel and its cell.
  double lowest_corner(const Vec3& frac, std::int32_t* voxel, Int3* cell) const;
  // Lowest polished minimum among the basins; energies equal within a tie are polished once.
  StationaryPoint lowest_minimum(std::vector<std::int32_t> basins);
  StationaryPoint minimum_of(std::int32_t basin);
  // The minimum below a point, in the point's cell or next to it.
  StationaryPoint minimum_near(const Vec3& frac) const { return find_minimum(field_, frac, options_.search); }

  double energy(const Vec3& frac) const { return field_.energy(frac); }
  Vec3 point(std::int32_t voxel) const { return landscape_.grid().frac(voxel); }
  // Whether two polished points are copies of one stationary point.
  bool same_point(const Vec3& a, const Vec3& b) const;

  // Whether the hops or strings of a pass cost nothing any more.
  bool knows_hops(const GridLandscape::Pass& pass) const { return known_.count(pass.voxel) != 0; }
  bool knows_strings(const GridLandscape::Pass& pass) const { return known_strings_.count(pass.voxel) != 0; }
  std::int64_t evaluations() const { return field_.count(); }
  std::int32_t polished() const { return polished_; }
  std::int32_t strings_relaxed() const { return strings_relaxed_; }

 private:
  struct Image {  // a grid operation: voxel p -> rotation p + shift
    FractionalOperation operation;
    std::array<std::array<std::int32_t, 3>, 3> rotation{};
    Int3 shift;
  };
  // Grid points around a position along each axis, and the cells they lie in.
  struct Corners {
    std::array<std::size_t, 3> count{};
    std::array<std::array<std::int32_t, 4>, 3> index, cell;
  };
  // Of the grid cell that the point lies in, and of those that it is as near to as `touches` steps (below
  // 1/2).
  Corners corners_around(const Vec3& frac, double touches) const;
  template <class Each>
  void each_corner(const Corners& around, const Each& each) const;  // each(voxel, cell)
  using HopTable = std::unordered_map<std::int32_t, std::vector<Hop>>;
  // Whether a point and the lowest corner of its grid cell lie below `target`: its basin can be read there.
  bool lies_deep(const Vec3& frac, double energy, double target) const;
  // Down from a point until it lies deep, else to the minimum.
  Vec3 sunk(const Vec3& frac, double target) const;
  std::vector<Hop> search_hops(const GridLandscape::Pass& pass, double depth);
  // Fills in what lies beyond the ends of a hop.
  void look_beyond(double depth, Hop* hop);
  // From a point down the grid, to a grid point at `target` or to the minimum of the basin.
  std::vector<Vec3> chain_down(const Vec3& frac, double target);
  Hop relax_between(const GridLandscape::Pass& pass, const GridLandscape::Arm& a, const GridLandscape::Arm& b,
                    double depth);
  // Where an operation takes a point: the voxel, and the cell it lies in.
  std::int32_t moved_voxel(const Image& image, std::int32_t voxel, Int3* cell) const;
  // Stores the hops of a pass and their copies for every symmetry equivalent.
  const std::vector<Hop>& store(const GridLandscape::Pass& pass, const std::vector<Hop>& hops,
                                HopTable* table);

  GridLandscape& landscape_;
  CountedField field_;
  RefineOptions options_;
  std::vector<Image> images_;  // operations that map grid points on grid points, the identity first
  // The string's point i, polished to a saddle where one lies next to it.
  PathPoint polished_top(const std::vector<PathPoint>& path, std::size_t i, bool* stationary) const;

  HopTable known_;
  HopTable known_strings_;
  std::unordered_map<std::int32_t, StationaryPoint> minima_;
  std::int32_t polished_ = 0;
  std::int32_t strings_relaxed_ = 0;
};

// `polisher` must have been made for the same landscape, field and options. `grid` must be the percolation of
// `landscape`; levels that are infinite there stay infinite.
RefinedPercolation refine_percolation(GridLandscape& landscape, const GridPercolation& grid,
                                      Polisher& polisher, const RefineOptions& options);

}  // namespace fastin
