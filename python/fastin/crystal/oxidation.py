"""Oxidation states from composition and bonding: a bounded search that takes well under a millisecond.

1. Every site plays the part of an anion or of a cation. Nonmetals bonded to nonmetals more electronegative than
   themselves are cation centres (P in PO4 or PS4, S in SO4, C in CO3, H in OH); other nonmetals are anions; metals are
   cations. Without nonmetals the most electronegative element that forms anions is one (Zintl phases); an alloy
   without any has no charges.
2. Anions have the charge of their closed shell, reduced by one for every bond to an anion of their own element
   (disulfides, Zintl phases). Bonds between oxygen or nitrogen atoms count when nothing else is neutral (peroxides,
   azides); O2 units shorter than 1.42 A are superoxide.
3. Cations take the first combination of known states that makes the real, fractional composition neutral (order of
   trial: see _neutral); a far likelier one, by the frequencies of the states in the ICSD, overrules it. Where several
   combinations are neutral, a note says so: the caller can give oxidation states.
4. If none is neutral, one element of variable valence gets a fractional average (mixed valence); if that is impossible
   too, the combination nearest to neutrality is kept and its residue reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import column, element, species_name, symbol
from fastin.crystal.warnings import CrystalWarning
from fastin.runtime.arrays import sum_by

# Elements that form monoatomic or polyatomic anions in ionic crystals, with the charge of their closed shell.
CLOSED_SHELL = {
    **{1: -1, 6: -4, 7: -3, 8: -2, 9: -1, 14: -4, 15: -3, 16: -2, 17: -1, 32: -4, 33: -3, 34: -2, 35: -1},
    **{50: -4, 51: -3, 52: -2, 53: -1, 83: -3, 5: -3, 82: -4, 79: -1, 78: -2, 85: -1, 84: -2},
}
_NONMETALS = frozenset({1, 6, 7, 8, 9, 15, 16, 17, 33, 34, 35, 52, 53})
_METALLOIDS = frozenset({5, 14, 32, 50, 51, 82, 83})
_HIGHEST_FIRST = frozenset({*_NONMETALS, 14, 32, 51})  # tried from the highest state down, others from the lowest up
_VARIABLE = frozenset(
    {*range(22, 30), *range(40, 48), *range(73, 80), 50, 51, 58, 59, 62, 63, 65, 69, 70, 81, 82, 83, 92, 93, 94}
)
_BOND_REACH = 3.3  # A: no bond to a nonmetal is longer
_FULL = 0.95  # occupancy from which a contact between two positions is surely a bond, not an alternative
_TOO_NEAR = 0.5  # A: nearer positions are alternatives of each other
_BOND_SLACK = 0.45  # A beyond the sum of covalent radii: counts as a bond
_SUPEROXIDE = 1.42  # A: O-O is 1.49 in peroxides, 1.28-1.34 in superoxides
_NEUTRAL = 1e-4  # e a cell
_ROUNDING = 2e-3  # of the anions' charge: what rounded occupancies can miss
_RESIDUE_SHARE = 0.02  # of the positive charge: accepted without mixed valence when the composition is refined
_DECISIVE = math.log(1000.0)  # likelihood ratio above which the ICSD's frequencies overrule the order of trial
_MAX_NODES = 20000  # search nodes; reached by no crystal known, it bounds the time


_Neighbours = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


class Assignment(NamedTuple):
    """Oxidation states, one a row, and what had to be assumed."""

    charge: NDArray[np.float64]
    residue: float  # e a cell
    notes: tuple[str, ...]
    warnings: tuple[CrystalWarning, ...] = ()


class _Kind(NamedTuple):
    """Rows of one element that play the same part."""

    number: int
    amount: float  # atoms a cell, occupancies counted
    states: tuple[tuple[float, float], ...]  # (charge, cost an atom), cheapest first


def assign_oxidation_states(
    number: NDArray[np.int32],
    occupancy: NDArray[np.float64],
    position: NDArray[np.int64],
    neighbours: _Neighbours,
) -> Assignment:
    """Oxidation states of a crystal.

    Args:
        number: (N,) atomic number of each (position, species) row.
        occupancy: (N,) occupancy of each row.
        position: (N,) index of the position that the row sits on.
        neighbours: (offsets, index, distance) of the positions, nearest first, reaching to 3.2 A at least.

    Returns:
        Charges a row; ``notes`` say what had to be assumed. The charges sum to ``residue``.
    """
    present = sorted(set(number.tolist()))
    if len(present) == 1:
        return Assignment(np.zeros(len(number)), 0.0, (f"elemental {symbol(present[0])}: no charges assigned",))
    if not any(z in CLOSED_SHELL for z in present):
        return Assignment(np.zeros(len(number)), 0.0, ("no element that forms anions: no charges assigned",))
    refined = bool((occupancy < 1.0 - 1e-6).any())
    tolerance = _ROUNDING * float(-np.minimum(_tables().shell[number], 0.0) @ occupancy) if refined else _NEUTRAL
    best: tuple[list[_Kind], NDArray[np.int64]] | None = None
    for anion, shell, by_bonds in _part_proposals(number, occupancy, position, neighbours, present):
        kinds, kind_of_row = _kinds(number, occupancy, anion, shell)
        found = _neutral(kinds, tolerance)
        if found is not None:
            return Assignment(np.array(found[0])[kind_of_row], 0.0, found[1])
        if best is None or by_bonds:
            best = (kinds, kind_of_row)
    assert best is not None  # there is always a first proposal
    charges, notes = _without_neutral(best[0], refined)
    charge = np.array(charges)[best[1]]
    return Assignment(charge, float(charge @ occupancy), notes)


def _part_proposals(
    number: NDArray[np.int32],
    occupancy: NDArray[np.float64],
    position: NDArray[np.int64],
    neighbours: _Neighbours,
    present: list[int],
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64], bool]]:
    """Ways to tell anions from cations, in the order in which they are tried.

    Yields:
        Rows that are anions; the charge of each row's shell; True for the one to keep if none is neutral.
    """
    tables = _tables()
    nonmetal = tables.nonmetal[number]
    if not nonmetal.any():
        yield *_intermetallic_parts(number, present), True
        return
    shell = tables.shell[number]
    rows, at, distance = _row_pairs(number, position, neighbours)
    over, links = _bonds(number, occupancy, position, rows, at, distance)
    hungry = (number == 1) | (number == 6) | (number == 7)
    centre = over >= np.where(hungry, 0.5, 1.5)
    anion = nonmetal & ~centre
    # O-O and N-N contacts count last: models with broken oxygen positions are commoner than peroxides and azides.
    heavy = np.where((number == 8) | (number == 7), 0.0, links)
    if heavy.any():
        yield anion, np.minimum(shell + heavy, 0.0), True
    yield anion, shell, not links.any()
    metalloid = tables.metalloid[number]
    if metalloid.any():  # Si, Ge, Sb, Bi, ... without a bond to anything more electronegative: tetrelides, pnictides
        wider = anion | (metalloid & (over < 0.5))
        if wider.any() and not np.array_equal(wider, anion):
            yield wider, shell, False
    chi = tables.chi
    ranked = sorted((z for z in present if tables.nonmetal[z]), key=lambda z: -float(chi[z]))
    for count in range(1, len(ranked) + 1):  # whole elements, the most electronegative first
        yield np.isin(number, ranked[:count]), shell, False
    if not np.array_equal(heavy, links):
        yield anion, np.minimum(shell + links, 0.0), True


def _bonds(
    number: NDArray[np.int32],
    occupancy: NDArray[np.float64],
    position: NDArray[np.int64],
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    distance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each row: bonds to nonmetals more electronegative than it, and bonds to its own kind (a superoxide 1.5)."""
    tables = _tables()
    total = sum_by(position, occupancy)[position]
    picked = (tables.nonmetal | tables.metalloid)[number[rows]] & tables.nonmetal[number[at]]
    rows, at, distance = rows[picked], at[picked], distance[picked]
    za, zb = number[rows], number[at]
    bonded = distance < tables.covalent[za] + tables.covalent[zb] + _BOND_SLACK
    rows, at, distance, za, zb = rows[bonded], at[bonded], distance[bonded], za[bonded], zb[bonded]
    share = total[at]
    upward = tables.chi[zb] > tables.chi[za]
    over = sum_by(rows[upward], share[upward], len(number))
    centre = over >= 1.5
    own = (za == zb) & tables.catenates[za] & ~centre[rows] & ~centre[at] & (np.minimum(total[rows], share) > _FULL)
    order = np.where((za == 8) & (distance < _SUPEROXIDE), 1.5, 1.0)[own]
    links = sum_by(rows[own], order, len(number))
    links[(number == 8) & (links > 1.5)] = 0.0  # ozonides aside, oxygen has one such bond: the model is broken
    return over, links


def _row_pairs(
    number: NDArray[np.int32], position: NDArray[np.int64], neighbours: _Neighbours
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Neighbours by rows: (row, first row of the neighbour position, distance) within reach."""
    offsets, index, distance = neighbours
    near = (distance < _BOND_REACH) & (distance > _TOO_NEAR)
    source = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[near]
    index, distance = index[near], distance[near]
    if len(number) == len(offsets) - 1:
        return source, index, distance
    first_row = np.unique(position, return_index=True)[1]
    starts = np.searchsorted(source, np.arange(len(first_row) + 1))
    picked = [np.arange(starts[p], starts[p + 1]) for p in position.tolist()]
    rows = np.repeat(np.arange(len(number)), [len(p) for p in picked])
    flat = np.concatenate(picked)
    return rows, first_row[index[flat]], distance[flat]


def _intermetallic_parts(
    number: NDArray[np.int32], present: list[int]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Zintl phases and alloys: the most electronegative element that can be an anion is one."""
    chi = _tables().chi
    most = max((z for z in present if z in CLOSED_SHELL), key=lambda z: float(chi[z]), default=0)
    anion = number == most
    return anion, np.where(anion, float(CLOSED_SHELL.get(most, 0)), 0.0)


class _Tables(NamedTuple):
    """By atomic number, 104 entries each."""

    nonmetal: NDArray[np.bool_]
    catenates: NDArray[np.bool_]  # nonmetals whose anions bond to each other
    metalloid: NDArray[np.bool_]
    chi: NDArray[np.float64]  # electronegativity
    covalent: NDArray[np.float64]  # radius, A
    shell: NDArray[np.float64]  # charge of the closed shell


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    nonmetal = np.zeros(104, dtype=np.bool_)
    nonmetal[list(_NONMETALS)] = True
    catenates = nonmetal.copy()
    catenates[[1, 9, 17, 35]] = False
    metalloid = np.zeros(104, dtype=np.bool_)
    metalloid[list(_METALLOIDS)] = True
    shell = np.zeros(104)
    for z, charge in CLOSED_SHELL.items():
        shell[z] = charge
    chi = np.nan_to_num(column("electronegativity"))
    chi[1] = 2.15  # by convention hydrogen is +1 in phosphites and phosphines; Pauling has P 2.19, H 2.20
    return _Tables(nonmetal, catenates, metalloid, chi, column("covalent_radius"), shell)


@lru_cache(maxsize=256)
def _cation_states(number: int) -> tuple[tuple[float, float], ...]:
    """(charge, cost) of the positive states of an element, in the order in which they are tried."""
    facts = element(number)
    counts = {q: facts.occurrences.get(q, 0) + 1 for q in {*facts.usual_states, *facts.common_states} if q > 0}
    total = sum(counts.values())
    ordered = sorted(counts, reverse=number in _HIGHEST_FIRST)
    return tuple((float(q), -math.log(counts[q] / total)) for q in ordered)


def _kinds(
    number: NDArray[np.int32], occupancy: NDArray[np.float64], anion: NDArray[np.bool_], shell: NDArray[np.float64]
) -> tuple[list[_Kind], NDArray[np.int64]]:
    labels: dict[tuple[int, bool, float], int] = {}
    keys = zip(number.tolist(), anion.tolist(), shell.tolist(), strict=True)
    kind_of_row = np.array([labels.setdefault((z, a, q if a else 0.0), len(labels)) for z, a, q in keys])
    amounts = sum_by(kind_of_row, occupancy, len(labels)).tolist()
    kinds = []
    for (z, is_anion, charge), amount in zip(labels, amounts, strict=True):
        states = ((charge, 0.0),) if is_anion else _cation_states(z)
        kinds.append(_Kind(z, amount, states or ((0.0, 0.0),)))
    return kinds, kind_of_row


def _without_neutral(kinds: list[_Kind], refined: bool) -> tuple[list[float], tuple[str, ...]]:
    """Mixed valence, or the combination nearest to neutrality; a refined composition may miss it by 2 %."""
    nearest = _nearest_to_neutral(kinds)
    residue = sum(k.amount * q for k, q in zip(kinds, nearest, strict=True))
    positive = sum(k.amount * q for k, q in zip(kinds, nearest, strict=True) if q > 0)
    if not (refined and abs(residue) <= _RESIDUE_SHARE * positive):
        mixed = _mixed_valence(kinds)
        if mixed is not None:
            return mixed
    return nearest, (f"oxidation states nearest to neutrality leave a residue of {residue:+.3g} e a cell",)


def _neutral(kinds: list[_Kind], tolerance: float) -> tuple[list[float], tuple[str, ...]] | None:
    """A neutral combination of known states, and a note when another one is likelier; None if there is none.

    Elements are taken by rising electronegativity, each from its lowest state up (nonmetals, Si, Ge and Sb from the
    highest down), and the first neutral combination is kept unless another is more than a thousand times as likely by
    the frequencies of the states in the ICSD.
    """
    chi = _tables().chi
    order = sorted(range(len(kinds)), key=lambda k: (float(chi[kinds[k].number]), kinds[k].number))
    low, high = _reach(kinds, order)
    chosen = [0.0] * len(kinds)
    found: list[tuple[float, list[float]]] = []  # the first, then ever cheaper ones
    nodes = 0

    def descend(at: int, total: float, cost: float) -> None:
        nonlocal nodes
        nodes += 1
        if found and cost >= found[-1][0] - 1e-9:
            return
        if at == len(order):
            if abs(total) <= tolerance:
                found.append((cost, list(chosen)))
            return
        if total + low[at] > tolerance or total + high[at] < -tolerance or nodes > _MAX_NODES:
            return
        kind = kinds[order[at]]
        for charge, price in kind.states:
            chosen[order[at]] = charge
            descend(at + 1, total + kind.amount * charge, cost + price)

    descend(0, 0.0, 0.0)
    if not found:
        return None
    first, likeliest = found[0], found[-1]
    taken, other = (likeliest, first) if first[0] - likeliest[0] > _DECISIVE else (first, likeliest)
    if taken is other:
        return taken[1], ()
    return taken[1], (
        f"oxidation states {_named(kinds, taken[1])} taken; {_named(kinds, other[1])} is neutral as well",
    )


def _named(kinds: list[_Kind], charges: list[float]) -> str:
    chi = _tables().chi
    several = [k for k, kind in enumerate(kinds) if len(kind.states) > 1]
    several.sort(key=lambda k: float(chi[kinds[k].number]))
    return " ".join(dict.fromkeys(species_name(kinds[k].number, charges[k]) for k in several))


def _reach(kinds: list[_Kind], order: list[int]) -> tuple[list[float], list[float]]:
    """Lowest and highest charge that the kinds from each place of the order on can add up to."""
    low = [0.0] * (len(order) + 1)
    high = [0.0] * (len(order) + 1)
    for at in range(len(order) - 1, -1, -1):
        kind = kinds[order[at]]
        low[at] = low[at + 1] + kind.amount * min(q for q, _ in kind.states)
        high[at] = high[at + 1] + kind.amount * max(q for q, _ in kind.states)
    return low, high


def _nearest_to_neutral(kinds: list[_Kind]) -> list[float]:
    """Combination with the smallest residue, the likeliest of equals; only metals of variable valence are varied."""
    kinds = [
        k if k.number in _VARIABLE else k._replace(states=(min(k.states, key=lambda state: state[1]),)) for k in kinds
    ]
    order = sorted(range(len(kinds)), key=lambda k: len(kinds[k].states))
    low, high = _reach(kinds, order)
    chosen = [0.0] * len(kinds)
    best: tuple[float, float, list[float]] = (math.inf, math.inf, [k.states[0][0] for k in kinds])
    nodes = 0

    def descend(at: int, total: float, cost: float) -> None:
        nonlocal best, nodes
        nodes += 1
        if at == len(order):
            if (round(abs(total), 6), cost) < best[:2]:
                best = (round(abs(total), 6), cost, list(chosen))
            return
        if max(total + low[at], -(total + high[at])) > best[0] + 1e-6 or nodes > _MAX_NODES:
            return
        kind = kinds[order[at]]
        for charge, price in kind.states:
            chosen[order[at]] = charge
            descend(at + 1, total + kind.amount * charge, cost + kind.amount * price)

    descend(0, 0.0, 0.0)
    return best[2]


def _mixed_valence(kinds: list[_Kind]) -> tuple[list[float], tuple[str, ...]] | None:
    """One element of variable valence takes the average that neutrality asks for; the others their usual state."""
    usual = [min(k.states, key=lambda state: state[1])[0] for k in kinds]
    total = sum(k.amount * q for k, q in zip(kinds, usual, strict=True))
    best: tuple[float, int, float] | None = None
    for at, kind in enumerate(kinds):
        positive = [(q, cost) for q, cost in kind.states if q > 0]
        if len(positive) < 2 or kind.number not in _VARIABLE:
            continue
        needed = usual[at] - total / kind.amount
        below = max(((q, c) for q, c in positive if q <= needed), default=None)
        above = min(((q, c) for q, c in positive if q >= needed), default=None)
        if below is None or above is None:
            continue
        share = (needed - below[0]) / (above[0] - below[0]) if above[0] > below[0] else 0.0
        cost = (1 - share) * below[1] + share * above[1]
        if best is None or cost < best[0]:
            best = (cost, at, needed)
    if best is None:
        return None
    usual[best[1]] = best[2]
    name = symbol(kinds[best[1]].number)
    return usual, (f"mixed valence: {name} has the average state {best[2]:+.3g}",)
