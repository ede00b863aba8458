// Percolation, stationary points, refinement and paths on a potential whose critical points are known in
// closed form.
#include <atomic>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/percolation/descent_steps.hpp"
#include "fastin/percolation/grid_percolation.hpp"
#include "fastin/percolation/merge_tree.hpp"
#include "fastin/percolation/percolation_path.hpp"
#include "fastin/percolation/refine.hpp"
#include "fastin/percolation/sharpen.hpp"
#include "fastin/percolation/walks.hpp"

using namespace fastin;

namespace {

constexpr double kTwoPi = 6.283185307179586;

// -sum_k amplitude_k cos(2 pi (x_k - shift_k)): minima at the shift, passes half a cell away along one axis,
// so that the ion percolates in d dimensions at the (d)-th smallest 2 * amplitude above the minimum.
class Cosines final : public EnergyField {
 public:
  Cosines(const Vec3& lengths, const Vec3& amplitude, const Vec3& shift)
      : lattice_(Mat3{{Vec3{lengths.x, 0, 0}, Vec3{0, lengths.y, 0}, Vec3{0, 0, lengths.z}}}),
        amplitude_(amplitude),
        shift_(shift) {}
  const Lattice& lattice() const override { return lattice_; }
  double energy(const Vec3& frac) const override {
    double e = 0.0;
    for (int k = 0; k < 3; ++k) e -= amplitude_[k] * std::cos(kTwoPi * (frac[k] - shift_[k]));
    return e;
  }
  double derivatives(const Vec3& frac, Vec3* gradient, Mat3* hessian) const override {
    *hessian = Mat3{};
    for (int k = 0; k < 3; ++k) {
      const double wave = kTwoPi / lattice_.cell()[k][k], phase = kTwoPi * (frac[k] - shift_[k]);
      (*gradient)[k] = amplitude_[k] * wave * std::sin(phase);
      (*hessian)[k][k] = amplitude_[k] * wave * wave * std::cos(phase);
    }
    return energy(frac);
  }

 private:
  Lattice lattice_;
  Vec3 amplitude_, shift_;
};

std::vector<double> sample(const EnergyField& field, const Int3& shape) {
  std::vector<double> values;
  for (int i = 0; i < shape.x; ++i)
    for (int j = 0; j < shape.y; ++j)
      for (int k = 0; k < shape.z; ++k)
        values.push_back(field.energy({static_cast<double>(i) / shape.x, static_cast<double>(j) / shape.y,
                                       static_cast<double>(k) / shape.z}));
  return values;
}

void test_eigen() {
  const Mat3 m{{Vec3{2, -1, 0.5}, Vec3{-1, 3, 0.25}, Vec3{0.5, 0.25, -4}}};
  const SymmetricEigen e = symmetric_eigen(m);
  for (int k = 0; k < 3; ++k) {
    CHECK_NEAR(norm(times_col(m, e.vectors[k]) - e.values[k] * e.vectors[k]), 0.0, 1e-12);
    CHECK_NEAR(norm(e.vectors[k]), 1.0, 1e-12);
  }
  CHECK(e.values[0] <= e.values[1] && e.values[1] <= e.values[2]);
}

void test_searches(const Cosines& field, const Vec3& shift) {
  const SearchOptions options;
  const StationaryPoint low = find_minimum(field, shift + Vec3{0.11, -0.09, 0.13}, options);
  CHECK(low.converged && low.negative == 0);
  CHECK_NEAR(norm(low.frac - shift), 0.0, 1e-6);
  const Vec3 pass = shift + Vec3{0.5, 0.0, 0.0};
  const StationaryPoint saddle = find_saddle(field, pass + Vec3{0.03, 0.04, -0.03}, Vec3{1, 0, 0}, options);
  CHECK(saddle.converged && saddle.negative == 1);
  CHECK_NEAR(norm(saddle.frac - pass), 0.0, 1e-6);
  for (const double side : {-1.0, 1.0}) {
    std::vector<PathPoint> path;
    const auto never = [](const Vec3&, double) { return false; };
    CHECK(descend(field, saddle, side, options, never, &path));
    const double cells = std::round(path.back().frac.x - shift.x);
    CHECK_NEAR(norm(path.back().frac - shift - Vec3{cells, 0, 0}), 0.0, 1e-4);
    for (std::size_t i = 1; i < path.size(); ++i) CHECK(path[i].energy <= path[i - 1].energy);
  }
  // A string from minimum to minimum, started bent, finds the straight pass between.
  const std::vector<Vec3> bent{shift, shift + Vec3{0.25, 0.1, 0.05}, shift + Vec3{0.75, 0.08, -0.06},
                               shift + Vec3{1, 0, 0}};
  double top = -1e9;
  for (const PathPoint& p : relax_string(field, bent, 0.1, 60, std::numeric_limits<double>::infinity()))
    top = std::max(top, p.energy);
  CHECK_NEAR(top, field.energy(pass), 0.01);
}

// A field on a grid, refined.
struct Refined {
  Refined(const EnergyField& field, const Int3& shape, const RefineOptions& options = {})
      : values(sample(field, shape)),
        landscape({values.data(), shape}, 26),
        grid(percolate(landscape)),
        polisher(landscape, field, {}, options),
        found(refine_percolation(landscape, grid, polisher, options)) {}
  std::vector<double> values;
  GridLandscape landscape;
  GridPercolation grid;
  Polisher polisher;
  RefinedPercolation found;
};

void test_refinement(const Cosines& field, const Vec3& amplitude, const Int3& shape) {
  Refined run(field, shape);
  GridLandscape& landscape = run.landscape;
  const GridPercolation& grid = run.grid;
  Polisher& polisher = run.polisher;
  const RefinedPercolation& refined = run.found;
  RefineOptions batched;  // as after many rounds
  batched.batch_rounds = 0;
  Polisher again(landscape, field, {}, batched);
  const RefinedPercolation other = refine_percolation(landscape, grid, again, batched);
  CHECK(other.settled);
  for (std::size_t d = 0; d < 3; ++d) CHECK_NEAR(other.levels[d].energy, refined.levels[d].energy, 1e-9);
  const double bottom = -amplitude.x - amplitude.y - amplitude.z;
  CHECK_NEAR(refined.minimum_energy, bottom, 1e-9);
  CHECK(refined.settled);
  for (int d = 0; d < 3; ++d) {  // amplitudes are in rising order
    const auto i = static_cast<std::size_t>(d);
    CHECK_NEAR(refined.levels[i].energy, bottom + 2.0 * amplitude[d], 1e-8);
    CHECK(std::abs(grid.levels[i].energy - refined.levels[i].energy) > 1e-3);  // the grid alone is off
    CHECK(refined.levels[i].stationary);
    CHECK(refined.levels[i].translations.rank() == d + 1);
    const PercolationPath path = trace_path(landscape, refined.connections, d + 1, &field, &polisher);
    double top = -1e9;
    for (const PathPoint& p : path.points) top = std::max(top, p.energy);
    CHECK_NEAR(top, refined.levels[i].energy, 1e-8);
    Int3 step;
    step[d] = 1;
    CHECK(path.translation == step || path.translation == -step);
    CHECK_NEAR(norm(path.points.back().frac - path.points.front().frac - to_vec(path.translation)), 0.0,
               1e-4);
  }
  const SaddleNetwork network = saddle_network(landscape, polisher, field, {}, {}, refined.connections,
                                               refined.levels[2].energy + 1e-6);
  CHECK(network.sites.size() == 1);
  CHECK(network.hops.size() == 3);
  for (std::size_t d = 0; d < 3; ++d) CHECK_NEAR(network.levels[d], refined.levels[d].energy, 1e-8);
}

// A pass along the first axis with a dimple on it: two saddles half a grid step to two steps apart, and
// between them a minimum that may have no grid point of its own.
class Dimpled final : public EnergyField {
 public:
  explicit Dimpled(double shift) : waves_({4.0, 3.6, 3.6}, kAmplitude, {shift, 0.31, 0.17}), shift_(shift) {}
  const Lattice& lattice() const override { return waves_.lattice(); }
  double energy(const Vec3& frac) const override {
    return waves_.energy(frac) - kDepth * std::exp(-0.5 * squared(frac.x));
  }
  double derivatives(const Vec3& frac, Vec3* gradient, Mat3* hessian) const override {
    waves_.derivatives(frac, gradient, hessian);
    const double bell = kDepth * std::exp(-0.5 * squared(frac.x)), u = off(frac.x) / kWidth;
    gradient->x += bell * u / kWidth;
    (*hessian)[0].x += bell * (1.0 - u * u) / (kWidth * kWidth);
    return energy(frac);
  }
  // Highest point along the first axis: the pass.
  double top() const {
    double best = -1e9;
    for (int i = 0; i < 40000; ++i) best = std::max(best, energy({i / 40000.0, 0.31, 0.17}));
    return best;
  }
  static double bottom() { return -kAmplitude.x - kAmplitude.y - kAmplitude.z; }

 private:
  static constexpr Vec3 kAmplitude{0.3, 0.8, 0.9};
  static constexpr double kDepth = 0.04, kWidth = 0.08;  // eV, angstrom
  double off(double x) const {                           // angstrom, from the dimple's middle
    const double d = x - shift_ - 0.5 - 0.01;
    return 4.0 * (d - std::round(d));
  }
  double squared(double x) const { return off(x) * off(x) / (kWidth * kWidth); }
  Cosines waves_;
  double shift_;
};

void test_minimum_without_a_grid_point() {
  for (int k = 0; k < 24; ++k) {
    for (const std::int32_t points : {14, 16, 18, 20}) {
      const Dimpled field(k / 24.0 / points);
      Refined run(field, {points, 18, 18});
      const RefinedPercolation& refined = run.found;
      CHECK_NEAR(refined.levels[0].energy, field.top(), 1e-7);
      CHECK(refined.levels[0].stationary);
      CHECK_NEAR(field.energy(refined.levels[0].saddle), field.top(), 1e-7);
      const PercolationPath path = trace_path(run.landscape, refined.connections, 1, &field, &run.polisher);
      CHECK(path.points.size() > 2);
    }
  }
}

// A search cut short at any round gives the levels of what it knew, never an index that no pass has, and
// never a level below what the grid's error allows.
void test_cut_short(const Cosines& field, const Vec3& amplitude, const Int3& shape) {
  const double bottom = -amplitude.x - amplitude.y - amplitude.z;
  int unsettled = 0;
  for (int rounds = 0; rounds < 8; ++rounds) {
    RefineOptions options;
    options.max_rounds = rounds;
    Refined run(field, shape, options);
    GridLandscape& landscape = run.landscape;
    const GridPercolation& grid = run.grid;
    Polisher& polisher = run.polisher;
    const RefinedPercolation& refined = run.found;
    CHECK(refined.rounds <= rounds);
    unsettled += refined.settled ? 0 : 1;
    for (int d = 0; d < 3; ++d) {
      const RefinedLevel& level = refined.levels[static_cast<std::size_t>(d)];
      const double exact = bottom + 2.0 * amplitude[d],
                   on_grid = grid.levels[static_cast<std::size_t>(d)].energy;
      CHECK(level.energy <= std::max(exact, on_grid) + 1e-8 &&
            level.energy >= std::min(exact, on_grid) - 1e-8);
      CHECK(level.translations.rank() > d);
      CHECK_NEAR(level.minimum_energy, bottom, 1e-8);
      const PercolationPath path = trace_path(landscape, refined.connections, d + 1, &field, &polisher);
      CHECK(path.points.size() > 2);
    }
  }
  CHECK(unsettled > 0);
}

// A budget in evaluations ends the search as a limit of rounds does.
void test_budget(const Cosines& field, const Int3& shape) {
  std::int64_t last = -1;
  for (const std::int64_t work : {0, 20, 100, 1000000}) {
    RefineOptions options;
    options.max_work = work;
    options.patient_rounds = 1;
    const RefinedPercolation refined = Refined(field, shape, options).found;
    if (work == 0) CHECK(!refined.settled);
    if (work == 1000000) CHECK(refined.settled);
    CHECK(refined.evaluations >= last);
    last = refined.evaluations;
    for (const RefinedLevel& level : refined.levels) CHECK(std::isfinite(level.energy));
  }
}

void test_grid_by_hand() {
  // A channel along the second axis, its gate at 2.
  const double wall = std::numeric_limits<double>::infinity();
  std::vector<double> values(5 * 4 * 5, wall);
  const GridView view{values.data(), {5, 4, 5}};
  for (int j = 0; j < 4; ++j)
    values[static_cast<std::size_t>(view.ravel({2, j, 2}))] = j == 3 ? 2.0 : 0.5 * j;
  GridLandscape landscape(view, 6);
  const GridPercolation result = percolate(landscape);
  CHECK_NEAR(result.levels[0].energy, 2.0, 0.0);
  CHECK(std::isinf(result.levels[1].energy));
  CHECK(result.levels[0].translations.row(1) == (Int3{0, 1, 0}));
  CHECK(view.unravel(result.levels[0].voxel) == (Int3{2, 3, 2}));
  CHECK(view.unravel(result.levels[0].minimum_voxel) == (Int3{2, 0, 2}));
  CHECK_THROWS(GridLandscape(view, 18), InvalidInput);
  values[7] = std::nan("");
  CHECK_THROWS(GridLandscape(view, 6), InvalidInput);
}

// Any number of threads gives the same minima, passes, labels and levels; single precision the same as
// double.
void test_threads_and_floats() {
  const Int3 shape{72, 64, 65};  // two slabs of planes
  std::vector<float> floats;
  std::vector<double> values;
  std::uint32_t random = 12345;
  for (int i = 0; i < shape.x; ++i) {
    for (int j = 0; j < shape.y; ++j) {
      for (int k = 0; k < shape.z; ++k) {
        random = random * 1664525u + 1013904223u;
        const double noise = 0.8 * static_cast<double>(random >> 8) / 16777216.0;
        const double wave = std::cos(kTwoPi * 3 * i / shape.x) + 1.1 * std::cos(kTwoPi * 2 * j / shape.y) +
                            1.2 * std::cos(kTwoPi * 2 * k / shape.z);
        floats.push_back(static_cast<float>(wave + noise));
        const bool closed = floats.back() >= 3.2f;
        values.push_back(closed ? std::numeric_limits<double>::infinity()
                                : static_cast<double>(floats.back()));
      }
    }
  }
  GridLandscape plain({values.data(), shape}, 26);
  const GridPercolation expected = percolate(plain);
  CHECK(plain.passes().size() > 1000);
  for (const int threads : {1, 3}) {
    GridLandscape landscape({floats.data(), shape, 3.2f}, 26, threads);
    CHECK(landscape.minima() == plain.minima());
    CHECK(landscape.passes().size() == plain.passes().size());
    for (std::size_t i = 0; i < plain.passes().size(); ++i) {
      const GridLandscape::Pass &a = landscape.passes()[i], &b = plain.passes()[i];
      CHECK(a.energy == b.energy && a.voxel == b.voxel && a.lower == b.lower);
    }
    const GridPercolation result = percolate(landscape);
    CHECK(result.minimum_voxel == expected.minimum_voxel);
    for (std::size_t d = 0; d < 3; ++d) {
      CHECK(result.levels[d].energy == expected.levels[d].energy);
      CHECK(result.levels[d].voxel == expected.levels[d].voxel);
      CHECK(result.levels[d].basins == expected.levels[d].basins);
    }
    for (std::int32_t v = 0; v < static_cast<std::int32_t>(floats.size()); v += 97) {
      if (!std::isfinite(values[static_cast<std::size_t>(v)])) continue;
      const GridLandscape::Label a = landscape.label(v), b = plain.label(v);
      CHECK(a.basin == b.basin && a.cell == b.cell);
    }
  }
  floats[floats.size() - 3] = std::nanf("");
  CHECK_THROWS(GridLandscape({floats.data(), shape, 3.2f}, 26, 2), InvalidInput);
}

// What one thread writes is read back; what several write at once is read back or unknown, never half of
// each.
void test_descent_steps() {
  constexpr std::int32_t kPoints = 100'003;
  DescentSteps steps(kPoints);
  const auto same = [](const DescentStep& a, const DescentStep& b) {
    return a.target == b.target && a.shift == b.shift;
  };
  for (std::int32_t i = 0; i < kPoints; i += 7) steps.set(i, {i % 2 == 0 ? i + 1 : -i, -3 * i});
  for (std::int32_t i = 0; i < kPoints; ++i) {
    const DescentStep known{i % 2 == 0 ? i + 1 : -i, -3 * i};
    CHECK(same(steps.get(i), i % 7 == 0 ? known : DescentStep{0, 0}));
  }
  steps.set(14, {-5, 9});
  CHECK(same(steps.get(14), {-5, 9}));

  DescentSteps shared(kPoints);
  std::atomic<int> torn{0};
  parallel_for(40, 4, [&](std::size_t round, int) {
    const auto own = static_cast<std::int32_t>(round % 4 + 1);
    for (std::int32_t i = 0; i < kPoints; i += 11) {
      shared.set(i, {own, -own});
      const DescentStep seen = shared.get(i);
      if (seen.target != -seen.shift) ++torn;
    }
  });
  CHECK(torn == 0);
  for (std::int32_t i = 0; i < kPoints; ++i) {
    const std::int32_t target = shared.get(i).target;
    CHECK(i % 11 == 0 ? target >= 1 && target <= 4 : target == 0);
  }
}

// A level that belongs to no point (the foot of a string: NaHoO2 read 0.002 eV instead of 1.84) is not
// replaced by the energy of the point beside it.
void test_sharpen_keeps_bounds() {
  const Cosines field({4, 4, 4}, {1, 1, 1}, {0, 0, 0});
  RefinedPercolation result;
  result.minimum_energy = -3.0;
  for (std::size_t d = 0; d < 3; ++d) {
    RefinedLevel& level = result.levels[d];
    level.energy = d == 0 ? -1.5 : -1.0004;
    level.minimum_energy = -3.0;
    level.saddle = d == 0 ? Vec3{0, 0, 0} : Vec3{0.495, 0, 0};
    level.stationary = d == 1;
  }
  result.levels[2].saddle = Vec3{0.5, 0, 0};
  sharpen(field, SearchOptions{}, &result);
  CHECK_NEAR(result.levels[0].energy, -1.5, 1e-12);
  CHECK_NEAR(result.levels[1].energy, -1.0,
             1e-3);  // 0.01 of a cell off: no saddle of this level, exact there
  CHECK_NEAR(result.levels[2].energy, -1.0, 1e-12);
}

void test_walks() {
  const Cosines field({4, 5, 6}, {1, 0.7, 0.4}, {0.1, 0.2, 0.3});
  const VoidWalk at_void = walk_void(field, {0.2, 0.1, 0.35});
  CHECK_NEAR(at_void.centre, field.energy({0.2, 0.1, 0.35}), 1e-12);
  CHECK_NEAR(at_void.valley, -2.1, 1e-4);
  // From beside the pass along x: down in the plane across it, then up to the saddle.
  const BottleneckWalk neck = walk_bottleneck(field, {0.55, 0.25, 0.35}, {1, 0, 0});
  CHECK_NEAR(neck.centre, field.energy({0.55, 0.25, 0.35}), 1e-12);
  CHECK_NEAR(neck.crossing, field.energy({0.55, 0.2, 0.3}), 1e-4);
  CHECK_NEAR(neck.pass, 1.0 - 0.7 - 0.4, 1e-3);
  // On a ridge by symmetry: the walk leaves it.
  CHECK(walk_void(field, {0.1, 0.7, 0.3}).valley < field.energy({0.1, 0.7, 0.3}) - 0.5);
  const BottleneckWalk lost = walk_bottleneck(field, {0.55, 0.25, 0.35}, {0, 0, 0});
  CHECK(lost.centre == lost.pass && lost.centre == lost.crossing);
}

}  // namespace

int main() {
  test_descent_steps();
  test_sharpen_keeps_bounds();
  test_walks();
  const Vec3 amplitude{0.2, 0.35, 0.6}, shift{0.137, 0.291, 0.415};
  const Cosines field({3.1, 4.2, 3.7}, amplitude, shift);
  test_eigen();
  test_searches(field, shift);
  test_refinement(field, amplitude, {15, 20, 18});
  test_refinement(field, amplitude, {11, 13, 12});
  test_cut_short(field, amplitude, {15, 20, 18});
  test_cut_short(field, amplitude, {11, 13, 12});
  test_budget(field, {15, 20, 18});
  test_minimum_without_a_grid_point();
  test_threads_and_floats();
  test_grid_by_hand();
  return fastin::test::report("percolation");
}
