// The transport network of a potential whose valleys fork: every equivalent minimum shares the flux.
#include "fastin/transport/transport.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"

using namespace fastin;

namespace {

constexpr double kTwoPi = 6.283185307179586;
constexpr double kA = 0.5, kB = 0.2, kC = 1.0, kD = 0.1, kLength = 5.0;

// Along x a valley on the mirror plane y = 0 at the pass x = 1/2, which forks into two wells at x = 0:
// E = -A cos X - C cos Z - D cos Y + B (1 + cos X) / 2 cos 2Y with X = 2 pi x; the wells lie at cos Y = D /
// 4B.
class Forked final : public EnergyField {
 public:
  Forked() : lattice_(Mat3{{Vec3{kLength, 0, 0}, Vec3{0, kLength, 0}, Vec3{0, 0, kLength}}}) {}
  const Lattice& lattice() const override { return lattice_; }
  double energy(const Vec3& frac) const override {
    Vec3 gradient;
    Mat3 hessian;
    return derivatives(frac, &gradient, &hessian);
  }
  double derivatives(const Vec3& frac, Vec3* gradient, Mat3* hessian) const override {
    const double x = kTwoPi * frac.x, y = kTwoPi * frac.y, z = kTwoPi * frac.z, w = kTwoPi / kLength;
    const double g = 0.5 * (1.0 + std::cos(x)), h = kB * std::cos(2 * y), dh = -2 * kB * std::sin(2 * y);
    *gradient = w * Vec3{(kA - 0.5 * h) * std::sin(x), kD * std::sin(y) + g * dh, kC * std::sin(z)};
    *hessian = Mat3{};
    (*hessian)[0][0] = w * w * (kA - 0.5 * h) * std::cos(x);
    (*hessian)[0][1] = (*hessian)[1][0] = w * w * -0.5 * std::sin(x) * dh;
    (*hessian)[1][1] = w * w * (kD * std::cos(y) - 4 * g * h);
    (*hessian)[2][2] = w * w * kC * std::cos(z);
    return -kA * std::cos(x) - kC * std::cos(z) - kD * std::cos(y) + g * h;
  }

 private:
  Lattice lattice_;
};

FractionalOperation diagonal(int x, int y, int z) {
  FractionalOperation op;
  op.rotation[0][0] = x;
  op.rotation[1][1] = y;
  op.rotation[2][2] = z;
  return op;
}

struct Case {
  Forked field;
  Int3 shape{20, 20, 20};
  std::vector<double> values;
  Case() {
    for (int i = 0; i < shape.x; ++i)
      for (int j = 0; j < shape.y; ++j)
        for (int k = 0; k < shape.z; ++k) values.push_back(field.energy({i / 20.0, j / 20.0, k / 20.0}));
  }
};

void forked_valley_reaches_both_wells() {
  const Case c;
  const std::vector<FractionalOperation> operations{diagonal(1, 1, 1), diagonal(1, -1, 1), diagonal(-1, 1, 1),
                                                    diagonal(-1, -1, 1)};
  GridLandscape landscape({c.values.data(), c.shape}, 26);
  TransportOptions options;
  options.ceiling = 0.0;
  Polisher polisher(landscape, c.field, operations, options.refine);
  const RefinedPercolation levels =
      refine_percolation(landscape, percolate(landscape), polisher, options.refine);
  TransportLandscape transport(landscape, c.field, operations, crystal_operations(operations), options);
  transport.build(levels);
  CHECK(transport.sites().size() == 2);
  const double well = std::acos(kD / (4 * kB)) / kTwoPi;
  for (const TransportSite& s : transport.sites()) {
    CHECK_NEAR(std::min(std::abs(s.frac.y - well), std::abs(s.frac.y - 1 + well)), 0.0, 1e-5);
    CHECK_NEAR(s.energy, c.field.energy({0, well, 0}), 1e-9);
  }
  const double pass = c.field.energy({0.5, 0, 0});
  int through = 0;
  double flux = 0.0;
  for (const TransportHop& h : transport.hops()) {
    CHECK(h.stationary);
    CHECK_NEAR(c.field.energy(h.saddle), h.energy, 1e-9);
    if (std::abs(h.energy - pass) > 1e-6) {
      CHECK(h.a != h.b && h.weight == 1.0);  // between the wells of one cell, over y = 0 or y = 1/2
      continue;
    }
    ++through;
    flux += h.weight;
    CHECK(std::abs(h.cell.x) == 1);
  }
  CHECK(through == 4);  // each well to each well of the next cell
  CHECK_NEAR(flux, 1.0, 1e-12);
  CHECK_NEAR(levels.levels[1].energy, pass, 1e-8);
}

// Searches that know no symmetry, on a grid that breaks it: the network is closed all the same.
void network_is_closed_under_the_operations() {
  const Case c;
  const std::vector<FractionalOperation> operations{diagonal(1, 1, 1), diagonal(1, -1, 1), diagonal(-1, 1, 1),
                                                    diagonal(-1, -1, 1)};
  GridLandscape landscape({c.values.data(), c.shape}, 26);
  TransportOptions options;
  options.ceiling = 0.0;
  Polisher polisher(landscape, c.field, {}, options.refine);
  TransportLandscape transport(landscape, c.field, {}, crystal_operations(operations), options);
  transport.build(refine_percolation(landscape, percolate(landscape), polisher, options.refine));
  CHECK(transport.sites().size() == 2);
  CHECK(transport.sites()[0].energy == transport.sites()[1].energy);
  CHECK(transport.sites()[1].orbit == 0);
  for (const TransportHop& h : transport.hops()) {
    for (const FractionalOperation& op : operations) {
      const Vec3 image = apply(op, h.saddle);
      CHECK(std::any_of(transport.hops().begin(), transport.hops().end(), [&](const TransportHop& other) {
        Vec3 gap = image - other.saddle;
        for (int k = 0; k < 3; ++k) gap[k] -= std::round(gap[k]);
        return norm(gap) < 1e-6 && other.energy == h.energy && other.orbit == h.orbit;
      }));
    }
  }
}

void points_drain_to_their_wells() {
  const Case c;
  GridLandscape landscape({c.values.data(), c.shape}, 26);
  TransportOptions options;
  options.ceiling = 0.0;
  Polisher polisher(landscape, c.field, {}, options.refine);
  TransportLandscape transport(landscape, c.field, {}, {}, options);
  transport.build(refine_percolation(landscape, percolate(landscape), polisher, options.refine));
  const SiteLabel home = transport.label({0.06, 0.2, 0.04}), away = transport.label({1.06, 0.2, -0.96});
  CHECK(home.site >= 0 && home.site == away.site);
  CHECK(away.cell - home.cell == (Int3{1, 0, -1}));
  CHECK(transport.label({0.06, -0.2, 0.04}).site != home.site);
}

void saddle_paths_fall_on_both_sides() {
  const Forked field;
  const std::vector<PathPoint> path = saddle_path(field, {0.5, 0.0, 0.0});
  std::size_t top = 0;
  for (std::size_t i = 0; i < path.size(); ++i) top = path[i].energy > path[top].energy ? i : top;
  for (std::size_t i = 1; i < path.size(); ++i) {
    CHECK(i <= top ? path[i].energy >= path[i - 1].energy : path[i].energy <= path[i - 1].energy);
  }
  CHECK_NEAR(path[top].frac.x, 0.5, 1e-9);
  CHECK_NEAR(std::abs(path.front().frac.x - path.back().frac.x), 1.0, 1e-3);
}

}  // namespace

int main() {
  forked_valley_reaches_both_wells();
  network_is_closed_under_the_operations();
  points_drain_to_their_wells();
  saddle_paths_fall_on_both_sides();
  return fastin::test::report("transport");
}
