// Ordered arrangements of charges on given positions: simulated annealing of the Coulomb energy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fastin {

// Positions that are filled in part. The energy of charges q is sum_i q_i potential_i + sum_ij q_i q_j
// coulomb_ij.
//
// Each position holds one species of its pool or none (-1). Arrangements differ by exchanges of what two
// positions of one pool hold, so the content of every pool is kept. Two positions that exclude each other are
// not to be filled together.
struct Arrangement {
  std::vector<double> coulomb;                // (P, P) row-major, symmetric
  std::vector<double> potential;              // (P,)
  std::vector<double> charge;                 // of each species, e
  std::vector<std::int32_t> pool;             // (P,)
  std::vector<std::int32_t> species;          // (P,) one arrangement with the right content
  std::vector<std::int64_t> exclusion_start;  // (P + 1)
  std::vector<std::int32_t> exclusion;        // positions that exclude each position, both directions listed

  std::size_t positions() const { return pool.size(); }
  // Throws InvalidInput unless the lists fit together.
  void check() const;
};

struct AnnealOptions {
  std::size_t replicas = 8;    // independent runs
  std::size_t steps = 200000;  // tried exchanges of each
  double hot = 5.0,
         cold = 0.02;     // kT at the start and at the end, energy units of `coulomb`; geometric in between
  double penalty = 20.0;  // of a pair that excludes each other
  std::size_t keep = 16;  // lowest arrangements remembered by each replica
  std::uint64_t seed = 0;
  int num_threads = 1;
};

struct Ordered {
  double energy = 0.0;
  std::vector<std::int32_t> species;  // (P,)
};

struct AnnealResult {
  std::vector<Ordered> lowest;  // by rising energy, no exclusion violated, all replicas together
  std::size_t violations = 0;   // fewest violated exclusions at the end of a replica
};

// The same for any number of threads. Throws InvalidInput for lists that do not fit together.
AnnealResult anneal(const Arrangement& arrangement, const AnnealOptions& options);

}  // namespace fastin
