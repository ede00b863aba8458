#include "fastin/tessellation/power_triangulation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
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

// Brings the values at places 0, 1, ... from place[0], place[1], ... in their own memory, round every cycle
// of the permutation; `place` is spent.
void permute(Scratch<std::int32_t>* place, PowerTriangulation* given) {
  for (std::size_t first = 0; first < place->size(); ++first) {
    if ((*place)[first] < 0) continue;
    const Tetrahedron kept = given->tetrahedra[first];
    const Vec3 kept_centre = given->centre[first];
    std::size_t to = first;
    for (auto from = static_cast<std::size_t>((*place)[to]); from != first;
         from = static_cast<std::size_t>((*place)[to])) {
      given->tetrahedra[to] = given->tetrahedra[from];
      given->centre[to] = given->centre[from];
      (*place)[to] = -1;
      to = from;
    }
    given->tetrahedra[to] = kept;
    given->centre[to] = kept_centre;
    (*place)[to] = -1;
  }
}

// Tetrahedra by their generators; a counting sort by the first and short sorts of what is left.
void bring_into_order(std::size_t atoms, int num_threads, PowerTriangulation* given) {
  Scratch<Tetrahedron>& tets = given->tetrahedra;
  Scratch<std::int32_t> start(atoms + 1, 0), place(tets.size()), rank(tets.size());
  const auto lowest = [&](std::size_t t) { return static_cast<std::size_t>(generator_atom(tets[t].g[0])); };
  for (std::size_t t = 0; t < tets.size(); ++t) ++start[lowest(t) + 1];
  for (std::size_t i = 0; i < atoms; ++i) start[i + 1] += start[i];
  {
    Scratch<std::int32_t> next(start.begin(), start.end() - 1);
    for (std::size_t t = 0; t < tets.size(); ++t)
      place[static_cast<std::size_t>(next[lowest(t)]++)] = static_cast<std::int32_t>(t);
  }
  parallel_blocks(atoms, num_threads, kOrderBlock, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      std::sort(place.begin() + start[i], place.begin() + start[i + 1], [&](std::int32_t a, std::int32_t b) {
        return tets[static_cast<std::size_t>(a)].g < tets[static_cast<std::size_t>(b)].g;
      });
    }
    for (std::int32_t k = start[begin]; k < start[end]; ++k)
      rank[static_cast<std::size_t>(place[static_cast<std::size_t>(k)])] = k;
  });
  if (num_threads == 1) {
    for (Tetrahedron& t : tets)
      for (std::int32_t& n : t.neighbour) n = rank[static_cast<std::size_t>(n)];
    permute(&place, given);
    return;
  }
  PowerTriangulation out;
  out.tetrahedra.resize(tets.size());
  out.centre.resize(tets.size());
  parallel_blocks(tets.size(), num_threads, 8 * kOrderBlock, [&](std::size_t k, std::size_t end, int) {
    for (; k < end; ++k) {
      const auto from = static_cast<std::size_t>(place[k]);
      out.centre[k] = given->centre[from];
      out.tetrahedra[k] = tets[from];
      for (std::int32_t& n : out.tetrahedra[k].neighbour) n = rank[static_cast<std::size_t>(n)];
    }
  });
  given->tetrahedra.swap(out.tetrahedra);
  given->centre.swap(out.centre);
}

// The first atoms of parts that take about as long, and the end. A part finds the tetrahedra that it shares
// with later ones: of the first half of the atoms that is more than half, by about kSurface n^(-1/3) (0.09,
// 0.11 and 0.04 at 5,040, 10,000 and 50,000 atoms, measured).
std::vector<std::int32_t> part_starts(std::size_t atoms, std::size_t parts) {
  constexpr double kSurface = 1.6;
  const double n = static_cast<double>(atoms), shared = 4.0 * std::min(0.2, kSurface / std::cbrt(n));
  std::vector<std::int32_t> start(1, 0);
  for (std::size_t p = 1; p < parts; ++p) {
    // the x that solves x + shared x (1 - x) = p / parts
    const double b = 1.0 + shared, c = static_cast<double>(p) / static_cast<double>(parts);
    const double x = 2.0 * c / (b + std::sqrt(b * b - 4.0 * shared * c));
    start.push_back(static_cast<std::int32_t>(x * n));
  }
  start.push_back(static_cast<std::int32_t>(atoms));
  return start;
}

// False when rounding beat the perturbation.
bool sweep(HalfspaceLists* half, std::size_t atoms, int num_threads, PowerTriangulation* out) {
  const std::size_t parts = std::min(static_cast<std::size_t>(std::max(1, num_threads)), atoms / kPartAtoms);
  const auto last = static_cast<std::int32_t>(atoms);
  Walker whole(half, atoms, true, 0, last);
  if (parts < 2) {
    if (!whole.run()) return false;
  } else {
    std::vector<HalfspaceLists> lists;
    std::vector<Walker> walkers;
    const std::vector<std::int32_t> start = part_starts(atoms, parts);
    lists.reserve(parts);
    walkers.reserve(parts);
    for (std::size_t p = 0; p < parts; ++p) {
      lists.push_back(half->another());
      walkers.emplace_back(&lists.back(), atoms, true, start[p], start[p + 1]);
    }
    parallel_for(parts, static_cast<int>(parts), [&](std::size_t p, int) { walkers[p].run_part(); });
    if (!whole.adopt(&walkers)) return false;
  }
  if (!whole.closed(num_threads)) return false;
  out->tetrahedra = std::move(whole.tetrahedra());
  out->centre = std::move(whole.centres());
  bring_into_order(atoms, num_threads, out);
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
  Scratch<std::uint32_t> key(frac.size(), 0);
  for (std::size_t i = 0; i < frac.size(); ++i) {
    for (int k = 0; k < 3; ++k) {
      const double box = std::clamp((frac[i][k] - std::floor(frac[i][k])) * boxes[k], 0.0, boxes[k] - 1.0);
      const auto b = static_cast<std::uint32_t>(box);
      for (int bit = 0; bit < kBits; ++bit) key[i] |= (b >> bit & 1U) << (3 * bit + k);
    }
  }
  std::vector<std::int32_t> order(frac.size()), sorted(frac.size());
  std::iota(order.begin(), order.end(), 0);
  for (int digit = 0; digit < 3; ++digit) {  // of kBits bits, the lowest first
    std::array<std::size_t, (1U << kBits) + 1> start{};
    const auto value = [&](std::int32_t i) {
      return key[static_cast<std::size_t>(i)] >> (digit * kBits) & ((1U << kBits) - 1);
    };
    for (const std::int32_t i : order) ++start[value(i) + 1];
    for (std::size_t v = 1; v < start.size(); ++v) start[v] += start[v - 1];
    for (const std::int32_t i : order) sorted[start[value(i)]++] = i;
    order.swap(sorted);
  }
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
      if (!sweep(&half, frac.size(), num_threads, &out)) continue;
      out.problem = std::move(problem);
      return out;
    }
    Walker walker(&half, frac.size(), false, 0, last);
    if (!walker.run() || !walker.closed(1)) continue;
    out.tetrahedra = std::move(walker.tetrahedra());
    out.centre = std::move(walker.centres());
    return out;
  }
  throw NoConvergence("no closed power diagram after " + std::to_string(kMaxAttempts) + " perturbations");
}

}  // namespace fastin
