#include "fastin/geometry/space_operations.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/geometry/lattice_reduction.hpp"

namespace fastin {
namespace {

constexpr std::int32_t kParts = 24;  // every translation of a space group is a fraction of this many parts
constexpr double kLargest = 0.1;     // angstrom: `loose` is far below the distance of two atoms

using Rows = std::array<Int3, 3>;

Rows product(const Rows& a, const Rows& b) {
  Rows out;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      out[static_cast<std::size_t>(i)][j] = a[static_cast<std::size_t>(i)].x * b[0][j] +
                                            a[static_cast<std::size_t>(i)].y * b[1][j] +
                                            a[static_cast<std::size_t>(i)].z * b[2][j];
    }
  }
  return out;
}

Rows transposed(const Rows& a) {
  return {{{a[0].x, a[1].x, a[2].x}, {a[0].y, a[1].y, a[2].y}, {a[0].z, a[1].z, a[2].z}}};
}

Vec3 turned(const Rows& rotation, const Vec3& f) {
  return {dot(to_vec(rotation[0]), f), dot(to_vec(rotation[1]), f), dot(to_vec(rotation[2]), f)};
}

Vec3 nearest_image(Vec3 d) {
  for (int k = 0; k < 3; ++k) d[k] -= std::nearbyint(d[k]);
  return d;
}

struct Turn {
  Rows rotation;  // on fractional columns of the given cell
  bool close;     // keeps the lattice within `tight`
};

// Rotations that keep the metric of the lattice within `loose`: images of the reduced vectors of the same
// length and at the same angles.
std::vector<Turn> lattice_turns(const Lattice& lattice, double tight, double loose) {
  const ReducedBasis basis = reduce_basis(lattice.cell());
  std::array<double, 3> length;
  std::array<std::vector<std::pair<Int3, Vec3>>, 3> images;
  for (int i = 0; i < 3; ++i) length[static_cast<std::size_t>(i)] = norm(basis.cell[i]);
  for (std::int32_t a = -2; a <= 2; ++a) {
    for (std::int32_t b = -2; b <= 2; ++b) {
      for (std::int32_t c = -2; c <= 2; ++c) {
        const Int3 image{a, b, c};
        const Vec3 vector = row_times(to_vec(image), basis.cell);
        const double size = norm(vector);
        for (std::size_t i = 0; i < 3; ++i) {
          if (std::abs(size - length[i]) <= loose) images[i].push_back({image, vector});
        }
      }
    }
  }
  const auto apart = [&](int i, const Vec3& vi, int j, const Vec3& vj) {
    return std::abs(dot(vi, vj) - dot(basis.cell[i], basis.cell[j])) /
           std::max(length[static_cast<std::size_t>(i)], length[static_cast<std::size_t>(j)]);
  };
  const Rows columns = basis.rows, back = basis.inverse;
  std::vector<Turn> out;
  for (const auto& [ia, va] : images[0]) {
    for (const auto& [ib, vb] : images[1]) {
      const double ab = apart(0, va, 1, vb);
      if (ab > loose) continue;
      for (const auto& [ic, vc] : images[2]) {
        const double most = std::max({ab, apart(0, va, 2, vc), apart(1, vb, 2, vc)});
        if (most > loose) continue;
        const double handed = dot(to_vec(ia), cross(to_vec(ib), to_vec(ic)));
        if (std::abs(std::abs(handed) - 1.0) > 0.5) continue;
        const double off = std::max({most, std::abs(norm(va) - length[0]), std::abs(norm(vb) - length[1]),
                                     std::abs(norm(vc) - length[2])});
        out.push_back({transposed(product(product(back, Rows{ia, ib, ic}), columns)), off <= tight});
      }
    }
  }
  return out;
}

// Points of each kind in the order of their first coordinate, to look them up near a place.
class Places {
 public:
  Places(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<std::int32_t>& kind)
      : cell_(lattice.cell()), frac_(frac), kind_(kind), order_(frac.size()) {
    for (int k = 0; k < 3; ++k) spacing_[k] = lattice.plane_spacing(k);
    std::iota(order_.begin(), order_.end(), 0);
    std::sort(order_.begin(), order_.end(), [&](std::int32_t a, std::int32_t b) { return key(a) < key(b); });
    const std::int32_t kinds = *std::max_element(kind.begin(), kind.end()) + 1;
    first_.resize(static_cast<std::size_t>(kinds) + 1, 0);
    for (const std::int32_t k : kind) ++first_[static_cast<std::size_t>(k) + 1];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    x_.reserve(order_.size());
    for (const std::int32_t p : order_) x_.push_back(frac_[static_cast<std::size_t>(p)].x);
  }

  // Members of the rarest kind that occurs.
  std::pair<const std::int32_t*, const std::int32_t*> rarest() const {
    std::size_t best = 0;
    for (std::size_t k = 0; k + 1 < first_.size(); ++k) {
      const std::size_t count = first_[k + 1] - first_[k], least = first_[best + 1] - first_[best];
      if (count > 0 && (least == 0 || count < least)) best = k;
    }
    return {order_.data() + first_[best], order_.data() + first_[best + 1]};
  }

  // The point of that kind within `reach` (angstrom) of f, any place in the crystal; -1 where there is none.
  std::int32_t at(Vec3 f, std::int32_t kind, double reach) const {
    f.x -= std::floor(f.x);
    const double width = reach / spacing_.x;
    for (const double shift : {0.0, 1.0, -1.0}) {
      const double low = f.x + shift - width, high = f.x + shift + width;
      if (high < 0.0 || low > 1.0) continue;
      const auto begin = x_.begin() + static_cast<std::ptrdiff_t>(first_[static_cast<std::size_t>(kind)]);
      const auto end = x_.begin() + static_cast<std::ptrdiff_t>(first_[static_cast<std::size_t>(kind) + 1]);
      for (auto it = std::lower_bound(begin, end, low); it != end && *it <= high; ++it) {
        const std::int32_t p = order_[static_cast<std::size_t>(it - x_.begin())];
        const Vec3 d = nearest_image(frac_[static_cast<std::size_t>(p)] - f);
        if (std::abs(d.y) * spacing_.y > reach || std::abs(d.z) * spacing_.z > reach) continue;
        if (norm2(row_times(d, cell_)) <= reach * reach) return p;
      }
    }
    return -1;
  }

 private:
  std::pair<std::int32_t, double> key(std::int32_t p) const {
    return {kind_[static_cast<std::size_t>(p)], frac_[static_cast<std::size_t>(p)].x};
  }

  Mat3 cell_;
  const std::vector<Vec3>& frac_;
  const std::vector<std::int32_t>& kind_;
  std::vector<std::int32_t> order_;
  std::vector<std::size_t> first_;
  std::vector<double> x_;
  Vec3 spacing_;
};

class Search {
 public:
  Search(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<std::int32_t>& kind,
         double tight, double loose)
      : lattice_(lattice),
        frac_(frac),
        kind_(kind),
        places_(lattice, frac, kind),
        tight_(tight),
        loose_(loose) {
    out_.orbit.resize(frac.size());
    std::iota(out_.orbit.begin(), out_.orbit.end(), 0);
  }

  SpaceOperations run() {
    for (const Turn& turn : lattice_turns(lattice_, tight_, loose_)) {
      if (!try_turn(turn)) return {};
    }
    std::sort(out_.operations.begin(), out_.operations.end(), before);
    out_.certain = true;
    return std::move(out_);
  }

 private:
  static bool is_identity(const SpaceOperation& a) {
    return a.rotation == Rows{Int3{1, 0, 0}, Int3{0, 1, 0}, Int3{0, 0, 1}};
  }

  static bool before(const SpaceOperation& a, const SpaceOperation& b) {
    if (is_identity(a) || is_identity(b)) return is_identity(a) && !is_identity(b);
    return a.rotation < b.rotation;
  }

  bool maps(const std::vector<Vec3>& images, const Vec3& shift, double reach,
            std::vector<std::int32_t>* partner) const {
    for (std::size_t p = 0; p < images.size(); ++p) {
      const std::int32_t q = places_.at(images[p] + shift, kind_[p], reach);
      if (q < 0) return false;
      if (partner != nullptr) (*partner)[p] = q;
    }
    return true;
  }

  // False: in doubt.
  bool try_turn(const Turn& turn) {
    std::vector<Vec3> images;
    images.reserve(frac_.size());
    for (const Vec3& f : frac_) images.push_back(turned(turn.rotation, f));
    const auto [begin, end] = places_.rarest();
    const auto origin = static_cast<std::size_t>(*begin);
    bool found = false;
    for (const std::int32_t* to = begin; to != end; ++to) {
      const Vec3 shift = frac_[static_cast<std::size_t>(*to)] - images[origin];
      if (!maps(images, shift, loose_, nullptr)) continue;
      if (found || !turn.close) return false;  // not primitive; a lattice that is nearly symmetric
      found = true;
      if (!keep(turn.rotation, images, shift)) return false;
    }
    return true;
  }

  bool keep(const Rows& rotation, const std::vector<Vec3>& images, const Vec3& shift) {
    SpaceOperation one{rotation, {}};
    Vec3 exact;
    for (int k = 0; k < 3; ++k) {
      const double whole = std::nearbyint(kParts * shift[k]);
      exact[k] = whole / kParts;
      const auto part = static_cast<std::int32_t>(whole) % kParts;
      one.twentyfourths[k] = part < 0 ? part + kParts : part;
    }
    std::vector<std::int32_t> partner(frac_.size());
    if (!maps(images, exact, tight_, &partner)) return false;
    for (std::size_t p = 0; p < partner.size(); ++p) join(static_cast<std::int32_t>(p), partner[p]);
    out_.operations.push_back(one);
    return true;
  }

  // The operations form a group: one step leads from the first point of an orbit to each other.
  void join(std::int32_t p, std::int32_t q) {
    auto& first = out_.orbit[static_cast<std::size_t>(q)];
    first = std::min(first, p);
  }

  const Lattice& lattice_;
  const std::vector<Vec3>& frac_;
  const std::vector<std::int32_t>& kind_;
  Places places_;
  double tight_, loose_;
  SpaceOperations out_;
};

}  // namespace

SpaceOperations space_operations(const Lattice& lattice, const std::vector<Vec3>& frac,
                                 const std::vector<std::int32_t>& kind, double tight, double loose) {
  if (frac.empty() || frac.size() != kind.size())
    throw InvalidInput("frac and kind do not describe the same points");
  if (*std::min_element(kind.begin(), kind.end()) < 0) throw InvalidInput("kinds are numbered from 0");
  if (!(tight > 0.0 && tight < loose && loose <= kLargest)) {
    throw InvalidInput("tolerances must be 0 < tight < loose <= 0.1 angstrom");
  }
  std::vector<Vec3> wrapped = frac;
  for (Vec3& f : wrapped) {
    if (!std::isfinite(f.x) || !std::isfinite(f.y) || !std::isfinite(f.z)) {
      throw InvalidInput("a coordinate is not finite");
    }
    wrap_frac(f);
  }
  return Search(lattice, wrapped, kind, tight, loose).run();
}

}  // namespace fastin
