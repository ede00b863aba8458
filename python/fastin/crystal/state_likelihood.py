"""How likely an oxidation state is: how often it occurs beside an anion, and how well the bonds of the site fit it.

* Frequencies: `data/oxidation_frequencies.csv` counts the states of each element in the ICSD, beside each of eight
  anions and in all. The probability beside an anion is that of the anion's own counts, drawn to the element's total
  as by ten more structures, so that few counts decide little.
* Bond valence sums: V = sum of exp((R0 - d) / b) with the softBV parameters of the pair (element, state, anion). In
  relaxed and measured crystals V / state is 0.94 +- 0.09 where the state is right. Pairs without parameters take the
  R0 of O'Keeffe and Brese, J. Am. Chem. Soc. 113, 3226 (1991), b 0.37 A, which is worth less: 1.00 +- 0.20.
* Coordination: Cr6+, Mn5+ to Mn7+ and Fe6+ are held by tetrahedra alone, Pd2+ and Pt2+ by no two anions.
* Redox order: an ion that would oxidise its neighbour is no likely neighbour. A combination pays for the largest
  difference between the standard potential of an ion's reduction and that of another element's reduction to the state
  that it has: Ni4+ beside Ti2+, Bi5+ beside V3+, Mn4+ beside W5+.
"""

from __future__ import annotations

import csv
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import DATA, element, numbers_by_symbol

# States beside those of `elements.csv` in which crystals are known: K3MnO4, K2MnO4, SrFeO3, K2FeO4, KRuO4, NaOsO3,
# PdCoO2...
_ALSO = {
    **{25: (5, 6), 26: (4, 6), 43: (5,), 44: (7,), 46: (1,), 76: (5, 6, 7, 8), 77: (6,), 78: (1, 5)},
    **{79: (1, 5), 93: (4, 6, 7), 94: (3, 6), 95: (4,)},
}
# States that are counted in metallic compounds or as averages, but that no single ion has: La2+ to Tb2+ of metallic
# halides, Sc2+, Y2+; In2+, Ga2+, Ge3+, Sn3+, which are two ions in one formula; S2+, Se2+, Te2+ and Cl+, Cl3+, Br+, I+
# of molecules and of ions that fall apart in solids.
_FORMAL = {
    **{21: (1, 2), 39: (1, 2), 57: (2,), 58: (2,), 59: (2,), 60: (2,), 64: (1, 2), 65: (1, 2), 31: (2,), 49: (2,)},
    **{32: (3,), 50: (3,), 16: (2,), 34: (2,), 52: (2,), 17: (1, 3), 35: (1, 3), 53: (1, 3)},
}
_ODD, _VERY_ODD = 0.1, 0.02  # they need what is rare (tetrahedral Mn5+, Fe4+; CuS is Cu+ with holes in S), or are none
_OWN_WEIGHT = 200.0  # structures from which more of them say nothing new
_DRAW = 10.0  # structures' worth of the element's total
_RAREST = 1e-4
_FIT = (0.94, 0.09)  # V / state with parameters of the state: mean, standard deviation
_ROUGH_FIT = (1.00, 0.20)  # with parameters of the element
_ROUGH_B = 0.37  # A
_WORST = 8.0  # cost of bonds that fit no better: beyond it the model of the crystal is in doubt, not the state
_SHELL = 1.25  # times the shortest distance: anions of the first shell
# Lowest state of small d0 to d2 ions that only tetrahedra hold (Shannon 1976 lists no other), and of metals that are
# square planar, never between two anions alone: those are d10 and d9, Cu+, Ag+, Au+, Pd+, Pt+ (R. D. Shannon,
# D. B. Rogers, C. T. Prewitt, Inorg. Chem. 10, 713 (1971)).
_TETRAHEDRAL = {24: 6, 25: 5, 26: 6}
_LINEAR = frozenset({46, 78})  # Pd+ and Pt+ are known between two oxygen atoms only
_PLANAR = {46: 2, 78: 2, 79: 3}
LIMITED = frozenset({*_TETRAHEDRAL, *_PLANAR})  # atomic numbers whose states say something of their shells
_NO_SUCH_SHELL = 8.0  # cost of a state whose coordination is not known
_NO_BONDS = 0.5  # cost where nothing is known: that of a fit one standard deviation off
# Co-O of softBV misses LiCoO2 (Co3+ 6 x 1.921 A; Akimoto et al., J. Solid State Chem. 141, 298 (1998)) and BaCoO3
# (Co4+ 6 x 1.874 A; Taguchi et al., Acta Cryst. B33, 1299 (1977)) by a fifth: R0 that gives them their states.
_MENDED = {(27, 3, 8): (1.921 - 0.434 * math.log(6.0 / 3.0), 0.434), (27, 4, 8): (1.874 - 0.441 * math.log(1.5), 0.441)}

# Standard potentials (V, acid) of (lower state, higher state), to 0.1 V: S. G. Bratsch, J. Phys. Chem. Ref. Data 18, 1
# (1989); lanthanides: L. J. Nugent et al., J. Phys. Chem. 77, 1528 (1973). Co4+ as Co3+ with a margin.
_POTENTIALS: dict[int, tuple[tuple[int, int, float], ...]] = {
    **{22: ((2, 3, -0.4), (3, 4, 0.1)), 23: ((2, 3, -0.3), (3, 4, 0.3), (4, 5, 1.0))},
    **{
        24: ((2, 3, -0.4), (3, 4, 2.1), (4, 5, 1.3), (5, 6, 0.6)),
        25: ((2, 3, 1.5), (3, 4, 0.9), (4, 5, 2.9), (5, 7, 1.7)),
    },
    **{26: ((2, 3, 0.8), (3, 6, 2.4)), 27: ((1, 2, -1.0), (2, 3, 1.9), (3, 4, 2.4)), 28: ((1, 2, -1.0), (2, 4, 1.7))},
    **{29: ((1, 2, 0.2), (2, 3, 2.4)), 32: ((2, 4, -0.3),), 33: ((3, 5, 0.6),), 34: ((4, 6, 1.2),)},
    **{21: ((2, 3, -2.5),), 39: ((2, 3, -2.5),), 40: ((2, 4, -1.5),), 72: ((2, 4, -1.5),), 31: ((1, 3, -0.4),)},
    **{41: ((2, 5, -0.2),), 73: ((2, 5, -0.8),), 42: ((2, 4, 0.0), (4, 6, 0.6)), 74: ((2, 4, -0.1), (4, 6, 0.0))},
    **{44: ((2, 3, 0.2), (3, 4, 0.9), (4, 6, 1.5)), 45: ((3, 4, 1.4),), 46: ((2, 4, 1.3),), 78: ((2, 4, 0.8),)},
    **{47: ((1, 2, 2.0), (2, 3, 2.1)), 79: ((1, 3, 1.4),), 80: ((1, 2, 0.9),), 77: ((3, 4, 0.9), (4, 6, 1.3))},
    **{49: ((1, 3, -0.4),), 50: ((2, 4, 0.2),), 51: ((3, 5, 0.6),), 52: ((4, 6, 1.0),), 75: ((3, 4, 0.2), (4, 7, 0.5))},
    **{81: ((1, 3, 1.3),), 82: ((2, 4, 1.5),), 83: ((1, 3, 0.2), (3, 5, 1.8)), 92: ((3, 4, -0.6), (4, 6, 0.3))},
    **{57: ((2, 3, -3.1),), 58: ((2, 3, -3.2), (3, 4, 1.7)), 59: ((2, 3, -2.7), (3, 4, 3.2)), 60: ((2, 3, -2.6),)},
    **{62: ((2, 3, -1.6),), 63: ((2, 3, -0.4),), 64: ((2, 3, -3.9),), 65: ((2, 3, -3.7), (3, 4, 3.1))},
    **{66: ((2, 3, -2.6),), 67: ((2, 3, -2.9),), 68: ((2, 3, -3.1),), 69: ((2, 3, -2.3),), 70: ((2, 3, -1.1),)},
}
# In oxides without polyanions Co3+ and Mn3+ are far easier to reach than in water: Co(OH)3 / Co(OH)2 and Mn(OH)3 /
# Mn(OH)2 have 0.17 and 0.15 V in base, 1.0 on this scale, and Co3O4 / CoO is at 0.4 by their free energies.
_OXIDE_POTENTIALS = {
    25: ((2, 3, 1.0), *_POTENTIALS[25][1:]),
    27: ((1, 2, -1.0), (2, 3, 0.7), (3, 4, 2.4)),
}
_REDOX_FREE = 0.4  # V: differences that a crystal's bonds can turn round
_REDOX_PRICE = 4.0  # cost a volt


@lru_cache(maxsize=1)
def _frequencies() -> dict[tuple[int, int], dict[int, int]]:
    """(atomic number, that of the anion; 0 for all) -> state -> count."""
    numbers = numbers_by_symbol()
    found = {}
    with (DATA / "oxidation_frequencies.csv").open(newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            pairs = (pair.split(":") for pair in row["states"].split())
            found[numbers[row["element"]], numbers.get(row["anion"], 0)] = {int(q): int(n) for q, n in pairs}
    return found


@lru_cache(maxsize=1024)
def _probabilities(number: int, anion: int) -> dict[int, float]:
    facts = element(number)
    states = sorted(q for q in {*facts.usual_states, *facts.common_states, *_ALSO.get(number, ())} if q > 0)
    if number in _LINEAR and anion not in (0, 8):
        states = states[1:]  # without Pd+ and Pt+
    overall = _frequencies().get((number, 0), {})
    total = sum(overall.get(q, 0) for q in states)
    base = {q: overall.get(q, 0) / total if total else 1.0 / len(states) for q in states}
    own = _frequencies().get((number, anion), {})
    count = sum(own.get(q, 0) for q in states)
    weight = min(count, _OWN_WEIGHT)
    share = {q: own.get(q, 0) / count if count else 0.0 for q in states}
    found = {q: max(_RAREST, (weight * share[q] + _DRAW * base[q]) / (weight + _DRAW)) for q in states}
    odd, formal = _ALSO.get(number, ()), _FORMAL.get(number, ())
    if number == 29 and anion in (16, 34, 52):
        odd = (2,)
    return {q: p * (_ODD if q in odd else _VERY_ODD if q in formal else 1.0) for q, p in found.items()}


@lru_cache(maxsize=4096)
def state_costs(number: int, anions: tuple[tuple[int, float], ...]) -> tuple[tuple[float, float], ...]:
    """(state, -ln probability) of the positive states of an element beside these anions, the likeliest first.

    Args:
        number: atomic number of the cation.
        anions: (atomic number, share) of the anions around; the shares sum to 1. Empty: all anions alike.
    """
    mixed: dict[int, float] = {}
    for anion, share in anions or ((0, 1.0),):
        for state, chance in _probabilities(number, anion).items():
            mixed[state] = mixed.get(state, 0.0) + share * chance
    costs = [(float(q), -math.log(p)) for q, p in mixed.items()]
    return tuple(sorted(costs, key=lambda pair: pair[1]))


@lru_cache(maxsize=1)
def _pairs() -> dict[tuple[int, int, int], tuple[float, float]]:
    numbers = numbers_by_symbol()
    with (DATA / "bvse_parameters.csv").open(newline="", encoding="ascii") as file:
        rows = [
            ((numbers[r["cation"]], int(r["cation_charge"]), numbers[r["anion"]]), (float(r["r0"]), float(r["b"])))
            for r in csv.DictReader(file)
        ]
    return {**dict(rows), **_MENDED}


@lru_cache(maxsize=1)
def _radii() -> dict[int, tuple[float, float]]:
    """Radius (A) and electronegativity of O'Keeffe and Brese by atomic number."""
    with (DATA / "bvse_elements.csv").open(newline="", encoding="ascii") as file:
        rows = csv.DictReader(file)
        return {int(r["number"]): (float(r["ok91_r"]), float(r["ok91_c"])) for r in rows if r["ok91_r"]}


@lru_cache(maxsize=4096)
def _bond(number: int, state: int, anion: int) -> tuple[float, float, bool] | None:
    """R0 and b (A) of a pair, and whether they are those of this very state; None where nothing is known."""
    exact = _pairs().get((number, state, anion))
    if exact is not None:
        return *exact, True
    first, second = _radii().get(number), _radii().get(anion)
    if first is None or second is None:
        return None
    (r1, c1), (r2, c2) = first, second
    r0 = r1 + r2 - r1 * r2 * (math.sqrt(c1) - math.sqrt(c2)) ** 2 / (c1 * r1 + c2 * r2)
    return r0, _ROUGH_B, False


class Surroundings:
    """Distances from the atoms of one kind to the anions around, for its bond valence sums.

    Args:
        number: atomic number of the kind.
        weight: trust in the distances, 1 where the kind fills its sites alone.
        shells: anion's atomic number -> distances (A) and weights, the weights a bond of one average atom.
    """

    def __init__(
        self, number: int, weight: float, shells: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
    ) -> None:
        self._number = number
        self._weight = weight
        self._shells = shells

    def shell(self) -> tuple[int, float]:
        """Number of the nearest anions, those within 1.25 times the shortest distance, and their mean distance (A)."""
        if not self._shells:
            return 0, 0.0
        distance = np.concatenate([d for d, _ in self._shells.values()])
        weight = np.concatenate([w for _, w in self._shells.values()])
        near = distance < _SHELL * distance.min()
        total = float(weight[near].sum())
        return round(total), float(distance[near] @ weight[near]) / total

    def no_such_shell(self, state: float) -> bool:
        """Whether no crystal is known where an ion of this state has so many neighbours."""
        count = self.shell()[0]
        if self._number in _LINEAR and state < 2.0:
            return count != 2
        above = _TETRAHEDRAL.get(self._number, 99) if count > 4 else _PLANAR.get(self._number, 99) if count == 2 else 99
        return state >= above

    def doubt(self, trust: float) -> None:
        """Weighs the distances by this share at most."""
        self._weight = min(self._weight, trust)

    def valence(self, state: int) -> tuple[float, bool] | None:
        """Bond valence sum for a state, and whether its own parameters served; None where some are missing."""
        total, exact = 0.0, True
        for anion, (distance, weight) in self._shells.items():
            bond = _bond(self._number, state, anion)
            if bond is None:
                return None
            total += float(np.exp((bond[0] - distance) / bond[1]) @ weight)
            exact = exact and bond[2]
        return total, exact

    def cost(self, state: float) -> float:
        """-ln of the likelihood of this shell for a state, up to a constant."""
        return self._fit(state) + (_NO_SUCH_SHELL if self.no_such_shell(state) else 0.0)

    def _fit(self, state: float) -> float:
        """The same of the distances alone; between two states interpolated."""
        low = math.floor(state + 1e-6)
        part = max(0.0, state - low)
        found = self.valence(low) if low > 0 else None
        if found is None or not self._shells:
            return _NO_BONDS * self._weight
        total, exact = found
        if part > 1e-6:
            upper = self.valence(low + 1)
            if upper is None:
                return _NO_BONDS * self._weight
            total, exact = (1.0 - part) * total + part * upper[0], exact and upper[1]
        mean, deviation = _FIT if exact else _ROUGH_FIT
        return min(_WORST, 0.5 * ((total / state - mean) / deviation) ** 2) * self._weight


@lru_cache(maxsize=4096)
def _couples(number: int, state: float, oxide: bool) -> tuple[float | None, float | None]:
    """Potentials (V) of the reduction of an ion, and of the reduction that ends at it; None where unknown."""
    down = up = None
    potentials = {**_POTENTIALS, **_OXIDE_POTENTIALS} if oxide else _POTENTIALS
    for low, high, potential in potentials.get(number, ()):
        if low < state - 1e-6 and state <= high + 1e-6:
            down = potential
        if low <= state + 1e-6 and state < high - 1e-6:
            up = potential
    return down, up


def redox_cost(ions: list[tuple[int, float]], oxide: bool = False) -> float:
    """Cost of the worst pair of ions of two elements of which one would oxidise the other.

    Args:
        ions: (atomic number, state) of each ion.
        oxide: whether they are bonded to oxide ions alone, to no polyanion.
    """
    worst = 0.0
    found = [(z, *_couples(z, q, oxide)) for z, q in ions]
    for z, down, _ in found:
        if down is None:
            continue
        for other, _, up in found:
            if up is not None and other != z:
                worst = max(worst, down - up)
    return _REDOX_PRICE * max(0.0, worst - _REDOX_FREE)
