// Sites, bottlenecks, orbits, percolation of the interstitial network.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace fastin::bind {

void bind_network(py::module_& m) { (void)m; }

}  // namespace fastin::bind
