#include "fastin/tessellation/tessellation.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/tessellation/power_triangulation.hpp"
#include "fastin/tessellation/reduced_frame.hpp"
#include "merger.hpp"

namespace fastin {
namespace {

// Farther than this in fractional coordinates nothing is left of the position; larger than this (angstrom) no
// sphere of a crystal is, and the neighbours to look at would be without number.
constexpr double kMaxCell = 1e6;
constexpr double kMaxRadius = 50.0;

}  // namespace

void check_spheres(const std::vector<Vec3>& frac, const std::vector<double>& radius) {
  if (frac.empty()) throw InvalidInput("there are no atoms to tessellate");
  if (frac.size() != radius.size()) {
    throw InvalidInput("there are " + std::to_string(frac.size()) + " atoms but " +
                       std::to_string(radius.size()) + " radii");
  }
  for (std::size_t i = 0; i < frac.size(); ++i) {
    if (!std::isfinite(frac[i].x) || !std::isfinite(frac[i].y) || !std::isfinite(frac[i].z)) {
      throw InvalidInput("the position of atom " + std::to_string(i) + " is not finite");
    }
    if (std::max({std::abs(frac[i].x), std::abs(frac[i].y), std::abs(frac[i].z)}) > kMaxCell) {
      throw InvalidInput("the position of atom " + std::to_string(i) + " is more than a million cells away");
    }
    if (!std::isfinite(radius[i])) {
      throw InvalidInput("the radius of atom " + std::to_string(i) + " is not finite");
    }
    if (std::abs(radius[i]) > kMaxRadius) {
      throw InvalidInput("the radius of atom " + std::to_string(i) + " is " + std::to_string(radius[i]) +
                         " angstrom, more than any atom's");
    }
  }
}

namespace {

// Atoms are numbered as given here; generators and owners bear the caller's numbers, `names`.
Tessellation tessellate_as_numbered(const Lattice& lattice, const std::vector<Vec3>& frac,
                                    const std::vector<double>& radius, const TessellationOptions& options,
                                    const std::vector<std::int32_t>& names) {
  ReducedFrame frame = reduce_frame(lattice, frac);
  frame.names = names;
  std::vector<double> weight;
  weight.reserve(radius.size());
  for (const double r : radius) weight.push_back(r * r);
  Tessellation out;
  Merger(frame, weight, triangulate(frame.lattice, frame.frac, weight, names, options.num_threads), options)
      .run(&out);
  return out;
}

// Back to the caller's numbers of atoms.
void renumber(const std::vector<std::int32_t>& order, Tessellation* t) {
  std::vector<double> volume(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    volume[static_cast<std::size_t>(order[i])] = t->cell_volume[i];
  t->cell_volume.swap(volume);
  const auto original = [&order](std::int32_t& atom) { atom = order[static_cast<std::size_t>(atom)]; };
  for (std::int32_t& atom : t->faces.first) original(atom);
  for (Generator& g : t->faces.second) original(g.atom);
}

}  // namespace

Tessellation tessellate(const Lattice& lattice, const std::vector<Vec3>& frac,
                        const std::vector<double>& radius, const TessellationOptions& options) {
  check_spheres(frac, radius);
  if (frac.size() < kSweptAtoms) return tessellate_as_numbered(lattice, frac, radius, options, {});
  const std::vector<std::int32_t> order = spatial_order(lattice, frac);
  std::vector<Vec3> sorted_frac;
  std::vector<double> sorted_radius;
  for (const std::int32_t i : order) {
    sorted_frac.push_back(frac[static_cast<std::size_t>(i)]);
    sorted_radius.push_back(radius[static_cast<std::size_t>(i)]);
  }
  Tessellation out = tessellate_as_numbered(lattice, sorted_frac, sorted_radius, options, order);
  renumber(order, &out);
  return out;
}

}  // namespace fastin
