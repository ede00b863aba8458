// One configuration of a lattice gas that changes move by move.
#pragma once

#include <cstdint>
#include <vector>

#include "fastin/base/random.hpp"
#include "fastin/transport/lattice_gas.hpp"
#include "fastin/transport/rate_tree.hpp"

namespace fastin {

class LatticeGasState {
 public:
  // Fills sites from the lowest energy on, those of equal energy in random order. Throws InvalidInput where
  // the ions find no place.
  LatticeGasState(const LatticeGas& gas, std::size_t ions, Random random);

  // Metropolis moves of single ions to any empty site, `sweeps` tries an ion; then all rates.
  void equilibrate(std::size_t sweeps);

  double rate() const { return tree_.total(); }
  // Waiting time for the next move, s; infinite where nothing can move.
  double draw_wait();
  // Draws a move and makes it; needs rate() > 0.
  void move();

  const std::vector<Vec3>& displacement() const { return displacement_; }  // of each ion, angstrom
  const Vec3& total_displacement() const { return total_; }

  void start_counting();
  void pass(double time) { clock_ += time; }
  std::vector<double> occupation() const;  // share of the time since start_counting
  const std::vector<std::uint64_t>& moves() const { return moves_; }

 private:
  bool filled(std::size_t site) const { return ion_at_[site] >= 0; }
  bool try_fill_all(std::size_t ions);
  bool make_room(std::size_t ions);
  void fill(std::size_t site, std::int32_t ion);
  void clear(std::size_t site);
  double move_rate(std::size_t site, std::size_t m) const;
  void renew_around(std::size_t site);
  void renew_company(std::size_t site);
  void renew_site(std::size_t site);
  void touch(std::size_t site);
  void weigh(std::size_t site, double product);
  void weigh_all();

  const LatticeGas& gas_;
  Random random_;
  RateTree tree_;                            // one entry a site: the sum over its moves
  std::vector<double> rate_;                 // of each move
  std::vector<double> lone_rate_;            // of each move without company, Hz
  std::vector<double> pair_of_move_;         // finite pair energy of the move's two ends, kT
  std::vector<double> pair_weight_of_move_;  // exp of half of it
  std::vector<std::int32_t> hard_of_move_;   // 1 where its two ends exclude each other
  std::vector<std::uint8_t> has_company_;    // the site has finite pair energies
  std::vector<double> pair_weight_;          // of each pair: exp of minus half its energy
  std::vector<std::int32_t> ion_at_;         // -1 for an empty site
  std::vector<std::int32_t> blockers_;       // ions on sites that exclude this one
  std::vector<double> company_;              // finite pair energies with the ions around, kT
  std::vector<double> half_weight_;          // exp(-company / 2)
  std::vector<std::int32_t> site_of_;        // of each ion
  std::vector<Vec3> displacement_;
  Vec3 total_{};
  std::vector<std::uint8_t> touched_;
  std::vector<std::size_t> touched_list_;
  double clock_ = 0.0;
  std::size_t since_weighed_ = 0;
  std::vector<double> filled_since_, filled_for_;
  std::vector<std::uint64_t> moves_;
};

}  // namespace fastin
