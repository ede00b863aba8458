#include "fastin/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "fastin/bottleneck.hpp"
#include "fastin/rounding.hpp"
#include "fastin/sphere_search.hpp"
#include "fastin/symmetric_network.hpp"

namespace fastin {
namespace {

// A bottleneck this far below the cell's boundary (fractional) is on it: -1e-17 is 0, not 0.99999999.
constexpr double kWrapMargin = 1e-11;

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
      : lattice_(lattice), radius_(radius), options_(options), search_(lattice, frac, radius) {
    cart_.reserve(frac.size());
    for (const Vec3& f : frac) cart_.push_back(lattice.to_cart(f));
  }

  void sites(const Tessellation& t, Network* out) {
    out->site_frac = t.vertex_frac;
    out->site_radius.resize(t.vertex_frac.size());
    out->site_kind.assign(t.vertex_frac.size(), 0);
    for (std::size_t v = 0; v < t.vertex_frac.size(); ++v) {
      const Vec3 x = lattice_.to_cart(t.vertex_frac[v]);
      out->site_radius[v] = clearance(x, x, &t.generator[static_cast<std::size_t>(t.generator_start[v])],
                                      &t.generator[0] + t.generator_start[v + 1])
                                .radius;
    }
  }

  void edges(const Tessellation& t, Network* out) {
    const std::size_t n = t.edge_i.size();
    out->edge_length.resize(n);
    out->edge_bottleneck_frac.resize(n);
    out->edge_bottleneck_radius.resize(n);
    for (std::size_t e = 0; e < n; ++e) {
      const Vec3 f = t.vertex_frac[static_cast<std::size_t>(t.edge_i[e])];
      const Vec3 g = t.vertex_frac[static_cast<std::size_t>(t.edge_j[e])] + to_vec(t.edge_image[e]);
      const Vec3 p = lattice_.to_cart(f), q = lattice_.to_cart(g);
      const Narrowest b = clearance(p, q, &t.owner[static_cast<std::size_t>(t.owner_start[e])],
                                    &t.owner[0] + t.owner_start[e + 1]);
      out->edge_length[e] = norm(q - p);
      out->edge_bottleneck_frac[e] = wrapped(f + b.t * (g - f));
      out->edge_bottleneck_radius[e] = b.radius;
    }
  }

  // The centre of each face (the mean of its vertices) becomes a site, joined to the vertices of the face;
  // the two spheres that the face separates own all of it.
  void face_centers(const Tessellation& t, Network* out) {
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
      const auto site = static_cast<std::int32_t>(out->site_frac.size());
      out->site_frac.push_back(home);
      out->site_radius.push_back(clearance(x, x, owners.data(), owners.data() + 2).radius);
      out->site_kind.push_back(1);
      for (std::size_t k = begin; k < end; ++k) {
        const LoopVertex& v = t.faces.loop[k];
        const Vec3 g = corner(t, v), p = lattice_.to_cart(g);
        const Narrowest b = clearance(p, x, owners.data(), owners.data() + 2);
        out->edge_i.push_back(v.vertex);
        out->edge_j.push_back(site);
        out->edge_image.push_back(cell - v.image);
        out->edge_length.push_back(norm(x - p));
        out->edge_bottleneck_frac.push_back(wrapped(g + b.t * (centre - g)));
        out->edge_bottleneck_radius.push_back(b.radius);
      }
    }
  }

 private:
  static Vec3 corner(const Tessellation& t, const LoopVertex& v) {
    return t.vertex_frac[static_cast<std::size_t>(v.vertex)] + to_vec(v.image);
  }

  Narrowest clearance(const Vec3& p, const Vec3& q, const Generator* begin, const Generator* end) {
    Narrowest best{std::numeric_limits<double>::infinity(), 0.0};
    double power = std::numeric_limits<double>::infinity(), largest = -power;
    for (const Generator* g = begin; g != end; ++g) {
      const auto atom = static_cast<std::size_t>(g->atom);
      const double r = radius_[atom];
      const SegmentPoint near = nearest_on_segment(p, q, cart_[atom] + lattice_.to_cart(to_vec(g->image)));
      if (near.distance - r < best.radius) best = {near.distance - r, near.t};
      power = std::min(power, near.distance * near.distance - r * r);
      largest = std::max(largest, r);
    }
    return options_.clearance == Clearance::kAllAtoms ? search_.narrowest(p, q, best, power, largest) : best;
  }

  const Lattice& lattice_;
  const std::vector<double>& radius_;
  const NetworkOptions& options_;
  SphereSearch search_;
  std::vector<Vec3> cart_;
};

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

Network build_network(const Lattice& lattice, const std::vector<Vec3>& frac,
                      const std::vector<double>& radius, const NetworkOptions& options) {
  Network out;
  check_spheres(frac, radius);
  if (options.use_symmetry && build_symmetric_network(lattice, frac, radius, options, &out)) {
    out.symmetry_used = true;
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
  label_orbits(lattice, options, &out);
  out.free = free_spheres(view_of(out));
  return out;
}

}  // namespace fastin
