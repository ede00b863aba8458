// Named crystals for the C++ tests: literature cells and positions, radii close to Shannon's crystal radii.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"
#include "fastin/geometry/symmetry_orbits.hpp"

namespace fastin::test {

struct Spheres {
  Mat3 cell;
  std::vector<Vec3> frac;
  std::vector<double> radius;
  std::vector<SymmetryOperation> operations;
};

inline Mat3 box(double a, double b, double c) { return Mat3{{Vec3{a, 0, 0}, Vec3{0, b, 0}, Vec3{0, 0, c}}}; }

inline Spheres simple_cubic() { return {box(4, 4, 4), {{0, 0, 0}}, {1.0}, {}}; }

inline Spheres fcc() {
  return {box(5, 5, 5), {{0, 0, 0}, {0, 0.5, 0.5}, {0.5, 0, 0.5}, {0.5, 0.5, 0}}, {1.5, 1.5, 1.5, 1.5}, {}};
}

inline Spheres bcc() { return {box(4, 4, 4), {{0, 0, 0}, {0.5, 0.5, 0.5}}, {1.2, 1.2}, {}}; }

inline Spheres hexagonal() {
  return {Mat3{{Vec3{3.6, 0, 0}, Vec3{-1.8, 3.117691453623979, 0}, Vec3{0, 0, 3.9}}}, {{0, 0, 0}}, {1.3}, {}};
}

// Olivine LiFePO4 without lithium (space group Pnma; V. A. Streltsov et al., Acta Cryst. B49, 147 (1993)).
inline Spheres olivine() {
  Spheres s{box(10.3298, 6.0057, 4.6919), {}, {}, {}};
  const auto op = [](int a, int b, int c, Vec3 t) {
    return SymmetryOperation{{Int3{a, 0, 0}, Int3{0, b, 0}, Int3{0, 0, c}}, t};
  };
  s.operations = {op(1, 1, 1, {0, 0, 0}),         op(-1, -1, 1, {0.5, 0, 0.5}), op(-1, 1, -1, {0, 0.5, 0}),
                  op(1, -1, -1, {0.5, 0.5, 0.5}), op(-1, -1, -1, {0, 0, 0}),    op(1, 1, -1, {0.5, 0, 0.5}),
                  op(1, -1, 1, {0, 0.5, 0}),      op(-1, 1, 1, {0.5, 0.5, 0.5})};
  const auto add = [&s](const Vec3& x, double r) {
    for (const SymmetryOperation& o : s.operations) {
      Vec3 y = o(x);
      wrap_frac(y);
      bool known = false;
      for (const Vec3& z : s.frac) {
        Vec3 d = y - z;
        for (int k = 0; k < 3; ++k) d[k] -= std::floor(d[k] + 0.5);
        known = known || norm(d) < 1e-6;
      }
      if (known) continue;
      s.frac.push_back(y);
      s.radius.push_back(r);
    }
  };
  add({0.28219, 0.25, 0.97472}, 0.92);
  add({0.09486, 0.25, 0.41820}, 0.31);
  add({0.09678, 0.25, 0.74279}, 1.24);
  add({0.45710, 0.25, 0.20602}, 1.24);
  add({0.16558, 0.04646, 0.28478}, 1.24);
  return s;
}

// Atoms at random, at least 1.2 angstrom apart, radii 0.4 to 1.6.
inline Spheres random_spheres(std::size_t n, std::uint32_t seed) {
  std::mt19937 engine(seed);
  const auto uniform = [&engine] { return static_cast<double>(engine()) / 4294967296.0; };
  const double a = std::cbrt(15.0 * static_cast<double>(n));
  Spheres s{Mat3{{Vec3{a, 0, 0}, Vec3{0.3 * a, 0.95 * a, 0}, Vec3{-0.4 * a, 0.2 * a, 1.1 * a}}}, {}, {}, {}};
  while (s.frac.size() < n) {
    const Vec3 x{uniform(), uniform(), uniform()};
    bool free = true;
    for (const Vec3& z : s.frac) {
      Vec3 d = x - z;
      for (int k = 0; k < 3; ++k) d[k] -= std::floor(d[k] + 0.5);
      free = free && norm(row_times(d, s.cell)) > 1.2;
    }
    if (!free) continue;
    s.frac.push_back(x);
    s.radius.push_back(0.4 + 1.2 * uniform());
  }
  return s;
}

}  // namespace fastin::test
