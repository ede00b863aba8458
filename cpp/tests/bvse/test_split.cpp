// The split sum against the plain one.
#include "fastin/bvse/bvse_split.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "fastin/bvse/bvse.hpp"

using namespace fastin;

namespace {

Int3 nodes(const Lattice& lattice) {
  Int3 n;
  for (int a = 0; a < 3; ++a)
    n[a] = static_cast<std::int32_t>(std::ceil(norm(lattice.cell()[a]) / BvseSplit::kSpacing));
  return n;
}

// A skewed cell, a flat one and one shorter than the range of the near sum.
std::vector<Lattice> lattices() {
  return {Lattice{Mat3{{Vec3{5.1, 0, 0}, Vec3{1.4, 4.3, 0}, Vec3{-0.7, 0.9, 6.2}}}},
          Lattice{Mat3{{Vec3{3.1, 0, 0}, Vec3{-1.55, 2.6846788, 0}, Vec3{0, 0, 14.0}}}},
          Lattice{Mat3{{Vec3{2.4, 0, 0}, Vec3{0, 2.4, 0}, Vec3{0, 0, 2.4}}}}};
}

BvseField field_on(const Lattice& lattice, double cutoff) {
  const std::vector<Vec3> frac{{0.0, 0.0, 0.0}, {0.31, 0.62, 0.17}, {0.74, 0.18, 0.55}, {1.4, -0.3, 0.93}};
  // Morse, Coulomb, a Coulomb term that is over before the near range and a stiff Morse term.
  const std::vector<PairTerm> terms{
      {false, 0.49, 1.94, 1.94}, {true, 11.0, 2.1, 0.0}, {true, 11.0, 1.0, 0.0}, {false, 1.2, 1.5, 3.1}};
  return BvseField(lattice, frac, {0, 3, 1, 2}, {1.0, 0.6, 1.0, 0.25}, terms, cutoff);
}

std::vector<Vec3> points(std::size_t n) {
  std::vector<Vec3> out(n);
  std::uint64_t seed = 7;
  const auto uniform = [&seed] {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<double>(seed >> 11) / 9007199254740992.0;
  };
  for (Vec3& p : out) p = Vec3{3.0 * uniform() - 1.0, 3.0 * uniform() - 1.0, 3.0 * uniform() - 1.0};
  return out;
}

void test_energies_and_derivatives() {
  for (const Lattice& lattice : lattices()) {
    for (const double cutoff : {4.0, 7.0, 10.0, 16.0}) {
      const BvseField plain = field_on(lattice, cutoff);
      const BvseSplit split(plain, nodes(lattice), {}, 1);
      for (const Vec3& x : points(200)) {
        Vec3 gradient, exact_gradient;
        Mat3 hessian;
        const double exact = plain.energy_gradient(x, &exact_gradient, nullptr);
        if (exact > 20.0) continue;
        const double energy = split.energy_gradient(x, &gradient, &hessian);
        CHECK_NEAR(energy, exact, BvseSplit::kErrorBound);
        CHECK(norm(gradient - exact_gradient) < 2e-3);
        CHECK(split.energy_gradient(x, nullptr, nullptr) == energy);
        const double h = 1e-4;
        for (int k = 0; k < 3; ++k) {
          Vec3 step, up, down;
          step[k] = h;
          const double above = split.energy_gradient(x + lattice.to_frac(step), &up, nullptr);
          const double below = split.energy_gradient(x - lattice.to_frac(step), &down, nullptr);
          CHECK_NEAR(gradient[k], (above - below) / (2 * h), 2e-6 * (1.0 + std::abs(gradient[k])));
          for (int l = 0; l < 3; ++l) {
            CHECK_NEAR(hessian[l][k], hessian[k][l], 1e-12);
            if (cutoff < 10.0)
              continue;  // the window's second derivative jumps, by more the shorter the cutoff
            CHECK_NEAR(hessian[l][k], (up[l] - down[l]) / (2 * h), 2e-4 * (1.0 + std::abs(hessian[l][k])));
          }
        }
      }
    }
  }
}

// The far part is smooth through the atoms: the bound holds up to them, and where pairs count as at
// kMinDistance relative to the energy.
void test_next_to_atoms() {
  const Lattice lattice = lattices()[0];
  const BvseField plain = field_on(lattice, 10.0);
  const BvseSplit split(plain, nodes(lattice), {}, 1);
  for (const double r : {0.0, 0.05, 0.2, 0.5, 0.8}) {
    for (const Vec3& away : points(40)) {
      const Vec3 x = Vec3{0.74, 0.18, 0.55} + lattice.to_frac(r / norm(away) * away);
      const double exact = plain.energy_gradient(x, nullptr, nullptr);
      Vec3 gradient;
      Mat3 hessian;
      const double error = std::abs(split.energy_gradient(x, &gradient, &hessian) - exact);
      CHECK(error < (r < BvseField::kMinDistance ? 1e-4 * exact : BvseSplit::kErrorBound));
      CHECK(std::isfinite(norm(gradient)) && std::isfinite(norm(hessian[0])));
    }
  }
}

void test_grids() {
  for (const Lattice& lattice : lattices()) {
    const BvseField plain = field_on(lattice, 10.0);
    const BvseSplit split(plain, nodes(lattice), {}, 1);
    const Int3 shape{26, 23, 31};
    std::vector<float> one(26 * 23 * 31), three(one.size()), exact(one.size());
    split.grid(shape, {}, 1, one.data());
    split.grid(shape, {}, 3, three.data());
    CHECK(one == three);
    const BvseSplit threaded(plain, nodes(lattice), {}, 3);
    threaded.grid(shape, {}, 2, three.data());
    CHECK(one == three);
    plain.grid(shape, {}, 1, exact.data());
    for (std::size_t i = 0; i < one.size(); ++i) {
      const double e = static_cast<double>(exact[i]);
      const double error = std::abs(static_cast<double>(one[i]) - e);
      CHECK(e < 20.0 ? error < BvseSplit::kErrorBound : error < 1e-4 * e);
    }
  }
}

// The coarsest spline there is: one node, two, three; the mean of the far part is left.
void test_few_nodes() {
  const Lattice lattice = lattices()[2];
  const BvseField plain = field_on(lattice, 10.0);
  for (const std::int32_t n : {1, 2, 3}) {
    const BvseSplit split(plain, {n, n, n}, {}, 1);
    for (const Vec3& x : points(50)) {
      const double exact = plain.energy_gradient(x, nullptr, nullptr);
      CHECK_NEAR(split.energy_gradient(x, nullptr, nullptr), exact, 0.5);
    }
  }
  CHECK_THROWS(BvseSplit(plain, {0, 4, 4}, {}, 1), InvalidInput);
}

// Inversion at the origin: nodes of one orbit are summed once.
void test_symmetry() {
  const Lattice lattice = lattices()[0];
  const std::vector<PairTerm> terms{{false, 0.49, 1.94, 1.94}, {true, 11.0, 2.1, 0.0}};
  const BvseField plain(lattice, {{0.2, 0.3, 0.4}, {0.8, 0.7, 0.6}, {0.0, 0.0, 0.0}}, {0, 0, 1}, {1, 1, 1},
                        terms, 10.0);
  GridOperation same, inversion;
  for (std::size_t k = 0; k < 3; ++k) same.rotation[k][k] = 1, inversion.rotation[k][k] = -1;
  const BvseSplit full(plain, nodes(lattice), {}, 1), half(plain, nodes(lattice), {same, inversion}, 1);
  for (const Vec3& x : points(100)) {
    const double energy = half.energy_gradient(x, nullptr, nullptr);
    CHECK_NEAR(energy, full.energy_gradient(x, nullptr, nullptr), 1e-5);
    CHECK_NEAR(energy, half.energy_gradient(-x, nullptr, nullptr), 1e-6 * (1.0 + std::abs(energy)));
  }
}

void test_share() {
  const Lattice lattice = lattices()[0];
  CHECK(BvseSplit::near_share(field_on(lattice, 4.0)) == 1.0);
  CHECK(BvseSplit::near_share(field_on(lattice, 10.0)) < 0.4);
  CHECK(BvseSplit::near_share(field_on(lattice, 16.0)) < BvseSplit::near_share(field_on(lattice, 10.0)));
}

}  // namespace

int main() {
  test_energies_and_derivatives();
  test_next_to_atoms();
  test_grids();
  test_few_nodes();
  test_symmetry();
  test_share();
  return fastin::test::report("split");
}
