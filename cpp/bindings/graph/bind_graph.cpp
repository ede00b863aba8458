// Local environments and graph arrays.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "fastin/base/parallel.hpp"
#include "fastin/graph/graph.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace py = pybind11;

namespace fastin::bind {

namespace {

py::tuple nearest_atoms_py(const In<double>& cell, const In<double>& atom_frac,
                           const In<std::int32_t>& atom_key, const In<double>& points, std::size_t k,
                           const In<std::int32_t>& skip, int num_threads) {
  const Mat3 cell_rows = to_mat3(cell, "cell");
  std::vector<Vec3> frac = to_vec3s(atom_frac, "atom_frac");
  std::vector<std::int32_t> key = to_vector(atom_key, "atom_key");
  const std::vector<Vec3> where = to_vec3s(points, "points");
  const std::vector<std::int32_t> left_out = to_vector(skip, "skip");
  std::vector<std::int32_t> atom;
  std::vector<Int3> image;
  std::vector<double> distance;
  {
    const Computing computing;
    const NeighbourFinder finder(Lattice(cell_rows), std::move(frac), std::move(key));
    const std::vector<Neighbour> found = nearest_atoms(finder, where, k, left_out, num_threads);
    atom.reserve(found.size());
    image.reserve(found.size());
    distance.reserve(found.size());
    for (const Neighbour& n : found) {
      atom.push_back(n.atom);
      image.push_back(n.image);
      distance.push_back(n.distance);
    }
  }
  const auto rows = static_cast<py::ssize_t>(where.size()), columns = static_cast<py::ssize_t>(k);
  return py::make_tuple(adopt<std::int32_t>(std::move(atom), {rows, columns}),
                        adopt<std::int32_t>(std::move(image), {rows, columns, 3}),
                        adopt<double>(std::move(distance), {rows, columns}));
}

// Many graphs concatenated: site_ptr and edge_ptr (G + 1,) delimit them, `ends` counts sites within its
// graph.
py::tuple critical_elements_py(const In<std::int64_t>& site_ptr, const In<std::int64_t>& edge_ptr,
                               const In<std::int32_t>& ends, const In<std::int32_t>& image,
                               const In<float>& site_energy, const In<float>& edge_energy, int num_threads) {
  check_shape(ends, "ends", {-1, 2});
  check_shape(image, "image", {-1, 3});
  const std::vector<std::int64_t> sites = to_vector(site_ptr, "site_ptr"),
                                  edges = to_vector(edge_ptr, "edge_ptr");
  check_shape(site_energy, "site_energy", {-1});
  check_shape(edge_energy, "edge_energy", {ends.shape(0)});
  if (image.shape(0) != ends.shape(0)) throw InvalidInput("image must have one row an edge");
  if (sites.empty() || edges.size() != sites.size() || sites.front() != 0 || edges.front() != 0 ||
      sites.back() != site_energy.shape(0) || edges.back() != ends.shape(0)) {
    throw InvalidInput(
        "site_ptr and edge_ptr must run from 0 to the number of sites and edges, one entry a graph more");
  }
  const std::size_t graphs = sites.size() - 1;
  const std::int32_t* end = ends.data();
  const auto* shift = reinterpret_cast<const Int3*>(image.data());
  const float *at_site = site_energy.data(), *at_edge = edge_energy.data();
  std::vector<std::int64_t> saddle(3 * graphs), lowest(3 * graphs);
  {
    const Computing computing;
    for (std::size_t g = 0; g < graphs; ++g) {
      if (sites[g + 1] < sites[g] || edges[g + 1] < edges[g])
        throw InvalidInput("site_ptr and edge_ptr must not fall");
      const std::int64_t n = sites[g + 1] - sites[g];
      for (std::int64_t e = 2 * edges[g]; e < 2 * edges[g + 1]; ++e) {
        if (end[e] < 0 || end[e] >= n) {
          throw InvalidInput("edge " + std::to_string(e / 2) + " ends at site " + std::to_string(end[e]) +
                             " of a graph with " + std::to_string(n));
        }
      }
    }
    parallel_for(graphs, num_threads, [&](std::size_t g, int) {
      const std::int64_t s = sites[g], e = edges[g];
      NetworkTopology network;
      network.num_sites = static_cast<std::size_t>(sites[g + 1] - s);
      network.num_edges = static_cast<std::size_t>(edges[g + 1] - e);
      network.ends = end + 2 * e;
      network.image = shift + e;
      const CriticalElements found = critical_elements(network, at_site + s, at_edge + e);
      // Codes become positions in the concatenated arrays.
      const auto global = [&](std::int64_t code) {
        if (code == CriticalElements::kNone) return code;
        return code >= 0 ? code + e : code - s;
      };
      for (std::size_t d = 0; d < 3; ++d) {
        saddle[3 * g + d] = global(found.saddle[d]);
        lowest[3 * g + d] =
            found.lowest[d] == CriticalElements::kNone ? found.lowest[d] : -1 - found.lowest[d] + s;
      }
    });
  }
  const auto rows = static_cast<py::ssize_t>(graphs);
  return py::make_tuple(adopt<std::int64_t>(std::move(saddle), {rows, 3}),
                        adopt<std::int64_t>(std::move(lowest), {rows, 3}));
}

}  // namespace

void bind_graph(py::module_& m) {
  m.def("nearest_atoms", &nearest_atoms_py, py::arg("cell").noconvert(), py::arg("atom_frac").noconvert(),
        py::arg("atom_key").noconvert(), py::arg("points").noconvert(), py::arg("k"),
        py::arg("skip").noconvert(), py::arg("num_threads"),
        "The k nearest atoms of each point over all periodic images: index (P, k), image (P, k, 3), distance "
        "(P, k).");
  m.def("critical_elements", &critical_elements_py, py::arg("site_ptr").noconvert(),
        py::arg("edge_ptr").noconvert(), py::arg("ends").noconvert(), py::arg("image").noconvert(),
        py::arg("site_energy").noconvert(), py::arg("edge_energy").noconvert(), py::arg("num_threads"),
        "Per graph and dimension, the element that sets the percolation level (edge e as e, site s as -1 - "
        "s) and the "
        "lowest site of the percolating component; INT64_MAX where there is none.");
}

}  // namespace fastin::bind
