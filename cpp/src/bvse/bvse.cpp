#include "fastin/bvse/bvse.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "bvse_impl.hpp"
#include "bvse_tiles.hpp"
#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"

namespace fastin {
namespace {

std::string at(const char* what, std::size_t i) { return std::string(what) + "[" + std::to_string(i) + "]"; }

void check(const std::vector<Vec3>& frac, const std::vector<std::int32_t>& term,
           const std::vector<double>& weight, const std::vector<PairTerm>& terms, double cutoff) {
  if (!(cutoff >= BvseField::kMinCutoff && cutoff <= BvseField::kMaxCutoff)) {
    throw InvalidInput("cutoff must lie between 4 and 50 angstrom, not " + std::to_string(cutoff));
  }
  if (term.size() != frac.size() || weight.size() != frac.size()) {
    throw InvalidInput("frac, term and weight must have equal lengths");
  }
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const PairTerm& t = terms[k];
    if (!std::isfinite(t.amplitude)) throw InvalidInput(at("amplitude", k) + " is not finite");
    if (!(t.length > 0.0 && t.length < 20.0)) {
      throw InvalidInput(at("length", k) + " must lie between 0 and 20 angstrom, not " +
                         std::to_string(t.length));
    }
    // The upper limit keeps 2^(alpha (Rmin - R)) inside float32 over the whole range of distances.
    if (!t.coulomb && !(t.alpha > 0.1 && t.alpha < 80.0 / cutoff && t.alpha * t.length < 40.0)) {
      throw InvalidInput(at("alpha", k) + " = " + std::to_string(t.alpha) + " 1/angstrom is out of range");
    }
  }
  for (std::size_t i = 0; i < frac.size(); ++i) {
    if (!std::isfinite(frac[i].x + frac[i].y + frac[i].z))
      throw InvalidInput(at("frac", i) + " is not finite");
    if (term[i] < 0 || static_cast<std::size_t>(term[i]) >= terms.size()) {
      throw InvalidInput(at("term", i) + " = " + std::to_string(term[i]) + " is not an index into the terms");
    }
    if (!(weight[i] >= 0.0) || !std::isfinite(weight[i])) {
      throw InvalidInput(at("weight", i) + " must be finite and not negative, not " +
                         std::to_string(weight[i]));
    }
  }
}

std::vector<bvse::WindowedTerm> windowed(const std::vector<PairTerm>& terms, double cutoff) {
  std::vector<bvse::WindowedTerm> out;
  out.reserve(terms.size());
  for (const PairTerm& t : terms) out.push_back(bvse::make_windowed(t, cutoff));
  return out;
}

}  // namespace

BvseField::BvseField(const Lattice& lattice, const std::vector<Vec3>& frac,
                     const std::vector<std::int32_t>& term, const std::vector<double>& weight,
                     const std::vector<PairTerm>& terms, double cutoff) {
  check(frac, term, weight, terms, cutoff);
  std::vector<bvse::WindowedTerm> all = windowed(terms, cutoff);
  std::vector<double> tails(all.size());
  for (std::size_t k = 0; k < all.size(); ++k) tails[k] = all[k].tail_integral();
  double tail = 0.0;
  for (std::size_t i = 0; i < frac.size(); ++i) tail += weight[i] * tails[static_cast<std::size_t>(term[i])];
  tail /= lattice.volume();
  bvse::ImageBins images(lattice, frac, term, weight, all);
  impl_ = std::make_unique<Impl>(
      Impl{lattice, cutoff, tail, frac, term, weight, std::move(all), std::move(images)});
}

BvseField::~BvseField() = default;
BvseField::BvseField(BvseField&&) noexcept = default;
BvseField& BvseField::operator=(BvseField&&) noexcept = default;

const Lattice& BvseField::lattice() const { return impl_->lattice; }
double BvseField::cutoff() const { return impl_->cutoff; }
double BvseField::term_cutoff(std::size_t k) const { return impl_->terms.at(k).end; }
double BvseField::tail_energy() const { return impl_->tail_energy; }
std::size_t BvseField::image_count() const { return impl_->images.size(); }

// Sums over the neighbours of a wrapped point, block by block.
bvse::PointSums BvseField::Impl::sums(const Vec3& home, bool derivatives) const {
  bvse::PointSums result;
  std::array<bvse::PointBlock, 2> blocks;
  const auto full = [&](bool coulomb) {
    if (coulomb) {
      bvse::add_coulomb_block(blocks[1], derivatives, result);
    } else {
      bvse::add_morse_block(blocks[0], derivatives, result);
    }
  };
  images.near(lattice.to_cart(home), blocks, full);
  full(false);
  full(true);
  return result;
}

double BvseField::energy(const Vec3& frac) const {
  Vec3 home = frac;
  wrap_frac(home);
  return std::min(impl_->tail_energy + bvse::PointSums::total(impl_->sums(home, false).energy), kMaxEnergy);
}

double BvseField::energy_gradient(const Vec3& frac, Vec3* gradient, Mat3* hessian) const {
  using bvse::PointSums;
  Vec3 home = frac;
  wrap_frac(home);
  const PointSums sums = impl_->sums(home, gradient != nullptr || hessian != nullptr);
  if (gradient != nullptr) {
    for (int a = 0; a < 3; ++a) (*gradient)[a] = PointSums::total(sums.slope[static_cast<std::size_t>(a)]);
  }
  if (hessian != nullptr) {
    std::size_t at = 0;
    for (int a = 0; a < 3; ++a)
      for (int b = a; b < 3; ++b)
        (*hessian)[a][b] = (*hessian)[b][a] = PointSums::total(sums.curvature[at++]);
  }
  return impl_->tail_energy + PointSums::total(sums.energy);
}

void BvseField::grid(const Int3& shape, const std::vector<GridOperation>& operations, int num_threads,
                     float* values) const {
  bvse::TileSum sum{impl_->lattice, impl_->images, {}, impl_->tail_energy};
  for (const bvse::WindowedTerm& term : impl_->terms) {
    bvse::SplitTerm whole;
    whole.term = term;
    sum.terms.push_back(bvse::kernel_term(whole, bvse::Part::whole));
  }
  bvse::fill_grid(sum, shape, operations, num_threads, values);
}

void BvseField::energies(const Vec3* frac, std::size_t n, int num_threads, double* out) const {
  parallel_for(n, num_threads, [&](std::size_t i, int) { out[i] = energy(frac[i]); }, 64);
}

}  // namespace fastin
