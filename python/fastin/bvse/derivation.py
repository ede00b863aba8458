"""Bond valence parameters of pairs that no published table holds, derived from those that it does.

Rmin and D0 follow from R0, b, the coordination number Nc and the factor f by the formulas of `fastin.bvse.pairs`.
The four inputs of a missing pair come from these rules:

* f = 0.9185 + 0.2285 |s_X - s_A|, with one softness s for each ion (Adams, Acta Cryst. B57, 278 (2001)). It holds for
  the published table within 2.5e-4 for 98 % of the pairs. The softness of a cation follows from its tabulated pairs;
  those of the nine tabulated anions are fitted to all pairs, with O2- as zero. Within a group of anions they differ as
  the inverse hardness 1/eta of the atoms does (R. G. Pearson, Inorg. Chem. 27, 734 (1988)), within 5e-4; that gives
  P3-, As3-, Sb3- and Bi3- from N3-, and H- from F-.
* b = max(0.5 - 1.77 d, 0.305 + 1.777 d) with d = |s_X - s_A|, plus the cation's median deviation from that line over
  its tabulated anions of the same kind (monovalent or polyvalent).
* Nc: the cation's median over its tabulated anions.
* R0: the R0 of O'Keeffe and Brese, J. Am. Chem. Soc. 113, 3226 (1991), which belongs to b = 0.37, moved to b at the
  mean bond valence V/Nc, plus the cation's median deviation from that over its tabulated anions.

Leaving each tabulated pair out in turn, the derived R0 is off by 0.026 A in the median and 0.094 A at the 90th
percentile (tests/unit/test_bvse_parameters.py). A cation charge that is tabulated with no anion takes the parameters of
its nearest tabulated charge, with Rmin and D0 recomputed for the charge wanted.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from statistics import median

from fastin.bvse.pairs import (
    PairParameters,
    element_table,
    morse_depth,
    morse_distance,
    pair_table,
    species,
)

# Least-squares fit to the Rmin factors of the published table, O2- as zero.
_FITTED_SOFTNESS = {
    ("F", -1): -0.0049,
    ("Cl", -1): 0.0663,
    ("Br", -1): 0.0892,
    ("I", -1): 0.1230,
    ("O", -2): 0.0,
    ("S", -2): 0.0768,
    ("Se", -2): 0.0942,
    ("Te", -2): 0.1197,
    ("N", -3): 0.0494,
}
# Hardness eta (eV) of the atoms, Pearson (1988).
HARDNESS = {
    **{"H": 6.43, "F": 7.01, "Cl": 4.68, "Br": 4.22, "I": 3.69, "O": 6.08, "S": 4.14, "Se": 3.87, "Te": 3.52},
    **{"N": 7.23, "P": 4.88, "As": 4.50, "Sb": 3.80, "Bi": 3.74},
}
_GROUP = {-1: "F", -2: "O", -3: "N"}
_EXTRAPOLATED = {("H", -1), ("P", -3), ("As", -3), ("Sb", -3), ("Bi", -3)}


def anion_softness(symbol: str, charge: int) -> float | None:
    """Softness relative to O2- (1/eV), or None for an anion that no rule covers."""
    fitted = _FITTED_SOFTNESS.get((symbol, charge))
    if fitted is not None:
        return fitted
    if (symbol, charge) not in _EXTRAPOLATED:
        return None
    first = _GROUP[charge]
    return _FITTED_SOFTNESS[first, charge] + 1.0 / HARDNESS[symbol] - 1.0 / HARDNESS[first]


def rmin_factor_of(pair: PairParameters) -> float:
    """The factor f that a pair's Rmin, R0, b and Nc imply."""
    return (pair.rmin + pair.b * math.log(pair.cation_charge / pair.coordination)) / pair.r0


def _pairs_of(cation: str, charge: int) -> list[PairParameters]:
    return [pair for (c, q, _, _), pair in pair_table().items() if c == cation and q == charge]


def _softness_differences(pairs: list[PairParameters]) -> list[tuple[float, float]]:
    """(softness of the anion, |difference| to the cation) of each pair that is sound."""
    found = []
    for pair in pairs:
        softness = _FITTED_SOFTNESS.get((pair.anion, pair.anion_charge))
        if softness is not None and pair.quality != "suspect":
            found.append((softness, max(0.0, (rmin_factor_of(pair) - 0.9185) / 0.2285)))
    return found


@lru_cache(maxsize=512)
def cation_softness(symbol: str, charge: int) -> float | None:
    """Softness relative to O2- that explains the cation's tabulated pairs best; None when it has none."""
    known = _softness_differences(_pairs_of(symbol, charge))
    candidates = [s + sign * d for s, d in known for sign in (-1.0, 1.0)]
    if not candidates:
        return None
    return min(candidates, key=lambda value: (median(abs(abs(s - value) - d) for s, d in known), value))


def softness_b(difference: float) -> float:
    """B (A) from the softness difference: the main line of the published table."""
    return max(0.5 - 1.77 * difference, 0.305 + 1.777 * difference)


def okeeffe_brese_r0(cation: str, anion: str) -> float | None:
    """R0 (A) for b = 0.37 A from the radii and electronegativities of O'Keeffe and Brese (1991), or None."""
    elements = {entry.symbol: entry for entry in element_table().values()}
    a, x = elements.get(cation), elements.get(anion)
    if a is None or x is None or a.ok91 is None or x.ok91 is None:
        return None
    (ra, ca), (rx, cx) = a.ok91, x.ok91
    return ra + rx - ra * rx * (math.sqrt(ca) - math.sqrt(cx)) ** 2 / (ca * ra + cx * rx)


def _r0_deviation(pair: PairParameters) -> float | None:
    base = okeeffe_brese_r0(pair.cation, pair.anion)
    if base is None:
        return None
    return pair.r0 - base - (pair.b - 0.37) * math.log(pair.cation_charge / pair.coordination)


def derive_pair(cation: str, cation_charge: int, anion: str, anion_charge: int) -> PairParameters | None:
    """The pair by the rules of this module, or None where they do not reach."""
    own = (anion, anion_charge)
    others = [
        pair
        for pair in _pairs_of(cation, cation_charge)
        if (pair.anion, pair.anion_charge) != own and pair.quality != "suspect"
    ]
    s_anion, s_cation = anion_softness(anion, anion_charge), cation_softness(cation, cation_charge)
    base = okeeffe_brese_r0(cation, anion)
    deviations = [d for pair in others if (d := _r0_deviation(pair)) is not None]
    if s_anion is None or s_cation is None or base is None or not deviations:
        return None
    difference = abs(s_anion - s_cation)
    same_kind = [pair for pair in others if (pair.anion_charge == -1) == (anion_charge == -1)]
    shifts = [
        pair.b - softness_b(abs(_FITTED_SOFTNESS[pair.anion, pair.anion_charge] - s_cation)) for pair in same_kind
    ]
    b = softness_b(difference) + (median(shifts) if shifts else 0.0)
    coordination = median(pair.coordination for pair in others)
    r0 = base + (b - 0.37) * math.log(cation_charge / coordination) + median(deviations)
    rmin = morse_distance(r0, b, coordination, cation_charge, 0.9185 + 0.2285 * difference)
    numbers = {entry.symbol: z for z, entry in element_table().items()}
    return PairParameters(
        cation=cation,
        cation_charge=cation_charge,
        anion=anion,
        anion_charge=anion_charge,
        r0=r0,
        b=b,
        coordination=coordination,
        rmin=rmin,
        d0=morse_depth(numbers[cation], cation_charge, numbers[anion], anion_charge, b, rmin),
        bv_cutoff=median(pair.bv_cutoff for pair in others),
        source="derived",
        quality="derived",
        note=f"not in the published table; derived from {len(others)} other pairs of {species(cation, cation_charge)}",
    )


def with_cation_charge(pair: PairParameters, charge: int) -> PairParameters:
    """The pair's parameters for another charge of the cation: R0, b, Nc and f kept, Rmin and D0 recomputed."""
    rmin = pair.rmin + pair.b * math.log(pair.cation_charge / charge)
    return _rescaled(pair, charge, pair.anion_charge, rmin)


def with_anion_charge(pair: PairParameters, charge: float) -> PairParameters:
    """The pair's parameters for another charge of the anion: everything kept but D0."""
    return _rescaled(pair, pair.cation_charge, charge, pair.rmin)


def _rescaled(pair: PairParameters, cation_charge: int, anion_charge: float, rmin: float) -> PairParameters:
    numbers = {entry.symbol: z for z, entry in element_table().items()}
    za, zx = numbers[pair.cation], numbers[pair.anion]
    before = morse_depth(za, pair.cation_charge, zx, pair.anion_charge, pair.b, pair.rmin)
    after = morse_depth(za, cation_charge, zx, anion_charge, pair.b, rmin)
    wanted = f"{species(pair.cation, cation_charge)} - {species(pair.anion, anion_charge)}"
    return replace(
        pair,
        cation_charge=cation_charge,
        rmin=rmin,
        d0=pair.d0 * after / before,
        source="derived",
        quality="derived",
        note=f"those of {pair.name}, Rmin and D0 for {wanted}",
    )
