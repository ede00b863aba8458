"""Closed isosurfaces of a periodic grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Surface(NamedTuple):
    """Triangles of a surface.

    Attributes:
        frac: (P, 3) corners, fractional.
        triangles: (T, 3) int64 indices of corners; seen from outside (higher energies) they run counter-clockwise.
        cap: (T,) whether the triangle lies in a face of the block.
    """

    frac: NDArray[np.float64]
    triangles: NDArray[np.int64]
    cap: NDArray[np.bool_]


def isosurface(values: ArrayLike, level: float, repeat: tuple[int, int, int] = (1, 1, 1)) -> Surface:
    """Boundary of the region below `level` in a block of cells, closed where the block cuts it.

    Surface nets (S. F. F. Gibson, MICCAI 1998): one corner in each cut cube of the grid, at the mean of its edge
    crossings; one quadrangle for each cut grid edge. The block is wrapped in one layer of points that are outside and
    lie in its faces, so what reaches a face ends there in a flat cap.

    Args:
        values: (na, nb, nc) one cell of the periodic grid, end points not repeated.
        level: in the unit of `values`.
        repeat: cells along each axis.
    """
    cell = np.asarray(values, dtype=np.float64) - level
    shape = np.array(cell.shape)
    size = shape * repeat + 1
    block = cell[np.ix_(*(np.arange(n) % m for n, m in zip(size, shape, strict=True)))]
    outside = max(float(np.abs(cell).max(initial=0.0)), 1.0)
    block = np.pad(block, 1, constant_values=outside)
    wrapped = np.pad(np.zeros(size, dtype=bool), 1, constant_values=True)
    inside = block < 0.0
    cubes = np.stack([_corner(inside, q) for q in range(8)])
    count = cubes.sum(axis=0)
    cut = np.flatnonzero((count > 0) & (count < 8))
    number = np.full(count.shape, -1, dtype=np.int64)
    number.reshape(-1)[cut] = np.arange(len(cut))
    corner = np.stack([_corner(block, q).reshape(-1)[cut] for q in range(8)], axis=1)
    outer = np.stack([_corner(wrapped, q).reshape(-1)[cut] for q in range(8)], axis=1)
    # sums of the crossings of real edges, and of those that end in the wrapping: the latter count where there are no
    # others (in the middle of a cap), else they would make a cap's outline a staircase
    total, crossings = np.zeros((2, len(cut), 3)), np.zeros((2, len(cut)))
    for q in range(8):
        for axis in range(3):
            r = q | (1 << axis)
            if r == q:
                continue
            crosses = np.flatnonzero((corner[:, q] < 0) != (corner[:, r] < 0))
            kind = (outer[crosses, q] | outer[crosses, r]).astype(int)
            t = corner[crosses, q] / (corner[crosses, q] - corner[crosses, r])
            step = np.array([(q >> k) & 1 for k in range(3)], dtype=float)
            total[kind, crosses] += step
            total[kind, crosses, axis] += t
            crossings[kind, crosses] += 1
    use = (crossings[0] == 0).astype(int)
    chosen = np.arange(len(cut))
    middle = total[use, chosen] / crossings[use, chosen][:, None]
    place = np.stack(np.unravel_index(cut, count.shape), axis=1) + middle - 1.0
    frac = np.clip(place, 0.0, size - 1.0) / shape
    quads = np.concatenate([_quads(inside, number, axis) for axis in range(3)])
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    ends = frac[triangles]
    faces = (np.abs(ends) < 1e-12).all(axis=1) | (np.abs(ends - repeat) < 1e-12).all(axis=1)
    return Surface(frac, triangles, faces.any(axis=1))


def _corner(array: NDArray[np.generic], q: int) -> NDArray[np.generic]:
    """The corners number q (bits: along a, b, c) of all cubes."""
    ends = [slice(1, None) if (q >> k) & 1 else slice(None, -1) for k in range(3)]
    return array[ends[0], ends[1], ends[2]]


def _quads(inside: NDArray[np.bool_], number: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """(Q, 4) the cubes around each cut grid edge along `axis`, in turn."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    moved = np.moveaxis(inside, (axis, u, v), (0, 1, 2))
    cubes = np.moveaxis(number, (axis, u, v), (0, 1, 2))
    here, there = moved[:-1, 1:-1, 1:-1], moved[1:, 1:-1, 1:-1]
    at = np.nonzero(here != there)
    x, y, z = at[0], at[1] + 1, at[2] + 1
    quads = np.stack([cubes[x, y - 1, z - 1], cubes[x, y, z - 1], cubes[x, y, z], cubes[x, y - 1, z]], axis=1)
    flip = ~here[at]
    quads[flip] = quads[flip][:, ::-1]
    return quads
