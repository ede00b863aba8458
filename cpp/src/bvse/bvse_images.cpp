#include "bvse_images.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "fastin/base/interrupt.hpp"

namespace fastin::bvse {
namespace {

constexpr double kPi = 3.14159265358979323846;

double bare_value(const PairTerm& p, double r) {
  if (p.coulomb) return p.amplitude * std::erfc(r / p.length) / r;
  const double e = std::exp(p.alpha * (p.length - r));
  return p.amplitude * e * (e - 2.0);
}

// The images of an atom that a term can reach from the home cell.
//
// The cells within reach along the three axes hold about twice the images of the cell grown by the reach. In
// a basis whose vectors are long for their volume they hold thousands of times as many, nearly all far away:
// those are told apart by a box around the home cell that lies along its longest vector and its widest face.
class ImageCells {
 public:
  ImageCells(const Lattice& lattice, double reach) : lattice_(lattice), reach_(reach) {
    double cells = 1.0;
    for (int k = 0; k < 3; ++k) {
      margin_[k] = reach / lattice.plane_spacing(k);
      cells *= 1.0 + 2.0 * margin_[k];
    }
    const Mat3& v = lattice.cell();
    // Volume of the cell grown by the reach (Steiner's formula for parallelepipeds).
    const double faces = norm(cross(v[0], v[1])) + norm(cross(v[1], v[2])) + norm(cross(v[2], v[0]));
    const double edges = norm(v[0]) + norm(v[1]) + norm(v[2]);
    const double grown = lattice.volume() + reach * (2.0 * faces + reach * kPi * (edges + 4.0 / 3.0 * reach));
    boxed_ = cells * lattice.volume() > kSkewed * grown;
    if (boxed_) make_box();
  }

  template <class Each>
  void each(const Vec3& home, Each&& each) const {
    Int3 low, high;
    for (int k = 0; k < 3; ++k) {
      low[k] = static_cast<std::int32_t>(std::ceil(-margin_[k] - home[k]));
      high[k] = static_cast<std::int32_t>(std::floor(1.0 + margin_[k] - home[k]));
    }
    for (std::int32_t a = low.x; a <= high.x; ++a)
      for (std::int32_t b = low.y; b <= high.y; ++b) {
        std::int32_t first = low.z, last = high.z;
        if (boxed_) {
          poll_();
          clip(lattice_.to_cart(home + to_vec({a, b, 0})), &first, &last);
        }
        for (std::int32_t c = first; c <= last; ++c) each(lattice_.to_cart(home + to_vec({a, b, c})));
      }
  }

 private:
  static constexpr double kSkewed = 8.0;  // 3 in the reduced cells of cubic lattices

  void make_box() {
    const Mat3& v = lattice_.cell();
    int longest = 0, wide = -1;
    for (int k = 1; k < 3; ++k)
      if (norm2(v[k]) > norm2(v[longest])) longest = k;
    axes_[0] = (1.0 / norm(v[longest])) * v[longest];
    for (int k = 0; k < 3; ++k) {
      if (k == longest) continue;
      if (wide < 0 || norm2(cross(axes_[0], v[k])) > norm2(cross(axes_[0], v[wide]))) wide = k;
    }
    const Vec3 normal = cross(axes_[0], v[wide]);
    axes_[2] = (1.0 / norm(normal)) * normal;
    axes_[1] = cross(axes_[2], axes_[0]);
    for (int j = 0; j < 3; ++j) {
      low_[j] = -reach_, high_[j] = reach_;
      for (int k = 0; k < 3; ++k) {
        const double along = dot(axes_[j], v[k]);
        (along < 0.0 ? low_ : high_)[j] += along;
      }
    }
  }

  // Of the images start + c cell[2], those inside the box.
  void clip(const Vec3& start, std::int32_t* first, std::int32_t* last) const {
    constexpr double kRounding = 1e-6;  // in cells
    double from = *first, to = *last;
    for (int j = 0; j < 3; ++j) {
      const double at = dot(axes_[j], start), step = dot(axes_[j], lattice_.cell()[2]);
      if (std::abs(step) < 1e-9 * norm(lattice_.cell()[2])) {
        if (at < low_[j] - reach_ * kRounding || at > high_[j] + reach_ * kRounding) to = from - 1.0;
        continue;
      }
      const double one = (low_[j] - at) / step, other = (high_[j] - at) / step;
      from = std::max(from, std::ceil(std::min(one, other) - kRounding));
      to = std::min(to, std::floor(std::max(one, other) + kRounding));
    }
    *first = to < from ? 0 : static_cast<std::int32_t>(from);
    *last = to < from ? -1 : static_cast<std::int32_t>(to);
  }

  const Lattice& lattice_;
  double reach_;
  Vec3 margin_;
  bool boxed_ = false;
  Mat3 axes_;
  Vec3 low_, high_;
  mutable SparsePoll poll_;
};

}  // namespace

double WindowedTerm::value(double r) const {
  if (r >= end) return 0.0;
  const double phi = bare_value(pair, r);
  if (r <= start) return phi;
  const double t = (r - start) / (end - start), q = 1.0 - t * t;
  return phi * q * q;
}

double WindowedTerm::tail_integral() const {
  // The term decays over about 1/alpha or rho, so that 40 of them reach past double precision.
  const double decay = pair.coulomb ? pair.length : 1.0 / pair.alpha;
  const double stop = end + 40.0 * decay;
  const auto integrand = [&](double r) { return 4.0 * kPi * r * r * (bare_value(pair, r) - value(r)); };
  const auto simpson = [&](double a, double b, int n) {
    const double h = (b - a) / n;
    double sum = integrand(a) + integrand(b);
    for (int i = 1; i < n; ++i) sum += (i % 2 == 1 ? 4.0 : 2.0) * integrand(a + h * i);
    return sum * h / 3.0;
  };
  return simpson(start, end, 64) + simpson(end, stop, 1024);
}

WindowedTerm make_windowed(const PairTerm& pair, double cutoff) {
  WindowedTerm t;
  t.pair = pair;
  t.end = cutoff;
  // Both forms fall monotonically in magnitude beyond this distance.
  const double tail_start = pair.coulomb ? BvseField::kMinDistance : pair.length + 1.0 / pair.alpha;
  if (tail_start < cutoff && std::abs(bare_value(pair, cutoff)) < BvseField::kNegligible) {
    double low = tail_start, high = cutoff;
    while (high - low > 1e-3) {
      const double middle = 0.5 * (low + high);
      (std::abs(bare_value(pair, middle)) < BvseField::kNegligible ? high : low) = middle;
    }
    t.end = std::min(cutoff, std::max(high, 2.0 * BvseField::kSwitchWidth));
  }
  t.start = t.end - BvseField::kSwitchWidth;
  return t;
}

ImageBins::ImageBins(const Lattice& lattice, const std::vector<Vec3>& frac,
                     const std::vector<std::int32_t>& term, const std::vector<double>& weight,
                     const std::vector<WindowedTerm>& terms) {
  ends_.reserve(terms.size());
  for (const WindowedTerm& t : terms) {
    ends_.push_back(t.end);
    numbers_.push_back({t.pair.coulomb ? 1.0 / t.pair.length : t.pair.alpha, t.pair.alpha * t.pair.length,
                        t.start, t.end * t.end, t.pair.coulomb ? 1U : 0U});
    longest_ = std::max(longest_, t.end);
  }
  std::vector<ImageCells> cells;
  cells.reserve(ends_.size());
  for (const double end : ends_) cells.emplace_back(lattice, end);
  std::vector<Vec3> position;
  std::vector<std::uint32_t> source;
  for (std::size_t i = 0; i < frac.size(); ++i) {
    if (weight[i] == 0.0) continue;
    Vec3 home = frac[i];
    wrap_frac(home);
    cells[static_cast<std::size_t>(term[i])].each(home, [&](const Vec3& image) {
      position.push_back(image);
      source.push_back(static_cast<std::uint32_t>(i));
    });
  }
  const std::size_t n = position.size();
  Vec3 low, high;
  if (n > 0) low = high = position[0];
  for (const Vec3& p : position)
    for (int k = 0; k < 3; ++k) {
      low[k] = std::min(low[k], p[k]);
      high[k] = std::max(high[k], p[k]);
    }
  const Vec3 extent = high - low;
  // Wider bins where the box is mostly empty (skewed cells).
  const double box = (extent.x + kColumnSide) * (extent.y + kColumnSide) * (extent.z + kColumnStep);
  const double bins = box / (kColumnSide * kColumnSide * kColumnStep);
  const double widen = std::max(1.0, std::cbrt(bins / (4.0 * static_cast<double>(n) + 4000.0)));
  side_ = widen * Vec3{kColumnSide, kColumnSide, kColumnStep};
  origin_ = low;
  for (int k = 0; k < 3; ++k) {
    inverse_side_[k] = 1.0 / side_[k];
    bins_[static_cast<std::size_t>(k)] = static_cast<std::ptrdiff_t>(extent[k] * inverse_side_[k]) + 1;
  }
  // Counting sort by bin: stable, so that the order of the sum depends on the input alone.
  start_.assign(static_cast<std::size_t>(bins_[0] * bins_[1] * bins_[2]) + 1, 0);
  std::vector<std::size_t> bin(n);
  for (std::size_t i = 0; i < n; ++i) {
    bin[i] =
        static_cast<std::size_t>((bin_of(position[i].x, 0) * bins_[1] + bin_of(position[i].y, 1)) * bins_[2] +
                                 bin_of(position[i].z, 2));
    ++start_[bin[i] + 1];
  }
  std::partial_sum(start_.begin(), start_.end(), start_.begin());
  std::vector<std::size_t> next(start_.begin(), start_.end() - 1);
  x_.resize(n), y_.resize(n), z_.resize(n), strength_.resize(n), term_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t to = next[bin[i]]++;
    x_[to] = position[i].x, y_[to] = position[i].y, z_[to] = position[i].z;
    const auto k = static_cast<std::size_t>(term[source[i]]);
    strength_[to] = weight[source[i]] * terms[k].pair.amplitude;
    term_[to] = static_cast<std::uint32_t>(k);
  }
}

void ImageBins::gather(const Vec3& center, double margin, std::vector<Neighbors>& lists) const {
  struct Cursor {
    float *x, *y, *z, *weight;
    std::size_t count;
    double limit2;
  };
  thread_local std::vector<Cursor> cursors;
  cursors.resize(ends_.size());
  Cursor* const to = cursors.data();
  // Room for `more` in every list.
  const auto reserve = [&](std::size_t more) {
    for (std::size_t k = 0; k < lists.size(); ++k) {
      Neighbors& list = lists[k];
      if (list.x.size() >= to[k].count + more) continue;
      for (std::vector<float>* column : {&list.x, &list.y, &list.z, &list.weight})
        column->resize(2 * (to[k].count + more) + 256);
      to[k].x = list.x.data(), to[k].y = list.y.data(), to[k].z = list.z.data();
      to[k].weight = list.weight.data();
    }
  };
  for (std::size_t k = 0; k < ends_.size(); ++k) {
    Neighbors& list = lists[k];
    const double limit = ends_[k] + margin;
    to[k] = {list.x.data(), list.y.data(), list.z.data(), list.weight.data(), 0, limit * limit};
  }
  rows(center, longest_ + margin, [&](std::size_t first, std::size_t last) {
    reserve(last - first);
    for (std::size_t i = first; i < last; ++i) {
      const double dx = x_[i] - center.x, dy = y_[i] - center.y, dz = z_[i] - center.z;
      Cursor& list = to[term_[i]];
      const std::size_t at = list.count;
      // Written always, kept if near enough: no branch to mispredict.
      list.x[at] = static_cast<float>(dx);
      list.y[at] = static_cast<float>(dy);
      list.z[at] = static_cast<float>(dz);
      list.weight[at] = static_cast<float>(strength_[i]);
      list.count = at + (dx * dx + dy * dy + dz * dz < list.limit2 ? 1 : 0);
    }
  });
  reserve(Neighbors::kPadding);
  for (std::size_t k = 0; k < lists.size(); ++k) {
    const std::size_t count = lists[k].count = to[k].count;
    for (std::size_t i = count; i < count + Neighbors::kPadding; ++i) {
      to[k].x[i] = to[k].y[i] = to[k].z[i] = kNowhere;
      to[k].weight[i] = 0.0f;
    }
  }
}

}  // namespace fastin::bvse
