#include "fastin/geometry/pure_translations.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/base/interrupt.hpp"
#include "fastin/base/rounding.hpp"
#include "fastin/geometry/lattice_reduction.hpp"
#include "fastin/geometry/point_index.hpp"

namespace fastin {
namespace {

constexpr std::size_t kShells = 6;    // nearest distances that two atoms must share
constexpr std::size_t kSamples = 32;  // atoms looked at for the one with the fewest look-alikes
// Distances of two atoms that a symmetry maps on each other, each moved by the tolerance, differ by twice as
// much; another factor for the strain of the cell.
constexpr double kSameDistance = 4.0;
// An operation that a search from another atom could find fits from this one within twice the tolerance.
constexpr double kLoose = 2.5;

using Longs = std::array<std::int64_t, 3>;

class Search {
 public:
  Search(const Lattice& lattice, const std::vector<Vec3>& frac, const std::vector<std::int32_t>& kind,
         const Neighbours& neighbours, double tolerance)
      : basis_(reduce_basis(lattice.cell())),
        lattice_(basis_.cell),
        frac_(in_reduced_cell(basis_, frac)),
        kind_(kind),
        neighbours_(neighbours),
        tolerance_(tolerance),
        strict_(lattice_, frac.size(), tolerance),
        loose_(lattice_, frac.size(), kLoose * tolerance) {
    for (const Vec3& f : frac_) {
      strict_.insert(f);
      loose_.insert(f);
    }
  }

  PureTranslations run() {
    choose_origin();
    translations();
    PureTranslations out = collect();
    out.nothing_else = orbit_.size() == 1 && !others_fit();
    return out;
  }

 private:
  bool alike(std::size_t a, std::size_t b) const {
    if (kind_[a] != kind_[b]) return false;
    const double slack = kSameDistance * tolerance_;
    const std::int64_t* o = neighbours_.offsets.data();
    const auto na = static_cast<std::size_t>(o[a + 1] - o[a]), nb = static_cast<std::size_t>(o[b + 1] - o[b]);
    const double *da = neighbours_.distance.data() + o[a], *db = neighbours_.distance.data() + o[b];
    for (std::size_t k = 0; k < std::min({na, nb, kShells});
         ++k) {  // beyond the shorter list nothing is known
      if (std::abs(da[k] - db[k]) > slack) return false;
    }
    return true;
  }

  std::size_t look_alikes(std::size_t a, std::size_t most) const {
    std::size_t count = 0;
    for (std::size_t b = 0; b < kind_.size() && count < most; ++b) count += alike(a, b) ? 1 : 0;
    return count;
  }

  // An atom of the rarest kind with few others like it.
  void choose_origin() {
    std::vector<std::size_t> held(static_cast<std::size_t>(*std::max_element(kind_.begin(), kind_.end())) + 1,
                                  0);
    for (const std::int32_t k : kind_) ++held[static_cast<std::size_t>(k)];
    const auto rarest = *std::min_element(kind_.begin(), kind_.end(), [&](std::int32_t a, std::int32_t b) {
      return held[static_cast<std::size_t>(a)] < held[static_cast<std::size_t>(b)];
    });
    const std::size_t step = std::max<std::size_t>(1, held[static_cast<std::size_t>(rarest)] / kSamples);
    std::size_t best = kind_.size() + 1, seen = 0;
    for (std::size_t i = 0; i < kind_.size(); ++i) {
      if (kind_[i] != rarest || seen++ % step != 0) continue;
      const std::size_t count = look_alikes(i, best);
      if (count >= best) continue;
      best = count;
      origin_ = i;
    }
    for (std::size_t b = 0; b < kind_.size(); ++b) {
      if (alike(origin_, b)) candidates_.push_back(b);
    }
  }

  // Where every point goes, if x -> R x + t maps all of them.
  bool fits(const PointIndex& index, const Mat3& rotation, const Vec3& t,
            std::vector<PointIndex::Match>* to) const {
    taken_.assign(frac_.size(), 0);
    if (to != nullptr) to->clear();
    for (std::size_t i = 0; i < frac_.size(); ++i) {
      const PointIndex::Match m = index.find(times_col(rotation, frac_[i]) + t);
      if (m.point < 0) return false;
      const auto j = static_cast<std::size_t>(m.point);
      if (kind_[j] != kind_[i]) return false;
      if (to == nullptr) continue;
      if (taken_[j] != 0) return false;
      taken_[j] = 1;
      to->push_back(m);
    }
    return true;
  }

  // Adds translation after translation; those that the ones before generate are not tried.
  void translations() {
    const Mat3 identity{Vec3{1, 0, 0}, Vec3{0, 1, 0}, Vec3{0, 0, 1}};
    std::vector<char> reached(frac_.size(), 0);
    reached[origin_] = 1;
    orbit_.push_back(static_cast<std::int32_t>(origin_));
    translations_.push_back({0, 0, 0});
    std::vector<PointIndex::Match> to;
    for (const std::size_t b : candidates_) {
      poll_interrupt();
      if (reached[b] != 0 || !fits(strict_, identity, frac_[b] - frac_[origin_], &to)) continue;
      // After `order` steps the origin is back, `sum` cells away: the translation is sum / order exactly.
      Int3 sum{};
      std::int64_t order = 0, apart = 0;
      for (std::size_t i = origin_; order == 0 || i != origin_;) {
        sum = sum + to[i].cell;
        i = static_cast<std::size_t>(to[i].point);
        ++order;
        if (apart == 0 && reached[i] != 0) apart = order;
      }
      const Vec3 t = (1.0 / static_cast<double>(order)) * to_vec(sum);
      const std::size_t before = orbit_.size();
      for (std::int64_t k = 1; k < apart; ++k) {
        for (std::size_t g = 0; g < before; ++g) {
          auto at = static_cast<std::size_t>(orbit_[orbit_.size() - before]);
          orbit_.push_back(to[at].point);
          reached[static_cast<std::size_t>(to[at].point)] = 1;
          translations_.push_back(translations_[g] + static_cast<double>(k) * t);
        }
      }
      generators_.push_back({{sum.x, sum.y, sum.z}, order});
      for (std::size_t i = 0; i < frac_.size(); ++i) maps_.push_back(to[i].point);
    }
  }

  // Rows that span the same lattice as all of these, in Hermite form.
  static std::array<Longs, 3> hermite(std::vector<Longs> rows) {
    std::array<Longs, 3> out{};
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t r = 1; r < rows.size(); ++r) {  // Euclid on this column, into row 0
        while (rows[r][c] != 0) {
          const std::int64_t q = rows[0][c] / rows[r][c];
          for (std::size_t k = 0; k < 3; ++k) rows[0][k] -= q * rows[r][k];
          std::swap(rows[0], rows[r]);
        }
      }
      out[c] = rows[0];
      rows.erase(rows.begin());
    }
    return out;
  }

  // Rows of a reduced primitive cell, fractional in the reduced basis.
  Mat3 primitive_rows() const {
    const auto count = static_cast<std::int64_t>(orbit_.size());  // count * t is a lattice vector
    std::vector<Longs> rows{{count, 0, 0}, {0, count, 0}, {0, 0, count}};
    for (const auto& [sum, order] : generators_) {
      const std::int64_t times = count / order;
      rows.push_back({sum[0] * times, sum[1] * times, sum[2] * times});
    }
    const std::array<Longs, 3> h = hermite(std::move(rows));
    Mat3 fractions, cell;
    for (int k = 0; k < 3; ++k) {
      const Longs& row = h[static_cast<std::size_t>(k)];
      fractions[k] =
          (1.0 / static_cast<double>(count)) *
          Vec3{static_cast<double>(row[0]), static_cast<double>(row[1]), static_cast<double>(row[2])};
      cell[k] = lattice_.to_cart(fractions[k]);
    }
    if (determinant(cell) * determinant(lattice_.cell()) < 0.0) {
      fractions[0] = -1.0 * fractions[0];
      cell[0] = -1.0 * cell[0];
    }
    const ReducedBasis better = reduce_basis(cell);
    Mat3 out;
    for (int k = 0; k < 3; ++k)
      out[k] = row_times(to_vec(better.rows[static_cast<std::size_t>(k)]), fractions);
    return out;
  }

  // The lowest point that the translations take each point to.
  std::vector<std::int32_t> classes() const {
    const std::size_t n = frac_.size();
    std::vector<std::int32_t> lowest(n, -1);
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < n; ++i) {
      if (lowest[i] >= 0) continue;
      lowest[i] = static_cast<std::int32_t>(i);
      open.assign(1, i);
      while (!open.empty()) {
        const std::size_t at = open.back();
        open.pop_back();
        for (std::size_t g = 0; g < generators_.size(); ++g) {
          const auto to = static_cast<std::size_t>(maps_[g * n + at]);
          if (lowest[to] >= 0) continue;
          lowest[to] = static_cast<std::int32_t>(i);
          open.push_back(to);
        }
      }
    }
    return lowest;
  }

  Vec3 to_original(const Vec3& f) const {
    const auto& rows = basis_.rows;
    return f.x * to_vec(rows[0]) + f.y * to_vec(rows[1]) + f.z * to_vec(rows[2]);
  }

  PureTranslations collect() {
    PureTranslations out{};
    const std::size_t n = frac_.size();
    std::vector<std::int32_t> lowest = classes();
    std::vector<std::size_t> members(n, 0);
    for (const std::int32_t i : lowest) ++members[static_cast<std::size_t>(i)];
    for (std::size_t i = 0; i < n; ++i) {
      if (members[i] == 0 || members[i] == orbit_.size()) continue;
      orbit_.resize(1);  // the maps contradict each other: too near the tolerance to be told
      translations_.resize(1);
      generators_.clear();
      contradictory_ = true;
      std::iota(lowest.begin(), lowest.end(), 0);
      break;
    }
    const Mat3 rows = primitive_rows();
    Mat3 cell;
    for (int k = 0; k < 3; ++k) cell[k] = lattice_.to_cart(rows[k]);
    const Lattice primitive(cell);
    std::vector<std::int32_t> number(n, -1);
    std::vector<Vec3> shift;
    out.primitive_of.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      const Vec3 y = primitive.to_frac(lattice_.to_cart(frac_[i]));
      const auto l = static_cast<std::size_t>(lowest[i]);
      if (l == i) {
        number[i] = static_cast<std::int32_t>(out.first.size());
        out.first.push_back(static_cast<std::int32_t>(i));
        out.primitive_frac.push_back(y);
        shift.push_back({});
      }
      out.primitive_of[i] = number[l];
      Vec3 d = y - out.primitive_frac[static_cast<std::size_t>(number[l])];
      for (int k = 0; k < 3; ++k) d[k] -= nearest_int(d[k]);
      shift[static_cast<std::size_t>(number[l])] += d;
    }
    for (std::size_t p = 0; p < shift.size(); ++p) {
      out.primitive_frac[p] += (1.0 / static_cast<double>(orbit_.size())) * shift[p];
      wrap_frac(out.primitive_frac[p]);
    }
    for (int k = 0; k < 3; ++k) out.primitive[k] = to_original(rows[k]);
    for (const Vec3& t : translations_) {
      Vec3 f = to_original(t);
      for (int k = 0; k < 3; ++k) f[k] = std::max(0.0, f[k] - floor_int(f[k] + 1e-9));
      out.translations.push_back(f);
    }
    return out;
  }

  // Whether a rotation of the lattice with any translation, or another translation, fits loosely.
  bool others_fit() const {
    if (contradictory_) return true;
    const double slack = 2.0 * kLoose * tolerance_;
    const Mat3& cell = lattice_.cell();
    std::array<std::vector<Int3>, 3> images;  // vectors as long as each basis vector
    for (int a = -1; a <= 1; ++a) {
      for (int b = -1; b <= 1; ++b) {
        for (int c = -1; c <= 1; ++c) {
          const double length = norm(lattice_.to_cart(to_vec(Int3{a, b, c})));
          for (int k = 0; k < 3; ++k) {
            if (std::abs(length - norm(cell[k])) <= slack)
              images[static_cast<std::size_t>(k)].push_back({a, b, c});
          }
        }
      }
    }
    const auto same_angle = [&](const Int3& u, int i, const Int3& v, int j) {
      const double want = dot(cell[i], cell[j]);
      const double have = dot(lattice_.to_cart(to_vec(u)), lattice_.to_cart(to_vec(v)));
      return std::abs(want - have) <= slack * (norm(cell[i]) + norm(cell[j]));
    };
    for (const Int3& u : images[0]) {
      for (const Int3& v : images[1]) {
        if (!same_angle(u, 0, v, 1)) continue;
        for (const Int3& w : images[2]) {
          if (!same_angle(u, 0, w, 2) || !same_angle(v, 1, w, 2)) continue;
          const Mat3 rotation{Vec3{double(u.x), double(v.x), double(w.x)},  // images are its columns
                              Vec3{double(u.y), double(v.y), double(w.y)},
                              Vec3{double(u.z), double(v.z), double(w.z)}};
          if (std::abs(determinant(rotation)) > 0.5 && some_image_fits(rotation)) return true;
        }
      }
    }
    return false;
  }

  bool some_image_fits(const Mat3& rotation) const {
    const bool identity = norm2(rotation[0] - Vec3{1, 0, 0}) + norm2(rotation[1] - Vec3{0, 1, 0}) +
                              norm2(rotation[2] - Vec3{0, 0, 1}) <
                          0.5;
    const Vec3 image = times_col(rotation, frac_[origin_]);
    for (const std::size_t b : candidates_) {
      poll_interrupt();
      if (identity && b == origin_) continue;
      if (fits(loose_, rotation, frac_[b] - image, nullptr)) return true;
    }
    return false;
  }

  ReducedBasis basis_;
  Lattice lattice_;         // reduced
  std::vector<Vec3> frac_;  // reduced
  const std::vector<std::int32_t>& kind_;
  const Neighbours& neighbours_;
  double tolerance_;
  PointIndex strict_, loose_;
  std::size_t origin_ = 0;
  std::vector<std::size_t> candidates_;  // where the origin can go
  std::vector<std::int32_t> orbit_;      // of the origin, translation after translation
  std::vector<Vec3> translations_;
  std::vector<std::pair<Longs, std::int64_t>> generators_;  // translation = first / second
  std::vector<std::int32_t> maps_;                          // of each generator: where every point goes
  mutable std::vector<char> taken_;
  bool contradictory_ = false;
};

}  // namespace

PureTranslations pure_translations(const Lattice& lattice, const std::vector<Vec3>& frac,
                                   const std::vector<std::int32_t>& kind, const Neighbours& neighbours,
                                   double tolerance) {
  const std::size_t n = frac.size();
  if (n == 0 || kind.size() != n || neighbours.offsets.size() != n + 1 ||
      neighbours.offsets.back() != static_cast<std::int64_t>(neighbours.distance.size())) {
    throw InvalidInput("frac, kind and neighbours do not describe the same points");
  }
  if (*std::min_element(kind.begin(), kind.end()) < 0) throw InvalidInput("kinds are numbered from 0");
  if (!(tolerance > 0.0 && tolerance < 0.1))
    throw InvalidInput("the tolerance must lie between 0 and 0.1 angstrom");
  return Search(lattice, frac, kind, neighbours, tolerance).run();
}

}  // namespace fastin
