#include "fastin/bvse/bvse_split.hpp"

#include <algorithm>
#include <cmath>

#include "bvse_impl.hpp"
#include "bvse_tiles.hpp"
#include "far_spline.hpp"
#include "grid_orbits.hpp"

namespace fastin {
namespace {

using bvse::KernelTerm;
using bvse::Part;
using bvse::SplitTerm;

// The field's terms split, where float32 kernels of both parts exist.
std::vector<SplitTerm> split_terms(const std::vector<bvse::WindowedTerm>& terms) {
  std::vector<SplitTerm> out;
  out.reserve(terms.size());
  for (const bvse::WindowedTerm& term : terms) {
    SplitTerm t = bvse::make_split(term);
    if (t.split &&
        (bvse::kernel_term(t, Part::near).add == nullptr || bvse::kernel_term(t, Part::far).add == nullptr)) {
      t = SplitTerm{};
      t.term = term;
    }
    out.push_back(t);
  }
  return out;
}

}  // namespace

struct BvseSplit::Impl {
  Lattice lattice;
  double constant;
  std::vector<SplitTerm> terms;
  bvse::ImageBins near;
  bvse::FarSpline far;

  static std::vector<float> far_values(const BvseField::Impl& field, const std::vector<SplitTerm>& terms,
                                       const Int3& shape, const std::vector<GridOperation>& operations,
                                       int num_threads) {
    bvse::TileSum sum{field.lattice, field.images, {}};
    for (const SplitTerm& t : terms)
      sum.terms.push_back(t.split ? bvse::kernel_term(t, Part::far) : KernelTerm{});
    sum.ceiling = false;
    std::vector<float> values(static_cast<std::size_t>(shape.x) * static_cast<std::size_t>(shape.y) *
                              static_cast<std::size_t>(shape.z));
    bvse::fill_grid(sum, shape, operations, num_threads, values.data());
    return values;
  }
};

BvseSplit::BvseSplit(const BvseField& field, const Int3& shape, const std::vector<GridOperation>& operations,
                     int num_threads) {
  const BvseField::Impl& whole = *field.impl_;
  std::vector<SplitTerm> terms = split_terms(whole.terms);
  const std::vector<float> values = Impl::far_values(whole, terms, shape, operations, num_threads);
  bvse::ImageBins near(whole.lattice, whole.frac, whole.term, whole.weight, bvse::near_terms(terms));
  impl_ = std::make_unique<Impl>(Impl{whole.lattice, whole.tail_energy, std::move(terms), std::move(near),
                                      bvse::FarSpline(whole.lattice, shape, values, num_threads)});
}

BvseSplit::~BvseSplit() = default;
BvseSplit::BvseSplit(BvseSplit&&) noexcept = default;
BvseSplit& BvseSplit::operator=(BvseSplit&&) noexcept = default;

const Lattice& BvseSplit::lattice() const { return impl_->lattice; }

double BvseSplit::near_share(const BvseField& field) {
  const BvseField::Impl& whole = *field.impl_;
  std::vector<double> ends;
  for (const SplitTerm& t : split_terms(whole.terms)) ends.push_back(t.near_end());
  double near = 0.0, all = 0.0;
  for (std::size_t i = 0; i < whole.term.size(); ++i) {
    if (whole.weight[i] == 0.0) continue;
    const auto k = static_cast<std::size_t>(whole.term[i]);
    near += std::pow(ends[k], 3);
    all += std::pow(whole.terms[k].end, 3);
  }
  return all > 0.0 ? near / all : 1.0;
}

double BvseSplit::energy_gradient(const Vec3& frac, Vec3* gradient, Mat3* hessian) const {
  using bvse::PointSums;
  Vec3 home = frac;
  wrap_frac(home);
  const bool derivatives = gradient != nullptr || hessian != nullptr;
  thread_local std::vector<bvse::TermBlock> blocks;
  if (blocks.size() < impl_->terms.size()) blocks.resize(impl_->terms.size());
  for (bvse::TermBlock& block : blocks) block.count = 0;
  PointSums sums;
  const auto full = [&](std::uint32_t k) {
    bvse::add_near_block(impl_->terms[k], blocks[k], derivatives, sums);
  };
  impl_->near.near_by_term(impl_->lattice.to_cart(home), blocks.data(), full);
  for (std::uint32_t k = 0; k < impl_->terms.size(); ++k) full(k);
  double energy = impl_->constant + PointSums::total(sums.energy);
  Vec3 slope;
  Mat3 curvature;
  energy += impl_->far.value(home, gradient == nullptr ? nullptr : &slope,
                             hessian == nullptr ? nullptr : &curvature);
  if (gradient != nullptr) {
    for (int a = 0; a < 3; ++a)
      (*gradient)[a] = slope[a] + PointSums::total(sums.slope[static_cast<std::size_t>(a)]);
  }
  if (hessian != nullptr) {
    std::size_t at = 0;
    for (int a = 0; a < 3; ++a)
      for (int b = a; b < 3; ++b)
        (*hessian)[a][b] = (*hessian)[b][a] = curvature[a][b] + PointSums::total(sums.curvature[at++]);
  }
  return energy;
}

void BvseSplit::grid(const Int3& shape, const std::vector<GridOperation>& operations, int num_threads,
                     float* values) const {
  constexpr std::size_t kFewOperations = 4;  // most points are computed, not copied
  const bvse::Shape box = bvse::smallest_box({shape.x, shape.y, shape.z}, operations);
  const bvse::FarSpline::OnGrid far(impl_->far, shape, {box.a, box.b, box.c},
                                    operations.size() <= kFewOperations, num_threads);
  bvse::TileSum sum{impl_->lattice, impl_->near, {}, impl_->constant, &far};
  for (const SplitTerm& t : impl_->terms)
    sum.terms.push_back(bvse::kernel_term(t, t.split ? Part::near : Part::whole));
  bvse::fill_grid(sum, shape, operations, num_threads, values);
}

}  // namespace fastin
