// Edges and cell volumes of the diagram.
#include <algorithm>
#include <array>

#include "fastin/base/parallel.hpp"
#include "merger.hpp"

namespace fastin {
namespace {

// Records of one edge agree in this.
template <class Record>
bool same_edge(const Record& a, const Record& b) {
  return a.j == b.j && a.image == b.image;
}

}  // namespace

// The faces of the vertex's tetrahedra that are edges to vertices of its own number or higher, sorted by (j,
// image); each edge of the diagram comes from one vertex.
void Merger::gather(std::size_t v, std::vector<EdgeRecord>* records) const {
  records->clear();
  const auto own = static_cast<std::int32_t>(v);
  for (std::int32_t m = member_start_[v]; m < member_start_[v + 1]; ++m) {
    const auto t = static_cast<std::size_t>(members_[static_cast<std::size_t>(m)]);
    for (std::size_t f = 0; f < 4; ++f) {
      const auto other = static_cast<std::size_t>(tets_[t].neighbour[f]);
      const std::int32_t j = vertex_[other];
      if (j < own) continue;
      // A tetrahedron's offset is where its vertex's home lies seen from its own frame.
      Int3 image = offset_[other] - offset_[t];
      if (tets_[t].shift[f] != 0) image = image + delta_image(tets_[t].shift[f]);
      if (!is_zero(image)) image = frame_.basis.to_original(image);
      // merged away; or the same edge as another face makes it, the right way round
      if (j == own && !(Int3{} < image)) continue;
      records->push_back({j, image, static_cast<std::uint32_t>(4 * t + f)});
    }
  }
  if (records->size() < 2) return;
  std::sort(records->begin(), records->end(), [](const EdgeRecord& a, const EdgeRecord& b) {
    return a.j != b.j ? a.j < b.j : a.image < b.image;
  });
}

// How many faces gather() would find where that takes no images: a vertex of one tetrahedron, and each face
// leads to another vertex.
bool Merger::count_lone(std::size_t v, std::size_t* faces) const {
  if (member_start_[v + 1] - member_start_[v] != 1) return false;
  const auto& tet = tets_[static_cast<std::size_t>(members_[static_cast<std::size_t>(member_start_[v])])];
  const auto own = static_cast<std::int32_t>(v);
  std::array<std::int32_t, 4> j;
  std::size_t n = 0;
  bool apart = true;
  for (const std::int32_t other : tet.neighbour) {
    const std::int32_t next = vertex_[static_cast<std::size_t>(other)];
    apart = apart && next != own;
    if (next < own) continue;
    for (std::size_t k = 0; k < n; ++k) apart = apart && j[k] != next;
    j[n++] = next;
  }
  *faces = n;
  return apart;
}

// Sorted by (i, j, image); records of one edge are merged. The edges are gathered twice, once to count them:
// that costs less than to keep them. One thread sums the volumes meanwhile.
void Merger::edges_and_volumes(Tessellation* out) {
  const auto n = static_cast<std::size_t>(count_);
  std::vector<Work> work = work_of_threads();
  std::vector<std::size_t> first(blocks_of(n) + 1, 0),
      records(blocks_of(n) + 1, 0);  // of each block of vertices
  parallel_blocks(n, threads_, kBlock, [&](std::size_t v, std::size_t end, int thread) {
    std::vector<EdgeRecord>& found = work[static_cast<std::size_t>(thread)].records;
    const std::size_t block = v / kBlock;
    std::size_t distinct = 0, all = 0;
    for (; v < end; ++v) {
      std::size_t lone = 0;
      if (count_lone(v, &lone)) {
        all += lone;
        distinct += lone;
        continue;
      }
      gather(v, &found);
      all += found.size();
      for (std::size_t r = 0; r < found.size(); ++r)
        distinct += r == 0 || !same_edge(found[r - 1], found[r]) ? 1 : 0;
    }
    first[block + 1] = distinct;
    records[block + 1] = all;
  });
  for (std::size_t k = 1; k < first.size(); ++k) {
    first[k] += first[k - 1];
    records[k] += records[k - 1];
  }
  const std::size_t count = first.back();
  out->edge_i.resize(count);
  out->edge_j.resize(count);
  out->edge_image.resize(count);
  Stretches stretches{first, {}, {}};
  if (visitor_ != nullptr) {
    visitor_->edges(count, out->vertex_frac);
  } else {
    out->owner.resize(3 * records.back());
    out->owner_start.resize(count + 1);
    for (std::size_t k = 0; k + 1 < records.size(); ++k) stretches.from.push_back(3 * records[k]);
    stretches.used.resize(stretches.from.size());
  }
  // Faces are gathered in one list.
  parallel_for(1 + blocks_of(n), faces_ ? 1 : threads_, [&](std::size_t item, int thread) {
    if (item == 0) {
      volumes(out);
    } else {
      emit(item - 1, first[item - 1], thread, &work[static_cast<std::size_t>(thread)], &stretches, out);
    }
  });
  if (visitor_ == nullptr) close_up(stretches, &out->owner, &out->owner_start);
}

// The edges of a block of vertices; e is the number of the first.
void Merger::emit(std::size_t block, std::size_t e, int thread, Work* work, Stretches* stretches,
                  Tessellation* out) {
  const std::size_t from = visitor_ != nullptr ? 0 : stretches->from[block];
  const std::size_t end = std::min(static_cast<std::size_t>(count_), (block + 1) * kBlock);
  std::size_t at = from;
  std::vector<EdgeRecord>& found = work->records;
  for (std::size_t v = block * kBlock; v < end; ++v) {
    gather(v, &found);
    for (std::size_t r = 0; r < found.size(); ++e) {
      const EdgeRecord& head = found[r];
      work->codes.clear();
      std::size_t faces = 0;
      for (; r < found.size() && same_edge(head, found[r]); ++r, ++faces)
        add_owners(found[r], e, &work->codes);
      if (faces > 1) {
        std::sort(work->codes.begin(), work->codes.end());
        work->codes.erase(std::unique(work->codes.begin(), work->codes.end()), work->codes.end());
      }
      out->edge_i[e] = static_cast<std::int32_t>(v);
      out->edge_j[e] = head.j;
      out->edge_image[e] = head.image;
      if (visitor_ != nullptr) {
        work->generators.resize(work->codes.size());
        Generator* list = work->generators.data();
        const std::size_t owners = to_callers(&work->codes, list);
        visitor_->edge({e, out->edge_i[e], head.j, head.image}, list, list + owners, thread);
      } else {
        out->owner_start[e] = static_cast<std::int32_t>(at);
        at += to_callers(&work->codes, &out->owner[at]);
      }
    }
  }
  if (visitor_ == nullptr) stretches->used[block] = at - from;
}

// Generators of the face in the frame where the edge's vertex i is at home.
void Merger::add_owners(const EdgeRecord& r, std::size_t edge, std::vector<GeneratorCode>* g) {
  const std::size_t t = r.where / 4, f = r.where % 4;
  const ImageDelta back = -image_delta(offset_[t]);
  const std::size_t begin = g->size();
  for (const int c : kFaceCorners[f]) g->push_back(shifted(tets_[t].g[static_cast<std::size_t>(c)], back));
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
  const Vec3 p = centre_[t];
  Vec3 q = centre_[static_cast<std::size_t>(tet.neighbour[f])];
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

// Sums in the order of the tetrahedra.
void Merger::volumes(Tessellation* out) const {
  out->cell_volume.assign(frame_.cart.size(), 0.0);
  double share[6];
  for (std::size_t t = 0; t < tets_.size(); ++t) {
    for (std::size_t f = 0; f < 4; ++f) {  // each face whose two vertices differ, once
      const auto other = static_cast<std::size_t>(tets_[t].neighbour[f]);
      if (other < t) continue;
      if (vertex_[other] == vertex_[t]) {
        const Int3 image = offset_[other] - offset_[t] + delta_image(tets_[t].shift[f]);
        if (is_zero(image)) continue;
        // its partner face is the same one
        if (other == t && frame_.basis.to_original(image) < Int3{}) continue;
      }
      cones(t, f, share);
      add_shares(t, f, share, out);
    }
  }
}

}  // namespace fastin
