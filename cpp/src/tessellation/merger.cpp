#include "merger.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "fastin/base/parallel.hpp"
#include "fastin/base/periodic_union_find.hpp"
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
  find_callers();
  polish();
  cluster();
  place(out);
  edges_and_volumes(out);
  if (faces_) build_faces(frame_, face_edges_, out);
}

void Merger::polish() {
  parallel_blocks(tets_.size(), threads_, kBlock, [&](std::size_t t, std::size_t end, int) {
    for (; t < end; ++t) {
      const auto& tet = tets_[t];
      Vec3& walked = centre_[t];
      std::array<Vec3, 4> at;
      for (std::size_t c = 0; c < 4; ++c) at[c] = position(tet.g[c]);
      Vec3 x;
      const bool solved = solve_vertex(weight_, tet.g, at, &x);
      if (problem_.has_value() && !(solved && norm2(x - walked) < kSurePolish * kSurePolish))
        solve_perturbed(tet, &walked);
      if (solved && norm2(x - walked) < kMaxPolish * kMaxPolish) walked = x;
    }
  });
}

// The centre in the perturbed problem from its generators alone, however it was found.
void Merger::solve_perturbed(const PowerTriangulation::Tetrahedron& tet, Vec3* centre) const {
  const Lattice& lattice = problem_->lattice;
  std::array<Vec3, 4> at;
  for (std::size_t c = 0; c < 4; ++c) {
    at[c] = lattice.to_cart(frame_.frac[static_cast<std::size_t>(generator_atom(tet.g[c]))]) +
            lattice.to_cart(to_vec(generator_image(tet.g[c])));
  }
  Vec3 x;
  if (solve_vertex(problem_->weight, tet.g, at, &x)) *centre = x;
}

// Squared distance of the vertices on both sides of a face.
double Merger::gap2(std::size_t t, std::size_t face) const {
  const auto& tet = tets_[t];
  const Vec3 along = centre_[static_cast<std::size_t>(tet.neighbour[face])] - centre_[t];
  if (tet.shift[face] == 0) return norm2(along);
  return norm2(along + cells(delta_image(tet.shift[face])));
}

// How much farther, in power, the other tetrahedron's generators are from the centre of t than its own.
double Merger::excess(std::size_t t, std::size_t other, const Int3& shift) const {
  const Vec3& centre = centre_[t];
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

// Faces whose two vertices are one, and those whose vertices are as near as slivers put them; each once.
void Merger::find_near(std::vector<Face>* vanishing, std::vector<Face>* near) const {
  std::vector<std::vector<Face>> gone(blocks_of(tets_.size())), close(gone.size());
  const double gone2 = tolerance_ * tolerance_, close2 = std::max(gone2, kSliverReach * kSliverReach);
  parallel_blocks(tets_.size(), threads_, kBlock, [&](std::size_t t, std::size_t end, int) {
    const std::size_t block = t / kBlock;
    for (; t < end; ++t) {
      for (std::size_t f = 0; f < 4; ++f) {
        if (static_cast<std::size_t>(tets_[t].neighbour[f]) <= t) continue;
        const double between = gap2(t, f);
        if (between <= close2) (between <= gone2 ? gone : close)[block].push_back({t, f});
      }
    }
  });
  for (const auto& here : gone) vanishing->insert(vanishing->end(), here.begin(), here.end());
  for (const auto& here : close) near->insert(near->end(), here.begin(), here.end());
}

// A lone vertex near another whose generators include its own, to kGeneratorTolerance, joins the nearest such
// one. It joins no second one, so that it cannot bridge two vertices that differ. The nearest pairs come
// first, whatever the order of the atoms.
void Merger::add_slivers(const std::vector<Face>& near, std::vector<Face>* joins) const {
  if (near.empty()) return;
  Scratch<char> merged(tets_.size(), 0);  // with another tetrahedron of the same place
  for (const Face& face : *joins) merged[face.t] = merged[beyond(face)] = 1;
  std::vector<Face> both = near;  // from either side
  for (const Face& face : near) {
    const auto& behind = tets_[beyond(face)];
    std::size_t back = 0;
    while (back < 3 && (static_cast<std::size_t>(behind.neighbour[back]) != face.t ||
                        behind.shift[back] != -tets_[face.t].shift[face.face]))
      ++back;
    both.push_back({beyond(face), back});
  }
  std::sort(both.begin(), both.end(),
            [](const Face& a, const Face& b) { return a.t != b.t ? a.t < b.t : a.face < b.face; });
  struct Pair {
    double gap2;
    Face face;
  };
  std::vector<Pair> pairs;
  for (const Face& face : both) {
    const std::size_t t = face.t, other = beyond(face);
    if (merged[t] != 0) continue;
    const Int3 shift = delta_image(tets_[t].shift[face.face]);
    const double off = excess(other, t, -shift);
    // of two lone ones the one that fits the other better joins
    if (off <= kGeneratorTolerance && (merged[other] != 0 || off <= excess(t, other, shift)))
      pairs.push_back({gap2(t, face.face), face});
  }
  std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.gap2 < b.gap2; });
  Scratch<char> joined(tets_.size(), 0);
  for (const Pair& p : pairs) {
    const std::size_t t = p.face.t, other = beyond(p.face);
    if (merged[t] != 0 || joined[t] != 0 || joined[other] != 0) continue;
    joins->push_back(p.face);
    joined[t] = 1;
    merged[other] = 1;  // a host joins no other
  }
}

void Merger::cluster() {
  std::vector<Face> joins, near;
  if (tolerance_ > 0.0) {
    find_near(&joins, &near);
    add_slivers(near, &joins);
  }
  number(joins);
}

// Vertices in the order of their first tetrahedra.
void Merger::number(const std::vector<Face>& joins) {
  const std::size_t n = tets_.size();
  vertex_.assign(n, -1);  // first: the number of a tetrahedron that is joined, among those
  std::int32_t joined = 0;
  for (const Face& face : joins) {
    for (const std::size_t t : {face.t, beyond(face)}) {
      if (vertex_[t] < 0) vertex_[t] = joined++;
    }
  }
  PeriodicUnionFind sets(static_cast<std::size_t>(joined));
  for (const Face& face : joins)
    sets.join(vertex_[face.t], vertex_[beyond(face)], delta_image(tets_[face.t].shift[face.face]));
  offset_.assign(n, Int3{});
  std::vector<std::int32_t> label(static_cast<std::size_t>(joined), -1);
  for (std::size_t t = 0; t < n; ++t) {
    if (vertex_[t] < 0) {
      vertex_[t] = count_++;
      continue;
    }
    const auto found = sets.find(vertex_[t]);
    std::int32_t& v = label[static_cast<std::size_t>(found.root)];
    if (v < 0) v = count_++;
    vertex_[t] = v;
    offset_[t] = -found.offset;
  }
  member_start_.assign(static_cast<std::size_t>(count_) + 1, 0);
  for (const std::int32_t v : vertex_) ++member_start_[static_cast<std::size_t>(v) + 1];
  for (std::size_t v = 0; v < static_cast<std::size_t>(count_); ++v) member_start_[v + 1] += member_start_[v];
  members_.resize(n);
  Scratch<std::int32_t> next(member_start_.begin(), member_start_.end() - 1);
  for (std::size_t t = 0; t < n; ++t) {
    members_[static_cast<std::size_t>(next[static_cast<std::size_t>(vertex_[t])]++)] =
        static_cast<std::int32_t>(t);
  }
}

// Positions, powers and generators of the merged vertices. Afterwards offset_[t] is the cell (reduced basis)
// in which the vertex's home (the caller's [0, 1)) lies as seen from the frame of tetrahedron t.
void Merger::place(Tessellation* out) {
  const auto n = static_cast<std::size_t>(count_);
  out->vertex_frac.resize(n);
  out->vertex_power.resize(n);
  Stretches stretches;
  if (visitor_ != nullptr) {
    visitor_->vertices(n);
  } else {
    out->generator.resize(4 * tets_.size());
    out->generator_start.resize(n + 1);
    for (std::size_t v = 0; v < n; v += kBlock) {
      stretches.first.push_back(v);
      stretches.from.push_back(4 * static_cast<std::size_t>(member_start_[v]));
    }
    stretches.first.push_back(n);
    stretches.used.resize(stretches.from.size());
  }
  std::vector<Work> work = work_of_threads();
  parallel_blocks(n, threads_, kBlock, [&](std::size_t v, std::size_t end, int thread) {
    Work& mine = work[static_cast<std::size_t>(thread)];
    if (visitor_ != nullptr) {
      for (; v < end; ++v) {
        mine.generators.resize(4 * static_cast<std::size_t>(member_start_[v + 1] - member_start_[v]));
        const Generator* g = mine.generators.data();
        const std::size_t count = place_vertex(v, &mine, mine.generators.data(), out);
        visitor_->vertex(v, out->vertex_frac[v], g, g + count, thread);
      }
      return;
    }
    const std::size_t block = v / kBlock;
    std::size_t at = stretches.from[block];
    for (; v < end; ++v) {
      out->generator_start[v] = static_cast<std::int32_t>(at);
      at += place_vertex(v, &mine, &out->generator[at], out);
    }
    stretches.used[block] = at - stretches.from[block];
  });
  if (visitor_ == nullptr) close_up(stretches, &out->generator, &out->generator_start);
}

// Writes the generators of the vertex, which has room for all; returns how many they are.
std::size_t Merger::place_vertex(std::size_t v, Work* work, Generator* list, Tessellation* out) {
  const auto begin = static_cast<std::size_t>(member_start_[v]),
             end = static_cast<std::size_t>(member_start_[v + 1]);
  std::vector<GeneratorCode>& g = work->codes;
  g.clear();
  Vec3 x{};
  double power = 0.0;
  for (std::size_t m = begin; m < end; ++m) {
    const auto t = static_cast<std::size_t>(members_[m]);
    const GeneratorCode first = tets_[t].g[0];
    const ImageDelta back = -image_delta(offset_[t]);
    for (const GeneratorCode code : tets_[t].g) g.push_back(shifted(code, back));
    x += centre_[t] - cells(offset_[t]);
    power += norm2(position(first) - centre_[t]) - weight_[static_cast<std::size_t>(generator_atom(first))];
  }
  if (end - begin > 1) {
    x = (1.0 / static_cast<double>(end - begin)) * x;
    power /= static_cast<double>(end - begin);
    std::sort(g.begin(), g.end());
    g.erase(std::unique(g.begin(), g.end()), g.end());
    double spread = 0.0;
    for (std::size_t m = begin; m < end; ++m) {
      const auto t = static_cast<std::size_t>(members_[m]);
      spread = std::max(spread, norm(centre_[t] - cells(offset_[t]) - x));
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
  out->vertex_power[v] = power;
  const Int3 reduced = frame_.basis.to_reduced(cell);
  const Vec3 home = x - cells(reduced);
  for (std::size_t m = begin; m < end; ++m) {
    const auto t = static_cast<std::size_t>(members_[m]);
    offset_[t] = offset_[t] + reduced;
    centre_[t] = home + cells(offset_[t]);  // where the merged vertex is
  }
  const ImageDelta back = -image_delta(reduced);
  for (GeneratorCode& code : g) code = shifted(code, back);
  return to_callers(&g, list);
}

// A code in the caller's numbers and coordinates is a linear function of the image, and what the atom adds;
// where images could leave their fields, of skewed cells and atoms given far away, to_caller_ stays empty.
void Merger::find_callers() {
  for (const auto* rows : {&frame_.basis.rows, &frame_.basis.inverse}) {
    for (int k = 0; k < 3; ++k)
      if (std::abs((*rows)[0][k]) + std::abs((*rows)[1][k]) + std::abs((*rows)[2][k]) > 2) return;
  }
  ImageDelta centre = 0;  // what the biases of the fields add
  for (std::size_t k = 0; k < 3; ++k) {
    turn_[k] = image_delta(frame_.basis.rows[k]);
    centre += kImageBias * turn_[k];
  }
  const std::size_t n = frame_.cart.size();
  to_caller_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const Int3 w = frame_.basis.to_original(frame_.wrapped[i]);
    if (std::max({std::abs(w.x), std::abs(w.y), std::abs(w.z)}) > kMaxImage) {
      to_caller_.clear();
      return;
    }
    to_caller_[i] = shifted(make_generator(frame_.name(static_cast<std::int32_t>(i)), -w), -centre);
  }
}

// The codes (they are spent) in terms of the caller's coordinates and numbers, sorted; returns how many they
// are.
std::size_t Merger::to_callers(std::vector<GeneratorCode>* codes, Generator* list) const {
  const std::size_t n = codes->size();
  if (to_caller_.empty()) {
    for (std::size_t k = 0; k < n; ++k) {
      Generator g = frame_.original((*codes)[k]);
      g.atom = frame_.name(g.atom);
      std::size_t at = k;
      for (; at > 0 && g < list[at - 1]; --at) list[at] = list[at - 1];
      list[at] = g;
    }
    return n;
  }
  constexpr GeneratorCode mask = (1U << kImageBits) - 1;
  GeneratorCode* c = codes->data();
  for (std::size_t k = 0; k < n; ++k) {
    const GeneratorCode code = c[k];
    const auto x = static_cast<ImageDelta>(code >> (2 * kImageBits) & mask),
               y = static_cast<ImageDelta>(code >> kImageBits & mask),
               z = static_cast<ImageDelta>(code & mask);
    c[k] = shifted(to_caller_[static_cast<std::size_t>(generator_atom(code))],
                   x * turn_[0] + y * turn_[1] + z * turn_[2]);
  }
  // three and four are most; without branches, which could not be foreseen
  const auto order = [c](std::size_t a, std::size_t b) {
    const GeneratorCode low = std::min(c[a], c[b]), high = std::max(c[a], c[b]);
    c[a] = low;
    c[b] = high;
  };
  if (n == 3) {
    order(0, 1);
    order(1, 2);
    order(0, 1);
  } else if (n == 4) {
    order(0, 1);
    order(2, 3);
    order(0, 2);
    order(1, 3);
    order(1, 2);
  } else {
    std::sort(c, c + n);
  }
  for (std::size_t k = 0; k < n; ++k) list[k] = {generator_atom(c[k]), generator_image(c[k])};
  return n;
}

// Closes the gaps between the stretches.
void Merger::close_up(const Stretches& stretches, Scratch<Generator>* items,
                      std::vector<std::int32_t>* start) {
  std::size_t to = 0;
  for (std::size_t block = 0; block < stretches.from.size(); ++block) {
    const std::size_t from = stretches.from[block], used = stretches.used[block];
    if (from != to) {
      std::copy_n(items->begin() + static_cast<std::ptrdiff_t>(from), used,
                  items->begin() + static_cast<std::ptrdiff_t>(to));
      const auto gap = static_cast<std::int32_t>(from - to);
      for (std::size_t k = stretches.first[block]; k < stretches.first[block + 1]; ++k) (*start)[k] -= gap;
    }
    to += used;
  }
  start->back() = static_cast<std::int32_t>(to);
  items->resize(to);
}

}  // namespace fastin
