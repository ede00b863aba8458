// Periodic power diagram.
#include <pybind11/pybind11.h>

#include "fastin/tessellation/tessellation.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {
namespace {

py::dict tessellate_arrays(const In<double>& cell, const In<double>& frac, const In<double>& radius,
                           bool faces, double merge_tolerance, int num_threads) {
  const Mat3 rows = to_mat3(cell, "cell");
  const std::vector<Vec3> positions = to_vec3s(frac, "frac");
  const std::vector<double> radii = to_vector(radius, "radius");
  Tessellation t;
  {
    const Computing computing;
    t = tessellate(Lattice(rows), positions, radii, {faces, merge_tolerance, num_threads});
  }
  const auto v = static_cast<py::ssize_t>(t.vertex_frac.size()),
             e = static_cast<py::ssize_t>(t.edge_i.size());
  const auto g = static_cast<py::ssize_t>(t.generator.size()), o = static_cast<py::ssize_t>(t.owner.size());
  py::dict out;
  out["vertex_frac"] = adopt<double>(std::move(t.vertex_frac), {v, 3});
  out["vertex_power"] = adopt(std::move(t.vertex_power));
  out["generator_start"] = adopt(std::move(t.generator_start));
  out["generator"] = adopt<std::int32_t>(std::move(t.generator), {g, 4});
  out["edge_i"] = adopt(std::move(t.edge_i));
  out["edge_j"] = adopt(std::move(t.edge_j));
  out["edge_image"] = adopt<std::int32_t>(std::move(t.edge_image), {e, 3});
  out["owner_start"] = adopt(std::move(t.owner_start));
  out["owner"] = adopt<std::int32_t>(std::move(t.owner), {o, 4});
  out["cell_volume"] = adopt(std::move(t.cell_volume));
  if (faces) {
    const auto f = static_cast<py::ssize_t>(t.faces.first.size()),
               l = static_cast<py::ssize_t>(t.faces.loop.size());
    out["face_first"] = adopt(std::move(t.faces.first));
    out["face_second"] = adopt<std::int32_t>(std::move(t.faces.second), {f, 4});
    out["face_start"] = adopt(std::move(t.faces.start));
    out["face_loop"] = adopt<std::int32_t>(std::move(t.faces.loop), {l, 4});
  }
  return out;
}

py::array_t<double> face_centres_of(const In<double>& cell, const In<double>& frac,
                                    const In<double>& radius) {
  const Mat3 rows = to_mat3(cell, "cell");
  const std::vector<Vec3> positions = to_vec3s(frac, "frac");
  const std::vector<double> radii = to_vector(radius, "radius");
  std::vector<Vec3> centres;
  {
    const Computing computing;
    centres = face_centres(tessellate(Lattice(rows), positions, radii, {true, kMergeTolerance}));
  }
  const auto n = static_cast<py::ssize_t>(centres.size());
  return adopt<double>(std::move(centres), {n, 3});
}

py::dict certify_arrays(const In<double>& cell, const In<double>& frac, const In<double>& radius,
                        double merge_tolerance) {
  const Mat3 rows = to_mat3(cell, "cell");
  const std::vector<Vec3> positions = to_vec3s(frac, "frac");
  const std::vector<double> radii = to_vector(radius, "radius");
  Certificate c;
  std::size_t vertices, edges, faces;
  {
    const Computing computing;
    const Lattice lattice(rows);
    const Tessellation t = tessellate(lattice, positions, radii, {true, merge_tolerance});
    c = certify(t, lattice, positions, radii);
    vertices = t.vertex_frac.size();
    edges = t.edge_i.size();
    faces = t.faces.first.size();
  }
  py::dict out;
  out["vertices"] = vertices;
  out["edges"] = edges;
  out["faces"] = faces;
  out["volume_error"] = c.volume_error;
  out["euler"] = c.euler;
  out["power_error"] = c.power_error;
  out["empty_error"] = c.empty_error;
  out["foreign_owners"] = c.foreign_owners;
  return out;
}

}  // namespace

void bind_tessellation(py::module_& m) {
  m.def("tessellate", &tessellate_arrays, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("radius").noconvert(), py::kw_only(), py::arg("faces") = false,
        py::arg("merge_tolerance") = kMergeTolerance, py::arg("num_threads") = 1,
        "Periodic power diagram of spheres: vertices with generators, edges with owners, cell volumes.");
  m.def("face_centres", &face_centres_of, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("radius").noconvert(),
        "Centres of the faces of the power diagram of spheres, (n, 3) fractional in [0, 1).");
  m.def(
      "certify_tessellation", &certify_arrays, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
      py::arg("radius").noconvert(), py::kw_only(), py::arg("merge_tolerance") = kMergeTolerance,
      "Certificates of the power diagram of spheres: volumes, Euler characteristic, powers at the vertices.");
}

}  // namespace fastin::bind
