#include "fastin/ordering/anneal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/base/random.hpp"

namespace fastin {

namespace {

// Arrangements closer in energy than this are taken for symmetry copies while a run remembers its lowest
// ones.
constexpr double kSameEnergy = 1e-6;

void require(bool ok, const std::string& what) {
  if (!ok) throw InvalidInput(what);
}

class Replica {
 public:
  Replica(const Arrangement& a, const AnnealOptions& options, std::uint64_t stream)
      : a_(a), options_(options), random_(options.seed, stream), species_(a.species), field_(a.potential) {
    const std::size_t n = a.positions();
    for (std::size_t i = 0; i < n; ++i) {
      const double q = charge(species_[i]);
      energy_ += q * a.potential[i];
      if (q == 0.0) continue;
      for (std::size_t j = 0; j < n; ++j) field_[j] += 2.0 * q * a.coulomb[i * n + j];
    }
    for (std::size_t i = 0; i < n; ++i) {
      energy_ += 0.5 * charge(species_[i]) * (field_[i] - a.potential[i]);
      if (species_[i] >= 0) conflicts_ += static_cast<std::ptrdiff_t>(filled_excluders(i, n));
    }
    conflicts_ /= 2;
    std::int32_t pools = 0;
    for (const std::int32_t p : a.pool) pools = std::max(pools, p + 1);
    members_.resize(static_cast<std::size_t>(pools));
    for (std::size_t i = 0; i < n; ++i) members_[static_cast<std::size_t>(a.pool[i])].push_back(i);
    remember();
  }

  void run() {
    const double ratio = std::log(options_.cold / options_.hot);
    SparsePoll poll;
    for (std::size_t step = 0; step < options_.steps; ++step) {
      poll();
      const double kt =
          options_.hot * std::exp(ratio * static_cast<double>(step) / static_cast<double>(options_.steps));
      try_exchange(kt);
    }
  }

  std::size_t conflicts() const { return static_cast<std::size_t>(conflicts_); }
  std::vector<Ordered>& lowest() { return lowest_; }

 private:
  double charge(std::int32_t species) const {
    return species < 0 ? 0.0 : a_.charge[static_cast<std::size_t>(species)];
  }

  // Filled positions that exclude i, without `other`.
  std::size_t filled_excluders(std::size_t i, std::size_t other) const {
    std::size_t count = 0;
    for (auto k = static_cast<std::size_t>(a_.exclusion_start[i]);
         k < static_cast<std::size_t>(a_.exclusion_start[i + 1]); ++k) {
      const auto j = static_cast<std::size_t>(a_.exclusion[k]);
      if (j != other && species_[j] >= 0) ++count;
    }
    return count;
  }

  void try_exchange(double kt) {
    const std::size_t n = a_.positions();
    const std::size_t i = random_.below(static_cast<std::uint32_t>(n));
    const auto& pool = members_[static_cast<std::size_t>(a_.pool[i])];
    const std::size_t j = pool[random_.below(static_cast<std::uint32_t>(pool.size()))];
    const double u = random_.uniform();
    if (species_[i] == species_[j]) return;
    const double d = charge(species_[j]) - charge(species_[i]);  // change at i; at j its opposite
    double change = d * (field_[i] - field_[j]) +
                    d * d * (a_.coulomb[i * n + i] + a_.coulomb[j * n + j] - 2.0 * a_.coulomb[i * n + j]);
    std::ptrdiff_t more = 0;
    if ((species_[i] < 0) != (species_[j] < 0)) {  // one of them is empty: the exclusions change
      const std::size_t to = species_[i] < 0 ? i : j, from = species_[i] < 0 ? j : i;
      more = static_cast<std::ptrdiff_t>(filled_excluders(to, from)) -
             static_cast<std::ptrdiff_t>(filled_excluders(from, to));
    }
    const double cost = change + options_.penalty * static_cast<double>(more);
    if (cost > 0.0 && u >= std::exp(-cost / kt)) return;
    std::swap(species_[i], species_[j]);
    if (d != 0.0) {
      const double* row_i = a_.coulomb.data() + i * n;
      const double* row_j = a_.coulomb.data() + j * n;
      for (std::size_t k = 0; k < n; ++k) field_[k] += 2.0 * d * (row_i[k] - row_j[k]);
    }
    energy_ += change;
    conflicts_ += more;
    remember();
  }

  void remember() {
    if (conflicts_ > 0 || options_.keep == 0) return;
    if (lowest_.size() == options_.keep && energy_ >= lowest_.back().energy - kSameEnergy) return;
    auto place = std::lower_bound(lowest_.begin(), lowest_.end(), energy_ - kSameEnergy,
                                  [](const Ordered& o, double e) { return o.energy < e; });
    if (place != lowest_.end() && place->energy <= energy_ + kSameEnergy) return;
    lowest_.insert(place, Ordered{energy_, species_});
    if (lowest_.size() > options_.keep) lowest_.pop_back();
  }

  const Arrangement& a_;
  const AnnealOptions& options_;
  Random random_;
  std::vector<std::int32_t> species_;
  std::vector<double> field_;  // derivative of the energy by the charge, without the self term's own share
  std::vector<std::vector<std::size_t>> members_;
  double energy_ = 0.0;
  std::ptrdiff_t conflicts_ = 0;
  std::vector<Ordered> lowest_;
};

}  // namespace

void Arrangement::check() const {
  const std::size_t n = positions();
  require(n > 0, "an arrangement needs positions");
  require(coulomb.size() == n * n && potential.size() == n && species.size() == n,
          "coulomb must be (P, P), potential and species (P,) with the P of pool");
  for (std::size_t i = 0; i < n; ++i) {
    require(pool[i] >= 0 && static_cast<std::size_t>(pool[i]) < n,
            "pool[" + std::to_string(i) + "] is out of range");
    require(species[i] >= -1 && species[i] < static_cast<std::int32_t>(charge.size()),
            "species[" + std::to_string(i) + "] is out of range");
    require(std::isfinite(potential[i]), "potential[" + std::to_string(i) + "] is not finite");
  }
  for (const double m : coulomb) require(std::isfinite(m), "coulomb holds a number that is not finite");
  require(exclusion_start.size() == n + 1 && exclusion_start.front() == 0 &&
              exclusion_start.back() == static_cast<std::int64_t>(exclusion.size()) &&
              std::is_sorted(exclusion_start.begin(), exclusion_start.end()),
          "exclusion_start must rise from 0 to the number of entries");
  for (const std::int32_t e : exclusion) {
    require(e >= 0 && static_cast<std::size_t>(e) < n, "exclusion names position " + std::to_string(e));
  }
}

AnnealResult anneal(const Arrangement& arrangement, const AnnealOptions& options) {
  arrangement.check();
  require(options.replicas >= 1 && options.hot >= options.cold && options.cold > 0.0,
          "replicas must be positive and hot >= cold > 0");
  std::vector<std::vector<Ordered>> lowest(options.replicas);
  std::vector<std::size_t> conflicts(options.replicas);
  parallel_for(options.replicas, options.num_threads, [&](std::size_t r, int) {
    Replica replica(arrangement, options, r);
    replica.run();
    lowest[r] = std::move(replica.lowest());
    conflicts[r] = replica.conflicts();
  });
  AnnealResult result;
  result.violations = *std::min_element(conflicts.begin(), conflicts.end());
  for (auto& part : lowest) {
    for (Ordered& o : part) result.lowest.push_back(std::move(o));
  }
  if (!result.lowest.empty()) result.violations = 0;
  std::stable_sort(result.lowest.begin(), result.lowest.end(),
                   [](const Ordered& a, const Ordered& b) { return a.energy < b.energy; });
  return result;
}

}  // namespace fastin
