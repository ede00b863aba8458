// What BvseField holds; shared by the plain and the split sum.
#pragma once

#include <vector>

#include "bvse_images.hpp"
#include "bvse_point.hpp"
#include "bvse_split_terms.hpp"
#include "fastin/bvse/bvse.hpp"

namespace fastin {

struct BvseField::Impl {
  Lattice lattice;
  double cutoff;
  double tail_energy;
  std::vector<Vec3> frac;
  std::vector<std::int32_t> term;
  std::vector<double> weight;
  std::vector<bvse::WindowedTerm> terms;
  bvse::ImageBins images;

  bvse::PointSums sums(const Vec3& home, bool derivatives) const;
};

}  // namespace fastin
