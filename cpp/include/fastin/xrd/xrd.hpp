// Powder diffraction of X-rays: reflections within the Ewald limit, structure factors, sticks and peak
// profiles.
//
// Intensity of a reflection: |F|^2 (1 + cos^2 2theta) / (sin^2 theta cos theta), F = sum_j occ_j f_j(s)
// exp(-B_j s^2) exp(2 pi i h.x_j), s = sin(theta) / wavelength, f(s) = Z - 41.78214 s^2 sum_i a_i exp(-b_i
// s^2) (M. De Graef and M. E. McHenry, Structure of Materials, ch. 11-12). No anomalous dispersion, so
// Friedel's law holds and half of the sphere is enough.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// What scatters at a position: an element with its Debye-Waller factor.
struct Scatterer {
  double electrons = 0.0;     // Z
  std::array<double, 4> a{};  // fitted amplitudes
  std::array<double, 4> b{};  // fitted widths, A^2
  double debye_waller = 0.0;  // isotropic B, A^2
};

// Atoms of one crystal; positions may repeat (several species on one site, weighted by occupancy).
struct ScatteringCell {
  Lattice lattice;
  const Vec3* frac = nullptr;
  const double* occupancy = nullptr;
  const std::int32_t* scatterer = nullptr;  // index into the table of scatterers
  std::size_t size = 0;
};

// Angles in degrees; two_theta_max at most 180.
struct DiffractionRange {
  double wavelength = 0.0;  // A
  double two_theta_min = 0.0;
  double two_theta_max = 90.0;
};

// Reflections that fall together within kPeakTolerance.
struct PowderPeak {
  double two_theta = 0.0;
  double intensity = 0.0;         // summed over the reflections, absolute scale
  double spacing = 0.0;           // d, A
  Int3 hkl{};                     // the lexicographically largest of them
  std::int32_t multiplicity = 0;  // how many, Friedel pairs counted
};

constexpr double kPeakTolerance = 1e-5;       // degrees: equivalent reflections differ by rounding only
constexpr double kIntensityThreshold = 1e-5;  // of the strongest: weaker peaks are absences up to rounding

// Peaks in order of rising angle, without those under kIntensityThreshold.
std::vector<PowderPeak> powder_peaks(const ScatteringCell& cell, const std::vector<Scatterer>& table,
                                     const DiffractionRange& range);

// Angular grid: bin i stands for start + i * step; a stick at angle t falls into bin ceil((t - start) /
// step).
struct PatternGrid {
  double start = 0.0;
  double step = 0.02;
  std::size_t size = 4501;
};

// Pseudo-Voigt of unit area; Caglioti width fwhm^2 = u tan^2(theta) + v tan(theta) + w (degrees^2).
struct PeakProfile {
  double u = 0.0, v = 0.0, w = 0.0;
  double lorentzian_fraction = 0.0;  // 0 Gaussian ... 1 Lorentzian
};

// Stick pattern, strongest bin 1 (all zero when nothing diffracts in the range).
void stick_pattern(const ScatteringCell& cell, const std::vector<Scatterer>& table,
                   const DiffractionRange& range, const PatternGrid& grid, float* pattern);

// Peaks spread over the grid, highest point 1. Throws InvalidInput where the width is not positive.
void profile_pattern(const ScatteringCell& cell, const std::vector<Scatterer>& table,
                     const DiffractionRange& range, const PatternGrid& grid, const PeakProfile& profile,
                     float* pattern);

}  // namespace fastin
