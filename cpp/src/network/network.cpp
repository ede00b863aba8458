#include "fastin/network/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "fastin/base/parallel.hpp"
#include "fastin/base/rounding.hpp"
#include "fastin/geometry/bottleneck.hpp"
#include "fastin/geometry/sphere_search.hpp"
#include "fastin/geometry/symmetrized.hpp"
#include "fastin/network/symmetric_network.hpp"

namespace fastin {
namespace {

// A bottleneck this far below the cell's boundary (fractional) is on it: -1e-17 is 0, not 0.99999999.
constexpr double kWrapMargin = 1e-11;
// Smaller crystals take less time than a parallel region costs (measured: 0.1 ms of work at 30 atoms).
constexpr std::size_t kParallelAtoms = 200;

// Wraps into [0, 1) and returns the cell that was subtracted.
Int3 wrap_near(Vec3* f) {
  Int3 cell;
  for (int k = 0; k < 3; ++k) {
    cell[k] = floor_int((*f)[k] + kWrapMargin);
    (*f)[k] = std::max(0.0, (*f)[k] - cell[k]);
  }
  return cell;
}

Vec3 wrapped(Vec3 f) {
  wrap_near(&f);
  return f;
}

template <class T>
void permute(const std::vector<std::size_t>& order, std::vector<T>* values) {
  std::vector<T> out;
  out.reserve(values->size());
  for (const std::size_t k : order) out.push_back((*values)[k]);
  values->swap(out);
}

// By (i, j, image).
void sort_edges(Network* n) {
  std::vector<std::size_t> order(n->edge_i.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [n](std::size_t a, std::size_t b) {
    if (n->edge_i[a] != n->edge_i[b]) return n->edge_i[a] < n->edge_i[b];
    if (n->edge_j[a] != n->edge_j[b]) return n->edge_j[a] < n->edge_j[b];
    return n->edge_image[a] < n->edge_image[b];
  });
  permute(order, &n->edge_i);
  permute(order, &n->edge_j);
  permute(order, &n->edge_image);
  permute(order, &n->edge_length);
  permute(order, &n->edge_bottleneck_frac);
  permute(order, &n->edge_bottleneck_radius);
}

class Builder : public DiagramVisitor {
 public:
  Builder(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<double>& radius,
          const NetworkOptions& options, Network* out)
      : lattice_(lattice),
        radius_(radius),
        options_(options),
        out_(out),
        threads_(frac.size() < kParallelAtoms ? 1 : options.num_threads),
        search_(lattice, frac, radius),
        open_(static_cast<std::size_t>(std::max(1, options.num_threads))) {
    cart_.reserve(frac.size());
    for (const Vec3& f : frac) cart_.push_back(lattice.to_cart(f));
  }

  void vertices(std::size_t count) override { out_->site_radius.resize(count); }

  void vertex(std::size_t v, const Vec3& frac, const Generator* begin, const Generator* end,
              int thread) override {
    const Vec3 x = lattice_.to_cart(frac);
    const Passage p = passage(x, x, begin, end);
    out_->site_radius[v] = p.known.narrowest.radius;
    keep_open(v, p, thread);
  }

  void edges(std::size_t count, const std::vector<Vec3>& vertex_frac) override {
    finish_sites();
    vertex_frac_ = &vertex_frac;
    out_->edge_length.resize(count);
    out_->edge_bottleneck_frac.resize(count);
    out_->edge_bottleneck_radius.resize(count);
  }

  void edge(const DiagramEdge& e, const Generator* begin, const Generator* end, int thread) override {
    const Vec3 f = (*vertex_frac_)[static_cast<std::size_t>(e.i)],
               g = (*vertex_frac_)[static_cast<std::size_t>(e.j)] + to_vec(e.image);
    const Passage p = passage(lattice_.to_cart(f), lattice_.to_cart(g), begin, end);
    out_->edge_length[e.number] = norm(p.to - p.from);
    set_bottleneck(e.number, p, f, g);
    keep_open(e.number, p, thread);
  }

  // Once the diagram is there.
  void finish_edges(const Tessellation& t) {
    finish([&](std::size_t e, const Passage& p) {
      const Vec3& f = t.vertex_frac[static_cast<std::size_t>(t.edge_i[e])];
      set_bottleneck(e, p, f, t.vertex_frac[static_cast<std::size_t>(t.edge_j[e])] + to_vec(t.edge_image[e]));
    });
  }

  // The centre of each face (the mean of its vertices) becomes a site, joined to the vertices of the face;
  // the two spheres that the face separates own all of it.
  void face_centers(const Tessellation& t, Network* out) {
    const auto first_site = static_cast<std::int32_t>(out->site_frac.size());
    std::vector<Passage> centres, links;
    std::vector<Vec3> centre_frac;
    for (std::size_t f = 0; f < t.faces.first.size(); ++f) {
      const auto begin = static_cast<std::size_t>(t.faces.start[f]),
                 end = static_cast<std::size_t>(t.faces.start[f + 1]);
      Vec3 centre{};
      for (std::size_t k = begin; k < end; ++k) centre += corner(t, t.faces.loop[k]);
      centre = (1.0 / static_cast<double>(end - begin)) * centre;
      Vec3 home = centre;
      const Int3 cell = wrap_near(&home);
      const std::array<Generator, 2> owners{Generator{t.faces.first[f], {}}, t.faces.second[f]};
      const Vec3 x = lattice_.to_cart(centre);
      centres.push_back(passage(x, x, owners.data(), owners.data() + 2));
      centre_frac.push_back(centre);
      out->site_frac.push_back(home);
      out->site_kind.push_back(1);
      for (std::size_t k = begin; k < end; ++k) {
        const LoopVertex& v = t.faces.loop[k];
        links.push_back(passage(lattice_.to_cart(corner(t, v)), x, owners.data(), owners.data() + 2));
        out->edge_i.push_back(v.vertex);
        out->edge_j.push_back(first_site + static_cast<std::int32_t>(f));
        out->edge_image.push_back(cell - v.image);
      }
    }
    for (std::size_t k = 0; k < centres.size(); ++k) keep_open(k, centres[k], 0);
    finish([&](std::size_t k, const Passage& p) { centres[k] = p; });
    for (std::size_t k = 0; k < links.size(); ++k) keep_open(k, links[k], 0);
    finish([&](std::size_t k, const Passage& p) { links[k] = p; });
    for (const Passage& p : centres) out->site_radius.push_back(p.known.narrowest.radius);
    for (std::size_t f = 0; f < centres.size(); ++f) {
      for (auto k = static_cast<std::size_t>(t.faces.start[f]);
           k < static_cast<std::size_t>(t.faces.start[f + 1]); ++k) {
        append(links[k], corner(t, t.faces.loop[k]), centre_frac[f], out);
      }
    }
  }

 private:
  // A segment with the clearance over its owners, later over all spheres.
  struct Passage {
    Vec3 from, to;
    Known known;
  };
  static constexpr std::size_t kBlock = 256;

  static Vec3 corner(const Tessellation& t, const LoopVertex& v) {
    return t.vertex_frac[static_cast<std::size_t>(v.vertex)] + to_vec(v.image);
  }

  Passage passage(const Vec3& p, const Vec3& q, const Generator* begin, const Generator* end) const {
    Passage out{p, q, {}};
    for (const Generator* g = begin; g != end; ++g) {
      const auto atom = static_cast<std::size_t>(g->atom);
      const Vec3 centre = is_zero(g->image) ? cart_[atom] : cart_[atom] + lattice_.to_cart(to_vec(g->image));
      out.known.add(p, q, centre, radius_[atom]);
    }
    return out;
  }

  struct Open {
    std::size_t number;
    Passage passage;
  };

  // Sets aside what a sphere that does not own it could narrow.
  void keep_open(std::size_t number, const Passage& p, int thread) {
    if (options_.clearance == Clearance::kAllAtoms && search_.open(p.known))
      open_[static_cast<std::size_t>(thread)].push_back({number, p});
  }

  // Takes every other sphere into account, where the clearance is that of all atoms; set(number, passage).
  template <class Set>
  void finish(const Set& set) {
    std::vector<Open> open = std::move(open_[0]);
    for (std::size_t k = 1; k < open_.size(); ++k) open.insert(open.end(), open_[k].begin(), open_[k].end());
    for (auto& list : open_) std::vector<Open>().swap(list);
    if (open.empty()) return;
    for (const Open& o : open) search_.prepare(o.passage.known, 0.5 * norm(o.passage.to - o.passage.from));
    search_.build();
    parallel_blocks(open.size(), threads_, kBlock, [&](std::size_t k, std::size_t end, int) {
      for (; k < end; ++k) {
        Passage& p = open[k].passage;
        p.known.narrowest = search_.narrowest(p.from, p.to, p.known);
        set(open[k].number, p);
      }
    });
  }

  void finish_sites() {
    finish([this](std::size_t v, const Passage& p) { out_->site_radius[v] = p.known.narrowest.radius; });
  }

  // The bottleneck of the edge between fractional points f and g.
  void set_bottleneck(std::size_t e, const Passage& p, const Vec3& f, const Vec3& g) {
    out_->edge_bottleneck_frac[e] = wrapped(f + p.known.narrowest.t * (g - f));
    out_->edge_bottleneck_radius[e] = p.known.narrowest.radius;
  }

  static void append(const Passage& p, const Vec3& f, const Vec3& g, Network* out) {
    out->edge_length.push_back(norm(p.to - p.from));
    out->edge_bottleneck_frac.push_back(wrapped(f + p.known.narrowest.t * (g - f)));
    out->edge_bottleneck_radius.push_back(p.known.narrowest.radius);
  }

  const Lattice& lattice_;
  const std::vector<double>& radius_;
  const NetworkOptions& options_;
  Network* out_;
  const std::vector<Vec3>* vertex_frac_ = nullptr;
  int threads_;
  SphereSearch search_;
  std::vector<Vec3> cart_;
  std::vector<std::vector<Open>> open_;  // of each thread
};

// An edge contains its ends: where the last digits of a merged or badly conditioned vertex say otherwise, its
// bottleneck is the narrower end. (Clearance::kGenerators measures vertices against more atoms than edges.)
void narrow_to_sites(const NetworkOptions& options, Network* n) {
  if (options.clearance != Clearance::kAllAtoms) return;
  for (std::size_t e = 0; e < n->edge_i.size(); ++e) {
    const auto i = static_cast<std::size_t>(n->edge_i[e]), j = static_cast<std::size_t>(n->edge_j[e]);
    const std::size_t end = n->site_radius[j] < n->site_radius[i] ? j : i;
    if (!(n->edge_bottleneck_radius[e] > n->site_radius[end])) continue;
    n->edge_bottleneck_radius[e] = n->site_radius[end];
    n->edge_bottleneck_frac[e] = n->site_frac[end];
  }
}

// Sites by position, edges by midpoint (two edges of one diagram never cross).
void label_orbits(const Lattice& lattice, const NetworkOptions& options, Network* out) {
  if (options.operations.size() < 2) {
    out->site_orbit.resize(out->site_frac.size());
    out->edge_orbit.resize(out->edge_i.size());
    std::iota(out->site_orbit.begin(), out->site_orbit.end(), 0);
    std::iota(out->edge_orbit.begin(), out->edge_orbit.end(), 0);
    return;
  }
  out->site_orbit = point_orbits(lattice, out->site_frac, options.operations);
  std::vector<Vec3> midpoint(out->edge_i.size());
  for (std::size_t e = 0; e < midpoint.size(); ++e) {
    midpoint[e] =
        0.5 * (out->site_frac[static_cast<std::size_t>(out->edge_i[e])] +
               out->site_frac[static_cast<std::size_t>(out->edge_j[e])] + to_vec(out->edge_image[e]));
  }
  out->edge_orbit = point_orbits(lattice, midpoint, options.operations);
}

}  // namespace

Network build_network(const Lattice& lattice, const std::vector<Vec3>& given,
                      const std::vector<double>& radius, const NetworkOptions& options) {
  Network out;
  check_spheres(given, radius);
  // One set of positions for both ways, so that they cannot differ in which vertices noise has split.
  const std::vector<Vec3> frac = symmetrized(lattice, given, radius, options.operations);
  if (options.use_symmetry && build_symmetric_network(lattice, frac, radius, options, &out)) {
    out.symmetry_used = true;
    narrow_to_sites(options, &out);
    out.free = free_spheres(view_of(out));
    return out;
  }
  TessellationOptions wanted;
  wanted.faces = options.face_centers;
  wanted.merge_tolerance = options.merge_tolerance;
  wanted.num_threads = options.num_threads;
  Builder builder(lattice, frac, radius, options, &out);
  wanted.visitor = &builder;
  Tessellation t = tessellate(lattice, frac, radius, wanted);
  builder.finish_edges(t);
  out.site_kind.assign(t.vertex_frac.size(), 0);
  out.site_frac = options.face_centers ? t.vertex_frac : std::move(t.vertex_frac);
  out.edge_i = std::move(t.edge_i);
  out.edge_j = std::move(t.edge_j);
  out.edge_image = std::move(t.edge_image);
  out.cell_volume = std::move(t.cell_volume);
  if (options.face_centers) {
    builder.face_centers(t, &out);
    sort_edges(&out);
  }
  t = {};
  narrow_to_sites(options, &out);
  label_orbits(lattice, options, &out);
  out.free = free_spheres(view_of(out));
  return out;
}

}  // namespace fastin
