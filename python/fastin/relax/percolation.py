"""Percolation and diffusivity of relaxed barriers: the places of an ion (or of a vacancy) and all legs between them.

A vacancy moves against the ion: a leg of the ion from place A to place B takes the vacancy from B to A. The energy of a
place is that of the relaxed cell in which the carrier (the vacancy, the added ion) is there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastin.runtime.openmp import _core
from fastin.transport.kinetics import DEFAULT_PREFACTOR, HopModel
from fastin.transport.legs import LegFinder
from fastin.transport.parts import FloatArray
from fastin.transport.ways import ends_of

_EQUAL = 1e-9  # eV
_ONE_SADDLE = 0.4  # angstrom between saddles of one way


@dataclass(frozen=True, eq=False)
class Places:
    """Places of the carrier and the legs between them.

    Attributes:
        frac: (P, 3) of the ion when it is there.
        kind: (P,) symmetry class.
        index: (2, E) places that each leg of the crystal joins: start and end of the ion.
        image: (E, 3) cell of the second.
        leg: (E,) number of the leg's class.
    """

    frac: FloatArray
    kind: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]
    image: npt.NDArray[np.int32]
    leg: npt.NDArray[np.int64]

    def ends(self, leg: int) -> tuple[int, int]:
        """Classes of the places that a class of legs starts and ends in."""
        first = int(np.flatnonzero(self.leg == leg)[0])
        a, b = self.index[:, first]
        return int(self.kind[a]), int(self.kind[b])


def places_of(finder: LegFinder, mechanism: str) -> Places:
    """Places and legs of a mechanism, every image under symmetry."""
    places, orbits = finder.orbits(mechanism)
    rows = [(*ends_of(walk, finder.hops, places), k) for k, orbit in enumerate(orbits) for walk in orbit]
    first = [int(np.flatnonzero(places.of_site == p)[0]) for p in range(places.number)]
    members = [finder.sites.orbit[places.of_site == p].min() for p in range(places.number)]
    kind = np.unique(members, return_inverse=True)[1].astype(np.int64)
    used = sorted({p for a, b, _, _ in rows for p in (a, b)})
    number = {p: n for n, p in enumerate(used)}
    return Places(
        frac=np.array([finder.sites.frac[first[p]] - places.offset[first[p]] for p in used]).reshape(-1, 3),
        kind=kind[used],
        index=np.array([[number[a] for a, *_ in rows], [number[b] for _, b, *_ in rows]], dtype=np.int64),
        image=np.array([cell for _, _, cell, _ in rows], dtype=np.int32).reshape(-1, 3),
        leg=np.array([k for *_, k in rows], dtype=np.int64),
    )


def relaxed_edges(
    finder: LegFinder, mechanism: str, places: Places, saddles: Mapping[int, FloatArray]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """All images of relaxed legs, each way over one saddle once: legs that relaxed onto one saddle count once.

    Args:
        finder: of the legs.
        mechanism: of the legs.
        places: of `places_of`.
        saddles: class of legs, most trusted first -> (3,) moving ion at the saddle, fractional, seen from the leg's
            first site in its home cell.

    Returns:
        As `Places.index`, `image` and `leg`: (2, E), (E, 3) and (E,).
    """
    found, orbits = finder.orbits(mechanism)
    used = sorted({int(p) for orbit in orbits for walk in orbit for p in ends_of(walk, finder.hops, found)[:2]})
    number = {p: n for n, p in enumerate(used)}
    ways: dict[tuple[int, int, tuple[int, int, int]], list[tuple[FloatArray, int]]] = defaultdict(list)
    for leg, saddle in saddles.items():
        for walk, point in finder.symmetry.carried(orbits[leg][0], saddle):
            a, b, cell = ends_of(walk, finder.hops, found)
            at = point - found.copy_of(walk.start, (0, 0, 0))[1]
            back = (-cell[0], -cell[1], -cell[2])
            if (b, a, back) < (a, b, cell):
                a, b, cell, at = b, a, back, at - cell
            held = ways[a, b, cell]
            # a way back to its own start is one way in both directions
            if all(np.linalg.norm((at - other) @ finder.cell) > _ONE_SADDLE for other, _ in held):
                held.append((at, leg))
    rows = [(number[a], number[b], cell, leg) for (a, b, cell), held in ways.items() for _, leg in held]
    index = np.array([[r[0] for r in rows], [r[1] for r in rows]], dtype=np.int64).reshape(2, -1)
    image = np.array([r[2] for r in rows], dtype=np.int32).reshape(-1, 3)
    return index, image, np.array([r[3] for r in rows], dtype=np.int64)


def ranks(places: Places, legs: Sequence[int]) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Components of the places joined by classes of legs: in how many dimensions each goes on, and its places."""
    rows = np.isin(places.leg, list(legs))
    dims, start, members, _, _ = _core.channels(
        np.zeros(len(places.frac)),
        np.ascontiguousarray(places.index[:, rows]),
        np.ascontiguousarray(places.image[rows]),
        np.zeros(int(rows.sum())),
        -1.0,
    )
    return [(int(d), np.sort(members[start[k] : start[k + 1]])) for k, d in enumerate(dims)]


def needed(places: Places, heights: Mapping[int, float], dimensions: Sequence[int] = (1, 2, 3)) -> list[int]:
    """A smallest set of classes of legs, cheapest first, that percolates in as many dimensions at the same heights.

    Args:
        places: with all legs.
        heights: class of legs -> saddle, eV.
        dimensions: that count.
    """
    order = sorted(heights, key=lambda k: (heights[k], k))
    chosen: set[int] = set()
    for d in dimensions:
        count = next((n for n in range(1, len(order) + 1) if _rank(places, order[:n]) >= d), None)
        if count is None:
            break
        kept = order[:count]
        for leg in reversed(order[: count - 1]):
            fewer = [k for k in kept if k != leg]
            if _rank(places, fewer) >= d:
                kept = fewer
        chosen.update(kept)
    return sorted(chosen, key=lambda k: (heights[k], k))


def _rank(places: Places, legs: Sequence[int]) -> int:
    return max((d for d, _ in ranks(places, legs)), default=0)


def place_energies(
    places: Places, differences: Sequence[tuple[int, float]], at_start: Mapping[int, float] | None = None
) -> tuple[dict[int, float], dict[int, float]]:
    """Energies of the carrier by class of place, and how well the legs agree on them.

    Args:
        places: with all legs.
        differences: class of legs, and energy of the cell with the carrier at its end less that at its start, eV.
        at_start: class of legs -> energy of the cell with the carrier at its start, eV; of legs whose cells hold the
            same atoms. It says how sets of places that no leg joins lie to each other.

    Returns:
        Energies by class of place, the lowest 0 (of all sets that `at_start` tells of, and of each other one); and for
        each class of legs the misfit, eV.
    """
    joined: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for leg, gap in differences:
        a, b = places.ends(leg)
        joined[a].append((b, gap))
        joined[b].append((a, -gap))
    energy: dict[int, float] = {}
    compared: list[int] = []
    for root in sorted(joined):
        if root in energy:
            continue
        energy[root] = 0.0
        group, queue = [root], [root]
        while queue:
            a = queue.pop(0)
            for b, gap in joined[a]:
                if b not in energy:
                    energy[b] = energy[a] + gap
                    group.append(b)
                    queue.append(b)
        told = [
            at - energy[places.ends(leg)[0]] for leg, at in (at_start or {}).items() if places.ends(leg)[0] in group
        ]
        shift = told[0] if told else -min(energy[k] for k in group)
        compared += group if told else []
        for k in group:
            energy[k] += shift
    low = min((energy[k] for k in compared), default=0.0)
    for k in compared:
        energy[k] -= low
    misfit = {leg: abs(energy[places.ends(leg)[1]] - energy[places.ends(leg)[0]] - gap) for leg, gap in differences}
    return energy, misfit


@dataclass(frozen=True, eq=False)
class Percolation:
    """Exact percolation of the relaxed legs.

    Attributes:
        barriers: (3,) barrier in 1, 2, 3 dimensions above the lowest place of the percolating part, eV; inf for none;
            never below that in fewer dimensions, as those of `fastin.Barriers`.
        legs: for each dimension the classes of legs that it rests on: a smallest set.
        place_energy: (P,) eV, NaN where no relaxed leg reaches.
        saddle: class of relaxed legs -> eV on the same zero.
        own: (3,) barriers before they were raised to those in fewer dimensions, eV.
        apart: sets of places that percolate, are joined by no leg, and whose energies nothing compares; 1 or less where
            that raises no question.
    """

    barriers: FloatArray
    legs: tuple[tuple[int, ...], ...]
    place_energy: FloatArray
    saddle: Mapping[int, float]
    own: FloatArray
    apart: int


def percolate(
    places: Places,
    barriers: Mapping[int, tuple[float, float]],
    vacancy: bool,
    before: Mapping[int, float] | None = None,
) -> Percolation:
    """Percolation of relaxed legs.

    Args:
        places: with all legs of the crystal.
        barriers: class of legs -> barrier of the ion forward and backward, eV.
        vacancy: the carrier is the vacancy, on the far side of the ion.
        before: class of legs -> energy of the cell before the ion moves, eV, of legs whose cells hold the same atoms:
            compares places that no leg joins.
    """
    turn = -1.0 if vacancy else 1.0
    gaps = [(leg, (ahead - back) * turn) for leg, (ahead, back) in barriers.items()]
    # before the ion moves the vacancy is at the far end
    at_start = {k: e + (barriers[k][0] - barriers[k][1] if vacancy else 0.0) for k, e in (before or {}).items()}
    by_kind, _ = place_energies(places, gaps, at_start)
    energy = np.array([by_kind.get(int(k), math.nan) for k in places.kind])
    height: dict[int, float] = {}
    for leg, (ahead, back) in barriers.items():
        a, b = places.ends(leg)
        start, end = (b, a) if vacancy else (a, b)
        # where legs disagree on a place the higher saddle counts
        height[leg] = max(by_kind[start] + ahead, by_kind[end] + back)
    own: list[float] = []
    rests: list[tuple[int, ...]] = []
    for d in (1, 2, 3):
        level, low, below = level_in(places, height, by_kind, d)
        chosen = needed(places, {k: height[k] for k in below}, (d,))
        if own and max(own) > level - low + _EQUAL:  # it rests on what it is raised to
            chosen = sorted({*chosen, *rests[-1]}, key=lambda k: (height[k], k))
        own.append(level - low)
        rests.append(tuple(chosen))
    apart = _sets_apart(places, list(barriers), [k for k in barriers if k not in (before or {})])
    return Percolation(np.maximum.accumulate(own), tuple(rests), energy, height, np.array(own), apart)


def _sets_apart(places: Places, legs: Sequence[int], unknown: Sequence[int]) -> int:
    """How many percolating sets of places stand side by side whose energies are not known to each other."""
    parent = {k: k for leg in legs for k in places.ends(leg)}

    def root(k: int) -> int:
        while parent[k] != k:
            k = parent[k]
        return k

    for leg in legs:
        one, other = sorted(map(root, places.ends(leg)))
        parent[other] = one
    known = {root(places.ends(leg)[0]) for leg in legs if leg not in unknown}
    wide = {root(int(places.kind[members[0]])) for rank, members in ranks(places, legs) if rank}
    return len(wide - known) + bool(wide & known)


def level_in(
    places: Places, height: Mapping[int, float], energy: Mapping[int, float], d: int
) -> tuple[float, float, list[int]]:
    """Level at which legs go on in d dimensions, the lowest place there (eV), and the legs up to that level.

    Args:
        places: with all legs.
        height: class of legs -> saddle, eV.
        energy: class of places -> eV.
        d: dimensions.

    Returns:
        inf, 0 and no leg where they never do.
    """
    order = sorted(height, key=lambda k: (height[k], k))
    count = next((n for n in range(1, len(order) + 1) if _rank(places, order[:n]) >= d), None)
    if count is None:
        return math.inf, 0.0, []
    level = height[order[count - 1]]
    below = [k for k in order if height[k] <= level + _EQUAL]  # saddles of one height open together
    low = min(energy[int(places.kind[m])] for rank, members in ranks(places, below) if rank >= d for m in members)
    return level, low, below


def hop_model(
    cell: FloatArray,
    places: Places,
    found: Percolation,
    edges: tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int64]],
    prefactor: float = DEFAULT_PREFACTOR,
) -> HopModel:
    """The carrier as a Markov chain over the places that relaxed legs join; `edges` as of `relaxed_edges`."""
    known = np.isfinite(found.place_energy)
    number = np.cumsum(known) - 1
    index, image, leg = edges
    return HopModel(
        cell=cell,
        site_frac=places.frac[known],
        site_energy=found.place_energy[known],
        hop_index=number[index].astype(np.int64),
        hop_image=image,
        hop_energy=np.array([found.saddle[int(k)] for k in leg]),
        prefactor=prefactor,
    )
