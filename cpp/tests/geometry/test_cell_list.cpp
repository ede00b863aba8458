// Lists of periodic images: what they hold, and that a search without end is refused before it takes memory.
#include "fastin/geometry/cell_list.hpp"

#include <cmath>
#include <vector>

#include "check.hpp"

using namespace fastin;

namespace {

void a_cube_holds_its_images() {
  const Lattice cube({Vec3{3, 0, 0}, Vec3{0, 3, 0}, Vec3{0, 0, 3}});
  const CellList list(cube, {Vec3{0.5, 0.5, 0.5}}, 10.0);
  std::size_t within = 0, plain = 0;
  for (std::size_t i = 0; i < list.size(); ++i)
    within += std::hypot(list.x()[i] - 1.5, list.y()[i] - 1.5, list.z()[i] - 1.5) <= 10.0;
  for (int a = -4; a <= 4; ++a)
    for (int b = -4; b <= 4; ++b)
      for (int c = -4; c <= 4; ++c) plain += std::hypot(3.0 * a, 3.0 * b, 3.0 * c) <= 10.0;
  CHECK(within == plain);
}

void a_search_over_millions_of_atoms_is_refused() {
  const Lattice cube({Vec3{3, 0, 0}, Vec3{0, 3, 0}, Vec3{0, 0, 3}});
  const std::vector<Vec3> atoms(100, Vec3{0.25, 0.25, 0.25});
  bool refused = false;
  try {
    const CellList list(cube, atoms, 200.0);
  } catch (const InvalidInput&) {
    refused = true;
  }
  CHECK(refused);
  const CellList near(cube, atoms, 20.0);  // the same crystal within a sane distance
  CHECK(near.size() >= 100);
}

}  // namespace

int main() {
  a_cube_holds_its_images();
  a_search_over_millions_of_atoms_is_refused();
  return fastin::test::report("cell list");
}
