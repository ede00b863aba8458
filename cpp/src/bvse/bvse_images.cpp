#include "bvse_images.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace fastin::bvse {
namespace {

constexpr double kPi = 3.14159265358979323846;

double bare_value(const PairTerm& p, double r) {
  if (p.coulomb) return p.amplitude * std::erfc(r / p.length) / r;
  const double e = std::exp(p.alpha * (p.length - r));
  return p.amplitude * e * (e - 2.0);
}

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
  std::vector<Vec3> position;
  std::vector<std::uint32_t> source;
  for (std::size_t i = 0; i < frac.size(); ++i) {
    if (weight[i] == 0.0) continue;
    Vec3 home = frac[i];
    wrap_frac(home);
    const double end = ends_[static_cast<std::size_t>(term[i])];
    Int3 low, high;
    for (int k = 0; k < 3; ++k) {
      const double margin = end / lattice.plane_spacing(k);
      low[k] = static_cast<std::int32_t>(std::ceil(-margin - home[k]));
      high[k] = static_cast<std::int32_t>(std::floor(1.0 + margin - home[k]));
    }
    for (std::int32_t a = low.x; a <= high.x; ++a)
      for (std::int32_t b = low.y; b <= high.y; ++b)
        for (std::int32_t c = low.z; c <= high.z; ++c) {
          position.push_back(lattice.to_cart(home + to_vec({a, b, c})));
          source.push_back(static_cast<std::uint32_t>(i));
        }
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
