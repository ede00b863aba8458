#include "fastin/geometry/symmetrized.hpp"

#include <cstddef>

#include "fastin/geometry/lattice_reduction.hpp"
#include "fastin/geometry/point_index.hpp"

namespace fastin {
namespace {

constexpr double kPartner = 1e-3;  // angstrom; an image is looked for within this distance
constexpr double kRigid = 1e-5;    // angstrom, of all atoms together

}  // namespace

std::vector<Vec3> symmetrized(const Lattice& lattice, const std::vector<Vec3>& frac,
                              const std::vector<double>& radius,
                              const std::vector<SymmetryOperation>& operations) {
  if (operations.size() < 2) return frac;
  const ReducedBasis basis = reduce_basis(lattice.cell());
  const Lattice reduced(basis.cell);
  const auto to_reduced = [&basis](const Vec3& f) {
    return f.x * to_vec(basis.inverse[0]) + f.y * to_vec(basis.inverse[1]) + f.z * to_vec(basis.inverse[2]);
  };
  const auto to_caller = [&basis](const Vec3& f) {
    return f.x * to_vec(basis.rows[0]) + f.y * to_vec(basis.rows[1]) + f.z * to_vec(basis.rows[2]);
  };
  PointIndex atoms(reduced, frac.size(), kPartner);
  for (const Vec3& f : frac) {
    Vec3 g = to_reduced(f);
    wrap_frac(g);
    atoms.insert(g);
  }
  std::vector<Mat3> back;
  for (const SymmetryOperation& op : operations)
    back.push_back(inverse(Mat3{{to_vec(op.rotation[0]), to_vec(op.rotation[1]), to_vec(op.rotation[2])}}));
  std::vector<Vec3> out = frac, steps;
  std::vector<bool> placed(frac.size(), false);
  struct Image {
    std::size_t atom;
    Vec3 off;  // from the image of the first atom to its partner, in the caller's basis
  };
  std::vector<Image> images(operations.size());
  for (std::size_t i = 0; i < frac.size(); ++i) {
    if (placed[i]) continue;
    Vec3 mean{};
    for (std::size_t k = 0; k < operations.size(); ++k) {
      const Vec3 g = to_reduced(operations[k](frac[i]));
      const PointIndex::Match match = atoms.find(g);
      if (match.point < 0) return frac;
      images[k] = {static_cast<std::size_t>(match.point),
                   to_caller(atoms[match.point] + to_vec(match.cell) - g)};
      if (radius[images[k].atom] != radius[i]) return frac;
      mean += times_col(back[k], images[k].off);
    }
    mean = (1.0 / static_cast<double>(operations.size())) * mean;
    for (std::size_t k = 0; k < operations.size(); ++k) {
      const auto& r = operations[k].rotation;
      const Vec3 moved{dot(to_vec(r[0]), mean), dot(to_vec(r[1]), mean), dot(to_vec(r[2]), mean)};
      const Vec3 step = moved - images[k].off;
      if (!(norm(lattice.to_cart(step)) <= kPartner)) return frac;
      steps.push_back(step);
      const std::size_t j = images[k].atom;
      if (placed[j]) continue;
      placed[j] = true;
      out[j] = frac[j] + step;
    }
    if (!placed[i]) return frac;  // the identity is missing
  }
  // Operations stand where a search put their origin, with the noise of some atom: what they move all atoms
  // by says nothing of the atoms, and would decide otherwise for another origin of the same crystal.
  Vec3 rigid{};
  for (std::size_t i = 0; i < frac.size(); ++i) rigid += out[i] - frac[i];
  rigid = (1.0 / static_cast<double>(frac.size())) * rigid;
  if (norm(lattice.to_cart(rigid)) > kRigid) return frac;
  for (const Vec3& step : steps) {
    if (!(norm(lattice.to_cart(step - rigid)) <= kExactPosition)) return frac;
  }
  return out;
}

}  // namespace fastin
