// ReducedFrame: the atoms in a reduced basis of their lattice, and the way back to the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/geometry/lattice.hpp"
#include "fastin/geometry/lattice_reduction.hpp"
#include "fastin/tessellation/tessellation.hpp"

namespace fastin {

struct ReducedFrame {
  Lattice original_lattice;
  ReducedBasis basis;
  Lattice lattice;         // reduced
  std::vector<Vec3> frac;  // of the atoms, in the reduced basis, in [0, 1)
  std::vector<Vec3> cart;
  std::vector<Int3> wrapped;             // the cells (reduced basis) that wrapping subtracted
  std::vector<std::int32_t> names = {};  // numbers of the atoms for messages, empty for their own

  std::int32_t name(std::int32_t atom) const {
    return names.empty() ? atom : names[static_cast<std::size_t>(atom)];
  }

  Vec3 position(GeneratorCode code) const {
    return cart[static_cast<std::size_t>(generator_atom(code))] +
           lattice.to_cart(to_vec(generator_image(code)));
  }

  // The generator in terms of the caller's coordinates.
  Generator original(GeneratorCode code) const {
    const std::int32_t atom = generator_atom(code);
    return {atom, basis.to_original(generator_image(code) - wrapped[static_cast<std::size_t>(atom)])};
  }
};

inline ReducedFrame reduce_frame(const Lattice& lattice, const std::vector<Vec3>& frac) {
  const ReducedBasis basis = reduce_basis(lattice.cell());
  ReducedFrame out{lattice, basis, Lattice(basis.cell), {}, {}, {}, {}};
  out.frac.reserve(frac.size());
  out.cart.reserve(frac.size());
  out.wrapped.reserve(frac.size());
  for (const Vec3& f : frac) {
    // f @ cell = (f @ inverse) @ reduced cell
    Vec3 g = f.x * to_vec(basis.inverse[0]) + f.y * to_vec(basis.inverse[1]) + f.z * to_vec(basis.inverse[2]);
    out.wrapped.push_back(wrap_frac(g));
    out.frac.push_back(g);
    out.cart.push_back(out.lattice.to_cart(g));
  }
  return out;
}

// Groups the edges by face and walks around each (tessellation_faces.cpp). Faces that merging has collapsed
// are left out.
void build_faces(const ReducedFrame& frame, std::vector<FaceEdge>& edges, Tessellation* out);

}  // namespace fastin
