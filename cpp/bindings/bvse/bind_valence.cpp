// Bond valence sums, and shares of a grid below some heights.
#include "fastin/bvse/valence.hpp"

#include <pybind11/pybind11.h>

#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {
namespace {

py::tuple valence_sums(const In<double>& cell, const In<double>& frac, const In<std::int32_t>& kind,
                       const In<double>& occupancy, const In<std::int32_t>& pair_kinds,
                       const In<double>& pair_values, double too_near) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> sites = to_vec3s(frac, "frac");
  const std::vector<std::int32_t> kinds = to_vector(kind, "kind");
  const std::vector<double> shares = to_vector(occupancy, "occupancy");
  check_shape(pair_kinds, "pair_kinds", {-1, 2});
  check_shape(pair_values, "pair_values", {pair_kinds.shape(0), 4});
  std::vector<ValencePair> pairs(static_cast<std::size_t>(pair_kinds.shape(0)));
  const std::int32_t* of = pair_kinds.data();
  const double* v = pair_values.data();
  for (ValencePair& p : pairs) {
    p = {of[0], of[1], v[0], v[1], v[2], v[3]};
    of += 2;
    v += 4;
  }
  ValenceSums found;
  {
    const Computing computing;
    found = bond_valence_sums(lattice, sites, kinds, shares, pairs, too_near);
  }
  return py::make_tuple(adopt(std::move(found.sum)), adopt(std::move(found.bonds)));
}

py::tuple shares_of_levels(const In<float>& values, double minimum, const In<float>& levels, double kt) {
  const std::vector<float> heights = to_vector(levels, "levels");
  if (!(kt > 0.0)) throw InvalidInput("kt must be positive");
  LevelShares found;
  {
    const Computing computing;
    found = level_shares(values.data(), static_cast<std::size_t>(values.size()), static_cast<float>(minimum),
                         heights, static_cast<float>(kt));
  }
  return py::make_tuple(adopt(std::move(found.share)), found.thermal);
}

}  // namespace

void bind_valence(py::module_& m) {
  m.def("bond_valence_sums", &valence_sums, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("kind").noconvert(), py::arg("occupancy").noconvert(), py::arg("pair_kinds").noconvert(),
        py::arg("pair_values").noconvert(), py::kw_only(), py::arg("too_near"),
        "Bond valence sum of each site, and neighbours counted for each pair: pair_kinds (p, 2) cation and "
        "anion, pair_values (p, 4) r0, b, cutoff (angstrom) and weight.");
  m.def("level_shares", &shares_of_levels, py::arg("values").noconvert(), py::arg("minimum"),
        py::arg("levels").noconvert(), py::kw_only(), py::arg("kt"),
        "Share of the points of a float32 grid at most `levels` above `minimum`, and the mean of "
        "exp(-height / kt).");
}

}  // namespace fastin::bind
