// Minima and saddles that the grid does not show: a Newton search from every grid point below the ceiling.
//
// A pass of the grid stands for the saddles wider than a point or two; shallow wells and low bumps come and
// go with the origin of the grid. Stationary points do not: each has a grid point within half the diagonal of
// a voxel, from where a Newton step leads to it.
#include <algorithm>
#include <cmath>

#include "fastin/transport/transport.hpp"

namespace fastin {
namespace {

// In units of the longest distance from a grid point that no other is nearer to:
constexpr double kSloped = 1.25;    // reach of the grid's own slopes, see GridSlopes
constexpr double kNear = 1.7;       // a first Newton step that is longer leads to no point of this voxel
constexpr double kTravel = 2.0;     // farther from the grid point others are nearer
constexpr double kKnown = 0.02;     // angstrom between two searches that found one point
constexpr double kFlat = 1e-2;      // eV/angstrom^2: smallest curvature that a step divides by
constexpr double kGridStep = 1e-4;  // of a grid step: translations are known to about 1e-5
constexpr int kMaxSteps = 15;
// eV/angstrom: what third derivatives add to the slope along a soft mode next to a stationary point.
constexpr double kGridSlack = 0.05;
// The Newton step to the stationary point of the local quadratic model, whatever its index.
Vec3 newton_step(const Vec3& gradient, const SymmetricEigen& eigen) {
  Vec3 step;
  for (int k = 0; k < 3; ++k) {
    const double curvature = eigen.values[k];
    const double safe = std::abs(curvature) < kFlat ? std::copysign(kFlat, curvature) : curvature;
    step -= (dot(gradient, eigen.vectors[k]) / safe) * eigen.vectors[k];
  }
  return step;
}

// Whether a stationary point can lie within a reach (angstrom) of a grid point, by the differences of the
// values around it: along each mode of their Hessian the slope is at most what the curvature makes of that
// reach, and what third derivatives add.
class GridSlopes {
 public:
  GridSlopes(const GridView& grid, const Lattice& lattice) : grid_(grid), to_steps_(lattice.inverse_cell()) {
    for (int r = 0; r < 3; ++r)
      for (int c = 0; c < 3; ++c) to_steps_[r][c] *= grid.shape[c];
  }
  bool may_be_near(std::int32_t voxel, double reach) const {
    const Int3 p = grid_.unravel(voxel);
    const double here = grid_.at(voxel);
    Vec3 slope;
    Mat3 bend;
    for (int a = 0; a < 3; ++a) {
      const double up = value(p, a, 1, a, 0), down = value(p, a, -1, a, 0);
      slope[a] = 0.5 * (up - down);
      bend[a][a] = up + down - 2.0 * here;
      for (int b = 0; b < a; ++b) {
        const double cross =
            value(p, a, 1, b, 1) + value(p, a, -1, b, -1) - value(p, a, 1, b, -1) - value(p, a, -1, b, 1);
        bend[a][b] = bend[b][a] = 0.25 * cross;
      }
    }
    // Derivatives by grid steps -> Cartesian.
    const Vec3 gradient = times_col(to_steps_, slope);
    Mat3 half, hessian;
    for (int r = 0; r < 3; ++r) {
      half[r] = row_times(to_steps_[r], bend);
    }
    for (int r = 0; r < 3; ++r)
      for (int c = 0; c < 3; ++c) hessian[r][c] = dot(half[r], to_steps_[c]);
    if (!std::isfinite(norm(gradient)) ||
        !std::isfinite(norm(hessian[0]) + norm(hessian[1]) + norm(hessian[2])))
      return false;  // beside an atom
    const SymmetricEigen eigen = symmetric_eigen(hessian);
    for (int k = 0; k < 3; ++k) {
      const double bound = reach * std::abs(eigen.values[k]) + kGridSlack;
      if (std::abs(dot(gradient, eigen.vectors[k])) > bound) return false;
    }
    return true;
  }

 private:
  double value(Int3 p, int a, int da, int b, int db) const {
    p[a] += da;
    p[b] += db;
    grid_.wrap(p);
    return grid_.at(grid_.ravel(p));
  }
  const GridView& grid_;
  Mat3 to_steps_;  // Cartesian -> grid steps, rows times it
};

// Half of the longest diagonal of a voxel.
double half_diagonal(const Int3& shape, const Lattice& lattice) {
  double longest = 0.0;
  for (int corner = 0; corner < 4; ++corner) {
    const Vec3 diagonal{1.0 / shape.x, ((corner & 1) != 0 ? -1.0 : 1.0) / shape.y,
                        ((corner & 2) != 0 ? -1.0 : 1.0) / shape.z};
    longest = std::max(longest, norm(lattice.to_cart(diagonal)));
  }
  return 0.5 * longest;
}

// Images of grid points under operations that map grid points on grid points.
class GridImages {
 public:
  GridImages(const GridView& grid, const std::vector<FractionalOperation>& operations) : grid_(grid) {
    for (const FractionalOperation& op : operations) add(op);
  }
  void mark(std::int32_t voxel, std::vector<std::uint8_t>* seen) const {
    const Int3 p = grid_.unravel(voxel);
    for (const Image& image : images_) {
      Int3 q = image.shift;
      for (int r = 0; r < 3; ++r) {
        for (int c = 0; c < 3; ++c) {
          q[r] += image.rotation[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)] * p[c];
        }
      }
      grid_.wrap(q);
      (*seen)[static_cast<std::size_t>(grid_.ravel(q))] = 1;
    }
  }

 private:
  struct Image {
    std::array<std::array<std::int32_t, 3>, 3> rotation{};
    Int3 shift;
  };
  void add(const FractionalOperation& op) {
    Image image;
    const Int3 n = grid_.shape;
    for (int r = 0; r < 3; ++r) {
      const double t = op.translation[r] * n[r], whole = std::round(t);
      if (std::abs(t - whole) > kGridStep) return;
      image.shift[r] = static_cast<std::int32_t>(whole);
      for (int c = 0; c < 3; ++c) {
        const auto i = static_cast<std::size_t>(r), j = static_cast<std::size_t>(c);
        const std::int32_t scaled = op.rotation[i][j] * n[r];
        if (scaled % n[c] != 0) return;
        image.rotation[i][j] = scaled / n[c];
      }
    }
    images_.push_back(image);
  }

  const GridView& grid_;
  std::vector<Image> images_;
};

}  // namespace

bool TransportLandscape::knows_point(const Vec3& frac) const {
  const auto near = [&](const Vec3& known) {
    const Vec3 gap = frac - known;
    const Vec3 whole{std::round(gap.x), std::round(gap.y), std::round(gap.z)};
    return norm(field_.lattice().to_cart(gap - whole)) < kKnown;
  };
  return std::any_of(saddles_.begin(), saddles_.end(), near) ||
         std::any_of(others_.begin(), others_.end(), near) ||
         std::any_of(sites_.begin(), sites_.end(), [&](const TransportSite& s) { return near(s.frac); });
}

// The stationary point that Newton steps reach from a grid point, of any index; not converged where they lead
// away from it or to a point that is known.
StationaryPoint TransportLandscape::newton_from(const Vec3& start, double reach) const {
  const Lattice& lattice = field_.lattice();
  StationaryPoint point;
  point.frac = start;
  for (int i = 0; i < kMaxSteps; ++i) {
    Vec3 gradient;
    Mat3 hessian;
    point.energy = field_.derivatives(point.frac, &gradient, &hessian);
    const SymmetricEigen eigen = symmetric_eigen(hessian);
    const double tolerance = options_.refine.search.gradient_tolerance;
    if (norm(gradient) < tolerance) {
      // Beyond the cutoff of every atom the energy is one plateau, each point of it without a slope: what the
      // tolerance does not place is no point.
      double softest = std::abs(eigen.values[0]);
      for (int k = 1; k < 3; ++k) softest = std::min(softest, std::abs(eigen.values[k]));
      if (softest * kKnown < tolerance) return point;
      point.negative = static_cast<int>(eigen.values.x < 0.0) + static_cast<int>(eigen.values.y < 0.0) +
                       static_cast<int>(eigen.values.z < 0.0);
      point.mode = eigen.vectors[0];
      point.converged = true;
      return point;
    }
    Vec3 step = newton_step(gradient, eigen);
    const double length = norm(step);
    if (i == 0 && length > kNear * reach) return point;
    if (knows_point(point.frac + lattice.to_frac(step))) return point;
    if (length > options_.refine.search.max_step) step = (options_.refine.search.max_step / length) * step;
    point.frac += lattice.to_frac(step);
    if (norm(lattice.to_cart(point.frac - start)) > kTravel * reach) return point;
  }
  return point;
}

void TransportLandscape::search_everywhere(double top) {
  const GridView& grid = landscape_.grid();
  const GridImages images(grid, exact_);
  const GridSlopes slopes(grid, field_.lattice());
  const double reach = half_diagonal(grid.shape, field_.lattice());
  std::vector<std::uint8_t> seen(grid.size(), 0);
  for (std::size_t v = 0; v < grid.size(); ++v) {
    const auto voxel = static_cast<std::int32_t>(v);
    if (seen[v] != 0 || grid.at(voxel) > top) continue;
    images.mark(voxel, &seen);
    if (!slopes.may_be_near(voxel, kSloped * reach)) continue;
    const StationaryPoint point = newton_from(grid.frac(voxel), reach);
    if (!point.converged || point.energy > options_.ceiling || knows_point(point.frac)) continue;
    if (point.negative == 0) {
      site_at(point);
    } else if (point.negative == 1) {
      Hop hop;
      if (fall_off(point, &hop)) add_hop(hop);
    } else {
      for (const CrystalOperation& op : operations_) others_.push_back(apply(op, point.frac));
    }
  }
}

}  // namespace fastin
