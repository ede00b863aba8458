// Threads and instruction set, for fastin.show_config() and the thread policy; statistics of small arrays.
#include <pybind11/pybind11.h>

#include "fastin/base/parallel.hpp"
#include "fastin/base/simd.hpp"
#include "fastin/base/statistics.hpp"
#include "fastin/base/trees.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {
namespace {

py::tuple spread(const In<double>& values) {
  const Spread s = spread_of(to_vector(values, "values"));
  return py::make_tuple(s.mean, s.deviation, s.least, s.median, s.most);
}

py::array_t<double> leaf_sums(const In<std::int32_t>& nodes, const In<std::int32_t>& roots,
                              const In<std::int32_t>& member, const In<float>& rows, std::size_t members) {
  check_shape(nodes, "nodes", {-1, 4});
  check_shape(roots, "roots", {-1});
  check_shape(member, "member", {roots.shape(0)});
  check_shape(rows, "rows", {-1, -1});
  const Trees trees{reinterpret_cast<const TreeNode*>(nodes.data()), static_cast<std::size_t>(nodes.shape(0)),
                    roots.data(), member.data(), static_cast<std::size_t>(roots.size())};
  const float* x = rows.data();
  const auto count = static_cast<std::size_t>(rows.shape(0)),
             columns = static_cast<std::size_t>(rows.shape(1));
  std::vector<double> sums(members * count, 0.0);
  {
    const Computing computing;
    add_leaves(trees, x, count, columns, sums.data(), members);
  }
  return adopt<double>(std::move(sums), {static_cast<py::ssize_t>(members), rows.shape(0)});
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.def("simd_level", &simd_level, "Instruction set level that the kernels run at on this machine.");
  m.def("max_threads", &max_threads,
        "Threads that the OpenMP runtime would use by default (1 without OpenMP).");
  m.def("spread", &spread, py::arg("values").noconvert(),
        "Mean, standard deviation (over n), smallest, median and largest of (n,) numbers; NaN for none.");
  m.def(
      "leaf_sums", &leaf_sums, py::arg("nodes").noconvert(), py::arg("roots").noconvert(),
      py::arg("member").noconvert(), py::arg("rows").noconvert(), py::arg("members"),
      "(members, n) sums of the leaves that the rows (n, columns) reach in the members' trees; nodes (N, 4) "
      "hold feature (-1: leaf), bits of the threshold or value, left and right child.");
#ifdef FASTIN_USE_OPENMP
  m.attr("has_openmp") = true;
#else
  m.attr("has_openmp") = false;
#endif
}

}  // namespace fastin::bind
