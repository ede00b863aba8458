// The landscape of a mobile ion as a periodic network: sites (minima of the energy) and hops (saddles), with
// energies and lattice offsets. Both are closed under the operations that the field obeys: what one search
// finds stands for its whole orbit, with the same energies to the last bit.
#pragma once

#include <cstdint>
#include <vector>

#include "fastin/bvse/energy_field.hpp"
#include "fastin/percolation/grid_percolation.hpp"
#include "fastin/percolation/refine.hpp"
#include "fastin/percolation/stationary.hpp"

namespace fastin {

// x' = rotation x + translation on fractional columns; the rotation may turn the cell into another one of the
// same crystal, its entries are fractions then.
struct CrystalOperation {
  Mat3 rotation;
  Vec3 translation;
};

inline Vec3 apply(const CrystalOperation& op, const Vec3& x) {
  return times_col(op.rotation, x) + op.translation;
}

inline std::vector<CrystalOperation> crystal_operations(const std::vector<FractionalOperation>& operations) {
  std::vector<CrystalOperation> out(operations.size());
  for (std::size_t g = 0; g < out.size(); ++g) {
    out[g].translation = operations[g].translation;
    for (std::size_t k = 0; k < 9; ++k)
      out[g].rotation[static_cast<int>(k / 3)][static_cast<int>(k % 3)] =
          operations[g].rotation[k / 3][k % 3];
  }
  return out;
}

struct TransportOptions {
  double ceiling;  // absolute energy (eV) up to which sites and hops are kept
  RefineOptions refine;
};

struct TransportSite {
  Vec3 frac;  // in [0, 1)
  double energy;
  std::int32_t orbit;  // the first site of its symmetry class
};

// Site a in cell 0 and site b in cell `cell` joined over a saddle, which is given unwrapped, next to them.
struct TransportHop {
  std::int32_t a, b;
  Int3 cell;
  double energy;
  Vec3 saddle;
  double weight;    // share of the saddle's flux: below 1 where a valley forks below the saddle
  bool stationary;  // the saddle is a stationary point of index 1; else an upper bound
  // From a to b, for a connection that no saddle's descents give; empty for hops, whose way they are.
  std::vector<PathPoint> route;
  std::int32_t orbit = -1;  // the first hop of its symmetry class, directions apart
};

// Site and cell that a point drains to.
struct SiteLabel {
  std::int32_t site = -1;  // -1: above the ceiling
  Int3 cell{};
};

class TransportLandscape {
 public:
  // The field obeys `exact`; it obeys `operations`, a group with all of `exact`, to within rounded
  // coordinates.
  TransportLandscape(GridLandscape& landscape, const EnergyField& field,
                     const std::vector<FractionalOperation>& exact,
                     const std::vector<CrystalOperation>& operations, const TransportOptions& options);

  // All minima and saddles up to the ceiling, those that the grid shows and those from a search around every
  // grid point, each saddle followed down to its minima; then whatever the refined percolation levels need
  // beyond them, so that the network percolates at exactly those levels.
  void build(const RefinedPercolation& levels);

  const std::vector<TransportSite>& sites() const { return sites_; }
  // By rising energy.
  const std::vector<TransportHop>& hops() const { return hops_; }
  SiteLabel label(const Vec3& frac);
  // Sites whose basins of steepest descent hold a point: more than one where it lies on the ridge between
  // them, as on a symmetry element; none above the ceiling.
  std::vector<SiteLabel> basins(const Vec3& frac);

 private:
  using End = SiteLabel;
  SiteLabel site_at(const StationaryPoint& minimum);
  // The nearest site within a distance (angstrom) as a periodic image, of a symmetry class or of any (-1).
  SiteLabel nearest_site(const Vec3& frac, double within, std::int32_t orbit) const;
  SiteLabel find_site(const Vec3& frac) const;  // within the tolerance of descents
  SiteLabel moved(const CrystalOperation& op, const SiteLabel& label) const;
  SiteLabel site_of_basin(std::int32_t basin);
  bool strained() const;
  std::vector<CrystalOperation> stabiliser(const Vec3& point, double tolerance) const;
  Vec3 centred(const Vec3& point, double tolerance) const;
  std::vector<End> ends_at(const Vec3& frac);
  void add_end(const SiteLabel& label, std::vector<End>* ends);
  void add_images(const std::vector<CrystalOperation>& operations, const Vec3& mode, std::vector<End>* here,
                  std::vector<End>* there);
  std::vector<Hop> hops_below_grid(std::int32_t site, const SiteLabel& target, TransportHop* direct);
  void search_everywhere(double top);
  StationaryPoint newton_from(const Vec3& start, double reach) const;
  bool knows_point(const Vec3& frac) const;
  void link_below_grid();
  bool knows_saddle(const Vec3& frac) const;
  Vec3 turned(const CrystalOperation& op, const Vec3& direction) const;
  Vec3 polished_minimum(const Vec3& frac, double* energy) const;
  Vec3 polished_saddle(const Vec3& frac, const Vec3& along, double* energy) const;
  Hop lowest_image(const Hop& hop) const;
  bool fall_off(const StationaryPoint& saddle, Hop* hop) const;
  void add_hop(const Hop& found);
  bool holds(const TransportHop& hop, std::size_t from) const;
  void add_orbit(const TransportHop& hop, std::size_t from);
  void number_orbits();
  void add_missing(const RefinedPercolation& levels);

  GridLandscape& landscape_;
  const EnergyField& field_;
  std::vector<FractionalOperation> exact_;
  std::vector<CrystalOperation> operations_;
  bool strained_ = false;  // the cell obeys the operations to within rounded lengths: images differ in energy
  bool rounded_;           // images under the operations are polished again
  TransportOptions options_;
  Polisher polisher_;
  std::vector<TransportSite> sites_;
  std::vector<TransportHop> hops_;
  std::vector<Vec3> saddles_;
  std::vector<Vec3> others_;  // stationary points that are neither minima nor saddles
  std::vector<SiteLabel> basin_site_;
  std::vector<std::uint8_t> basin_known_;
};

// Minima that steepest descent from a point reaches: more than one from the ridge between them.
std::vector<StationaryPoint> fall(const EnergyField& field, const Vec3& frac, const SearchOptions& options);

// Path of steepest descent through a saddle: from the minimum on one side to that on the other.
std::vector<PathPoint> saddle_path(const EnergyField& field, const Vec3& saddle);

}  // namespace fastin
