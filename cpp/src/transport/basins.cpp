// Basins of steepest descent on the continuous energy.
#include <algorithm>
#include <cmath>

#include "fastin/transport/transport.hpp"

namespace fastin {
namespace {

constexpr double kFlatSlope = 1e-3;      // eV/angstrom: a ridge or a stationary point is reached
constexpr double kFallCurvature = 1e-3;  // eV/angstrom^2 below zero: the descent goes on along this mode
constexpr double kFallStep = 0.05;       // angstrom off a ridge
constexpr double kStride = 0.05;         // angstrom: longest step, a tenth of the narrowest basins
constexpr double kOnElement = 0.02;      // angstrom from a symmetry element: rounded coordinates
constexpr int kMaxStrides = 2000;
constexpr int kMaxForks = 3;  // a maximum, a saddle of index 2, one of index 1

// Follows steepest descent until it runs flat; the Hessian's modes there.
Vec3 run_down(const EnergyField& field, Vec3 at, SymmetricEigen* eigen) {
  Vec3 gradient;
  Mat3 hessian;
  double energy = field.derivatives(at, &gradient, &hessian);
  double reach = kStride;
  *eigen = symmetric_eigen(hessian);
  for (int i = 0; i < kMaxStrides && norm(gradient) > kFlatSlope && reach > 1e-7; ++i) {
    const Vec3 next = at + field.lattice().to_frac(descent_step(gradient, *eigen, reach));
    Vec3 slope;
    Mat3 curvature;
    const double lower = field.derivatives(next, &slope, &curvature);
    if (lower > energy) {
      reach *= 0.5;
      continue;
    }
    at = next;
    energy = lower;
    gradient = slope;
    *eigen = symmetric_eigen(curvature);
    reach = std::min(2.0 * reach, kStride);
  }
  return at;
}

void fall_from(const EnergyField& field, const Vec3& frac, const SearchOptions& options, int forks,
               std::vector<StationaryPoint>* minima) {
  SymmetricEigen eigen;
  const Vec3 at = run_down(field, frac, &eigen);
  if (forks < kMaxForks && eigen.values.x < -kFallCurvature) {
    for (int k = 0; k < 3 && eigen.values[k] < -kFallCurvature; ++k) {
      for (const double side : {1.0, -1.0}) {
        const Vec3 off = at + field.lattice().to_frac(side * kFallStep * eigen.vectors[k]);
        fall_from(field, off, options, forks + 1, minima);
      }
    }
    return;
  }
  const StationaryPoint minimum = find_minimum(field, at, options);
  if (minimum.converged) minima->push_back(minimum);
}

}  // namespace

std::vector<StationaryPoint> fall(const EnergyField& field, const Vec3& frac, const SearchOptions& options) {
  std::vector<StationaryPoint> minima;
  fall_from(field, frac, options, 0, &minima);
  return minima;
}

std::vector<SiteLabel> TransportLandscape::basins(const Vec3& frac) {
  std::vector<SiteLabel> labels;
  for (const StationaryPoint& minimum : fall(field_, frac, options_.refine.search)) {
    add_end(find_site(minimum.frac), &labels);
  }
  // On a symmetry element a descent may take one of several equivalent ways.
  for (const CrystalOperation& op : stabiliser(frac, kOnElement)) {
    for (std::size_t n = 0; n < labels.size(); ++n) {
      const SiteLabel label = labels[n];
      add_end(moved(op, label), &labels);
    }
  }
  return labels;
}

}  // namespace fastin
