#include "fastin/tessellation/tessellation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/base/periodic_union_find.hpp"
#include "fastin/base/rounding.hpp"
#include "fastin/tessellation/power_triangulation.hpp"
#include "fastin/tessellation/reduced_frame.hpp"
#include "fastin/tessellation/vertex_position.hpp"

namespace fastin {
namespace {

// A coordinate this far below an integer belongs to the next cell: -1e-17 is 0, not 0.99999999.
constexpr double kWrapMargin = 1e-11;
// Polishing may move a vertex from the perturbed to the exact solution by this much (angstrom); more means
// generators so nearly coplanar that their exact meeting point is noise, and the perturbed point is as good.
constexpr double kMaxPolish = 2e-6;
// The meeting point of four nearly coplanar generators is ill defined: a vertex this far (angstrom) from a
// neighbour whose generators it shares to within kGeneratorTolerance (power excess as a distance) is the same
// vertex.
constexpr double kSliverReach = 1e-3;
constexpr double kGeneratorTolerance = 1e-6;
// Farther than this in fractional coordinates nothing is left of the position; larger than this (angstrom) no
// sphere of a crystal is, and the neighbours to look at would be without number.
constexpr double kMaxCell = 1e6;
constexpr double kMaxRadius = 50.0;

class Merger {
 public:
  Merger(const ReducedFrame& frame, const std::vector<double>& weight, const PowerTriangulation& dual,
         const TessellationOptions& options)
      : frame_(frame),
        weight_(weight),
        tets_(dual.tetrahedra),
        tolerance_(options.merge_tolerance),
        faces_(options.faces) {}

  void run(Tessellation* out) {
    polish();
    cluster();
    place(out);
    edges(out);
    volumes(out);
    if (faces_) build_faces(frame_, face_edges_, out);
  }

 private:
  void polish() {
    point_.resize(tets_.size());
    for (std::size_t t = 0; t < tets_.size(); ++t) {
      std::array<Vec3, 4> centre;
      for (std::size_t c = 0; c < 4; ++c) centre[c] = position(tets_[t].g[c]);
      Vec3 x;
      const bool solved = solve_vertex(weight_, tets_[t].g, centre, &x);
      point_[t] = solved && norm2(x - tets_[t].centre) < kMaxPolish * kMaxPolish ? x : tets_[t].centre;
    }
  }

  Vec3 position(GeneratorCode code) const {
    return generator_delta(code) == 0 ? frame_.cart[static_cast<std::size_t>(generator_atom(code))]
                                      : frame_.position(code);
  }

  // Squared distance of the vertices on both sides of a face.
  double gap2(std::size_t t, std::size_t face) const {
    const auto& tet = tets_[t];
    const Vec3 along = point_[static_cast<std::size_t>(tet.neighbour[face])] - point_[t];
    if (tet.shift[face] == 0) return norm2(along);
    return norm2(along + frame_.lattice.to_cart(to_vec(delta_image(tet.shift[face]))));
  }

  // How much farther, in power, the other tetrahedron's generators are from the centre of t than its own.
  double excess(std::size_t t, std::size_t other, const Int3& shift) const {
    const auto power = [&](GeneratorCode code) {
      return norm2(frame_.position(code) - point_[t]) -
             weight_[static_cast<std::size_t>(generator_atom(code))];
    };
    const double own = power(tets_[t].g[0]);
    double worst = 0.0;
    for (const GeneratorCode code : tets_[other].g) {
      const GeneratorCode seen = shifted(code, image_delta(shift));
      const double distance = std::max(norm(frame_.position(seen) - point_[t]), kMergeTolerance);
      worst = std::max(worst, (power(seen) - own) / (2.0 * distance));
    }
    return worst;
  }

  // Vertices at the two ends of a vanishing edge are one. Returns the smallest squared gap; `sets` is made
  // where one vanishes.
  double join_near(std::optional<PeriodicUnionFind>* sets) {
    double smallest = std::numeric_limits<double>::infinity();
    for (std::size_t t = 0; t < tets_.size(); ++t) {
      for (std::size_t f = 0; f < 4; ++f) {
        const auto other = static_cast<std::size_t>(tets_[t].neighbour[f]);
        if (other <= t) continue;
        const double between = gap2(t, f);
        smallest = std::min(smallest, between);
        if (between > tolerance_ * tolerance_) continue;
        join(t, f, sets);
        merged_[t] = merged_[other] = 1;
      }
    }
    return smallest;
  }

  void join(std::size_t t, std::size_t face, std::optional<PeriodicUnionFind>* sets) const {
    if (!sets->has_value()) sets->emplace(tets_.size());
    (*sets)->join(static_cast<std::int32_t>(t), tets_[t].neighbour[face], delta_image(tets_[t].shift[face]));
  }

  // A lone vertex near another whose generators include its own, to kGeneratorTolerance, joins the nearest
  // such one. It joins no second one, so that it cannot bridge two vertices that differ. The nearest pairs
  // come first, whatever the order of the atoms.
  void join_slivers(std::optional<PeriodicUnionFind>* sets) {
    struct Pair {
      double gap2;
      std::size_t t, face;
    };
    std::vector<Pair> pairs;
    for (std::size_t t = 0; t < tets_.size(); ++t) {
      for (std::size_t f = 0; merged_[t] == 0 && f < 4; ++f) {
        const auto other = static_cast<std::size_t>(tets_[t].neighbour[f]);
        const double between = gap2(t, f);
        if (other == t || between > kSliverReach * kSliverReach) continue;
        const Int3 shift = delta_image(tets_[t].shift[f]);
        const double off = excess(other, t, -shift);
        // of two lone ones the one that fits the other better joins
        if (off <= kGeneratorTolerance && (merged_[other] != 0 || off <= excess(t, other, shift)))
          pairs.push_back({between, t, f});
      }
    }
    std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.gap2 < b.gap2; });
    Scratch<char> joined(tets_.size(), 0);
    for (const Pair& p : pairs) {
      const auto other = static_cast<std::size_t>(tets_[p.t].neighbour[p.face]);
      if (merged_[p.t] != 0 || joined[p.t] != 0 || joined[other] != 0) continue;
      join(p.t, p.face, sets);
      joined[p.t] = 1;
      merged_[other] = 1;  // a host joins no other
    }
  }

  void cluster() {
    std::optional<PeriodicUnionFind> sets;
    if (tolerance_ > 0.0) {
      merged_.assign(tets_.size(), 0);
      if (join_near(&sets) <= kSliverReach * kSliverReach) join_slivers(&sets);
    }
    vertex_.assign(tets_.size(), -1);
    offset_.assign(tets_.size(), Int3{});
    members_.clear();
    Scratch<std::int32_t> label(tets_.size(), -1);
    for (std::size_t t = 0; t < tets_.size(); ++t) {
      const auto found = sets.has_value() ? sets->find(static_cast<std::int32_t>(t))
                                          : PeriodicUnionFind::Found{static_cast<std::int32_t>(t), {}};
      std::int32_t& v = label[static_cast<std::size_t>(found.root)];
      if (v < 0) v = count_++;
      vertex_[t] = v;
      offset_[t] = -found.offset;
    }
    // Members of each vertex, in order of the tetrahedra.
    member_start_.assign(static_cast<std::size_t>(count_) + 1, 0);
    for (const std::int32_t v : vertex_) ++member_start_[static_cast<std::size_t>(v) + 1];
    for (std::size_t v = 0; v < static_cast<std::size_t>(count_); ++v)
      member_start_[v + 1] += member_start_[v];
    members_.resize(tets_.size());
    Scratch<std::int32_t> next(member_start_.begin(), member_start_.end() - 1);
    for (std::size_t t = 0; t < tets_.size(); ++t) {
      members_[static_cast<std::size_t>(next[static_cast<std::size_t>(vertex_[t])]++)] =
          static_cast<std::int32_t>(t);
    }
  }

  // Positions, powers and generators of the merged vertices. Afterwards offset_[t] is the cell (reduced
  // basis) in which the vertex's home (the caller's [0, 1)) lies as seen from the frame of tetrahedron t.
  void place(Tessellation* out) {
    const auto n = static_cast<std::size_t>(count_);
    out->vertex_frac.resize(n);
    out->vertex_power.resize(n);
    out->generator_start.assign(1, 0);
    out->generator_start.reserve(n + 1);
    out->generator.reserve(4 * tets_.size());
    home_.resize(n);
    std::vector<GeneratorCode> g;
    for (std::size_t v = 0; v < n; ++v) {
      const auto begin = static_cast<std::size_t>(member_start_[v]),
                 end = static_cast<std::size_t>(member_start_[v + 1]);
      g.clear();
      Vec3 x{};
      double power = 0.0;
      for (std::size_t m = begin; m < end; ++m) {
        const auto t = static_cast<std::size_t>(members_[m]);
        const ImageDelta back = -image_delta(offset_[t]);
        for (const GeneratorCode code : tets_[t].g) g.push_back(shifted(code, back));
        x += point_[t] - frame_.lattice.to_cart(to_vec(offset_[t]));
        power += norm2(position(tets_[t].g[0]) - point_[t]) -
                 weight_[static_cast<std::size_t>(generator_atom(tets_[t].g[0]))];
      }
      x = (1.0 / static_cast<double>(end - begin)) * x;
      std::sort(g.begin(), g.end());
      if (end - begin > 1) {
        g.erase(std::unique(g.begin(), g.end()), g.end());
        double spread = 0.0;
        for (std::size_t m = begin; m < end; ++m) {
          const auto t = static_cast<std::size_t>(members_[m]);
          spread = std::max(spread, norm(point_[t] - frame_.lattice.to_cart(to_vec(offset_[t])) - x));
        }
        Vec3 better;
        if (least_squares_vertex(frame_, weight_, g, &better) && norm(better - x) < tolerance_ + spread)
          x = better;
      }
      Vec3 f = frame_.original_lattice.to_frac(x);
      Int3 cell;
      for (int k = 0; k < 3; ++k) {
        cell[k] = floor_int(f[k] + kWrapMargin);
        f[k] = std::max(0.0, f[k] - cell[k]);
      }
      out->vertex_frac[v] = f;
      const Int3 reduced = frame_.basis.to_reduced(cell);
      home_[v] = x - frame_.lattice.to_cart(to_vec(reduced));
      for (std::size_t m = begin; m < end; ++m) {
        const auto t = static_cast<std::size_t>(members_[m]);
        offset_[t] = offset_[t] + reduced;
        point_[t] = home_[v] + frame_.lattice.to_cart(to_vec(offset_[t]));  // where the merged vertex is
      }
      for (const GeneratorCode code : g) {
        out->generator.push_back(frame_.original(shifted(code, -image_delta(reduced))));
      }
      out->vertex_power[v] = power / static_cast<double>(end - begin);
      if (!frame_.basis.identity)
        std::sort(out->generator.end() - static_cast<std::ptrdiff_t>(g.size()), out->generator.end());
      out->generator_start.push_back(static_cast<std::int32_t>(out->generator.size()));
    }
  }

  struct EdgeRecord {
    std::int32_t i, j;
    Int3 image;  // reduced basis until sorted in the caller's
    std::int32_t tetrahedron;
    std::int8_t face;
    bool swapped;
  };

  // Calls visit(record) for each face between two tetrahedra that is an edge of the diagram.
  template <class Visit>
  void for_each_edge(const Visit& visit) const {
    for (std::size_t t = 0; t < tets_.size(); ++t) {
      for (std::size_t f = 0; f < 4; ++f) {
        const auto other = static_cast<std::size_t>(tets_[t].neighbour[f]);
        if (other < t) continue;
        std::int32_t i = vertex_[t], j = vertex_[other];
        // A tetrahedron's offset is where its vertex's home lies seen from its own frame.
        Int3 image = offset_[other] - offset_[t];
        if (tets_[t].shift[f] != 0) image = image + delta_image(tets_[t].shift[f]);
        if (!is_zero(image)) {
          image = frame_.basis.to_original(image);
        } else if (i == j) {
          continue;
        }
        const bool swapped = j < i || (i == j && image < Int3{});
        if (other == t && swapped) continue;  // its partner face makes the same record the right way round
        if (swapped) {
          std::swap(i, j);
          image = -image;
        }
        visit(EdgeRecord{i, j, image, static_cast<std::int32_t>(t), static_cast<std::int8_t>(f), swapped});
      }
    }
  }

  // Sorted by (i, j, image): counted by i, then a short sort.
  void edges(Tessellation* out) {
    const auto n = static_cast<std::size_t>(count_);
    Scratch<std::int32_t> start(n + 1, 0);
    for_each_edge([&](const EdgeRecord& r) { ++start[static_cast<std::size_t>(r.i) + 1]; });
    for (std::size_t v = 0; v < n; ++v) start[v + 1] += start[v];
    Scratch<EdgeRecord> records(static_cast<std::size_t>(start[n]));
    Scratch<std::int32_t> next(start.begin(), start.end() - 1);
    for_each_edge([&](const EdgeRecord& r) {
      records[static_cast<std::size_t>(next[static_cast<std::size_t>(r.i)]++)] = r;
    });
    for (std::size_t v = 0; v < n; ++v) {
      std::sort(records.begin() + start[v], records.begin() + start[v + 1],
                [](const EdgeRecord& a, const EdgeRecord& b) {
                  if (a.j != b.j) return a.j < b.j;
                  if (a.image != b.image) return a.image < b.image;
                  return a.tetrahedron != b.tetrahedron ? a.tetrahedron < b.tetrahedron : a.face < b.face;
                });
    }
    emit(records, out);
  }

  static bool same_edge(const EdgeRecord& a, const EdgeRecord& b) {
    return a.i == b.i && a.j == b.j && a.image == b.image;
  }

  void emit(const Scratch<EdgeRecord>& records, Tessellation* out) {
    out->owner_start.reserve(records.size() + 1);
    out->owner_start.assign(1, 0);
    out->owner.reserve(3 * records.size());
    out->edge_i.reserve(records.size());
    out->edge_j.reserve(records.size());
    out->edge_image.reserve(records.size());
    edge_of_face_.assign(4 * tets_.size(), -1);
    std::vector<GeneratorCode> g;
    for (std::size_t r = 0; r < records.size();) {
      const EdgeRecord& head = records[r];
      g.clear();
      const auto e = static_cast<std::int32_t>(out->edge_i.size());
      for (; r < records.size() && same_edge(records[r], head); ++r) add_owners(records[r], e, &g);
      std::sort(g.begin(), g.end());
      g.erase(std::unique(g.begin(), g.end()), g.end());
      out->edge_i.push_back(head.i);
      out->edge_j.push_back(head.j);
      out->edge_image.push_back(head.image);
      for (const GeneratorCode code : g) out->owner.push_back(frame_.original(code));
      if (!frame_.basis.identity)
        std::sort(out->owner.end() - static_cast<std::ptrdiff_t>(g.size()), out->owner.end());
      out->owner_start.push_back(static_cast<std::int32_t>(out->owner.size()));
    }
  }

  // Generators of the face in the frame where the edge's vertex i is at home.
  void add_owners(const EdgeRecord& r, std::int32_t edge, std::vector<GeneratorCode>* g) {
    const auto t = static_cast<std::size_t>(r.tetrahedron), f = static_cast<std::size_t>(r.face);
    const auto other = static_cast<std::size_t>(tets_[t].neighbour[f]);
    Int3 home = offset_[t];
    if (r.swapped) home = offset_[other] + delta_image(tets_[t].shift[f]);
    const std::size_t begin = g->size();
    for (const int c : kFaceCorners[f]) {
      g->push_back(shifted(tets_[t].g[static_cast<std::size_t>(c)], -image_delta(home)));
    }
    edge_of_face_[4 * t + f] = edge;
    if (!faces_) return;
    for (std::size_t k = 0; k < 3; ++k) {
      const GeneratorCode p = (*g)[begin + k], q = (*g)[begin + (k + 1) % 3];
      const GeneratorCode a = std::min(p, q), b = std::max(p, q);
      face_edges_.push_back({generator_atom(a), shifted(b, -generator_delta(a)), edge, -generator_image(a)});
    }
  }

  // Each edge of the diagram adds to the cells of its three generators the cones over its triangles with the
  // feet of the faces: exact for any closed complex, degenerate edges included.
  void volumes(Tessellation* out) {
    out->cell_volume.assign(frame_.cart.size(), 0.0);
    for (std::size_t t = 0; t < tets_.size(); ++t) {
      std::array<Vec3, 4> centre;
      for (std::size_t k = 0; k < 4; ++k) centre[k] = position(tets_[t].g[k]);
      for (std::size_t f = 0; f < 4; ++f) {
        if (edge_of_face_[4 * t + f] < 0) continue;
        const auto other = static_cast<std::size_t>(tets_[t].neighbour[f]);
        const Vec3 p = point_[t];
        Vec3 q = point_[other];
        if (tets_[t].shift[f] != 0) q += frame_.lattice.to_cart(to_vec(delta_image(tets_[t].shift[f])));
        std::array<Vec3, 3> c;
        std::array<std::size_t, 3> atom;
        for (std::size_t k = 0; k < 3; ++k) {
          const auto corner = static_cast<std::size_t>(kFaceCorners[f][k]);
          c[k] = centre[corner];
          atom[k] = static_cast<std::size_t>(generator_atom(tets_[t].g[corner]));
        }
        for (std::size_t k = 0; k < 3; ++k) {
          const std::size_t a = atom[k], b = atom[(k + 1) % 3];
          const Vec3 d = c[(k + 1) % 3] - c[k];
          const double cone = dot(d, cross(p - c[k], q - c[k])) / 6.0;
          const double share = 0.5 * (1.0 + (weight_[a] - weight_[b]) / norm2(d));
          out->cell_volume[a] += share * cone;
          out->cell_volume[b] += (1.0 - share) * cone;
        }
      }
    }
  }

  const ReducedFrame& frame_;
  const std::vector<double>& weight_;
  const Scratch<PowerTriangulation::Tetrahedron>& tets_;
  double tolerance_;
  bool faces_;
  std::vector<FaceEdge> face_edges_;
  Scratch<char> merged_;  // with another tetrahedron of the same place
  Scratch<Vec3> point_;   // vertex of each tetrahedron, in its frame; the merged one after place()
  Scratch<Vec3> home_;    // of each vertex, Cartesian, at its home
  Scratch<std::int32_t> vertex_, member_start_, members_, edge_of_face_;
  Scratch<Int3> offset_;
  std::int32_t count_ = 0;
};

}  // namespace

void check_spheres(const std::vector<Vec3>& frac, const std::vector<double>& radius) {
  if (frac.empty()) throw InvalidInput("there are no atoms to tessellate");
  if (frac.size() != radius.size()) {
    throw InvalidInput("there are " + std::to_string(frac.size()) + " atoms but " +
                       std::to_string(radius.size()) + " radii");
  }
  for (std::size_t i = 0; i < frac.size(); ++i) {
    if (!std::isfinite(frac[i].x) || !std::isfinite(frac[i].y) || !std::isfinite(frac[i].z)) {
      throw InvalidInput("the position of atom " + std::to_string(i) + " is not finite");
    }
    if (std::max({std::abs(frac[i].x), std::abs(frac[i].y), std::abs(frac[i].z)}) > kMaxCell) {
      throw InvalidInput("the position of atom " + std::to_string(i) + " is more than a million cells away");
    }
    if (!std::isfinite(radius[i])) {
      throw InvalidInput("the radius of atom " + std::to_string(i) + " is not finite");
    }
    if (std::abs(radius[i]) > kMaxRadius) {
      throw InvalidInput("the radius of atom " + std::to_string(i) + " is " + std::to_string(radius[i]) +
                         " angstrom, more than any atom's");
    }
  }
}

namespace {

Tessellation tessellate_as_numbered(const Lattice& lattice, const std::vector<Vec3>& frac,
                                    const std::vector<double>& radius, const TessellationOptions& options,
                                    const std::vector<std::int32_t>& names) {
  ReducedFrame frame = reduce_frame(lattice, frac);
  frame.names = names;
  std::vector<double> weight;
  weight.reserve(radius.size());
  for (const double r : radius) weight.push_back(r * r);
  const PowerTriangulation dual = triangulate(frame.lattice, frame.frac, weight, names);
  Tessellation out;
  Merger(frame, weight, dual, options).run(&out);
  return out;
}

// Back to the caller's numbers of atoms.
void renumber(const std::vector<std::int32_t>& order, Tessellation* t) {
  const auto original = [&order](std::int32_t& atom) { atom = order[static_cast<std::size_t>(atom)]; };
  const auto groups = [&](const std::vector<std::int32_t>& start, Scratch<Generator>* of) {
    for (Generator& g : *of) original(g.atom);
    for (std::size_t k = 0; k + 1 < start.size(); ++k)
      std::sort(of->begin() + start[k], of->begin() + start[k + 1]);
  };
  groups(t->generator_start, &t->generator);
  groups(t->owner_start, &t->owner);
  std::vector<double> volume(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    volume[static_cast<std::size_t>(order[i])] = t->cell_volume[i];
  t->cell_volume.swap(volume);
  for (std::int32_t& atom : t->faces.first) original(atom);
  for (Generator& g : t->faces.second) original(g.atom);
}

}  // namespace

Tessellation tessellate(const Lattice& lattice, const std::vector<Vec3>& frac,
                        const std::vector<double>& radius, const TessellationOptions& options) {
  check_spheres(frac, radius);
  if (frac.size() < kSweptAtoms) return tessellate_as_numbered(lattice, frac, radius, options, {});
  const std::vector<std::int32_t> order = spatial_order(lattice, frac);
  std::vector<Vec3> sorted_frac;
  std::vector<double> sorted_radius;
  for (const std::int32_t i : order) {
    sorted_frac.push_back(frac[static_cast<std::size_t>(i)]);
    sorted_radius.push_back(radius[static_cast<std::size_t>(i)]);
  }
  Tessellation out = tessellate_as_numbered(lattice, sorted_frac, sorted_radius, options, order);
  renumber(order, &out);
  return out;
}

}  // namespace fastin
