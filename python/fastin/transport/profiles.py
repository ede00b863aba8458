"""The way of one hop through the energy landscape, and percolating paths made of hops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastin.runtime.late import later
from fastin.runtime.openmp import _core

if TYPE_CHECKING:
    from fastin.bvse.field import Field

FloatArray = npt.NDArray[np.float64]
Operations = tuple[FloatArray, FloatArray]

# A descent that ends farther than this from a site belongs to another one, angstrom.
_ARRIVED = 0.06
# Angstrom between a saddle and its image under an operation that leaves it in place, where coordinates are rounded.
_SAME_SADDLE = 0.1
_STEP = 0.1  # spacing of the points on straight lines, angstrom


@dataclass(frozen=True, eq=False)
class HopProfile:
    """Energy along the steepest-descent path from one site over the saddle to the next.

    Attributes:
        frac: (N, 3) fractional points, not wrapped: the first is the first site in its home cell, the last the second
            site in the cell of the hop's image.
        distance: (N,) length along the path from the first site, angstrom.
        energy: (N,) eV, on the zero of the network.
    """

    frac: FloatArray
    distance: FloatArray
    energy: FloatArray

    def __repr__(self) -> str:
        return f"HopProfile({len(self.energy)} points, {self.distance[-1]:.2f} A, maximum {self.energy.max():.3f} eV)"

    def plot(self, ax: Any = None) -> Any:
        """Energy along the way.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot leg")(self, ax)

    def reversed(self) -> HopProfile:
        """The same way back, starting in the second site's place."""
        return HopProfile(self.frac[::-1], self.distance[-1] - self.distance[::-1], self.energy[::-1])

    def at(self, distance: npt.ArrayLike) -> FloatArray:
        """(n, 3) fractional points at the given lengths along the path."""
        return interpolate(distance, self.distance, self.frac)


@dataclass(frozen=True, eq=False)
class TransportPath:
    """A path that leads from a site to one of its own periodic images over the lowest possible maximum.

    Attributes:
        dimensions: how many dimensions the network spans at the energy of its highest hop.
        translation: (3,) net displacement in lattice vectors.
        hops: ids of the hops, in order.
        forward: whether each hop is walked from its first to its second site.
        sites: ids of the sites, one more than hops; the first and the last are the same site.
        barrier: highest energy of the path above the zero of its dimension (see `TransportNetwork.barriers`), eV.
        frac: (N, 3) points along the path, not wrapped.
        distance: (N,) length along the path, angstrom.
        energy: (N,) eV, on the zero of the network.
    """

    dimensions: int
    translation: npt.NDArray[np.int32]
    hops: tuple[int, ...]
    forward: tuple[bool, ...]
    sites: tuple[int, ...]
    barrier: float
    frac: FloatArray
    distance: FloatArray
    energy: FloatArray

    def __repr__(self) -> str:
        along = " ".join(map(str, self.translation.tolist()))
        return f"TransportPath({self.dimensions}D along [{along}], {len(self.hops)} hops, {self.barrier:.3f} eV)"

    def plot(self, ax: Any = None) -> Any:
        """Energy along the way.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot leg")(self, ax)


def interpolate(at: npt.ArrayLike, distance: FloatArray, frac: FloatArray) -> FloatArray:
    """(n, 3) points at the given lengths along a polyline."""
    return np.stack([np.interp(np.asarray(at), distance, frac[:, k]) for k in range(3)], axis=-1)


def _length_along(frac: FloatArray, cell: FloatArray) -> FloatArray:
    step = np.linalg.norm(np.diff(frac @ cell, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(step)])


def _line(start: FloatArray, end: FloatArray, cell: FloatArray) -> FloatArray:
    """Points from start (left out) to end, at most `_STEP` apart."""
    length = float(np.linalg.norm((end - start) @ cell))
    n = max(1, int(np.ceil(length / _STEP)))
    points: FloatArray = start + (end - start) * (np.arange(1, n + 1) / n)[:, None]
    return points


def _far(a: FloatArray, b: FloatArray, cell: FloatArray) -> float:
    return float(np.linalg.norm((a - b) @ cell))


def _stabiliser(
    operations: Operations, cell: FloatArray, saddle: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Operations ``x' = R x + t`` that leave the saddle where it is."""
    rotations, translations = operations
    gap = rotations @ saddle + translations - saddle
    whole = np.round(gap)
    fixed = np.linalg.norm((gap - whole) @ cell, axis=1) < _SAME_SADDLE
    for k in np.flatnonzero(fixed):
        yield rotations[k], translations[k] - whole[k]


def _way(
    operations: Operations, cell: FloatArray, sides: Sequence[FloatArray], saddle: FloatArray, target: FloatArray
) -> FloatArray:
    """A descent from the saddle (left out) to the target: one of the two sides, or its image under symmetry.

    On a symmetry element a descent falls to one of several equivalent minima by chance; the images reach the others.
    """
    nearest = min(sides, key=lambda side: _far(side[-1], target, cell))
    if _far(nearest[-1], target, cell) >= _ARRIVED:
        images = [side @ r.T + t for r, t in _stabiliser(operations, cell, saddle) for side in sides]
        nearest = min([nearest, *images], key=lambda side: _far(side[-1], target, cell))
    if _far(nearest[-1], target, cell) < _ARRIVED:
        return np.concatenate([nearest, target[None]])
    return np.concatenate([nearest, _line(nearest[-1], target, cell)])


def hop_profiles(
    field: Field,
    operations: Operations,
    zero: float,
    starts: FloatArray,
    ends: FloatArray,
    saddles: FloatArray,
    routes: Sequence[FloatArray],
    num_threads: int,
) -> Iterator[HopProfile]:
    """Profiles of hops with the given unwrapped ends and saddles.

    Args:
        field: the energy.
        operations: rotations and translations that map the hops on each other (`fastin.transport.symmetry`).
        zero: absolute energy of the profiles' zero, eV.
        starts: (n, 3) first sites in their home cells.
        ends: (n, 3) second sites in the cells of the hops' images.
        saddles: (n, 3) the saddles between them.
        routes: for each hop the points from start to end where they are known, else an empty array: then the saddle is
            followed downhill to both sides.
        num_threads: threads of the core.
    """
    cell = field.cell
    offset, frac, _ = _core.saddle_paths(field.core, np.ascontiguousarray(saddles), num_threads)
    for k, (start, end, saddle) in enumerate(zip(starts, ends, saddles, strict=True)):
        if len(routes[k]):
            points = np.concatenate([start[None], routes[k], end[None]])
        else:
            path = frac[offset[k] : offset[k + 1]]
            top = int(np.linalg.norm((path - saddle) @ cell, axis=1).argmin())
            sides = [side for side in (path[:top][::-1], path[top + 1 :]) if len(side)] or [saddle[None]]
            head, tail = (_way(operations, cell, sides, saddle, x) for x in (start, end))
            points = np.concatenate([head[::-1], saddle[None], tail])
        distance = _length_along(points, cell)
        keep = np.concatenate([[True], np.diff(distance) > 1e-9])
        energy = field.energy(points[keep], num_threads=num_threads) - zero
        yield HopProfile(points[keep], distance[keep], energy)


def join_profiles(
    dimensions: int,
    translation: Sequence[int],
    barrier: float,
    steps: Sequence[tuple[int, bool]],
    profiles: Sequence[HopProfile],
    ends: Sequence[tuple[int, int]],
    cell: FloatArray,
) -> TransportPath:
    """A path from consecutive hops; `ends` are the sites of each hop, `profiles` run from the first to the second."""
    points: list[FloatArray] = []
    energies: list[FloatArray] = []
    sites: list[int] = []
    at: FloatArray | None = None
    for (_, forward), profile, (i, j) in zip(steps, profiles, ends, strict=True):
        p = profile if forward else profile.reversed()
        shift = np.zeros(3) if at is None else np.round(at - p.frac[0])
        skip = 0 if at is None else 1
        points.append((p.frac + shift)[skip:])
        energies.append(p.energy[skip:])
        sites.append(i if forward else j)
        at = p.frac[-1] + shift
    i, j = ends[-1]
    sites.append(j if steps[-1][1] else i)
    frac = np.concatenate(points)
    return TransportPath(
        dimensions=dimensions,
        translation=np.array(translation, dtype=np.int32),
        hops=tuple(h for h, _ in steps),
        forward=tuple(f for _, f in steps),
        sites=tuple(sites),
        barrier=barrier,
        frac=frac,
        distance=_length_along(frac, cell),
        energy=np.concatenate(energies),
    )
