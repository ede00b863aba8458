#include "fastin/geometry/cell_list.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace fastin {
namespace {

// Atoms a bin holds on average: small bins waste fewer distances, large ones fewer bin visits (measured on 12
// to 5000 atoms).
constexpr double kAtomsPerBin = 1.5;
constexpr std::size_t kMaxBinsPerAxis = 512;
// Images a list may hold beside eight an atom: about a gigabyte. A vacuum of 200 A beside a cell of 3 x 3 A
// with 20 atoms asks for one million.
constexpr double kMaxImages = 8e6;

struct Image {
  Vec3 cart;
  GeneratorCode code;
  std::uint32_t bin;
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

  Scratch<Image> images;
  start_.assign(bins_[0] * bins_[1] * bins_[2] + 1, 0);
  for (std::size_t i = 0; i < frac.size(); ++i) {
    const Vec3& f = frac[i];
    Int3 lo, hi;
    for (int k = 0; k < 3; ++k) {
      lo[k] = -cells[k];
      while (f[k] + lo[k] < -margin[k]) ++lo[k];
      hi[k] = cells[k];
      while (f[k] + hi[k] > 1.0 + margin[k]) --hi[k];
    }
    const Vec3 home = lattice.to_cart(f);
    for (Int3 s{lo.x, 0, 0}; s.x <= hi.x; ++s.x) {
      for (s.y = lo.y; s.y <= hi.y; ++s.y) {
        const std::size_t row = (static_cast<std::size_t>(bin_of(0, f.x + s.x)) * bins_[1] +
                                 static_cast<std::size_t>(bin_of(1, f.y + s.y))) *
                                bins_[2];
        for (s.z = lo.z; s.z <= hi.z; ++s.z) {
          const auto bin = static_cast<std::uint32_t>(row + static_cast<std::size_t>(bin_of(2, f.z + s.z)));
          images.push_back(
              {home + lattice.to_cart(to_vec(s)), make_generator(static_cast<std::int32_t>(i), s), bin});
          ++start_[bin + 1];
        }
      }
    }
  }
  for (std::size_t b = 1; b < start_.size(); ++b) start_[b] += start_[b - 1];
  Scratch<std::uint32_t> next(start_.begin(), start_.end() - 1);
  x_.resize(images.size());
  y_.resize(images.size());
  z_.resize(images.size());
  code_.resize(images.size());
  for (const Image& image : images) {
    const std::size_t slot = next[image.bin]++;
    x_[slot] = image.cart.x;
    y_[slot] = image.cart.y;
    z_[slot] = image.cart.z;
    code_[slot] = image.code;
  }
}

}  // namespace fastin
