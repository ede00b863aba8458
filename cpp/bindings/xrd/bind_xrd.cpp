// Powder patterns.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "fastin/base/parallel.hpp"
#include "fastin/xrd/xrd.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {
namespace {

// Rows of (Z, a1..a4, b1..b4, B).
std::vector<Scatterer> to_scatterers(const In<double>& table) {
  check_shape(table, "table", {-1, 10});
  std::vector<Scatterer> out(static_cast<std::size_t>(table.shape(0)));
  const double* p = table.data();
  for (Scatterer& s : out) {
    s.electrons = p[0];
    for (std::size_t i = 0; i < 4; ++i) {
      s.a[i] = p[1 + i];
      s.b[i] = p[5 + i];
      if (!(s.b[i] >= 0.0)) throw InvalidInput("a scattering factor has a negative width");
    }
    s.debye_waller = p[9];
    if (!(s.debye_waller >= 0.0)) throw InvalidInput("Debye-Waller factors must not be negative");
    p += 10;
  }
  return out;
}

py::tuple xrd_peaks(const In<double>& cell, const In<double>& frac, const In<double>& occupancy,
                    const In<std::int32_t>& scatterer, const In<double>& table, double wavelength,
                    double two_theta_min, double two_theta_max) {
  const Lattice lattice(to_mat3(cell, "cell"));
  const std::vector<Vec3> x = to_vec3s(frac, "frac");
  const auto n = static_cast<py::ssize_t>(x.size());
  check_shape(occupancy, "occupancy", {n});
  check_shape(scatterer, "scatterer", {n});
  const std::vector<Scatterer> kinds = to_scatterers(table);
  const ScatteringCell atoms{lattice, x.data(), occupancy.data(), scatterer.data(), x.size()};
  std::vector<PowderPeak> peaks;
  {
    const Computing computing;
    peaks = powder_peaks(atoms, kinds, {wavelength, two_theta_min, two_theta_max});
  }
  std::vector<double> two_theta, intensity, spacing;
  std::vector<Int3> hkl;
  std::vector<std::int32_t> multiplicity;
  for (const PowderPeak& p : peaks) {
    two_theta.push_back(p.two_theta);
    intensity.push_back(p.intensity);
    spacing.push_back(p.spacing);
    hkl.push_back(p.hkl);
    multiplicity.push_back(p.multiplicity);
  }
  const auto count = static_cast<py::ssize_t>(peaks.size());
  return py::make_tuple(adopt(std::move(two_theta)), adopt(std::move(intensity)), adopt(std::move(spacing)),
                        adopt<std::int32_t>(std::move(hkl), {count, 3}), adopt(std::move(multiplicity)));
}

py::array_t<float> xrd_patterns(const In<double>& cells, const In<std::int64_t>& first,
                                const In<double>& frac, const In<double>& occupancy,
                                const In<std::int32_t>& scatterer, const In<double>& table, double wavelength,
                                std::pair<double, double> two_theta, std::size_t bins, double step,
                                const std::vector<double>& profile, int num_threads) {
  check_shape(cells, "cells", {-1, 3, 3});
  const py::ssize_t crystals = cells.shape(0);
  check_shape(first, "first", {crystals + 1});
  const std::vector<Vec3> x = to_vec3s(frac, "frac");
  const auto n = static_cast<py::ssize_t>(x.size());
  check_shape(occupancy, "occupancy", {n});
  check_shape(scatterer, "scatterer", {n});
  const std::int64_t* start = first.data();
  for (py::ssize_t i = 0; i < crystals; ++i) {
    if (start[i] < 0 || start[i + 1] < start[i] || start[i + 1] > n) {
      throw InvalidInput("first must rise from 0 to the number of atoms");
    }
  }
  if (bins == 0 || !(step > 0.0)) throw InvalidInput("the grid needs a positive step and at least one bin");
  if (!profile.empty() && profile.size() != 4)
    throw InvalidInput("profile must be (u, v, w, lorentzian fraction)");
  const std::vector<Scatterer> kinds = to_scatterers(table);
  const double* cell_rows = cells.data();
  const double* occ = occupancy.data();
  const std::int32_t* ids = scatterer.data();
  const DiffractionRange range{wavelength, two_theta.first, two_theta.second};
  const PatternGrid grid{two_theta.first, step, bins};
  std::vector<float> patterns(static_cast<std::size_t>(crystals) * bins);
  {
    const Computing computing;
    parallel_for(
        static_cast<std::size_t>(crystals), num_threads,
        [&](std::size_t i, int) {
          const double* p = cell_rows + 9 * i;
          Mat3 rows;
          for (int k = 0; k < 3; ++k) rows[k] = Vec3{p[3 * k], p[3 * k + 1], p[3 * k + 2]};
          const auto at = static_cast<std::size_t>(start[i]);
          const ScatteringCell atoms{Lattice(rows), x.data() + at, occ + at, ids + at,
                                     static_cast<std::size_t>(start[i + 1]) - at};
          float* out = patterns.data() + i * bins;
          if (profile.empty()) {
            stick_pattern(atoms, kinds, range, grid, out);
          } else {
            profile_pattern(atoms, kinds, range, grid, {profile[0], profile[1], profile[2], profile[3]}, out);
          }
        },
        4);
  }
  return adopt<float, float>(std::move(patterns), {crystals, static_cast<py::ssize_t>(bins)});
}

}  // namespace

void bind_xrd(py::module_& m) {
  m.def("xrd_peaks", &xrd_peaks, py::arg("cell").noconvert(), py::arg("frac").noconvert(),
        py::arg("occupancy").noconvert(), py::arg("scatterer").noconvert(), py::arg("table").noconvert(),
        py::arg("wavelength"), py::arg("two_theta_min"), py::arg("two_theta_max"),
        "Peaks of one crystal: (2 theta in degrees, intensity, d in angstrom, hkl (P, 3), multiplicity).");
  m.def("xrd_patterns", &xrd_patterns, py::arg("cells").noconvert(), py::arg("first").noconvert(),
        py::arg("frac").noconvert(), py::arg("occupancy").noconvert(), py::arg("scatterer").noconvert(),
        py::arg("table").noconvert(), py::arg("wavelength"), py::arg("two_theta"), py::arg("bins"),
        py::arg("step"), py::arg("profile"), py::arg("num_threads"),
        "Patterns of many crystals (C, bins), float32, strongest bin 1; atoms of crystal i are "
        "first[i]:first[i + 1].");
}

}  // namespace fastin::bind
