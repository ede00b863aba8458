// Kinetic Monte Carlo of a lattice gas.
#include "fastin/transport/lattice_gas.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {

namespace {

LatticeGas to_gas(const In<double>& energy, const In<std::int64_t>& move_start,
                  const In<std::int32_t>& target, const In<std::int64_t>& reverse, const In<double>& barrier,
                  const In<double>& prefactor, const In<double>& step, const In<std::int64_t>& pair_start,
                  const In<std::int32_t>& pair_site, const In<double>& pair_energy) {
  LatticeGas gas;
  gas.energy = to_vector(energy, "energy");
  gas.move_start = to_vector(move_start, "move_start");
  gas.target = to_vector(target, "target");
  gas.reverse = to_vector(reverse, "reverse");
  gas.barrier = to_vector(barrier, "barrier");
  gas.prefactor = to_vector(prefactor, "prefactor");
  gas.step = to_vec3s(step, "step");
  gas.pair_start = to_vector(pair_start, "pair_start");
  gas.pair_site = to_vector(pair_site, "pair_site");
  gas.pair_energy = to_vector(pair_energy, "pair_energy");
  return gas;
}

py::array_t<double> tensors(std::vector<Tensor6>&& rows) {
  const auto n = static_cast<py::ssize_t>(rows.size());
  return adopt<double>(std::move(rows), {n, 6});
}

py::dict lattice_gas(const In<double>& energy, const In<std::int64_t>& move_start,
                     const In<std::int32_t>& target, const In<std::int64_t>& reverse,
                     const In<double>& barrier, const In<double>& prefactor, const In<double>& step,
                     const In<std::int64_t>& pair_start, const In<std::int32_t>& pair_site,
                     const In<double>& pair_energy, std::size_t ions, std::size_t replicas,
                     std::size_t levels, std::uint64_t piece_events, std::uint64_t warmup_events,
                     std::size_t sweeps, std::uint64_t seed, int num_threads) {
  const LatticeGas gas = to_gas(energy, move_start, target, reverse, barrier, prefactor, step, pair_start,
                                pair_site, pair_energy);
  const LatticeGasRun run{ions, replicas, levels, piece_events, warmup_events, sweeps, seed, num_threads};
  LatticeGasResult result;
  {
    const Computing computing;
    result = run_lattice_gas(gas, run);
  }
  py::dict out;
  out["piece_time"] = result.piece_time;
  py::list rows;
  for (LatticeGasReplica& r : result.replicas) {
    py::dict row;
    row["events"] = r.events;
    row["tracer"] = tensors(std::move(r.tracer));
    row["charge"] = tensors(std::move(r.charge));
    row["pieces"] = r.pieces;
    row["occupation"] = adopt(std::move(r.occupation));
    row["moves"] = adopt(std::move(r.moves));
    rows.append(row);
  }
  out["replicas"] = rows;
  return out;
}

}  // namespace

void bind_lattice_gas(py::module_& m) {
  m.def("lattice_gas", &lattice_gas, py::arg("energy").noconvert(), py::arg("move_start").noconvert(),
        py::arg("target").noconvert(), py::arg("reverse").noconvert(), py::arg("barrier").noconvert(),
        py::arg("prefactor").noconvert(), py::arg("step").noconvert(), py::arg("pair_start").noconvert(),
        py::arg("pair_site").noconvert(), py::arg("pair_energy").noconvert(), py::arg("ions"),
        py::arg("replicas"), py::arg("levels"), py::arg("piece_events"), py::arg("warmup_events"),
        py::arg("sweeps"), py::arg("seed"), py::arg("num_threads") = 1,
        "Rejection-free kinetic Monte Carlo of a lattice gas: squared displacements of the ions and of their "
        "sum.");
}

}  // namespace fastin::bind
