// Kinetic Monte Carlo: sums of rates, a ring that can be counted by hand, threads, refusals.
#include "fastin/transport/lattice_gas.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "fastin/base/error.hpp"
#include "fastin/base/random.hpp"
#include "fastin/transport/rate_tree.hpp"

using namespace fastin;

namespace {

void tree_sums_and_draws() {
  RateTree tree(100);
  for (std::size_t i = 0; i < 100; ++i) tree.set(i, i % 3 == 0 ? 0.0 : static_cast<double>(i));
  tree.renew();
  double sum = 0.0;
  for (std::size_t i = 0; i < 100; ++i) sum += tree.get(i);
  CHECK_NEAR(tree.total(), sum, 1e-9);
  double before = 0.0, rest = 0.0;
  for (std::size_t i = 0; i < 100; ++i) {
    if (tree.get(i) > 0.0) {
      CHECK(tree.find(before + 0.5 * tree.get(i), &rest) == i);
      CHECK_NEAR(rest, 0.5 * tree.get(i), 1e-9);
    }
    before += tree.get(i);
  }
  CHECK(tree.get(tree.find(tree.total(), &rest)) > 0.0);
  // A rate thirty orders of magnitude larger comes and goes without a trace.
  tree.set(5, 1e30);
  tree.renew();
  tree.set(5, 5.0);
  tree.renew();
  CHECK_NEAR(tree.total(), sum, 1e-9);
}

// Ring of n equal sites along x, one angstrom apart.
LatticeGas ring(std::int32_t n) {
  LatticeGas gas;
  for (std::int32_t s = 0; s < n; ++s) {
    gas.energy.push_back(0.0);
    gas.move_start.push_back(2 * s);
    gas.pair_start.push_back(0);
    gas.target.push_back((s + 1) % n);
    gas.target.push_back((s + n - 1) % n);
    gas.reverse.push_back(2 * ((s + 1) % n) + 1);
    gas.reverse.push_back(2 * ((s + n - 1) % n));
    gas.step.push_back({1, 0, 0});
    gas.step.push_back({-1, 0, 0});
  }
  gas.move_start.push_back(2 * n);
  gas.pair_start.push_back(0);
  gas.barrier.assign(gas.target.size(), 0.0);
  gas.prefactor.assign(gas.target.size(), 1.0);
  return gas;
}

LatticeGasRun quick(std::size_t ions) {
  LatticeGasRun run;
  run.ions = ions;
  run.piece_events = 50;
  run.warmup_events = 5000;
  return run;
}

double mean_x(const std::vector<Tensor6>& samples, std::size_t first, std::size_t count) {
  double sum = 0.0;
  for (std::size_t k = first; k < first + count; ++k) sum += samples[k][0];
  return sum / static_cast<double>(count);
}

// Charge diffusivity (1 - c) (n / (n - 1) in a ring with a fixed number of ions) times that of a lone ion, 1.
void charge_diffusivity_of_a_ring() {
  const LatticeGasResult result = run_lattice_gas(ring(12), quick(6));
  double d = 0.0;
  for (const LatticeGasReplica& r : result.replicas) {
    CHECK(r.pieces == 512);
    CHECK(r.charge.size() == 1023);
    d += mean_x(r.charge, 0, 512) / (2.0 * result.piece_time) / static_cast<double>(result.replicas.size());
    for (std::size_t s = 0; s < 12; ++s) CHECK_NEAR(r.occupation[s], 0.5, 0.1);
    // Moves are counted where they happen; no ion can pass another.
    std::uint64_t moves = 0;
    for (const std::uint64_t m : r.moves) moves += m;
    CHECK(moves == r.events);
    CHECK(mean_x(r.tracer, 1022, 1) < mean_x(r.tracer, 0, 512) * 512.0);
  }
  CHECK_NEAR(d, 0.5 * 12.0 / 11.0, 0.06);
}

void same_for_any_number_of_threads() {
  LatticeGasRun run = quick(5);
  const LatticeGasResult one = run_lattice_gas(ring(14), run);
  run.num_threads = 3;
  const LatticeGasResult three = run_lattice_gas(ring(14), run);
  CHECK(one.piece_time == three.piece_time);
  for (std::size_t r = 0; r < one.replicas.size(); ++r) {
    CHECK(one.replicas[r].charge == three.replicas[r].charge);
    CHECK(one.replicas[r].moves == three.replicas[r].moves);
  }
}

void neighbours_that_exclude_each_other_stay_apart() {
  LatticeGas gas = ring(12);
  gas.pair_start.clear();
  for (std::int32_t s = 0; s < 12; ++s) {
    gas.pair_start.push_back(2 * s);
    gas.pair_site.push_back((s + 1) % 12);
    gas.pair_site.push_back((s + 11) % 12);
  }
  gas.pair_start.push_back(24);
  gas.pair_energy.assign(24, std::numeric_limits<double>::infinity());
  const LatticeGasResult five = run_lattice_gas(gas, quick(5));
  for (const LatticeGasReplica& r : five.replicas) CHECK(r.events > 1000);
  const LatticeGasResult six = run_lattice_gas(gas, quick(6));  // every second site: nothing can move
  CHECK(six.piece_time == 0.0);
  CHECK_THROWS(run_lattice_gas(gas, quick(7)), InvalidInput);
  gas.pair_energy[0] = 1.0;  // not symmetric
  CHECK_THROWS(run_lattice_gas(gas, quick(2)), InvalidInput);
}

void refusals() {
  CHECK_THROWS(run_lattice_gas(ring(4), quick(0)), InvalidInput);
  CHECK_THROWS(run_lattice_gas(ring(4), quick(5)), InvalidInput);
  CHECK_THROWS(run_lattice_gas(ring(1), quick(1)), InvalidInput);  // to itself
  LatticeGas gas = ring(4);
  gas.energy[2] = 0.1;
  CHECK_THROWS(run_lattice_gas(gas, quick(1)), InvalidInput);  // detailed balance
  gas = ring(4);
  gas.reverse[0] = 0;
  CHECK_THROWS(run_lattice_gas(gas, quick(1)), InvalidInput);
  gas = ring(4);
  gas.barrier.pop_back();
  CHECK_THROWS(run_lattice_gas(gas, quick(1)), InvalidInput);
}

void random_numbers() {
  Random a(1, 0), b(1, 1);
  double sum = 0.0;
  int equal = 0;
  for (int k = 0; k < 10000; ++k) {
    const double u = a.uniform();
    CHECK(u >= 0.0 && u < 1.0);
    sum += u;
    equal += u == b.uniform() ? 1 : 0;
    CHECK(a.below(7) < 7);
    CHECK(a.exponential() > 0.0);
  }
  CHECK_NEAR(sum / 10000.0, 0.5, 0.02);
  CHECK(equal == 0);
}

}  // namespace

int main() {
  tree_sums_and_draws();
  charge_diffusivity_of_a_ring();
  same_for_any_number_of_threads();
  neighbours_that_exclude_each_other_stay_apart();
  refusals();
  random_numbers();
  return fastin::test::report("lattice_gas");
}
