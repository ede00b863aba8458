// Paths and hop kinetics on the transport network.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace fastin::bind {

void bind_transport(py::module_& m) { (void)m; }

}  // namespace fastin::bind
