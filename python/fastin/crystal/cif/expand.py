"""Orbits of sites under operations: special positions by distance, whatever the occupancy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif.atoms import Rows
from fastin.crystal.cif.settings import Operations

SAME_SITE = 1e-3  # A: images of one site nearer than this are one after it was moved onto its special position
SPECIAL = 0.02  # A: images nearer than this are one site rounded or refined off a special position
_FORBIDDEN = 0.15  # A: images nearer than this are one where the occupancy forbids two
_WIDEST = 0.4  # A: farther than this no rounding is believed to have moved a site
_ROUNDED = 2.2  # times the blur of a site: distance of two images that rounding took apart
_FULL = 1.02
_ROUNDS = 4
_STEPS, _OFFSET = 2**20, 0.2718  # of a cell vector: images in one step are the same; no special position ends one


@dataclass(eq=False)
class Orbits:
    """Images of every row.

    Attributes:
        images: (m, 3) fractional positions of each row.
        count: (R,) how many each row has; 0 for a row that repeats another one's image.
        widened: some images were merged only because of the digits written.
        repeats: rows that are images of others.
    """

    images: list[NDArray[np.float64]]
    count: NDArray[np.int64]
    widened: bool
    repeats: int


def expand(rows: Rows, operations: Operations, cell: NDArray[np.float64], *, wide: bool = True) -> Orbits:
    """Orbits of all rows; rows of one site move together.

    Args:
        rows: the asymmetric unit.
        operations: of the group.
        cell: (3, 3) lattice vectors in rows (A).
        wide: merge what the digits written cannot tell apart; else only what lies within 0.02 A.
    """
    images: list[NDArray[np.float64]] = []
    widened = False
    total = np.bincount(rows.site, weights=np.where(rows.mixed, 0.0, rows.occupancy))
    for k in range(len(rows.number)):
        if k and rows.site[k] == rows.site[k - 1]:
            images.append(images[-1])
            continue
        share = rows.occupancy[k] if rows.mixed[k] else float(total[rows.site[k]])
        reach = min(_WIDEST, _ROUNDED * float(rows.blur[k])) if wide else 0.0
        found, far = _orbit(rows.frac[k], share, operations, cell, max(SPECIAL, reach))
        widened = widened or far
        images.append(found)
    count = np.array([len(x) for x in images], dtype=np.int64)
    repeats = _repeats(rows, images, cell)
    count[repeats] = 0
    return Orbits(images, count, widened, len(repeats))


def _orbit(
    frac: NDArray[np.float64], share: float, operations: Operations, cell: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.float64], bool]:
    """Distinct images of a position, moved onto the special position that it misses by less than `reach` (A)."""
    rotations, translations = operations.rotations, operations.translations
    far = False
    for _ in range(_ROUNDS):
        delta = rotations @ frac + translations - frac
        delta -= np.rint(delta)
        distance = np.linalg.norm(delta @ cell, axis=1)
        near = distance < reach
        forbidden = distance < _FORBIDDEN
        if forbidden.sum() > near.sum() and share * forbidden.sum() > _FULL * max(1, int(near.sum())):
            near = forbidden
        if distance[near].max() < 1e-9:
            break
        far = far or bool(distance[near].max() >= SPECIAL)
        frac = frac + delta[near].mean(axis=0)
    images = rotations @ frac + translations
    images -= np.floor(images)
    members = int(near.sum())
    if members <= 1:
        return images, far
    return _distinct(images, members, cell), far


def _distinct(images: NDArray[np.float64], members: int, cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first of each set of images within `SAME_SITE`; there should be so many `members` in each."""
    if len(images) > 2 * members:
        key = np.rint(images * _STEPS + _OFFSET).astype(np.int64) % _STEPS
        code = (key[:, 0] * _STEPS + key[:, 1]) * _STEPS + key[:, 2]
        _, first, count = np.unique(code, return_index=True, return_counts=True)
        if (count == members).all():  # else some are farther apart, or on both sides of a step
            return np.asarray(images[np.sort(first)])
    unique: list[NDArray[np.float64]] = []
    left = images
    while len(left):
        delta = left - left[0]
        delta -= np.rint(delta)
        same = np.linalg.norm(delta @ cell, axis=1) < SAME_SITE
        unique.append(left[0])
        left = left[~same]
    return np.array(unique)


def _repeats(rows: Rows, images: list[NDArray[np.float64]], cell: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows that are listed although another row's operations give them: files that list the whole cell as well."""
    gone: list[int] = []
    alive = np.ones(len(rows.number), dtype=np.bool_)
    for k in range(len(rows.number)):
        if not alive[k] or len(images[k]) < 2:
            continue
        later = np.arange(k + 1, len(rows.number))
        later = later[alive[later] & (rows.number[later] == rows.number[k]) & (rows.site[later] != rows.site[k])]
        later = later[np.abs(rows.occupancy[later] - rows.occupancy[k]) < 1e-6]
        if not len(later):
            continue
        own = rows.frac[later] - rows.frac[k]
        own -= np.rint(own)
        later = later[np.linalg.norm(own @ cell, axis=1) > SPECIAL]  # written at the same place: meant to add up
        if not len(later):
            continue
        placed = np.array([images[j][0] for j in later])  # on their special positions
        delta = images[k][:, None] - placed[None]
        delta -= np.rint(delta)
        hit = later[(np.linalg.norm(delta @ cell, axis=2) < SPECIAL).any(axis=0)]
        alive[hit] = False
        gone += hit.tolist()
    return np.array(gone, dtype=np.int64)
