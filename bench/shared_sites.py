"""Species that share the mobile ion's positions: barriers of mixed sites against those of explicit ordered cells.

    python bench/shared_sites.py [--choices 4]

Na on the Li site of Li3OCl (0 to 50 %), Al on the 24d site of cubic Li7La3Zr2O12, La, and La with Sr, beside Li on
the A site of Li3xLa2/3-xTiO3 and (Li1/2La1/2)1-xSrxTiO3. For each content: 1D, 2D and 3D barrier (eV, spse, network
zero) of the mixed crystal; the median of `choices` explicit choices that `fastin.choice_barriers` draws of it; and of
ordered cells with the other species placed at random, by other draws (2 x 2 x 2, one, 3 x 3 x 3 cells), the smallest,
median and largest of `choices`. Barriers above 5 eV mean that the draw blocks that dimension.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from pymatgen.core import Lattice, Structure

import fastin


def barriers(structure: Structure) -> np.ndarray:
    """(3,) eV."""
    return fastin.compute_barriers(structure, "Li").values()


def antiperovskite() -> Iterator[tuple[str, Structure, Callable[[np.random.Generator], Structure]]]:
    """Li3OCl, a = 3.9 A (Zhao and Daemen, J. Am. Chem. Soc. 134, 15042 (2012)), Na on the Li site."""
    frac = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]
    pure = Structure(Lattice.cubic(3.9), ["Li", "Li", "Li", "O", "Cl"], frac) * (2, 2, 2)
    sites = [k for k, site in enumerate(pure) if site.specie.symbol == "Li"]
    for count in (0, 1, 2, 3, 6, 9, 12):
        share = count / len(sites)

        def ordered(rng: np.random.Generator, count: int = count) -> Structure:
            cell = pure.copy()
            for k in rng.choice(sites, count, replace=False):
                cell[int(k)] = "Na"
            return cell

        species = [{"Li": 1 - share, "Na": share} if share else "Li"] * 3 + ["O", "Cl"]
        yield f"Li3OCl, {100 * share:.0f} % Na", Structure(Lattice.cubic(3.9), species, frac), ordered


def garnet() -> Iterator[tuple[str, Structure, Callable[[np.random.Generator], Structure]]]:
    """Cubic Li7La3Zr2O12 (bundled), Al on 24d in place of three Li."""
    pure = fastin.Crystal.from_file(fastin.examples()["Li7La3Zr2O12_cubic"]).to_structure()
    pure.remove_oxidation_states()
    share = {k: site.species["Li"] for k, site in enumerate(pure) if "Li" in site.species}
    sites = [k for k, occupancy in share.items() if occupancy > 0.5]
    for count in (0, 1, 2, 4):
        mixed = pure.copy()
        for k in sites if count else []:
            mixed[k] = {"Li": share[k] - 3 * count / len(sites), "Al": count / len(sites)}

        def ordered(rng: np.random.Generator, count: int = count) -> Structure:
            cell = pure.copy()
            for k in rng.choice(sites, count, replace=False):
                cell[int(k)] = "Al"
            return cell

        yield f"Li7-3xAlxLa3Zr2O12, x = {count / 8:.3f}", mixed, ordered


def perovskite() -> Iterator[tuple[str, Structure, Callable[[np.random.Generator], Structure]]]:
    """Li3xLa2/3-xTiO3, and Sr in place of both in (Li1/2La1/2)1-xSrxTiO3.

    a = 3.87 A (Inaguma et al., Solid State Commun. 86, 689 (1993)), with Sr 3.88 A (Inaguma et al., Solid State Ionics
    79, 91 (1995)).
    """
    contents = [(f"Li3xLa2/3-xTiO3, x = {x:.2f}", 3.87, 3 * x, 2 / 3 - x, 0.0) for x in (0.04, 0.08, 0.11, 0.15)]
    contents += [(f"(Li1/2La1/2)1-xSrxTiO3, x = {x:.2f}", 3.88, 0.5 - x / 2, 0.5 - x / 2, x) for x in (0.0, 0.1, 0.2)]
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    for name, a, lithium, lanthanum, strontium in contents:
        held = {"Li": lithium, "La": lanthanum} | ({"Sr": strontium} if strontium else {})
        mixed = Structure(Lattice.cubic(a), [held, "Ti", "O", "O", "O"], frac)
        wide = mixed * (3, 3, 3)
        sites = [k for k, site in enumerate(wide) if len(site.species) > 1]
        counts = round(lanthanum * len(sites)), round(strontium * len(sites))

        def ordered(
            rng: np.random.Generator,
            lithium: float = lithium,
            wide: Structure = wide,
            sites: list[int] = sites,
            counts: tuple[int, int] = counts,
        ) -> Structure:
            cell, draw = wide.copy(), rng.permutation(sites)
            blocked = sum(counts)
            for n, k in enumerate(draw[:blocked]):
                cell[int(k)] = "La" if n < counts[0] else "Sr"
            for k in draw[blocked:]:
                cell[int(k)] = {"Li": min(1.0, lithium * len(sites) / (len(sites) - blocked))}
            return cell

        yield name, mixed, ordered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choices", type=int, default=4)
    parser.add_argument("--family", choices=["antiperovskite", "garnet", "perovskite"], help="this one alone")
    options = parser.parse_args()
    every = {"antiperovskite": antiperovskite, "garnet": garnet, "perovskite": perovskite}
    families = [every[options.family]] if options.family else list(every.values())
    head = f"{'crystal':34s} {'mixed 1D 2D 3D':>20s}   {'choices 1D 2D 3D':>17s}"
    print(f"{head}   ordered, smallest / median / largest of 1D, 2D, 3D")
    for family in families:
        for name, mixed, ordered in family():
            own = barriers(mixed)
            drawn = own
            if any(len(site.species) > 1 for site in mixed):
                drawn = fastin.choice_barriers(mixed, "Li", choices=options.choices, seed=100).median
            draws = np.array([barriers(ordered(np.random.default_rng(seed))) for seed in range(options.choices)])
            parts = [f"{v.min():.2f} / {np.median(v):.2f} / {v.max():.2f}" for v in draws.T]
            print(
                f"{name:34s} {own[0]:6.2f} {own[1]:6.2f} {own[2]:6.2f}   {drawn[0]:5.2f} {drawn[1]:5.2f} "
                f"{drawn[2]:5.2f}   {'   '.join(parts)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
