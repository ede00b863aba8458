"""Which hops a chain is made of: a leg, the leg over a hop, hops by number, or the hardest leg of a path."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastin.errors import InputError
from fastin.transport.legs import Leg, LegFinder, check_mechanism
from fastin.transport.parts import FloatArray, Hops, Loop, Positions, Sites
from fastin.transport.profiles import HopProfile
from fastin.transport.symmetry import Walk, walk_ends
from fastin.transport.ways import Places

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import MobileIon

Steps = list[tuple[int, bool]]


class Network(Protocol):
    """What a chain is made from: a `TransportNetwork`."""

    @property
    def source(self) -> str:
        """Where the crystal came from."""

    @property
    def ion(self) -> MobileIon:
        """The ion that moves."""

    @property
    def cell(self) -> FloatArray:
        """(3, 3) lattice vectors in rows, angstrom."""

    @property
    def energy_cutoff(self) -> float:
        """Highest energy kept, eV."""

    @property
    def sites(self) -> Sites:
        """Minima."""

    @property
    def hops(self) -> Hops:
        """Saddles between them."""

    @property
    def positions(self) -> Positions:
        """Where the crystal holds the ion."""

    @property
    def loops(self) -> tuple[Loop, ...]:
        """Cheapest path in each dimension."""

    @property
    def crystal(self) -> Crystal:
        """What all was computed from."""

    @property
    def leg_finder(self) -> LegFinder:
        """Ways between places."""

    def checked_hop(self, hop: int) -> int:
        """A hop that is there."""

    def profiles(self, hops: Sequence[int]) -> list[HopProfile]:
        """Ways over hops."""


def oriented(paths: Network, hops: int | Sequence[int]) -> Steps:
    """Consecutive hops with their directions: each starts on the site where the one before ended.

    Raises:
        InputError: no such hop, or hops that do not follow each other.
    """
    ids = [paths.checked_hop(h) for h in ([hops] if isinstance(hops, int | np.integer) else hops)]
    if not ids:
        raise InputError("a chain needs at least one hop")
    ends = [tuple(int(v) for v in paths.hops.index[:, h]) for h in ids]
    for first in (True, False):
        steps, at = [(ids[0], first)], ends[0][1 if first else 0]
        for h, (i, j) in zip(ids[1:], ends[1:], strict=True):
            if at not in (i, j):
                break
            steps.append((h, at == i))
            at = j if at == i else i
        else:
            return steps
    raise InputError(f"the hops {ids} of {paths.source} do not follow each other")


def default_mechanism(paths: Network, mechanism: str | None) -> str:
    """The mechanism named, or ``"vacancy"`` where the crystal holds the ion and ``"interstitial"`` for a guest."""
    if mechanism is None:
        return "vacancy" if len(paths.positions) else "interstitial"
    if check_mechanism(mechanism) != "interstitial" and not len(paths.positions):
        raise InputError(f"{paths.source}: the crystal holds no {paths.ion.symbol}: its mechanism is interstitial")
    return mechanism


def leg(paths: Network, dimensions: int, mechanism: str | None = None) -> list[int]:
    """Hops of a path that lead from one place of the ion to the next, over the highest saddle.

    Args:
        paths: the transport network.
        dimensions: 1, 2 or 3.
        mechanism: ``"vacancy"`` (places are positions of the crystal) or ``"interstitial"``.

    Raises:
        InputError: the network does not reach that many dimensions below the cutoff, or its path touches no place.
    """
    steps, _ = paths.loops[dimensions - 1]
    if not steps:
        raise InputError(
            f"{paths.source}: no path in {dimensions} dimensions below {paths.energy_cutoff:.2f} eV; raise the cutoff"
        )
    places, _ = paths.leg_finder.orbits(default_mechanism(paths, mechanism))
    sites = [int(paths.hops.index[0 if forward else 1, h]) for h, forward in steps]
    stops = [k for k, site in enumerate(sites) if places.of_site[site] >= 0]
    if not stops:
        raise InputError(
            f"{paths.source}: the path in {dimensions} dimensions touches no position of {paths.ion.symbol}; its hops "
            f"are {[h for h, _ in steps]}"
        )
    around = [*steps[stops[0] :], *steps[: stops[0]]]
    at = [k - stops[0] for k in stops] + [len(around)]
    parts = [around[a:b] for a, b in itertools.pairwise(at)]
    apart = [part for part in parts if _leads_on(paths, places, part)] or parts
    hardest = max(apart, key=lambda part: max(float(paths.hops.energy[h]) for h, _ in part))
    return [h for h, _ in hardest]


def _leads_on(paths: Network, places: Places, steps: Sequence[tuple[int, bool]]) -> bool:
    """Whether a way ends in another place than it began, not in another minimum of the same."""
    start = int(paths.hops.index[0 if steps[0][1] else 1, steps[0][0]])
    end, cell = walk_ends(Walk(start, tuple(steps)), paths.hops)
    return places.copy_of(end, cell) != places.copy_of(start, (0, 0, 0))


def resolve(paths: Network, hop: Any, mechanism: str | None) -> tuple[str, Steps, int]:
    """The mechanism, the hops with directions, and for an exchange where the first ion stops.

    Args:
        paths: the transport network.
        hop: a `Leg`; a hop's number: the lowest leg that runs over it; numbers of consecutive hops from place to place;
            or ``"1d"``, ``"2d"``, ``"3d"``: see `leg`.
        mechanism: None takes that of the leg, else see `default_mechanism`.

    Raises:
        InputError: no such hop or leg.
    """
    if isinstance(hop, Leg):
        return hop.mechanism, hop.steps, hop.stop
    chosen = default_mechanism(paths, mechanism)
    finder = paths.leg_finder
    places, orbits = finder.orbits(chosen)
    if isinstance(hop, str):
        if hop.lower() not in ("1d", "2d", "3d"):
            raise InputError(f"{paths.source}: {hop!r} is no hop: give its number, 1d, 2d, 3d or a leg of legs()")
        return chosen, oriented(paths, leg(paths, int(hop[0]), chosen)), 0
    if isinstance(hop, int | np.integer) and not isinstance(hop, bool):
        number = paths.checked_hop(int(hop))
        for walk in itertools.chain.from_iterable(orbits):
            if any(h == number for h, _ in walk.steps):
                return chosen, list(walk.steps), finder.stop_of(walk) if chosen == "exchange" else 0
        raise InputError(
            f"{paths.source}: hop {number} is on no {chosen} leg below {paths.energy_cutoff:.2f} eV: legs({chosen!r}) "
            "lists those that there are"
        )
    if isinstance(hop, bool) or not isinstance(hop, Sequence | np.ndarray) or chosen == "exchange":
        raise InputError(f"{paths.source}: {hop!r} is no hop: give its number, 1d, 2d, 3d or a leg of legs()")
    steps = oriented(paths, [int(h) for h in hop])
    start = int(paths.hops.index[0 if steps[0][1] else 1, steps[0][0]])
    stops = [start, *(int(paths.hops.index[1 if f else 0, h]) for h, f in steps)]
    if min(places.of_site[stops[0]], places.of_site[stops[-1]]) < 0:
        raise InputError(
            f"{paths.source}: the hops {[h for h, _ in steps]} do not lead from place to place by {chosen}: site "
            f"{stops[0] if places.of_site[stops[0]] < 0 else stops[-1]} is none; use a leg of legs({chosen!r})"
        )
    over = [s for s in stops[1:-1] if places.of_site[s] >= 0 and places.of_site[s] != places.of_site[start]]
    if over:
        raise InputError(
            f"{paths.source}: the hops {[h for h, _ in steps]} lead over a place of the ion (site {over[0]}): make one "
            "chain of each leg"
        )
    return chosen, steps, 0
