"""Which legs can still change the percolation barriers, whatever the barriers of the others turn out to be.

A barrier in d dimensions is that of the level at which the legs go on in d dimensions, above the lowest place there.
The saddle of a leg that was not relaxed lies at or above both of its ends (or higher, see `least_barriers`), so its
energy is bounded from below where an end is known. With every leg at its bound no lower level may open, and no lower or
unknown place may be reached at the level: then the barrier is what all legs would give.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastin.relax.percolation import Places, level_in, percolate, ranks

_EQUAL = 1e-9  # eV


@dataclass(frozen=True)
class Open:
    """What is still open.

    Attributes:
        legs: that can still change a barrier.
        closed: leg that was not relaxed and cannot -> why.
    """

    legs: frozenset[int]
    closed: Mapping[int, str]


def still_open(
    places: Places,
    barriers: Mapping[int, tuple[float, float]],
    waiting: Mapping[int, tuple[float, float]],
    vacancy: bool,
) -> Open:
    """Legs that can still matter.

    Args:
        places: with all legs of the crystal.
        barriers: legs that are known -> barrier of the ion forward and backward, eV.
        waiting: legs that are not -> least barrier forward and backward, eV (0 where nothing is assumed).
        vacancy: the carrier is the vacancy, on the far side of the ion.
    """
    state = _State(places, barriers, waiting, vacancy)
    legs: set[int] = set()
    told: dict[int, str] = {}
    for d in (1, 2, 3):
        legs |= state.open_in(d, told)
    closed = {k: told.get(k, "no percolation goes over it") for k in waiting if k not in legs}
    return Open(frozenset(legs), closed)


class _State:
    """Known barriers, and bounds of the others.

    Energies are those of one set of places that known legs join: what another set has is not known on that zero.
    """

    def __init__(
        self,
        places: Places,
        barriers: Mapping[int, tuple[float, float]],
        waiting: Mapping[int, tuple[float, float]],
        vacancy: bool,
    ) -> None:
        self.places, self.barriers, self.waiting = places, barriers, waiting
        self.ends = {k: places.ends(k)[::-1] if vacancy else places.ends(k) for k in (*barriers, *waiting)}
        self.whole = _sets(self.ends.values(), places.kind)  # joined by any leg
        self.found = percolate(places, barriers, vacancy) if barriers else None

    def open_in(self, d: int, told: dict[int, str]) -> set[int]:
        """Legs that can change the barrier in d dimensions; why the others cannot is added to `told`."""
        every = [*self.barriers, *self.waiting]
        wide = {self.whole[int(self.places.kind[m[0]])] for rank, m in ranks(self.places, every) if rank >= d}
        if not wide:
            return set()
        inside = [k for k in self.waiting if self.whole[self.ends[k][0]] in wide]
        if len(wide) > 1 or self.found is None:  # sets that no leg joins: which is lower is known when all is
            return set(inside)
        known = [k for k in self.barriers if self.whole[self.ends[k][0]] in wide]
        joined = _sets((self.ends[k] for k in known), self.places.kind)
        groups = {joined[a] for k in known for a in self.ends[k]}
        best: set[int] | None = None
        for group in sorted(groups):
            open_here, said = self._open_in_group(d, {k for k, g in joined.items() if g == group}, inside, known)
            if best is None or len(open_here) < len(best):
                best = open_here
                told.update({k: v for k, v in said.items() if k not in open_here})
        return set(inside) if best is None else best

    def _open_in_group(
        self, d: int, group: set[int], inside: list[int], known: list[int]
    ) -> tuple[set[int], dict[int, str]]:
        """As `open_in`, on the zero of one set of kinds of places."""
        assert self.found is not None
        energy = {int(k): float(e) for k, e in zip(self.places.kind, self.found.place_energy, strict=True)}
        exact = {k: self.found.saddle[k] for k in known if self.ends[k][0] in group}
        level, low, _ = level_in(self.places, exact, energy, d)
        least = {k: -math.inf for k in known if k not in exact} | {k: self._least(k, group, energy) for k in inside}
        said: dict[int, str] = {}
        matter = set()
        for k in inside:
            if least[k] > level + _EQUAL:
                said[k] = f"its saddle lies at {least[k] - low:.3f} eV or more, above the {level - low:.3f} eV of E{d}D"
            elif self._joins_nothing(k, [m for m, h in exact.items() if h <= least[k] + _EQUAL]):
                said[k] = "lower legs join its ends already"
            else:
                matter.add(k)
        if not math.isfinite(level):
            return matter, said
        # every leg that matters as low as it can be, and what another set holds anywhere
        bounds = exact | {k: least[k] for k in (*matter, *(m for m in known if m not in exact))}
        below = [k for k, h in bounds.items() if h < level - _EQUAL]
        at = [k for k, h in bounds.items() if h <= level + _EQUAL]
        fixed = not any(rank >= d for rank, _ in ranks(self.places, below))
        for rank, members in ranks(self.places, at):
            kinds = {int(self.places.kind[m]) for m in members}
            fixed &= rank < d or (kinds <= group and min(energy[k] for k in kinds) >= low - _EQUAL)
        if not fixed:  # high legs to other sets say where those lie
            return matter or {k for k in inside if not set(self.ends[k]) <= group}, said
        said |= dict.fromkeys(matter, f"E{d}D is {level - low:.3f} eV however low it lies")
        return set(), said

    def _least(self, leg: int, group: set[int], energy: Mapping[int, float]) -> float:
        """Least energy of a saddle on the zero of a set of kinds; -inf where neither end is one of them."""
        bounds = [
            energy[kind] + least for kind, least in zip(self.ends[leg], self.waiting[leg], strict=True) if kind in group
        ]
        return max(bounds, default=-math.inf)

    def _joins_nothing(self, leg: int, lower: list[int]) -> bool:
        """Whether a class of legs leaves the places that lower ones join as they are, dimensions included."""
        if not lower:
            return False
        before, after = (_partition(self.places, legs) for legs in (lower, [*lower, leg]))
        return bool(np.array_equal(before[0], after[0]) and np.array_equal(before[1], after[1]))


def _partition(places: Places, legs: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each place the first one that it is joined to, and in how many dimensions that goes on."""
    first = np.arange(len(places.frac))
    a, b = places.index[:, np.isin(places.leg, legs)]
    while True:
        low = np.minimum(first[a], first[b])
        before = first.copy()
        np.minimum.at(first, a, low)
        np.minimum.at(first, b, low)
        first = first[first]
        if np.array_equal(first, before):
            break
    rank = np.zeros(len(first), dtype=np.int64)
    for d, members in ranks(places, legs):
        rank[members] = d
    return first, rank


def _sets(pairs: Iterable[tuple[int, int]], kinds: npt.NDArray[np.int64]) -> dict[int, int]:
    """Kind -> smallest kind of the set that the pairs join it to."""
    of = {int(k): int(k) for k in kinds}
    for a, b in pairs:
        one, other = sorted((of[a], of[b]))
        of = {k: one if v == other else v for k, v in of.items()}
    return of


def least_barriers(barrier: float, backward: float, softening: float) -> tuple[float, float]:
    """Least relaxed barrier forward and backward of a leg of the landscape, eV.

    Args:
        barrier: of the landscape, forward.
        backward: and backward.
        softening: eV by which relaxing lowers it at most; inf for no bound.
    """
    return max(0.0, barrier - softening), max(0.0, backward - softening)


__all__ = ["Open", "least_barriers", "still_open"]
