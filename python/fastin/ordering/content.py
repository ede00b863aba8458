"""What an ordered cell is to hold: whole numbers of ions near the crystal's occupancies, and neutral."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastin.crystal.data import CrystalData
from fastin.crystal.elements import species_name
from fastin.errors import DisorderError

FloatArray = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

VACANCY = -1
_State = tuple[tuple[int, ...], ...]  # how many positions of each group hold each of its species
# A position is certain to hold its ion from this occupancy on.
FULL = 0.999
# Numbers of ions this close to a whole number are that number: occupancies are printed with two or three digits.
_WHOLE = 0.02
# A total charge below this is none, e.
_NEUTRAL = 1e-3
# Mixed valences may shift by this much an atom to make up for a content in whole numbers, e.
_VALENCE_SHIFT = 0.2
# A content that changes a species by more than this share, and by more than half an ion, is another compound.
_MOST_CHANGED = 0.2
_STATES = 40_000  # contents tried on the way to a neutral one
# Automatic supercells: the content differs from the crystal's by at most this share of its atoms, if one can be found.
_CLOSE = 0.005


@dataclass(frozen=True)
class Group:
    """Positions that are filled alike.

    Attributes:
        positions: of the crystal's cell.
        species: numbers in the species table; the vacancy (-1) is one of them where it can be.
        share: occupancy of each.
    """

    positions: Ints
    species: tuple[int, ...]
    share: tuple[float, ...]


@dataclass(frozen=True)
class Sublattice:
    """Positions of a crystal by what they may hold.

    Attributes:
        number: (S,) atomic number of each species.
        charge: (S,) oxidation state.
        fixed: positions that hold one species for certain.
        fixed_species: its number in the table, for each of them.
        groups: the others.
        mixed: species whose oxidation state is not whole: an element with two valences.
    """

    number: npt.NDArray[np.int32]
    charge: FloatArray
    fixed: Ints
    fixed_species: Ints
    groups: tuple[Group, ...]
    mixed: tuple[int, ...]

    def name(self, species: int) -> str:
        """``Li+``; a vacancy is "vacancy"."""
        return "vacancy" if species == VACANCY else species_name(int(self.number[species]), float(self.charge[species]))


@dataclass
class Content:
    """Numbers of ions in a supercell.

    Attributes:
        multiples: of the cell vectors.
        counts: for each group, how many positions hold each of its species.
        deviation: sum over the species of the difference to the crystal's content, ions.
        atoms: in the supercell.
        charge: of the supercell, e; not zero only where mixed valences make up for it.
        notes: what was changed.
    """

    multiples: tuple[int, int, int]
    counts: list[list[int]]
    deviation: float
    atoms: int
    charge: float
    notes: list[str] = field(default_factory=list)


def sublattice(crystal: CrystalData) -> Sublattice:
    """The positions of a crystal, sorted into certain ones and groups.

    Positions of one symmetry class are one group where the class holds whole numbers of ions; else all positions that
    are filled alike are: in crystals without symmetry every position is a class of its own.
    """
    kinds = sorted({(int(z), round(float(q), 4)) for z, q in zip(crystal.number, crystal.charge, strict=True)})
    index = {kind: k for k, kind in enumerate(kinds)}
    held: list[dict[int, float]] = [{} for _ in range(crystal.num_positions)]
    for position, z, q, share in zip(crystal.position, crystal.number, crystal.charge, crystal.occupancy, strict=True):
        kind = index[int(z), round(float(q), 4)]
        held[position][kind] = held[position].get(kind, 0.0) + float(share)
    fixed, fixed_species = [], []
    alike: dict[tuple[tuple[int, float], ...], list[int]] = {}
    for k, species in enumerate(held):
        if len(species) == 1 and next(iter(species.values())) >= FULL:
            fixed.append(k)
            fixed_species.append(next(iter(species)))
            continue
        alike.setdefault(tuple(sorted((s, round(v, 2)) for s, v in species.items())), []).append(k)
    groups = []
    for positions in alike.values():
        classes: dict[int, list[int]] = {}
        for k in positions:
            classes.setdefault(int(crystal.orbit[k]), []).append(k)
        whole = all(
            abs(len(members) * v - round(len(members) * v)) <= _WHOLE
            for members in classes.values()
            for v in held[members[0]].values()
        )
        groups += [_group(members, held) for members in (list(classes.values()) if whole else [positions])]
    mixed = tuple(k for k, (_, q) in enumerate(kinds) if abs(q - round(q)) > _NEUTRAL)
    return Sublattice(
        np.array([z for z, _ in kinds], dtype=np.int32),
        np.array([q for _, q in kinds]),
        np.array(fixed, dtype=np.int64),
        np.array(fixed_species, dtype=np.int64),
        tuple(groups),
        mixed,
    )


def _group(positions: list[int], held: list[dict[int, float]]) -> Group:
    total: dict[int, float] = {}
    for k in positions:
        for s, v in held[k].items():
            total[s] = total.get(s, 0.0) + v / len(positions)
    filled = sum(total.values())
    species, share = list(total), [v / max(1.0, filled) for v in total.values()]
    if filled < FULL:
        species.append(VACANCY)
        share.append(1.0 - filled)
    return Group(np.array(positions, dtype=np.int64), tuple(species), tuple(share))


def contents(lattice: Sublattice, multiples: tuple[int, int, int], source: str) -> Content:
    """The neutral content in whole numbers that is nearest to the crystal's.

    Raises:
        DisorderError: none is found near the crystal's occupancies.
    """
    cells = math.prod(multiples)
    sizes = [len(g.positions) * cells for g in lattice.groups]
    wanted = [[v * n for v in g.share] for g, n in zip(lattice.groups, sizes, strict=True)]
    start = tuple(tuple(_largest_remainder(w, n)) for w, n in zip(wanted, sizes, strict=True))
    fixed_charge = cells * float(lattice.charge[lattice.fixed_species].sum())
    members = {
        s: [(g, k) for g, group in enumerate(lattice.groups) for k, x in enumerate(group.species) if x == s]
        for s in {x for group in lattice.groups for x in group.species}
    }
    target = {s: sum(wanted[g][k] for g, k in places) for s, places in members.items()}

    def charge(state: _State) -> float:
        return fixed_charge + sum(
            n * float(lattice.charge[s])
            for group, counts in zip(lattice.groups, state, strict=True)
            for s, n in zip(group.species, counts, strict=True)
            if s != VACANCY
        )

    def cost(state: _State) -> float:
        by_species = 0.0
        for s, places in members.items():
            if s == VACANCY:
                continue
            off = abs(sum(state[g][k] for g, k in places) - target[s])
            if off > max(0.5, _MOST_CHANGED * target[s]) + 1e-9:
                return math.inf  # another compound
            by_species += off
        by_group = sum(
            abs(n - w) for counts, row in zip(state, wanted, strict=True) for n, w in zip(counts, row, strict=True)
        )
        return by_species + 0.1 * by_group

    slack = _VALENCE_SHIFT * _mixed_atoms(lattice, start, cells)
    best = _nearest_neutral(start, charge, cost, max(_NEUTRAL, slack), bool(slack))
    if best is None:
        raise DisorderError(
            f"{source}: no neutral content near the occupancies of a {' x '.join(map(str, multiples))} cell: with the "
            f"oxidation states at hand these carry {charge(start):+.3g} e; complete the occupancies, or give "
            "oxidation_states or a larger supercell"
        )
    deviation = sum(
        abs(sum(best[g][k] for g, k in places) - target[s]) for s, places in members.items() if s != VACANCY
    )
    filled = sum(
        n
        for group, counts in zip(lattice.groups, best, strict=True)
        for s, n in zip(group.species, counts, strict=True)
        if s != VACANCY
    )
    out = Content(multiples, [list(c) for c in best], deviation, filled + len(lattice.fixed) * cells, charge(best))
    for s, places in members.items():
        got = sum(best[g][k] for g, k in places)
        if s == VACANCY:
            continue
        if abs(got - target[s]) > _WHOLE:
            out.notes.append(f"{lattice.name(s)}: {got} on partly filled positions, {target[s]:.2f} in the crystal")
    return out


def _mixed_atoms(lattice: Sublattice, counts: _State, cells: int) -> int:
    total = cells * int(np.isin(lattice.fixed_species, lattice.mixed).sum())
    for group, row in zip(lattice.groups, counts, strict=True):
        total += sum(n for s, n in zip(group.species, row, strict=True) if s in lattice.mixed)
    return total


def _largest_remainder(wanted: list[float], total: int) -> list[int]:
    counts = [math.floor(w + 1e-6) for w in wanted]
    order = sorted(range(len(wanted)), key=lambda k: counts[k] - wanted[k])
    for k in itertools.islice(itertools.cycle(order), max(0, total - sum(counts))):
        counts[k] += 1
    return counts


def _nearest_neutral(
    start: _State, charge: Callable[[_State], float], cost: Callable[[_State], float], limit: float, least: bool
) -> _State | None:
    """Best-first search, one position at a time from one species to another; `least`: weigh the charge that is left."""
    heap = [(min(cost(start), 1e9), 0, start)]
    seen = {start}
    order = itertools.count(1)
    found: tuple[float, float, _State] | None = None
    while heap and len(seen) < _STATES:
        here, _, state = heapq.heappop(heap)
        q = abs(charge(state))
        if q <= limit:
            if not least or q <= _NEUTRAL:
                return state
            if found is None or here + 2.0 * q < found[0]:
                found = (here + 2.0 * q, q, state)
        if found is not None and here > found[0]:
            break
        for g, counts in enumerate(state):
            for a, b in itertools.permutations(range(len(counts)), 2):
                if counts[a] < 1:
                    continue
                changed = list(counts)
                changed[a] -= 1
                changed[b] += 1
                new = (*state[:g], tuple(changed), *state[g + 1 :])
                if new not in seen:
                    seen.add(new)
                    value = cost(new)
                    if value < math.inf:
                        heapq.heappush(heap, (value, next(order), new))
    return None if found is None else found[2]


def supercells(limit: int) -> Iterator[tuple[int, int, int]]:
    """Multiples of the cell vectors, by their number of cells."""
    for cells in range(1, limit + 1):
        for a in range(1, cells + 1):
            if cells % a:
                continue
            for b in range(1, cells // a + 1):
                if (cells // a) % b == 0:
                    yield a, b, cells // a // b


def choose(
    crystal: CrystalData, lattice: Sublattice, supercell: tuple[int, int, int] | None, max_atoms: int
) -> Content:
    """The content of the given supercell, or of the smallest one that holds nearly the crystal's content.

    Raises:
        DisorderError: no supercell of at most `max_atoms` atoms is neutral near the occupancies.
    """
    if supercell is not None:
        return contents(lattice, supercell, crystal.source)
    atoms = float(crystal.occupancy.sum())
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(crystal.cell), axis=0)
    candidates = sorted(
        supercells(max(1, int(max_atoms // atoms))),
        key=lambda m: (math.prod(m), float(np.ptp(np.log(spacing * m)))),
    )
    best: Content | None = None
    failure: DisorderError | None = None
    tried: set[int] = set()
    for multiples in candidates:
        if math.prod(multiples) in tried:  # other shapes hold the same ions
            continue
        tried.add(math.prod(multiples))
        try:
            content = contents(lattice, multiples, crystal.source)
        except DisorderError as error:
            failure = failure or error
            continue
        if content.deviation <= _CLOSE * content.atoms:
            return content
        if best is None or content.deviation / content.atoms < best.deviation / best.atoms - 1e-9:
            best = content
    if best is None:
        assert failure is not None
        raise failure
    return best
