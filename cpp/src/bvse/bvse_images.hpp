// Images of the framework around the home cell, binned, and the per-term list of those near a point.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/bvse/bvse.hpp"

namespace fastin::bvse {

// A term with its window: phi(R) * S(R), S = 1 up to `start`, (1 - t^2)^2 with t = (R - start) / width up to
// `end`.
struct WindowedTerm {
  PairTerm pair;
  double start = 0.0;
  double end = 0.0;
  double value(double r) const;  // phi S at R >= kMinDistance
  // Integral of 4 pi R^2 phi (1 - S) from start to infinity (eV angstrom^3).
  double tail_integral() const;
};

WindowedTerm make_windowed(const PairTerm& pair, double cutoff);

// Neighbours of one species: positions relative to a centre (angstrom) and occupancy times amplitude. The
// arrays are kept at a capacity; only the first `count` entries count. Up to the next multiple of kPadding
// follow positions that are far from everything, with no weight.
constexpr float kNowhere = 1e6f;  // angstrom
struct Neighbors {
  static constexpr std::size_t kPadding = 8;
  std::vector<float> x, y, z, weight;
  std::size_t count = 0;
};

// Neighbours of one point with their pair's numbers, in float64. Morse: exp(offset - rate R); Coulomb: rate =
// 1 / rho.
struct PointBlock {
  static constexpr std::size_t kCapacity = 128;
  using Column = std::array<double, kCapacity>;
  Column x, y, z, strength, rate, offset, start;  // strength = occupancy x amplitude
  std::size_t count = 0;
};

// Neighbours of one point of one species, in float64.
struct TermBlock {
  static constexpr std::size_t kCapacity = 64;
  using Column = std::array<double, kCapacity>;
  Column x, y, z, strength;  // strength = occupancy x amplitude
  std::size_t count = 0;
};

// Every image within a term's cutoff of some point of the home cell, sorted by bins (Cartesian boxes).
class ImageBins {
 public:
  ImageBins(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<std::int32_t>& term,
            const std::vector<double>& weight, const std::vector<WindowedTerm>& terms);

  std::size_t size() const { return x_.size(); }

  // Adds the images within their term's end of `center` to blocks[term is Coulomb]; full(is Coulomb) empties
  // a block.
  template <class Full>
  void near(const Vec3& center, std::array<PointBlock, 2>& blocks, Full&& full) const {
    rows(center, longest_, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) {
        const TermNumbers& t = numbers_[term_[i]];
        const double dx = x_[i] - center.x, dy = y_[i] - center.y, dz = z_[i] - center.z;
        PointBlock& block = blocks[t.coulomb];
        const std::size_t at = block.count;
        // Written always, kept if near enough: no branch to mispredict.
        block.x[at] = dx, block.y[at] = dy, block.z[at] = dz;
        block.strength[at] = strength_[i];
        block.rate[at] = t.rate, block.offset[at] = t.offset, block.start[at] = t.start;
        block.count = at + (dx * dx + dy * dy + dz * dz < t.limit2 ? 1 : 0);
        if (block.count == PointBlock::kCapacity) full(t.coulomb != 0);
      }
    });
  }

  // Adds the images within their term's end of `center` to blocks[term]; full(term) empties a block.
  template <class Full>
  void near_by_term(const Vec3& center, TermBlock* blocks, Full&& full) const {
    rows(center, longest_, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) {
        const double dx = x_[i] - center.x, dy = y_[i] - center.y, dz = z_[i] - center.z;
        TermBlock& block = blocks[term_[i]];
        const std::size_t at = block.count;
        // Written always, kept if near enough: no branch to mispredict.
        block.x[at] = dx, block.y[at] = dy, block.z[at] = dz;
        block.strength[at] = strength_[i];
        block.count = at + (dx * dx + dy * dy + dz * dz < numbers_[term_[i]].limit2 ? 1 : 0);
        if (block.count == TermBlock::kCapacity) full(term_[i]);
      }
    });
  }

  // Fills lists[k] with the images within terms[k].end + margin of `center`, relative to it, in float32;
  // weights carry the amplitude.
  void gather(const Vec3& center, double margin, std::vector<Neighbors>& lists) const;

 private:
  // Bins are columns along z, cut finely: a ball is then a few dozen runs of images with little around them
  // (angstrom).
  static constexpr double kColumnSide = 3.5;
  static constexpr double kColumnStep = 0.6;
  std::ptrdiff_t bin_of(double coordinate, int axis) const {
    const auto a = static_cast<std::size_t>(axis);
    const double scaled = (coordinate - origin_[axis]) * inverse_side_[axis];
    if (!(scaled > 0.0)) return 0;
    const auto i = static_cast<std::ptrdiff_t>(scaled);
    return i >= bins_[a] ? bins_[a] - 1 : i;
  }
  // Calls each(first, last) for runs of images that cover the ball of that radius.
  template <class Each>
  void rows(const Vec3& center, double radius, Each&& each) const {
    const std::ptrdiff_t x0 = bin_of(center.x - radius, 0), x1 = bin_of(center.x + radius, 0);
    const std::ptrdiff_t y0 = bin_of(center.y - radius, 1), y1 = bin_of(center.y + radius, 1);
    for (std::ptrdiff_t bx = x0; bx <= x1; ++bx) {
      const double gx = gap(center.x, bx, 0);
      for (std::ptrdiff_t by = y0; by <= y1; ++by) {
        const double gy = gap(center.y, by, 1);
        const double rest = radius * radius - gx * gx - gy * gy;
        if (rest < 0.0) continue;
        const double half = std::sqrt(rest);
        const auto row = static_cast<std::size_t>((bx * bins_[1] + by) * bins_[2]);
        each(start_[row + static_cast<std::size_t>(bin_of(center.z - half, 2))],
             start_[row + static_cast<std::size_t>(bin_of(center.z + half, 2)) + 1]);
      }
    }
  }
  // Distance from the coordinate to bin b along an axis, 0 inside.
  double gap(double coordinate, std::ptrdiff_t b, int axis) const {
    const double low = origin_[axis] + static_cast<double>(b) * side_[axis];
    if (coordinate < low) return low - coordinate;
    return coordinate > low + side_[axis] ? coordinate - low - side_[axis] : 0.0;
  }

  Vec3 origin_;
  Vec3 side_, inverse_side_;
  std::array<std::ptrdiff_t, 3> bins_{1, 1, 1};
  double longest_ = 0.0;
  struct TermNumbers {
    double rate, offset, start, limit2;
    std::uint32_t coulomb;
  };
  std::vector<TermNumbers> numbers_;  // by term
  std::vector<double> ends_;
  std::vector<std::size_t> start_;
  std::vector<double> x_, y_, z_, strength_;
  std::vector<std::uint32_t> term_;
};

}  // namespace fastin::bvse
