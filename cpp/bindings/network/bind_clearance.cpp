// Additively weighted clearance: exact free spheres.
#include "fastin/network/clearance.hpp"

#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {

namespace {

py::dict free_spheres(const In<double>& cell, const In<double>& frac, const In<double>& radius,
                      int num_threads) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> centres = to_vec3s(frac, "frac");
  const std::vector<double> radii = to_vector(radius, "radius");
  ExactFreeSpheres r;
  {
    const Computing computing;
    r = exact_free_spheres(lattice, centres, radii, num_threads);
  }
  const auto num_saddles = static_cast<py::ssize_t>(r.saddle_frac.size());
  const auto num_voids = static_cast<py::ssize_t>(r.void_frac.size());
  const auto num_links = static_cast<py::ssize_t>(r.link.size());
  py::dict out;
  out["axis"] = adopt(std::vector<double>(r.axis.begin(), r.axis.end()));
  out["rank"] = adopt(std::vector<double>(r.rank.begin(), r.rank.end()));
  out["largest"] = r.largest;
  out["saddle_frac"] = adopt<double>(std::move(r.saddle_frac), {num_saddles, 3});
  out["saddle_radius"] = adopt(std::move(r.saddle_radius));
  out["void_frac"] = adopt<double>(std::move(r.void_frac), {num_voids, 3});
  out["void_radius"] = adopt(std::move(r.void_radius));
  out["link"] = adopt<std::int32_t>(std::move(r.link), {num_links, 2});
  out["link_image"] = adopt<std::int32_t>(std::move(r.link_image), {num_links, 3});
  out["link_radius"] = adopt(std::move(r.link_radius));
  return out;
}

py::array_t<double> clearance(const In<double>& cell, const In<double>& frac, const In<double>& radius,
                              const In<double>& points, int num_threads) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> centres = to_vec3s(frac, "frac");
  const std::vector<double> radii = to_vector(radius, "radius");
  const std::vector<Vec3> where = to_vec3s(points, "points");
  std::vector<double> values;
  {
    const Computing computing;
    values = clearance_at(lattice, centres, radii, where, num_threads);
  }
  return adopt(std::move(values));
}

}  // namespace

void bind_clearance(py::module_& m) {
  m.def("exact_free_spheres", &free_spheres, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("radius").noconvert(), py::arg("num_threads"));
  m.def("clearance_at", &clearance, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("radius").noconvert(), py::arg("points").noconvert(), py::arg("num_threads"));
}

}  // namespace fastin::bind
