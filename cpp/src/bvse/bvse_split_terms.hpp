// The two parts of a pair energy. Within kNearRange the near part is the pair energy less an even polynomial
// that joins it there with kJoinOrder derivatives; the far part is that polynomial within, the windowed pair
// energy beyond: smooth enough for a spline on a coarse grid (far_spline.hpp).
#pragma once

#include <array>
#include <vector>

#include "bvse_images.hpp"

namespace fastin::bvse {

constexpr double kNearRange = 4.5;  // angstrom
constexpr int kJoinOrder = 5;

// A term as the split sum sees it.
struct SplitTerm {
  WindowedTerm term;
  // False: the term is all but over at kNearRange, or its window closes too sharply; all of it is near.
  bool split = false;
  // Taylor coefficients of pair energy / amplitude in R^2 - kNearRange^2.
  std::array<double, kJoinOrder + 1> join{};
  double near_end() const { return split ? kNearRange : term.end; }
};

SplitTerm make_split(const WindowedTerm& term);

// The terms as the near part's images need them: each ends where its near part does.
std::vector<WindowedTerm> near_terms(const std::vector<SplitTerm>& terms);

}  // namespace fastin::bvse
