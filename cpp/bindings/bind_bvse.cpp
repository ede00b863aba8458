// Bond valence site energy: grid, energy and derivatives at points.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace fastin::bind {

void bind_bvse(py::module_& m) { (void)m; }

}  // namespace fastin::bind
