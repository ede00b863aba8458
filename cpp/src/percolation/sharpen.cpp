#include "fastin/percolation/sharpen.hpp"

#include <cmath>
#include <vector>

namespace fastin {
namespace {

// Farther than this from where the approximate field has it is another point (angstrom, eV).
constexpr double kNext = 0.2;
constexpr double kAlike = 1e-3;

PathPoint accepted(const EnergyField& exact, const Vec3& start, const StationaryPoint& found) {
  const double here = exact.energy(start);
  const double moved = norm(exact.lattice().to_cart(found.frac - start));
  if (!found.converged || moved > kNext || std::abs(found.energy - here) > kAlike) return {start, here};
  return {found.frac, found.energy};
}

}  // namespace

PathPoint sharpened_saddle(const EnergyField& exact, const Vec3& frac, const SearchOptions& options) {
  return accepted(exact, frac, find_saddle(exact, frac, Vec3{}, options));
}

void sharpen(const EnergyField& exact, const SearchOptions& options, RefinedPercolation* result) {
  struct Known {
    Vec3 from;
    PathPoint point;
  };
  std::vector<Known> saddles, minima;
  const auto once = [](std::vector<Known>* known, const Vec3& from, const auto& compute) {
    for (const Known& k : *known) {
      if (k.from.x == from.x && k.from.y == from.y && k.from.z == from.z) return k.point;
    }
    PathPoint point = compute();
    wrap_frac(point.frac);
    known->push_back({from, point});
    return point;
  };
  const auto minimum = [&](Vec3* frac, double* energy) {
    const PathPoint point =
        once(&minima, *frac, [&] { return accepted(exact, *frac, find_minimum(exact, *frac, options)); });
    *frac = point.frac;
    *energy = point.energy;
  };
  minimum(&result->minimum, &result->minimum_energy);
  for (std::size_t d = 0; d < result->levels.size(); ++d) {
    RefinedLevel& level = result->levels[d];
    if (!std::isfinite(level.energy)) continue;
    const PathPoint saddle = once(&saddles, level.saddle, [&] {
      return level.stationary ? sharpened_saddle(exact, level.saddle, options)
                              : PathPoint{level.saddle, exact.energy(level.saddle)};
    });
    level.saddle = saddle.frac;
    // A level that is no point's own energy (the foot of a string, a bound on what is not explained) stays.
    if (level.stationary || std::abs(saddle.energy - level.energy) <= kAlike) level.energy = saddle.energy;
    minimum(&level.minimum, &level.minimum_energy);
    if (level.minimum_energy < result->minimum_energy) {
      result->minimum = level.minimum;
      result->minimum_energy = level.minimum_energy;
    }
    if (d == 0 || level.energy >= result->levels[d - 1].energy) continue;
    // Two passes alike to within the approximation: more directions are never reached lower than fewer.
    level.energy = result->levels[d - 1].energy;
    level.saddle = result->levels[d - 1].saddle;
    level.stationary = result->levels[d - 1].stationary;
  }
}

}  // namespace fastin
