// Threads and instruction set, for fastin.show_config() and the thread policy; statistics of small arrays.
#include <pybind11/pybind11.h>

#include "fastin/base/parallel.hpp"
#include "fastin/base/simd.hpp"
#include "fastin/base/statistics.hpp"
#include "numpy.hpp"

namespace fastin::bind {
namespace {

py::tuple spread(const In<double>& values) {
  const Spread s = spread_of(to_vector(values, "values"));
  return py::make_tuple(s.mean, s.deviation, s.least, s.median, s.most);
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.def("simd_level", &simd_level, "Instruction set level that the kernels run at on this machine.");
  m.def("max_threads", &max_threads,
        "Threads that the OpenMP runtime would use by default (1 without OpenMP).");
  m.def("spread", &spread, py::arg("values").noconvert(),
        "Mean, standard deviation (over n), smallest, median and largest of (n,) numbers; NaN for none.");
#ifdef FASTIN_USE_OPENMP
  m.attr("has_openmp") = true;
#else
  m.attr("has_openmp") = false;
#endif
}

}  // namespace fastin::bind
