// Percolation barriers, refinement, merge tree of an energy grid.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace fastin::bind {

void bind_percolation(py::module_& m) { (void)m; }

}  // namespace fastin::bind
