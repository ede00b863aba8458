// What the fuzzers run: crystals made from bytes, through the tessellation, the energy landscape and the
// powder pattern.
//
// The bytes pick a family (cube, needle, plate, skewed, vacuum, lattice with noise) and its numbers, so that
// random input already is hostile and mutations stay meaningful. A body returns normally on any input; typed
// errors of the core count as answers, anything else as a fault.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "fastin/base/error.hpp"
#include "fastin/bvse/bvse_energy.hpp"
#include "fastin/network/network.hpp"
#include "fastin/percolation/percolation_path.hpp"
#include "fastin/percolation/refine.hpp"
#include "fastin/tessellation/tessellation.hpp"
#include "fastin/xrd/xrd.hpp"

namespace fastin::fuzz {

// Reads numbers off a string of bytes; zeros after its end.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::uint32_t below(std::uint32_t n) {
    const auto low = next(), high = next();
    return (low + 256u * high) % n;
  }
  // In [0, 1).
  double unit() { return below(65536) / 65536.0; }
  double between(double low, double high) { return low + (high - low) * unit(); }

 private:
  std::uint32_t next() { return at_ < size_ ? data_[at_++] : 0u; }
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

struct Spheres {
  Mat3 cell;
  std::vector<Vec3> frac;
  std::vector<double> radius;
};

inline Mat3 make_cell(Bytes* in) {
  const double edge = in->between(2.0, 9.0);
  switch (in->below(6)) {
    case 0:
      return {Vec3{edge, 0, 0}, Vec3{0, edge, 0}, Vec3{0, 0, edge}};
    case 1:  // needle
      return {Vec3{edge, 0, 0}, Vec3{0, 2.0, 0}, Vec3{0, 0, in->between(10.0, 40.0)}};
    case 2: {  // skewed: three long vectors at a small angle
      const double tilt = in->between(0.05, 1.5);
      return {Vec3{edge, tilt, 0}, Vec3{edge, 0, tilt}, Vec3{3.0 * edge, tilt, tilt}};
    }
    case 3:  // vacuum
      return {Vec3{edge, 0, 0}, Vec3{0, edge, 0}, Vec3{0, 0, edge + in->between(10.0, 30.0)}};
    case 4: {  // a basis of the cube with a shear by whole cells
      const double n = in->below(7), m = in->below(7);
      return {Vec3{edge, 0, 0}, Vec3{n * edge, edge, 0}, Vec3{m * edge, n * edge, edge}};
    }
    default: {
      Mat3 cell;
      for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 3; ++b) cell[a][b] = in->between(-6.0, 6.0) + (a == b ? 4.0 : 0.0);
      return cell;
    }
  }
}

inline Spheres make_spheres(Bytes* in) {
  Spheres out;
  out.cell = make_cell(in);
  const std::uint32_t count = 1 + in->below(12), steps = 1 + in->below(6);
  constexpr std::array<double, 8> kNoise{0.0, 0.0, 1e-13, 1e-9, 1e-6, 1e-5, 1e-4, 1e-2};
  const double noise = kNoise[in->below(8)];
  const bool lattice = in->below(2) == 0;
  const bool equal = in->below(2) == 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    Vec3 x;
    for (int k = 0; k < 3; ++k) {
      x[k] = lattice ? in->below(steps) / static_cast<double>(steps) : in->between(-1.0, 2.0);
      x[k] += noise * in->between(-1.0, 1.0);
    }
    out.frac.push_back(x);
    out.radius.push_back(equal ? 1.0 : in->between(0.0, 2.5));
  }
  return out;
}

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

// Runs a body; the typed errors of the core are answers.
template <class Body>
void answered(Body&& body) {
  try {
    body();
  } catch (const InvalidInput&) {
  } catch (const DegenerateGeometry&) {
  } catch (const NoConvergence&) {
  } catch (const TooLarge&) {
  }
}

inline void run_tessellation(const std::uint8_t* data, std::size_t size) {
  Bytes in(data, size);
  const Spheres s = make_spheres(&in);
  answered([&] {
    const Lattice lattice(s.cell);
    const Tessellation t = tessellate(lattice, s.frac, s.radius, {});
    if (!(certify(t, lattice, s.frac, s.radius).volume_error < 1e-6))
      fail("the cells do not fill the crystal");
    const Network network = build_network(lattice, s.frac, s.radius, {});
    for (std::size_t e = 0; e < network.edge_i.size(); ++e) {
      const double narrow = network.edge_bottleneck_radius[e];
      const double wide = std::min(network.site_radius[static_cast<std::size_t>(network.edge_i[e])],
                                   network.site_radius[static_cast<std::size_t>(network.edge_j[e])]);
      if (!(narrow <= wide)) fail("a bottleneck is wider than its sites");
    }
  });
}

inline void check_level(const RefinedLevel& level, const RefinedPercolation& refined) {
  if (std::isinf(level.energy)) return;
  if (!(level.energy >= level.minimum_energy - 1e-9)) fail("a level lies below its minimum");
  if (!(level.minimum_energy >= refined.minimum_energy - 1e-9)) fail("a minimum lies below the cell's");
  if (level.translations.rank() < 1) fail("a level without translations");
}

// What one input may cost. Small ones find what large ones do and are run by the hundred thousand.
struct Cost {
  std::size_t points;   // of the grid
  std::uint32_t work;   // evaluations of the refinement
  double cutoff;        // angstrom
  double least_volume;  // angstrom^3 an atom; atoms beyond it are left out
  double longest;       // cell vector, angstrom: relaxed strings cost by their length
  double reflections;   // of a powder pattern; a longer wave keeps to it
};
constexpr Cost kSmall{500, 200, 4.0, 10.0, 12.0, 2000.0}, kLarge{4000, 4000, 6.0, 1.0, 100.0, 1e6};

// Grid, percolation, refinement (cut short now and then) and the paths. True where the refinement settled.
inline bool run_landscape(const std::uint8_t* data, std::size_t size, const Cost& cost) {
  Bytes in(data, size);
  Spheres s = make_spheres(&in);
  for (int k = 0; k < 3; ++k) s.cell[k] = std::min(1.0, cost.longest / norm(s.cell[k])) * s.cell[k];
  const double resolution = in.between(0.35, 1.2);
  RefineOptions options;
  options.margin *= std::max(1.0, resolution * resolution / 0.04);
  options.margin_slope *= std::max(1.0, resolution * resolution / 0.04);
  options.max_work = in.below(4) == 0 ? in.below(cost.work / 2) : cost.work;
  options.max_rounds = in.below(4) == 0 ? static_cast<int>(in.below(5)) : 60;
  options.patient_rounds = options.batch_rounds = static_cast<int>(in.below(20));
  const int connectivity = in.below(4) == 0 ? 6 : 26;
  bool settled = true;
  answered([&] {
    const Lattice lattice(s.cell);
    // A field of less than 10 A^3 has hundreds of images an atom; Python refuses atoms that overlap their
    // own.
    if (lattice.volume() < 10.0) return;
    s.frac.resize(std::min(s.frac.size(), static_cast<std::size_t>(lattice.volume() / cost.least_volume)));
    Int3 shape;
    double coarser = 1.0;
    do {
      for (int k = 0; k < 3; ++k)
        shape[k] = std::max(4, static_cast<std::int32_t>(norm(s.cell[k]) / (resolution * coarser)));
      coarser *= 1.25;
    } while (GridView{nullptr, shape}.size() > cost.points);
    const GridView sized{nullptr, shape};
    const std::vector<PairTerm> terms{{false, 0.9, 1.9, 1.9}, {true, 9.0, 1.6, 0.0}};
    std::vector<std::int32_t> term;
    for (std::size_t i = 0; i < s.frac.size(); ++i) term.push_back(static_cast<std::int32_t>(i % 2));
    const BvseField field(lattice, s.frac, term, std::vector<double>(s.frac.size(), 1.0), terms, cost.cutoff);
    std::vector<float> values(sized.size());
    field.grid(shape, {}, 1, values.data());
    std::vector<double> energies;
    for (const float v : values)
      energies.push_back(v >= 0.999f * BvseField::kMaxEnergy ? std::numeric_limits<double>::infinity()
                                                             : static_cast<double>(v));
    GridLandscape landscape({energies.data(), shape}, connectivity);
    const GridPercolation grid = percolate(landscape);
    const BvseEnergy energy(field);
    Polisher polisher(landscape, energy, {}, options);
    const RefinedPercolation refined = refine_percolation(landscape, grid, polisher, options);
    settled = refined.settled;
    for (int d = 0; d < 3; ++d) {
      const RefinedLevel& level = refined.levels[static_cast<std::size_t>(d)];
      check_level(level, refined);
      if (std::isfinite(level.energy)) trace_path(landscape, refined.connections, d + 1, &energy, &polisher);
    }
  });
  return settled;
}

inline void run_pattern(const std::uint8_t* data, std::size_t size, const Cost& cost) {
  Bytes in(data, size);
  const Spheres s = make_spheres(&in);
  const std::vector<Scatterer> table{{3.0, {1.6, 1.2, 0.2, 0.1}, {1.0, 10.0, 30.0, 80.0}, 0.5},
                                     {17.0, {4.0, 3.0, 2.0, 1.0}, {2.0, 20.0, 40.0, 90.0}, 0.0}};
  std::vector<double> occupancy;
  std::vector<std::int32_t> kind;
  for (std::size_t i = 0; i < s.frac.size(); ++i) {
    occupancy.push_back(in.unit());
    kind.push_back(static_cast<std::int32_t>(in.below(2)));
  }
  DiffractionRange range{in.between(0.5, 2.5), in.between(0.0, 20.0), in.between(20.0, 90.0)};
  const double reach = 2.0 * std::sin(range.two_theta_max * 3.14159265358979 / 360.0) / range.wavelength;
  const double volume = std::abs(dot(s.cell[0], cross(s.cell[1], s.cell[2])));
  const double count = 4.19 * reach * reach * reach * volume;
  range.wavelength *= std::max(1.0, std::cbrt(count / cost.reflections));
  const PatternGrid grid{range.two_theta_min, in.between(0.01, 0.1), 1 + in.below(4500)};
  answered([&] {
    const ScatteringCell cell{Lattice(s.cell), s.frac.data(), occupancy.data(), kind.data(), s.frac.size()};
    std::vector<float> pattern(grid.size);
    stick_pattern(cell, table, range, grid, pattern.data());
    for (const float v : pattern)
      if (!(v >= 0.0f && v <= 1.0f)) fail("a bin outside [0, 1]");
    const PeakProfile profile{in.between(0.0, 0.1), in.between(-0.05, 0.05), in.between(0.0, 0.1), in.unit()};
    profile_pattern(cell, table, range, grid, profile, pattern.data());
    for (const float v : pattern)
      if (!(v >= 0.0f && v <= 1.001f)) fail("a profile outside [0, 1]");
  });
}

}  // namespace fastin::fuzz
