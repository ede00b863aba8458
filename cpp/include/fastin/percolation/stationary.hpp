// Stationary points of an EnergyField: minima by Newton steps, saddles by eigenvector following (Cerjan and
// Miller, J. Chem. Phys. 75, 2800 (1981)), steepest descent paths by local quadratic steps (Page and McIver,
// J. Chem. Phys. 88, 922 (1988)), and the relaxed string between two points (E, Ren and Vanden-Eijnden, PRB
// 66, 052301 (2002)).
#pragma once

#include <vector>

#include "fastin/bvse/energy_field.hpp"

namespace fastin {

// Eigenvalues in rising order; column k of the rotation is row k here: vectors[k].
struct SymmetricEigen {
  Vec3 values;
  Mat3 vectors;
};
SymmetricEigen symmetric_eigen(const Mat3& m);

struct SearchOptions {
  double gradient_tolerance = 1e-5;  // eV/angstrom: leaves less than 1e-9 eV of energy error
  double max_step = 0.1;             // angstrom, of one step: half a point of the default grid
  double max_travel = 0.8;           // angstrom from the start; farther is another pass
  int max_steps = 60;
};

struct StationaryPoint {
  Vec3 frac;  // not wrapped: next to where the search began
  double energy = 0.0;
  int negative = 0;  // number of negative eigenvalues of the Hessian
  Vec3 mode;         // Cartesian unit vector of the lowest eigenvalue
  bool converged = false;
};

// Follows steepest descent from `start` down to the minimum.
StationaryPoint find_minimum(const EnergyField& field, const Vec3& start, const SearchOptions& options);

// Climbs along one mode, descends along the others. `along` (Cartesian) picks the first mode by overlap; a
// zero vector takes the lowest.
StationaryPoint find_saddle(const EnergyField& field, const Vec3& start, const Vec3& along,
                            const SearchOptions& options);

// One local quadratic step of steepest descent, at most `reach` long (Cartesian displacement).
Vec3 descent_step(const Vec3& gradient, const SymmetricEigen& eigen, double reach);

struct PathPoint {
  Vec3 frac;  // not wrapped
  double energy = 0.0;
  bool saddle = false;  // found as a stationary point of index 1
};

// Steepest descent from a saddle to one side (`side` +1 or -1 along its mode). Appends points; stops when
// `stop(frac, energy)` holds or a minimum is reached (then true).
template <class Stop>
bool descend(const EnergyField& field, const StationaryPoint& saddle, double side,
             const SearchOptions& options, Stop&& stop, std::vector<PathPoint>* path) {
  constexpr double kFirstStep = 0.05;  // angstrom off the saddle, along its mode
  constexpr int kMaxPoints = 400;      // 0.1 angstrom each: longer than any valley of a unit cell of interest
  const Lattice& lattice = field.lattice();
  double first = kFirstStep;
  Vec3 at = saddle.frac + lattice.to_frac(first * side * saddle.mode);
  Vec3 gradient;
  Mat3 hessian;
  double energy = field.derivatives(at, &gradient, &hessian);
  for (int halving = 0; halving < 8 && energy >= saddle.energy; ++halving) {  // a shelf within the first step
    first *= 0.5;
    at = saddle.frac + lattice.to_frac(first * side * saddle.mode);
    energy = field.derivatives(at, &gradient, &hessian);
  }
  if (energy >= saddle.energy) return false;
  double reach = options.max_step;
  for (int i = 0; i < kMaxPoints; ++i) {
    path->push_back({at, energy});
    if (stop(at, energy)) return true;
    if (norm(gradient) < options.gradient_tolerance) return true;
    const SymmetricEigen eigen = symmetric_eigen(hessian);
    Vec3 next;
    double next_energy = 0.0;
    Vec3 next_gradient;
    Mat3 next_hessian;
    for (int halving = 0;; ++halving) {
      const Vec3 step = descent_step(gradient, eigen, reach);
      next = at + lattice.to_frac(step);
      next_energy = field.derivatives(next, &next_gradient, &next_hessian);
      if (next_energy <= energy) break;
      reach = 0.5 * norm(step);
      if (halving == 12) return norm(gradient) < 1e3 * options.gradient_tolerance;
    }
    at = next;
    energy = next_energy;
    gradient = next_gradient;
    hessian = next_hessian;
    reach = 2.0 * reach < options.max_step ? 2.0 * reach : options.max_step;
  }
  return false;
}

// Relaxes a polyline (fractional, not wrapped) towards the minimum energy path between the valleys of its
// ends: the points move across the path by projected Newton steps and are spread evenly again, `spacing`
// apart (angstrom); an end runs downhill until its energy is at most `floor_energy`, and what lies below that
// is cut off. An infinite floor: the ends stay.
std::vector<PathPoint> relax_string(const EnergyField& field, const std::vector<Vec3>& start, double spacing,
                                    int iterations, double floor_energy);

}  // namespace fastin
