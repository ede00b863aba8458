// Neighbour lists and coordination numbers for fastin.crystal.crystal.
#include <pybind11/pybind11.h>

#include "fastin/geometry/coordination.hpp"
#include "fastin/geometry/pure_translations.hpp"
#include "fastin/geometry/space_operations.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {

namespace {

py::tuple neighbours(const In<double>& cell, const In<double>& frac, double cutoff) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  Neighbours found;
  {
    const Computing computing;
    found = neighbours_within(lattice, points, cutoff);
  }
  return py::make_tuple(adopt(std::move(found.offsets)), adopt(std::move(found.index)),
                        adopt(std::move(found.distance)));
}

py::array_t<double> coordination(const In<std::int64_t>& offsets, const In<std::int64_t>& index,
                                 const In<double>& distance, const In<double>& sign, const In<double>& size,
                                 const In<double>& occupancy, double reach, double too_near) {
  const Neighbours given{to_vector(offsets, "offsets"), to_vector(index, "index"),
                         to_vector(distance, "distance")};
  const std::vector<double> signs = to_vector(sign, "sign");
  const std::vector<double> sizes = to_vector(size, "size");
  const std::vector<double> shares = to_vector(occupancy, "occupancy");
  if (given.offsets.size() != signs.size() + 1 || shares.size() != signs.size() ||
      sizes.size() != signs.size() || given.index.size() != given.distance.size() ||
      given.offsets.back() != static_cast<std::int64_t>(given.index.size())) {
    throw InvalidInput(
        "offsets, index, distance, sign, size and occupancy do not describe one neighbour list");
  }
  for (const std::int64_t j : given.index) {
    if (j < 0 || j >= static_cast<std::int64_t>(signs.size())) {
      throw InvalidInput("neighbour " + std::to_string(j) + " is not a point");
    }
  }
  std::vector<double> out;
  {
    const Computing computing;
    out = coordination_numbers(given, signs, sizes, shares, {reach, too_near});
  }
  return adopt(std::move(out));
}

py::tuple nearest_of_kinds(const In<double>& cell, const In<double>& frac, const In<bool>& marked,
                           double reach, double too_near) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  check_shape(marked, "marked", {-1});
  const std::vector<char> marks(marked.data(), marked.data() + marked.size());
  NearestKinds found;
  {
    const Computing computing;
    found = nearest_kinds(lattice, points, marks, reach, too_near);
  }
  return py::make_tuple(adopt(std::move(found.marked)), adopt(std::move(found.unmarked)));
}

py::dict pure_translations_of(const In<double>& cell, const In<double>& frac, const In<std::int32_t>& kind,
                              const In<std::int64_t>& offsets, const In<double>& distance, double tolerance) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  const std::vector<std::int32_t> kinds = to_vector(kind, "kind");
  const Neighbours near{to_vector(offsets, "offsets"), {}, to_vector(distance, "distance")};
  PureTranslations found;
  {
    const Computing computing;
    found = pure_translations(lattice, points, kinds, near, tolerance);
  }
  const auto t = static_cast<py::ssize_t>(found.translations.size()),
             p = static_cast<py::ssize_t>(found.primitive_frac.size());
  py::dict out;
  out["translations"] = adopt<double>(std::move(found.translations), {t, 3});
  out["primitive"] =
      adopt<double>(std::vector<Vec3>{found.primitive[0], found.primitive[1], found.primitive[2]}, {3, 3});
  out["primitive_frac"] = adopt<double>(std::move(found.primitive_frac), {p, 3});
  out["first"] = adopt(std::move(found.first));
  out["primitive_of"] = adopt(std::move(found.primitive_of));
  out["nothing_else"] = found.nothing_else;
  return out;
}

py::object space_operations_of(const In<double>& cell, const In<double>& frac, const In<std::int32_t>& kind,
                               double tight, double loose) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  const std::vector<std::int32_t> kinds = to_vector(kind, "kind");
  SpaceOperations found;
  {
    const Computing computing;
    found = space_operations(lattice, points, kinds, tight, loose);
  }
  if (!found.certain) return py::none();
  const auto n = static_cast<py::ssize_t>(found.operations.size());
  std::vector<std::int32_t> rotations;
  std::vector<double> translations;
  for (const SpaceOperation& one : found.operations) {
    for (const Int3& row : one.rotation) rotations.insert(rotations.end(), {row.x, row.y, row.z});
    for (int k = 0; k < 3; ++k) translations.push_back(one.twentyfourths[k] / 24.0);
  }
  return py::make_tuple(adopt<std::int32_t>(std::move(rotations), {n, 3, 3}),
                        adopt<double>(std::move(translations), {n, 3}), adopt(std::move(found.orbit)));
}

}  // namespace

void bind_coordination(py::module_& m) {
  m.def("neighbours", &neighbours, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("cutoff"),
        "Periodic neighbours within `cutoff` angstrom: (offsets (n + 1,), index (m,), distance (m,)), "
        "nearest first.");
  m.def(
      "nearest_kinds", &nearest_of_kinds, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
      py::arg("marked").noconvert(), py::kw_only(), py::arg("reach"), py::arg("too_near"),
      "Distance of each marked point to the nearest marked and to the nearest unmarked one, `reach` at most "
      "and more than `too_near` angstrom.");
  m.def(
      "pure_translations", &pure_translations_of, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
      py::arg("kind").noconvert(), py::arg("offsets").noconvert(), py::arg("distance").noconvert(),
      py::kw_only(), py::arg("tolerance"),
      "Translations that map points of several kinds on each other, the primitive cell that they leave, and "
      "whether nothing but the identity fits.");
  m.def(
      "space_operations", &space_operations_of, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
      py::arg("kind").noconvert(), py::kw_only(), py::arg("tight"), py::arg("loose"),
      "Operations of a primitive cell (rotations, translations, orbits), or None unless each maps it within "
      "`tight` and each other is off by more than `loose` (angstrom).");
  m.def(
      "coordination_numbers", &coordination, py::arg("offsets").noconvert(), py::arg("index").noconvert(),
      py::arg("distance").noconvert(), py::arg("sign").noconvert(), py::arg("size").noconvert(),
      py::arg("occupancy").noconvert(), py::arg("reach"), py::arg("too_near"),
      "Coordination number of each point: counter-ions within `reach` of the shortest relative bond length.");
}

}  // namespace fastin::bind
