// Merger: the power diagram from its triangulation, with vertices that coincide merged.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "fastin/base/periodic_union_find.hpp"
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
        problem_(std::move(dual.problem)),
        tolerance_(options.merge_tolerance),
        faces_(options.faces),
        visitor_(options.visitor),
        threads_(frame.cart.size() < kSweptAtoms ? 1 : options.num_threads) {}

  void run(Tessellation* out);

 private:
  static constexpr std::size_t kBlock = 2048;  // items that a thread takes at a time
  static std::size_t blocks_of(std::size_t n) { return (n + kBlock - 1) / kBlock; }

  using Sets = std::optional<PeriodicUnionFind>;

  // An edge from the vertex under which it is filed.
  struct EdgeRecord {
    std::int32_t j;
    Int3 image;           // of the caller's lattice
    std::uint32_t where;  // 8 * tetrahedron + 2 * face + (filed from the far side)
  };
  // What one thread needs again and again.
  struct Work {
    std::vector<GeneratorCode> codes;
    std::vector<Generator> generators;
  };

  void polish();
  void solve_perturbed(PowerTriangulation::Tetrahedron* tet) const;
  Vec3 position(GeneratorCode code) const {
    return generator_delta(code) == 0 ? frame_.cart[static_cast<std::size_t>(generator_atom(code))]
                                      : frame_.position(code);
  }
  double gap2(std::size_t t, std::size_t face) const;
  double excess(std::size_t t, std::size_t other, const Int3& shift) const;
  double join_near(Sets* sets);
  void join(std::size_t t, std::size_t face, Sets* sets) const;
  void join_slivers(Sets* sets);
  void cluster();

  void place(Tessellation* out);
  void place_vertex(std::size_t v, Work* work, Tessellation* out);
  void to_callers(Work* work) const;
  void compact(std::size_t count, const Scratch<std::int32_t>& place, std::size_t each,
               const Scratch<std::int32_t>& size, Scratch<Generator>* items,
               std::vector<std::int32_t>* start) const;

  template <class Visit>
  void for_each_edge(std::size_t begin, std::size_t end, const Visit& visit) const;
  void edges(Tessellation* out);
  void file_edges();
  void emit(std::size_t begin, std::size_t end, std::size_t e, int thread, Work* work,
            Scratch<std::int32_t>* size, Tessellation* out);
  void add_owners(const EdgeRecord& r, std::size_t edge, std::vector<GeneratorCode>* g);

  void cones(std::size_t t, std::size_t f, double* share) const;
  void volumes(Tessellation* out) const;
  void add_shares(std::size_t t, std::size_t f, const double* share, Tessellation* out) const;

  const ReducedFrame& frame_;
  const std::vector<double>& weight_;
  // `centre` becomes the exact vertex, and the merged one in place()
  Scratch<PowerTriangulation::Tetrahedron> tets_;
  std::optional<PerturbedProblem> problem_;
  double tolerance_;
  bool faces_;
  DiagramVisitor* visitor_;
  int threads_;
  std::vector<FaceEdge> face_edges_;
  Scratch<char> merged_;  // with another tetrahedron of the same place
  Scratch<std::int32_t> vertex_, member_start_, members_;
  Scratch<Int3> offset_;
  Scratch<EdgeRecord> records_;       // by the vertex that they start from
  Scratch<std::int32_t> edge_start_;  // of each vertex among them
  std::int32_t count_ = 0;
};

}  // namespace fastin
