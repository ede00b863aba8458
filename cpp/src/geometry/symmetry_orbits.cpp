#include "fastin/geometry/symmetry_orbits.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "fastin/geometry/cell_list.hpp"
#include "fastin/geometry/lattice_reduction.hpp"

namespace fastin {
namespace {

std::size_t find_root(std::vector<std::size_t>* parent, std::size_t i) {
  while ((*parent)[i] != i) {
    (*parent)[i] = (*parent)[(*parent)[i]];
    i = (*parent)[i];
  }
  return i;
}

}  // namespace

std::vector<std::int32_t> point_orbits(const Lattice& lattice, const std::vector<Vec3>& frac,
                                       const std::vector<SymmetryOperation>& operations, double tolerance) {
  const std::size_t n = frac.size();
  std::vector<std::size_t> parent(n);
  std::iota(parent.begin(), parent.end(), std::size_t{0});
  if (operations.size() > 1 && n > 0) {
    const ReducedBasis basis = reduce_basis(lattice.cell());
    const Lattice reduced(basis.cell);
    const auto to_reduced = [&basis](const Vec3& f) {
      Vec3 g =
          f.x * to_vec(basis.inverse[0]) + f.y * to_vec(basis.inverse[1]) + f.z * to_vec(basis.inverse[2]);
      wrap_frac(g);
      return g;
    };
    std::vector<Vec3> points;
    points.reserve(n);
    for (const Vec3& f : frac) points.push_back(to_reduced(f));
    const CellList cells(reduced, points, tolerance);
    std::vector<bool> reached(n, false);
    for (std::size_t i = 0; i < n; ++i) {
      if (reached[i]) continue;
      for (const SymmetryOperation& op : operations) {
        const Vec3 f = to_reduced(op(frac[i]));
        const Vec3 x = reduced.to_cart(f);
        double best = tolerance * tolerance;
        std::size_t nearest = n;
        cells.for_each_stretch(f, tolerance, [&](std::size_t begin, std::size_t end) {
          for (std::size_t s = begin; s < end; ++s) {
            const double d2 = norm2(Vec3{cells.x()[s], cells.y()[s], cells.z()[s]} - x);
            if (d2 < best) {
              best = d2;
              nearest = static_cast<std::size_t>(generator_atom(cells.code()[s]));
            }
          }
        });
        if (nearest == n) continue;
        reached[nearest] = true;
        const std::size_t a = find_root(&parent, i), b = find_root(&parent, nearest);
        parent[std::max(a, b)] = std::min(a, b);
      }
    }
  }
  std::vector<std::int32_t> label(n, -1), out(n);
  std::int32_t count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::int32_t& l = label[find_root(&parent, i)];
    if (l < 0) l = count++;
    out[i] = l;
  }
  return out;
}

}  // namespace fastin
