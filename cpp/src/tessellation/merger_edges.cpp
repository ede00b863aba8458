// Edges and cell volumes of the diagram.
#include <algorithm>
#include <atomic>
#include <utility>

#include "fastin/base/parallel.hpp"
#include "merger.hpp"

namespace fastin {
namespace {

// One more; what there was before.
std::int32_t count_up(std::atomic<std::int32_t>* counter, bool shared) {
  if (shared) return counter->fetch_add(1, std::memory_order_relaxed);
  const std::int32_t before = counter->load(std::memory_order_relaxed);
  counter->store(before + 1, std::memory_order_relaxed);
  return before;
}

}  // namespace

// Calls visit(i, record) for each face between two tetrahedra that is an edge of the diagram; each once, with
// the lower tetrahedron among begin .. end.
template <class Visit>
void Merger::for_each_edge(std::size_t begin, std::size_t end, const Visit& visit) const {
  for (std::size_t t = begin; t < end; ++t) {
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
      visit(i, EdgeRecord{j, image, static_cast<std::uint32_t>(8 * t + 2 * f + (swapped ? 1 : 0))});
    }
  }
}

// Counted by the vertex that they start from.
void Merger::file_edges() {
  const auto n = static_cast<std::size_t>(count_);
  const bool shared = threads_ > 1;
  Scratch<std::atomic<std::int32_t>> next(n);
  parallel_blocks(tets_.size(), threads_, kBlock, [&](std::size_t begin, std::size_t end, int) {
    for_each_edge(begin, end, [&](std::int32_t i, const EdgeRecord&) {
      count_up(&next[static_cast<std::size_t>(i)], shared);
    });
  });
  edge_start_.resize(n + 1);
  edge_start_[0] = 0;
  for (std::size_t v = 0; v < n; ++v) {
    edge_start_[v + 1] = edge_start_[v] + next[v].load(std::memory_order_relaxed);
    next[v].store(edge_start_[v], std::memory_order_relaxed);
  }
  records_.resize(static_cast<std::size_t>(edge_start_[n]));
  parallel_blocks(tets_.size(), threads_, kBlock, [&](std::size_t begin, std::size_t end, int) {
    for_each_edge(begin, end, [&](std::int32_t i, const EdgeRecord& r) {
      records_[static_cast<std::size_t>(count_up(&next[static_cast<std::size_t>(i)], shared))] = r;
    });
  });
}

// Sorted by (i, j, image); records of one edge are merged.
void Merger::edges(Tessellation* out) {
  file_edges();
  const auto n = static_cast<std::size_t>(count_);
  std::vector<std::size_t> first(blocks_of(n) + 1, 0);  // edge of each block of vertices
  parallel_blocks(n, threads_, kBlock, [&](std::size_t begin, std::size_t end, int) {
    std::size_t distinct = 0;
    for (std::size_t v = begin; v < end; ++v) {
      const auto from = records_.begin() + edge_start_[v], to = records_.begin() + edge_start_[v + 1];
      std::sort(from, to, [](const EdgeRecord& a, const EdgeRecord& b) {
        if (a.j != b.j) return a.j < b.j;
        if (a.image != b.image) return a.image < b.image;
        return a.where < b.where;
      });
      for (auto r = from; r != to; ++r) {
        distinct += r == from || r->j != (r - 1)->j || r->image != (r - 1)->image ? 1 : 0;
      }
    }
    first[begin / kBlock + 1] = distinct;
  });
  for (std::size_t k = 1; k < first.size(); ++k) first[k] += first[k - 1];
  const std::size_t count = first.back();
  out->edge_i.resize(count);
  out->edge_j.resize(count);
  out->edge_image.resize(count);
  Scratch<std::int32_t> size, place;
  if (visitor_ != nullptr) {
    visitor_->edges(count, out->vertex_frac);
  } else {
    out->owner.resize(3 * records_.size());
    size.resize(count);
    place.resize(count);
  }
  std::vector<Work> work(static_cast<std::size_t>(std::max(1, threads_)));
  // Faces are gathered in one list.
  parallel_blocks(n, faces_ ? 1 : threads_, kBlock, [&](std::size_t v, std::size_t end, int thread) {
    std::size_t e = first[v / kBlock];
    Work& mine = work[static_cast<std::size_t>(thread)];
    for (; v < end; ++v) {
      const auto last = static_cast<std::size_t>(edge_start_[v + 1]);
      for (auto r = static_cast<std::size_t>(edge_start_[v]); r < last; ++e) {
        const std::size_t head = r;
        mine.codes.clear();
        do {
          add_owners(records_[r++], e, &mine.codes);
        } while (r < last && records_[r].j == records_[head].j && records_[r].image == records_[head].image);
        std::sort(mine.codes.begin(), mine.codes.end());
        mine.codes.erase(std::unique(mine.codes.begin(), mine.codes.end()), mine.codes.end());
        out->edge_i[e] = static_cast<std::int32_t>(v);
        out->edge_j[e] = records_[head].j;
        out->edge_image[e] = records_[head].image;
        to_callers(&mine);
        const Generator* g = mine.generators.data();
        if (visitor_ != nullptr) {
          const DiagramEdge edge{e, out->edge_i[e], out->edge_j[e], out->edge_image[e]};
          visitor_->edge(edge, g, g + mine.generators.size(), thread);
          continue;
        }
        size[e] = static_cast<std::int32_t>(mine.generators.size());
        place[e] = static_cast<std::int32_t>(head);
        std::copy(mine.generators.begin(), mine.generators.end(),
                  out->owner.begin() + 3 * static_cast<std::ptrdiff_t>(head));
      }
    }
  });
  Scratch<EdgeRecord>().swap(records_);
  if (visitor_ == nullptr) compact(count, place, 3, size, &out->owner, &out->owner_start);
}

// Generators of the face in the frame where the edge's vertex i is at home.
void Merger::add_owners(const EdgeRecord& r, std::size_t edge, std::vector<GeneratorCode>* g) {
  const std::size_t t = r.where / 8, f = r.where / 2 % 4;
  Int3 home = offset_[t];
  if (r.where % 2 != 0)
    home = offset_[static_cast<std::size_t>(tets_[t].neighbour[f])] + delta_image(tets_[t].shift[f]);
  const std::size_t begin = g->size();
  for (const int c : kFaceCorners[f])
    g->push_back(shifted(tets_[t].g[static_cast<std::size_t>(c)], -image_delta(home)));
  if (!faces_) return;
  for (std::size_t k = 0; k < 3; ++k) {
    const GeneratorCode p = (*g)[begin + k], q = (*g)[begin + (k + 1) % 3];
    const GeneratorCode a = std::min(p, q), b = std::max(p, q);
    face_edges_.push_back({generator_atom(a), shifted(b, -generator_delta(a)),
                           static_cast<std::int32_t>(edge), -generator_image(a)});
  }
}

// Each edge of the diagram adds to the cells of its three generators the cones over its triangles with the
// feet of the faces: exact for any closed complex, degenerate edges included.
void Merger::cones(std::size_t t, std::size_t f, double* share) const {
  const auto& tet = tets_[t];
  const Vec3 p = tet.centre;
  Vec3 q = tets_[static_cast<std::size_t>(tet.neighbour[f])].centre;
  if (tet.shift[f] != 0) q += frame_.lattice.to_cart(to_vec(delta_image(tet.shift[f])));
  std::array<Vec3, 3> c;
  std::array<std::size_t, 3> atom;
  for (std::size_t k = 0; k < 3; ++k) {
    const GeneratorCode code = tet.g[static_cast<std::size_t>(kFaceCorners[f][k])];
    c[k] = position(code);
    atom[k] = static_cast<std::size_t>(generator_atom(code));
  }
  for (std::size_t k = 0; k < 3; ++k) {
    const std::size_t a = atom[k], b = atom[(k + 1) % 3];
    const Vec3 d = c[(k + 1) % 3] - c[k];
    const double cone = dot(d, cross(p - c[k], q - c[k])) / 6.0;
    const double part = 0.5 * (1.0 + (weight_[a] - weight_[b]) / norm2(d));
    share[2 * k] = part * cone;
    share[2 * k + 1] = (1.0 - part) * cone;
  }
}

void Merger::add_shares(std::size_t t, std::size_t f, const double* share, Tessellation* out) const {
  std::array<std::size_t, 3> atom;
  for (std::size_t k = 0; k < 3; ++k) {
    atom[k] =
        static_cast<std::size_t>(generator_atom(tets_[t].g[static_cast<std::size_t>(kFaceCorners[f][k])]));
  }
  for (std::size_t k = 0; k < 3; ++k) {
    out->cell_volume[atom[k]] += share[2 * k];
    out->cell_volume[atom[(k + 1) % 3]] += share[2 * k + 1];
  }
}

// Threads compute the shares of a stretch of tetrahedra; they are summed in order.
void Merger::volumes(Tessellation* out) const {
  out->cell_volume.assign(frame_.cart.size(), 0.0);
  double share[6];
  if (threads_ < 2) {
    for_each_edge(0, tets_.size(), [&](std::int32_t, const EdgeRecord& r) {
      cones(r.where / 8, r.where / 2 % 4, share);
      add_shares(r.where / 8, r.where / 2 % 4, share, out);
    });
    return;
  }
  struct Share {
    std::uint32_t where;
    double value[6];
  };
  const std::size_t stretch = kBlock * 2 * static_cast<std::size_t>(threads_);
  std::vector<Scratch<Share>> found(blocks_of(stretch));
  for (std::size_t start = 0; start < tets_.size(); start += stretch) {
    const std::size_t n = std::min(stretch, tets_.size() - start);
    parallel_blocks(n, threads_, kBlock, [&](std::size_t begin, std::size_t end, int) {
      Scratch<Share>& here = found[begin / kBlock];
      here.clear();
      for_each_edge(start + begin, start + end, [&](std::int32_t, const EdgeRecord& r) {
        here.push_back({r.where, {}});
        cones(r.where / 8, r.where / 2 % 4, here.back().value);
      });
    });
    for (std::size_t k = 0; k < blocks_of(n); ++k) {
      for (const Share& s : found[k]) add_shares(s.where / 8, s.where / 2 % 4, s.value, out);
    }
  }
}

}  // namespace fastin
