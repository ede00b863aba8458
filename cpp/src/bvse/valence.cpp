#include "fastin/bvse/valence.hpp"

#include <algorithm>
#include <cmath>

#include "fastin/base/error.hpp"
#include "fastin/base/simd.hpp"
#include "fastin/geometry/cell_list.hpp"
#include "fastin/geometry/lattice_reduction.hpp"

namespace fastin {
namespace {

constexpr double kMargin = 1e-9;  // relative; the search must not lose a bond at its cutoff by rounding

// Pairs grouped by cation and anion: those of one pair of kinds follow each other in `order`.
struct PairTable {
  PairTable(const std::vector<ValencePair>& pairs, std::int32_t kinds)
      : kinds_(static_cast<std::size_t>(kinds)), start(kinds_ * kinds_ + 1, 0), order(pairs.size()) {
    for (const ValencePair& p : pairs) ++start[cell(p.cation, p.anion) + 1];
    for (std::size_t k = 0; k + 1 < start.size(); ++k) start[k + 1] += start[k];
    std::vector<std::size_t> next(start.begin(), start.end() - 1);
    for (std::size_t p = 0; p < pairs.size(); ++p) order[next[cell(pairs[p].cation, pairs[p].anion)]++] = p;
  }
  std::size_t cell(std::int32_t cation, std::int32_t anion) const {
    return static_cast<std::size_t>(cation) * kinds_ + static_cast<std::size_t>(anion);
  }

 private:
  std::size_t kinds_;

 public:
  std::vector<std::size_t> start, order;
};

std::int32_t count_kinds(const std::vector<std::int32_t>& kind, const std::vector<ValencePair>& pairs) {
  std::int32_t most = -1;
  for (const std::int32_t k : kind) {
    if (k < 0) throw InvalidInput("kinds of sites are numbered from 0");
    most = std::max(most, k);
  }
  for (const ValencePair& p : pairs) {
    if (p.cation < 0 || p.anion < 0 || p.cation > most || p.anion > most) {
      throw InvalidInput("a pair of bond valences names a kind that no site has");
    }
  }
  return most + 1;
}

}  // namespace

ValenceSums bond_valence_sums(const Lattice& lattice, const std::vector<Vec3>& frac,
                              const std::vector<std::int32_t>& kind, const std::vector<double>& occupancy,
                              const std::vector<ValencePair>& pairs, double too_near) {
  if (kind.size() != frac.size() || occupancy.size() != frac.size()) {
    throw InvalidInput("frac, kind and occupancy differ in length");
  }
  const PairTable table(pairs, count_kinds(kind, pairs));
  ValenceSums out{std::vector<double>(frac.size(), 0.0), std::vector<std::int64_t>(pairs.size(), 0)};
  double reach = 0.0;
  for (const ValencePair& p : pairs) reach = std::max(reach, p.cutoff);
  if (pairs.empty() || frac.empty()) return out;
  if (!(reach > 0.0) || !std::isfinite(reach)) throw InvalidInput("bond valence cutoffs must be positive");
  const ReducedBasis basis = reduce_basis(lattice.cell());
  const Lattice reduced(basis.cell);
  const std::vector<Vec3> sites = in_reduced_cell(basis, frac);
  const double search = reach * (1.0 + kMargin);
  const CellList cells(reduced, sites, search);
  const double *x = cells.x(), *y = cells.y(), *z = cells.z();
  std::vector<char> is_cation(static_cast<std::size_t>(*std::max_element(kind.begin(), kind.end())) + 1, 0);
  for (const ValencePair& p : pairs) is_cation[static_cast<std::size_t>(p.cation)] = 1;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (is_cation[static_cast<std::size_t>(kind[i])] == 0) continue;
    const Vec3 here = reduced.to_cart(sites[i]);
    cells.for_each_stretch(sites[i], search, [&](std::size_t begin, std::size_t end) {
      for (std::size_t s = begin; s < end; ++s) {
        const double r2 = norm2(Vec3{x[s] - here.x, y[s] - here.y, z[s] - here.z});
        if (r2 > search * search) continue;
        const auto j = static_cast<std::size_t>(generator_atom(cells.code()[s]));
        const std::size_t at = table.cell(kind[i], kind[j]);
        if (table.start[at] == table.start[at + 1]) continue;
        const double r = std::sqrt(r2);
        if (!(r > too_near)) continue;
        for (std::size_t k = table.start[at]; k < table.start[at + 1]; ++k) {
          const ValencePair& p = pairs[table.order[k]];
          if (r > p.cutoff) continue;
          ++out.bonds[table.order[k]];
          const double valence = p.weight * simd::exp((p.r0 - r) / p.b);
          out.sum[i] += valence * occupancy[j];
          out.sum[j] += valence * occupancy[i];
        }
      }
    });
  }
  return out;
}

}  // namespace fastin
