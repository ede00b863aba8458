#include "fastin/network/symmetric_network.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "fastin/base/rounding.hpp"
#include "fastin/geometry/bottleneck.hpp"
#include "fastin/geometry/point_index.hpp"
#include "fastin/geometry/sphere_search.hpp"
#include "fastin/geometry/symmetrized.hpp"
#include "fastin/network/group_products.hpp"
#include "fastin/tessellation/cell_star.hpp"
#include "fastin/tessellation/perturbation.hpp"
#include "fastin/tessellation/reduced_frame.hpp"

namespace fastin {
namespace {

// Operations are used when the cell obeys them to this (relative), and the atoms to kExactPosition; they come
// averaged over the operations (symmetrized.hpp).
constexpr double kExactMetric = 1e-10;
// Positions nearer than kSame are one vertex, farther than kApart two; between, the shortcut is not taken.
constexpr double kSame = 5e-7;
constexpr double kApart = 1e-3;
constexpr double kVolumeTolerance = 1e-9;
constexpr double kWrapMargin = 1e-11;
// The largest conventional cell has 192 operations; supercells have more, and computing every cell of a
// supercell costs less than filing more than this many images an atom.
constexpr std::size_t kManyOperations = 192, kMostImages = 4;

struct Segment {
  Vec3 from, to;  // reduced fractional coordinates, one frame
};

// A vertex (or atom) displaced by a lattice vector.
struct Place {
  std::int32_t point;
  Int3 cell;
};

class SymmetricBuilder {
 public:
  SymmetricBuilder(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<double>& radius,
                   const NetworkOptions& options)
      : radius_(radius),
        options_(options),
        frame_(reduce_frame(lattice, frac)),
        atoms_(frame_.lattice, frac.size(), kApart),
        vertices_(frame_.lattice, 7 * frac.size(), kApart) {
    for (const double r : radius) weight_.push_back(r * r);
  }

  bool run(Network* out) {
    if (!reduce_operations() || !atom_orbits() || !walk()) return false;
    clearances();
    assemble(out);
    return true;
  }

 private:
  struct EdgeImage {
    std::int32_t i, j;
    Int3 image;  // reduced
    std::int32_t orbit, operation, next;
  };

  // The operations in the reduced basis; false unless each keeps the metric.
  bool reduce_operations() {
    const Mat3& cell = frame_.original_lattice.cell();
    for (const SymmetryOperation& op : options_.operations) {
      for (int a = 0; a < 3; ++a) {
        for (int b = a; b < 3; ++b) {
          Vec3 u{}, v{};  // images of cell vectors a and b: columns of the rotation
          for (int k = 0; k < 3; ++k) {
            u += static_cast<double>(op.rotation[static_cast<std::size_t>(k)][a]) * cell[k];
            v += static_cast<double>(op.rotation[static_cast<std::size_t>(k)][b]) * cell[k];
          }
          const double error = std::abs(dot(u, v) - dot(cell[a], cell[b]));
          if (!(error <= kExactMetric * norm(cell[a]) * norm(cell[b]))) return false;
        }
      }
      // Columns transform with B = inverse^T: x_reduced = B x, R_reduced = B R B^-1.
      SymmetryOperation reduced;
      const auto& inv = frame_.basis.inverse;
      const auto& rows = frame_.basis.rows;
      for (int c = 0; c < 3; ++c) {
        for (int d = 0; d < 3; ++d) {
          std::int32_t sum = 0;
          for (std::size_t k = 0; k < 3; ++k) {
            for (std::size_t l = 0; l < 3; ++l)
              sum += inv[k][c] * op.rotation[k][static_cast<int>(l)] *
                     rows[static_cast<std::size_t>(d)][static_cast<int>(l)];
          }
          reduced.rotation[static_cast<std::size_t>(c)][d] = sum;
        }
      }
      const Vec3& t = op.translation;
      reduced.translation = t.x * to_vec(inv[0]) + t.y * to_vec(inv[1]) + t.z * to_vec(inv[2]);
      operations_.push_back(reduced);
    }
    for (const SymmetryOperation& op : operations_) {
      rotation_.push_back(Mat3{{to_vec(op.rotation[0]), to_vec(op.rotation[1]), to_vec(op.rotation[2])}});
    }
    return operations_.size() > 1;
  }

  Vec3 apply(std::size_t k, const Vec3& x) const {
    return times_col(rotation_[k], x) + operations_[k].translation;
  }

  static Int3 rotated(const SymmetryOperation& op, const Int3& v) {
    const auto& r = op.rotation;
    return {r[0].x * v.x + r[0].y * v.y + r[0].z * v.z, r[1].x * v.x + r[1].y * v.y + r[1].z * v.z,
            r[2].x * v.x + r[2].y * v.y + r[2].z * v.z};
  }

  // Orbits of the atoms; positions become exactly symmetric, the mean over the operations.
  bool atom_orbits() {
    for (const Vec3& f : frame_.frac) atoms_.insert(f);
    atom_orbit_.assign(frame_.frac.size(), -1);
    std::vector<PointIndex::Match> match(operations_.size());
    for (std::size_t i = 0; i < frame_.frac.size(); ++i) {
      if (atom_orbit_[i] >= 0) continue;
      if (!worth_while()) return false;
      const auto orbit = static_cast<std::int32_t>(representative_.size());
      representative_.push_back(static_cast<std::int32_t>(i));
      multiplicity_.push_back(0);
      const Vec3 original = frame_.frac[i];
      Vec3 shift{};  // mean displacement, brought back to atom i
      for (std::size_t k = 0; k < operations_.size(); ++k) {
        const Vec3 image = apply(k, original);
        match[k] = atoms_.find(image);
        if (match[k].point < 0 || match[k].distance > kExactPosition) return false;
        const auto j = static_cast<std::size_t>(match[k].point);
        if (radius_[j] != radius_[i] || (atom_orbit_[j] >= 0 && atom_orbit_[j] != orbit)) return false;
        if (atom_orbit_[j] < 0) ++multiplicity_.back();
        atom_orbit_[j] = orbit;
        shift += undo_rotation(operations_[k], atoms_[match[k].point] + to_vec(match[k].cell) - image);
      }
      if (atom_orbit_[i] < 0) return false;  // the identity is missing
      const Vec3 mean = original + (1.0 / static_cast<double>(operations_.size())) * shift;
      for (std::size_t k = 0; k < operations_.size(); ++k)
        move_atom(match[k].point, apply(k, mean) - to_vec(match[k].cell));
    }
    return 2 * representative_.size() <= frame_.frac.size();  // else there is little to gain
  }

  // Every orbit is filled operation after operation. In a large supercell whose atoms sit on special
  // positions that are many more images than there are atoms.
  bool worth_while() const {
    return operations_.size() <= kManyOperations ||
           (representative_.size() + 1) * operations_.size() <= kMostImages * frame_.frac.size();
  }

  static Vec3 undo_rotation(const SymmetryOperation& op, const Vec3& v) {
    const auto& r = op.rotation;
    return times_col(inverse(Mat3{{to_vec(r[0]), to_vec(r[1]), to_vec(r[2])}}), v);
  }

  void move_atom(std::int32_t atom, Vec3 frac) {
    const auto i = static_cast<std::size_t>(atom);
    frame_.wrapped[i] = frame_.wrapped[i] + wrap_frac(frac);
    frame_.frac[i] = frac;
    frame_.cart[i] = frame_.lattice.to_cart(frac);
  }

  // The cells of the distinct atoms, their vertices and edges filed with all their images.
  bool walk() {
    PerturbedProblem problem = perturb(frame_.lattice, weight_, 0);
    HalfspaceLists half(problem.lattice, frame_.frac, std::move(problem.weight));
    CellStar star;
    std::vector<PointIndex::Match> at;
    double volume = 0.0;
    for (std::size_t o = 0; o < representative_.size(); ++o) {
      if (!trace_star(&half, frame_, weight_, representative_[o], &star)) return false;
      orbit_volume_.push_back(star.volume);
      volume += multiplicity_[o] * star.volume;
      const auto atom = static_cast<std::size_t>(representative_[o]);
      at.clear();
      for (const CellStar::Vertex& v : star.vertex) {
        PointIndex::Match match;
        if (!file_vertex(frame_.lattice.to_frac(frame_.cart[atom] + v.x), &match)) return false;
        at.push_back(match);
        const std::array<GeneratorCode, 4> g{make_generator(representative_[o], {}), v.g[0], v.g[1], v.g[2]};
        add_known(
            v.x, v.x, atom, g.data(), 4,
            &vertex_known_[static_cast<std::size_t>(vertex_orbit_[static_cast<std::size_t>(match.point)])]);
      }
      for (const CellStar::Edge& e : star.edge) {
        if (!file_edge(star, e, at[static_cast<std::size_t>(e.from)], at[static_cast<std::size_t>(e.to)],
                       atom))
          return false;
      }
    }
    return std::abs(volume - frame_.lattice.volume()) <= kVolumeTolerance * frame_.lattice.volume();
  }

  // False when a position is neither one vertex nor clearly another.
  bool locate(const Vec3& frac, PointIndex::Match* match) const {
    *match = vertices_.find(frac);
    return match->point < 0 || match->distance <= kSame;
  }

  bool file_vertex(const Vec3& frac, PointIndex::Match* match) {
    if (!locate(frac, match)) return false;
    if (match->point >= 0) return true;
    const auto orbit = static_cast<std::int32_t>(vertex_known_.size());
    vertex_known_.emplace_back();
    vertex_place_.push_back(frac);
    for (std::size_t k = 0; k < operations_.size(); ++k) {
      Vec3 image = apply(k, frac);
      PointIndex::Match seen;
      if (!locate(image, &seen)) return false;
      if (seen.point >= 0) {
        if (vertex_orbit_[static_cast<std::size_t>(seen.point)] != orbit) return false;
        vertex_image_.push_back({seen.point, seen.cell});
        continue;
      }
      const Int3 cell = wrap_frac(image);
      vertex_image_.push_back({vertices_.insert(image), cell});
      vertex_orbit_.push_back(orbit);
      vertex_operation_.push_back(static_cast<std::int32_t>(k));
    }
    return locate(frac, match) && match->point >= 0;
  }

  bool file_edge(const CellStar& star, const CellStar::Edge& e, const PointIndex::Match& from,
                 const PointIndex::Match& to, std::size_t atom) {
    if (from.point == to.point && from.cell == to.cell) return true;  // inside one degenerate vertex
    const Vec3 p = star.vertex[static_cast<std::size_t>(e.from)].x,
               q = star.vertex[static_cast<std::size_t>(e.to)].x;
    const std::int32_t image = find_edge(from.point, to.point, to.cell - from.cell);
    std::int32_t orbit;
    if (image >= 0) {
      orbit = edges_[static_cast<std::size_t>(image)].orbit;
    } else {
      orbit = static_cast<std::int32_t>(edge_known_.size());
      edge_known_.emplace_back();
      // Both ends as filed, so that merged vertices count as one point.
      edge_place_.push_back(
          {vertices_[from.point] + to_vec(from.cell), vertices_[to.point] + to_vec(to.cell)});
      if (!edge_images({from.point, from.cell}, {to.point, to.cell}, orbit)) return false;
    }
    const std::array<GeneratorCode, 3> g{make_generator(static_cast<std::int32_t>(atom), {}), e.j, e.k};
    const bool first =
        edge_known_[static_cast<std::size_t>(orbit)].largest == -std::numeric_limits<double>::infinity();
    const double t = edge_known_[static_cast<std::size_t>(orbit)].narrowest.t;
    add_known(p, q, atom, g.data(), 3, &edge_known_[static_cast<std::size_t>(orbit)]);
    // All generators of an edge share its narrowest point; the place of the first one is in the frame of
    // edge_place_.
    if (!first) edge_known_[static_cast<std::size_t>(orbit)].narrowest.t = t;
    return true;
  }

  // Images of an edge by the products of the group: no position is looked up.
  bool edge_images(const Place& from, const Place& to, std::int32_t orbit) {
    const auto u = static_cast<std::size_t>(from.point), v = static_cast<std::size_t>(to.point);
    const std::vector<GroupProducts::Product>& row_u =
        products_.with(static_cast<std::size_t>(vertex_operation_[u]));
    const std::vector<GroupProducts::Product>& row_v =
        products_.with(static_cast<std::size_t>(vertex_operation_[v]));
    if (row_u.empty() || row_v.empty()) return false;
    const std::size_t count = operations_.size();
    const Place* image_u = &vertex_image_[static_cast<std::size_t>(vertex_orbit_[u]) * count];
    const Place* image_v = &vertex_image_[static_cast<std::size_t>(vertex_orbit_[v]) * count];
    // Vertex u in its home is its operation applied to the orbit's place, less this cell.
    const Int3 rest_u = from.cell - image_u[vertex_operation_[u]].cell,
               rest_v = to.cell - image_v[vertex_operation_[v]].cell;
    for (std::size_t k = 0; k < count; ++k) {
      const Place& a = image_u[row_u[k].index];
      const Place& b = image_v[row_v[k].index];
      const Int3 cell_a = a.cell + row_u[k].shift + rotated(operations_[k], rest_u);
      const Int3 cell_b = b.cell + row_v[k].shift + rotated(operations_[k], rest_v);
      insert_edge(a.point, b.point, cell_b - cell_a, orbit, static_cast<std::int32_t>(k));
    }
    return true;
  }

  static void order(std::int32_t* i, std::int32_t* j, Int3* image) {
    if (!(*j < *i || (*i == *j && *image < Int3{}))) return;
    std::swap(*i, *j);
    *image = -*image;
  }

  std::int32_t find_edge(std::int32_t i, std::int32_t j, Int3 image) {
    order(&i, &j, &image);
    if (static_cast<std::size_t>(i) >= edge_head_.size()) return -1;
    for (std::int32_t e = edge_head_[static_cast<std::size_t>(i)]; e >= 0;
         e = edges_[static_cast<std::size_t>(e)].next) {
      const EdgeImage& seen = edges_[static_cast<std::size_t>(e)];
      if (seen.j == j && seen.image == image) return e;
    }
    return -1;
  }

  void insert_edge(std::int32_t i, std::int32_t j, Int3 image, std::int32_t orbit, std::int32_t operation) {
    if (find_edge(i, j, image) >= 0) return;
    order(&i, &j, &image);
    if (edge_head_.size() < vertices_.size()) edge_head_.resize(vertices_.size(), -1);
    edges_.push_back({i, j, image, orbit, operation, edge_head_[static_cast<std::size_t>(i)]});
    edge_head_[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(edges_.size()) - 1;
  }

  // Positions relative to the atom.
  void add_known(const Vec3& p, const Vec3& q, std::size_t atom, const GeneratorCode* g, int count,
                 Known* known) const {
    for (int k = 0; k < count; ++k) {
      known->add(p, q, frame_.position(g[k]) - frame_.cart[atom],
                 radius_[static_cast<std::size_t>(generator_atom(g[k]))]);
    }
  }

  void clearances() {
    if (options_.clearance != Clearance::kAllAtoms) return;
    SphereSearch search(frame_.lattice, frame_.frac, radius_);
    std::vector<std::pair<Segment, Known*>> open;
    const auto offer = [&](const Segment& s, Known* known) {
      if (!search.open(*known)) return;
      open.push_back({{frame_.lattice.to_cart(s.from), frame_.lattice.to_cart(s.to)}, known});
      search.prepare(*known, 0.5 * norm(open.back().first.to - open.back().first.from));
    };
    for (std::size_t v = 0; v < vertex_known_.size(); ++v)
      offer({vertex_place_[v], vertex_place_[v]}, &vertex_known_[v]);
    for (std::size_t e = 0; e < edge_known_.size(); ++e) offer(edge_place_[e], &edge_known_[e]);
    if (open.empty()) return;
    search.build();
    for (const auto& [s, known] : open) known->narrowest = search.narrowest(s.from, s.to, *known);
  }

  Vec3 to_original(const Vec3& f) const {
    const auto& rows = frame_.basis.rows;
    return f.x * to_vec(rows[0]) + f.y * to_vec(rows[1]) + f.z * to_vec(rows[2]);
  }

  // Wraps into [0, 1) of the caller's cell; returns the cell subtracted.
  static Int3 wrap(Vec3* f) {
    Int3 cell;
    for (int k = 0; k < 3; ++k) {
      cell[k] = floor_int((*f)[k] + kWrapMargin);
      (*f)[k] = std::max(0.0, (*f)[k] - cell[k]);
    }
    return cell;
  }

  void assemble(Network* out) {
    const std::size_t n = vertices_.size();
    std::vector<Int3> home(n);
    out->site_frac.resize(n);
    out->site_radius.resize(n);
    out->site_kind.assign(n, 0);
    out->site_orbit = vertex_orbit_;  // filed orbit after orbit: in order of appearance already
    for (std::size_t v = 0; v < n; ++v) {
      out->site_frac[v] = to_original(vertices_[static_cast<std::int32_t>(v)]);
      home[v] = wrap(&out->site_frac[v]);
      out->site_radius[v] = vertex_known_[static_cast<std::size_t>(vertex_orbit_[v])].narrowest.radius;
    }
    out->cell_volume.resize(atom_orbit_.size());
    for (std::size_t i = 0; i < atom_orbit_.size(); ++i) {
      out->cell_volume[i] = orbit_volume_[static_cast<std::size_t>(atom_orbit_[i])];
    }
    for (EdgeImage& e : edges_) {
      e.image = frame_.basis.to_original(e.image) + home[static_cast<std::size_t>(e.j)] -
                home[static_cast<std::size_t>(e.i)];
      if (e.i == e.j && e.image < Int3{}) e.image = -e.image;
    }
    sort_edges();
    emit_edges(out);
  }

  void sort_edges() {
    std::vector<std::int32_t> start(vertices_.size() + 1, 0);
    for (const EdgeImage& e : edges_) ++start[static_cast<std::size_t>(e.i) + 1];
    for (std::size_t v = 0; v + 1 < start.size(); ++v) start[v + 1] += start[v];
    std::vector<EdgeImage> sorted(edges_.size());
    std::vector<std::int32_t> next(start.begin(), start.end() - 1);
    for (const EdgeImage& e : edges_)
      sorted[static_cast<std::size_t>(next[static_cast<std::size_t>(e.i)]++)] = e;
    for (std::size_t v = 0; v + 1 < start.size(); ++v) {
      std::sort(
          sorted.begin() + start[v], sorted.begin() + start[v + 1],
          [](const EdgeImage& a, const EdgeImage& b) { return a.j != b.j ? a.j < b.j : a.image < b.image; });
    }
    edges_.swap(sorted);
  }

  void emit_edges(Network* out) const {
    const std::size_t n = edges_.size();
    out->edge_i.resize(n);
    out->edge_j.resize(n);
    out->edge_image.resize(n);
    out->edge_length.resize(n);
    out->edge_bottleneck_frac.resize(n);
    out->edge_bottleneck_radius.resize(n);
    out->edge_orbit.resize(n);
    std::vector<std::int32_t> label(edge_known_.size(), -1);
    std::vector<double> length(edge_known_.size());
    std::vector<Vec3> narrow(edge_known_.size());
    for (std::size_t o = 0; o < length.size(); ++o) {
      const Segment& s = edge_place_[o];
      length[o] = norm(frame_.lattice.to_cart(s.to - s.from));
      narrow[o] = to_original(s.from + edge_known_[o].narrowest.t * (s.to - s.from));
    }
    std::int32_t count = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const EdgeImage& e = edges_[k];
      const auto o = static_cast<std::size_t>(e.orbit);
      if (label[o] < 0) label[o] = count++;
      out->edge_i[k] = e.i;
      out->edge_j[k] = e.j;
      out->edge_image[k] = e.image;
      out->edge_length[k] = length[o];
      out->edge_bottleneck_radius[k] = edge_known_[o].narrowest.radius;
      out->edge_orbit[k] = label[o];
      Vec3 f = options_.operations[static_cast<std::size_t>(e.operation)](narrow[o]);
      wrap(&f);
      out->edge_bottleneck_frac[k] = f;
    }
  }

  const std::vector<double>& radius_;
  const NetworkOptions& options_;
  ReducedFrame frame_;
  std::vector<double> weight_;
  std::vector<SymmetryOperation> operations_;  // reduced
  std::vector<Mat3> rotation_;                 // of each, in floating point
  GroupProducts products_{operations_};
  PointIndex atoms_, vertices_;
  std::vector<std::int32_t> atom_orbit_, representative_, multiplicity_;
  std::vector<double> orbit_volume_;
  std::vector<std::int32_t> vertex_orbit_,
      vertex_operation_;             // operation k took the orbit's place to this vertex
  std::vector<Place> vertex_image_;  // orbit after orbit, operation after operation
  std::vector<Known> vertex_known_, edge_known_;
  std::vector<Vec3> vertex_place_;
  std::vector<Segment> edge_place_;
  std::vector<EdgeImage> edges_;
  std::vector<std::int32_t> edge_head_;
};

}  // namespace

bool build_symmetric_network(const Lattice& lattice, const std::vector<Vec3>& frac,
                             const std::vector<double>& radius, const NetworkOptions& options, Network* out) {
  const std::size_t count = options.operations.size();
  if (options.face_centers || count < 2) return false;
  if (count > kManyOperations && count > kMostImages * frac.size()) return false;  // as worth_while()
  return SymmetricBuilder(lattice, frac, radius, options).run(out);
}

}  // namespace fastin
