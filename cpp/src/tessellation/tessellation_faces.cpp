// Faces of the power diagram from its edges.
#include <algorithm>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/tessellation/reduced_frame.hpp"
#include "fastin/tessellation/tessellation.hpp"

namespace fastin {
namespace {

bool same(const LoopVertex& a, const LoopVertex& b) { return a.vertex == b.vertex && a.image == b.image; }

struct Side {
  LoopVertex from, to;
};

// Orders the sides head to tail; false when they are not one closed loop.
bool chain(std::vector<Side>* sides) {
  for (std::size_t k = 0; k + 1 < sides->size(); ++k) {
    const LoopVertex& head = (*sides)[k].to;
    std::size_t next = k + 1;
    while (next < sides->size() && !same((*sides)[next].from, head) && !same((*sides)[next].to, head)) ++next;
    if (next == sides->size()) return false;
    std::swap((*sides)[k + 1], (*sides)[next]);
    if (!same((*sides)[k + 1].from, head)) std::swap((*sides)[k + 1].from, (*sides)[k + 1].to);
  }
  return same(sides->back().to, sides->front().from);
}

}  // namespace

void build_faces(const ReducedFrame& frame, std::vector<FaceEdge>& edges, Tessellation* out) {
  const auto key_less = [](const FaceEdge& a, const FaceEdge& b) {
    if (a.first != b.first) return a.first < b.first;
    if (a.second != b.second) return a.second < b.second;
    return a.edge != b.edge ? a.edge < b.edge : a.cell < b.cell;
  };
  std::sort(edges.begin(), edges.end(), key_less);
  edges.erase(
      std::unique(edges.begin(), edges.end(),
                  [&](const FaceEdge& a, const FaceEdge& b) { return !key_less(a, b) && !key_less(b, a); }),
      edges.end());
  Faces& faces = out->faces;
  faces.start.assign(1, 0);
  std::vector<Side> sides;
  for (std::size_t begin = 0, end; begin < edges.size(); begin = end) {
    const FaceEdge& head = edges[begin];
    for (end = begin;
         end < edges.size() && edges[end].first == head.first && edges[end].second == head.second;)
      ++end;
    if (end - begin < 3) continue;  // collapsed to an edge by merging
    const Int3 wrapped = frame.wrapped[static_cast<std::size_t>(head.first)];
    sides.clear();
    for (std::size_t k = begin; k < end; ++k) {
      const auto e = static_cast<std::size_t>(edges[k].edge);
      const Int3 home = frame.basis.to_original(edges[k].cell + wrapped);
      sides.push_back({{out->edge_i[e], home}, {out->edge_j[e], home + out->edge_image[e]}});
    }
    if (!chain(&sides)) {
      throw NoConvergence("the face between atoms " + std::to_string(frame.name(head.first)) + " and " +
                          std::to_string(frame.name(generator_atom(head.second))) + " is not a closed loop");
    }
    faces.first.push_back(head.first);
    Generator second = frame.original(head.second);
    second.image = second.image + frame.basis.to_original(wrapped);
    faces.second.push_back(second);
    for (const Side& side : sides) faces.loop.push_back(side.from);
    faces.start.push_back(static_cast<std::int32_t>(faces.loop.size()));
  }
}

std::vector<Vec3> face_centres(const Tessellation& t) {
  std::vector<Vec3> out;
  out.reserve(t.faces.first.size());
  for (std::size_t f = 0; f < t.faces.first.size(); ++f) {
    const auto begin = static_cast<std::size_t>(t.faces.start[f]),
               end = static_cast<std::size_t>(t.faces.start[f + 1]);
    Vec3 centre{};
    for (std::size_t k = begin; k < end; ++k) {
      const LoopVertex& v = t.faces.loop[k];
      centre += t.vertex_frac[static_cast<std::size_t>(v.vertex)] + to_vec(v.image);
    }
    out.push_back((1.0 / static_cast<double>(end - begin)) * centre);
    wrap_frac(out.back());
  }
  return out;
}

}  // namespace fastin
