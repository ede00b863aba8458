#include "walker.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "fastin/base/interrupt.hpp"
#include "fastin/base/parallel.hpp"

namespace fastin {
namespace {

constexpr double kVolumeTolerance =
    1e-7;  // relative; a complex that fills the cell twice or not at all is off by 1
constexpr std::size_t kVolumeBlock = 4096;
// Atoms of a part that are tried for a start.
constexpr std::int32_t kMaxStarts = 64;

}  // namespace

Walker::Walker(HalfspaceLists* half, std::size_t atoms, bool swept, std::int32_t begin, std::int32_t end)
    : half_(half),
      atoms_(atoms),
      swept_(swept),
      begin_(begin),
      end_(end),
      head_(static_cast<std::size_t>(end - begin), -1) {
  const auto count = static_cast<std::size_t>(end - begin);
  if (swept_) {
    lowest_ = begin;
    return;
  }
  open_.reserve(count * 15);
}

// A power diagram of spheres without order has 6.7 vertices an atom.
void Walker::reserve(std::size_t atoms) {
  tetrahedra_.reserve(atoms * 7);
  centres_.reserve(atoms * 7);
}

bool Walker::run() {
  reserve(atoms_);
  std::int32_t largest = 0;
  for (std::int32_t i = 1; i < end_; ++i) {
    if (half_->weight(i) > half_->weight(largest)) largest = i;
  }
  seed(largest);
  if (swept_) {
    sweep();
  } else {
    follow();
  }
  return ok_ && waiting_ == 0;
}

void Walker::run_part() {
  reserve(static_cast<std::size_t>(end_ - begin_));
  const std::int32_t middle = begin_ + (end_ - begin_) / 2;
  for (std::int32_t k = 0; k < std::min(kMaxStarts, end_ - middle) && tetrahedra_.empty(); ++k) {
    if (owns_centre(middle + k)) seed(middle + k);
  }
  sweep();
}

bool Walker::adopt(std::vector<Walker>* parts) {
  std::size_t count = 0;
  for (const Walker& part : *parts) count += part.tetrahedra_.size();
  tetrahedra_.reserve(count + count / 64);
  centres_.reserve(count + count / 64);
  for (Walker& part : *parts) {
    ok_ = ok_ && part.ok_ && part.waiting_ == 0;
    const auto base = static_cast<std::int32_t>(tetrahedra_.size());
    for (Tetrahedron& t : part.tetrahedra_) {
      for (std::int32_t& n : t.neighbour) n += n < 0 ? 0 : base;
      tetrahedra_.push_back(t);
    }
    centres_.insert(centres_.end(), part.centres_.begin(), part.centres_.end());
    Scratch<Tetrahedron>().swap(part.tetrahedra_);
    Scratch<Vec3>().swap(part.centres_);
    for (OpenFacet facet : part.elsewhere_) {
      const std::int32_t lowest = facet.next;
      facet.tetrahedron += base;
      file(lowest, facet);
    }
  }
  if (tetrahedra_.empty()) return run();
  lowest_ = begin_;
  sweep();
  return ok_ && waiting_ == 0;
}

void Walker::follow() {
  SparsePoll poll;
  while (ok_ && !stack_.empty()) {
    poll();
    const std::int32_t top = stack_.back();
    stack_.pop_back();
    const OpenFacet& facet = open_[static_cast<std::size_t>(top)];
    if (facet.tetrahedron >= 0) advance(facet.tetrahedron, facet.face);
  }
}

void Walker::sweep() {
  SparsePoll poll;
  while (ok_ && lowest_ < end_) {
    const std::int32_t waiting = head(lowest_);
    if (waiting < 0) {
      ++lowest_;
      continue;
    }
    poll();
    const OpenFacet& facet = open_[static_cast<std::size_t>(waiting)];
    advance(facet.tetrahedron, facet.face);
  }
}

Vec3 Walker::relative(std::int32_t atom, GeneratorCode code) const {
  const Vec3& home = half_->position(generator_atom(code));
  if (generator_delta(code) == 0) return home - half_->position(atom);
  return home + half_->lattice().to_cart(to_vec(generator_image(code))) - half_->position(atom);
}

double Walker::plane(std::int32_t atom, GeneratorCode code, const Vec3& d) const {
  return 0.5 * (norm2(d) + half_->weight(atom) - half_->weight(generator_atom(code)));
}

bool Walker::owns_centre(std::int32_t atom) {
  const HalfspaceView list = half_->view(atom);
  for (std::size_t k = 0; k < list.blocks * HalfspaceLists::kLanes; ++k) {
    if (!(list.h[k] > 0.0)) return false;
  }
  return true;
}

// The atom owns its own centre, as the largest sphere does; three rays from there lead to a face, an edge and
// a vertex of its cell.
void Walker::seed(std::int32_t atom) {
  const Vec3 u1{0.5377, 0.8339, -0.2588};
  const RayHit first = half_->shoot(atom, {}, u1, 0, 0);
  const Vec3 d1 = relative(atom, first.code), x1 = first.t * u1;
  const Vec3 u2 = cross(d1, {0.8622, -0.3188, 0.3077});
  const RayHit second = half_->shoot(atom, x1, u2, first.code, 0);
  const Vec3 d2 = relative(atom, second.code), u3 = cross(d1, d2);
  const RayHit third = half_->shoot(atom, x1 + second.t * u2, u3, first.code, second.code);
  add({make_generator(atom, {}), first.code, second.code, third.code},
      half_->position(atom) + x1 + second.t * u2 + third.t * u3);
}

void Walker::advance(std::int32_t tetrahedron, int face) {
  const auto& g = tetrahedra_[static_cast<std::size_t>(tetrahedron)].g;
  const auto& corner = kFaceCorners[static_cast<std::size_t>(face)];
  std::array<GeneratorCode, 3> p;
  for (std::size_t k = 0; k < 3; ++k) p[k] = g[static_cast<std::size_t>(corner[k])];
  // Prefer an atom whose neighbours are known already; in a sweep that is the one under work.
  const auto at_hand = [this](std::int32_t a) { return swept_ ? a == lowest_ : half_->has_list(a); };
  for (int turn = 0; turn < 2 && !at_hand(generator_atom(p[0])); ++turn) {
    std::rotate(p.begin(), p.begin() + 1, p.end());
  }
  const std::int32_t atom = generator_atom(p[0]);
  const ImageDelta frame = generator_delta(p[0]);
  const GeneratorCode j = shifted(p[1], -frame), k = shifted(p[2], -frame);
  const Vec3 dj = relative(atom, j), dk = relative(atom, k), u = cross(dj, dk);
  const Vec3 foot =
      (1.0 / norm2(u)) * (plane(atom, j, dj) * cross(dk, u) + plane(atom, k, dk) * cross(u, dj));
  const RayHit hit = half_->shoot(atom, foot, u, j, k);
  if (add({make_generator(atom, {}), j, k, hit.code}, half_->position(atom) + foot + hit.t * u)) return;
  // The tetrahedron behind is of an earlier part, which finds it.
  std::int32_t& top = head(lowest_);
  OpenFacet& facet = open_[static_cast<std::size_t>(top)];
  const std::int32_t slot = std::exchange(top, facet.next);
  facet.next = lowest_;
  elsewhere_.push_back(facet);
  free_.push_back(slot);
  --waiting_;
}

// False for a tetrahedron of another part.
bool Walker::add(std::array<GeneratorCode, 4> g, const Vec3& centre) {
  if (swept_) return add_sorted(g, centre);
  const auto id = static_cast<std::int32_t>(tetrahedra_.size());
  tetrahedra_.push_back({g, {-1, -1, -1, -1}, {}});
  centres_.push_back(centre);
  for (int f = 0; f < 4; ++f) {
    const auto& corner = kFaceCorners[static_cast<std::size_t>(f)];
    GeneratorCode a = g[static_cast<std::size_t>(corner[0])], b = g[static_cast<std::size_t>(corner[1])],
                  c = g[static_cast<std::size_t>(corner[2])];
    bool odd = false;
    const auto order = [&odd](GeneratorCode& p, GeneratorCode& q) {
      if (q < p) {
        std::swap(p, q);
        odd = !odd;
      }
    };
    order(a, b);
    order(b, c);
    order(a, b);
    file(a, b, c, id, f, odd);
  }
  check_count();
  return true;
}

// As add(), with the generators brought into order: the outward order of each face is known then.
bool Walker::add_sorted(std::array<GeneratorCode, 4> g, const Vec3& centre) {
  bool odd = false;
  const auto order = [&](std::size_t a, std::size_t b) {
    const bool swap = g[b] < g[a];
    const GeneratorCode low = swap ? g[b] : g[a];
    g[b] = swap ? g[a] : g[b];
    g[a] = low;
    odd = odd != swap;
  };
  order(0, 1);
  order(2, 3);
  order(0, 2);
  order(1, 3);
  order(1, 2);
  if (!mine(generator_atom(g[0]))) return false;
  const ImageDelta frame = generator_delta(g[0]);
  Vec3 x = centre;
  if (frame != 0) {
    x -= half_->lattice().to_cart(to_vec(generator_image(g[0])));
    for (GeneratorCode& code : g) code = shifted(code, -frame);
  }
  const auto id = static_cast<std::int32_t>(tetrahedra_.size());
  tetrahedra_.push_back({g, {-1, -1, -1, -1}, {}});
  centres_.push_back(x);
  if (odd) std::swap(tetrahedra_.back().g[2], tetrahedra_.back().g[3]);
  file(g[1], g[2], g[3], id, 0, odd);
  file(g[0], g[2], g[3], id, 1, !odd);
  file(g[0], g[1], g[3], id, odd ? 3 : 2, odd);
  file(g[0], g[1], g[2], id, odd ? 2 : 3, !odd);
  check_count();
  return true;
}

// A regular triangulation of n points has far fewer; more means that the walk does not close.
void Walker::check_count() {
  if (tetrahedra_.size() > 64 * (atoms_ + 64)) ok_ = false;
}

// Files a face by its sorted corners.
void Walker::file(GeneratorCode a, GeneratorCode b, GeneratorCode c, std::int32_t id, int face, bool odd) {
  const auto shift = static_cast<std::int32_t>(generator_delta(a));
  const std::int32_t lowest = generator_atom(a);
  const OpenFacet facet{
      shifted(b, -shift), shifted(c, -shift), id, shift, lowest, static_cast<std::int8_t>(face), odd};
  if (mine(lowest)) {
    file(lowest, facet);
  } else {
    elsewhere_.push_back(facet);
  }
}

// Closes the facet with its waiting partner, or makes it wait.
void Walker::file(std::int32_t lowest, const OpenFacet& facet) {
  std::int32_t* link = &head(lowest);
  while (*link >= 0) {
    OpenFacet& other = open_[static_cast<std::size_t>(*link)];
    if (other.second == facet.second && other.third == facet.third) {
      join(facet, &other);
      const std::int32_t slot = *link;
      *link = other.next;
      if (swept_) free_.push_back(slot);
      return;
    }
    link = &other.next;
  }
  std::int32_t& top = head(lowest);
  const std::int32_t below = top;
  ++waiting_;
  if (!free_.empty()) {
    top = free_.back();
    free_.pop_back();
    open_[static_cast<std::size_t>(top)] = facet;
  } else {
    top = static_cast<std::int32_t>(open_.size());
    open_.push_back(facet);
  }
  open_[static_cast<std::size_t>(top)].next = below;
  if (swept_) {
    lowest_ = std::min(lowest_, lowest);
  } else {
    stack_.push_back(top);
  }
}

void Walker::join(const OpenFacet& facet, OpenFacet* other) {
  if (facet.odd == other->odd) ok_ = false;  // both tetrahedra lie on the same side
  const auto face = static_cast<std::size_t>(facet.face), behind = static_cast<std::size_t>(other->face);
  Tetrahedron& here = tetrahedra_[static_cast<std::size_t>(facet.tetrahedron)];
  here.neighbour[face] = other->tetrahedron;
  here.shift[face] = facet.shift - other->shift;
  Tetrahedron& there = tetrahedra_[static_cast<std::size_t>(other->tetrahedron)];
  there.neighbour[behind] = facet.tetrahedron;
  there.shift[behind] = other->shift - facet.shift;
  other->tetrahedron = -1;
  --waiting_;
}

bool Walker::fills_cell(int num_threads) const {
  std::vector<double> six_volumes((tetrahedra_.size() + kVolumeBlock - 1) / kVolumeBlock, 0.0);
  parallel_blocks(tetrahedra_.size(), num_threads, kVolumeBlock, [&](std::size_t k, std::size_t end, int) {
    double sum = 0.0;
    const std::size_t block = k / kVolumeBlock;
    for (; k < end; ++k) {
      const Tetrahedron& t = tetrahedra_[k];
      const std::int32_t atom = generator_atom(t.g[0]);
      const ImageDelta frame = generator_delta(t.g[0]);
      const Vec3 a = relative(atom, shifted(t.g[1], -frame)), b = relative(atom, shifted(t.g[2], -frame)),
                 c = relative(atom, shifted(t.g[3], -frame));
      sum += dot(a, cross(b, c));
    }
    six_volumes[block] = sum;
  });
  double sum = 0.0;
  for (const double part : six_volumes) sum += part;
  const double volume = half_->lattice().volume();
  return std::abs(sum / 6.0 - volume) <= kVolumeTolerance * volume;
}

}  // namespace fastin
