// Kinetic Monte Carlo of a lattice gas: ions that hop between sites and keep out of each other's way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"

namespace fastin {

// Sites of a finite periodic cell with the moves between them. Energies in units of kT.
//
// The moves of site s are the entries [move_start[s], move_start[s + 1]); move m leads to `target[m]`,
// `reverse[m]` is the way back. Its barrier for a lone ion is `barrier[m]`, so that detailed balance asks for
// barrier[m] - barrier[reverse[m]] = energy[target] - energy[site]. The ions on two sites that share an entry
// of the pair list add its energy; an infinite one forbids both to be filled.
struct LatticeGas {
  std::vector<double> energy;  // of the sites
  std::vector<std::int64_t> move_start;
  std::vector<std::int32_t> target;
  std::vector<std::int64_t> reverse;
  std::vector<double> barrier;
  std::vector<double> prefactor;  // of each move, Hz
  std::vector<Vec3> step;         // displacement of each move, angstrom
  std::vector<std::int64_t> pair_start;
  std::vector<std::int32_t> pair_site;
  std::vector<double> pair_energy;

  std::size_t sites() const { return energy.size(); }
  // Throws InvalidInput unless the lists are consistent.
  void check() const;
};

struct LatticeGasRun {
  std::size_t ions = 1;
  std::size_t replicas = 4;  // independent runs from independent equilibrium configurations
  std::size_t levels = 9;    // displacements are sampled over 1, 2, 4, ... 2^levels pieces of time
  std::uint64_t piece_events =
      500;  // wanted moves in a piece: sets its duration from the warm-up's mean rate
  std::uint64_t warmup_events = 20000;
  std::size_t sweeps = 100;  // of the Metropolis sampling of the first configuration: tries per ion
  std::uint64_t seed = 0;
  int num_threads = 1;
};

// Symmetric tensors as xx, yy, zz, yz, xz, xy.
using Tensor6 = std::array<double, 6>;

struct LatticeGasReplica {
  std::uint64_t events = 0;  // moves after the warm-up
  // Squared displacements, angstrom^2: the mean over the ions, and the square of their sum divided by their
  // number. All samples over one piece, then those over two, over four, ...; `pieces` >> l of level l.
  std::vector<Tensor6> tracer, charge;
  std::size_t pieces = 0;            // completed
  std::vector<double> occupation;    // share of the time that each site is filled
  std::vector<std::uint64_t> moves;  // how often each move was taken
};

struct LatticeGasResult {
  double piece_time = 0.0;  // s; 0 where nothing can move
  std::vector<LatticeGasReplica> replicas;
};

// Runs the replicas; the result depends on the seed, not on the number of threads.
//
// Rejection-free (n-fold way: A. B. Bortz, M. H. Kalos, J. L. Lebowitz, J. Comput. Phys. 17, 10 (1975)): the
// next move is drawn from the exact sums of all rates, the waiting time is exponential. A move's barrier with
// company is that of the lone ion changed by half the difference of the pair energies at its ends, and never
// lies below either end; both directions see one saddle, which is detailed balance. A replica stops early,
// with the pieces it has completed, when it needs more than eight times the wanted moves.
//
// Throws InvalidInput for inconsistent lists, and where so many ions find no place.
LatticeGasResult run_lattice_gas(const LatticeGas& gas, const LatticeGasRun& run);

}  // namespace fastin
