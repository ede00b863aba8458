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

// One row of reflections (h, k, first_l + 0, 1, 2, ...).
struct Row {
  std::int32_t h, k, first_l, count;
  std::size_t offset;     // of its first reflection in the flat arrays
  double square, across;  // (sin(theta) / wavelength)^2 = square + l * (across + l * HalfSphere::along)
};

// Half of the reflections within the sphere: (h, k, l) lexicographically positive.
struct HalfSphere {
  std::vector<Row> rows;
  Int3 reach{};          // largest |h|, |k|, |l|
  std::size_t size = 0;  // number of reflections
  double along = 0.0;    // of the last axis, see Row
};

HalfSphere half_sphere(const Mat3& reciprocal, double radius, const Int3& reach) {
  HalfSphere out;
  out.reach = reach;
  const Vec3 &a = reciprocal[0], &b = reciprocal[1], &c = reciprocal[2];
  const double cc = norm2(c);
  out.along = 0.25 * cc;
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
      out.rows.push_back({h, k, first, count, out.size, 0.25 * norm2(base), 0.5 * dot(base, c)});
      out.size += static_cast<std::size_t>(count);
    }
  }
  return out;
}

// exp(2 pi i n x) for n in [from, reach], by recurrence from one sine and cosine; scaled by `weight`. `from`
// is -reach or 0; the values stand `stride` apart.
void phase_powers(double x, double weight, std::int32_t from, std::int32_t reach, std::size_t stride,
                  double* re, double* im) {
  const double angle = 2.0 * kPi * (x - std::floor(x));
  const double c = std::cos(angle), s = std::sin(angle);
  double pr = 1.0, pi = 0.0;
  for (std::int32_t n = 0; n <= reach; ++n) {
    const std::size_t up = static_cast<std::size_t>(n - from) * stride;
    re[up] = weight * pr;
    im[up] = weight * pi;
    if (from < 0) {
      const std::size_t down = static_cast<std::size_t>(-n - from) * stride;
      re[down] = weight * pr;
      im[down] = -weight * pi;
    }
    const double next = pr * c - pi * s;
    pi = pr * s + pi * c;
    pr = next;
  }
}

// Atoms ordered by scatterer, with the powers of their phases along the three axes.
struct PhaseTables {
  std::vector<Scatterer> kinds;
  std::vector<std::size_t> kind_start;         // atoms of kind s: [kind_start[s], kind_start[s + 1])
  std::vector<double> h_re, h_im, k_re, k_im;  // from -reach to reach, all atoms of one index together
  std::vector<double> l_re, l_im;              // from 0 on, all indices of one atom together
  std::size_t l_stride = 0, atoms = 0;
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
  const auto h_count = static_cast<std::size_t>(2 * reach.x + 1);
  const auto k_count = static_cast<std::size_t>(2 * reach.y + 1);
  t.l_stride = static_cast<std::size_t>(reach.z + 1) + kWidth;
  t.h_re.resize(t.atoms * h_count);
  t.h_im.resize(t.atoms * h_count);
  t.k_re.resize(t.atoms * k_count);
  t.k_im.resize(t.atoms * k_count);
  t.l_re.resize(t.atoms * t.l_stride);
  t.l_im.resize(t.atoms * t.l_stride);
  for (std::size_t n = 0; n < t.atoms; ++n) {
    const std::size_t i = order[n];
    if (n == 0 || cell.scatterer[i] != cell.scatterer[order[n - 1]]) {
      t.kinds.push_back(table[static_cast<std::size_t>(cell.scatterer[i])]);
      t.kind_start.push_back(n);
    }
    const Vec3& x = cell.frac[i];
    phase_powers(x[axes[0]], cell.occupancy[i], -reach.x, reach.x, t.atoms, &t.h_re[n], &t.h_im[n]);
    phase_powers(x[axes[1]], 1.0, -reach.y, reach.y, t.atoms, &t.k_re[n], &t.k_im[n]);
    phase_powers(x[axes[2]], 1.0, 0, reach.z + static_cast<std::int32_t>(kWidth), 1, &t.l_re[n * t.l_stride],
                 &t.l_im[n * t.l_stride]);
  }
  t.kind_start.push_back(t.atoms);
  return t;
}

// Two lanes: a register of every instruction set. Left to itself, GCC packs pairs of atoms; wider lanes it
// takes apart for SSE2.
constexpr std::size_t kLanes = 2, kParts = kWidth / kLanes;
typedef double Lanes __attribute__((vector_size(8 * kLanes)));
typedef double Packed __attribute__((vector_size(8 * kLanes), aligned(8), may_alias));  // anywhere in memory

// f(s) exp(-B s^2) of kWidth reflections.
inline void form_factors(const Scatterer& kind, const double* s2, double* f) {
  double sum[kWidth] = {};
  for (std::size_t i = 0; i < 4; ++i) {
    const double a = kind.a[i], b = kind.b[i];
    for (std::size_t j = 0; j < kWidth; ++j) sum[j] += a * exp_of_negative(-b * s2[j]);
  }
  for (std::size_t j = 0; j < kWidth; ++j) f[j] = kind.electrons - kMottBethe * s2[j] * sum[j];
  if (kind.debye_waller == 0.0) return;
  for (std::size_t j = 0; j < kWidth; ++j) f[j] *= exp_of_negative(-kind.debye_waller * s2[j]);
}

// Where the products of h and k, l >= 0 and the scatterers of kWidth reflections (h, k, l) and (h, k, -l) add
// up.
struct Products {
  double plus_re[kWidth], plus_im[kWidth], minus_re[kWidth], minus_im[kWidth];
};

// |F|^2 of every reflection of the rows. exp(2 pi i l z) and its conjugate make F of l and -l from the same
// products.
FASTIN_CLONED(void, squared_structure_factors,
              (const HalfSphere& sphere, const PhaseTables& t, double* squared, double* base_re,
               double* base_im),
              (sphere, t, squared, base_re, base_im)) {
  const Int3 reach = sphere.reach;
  constexpr auto width = static_cast<std::int32_t>(kWidth);
  SparsePoll poll;
  for (const Row& row : sphere.rows) {
    poll();
    const std::size_t h = static_cast<std::size_t>(row.h + reach.x) * t.atoms,
                      k = static_cast<std::size_t>(row.k + reach.y) * t.atoms;
    const double *hr = &t.h_re[h], *hi = &t.h_im[h], *kr = &t.k_re[k], *ki = &t.k_im[k];
    for (std::size_t n = 0; n < t.atoms; ++n) {
      base_re[n] = hr[n] * kr[n] - hi[n] * ki[n];
      base_im[n] = hr[n] * ki[n] + hi[n] * kr[n];
    }
    const std::int32_t first = row.first_l, last = first + row.count - 1;
    const std::int32_t lowest = first > 0 ? first : (last < 0 ? -last : 0);
    const std::int32_t highest = last > -first ? last : -first;
    // In a right-angled cell l and -l have the same form factors.
    const bool even = std::abs(row.across) * highest <= 1e-13 * (row.square + sphere.along);
    for (std::int32_t l = lowest; l <= highest; l += width) {
      const bool plus = l <= last && l + width > first, minus = -l >= first && -l - width < last;
      double s2[kWidth], f_plus[kWidth], f_minus[kWidth];
      Products total = {};
      for (std::size_t s = 0; s < t.kinds.size(); ++s) {
        Lanes rr[kParts] = {}, ii[kParts] = {}, ri[kParts] = {}, ir[kParts] = {};
        for (std::size_t n = t.kind_start[s]; n < t.kind_start[s + 1]; ++n) {
          const Lanes br = {base_re[n], base_re[n]}, bi = {base_im[n], base_im[n]};
          const std::size_t at = n * t.l_stride + static_cast<std::size_t>(l);
          for (std::size_t p = 0; p < kParts; ++p) {
            const Lanes lr = *reinterpret_cast<const Packed*>(&t.l_re[at + p * kLanes]);
            const Lanes li = *reinterpret_cast<const Packed*>(&t.l_im[at + p * kLanes]);
            rr[p] += br * lr;
            ii[p] += bi * li;
            ri[p] += br * li;
            ir[p] += bi * lr;
          }
        }
        Products sums;
        for (std::size_t p = 0; p < kParts; ++p) {
          const Lanes all[4] = {rr[p] - ii[p], ri[p] + ir[p], rr[p] + ii[p], ir[p] - ri[p]};
          std::memcpy(sums.plus_re + p * kLanes, &all[0], sizeof(Lanes));
          std::memcpy(sums.plus_im + p * kLanes, &all[1], sizeof(Lanes));
          std::memcpy(sums.minus_re + p * kLanes, &all[2], sizeof(Lanes));
          std::memcpy(sums.minus_im + p * kLanes, &all[3], sizeof(Lanes));
        }
        if (plus || even) {
          for (std::size_t j = 0; j < kWidth; ++j) {
            const double at = static_cast<double>(l) + static_cast<double>(j);
            s2[j] = row.square + at * (row.across + at * sphere.along);
          }
          form_factors(t.kinds[s], s2, f_plus);
          for (std::size_t j = 0; j < kWidth; ++j) {
            total.plus_re[j] += f_plus[j] * sums.plus_re[j];
            total.plus_im[j] += f_plus[j] * sums.plus_im[j];
          }
        }
        if (!minus) continue;
        const double* f = f_plus;
        if (!even) {
          for (std::size_t j = 0; j < kWidth; ++j) {
            const double at = static_cast<double>(l) + static_cast<double>(j);
            s2[j] = row.square + at * (at * sphere.along - row.across);
          }
          form_factors(t.kinds[s], s2, f_minus);
          f = f_minus;
        }
        for (std::size_t j = 0; j < kWidth; ++j) {
          total.minus_re[j] += f[j] * sums.minus_re[j];
          total.minus_im[j] += f[j] * sums.minus_im[j];
        }
      }
      for (std::int32_t j = 0; j < width; ++j) {
        const auto at = static_cast<std::size_t>(j);
        const std::int32_t up = l + j, down = -l - j;
        if (up >= first && up <= last) {
          squared[row.offset + static_cast<std::size_t>(up - first)] =
              total.plus_re[at] * total.plus_re[at] + total.plus_im[at] * total.plus_im[at];
        }
        if (down >= first && down <= last && down != 0) {
          squared[row.offset + static_cast<std::size_t>(down - first)] =
              total.minus_re[at] * total.minus_re[at] + total.minus_im[at] * total.minus_im[at];
        }
      }
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
    for (std::int32_t j = 0; j < row.count; ++j) {
      const double l = static_cast<double>(row.first_l + j);
      s2[row.offset + static_cast<std::size_t>(j)] = 0.25 * norm2(start + l * reciprocal[2]);
    }
  }
  squared_structure_factors(sphere, tables, squared, base, base + tables.atoms);
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
