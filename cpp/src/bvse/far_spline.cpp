#include "far_spline.hpp"

#include <algorithm>
#include <cmath>

#include "fastin/base/parallel.hpp"
#include "fastin/base/simd.hpp"

// Fused multiply-adds where the instruction set has them; ISO mode of GCC would forbid them.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast")
#endif

namespace fastin::bvse {
namespace {

constexpr std::size_t kTaps = FarSpline::kTaps;
constexpr std::size_t kWide = 8;

// Values, first and second derivatives of the six B-splines that are not zero at offset t of [0, 1) from a
// node: the recurrence of de Boor and Cox on equal spacings.
struct Weights {
  std::array<std::array<double, kWide>, 3> w{};
};

Weights weights(double t) {
  std::array<double, kTaps + 1> b{};  // b[j + 1]: spline j of the degree reached; b[0] = 0
  b[1] = 1.0;
  const auto raise = [&](int degree) {
    for (int j = degree; j >= 0; --j) {
      const auto at = static_cast<std::size_t>(j);
      b[at + 1] = ((t + degree - j) * b[at] + (1.0 + j - t) * (j == degree ? 0.0 : b[at + 1])) / degree;
    }
  };
  for (int degree = 1; degree <= 3; ++degree) raise(degree);
  Weights out;
  const auto differences = [](const std::array<double, kTaps + 1>& low, std::size_t count) {
    std::array<double, kTaps + 1> high{};
    for (std::size_t j = 0; j <= count; ++j)
      high[j + 1] = (j > 0 ? low[j] : 0.0) - (j < count ? low[j + 1] : 0.0);
    return high;
  };
  const auto store = [&](std::size_t order, const std::array<double, kTaps + 1>& from) {
    for (std::size_t j = 0; j < kTaps; ++j) out.w[order][j] = from[j + 1];
  };
  store(2, differences(differences(b, 4), 5));
  raise(4);
  store(1, differences(b, 5));
  raise(5);
  store(0, b);
  return out;
}

constexpr std::size_t kLines = 8;  // filtered at once

// `lines` (at most kLines) adjacent lines of values along one axis made into B-spline coefficients, in place:
// the recursive filters of Unser (IEEE Trans. Signal Process. 41, 821, 1993) with sums over the period for
// their first terms.
void to_coefficients(double* c, std::size_t n, std::size_t stride, std::size_t lines) {
  constexpr std::array<double, 2> kPoles{-0.43057534709997367, -0.043096288203264653};
  for (const double z : kPoles) {
    const double closed = 1.0 / (1.0 - std::pow(z, static_cast<double>(n)));
    const double gain = (1.0 - z) * (1.0 - 1.0 / z);
    std::array<double, kLines> sum{}, next{};
    double power = 1.0;
    for (std::size_t k = 0; k < n && std::abs(power) > 1e-18; ++k, power *= z) {
      const double* from = c + ((n - k) % n) * stride;
      for (std::size_t l = 0; l < lines; ++l) sum[l] += power * from[l];
    }
    for (std::size_t l = 0; l < lines; ++l) c[l] = sum[l] * closed;
    for (std::size_t k = 1; k < n; ++k) {
      double* to = c + k * stride;
      for (std::size_t l = 0; l < lines; ++l) to[l] += z * (to - stride)[l];
    }
    sum = {};
    power = z;
    for (std::size_t k = 0; k < n && std::abs(power) > 1e-18; ++k, power *= z) {
      const double* from = c + ((n - 1 + k) % n) * stride;
      for (std::size_t l = 0; l < lines; ++l) sum[l] += power * from[l];
    }
    for (std::size_t l = 0; l < lines; ++l) next[l] = -sum[l] * closed;
    for (std::size_t k = n - 1; k > 0; --k) {
      double* to = c + k * stride;
      for (std::size_t l = 0; l < lines; ++l) {
        const double here = z * (next[l] - (to - stride)[l]);
        to[l] = gain * next[l];
        next[l] = here;
      }
    }
    for (std::size_t l = 0; l < lines; ++l) c[l] = gain * next[l];
  }
}

// Along an axis whose lines lie side by side, `count` of them; kLines with its own bound lets the compiler
// unroll.
void filter_lines(double* c, std::size_t n, std::size_t stride, std::size_t count) {
  std::size_t l = 0;
  for (; l + kLines <= count; l += kLines) to_coefficients(c + l, n, stride, kLines);
  if (l < count) to_coefficients(c + l, n, stride, count - l);
}

}  // namespace

FASTIN_CLONED(void, spline_sums,
              (const double* c, std::size_t row, std::size_t plane, const double* wx, const double* wy,
               const double* wz, double* out),
              (c, row, plane, wx, wy, wz, out)) {
  // wx, wy, wz: value, first and second derivative, kWide numbers each. The sums by orders along x, y, z:
  // 000 001 002 010 011 020 100 101 110 200.
  double sums[10][kWide] = {};
  for (std::size_t i = 0; i < kTaps; ++i) {
    double y[3][kWide] = {};  // by order along y
    for (std::size_t j = 0; j < kTaps; ++j) {
      const double* from = c + i * plane + j * row;
      const double w0 = wy[j], w1 = wy[kWide + j], w2 = wy[2 * kWide + j];
#pragma omp simd
      for (std::size_t l = 0; l < kWide; ++l) {
        y[0][l] += w0 * from[l];
        y[1][l] += w1 * from[l];
        y[2][l] += w2 * from[l];
      }
    }
    const double w0 = wx[i], w1 = wx[kWide + i], w2 = wx[2 * kWide + i];
#pragma omp simd
    for (std::size_t l = 0; l < kWide; ++l) {
      sums[0][l] += w0 * y[0][l];
      sums[1][l] += w0 * y[1][l];
      sums[2][l] += w0 * y[2][l];
      sums[3][l] += w1 * y[0][l];
      sums[4][l] += w1 * y[1][l];
      sums[5][l] += w2 * y[0][l];
    }
  }
  const double *z0 = wz, *z1 = wz + kWide, *z2 = wz + 2 * kWide;
  const auto along_z = [](const double* a, const double* w) {
    double sum = 0.0;
    for (std::size_t l = 0; l < kTaps; ++l) sum += a[l] * w[l];
    return sum;
  };
  out[0] = along_z(sums[0], z0);
  out[1] = along_z(sums[0], z1);
  out[2] = along_z(sums[0], z2);
  out[3] = along_z(sums[1], z0);
  out[4] = along_z(sums[1], z1);
  out[5] = along_z(sums[2], z0);
  out[6] = along_z(sums[3], z0);
  out[7] = along_z(sums[3], z1);
  out[8] = along_z(sums[4], z0);
  out[9] = along_z(sums[5], z0);
}

FarSpline::FarSpline(const Lattice& lattice, const Int3& shape, const std::vector<float>& values,
                     int num_threads) {
  for (int a = 0; a < 3; ++a) {
    const auto i = static_cast<std::size_t>(a);
    n_[i] = static_cast<std::size_t>(shape[a]);
    padded_[i] = n_[i] + kTaps - 1;
    const Mat3& inverse = lattice.inverse_cell();
    slope_[i] = static_cast<double>(shape[a]) * Vec3{inverse[0][a], inverse[1][a], inverse[2][a]};
  }
  padded_[2] = n_[2] + kPad - 1;
  std::vector<double> c(values.begin(), values.end());
  const std::size_t row = n_[2], plane = n_[1] * n_[2];
  // Lines are filtered kLines at a time, whoever does it, so that threads change no bit. Below some 10^5
  // nodes one thread is as fast.
  constexpr std::size_t kWorthThreads = std::size_t{1} << 17;
  const int threads = c.size() >= kWorthThreads ? num_threads : 1;
  // The last axis in blocks turned over, so that lines lie side by side.
  const std::size_t rows = n_[0] * n_[1];
  parallel_blocks(rows, threads, 64 * kLines, [&](std::size_t begin, std::size_t end, int) {
    std::vector<double> turned(kLines * row);
    for (std::size_t first = begin; first < end; first += kLines) {
      const std::size_t lines = std::min(kLines, end - first);
      double* block = c.data() + first * row;
      for (std::size_t l = 0; l < lines; ++l)
        for (std::size_t k = 0; k < row; ++k) turned[k * kLines + l] = block[l * row + k];
      filter_lines(turned.data(), row, kLines, lines);
      for (std::size_t l = 0; l < lines; ++l)
        for (std::size_t k = 0; k < row; ++k) block[l * row + k] = turned[k * kLines + l];
    }
  });
  parallel_for(n_[0], threads,
               [&](std::size_t i, int) { filter_lines(c.data() + i * plane, n_[1], row, row); });
  parallel_blocks(plane, threads, 64 * kLines, [&](std::size_t begin, std::size_t end, int) {
    filter_lines(c.data() + begin, n_[0], plane, end - begin);
  });
  coefficients_.resize(padded_[0] * padded_[1] * padded_[2]);
  const auto source = [&](std::size_t at, std::size_t axis) { return (at + 2 * n_[axis] - 2) % n_[axis]; };
  parallel_for(padded_[0], threads, [&](std::size_t i, int) {
    double* to = coefficients_.data() + i * padded_[1] * padded_[2];
    for (std::size_t j = 0; j < padded_[1]; ++j) {
      const double* from = c.data() + source(i, 0) * plane + source(j, 1) * row;
      for (std::size_t k = 0; k < padded_[2]; ++k) *to++ = from[source(k, 2)];
    }
  });
}

double FarSpline::value(const Vec3& home, Vec3* gradient, Mat3* hessian) const {
  std::array<Weights, 3> w;
  std::array<std::size_t, 3> base{};
  for (int a = 0; a < 3; ++a) {
    const auto i = static_cast<std::size_t>(a);
    const double u = home[a] * static_cast<double>(n_[i]);
    base[i] = static_cast<std::size_t>(u);
    if (base[i] >= n_[i]) base[i] = n_[i] - 1;
    w[i] = weights(u - static_cast<double>(base[i]));
  }
  const std::size_t row = padded_[2], plane = padded_[1] * padded_[2];
  std::array<double, 10> s{};
  spline_sums(coefficients_.data() + base[0] * plane + base[1] * row + base[2], row, plane, w[0].w[0].data(),
              w[1].w[0].data(), w[2].w[0].data(), s.data());
  const Vec3 first{s[6], s[3], s[1]};
  if (gradient != nullptr) *gradient = first.x * slope_[0] + first.y * slope_[1] + first.z * slope_[2];
  if (hessian != nullptr) {
    const Mat3 second{{Vec3{s[9], s[8], s[7]}, Vec3{s[8], s[5], s[4]}, Vec3{s[7], s[4], s[2]}}};
    for (int a = 0; a < 3; ++a)
      for (int b = a; b < 3; ++b) {
        double sum = 0.0;
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < 3; ++j)
            sum += slope_[static_cast<std::size_t>(i)][a] * second[i][j] *
                   slope_[static_cast<std::size_t>(j)][b];
        (*hessian)[a][b] = (*hessian)[b][a] = sum;
      }
  }
  return s[0];
}

std::vector<FarSpline::OnGrid::Tap> FarSpline::OnGrid::taps(std::size_t coarse, std::int32_t fine,
                                                            std::int32_t count) {
  std::vector<Tap> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    // Whole numbers: equal offsets get equal weights.
    const std::size_t scaled = i * coarse, base = scaled / static_cast<std::size_t>(fine);
    const Weights w = weights(static_cast<double>(scaled % static_cast<std::size_t>(fine)) / fine);
    for (std::size_t t = 0; t < kTaps; ++t) {
      out[i].weight[t] = static_cast<float>(w.w[0][t]);
      out[i].plane[t] = (base + t + 2 * coarse - 2) % coarse;
    }
  }
  return out;
}

FASTIN_CLONED(void, add_rows, (const float* from, std::size_t n, float weight, float* to),
              (from, n, weight, to)) {
  for (std::size_t k = 0; k < n; ++k) to[k] += weight * from[k];
}

FarSpline::OnGrid::OnGrid(const FarSpline& spline, const Int3& shape, const Int3& extent, bool everywhere,
                          int num_threads)
    : first_(taps(spline.n_[0], shape.x, extent.x)),
      row_(static_cast<std::size_t>(extent.z)),
      plane_(static_cast<std::size_t>(extent.y) * row_),
      planes_(new float[spline.n_[0] * plane_]) {
  const std::vector<Tap> second = taps(spline.n_[1], shape.y, extent.y);
  const std::vector<Tap> third = taps(spline.n_[2], shape.z, extent.z);
  const std::size_t row = spline.padded_[2], plane = spline.padded_[1] * row;
  constexpr std::size_t kWorthThreads = std::size_t{1} << 18;
  const int threads = spline.n_[0] * plane_ >= kWorthThreads ? num_threads : 1;
  parallel_for(spline.n_[0], threads, [&](std::size_t i, int) {
    std::vector<float> rows(spline.n_[1] * row_);
    for (std::size_t j = 0; j < spline.n_[1]; ++j) {
      const double* from = spline.coefficients_.data() + (i + 2) * plane + (j + 2) * row + 2;
      float* to = rows.data() + j * row_;
      for (std::size_t k = 0; k < row_; ++k) {
        float sum = 0.0f;
        for (std::size_t t = 0; t < kTaps; ++t)
          sum += third[k].weight[t] * static_cast<float>(from[third[k].plane[t]]);
        to[k] = sum;
      }
    }
    for (std::size_t j = 0; j < second.size(); ++j) {
      float* to = planes_.get() + i * plane_ + j * row_;
      std::fill(to, to + row_, 0.0f);
      for (std::size_t t = 0; t < kTaps; ++t)
        add_rows(rows.data() + second[j].plane[t] * row_, row_, second[j].weight[t], to);
    }
  });
  if (!everywhere) return;
  values_.reset(new float[first_.size() * plane_]);
  parallel_for(first_.size(), threads, [&](std::size_t i, int) {
    float* to = values_.get() + i * plane_;
    std::fill(to, to + plane_, 0.0f);
    for (std::size_t t = 0; t < kTaps; ++t)
      add_rows(planes_.get() + first_[i].plane[t] * plane_, plane_, first_[i].weight[t], to);
  });
}

}  // namespace fastin::bvse
