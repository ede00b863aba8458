#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "fastin/base/simd.hpp"
#include "fastin/bvse/bvse.hpp"
#include "fastin/geometry/site_symmetry.hpp"

using namespace fastin;

namespace {

// Largest relative error of f against its reference over [low, high].
template <class F, class G>
double worst_relative(F&& f, G&& reference, double low, double high) {
  double worst = 0.0;
  constexpr int kSteps = 200000;
  for (int i = 0; i <= kSteps; ++i) {
    const auto x = static_cast<float>(low + (high - low) * i / kSteps);
    const double want = reference(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(f(x)) / want - 1.0));
  }
  return worst;
}

void test_elementary_functions() {
  CHECK(worst_relative([](float x) { return simd::exp2_core(x); }, [](double x) { return std::exp2(x); },
                       -126.0, 126.9) < 2e-7);
  CHECK(worst_relative([](float x) { return simd::exp(x); }, [](double x) { return std::exp(x); }, -87.0,
                       88.0) < 3e-7);
  CHECK(simd::exp(-1e30f) >= 0.0f && simd::exp(-1e30f) < 2e-38f);
  CHECK(std::isfinite(simd::exp(1e30f)));
  CHECK(worst_relative([](float x) { return simd::erfc(x); }, [](double x) { return std::erfc(x); }, -10.0,
                       4.0) < 4e-6);
  CHECK(worst_relative([](float x) { return simd::erfc(x); }, [](double x) { return std::erfc(x); }, 4.0,
                       9.0) < 2e-5);
  double absolute = 0.0;
  for (double x = -10.0; x < 10.0; x += 1e-4) {
    const auto xf = static_cast<float>(x);
    const double error = static_cast<double>(simd::erfc(xf)) - std::erfc(static_cast<double>(xf));
    absolute = std::max(absolute, std::abs(error));
  }
  CHECK(absolute < 5e-7);
  double worst_exp = 0.0, worst_tail = 0.0;
  for (int i = 0; i <= 400000; ++i) {
    const double x = -700.0 + 1400.0 * i / 400000, y = 10.0 * i / 400000;
    worst_exp = std::max(worst_exp, std::abs(simd::exp(x) / std::exp(x) - 1.0));
    worst_tail = std::max(worst_tail, std::abs(simd::erfc_tail(y) / std::erfc(y) - 1.0));
  }
  CHECK(worst_exp < 1e-15);
  CHECK(worst_tail < 3e-13);
  CHECK(simd::exp(-1e9) > 0.0 && simd::exp(-1e9) < 1e-300 && std::isfinite(simd::exp(1e9)));
}

// A skewed cell with an anion (Morse), a partly occupied cation (Coulomb) and an atom at the origin.
struct Case {
  Lattice lattice{Mat3{{Vec3{5.1, 0, 0}, Vec3{1.4, 4.3, 0}, Vec3{-0.7, 0.9, 6.2}}}};
  std::vector<Vec3> frac{{0.0, 0.0, 0.0}, {0.31, 0.62, 0.17}, {0.74, 0.18, 0.55}, {1.4, -0.3, 0.93}};
  std::vector<std::int32_t> term{0, 0, 1, 1};
  std::vector<double> weight{1.0, 0.6, 1.0, 0.25};
  std::vector<PairTerm> terms{{false, 0.49, 1.94, 1.94}, {true, 11.0, 2.1, 0.0}};
  BvseField field(double cutoff) const { return BvseField(lattice, frac, term, weight, terms, cutoff); }
};

// Plain sum over images out to 40 angstrom, without a window.
double brute(const Case& c, const Vec3& x) {
  double sum = 0.0;
  const Int3 n = c.lattice.images_within(46.0);
  for (std::size_t i = 0; i < c.frac.size(); ++i) {
    Vec3 home = c.frac[i];
    wrap_frac(home);
    const PairTerm& t = c.terms[static_cast<std::size_t>(c.term[i])];
    for (int a = -n.x; a <= n.x; ++a)
      for (int b = -n.y; b <= n.y; ++b)
        for (int d = -n.z; d <= n.z; ++d) {
          const double r = norm(c.lattice.to_cart(home + to_vec({a, b, d}) - x));
          if (r > 40.0) continue;
          const double e = std::exp(t.alpha * (t.length - r));
          sum += c.weight[i] *
                 (t.coulomb ? t.amplitude / r * std::erfc(r / t.length) : t.amplitude * e * (e - 2.0));
        }
  }
  return sum;
}

void test_points() {
  const Case c;
  const std::vector<Vec3> points{{0.5, 0.5, 0.5}, {0.12, 0.83, 0.36}, {0.9, 0.4, 0.05}, {-2.7, 3.1, 0.8}};
  const BvseField field = c.field(10.0), wide = c.field(20.0), narrow = c.field(7.0);
  for (const Vec3& x : points) {
    const double exact = brute(c, x);
    CHECK_NEAR(wide.energy(x), exact, 1e-6);  // terms below kNegligible are left out
    CHECK_NEAR(field.energy(x), exact, 2e-6);
    CHECK_NEAR(narrow.energy(x), exact, 2e-3);  // what lies beyond 7 angstrom is there in the mean
    Vec3 gradient;
    Mat3 hessian;
    CHECK_NEAR(field.energy_gradient(x, &gradient, &hessian), field.energy(x), 1e-12);
    const double h = 1e-4;
    for (int k = 0; k < 3; ++k) {
      Vec3 step;
      step[k] = h;
      Vec3 up, down;
      const double above = field.energy_gradient(x + c.lattice.to_frac(step), &up, nullptr);
      const double below = field.energy_gradient(x - c.lattice.to_frac(step), &down, nullptr);
      CHECK_NEAR(gradient[k], (above - below) / (2 * h), 1e-6 * (1.0 + std::abs(gradient[k])));
      for (int l = 0; l < 3; ++l) {
        CHECK_NEAR(hessian[l][k], (up[l] - down[l]) / (2 * h), 2e-4 * (1.0 + std::abs(hessian[l][k])));
        CHECK_NEAR(hessian[l][k], hessian[k][l], 1e-12);
      }
    }
  }
  // The window keeps energy and gradient continuous where images enter the cutoff.
  double jump = 0.0;
  for (int i = 0; i < 2000; ++i) {
    const Vec3 a{0.1 + 1e-4 * i, 0.4, 0.3}, b{0.1 + 1e-4 * (i + 1), 0.4, 0.3};
    Vec3 ga, gb;
    Mat3 ha;
    narrow.energy_gradient(a, &ga, &ha);
    narrow.energy_gradient(b, &gb, nullptr);
    const Vec3 expected = ga + times_col(ha, c.lattice.to_cart(b - a));
    jump = std::max(jump, norm(gb - expected));
  }
  CHECK(jump < 1e-4);
}

void test_overlap_and_arguments() {
  const Case c;
  const BvseField field = c.field(10.0);
  CHECK(std::isfinite(field.energy(c.frac[0])));
  CHECK(field.energy(c.frac[2]) <= BvseField::kMaxEnergy && field.energy(c.frac[2]) > 100.0);
  Vec3 gradient;
  Mat3 hessian;
  CHECK(std::isfinite(field.energy_gradient(c.frac[2], &gradient, &hessian)));
  CHECK(std::isfinite(norm(gradient)) && std::isfinite(norm(hessian[0])));
  std::vector<float> values(8);
  field.grid({2, 2, 2}, {}, 1, values.data());
  CHECK(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
  // The Coulomb term ends long before the cutoff.
  CHECK(field.term_cutoff(0) == 10.0 && field.term_cutoff(1) > 6.0 && field.term_cutoff(1) < 9.0);
  CHECK_THROWS(c.field(1.0), InvalidInput);
  CHECK_THROWS(c.field(std::numeric_limits<double>::quiet_NaN()), InvalidInput);
  CHECK_THROWS(field.grid({0, 2, 2}, {}, 1, values.data()), InvalidInput);
  CHECK_THROWS(BvseField(c.lattice, c.frac, {0, 0, 2, 1}, c.weight, c.terms, 10.0), InvalidInput);
  CHECK_THROWS(BvseField(c.lattice, c.frac, c.term, {1, 1, -1, 1}, c.terms, 10.0), InvalidInput);
  CHECK_THROWS(BvseField(c.lattice, c.frac, c.term, {1, 1, 1}, c.terms, 10.0), InvalidInput);
  CHECK_THROWS(BvseField(c.lattice, {{0, 0, 0}, {0, NAN, 0}}, {0, 0}, {1, 1}, c.terms, 10.0), InvalidInput);
}

void test_grid_matches_points() {
  const Case c;
  const BvseField field = c.field(10.0);
  const Int3 shape{26, 23, 31};
  std::vector<float> one(26 * 23 * 31), four(one.size());
  field.grid(shape, {}, 1, one.data());
  field.grid(shape, {}, 4, four.data());
  CHECK(one == four);
  double worst = 0.0, worst_relative_above = 0.0;
  for (int i = 0; i < shape.x; ++i)
    for (int j = 0; j < shape.y; ++j)
      for (int k = 0; k < shape.z; ++k) {
        const double exact = field.energy({static_cast<double>(i) / shape.x, static_cast<double>(j) / shape.y,
                                           static_cast<double>(k) / shape.z});
        const double got =
            static_cast<double>(one[static_cast<std::size_t>((i * shape.y + j) * shape.z + k)]);
        const double error = std::abs(got - exact);
        if (exact < 20.0) {
          worst = std::max(worst, error);
        } else {
          worst_relative_above = std::max(worst_relative_above, error / exact);
        }
      }
  CHECK(worst < 1e-4);
  CHECK(worst_relative_above < 1e-5);
}

// A body-centred, inversion- and fourfold-symmetric arrangement: 16 operations.
std::vector<Operation> tetragonal_operations() {
  std::vector<Operation> out;
  for (const int inversion : {1, -1})
    for (int turn = 0; turn < 4; ++turn)
      for (const double half : {0.0, 0.5}) {
        Operation g;
        const std::array<std::array<int, 4>, 4> quarter{
            {{1, 0, 0, 1}, {0, -1, 1, 0}, {-1, 0, 0, -1}, {0, 1, -1, 0}}};
        const auto& q = quarter[static_cast<std::size_t>(turn)];
        g.rotation[0] = {inversion * q[0], inversion * q[1], 0};
        g.rotation[1] = {inversion * q[2], inversion * q[3], 0};
        g.rotation[2] = {0, 0, inversion};
        g.translation = {half, half, half};
        out.push_back(g);
      }
  return out;
}

void test_symmetry() {
  const std::vector<Operation> operations = tetragonal_operations();
  const Lattice lattice(Mat3{{Vec3{4.6, 0, 0}, Vec3{0, 4.6, 0}, Vec3{0, 0, 7.3}}});
  std::vector<Vec3> frac;
  for (const Vec3 seed : {Vec3{0.21, 0.34, 0.12}, Vec3{0.0, 0.0, 0.0}})
    for (const Operation& g : operations) {
      const Vec3 image = g.apply(seed);
      const bool present = std::any_of(frac.begin(), frac.end(), [&](const Vec3& y) {
        Vec3 d = image - y;
        for (int k = 0; k < 3; ++k) d[k] -= std::round(d[k]);
        return norm(d) < 1e-6;
      });
      if (!present) frac.push_back(image);
    }
  CHECK(frac.size() == 18);
  std::vector<std::int32_t> kind(18, 0);
  kind[16] = kind[17] = 1;
  // Rounding noise is averaged away; a real displacement removes the operations it breaks and leaves a group.
  std::vector<Vec3> noisy = frac;
  noisy[3].x += 2e-5;
  const SiteSymmetry mended = site_symmetry(lattice, noisy, kind, operations, 5e-4);
  CHECK(mended.kept.size() == 16 && mended.largest_shift > 1e-6 && mended.largest_shift < 1e-4);
  const SiteSymmetry again = site_symmetry(lattice, mended.frac, kind, operations, 5e-4);
  CHECK(again.largest_shift < 1e-12);
  std::vector<Vec3> broken = frac;
  broken[16].z += 0.01;
  CHECK(site_symmetry(lattice, broken, kind, operations, 5e-4).kept.size() == 4);  // fourfold axis only
  const Lattice stretched(Mat3{{Vec3{4.6, 0, 0}, Vec3{0, 4.61, 0}, Vec3{0, 0, 7.3}}});
  CHECK(site_symmetry(stretched, frac, kind, operations, 5e-4).kept.size() < 16);

  const std::vector<PairTerm> terms{{false, 0.49, 1.94, 1.94}, {true, 11.0, 2.1, 0.0}};
  const BvseField field(lattice, frac, kind, std::vector<double>(18, 1.0), terms, 10.0);
  const Int3 shape{24, 24, 38};
  std::vector<GridOperation> on_grid;
  for (const Operation& g : operations) {
    GridOperation h;
    h.rotation = g.rotation;
    h.shift = {static_cast<std::int32_t>(std::lround(g.translation.x * 24)),
               static_cast<std::int32_t>(std::lround(g.translation.y * 24)),
               static_cast<std::int32_t>(std::lround(g.translation.z * 38))};
    on_grid.push_back(h);
  }
  std::vector<float> plain(24 * 24 * 38), reduced(plain.size()), threaded(plain.size());
  field.grid(shape, {}, 1, plain.data());
  field.grid(shape, on_grid, 1, reduced.data());
  field.grid(shape, on_grid, 3, threaded.data());
  CHECK(reduced == threaded);
  double worst = 0.0;
  for (std::size_t i = 0; i < plain.size(); ++i)
    if (plain[i] < 20.0f) worst = std::max(worst, static_cast<double>(std::abs(plain[i] - reduced[i])));
  CHECK(worst < 1e-4);
}

// Threads look for the orbits of a large grid together: the same bits as one alone, also with operations that
// are no group; and the points of a supercell are those of one cell, repeated.
void test_orbits_by_threads() {
  const std::vector<Operation> operations = tetragonal_operations();
  const std::vector<PairTerm> terms{{false, 0.49, 1.94, 1.94}, {true, 11.0, 2.1, 0.0}};
  for (const int cells : {1, 2}) {
    const Lattice lattice(Mat3{{Vec3{4.6, 0, 0}, Vec3{0, 4.6, 0}, Vec3{0, 0, 7.3 * cells}}});
    std::vector<Vec3> frac;
    const auto add = [&](Vec3 at) {
      wrap_frac(at);
      const auto same = [&](const Vec3& y) {
        Vec3 d = at - y;
        for (int k = 0; k < 3; ++k) d[k] -= std::round(d[k]);
        return norm(d) < 1e-6;
      };
      if (std::none_of(frac.begin(), frac.end(), same)) frac.push_back(at);
    };
    const Int3 shape{96, 96, 76 * cells};
    std::vector<GridOperation> on_grid;
    for (int c = 0; c < cells; ++c) {
      for (const Operation& g : operations) {
        GridOperation h;
        h.rotation = g.rotation;
        h.shift = {static_cast<std::int32_t>(std::lround(g.translation.x * 96)),
                   static_cast<std::int32_t>(std::lround(g.translation.y * 96)),
                   static_cast<std::int32_t>(std::lround(g.translation.z * 76)) + 76 * c};
        on_grid.push_back(h);
        Vec3 image;
        const Vec3 at{0.1, 0.23, 0.37};
        for (std::size_t a = 0; a < 3; ++a) {
          for (std::size_t b = 0; b < 3; ++b)
            image[static_cast<int>(a)] += g.rotation[a][b] * at[static_cast<int>(b)];
        }
        image += g.translation;
        add({image.x, image.y, (image.z + c) / cells});
      }
    }
    const BvseField field(lattice, frac, std::vector<std::int32_t>(frac.size(), 0),
                          std::vector<double>(frac.size(), 1.0), terms, 6.0);
    std::vector<float> one(static_cast<std::size_t>(shape.x) * static_cast<std::size_t>(shape.y) *
                           static_cast<std::size_t>(shape.z)),
        three(one.size());
    field.grid(shape, on_grid, 1, one.data());
    field.grid(shape, on_grid, 3, three.data());
    CHECK(one == three);
    const auto at = [&](int i, int j, int k) {
      return one[(static_cast<std::size_t>(i) * 96 + static_cast<std::size_t>(j)) *
                     static_cast<std::size_t>(shape.z) +
                 static_cast<std::size_t>(k)];
    };
    for (int i = 0; i < 96; i += 7) {
      for (int j = 0; j < 96; j += 5) {
        for (int k = 0; k < 76; k += 3) {
          const double exact = field.energy({i / 96.0, j / 96.0, k / (76.0 * cells)});
          CHECK(std::abs(static_cast<double>(at(i, j, k)) - exact) < std::max(1e-4, 1e-4 * exact));
          if (cells == 2) CHECK(at(i, j, k) == at(i, j, k + 76));
        }
      }
    }
    if (cells == 2) continue;
    on_grid.resize(on_grid.size() - 3);  // no group any more
    field.grid(shape, on_grid, 1, one.data());
    field.grid(shape, on_grid, 3, three.data());
    CHECK(one == three);
  }
}

// A supercell's operations are its translations times the point group's: the sites still end where the
// crystal of one cell has them, and an atom out of place removes what it breaks.
void test_supercell_symmetry() {
  const std::vector<Operation> operations = tetragonal_operations();
  const std::array<int, 3> times{4, 4, 3};  // the fourfold axis keeps a and b equal
  const Lattice lattice(Mat3{{Vec3{4.6 * 4, 0, 0}, Vec3{0, 4.6 * 4, 0}, Vec3{0, 0, 7.3 * 3}}});
  const auto shrunk = [&](Vec3 x, int i, int j, int k) {
    x += Vec3{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
    return Vec3{x.x / times[0], x.y / times[1], x.z / times[2]};
  };
  std::vector<Vec3> frac;
  std::vector<std::int32_t> kind;
  std::vector<Operation> all;
  for (int i = 0; i < times[0]; ++i)
    for (int j = 0; j < times[1]; ++j)
      for (int k = 0; k < times[2]; ++k) {
        for (const Operation& g : operations) {
          Operation h = g;
          h.translation = shrunk(g.translation, i, j, k);
          all.push_back(h);
          frac.push_back(shrunk(g.apply({0.21, 0.34, 0.12}), i, j, k));
          kind.push_back(0);
        }
        for (const double half : {0.0, 0.5}) {
          frac.push_back(shrunk({half, half, half}, i, j, k));
          kind.push_back(1);
        }
      }
  const std::vector<Vec3> exact = frac;
  const SiteSymmetry perfect = site_symmetry(lattice, frac, kind, all, 5e-4);
  CHECK(perfect.kept.size() == all.size() && perfect.largest_shift < 1e-12);
  std::vector<Vec3> noisy = frac;
  for (std::size_t i = 0; i < noisy.size(); ++i) noisy[i].x += 1e-6 * static_cast<double>(i % 7);
  const SiteSymmetry mended = site_symmetry(lattice, noisy, kind, all, 5e-4);
  CHECK(mended.kept.size() == all.size() && mended.largest_shift > 1e-5 && mended.largest_shift < 3e-4);
  CHECK(site_symmetry(lattice, mended.frac, kind, all, 5e-4).largest_shift < 1e-12);
  std::vector<Vec3> broken = frac;
  broken[17].z += 0.003;
  const SiteSymmetry rest = site_symmetry(lattice, broken, kind, all, 5e-4);
  CHECK(!rest.kept.empty() && rest.kept.size() <= 8);
}

}  // namespace

int main() {
  test_elementary_functions();
  test_points();
  test_overlap_and_arguments();
  test_grid_matches_points();
  test_symmetry();
  test_orbits_by_threads();
  test_supercell_symmetry();
  return fastin::test::report("bvse");
}
