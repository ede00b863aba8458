#include <algorithm>
#include <vector>

#include "check.hpp"
#include "fastin/xrd/xrd.hpp"

using namespace fastin;

namespace {

Scatterer point_scatterer(double electrons) {
  Scatterer s;
  s.electrons = electrons;  // amplitudes zero: f = Z at every angle
  return s;
}

}  // namespace

int main() {
  const double a = 4.0;
  const Lattice cubic(Mat3{{Vec3{a, 0, 0}, Vec3{0, a, 0}, Vec3{0, 0, a}}});
  const std::vector<Scatterer> table{point_scatterer(10.0), point_scatterer(4.0)};
  const DiffractionRange range{1.5, 0.0, 120.0};

  // One atom: every reflection is there, |F|^2 = 100, multiplicities of the cubic lattice.
  const std::vector<Vec3> one{{0.3, 0.1, 0.7}};
  const std::vector<double> full(4, 1.0);
  const std::vector<std::int32_t> kind(4, 0);
  const auto simple = powder_peaks({cubic, one.data(), full.data(), kind.data(), 1}, table, range);
  CHECK(simple.size() > 5);
  const int multiplicities[] = {6, 12, 8, 6, 24, 24};  // 100 110 111 200 210 211
  const int squares[] = {1, 2, 3, 4, 5, 6};
  for (std::size_t i = 0; i < 6 && i < simple.size(); ++i) {
    CHECK(simple[i].multiplicity == multiplicities[i]);
    CHECK_NEAR(simple[i].spacing, a / std::sqrt(squares[i]), 1e-12);
    const double theta = std::asin(range.wavelength / (2.0 * simple[i].spacing));
    const double lp =
        (1.0 + std::pow(std::cos(2.0 * theta), 2)) / (std::pow(std::sin(theta), 2) * std::cos(theta));
    CHECK_NEAR(simple[i].two_theta, 2.0 * theta * 180.0 / 3.14159265358979323846, 1e-10);
    CHECK_NEAR(simple[i].intensity, 100.0 * lp * multiplicities[i], 1e-8 * simple[i].intensity);
  }

  // Body centring: h + k + l odd is absent.
  const std::vector<Vec3> bcc{{0, 0, 0}, {0.5, 0.5, 0.5}};
  for (const PowderPeak& p : powder_peaks({cubic, bcc.data(), full.data(), kind.data(), 2}, table, range))
    CHECK((p.hkl.x + p.hkl.y + p.hkl.z) % 2 == 0);

  // A half-occupied pair of species on one site is their mean.
  const std::vector<Vec3> twice{{0.3, 0.1, 0.7}, {0.3, 0.1, 0.7}};
  const std::vector<double> half{0.5, 0.5};
  const std::vector<std::int32_t> both{0, 1};
  const auto mixed = powder_peaks({cubic, twice.data(), half.data(), both.data(), 2}, table, range);
  CHECK(mixed.size() == simple.size());
  for (std::size_t i = 0; i < std::min(mixed.size(), simple.size()); ++i)
    CHECK_NEAR(mixed[i].intensity / simple[i].intensity, 0.49, 1e-12);

  // Debye-Waller: exp(-2 B s^2) on the intensity.
  std::vector<Scatterer> hot = table;
  hot[0].debye_waller = 2.5;
  const auto warm = powder_peaks({cubic, one.data(), full.data(), kind.data(), 1}, hot, range);
  for (std::size_t i = 0; i < std::min(warm.size(), simple.size()); ++i) {
    const double s2 = 0.25 / (simple[i].spacing * simple[i].spacing);
    CHECK_NEAR(warm[i].intensity / simple[i].intensity, std::exp(-5.0 * s2), 1e-12);
  }

  // Sticks: the strongest bin is 1 and every peak lies in its bin.
  const PatternGrid grid{0.0, 0.02, 6001};
  std::vector<float> sticks(grid.size);
  stick_pattern({cubic, one.data(), full.data(), kind.data(), 1}, table, range, grid, sticks.data());
  CHECK(*std::max_element(sticks.begin(), sticks.end()) == 1.0f);
  std::size_t occupied = 0;
  for (const float v : sticks) occupied += v > 0.0f ? 1 : 0;
  CHECK(occupied == simple.size());
  for (const PowderPeak& p : simple)
    CHECK(sticks[static_cast<std::size_t>(std::ceil(p.two_theta / 0.02))] > 0.0f);

  // A skewed description of the same lattice gives the same pattern.
  const Lattice skewed(Mat3{{Vec3{a, 0, 0}, Vec3{3 * a, a, 0}, Vec3{-2 * a, a, a}}});
  const Vec3 moved = skewed.to_frac(cubic.to_cart(one[0]));
  const auto same = powder_peaks({skewed, &moved, full.data(), kind.data(), 1}, table, range);
  CHECK(same.size() == simple.size());
  for (std::size_t i = 0; i < std::min(same.size(), simple.size()); ++i) {
    CHECK_NEAR(same[i].two_theta, simple[i].two_theta, 1e-9);
    CHECK_NEAR(same[i].intensity, simple[i].intensity, 1e-9 * simple[i].intensity);
  }

  // Profiles: the area ratio of two peaks is that of the sticks; a width that turns negative is refused.
  std::vector<float> broad(grid.size);
  profile_pattern({cubic, one.data(), full.data(), kind.data(), 1}, table, range, grid, {0, 0, 0.04, 0.0},
                  broad.data());
  double area[2] = {0.0, 0.0};
  for (std::size_t i = 0; i < grid.size; ++i)
    for (std::size_t k = 0; k < 2; ++k)
      if (std::abs(0.02 * static_cast<double>(i) - simple[k].two_theta) < 1.0)
        area[k] += static_cast<double>(broad[i]);
  CHECK_NEAR(area[1] / area[0], simple[1].intensity / simple[0].intensity, 1e-5);
  CHECK_THROWS(profile_pattern({cubic, one.data(), full.data(), kind.data(), 1}, table, range, grid,
                               {0, 0, -1.0, 0.0}, broad.data()),
               InvalidInput);
  const std::vector<std::int32_t> wrong{7};
  CHECK_THROWS(powder_peaks({cubic, one.data(), full.data(), wrong.data(), 1}, table, range), InvalidInput);
  CHECK_THROWS(powder_peaks({cubic, one.data(), full.data(), kind.data(), 1}, table, {1.5, 0.0, 181.0}),
               InvalidInput);
  return test::report("xrd");
}
