// Periodic power diagram.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace fastin::bind {

void bind_tessellation(py::module_& m) { (void)m; }

}  // namespace fastin::bind
