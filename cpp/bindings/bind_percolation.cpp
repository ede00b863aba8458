// Percolation barriers, refinement, merge tree of an energy grid.
#include <pybind11/pybind11.h>

#include <cmath>

#include "fastin/bvse.hpp"
#include "fastin/bvse_energy.hpp"
#include "fastin/grid_percolation.hpp"
#include "fastin/refine.hpp"
#include "numpy.hpp"

namespace py = pybind11;

namespace fastin::bind {
namespace {

std::vector<FractionalOperation> operations_of(const In<std::int32_t>& rotations, const In<double>& translations) {
  check_shape(rotations, "rotations", {-1, 3, 3});
  check_shape(translations, "translations", {rotations.shape(0), 3});
  std::vector<FractionalOperation> operations(static_cast<std::size_t>(rotations.shape(0)));
  for (std::size_t g = 0; g < operations.size(); ++g) {
    for (std::size_t a = 0; a < 3; ++a) {
      for (std::size_t b = 0; b < 3; ++b) operations[g].rotation[a][b] = rotations.data()[9 * g + 3 * a + b];
    }
    const double* t = translations.data() + 3 * g;
    operations[g].translation = Vec3{t[0], t[1], t[2]};
  }
  return operations;
}

// float32 grid -> float64, energies at the field's ceiling -> inf: nothing moves through an atom.
std::vector<double> widened(const In<float>& values) {
  std::vector<double> out(static_cast<std::size_t>(values.size()));
  const float* p = values.data();
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = p[i] >= 0.999f * static_cast<float>(BvseField::kMaxEnergy) ? std::numeric_limits<double>::infinity()
                                                                       : static_cast<double>(p[i]);
  }
  return out;
}

GridView view_of(const In<double>& values) {
  check_shape(values, "values", {-1, -1, -1});
  return {values.data(),
          {static_cast<std::int32_t>(values.shape(0)), static_cast<std::int32_t>(values.shape(1)),
           static_cast<std::int32_t>(values.shape(2))}};
}

py::tuple to_tuple(const Int3& v) { return py::make_tuple(v.x, v.y, v.z); }

py::dict level_to_dict(const PercolationLevel& level, const GridView& grid) {
  py::dict out;
  out["energy"] = level.energy;
  if (level.voxel < 0) return out;
  out["voxel"] = to_tuple(grid.unravel(level.voxel));
  out["minimum_voxel"] = to_tuple(grid.unravel(level.minimum_voxel));
  out["minimum"] = grid.at(level.minimum_voxel);
  out["basins"] = level.basins;
  py::list rows;
  for (int k = 0; k < 3; ++k)
    if (level.translations.has_row(k)) rows.append(to_tuple(level.translations.row(k)));
  out["translations"] = rows;
  return out;
}

py::dict percolate_grid(const In<double>& values, int connectivity) {
  const GridView grid = view_of(values);
  GridPercolation result;
  {
    py::gil_scoped_release release;
    GridLandscape landscape(grid, connectivity);
    result = percolate(landscape);
  }
  py::dict out;
  out["minimum_voxel"] = to_tuple(grid.unravel(result.minimum_voxel));
  out["minimum"] = grid.at(result.minimum_voxel);
  py::list levels;
  for (const PercolationLevel& level : result.levels) levels.append(level_to_dict(level, grid));
  out["levels"] = levels;
  return out;
}

py::tuple to_tuple(const Vec3& v) { return py::make_tuple(v.x, v.y, v.z); }

py::dict level_to_dict(const RefinedLevel& level) {
  py::dict out;
  out["energy"] = level.energy;
  if (!std::isfinite(level.energy)) return out;
  out["grid_energy"] = level.grid_energy;
  out["saddle_frac"] = to_tuple(level.saddle);
  out["stationary"] = level.stationary;
  out["minimum"] = level.minimum_energy;
  out["minimum_frac"] = to_tuple(level.minimum);
  py::list rows;
  for (int k = 0; k < 3; ++k)
    if (level.translations.has_row(k)) rows.append(to_tuple(level.translations.row(k)));
  out["translations"] = rows;
  return out;
}

py::dict refine(const In<float>& values, const BvseField& field, const In<std::int32_t>& rotations,
                const In<double>& translations, int connectivity, double margin, double margin_slope) {
  check_shape(values, "values", {-1, -1, -1});
  const std::vector<FractionalOperation> operations = operations_of(rotations, translations);
  const Int3 shape{static_cast<std::int32_t>(values.shape(0)), static_cast<std::int32_t>(values.shape(1)),
                   static_cast<std::int32_t>(values.shape(2))};
  RefinedPercolation result;
  {
    py::gil_scoped_release release;
    const std::vector<double> energies = widened(values);
    GridLandscape landscape({energies.data(), shape}, connectivity);
    const GridPercolation grid = percolate(landscape);
    RefineOptions options;
    options.margin = margin;
    options.margin_slope = margin_slope;
    const BvseEnergy energy(field);
    result = refine_percolation(landscape, grid, energy, operations, options);
  }
  py::dict out;
  out["minimum"] = result.minimum_energy;
  out["minimum_frac"] = to_tuple(result.minimum);
  out["polished"] = result.polished;
  out["strings"] = result.strings;
  out["rounds"] = result.rounds;
  out["settled"] = result.settled;
  py::list levels;
  for (const RefinedLevel& level : result.levels) levels.append(level_to_dict(level));
  out["levels"] = levels;
  return out;
}

}  // namespace

void bind_percolation(py::module_& m) {
  m.def("refine_percolation", &refine, py::arg("values").noconvert(), py::arg("field"),
        py::arg("rotations").noconvert(), py::arg("translations").noconvert(), py::arg("connectivity") = 26,
        py::arg("margin") = RefineOptions{}.margin, py::arg("margin_slope") = RefineOptions{}.margin_slope,
        "Percolation levels of the continuous field, seeded by its float32 grid.");
  m.def("percolate_grid", &percolate_grid, py::arg("values").noconvert(), py::arg("connectivity") = 26,
        "Energies at which the set below percolates in 1, 2, 3 dimensions: dict(minimum, minimum_voxel, "
        "levels); each "
        "level holds energy, voxel, minimum, minimum_voxel, basins, translations (rows, in cells).");
}

}  // namespace fastin::bind
