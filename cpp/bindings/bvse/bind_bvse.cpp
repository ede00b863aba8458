// Bond valence site energy: grid, energy and derivatives at points.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "fastin/base/parallel.hpp"
#include "fastin/bvse/bvse.hpp"
#include "fastin/bvse/bvse_split.hpp"
#include "fastin/geometry/site_symmetry.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace py = pybind11;

namespace fastin::bind {
namespace {

BvseField make_field(const In<double>& cell, const In<double>& frac, const In<std::int32_t>& term,
                     const In<double>& weight, const In<bool>& coulomb, const In<double>& amplitude,
                     const In<double>& length, const In<double>& alpha, double cutoff) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> positions = to_vec3s(frac, "frac");
  const std::vector<std::int32_t> kinds = to_vector(term, "term");
  const std::vector<double> weights = to_vector(weight, "weight");
  const py::ssize_t n = coulomb.size();
  check_shape(coulomb, "coulomb", {n});
  check_shape(amplitude, "amplitude", {n});
  check_shape(length, "length", {n});
  check_shape(alpha, "alpha", {n});
  std::vector<PairTerm> terms(static_cast<std::size_t>(n));
  for (std::size_t k = 0; k < terms.size(); ++k) {
    terms[k] = PairTerm{coulomb.data()[k], amplitude.data()[k], length.data()[k], alpha.data()[k]};
  }
  const Computing computing;
  return BvseField(lattice, positions, kinds, weights, terms, cutoff);
}

py::array_t<double> energies(const BvseField& field, const In<double>& frac, int num_threads) {
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  std::vector<double> out(points.size());
  {
    const Computing computing;
    field.energies(points.data(), points.size(), num_threads, out.data());
  }
  return adopt<double>(std::move(out));
}

template <class Field>
py::tuple derivatives(const Field& field, const In<double>& frac, int num_threads) {
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  std::vector<double> energy(points.size());
  std::vector<Vec3> gradient(points.size());
  std::vector<Mat3> hessian(points.size());
  {
    const Computing computing;
    parallel_for(
        points.size(), num_threads,
        [&](std::size_t i, int) { energy[i] = field.energy_gradient(points[i], &gradient[i], &hessian[i]); },
        16);
  }
  const auto n = static_cast<py::ssize_t>(points.size());
  return py::make_tuple(adopt<double>(std::move(energy)), adopt<double>(std::move(gradient), {n, 3}),
                        adopt<double>(std::move(hessian), {n, 3, 3}));
}

std::vector<GridOperation> grid_operations(const In<std::int32_t>& rotations,
                                           const In<std::int32_t>& shifts) {
  check_shape(rotations, "rotations", {-1, 3, 3});
  check_shape(shifts, "shifts", {rotations.shape(0), 3});
  std::vector<GridOperation> operations(static_cast<std::size_t>(rotations.shape(0)));
  for (std::size_t g = 0; g < operations.size(); ++g)
    for (std::size_t a = 0; a < 3; ++a) {
      for (std::size_t b = 0; b < 3; ++b) operations[g].rotation[a][b] = rotations.data()[9 * g + 3 * a + b];
      operations[g].shift[a] = shifts.data()[3 * g + a];
    }
  return operations;
}

std::size_t points_of(const std::array<std::int32_t, 3>& shape) {
  for (const std::int32_t n : shape) {
    if (n < 1) throw InvalidInput("the grid's shape must be positive, not " + std::to_string(n));
  }
  const double points = static_cast<double>(shape[0]) * shape[1] * shape[2];
  if (points > 2147483647.0)
    throw InvalidInput("the grid holds more than 2^31 - 1 points: use a coarser resolution");
  return static_cast<std::size_t>(points);
}

template <class Field>
py::array_t<float> grid(const Field& field, const std::array<std::int32_t, 3>& shape,
                        const In<std::int32_t>& rotations, const In<std::int32_t>& shifts, int num_threads) {
  const std::vector<GridOperation> operations = grid_operations(rotations, shifts);
  points_of(shape);
  // numpy's own memory: not set to zero first, and on large pages where the system has them.
  py::array_t<float> values({shape[0], shape[1], shape[2]});
  float* const data = values.mutable_data();
  {
    const Computing computing;
    field.grid({shape[0], shape[1], shape[2]}, operations, num_threads, data);
  }
  set_read_only(&values);
  return values;
}

BvseSplit make_split(const BvseField& field, const std::array<std::int32_t, 3>& shape,
                     const In<std::int32_t>& rotations, const In<std::int32_t>& shifts, int num_threads) {
  const std::vector<GridOperation> operations = grid_operations(rotations, shifts);
  points_of(shape);
  const Computing computing;
  return BvseSplit(field, {shape[0], shape[1], shape[2]}, operations, num_threads);
}

py::tuple symmetrise(const In<double>& cell, const In<double>& frac, const In<std::int32_t>& kind,
                     const In<std::int32_t>& rotations, const In<double>& translations, double tolerance) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> sites = to_vec3s(frac, "frac"), shifts = to_vec3s(translations, "translations");
  const std::vector<std::int32_t> kinds = to_vector(kind, "kind");
  check_shape(rotations, "rotations", {translations.shape(0), 3, 3});
  std::vector<Operation> operations(shifts.size());
  for (std::size_t g = 0; g < operations.size(); ++g) {
    operations[g].translation = shifts[g];
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < 3; ++b) operations[g].rotation[a][b] = rotations.data()[9 * g + 3 * a + b];
  }
  SiteSymmetry result;
  {
    const Computing computing;
    result = site_symmetry(lattice, sites, kinds, operations, tolerance);
  }
  std::vector<std::int64_t> kept(result.kept.begin(), result.kept.end());
  const auto n = static_cast<py::ssize_t>(result.frac.size());
  return py::make_tuple(adopt<std::int64_t>(std::move(kept)), adopt<double>(std::move(result.frac), {n, 3}),
                        result.largest_shift);
}

}  // namespace

void bind_bvse(py::module_& m) {
  m.def("site_symmetry", &symmetrise, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("kind").noconvert(), py::arg("rotations").noconvert(), py::arg("translations").noconvert(),
        py::arg("tolerance"),
        "Indices of the operations that the sites obey within `tolerance` (A) and that form a group, the "
        "sites averaged "
        "over them, and the largest shift (A).");
  py::class_<BvseField>(
      m, "BvseField",
      "Bond valence site energy of one mobile ion in a periodic framework (see fastin.bvse.grid).")
      .def(py::init(&make_field), py::arg("cell").noconvert(), py::arg("frac").noconvert(),
           py::arg("term").noconvert(), py::arg("weight").noconvert(), py::arg("coulomb").noconvert(),
           py::arg("amplitude").noconvert(), py::arg("length").noconvert(), py::arg("alpha").noconvert(),
           py::arg("cutoff"))
      .def("energy", &energies, py::arg("frac").noconvert(), py::arg("num_threads") = 1,
           "(n,) energies in eV at (n, 3) fractional points, capped at `max_energy`.")
      .def("derivatives", &derivatives<BvseField>, py::arg("frac").noconvert(), py::arg("num_threads") = 1,
           "Energies (n,) in eV without the cap, Cartesian gradients (n, 3) in eV/A and Hessians (n, 3, 3) "
           "in eV/A^2.")
      .def(
          "grid", &grid<BvseField>, py::arg("shape"), py::arg("rotations").noconvert(),
          py::arg("shifts").noconvert(), py::arg("num_threads") = 1,
          "float32 energies on a periodic grid; operations act on grid indices as i' = rotation @ i + shift.")
      .def("term_cutoff", &BvseField::term_cutoff, py::arg("k"))
      .def_property_readonly("cutoff", &BvseField::cutoff)
      .def_property_readonly("near_share", &BvseSplit::near_share,
                             "Pairs of a BvseSplit's near sum over those of the plain sum.")
      .def_property_readonly("tail_energy", &BvseField::tail_energy)
      .def_property_readonly("image_count", &BvseField::image_count)
      .def_property_readonly_static("max_energy", [](const py::object&) { return BvseField::kMaxEnergy; });
  py::class_<BvseSplit>(
      m, "BvseSplit",
      "A BvseField summed up to 4.5 A, the rest a spline on a grid of that shape, which the "
      "operations map onto itself.")
      .def(py::init(&make_split), py::arg("field"), py::arg("shape"), py::arg("rotations").noconvert(),
           py::arg("shifts").noconvert(), py::arg("num_threads") = 1)
      .def("derivatives", &derivatives<BvseSplit>, py::arg("frac").noconvert(), py::arg("num_threads") = 1,
           "As of a BvseField.")
      .def("grid", &grid<BvseSplit>, py::arg("shape"), py::arg("rotations").noconvert(),
           py::arg("shifts").noconvert(), py::arg("num_threads") = 1, "As of a BvseField.")
      .def_property_readonly_static("spacing", [](const py::object&) { return BvseSplit::kSpacing; })
      .def_property_readonly_static("error_bound", [](const py::object&) { return BvseSplit::kErrorBound; });
}

}  // namespace fastin::bind
