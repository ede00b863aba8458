// Sites, bottlenecks, orbits, percolation of the interstitial network.
#include <pybind11/pybind11.h>

#include <string>

#include "fastin/geometry/symmetry_orbits.hpp"
#include "fastin/network/network.hpp"
#include "fastin/network/percolation.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {
namespace {

std::vector<SymmetryOperation> to_operations(const In<std::int32_t>& rotations,
                                             const In<double>& translations) {
  check_shape(rotations, "rotations", {-1, 3, 3});
  check_shape(translations, "translations", {rotations.shape(0), 3});
  std::vector<SymmetryOperation> out(static_cast<std::size_t>(rotations.shape(0)));
  const std::int32_t* r = rotations.data();
  const double* t = translations.data();
  for (SymmetryOperation& op : out) {
    for (Int3& row : op.rotation) {
      row = {r[0], r[1], r[2]};
      r += 3;
    }
    op.translation = {t[0], t[1], t[2]};
    t += 3;
  }
  return out;
}

py::tuple to_tuple(const std::array<double, 3>& a) { return py::make_tuple(a[0], a[1], a[2]); }

py::dict network_arrays(const In<double>& cell, const In<double>& frac, const In<double>& radius,
                        const In<std::int32_t>& rotations, const In<double>& translations, bool generators,
                        bool face_centers, bool use_symmetry, int num_threads) {
  const Mat3 rows = to_mat3(cell, "cell");
  const std::vector<Vec3> positions = to_vec3s(frac, "frac");
  const std::vector<double> radii = to_vector(radius, "radius");
  NetworkOptions options;
  options.operations = to_operations(rotations, translations);
  options.clearance = generators ? Clearance::kGenerators : Clearance::kAllAtoms;
  options.face_centers = face_centers;
  options.use_symmetry = use_symmetry;
  options.num_threads = num_threads;
  Network n;
  {
    const Computing computing;
    n = build_network(Lattice(rows), positions, radii, options);
  }
  const auto v = static_cast<py::ssize_t>(n.site_frac.size()), e = static_cast<py::ssize_t>(n.edge_i.size());
  py::dict out;
  out["site_frac"] = adopt<double>(std::move(n.site_frac), {v, 3});
  out["site_radius"] = adopt(std::move(n.site_radius));
  out["site_kind"] = adopt(std::move(n.site_kind));
  std::vector<std::int64_t> index;
  index.reserve(2 * n.edge_i.size());
  for (auto* ends : {&n.edge_i, &n.edge_j}) {
    index.insert(index.end(), ends->begin(), ends->end());
    std::vector<std::int32_t>().swap(*ends);
  }
  out["edge_index"] = adopt<std::int64_t>(std::move(index), {2, e});
  out["edge_image"] = adopt<std::int32_t>(std::move(n.edge_image), {e, 3});
  out["edge_length"] = adopt(std::move(n.edge_length));
  out["edge_bottleneck_frac"] = adopt<double>(std::move(n.edge_bottleneck_frac), {e, 3});
  out["edge_bottleneck_radius"] = adopt(std::move(n.edge_bottleneck_radius));
  out["site_orbit"] = adopt(std::move(n.site_orbit));
  out["edge_orbit"] = adopt(std::move(n.edge_orbit));
  out["cell_volume"] = adopt(std::move(n.cell_volume));
  out["free_sphere_radii"] = to_tuple(n.free.axis);
  out["percolation_radii"] = to_tuple(n.free.rank);
  out["included_sphere_radii"] = to_tuple(n.free.included);
  out["symmetry_used"] = n.symmetry_used;
  return out;
}

// View of the arrays that percolation reads; `ends` holds the narrowed site numbers.
NetworkView borrow(const In<double>& site_radius, const In<std::int64_t>& edge_index,
                   const In<std::int32_t>& edge_image, const In<double>& edge_radius,
                   std::vector<std::int32_t>* ends) {
  check_shape(site_radius, "site_radius", {-1});
  const py::ssize_t e = edge_radius.size();
  check_shape(edge_radius, "edge_radius", {-1});
  check_shape(edge_index, "edge_index", {2, e});
  check_shape(edge_image, "edge_image", {e, 3});
  const std::int64_t sites = site_radius.size();
  ends->reserve(static_cast<std::size_t>(2 * e));
  for (py::ssize_t k = 0; k < 2 * e; ++k) {
    const std::int64_t s = edge_index.data()[k];
    if (s < 0 || s >= sites)
      throw InvalidInput("edge_index names site " + std::to_string(s) + " of " + std::to_string(sites));
    ends->push_back(static_cast<std::int32_t>(s));
  }
  return {static_cast<std::size_t>(sites),
          site_radius.data(),
          static_cast<std::size_t>(e),
          ends->data(),
          ends->data() + e,
          reinterpret_cast<const Int3*>(edge_image.data()),
          edge_radius.data()};
}

py::dict free_spheres_of(const In<double>& site_radius, const In<std::int64_t>& edge_index,
                         const In<std::int32_t>& edge_image, const In<double>& edge_radius) {
  std::vector<std::int32_t> ends;
  const NetworkView view = borrow(site_radius, edge_index, edge_image, edge_radius, &ends);
  FreeSpheres found;
  {
    const Computing computing;
    found = free_spheres(view);
  }
  py::dict out;
  out["axis"] = to_tuple(found.axis);
  out["rank"] = to_tuple(found.rank);
  out["included"] = to_tuple(found.included);
  return out;
}

py::tuple channels_of(const In<double>& site_radius, const In<std::int64_t>& edge_index,
                      const In<std::int32_t>& edge_image, const In<double>& edge_radius,
                      double probe_radius) {
  std::vector<std::int32_t> ends;
  const NetworkView view = borrow(site_radius, edge_index, edge_image, edge_radius, &ends);
  ChannelSet c;
  {
    const Computing computing;
    c = find_channels(view, probe_radius);
  }
  return py::make_tuple(adopt(std::move(c.dimensionality)), adopt(std::move(c.site_start)),
                        adopt(std::move(c.site)), adopt(std::move(c.edge_start)), adopt(std::move(c.edge)));
}

py::array_t<std::int32_t> orbits_of(const In<double>& cell, const In<double>& frac,
                                    const In<std::int32_t>& rotations, const In<double>& translations,
                                    double tolerance) {
  const Mat3 rows = to_mat3(cell, "cell");
  const std::vector<Vec3> points = to_vec3s(frac, "frac");
  const std::vector<SymmetryOperation> operations = to_operations(rotations, translations);
  std::vector<std::int32_t> label;
  {
    const Computing computing;
    label = point_orbits(Lattice(rows), points, operations, tolerance);
  }
  return adopt(std::move(label));
}

}  // namespace

void bind_network(py::module_& m) {
  m.def("network", &network_arrays, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("radius").noconvert(), py::arg("rotations").noconvert(), py::arg("translations").noconvert(),
        py::kw_only(), py::arg("generators") = false, py::arg("face_centers") = false,
        py::arg("use_symmetry") = true, py::arg("num_threads") = 1,
        "Interstitial network of spheres: sites, edges with bottlenecks, orbits, free-sphere radii.");
  m.def("free_spheres", &free_spheres_of, py::arg("site_radius").noconvert(),
        py::arg("edge_index").noconvert(), py::arg("edge_image").noconvert(),
        py::arg("edge_radius").noconvert(),
        "Widest periodic paths of a network along each axis and in 1, 2, 3 dimensions.");
  m.def("channels", &channels_of, py::arg("site_radius").noconvert(), py::arg("edge_index").noconvert(),
        py::arg("edge_image").noconvert(), py::arg("edge_radius").noconvert(), py::arg("probe_radius"),
        "Percolating components of a network for a probe.");
  m.def("point_orbits", &orbits_of, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("rotations").noconvert(), py::arg("translations").noconvert(),
        py::arg("tolerance") = kOrbitTolerance, "Orbit label of each point under symmetry operations.");
}

}  // namespace fastin::bind
