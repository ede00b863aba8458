// Graph convolution, TopK pooling and readout of many small graphs, forward and backward (the layers of
// fastin.ml.models.TopKGCN between two matrix products). One graph is done from end to end before the next:
// its rows stay in the cache, where layer by layer they would pass through the memory a dozen times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fastin {

// Rows are whole groups of so many columns.
constexpr std::size_t kGcnLanes = 16;

// Several graphs in one; nodes of a graph are consecutive, node numbers count over all of them.
struct GcnGraphs {
  std::vector<std::int32_t> first;    // graphs + 1: first node of each graph
  std::vector<std::int32_t> pointer;  // nodes + 1: first of the edges that arrive at each node
  std::vector<std::int32_t> source;   // edges: where they come from
  std::vector<float> root;            // nodes: (1 + edges that arrive)^-1/2

  GcnGraphs() = default;
  // `source` and `target`: the directed edges. Throws InvalidInput unless `first` rises from 0 and every edge
  // stays in one graph.
  GcnGraphs(std::vector<std::int32_t> first_node, const std::int64_t* source_node,
            const std::int64_t* target_node, std::size_t edges);

  std::size_t graphs() const { return first.size() - 1; }
  std::size_t nodes() const { return pointer.size() - 1; }
};

// First node of each graph when ceil(ratio n) nodes of each are kept, the product less one part in 1e9.
std::vector<std::int32_t> pooled_first(const GcnGraphs& graphs, double ratio);

// A part of the nodes of every graph, all voids or all bottlenecks say: own columns, then nine for each of
// the k nearest atoms (their columns, the distance added to the first two), then, where the last column marks
// the parts, the number of the part.
struct GcnNodes {
  const std::int32_t* first = nullptr;      // graphs + 1
  const float* own = nullptr;               // (nodes of the part, own_columns)
  const std::int64_t* neighbour = nullptr;  // (nodes of the part, k)
  const float* distance = nullptr;          // (nodes of the part, k)
};
constexpr std::size_t kAtomColumns = 9;

// Input rows of the graphs and how they are standardised: (row - mean) / deviation.
struct GcnInput {
  std::vector<GcnNodes> parts;  // nodes of a graph stand part after part
  std::size_t own_columns = 0, k = 0;
  bool marked = false;
  const float* atoms = nullptr;  // (num_atoms, kAtomColumns)
  std::size_t num_atoms = 0;
  const float *mean = nullptr, *deviation = nullptr;

  // with zeros behind up to whole groups
  std::size_t columns() const {
    const std::size_t own = own_columns + kAtomColumns * k + (marked ? 1 : 0);
    return (own + kGcnLanes - 1) / kGcnLanes * kGcnLanes;
  }
};

// D^-1/2 (A + I) D^-1/2 x of the standardised rows x, with the in-degrees D of A + I, (nodes,
// input.columns()). Throws InvalidInput unless the parts make up the graphs and their neighbours are atoms.
void gcn_input_sums(const GcnGraphs& graphs, const GcnInput& input, float* out, int num_threads);

// What pooling reads: rows y (nodes, columns), made x = max(y + bias, 0), or x = y without a bias; scores are
// x . weight / |weight|.
struct PoolInput {
  const float* y = nullptr;
  const float* bias = nullptr;  // columns, or null
  const float* weight = nullptr;
  std::size_t columns = 0;
};

// Nodes kept of each graph, best first, equal ones by number, with the edges between them.
struct GcnPooled {
  GcnGraphs graphs;
  std::vector<std::int32_t> kept;  // their numbers before
  std::vector<float> gate;         // tanh of their scores; the rows are x[kept] gate
};

// Pools. readout (graphs, 2 columns): mean, then maximum of the pooled rows, 0 where there are none; sums:
// the same sums of the pooled rows, (pooled_first().back(), columns), or null where nobody asks.
GcnPooled gcn_pool(const GcnGraphs& graphs, const PoolInput& input, double ratio, float* readout, float* sums,
                   int num_threads);

// The rows y = rows matrix that a block pools; rows are `stride` numbers apart, of which `terms` count.
struct RowsProduct {
  const float* rows = nullptr;    // (nodes, stride)
  const float* matrix = nullptr;  // (terms, columns)
  std::size_t stride = 0, terms = 0;
};

// gcn_pool with the product before it, graph by graph; writes `y` (nodes, columns), which `input` names too.
GcnPooled gcn_block(const GcnGraphs& graphs, const RowsProduct& product, const PoolInput& input, double ratio,
                    float* y, float* readout, float* sums, int num_threads);

// Gradients of gcn_block with respect to rows (nodes, terms; null: not wanted, else terms in whole groups),
// matrix, bias and weight. The same numbers with any number of threads.
void gcn_block_backward(const GcnGraphs& graphs, const RowsProduct& product, const PoolInput& input,
                        const GcnPooled& pooled, const float* readout, const float* of_readout,
                        const float* of_sums, float* of_rows, float* of_matrix, float* of_bias,
                        float* of_weight, int num_threads);

// Gradients with respect to y (nodes, columns), bias and weight (columns each), from those of readout and
// sums (null: none). Equal maxima share the gradient evenly. The same numbers with any number of threads.
void gcn_pool_backward(const GcnGraphs& graphs, const PoolInput& input, const GcnPooled& pooled,
                       const float* readout, const float* of_readout, const float* of_sums, float* of_y,
                       float* of_bias, float* of_weight, int num_threads);

}  // namespace fastin
