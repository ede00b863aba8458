// Tessellation: the periodic radical (power) Voronoi diagram: vertices with their generators, edges, faces,
// cell volumes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/scratch.hpp"
#include "fastin/base/vec3.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// Vertices closer than this along an edge (angstrom) are one vertex: equal powers that rounding has split.
constexpr double kMergeTolerance = 1e-5;

// An image of an atom: it lies at frac[atom] + image, with frac as given by the caller (wrapped or not).
struct Generator {
  std::int32_t atom;
  Int3 image;
};
inline bool operator==(const Generator& a, const Generator& b) {
  return a.atom == b.atom && a.image == b.image;
}
inline bool operator<(const Generator& a, const Generator& b) {
  return a.atom != b.atom ? a.atom < b.atom : a.image < b.image;
}

// A vertex of a face's loop: it lies at vertex_frac[vertex] + image when the face's `first` atom lies at its
// frac.
struct LoopVertex {
  std::int32_t vertex;
  Int3 image;
};

// Faces of the diagram: face f is the common boundary of the cells of atom first[f] and of second[f] (seen
// from it), with the loop loop[start[f] .. start[f + 1]) in order around it.
struct Faces {
  std::vector<std::int32_t> first;
  std::vector<Generator> second;
  std::vector<std::int32_t> start;
  std::vector<LoopVertex> loop;
};

// One of the two or more cells' pairs that an edge separates, with frames in the reduced basis; input of
// build_faces.
struct FaceEdge {
  std::int32_t first;
  GeneratorCode second;  // relative to first
  std::int32_t edge;
  Int3 cell;  // where the home of the edge's vertex i lies when `first` is at image 0
};

struct Tessellation {
  // Vertex v is at frac[v] in [0, 1); its generators are generator[generator_start[v] .. generator_start[v +
  // 1]), sorted.
  std::vector<Vec3> vertex_frac;
  std::vector<double> vertex_power;  // common power, angstrom^2
  std::vector<std::int32_t> generator_start;
  Scratch<Generator> generator;
  // Edge e joins vertex i[e] with vertex j[e] displaced by image[e]: i < j, or i == j and image > 0
  // lexicographically; sorted by (i, j, image). Its owners (three or more) are given in the frame where
  // vertex i is at vertex_frac.
  std::vector<std::int32_t> edge_i, edge_j;
  std::vector<Int3> edge_image;
  std::vector<std::int32_t> owner_start;
  Scratch<Generator> owner;
  std::vector<double> cell_volume;  // one per atom; 0 for a hidden one
  // Faces with their loops; filled when asked for.
  Faces faces;
};

struct DiagramEdge {
  std::size_t number;
  std::int32_t i, j;
  Int3 image;
};

// Sees the vertices and edges of a diagram once each while it is made: where a visitor is given, generators
// and owners are not kept (half of the memory). vertex() and edge() are called from many threads, in any
// order; `thread` says from which.
class DiagramVisitor {
 public:
  virtual ~DiagramVisitor() = default;
  virtual void vertices(std::size_t count) = 0;  // before the first of them
  virtual void vertex(std::size_t number, const Vec3& frac, const Generator* begin, const Generator* end,
                      int thread) = 0;
  virtual void edges(std::size_t count, const std::vector<Vec3>& vertex_frac) = 0;
  virtual void edge(const DiagramEdge& edge, const Generator* begin, const Generator* end, int thread) = 0;
};

struct TessellationOptions {
  bool faces = false;
  double merge_tolerance = kMergeTolerance;
  int num_threads = 1;  // the result is the same for any number
  DiagramVisitor* visitor = nullptr;
};

// Throws InvalidInput for no spheres, sizes that differ and values that are not finite, naming the atom.
void check_spheres(const std::vector<Vec3>& frac, const std::vector<double>& radius);

// Exact periodic power diagram of spheres at `frac` (any images) with these radii (angstrom; the weight is
// the square). Throws InvalidInput for empty or non-finite input, DegenerateGeometry for overlapping atoms.
Tessellation tessellate(const Lattice& lattice, const std::vector<Vec3>& frac,
                        const std::vector<double>& radius, const TessellationOptions& options = {});

// Centre (the mean of the vertices) of each face, fractional, in [0, 1). Needs the faces.
std::vector<Vec3> face_centres(const Tessellation& tessellation);

// Certificates that every correct diagram passes (DESIGN section 4 of the project: volumes, Euler
// characteristic, powers).
struct Certificate {
  double volume_error;  // |sum of the cell volumes - volume of the cell| / volume of the cell
  std::int64_t euler;   // vertices - edges + faces - cells, 0 on the torus
  double power_error;   // largest spread of power over the generators of a vertex, as a distance (angstrom)
  double empty_error;   // how much nearer than its generators, in power, any atom is to a vertex (angstrom)
  std::int64_t foreign_owners;  // owners of an edge that are not generators of both its ends
};

// Independent of how the diagram was made: all atoms are searched around every vertex. Needs the faces.
Certificate certify(const Tessellation& tessellation, const Lattice& lattice, const std::vector<Vec3>& frac,
                    const std::vector<double>& radius);

}  // namespace fastin
