// The numbers of each term for its kernel.
#include <array>
#include <cmath>
#include <initializer_list>

#include "bvse_kernels.hpp"
#include "fastin/base/simd.hpp"

namespace fastin::bvse {
namespace {

// Series of f over [0, high]: coefficients of powers of t = 2 s / high - 1, up to the degree at which what is
// left is below kSeriesError of the largest coefficient; the degree, or kMostSeries + 1 where that is not
// reached.
constexpr double kSeriesError = 1e-8;  // 1/angstrom

template <class F>
std::size_t fit_series(const F& f, double high, std::array<double, KernelTerm::kMostSeries + 1>* series) {
  constexpr std::size_t kNodes = 40, kMost = KernelTerm::kMostSeries;
  // T_k at the nodes: cos(pi k (i + 1/2) / 40)
  static const std::array<std::array<double, kNodes>, kNodes> cosines = [] {
    std::array<std::array<double, kNodes>, kNodes> table{};
    for (std::size_t k = 0; k < kNodes; ++k)
      for (std::size_t i = 0; i < kNodes; ++i)
        table[k][i] =
            std::cos(3.14159265358979323846 * static_cast<double>(k * (2 * i + 1)) / (2.0 * kNodes));
    return table;
  }();
  std::array<double, kNodes> values{}, chebyshev{};
  for (std::size_t i = 0; i < kNodes; ++i) values[i] = f(0.5 * high * (cosines[1][i] + 1.0));
  for (std::size_t k = 0; k < kNodes; ++k) {
    for (std::size_t i = 0; i < kNodes; ++i) chebyshev[k] += values[i] * cosines[k][i];
    chebyshev[k] *= (k == 0 ? 1.0 : 2.0) / kNodes;
  }
  double left = 0.0;
  std::size_t degree = kNodes - 1;
  while (degree > 0 && left + std::abs(chebyshev[degree]) < kSeriesError)
    left += std::abs(chebyshev[degree--]);
  if (degree > kMost) return kMost + 1;
  // Powers of t from T_{k+1} = 2 t T_k - T_{k-1}.
  std::array<double, kMost + 1> powers{}, last{}, now{};
  last[0] = 1.0;
  now[1] = 1.0;
  powers[0] = chebyshev[0];
  for (std::size_t k = 1; k <= degree; ++k) {
    for (std::size_t j = 0; j <= k; ++j) powers[j] += chebyshev[k] * now[j];
    std::array<double, kMost + 1> next{};
    for (std::size_t j = 0; j + 1 <= kMost; ++j) next[j + 1] = 2.0 * now[j];
    for (std::size_t j = 0; j <= kMost; ++j) next[j] -= last[j];
    last = now;
    now = next;
  }
  *series = powers;
  return degree;
}

}  // namespace

KernelTerm kernel_term(const SplitTerm& split, Part part) {
  constexpr double kLog2e = 1.44269504088896340736;
  const WindowedTerm& term = split.term;
  const double limit = part == Part::near ? kNearRange : term.end;
  const auto smooth = [&](double s) {
    const double r = std::sqrt(s);
    double value = std::erf(r / term.pair.length) / r;
    if (part != Part::near) return value;
    double power = 1.0;
    for (const double c : split.join) {
      value += c * power;
      power *= s - kNearRange * kNearRange;
    }
    return value;
  };
  KernelTerm k;
  std::array<double, KernelTerm::kMostSeries + 1> series{};
  const std::size_t degree = term.pair.coulomb ? fit_series(smooth, limit * limit, &series) : 0;
  const bool no_series = degree > KernelTerm::kMostSeries;
  // Kernel units: see KernelTerm.
  const double unit = !term.pair.coulomb ? term.pair.alpha * kLog2e
                      : no_series        ? 1.0 / term.pair.length
                                         : std::sqrt(2.0) / limit;
  const double energy_unit = term.pair.coulomb ? unit : 1.0, square = unit * unit;
  k.unit = static_cast<float>(unit);
  k.energy_unit = static_cast<float>(energy_unit);
  const double offset = term.pair.alpha * term.pair.length * kLog2e, whole = std::round(offset);
  k.shift = simd::ExpConstants<float>::kShift + static_cast<float>(whole);
  for (std::size_t j = 0; j < k.exp2.size(); ++j)
    k.exp2[j] = static_cast<float>(std::exp2(offset - whole) * static_cast<double>(simd::kExp2[j]));
  k.inverse_width = static_cast<float>(1.0 / (unit * (term.end - term.start)));
  k.window_start = static_cast<float>(term.start / (term.end - term.start));
  k.least = static_cast<float>(unit * BvseField::kMinDistance);
  k.range = static_cast<float>(unit * kNearRange);
  k.limit = static_cast<float>(unit * limit);
  k.least2 = static_cast<float>(square * BvseField::kMinDistance * BvseField::kMinDistance);
  k.range2 = static_cast<float>(square * kNearRange * kNearRange);
  k.limit2 = static_cast<float>(square * limit * limit);
  k.end = static_cast<float>(limit);
  k.plain_low = static_cast<float>(part == Part::far ? kNearRange : BvseField::kMinDistance);
  k.plain_high = static_cast<float>(part == Part::near ? kNearRange : term.start);
  double power = energy_unit;
  for (std::size_t j = 0; j < k.join.size(); ++j, power *= square)
    k.join[j] = static_cast<float>(split.join[j] / power);
  for (std::size_t j = 0; j < k.series.size(); ++j) k.series[j] = static_cast<float>(series[j] / energy_unit);
  if (!term.pair.coulomb) {
    k.add = part == Part::whole ? add_morse : part == Part::near ? add_morse_near : add_morse_far;
    return k;
  }
  struct OfDegree {
    std::size_t degree;
    decltype(k.add) add;
  };
  const auto choose = [degree](std::initializer_list<OfDegree> kernels) {
    for (const OfDegree& kernel : kernels)
      if (degree <= kernel.degree) return kernel.add;
    return decltype(k.add){nullptr};
  };
  switch (part) {
    case Part::near:
      k.add = choose({{10, add_coulomb_near_10},
                      {12, add_coulomb_near_12},
                      {16, add_coulomb_near_16},
                      {20, add_coulomb_near_20}});
      break;
    case Part::far:
      k.add = choose({{15, add_coulomb_far_15}, {20, add_coulomb_far_20}});
      break;
    case Part::whole:
      k.add = choose({{12, add_coulomb_12},
                      {15, add_coulomb_15},
                      {20, add_coulomb_20},
                      {KernelTerm::kMostSeries + 1, add_coulomb_short}});
  }
  return k;
}

}  // namespace fastin::bvse
