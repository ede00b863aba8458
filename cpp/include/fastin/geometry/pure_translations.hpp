// Translations that map a crystal on itself, found without a general search for symmetry, and whether any
// other operation can.
#pragma once

#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/coordination.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

struct PureTranslations {
  std::vector<Vec3> translations;    // exact fractions in [0, 1), the null translation first
  Mat3 primitive;                    // rows: vectors of a reduced primitive cell, fractional in the given one
  std::vector<Vec3> primitive_frac;  // mean positions of the primitive cell, in its basis, [0, 1)
  std::vector<std::int32_t> first;   // the point that stands for each of them
  std::vector<std::int32_t> primitive_of;  // which of them each point is
  bool nothing_else;  // true: no rotation and no further translation fits, even at a looser tolerance
};

// Points are mapped when an image lies within `tolerance` (angstrom) of a point of the same kind.
// `neighbours` are those of the points; atoms whose nearest distances differ are never tried. nothing_else is
// decided for crystals without translations only (false otherwise): the others have a smaller cell to look
// at.
PureTranslations pure_translations(const Lattice& lattice, const std::vector<Vec3>& frac,
                                   const std::vector<std::int32_t>& kind, const Neighbours& neighbours,
                                   double tolerance);

}  // namespace fastin
