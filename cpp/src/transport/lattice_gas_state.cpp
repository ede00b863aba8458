#include "lattice_gas_state.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"

namespace fastin {

namespace {

constexpr int kFillTries = 5;
// Displacing one ion to make room for another is tried this often a site before giving up.
constexpr std::size_t kMakeRoomTries = 400;

// Weights below this are not divided by: they may have lost digits.
constexpr double kSmallWeight = 1e-150;
// Moves a site after which the products of weights are made anew: each rounds once.
constexpr std::size_t kWeighEvery = 16;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

LatticeGasState::LatticeGasState(const LatticeGas& gas, std::size_t ions, Random random)
    : gas_(gas),
      random_(random),
      tree_(gas.sites()),
      rate_(gas.target.size(), 0.0),
      lone_rate_(gas.target.size()),
      pair_of_move_(gas.target.size(), 0.0),
      pair_weight_of_move_(gas.target.size(), 1.0),
      hard_of_move_(gas.target.size(), 0),
      has_company_(gas.sites(), 0),
      pair_weight_(gas.pair_site.size(), 1.0),
      displacement_(ions),
      touched_(gas.sites(), 0),
      filled_since_(gas.sites(), 0.0),
      filled_for_(gas.sites(), 0.0),
      moves_(gas.target.size(), 0) {
  for (std::size_t s = 0; s < gas.sites(); ++s) {
    for (std::size_t m = at(gas.move_start[s]); m < at(gas.move_start[s + 1]); ++m) {
      lone_rate_[m] = gas.prefactor[m] * std::exp(-std::max(0.0, gas.barrier[m]));
    }
    for (std::size_t p = at(gas.pair_start[s]); p < at(gas.pair_start[s + 1]); ++p) {
      const bool hard = std::isinf(gas.pair_energy[p]);
      if (!hard) has_company_[s] = 1;
      pair_weight_[p] = hard ? 1.0 : std::exp(-0.5 * gas.pair_energy[p]);
      for (std::size_t m = at(gas.move_start[s]); m < at(gas.move_start[s + 1]); ++m) {
        if (gas.target[m] != gas.pair_site[p]) continue;
        if (hard) {
          ++hard_of_move_[m];
        } else {
          pair_of_move_[m] += gas.pair_energy[p];
          pair_weight_of_move_[m] = std::exp(0.5 * pair_of_move_[m]);
        }
      }
    }
  }
  for (int k = 0; k < kFillTries; ++k) {
    if (try_fill_all(ions)) return;
  }
  throw InvalidInput(std::to_string(ions) + " ions find no place on " + std::to_string(gas.sites()) +
                     " sites: too many exclude each other");
}

bool LatticeGasState::try_fill_all(std::size_t ions) {
  ion_at_.assign(gas_.sites(), -1);
  blockers_.assign(gas_.sites(), 0);
  company_.assign(gas_.sites(), 0.0);
  half_weight_.assign(gas_.sites(), 1.0);
  site_of_.clear();
  std::vector<std::pair<double, std::uint64_t>> key(gas_.sites());
  for (std::size_t s = 0; s < key.size(); ++s) key[s] = {gas_.energy[s], random_.bits()};
  std::vector<std::size_t> order(gas_.sites());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key[a] < key[b]; });
  for (const std::size_t s : order) {
    if (site_of_.size() == ions) break;
    if (blockers_[s] > 0) continue;
    site_of_.push_back(static_cast<std::int32_t>(s));
    fill(s, static_cast<std::int32_t>(site_of_.size() - 1));
  }
  return make_room(ions);
}

// Densely packed sites that exclude each other: the ion in the way moves to the new place, until others fit
// in.
bool LatticeGasState::make_room(std::size_t ions) {
  const auto sites = static_cast<std::uint32_t>(gas_.sites());
  for (std::size_t k = 0; k < kMakeRoomTries * sites && site_of_.size() < ions; ++k) {
    const std::size_t s = random_.below(sites);
    if (filled(s) || blockers_[s] > 1) continue;
    if (blockers_[s] == 0) {
      site_of_.push_back(static_cast<std::int32_t>(s));
      fill(s, static_cast<std::int32_t>(site_of_.size() - 1));
      continue;
    }
    for (std::size_t p = at(gas_.pair_start[s]); p < at(gas_.pair_start[s + 1]); ++p) {
      const auto other = static_cast<std::size_t>(gas_.pair_site[p]);
      if (!std::isinf(gas_.pair_energy[p]) || !filled(other)) continue;
      const std::int32_t ion = ion_at_[other];
      clear(other);
      fill(s, ion);
      site_of_[static_cast<std::size_t>(ion)] = static_cast<std::int32_t>(s);
      break;
    }
  }
  return site_of_.size() == ions;
}

// A product of pair weights stands for exp(-company / 2) as long as it keeps its digits.
void LatticeGasState::weigh(std::size_t site, double product) {
  const bool exact = product > kSmallWeight && product < 1.0 / kSmallWeight;
  half_weight_[site] = exact ? product : std::exp(-0.5 * company_[site]);
}

void LatticeGasState::weigh_all() {
  for (std::size_t s = 0; s < gas_.sites(); ++s) half_weight_[s] = std::exp(-0.5 * company_[s]);
}

void LatticeGasState::fill(std::size_t site, std::int32_t ion) {
  ion_at_[site] = ion;
  for (std::size_t p = at(gas_.pair_start[site]); p < at(gas_.pair_start[site + 1]); ++p) {
    const auto other = static_cast<std::size_t>(gas_.pair_site[p]);
    if (std::isinf(gas_.pair_energy[p])) {
      ++blockers_[other];
    } else {
      company_[other] += gas_.pair_energy[p];
      weigh(other, half_weight_[other] * pair_weight_[p]);
    }
  }
}

void LatticeGasState::clear(std::size_t site) {
  ion_at_[site] = -1;
  for (std::size_t p = at(gas_.pair_start[site]); p < at(gas_.pair_start[site + 1]); ++p) {
    const auto other = static_cast<std::size_t>(gas_.pair_site[p]);
    if (std::isinf(gas_.pair_energy[p])) {
      --blockers_[other];
    } else {
      company_[other] -= gas_.pair_energy[p];
      weigh(other, half_weight_[other] / pair_weight_[p]);
    }
  }
}

void LatticeGasState::equilibrate(std::size_t sweeps) {
  const auto ions = static_cast<std::uint32_t>(site_of_.size());
  const auto sites = static_cast<std::uint32_t>(gas_.sites());
  SparsePoll poll;
  for (std::size_t k = 0; k < sweeps * ions && ions < sites; ++k) {
    poll();
    const std::size_t ion = random_.below(ions), to = random_.below(sites);
    const auto from = static_cast<std::size_t>(site_of_[ion]);
    const double u = random_.uniform();
    if (filled(to)) continue;
    const double before = gas_.energy[from] + company_[from];
    clear(from);
    const double change = gas_.energy[to] + company_[to] - before;
    const bool accepted = blockers_[to] == 0 && (change <= 0.0 || u < std::exp(-change));
    const std::size_t now = accepted ? to : from;
    fill(now, static_cast<std::int32_t>(ion));
    site_of_[ion] = static_cast<std::int32_t>(now);
  }
  weigh_all();
  for (std::size_t s = 0; s < gas_.sites(); ++s) {
    for (std::size_t m = at(gas_.move_start[s]); m < at(gas_.move_start[s + 1]); ++m)
      rate_[m] = move_rate(s, m);
    renew_site(s);
  }
  tree_.renew();
}

// Zero where the site is empty or the target is filled or excluded by another ion.
double LatticeGasState::move_rate(std::size_t site, std::size_t m) const {
  const auto target = static_cast<std::size_t>(gas_.target[m]);
  if (!filled(site) || filled(target) || blockers_[target] > hard_of_move_[m]) return 0.0;
  if (!has_company_[site] && !has_company_[target]) return lone_rate_[m];
  // The mover does not meet itself at its target.
  const double here = company_[site], there = company_[target] - pair_of_move_[m];
  const double up = gas_.energy[target] + there - gas_.energy[site] - here;
  const double middle = gas_.barrier[m] + 0.5 * (there - here), end = std::max(0.0, up);
  if (middle >= end && half_weight_[site] > kSmallWeight && half_weight_[target] > kSmallWeight) {
    return lone_rate_[m] * (half_weight_[target] * pair_weight_of_move_[m] / half_weight_[site]);
  }
  return gas_.prefactor[m] * std::exp(-std::max(middle, end));
}

void LatticeGasState::renew_site(std::size_t site) {
  double sum = 0.0;
  for (std::size_t m = at(gas_.move_start[site]); m < at(gas_.move_start[site + 1]); ++m) sum += rate_[m];
  tree_.set(site, sum);
}

void LatticeGasState::touch(std::size_t site) {
  if (touched_[site]) return;
  touched_[site] = 1;
  touched_list_.push_back(site);
}

// Rates of the moves from and to a site whose filling or company has changed.
void LatticeGasState::renew_around(std::size_t site) {
  touch(site);
  for (std::size_t m = at(gas_.move_start[site]); m < at(gas_.move_start[site + 1]); ++m) {
    rate_[m] = move_rate(site, m);
    const auto neighbour = static_cast<std::size_t>(gas_.target[m]);
    if (!filled(neighbour)) continue;
    const std::size_t back = at(gas_.reverse[m]);
    rate_[back] = move_rate(neighbour, back);
    touch(neighbour);
  }
}

// Rates of the moves from and to a site whose company alone has changed: those from an empty site and those
// to a filled one are zero and stay so.
void LatticeGasState::renew_company(std::size_t site) {
  const bool full = filled(site);
  if (full) touch(site);
  for (std::size_t m = at(gas_.move_start[site]); m < at(gas_.move_start[site + 1]); ++m) {
    if (full) {
      rate_[m] = move_rate(site, m);
      continue;
    }
    const auto neighbour = static_cast<std::size_t>(gas_.target[m]);
    if (!filled(neighbour)) continue;
    const std::size_t back = at(gas_.reverse[m]);
    rate_[back] = move_rate(neighbour, back);
    touch(neighbour);
  }
}

double LatticeGasState::draw_wait() {
  const double total = tree_.total();
  return total > 0.0 ? random_.exponential() / total : std::numeric_limits<double>::infinity();
}

void LatticeGasState::move() {
  double rest = 0.0;
  const std::size_t from = tree_.find(random_.uniform() * tree_.total(), &rest);
  std::size_t m = at(gas_.move_start[from]);
  const std::size_t end = at(gas_.move_start[from + 1]);
  std::size_t last = m;
  for (; m < end; ++m) {
    if (rate_[m] <= 0.0) continue;
    last = m;
    if (rest < rate_[m]) break;
    rest -= rate_[m];
  }
  if (m == end) m = last;  // rounding
  const auto to = static_cast<std::size_t>(gas_.target[m]);
  const std::int32_t ion = ion_at_[from];
  clear(from);
  fill(to, ion);
  site_of_[static_cast<std::size_t>(ion)] = static_cast<std::int32_t>(to);
  filled_for_[from] += clock_ - filled_since_[from];
  filled_since_[to] = clock_;
  displacement_[static_cast<std::size_t>(ion)] += gas_.step[m];
  total_ += gas_.step[m];
  ++moves_[m];
  if (++since_weighed_ >= kWeighEvery * gas_.sites()) {
    since_weighed_ = 0;
    weigh_all();
  }
  for (const std::size_t site : {from, to}) renew_around(site);
  for (const std::size_t site : {from, to}) {
    for (std::size_t p = at(gas_.pair_start[site]); p < at(gas_.pair_start[site + 1]); ++p) {
      renew_company(static_cast<std::size_t>(gas_.pair_site[p]));
    }
  }
  for (const std::size_t site : touched_list_) {
    touched_[site] = 0;
    renew_site(site);
  }
  touched_list_.clear();
  tree_.renew();
}

void LatticeGasState::start_counting() {
  clock_ = 0.0;
  std::fill(filled_since_.begin(), filled_since_.end(), 0.0);
  std::fill(filled_for_.begin(), filled_for_.end(), 0.0);
  std::fill(moves_.begin(), moves_.end(), std::uint64_t{0});
}

std::vector<double> LatticeGasState::occupation() const {
  std::vector<double> share(filled_for_);
  for (std::size_t s = 0; s < share.size(); ++s) {
    if (filled(s)) share[s] += clock_ - filled_since_[s];
    share[s] = clock_ > 0.0 ? share[s] / clock_ : (filled(s) ? 1.0 : 0.0);
  }
  return share;
}

}  // namespace fastin
