"""Covalent bonds in a crystal: which atoms are centres of polyanions, which anions, and what bonded groups carry.

Formal charges follow the usual rules. A bond between two elements counts for the more electronegative one; a bond
between atoms of one element for neither. From that:

* Centres, nonmetals bonded to more electronegative ones, have the number of their group, less two for each bond to
  hydrogen that counts the other way, less one for each bond to their own kind (P4+ in P2S6, C3+ in oxalate), less
  two for a lone pair (S4+ in sulfite, I5+ in iodate, N3+ in nitrite, C2+ in cyanide and formate).
* Anions have the charge of their closed shell, reduced by one for every bond to their own kind (S2 2-, As chains).
* Groups with multiple or delocalised bonds carry one charge: O2 2- and O2 -, O3 -, N3 -, N2 2- and N2 4-, C2 2-,
  C2 4- and C3 4-, I3 - (odd chains of halogens), closo clusters BnHn 2- and CBnHn+1 -. Each atom gets its share.
* Where the lengths leave the charge of such a group open (thermal motion, a relaxed model), the other charges are
  proposed after the first one, and neutrality decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import column
from fastin.runtime.arrays import sum_by

NEXT_PENALTY = 3.0  # no proposal after the first costs less
AGAINST_BONDS = 5.0  # penalty from which a proposal contradicts the bonds that the crystal shows
LAST_RESORT = 14.0  # penalty of the last proposals: whole elements as anions, whatever their bonds say
# Elements that form monoatomic or polyatomic anions in ionic crystals, with the charge of their closed shell.
CLOSED_SHELL = {
    **{1: -1, 6: -4, 7: -3, 8: -2, 9: -1, 14: -4, 15: -3, 16: -2, 17: -1, 32: -4, 33: -3, 34: -2, 35: -1},
    **{50: -4, 51: -3, 52: -2, 53: -1, 83: -3, 5: -3, 82: -4, 79: -1, 78: -2, 85: -1, 84: -2},
}
NONMETALS = frozenset({1, 6, 7, 8, 9, 15, 16, 17, 33, 34, 35, 52, 53})
METALLOIDS = frozenset({5, 14, 32, 50, 51, 82, 83})
_GROUP = {5: 3, 6: 4, 7: 5, 15: 5, 33: 5, 16: 6, 34: 6, 17: 7, 35: 7, 53: 7}  # valence electrons
_HALOGENS = (17, 35, 53)
_BOND_REACH = 3.3  # A: no bond to a nonmetal is longer
_FULL = 0.95  # occupancy from which a contact between two positions is surely a bond, not an alternative
_TOO_NEAR = 0.5  # A: nearer positions are alternatives of each other
_BOND_SLACK = 0.45  # A beyond the sum of covalent radii: counts as a bond
_SUPEROXIDE = 1.42  # A: O-O is 1.49 in peroxides, 1.28-1.34 in superoxides
_SURE_DIMER = 1.65  # A: mean O-O up to which pairs are taken for bonds at once
_SAME_LENGTH = 0.05  # A
_TRIPLE, _DOUBLE = 1.28, 1.38  # A: C-C is 1.20, 1.34 and 1.54, 1.40 in aromatic rings
_WIDE_DIMER = 1.95  # A: pairs that thermal motion may have drawn apart; O-O edges of anions start at 2.1


class Rows(NamedTuple):
    """What the rules need of a crystal: rows are (position, species)."""

    number: NDArray[np.int32]
    occupancy: NDArray[np.float64]
    position: NDArray[np.int64]
    neighbours: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


class Parts(NamedTuple):
    """One way to tell anions from cations.

    Attributes:
        anion: (N,) rows that are anions.
        charge: (N,) charge of anions; state of centres that bonding prescribes, NaN where it is open.
        penalty: what this way costs, as -ln of a probability.
        shared: (N,) anions whose electrons a net of bonds shares: their charge may be less negative than the shell's.
    """

    anion: NDArray[np.bool_]
    charge: NDArray[np.float64]
    penalty: float
    shared: NDArray[np.bool_]


class _Tables(NamedTuple):
    """By atomic number, 104 entries each."""

    nonmetal: NDArray[np.bool_]
    catenates: NDArray[np.bool_]  # nonmetals whose anions bond to each other
    metalloid: NDArray[np.bool_]
    chi: NDArray[np.float64]  # electronegativity
    covalent: NDArray[np.float64]  # radius, A
    shell: NDArray[np.float64]  # charge of the closed shell
    least_bonds: NDArray[np.float64]  # to more electronegative nonmetals, from which an atom is a centre


@lru_cache(maxsize=1)
def tables() -> _Tables:
    """Properties of the elements as arrays."""
    nonmetal = np.zeros(104, dtype=np.bool_)
    nonmetal[list(NONMETALS)] = True
    catenates = nonmetal.copy()
    catenates[[1, 9]] = False
    metalloid = np.zeros(104, dtype=np.bool_)
    metalloid[list(METALLOIDS)] = True
    shell = np.zeros(104)
    for z, charge in CLOSED_SHELL.items():
        shell[z] = charge
    chi = np.nan_to_num(column("electronegativity"))
    chi[1] = 2.15  # by convention hydrogen is +1 in phosphites and phosphines; Pauling has P 2.19, H 2.20
    least_bonds = np.full(104, 1.5)
    least_bonds[[1, 6, 7]] = 0.5
    return _Tables(nonmetal, catenates, metalloid, chi, column("covalent_radius"), shell, least_bonds)


class _Bonds(NamedTuple):
    """Bonds of each row; counts weighted with the occupancy at the other end."""

    over: NDArray[np.float64]  # to more electronegative nonmetals
    hydrogen: NDArray[np.float64]  # to hydrogen less electronegative than the row
    own: NDArray[np.float64]  # to the same element, both positions full; double and triple C-C bonds count so
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]  # rows and lengths of the bonds in `own`


def proposals(rows: Rows, present: list[int]) -> Iterator[Parts]:
    """Ways to tell anions from cations, in the order in which they are tried."""
    known = tables()
    number = rows.number
    nonmetal = known.nonmetal[number]
    nothing = np.zeros(len(number), dtype=np.bool_)
    if not nonmetal.any():
        yield _intermetallic(number, present)
        return
    source, at, distance = row_pairs(rows, _BOND_REACH)
    bonds = _bonds(rows, source, at, distance)
    centre = nonmetal & (bonds.over >= known.least_bonds[number])
    anion = nonmetal & ~centre
    shell = np.where(anion, known.shell[number], np.nan)
    _prescribe(number, centre, bonds, shell)
    linked = anion & (bonds.own > 0.0)
    _clusters(rows, source, at, distance, anion, shell)
    if linked.any():
        partners = known.metalloid | known.nonmetal
        covalent = distance < known.covalent[number[source]] + known.covalent[number[at]] + _BOND_SLACK
        bound = np.zeros(len(number), dtype=np.bool_)
        bound[source[covalent & partners[number[at]] & (number[at] != number[source])]] = True
        yield from _grouped(rows, anion, shell, bonds, bound)
    else:
        yield Parts(anion, shell, 0.0, nothing)
    hydride = anion & (number == 1)
    if hydride.any() and (anion & ~hydride).any():  # protons that the model has put too far from their oxygen
        proton = np.where(hydride, 1.0, shell)
        yield Parts(anion & ~hydride, proton, 3.0, nothing)
    metalloid = known.metalloid[number]
    if metalloid.any():  # Si, Ge, Sb, Bi, ... without a bond to anything more electronegative: tetrelides, pnictides
        wider = anion | (metalloid & (bonds.over < 0.5))
        if not np.array_equal(wider, anion):
            yield Parts(wider, np.where(wider & ~anion, known.shell[number], shell), 3.0, nothing)
    last = LAST_RESORT if centre.any() else 0.6 * LAST_RESORT  # without any bond they are not against bonds
    ranked = sorted((z for z in present if known.nonmetal[z]), key=lambda z: -float(known.chi[z]))
    for count in range(1, len(ranked) + 1):  # whole elements, the most electronegative first
        if 8 in ranked[count:] or 9 in ranked[count:]:
            continue  # neither is ever positive here
        chosen = _flags(ranked[:count])[number]
        yield Parts(chosen, np.where(chosen, known.shell[number], np.nan), last, nothing)


def _flags(numbers: Iterable[int]) -> NDArray[np.bool_]:
    """(104,) True at these atomic numbers."""
    found = np.zeros(104, dtype=np.bool_)
    found[list(numbers)] = True
    return found


def row_pairs(rows: Rows, reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Neighbours by rows: (row, first row of the neighbour position, distance) within reach (A)."""
    offsets, index, distance = rows.neighbours
    near = np.flatnonzero((distance < reach) & (distance > _TOO_NEAR))
    source = np.searchsorted(offsets, near, side="right") - 1
    index, distance = index[near], distance[near]
    if len(rows.number) == len(offsets) - 1:
        return source, index, distance
    first_row = np.unique(rows.position, return_index=True)[1]
    starts = np.searchsorted(source, np.arange(len(first_row) + 1))
    picked = [np.arange(starts[p], starts[p + 1]) for p in rows.position.tolist()]
    repeated = np.repeat(np.arange(len(rows.number)), [len(p) for p in picked])
    flat = np.concatenate(picked)
    return repeated, first_row[index[flat]], distance[flat]


def _bonds(rows: Rows, source: NDArray[np.int64], at: NDArray[np.int64], distance: NDArray[np.float64]) -> _Bonds:
    known = tables()
    number = rows.number
    total = sum_by(rows.position, rows.occupancy)[rows.position]
    picked = (known.nonmetal | known.metalloid)[number[source]] & known.nonmetal[number[at]]
    source, at, distance = source[picked], at[picked], distance[picked]
    za, zb = number[source], number[at]
    bonded = distance < known.covalent[za] + known.covalent[zb] + _BOND_SLACK
    bonded |= (za == 8) & (zb == 8) & (distance < _WIDE_DIMER)
    source, at, distance, za, zb = source[bonded], at[bonded], distance[bonded], za[bonded], zb[bonded]
    share = total[at]
    upward = known.chi[zb] > known.chi[za]
    over = sum_by(source[upward], share[upward], len(number))
    protic = (zb == 1) & (known.chi[za] > known.chi[1])
    if protic.any():  # hydrogen is bonded to the nearest atom alone
        nearest = np.full(len(number), np.inf)
        np.minimum.at(nearest, at[zb == 1], distance[zb == 1])
        protic &= distance <= nearest[at] + _SAME_LENGTH
    hydrogen = sum_by(source[protic], share[protic], len(number))
    own = (za == zb) & known.catenates[za] & (np.minimum(total[source], share) > _FULL)
    source, at, distance = source[own], at[own], distance[own]
    order = np.where((number[source] == 6) & (distance < _DOUBLE), np.where(distance < _TRIPLE, 3.0, 2.0), 1.0)
    return _Bonds(over, hydrogen, sum_by(source, order, len(number)), (source, at, distance))


def _prescribe(
    number: NDArray[np.int32], centre: NDArray[np.bool_], bonds: _Bonds, charge: NDArray[np.float64]
) -> None:
    """States of centres from their bonds, written into `charge`; NaN stays where bonding leaves them open."""
    charge[centre & (number == 1)] = 1.0
    for row in np.flatnonzero(centre & (number != 1)).tolist():
        state = _centre_state(int(number[row]), *(round(float(b[row])) for b in bonds[:3]))
        if state is not None:
            charge[row] = state


@lru_cache(maxsize=1024)
def _centre_state(number: int, over: int, hydrogen: int, own: int) -> float | None:
    """State of a centre with so many bonds; None where the bonds do not tell (Te, N in nitrosyls...)."""
    if number not in _GROUP:
        return None
    full = _GROUP[number] - 2 * hydrogen - own
    ligands = over + hydrogen + own
    state: int | None
    if number == 6:
        state = 2 if ligands == 1 else full  # CN -
    elif number == 7:
        state = full if over == 3 else full - 2 if over == 2 else None
    elif number in _HALOGENS:
        state = {1: 1, 2: 3, 3: 5, 4: 7, 5: 5, 6: 7}.get(over)
    elif number == 15 and ligands == 3 and not (hydrogen or own):
        state = None  # PO3 without hydrogen: a broken PO4 rather than P3+
    else:
        state = full if ligands >= 4 else full - 2 if ligands in (2, 3) else None
    return None if state is None or not -4 <= state <= 7 else float(state)


def _grouped(
    rows: Rows, anion: NDArray[np.bool_], shell: NDArray[np.float64], bonds: _Bonds, bound: NDArray[np.bool_]
) -> Iterator[Parts]:
    """Anions bonded to their own kind: by lengths, then with the other charges that their groups can have."""
    number = rows.number
    known = tables()
    source, at, distance = bonds.pairs
    links = np.where(anion, bonds.own, 0.0)
    among = anion[source] & anion[at]
    source, at, distance = source[among], at[among], distance[among]
    molecular = np.isin(number, (6, 7, 8, *_HALOGENS))
    plain = np.where(anion & ~molecular, np.minimum(shell + links, 0.0), shell)
    tight = plain.copy()
    options: list[tuple[NDArray[np.int64], list[float]]] = []
    doubtful = False  # a broken model rather than a peroxide
    for held, length in _groups(number, source, at, distance):
        charges = _group_charges(int(number[held[0]]), len(held), length)
        if charges:
            members = np.array(held)
            tight[members] = charges[0] / len(held)
            options.append((members, charges))
            doubtful = doubtful or (number[held[0]] == 8 and (length > _SURE_DIMER or bool(bound[members].any())))
    nothing = np.zeros(len(number), dtype=np.bool_)
    oxygen = any(number[members[0]] == 8 for members, _ in options)
    if oxygen:
        yield Parts(anion, plain, 0.0, nothing)
    yield Parts(anion, tight, 4.0 if doubtful else 3.0 if oxygen else 0.0, nothing)
    for k in range(1, max((len(charges) for _, charges in options), default=0)):
        other = tight.copy()
        for members, charges in options:
            other[members] = charges[min(k, len(charges) - 1)] / len(members)
        yield Parts(anion, other, 3.0 + 2.0 * k, nothing)
    if options and not oxygen:
        yield Parts(anion, plain, 6.0, nothing)
    shared = (links > 0.0) & ~np.isin(number, (8, *_HALOGENS))
    if shared.any():
        yield Parts(anion, np.where(shared, known.shell[number], tight), 5.0, shared)
    yield Parts(anion, np.where(anion, known.shell[number], shell), 6.0, nothing)


def _groups(
    number: NDArray[np.int32], source: NDArray[np.int64], at: NDArray[np.int64], distance: NDArray[np.float64]
) -> list[tuple[list[int], float]]:
    """Molecules of one element among C, N, O and the halogens: members and mean bond length (A).

    The length is the mean over all molecules of that element and size, so that thermal motion does not split them.
    """
    leader: dict[int, int] = {}

    def root(k: int) -> int:
        while leader.setdefault(k, k) != k:
            k = leader[k]
        return k

    wanted = np.isin(number[source], (6, 7, 8, *_HALOGENS))
    bonds = list(zip(source[wanted].tolist(), at[wanted].tolist(), distance[wanted].tolist(), strict=True))
    for i, j, _ in bonds:
        leader[root(i)] = root(j)
    members: dict[int, list[int]] = {}
    for k in leader:
        members.setdefault(root(k), []).append(k)
    lengths: dict[int, list[float]] = {}
    for i, _, d in bonds:
        lengths.setdefault(root(i), []).append(d)
    sizes: dict[tuple[int, int], list[float]] = {}
    for top, held in members.items():
        sizes.setdefault((int(number[top]), len(held)), []).extend(lengths[top])
    return [
        (held, float(np.mean(sizes[int(number[top]), len(held)])))
        for top, held in members.items()
        if len(lengths[top]) < 2 * len(held)  # no ring or chain through the crystal
    ]


def _group_charges(number: int, size: int, length: float) -> list[float]:
    """Charges that a molecule of one element can carry, the likeliest by its bond length (A) first."""
    if number == 8:
        return {2: [-2.0, -1.0] if length > _SUPEROXIDE else [-1.0, -2.0], 3: [-1.0]}.get(size, [])
    if number == 7:
        pair = [-2.0, -4.0, -3.0] if length < 1.30 else [-4.0, -2.0, -3.0]
        return {2: pair, 3: [-1.0], 5: [-1.0]}.get(size, [])
    if number == 6:
        pair = [-2.0, -4.0, -6.0] if length < 1.28 else [-4.0, -2.0, -6.0] if length < 1.42 else [-6.0, -4.0, -2.0]
        return {2: pair, 3: [-4.0]}.get(size, [])
    if size % 2:
        return [-1.0]
    return [0.0, -2.0] if size == 2 else [-2.0]


def _clusters(
    rows: Rows,
    source: NDArray[np.int64],
    at: NDArray[np.int64],
    distance: NDArray[np.float64],
    anion: NDArray[np.bool_],
    charge: NDArray[np.float64],
) -> None:
    """Closo clusters BnXn 2- and CBnXn+1 -: the state of boron that gives each cluster its charge, into `charge`."""
    number = rows.number
    if not (number == 5).any():
        return
    cage = np.isin(number, (5, 6))
    reach = tables().covalent[5] * 2 + _BOND_SLACK
    inside = cage[source] & cage[at] & (distance < reach) & ((number[source] == 5) | (number[at] == 5))
    count = sum_by(source[inside], np.ones(int(inside.sum())), len(number))
    cage &= count >= 3.0
    boron = cage & (number == 5)
    if not boron.any():
        return
    ends = cage[source] & np.isin(number[at], (1, 9, 17, 35, 53)) & (distance < 2.3)
    ends &= distance < tables().covalent[number[source]] + tables().covalent[number[at]] + _BOND_SLACK
    corners = int(cage.sum())
    carbon = cage & (number == 6)
    size = round(_cluster_size(source[inside], at[inside], cage))
    if int(ends.sum()) != corners or size < 5:
        return
    clusters = corners / size
    total = -2.0 * clusters + float(carbon.sum())
    outer = sum(1.0 if number[s] == 6 and number[e] == 1 else -1.0 for s, e in zip(source[ends], at[ends], strict=True))
    charge[carbon] = -4.0
    charge[boron] = (total - outer + 4.0 * float(carbon.sum())) / float(boron.sum())
    anion[carbon] = True


def _cluster_size(source: NDArray[np.int64], at: NDArray[np.int64], cage: NDArray[np.bool_]) -> float:
    """Mean number of corners of the connected cages."""
    label = np.arange(len(cage))
    while True:
        lower = label.copy()
        np.minimum.at(lower, source, label[at])
        np.minimum.at(lower, at, label[source])
        if np.array_equal(lower, label):
            break
        label = lower
    return float(cage.sum()) / max(1, len(set(label[cage].tolist())))


def _intermetallic(number: NDArray[np.int32], present: list[int]) -> Parts:
    """Zintl phases and alloys: the most electronegative element that can be an anion is one."""
    chi = tables().chi
    most = max((z for z in present if z in CLOSED_SHELL), key=lambda z: float(chi[z]), default=0)
    anion = number == most
    shell = np.where(anion, float(CLOSED_SHELL.get(most, 0)), np.nan)
    return Parts(anion, shell, 0.0, np.zeros_like(anion))
