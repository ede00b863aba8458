"""What a reading holds against what the file says: formula, formula units, density, multiplicities.

The formula accuses; formula units and density only decide between readings, for files get them wrong more often.
Occupancies that the file does not give (mixed symbols, disorder groups) or gives in another convention (population
parameters) are recovered from the formula.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif.atoms import Rows
from fastin.crystal.cif.tags import Stated
from fastin.crystal.elements import column, symbol
from fastin.runtime.arrays import distinct, sum_by

_RELATIVE, _ABSOLUTE = 0.06, 0.012  # of an element's own atoms, of all atoms of the formula
_FOREIGN = 0.004  # of all atoms: an element that the formula does not name
_UNITS = 0.03
_WHOLE = 0.75  # formula units that a cell holds at least: less is a lost centring, or a part of the operations
_DENSITY = 0.03
_SUMS = 0.05  # how well shares recovered from the formula must fill their sites
_FULL = 1.02
_AVOGADRO = 0.602214076

Floats = NDArray[np.float64]


@dataclass
class Fit:
    """How a reading agrees with the file; None where the file does not say."""

    formula: bool | None = None
    units: bool | None = None
    density: bool | None = None
    multiplicity: bool | None = None
    factor: float = math.nan  # formula units in the cell
    lacks_hydrogen: float = 0.0  # of the formula, a formula unit
    told: str = ""  # both formulas, in words

    def key(self) -> tuple[bool, bool, bool, bool]:
        """For sorting: what the file refutes comes last."""
        return (self.formula is False, self.units is False, self.density is False, self.multiplicity is False)


def scale_of(amounts: dict[int, float], formula: dict[int, float], units: float = math.nan) -> float:
    """Formula units that the amounts hold: Z where an element confirms it, else the median over the elements.

    Hydrogen does not count unless it is all there is; of two elements that disagree, the one with more atoms does.
    """
    pairs = sorted((amounts.get(z, 0.0) / n, n) for z, n in formula.items() if z != 1 or len(formula) == 1)
    if not pairs:
        return math.nan
    if any(abs(ratio / units - 1.0) < _UNITS for ratio, _ in pairs):
        return units
    middle = pairs[(len(pairs) - 1) // 2 : len(pairs) // 2 + 1]
    ratio = max(middle, key=lambda pair: pair[1])[0]
    return ratio if ratio > 0.0 else pairs[-1][0]


def compare(amounts: dict[int, float], stated: Stated, volume: float) -> Fit:
    """Contents of the cell against the file."""
    fit = Fit()
    if stated.density > 0.0:
        mass = sum(n * float(column("mass")[z]) for z, n in amounts.items())
        fit.density = abs(mass / volume / _AVOGADRO / stated.density - 1.0) < _DENSITY
    formula = stated.formula
    if not formula:
        return fit
    fit.factor = factor = scale_of(amounts, formula, stated.units)
    if not factor > 0.0:
        fit.formula = False
        fit.told = f"the cell holds {formula_text(amounts)}, the formula says {formula_text(formula)}"
        return fit
    total = sum(formula.values())
    held = {z: n / factor for z, n in amounts.items()}
    told = f"the cell holds {formula_text(held)} a formula unit, the formula says {formula_text(formula)}"
    lack = formula.get(1, 0.0) - held.get(1, 0.0)
    if lack > max(0.1 * formula.get(1, 0.0), _ABSOLUTE * total):
        fit.lacks_hydrogen = lack
        held[1] = formula[1]
    fit.formula = all(
        abs(held.get(z, 0.0) - n) <= max(_RELATIVE * n, _ABSOLUTE * total, 1.2 * stated.rounding.get(z, 0.0))
        for z, n in formula.items()
    ) and all(n <= _FOREIGN * total for z, n in held.items() if z not in formula)
    if fit.formula and factor < _WHOLE:
        fit.formula = False
        told = f"the cell holds {formula_text(amounts)}, {factor:.2g} of the formula {formula_text(formula)}"
    if not fit.formula:
        fit.told = told
    if stated.units > 0.0:
        whole = abs(factor - 1.0) < _UNITS and all(abs(n - round(n)) < 1e-6 for n in formula.values())
        fit.units = abs(factor / stated.units - 1.0) < _UNITS or (whole and _divisible(formula, stated.units))
    return fit


def _divisible(formula: dict[int, float], units: float) -> bool:
    """True for a formula of the whole cell: every amount is a multiple of Z."""
    return units > 1.5 and all(abs(n / units - round(n / units)) < 1e-6 for n in formula.values())


def formula_text(amounts: dict[int, float]) -> str:
    """``Li2CO3``, elements by rising atomic number."""
    parts = []
    for z, n in sorted(amounts.items()):
        if n > 0.0:
            text = f"{n:.3f}".rstrip("0").rstrip(".")
            parts.append(symbol(z) + ("" if text == "1" else text))
    return "".join(parts)


def amounts_of(number: NDArray[np.int32], weight: Floats) -> dict[int, float]:
    """Atoms by atomic number."""
    held = sum_by(number, weight, 104)
    return {int(z): float(held[z]) for z in np.flatnonzero(held)}


def multiplicities_agree(rows: Rows, count: NDArray[np.int64], order: int) -> bool | None:
    """Whether the written multiplicities are those of the orbits, or the orders of the site symmetry (SHELXL-97)."""
    if rows.multiplicity is None:
        return None
    known = np.isfinite(rows.multiplicity) & (rows.multiplicity > 0.5) & (count > 0)
    if not known.any():
        return None
    written, found = rows.multiplicity[known], count[known]
    return bool((written == found).all() or np.allclose(written * found, order))


# ----------------------------------------------------------------------------------------------- occupancies


def conventions(rows: Rows, count: NDArray[np.int64], order: int) -> Iterator[tuple[Floats, str]]:
    """Occupancies under other conventions than the dictionary's, with what was assumed."""
    raw = rows.occupancy if rows.raw is None else rows.raw
    if ((raw > 10.0) & (raw <= 11.02)).any():
        raw = np.where((raw > 10.0) & (raw <= 11.02), raw - 10.0, raw)
        yield raw, "fixed occupancies (10 added, as in SHELX)"
    each = np.maximum(count, 1)
    population = raw * order / each
    if not np.allclose(population, raw):
        yield population, "occupancies are population parameters (times the site's share of the general positions)"
    yield population / population.max(), "occupancies are population parameters on a common scale"
    yield raw / each, "occupancies count the atoms in the cell"
    yield raw / 100.0, "occupancies are in percent"


def usable(occupancy: Floats) -> bool:
    """Occupancies of a crystal: above 0, not above 1 but for rounding."""
    return bool(np.isfinite(occupancy).all() and occupancy.min() > 0.0 and occupancy.max() <= _FULL)


def solve_mixed(rows: Rows, occupancy: Floats, count: NDArray[np.int64], stated: Stated) -> Floats | None:
    """Shares of the species of mixed symbols ("Si/Al") from the formula; None where it does not fix them."""
    formula, unknown = stated.formula, rows.mixed
    kinds = {tuple(rows.number[rows.site == s].tolist()) for s in distinct(rows.site[unknown])}
    if not formula or len(kinds) != 1:
        return None
    elements = next(iter(kinds))
    pure = amounts_of(rows.number[~unknown], (occupancy * count)[~unknown])
    rest = {z: n for z, n in formula.items() if z not in elements}
    factor = scale_of(pure, rest) if rest else stated.units
    first = unknown & (rows.number == elements[0])
    sites = float((occupancy * count)[first].sum())
    need = np.array([factor * formula.get(z, 0.0) - pure.get(z, 0.0) for z in elements])
    if not np.isfinite(need).all() or need.min() < -_SUMS * sites or abs(need.sum() - sites) > _SUMS * sites:
        return None
    share = np.maximum(need, 0.0) / max(float(np.maximum(need, 0.0).sum()), 1e-12)
    out = occupancy.copy()
    for z, s in zip(elements, share.tolist(), strict=True):
        mine = unknown & (rows.number == z)
        out[mine] = occupancy[mine] * s
    return out


def solve_groups(rows: Rows, occupancy: Floats, count: NDArray[np.int64], stated: Stated) -> Floats | None:
    """One share for all sites of disorder groups without occupancies, from the formula; None where it does not fit."""
    formula, loose = stated.formula, rows.grouped
    if not formula:
        return None
    fixed = amounts_of(rows.number[~loose], (occupancy * count)[~loose])
    have = amounts_of(rows.number[loose], (occupancy * count)[loose])
    rest = {z: n for z, n in formula.items() if z not in have}
    factor = scale_of(fixed, rest) if rest else stated.units
    shares = np.array([(factor * formula.get(z, 0.0) - fixed.get(z, 0.0)) / n for z, n in have.items()])
    if not np.isfinite(shares).all() or shares.min() <= 0.0 or shares.max() > _FULL or np.ptp(shares) > _SUMS:
        return None
    out = occupancy.copy()
    out[loose] = occupancy[loose] * min(1.0, float(shares.mean()))
    return out
