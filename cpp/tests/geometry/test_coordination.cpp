// Neighbour lists and coordination numbers against cells whose shells are known.
#include <cmath>
#include <vector>

#include "check.hpp"
#include "fastin/geometry/coordination.hpp"

using fastin::Lattice;
using fastin::Mat3;
using fastin::Neighbours;
using fastin::Vec3;

namespace {

Lattice cubic(double a) { return Lattice(Mat3{{Vec3{a, 0, 0}, Vec3{0, a, 0}, Vec3{0, 0, a}}}); }

std::size_t degree(const Neighbours& n, std::size_t i) {
  return static_cast<std::size_t>(n.offsets[i + 1] - n.offsets[i]);
}

// The same list by testing every image in a block that surely covers the cutoff.
std::size_t brute_count(const Lattice& lattice, const std::vector<Vec3>& frac, std::size_t i, double cutoff,
                        int reach) {
  std::size_t count = 0;
  for (std::size_t j = 0; j < frac.size(); ++j) {
    for (int x = -reach; x <= reach; ++x) {
      for (int y = -reach; y <= reach; ++y) {
        for (int z = -reach; z <= reach; ++z) {
          if (i == j && x == 0 && y == 0 && z == 0) continue;
          const Vec3 shift{static_cast<double>(x), static_cast<double>(y), static_cast<double>(z)};
          if (norm(lattice.to_cart(frac[j] + shift - frac[i])) <= cutoff) ++count;
        }
      }
    }
  }
  return count;
}

void test_shells_of_a_simple_cubic_cell() {
  const Neighbours n = fastin::neighbours_within(cubic(3.0), {Vec3{0.2, 0.7, 0.9}}, 4.5);
  CHECK(degree(n, 0) == 18);  // 6 at a, 12 at a sqrt(2)
  CHECK_NEAR(n.distance[0], 3.0, 1e-12);
  CHECK_NEAR(n.distance[17], 3.0 * std::sqrt(2.0), 1e-12);
}

void test_skewed_and_large_cells_against_brute_force() {
  const Lattice skewed(Mat3{{Vec3{3.1, 0, 0}, Vec3{5.9, 2.8, 0}, Vec3{-4.2, 3.3, 4.0}}});
  std::vector<Vec3> frac;
  for (int k = 0; k < 7; ++k)
    frac.push_back(Vec3{std::fmod(0.37 * k, 1.0), std::fmod(0.61 * k, 1.0), 0.13 * k});
  const Neighbours n = fastin::neighbours_within(skewed, frac, 4.0);
  for (std::size_t i = 0; i < frac.size(); ++i) CHECK(degree(n, i) == brute_count(skewed, frac, i, 4.0, 8));
  const Lattice wide(Mat3{{Vec3{23, 0, 0}, Vec3{0, 19, 0}, Vec3{7, 0, 17}}});
  std::vector<Vec3> many;
  for (int k = 0; k < 150; ++k) {
    many.push_back(Vec3{std::fmod(0.618 * k, 1.0), std::fmod(0.414 * k, 1.0), std::fmod(0.732 * k, 1.0)});
  }
  const Neighbours m = fastin::neighbours_within(wide, many, 4.6);
  for (std::size_t i = 0; i < many.size(); i += 13) CHECK(degree(m, i) == brute_count(wide, many, i, 4.6, 1));
}

void test_pairs_are_symmetric() {
  const std::vector<Vec3> frac{Vec3{0.1, 0.2, 0.3}, Vec3{0.6, 0.1, 0.9}, Vec3{0.5, 0.5, 0.5}};
  const Neighbours n = fastin::neighbours_within(cubic(4.1), frac, 6.0);
  std::vector<int> balance(9, 0);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::int64_t k = n.offsets[i]; k < n.offsets[i + 1]; ++k) {
      const auto j = static_cast<std::size_t>(n.index[static_cast<std::size_t>(k)]);
      ++balance[3 * i + j];
      --balance[3 * j + i];
    }
  }
  for (const int b : balance) CHECK(b == 0);
}

void test_coordination_of_rock_salt_and_split_sites() {
  const std::vector<Vec3> frac{Vec3{0, 0, 0}, Vec3{0.5, 0.5, 0.5}};  // CsCl
  const Neighbours n = fastin::neighbours_within(cubic(4.0), frac, 4.5);
  const fastin::CoordinationRule rule;
  const std::vector<double> cn = fastin::coordination_numbers(n, {1.0, -1.0}, {1.0, 1.0}, {1.0, 0.5}, rule);
  CHECK_NEAR(cn[0], 4.0, 1e-12);  // eight half-occupied anions
  CHECK_NEAR(cn[1], 8.0, 1e-12);
  const std::vector<double> alike = fastin::coordination_numbers(n, {1.0, 1.0}, {1.0, 1.0}, {1.0, 1.0}, rule);
  CHECK(alike[0] == 0.0);
}

void test_refusals() {
  CHECK_THROWS(fastin::neighbours_within(cubic(3.0), {Vec3{std::nan(""), 0, 0}}, 3.0), fastin::InvalidInput);
  CHECK_THROWS(fastin::neighbours_within(cubic(3.0), {Vec3{0, 0, 0}}, 0.0), fastin::InvalidInput);
  CHECK(fastin::neighbours_within(cubic(3.0), {}, 3.0).offsets.size() == 1);
}

}  // namespace

int main() {
  test_shells_of_a_simple_cubic_cell();
  test_skewed_and_large_cells_against_brute_force();
  test_pairs_are_symmetric();
  test_coordination_of_rock_salt_and_split_sites();
  test_refusals();
  return fastin::test::report("coordination");
}
