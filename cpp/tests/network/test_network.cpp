#include <algorithm>

#include "check.hpp"
#include "crystals.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/network/network.hpp"
#include "fastin/network/symmetric_network.hpp"

using namespace fastin;
using namespace fastin::test;

namespace {

double clearance_at(const Spheres& s, const Vec3& frac) {
  double best = INFINITY;
  for (std::size_t i = 0; i < s.frac.size(); ++i) {
    for (int a = -2; a <= 2; ++a) {
      for (int b = -2; b <= 2; ++b) {
        for (int c = -2; c <= 2; ++c) {
          Vec3 d = s.frac[i] - frac;
          for (int k = 0; k < 3; ++k) d[k] -= std::floor(d[k] + 0.5);
          d += Vec3{static_cast<double>(a), static_cast<double>(b), static_cast<double>(c)};
          best = std::min(best, norm(row_times(d, s.cell)) - s.radius[i]);
        }
      }
    }
  }
  return best;
}

// Every radius against the plain minimum over all images, conventions of the edges.
void check_network(const Spheres& s, const Network& n) {
  for (std::size_t v = 0; v < n.site_frac.size(); ++v) {
    CHECK_NEAR(n.site_radius[v], clearance_at(s, n.site_frac[v]), 1e-7);
  }
  for (std::size_t e = 0; e < n.edge_i.size(); ++e) {
    CHECK_NEAR(n.edge_bottleneck_radius[e], clearance_at(s, n.edge_bottleneck_frac[e]), 1e-7);
    CHECK(n.edge_i[e] < n.edge_j[e] || (n.edge_i[e] == n.edge_j[e] && Int3{} < n.edge_image[e]));
  }
}

template <class T>
std::vector<T> sorted(std::vector<T> v) {
  std::sort(v.begin(), v.end());
  return v;
}

void same(const std::vector<double>& a, const std::vector<double>& b) {
  CHECK(a.size() == b.size());
  const auto x = sorted(a), y = sorted(b);
  for (std::size_t k = 0; k < std::min(x.size(), y.size()); ++k) CHECK_NEAR(x[k], y[k], 1e-7);
}

void symmetry_on_and_off(const Spheres& s, Clearance clearance) {
  NetworkOptions options;
  options.operations = s.operations;
  options.clearance = clearance;
  const Network on = build_network(Lattice(s.cell), s.frac, s.radius, options);
  options.use_symmetry = false;
  const Network off = build_network(Lattice(s.cell), s.frac, s.radius, options);
  CHECK(on.symmetry_used && !off.symmetry_used);
  same(on.site_radius, off.site_radius);
  same(on.edge_bottleneck_radius, off.edge_bottleneck_radius);
  same(on.edge_length, off.edge_length);
  for (std::size_t i = 0; i < s.frac.size(); ++i) CHECK_NEAR(on.cell_volume[i], off.cell_volume[i], 1e-7);
  for (std::size_t k = 0; k < 3; ++k) {
    CHECK_NEAR(on.free.axis[k], off.free.axis[k], 1e-7);
    CHECK_NEAR(on.free.rank[k], off.free.rank[k], 1e-7);
    CHECK_NEAR(on.free.included[k], off.free.included[k], 1e-7);
  }
  const auto orbits = [](const std::vector<std::int32_t>& label) {
    return *std::max_element(label.begin(), label.end());
  };
  CHECK(orbits(on.site_orbit) == orbits(off.site_orbit));
  CHECK(orbits(on.edge_orbit) == orbits(off.edge_orbit));
  if (clearance == Clearance::kAllAtoms) check_network(s, on);
}

}  // namespace

int main() {
  for (const Spheres& s : {simple_cubic(), fcc(), bcc(), hexagonal(), olivine(), random_spheres(40, 5)}) {
    NetworkOptions options;
    check_network(s, build_network(Lattice(s.cell), s.frac, s.radius, options));
    options.face_centers = true;
    const Network with_faces = build_network(Lattice(s.cell), s.frac, s.radius, options);
    check_network(s, with_faces);
    CHECK(with_faces.site_kind.front() == 0 && with_faces.site_kind.back() == 1);
  }
  symmetry_on_and_off(olivine(), Clearance::kAllAtoms);
  symmetry_on_and_off(olivine(), Clearance::kGenerators);

  // Closed forms of the simple cubic lattice.
  const Spheres cubic = simple_cubic();
  const Network n = build_network(Lattice(cubic.cell), cubic.frac, cubic.radius);
  CHECK(n.site_frac.size() == 1 && n.edge_i.size() == 3);
  for (std::size_t k = 0; k < 3; ++k) CHECK_NEAR(n.free.axis[k], 2.0 * std::sqrt(2.0) - 1.0, 1e-12);
  CHECK_NEAR(n.site_radius[0], 2.0 * std::sqrt(3.0) - 1.0, 1e-12);
  const ChannelSet open = find_channels(view_of(n), 1.0), shut = find_channels(view_of(n), 2.0);
  CHECK(open.dimensionality == std::vector<std::int32_t>{3});
  CHECK(open.site.size() == 1 && open.edge.size() == 3);
  CHECK(shut.dimensionality.empty());

  // Crystals side by side in threads share nothing.
  std::vector<Network> many(8);
  const Spheres random = random_spheres(60, 8);
  parallel_for(many.size(), 4, [&](std::size_t i, int) {
    many[i] = build_network(Lattice(random.cell), random.frac, random.radius);
  });
  for (const Network& m : many) CHECK(m.edge_bottleneck_radius == many[0].edge_bottleneck_radius);

  // Threads inside one crystal: the same bits.
  const Spheres large = random_spheres(260, 4);
  NetworkOptions options;
  const Network serial = build_network(Lattice(large.cell), large.frac, large.radius, options);
  options.num_threads = 4;
  const Network threaded = build_network(Lattice(large.cell), large.frac, large.radius, options);
  CHECK(serial.site_radius == threaded.site_radius);
  CHECK(serial.edge_bottleneck_radius == threaded.edge_bottleneck_radius);
  CHECK(serial.edge_i == threaded.edge_i && serial.edge_j == threaded.edge_j);
  return fastin::test::report("network");
}
