#include "fastin/transport/lattice_gas.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>

#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"
#include "lattice_gas_state.hpp"

namespace fastin {

namespace {

void require(bool ok, const std::string& what) {
  if (!ok) throw InvalidInput(what);
}

template <class T>
void check_list(const std::vector<std::int64_t>& start, const std::vector<T>& index, std::size_t sites,
                const char* name) {
  require(start.size() == sites + 1 && start.front() == 0 &&
              start.back() == static_cast<std::int64_t>(index.size()) &&
              std::is_sorted(start.begin(), start.end()),
          std::string(name) + " must rise from 0 to the number of entries, one value a site and one more");
  for (const auto i : index) {
    require(i >= 0 && static_cast<std::size_t>(i) < sites,
            std::string(name) + " names site " + std::to_string(i) + " of " + std::to_string(sites));
  }
}

void add_square(Tensor6* sum, const Vec3& d, double weight) {
  (*sum)[0] += weight * d.x * d.x;
  (*sum)[1] += weight * d.y * d.y;
  (*sum)[2] += weight * d.z * d.z;
  (*sum)[3] += weight * d.y * d.z;
  (*sum)[4] += weight * d.x * d.z;
  (*sum)[5] += weight * d.x * d.y;
}

// Displacements since the last multiple of 2^l pieces, for every level l.
class Displacements {
 public:
  Displacements(const LatticeGasState& state, std::size_t levels)
      : state_(state),
        start_(levels + 1, state.displacement()),
        start_sum_(levels + 1, state.total_displacement()),
        tracer_(levels + 1),
        charge_(levels + 1) {}

  std::size_t pieces() const { return pieces_; }

  void end_piece() {
    ++pieces_;
    const std::vector<Vec3>& now = state_.displacement();
    const double weight = 1.0 / static_cast<double>(now.size());
    for (std::size_t l = 0; l < start_.size() && pieces_ % (std::size_t{1} << l) == 0; ++l) {
      Tensor6 tracer{}, charge{};
      for (std::size_t n = 0; n < now.size(); ++n) add_square(&tracer, now[n] - start_[l][n], weight);
      add_square(&charge, state_.total_displacement() - start_sum_[l], weight);
      tracer_[l].push_back(tracer);
      charge_[l].push_back(charge);
      start_[l] = now;
      start_sum_[l] = state_.total_displacement();
    }
  }

  void collect(LatticeGasReplica* out) const {
    out->pieces = pieces_;
    for (const auto& level : tracer_) out->tracer.insert(out->tracer.end(), level.begin(), level.end());
    for (const auto& level : charge_) out->charge.insert(out->charge.end(), level.begin(), level.end());
  }

 private:
  const LatticeGasState& state_;
  std::size_t pieces_ = 0;
  std::vector<std::vector<Vec3>> start_;
  std::vector<Vec3> start_sum_;
  std::vector<std::vector<Tensor6>> tracer_, charge_;
};

void measure(LatticeGasState* state, const LatticeGasRun& run, double piece, LatticeGasReplica* out) {
  state->start_counting();
  Displacements displacements(*state, run.levels);
  const std::size_t wanted = std::size_t{1} << run.levels;
  const std::uint64_t limit = 8 * run.piece_events * wanted;
  double left = piece;  // to the end of the piece
  SparsePoll poll;
  while (displacements.pieces() < wanted && out->events < limit) {
    poll();
    double wait = state->draw_wait();
    while (wait >= left && displacements.pieces() < wanted) {  // nothing moves before the piece ends
      state->pass(left);
      wait -= left;
      left = piece;
      displacements.end_piece();
    }
    if (displacements.pieces() == wanted) break;
    state->pass(wait);
    left -= wait;
    state->move();
    ++out->events;
  }
  displacements.collect(out);
  out->occupation = state->occupation();
  out->moves = state->moves();
}

}  // namespace

void LatticeGas::check() const {
  const std::size_t n = sites();
  require(n > 0, "a lattice gas needs sites");
  check_list(move_start, target, n, "move_start");
  check_list(pair_start, pair_site, n, "pair_start");
  const std::size_t count = target.size();
  require(
      reverse.size() == count && barrier.size() == count && prefactor.size() == count && step.size() == count,
      "target, reverse, barrier, prefactor and step must have one length");
  require(pair_energy.size() == pair_site.size(), "pair_site and pair_energy must have one length");
  for (std::size_t s = 0; s < n; ++s) {
    require(std::isfinite(energy[s]), "energy[" + std::to_string(s) + "] is not finite");
    for (auto m = static_cast<std::size_t>(move_start[s]); m < static_cast<std::size_t>(move_start[s + 1]);
         ++m) {
      const auto back = reverse[m];
      require(back >= 0 && static_cast<std::size_t>(back) < count &&
                  target[static_cast<std::size_t>(back)] == static_cast<std::int32_t>(s) &&
                  reverse[static_cast<std::size_t>(back)] == static_cast<std::int64_t>(m),
              "reverse[" + std::to_string(m) + "] is not the way back");
      require(static_cast<std::size_t>(target[m]) != s, "move " + std::to_string(m) + " leads from site " +
                                                            std::to_string(s) +
                                                            " to itself: enlarge the cell");
      const double gap = energy[static_cast<std::size_t>(target[m])] - energy[s];
      require(!std::isnan(barrier[m]) && barrier[m] >= -1e-9,
              "barrier[" + std::to_string(m) + "] is below its site");
      require(!std::isfinite(barrier[m]) || std::abs(barrier[m] - barrier[static_cast<std::size_t>(back)] -
                                                     gap) < 1e-6 * (1.0 + std::abs(gap)),
              "barriers of move " + std::to_string(m) + " break detailed balance");
      require(std::isfinite(prefactor[m]) && prefactor[m] > 0.0 &&
                  prefactor[m] == prefactor[static_cast<std::size_t>(back)],
              "prefactor[" + std::to_string(m) + "] must be positive and that of the way back");
    }
  }
  std::vector<std::tuple<std::int32_t, std::int32_t, double>> there, back;
  for (std::size_t s = 0; s < n; ++s) {
    for (auto p = static_cast<std::size_t>(pair_start[s]); p < static_cast<std::size_t>(pair_start[s + 1]);
         ++p) {
      const double v = pair_energy[p];
      require(!std::isnan(v) && v > -std::numeric_limits<double>::infinity(),
              "pair_energy[" + std::to_string(p) + "] is not a number");
      require(static_cast<std::size_t>(pair_site[p]) != s,
              "site " + std::to_string(s) + " is its own neighbour: enlarge the cell");
      there.emplace_back(static_cast<std::int32_t>(s), pair_site[p], v);
      back.emplace_back(pair_site[p], static_cast<std::int32_t>(s), v);
    }
  }
  std::sort(there.begin(), there.end());
  std::sort(back.begin(), back.end());
  require(there == back, "the pair list is not symmetric");
}

LatticeGasResult run_lattice_gas(const LatticeGas& gas, const LatticeGasRun& run) {
  gas.check();
  require(run.ions >= 1 && run.ions <= gas.sites(),
          std::to_string(run.ions) + " ions on " + std::to_string(gas.sites()) + " sites");
  require(run.replicas >= 1 && run.levels <= 20 && run.piece_events >= 1,
          "replicas and piece_events must be positive, levels at most 20");
  LatticeGasResult result;
  result.replicas.resize(run.replicas);
  std::vector<LatticeGasState> states;
  states.reserve(run.replicas);
  for (std::size_t r = 0; r < run.replicas; ++r) states.emplace_back(gas, run.ions, Random(run.seed, r));
  std::vector<double> spent(run.replicas, 0.0), taken(run.replicas, 0.0);
  parallel_for(run.replicas, run.num_threads, [&](std::size_t r, int) {
    states[r].equilibrate(run.sweeps);
    SparsePoll poll;
    for (std::uint64_t k = 0; k < run.warmup_events && states[r].rate() > 0.0; ++k) {
      poll();
      spent[r] += states[r].draw_wait();
      states[r].move();
      taken[r] += 1.0;
    }
    if (states[r].rate() > 0.0) {  // so that the rate is known without a warm-up too
      spent[r] += 1.0 / states[r].rate();
      taken[r] += 1.0;
    }
  });
  const double time = std::accumulate(spent.begin(), spent.end(), 0.0);
  const double count = std::accumulate(taken.begin(), taken.end(), 0.0);
  if (!(count > 0.0)) return result;
  result.piece_time = static_cast<double>(run.piece_events) * time / count;
  parallel_for(run.replicas, run.num_threads,
               [&](std::size_t r, int) { measure(&states[r], run, result.piece_time, &result.replicas[r]); });
  return result;
}

}  // namespace fastin
