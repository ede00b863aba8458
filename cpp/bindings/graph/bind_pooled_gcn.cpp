// Convolution, pooling and readout of the graph models. Results are written into the caller's arrays, which
// share their memory with torch's tensors.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "fastin/graph/pooled_gcn.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace py = pybind11;

namespace fastin::bind {

namespace {

using Rows = In<float>;

py::ssize_t count(std::size_t n) { return static_cast<py::ssize_t>(n); }

GcnGraphs make_graphs(const In<std::int32_t>& first, const In<std::int64_t>& source,
                      const In<std::int64_t>& target) {
  check_shape(source, "source", {-1});
  check_shape(target, "target", {source.shape(0)});
  std::vector<std::int32_t> first_node = to_vector(first, "first");
  const std::int64_t *s = source.data(), *t = target.data();
  const auto edges = static_cast<std::size_t>(source.shape(0));
  const Computing computing;
  return GcnGraphs(std::move(first_node), s, t, edges);
}

PoolInput pool_input(const GcnGraphs& graphs, const Rows& y, const std::optional<Rows>& bias,
                     const Rows& weight) {
  check_shape(y, "y", {count(graphs.nodes()), -1});
  check_shape(weight, "weight", {y.shape(1)});
  if (y.shape(1) % count(kGcnLanes) != 0) throw InvalidInput("y must have whole groups of 16 columns");
  if (bias) check_shape(*bias, "bias", {y.shape(1)});
  return {y.data(), bias ? bias->data() : nullptr, weight.data(), static_cast<std::size_t>(y.shape(1))};
}

// parts: (first node of each graph and one more, own columns, neighbours, distances) of every part.
using Part = std::tuple<In<std::int32_t>, Rows, In<std::int64_t>, Rows>;

void input_sums_py(const GcnGraphs& graphs, const std::vector<Part>& parts, bool marked, const Rows& atoms,
                   const Rows& mean, const Rows& deviation, Rows& out, int num_threads) {
  check_shape(atoms, "atoms", {-1, static_cast<py::ssize_t>(kAtomColumns)});
  GcnInput input;
  input.marked = marked;
  input.atoms = atoms.data();
  input.num_atoms = static_cast<std::size_t>(atoms.shape(0));
  if (parts.empty()) throw InvalidInput("parts: none");
  for (const auto& [first, own, neighbour, distance] : parts) {
    check_shape(first, "first", {count(graphs.graphs() + 1)});
    check_shape(own, "own", {first.data()[graphs.graphs()], -1});
    check_shape(neighbour, "neighbour", {own.shape(0), -1});
    check_shape(distance, "distance", {own.shape(0), neighbour.shape(1)});
    const auto columns = static_cast<std::size_t>(own.shape(1)),
               k = static_cast<std::size_t>(neighbour.shape(1));
    if (!input.parts.empty() && (columns != input.own_columns || k != input.k)) {
      throw InvalidInput("parts must have the same columns");
    }
    input.own_columns = columns;
    input.k = k;
    input.parts.push_back({first.data(), own.data(), neighbour.data(), distance.data()});
  }
  const py::ssize_t columns = count(input.columns());
  check_shape(mean, "mean", {columns});
  check_shape(deviation, "deviation", {columns});
  check_shape(out, "out", {count(graphs.nodes()), columns});
  input.mean = mean.data();
  input.deviation = deviation.data();
  float* sums = out.mutable_data();
  const Computing computing;
  gcn_input_sums(graphs, input, sums, num_threads);
}

GcnPooled pool_py(const GcnGraphs& graphs, const Rows& y, const std::optional<Rows>& bias, const Rows& weight,
                  double ratio, Rows& readout, std::optional<Rows>& sums, int num_threads) {
  const PoolInput input = pool_input(graphs, y, bias, weight);
  if (!(ratio > 0.0 && ratio <= 1.0)) throw InvalidInput("ratio must be in (0, 1]");
  check_shape(readout, "readout", {count(graphs.graphs()), 2 * y.shape(1)});
  if (sums) check_shape(*sums, "sums", {pooled_first(graphs, ratio).back(), y.shape(1)});
  float *means = readout.mutable_data(), *next = sums ? sums->mutable_data() : nullptr;
  const Computing computing;
  return gcn_pool(graphs, input, ratio, means, next, num_threads);
}

RowsProduct rows_product(const GcnGraphs& graphs, const Rows& rows, std::size_t terms, const Rows& matrix,
                         const Rows& y) {
  check_shape(rows, "rows", {count(graphs.nodes()), -1});
  check_shape(matrix, "matrix", {count(terms), y.shape(1)});
  if (rows.shape(1) < count(terms)) throw InvalidInput("rows have fewer columns than the matrix has rows");
  return {rows.data(), matrix.data(), static_cast<std::size_t>(rows.shape(1)), terms};
}

GcnPooled block_py(const GcnGraphs& graphs, const Rows& rows, const Rows& matrix, const Rows& bias,
                   const Rows& weight, double ratio, Rows& y, Rows& readout, std::optional<Rows>& sums,
                   int num_threads) {
  const PoolInput input = pool_input(graphs, y, bias, weight);
  check_shape(matrix, "matrix", {-1, y.shape(1)});
  const auto terms = static_cast<std::size_t>(matrix.shape(0));
  const RowsProduct product = rows_product(graphs, rows, terms, matrix, y);
  if (!(ratio > 0.0 && ratio <= 1.0)) throw InvalidInput("ratio must be in (0, 1]");
  check_shape(readout, "readout", {count(graphs.graphs()), 2 * y.shape(1)});
  if (sums) check_shape(*sums, "sums", {pooled_first(graphs, ratio).back(), y.shape(1)});
  float *made = y.mutable_data(), *means = readout.mutable_data();
  float* next = sums ? sums->mutable_data() : nullptr;
  const Computing computing;
  return gcn_block(graphs, product, input, ratio, made, means, next, num_threads);
}

void block_backward_py(const GcnGraphs& graphs, const Rows& rows, const Rows& matrix, const Rows& y,
                       const Rows& bias, const Rows& weight, const GcnPooled& pooled, const Rows& readout,
                       const Rows& of_readout, const std::optional<Rows>& of_sums,
                       std::optional<Rows>& of_rows, Rows& of_matrix, Rows& of_bias, Rows& of_weight,
                       int num_threads) {
  const PoolInput input = pool_input(graphs, y, bias, weight);
  check_shape(matrix, "matrix", {-1, y.shape(1)});
  const auto terms = static_cast<std::size_t>(matrix.shape(0));
  const RowsProduct product = rows_product(graphs, rows, terms, matrix, y);
  if (pooled.graphs.graphs() != graphs.graphs()) throw InvalidInput("pooled: of other graphs");
  check_shape(readout, "readout", {count(graphs.graphs()), 2 * y.shape(1)});
  check_shape(of_readout, "of_readout", {readout.shape(0), readout.shape(1)});
  if (of_sums) check_shape(*of_sums, "of_sums", {count(pooled.kept.size()), y.shape(1)});
  if (of_rows) check_shape(*of_rows, "of_rows", {count(graphs.nodes()), matrix.shape(0)});
  if (of_rows && terms % kGcnLanes != 0) throw InvalidInput("rows must have whole groups of 16 columns");
  check_shape(of_matrix, "of_matrix", {matrix.shape(0), matrix.shape(1)});
  check_shape(of_bias, "of_bias", {y.shape(1)});
  check_shape(of_weight, "of_weight", {y.shape(1)});
  const float *top = readout.data(), *from = of_readout.data(), *next = of_sums ? of_sums->data() : nullptr;
  float *r = of_rows ? of_rows->mutable_data() : nullptr, *m = of_matrix.mutable_data();
  float *b = of_bias.mutable_data(), *w = of_weight.mutable_data();
  const Computing computing;
  gcn_block_backward(graphs, product, input, pooled, top, from, next, r, m, b, w, num_threads);
}

void backward_py(const GcnGraphs& graphs, const Rows& y, const std::optional<Rows>& bias, const Rows& weight,
                 const GcnPooled& pooled, const Rows& readout, const Rows& of_readout,
                 const std::optional<Rows>& of_sums, Rows& of_y, Rows& of_bias, Rows& of_weight,
                 int num_threads) {
  const PoolInput input = pool_input(graphs, y, bias, weight);
  if (pooled.graphs.graphs() != graphs.graphs()) throw InvalidInput("pooled: of other graphs");
  check_shape(readout, "readout", {count(graphs.graphs()), 2 * y.shape(1)});
  check_shape(of_readout, "of_readout", {readout.shape(0), readout.shape(1)});
  if (of_sums) check_shape(*of_sums, "of_sums", {count(pooled.kept.size()), y.shape(1)});
  check_shape(of_y, "of_y", {y.shape(0), y.shape(1)});
  check_shape(of_bias, "of_bias", {y.shape(1)});
  check_shape(of_weight, "of_weight", {y.shape(1)});
  const float *top = readout.data(), *from = of_readout.data(), *next = of_sums ? of_sums->data() : nullptr;
  float *rows = of_y.mutable_data(), *b = of_bias.mutable_data(), *w = of_weight.mutable_data();
  const Computing computing;
  gcn_pool_backward(graphs, input, pooled, top, from, next, rows, b, w, num_threads);
}

}  // namespace

void bind_pooled_gcn(py::module_& m) {
  m.attr("gcn_lanes") = kGcnLanes;
  py::class_<GcnGraphs>(m, "GcnGraphs", "Several graphs in one, with their edges sorted by target.")
      .def(py::init(&make_graphs), py::arg("first").noconvert(), py::arg("source").noconvert(),
           py::arg("target").noconvert(), "First node of each graph and one more; the m directed edges.")
      .def("__len__", &GcnGraphs::graphs)
      .def(
          "pooled_nodes",
          [](const GcnGraphs& graphs, double ratio) { return pooled_first(graphs, ratio).back(); },
          py::arg("ratio"), "Nodes of all graphs when so many of each are kept.");
  py::class_<GcnPooled>(m, "GcnPooled", "Which nodes a pooling keeps, and the graphs of these.")
      .def_readonly("graphs", &GcnPooled::graphs)
      .def_property_readonly("kept",
                             [](const GcnPooled& p) { return adopt(std::vector<std::int32_t>(p.kept)); })
      .def_property_readonly("gate", [](const GcnPooled& p) { return adopt(std::vector<float>(p.gate)); });
  m.def("gcn_input_sums", &input_sums_py, py::arg("graphs"), py::arg("parts").noconvert(), py::arg("marked"),
        py::arg("atoms").noconvert(), py::arg("mean").noconvert(), py::arg("deviation").noconvert(),
        py::arg("out").noconvert(), py::arg("num_threads"),
        "D^-1/2 (A + I) D^-1/2 x of the standardised input rows x: of each part (first node of each graph, "
        "own columns, "
        "neighbours, distances), with the columns of its atoms.");
  m.def(
      "gcn_pool", &pool_py, py::arg("graphs"), py::arg("y").noconvert(), py::arg("bias").noconvert(),
      py::arg("weight").noconvert(), py::arg("ratio"), py::arg("readout").noconvert(),
      py::arg("sums").noconvert(), py::arg("num_threads"),
      "ReLU with a bias (neither where it is None), TopK pooling, readout, and the sums of the pooled rows.");
  m.def("gcn_pool_backward", &backward_py, py::arg("graphs"), py::arg("y").noconvert(),
        py::arg("bias").noconvert(), py::arg("weight").noconvert(), py::arg("pooled"),
        py::arg("readout").noconvert(), py::arg("of_readout").noconvert(), py::arg("of_sums").noconvert(),
        py::arg("of_y").noconvert(), py::arg("of_bias").noconvert(), py::arg("of_weight").noconvert(),
        py::arg("num_threads"), "Gradients of gcn_pool with respect to y, bias and weight.");
  m.def("gcn_block", &block_py, py::arg("graphs"), py::arg("rows").noconvert(), py::arg("matrix").noconvert(),
        py::arg("bias").noconvert(), py::arg("weight").noconvert(), py::arg("ratio"),
        py::arg("y").noconvert(), py::arg("readout").noconvert(), py::arg("sums").noconvert(),
        py::arg("num_threads"),
        "gcn_pool of y = rows matrix, which is written; columns of rows beyond the matrix do not count.");
  m.def("gcn_block_backward", &block_backward_py, py::arg("graphs"), py::arg("rows").noconvert(),
        py::arg("matrix").noconvert(), py::arg("y").noconvert(), py::arg("bias").noconvert(),
        py::arg("weight").noconvert(), py::arg("pooled"), py::arg("readout").noconvert(),
        py::arg("of_readout").noconvert(), py::arg("of_sums").noconvert(), py::arg("of_rows").noconvert(),
        py::arg("of_matrix").noconvert(), py::arg("of_bias").noconvert(), py::arg("of_weight").noconvert(),
        py::arg("num_threads"),
        "Gradients of gcn_block with respect to rows (None: not wanted), matrix, bias, weight.");
}

}  // namespace fastin::bind
