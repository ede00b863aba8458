"""Oxidation states from composition, bonding and bond lengths: a bounded search, well under a millisecond.

1. Every site plays the part of an anion or of a cation: `crystal.bonding` tells them apart by covalent bonds, and
   says what bonded groups (peroxide, azide, cyanide, P2S6 4-, closo boranes...) carry.
2. Among the combinations of known states that make the real, fractional composition neutral, the likeliest is taken:
   each element costs -ln of the frequency of its state beside these anions in the ICSD. Where that leaves a doubt, the
   bond valence sums of the sites join in (`crystal.state_likelihood`).
3. If no combination is neutral, or only a very unlikely one, one element of variable valence may take a fractional
   average (mixed valence). Where two such metals share a site (LiNi0.8Mn0.1Co0.1O2) whole states balance by chance,
   and averages are weighed beside them. If that is impossible too, the combination nearest to neutrality is kept and
   its residue reported. Refined occupancies rarely balance: a residue within 2 % stays one where vacancies can explain
   it and no metal of easily variable valence is there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.bonding import (
    AGAINST_BONDS,
    CLOSED_SHELL,
    LAST_RESORT,
    NEXT_PENALTY,
    NONMETALS,
    Parts,
    Rows,
    proposals,
    row_pairs,
    tables,
)
from fastin.crystal.combinations import VARIABLE, Kind, between, combinations, nearest_to_neutral, neutral
from fastin.crystal.elements import species_name, symbol
from fastin.crystal.state_likelihood import LIMITED, Surroundings, redox_cost, state_costs
from fastin.crystal.warnings import CrystalWarning
from fastin.runtime.arrays import sum_by

__all__ = ["CLOSED_SHELL", "Assignment", "assign_oxidation_states"]

_REDOX = frozenset({23, 24, 25, 26, 27, 28, 29, 42, 44, 45, 75, 76, 77})  # change their valence with composition
_NEUTRAL = 1e-4  # e a cell
_ROUNDING = 2e-3  # of the anions' charge: what rounded occupancies can miss
_SOLUBLE = _REDOX | {22}  # they replace each other in solid solutions
_SAME = 2e-3  # A: mean distances of shells that were never relaxed
_RESIDUE_SHARE = 0.02  # of the positive charge: what refined vacancies can miss
_OPPOSED = 4.0  # redox cost (a volt beyond the free 0.4) from which the only neutral whole states are doubted
_UNHEARD = 9.0  # cost of a state that nobody would name
_PRESCRIBED = 6.0  # cost of a polyanion's centre in another state than its bonds say, beside its frequency
_DOUBTED = 13.0  # cost above the unconstrained optimum from which whole states are doubted
_RESIDUE = 19.0  # cost of charges that do not balance: an atom is missing rather than Cl3+ there
_MIXED = 4.0  # cost of mixed valence
_STRAINED = 5.0  # cost above the unconstrained optimum from which mixed valence is weighed against whole states
_CLEAR = 12.0  # cost by which a combination leads the next one where it stands alone
_STRAINED_ALONE = 20.0  # the same where one combination alone is neutral
_AS_LIKELY = math.log(4.0)
_MENTIONED = math.log(100.0)


class Assignment(NamedTuple):
    """Oxidation states, one a row, and what had to be assumed.

    Attributes:
        charge: (N,) oxidation states (e).
        residue: their sum (e a cell).
        notes: what had to be assumed.
        warnings: ``oxidation-ambiguous`` where a second neutral assignment is about as likely.
    """

    charge: NDArray[np.float64]
    residue: float
    notes: tuple[str, ...] = ()
    warnings: tuple[CrystalWarning, ...] = ()


class _Answer(NamedTuple):
    charges: list[float]  # one a kind
    cost: float
    notes: tuple[str, ...] = ()
    doubt: str = ""


def assign_oxidation_states(
    number: NDArray[np.int32],
    occupancy: NDArray[np.float64],
    position: NDArray[np.int64],
    neighbours: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
) -> Assignment:
    """Oxidation states of a crystal.

    Args:
        number: (N,) atomic number of each (position, species) row.
        occupancy: (N,) occupancy of each row.
        position: (N,) index of the position that the row sits on.
        neighbours: (offsets, index, distance) of the positions, nearest first, reaching to 4.6 A.

    Returns:
        Charges a row; ``notes`` say what had to be assumed. The charges sum to ``residue``.
    """
    present = sorted(set(number.tolist()))
    if len(present) == 1:
        return Assignment(np.zeros(len(number)), 0.0, (f"elemental {symbol(present[0])}: no charges assigned",))
    if not any(z in CLOSED_SHELL for z in present):
        return Assignment(np.zeros(len(number)), 0.0, ("no element that forms anions: no charges assigned",))
    rows = Rows(number, occupancy, position, neighbours)
    refined = bool((occupancy < 1.0 - 1e-6).any())
    tolerance = _ROUNDING * float(-np.minimum(tables().shell[number], 0.0) @ occupancy) if refined else _NEUTRAL
    best: tuple[float, _Answer, NDArray[np.int64]] | None = None
    drawn = against = False  # whether the best one disregards bonds, and whether its states are odd besides
    first: tuple[_Judge, NDArray[np.int64]] | None = None
    for parts in proposals(rows, present):
        if best is not None and best[0] <= parts.penalty:
            if parts.penalty >= LAST_RESORT:
                break
            continue
        kinds, kind_of_row = _kinds(rows, parts)
        judge = _Judge(rows, parts, kinds, kind_of_row)
        first = first or (judge, kind_of_row)
        answer = _likeliest(judge, tolerance)
        if answer is None and any(kind.shared for kind in kinds):
            answer = _shared(kinds)
        if answer is not None:
            excess = answer.cost - sum(kind.states[0][1] for kind in kinds) + parts.penalty
            if best is None or excess < best[0]:
                best = (excess, answer, kind_of_row)
                drawn = parts.penalty >= AGAINST_BONDS
                turned = bool((first[0].anion & (np.array(answer.charges)[kind_of_row] > 0.0)).any())
                against = drawn and (turned or excess - parts.penalty > _AS_LIKELY)
            if best[0] <= NEXT_PENALTY:
                break
    assert first is not None  # there is always a first proposal
    judge, kind_of_row = first
    if best is None or best[0] > _DOUBTED or drawn:
        vacant = refined and bool((sum_by(position, occupancy) < 1.0 - 1e-6).any())
        other = _without_neutral(judge, vacant)
        excess = other.cost - sum(kind.states[0][1] for kind in judge.kinds)
        if best is None or excess < best[0]:
            best, against = (excess, other, kind_of_row), False
    charge = np.array(best[1].charges)[best[2]]
    residue = float(charge @ occupancy)
    doubt = best[1].doubt or (_disregarded(first[0]) if against else "")
    warnings = (CrystalWarning("oxidation-ambiguous", doubt),) if doubt else ()
    return Assignment(charge, 0.0 if abs(residue) <= tolerance else residue, best[1].notes, warnings)


def _disregarded(judge: _Judge) -> str:
    """What is said where no likely states fit the bonds of the crystal."""
    names = ", ".join(symbol(z) for z in sorted({kind.number for kind in judge.kinds if kind.number in NONMETALS}))
    return f"no likely states are neutral with the bonds of {names} in this crystal; those taken disregard them"


def _kinds(rows: Rows, parts: Parts) -> tuple[list[Kind], NDArray[np.int64]]:
    """Rows by element, part and prescribed state, and the states that each kind may have."""
    labels: dict[tuple[int, bool, float, bool], int] = {}
    prescribed = np.where(np.isnan(parts.charge), 99.0, parts.charge)
    keys = zip(rows.number.tolist(), parts.anion.tolist(), prescribed.tolist(), parts.shared.tolist(), strict=True)
    kind_of_row = np.array([labels.setdefault(key, len(labels)) for key in keys])
    amounts = sum_by(kind_of_row, rows.occupancy, len(labels)).tolist()
    anions: dict[int, float] = {}
    for (z, is_anion, _, _), amount in zip(labels, amounts, strict=True):
        if is_anion:
            anions[z] = anions.get(z, 0.0) - amount * CLOSED_SHELL.get(z, -1)
    total = sum(anions.values())
    around = tuple((z, round(share / total, 2)) for z, share in sorted(anions.items())) if total else ()
    kinds = []
    for (z, is_anion, charge, shared), amount in zip(labels, amounts, strict=True):
        if is_anion:
            states: tuple[tuple[float, float], ...] = ((charge, 0.0),)
        else:
            states = state_costs(z, around)
            if charge != 99.0:
                states = ((charge, 0.0), *((q, cost + _PRESCRIBED) for q, cost in states if q != charge))
        kinds.append(Kind(z, amount, states or ((0.0, 0.0),), shared))
    return kinds, kind_of_row


# ------------------------------------------------------------------------------------------------ neutral combinations


class _Judge:
    """Full costs of combinations: frequencies, redox order, and the bonds of every kind of cation with a choice."""

    def __init__(self, rows: Rows, parts: Parts, kinds: list[Kind], kind_of_row: NDArray[np.int64]) -> None:
        self.kinds = kinds
        self.open = [k for k, kind in enumerate(kinds) if len(kind.states) > 1 and kind.states[0][1] > 0.0]
        anions = {kind.number for kind in kinds if kind.states[0][0] < 0.0}
        centres = any(kind.number in NONMETALS and kind.states[0][0] > 0.0 for kind in kinds)
        self._oxide = anions == {8} and not centres
        variable = [k for k in self.open if kinds[k].number in VARIABLE]
        self.anion = parts.anion
        self._from = (rows, parts, kinds, kind_of_row)
        self._around: dict[int, Surroundings] | None = None
        self.solution = len(variable) > 1 and (_share_a_site(rows, kind_of_row, variable) or self._unrelaxed(variable))
        self._known: dict[tuple[int, float], float] = {}

    def redox(self, charges: list[float]) -> float:
        return redox_cost([(self.kinds[k].number, charges[k]) for k in self.open], self._oxide)

    @property
    def around(self) -> dict[int, Surroundings]:
        if self._around is None:
            self._around = _surroundings(*self._from, self.open)
        return self._around

    def bonds(self, charges: list[float]) -> float:
        total = 0.0
        for k in self.open:
            key = (k, charges[k])
            if key not in self._known:
                self._known[key] = self.around[k].cost(charges[k])
            total += self._known[key]
        return total

    def sound(self, charges: list[float]) -> bool:
        """Whether every state is one that the element is known for, beside these anions and in such a shell."""
        known = all(dict(kind.states)[charge] < _UNHEARD for kind, charge in zip(self.kinds, charges, strict=True))
        return known and not any(
            self.kinds[k].number in LIMITED and self.around[k].no_such_shell(charges[k]) for k in self.open
        )

    def _unrelaxed(self, variable: list[int]) -> bool:
        """Whether metals of easily variable valence have one shell: an ordered cell of a solid solution, not relaxed.

        Its distances are averages, and tell the metals apart as little as those of a shared site.
        """
        around = self.around
        shells = {k: around[k].shell() for k in variable if self.kinds[k].number in _SOLUBLE}
        found = False
        for k, (count, mean) in shells.items():
            same = [j for j, (n, d) in shells.items() if n == count > 0 and abs(d - mean) < _SAME]
            if len(same) > 1:
                around[k].doubt(self.kinds[k].amount / sum(self.kinds[j].amount for j in same))
                found = True
        return found


def _share_a_site(rows: Rows, kind_of_row: NDArray[np.int64], kinds: list[int]) -> bool:
    """Whether two of the kinds sit on one position."""
    places = [set(rows.position[kind_of_row == k].tolist()) for k in kinds]
    return sum(map(len, places)) > len(set().union(*places))


def _likeliest(judge: _Judge, tolerance: float) -> _Answer | None:
    """The likeliest neutral combination of known states, and what else would do; None if there is none."""
    kinds = judge.kinds
    found = neutral(kinds, tolerance)
    if not found:
        return None
    least = sum(kind.states[0][1] for kind in kinds)
    if len(found) == 1 and not judge.solution:
        cost, charges = found[0]
        if judge.sound(charges) and cost + judge.redox(charges) - least < _STRAINED_ALONE:
            return _Answer(charges, cost, doubt=_opposed(judge, charges, cost, tolerance))
    judged = [(cost + judge.redox(charges) + judge.bonds(charges), charges) for cost, charges in found]
    if judge.solution:
        judged += _averages(judge, VARIABLE, 0.0, tolerance)[:2]
    judged.sort(key=lambda item: item[0])
    cost, taken = judged[0]
    if not judge.solution:
        alone = judge.sound(taken) and (len(judged) == 1 or judged[1][0] - cost > _CLEAR)
        if cost - least > (_STRAINED_ALONE if alone else _STRAINED):
            mixed = _mixed_valence(judge, VARIABLE)
            if mixed is not None and mixed.cost < cost:
                return mixed
    notes = _averaged(kinds, taken)
    if len(judged) == 1:
        return _Answer(taken, cost, notes)
    second, other = judged[1]
    differing = [k for k in range(len(kinds)) if taken[k] != other[k]]
    doubt = ""
    if second - cost < _MENTIONED:
        told = f"oxidation states {_named(kinds, taken, differing)} taken; {_named(kinds, other, differing)} is neutral"
        notes = (*notes, f"{told} as well")
        doubt = f"{told} and about as likely" if second - cost < _AS_LIKELY else ""
    return _Answer(taken, cost, notes, doubt)


def _opposed(judge: _Judge, charges: list[float], cost: float, tolerance: float) -> str:
    """What is said where the one neutral combination of whole states puts an oxidant beside what it oxidises."""
    redox = judge.redox(charges)
    if redox < _OPPOSED:
        return ""
    found = _averages(judge, _REDOX, _MIXED, tolerance)
    if not found or found[0][0] > cost + redox + judge.bonds(charges):
        return ""
    other = found[0][1]
    differing = [k for k in range(len(charges)) if charges[k] != other[k]]
    taken, likelier = _named(judge.kinds, charges, differing), _named(judge.kinds, other, differing)
    return f"oxidation states {taken} taken, of which one would oxidise the other; mixed valence {likelier} is likelier"


def _surroundings(
    rows: Rows, parts: Parts, kinds: list[Kind], kind_of_row: NDArray[np.int64], wanted: list[int]
) -> dict[int, Surroundings]:
    """Distances to the anions around each of the wanted kinds of cation."""
    source, at, distance = row_pairs(rows, math.inf)
    total = sum_by(rows.position, rows.occupancy)
    share = total[rows.position]
    asked = np.zeros(len(kinds), dtype=np.bool_)
    asked[wanted] = True
    mine = asked[kind_of_row[source]] & parts.anion[at]
    source, at, distance = source[mine], at[mine], distance[mine]
    kind, element = kind_of_row[source], rows.number[at]
    found = {}
    for k in wanted:
        here = kind_of_row == k
        trust = float(rows.occupancy[here] @ (rows.occupancy[here] / share[here]) / rows.occupancy[here].sum())
        shells = {}
        for z in set(element[kind == k].tolist()):
            picked = (kind == k) & (element == z)
            weight = rows.occupancy[source[picked]] * share[at[picked]] / float(rows.occupancy[here].sum())
            shells[z] = (distance[picked], weight)
        found[k] = Surroundings(kinds[k].number, trust, shells)
    return found


def _named(kinds: list[Kind], charges: list[float], of: list[int]) -> str:
    chi = tables().chi
    several = sorted(of, key=lambda k: float(chi[kinds[k].number]))
    return " ".join(dict.fromkeys(species_name(kinds[k].number, charges[k]) for k in several))


# --------------------------------------------------------------------------------------------- no neutral combination


def _shared(kinds: list[Kind]) -> _Answer | None:
    """Nets of bonds between anions (graphite layers, borides): they share what the cations give."""
    usual = [kind.states[0][0] for kind in kinds]
    free = [k for k, kind in enumerate(kinds) if kind.shared]
    rest = sum(kind.amount * q for k, (kind, q) in enumerate(zip(kinds, usual, strict=True)) if k not in free)
    amount = sum(kinds[k].amount for k in free)
    charge = -rest / amount
    if not min(usual[k] for k in free) <= charge < 0.0:
        return None
    for k in free:
        usual[k] = charge
    names = " ".join(sorted({symbol(kinds[k].number) for k in free}))
    return _Answer(usual, 0.0, (f"bonded net of {names}: {charge:+.3g} an atom",))


def _without_neutral(judge: _Judge, vacant: bool) -> _Answer:
    """Mixed valence, or the combination nearest to neutrality; a composition with vacancies may miss it by 2 %."""
    kinds = judge.kinds
    nearest = nearest_to_neutral(kinds)
    residue = sum(k.amount * q for k, q in zip(kinds, nearest, strict=True))
    positive = sum(k.amount * q for k, q in zip(kinds, nearest, strict=True) if q > 0)
    near = abs(residue) <= _RESIDUE_SHARE * positive
    allowed = _REDOX if vacant and near else VARIABLE
    mixed = _mixed_valence(judge, allowed)
    if mixed is not None:
        return mixed
    least = sum(kind.states[0][1] for kind in kinds)
    return _Answer(
        nearest,
        least + _RESIDUE,
        (f"oxidation states nearest to neutrality leave a residue of {residue:+.3g} e a cell",),
    )


def _mixed_valence(judge: _Judge, allowed: frozenset[int]) -> _Answer | None:
    """One element of variable valence takes the average that neutrality asks for; the others a likely state."""
    found = _averages(judge, allowed, _MIXED, -1.0)
    if not found:
        return None
    cost, charges = found[0]
    return _Answer(charges, cost, _averaged(judge.kinds, charges))


def _averaged(kinds: list[Kind], charges: list[float]) -> tuple[str, ...]:
    """A note for every element whose state is an average."""
    return tuple(
        f"mixed valence: {symbol(kind.number)} has the average state {charge:+.3g}"
        for kind, charge in zip(kinds, charges, strict=True)
        if charge > 0.0 and charge not in dict(kind.states)
    )


def _averages(
    judge: _Judge, allowed: frozenset[int], price: float, tolerance: float
) -> list[tuple[float, list[float]]]:
    """Neutral combinations in which one element has an average state, with their costs, the cheapest first.

    Averages that miss a whole state by less than the tolerance (e a cell) are left out.
    """
    kinds = judge.kinds
    best = math.inf
    found: list[tuple[float, list[float]]] = []
    for at in judge.open:
        if kinds[at].number not in allowed:
            continue
        for cost, charges in combinations(kinds, at, judge.open):
            rest = sum(k.amount * q for k, q in zip(kinds, charges, strict=True)) - kinds[at].amount * charges[at]
            needed = -rest / kinds[at].amount
            own = between(kinds[at], needed)
            if own is None or cost + own + price >= best + _AS_LIKELY:
                continue
            if abs(needed - round(needed)) * kinds[at].amount <= tolerance:
                continue
            charges[at] = needed
            full = cost + own + price + judge.redox(charges) + judge.bonds(charges)
            best = min(best, full)
            found.append((full, charges))
    found.sort(key=lambda item: item[0])
    return found
