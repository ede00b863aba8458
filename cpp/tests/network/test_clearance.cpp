#include "fastin/network/clearance.hpp"

#include <cmath>

#include "check.hpp"

using namespace fastin;

namespace {

void simple_cubic() {
  const Lattice lattice(Mat3{{Vec3{3, 0, 0}, Vec3{0, 3, 0}, Vec3{0, 0, 3}}});
  const ExactFreeSpheres r = exact_free_spheres(lattice, {{0, 0, 0}}, {1.0}, 1);
  const double window = 3.0 / std::sqrt(2.0) - 1.0;
  for (std::size_t k = 0; k < 3; ++k) {
    CHECK_NEAR(r.axis[k], window, 1e-9);
    CHECK_NEAR(r.rank[k], window, 1e-9);
  }
  CHECK_NEAR(r.largest, 1.5 * std::sqrt(3.0) - 1.0, 1e-9);
}

// The same lattice in a basis with vectors of very different lengths; the axes refer to that basis.
void skewed_layers() {
  const Lattice lattice(Mat3{{Vec3{3, 0, 0}, Vec3{0, 3, 0}, Vec3{30, 21, 7}}});
  const ExactFreeSpheres r = exact_free_spheres(lattice, {{0.25, 0.5, 0.75}}, {1.0}, 2);
  CHECK_NEAR(r.rank[1], std::hypot(1.5, 3.5) - 1.0, 1e-9);
  CHECK_NEAR(r.rank[2], 3.0 / std::sqrt(2.0) - 1.0, 1e-9);
  CHECK_NEAR(r.axis[2], r.rank[2], 1e-12);
}

void hidden_sphere() {
  const Lattice lattice(Mat3{{Vec3{3, 0, 0}, Vec3{0, 3, 0}, Vec3{0, 0, 3}}});
  const ExactFreeSpheres plain = exact_free_spheres(lattice, {{0, 0, 0}}, {1.0}, 1);
  const ExactFreeSpheres hidden = exact_free_spheres(lattice, {{0, 0, 0}, {0.1, 0, 0}}, {1.0, 0.2}, 1);
  for (std::size_t k = 0; k < 3; ++k) CHECK_NEAR(hidden.rank[k], plain.rank[k], 1e-9);
  const ExactFreeSpheres twice = exact_free_spheres(lattice, {{0, 0, 0}, {0, 0, 0}}, {1.0, 1.0}, 1);
  for (std::size_t k = 0; k < 3; ++k) CHECK_NEAR(twice.rank[k], plain.rank[k], 1e-9);
}

void refusals() {
  const Lattice lattice(Mat3{{Vec3{3, 0, 0}, Vec3{0, 3, 0}, Vec3{0, 0, 3}}});
  CHECK_THROWS(exact_free_spheres(lattice, {}, {}, 1), InvalidInput);
  CHECK_THROWS(exact_free_spheres(lattice, {{0, 0, 0}}, {}, 1), InvalidInput);
  CHECK_THROWS(exact_free_spheres(lattice, {{0, 0, NAN}}, {1.0}, 1), InvalidInput);
}

}  // namespace

int main() {
  simple_cubic();
  skewed_layers();
  hidden_sphere();
  refusals();
  return fastin::test::report("clearance");
}
