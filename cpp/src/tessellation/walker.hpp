// Walker: traces the tetrahedra of a power triangulation, all of them or those of some atoms.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/tessellation/halfspaces.hpp"
#include "fastin/tessellation/power_triangulation.hpp"

namespace fastin {

// Small crystals are walked from the facet found last, with the lists of all atoms at hand. Large ones (atoms
// numbered along a curve through space) atom after atom: each facet is passed from its lowest atom, so that
// one list is held at a time, and few facets are open. A walker of a part of the atoms finds tetrahedra whose
// lowest atom is of the part; facets that lead out of it wait for the others (adopt).
class Walker {
 public:
  using Tetrahedron = PowerTriangulation::Tetrahedron;

  // Keeps a reference to `half`. Atoms begin .. end of `atoms`; a part is swept.
  Walker(HalfspaceLists* half, std::size_t atoms, bool swept, std::int32_t begin, std::int32_t end);

  // From the largest sphere through all atoms. False when rounding beat the perturbation.
  bool run();
  // From any atom of the part that owns its centre, as far as facets of the part lead.
  void run_part();
  // Takes over the parts: their tetrahedra, and the facets that wait; walks what is left. False as in run().
  bool adopt(std::vector<Walker>* parts);

  // Whether each facet has two tetrahedra and they fill the cell once.
  bool closed(int num_threads) const { return ok_ && waiting_ == 0 && fills_cell(num_threads); }
  Scratch<Tetrahedron>& tetrahedra() { return tetrahedra_; }
  Scratch<Vec3>& centres() { return centres_; }

 private:
  // A face that has one tetrahedron so far, filed under its lowest atom; second and third as seen from that
  // atom's image.
  struct OpenFacet {
    GeneratorCode second, third;
    std::int32_t tetrahedron;  // -1 once the second one is found
    std::int32_t shift;        // image of the lowest atom in the tetrahedron's frame
    std::int32_t next;         // of those that wait elsewhere: the lowest atom
    std::int8_t face;
    bool odd;  // the outward order of the corners is an odd permutation of the sorted one
  };

  bool mine(std::int32_t atom) const { return atom >= begin_ && atom < end_; }
  std::int32_t& head(std::int32_t atom) { return head_[static_cast<std::size_t>(atom - begin_)]; }
  Vec3 relative(std::int32_t atom, GeneratorCode code) const;
  double plane(std::int32_t atom, GeneratorCode code, const Vec3& d) const;
  void reserve(std::size_t atoms);
  void seed(std::int32_t atom);
  bool owns_centre(std::int32_t atom);
  void follow();
  void sweep();
  void advance(std::int32_t tetrahedron, int face);
  bool add(std::array<GeneratorCode, 4> g, const Vec3& centre);
  bool add_sorted(std::array<GeneratorCode, 4> g, const Vec3& centre);
  void check_count();
  void file(GeneratorCode a, GeneratorCode b, GeneratorCode c, std::int32_t id, int face, bool odd);
  void file(std::int32_t lowest, const OpenFacet& facet);
  void join(const OpenFacet& facet, OpenFacet* other);
  bool fills_cell(int num_threads) const;

  HalfspaceLists* half_;
  std::size_t atoms_;
  bool swept_;
  std::int32_t begin_, end_;
  Scratch<Tetrahedron> tetrahedra_;
  Scratch<Vec3> centres_;  // of the tetrahedra
  Scratch<OpenFacet> open_;
  std::vector<OpenFacet> elsewhere_;  // those of other parts, and those that lead into one
  Scratch<std::int32_t> head_, stack_, free_;
  std::size_t waiting_ = 0;
  std::int32_t lowest_ = 0;  // atom under work
  bool ok_ = true;
};

}  // namespace fastin
