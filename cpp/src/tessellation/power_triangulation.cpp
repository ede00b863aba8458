#include "fastin/tessellation/power_triangulation.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"
#include "fastin/tessellation/perturbation.hpp"
#include "walker.hpp"

namespace fastin {
namespace {

constexpr int kMaxAttempts = 8;
// Atoms that are worth a thread of their own, and that are brought into order at a time.
constexpr std::size_t kPartAtoms = 256, kOrderBlock = 512;

using Tetrahedron = PowerTriangulation::Tetrahedron;

// Tetrahedra by their generators; a counting sort by the first and short sorts of what is left.
Scratch<Tetrahedron> ordered(Scratch<Tetrahedron> given, std::size_t atoms, int num_threads) {
  Scratch<std::int32_t> start(atoms + 1, 0), place(given.size()), rank(given.size());
  const auto lowest = [&](std::size_t t) { return static_cast<std::size_t>(generator_atom(given[t].g[0])); };
  for (std::size_t t = 0; t < given.size(); ++t) ++start[lowest(t) + 1];
  for (std::size_t i = 0; i < atoms; ++i) start[i + 1] += start[i];
  {
    Scratch<std::int32_t> next(start.begin(), start.end() - 1);
    for (std::size_t t = 0; t < given.size(); ++t)
      place[static_cast<std::size_t>(next[lowest(t)]++)] = static_cast<std::int32_t>(t);
  }
  parallel_blocks(atoms, num_threads, kOrderBlock, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      std::sort(place.begin() + start[i], place.begin() + start[i + 1], [&](std::int32_t a, std::int32_t b) {
        return given[static_cast<std::size_t>(a)].g < given[static_cast<std::size_t>(b)].g;
      });
    }
    for (std::int32_t k = start[begin]; k < start[end]; ++k)
      rank[static_cast<std::size_t>(place[static_cast<std::size_t>(k)])] = k;
  });
  if (num_threads == 1) {  // in their own memory, round every cycle of the permutation
    for (Tetrahedron& t : given)
      for (std::int32_t& n : t.neighbour) n = rank[static_cast<std::size_t>(n)];
    for (std::size_t first = 0; first < given.size(); ++first) {
      if (place[first] < 0) continue;
      const Tetrahedron kept = given[first];
      std::size_t to = first;
      for (auto from = static_cast<std::size_t>(place[to]); from != first;
           from = static_cast<std::size_t>(place[to])) {
        given[to] = given[from];
        place[to] = -1;
        to = from;
      }
      given[to] = kept;
      place[to] = -1;
    }
    return given;
  }
  Scratch<Tetrahedron> out(given.size());
  parallel_blocks(given.size(), num_threads, 8 * kOrderBlock, [&](std::size_t k, std::size_t end, int) {
    for (; k < end; ++k) {
      out[k] = given[static_cast<std::size_t>(place[k])];
      for (std::int32_t& n : out[k].neighbour) n = rank[static_cast<std::size_t>(n)];
    }
  });
  return out;
}

// False when rounding beat the perturbation.
bool sweep(HalfspaceLists* half, std::size_t atoms, int num_threads, Scratch<Tetrahedron>* out) {
  const std::size_t parts = std::min(static_cast<std::size_t>(std::max(1, num_threads)), atoms / kPartAtoms);
  const auto last = static_cast<std::int32_t>(atoms);
  Walker whole(half, atoms, true, 0, last);
  if (parts < 2) {
    if (!whole.run()) return false;
  } else {
    std::vector<HalfspaceLists> lists;
    std::vector<Walker> walkers;
    lists.reserve(parts);
    walkers.reserve(parts);
    for (std::size_t p = 0; p < parts; ++p) {
      lists.push_back(half->another());
      walkers.emplace_back(&lists.back(), atoms, true, static_cast<std::int32_t>(p * atoms / parts),
                           static_cast<std::int32_t>((p + 1) * atoms / parts));
    }
    parallel_for(parts, static_cast<int>(parts), [&](std::size_t p, int) { walkers[p].run_part(); });
    if (!whole.adopt(&walkers)) return false;
  }
  if (!whole.closed(num_threads)) return false;
  *out = ordered(std::move(whole.tetrahedra()), atoms, num_threads);
  return true;
}

}  // namespace

// Along a Z-order curve through boxes of a few atoms.
std::vector<std::int32_t> spatial_order(const Lattice& lattice, const std::vector<Vec3>& frac) {
  constexpr double kAtomsPerBox = 2.0;
  constexpr int kBits = 10;
  const double edge = std::cbrt(kAtomsPerBox * lattice.volume() / static_cast<double>(frac.size() + 1));
  double boxes[3];
  for (int k = 0; k < 3; ++k) {
    boxes[k] = std::clamp(std::ceil(lattice.plane_spacing(k) / edge), 1.0, static_cast<double>(1 << kBits));
  }
  std::vector<std::pair<std::uint32_t, std::int32_t>> keyed;
  keyed.reserve(frac.size());
  for (std::size_t i = 0; i < frac.size(); ++i) {
    std::uint32_t key = 0;
    for (int k = 0; k < 3; ++k) {
      const double box = std::clamp((frac[i][k] - std::floor(frac[i][k])) * boxes[k], 0.0, boxes[k] - 1.0);
      const auto b = static_cast<std::uint32_t>(box);
      for (int bit = 0; bit < kBits; ++bit) key |= (b >> bit & 1U) << (3 * bit + k);
    }
    keyed.emplace_back(key, static_cast<std::int32_t>(i));
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::int32_t> order;
  order.reserve(keyed.size());
  for (const auto& [key, atom] : keyed) order.push_back(atom);
  return order;
}

PowerTriangulation triangulate(const Lattice& lattice, const std::vector<Vec3>& frac,
                               const std::vector<double>& weight, const std::vector<std::int32_t>& names,
                               int num_threads) {
  const bool swept = frac.size() >= kSweptAtoms;
  const auto last = static_cast<std::int32_t>(frac.size());
  for (std::uint64_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
    PerturbedProblem problem = perturb(lattice, weight, attempt);
    HalfspaceLists half(problem.lattice, frac, problem.weight, !swept, names, num_threads);
    PowerTriangulation out;
    if (swept) {
      if (!sweep(&half, frac.size(), num_threads, &out.tetrahedra)) continue;
      out.problem = std::move(problem);
      return out;
    }
    Walker walker(&half, frac.size(), false, 0, last);
    if (!walker.run() || !walker.closed(1)) continue;
    out.tetrahedra = std::move(walker.tetrahedra());
    return out;
  }
  throw NoConvergence("no closed power diagram after " + std::to_string(kMaxAttempts) + " perturbations");
}

}  // namespace fastin
