// The extension module: exception table and one bind_*() a subject.
#include <pybind11/pybind11.h>

#include <new>
#include <stdexcept>

#include "fastin/base/error.hpp"

namespace py = pybind11;

namespace fastin::bind {
void bind_runtime(py::module_& m);
void bind_tessellation(py::module_& m);
void bind_clearance(py::module_& m);
void bind_network(py::module_& m);
void bind_bvse(py::module_& m);
void bind_valence(py::module_& m);
void bind_percolation(py::module_& m);
void bind_walks(py::module_& m);
void bind_transport(py::module_& m);
void bind_lattice_gas(py::module_& m);
void bind_ordering(py::module_& m);
void bind_graph(py::module_& m);
void bind_pooled_gcn(py::module_& m);
void bind_xrd(py::module_& m);
void bind_coordination(py::module_& m);
}  // namespace fastin::bind

namespace {

// Raises the Python class of that name from fastin.errors with the exception's message.
void raise_as(const char* name, const std::exception& error) {
  const py::object cls = py::module_::import("fastin.errors").attr(name);
  PyErr_SetString(cls.ptr(), error.what());
}

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "C++ core of fastin: arrays in, arrays out; use the functions of the fastin package instead.";
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const fastin::InvalidInput& e) {
      raise_as("InputError", e);
    } catch (const fastin::DegenerateGeometry& e) {
      raise_as("GeometryError", e);
    } catch (const fastin::NoConvergence& e) {
      raise_as("ConvergenceError", e);
    } catch (const fastin::TooLarge& e) {
      raise_as("ResourceError", e);
    } catch (const std::bad_alloc&) {
      raise_as("ResourceError", std::runtime_error("the computation ran out of memory"));
    } catch (const std::length_error&) {  // a vector longer than any memory
      raise_as("ResourceError", std::runtime_error("the computation would need more memory than can exist"));
    }
  });
  fastin::bind::bind_runtime(m);
  fastin::bind::bind_tessellation(m);
  fastin::bind::bind_clearance(m);
  fastin::bind::bind_network(m);
  fastin::bind::bind_bvse(m);
  fastin::bind::bind_valence(m);
  fastin::bind::bind_percolation(m);
  fastin::bind::bind_walks(m);
  fastin::bind::bind_transport(m);
  fastin::bind::bind_lattice_gas(m);
  fastin::bind::bind_ordering(m);
  fastin::bind::bind_graph(m);
  fastin::bind::bind_pooled_gcn(m);
  fastin::bind::bind_xrd(m);
  fastin::bind::bind_coordination(m);
}
