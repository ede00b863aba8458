"""Ways of an ion over the network: from one place where ions sit to the next, over sites where none sits.

Places are the crystallographic positions of the mobile ion, or the vacant sites that have room beside the ions. A
position whose minimum is split is one place with several sites. Which ways are listed: every hop between two places;
every pair of hops with one site between two places; and, between places that no such way joins at the same height, the
lowest way over at most six hops, unless up to four listed ways with
fewer hops each lead there without a higher saddle.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastin.transport.parts import Cell, FloatArray, Hops, Ints, Positions, Sites, periodic_distances
from fastin.transport.symmetry import HopSymmetry, Walk, walk_ends

_MOST_HOPS = 6
# Minima beside a position with a ridge of this height or less between them are one place, eV: four kT at room
# temperature.
_LOW_RIDGE = 0.1
_EQUAL = 1e-9  # eV between saddles of one height
#: Share of the crystal's shortest distance between two atoms below which they are in contact.
CONTACT = 0.6
FILLED = 0.999  # occupancy from which a position counts as filled in every cell


class Places(NamedTuple):
    """Where ions sit.

    Attributes:
        of_site: (S,) place of each site, -1 for a site that is none.
        offset: (S, 3) cell of the site in its place: site s in cell c is in the place's copy of cell ``c - offset[s]``.
        number: how many places the cell holds.
    """

    of_site: Ints
    offset: Ints
    number: int

    def copy_of(self, site: int, cell: Sequence[int]) -> tuple[int, Cell]:
        """The place of a site in a cell, and its cell."""
        a, b, c = (int(cell[k] - self.offset[site, k]) for k in range(3))
        return int(self.of_site[site]), (a, b, c)


def position_places(sites: Sites, positions: Positions, hops: Hops) -> Places:
    """Places of the crystal's ions: sites that share a position, with a low ridge between them, are one."""
    low = hops.energy - sites.energy[hops.index].min(axis=0) <= _LOW_RIDGE
    direct = {(i, j, *c) for (i, j), c in zip(hops.index[:, low].T.tolist(), hops.image[low].tolist(), strict=True)}
    count = len(sites)
    group = list(range(count))
    offset = np.zeros((count, 3), dtype=np.int32)
    for k in range(len(positions)):
        pairs = np.flatnonzero(positions.basin_position == k)
        for m, n in itertools.combinations(pairs.tolist(), 2):
            a, b = int(positions.basin_site[m]), int(positions.basin_site[n])
            gap = positions.basin_cell[n] - positions.basin_cell[m]  # of b, seen from a
            if (a, b, *gap.tolist()) not in direct and (b, a, *(-gap).tolist()) not in direct:
                continue
            if group[a] == group[b]:
                continue  # also a ring of positions that would join a place with its own copies
            shift = offset[a] + gap - offset[b]
            moved = [s for s in range(count) if group[s] == group[b]]
            offset[moved] += shift
            joined = group[a]
            for s in moved:
                group[s] = joined
    held = np.zeros(count, dtype=bool)
    held[positions.basin_site] = True
    names = {g: n for n, g in enumerate(dict.fromkeys(group[s] for s in np.flatnonzero(held)))}
    of_site = np.array([names[group[s]] if held[s] else -1 for s in range(count)], dtype=np.int32)
    return Places(of_site, offset, len(names))


def shortest_contact(cell: FloatArray, positions: Positions) -> float:
    """Shortest distance of two positions of the ion that are filled at once, angstrom; inf for fewer than one."""
    if not len(positions):
        return math.inf
    distance = periodic_distances(cell, positions.frac, positions.frac)
    both = positions.occupancy[:, None] + positions.occupancy[None, :] > 1.0 + 1e-3
    np.fill_diagonal(both, False)
    own = float(np.linalg.norm(cell, axis=1).min())
    return min(own, float(distance[both].min(initial=math.inf)))


def interstitial_places(sites: Sites, positions: Positions, cell: FloatArray) -> Places:
    """Vacant sites with room: no filled position within 0.6 of the shortest distance between the crystal's ions."""
    free = sites.mobile < 0
    filled = positions.occupancy > FILLED
    if filled.any():
        near = periodic_distances(cell, sites.frac, positions.frac[filled]).min(axis=1)
        free &= near >= CONTACT * shortest_contact(cell, positions)
    of_site = np.full(len(sites), -1, dtype=np.int32)
    of_site[free] = np.arange(int(free.sum()))
    return Places(of_site, np.zeros((len(sites), 3), dtype=np.int32), int(free.sum()))


class _Step(NamedTuple):
    hop: int
    forward: bool
    site: int
    cell: Cell


def _neighbours(hops: Hops, sites: int) -> list[list[_Step]]:
    """Steps that leave each site, lowest saddle first."""
    out: list[list[_Step]] = [[] for _ in range(sites)]
    for h, ((i, j), (a, b, c)) in enumerate(zip(hops.index.T.tolist(), hops.image.tolist(), strict=True)):
        out[i].append(_Step(h, True, j, (a, b, c)))
        out[j].append(_Step(h, False, i, (-a, -b, -c)))
    return out


def _plus(a: Sequence[int], b: Sequence[int]) -> Cell:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


class _Search:
    """Ways from a place to others over sites that are none."""

    def __init__(self, hops: Hops, sites: int, places: Places, closed: npt.NDArray[np.bool_]) -> None:
        self.hops = hops
        self.places = places
        self.closed = closed  # (S,) sites that no way leads over, though they are no place
        self.leave = _neighbours(hops, sites)

    def short(self, start: int) -> Iterator[tuple[tuple[int, bool], ...]]:
        """Ways of one and two hops from a site to another place."""
        home = self.places.copy_of(start, (0, 0, 0))
        for first in self.leave[start]:
            if self.places.of_site[first.site] >= 0:
                if self.places.copy_of(first.site, first.cell) != home:
                    yield ((first.hop, first.forward),)
                continue
            if self.closed[first.site]:
                continue
            for second in self.leave[first.site]:
                at = _plus(first.cell, second.cell)
                back = (second.hop, second.forward) == (first.hop, not first.forward)
                if back or self.places.of_site[second.site] < 0:
                    continue
                if self.places.copy_of(second.site, at) != home:
                    yield ((first.hop, first.forward), (second.hop, second.forward))

    def lowest(self, start: int) -> Iterator[tuple[tuple[int, Cell], tuple[tuple[int, bool], ...]]]:
        """The lowest way from a site to each other place within reach, shortest first where saddles are equal."""
        home = self.places.copy_of(start, (0, 0, 0))
        queue: list[tuple[float, float, int, Cell, tuple[tuple[int, bool], ...]]] = [
            (-math.inf, 0.0, start, (0, 0, 0), ())
        ]
        seen: set[tuple[int, Cell]] = set()
        reached: set[tuple[int, Cell]] = set()
        while queue:
            height, length, site, cell, walk = heapq.heappop(queue)
            if (site, cell) in seen:
                continue
            seen.add((site, cell))
            if walk and self.places.of_site[site] >= 0:
                there = self.places.copy_of(site, cell)
                if there != home and there not in reached:
                    reached.add(there)
                    yield there, walk
                continue
            if len(walk) == _MOST_HOPS or (walk and self.closed[site]):
                continue
            for step in self.leave[site]:
                state = (step.site, _plus(cell, step.cell))
                if state not in seen:
                    up = max(height, float(self.hops.energy[step.hop]))
                    far = length + float(self.hops.length[step.hop])
                    heapq.heappush(queue, (up, far, *state, (*walk, (step.hop, step.forward))))


def _height(hops: Hops, walk: Iterable[tuple[int, bool]]) -> float:
    return max(float(hops.energy[h]) for h, _ in walk)


class _Found(NamedTuple):
    """One of each class of ways, with all its images."""

    walks: list[Walk]
    orbits: list[list[Walk]]


def _classes(candidates: Iterable[Walk], symmetry: HopSymmetry) -> _Found:
    walks, orbits = [], []
    known: set[Walk] = set()
    for walk in candidates:
        name = symmetry.canonical(walk)
        if name in known:
            continue
        orbit = symmetry.orbit(walk)
        known.update(symmetry.canonical(image) for image in orbit)
        walks.append(walk)
        orbits.append(orbit)
    return _Found(walks, orbits)


def ways(
    sites: Sites, hops: Hops, places: Places, closed: npt.NDArray[np.bool_], symmetry: HopSymmetry
) -> list[list[Walk]]:
    """All ways between places (see the module), as lists of equivalent ones; lowest saddle first.

    Args:
        sites: of the network.
        hops: of the network.
        places: where the ways begin and end.
        closed: (S,) true for sites that no way leads over, though they are no place.
        symmetry: of the hops.
    """
    search = _Search(hops, len(sites), places, closed)
    starts = [s for s in range(len(sites)) if places.of_site[s] >= 0]
    firsts = list({int(sites.orbit[s]): s for s in reversed(starts)}.values())[::-1]
    found = _classes((Walk(s, steps) for s in firsts for steps in search.short(s)), symmetry)
    best: _Best = defaultdict(lambda: defaultdict(list))
    for orbit in found.orbits:
        _enter(best, hops, places, orbit)
    longer = []
    for s in firsts:
        place = int(places.of_site[s])
        for (other, cell), steps in search.lowest(s):
            at = places.offset[s]  # ways are named from the place's home copy
            key = (other, _plus(cell, (int(at[0]), int(at[1]), int(at[2]))))
            height = _height(hops, steps)
            if len(steps) > 2 and not any(low <= height + _EQUAL for low, _ in best[place].get(key, [])):
                longer.append((height, len(steps), Walk(s, steps)))
    longer.sort(key=lambda entry: entry[:2])
    for height, count, walk in longer:
        if not _made_of_shorter(best, hops, places, walk, height, count):
            more = _classes([walk], symmetry)
            if symmetry.canonical(walk) not in {symmetry.canonical(w) for orbit in found.orbits for w in orbit}:
                found.orbits.extend(more.orbits)
                _enter(best, hops, places, more.orbits[0])
    return sorted(found.orbits, key=lambda orbit: rank(sites, hops, orbit[0]))


def rank(sites: Sites, hops: Hops, walk: Walk) -> tuple[float, ...]:
    """What ways are sorted by: highest saddle, number of hops; then what tells apart those that share a saddle.

    None of it depends on the direction or on which of a class stands for it.
    """
    end, _ = walk_ends(walk, hops)
    depths = sorted(float(sites.energy[s]) for s in (walk.start, end))
    saddles = sum(float(hops.energy[h]) for h, _ in walk.steps)
    return _height(hops, walk.steps), len(walk.steps), round(saddles, 6), *(round(v, 6) for v in depths)


# From a place: to a place in a cell, heights and numbers of hops of the ways listed.
_Best = dict[int, dict[tuple[int, Cell], list[tuple[float, int]]]]


def _enter(best: _Best, hops: Hops, places: Places, orbit: list[Walk]) -> None:
    for walk in orbit:
        a, b, cell = ends_of(walk, hops, places)
        entry = (_height(hops, walk.steps), len(walk.steps))
        best[a][b, cell].append(entry)
        best[b][a, (-cell[0], -cell[1], -cell[2])].append(entry)


def ends_of(walk: Walk, hops: Hops, places: Places) -> tuple[int, int, Cell]:
    """The two places of a way, and the cell of the second seen from the first."""
    end, cell = walk_ends(walk, hops)
    a, home = places.copy_of(walk.start, (0, 0, 0))
    b, away = places.copy_of(end, cell)
    return a, b, (away[0] - home[0], away[1] - home[1], away[2] - home[2])


def _made_of_shorter(best: _Best, hops: Hops, places: Places, walk: Walk, height: float, count: int) -> bool:
    """Whether up to four listed ways, each with fewer hops, lead to the same place over no higher saddle."""
    a, c, cell = ends_of(walk, hops, places)

    def beyond(reached: set[tuple[int, Cell]]) -> set[tuple[int, Cell]]:
        out = set()
        for place, at in reached:
            for (b, step), entries in best[place].items():
                if any(low <= height + _EQUAL and n < count for low, n in entries):
                    out.add((b, _plus(at, step)))
        return out

    from_start = beyond({(a, (0, 0, 0))})
    from_end = beyond({(c, cell)})
    if (c, cell) in from_start or from_start & from_end:
        return True
    from_start |= beyond(from_start)
    return bool(from_start & (from_end | beyond(from_end)))


class _Ranks:
    """Union-find over sites that knows in how many dimensions a component goes on for ever."""

    def __init__(self, count: int) -> None:
        self.parent: dict[int, tuple[int, FloatArray]] = {n: (n, np.zeros(3)) for n in range(count)}
        self.loops: dict[int, FloatArray] = {n: np.zeros((0, 3)) for n in range(count)}
        self.rank = 0

    def copy(self) -> _Ranks:
        """Another one that goes on from here."""
        other = _Ranks(0)
        other.parent, other.loops, other.rank = dict(self.parent), dict(self.loops), self.rank
        return other

    def _find(self, n: int) -> tuple[int, FloatArray]:
        offset = np.zeros(3)
        while self.parent[n][0] != n:
            n, step = self.parent[n]
            offset = offset + step
        return n, offset

    def join(self, a: int, b: int, cell: Sequence[int]) -> None:
        (root, at), (other, there) = self._find(a), self._find(b)
        gap = at + np.asarray(cell, dtype=np.float64) - there
        loops = self.loops[root]
        if root != other:
            self.parent[other] = (root, gap)
            loops = np.concatenate([loops, self.loops.pop(other)])
        elif gap.any():
            loops = np.concatenate([loops, gap[None]])
        if len(loops):
            rank = int(np.linalg.matrix_rank(loops))
            if len(loops) > rank:  # a basis is enough
                kept: list[FloatArray] = []
                for row in loops:
                    if np.linalg.matrix_rank(np.array([*kept, row])) > len(kept):
                        kept.append(row)
                loops = np.array(kept)
            self.rank = max(self.rank, rank)
        self.loops[root] = loops


def opened(orbits: Sequence[Sequence[Walk]], places: Places, hops: Hops) -> list[tuple[int, ...]]:
    """Dimensions that each class of ways opens when they are added in this order, those of one height together.

    Of classes over one saddle each opens what it opens with the lower ones alone; what only all of them open together,
    all open. Sites of one place are joined by the hops between them, each when its turn comes; what these open, the
    classes before them open.
    """
    ends = places.of_site[hops.index]
    inside = np.flatnonzero((ends[0] >= 0) & (ends[0] == ends[1]))  # by rising energy, as all hops
    heights = [_height(hops, orbit[0].steps) for orbit in orbits]
    sets, entered = _Ranks(len(places.of_site)), 0
    out: list[tuple[int, ...]] = [()] * len(orbits)
    last: list[int] = []
    first = 0
    while first <= len(orbits):
        height = heights[first] if first < len(orbits) else math.inf
        before = sets.rank
        while entered < len(inside) and hops.energy[inside[entered]] <= height + _EQUAL:
            h = inside[entered]
            if places.copy_of(int(hops.index[1, h]), hops.image[h]) == places.copy_of(int(hops.index[0, h]), (0, 0, 0)):
                sets.join(int(hops.index[0, h]), int(hops.index[1, h]), hops.image[h])
            entered += 1
        for n in last:
            out[n] = (*out[n], *range(before + 1, sets.rank + 1))
        if first == len(orbits):
            break
        group = [first]
        while group[-1] + 1 < len(orbits) and heights[group[-1] + 1] <= height + _EQUAL:
            group.append(group[-1] + 1)
        before = sets.rank
        alone = [_joined(sets.copy(), orbits[n], hops).rank for n in group] if len(group) > 1 else []
        for n in group:
            _joined(sets, orbits[n], hops)
        for d in range(before + 1, sets.rank + 1):
            able = [n for n, rank in zip(group, alone, strict=True) if rank >= d] if alone else []
            for n in able or group:
                out[n] = (*out[n], d)
        last, first = group, group[-1] + 1
    return out


def _joined(sets: _Ranks, orbit: Sequence[Walk], hops: Hops) -> _Ranks:
    for walk in orbit:
        end, cell = walk_ends(walk, hops)
        sets.join(walk.start, end, cell)
    return sets
