// Percolation barriers, refinement, merge tree of an energy grid.
#include <pybind11/pybind11.h>

#include "fastin/grid_percolation.hpp"
#include "numpy.hpp"

namespace py = pybind11;

namespace fastin::bind {
namespace {

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

}  // namespace

void bind_percolation(py::module_& m) {
  m.def("percolate_grid", &percolate_grid, py::arg("values").noconvert(), py::arg("connectivity") = 26,
        "Energies at which the set below percolates in 1, 2, 3 dimensions: dict(minimum, minimum_voxel, "
        "levels); each "
        "level holds energy, voxel, minimum, minimum_voxel, basins, translations (rows, in cells).");
}

}  // namespace fastin::bind
