// Sums over neighbours on a grid: one point of each orbit, in compact tiles that share their neighbours.
#pragma once

#include <vector>

#include "bvse_images.hpp"
#include "bvse_kernels.hpp"
#include "far_spline.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin::bvse {

struct TileSum {
  const Lattice& lattice;
  const ImageBins& images;
  std::vector<KernelTerm> terms;  // by the images' terms; those without a kernel add nothing
  double constant = 0.0;
  const FarSpline::OnGrid* far = nullptr;  // added unless null
  bool ceiling = true;                     // energies end at BvseField::kMaxEnergy
};

// See BvseField::grid.
void fill_grid(const TileSum& sum, const Int3& shape, const std::vector<GridOperation>& operations,
               int num_threads, float* values);

}  // namespace fastin::bvse
