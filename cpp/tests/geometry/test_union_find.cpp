#include "check.hpp"
#include "fastin/base/periodic_union_find.hpp"
#include "fastin/geometry/lattice.hpp"

using namespace fastin;

int main() {
  TranslationLattice t;
  CHECK(t.rank() == 0);
  CHECK(t.add({2, 0, 0}));
  CHECK(!t.add({-4, 0, 0}));
  CHECK(t.moves_along(0) && !t.moves_along(1));
  CHECK(t.add({1, 1, 0}));
  CHECK(t.rank() == 2);
  CHECK(!t.add({0, 2, 0}));  // 2 (1,1,0) - (2,0,0)
  CHECK(t.add({5, 3, -7}));
  CHECK(t.rank() == 3);
  // index of the lattice: determinant of the echelon rows
  CHECK(t.row(0).x * t.row(1).y * t.row(2).z == 14);

  // A ring of four nodes closed through the cell boundary percolates along b only.
  PeriodicUnionFind u(5);
  CHECK(!u.join(0, 1, {0, 0, 0}).looped);
  CHECK(!u.join(1, 2, {0, 1, 0}).looped);
  CHECK(!u.join(3, 2, {0, 0, 0}).looped);
  CHECK(!u.join(3, 2, {0, 0, 0}).looped);  // same edge again: no loop
  const auto closed = u.join(3, 0, {0, 0, 0});
  CHECK(closed.looped);
  CHECK(u.rank(closed.root) == 1 && u.moves_along(closed.root, 1) && !u.moves_along(closed.root, 0));
  CHECK(u.rank(u.find(4).root) == 0);
  // Merging keeps the translations of both.
  CHECK(u.join(4, 4, {1, 0, 1}).looped);
  const auto merged = u.join(4, 0, {7, -3, 2});
  CHECK(merged.absorbed >= 0 && u.rank(merged.root) == 2);
  CHECK(u.component_size(merged.root) == 5);
  CHECK_THROWS(u.find(-1), NoConvergence);
  CHECK_THROWS(u.find(5), NoConvergence);
  CHECK_THROWS(u.join(0, -1, {}), NoConvergence);

  CHECK_THROWS(Lattice(Mat3{{Vec3{1, 0, 0}, Vec3{2, 0, 0}, Vec3{0, 0, 1}}}), DegenerateGeometry);
  CHECK_THROWS(Lattice(Mat3{{Vec3{1, 0, 0}, Vec3{0, NAN, 0}, Vec3{0, 0, 1}}}), DegenerateGeometry);
  const Lattice l(Mat3{{Vec3{3, 0, 0}, Vec3{-1, 4, 0}, Vec3{0.5, 0.25, 5}}});
  CHECK_NEAR(l.volume(), 60.0, 1e-12);
  const Vec3 f{0.1, 0.7, 0.4}, back = l.to_frac(l.to_cart(f));
  CHECK_NEAR(norm(back - f), 0.0, 1e-14);
  Vec3 w{-1e-18, 1.25, -0.25};
  const Int3 s = wrap_frac(w);
  CHECK(w.x == 0.0 && s.x == 0 && s.y == 1 && s.z == -1);
  return fastin::test::report("union_find");
}
