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

class Builder {
 public:
  Builder(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<double>& radius,
          const NetworkOptions& options)
      : lattice_(lattice),
        radius_(radius),
        options_(options),
        threads_(frac.size() < kParallelAtoms ? 1 : options.num_threads),
        search_(lattice, frac, radius) {
    cart_.reserve(frac.size());
    for (const Vec3& f : frac) cart_.push_back(lattice.to_cart(f));
  }

  void sites(const Tessellation& t, Network* out) {
    out->site_frac = t.vertex_frac;
    out->site_kind.assign(t.vertex_frac.size(), 0);
    std::vector<Passage> passages(t.vertex_frac.size());
    parallel_for(
        passages.size(), threads_,
        [&](std::size_t v, int) {
          const Vec3 x = lattice_.to_cart(t.vertex_frac[v]);
          passages[v] = passage(x, x, &t.generator[static_cast<std::size_t>(t.generator_start[v])],
                                t.generator.data() + t.generator_start[v + 1]);
        },
        kChunk);
    finish(&passages);
    out->site_radius.reserve(passages.size());
    for (const Passage& p : passages) out->site_radius.push_back(p.known.narrowest.radius);
  }

  void edges(const Tessellation& t, Network* out) {
    std::vector<Passage> passages(t.edge_i.size());
    parallel_for(
        passages.size(), threads_,
        [&](std::size_t e, int) {
          const Vec3 p = lattice_.to_cart(t.vertex_frac[static_cast<std::size_t>(t.edge_i[e])]);
          const Vec3 q = lattice_.to_cart(t.vertex_frac[static_cast<std::size_t>(t.edge_j[e])] +
                                          to_vec(t.edge_image[e]));
          passages[e] = passage(p, q, &t.owner[static_cast<std::size_t>(t.owner_start[e])],
                                t.owner.data() + t.owner_start[e + 1]);
        },
        kChunk);
    finish(&passages);
    for (std::size_t e = 0; e < passages.size(); ++e) {
      const Vec3& f = t.vertex_frac[static_cast<std::size_t>(t.edge_i[e])];
      const Vec3 g = t.vertex_frac[static_cast<std::size_t>(t.edge_j[e])] + to_vec(t.edge_image[e]);
      append(passages[e], f, g, out);
    }
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
    finish(&centres);
    finish(&links);
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
  static constexpr std::size_t kChunk = 256;

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

  // Takes every other sphere into account, where the clearance is that of all atoms.
  void finish(std::vector<Passage>* passages) {
    if (options_.clearance != Clearance::kAllAtoms) return;
    std::vector<std::size_t> open;
    for (std::size_t k = 0; k < passages->size(); ++k) {
      const Passage& p = (*passages)[k];
      if (!search_.open(p.known)) continue;
      open.push_back(k);
      search_.prepare(p.known, 0.5 * norm(p.to - p.from));
    }
    if (open.empty()) return;
    search_.build();
    parallel_for(
        open.size(), threads_,
        [&](std::size_t k, int) {
          Passage& p = (*passages)[open[k]];
          p.known.narrowest = search_.narrowest(p.from, p.to, p.known);
        },
        kChunk);
  }

  // The bottleneck of the edge between fractional points f and g.
  static void append(const Passage& p, const Vec3& f, const Vec3& g, Network* out) {
    out->edge_length.push_back(norm(p.to - p.from));
    out->edge_bottleneck_frac.push_back(wrapped(f + p.known.narrowest.t * (g - f)));
    out->edge_bottleneck_radius.push_back(p.known.narrowest.radius);
  }

  const Lattice& lattice_;
  const std::vector<double>& radius_;
  const NetworkOptions& options_;
  int threads_;
  SphereSearch search_;
  std::vector<Vec3> cart_;
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
  Tessellation t = tessellate(lattice, frac, radius, wanted);
  Builder builder(lattice, frac, radius, options);
  builder.sites(t, &out);
  builder.edges(t, &out);
  out.edge_i = std::move(t.edge_i);
  out.edge_j = std::move(t.edge_j);
  out.edge_image = std::move(t.edge_image);
  out.cell_volume = std::move(t.cell_volume);
  if (options.face_centers) {
    builder.face_centers(t, &out);
    sort_edges(&out);
  }
  narrow_to_sites(options, &out);
  label_orbits(lattice, options, &out);
  out.free = free_spheres(view_of(out));
  return out;
}

}  // namespace fastin
