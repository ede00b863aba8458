// CellList: the atoms and every periodic image of them that can lie within `reach` of the home cell, sorted
// into bins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/scratch.hpp"
#include "fastin/base/vec3.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// Bins are boxes in fractional space; those of one row (fixed bins along the first two axes) are contiguous
// in memory, so that a search walks a few stretches of plain coordinate arrays. The lattice should be reduced
// (lattice_reduction.hpp).
class CellList {
 public:
  // `frac` in [0, 1). Throws InvalidInput when `reach` needs images beyond kMaxImage,
  // or millions of them.
  CellList(const Lattice& lattice, const std::vector<Vec3>& frac, double reach);

  double reach() const { return reach_; }
  std::size_t size() const { return code_.size(); }
  const double* x() const { return x_.data(); }
  const double* y() const { return y_.data(); }
  const double* z() const { return z_.data(); }
  const GeneratorCode* code() const { return code_.data(); }

  // Calls visit(begin, end) with stretches of slots that together hold every image within `radius` (<= reach)
  // of a point of the home cell (and others, farther away).
  template <class Visit>
  void for_each_stretch(const Vec3& frac, double radius, Visit&& visit) const {
    int lo[3], hi[3];
    for (int k = 0; k < 3; ++k) {
      const double half = radius * inverse_spacing_[k] + kFracMargin;
      lo[k] = bin_of(k, frac[k] - half);
      hi[k] = bin_of(k, frac[k] + half);
    }
    for (int a = lo[0]; a <= hi[0]; ++a) {
      for (int b = lo[1]; b <= hi[1]; ++b) {
        const std::size_t row =
            (static_cast<std::size_t>(a) * bins_[1] + static_cast<std::size_t>(b)) * bins_[2];
        const std::uint32_t begin = start_[row + static_cast<std::size_t>(lo[2])];
        const std::uint32_t end = start_[row + static_cast<std::size_t>(hi[2]) + 1];
        if (begin != end) visit(begin, end);
      }
    }
  }

 private:
  // Rounding of a fractional coordinate must not lose an image at a bin's edge.
  static constexpr double kFracMargin = 1e-9;

  int bin_of(int k, double f) const {
    const double b = (f - origin_[k]) * bins_per_unit_[k];
    if (!(b > 0.0)) return 0;
    const int last = static_cast<int>(bins_[k]) - 1;
    return b >= static_cast<double>(last) ? last : static_cast<int>(b);
  }

  double reach_;
  std::size_t bins_[3];
  double origin_[3], bins_per_unit_[3], inverse_spacing_[3];
  Scratch<std::uint32_t> start_;
  Scratch<double> x_, y_, z_;
  Scratch<GeneratorCode> code_;
};

}  // namespace fastin
