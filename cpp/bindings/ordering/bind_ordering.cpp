// Ordered arrangements of charges.
#include "fastin/ordering/anneal.hpp"
#include "gil.hpp"
#include "numpy.hpp"

namespace fastin::bind {

namespace {

py::tuple anneal_arrays(const In<double>& coulomb, const In<double>& potential, const In<double>& charge,
                        const In<std::int32_t>& pool, const In<std::int32_t>& species,
                        const In<std::int64_t>& exclusion_start, const In<std::int32_t>& exclusion,
                        std::size_t replicas, std::size_t steps, double hot, double cold, double penalty,
                        std::size_t keep, std::uint64_t seed, int num_threads) {
  Arrangement a;
  a.pool = to_vector(pool, "pool");
  const auto n = static_cast<py::ssize_t>(a.pool.size());
  check_shape(coulomb, "coulomb", {n, n});
  a.coulomb.assign(coulomb.data(), coulomb.data() + coulomb.size());
  a.potential = to_vector(potential, "potential");
  a.charge = to_vector(charge, "charge");
  a.species = to_vector(species, "species");
  a.exclusion_start = to_vector(exclusion_start, "exclusion_start");
  a.exclusion = to_vector(exclusion, "exclusion");
  const AnnealOptions options{replicas, steps, hot, cold, penalty, keep, seed, num_threads};
  AnnealResult result;
  {
    const Computing computing;
    result = anneal(a, options);
  }
  std::vector<double> energy;
  std::vector<std::int32_t> rows;
  for (const Ordered& o : result.lowest) {
    energy.push_back(o.energy);
    rows.insert(rows.end(), o.species.begin(), o.species.end());
  }
  const auto found = static_cast<py::ssize_t>(energy.size());
  return py::make_tuple(adopt(std::move(energy)), adopt<std::int32_t>(std::move(rows), {found, n}),
                        result.violations);
}

}  // namespace

void bind_ordering(py::module_& m) {
  m.def("anneal", &anneal_arrays, py::arg("coulomb").noconvert(), py::arg("potential").noconvert(),
        py::arg("charge").noconvert(), py::arg("pool").noconvert(), py::arg("species").noconvert(),
        py::arg("exclusion_start").noconvert(), py::arg("exclusion").noconvert(), py::arg("replicas"),
        py::arg("steps"), py::arg("hot"), py::arg("cold"), py::arg("penalty"), py::arg("keep"),
        py::arg("seed"), py::arg("num_threads") = 1,
        "Simulated annealing of charges on positions: energies, arrangements (n, P), fewest violated "
        "exclusions.");
}

}  // namespace fastin::bind
