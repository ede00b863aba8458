#include "fastin/geometry/cell_list.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

namespace fastin {
namespace {

// Atoms a bin holds on average: small bins waste fewer distances, large ones fewer bin visits (measured on 12
// to 5000 atoms).
constexpr double kAtomsPerBin = 1.5;
constexpr std::size_t kMaxBinsPerAxis = 512;
// Images a list may hold beside eight an atom: about a gigabyte. A vacuum of 200 A beside a cell of 3 x 3 A
// with 20 atoms asks for one million.
constexpr double kMaxImages = 8e6;

// The images of one atom along one axis that lie within reach: shifts from `low` on, and their bins.
struct AxisImages {
  std::int32_t low = 0;
  std::vector<std::size_t> bin;
};

}  // namespace

CellList::CellList(const Lattice& lattice, const std::vector<Vec3>& frac, double reach) : reach_(reach) {
  const double edge =
      std::cbrt(kAtomsPerBin * lattice.volume() / static_cast<double>(std::max<std::size_t>(1, frac.size())));
  double margin[3], expected = static_cast<double>(frac.size());
  std::int32_t cells[3];
  for (int k = 0; k < 3; ++k) {
    inverse_spacing_[k] = 1.0 / lattice.plane_spacing(k);
    margin[k] = reach * inverse_spacing_[k] + kFracMargin;
    if (!(margin[k] < kMaxImage)) {
      throw InvalidInput("a neighbour search of " + std::to_string(reach) + " angstrom spans more than " +
                         std::to_string(kMaxImage) + " cells: the cell is too thin for its voids");
    }
    expected *= 1.0 + 2.0 * margin[k];
    cells[k] = static_cast<std::int32_t>(std::ceil(margin[k]));
    origin_[k] = -margin[k];
    const double extent = 1.0 + 2.0 * margin[k];
    const double wanted = std::floor(extent * lattice.plane_spacing(k) / edge);
    bins_[k] = std::clamp(static_cast<std::size_t>(std::max(1.0, wanted)), std::size_t{1}, kMaxBinsPerAxis);
    bins_per_unit_[k] = static_cast<double>(bins_[k]) / extent;
  }
  if (expected > kMaxImages + 8.0 * static_cast<double>(frac.size())) {
    throw InvalidInput("a neighbour search of " + std::to_string(reach) + " angstrom meets " +
                       std::to_string(static_cast<std::int64_t>(expected)) +
                       " atoms: the cell is too thin for its voids");
  }

  std::array<AxisImages, 3> axis;
  const auto find_images = [&](const Vec3& f) {
    for (int k = 0; k < 3; ++k) {
      AxisImages& along = axis[static_cast<std::size_t>(k)];
      std::int32_t high = cells[k];
      along.low = -cells[k];
      while (f[k] + along.low < -margin[k]) ++along.low;
      while (f[k] + high > 1.0 + margin[k]) --high;
      along.bin.clear();
      for (std::int32_t s = along.low; s <= high; ++s)
        along.bin.push_back(static_cast<std::size_t>(bin_of(k, f[k] + s)));
    }
  };
  const auto row_of = [&](std::size_t a, std::size_t b) {
    return (axis[0].bin[a] * bins_[1] + axis[1].bin[b]) * bins_[2];
  };
  start_.assign(bins_[0] * bins_[1] * bins_[2] + 1, 0);
  for (const Vec3& f : frac) {
    find_images(f);
    for (std::size_t a = 0; a < axis[0].bin.size(); ++a) {
      for (std::size_t b = 0; b < axis[1].bin.size(); ++b) {
        for (const std::size_t bin : axis[2].bin) ++start_[row_of(a, b) + bin + 1];
      }
    }
  }
  for (std::size_t b = 1; b < start_.size(); ++b) start_[b] += start_[b - 1];
  Scratch<std::uint32_t> next(start_.begin(), start_.end() - 1);
  for (auto* v : {&x_, &y_, &z_}) v->resize(start_.back());
  code_.resize(start_.back());
  for (std::size_t i = 0; i < frac.size(); ++i) {
    find_images(frac[i]);
    const Vec3 home = lattice.to_cart(frac[i]);
    for (std::size_t a = 0; a < axis[0].bin.size(); ++a) {
      for (std::size_t b = 0; b < axis[1].bin.size(); ++b) {
        Int3 s{axis[0].low + static_cast<std::int32_t>(a), axis[1].low + static_cast<std::int32_t>(b),
               axis[2].low};
        for (const std::size_t bin : axis[2].bin) {
          const std::size_t slot = next[row_of(a, b) + bin]++;
          const Vec3 cart = is_zero(s) ? home : home + lattice.to_cart(to_vec(s));
          x_[slot] = cart.x;
          y_[slot] = cart.y;
          z_[slot] = cart.z;
          code_[slot] = make_generator(static_cast<std::int32_t>(i), s);
          ++s.z;
        }
      }
    }
  }
}

}  // namespace fastin
