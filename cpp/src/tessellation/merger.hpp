// Merger: the power diagram from its triangulation, with vertices that coincide merged.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "fastin/base/scratch.hpp"
#include "fastin/tessellation/power_triangulation.hpp"
#include "fastin/tessellation/reduced_frame.hpp"
#include "fastin/tessellation/tessellation.hpp"

namespace fastin {

// What it makes does not depend on the number of threads: sums go in the order of the tetrahedra.
class Merger {
 public:
  Merger(const ReducedFrame& frame, const std::vector<double>& weight, PowerTriangulation dual,
         const TessellationOptions& options)
      : frame_(frame),
        weight_(weight),
        tets_(std::move(dual.tetrahedra)),
        centre_(std::move(dual.centre)),
        problem_(std::move(dual.problem)),
        tolerance_(options.merge_tolerance),
        faces_(options.faces),
        visitor_(options.visitor),
        threads_(frame.cart.size() < kSweptAtoms ? 1 : options.num_threads) {}

  void run(Tessellation* out);

 private:
  static constexpr std::size_t kBlock = 2048;  // items that a thread takes at a time
  static std::size_t blocks_of(std::size_t n) { return (n + kBlock - 1) / kBlock; }

  // A face of a tetrahedron.
  struct Face {
    std::size_t t, face;
  };
  // A face that becomes an edge, from the vertex with the lower number.
  struct EdgeRecord {
    std::int32_t j;
    Int3 image;           // of the caller's lattice
    std::uint32_t where;  // 4 * tetrahedron (one of the lower vertex) + face
  };
  // What one thread needs again and again.
  struct Work {
    std::vector<GeneratorCode> codes;
    std::vector<Generator> generators;
    std::vector<EdgeRecord> records;
  };
  // Lists of generators that threads lay down block by block: the first list of each block (and the end),
  // where it stands, with room before the next block's, and how much of the room is used.
  struct Stretches {
    std::vector<std::size_t> first, from, used;
  };

  void polish();
  void solve_perturbed(const PowerTriangulation::Tetrahedron& tet, Vec3* centre) const;
  Vec3 position(GeneratorCode code) const {
    return generator_delta(code) == 0 ? frame_.cart[static_cast<std::size_t>(generator_atom(code))]
                                      : frame_.position(code);
  }
  std::size_t beyond(const Face& face) const {
    return static_cast<std::size_t>(tets_[face.t].neighbour[face.face]);
  }
  // So many cells of the reduced lattice.
  Vec3 cells(const Int3& image) const {
    return is_zero(image) ? Vec3{} : frame_.lattice.to_cart(to_vec(image));
  }
  double gap2(std::size_t t, std::size_t face) const;
  double excess(std::size_t t, std::size_t other, const Int3& shift) const;
  void find_near(std::vector<Face>* vanishing, std::vector<Face>* near) const;
  void add_slivers(const std::vector<Face>& near, std::vector<Face>* joins) const;
  void cluster();
  void number(const std::vector<Face>& joins);

  std::vector<Work> work_of_threads() const {
    return std::vector<Work>(static_cast<std::size_t>(std::max(1, threads_)));
  }
  void place(Tessellation* out);
  std::size_t place_vertex(std::size_t v, Work* work, Generator* list, Tessellation* out);
  void find_callers();
  std::size_t to_callers(std::vector<GeneratorCode>* codes, Generator* list) const;
  static void close_up(const Stretches& stretches, Scratch<Generator>* items,
                       std::vector<std::int32_t>* start);

  void gather(std::size_t v, std::vector<EdgeRecord>* records) const;
  bool count_lone(std::size_t v, std::size_t* faces) const;
  void edges_and_volumes(Tessellation* out);
  void emit(std::size_t block, std::size_t e, int thread, Work* work, Stretches* stretches,
            Tessellation* out);
  void add_owners(const EdgeRecord& r, std::size_t edge, std::vector<GeneratorCode>* g);

  void cones(std::size_t t, std::size_t f, double* share) const;
  void volumes(Tessellation* out) const;
  void add_shares(std::size_t t, std::size_t f, const double* share, Tessellation* out) const;

  const ReducedFrame& frame_;
  const std::vector<double>& weight_;
  Scratch<PowerTriangulation::Tetrahedron> tets_;
  Scratch<Vec3> centre_;  // of the tetrahedra; becomes the exact vertex, and the merged one in place()
  std::optional<PerturbedProblem> problem_;
  double tolerance_;
  bool faces_;
  DiagramVisitor* visitor_;
  int threads_;
  std::vector<FaceEdge> face_edges_;
  Scratch<GeneratorCode> to_caller_;  // of each atom, for to_callers()
  std::array<ImageDelta, 3> turn_{};
  Scratch<std::int32_t> vertex_;                  // of each tetrahedron
  Scratch<std::int32_t> member_start_, members_;  // tetrahedra of each vertex, in order
  Scratch<Int3> offset_;
  std::int32_t count_ = 0;
};

}  // namespace fastin
