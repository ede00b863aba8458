// Operations of cells whose groups are known by hand, and what is left to a search that weighs tolerances.
#include <cmath>
#include <vector>

#include "check.hpp"
#include "fastin/geometry/space_operations.hpp"

using fastin::Lattice;
using fastin::Mat3;
using fastin::SpaceOperations;
using fastin::Vec3;

namespace {

SpaceOperations of(const Vec3& a, const Vec3& b, const Vec3& c, const std::vector<Vec3>& frac,
                   const std::vector<std::int32_t>& kind) {
  return fastin::space_operations(Lattice(Mat3{{a, b, c}}), frac, kind, 2e-4, 2e-2);
}

SpaceOperations box(double a, double b, double c, const std::vector<Vec3>& frac,
                    const std::vector<std::int32_t>& kind) {
  return of({a, 0, 0}, {0, b, 0}, {0, 0, c}, frac, kind);
}

void test_orders_of_holohedries() {
  const std::vector<Vec3> one{{0, 0, 0}};
  CHECK(box(4, 4, 4, one, {0}).operations.size() == 48);
  CHECK(box(4, 4, 5, one, {0}).operations.size() == 16);
  CHECK(box(4, 5, 6, one, {0}).operations.size() == 8);
  CHECK(of({4, 0, 0}, {-2, 2 * std::sqrt(3.0), 0}, {0, 0, 5}, one, {0}).operations.size() == 24);
  CHECK(of({0, 2, 2}, {2, 0, 2}, {2, 2, 0}, one, {0}).operations.size() == 48);
  CHECK(of({4, 0, 0}, {1, 5, 0}, {0, 0, 6}, one, {0}).operations.size() == 4);
  CHECK(of({4, 0, 0}, {1, 5, 0}, {0.7, 0.9, 6}, one, {0}).operations.size() == 2);
  // the same cubic lattice, spanned by long vectors
  CHECK(of({4, 0, 0}, {12, 4, 0}, {8, -20, 4}, one, {0}).operations.size() == 48);
}

void test_translations_and_orbits() {
  // a screw axis along c: x, y, z and -x, -y, z + 1/2, and another species on the axis
  const std::vector<Vec3> frac{{0.1, 0.2, 0.3}, {0.0, 0.0, 0.12}, {0.9, 0.8, 0.8}, {0.0, 0.0, 0.62}};
  const SpaceOperations found = box(5, 6, 7, frac, {0, 1, 0, 1});
  CHECK(found.certain && found.operations.size() == 2);
  CHECK(found.operations[0].twentyfourths == (fastin::Int3{0, 0, 0}));
  CHECK(found.operations[1].twentyfourths == (fastin::Int3{0, 0, 12}));
  CHECK(found.orbit == (std::vector<std::int32_t>{0, 1, 0, 1}));
  const SpaceOperations other = box(5, 6, 7, frac, {0, 1, 2, 1});
  CHECK(other.certain && other.operations.size() == 1);
}

void test_doubt() {
  const std::vector<Vec3> pair{{0, 0, 0}, {0.5, 0.5, 0.5}};
  CHECK(box(4, 4, 4, pair, {0, 1}).operations.size() == 48);
  CHECK(!box(4, 4, 4, pair, {0, 0}).certain);  // body-centred
  CHECK(!box(4, 4, 4.001, pair, {0, 1}).certain);
  CHECK(!box(4, 4, 4, {{0, 0, 0}, {0.501, 0.5, 0.5}}, {0, 1}).certain);
  CHECK(box(4, 4, 4, {{0, 0, 0}, {0.51, 0.5, 0.5}}, {0, 1}).operations.size() == 8);
  CHECK(!box(4, 4, 4, {{0.013, 0, 0}, {0.513, 0.5, 0.5}}, {0, 1}).certain);  // no fractions
}

void test_refusals() {
  CHECK_THROWS(box(4, 4, 4, {}, {}), fastin::InvalidInput);
  CHECK_THROWS(box(4, 4, 4, {{0, 0, 0}}, {0, 0}), fastin::InvalidInput);
  CHECK_THROWS(box(4, 4, 4, {{0, 0, 0}}, {-1}), fastin::InvalidInput);
  CHECK_THROWS(box(4, 4, 4, {{0, std::nan(""), 0}}, {0}), fastin::InvalidInput);
}

}  // namespace

int main() {
  test_orders_of_holohedries();
  test_translations_and_orbits();
  test_doubt();
  test_refusals();
  return fastin::test::report("space operations");
}
