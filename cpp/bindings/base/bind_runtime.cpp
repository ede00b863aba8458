// Threads and instruction set, for fastin.show_config() and the thread policy.
#include <pybind11/pybind11.h>

#include "fastin/base/parallel.hpp"
#include "fastin/base/simd.hpp"

namespace py = pybind11;

namespace fastin::bind {

void bind_runtime(py::module_& m) {
  m.def("simd_level", &simd_level, "Instruction set level that the kernels run at on this machine.");
  m.def("max_threads", &max_threads,
        "Threads that the OpenMP runtime would use by default (1 without OpenMP).");
#ifdef FASTIN_USE_OPENMP
  m.attr("has_openmp") = true;
#else
  m.attr("has_openmp") = false;
#endif
}

}  // namespace fastin::bind
