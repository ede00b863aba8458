#include "check.hpp"
#include "crystals.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/geometry/lattice_reduction.hpp"
#include "fastin/geometry/point_index.hpp"
#include "fastin/tessellation/tessellation.hpp"

using namespace fastin;
using namespace fastin::test;

namespace {

Certificate certified(const Spheres& s, Tessellation* t) {
  const Lattice lattice(s.cell);
  *t = tessellate(lattice, s.frac, s.radius, {true, kMergeTolerance});
  const Certificate c = certify(*t, lattice, s.frac, s.radius);
  CHECK(c.volume_error < 1e-12);
  CHECK(c.euler == 0);
  CHECK(c.power_error < 1e-6);
  CHECK(c.empty_error < 1e-9);
  CHECK(c.foreign_owners == 0);
  return c;
}

void counts(const Spheres& s, std::size_t vertices, std::size_t edges, std::size_t faces) {
  Tessellation t;
  certified(s, &t);
  CHECK(t.vertex_frac.size() == vertices);
  CHECK(t.edge_i.size() == edges);
  CHECK(t.faces.first.size() == faces);
}

bool same(const Vec3& a, const Vec3& b) { return a.x == b.x && a.y == b.y && a.z == b.z; }

// The last digits, the numbers of vertices and edges, all the same whatever the number of threads.
void threads(const Spheres& s) {
  const Lattice lattice(s.cell);
  const Tessellation one = tessellate(lattice, s.frac, s.radius, {true, kMergeTolerance, 1});
  for (const int count : {2, 3, 5}) {
    const Tessellation t = tessellate(lattice, s.frac, s.radius, {true, kMergeTolerance, count});
    CHECK(t.generator == one.generator && t.owner == one.owner);
    CHECK(t.generator_start == one.generator_start && t.owner_start == one.owner_start);
    CHECK(t.edge_i == one.edge_i && t.edge_j == one.edge_j && t.edge_image == one.edge_image);
    CHECK(t.cell_volume == one.cell_volume && t.vertex_power == one.vertex_power);
    CHECK(t.faces.first == one.faces.first && t.faces.start == one.faces.start);
    CHECK(t.vertex_frac.size() == one.vertex_frac.size());
    for (std::size_t v = 0; v < one.vertex_frac.size(); ++v)
      CHECK(same(t.vertex_frac[v], one.vertex_frac[v]));
  }
}

// n^3 cells of rock salt: every vertex is shared by more than four generators.
Spheres salt(int n) {
  Spheres s{box(5.1 * n, 5.1 * n, 5.1 * n), {}, {}, {}};
  for (int i = 0; i < 8 * n * n * n; ++i) {
    const Vec3 f{0.5 * (i % (2 * n)), 0.5 * (i / (2 * n) % (2 * n)), 0.5 * (i / (4 * n * n))};
    s.frac.push_back((1.0 / n) * f);
    s.radius.push_back((i % (2 * n) + i / (2 * n) % (2 * n) + i / (4 * n * n)) % 2 == 0 ? 1.0 : 1.6);
  }
  return s;
}

// A thin cell, in which atoms meet images of themselves and slivers abound.
Spheres needle(int n) {
  Spheres s = random_spheres(static_cast<std::size_t>(n), 11);
  s.cell = box(4, 4, 1.3 * n);
  for (int i = 0; i < n; ++i) {
    double& z = s.frac[static_cast<std::size_t>(i)].z;
    z = (i + 0.3 * z) / n;
  }
  return s;
}

void generators() {
  const GeneratorCode g = make_generator(17, {3, -4, 0});
  CHECK(generator_atom(g) == 17 && generator_image(g) == (Int3{3, -4, 0}));
  CHECK(shifted(g, image_delta({-3, 4, 1})) == make_generator(17, {0, 0, 1}));
  CHECK(delta_image(generator_delta(g)) == (Int3{3, -4, 0}));
  CHECK(make_generator(1, {0, 0, -1}) < make_generator(1, {0, 0, 0}));
  CHECK(make_generator(1, {9, 9, 9}) < make_generator(2, {-9, -9, -9}));
}

void reduction() {
  const Mat3 cubic = box(3, 3, 3);
  const Mat3 skewed{{cubic[0] + 7.0 * cubic[1], cubic[1], cubic[2] - 11.0 * cubic[0] - 2.0 * cubic[1]}};
  const ReducedBasis r = reduce_basis(skewed);
  for (int i = 0; i < 3; ++i) CHECK_NEAR(norm(r.cell[i]), 3.0, 1e-12);
  CHECK_NEAR(determinant(r.cell), determinant(skewed), 1e-9);
  const Int3 s{2, -1, 5};
  CHECK(r.to_reduced(r.to_original(s)) == s);
  CHECK(!r.identity && reduce_basis(cubic).identity);
}

void index_finds_images() {
  const Lattice lattice(box(5, 6, 7));
  PointIndex index(lattice, 10, 1e-3);
  const std::int32_t a = index.insert({0.0, 0.5, 0.999999999}), b = index.insert({0.0, 0.5, 0.3});
  CHECK(index.find({2.0, -0.5, 1.0}).point == a);
  CHECK(index.find({2.0, -0.5, 1.0}).cell == (Int3{2, -1, 0}));
  CHECK(index.find({-1.0 + 1e-6, 0.5, 0.3}).point == b);
  CHECK(index.find({0.1, 0.5, 0.3}).point == -1);
}

}  // namespace

int main() {
  generators();
  reduction();
  index_finds_images();
  counts(simple_cubic(), 1, 3, 3);
  counts(fcc(), 12, 32, 24);
  counts(bcc(), 12, 24, 14);
  counts(hexagonal(), 2, 5, 4);
  Tessellation t;
  certified(olivine(), &t);
  CHECK(t.cell_volume.size() == 24);
  for (const double v : t.cell_volume) CHECK(v > 0.1);
  for (const std::size_t n : {1U, 2U, 5U, 40U, 250U})
    certified(random_spheres(n, static_cast<std::uint32_t>(n)), &t);

  certified(random_spheres(600, 7), &t);
  certified(salt(5), &t);
  for (const Spheres& large : {random_spheres(600, 7), salt(5), needle(700)}) threads(large);

  // The same diagram in a skewed basis, and with atoms given in other cells.
  Spheres s = random_spheres(20, 3);
  certified(s, &t);
  const std::vector<double> volume = t.cell_volume;
  const Mat3 cell = s.cell;
  s.cell = Mat3{{cell[0], cell[1] + 5.0 * cell[0], cell[2] - 3.0 * cell[1]}};
  const Lattice skewed(s.cell), plain(cell);
  for (Vec3& f : s.frac) f = skewed.to_frac(plain.to_cart(f)) + Vec3{2, -1, 3};
  certified(s, &t);
  for (std::size_t i = 0; i < volume.size(); ++i) CHECK_NEAR(t.cell_volume[i], volume[i], 1e-9);

  // A sphere hidden inside a larger one has no cell.
  Spheres hidden = fcc();
  hidden.frac.push_back({0.04, 0, 0});
  hidden.radius.push_back(0.2);
  certified(hidden, &t);
  CHECK(t.cell_volume[4] == 0.0);

  CHECK_THROWS(tessellate(Lattice(box(4, 4, 4)), {}, {}), InvalidInput);
  CHECK_THROWS(tessellate(Lattice(box(4, 4, 4)), {{0, 0, 0}}, {1.0, 2.0}), InvalidInput);
  CHECK_THROWS(tessellate(Lattice(box(4, 4, 4)), {{0, NAN, 0}}, {1.0}), InvalidInput);
  CHECK_THROWS(tessellate(Lattice(box(4, 4, 4)), {{0, 1e12, 0}}, {1.0}), InvalidInput);
  CHECK_THROWS(tessellate(Lattice(box(4, 4, 4)), {{0, 0, 0}}, {1e5}), InvalidInput);
  CHECK_THROWS(tessellate(Lattice(box(4, 4, 4)), {{0, 0, 0}, {0, 0, 0.999}}, {1.0, 1.0}), DegenerateGeometry);
  return fastin::test::report("tessellation");
}
