#include "fastin/xrd/xrd.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "fastin/base/interrupt.hpp"
#include "fastin/base/simd.hpp"

namespace fastin {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kDegrees = 180.0 / kPi;
constexpr double kMottBethe = 41.78214;  // of the form-factor parametrisation
constexpr std::size_t kWidth = 8;        // reflections handled together

// exp(x) for x <= 0, without branches so that loops over it vectorise; relative error below 2e-15, 0 under
// -700.
inline double exp_of_negative(double x) {
  const double inside = simd::exp_in_range<double, 12>(x < -700.0 ? -700.0 : x);
  return x < -700.0 ? 0.0 : inside;
}

// One row of reflections (h, k, first_l + 0, 1, 2, ...), padded to whole blocks of kWidth.
struct Row {
  std::int32_t h, k, first_l, count;
  std::size_t offset;  // of its first block in the flat arrays
};

// Half of the reflections within the sphere: (h, k, l) lexicographically positive.
struct HalfSphere {
  std::vector<Row> rows;
  Int3 reach{};          // largest |h|, |k|, |l|
  std::size_t size = 0;  // padded number of reflections
  std::size_t count = 0;
};

HalfSphere half_sphere(const Mat3& reciprocal, double radius, const Int3& reach) {
  HalfSphere out;
  out.reach = reach;
  const Vec3 &a = reciprocal[0], &b = reciprocal[1], &c = reciprocal[2];
  const double cc = norm2(c);
  for (std::int32_t h = 0; h <= reach.x; ++h) {
    poll_interrupt();
    for (std::int32_t k = h == 0 ? 0 : -reach.y; k <= reach.y; ++k) {
      const Vec3 base = static_cast<double>(h) * a + static_cast<double>(k) * b;
      const double middle = -dot(base, c) / cc;
      const double room = middle * middle - (norm2(base) - radius * radius) / cc;
      if (room < 0.0) continue;
      const double half = std::sqrt(room);
      auto first = static_cast<std::int32_t>(std::ceil(middle - half));
      const auto last = static_cast<std::int32_t>(std::floor(middle + half));
      if (h == 0 && k == 0) first = 1;
      if (last < first) continue;
      const std::int32_t count = last - first + 1;
      out.rows.push_back({h, k, first, count, out.size});
      out.count += static_cast<std::size_t>(count);
      out.size += (static_cast<std::size_t>(count) + kWidth - 1) / kWidth * kWidth;
    }
  }
  return out;
}

// exp(2 pi i n x) for n in [-reach, reach + pad], by recurrence from one sine and cosine; scaled by `weight`.
void phase_powers(double x, double weight, std::int32_t reach, std::int32_t pad, double* re, double* im) {
  const double angle = 2.0 * kPi * (x - std::floor(x));
  const double c = std::cos(angle), s = std::sin(angle);
  double pr = 1.0, pi = 0.0;
  for (std::int32_t n = 0; n <= reach + pad; ++n) {
    re[reach + n] = weight * pr;
    im[reach + n] = weight * pi;
    if (n <= reach) {
      re[reach - n] = weight * pr;
      im[reach - n] = -weight * pi;
    }
    const double next = pr * c - pi * s;
    pi = pr * s + pi * c;
    pr = next;
  }
}

// Atoms ordered by scatterer, with the powers of their phases along the three axes.
struct PhaseTables {
  std::vector<Scatterer> kinds;
  std::vector<std::size_t> kind_start;  // atoms of kind s: [kind_start[s], kind_start[s + 1])
  std::vector<double> h_re, h_im, k_re, k_im, l_re, l_im;
  std::size_t h_stride = 0, k_stride = 0, l_stride = 0, atoms = 0;
};

PhaseTables phase_tables(const ScatteringCell& cell, const std::vector<Scatterer>& table,
                         const std::array<int, 3>& axes, const Int3& reach) {
  PhaseTables t;
  std::vector<std::size_t> order(cell.size);
  for (std::size_t i = 0; i < cell.size; ++i) {
    order[i] = i;
    const auto id = cell.scatterer[i];
    if (id < 0 || static_cast<std::size_t>(id) >= table.size()) {
      throw InvalidInput("atom " + std::to_string(i) + " names scatterer " + std::to_string(id) + " of " +
                         std::to_string(table.size()));
    }
    const Vec3& x = cell.frac[i];
    if (!std::isfinite(x.x + x.y + x.z + cell.occupancy[i])) {
      throw InvalidInput("atom " + std::to_string(i) + " has a coordinate or occupancy that is not finite");
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return cell.scatterer[i] < cell.scatterer[j]; });
  t.atoms = cell.size;
  t.h_stride = static_cast<std::size_t>(2 * reach.x + 1);
  t.k_stride = static_cast<std::size_t>(2 * reach.y + 1);
  t.l_stride = static_cast<std::size_t>(2 * reach.z + 1) + kWidth;
  t.h_re.resize(t.atoms * t.h_stride);
  t.h_im.resize(t.atoms * t.h_stride);
  t.k_re.resize(t.atoms * t.k_stride);
  t.k_im.resize(t.atoms * t.k_stride);
  t.l_re.resize(t.atoms * t.l_stride);
  t.l_im.resize(t.atoms * t.l_stride);
  for (std::size_t n = 0; n < t.atoms; ++n) {
    const std::size_t i = order[n];
    if (n == 0 || cell.scatterer[i] != cell.scatterer[order[n - 1]]) {
      t.kinds.push_back(table[static_cast<std::size_t>(cell.scatterer[i])]);
      t.kind_start.push_back(n);
    }
    const Vec3& x = cell.frac[i];
    phase_powers(x[axes[0]], cell.occupancy[i], reach.x, 0, &t.h_re[n * t.h_stride], &t.h_im[n * t.h_stride]);
    phase_powers(x[axes[1]], 1.0, reach.y, 0, &t.k_re[n * t.k_stride], &t.k_im[n * t.k_stride]);
    phase_powers(x[axes[2]], 1.0, reach.z, static_cast<std::int32_t>(kWidth) - 1, &t.l_re[n * t.l_stride],
                 &t.l_im[n * t.l_stride]);
  }
  t.kind_start.push_back(t.atoms);
  return t;
}

// f(s) exp(-B s^2) of kWidth reflections.
inline void form_factors(const Scatterer& kind, const double* s2, double* f) {
  double sum[kWidth] = {};
  for (std::size_t i = 0; i < 4; ++i) {
    const double a = kind.a[i], b = kind.b[i];
    for (std::size_t j = 0; j < kWidth; ++j) sum[j] += a * exp_of_negative(-b * s2[j]);
  }
  for (std::size_t j = 0; j < kWidth; ++j) {
    f[j] = (kind.electrons - kMottBethe * s2[j] * sum[j]) * exp_of_negative(-kind.debye_waller * s2[j]);
  }
}

// |F|^2 of every reflection of the rows; s2 = (sin(theta) / wavelength)^2 of the same reflections is given.
FASTIN_CLONED(void, squared_structure_factors,
              (const HalfSphere& sphere, const PhaseTables& t, const double* s2, double* squared,
               double* base_re, double* base_im),
              (sphere, t, s2, squared, base_re, base_im)) {
  const Int3 reach = sphere.reach;
  SparsePoll poll;
  for (const Row& row : sphere.rows) {
    poll();
    const auto h = static_cast<std::size_t>(row.h + reach.x), k = static_cast<std::size_t>(row.k + reach.y);
    for (std::size_t n = 0; n < t.atoms; ++n) {
      const double hr = t.h_re[n * t.h_stride + h], hi = t.h_im[n * t.h_stride + h];
      const double kr = t.k_re[n * t.k_stride + k], ki = t.k_im[n * t.k_stride + k];
      base_re[n] = hr * kr - hi * ki;
      base_im[n] = hr * ki + hi * kr;
    }
    const auto count = static_cast<std::size_t>(row.count);
    for (std::size_t block = 0; block < count; block += kWidth) {
      const std::size_t at = row.offset + block;
      const std::size_t l = static_cast<std::size_t>(row.first_l + reach.z) + block;
      double total_re[kWidth] = {}, total_im[kWidth] = {}, f[kWidth];
      for (std::size_t s = 0; s < t.kinds.size(); ++s) {
        double re[kWidth] = {}, im[kWidth] = {};
        for (std::size_t n = t.kind_start[s]; n < t.kind_start[s + 1]; ++n) {
          const double br = base_re[n], bi = base_im[n];
          const double* lr = &t.l_re[n * t.l_stride + l];
          const double* li = &t.l_im[n * t.l_stride + l];
          for (std::size_t j = 0; j < kWidth; ++j) {
            re[j] += br * lr[j] - bi * li[j];
            im[j] += br * li[j] + bi * lr[j];
          }
        }
        form_factors(t.kinds[s], s2 + at, f);
        for (std::size_t j = 0; j < kWidth; ++j) {
          total_re[j] += f[j] * re[j];
          total_im[j] += f[j] * im[j];
        }
      }
      for (std::size_t j = 0; j < kWidth; ++j)
        squared[at + j] = total_re[j] * total_re[j] + total_im[j] * total_im[j];
    }
  }
}

struct Reflection {
  double s2;         // (sin(theta) / wavelength)^2
  double intensity;  // of this one and its Friedel mate
  Int3 hkl;          // in the crystal's own axes
};

void check_range(const DiffractionRange& range) {
  if (!(range.wavelength > 0.0) || !std::isfinite(range.wavelength)) {
    throw InvalidInput("the wavelength must be positive, not " + std::to_string(range.wavelength));
  }
  if (!(range.two_theta_min >= 0.0 && range.two_theta_min < range.two_theta_max &&
        range.two_theta_max <= 180.0)) {
    throw InvalidInput("the range of 2 theta must satisfy 0 <= start < stop <= 180 degrees");
  }
}

// Calls body(s2, intensity, h, k, l) for half of the reflections in range, in a fixed order.
template <class Body>
void each_reflection(const ScatteringCell& cell, const std::vector<Scatterer>& table,
                     const DiffractionRange& range, Body&& body) {
  check_range(range);
  const double low = 2.0 * std::sin(0.5 * range.two_theta_min / kDegrees) / range.wavelength;
  const double high = 2.0 * std::sin(0.5 * range.two_theta_max / kDegrees) / range.wavelength;
  // The longest axis has the longest rows of reflections: it comes last, where the loop is vectorised.
  std::array<int, 3> axes{0, 1, 2};
  const Mat3& vectors = cell.lattice.cell();
  std::stable_sort(axes.begin(), axes.end(),
                   [&](int i, int j) { return norm2(vectors[i]) < norm2(vectors[j]); });
  Mat3 reciprocal;
  Int3 reach;
  for (int k = 0; k < 3; ++k) {
    const Mat3& inverse = cell.lattice.inverse_cell();
    const int axis = axes[static_cast<std::size_t>(k)];
    reciprocal[k] = Vec3{inverse[0][axis], inverse[1][axis], inverse[2][axis]};
    reach[k] = static_cast<std::int32_t>(std::floor(high * norm(vectors[axis]) + 1e-9));
  }
  const HalfSphere sphere = half_sphere(reciprocal, high, reach);
  const PhaseTables tables = phase_tables(cell, table, axes, reach);
  std::vector<double> work(2 * sphere.size + 2 * tables.atoms);
  double *s2 = work.data(), *squared = s2 + sphere.size, *base = squared + sphere.size;
  for (const Row& row : sphere.rows) {
    const Vec3 start =
        static_cast<double>(row.h) * reciprocal[0] + static_cast<double>(row.k) * reciprocal[1];
    const std::size_t padded = (static_cast<std::size_t>(row.count) + kWidth - 1) / kWidth * kWidth;
    for (std::size_t j = 0; j < padded; ++j) {
      const double l = static_cast<double>(row.first_l) + static_cast<double>(j);
      s2[row.offset + j] = 0.25 * norm2(start + l * reciprocal[2]);
    }
  }
  squared_structure_factors(sphere, tables, s2, squared, base, base + tables.atoms);
  const double s2_min = 0.25 * low * low, lambda2 = range.wavelength * range.wavelength;
  for (const Row& row : sphere.rows) {
    for (std::int32_t j = 0; j < row.count; ++j) {
      const std::size_t at = row.offset + static_cast<std::size_t>(j);
      if (s2[at] < s2_min) continue;
      const double sin2 = std::min(1.0, s2[at] * lambda2);
      const double cos_2theta = 1.0 - 2.0 * sin2;
      const double cos_theta = std::sqrt(1.0 - sin2);
      if (cos_theta < 1e-8) continue;  // straight back: the Lorentz factor diverges
      Int3 hkl;
      hkl[axes[0]] = row.h;
      hkl[axes[1]] = row.k;
      hkl[axes[2]] = row.first_l + j;
      body(s2[at], 2.0 * squared[at] * (1.0 + cos_2theta * cos_2theta) / (sin2 * cos_theta), hkl);
    }
  }
}

double two_theta_of(double s2, double wavelength) {
  return 2.0 * kDegrees * std::asin(std::min(1.0, std::sqrt(s2) * wavelength));
}

void scale_to_one(float* pattern, const std::vector<double>& sum) {
  const double highest = sum.empty() ? 0.0 : *std::max_element(sum.begin(), sum.end());
  const double scale = highest > 0.0 ? 1.0 / highest : 0.0;
  for (std::size_t i = 0; i < sum.size(); ++i) pattern[i] = static_cast<float>(scale * sum[i]);
}

}  // namespace

std::vector<PowderPeak> powder_peaks(const ScatteringCell& cell, const std::vector<Scatterer>& table,
                                     const DiffractionRange& range) {
  std::vector<Reflection> reflections;
  each_reflection(cell, table, range, [&](double s2, double intensity, const Int3& hkl) {
    reflections.push_back({s2, intensity, hkl < -hkl ? -hkl : hkl});
  });
  std::sort(reflections.begin(), reflections.end(), [](const Reflection& p, const Reflection& q) {
    return p.s2 != q.s2 ? p.s2 < q.s2 : q.hkl < p.hkl;
  });
  std::vector<PowderPeak> peaks;
  for (const Reflection& r : reflections) {
    const double two_theta = two_theta_of(r.s2, range.wavelength);
    if (peaks.empty() || two_theta - peaks.back().two_theta > kPeakTolerance) {
      peaks.push_back({two_theta, 0.0, 0.5 / std::sqrt(r.s2), r.hkl, 0});
    }
    PowderPeak& peak = peaks.back();
    peak.intensity += r.intensity;
    peak.multiplicity += 2;
    if (peak.hkl < r.hkl) peak.hkl = r.hkl;
  }
  double highest = 0.0;
  for (const PowderPeak& p : peaks) highest = std::max(highest, p.intensity);
  peaks.erase(
      std::remove_if(peaks.begin(), peaks.end(),
                     [&](const PowderPeak& p) { return p.intensity <= kIntensityThreshold * highest; }),
      peaks.end());
  return peaks;
}

void stick_pattern(const ScatteringCell& cell, const std::vector<Scatterer>& table,
                   const DiffractionRange& range, const PatternGrid& grid, float* pattern) {
  std::vector<double> sum(grid.size, 0.0);
  each_reflection(cell, table, range, [&](double s2, double intensity, const Int3&) {
    const double bin = std::ceil((two_theta_of(s2, range.wavelength) - grid.start) / grid.step);
    if (bin >= 0.0 && bin < static_cast<double>(grid.size)) sum[static_cast<std::size_t>(bin)] += intensity;
  });
  scale_to_one(pattern, sum);
}

void profile_pattern(const ScatteringCell& cell, const std::vector<Scatterer>& table,
                     const DiffractionRange& range, const PatternGrid& grid, const PeakProfile& profile,
                     float* pattern) {
  constexpr double kGaussReach = 4.0,
                   kLorentzReach = 40.0;  // in units of the width; tails beyond are dropped
  const double eta = profile.lorentzian_fraction;
  std::vector<double> sum(grid.size, 0.0);
  for (const PowderPeak& peak : powder_peaks(cell, table, range)) {
    const double tangent = std::tan(0.5 * peak.two_theta / kDegrees);
    const double fwhm2 = profile.u * tangent * tangent + profile.v * tangent + profile.w;
    if (!(fwhm2 > 0.0)) {
      throw InvalidInput("the peak width is not positive at 2 theta = " + std::to_string(peak.two_theta) +
                         " degrees");
    }
    const double fwhm = std::sqrt(fwhm2), reach = (eta > 0.0 ? kLorentzReach : kGaussReach) * fwhm;
    const double first = std::max(0.0, std::ceil((peak.two_theta - reach - grid.start) / grid.step));
    const double last = std::min(static_cast<double>(grid.size) - 1.0,
                                 std::floor((peak.two_theta + reach - grid.start) / grid.step));
    const double gauss = 4.0 * std::log(2.0) / fwhm2;
    const double gauss_height = (1.0 - eta) * std::sqrt(gauss / kPi) * peak.intensity;
    const double lorentz_height = eta * 2.0 / (kPi * fwhm) * peak.intensity;
    for (double bin = first; bin <= last; bin += 1.0) {
      const double x = grid.start + bin * grid.step - peak.two_theta;
      sum[static_cast<std::size_t>(bin)] +=
          gauss_height * exp_of_negative(-gauss * x * x) + lorentz_height / (1.0 + 4.0 * x * x / fwhm2);
    }
  }
  scale_to_one(pattern, sum);
}

}  // namespace fastin
