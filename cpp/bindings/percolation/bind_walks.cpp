// Energies at and beside the voids and bottlenecks of a network.
#include <pybind11/pybind11.h>

#include "fastin/base/parallel.hpp"
#include "fastin/bvse/bvse_energy.hpp"
#include "fastin/percolation/walks.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace py = pybind11;

namespace fastin::bind {
namespace {

py::array_t<double> of_voids(const BvseField& field, const In<double>& frac, int num_threads) {
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  std::vector<VoidWalk> out(points.size());
  {
    const Computing computing;
    const BvseEnergy energy(field);
    parallel_for(
        points.size(), num_threads, [&](std::size_t i, int) { out[i] = walk_void(energy, points[i]); }, 4);
  }
  const auto n = static_cast<py::ssize_t>(points.size());
  return adopt<double>(std::move(out), {n, 2});
}

py::array_t<double> of_bottlenecks(const BvseField& field, const In<double>& frac,
                                   const In<double>& direction, int num_threads) {
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  check_shape(direction, "direction", {frac.shape(0), 3});
  const std::vector<Vec3> along = to_vec3s(direction, "direction");
  std::vector<BottleneckWalk> out(points.size());
  {
    const Computing computing;
    const BvseEnergy energy(field);
    parallel_for(
        points.size(), num_threads,
        [&](std::size_t i, int) { out[i] = walk_bottleneck(energy, points[i], along[i]); }, 4);
  }
  const auto n = static_cast<py::ssize_t>(points.size());
  return adopt<double>(std::move(out), {n, 3});
}

}  // namespace

void bind_walks(py::module_& m) {
  m.def("void_walks", &of_voids, py::arg("field"), py::arg("frac").noconvert(), py::arg("num_threads") = 1,
        "(n, 2) eV at fractional points and lowest on a short descent from there.");
  m.def("bottleneck_walks", &of_bottlenecks, py::arg("field"), py::arg("frac").noconvert(),
        py::arg("direction").noconvert(), py::arg("num_threads") = 1,
        "(n, 3) eV at fractional points, lowest in the plane across the Cartesian direction, and after steps "
        "from there to the saddle along it.");
}

}  // namespace fastin::bind
