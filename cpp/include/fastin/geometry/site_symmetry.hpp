// Which operations of a space group a set of sites obeys closely, and the sites averaged over them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// x' = rotation x + translation on fractional columns.
struct Operation {
  std::array<std::array<std::int32_t, 3>, 3> rotation{};
  Vec3 translation;
  Vec3 apply(const Vec3& x) const {
    Vec3 y = translation;
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < 3; ++b) y[static_cast<int>(a)] += rotation[a][b] * x[static_cast<int>(b)];
    return y;
  }
};

struct SiteSymmetry {
  std::vector<std::size_t>
      kept;                    // indices into the operations given; they form a group, the identity included
  std::vector<Vec3> frac;      // sites averaged over the kept operations, which they then obey to rounding
  double largest_shift = 0.0;  // of any site by the averaging (angstrom)
};

// Keeps the operations that map every site within `tolerance` (angstrom) onto a site of the same kind, and
// the metric onto itself within that tolerance over 10 angstrom. The tolerance is halved until what is kept
// is a group.
SiteSymmetry site_symmetry(const Lattice& lattice, const std::vector<Vec3>& frac,
                           const std::vector<std::int32_t>& kind, const std::vector<Operation>& operations,
                           double tolerance);

}  // namespace fastin
