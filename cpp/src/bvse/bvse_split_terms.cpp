#include "bvse_split_terms.hpp"

#include <cmath>

namespace fastin::bvse {
namespace {

using Derivatives = std::array<double, kJoinOrder + 1>;

// d^k/ds^k of exp(-a R), s = R^2: exp(-a R) times a polynomial in 1/R, from d/ds = (1 / 2R) d/dR.
Derivatives exponential_derivatives(double a, double r) {
  std::array<double, 2 * kJoinOrder + 1> c{};  // of R^-j
  c[0] = 1.0;
  Derivatives out{};
  for (std::size_t k = 0; k < out.size(); ++k) {
    double sum = 0.0, power = 1.0;
    for (const double v : c) {
      sum += v * power;
      power /= r;
    }
    out[k] = sum * std::exp(-a * r);
    std::array<double, 2 * kJoinOrder + 1> next{};
    for (std::size_t j = 0; j + 2 < c.size(); ++j) {
      next[j + 1] -= 0.5 * a * c[j];
      next[j + 2] -= 0.5 * static_cast<double>(j) * c[j];
    }
    c = next;
  }
  return out;
}

// d^k/ds^k of erfc(R / rho) / R = (-1/2)^k B_k with the recurrence of Ewald sums, B_k = ((2k - 1) B_{k-1} +
// (2 / rho^2)^k rho / sqrt(pi) exp(-R^2 / rho^2)) / R^2.
Derivatives screened_derivatives(double rho, double r) {
  const double gauss = rho * 0.56418958354775628695 * std::exp(-r * r / (rho * rho));
  double b = std::erfc(r / rho) / r, power = 1.0, sign = 1.0;
  Derivatives out{};
  for (std::size_t k = 0; k < out.size(); ++k) {
    out[k] = sign * b;
    power *= 2.0 / (rho * rho);
    b = ((2.0 * static_cast<double>(k) + 1.0) * b + power * gauss) / (r * r);
    sign *= -0.5;
  }
  return out;
}

}  // namespace

SplitTerm make_split(const WindowedTerm& term) {
  SplitTerm out;
  out.term = term;
  // A window that closes on more than this (eV) is too sharp for the spline (short cutoffs).
  constexpr double kGentle = 1e-3;
  out.split = term.start > kNearRange && std::abs(term.value(term.start)) < kGentle;
  if (!out.split) return out;
  if (term.pair.coulomb) {
    out.join = screened_derivatives(term.pair.length, kNearRange);
  } else {
    const double a = term.pair.alpha, scale = std::exp(a * term.pair.length);
    const Derivatives twice = exponential_derivatives(2.0 * a, kNearRange);
    const Derivatives once = exponential_derivatives(a, kNearRange);
    for (std::size_t k = 0; k < out.join.size(); ++k)
      out.join[k] = scale * (scale * twice[k] - 2.0 * once[k]);
  }
  double factorial = 1.0;
  for (std::size_t k = 2; k < out.join.size(); ++k) {
    factorial *= static_cast<double>(k);
    out.join[k] /= factorial;
  }
  return out;
}

std::vector<WindowedTerm> near_terms(const std::vector<SplitTerm>& terms) {
  std::vector<WindowedTerm> out;
  out.reserve(terms.size());
  for (const SplitTerm& t : terms) {
    out.push_back(t.term);
    out.back().end = t.near_end();
  }
  return out;
}

}  // namespace fastin::bvse
