// Annealing: the enumerated minimum of a small case, exclusions, threads, refusals.
#include "fastin/ordering/anneal.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "fastin/base/error.hpp"

using namespace fastin;

namespace {

// Ten positions on a ring with 1/r energies and a field; four of charge +1, one of -2, the rest empty.
Arrangement ring() {
  Arrangement a;
  const std::size_t n = 10;
  a.charge = {1.0, -2.0};
  a.species = {0, 0, 0, 0, 1, -1, -1, -1, -1, -1};
  a.pool.assign(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    a.potential.push_back(0.3 * std::sin(1.7 * static_cast<double>(i)));
    for (std::size_t j = 0; j < n; ++j) {
      const auto d = static_cast<double>(std::min((i + n - j) % n, (j + n - i) % n));
      a.coulomb.push_back(i == j ? -0.2 : 0.5 / d);
    }
    a.exclusion_start.push_back(static_cast<std::int64_t>(2 * i));
    a.exclusion.push_back(static_cast<std::int32_t>((i + 1) % n));
    a.exclusion.push_back(static_cast<std::int32_t>((i + n - 1) % n));
  }
  a.exclusion_start.push_back(static_cast<std::int64_t>(2 * n));
  return a;
}

double energy(const Arrangement& a, const std::vector<std::int32_t>& s) {
  const auto q = [&](std::size_t i) { return s[i] < 0 ? 0.0 : a.charge[static_cast<std::size_t>(s[i])]; };
  double e = 0.0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    e += q(i) * a.potential[i];
    for (std::size_t j = 0; j < s.size(); ++j) e += q(i) * q(j) * a.coulomb[i * s.size() + j];
  }
  return e;
}

bool allowed(const std::vector<std::int32_t>& s) {
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] >= 0 && s[(i + 1) % s.size()] >= 0) return false;
  }
  return true;
}

void finds_the_enumerated_minimum() {
  const Arrangement a = ring();
  std::vector<std::int32_t> s = a.species;
  std::sort(s.begin(), s.end());
  double best = 1e9;
  do {
    if (allowed(s)) best = std::min(best, energy(a, s));
  } while (std::next_permutation(s.begin(), s.end()));
  AnnealOptions options;
  options.steps = 20000;
  const AnnealResult found = anneal(a, options);
  CHECK(!found.lowest.empty() && found.violations == 0);
  CHECK_NEAR(found.lowest.front().energy, best, 1e-9);
  for (const Ordered& o : found.lowest) {
    CHECK(allowed(o.species));
    CHECK_NEAR(o.energy, energy(a, o.species), 1e-9);
    CHECK(std::count(o.species.begin(), o.species.end(), 0) == 4);
    CHECK(std::count(o.species.begin(), o.species.end(), 1) == 1);
  }
  options.num_threads = 3;
  const AnnealResult again = anneal(a, options);
  CHECK(again.lowest.size() == found.lowest.size());
  CHECK(again.lowest.front().species == found.lowest.front().species);
}

void pools_keep_their_content() {
  Arrangement a = ring();
  for (std::size_t i = 5; i < 10; ++i) a.pool[i] = 1;
  a.species = {0, -1, 0, -1, 1, -1, 0, -1, 0, -1};
  AnnealOptions options;
  options.steps = 5000;
  const AnnealResult found = anneal(a, options);
  CHECK(!found.lowest.empty());
  for (const Ordered& o : found.lowest) CHECK(std::count(o.species.begin(), o.species.begin() + 5, 0) == 2);
}

void says_what_cannot_be() {
  Arrangement a = ring();
  a.species = {0, 0, 0, 0, 1, 0, -1, -1, -1, -1};  // six on a ring of ten
  AnnealOptions options;
  options.steps = 2000;
  const AnnealResult found = anneal(a, options);
  CHECK(found.lowest.empty() && found.violations > 0);
  a.species[0] = 2;
  CHECK_THROWS(anneal(a, options), InvalidInput);
  a = ring();
  a.coulomb.pop_back();
  CHECK_THROWS(anneal(a, options), InvalidInput);
  a = ring();
  a.exclusion[0] = 10;
  CHECK_THROWS(anneal(a, options), InvalidInput);
  a = ring();
  options.cold = 0.0;
  CHECK_THROWS(anneal(a, options), InvalidInput);
}

}  // namespace

int main() {
  finds_the_enumerated_minimum();
  pools_keep_their_content();
  says_what_cannot_be();
  return fastin::test::report("anneal");
}
