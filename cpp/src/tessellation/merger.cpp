#include "merger.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "fastin/base/parallel.hpp"
#include "fastin/base/rounding.hpp"
#include "fastin/tessellation/vertex_position.hpp"

namespace fastin {
namespace {

// A coordinate this far below an integer belongs to the next cell: -1e-17 is 0, not 0.99999999.
constexpr double kWrapMargin = 1e-11;
// Polishing may move a vertex from the perturbed to the exact solution by this much (angstrom); more means
// generators so nearly coplanar that their exact meeting point is noise, and the perturbed point is as good.
constexpr double kMaxPolish = 2e-6;
constexpr double kSurePolish = 1e-6;  // less is less than kMaxPolish whatever the last digits
// The meeting point of four nearly coplanar generators is ill defined: a vertex this far (angstrom) from a
// neighbour whose generators it shares to within kGeneratorTolerance (power excess as a distance) is the same
// vertex.
constexpr double kSliverReach = 1e-3;
constexpr double kGeneratorTolerance = 1e-6;

}  // namespace

void Merger::run(Tessellation* out) {
  polish();
  cluster();
  place(out);
  edges(out);
  volumes(out);
  if (faces_) build_faces(frame_, face_edges_, out);
}

void Merger::polish() {
  parallel_blocks(tets_.size(), threads_, kBlock, [&](std::size_t t, std::size_t end, int) {
    for (; t < end; ++t) {
      auto& tet = tets_[t];
      std::array<Vec3, 4> centre;
      for (std::size_t c = 0; c < 4; ++c) centre[c] = position(tet.g[c]);
      Vec3 x;
      const bool solved = solve_vertex(weight_, tet.g, centre, &x);
      if (problem_.has_value() && !(solved && norm2(x - tet.centre) < kSurePolish * kSurePolish))
        solve_perturbed(&tet);
      if (solved && norm2(x - tet.centre) < kMaxPolish * kMaxPolish) tet.centre = x;
    }
  });
}

// The centre in the perturbed problem from its generators alone, however it was found.
void Merger::solve_perturbed(PowerTriangulation::Tetrahedron* tet) const {
  const Lattice& lattice = problem_->lattice;
  std::array<Vec3, 4> centre;
  for (std::size_t c = 0; c < 4; ++c) {
    centre[c] = lattice.to_cart(frame_.frac[static_cast<std::size_t>(generator_atom(tet->g[c]))]) +
                lattice.to_cart(to_vec(generator_image(tet->g[c])));
  }
  Vec3 x;
  if (solve_vertex(problem_->weight, tet->g, centre, &x)) tet->centre = x;
}

// Squared distance of the vertices on both sides of a face.
double Merger::gap2(std::size_t t, std::size_t face) const {
  const auto& tet = tets_[t];
  const Vec3 along = tets_[static_cast<std::size_t>(tet.neighbour[face])].centre - tet.centre;
  if (tet.shift[face] == 0) return norm2(along);
  return norm2(along + frame_.lattice.to_cart(to_vec(delta_image(tet.shift[face]))));
}

// How much farther, in power, the other tetrahedron's generators are from the centre of t than its own.
double Merger::excess(std::size_t t, std::size_t other, const Int3& shift) const {
  const Vec3& centre = tets_[t].centre;
  const auto power = [&](GeneratorCode code) {
    return norm2(frame_.position(code) - centre) - weight_[static_cast<std::size_t>(generator_atom(code))];
  };
  const double own = power(tets_[t].g[0]);
  double worst = 0.0;
  for (const GeneratorCode code : tets_[other].g) {
    const GeneratorCode seen = shifted(code, image_delta(shift));
    const double distance = std::max(norm(frame_.position(seen) - centre), kMergeTolerance);
    worst = std::max(worst, (power(seen) - own) / (2.0 * distance));
  }
  return worst;
}

// Vertices at the two ends of a vanishing edge are one. Returns the smallest squared gap; `sets` is made
// where one vanishes.
double Merger::join_near(Sets* sets) {
  struct Found {
    double smallest = std::numeric_limits<double>::infinity();
    std::vector<std::pair<std::size_t, std::size_t>> vanishing;  // tetrahedron, face
  };
  std::vector<Found> found(blocks_of(tets_.size()));
  parallel_blocks(tets_.size(), threads_, kBlock, [&](std::size_t t, std::size_t end, int) {
    Found& here = found[t / kBlock];
    for (; t < end; ++t) {
      for (std::size_t f = 0; f < 4; ++f) {
        if (static_cast<std::size_t>(tets_[t].neighbour[f]) <= t) continue;
        const double between = gap2(t, f);
        here.smallest = std::min(here.smallest, between);
        if (between <= tolerance_ * tolerance_) here.vanishing.emplace_back(t, f);
      }
    }
  });
  double smallest = std::numeric_limits<double>::infinity();
  for (const Found& here : found) {
    smallest = std::min(smallest, here.smallest);
    for (const auto& [t, f] : here.vanishing) {
      join(t, f, sets);
      merged_[t] = merged_[static_cast<std::size_t>(tets_[t].neighbour[f])] = 1;
    }
  }
  return smallest;
}

void Merger::join(std::size_t t, std::size_t face, Sets* sets) const {
  if (!sets->has_value()) sets->emplace(tets_.size());
  (*sets)->join(static_cast<std::int32_t>(t), tets_[t].neighbour[face], delta_image(tets_[t].shift[face]));
}

// A lone vertex near another whose generators include its own, to kGeneratorTolerance, joins the nearest such
// one. It joins no second one, so that it cannot bridge two vertices that differ. The nearest pairs come
// first, whatever the order of the atoms.
void Merger::join_slivers(Sets* sets) {
  struct Pair {
    double gap2;
    std::size_t t, face;
  };
  std::vector<std::vector<Pair>> found(blocks_of(tets_.size()));
  parallel_blocks(tets_.size(), threads_, kBlock, [&](std::size_t t, std::size_t end, int) {
    std::vector<Pair>& here = found[t / kBlock];
    for (; t < end; ++t) {
      for (std::size_t f = 0; merged_[t] == 0 && f < 4; ++f) {
        const auto other = static_cast<std::size_t>(tets_[t].neighbour[f]);
        const double between = gap2(t, f);
        if (other == t || between > kSliverReach * kSliverReach) continue;
        const Int3 shift = delta_image(tets_[t].shift[f]);
        const double off = excess(other, t, -shift);
        // of two lone ones the one that fits the other better joins
        if (off <= kGeneratorTolerance && (merged_[other] != 0 || off <= excess(t, other, shift)))
          here.push_back({between, t, f});
      }
    }
  });
  std::vector<Pair> pairs;
  for (const auto& here : found) pairs.insert(pairs.end(), here.begin(), here.end());
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

void Merger::cluster() {
  Sets sets;
  if (tolerance_ > 0.0) {
    merged_.assign(tets_.size(), 0);
    if (join_near(&sets) <= kSliverReach * kSliverReach) join_slivers(&sets);
    Scratch<char>().swap(merged_);
  }
  vertex_.assign(tets_.size(), -1);
  offset_.assign(tets_.size(), Int3{});
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
  for (std::size_t v = 0; v < static_cast<std::size_t>(count_); ++v) member_start_[v + 1] += member_start_[v];
  members_.resize(tets_.size());
  label.assign(member_start_.begin(), member_start_.end() - 1);
  for (std::size_t t = 0; t < tets_.size(); ++t) {
    members_[static_cast<std::size_t>(label[static_cast<std::size_t>(vertex_[t])]++)] =
        static_cast<std::int32_t>(t);
  }
}

// Positions, powers and generators of the merged vertices. Afterwards offset_[t] is the cell (reduced basis)
// in which the vertex's home (the caller's [0, 1)) lies as seen from the frame of tetrahedron t.
void Merger::place(Tessellation* out) {
  const auto n = static_cast<std::size_t>(count_);
  out->vertex_frac.resize(n);
  out->vertex_power.resize(n);
  Scratch<std::int32_t> size;
  if (visitor_ != nullptr) {
    visitor_->vertices(n);
  } else {
    out->generator.resize(4 * tets_.size());
    size.resize(n);
  }
  std::vector<Work> work(static_cast<std::size_t>(std::max(1, threads_)));
  parallel_blocks(n, threads_, kBlock, [&](std::size_t v, std::size_t end, int thread) {
    Work& mine = work[static_cast<std::size_t>(thread)];
    for (; v < end; ++v) {
      place_vertex(v, &mine, out);
      const Generator* g = mine.generators.data();
      if (visitor_ != nullptr) {
        visitor_->vertex(v, out->vertex_frac[v], g, g + mine.generators.size(), thread);
        continue;
      }
      size[v] = static_cast<std::int32_t>(mine.generators.size());
      std::copy(mine.generators.begin(), mine.generators.end(),
                out->generator.begin() + 4 * std::ptrdiff_t{member_start_[v]});
    }
  });
  if (visitor_ == nullptr) compact(n, member_start_, 4, size, &out->generator, &out->generator_start);
  Scratch<std::int32_t>().swap(members_);
  Scratch<std::int32_t>().swap(member_start_);
}

void Merger::place_vertex(std::size_t v, Work* work, Tessellation* out) {
  const auto begin = static_cast<std::size_t>(member_start_[v]),
             end = static_cast<std::size_t>(member_start_[v + 1]);
  std::vector<GeneratorCode>& g = work->codes;
  g.clear();
  Vec3 x{};
  double power = 0.0;
  for (std::size_t m = begin; m < end; ++m) {
    const auto t = static_cast<std::size_t>(members_[m]);
    const ImageDelta back = -image_delta(offset_[t]);
    for (const GeneratorCode code : tets_[t].g) g.push_back(shifted(code, back));
    x += tets_[t].centre - frame_.lattice.to_cart(to_vec(offset_[t]));
    power += norm2(position(tets_[t].g[0]) - tets_[t].centre) -
             weight_[static_cast<std::size_t>(generator_atom(tets_[t].g[0]))];
  }
  x = (1.0 / static_cast<double>(end - begin)) * x;
  std::sort(g.begin(), g.end());
  if (end - begin > 1) {
    g.erase(std::unique(g.begin(), g.end()), g.end());
    double spread = 0.0;
    for (std::size_t m = begin; m < end; ++m) {
      const auto t = static_cast<std::size_t>(members_[m]);
      spread = std::max(spread, norm(tets_[t].centre - frame_.lattice.to_cart(to_vec(offset_[t])) - x));
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
  const Vec3 home = x - frame_.lattice.to_cart(to_vec(reduced));
  for (std::size_t m = begin; m < end; ++m) {
    const auto t = static_cast<std::size_t>(members_[m]);
    offset_[t] = offset_[t] + reduced;
    tets_[t].centre = home + frame_.lattice.to_cart(to_vec(offset_[t]));  // where the merged vertex is
  }
  for (GeneratorCode& code : g) code = shifted(code, -image_delta(reduced));
  out->vertex_power[v] = power / static_cast<double>(end - begin);
  to_callers(work);
}

// The sorted codes in terms of the caller's coordinates and numbers, sorted: they are few.
void Merger::to_callers(Work* work) const {
  std::vector<Generator>& list = work->generators;
  list.resize(work->codes.size());
  for (std::size_t k = 0; k < list.size(); ++k) {
    Generator g = frame_.original(work->codes[k]);
    g.atom = frame_.name(g.atom);
    std::size_t at = k;
    for (; at > 0 && g < list[at - 1]; --at) list[at] = list[at - 1];
    list[at] = g;
  }
}

// Lists that stand at `each` times their place, closed up.
void Merger::compact(std::size_t count, const Scratch<std::int32_t>& place, std::size_t each,
                     const Scratch<std::int32_t>& size, Scratch<Generator>* items,
                     std::vector<std::int32_t>* start) const {
  start->resize(count + 1);
  std::size_t to = 0;
  for (std::size_t k = 0; k < count; ++k) {
    (*start)[k] = static_cast<std::int32_t>(to);
    const std::size_t from = each * static_cast<std::size_t>(place[k]), n = static_cast<std::size_t>(size[k]);
    if (from != to)
      std::copy_n(items->begin() + static_cast<std::ptrdiff_t>(from), n,
                  items->begin() + static_cast<std::ptrdiff_t>(to));
    to += n;
  }
  (*start)[count] = static_cast<std::int32_t>(to);
  items->resize(to);
}

}  // namespace fastin
