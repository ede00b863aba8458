"""Legs: the ways of an ion from one place where ions sit to the next; the unit of a NEB run.

``vacancy``: the ion moves from a crystallographic position into a vacancy on the next. ``interstitial``: an ion beside
the crystal's own moves from one vacant site with room to the next, not over occupied positions. ``exchange``
(interstitialcy): such an ion takes the place of one of the crystal's, which moves on to a vacant site.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastin.errors import InputError
from fastin.transport.parts import FloatArray, Hops, Positions, Sites
from fastin.transport.symmetry import HopSymmetry, Walk, turned, walk_ends
from fastin.transport.ways import Places, interstitial_places, opened, position_places, rank, ways

MECHANISMS = ("vacancy", "interstitial", "exchange")


@dataclass(frozen=True, eq=False)
class Leg:
    """A way between two places, one of its symmetry class.

    Attributes:
        mechanism: ``"vacancy"``, ``"interstitial"`` or ``"exchange"``.
        hops: ids of the hops, in order.
        forward: whether each hop is walked from its first to its second site.
        sites: ids of the sites, one more than hops.
        image: cell of the last site, seen from the first in its home cell.
        places: Wyckoff letters with multiplicities of the two ends ("24d"); of the three stops for an exchange.
        positions: the crystallographic positions at the ends; -1 for an interstitial.
        energy: highest saddle, eV on the zero of the network.
        barrier: from the start, eV. For an exchange the larger of the two ions' barriers, each from where it sits: the
            landscape of one ion knows nothing of how they push each other.
        barrier_backward: from the end, eV.
        length: along the steepest-descent paths, angstrom.
        multiplicity: how many of its class there are in the cell, directions apart.
        opens: dimensions (1, 2, 3) in which the places become connected by this class and those with lower saddles, and
            not without it; of classes over one saddle each that would do (`fastin.transport.ways.opened`).
        stop: for an exchange, how many hops the first ion makes: it takes the place of the second, which makes the
            others; 0 for the other mechanisms.
    """

    mechanism: str
    hops: tuple[int, ...]
    forward: tuple[bool, ...]
    sites: tuple[int, ...]
    image: tuple[int, int, int]
    places: tuple[str, ...]
    positions: tuple[int, int]
    energy: float
    barrier: float
    barrier_backward: float
    length: float
    multiplicity: int
    opens: tuple[int, ...]
    stop: int = 0

    @property
    def steps(self) -> list[tuple[int, bool]]:
        """The hops with their directions."""
        return list(zip(self.hops, self.forward, strict=True))

    def __repr__(self) -> str:
        opened = ", opens " + " and ".join(f"{d}D" for d in self.opens) if self.opens else ""
        return (
            f"Leg({self.mechanism} {' - '.join(self.places)}, {self.barrier:.3f} eV, {len(self.hops)} hop"
            f"{'' if len(self.hops) == 1 else 's'}, {self.length:.2f} A, {self.multiplicity} in the cell{opened})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers with units in the keys."""
        return {
            "mechanism": self.mechanism,
            "places": list(self.places),
            "positions": list(self.positions),
            "sites": list(self.sites),
            "image": list(self.image),
            "hops": list(self.hops),
            "forward": list(self.forward),
            "stop": self.stop,
            "saddle_energy_eV": self.energy,
            "barrier_eV": self.barrier,
            "barrier_backward_eV": self.barrier_backward,
            "length_A": self.length,
            "multiplicity": self.multiplicity,
            "opens": list(self.opens),
        }


def check_mechanism(mechanism: str) -> str:
    """A mechanism's name.

    Raises:
        InputError: there is no such mechanism.
    """
    if mechanism not in MECHANISMS:
        raise InputError(f"mechanism must be one of {', '.join(MECHANISMS)}, not {mechanism!r}")
    return mechanism


class LegFinder:
    """Legs of a network by any mechanism.

    Args:
        cell: (3, 3) lattice vectors in rows, angstrom.
        sites: of the network.
        hops: of the network.
        positions: of the ions.
        symmetry: of the hops.
        site_places: (S,) Wyckoff letters of the sites.
        position_names: (K,) of the positions.
    """

    def __init__(
        self,
        cell: FloatArray,
        sites: Sites,
        hops: Hops,
        positions: Positions,
        symmetry: HopSymmetry,
        site_places: Sequence[str],
        position_names: Sequence[str],
    ) -> None:
        self.cell = cell
        self.sites = sites
        self.hops = hops
        self.positions = positions
        self.symmetry = symmetry
        self._site_places = site_places
        self._position_names = position_names
        self._orbits: dict[str, tuple[Places, list[list[Walk]]]] = {}
        self._legs: dict[str, tuple[Leg, ...]] = {}

    def orbits(self, mechanism: str) -> tuple[Places, list[list[Walk]]]:
        """Places and ways between them, as lists of equivalent ones; for an exchange the ways of both ions in one."""
        if mechanism not in self._orbits:
            self._orbits[mechanism] = self._find(mechanism)
        return self._orbits[mechanism]

    def _find(self, mechanism: str) -> tuple[Places, list[list[Walk]]]:
        own = position_places(self.sites, self.positions, self.hops)
        if mechanism == "vacancy":
            open_sites = np.zeros(len(self.sites), dtype=np.bool_)
            return own, ways(self.sites, self.hops, own, open_sites, self.symmetry)
        room = interstitial_places(self.sites, self.positions, self.cell)
        if mechanism == "interstitial":
            return room, ways(self.sites, self.hops, room, own.of_site >= 0, self.symmetry)
        both = Places(
            np.where(own.of_site >= 0, own.of_site, np.where(room.of_site >= 0, room.of_site + own.number, -1)),
            own.offset,
            own.number + room.number,
        )
        none = np.zeros(len(self.sites), dtype=np.bool_)
        return both, self._exchanges(ways(self.sites, self.hops, both, none, self.symmetry))

    def _exchanges(self, single: list[list[Walk]]) -> list[list[Walk]]:
        """Pairs of ways: from a vacant site into a position, and from there to another vacant site."""
        into: dict[int, list[Walk]] = {}
        for walk in itertools.chain.from_iterable(single):
            for way in (walk, turned(walk, self.hops)):
                end, _ = walk_ends(way, self.hops)
                if self.sites.mobile[way.start] < 0 <= self.sites.mobile[end]:
                    into.setdefault(end, []).append(way)
        orbits = []
        known: set[Walk] = set()
        firsts = {int(self.sites.orbit[s]): s for s in sorted(into, reverse=True)}
        for site in firsts.values():
            for first, second in itertools.combinations(into[site], 2):
                walk = Walk(first.start, first.steps + turned(second, self.hops).steps)
                if self.symmetry.canonical(walk) in known or self._returns(walk):
                    continue
                orbit = self.symmetry.orbit(walk)
                known.update(self.symmetry.canonical(image) for image in orbit)
                orbits.append(orbit)
        return sorted(orbits, key=lambda orbit: rank(self.sites, self.hops, orbit[0]))

    def _returns(self, walk: Walk) -> bool:
        """Whether a walk ends where it began."""
        return walk_ends(walk, self.hops) == (walk.start, (0, 0, 0))

    def stop_of(self, walk: Walk) -> int:
        """Hops until a walk first stands on a position of the crystal."""
        site = walk.start
        for n, (h, forward) in enumerate(walk.steps, 1):
            site = int(self.hops.index[1 if forward else 0, h])
            if self.sites.mobile[site] >= 0:
                return n
        return 0

    def leg(self, mechanism: str, walk: Walk, multiplicity: int, opens: tuple[int, ...]) -> Leg:
        """One way as a leg."""
        end, cell = walk_ends(walk, self.hops)
        stops = [walk.start, *(int(self.hops.index[1 if f else 0, h]) for h, f in walk.steps)]
        heights = [float(self.hops.energy[h]) for h, _ in walk.steps]
        depth = self.sites.energy
        stop = self.stop_of(walk) if mechanism == "exchange" else 0
        if stop:
            up, down = max(heights[:stop]), max(heights[stop:])
            middle = stops[stop]
            barrier = max(up - depth[walk.start], down - depth[middle])
            back = max(down - depth[end], up - depth[middle])
        else:
            middle = -1
            barrier, back = max(heights) - depth[walk.start], max(heights) - depth[end]
        ends = (int(self.sites.mobile[walk.start]), int(self.sites.mobile[end]))
        names = [
            self._position_names[int(self.sites.mobile[s])] if self.sites.mobile[s] >= 0 else self._site_places[s]
            for s in ([walk.start, middle, end] if stop else [walk.start, end])
        ]
        return Leg(
            mechanism=mechanism,
            hops=tuple(h for h, _ in walk.steps),
            forward=tuple(f for _, f in walk.steps),
            sites=tuple(stops),
            image=cell,
            places=tuple(names),
            positions=ends,
            energy=max(heights),
            barrier=float(barrier),
            barrier_backward=float(back),
            length=float(sum(self.hops.length[h] for h, _ in walk.steps)),
            multiplicity=multiplicity,
            opens=opens,
            stop=stop,
        )

    def legs(self, mechanism: str) -> tuple[Leg, ...]:
        """One leg of each class, lowest saddle first.

        Raises:
            InputError: there is no such mechanism.
        """
        if check_mechanism(mechanism) not in self._legs:
            places, orbits = self.orbits(mechanism)
            opens = opened(orbits, places, self.hops)
            self._legs[mechanism] = tuple(
                self.leg(mechanism, orbit[0], len(orbit), dims) for orbit, dims in zip(orbits, opens, strict=True)
            )
        return self._legs[mechanism]
