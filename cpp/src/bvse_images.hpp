// Images of the framework around the home cell, binned, and the per-term list of those near a point.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/bvse.hpp"

namespace fastin::bvse {

// A term with its window: phi(R) * S(R), S = 1 up to `start`, (1 - t^2)^2 with t = (R - start) / width up to
// `end`.
struct WindowedTerm {
  PairTerm pair;
  double start = 0.0;
  double end = 0.0;
  // phi and, where asked for, its first two derivatives, of the windowed term at R (R >= kMinDistance).
  double value(double r) const;
  void derivatives(double r, double* phi, double* d1, double* d2) const;
  // Integral of 4 pi R^2 phi (1 - S) from start to infinity (eV angstrom^3).
  double tail_integral() const;
};

WindowedTerm make_windowed(const PairTerm& pair, double cutoff);

// Every image within a term's cutoff of some point of the home cell, sorted by bins (Cartesian boxes).
class ImageBins {
 public:
  ImageBins(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<std::int32_t>& term,
            const std::vector<double>& weight, const std::vector<WindowedTerm>& terms);

  std::size_t size() const { return x_.size(); }

  // Calls visit(k, image position, weight, distance^2) for every image within terms[k].end + margin of
  // `center`.
  template <class Visit>
  void near(const Vec3& center, double margin, Visit&& visit) const {
    const double reach = longest_ + margin;
    std::array<std::ptrdiff_t, 3> low, high;
    for (int a = 0; a < 3; ++a) {
      const auto i = static_cast<std::size_t>(a);
      low[i] = bin_of(center[a] - reach, a);
      high[i] = bin_of(center[a] + reach, a);
    }
    for (std::ptrdiff_t bx = low[0]; bx <= high[0]; ++bx) {
      const double gx = gap(center.x, bx, 0);
      for (std::ptrdiff_t by = low[1]; by <= high[1]; ++by) {
        const double gy = gap(center.y, by, 1);
        const double rest = reach * reach - gx * gx - gy * gy;
        if (rest < 0.0) continue;
        const double half = std::sqrt(rest);
        const std::size_t row = static_cast<std::size_t>((bx * bins_[1] + by) * bins_[2]);
        const std::size_t first = start_[row + static_cast<std::size_t>(bin_of(center.z - half, 2))];
        const std::size_t last = start_[row + static_cast<std::size_t>(bin_of(center.z + half, 2)) + 1];
        for (std::size_t i = first; i < last; ++i) {
          const double dx = x_[i] - center.x, dy = y_[i] - center.y, dz = z_[i] - center.z;
          const double r2 = dx * dx + dy * dy + dz * dz;
          const double limit = ends_[term_[i]] + margin;
          if (r2 < limit * limit) visit(static_cast<std::size_t>(term_[i]), Vec3{dx, dy, dz}, weight_[i], r2);
        }
      }
    }
  }

 private:
  static constexpr double kBinSide =
      2.0;  // angstrom; fits about one atom (larger where boxes are mostly empty)
  std::ptrdiff_t bin_of(double coordinate, int axis) const {
    const auto a = static_cast<std::size_t>(axis);
    const auto i = static_cast<std::ptrdiff_t>(std::floor((coordinate - origin_[axis]) / side_));
    return i < 0 ? 0 : (i >= bins_[a] ? bins_[a] - 1 : i);
  }
  // Distance from the coordinate to bin b along an axis, 0 inside.
  double gap(double coordinate, std::ptrdiff_t b, int axis) const {
    const double low = origin_[axis] + static_cast<double>(b) * side_;
    if (coordinate < low) return low - coordinate;
    return coordinate > low + side_ ? coordinate - low - side_ : 0.0;
  }

  Vec3 origin_;
  double side_ = kBinSide;
  std::array<std::ptrdiff_t, 3> bins_{1, 1, 1};
  double longest_ = 0.0;
  std::vector<double> ends_;
  std::vector<std::size_t> start_;
  std::vector<double> x_, y_, z_, weight_;
  std::vector<std::uint32_t> term_;
};

}  // namespace fastin::bvse
