// What BvseField holds; shared by the point and the grid code.
#pragma once

#include <vector>

#include "bvse_images.hpp"
#include "bvse_point.hpp"
#include "fastin/bvse/bvse.hpp"

namespace fastin {

struct BvseField::Impl {
  Lattice lattice;
  double cutoff;
  double tail_energy;
  std::vector<bvse::WindowedTerm> terms;
  bvse::ImageBins images;

  bvse::PointSums sums(const Vec3& home, bool derivatives) const;
};

}  // namespace fastin
