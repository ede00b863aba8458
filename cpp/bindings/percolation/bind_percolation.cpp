// Percolation barriers, refinement, merge tree of an energy grid.
#include <pybind11/pybind11.h>

#include <cmath>

#include "fastin/bvse/bvse.hpp"
#include "fastin/bvse/bvse_energy.hpp"
#include "fastin/percolation/grid_percolation.hpp"
#include "fastin/percolation/merge_tree.hpp"
#include "fastin/percolation/percolation_path.hpp"
#include "fastin/percolation/refine.hpp"
#include "fastin/percolation/sharpen.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace py = pybind11;

namespace fastin::bind {
namespace {

std::vector<FractionalOperation> operations_of(const In<std::int32_t>& rotations,
                                               const In<double>& translations) {
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

template <class T>
Int3 shape_of(const In<T>& values) {
  check_shape(values, "values", {-1, -1, -1});
  return {static_cast<std::int32_t>(values.shape(0)), static_cast<std::int32_t>(values.shape(1)),
          static_cast<std::int32_t>(values.shape(2))};
}

GridView view_of(const In<double>& values) { return {values.data(), shape_of(values)}; }

// Energies at the field's ceiling are infinite: nothing moves through an atom.
GridView view_of(const In<float>& values) {
  return {values.data(), shape_of(values), 0.999f * static_cast<float>(BvseField::kMaxEnergy)};
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

// Adds path_frac, path_energy, path_translation.
void add_path(py::dict& level, PercolationPath& path) {
  if (path.points.empty()) return;
  std::vector<Vec3> frac;
  std::vector<double> energy;
  for (const PathPoint& p : path.points) {
    frac.push_back(p.frac);
    energy.push_back(p.energy);
  }
  const auto n = static_cast<py::ssize_t>(frac.size());
  level["path_frac"] = adopt<double>(std::move(frac), {n, 3});
  // Writable: the caller measures the energies from its zero.
  py::array_t<double> energies(n);
  std::copy(energy.begin(), energy.end(), energies.mutable_data());
  level["path_energy"] = energies;
  level["path_translation"] = adopt<std::int32_t>(std::vector<Int3>{path.translation}, {3});
}

py::dict percolate_view(const GridView& grid, int connectivity, bool paths, int num_threads) {
  GridPercolation result;
  std::array<PercolationPath, 3> traced;
  {
    const Computing computing;
    GridLandscape landscape(grid, connectivity, num_threads);
    result = percolate(landscape);
    for (int d = 0; paths && d < 3; ++d) {
      const double top = result.levels[static_cast<std::size_t>(d)].energy;
      if (!std::isfinite(top)) break;
      traced[static_cast<std::size_t>(d)] =
          trace_path(landscape, grid_connections(landscape, top), d + 1, nullptr, nullptr);
    }
  }
  py::dict out;
  out["minimum_voxel"] = to_tuple(grid.unravel(result.minimum_voxel));
  out["minimum"] = grid.at(result.minimum_voxel);
  py::list levels;
  for (std::size_t d = 0; d < 3; ++d) {
    py::dict level = level_to_dict(result.levels[d], grid);
    add_path(level, traced[d]);
    levels.append(level);
  }
  out["levels"] = levels;
  return out;
}

template <class T>
py::dict percolate_grid(const In<T>& values, int connectivity, bool paths, int num_threads) {
  return percolate_view(view_of(values), connectivity, paths, num_threads);
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

// The percolation of a grid refined on its field, with what the refinement worked on: paths and the merge
// tree go on from there. Order of the members: each refers to those above it.
struct Refinement {
  // `split`, unless null: the field's energies for the search, cheaper; the levels are made exact at its end.
  Refinement(const GridView& grid, const BvseField& field, const BvseSplit* split,
             std::vector<FractionalOperation> symmetry, int connectivity, const RefineOptions& refine,
             int num_threads)
      : operations(std::move(symmetry)),
        options(refine),
        landscape(grid, connectivity, num_threads),
        exact(field),
        approximate(split == nullptr ? nullptr : std::make_unique<SplitEnergy>(*split)),
        polisher(landscape, energy(), operations, options),
        refined(refine_percolation(landscape, percolate(landscape), polisher, options)) {
    if (approximate != nullptr) sharpen(exact, options.search, &refined);
  }
  const EnergyField& energy() const {
    return approximate != nullptr ? *approximate : static_cast<const EnergyField&>(exact);
  }

  std::vector<FractionalOperation> operations;
  RefineOptions options;
  GridLandscape landscape;
  BvseEnergy exact;
  std::unique_ptr<SplitEnergy> approximate;
  Polisher polisher;
  RefinedPercolation refined;
};

RefineOptions options_of(double margin, double margin_slope) {
  RefineOptions options;
  options.margin = margin;
  options.margin_slope = margin_slope;
  return options;
}

py::dict refine(const In<float>& values, const BvseField& field, const BvseSplit* split,
                const In<std::int32_t>& rotations, const In<double>& translations, int connectivity,
                double margin, double margin_slope, bool paths, int num_threads) {
  const GridView grid = view_of(values);
  const std::vector<FractionalOperation> operations = operations_of(rotations, translations);
  RefinedPercolation result;
  std::array<PercolationPath, 3> traced;
  {
    const Computing computing;
    Refinement run(grid, field, split, operations, connectivity, options_of(margin, margin_slope),
                   num_threads);
    result = run.refined;
    for (int d = 0; paths && d < 3; ++d) {
      if (!std::isfinite(result.levels[static_cast<std::size_t>(d)].energy)) break;
      traced[static_cast<std::size_t>(d)] =
          trace_path(run.landscape, result.connections, d + 1, &run.energy(), &run.polisher,
                     split == nullptr ? nullptr : &run.exact);
    }
  }
  py::dict out;
  out["minimum"] = result.minimum_energy;
  out["minimum_frac"] = to_tuple(result.minimum);
  out["polished"] = result.polished;
  out["strings"] = result.strings;
  out["rounds"] = result.rounds;
  out["settled"] = result.settled;
  out["evaluations"] = result.evaluations;
  py::list levels;
  for (std::size_t d = 0; d < 3; ++d) {
    py::dict level = level_to_dict(result.levels[d]);
    add_path(level, traced[d]);
    levels.append(level);
  }
  out["levels"] = levels;
  return out;
}

py::dict network_to_dict(SaddleNetwork& network) {
  const std::size_t sites = network.sites.size(), hops = network.hops.size();
  std::vector<Vec3> frac(sites), saddle(hops);
  std::vector<double> energy(sites), volume(sites), merge_energy(sites), hop_energy(hops);
  std::vector<std::int64_t> orbit(sites), index(2 * hops), hop_orbit(hops);
  std::vector<Int3> image(hops);
  std::vector<std::uint8_t> stationary(hops);
  for (std::size_t i = 0; i < sites; ++i) {
    const LandscapeSite& s = network.sites[i];
    frac[i] = s.frac;
    energy[i] = s.energy;
    volume[i] = s.volume;
    merge_energy[i] = s.merge_energy;
    orbit[i] = s.orbit;
  }
  for (std::size_t i = 0; i < hops; ++i) {
    const LandscapeHop& h = network.hops[i];
    index[i] = h.a;
    index[hops + i] = h.b;
    image[i] = h.image;
    saddle[i] = h.saddle;
    hop_energy[i] = h.energy;
    hop_orbit[i] = h.orbit;
    stationary[i] = h.stationary ? 1 : 0;
  }
  const auto ns = static_cast<py::ssize_t>(sites), nh = static_cast<py::ssize_t>(hops);
  py::dict out;
  out["cutoff"] = network.cutoff;
  out["levels"] = adopt<double>(std::vector<double>(network.levels.begin(), network.levels.end()));
  out["site_frac"] = adopt<double>(std::move(frac), {ns, 3});
  out["site_energy"] = adopt<double>(std::move(energy));
  out["site_volume"] = adopt<double>(std::move(volume));
  out["site_merge_energy"] = adopt<double>(std::move(merge_energy));
  out["site_orbit"] = adopt<std::int64_t>(std::move(orbit));
  out["edge_index"] = adopt<std::int64_t>(std::move(index), {2, nh});
  out["edge_image"] = adopt<std::int32_t>(std::move(image), {nh, 3});
  out["edge_saddle_frac"] = adopt<double>(std::move(saddle), {nh, 3});
  out["edge_energy"] = adopt<double>(std::move(hop_energy));
  out["edge_orbit"] = adopt<std::int64_t>(std::move(hop_orbit));
  out["edge_stationary"] = adopt<std::uint8_t>(std::move(stationary)).attr("astype")("bool");
  return out;
}

// Sites and saddles up to `cutoff`; nan: up to the highest level at which the ion percolates.
py::dict landscape_network(const In<float>& values, const BvseField& field, const In<std::int32_t>& rotations,
                           const In<double>& translations, int connectivity, double margin,
                           double margin_slope, double cutoff, int num_threads) {
  const GridView grid = view_of(values);
  const std::vector<FractionalOperation> operations = operations_of(rotations, translations);
  SaddleNetwork network;
  {
    const Computing computing;
    Refinement run(grid, field, nullptr, operations, connectivity, options_of(margin, margin_slope),
                   num_threads);
    if (std::isnan(cutoff)) {
      cutoff = run.refined.minimum_energy;
      for (const RefinedLevel& level : run.refined.levels) {
        if (std::isfinite(level.energy)) cutoff = level.energy + kLevelTie;
      }
    }
    network = saddle_network(run.landscape, run.polisher, run.energy(), run.operations, run.options,
                             run.refined.connections, cutoff);
  }
  return network_to_dict(network);
}

}  // namespace

void bind_percolation(py::module_& m) {
  m.def("landscape_network", &landscape_network, py::arg("values").noconvert(), py::arg("field"),
        py::arg("rotations").noconvert(), py::arg("translations").noconvert(), py::arg("connectivity"),
        py::arg("margin"), py::arg("margin_slope"), py::arg("cutoff"), py::arg("num_threads") = 1,
        "Minima and saddles of the field up to an absolute energy (nan: the highest percolation level).");
  m.def("refine_percolation", &refine, py::arg("values").noconvert(), py::arg("field"),
        py::arg("split").none(true), py::arg("rotations").noconvert(), py::arg("translations").noconvert(),
        py::arg("connectivity") = 26, py::arg("margin") = RefineOptions{}.margin,
        py::arg("margin_slope") = RefineOptions{}.margin_slope, py::arg("paths") = false,
        py::arg("num_threads") = 1,
        "Percolation levels of the continuous field, seeded by its float32 grid.");
  m.def("percolate_grid", &percolate_grid<double>, py::arg("values").noconvert(),
        py::arg("connectivity") = 26, py::arg("paths") = false, py::arg("num_threads") = 1,
        "Energies at which the set below percolates in 1, 2, 3 dimensions: dict(minimum, minimum_voxel, "
        "levels); each "
        "level holds energy, voxel, minimum, minimum_voxel, basins, translations (rows, in cells).");
  m.def("percolate_grid", &percolate_grid<float>, py::arg("values").noconvert(), py::arg("connectivity") = 26,
        py::arg("paths") = false, py::arg("num_threads") = 1,
        "The same on a float32 grid of bond valence energies; points at the field's ceiling are never "
        "entered.");
}

}  // namespace fastin::bind
