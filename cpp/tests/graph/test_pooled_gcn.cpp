// Convolution, pooling and readout of graphs: a case by hand, gradients against differences, edges refused.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.hpp"
#include "fastin/base/error.hpp"
#include "fastin/graph/pooled_gcn.hpp"

namespace {

using namespace fastin;
using Floats = std::vector<float>;

void by_hand() {
  // two nodes joined by one edge in both directions, and a node alone: rows 2, 5 and 1 of one column
  const std::vector<std::int64_t> source{0, 1}, target{1, 0};
  const GcnGraphs graphs({0, 2, 3}, source.data(), target.data(), 2);
  Floats y(3 * kGcnLanes), weight(kGcnLanes), readout(4 * kGcnLanes), sums(3 * kGcnLanes);
  y[0] = 2.0f, y[kGcnLanes] = 5.0f, y[2 * kGcnLanes] = 1.0f, weight[0] = -3.0f;
  const GcnPooled pooled =
      gcn_pool(graphs, {y.data(), nullptr, weight.data(), kGcnLanes}, 1.0, readout.data(), sums.data(), 1);
  CHECK(pooled.kept == (std::vector<std::int32_t>{0, 1, 2}));  // the score falls with the row
  const double a = -2.0 * std::tanh(2.0), b = -5.0 * std::tanh(5.0), c = -std::tanh(1.0);
  CHECK_NEAR(readout[0], (a + b) / 2, 1e-5);
  CHECK_NEAR(readout[1 * kGcnLanes], a, 1e-5);
  CHECK_NEAR(readout[2 * kGcnLanes], c, 1e-5);
  CHECK_NEAR(sums[0], (a + b) / 2, 1e-5);
  CHECK_NEAR(sums[1 * kGcnLanes], (a + b) / 2, 1e-5);
  CHECK_NEAR(sums[2 * kGcnLanes], c, 1e-5);
}

// Loss: squares of readout and sums.
double loss(const GcnGraphs& graphs, const Floats& y, const Floats& bias, const Floats& weight,
            Floats* readout, Floats* sums, GcnPooled* pooled) {
  const std::size_t columns = weight.size();
  readout->resize(2 * columns * graphs.graphs());
  sums->resize(static_cast<std::size_t>(pooled_first(graphs, 0.7).back()) * columns);
  *pooled = gcn_pool(graphs, {y.data(), bias.data(), weight.data(), columns}, 0.7, readout->data(),
                     sums->data(), 2);
  double out = 0.0;
  for (const float v : *readout) out += 0.5 * v * v;
  for (const float v : *sums) out += 0.5 * v * v;
  return out;
}

void against_differences() {
  std::mt19937 generator(3);
  std::uniform_int_distribution<std::int64_t> node(0, 9);
  std::normal_distribution<float> normal;
  std::vector<std::int64_t> source, target;
  for (int e = 0; e < 40; ++e) {
    const std::int64_t graph = e % 2 == 0 ? 0 : 10;
    source.push_back(graph + node(generator));
    target.push_back(graph + node(generator));
  }
  const GcnGraphs graphs({0, 10, 20}, source.data(), target.data(), source.size());
  const std::size_t columns = kGcnLanes;
  std::vector<Floats> x{Floats(20 * columns), Floats(columns), Floats(columns)}, of = x;
  for (Floats& values : x) std::generate(values.begin(), values.end(), [&] { return normal(generator); });
  Floats readout, sums, other_readout, other_sums;
  GcnPooled pooled, other;
  loss(graphs, x[0], x[1], x[2], &readout, &sums, &pooled);
  gcn_pool_backward(graphs, {x[0].data(), x[1].data(), x[2].data(), columns}, pooled, readout.data(),
                    readout.data(), sums.data(), of[0].data(), of[1].data(), of[2].data(), 2);
  int compared = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    for (std::size_t i = 0; i < x[k].size(); ++i) {
      const float h = 2e-3f;
      std::vector<Floats> up = x, down = x;
      up[k][i] += h;
      down[k][i] -= h;
      const double high = loss(graphs, up[0], up[1], up[2], &other_readout, &other_sums, &other);
      const bool same = other.kept == pooled.kept;
      const double low = loss(graphs, down[0], down[1], down[2], &other_readout, &other_sums, &other);
      const double both = loss(graphs, x[0], x[1], x[2], &other_readout, &other_sums, &other);
      // where a row is exchanged or clipped in between there is no slope
      if (!same || std::abs(high - 2 * both + low) > 1e-4) continue;
      ++compared;
      CHECK_NEAR((high - low) / (2.0 * h), of[k][i], 2e-2);
    }
  }
  CHECK(compared > 80);
}

// The block is the product, then the pooling; columns of the rows beyond the matrix do not count.
void block_is_product_and_pooling() {
  std::mt19937 generator(5);
  std::normal_distribution<float> normal;
  const std::vector<std::int64_t> source{0, 1, 2, 4, 3, 16, 30}, target{1, 2, 0, 3, 4, 30, 16};
  const GcnGraphs graphs({0, 3, 3, 31}, source.data(), target.data(), source.size());
  const std::size_t nodes = 31, terms = 21, stride = 32, columns = 3 * kGcnLanes;
  const auto random = [&](std::size_t n) {
    Floats out(n);
    for (float& x : out) x = normal(generator);
    return out;
  };
  const Floats rows = random(nodes * stride), matrix = random(terms * columns), bias = random(columns),
               weight = random(columns);
  Floats y(nodes * columns), plain(nodes * columns, 0.0f);
  for (std::size_t i = 0; i < nodes; ++i) {
    for (std::size_t c = 0; c < columns; ++c) {
      double sum = 0.0;
      for (std::size_t k = 0; k < terms; ++k)
        sum += static_cast<double>(rows[i * stride + k]) * matrix[k * columns + c];
      plain[i * columns + c] = static_cast<float>(sum);
    }
  }
  Floats readout(3 * 2 * columns), other(readout.size());
  const PoolInput input{y.data(), bias.data(), weight.data(), columns};
  const GcnPooled pooled = gcn_block(graphs, {rows.data(), matrix.data(), stride, terms}, input, 0.6,
                                     y.data(), readout.data(), nullptr, 2);
  for (std::size_t i = 0; i < y.size(); ++i) CHECK_NEAR(y[i], plain[i], 1e-4);
  const GcnPooled expected = gcn_pool(graphs, input, 0.6, other.data(), nullptr, 1);
  CHECK(pooled.kept == expected.kept);
  CHECK(readout == other);
  // gradient of the matrix: rows^T times that of y; only kept rows have one
  Floats of_y(y.size()), of_bias(columns), of_weight(columns), of_matrix(matrix.size()), same(columns);
  gcn_pool_backward(graphs, input, expected, readout.data(), readout.data(), nullptr, of_y.data(),
                    of_bias.data(), of_weight.data(), 1);
  gcn_block_backward(graphs, {rows.data(), matrix.data(), stride, terms}, input, pooled, readout.data(),
                     readout.data(), nullptr, nullptr, of_matrix.data(), same.data(), of_weight.data(), 3);
  CHECK(same == of_bias);
  for (std::size_t k = 0; k < terms; ++k) {
    for (std::size_t c = 0; c < columns; ++c) {
      double sum = 0.0;
      for (std::size_t i = 0; i < nodes; ++i)
        sum += static_cast<double>(rows[i * stride + k]) * of_y[i * columns + c];
      CHECK_NEAR(of_matrix[k * columns + c], sum, 1e-3);
    }
  }
}

void refused() {
  const std::vector<std::int64_t> source{0}, target{2};
  CHECK_THROWS(GcnGraphs({0, 2, 3}, source.data(), target.data(), 1), InvalidInput);
  CHECK_THROWS(GcnGraphs({1, 2}, source.data(), target.data(), 0), InvalidInput);
}

}  // namespace

int main() {
  by_hand();
  against_differences();
  block_is_product_and_pooling();
  refused();
  return fastin::test::report("pooled_gcn");
}
