// The transport network: sites and hops of an energy landscape.
#include <algorithm>
#include <cmath>

#include "fastin/base/parallel.hpp"
#include "fastin/bvse/bvse.hpp"
#include "fastin/bvse/bvse_energy.hpp"
#include "fastin/percolation/percolation_path.hpp"
#include "fastin/transport/transport.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {

namespace {

// float32 grid -> float64, energies at the field's ceiling -> inf: nothing moves through an atom.
std::vector<FractionalOperation> to_fractional_operations(const In<std::int32_t>& rotations,
                                                          const In<double>& translations) {
  check_shape(rotations, "rotations", {-1, 3, 3});
  check_shape(translations, "translations", {rotations.shape(0), 3});
  std::vector<FractionalOperation> out(static_cast<std::size_t>(rotations.shape(0)));
  for (std::size_t g = 0; g < out.size(); ++g) {
    for (std::size_t k = 0; k < 9; ++k) out[g].rotation[k / 3][k % 3] = rotations.data()[9 * g + k];
    const double* t = translations.data() + 3 * g;
    out[g].translation = Vec3{t[0], t[1], t[2]};
  }
  return out;
}

std::vector<CrystalOperation> to_crystal_operations(const In<double>& rotations,
                                                    const In<double>& translations) {
  check_shape(rotations, "rotations", {-1, 3, 3});
  check_shape(translations, "translations", {rotations.shape(0), 3});
  std::vector<CrystalOperation> out(static_cast<std::size_t>(rotations.shape(0)));
  for (std::size_t g = 0; g < out.size(); ++g) {
    for (int k = 0; k < 9; ++k)
      out[g].rotation[k / 3][k % 3] = rotations.data()[9 * g + static_cast<std::size_t>(k)];
    const double* t = translations.data() + 3 * g;
    out[g].translation = Vec3{t[0], t[1], t[2]};
  }
  return out;
}

struct Columns {
  std::vector<Vec3> site_frac, saddle_frac;
  std::vector<double> site_energy, hop_energy, hop_weight;
  std::vector<std::int64_t> hop_index, route_start{0};
  std::vector<Vec3> route_frac;
  std::vector<Int3> hop_image, point_cell, basin_cell;
  std::vector<std::uint8_t> stationary;
  std::vector<std::int32_t> point_site, site_orbit, hop_orbit;
  // Pairs (position, site whose basin holds it).
  std::vector<std::int32_t> basin_position, basin_site;
  // The loop of hops that sets each dimension's level; empty where the network does not reach it.
  std::array<std::vector<LoopStep>, 3> loop;
  std::array<Int3, 3> translation{};
};

void find_loops(const TransportLandscape& transport, Columns* c) {
  std::vector<Connection> connections;
  for (const TransportHop& h : transport.hops()) {
    Connection connection;
    connection.edge = {h.a, h.b, h.cell};
    connection.energy = h.energy;
    connections.push_back(connection);
  }
  for (std::size_t d = 0; d < 3; ++d) {
    c->loop[d] =
        critical_loop(transport.sites().size(), connections, static_cast<int>(d) + 1, &c->translation[d]);
  }
}

Columns compute(const In<float>& values, const BvseField& field,
                const std::vector<FractionalOperation>& exact,
                const std::vector<CrystalOperation>& operations, const std::vector<Vec3>& points,
                const std::vector<Vec3>& positions, double ceiling, double margin, double margin_slope) {
  const Int3 shape{static_cast<std::int32_t>(values.shape(0)), static_cast<std::int32_t>(values.shape(1)),
                   static_cast<std::int32_t>(values.shape(2))};
  const BvseEnergy energy(field);
  TransportOptions options;
  options.ceiling = ceiling;
  options.refine.margin = margin;
  options.refine.margin_slope = margin_slope;
  GridLandscape landscape({values.data(), shape, 0.999f * static_cast<float>(BvseField::kMaxEnergy)}, 26);
  const GridPercolation grid = percolate(landscape);
  Polisher polisher(landscape, energy, exact, options.refine);
  const RefinedPercolation levels = refine_percolation(landscape, grid, polisher, options.refine);
  TransportLandscape transport(landscape, energy, exact, operations, options);
  transport.build(levels);
  Columns c;
  for (const Vec3& p : points) {
    const SiteLabel label = transport.label(p);
    c.point_site.push_back(label.site);
    c.point_cell.push_back(label.cell);
  }
  for (std::size_t k = 0; k < positions.size(); ++k) {
    for (const SiteLabel& label : transport.basins(positions[k])) {
      c.basin_position.push_back(static_cast<std::int32_t>(k));
      c.basin_site.push_back(label.site);
      c.basin_cell.push_back(label.cell);
    }
  }
  for (const TransportSite& s : transport.sites()) {
    c.site_frac.push_back(s.frac);
    c.site_energy.push_back(s.energy);
    c.site_orbit.push_back(s.orbit);
  }
  for (const TransportHop& h : transport.hops()) c.hop_index.push_back(h.a);
  for (const TransportHop& h : transport.hops()) {
    c.hop_index.push_back(h.b);
    c.hop_image.push_back(h.cell);
    c.hop_energy.push_back(h.energy);
    c.hop_weight.push_back(h.weight);
    c.hop_orbit.push_back(h.orbit);
    c.saddle_frac.push_back(h.saddle);
    c.stationary.push_back(h.stationary ? 1 : 0);
    for (const PathPoint& p : h.route) c.route_frac.push_back(p.frac);
    c.route_start.push_back(static_cast<std::int64_t>(c.route_frac.size()));
  }
  find_loops(transport, &c);
  return c;
}

py::dict transport_network(const In<float>& values, const BvseField& field, const In<std::int32_t>& rotations,
                           const In<double>& translations, const In<double>& crystal_rotations,
                           const In<double>& crystal_translations, const In<double>& points,
                           const In<double>& positions, double ceiling, double margin, double margin_slope) {
  check_shape(values, "values", {-1, -1, -1});
  const auto exact = to_fractional_operations(rotations, translations);
  const auto operations = to_crystal_operations(crystal_rotations, crystal_translations);
  const std::vector<Vec3> where = to_vec3s(points, "points");
  const std::vector<Vec3> ions = to_vec3s(positions, "positions");
  Columns c;
  {
    const Computing computing;
    c = compute(values, field, exact, operations, where, ions, ceiling, margin, margin_slope);
  }
  const auto sites = static_cast<py::ssize_t>(c.site_energy.size());
  const auto hops = static_cast<py::ssize_t>(c.hop_energy.size());
  const auto labels = static_cast<py::ssize_t>(c.point_site.size());
  py::dict out;
  out["site_frac"] = adopt<double>(std::move(c.site_frac), {sites, 3});
  out["site_energy"] = adopt(std::move(c.site_energy));
  out["site_orbit"] = adopt(std::move(c.site_orbit));
  out["hop_orbit"] = adopt(std::move(c.hop_orbit));
  out["hop_index"] = adopt<std::int64_t>(std::move(c.hop_index), {2, hops});
  out["hop_image"] = adopt<std::int32_t>(std::move(c.hop_image), {hops, 3});
  out["hop_energy"] = adopt(std::move(c.hop_energy));
  out["hop_weight"] = adopt(std::move(c.hop_weight));
  out["saddle_frac"] = adopt<double>(std::move(c.saddle_frac), {hops, 3});
  out["stationary"] = adopt(std::move(c.stationary));
  const auto route_points = static_cast<py::ssize_t>(c.route_frac.size());
  out["route_start"] = adopt(std::move(c.route_start));
  out["route_frac"] = adopt<double>(std::move(c.route_frac), {route_points, 3});
  py::list loops;
  for (std::size_t d = 0; d < 3; ++d) {
    py::list steps;
    for (const LoopStep& step : c.loop[d]) steps.append(py::make_tuple(step.connection, step.forward));
    const Int3& t = c.translation[d];
    loops.append(py::make_tuple(steps, py::make_tuple(t.x, t.y, t.z)));
  }
  out["loops"] = loops;
  const auto pairs = static_cast<py::ssize_t>(c.basin_site.size());
  out["basin_position"] = adopt(std::move(c.basin_position));
  out["basin_site"] = adopt(std::move(c.basin_site));
  out["basin_cell"] = adopt<std::int32_t>(std::move(c.basin_cell), {pairs, 3});
  out["point_site"] = adopt(std::move(c.point_site));
  out["point_cell"] = adopt<std::int32_t>(std::move(c.point_cell), {labels, 3});
  return out;
}

// Paths of steepest descent through saddles, one after the other: (start, frac, energy).
py::tuple saddle_paths(const BvseField& field, const In<double>& saddles, int num_threads) {
  const std::vector<Vec3> where = to_vec3s(saddles, "saddles");
  std::vector<std::vector<PathPoint>> paths(where.size());
  std::vector<std::int64_t> start{0};
  std::vector<Vec3> frac;
  std::vector<double> energy;
  {
    const Computing computing;
    const BvseEnergy view(field);
    parallel_for(where.size(), num_threads,
                 [&](std::size_t i, int) { paths[i] = saddle_path(view, where[i]); });
    for (const auto& path : paths) {
      for (const PathPoint& p : path) {
        frac.push_back(p.frac);
        energy.push_back(p.energy);
      }
      start.push_back(static_cast<std::int64_t>(frac.size()));
    }
  }
  const auto n = static_cast<py::ssize_t>(frac.size());
  return py::make_tuple(adopt(std::move(start)), adopt<double>(std::move(frac), {n, 3}),
                        adopt(std::move(energy)));
}

}  // namespace

void bind_transport(py::module_& m) {
  m.def("transport_network", &transport_network, py::arg("values").noconvert(), py::arg("field"),
        py::arg("rotations").noconvert(), py::arg("translations").noconvert(),
        py::arg("crystal_rotations").noconvert(), py::arg("crystal_translations").noconvert(),
        py::arg("points").noconvert(), py::arg("positions").noconvert(), py::arg("ceiling"),
        py::arg("margin") = RefineOptions{}.margin, py::arg("margin_slope") = RefineOptions{}.margin_slope,
        "Sites and hops of the energy landscape up to an absolute energy, closed under the operations of the "
        "crystal, and the sites that points drain to. The field obeys the first operations exactly.");
  m.def("saddle_paths", &saddle_paths, py::arg("field"), py::arg("saddles").noconvert(),
        py::arg("num_threads") = 1,
        "Steepest descents from saddles to both sides: offsets, fractional points, energies.");
}

}  // namespace fastin::bind
