#include "fastin/graph/pooled_gcn.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"
#include "gcn_product.hpp"
#include "pooled_gcn_rows.hpp"

namespace fastin {
namespace {

using Numbers = std::vector<std::int32_t>;

// Parts of the gradient of a block's matrix: few enough for the cache, enough for threads to share.
constexpr std::size_t kMatrices = 16;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

void set_roots(GcnGraphs* graphs) {
  graphs->root.resize(graphs->nodes());
  for (std::size_t i = 0; i < graphs->nodes(); ++i) {
    graphs->root[i] =
        1.0f / std::sqrt(1.0f + static_cast<float>(graphs->pointer[i + 1] - graphs->pointer[i]));
  }
}

float length(const float* weight, std::size_t columns) {
  double squares = 0.0;
  for (std::size_t f = 0; f < columns; ++f) squares += static_cast<double>(weight[f]) * weight[f];
  return static_cast<float>(std::sqrt(squares));
}

// Places of the rows with the `keep` highest scores, best first, ties by place: integers that fall as the
// scores rise, followed by the place, are sorted (a score that is not a number has its place too).
void best_first(const std::vector<float>& score, std::size_t keep, std::vector<std::uint64_t>* keys,
                std::int32_t* best) {
  keys->resize(score.size());
  for (std::size_t i = 0; i < score.size(); ++i) {
    const float positive_zero = score[i] + 0.0f;
    std::uint32_t bits;
    std::memcpy(&bits, &positive_zero, sizeof bits);
    const std::uint32_t rising = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
    (*keys)[i] = static_cast<std::uint64_t>(~rising) << 32 | i;
  }
  std::sort(keys->begin(), keys->end());
  for (std::size_t i = 0; i < keep; ++i) best[i] = static_cast<std::int32_t>((*keys)[i] & 0xFFFFFFFFu);
}

// Buffers of one thread.
struct Room {
  std::vector<float> rows, others, score, values, third;
  std::vector<std::uint64_t> keys;
  Numbers place;
};

float* sized(std::vector<float>* buffer, std::size_t n) {
  if (buffer->size() < n) buffer->resize(n);
  return buffer->data();
}

// Edges of one graph after pooling, numbered within it.
struct KeptEdges {
  Numbers pointer, source;
};

KeptEdges kept_edges(const GcnGraphs& graphs, std::size_t begin, std::size_t nodes, const std::int32_t* kept,
                     std::size_t keep, Numbers* place) {
  place->assign(nodes, -1);
  for (std::size_t i = 0; i < keep; ++i) (*place)[at(kept[i])] = static_cast<std::int32_t>(i);
  KeptEdges out;
  out.pointer.reserve(keep + 1);
  out.pointer.push_back(0);
  for (std::size_t i = 0; i < keep; ++i) {
    const std::size_t node = begin + at(kept[i]);
    for (std::int32_t e = graphs.pointer[node]; e < graphs.pointer[node + 1]; ++e) {
      const std::int32_t from = (*place)[at(graphs.source[at(e)]) - begin];
      if (from >= 0) out.source.push_back(from);
    }
    out.pointer.push_back(static_cast<std::int32_t>(out.source.size()));
  }
  return out;
}

void join(const std::vector<KeptEdges>& parts, GcnGraphs* graphs) {
  graphs->pointer.assign(1, 0);
  for (std::size_t g = 0; g < parts.size(); ++g) {
    const std::int32_t edges = graphs->pointer.back();
    for (std::size_t i = 1; i < parts[g].pointer.size(); ++i) {
      graphs->pointer.push_back(edges + parts[g].pointer[i]);
    }
    for (const std::int32_t from : parts[g].source) graphs->source.push_back(from + graphs->first[g]);
  }
  set_roots(graphs);
}

// gcn_pool; `prepare(g)` is called before the rows of graph g are read.
template <class Prepare>
GcnPooled pool_all(const GcnGraphs& graphs, const PoolInput& input, double ratio, float* readout, float* sums,
                   int num_threads, const Prepare& prepare) {
  const std::size_t columns = input.columns;
  GcnPooled out;
  out.graphs.first = pooled_first(graphs, ratio);
  out.kept.resize(at(out.graphs.first.back()));
  out.gate.resize(out.kept.size());
  const float inverse = 1.0f / length(input.weight, columns);
  std::vector<KeptEdges> edges(graphs.graphs());
  std::vector<Room> rooms(static_cast<std::size_t>(std::max(num_threads, 1)));
  parallel_for(graphs.graphs(), num_threads, [&](std::size_t g, int thread) {
    Room& room = rooms[static_cast<std::size_t>(thread)];
    const std::size_t begin = at(graphs.first[g]), n = at(graphs.first[g + 1]) - begin;
    const std::size_t start = at(out.graphs.first[g]), keep = at(out.graphs.first[g + 1]) - start;
    prepare(begin, n);
    float* x = sized(&room.rows, n * columns);
    float* pooled = sized(&room.others, keep * columns);
    room.score.resize(n);
    gcn::activate_rows(input.y + begin * columns, input.bias, input.weight, n, columns, x, room.score.data());
    for (float& score : room.score) score = std::tanh(score * inverse);
    std::int32_t* kept = out.kept.data() + start;
    best_first(room.score, keep, &room.keys, kept);
    edges[g] = kept_edges(graphs, begin, n, kept, keep, &room.place);
    float* gate = out.gate.data() + start;
    for (std::size_t i = 0; i < keep; ++i) gate[i] = room.score[at(kept[i])];
    gcn::gate_rows(x, kept, gate, keep, columns, pooled, readout + 2 * g * columns);
    for (std::size_t i = 0; i < keep; ++i) kept[i] += graphs.first[g];
    if (sums != nullptr) {
      float* root = sized(&room.values, keep);
      for (std::size_t i = 0; i < keep; ++i) {
        root[i] = 1.0f / std::sqrt(1.0f + static_cast<float>(edges[g].pointer[i + 1] - edges[g].pointer[i]));
      }
      gcn::sum_rows({edges[g].pointer.data(), edges[g].source.data(), 0}, root, keep, columns, pooled,
                    sums + start * columns);
    }
  });
  join(edges, &out.graphs);
  return out;
}

// What the backward pass of every graph starts from.
struct Backward {
  const GcnGraphs& graphs;
  const PoolInput& input;
  const GcnPooled& pooled;
  const float *readout, *of_readout, *of_sums;
  std::vector<float> unit;  // of the weight

  // Gradient of the kept rows of graph g before the activation, to the rows `to` of `of_y`; adds to `parts`.
  void graph(std::size_t g, Room* room, const std::int32_t* to, float* of_y, float* parts) const {
    const GcnGraphs& after = pooled.graphs;
    const std::size_t columns = input.columns, start = at(after.first[g]),
                      keep = at(after.first[g + 1]) - start;
    const float* gate = pooled.gate.data() + start;
    float* gradient = sized(&room->rows, keep * columns);
    std::fill(gradient, gradient + keep * columns, 0.0f);
    if (of_sums != nullptr) {
      gcn::spread_rows({after.pointer.data() + start, after.source.data(), after.first[g]},
                       after.root.data() + start, keep, columns, of_sums + start * columns, gradient,
                       sized(&room->values, columns));
    }
    float* x = sized(&room->others, keep * columns);
    gcn::take_rows(input.y, input.bias, pooled.kept.data() + start, keep, columns, x);
    gcn::add_readout(x, gate, keep, columns, readout + (2 * g + 1) * columns, of_readout + 2 * g * columns,
                     gradient, sized(&room->values, 2 * columns));
    gcn::finish_rows(x, gate, to, unit.data(), input.bias != nullptr, keep, columns, gradient, of_y, parts);
  }

  // Gradients of bias and weight from what each graph adds to them, in order.
  void finish(const std::vector<float>& parts, float* of_bias, float* of_weight) const {
    const std::size_t columns = input.columns;
    const float norm = length(input.weight, columns);
    std::vector<double> along(columns, 0.0);
    std::fill(of_bias, of_bias + columns, 0.0f);
    for (std::size_t g = 0; g < graphs.graphs(); ++g) {
      const float* part = parts.data() + 2 * g * columns;
      for (std::size_t f = 0; f < columns; ++f) of_bias[f] += part[f];
      for (std::size_t f = 0; f < columns; ++f) along[f] += part[columns + f];
    }
    double radial = 0.0;
    for (std::size_t f = 0; f < columns; ++f) radial += along[f] * unit[f];
    for (std::size_t f = 0; f < columns; ++f)
      of_weight[f] = static_cast<float>((along[f] - unit[f] * radial) / norm);
  }
};

std::vector<float> unit_vector(const PoolInput& input) {
  const float norm = length(input.weight, input.columns);
  std::vector<float> unit(input.weight, input.weight + input.columns);
  for (float& u : unit) u /= norm;
  return unit;
}

}  // namespace

GcnGraphs::GcnGraphs(Numbers first_node, const std::int64_t* source_node, const std::int64_t* target_node,
                     std::size_t edges)
    : first(std::move(first_node)) {
  if (first.empty() || first.front() != 0 || !std::is_sorted(first.begin(), first.end())) {
    throw InvalidInput("the first nodes of the graphs must rise from 0");
  }
  if (edges > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw InvalidInput("more edges than 32-bit numbers count");
  }
  const std::size_t n = at(first.back());
  Numbers graph_of(n);
  for (std::size_t g = 0; g + 1 < first.size(); ++g) {
    std::fill(graph_of.begin() + first[g], graph_of.begin() + first[g + 1], static_cast<std::int32_t>(g));
  }
  pointer.assign(n + 1, 0);
  for (std::size_t e = 0; e < edges; ++e) {
    const std::int64_t s = source_node[e], t = target_node[e];
    const auto count = static_cast<std::int64_t>(n);
    if (s < 0 || t < 0 || s >= count || t >= count ||
        graph_of[static_cast<std::size_t>(s)] != graph_of[static_cast<std::size_t>(t)]) {
      throw InvalidInput("edge " + std::to_string(e) + " does not join two nodes of one graph");
    }
    ++pointer[static_cast<std::size_t>(t) + 1];
  }
  for (std::size_t i = 0; i < n; ++i) pointer[i + 1] += pointer[i];
  source.resize(edges);
  Numbers next(pointer.begin(), pointer.end() - 1);
  for (std::size_t e = 0; e < edges; ++e) {
    source[at(next[static_cast<std::size_t>(target_node[e])]++)] = static_cast<std::int32_t>(source_node[e]);
  }
  set_roots(this);
}

std::vector<std::int32_t> pooled_first(const GcnGraphs& graphs, double ratio) {
  Numbers out(1, 0);
  for (std::size_t g = 0; g < graphs.graphs(); ++g) {
    const double n = graphs.first[g + 1] - graphs.first[g];
    out.push_back(out.back() + static_cast<std::int32_t>(std::ceil(ratio * n - 1e-9 * n)));
  }
  return out;
}

void gcn_input_sums(const GcnGraphs& graphs, const GcnInput& input, float* out, int num_threads) {
  for (std::size_t g = 0; g <= graphs.graphs(); ++g) {
    std::int32_t nodes = 0;
    for (const GcnNodes& part : input.parts) {
      nodes += part.first[g];
      if (part.first[g] < (g == 0 ? 0 : part.first[g - 1]))
        throw InvalidInput("the parts' first nodes must rise");
    }
    if (nodes != graphs.first[g]) throw InvalidInput("the parts do not make up the nodes of the graphs");
  }
  const std::size_t columns = input.columns();
  std::vector<Room> rooms(static_cast<std::size_t>(std::max(num_threads, 1)));
  parallel_for(graphs.graphs(), num_threads, [&](std::size_t g, int thread) {
    const std::size_t begin = at(graphs.first[g]), n = at(graphs.first[g + 1]) - begin;
    float* rows = sized(&rooms[static_cast<std::size_t>(thread)].rows, n * columns);
    float* row = rows;
    for (std::size_t p = 0; p < input.parts.size(); ++p) {
      const GcnNodes& part = input.parts[p];
      const std::size_t start = at(part.first[g]), count = at(part.first[g + 1]) - start;
      for (std::size_t i = start * input.k; i < (start + count) * input.k; ++i) {
        if (part.neighbour[i] < 0 || static_cast<std::size_t>(part.neighbour[i]) >= input.num_atoms) {
          throw InvalidInput("a neighbour is no atom");
        }
      }
      gcn::environment_rows(input, part, static_cast<float>(p), start, count, row);
      row += count * columns;
    }
    gcn::sum_rows({graphs.pointer.data() + begin, graphs.source.data(), graphs.first[g]},
                  graphs.root.data() + begin, n, columns, rows, out + begin * columns);
  });
}

GcnPooled gcn_pool(const GcnGraphs& graphs, const PoolInput& input, double ratio, float* readout, float* sums,
                   int num_threads) {
  return pool_all(graphs, input, ratio, readout, sums, num_threads, [](std::size_t, std::size_t) {});
}

GcnPooled gcn_block(const GcnGraphs& graphs, const RowsProduct& product, const PoolInput& input, double ratio,
                    float* y, float* readout, float* sums, int num_threads) {
  const std::vector<float> panels = gcn::in_panels(product.matrix, product.terms, input.columns);
  return pool_all(graphs, input, ratio, readout, sums, num_threads, [&](std::size_t begin, std::size_t n) {
    gcn::multiply_rows(product.rows + begin * product.stride, n, product.stride, product.terms, panels.data(),
                       input.columns, y + begin * input.columns);
  });
}

void gcn_pool_backward(const GcnGraphs& graphs, const PoolInput& input, const GcnPooled& pooled,
                       const float* readout, const float* of_readout, const float* of_sums, float* of_y,
                       float* of_bias, float* of_weight, int num_threads) {
  const std::size_t columns = input.columns;
  const Backward back{graphs, input, pooled, readout, of_readout, of_sums, unit_vector(input)};
  std::vector<float> parts(2 * graphs.graphs() * columns, 0.0f);
  std::vector<Room> rooms(static_cast<std::size_t>(std::max(num_threads, 1)));
  parallel_for(graphs.graphs(), num_threads, [&](std::size_t g, int thread) {
    const std::size_t begin = at(graphs.first[g]), end = at(graphs.first[g + 1]);
    std::fill(of_y + begin * columns, of_y + end * columns, 0.0f);
    back.graph(g, &rooms[static_cast<std::size_t>(thread)], pooled.kept.data() + at(pooled.graphs.first[g]),
               of_y, parts.data() + 2 * g * columns);
  });
  back.finish(parts, of_bias, of_weight);
}

void gcn_block_backward(const GcnGraphs& graphs, const RowsProduct& product, const PoolInput& input,
                        const GcnPooled& pooled, const float* readout, const float* of_readout,
                        const float* of_sums, float* of_rows, float* of_matrix, float* of_bias,
                        float* of_weight, int num_threads) {
  const std::size_t columns = input.columns, terms = product.terms, size = terms * columns;
  const Backward back{graphs, input, pooled, readout, of_readout, of_sums, unit_vector(input)};
  std::vector<float> turned;
  if (of_rows != nullptr) turned = gcn::transposed_in_panels(product.matrix, terms, columns);
  // Some graphs at a time add to a matrix of their own, and these are added in order.
  const std::size_t shared = (graphs.graphs() + kMatrices - 1) / kMatrices;
  const std::size_t matrices = shared == 0 ? 0 : (graphs.graphs() + shared - 1) / shared;
  std::vector<float> matrix(matrices * size, 0.0f), parts(2 * graphs.graphs() * columns, 0.0f);
  std::vector<Room> rooms(static_cast<std::size_t>(std::max(num_threads, 1)));
  const auto one = [&](std::size_t g, Room* room, float* own) {
    const std::size_t begin = at(graphs.first[g]), n = at(graphs.first[g + 1]) - begin;
    const std::size_t start = at(pooled.graphs.first[g]), keep = at(pooled.graphs.first[g + 1]) - start;
    room->place.resize(keep);
    for (std::size_t i = 0; i < keep; ++i) room->place[i] = static_cast<std::int32_t>(i);
    float* of_y = sized(&room->third, keep * columns);
    back.graph(g, room, room->place.data(), of_y, parts.data() + 2 * g * columns);
    const std::int32_t* kept = pooled.kept.data() + start;  // the others have no gradient
    float* rows = sized(&room->rows, keep * std::max(terms, columns));
    for (std::size_t i = 0; i < keep; ++i) {
      const float* from = product.rows + at(kept[i]) * product.stride;
      std::copy(from, from + terms, rows + i * terms);
    }
    gcn::add_outer(rows, keep, terms, terms, of_y, columns, own);
    if (of_rows == nullptr) return;
    gcn::multiply_rows(of_y, keep, columns, columns, turned.data(), terms, rows);
    std::fill(of_rows + begin * terms, of_rows + (begin + n) * terms, 0.0f);
    for (std::size_t i = 0; i < keep; ++i) {
      std::copy(rows + i * terms, rows + (i + 1) * terms, of_rows + at(kept[i]) * terms);
    }
  };
  parallel_for(matrices, num_threads, [&](std::size_t m, int thread) {
    for (std::size_t g = m * shared; g < std::min((m + 1) * shared, graphs.graphs()); ++g) {
      one(g, &rooms[static_cast<std::size_t>(thread)], matrix.data() + m * size);
    }
  });
  std::fill(of_matrix, of_matrix + size, 0.0f);
  for (std::size_t m = 0; m < matrices; ++m) {
    for (std::size_t i = 0; i < size; ++i) of_matrix[i] += matrix[m * size + i];
  }
  back.finish(parts, of_bias, of_weight);
}

}  // namespace fastin
