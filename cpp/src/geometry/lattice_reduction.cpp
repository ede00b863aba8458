#include "fastin/geometry/lattice_reduction.hpp"

#include <cmath>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {
namespace {

// A vector counts as shorter only by more than this relative amount: ties (high symmetry) must not cycle.
constexpr double kRelativeGain = 1e-10;
constexpr int kMaxRounds = 1000;

struct Row {
  Vec3 v;
  Int3 n;
};

Row minus(const Row& a, double k, const Row& b) {
  const auto m = static_cast<std::int32_t>(k);
  return {a.v - k * b.v, a.n - m * b.n};
}

// Gauss (Lagrange) reduction of a pair, a the shorter one in the end.
void reduce_pair(Row& a, Row& b) {
  for (int round = 0; round < kMaxRounds; ++round) {
    if (norm2(b.v) < norm2(a.v)) std::swap(a, b);
    const Row shorter = minus(b, std::round(dot(a.v, b.v) / norm2(a.v)), a);
    if (norm2(shorter.v) >= norm2(b.v) * (1.0 - kRelativeGain)) return;
    b = shorter;
  }
}

// Shortest c + i a + j b for a reduced pair (a, b): the closest of the lattice points around c's projection.
bool reduce_third(const Row& a, const Row& b, Row& c) {
  const double aa = norm2(a.v), bb = norm2(b.v), ab = dot(a.v, b.v), ac = dot(a.v, c.v), bc = dot(b.v, c.v);
  const double det = aa * bb - ab * ab;
  const double i0 = std::floor((ac * bb - bc * ab) / det), j0 = std::floor((bc * aa - ac * ab) / det);
  Row best = c;
  for (int i = -1; i <= 2; ++i) {
    for (int j = -1; j <= 2; ++j) {
      const Row trial = minus(minus(c, i0 + i, a), j0 + j, b);
      if (norm2(trial.v) < norm2(best.v) * (1.0 - kRelativeGain)) best = trial;
    }
  }
  const bool shorter = best.n != c.n;
  c = best;
  return shorter;
}

// Inverse of a unimodular integer matrix: its adjugate times its determinant (+1 or -1).
std::array<Int3, 3> inverse_unimodular(const std::array<Int3, 3>& m) {
  const auto minor2 = [&m](int r0, int r1, int c0, int c1) {
    return m[static_cast<std::size_t>(r0)][c0] * m[static_cast<std::size_t>(r1)][c1] -
           m[static_cast<std::size_t>(r0)][c1] * m[static_cast<std::size_t>(r1)][c0];
  };
  const std::int32_t det =
      m[0].x * minor2(1, 2, 1, 2) - m[0].y * minor2(1, 2, 0, 2) + m[0].z * minor2(1, 2, 0, 1);
  if (det != 1 && det != -1) throw NoConvergence("lattice reduction lost the lattice (determinant not 1)");
  return {Int3{det * minor2(1, 2, 1, 2), -det * minor2(0, 2, 1, 2), det * minor2(0, 1, 1, 2)},
          Int3{-det * minor2(1, 2, 0, 2), det * minor2(0, 2, 0, 2), -det * minor2(0, 1, 0, 2)},
          Int3{det * minor2(1, 2, 0, 1), -det * minor2(0, 2, 0, 1), det * minor2(0, 1, 0, 1)}};
}

}  // namespace

ReducedBasis reduce_basis(const Mat3& cell) {
  std::array<Row, 3> r{Row{cell[0], {1, 0, 0}}, Row{cell[1], {0, 1, 0}}, Row{cell[2], {0, 0, 1}}};
  for (int round = 0; round < kMaxRounds; ++round) {
    if (norm2(r[1].v) < norm2(r[0].v)) std::swap(r[0], r[1]);
    if (norm2(r[2].v) < norm2(r[1].v)) std::swap(r[1], r[2]);
    if (norm2(r[1].v) < norm2(r[0].v)) std::swap(r[0], r[1]);
    reduce_pair(r[0], r[1]);
    const bool shorter = reduce_third(r[0], r[1], r[2]);
    if (!shorter && norm2(r[2].v) >= norm2(r[1].v) * (1.0 - kRelativeGain)) break;
  }
  ReducedBasis out;
  for (std::size_t i = 0; i < 3; ++i) out.rows[i] = r[i].n;
  if (determinant(Mat3{{r[0].v, r[1].v, r[2].v}}) * determinant(cell) < 0.0) out.rows[2] = -out.rows[2];
  // From the integers, not from the accumulated differences: images of an atom then agree to the last digits.
  for (int i = 0; i < 3; ++i) out.cell[i] = row_times(to_vec(out.rows[static_cast<std::size_t>(i)]), cell);
  out.inverse = inverse_unimodular(out.rows);
  out.identity = out.rows == std::array<Int3, 3>{Int3{1, 0, 0}, Int3{0, 1, 0}, Int3{0, 0, 1}};
  return out;
}

std::vector<Vec3> in_reduced_cell(const ReducedBasis& basis, const std::vector<Vec3>& frac) {
  std::vector<Vec3> out;
  out.reserve(frac.size());
  for (std::size_t i = 0; i < frac.size(); ++i) {
    const Vec3& f = frac[i];
    if (!std::isfinite(f.x + f.y + f.z)) {
      throw InvalidInput("the coordinates of point " + std::to_string(i) + " are not finite");
    }
    out.push_back(f.x * to_vec(basis.inverse[0]) + f.y * to_vec(basis.inverse[1]) +
                  f.z * to_vec(basis.inverse[2]));
    wrap_frac(out.back());
  }
  return out;
}

}  // namespace fastin
