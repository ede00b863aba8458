"""What the operations of the space group do with hops and with walks over them."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from fastin.bvse.field import crystal_symmetry
from fastin.crystal.symmetry import wyckoff_letters
from fastin.transport.parts import Cell, FloatArray, Hops, Positions, Sites, periodic_distances

if TYPE_CHECKING:
    from fastin.bvse.field import Field
    from fastin.crystal.crystal import Crystal

_SAME_SADDLE = 0.1  # angstrom: images of a saddle where coordinates are rounded


def operations(crystal: Crystal, field: Field) -> tuple[FloatArray, FloatArray]:
    """Operations that map the crystal, as its field sees it, on itself.

    A cell that repeats a smaller one may do so along some directions only (1 x 2 x 1 of a cube). Rotations that turn
    the crystal but not that cell have rows of fractions here; the translations of the smaller cell belong to the list.

    Args:
        crystal: what the field was computed from.
        field: its energy.

    Returns:
        (G, 3, 3) rotations and (G, 3) translations on fractional columns.
    """
    own, shifts = crystal_symmetry(crystal, field)
    rotations = own.astype(np.float64)
    pure = shifts[(own == np.eye(3, dtype=np.int32)).all(axis=(1, 2))]
    if len(pure) < 2 or len(own) < len(crystal.rotations):
        return rotations, shifts
    turned_cells = crystal.primitive_group
    if turned_cells is None or len(turned_cells[0]) * len(pure) <= len(own):
        return rotations, shifts
    small, offsets = turned_cells
    every = offsets[:, None, :] + pure[None, :, :]
    return np.repeat(small, len(pure), axis=0), np.ascontiguousarray((every - np.floor(every)).reshape(-1, 3))


class Walk(NamedTuple):
    """Hops with directions, one after the other, from a site in its home cell."""

    start: int
    steps: tuple[tuple[int, bool], ...]


def walk_ends(walk: Walk, hops: Hops) -> tuple[int, Cell]:
    """The last site of a walk and its cell."""
    site, cell = walk.start, np.zeros(3, dtype=np.int64)
    for h, forward in walk.steps:
        cell = cell + (hops.image[h] if forward else -hops.image[h])
        site = int(hops.index[1 if forward else 0, h])
    return site, (int(cell[0]), int(cell[1]), int(cell[2]))


def turned(walk: Walk, hops: Hops) -> Walk:
    """The same way back, from its last site in its home cell."""
    return Walk(walk_ends(walk, hops)[0], tuple((h, not forward) for h, forward in reversed(walk.steps)))


class HopSymmetry:
    """Images of sites, hops and walks.

    Args:
        cell: (3, 3) lattice vectors in rows, angstrom.
        sites: closed under the operations.
        hops: closed under the operations.
        rotations: (G, 3, 3), see `operations`.
        translations: (G, 3).
    """

    def __init__(
        self,
        cell: FloatArray,
        sites: Sites,
        hops: Hops,
        rotations: FloatArray,
        translations: FloatArray,
    ) -> None:
        self._cell = cell
        self._sites = sites
        self._hops = hops
        self._rotations = rotations
        self._translations = translations

    @cached_property
    def _between(self) -> dict[tuple[int, ...], list[tuple[int, bool]]]:
        """Hops, with directions, from site to site and cell."""
        out: dict[tuple[int, ...], list[tuple[int, bool]]] = defaultdict(list)
        for h, ((i, j), (a, b, c)) in enumerate(
            zip(self._hops.index.T.tolist(), self._hops.image.tolist(), strict=True)
        ):
            out[i, j, a, b, c].append((h, True))
            out[j, i, -a, -b, -c].append((h, False))
        return out

    def _stops(self, walk: Walk) -> tuple[list[int], npt.NDArray[np.int64]]:
        """Sites of a walk, and their cells."""
        sites, cells = [walk.start], [np.zeros(3, dtype=np.int64)]
        for h, forward in walk.steps:
            sites.append(int(self._hops.index[1 if forward else 0, h]))
            cells.append(cells[-1] + (self._hops.image[h] if forward else -self._hops.image[h]))
        return sites, np.array(cells)

    def _site(
        self, operation: int, sites: list[int], cells: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Images of sites in cells: the nearest ones of their classes, and their cells."""
        points = (self._sites.frac[sites] + cells) @ self._rotations[operation].T + self._translations[operation]
        gap = points[:, None, :] - self._sites.frac[None]
        whole = np.round(gap)
        distance = np.linalg.norm((gap - whole) @ self._cell, axis=2)
        distance[self._sites.orbit[sites][:, None] != self._sites.orbit[None]] = np.inf
        best = distance.argmin(axis=1)
        return best, whole[np.arange(len(sites)), best].astype(np.int64)

    def image(self, operation: int, walk: Walk) -> Walk | None:
        """The image of a walk; None where the list of hops lacks one of its hops."""
        stops, homes = self._stops(walk)
        sites, cells = self._site(operation, stops, homes)
        steps = []
        for n, (h, forward) in enumerate(walk.steps):
            cell = cells[n + 1] - cells[n]
            ways = self._between.get((int(sites[n]), int(sites[n + 1]), *cell.tolist()), [])
            chosen = self._over_saddle(operation, h, homes[n] if forward else homes[n + 1], cells[n], ways)
            if chosen is None:
                return None
            steps.append(chosen)
        return Walk(int(sites[0]), tuple(steps))

    def _over_saddle(
        self,
        operation: int,
        hop: int,
        first: npt.NDArray[np.int64],
        home: npt.NDArray[np.int64],
        ways: list[tuple[int, bool]],
    ) -> tuple[int, bool] | None:
        """Of hops between the same sites, the one over the image of the saddle.

        Args:
            operation: its number.
            hop: whose image is sought.
            first: cell of the hop's first site.
            home: cell of the site from which the image is walked.
            ways: hops between the same sites, with directions.
        """
        same = [w for w in ways if self._hops.orbit[w[0]] == self._hops.orbit[hop]]
        if len(same) < 2:
            return same[0] if same else None
        saddle = self._hops.saddle_frac[hop] + first
        point = self._rotations[operation] @ saddle + self._translations[operation] - home
        gaps = [
            np.linalg.norm((self._hops.saddle_frac[w] - (0 if f else self._hops.image[w]) - point) @ self._cell)
            for w, f in same
        ]
        nearest = int(np.argmin(gaps))
        return same[nearest] if gaps[nearest] < _SAME_SADDLE else None

    def carried(self, walk: Walk, point: FloatArray) -> list[tuple[Walk, FloatArray]]:
        """Images of a walk, each operation once, with those of a point (3,) seen from its first site's home cell."""
        found = []
        for operation, (rotation, shift) in enumerate(zip(self._rotations, self._translations, strict=True)):
            image = self.image(operation, walk)
            if image is not None:
                _, cells = self._site(operation, [walk.start], np.zeros((1, 3), dtype=np.int64))
                found.append((image, rotation @ point + shift - cells[0]))
        return found

    def canonical(self, walk: Walk) -> Walk:
        """One name for a walk and the same way back."""
        return min(walk, turned(walk, self._hops))

    def orbit(self, walk: Walk) -> list[Walk]:
        """Images of a walk, each once, directions apart; the walk itself first."""
        images = {self.canonical(walk): walk}
        for operation in range(len(self._rotations)):
            image = self.image(operation, walk)
            if image is not None:
                images.setdefault(self.canonical(image), image)
        return list(images.values())


def letters(crystal: Crystal, positions: Positions, sites: Sites) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Wyckoff letters of the positions of an ion and of its sites, in one setting."""
    first = crystal.first_rows
    kind = crystal.orbit if len(crystal.orbit) else np.arange(len(first))
    frac = np.concatenate([crystal.frac[first], positions.frac, sites.frac])
    at = periodic_distances(crystal.cell, positions.frac, crystal.frac[first]).argmin(axis=1)
    kinds = np.concatenate([kind, len(first) + kind[at], 2 * len(first) + sites.orbit])
    found = wyckoff_letters(crystal.cell, frac, kinds.astype(np.int32))
    start = len(frac) - len(sites)
    return found[len(first) : start], found[start:]
