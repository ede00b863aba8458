// Certificates of a power diagram, computed from the finished diagram and the atoms alone.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "fastin/geometry/cell_list.hpp"
#include "fastin/tessellation/reduced_frame.hpp"
#include "fastin/tessellation/tessellation.hpp"

namespace fastin {
namespace {

// A power difference as the distance by which the nearer sphere's bisector is passed.
double as_distance(double power_difference, double distance) {
  return power_difference / (2.0 * std::max(distance, 0.1));
}

struct PowerErrors {
  double spread = 0.0, empty = 0.0;
};

PowerErrors power_errors(const Tessellation& t, const ReducedFrame& frame,
                         const std::vector<double>& radius) {
  const double max_weight = [&] {
    double w = 0.0;
    for (const double r : radius) w = std::max(w, r * r);
    return w;
  }();
  const double highest = *std::max_element(t.vertex_power.begin(), t.vertex_power.end());
  const CellList cells(frame.lattice, frame.frac, std::sqrt(std::max(0.0, highest + max_weight)) + 0.01);
  PowerErrors out;
  for (std::size_t v = 0; v < t.vertex_frac.size(); ++v) {
    const Vec3 x = frame.original_lattice.to_cart(t.vertex_frac[v]);
    double lowest = INFINITY, top = -INFINITY, far = 0.0;
    for (auto k = static_cast<std::size_t>(t.generator_start[v]);
         k < static_cast<std::size_t>(t.generator_start[v + 1]); ++k) {
      const auto atom = static_cast<std::size_t>(t.generator[k].atom);
      // Undo the wrapping of the reduced frame: the generator's image is counted from the caller's
      // coordinates.
      const Int3 image = frame.basis.to_reduced(t.generator[k].image) + frame.wrapped[atom];
      const Vec3 d = frame.cart[atom] + frame.lattice.to_cart(to_vec(image)) - x;
      const double power = norm2(d) - radius[atom] * radius[atom];
      lowest = std::min(lowest, power);
      top = std::max(top, power);
      far = std::max(far, norm(d));
    }
    out.spread = std::max(out.spread, as_distance(top - lowest, far));
    Vec3 f = frame.lattice.to_frac(x);
    wrap_frac(f);
    const Vec3 y = frame.lattice.to_cart(f);
    cells.for_each_stretch(
        f, std::sqrt(std::max(0.0, lowest + max_weight)), [&](std::size_t begin, std::size_t end) {
          for (std::size_t s = begin; s < end; ++s) {
            const double r = radius[static_cast<std::size_t>(generator_atom(cells.code()[s]))];
            const double d2 = norm2(Vec3{cells.x()[s], cells.y()[s], cells.z()[s]} - y);
            out.empty = std::max(out.empty, as_distance(lowest - (d2 - r * r), std::sqrt(d2)));
          }
        });
  }
  return out;
}

// Owners of edges that a vertex at one of the ends does not list.
std::int64_t foreign_owners(const Tessellation& t) {
  const auto has = [&t](std::int32_t vertex, const Generator& g) {
    const auto v = static_cast<std::size_t>(vertex);
    return std::binary_search(t.generator.begin() + t.generator_start[v],
                              t.generator.begin() + t.generator_start[v + 1], g);
  };
  std::int64_t count = 0;
  for (std::size_t e = 0; e < t.edge_i.size(); ++e) {
    for (auto k = static_cast<std::size_t>(t.owner_start[e]);
         k < static_cast<std::size_t>(t.owner_start[e + 1]); ++k) {
      const Generator& g = t.owner[k];
      if (!has(t.edge_i[e], g) || !has(t.edge_j[e], {g.atom, g.image - t.edge_image[e]})) ++count;
    }
  }
  return count;
}

}  // namespace

Certificate certify(const Tessellation& t, const Lattice& lattice, const std::vector<Vec3>& frac,
                    const std::vector<double>& radius) {
  const ReducedFrame frame = reduce_frame(lattice, frac);
  std::vector<bool> has_cell(frac.size(), false);
  for (const Generator& g : t.generator) has_cell[static_cast<std::size_t>(g.atom)] = true;
  const auto cells = static_cast<std::int64_t>(std::count(has_cell.begin(), has_cell.end(), true));
  const double sum = std::accumulate(t.cell_volume.begin(), t.cell_volume.end(), 0.0);
  const PowerErrors errors = power_errors(t, frame, radius);
  return {std::abs(sum - lattice.volume()) / lattice.volume(),
          static_cast<std::int64_t>(t.vertex_frac.size()) - static_cast<std::int64_t>(t.edge_i.size()) +
              static_cast<std::int64_t>(t.faces.first.size()) - cells,
          errors.spread, errors.empty, foreign_owners(t)};
}

}  // namespace fastin
