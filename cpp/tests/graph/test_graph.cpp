// Nearest atoms against brute force; percolation elements of small networks.
#include <algorithm>
#include <random>
#include <vector>

#include "check.hpp"
#include "fastin/graph/graph.hpp"

namespace {

using namespace fastin;

void against_brute_force(const Mat3& cell, std::size_t atoms, std::size_t k, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-0.5, 1.5);
  const Lattice lattice(cell);
  std::vector<Vec3> frac(atoms), points(20);
  for (auto& f : frac) f = {uniform(generator), uniform(generator), uniform(generator)};
  for (auto& p : points) p = {uniform(generator), uniform(generator), uniform(generator)};
  const NeighbourFinder finder(lattice, frac, std::vector<std::int32_t>(atoms, 0));
  const auto found = nearest_atoms(finder, points, k, {}, 1);
  const auto threaded = nearest_atoms(finder, points, k, {}, 4);
  for (std::size_t p = 0; p < points.size(); ++p) {
    std::vector<double> all;
    const Int3 n = lattice.images_within(25.0);
    for (const Vec3& f : frac) {
      for (std::int32_t a = -n.x - 2; a <= n.x + 2; ++a)
        for (std::int32_t b = -n.y - 2; b <= n.y + 2; ++b)
          for (std::int32_t c = -n.z - 2; c <= n.z + 2; ++c)
            all.push_back(norm(lattice.to_cart(f + to_vec({a, b, c}) - points[p])));
    }
    std::sort(all.begin(), all.end());
    for (std::size_t i = 0; i < k; ++i) {
      const Neighbour& one = found[p * k + i];
      CHECK_NEAR(one.distance, all[i], NeighbourFinder::kTieTolerance + 1e-9);
      const Vec3 where = frac[static_cast<std::size_t>(one.atom)] + to_vec(one.image) - points[p];
      CHECK_NEAR(norm(lattice.to_cart(where)), one.distance, 1e-9);
      CHECK(one.atom == threaded[p * k + i].atom && one.image == threaded[p * k + i].image);
    }
  }
}

void ties_follow_the_key() {
  // The centre of a CsCl-like cube: eight corners at one distance; a point halfway between two species.
  const Lattice cube(Mat3{{Vec3{4, 0, 0}, Vec3{0, 4, 0}, Vec3{0, 0, 4}}});
  const std::vector<Vec3> frac{{0, 0, 0}, {0.5, 0.5, 0.5}};
  for (const bool swapped : {false, true}) {
    const std::vector<Vec3> atoms = swapped ? std::vector<Vec3>{frac[1], frac[0]} : frac;
    const std::vector<std::int32_t> key =
        swapped ? std::vector<std::int32_t>{7, 3} : std::vector<std::int32_t>{3, 7};
    const NeighbourFinder finder(cube, atoms, key);
    const auto found = nearest_atoms(finder, {{0.25, 0.25, 0.25}}, 2, {}, 1);
    CHECK_NEAR(found[0].distance, found[1].distance, 1e-12);
    CHECK(key[static_cast<std::size_t>(found[0].atom)] == 3);
    CHECK(key[static_cast<std::size_t>(found[1].atom)] == 7);
  }
  const NeighbourFinder finder(cube, frac, {3, 7});
  const auto own = nearest_atoms(finder, {frac[0]}, 8, {0}, 1);
  CHECK_NEAR(own[0].distance, 2.0 * std::sqrt(3.0), 1e-12);
  CHECK_THROWS(NeighbourFinder(cube, {}, {}), InvalidInput);
  CHECK_THROWS(NeighbourFinder(cube, frac, {1}), InvalidInput);
}

void percolation() {
  // Two sites; loops along a (through both), b (site 0 to itself) and c (site 1 to itself).
  const std::vector<std::int32_t> ends{0, 1, 0, 1, 0, 0, 1, 1};
  const std::vector<Int3> image{{0, 0, 0}, {-1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  NetworkTopology network;
  network.num_sites = 2;
  network.num_edges = 4;
  network.ends = ends.data();
  network.image = image.data();
  const float site[2] = {-1.0F, -3.0F};
  const float edge[4] = {0.5F, 0.2F, 0.9F, -4.0F};
  const CriticalElements found = critical_elements(network, site, edge);
  CHECK(found.saddle[0] == -2);  // the loop along c is set by site 1 itself
  CHECK(found.lowest[0] == -2);
  CHECK(found.saddle[1] == 0);
  CHECK(found.saddle[2] == 2);
  CHECK(found.lowest[2] == -2);
  network.num_edges = 1;
  CHECK(critical_elements(network, site, edge).saddle[0] == CriticalElements::kNone);
}

}  // namespace

int main() {
  against_brute_force(Mat3{{Vec3{5, 0, 0}, Vec3{0, 5, 0}, Vec3{0, 0, 5}}}, 3, 12, 1);
  against_brute_force(Mat3{{Vec3{3, 0, 0}, Vec3{9, 4, 0}, Vec3{-7, 2, 5}}}, 5, 12, 2);
  against_brute_force(Mat3{{Vec3{2.5, 0, 0}, Vec3{0, 2.5, 0}, Vec3{0, 0, 20}}}, 1, 12, 3);
  against_brute_force(Mat3{{Vec3{9, 0, 0}, Vec3{1, 10, 0}, Vec3{2, 3, 11}}}, 60, 12, 4);
  ties_follow_the_key();
  percolation();
  return test::report("graph");
}
