"""Atoms of a scene: places, species, colours, coordination polyhedra, as plain numbers."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal import elements
from fastin.runtime.arrays import distinct
from fastin.view.palette import colours_of

_FLAT = 1e-6  # of the size of a polyhedron: points nearer to a plane lie in it
_SHELL = 1.25  # anions within this times the shortest distance belong to a cation's polyhedron


def rounded(array: Any) -> Any:
    """Five decimals, as nested lists."""
    return np.round(np.asarray(array, dtype=float), 5).tolist()


def atoms(crystal: Any, mobile_number: int | None) -> list[dict[str, Any]]:
    """One entry a position: the dominant species draws it, the text names them all."""
    atoms = []
    bonds = _bond_lengths(crystal)
    for position in range(crystal.num_positions):
        rows = np.flatnonzero(crystal.position == position)
        first = rows[np.argmax(crystal.occupancy[rows])]
        number = int(crystal.number[first])
        total = float(crystal.occupancy[rows].sum())
        species = [
            elements.species_name(int(crystal.number[r]), round(float(crystal.charge[r]), 2))
            + (f" {crystal.occupancy[r]:.2f}" if crystal.occupancy[r] < 0.999 else "")
            for r in rows
        ]
        mobile = mobile_number is not None and bool(np.any(crystal.number[rows] == mobile_number))
        atoms.append(
            {
                "symbol": elements.symbol(number),
                "frac": rounded(crystal.frac[first]),
                "occupancy": round(min(1.0, total), 3),
                "mobile": mobile,
                "charge": round(float(crystal.charge[first]), 2),
                "bond": round(float(bonds[first]), 3),
                "text": f"{crystal.label[first]}: " + " + ".join(species),
                "shares": _shares(crystal, rows),
            }
        )
    return atoms


def _shares(crystal: Any, rows: NDArray[np.int64]) -> list[tuple[str, float]]:
    """Elements of a position with their occupancies, the commonest first; scaled where they exceed the position."""
    amounts: dict[str, float] = {}
    for row in rows:
        symbol = elements.symbol(int(crystal.number[row]))
        amounts[symbol] = amounts.get(symbol, 0.0) + float(crystal.occupancy[row])
    total = max(1.0, sum(amounts.values()))
    return [(s, round(a / total, 4)) for s, a in sorted(amounts.items(), key=lambda item: -item[1])]


def _bond_lengths(crystal: Any) -> NDArray[np.float64]:
    """(N,) distance from each cation row to its nearest anion, 0 for anions and where none is within 4.6 A."""
    offsets, index, distance = crystal.neighbours
    anion = np.zeros(crystal.num_positions, dtype=np.bool_)
    anion[crystal.position[crystal.charge < 0]] = True
    nearest = np.zeros(crystal.num_positions)
    source = np.repeat(np.arange(crystal.num_positions), np.diff(offsets))[anion[index]]
    first = np.unique(source, return_index=True)  # nearest first
    nearest[first[0]] = distance[anion[index]][first[1]]
    return np.where(crystal.charge > 0, nearest[crystal.position], 0.0)


def polyhedra(crystal: Any, mobile_number: int | None) -> list[dict[str, Any]]:
    """Coordination polyhedra of the framework's cations with four to eight anions around them."""
    rows = np.flatnonzero(crystal.charge < 0)
    rows = rows[np.unique(crystal.position[rows], return_index=True)[1]]
    if not len(rows):
        return []
    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T
    images = (crystal.frac[rows][None] + shifts[:, None]).reshape(-1, 3)
    places = images @ crystal.cell
    numbers = np.tile(crystal.number[rows], len(shifts))
    bonds = _bond_lengths(crystal)
    found = []
    for position in range(crystal.num_positions):
        rows = np.flatnonzero(crystal.position == position)
        first = rows[np.argmax(crystal.occupancy[rows])]
        if crystal.charge[first] <= 0 or (mobile_number is not None and mobile_number in crystal.number[rows]):
            continue
        offset = places - crystal.frac[first] @ crystal.cell
        inside = np.einsum("ij,ij->i", offset, offset) < (_SHELL * bonds[first]) ** 2
        corners = images[inside]
        if not 4 <= len(corners) <= 8:
            continue
        faces = hull_faces(corners @ crystal.cell)
        if not faces:
            continue  # planar
        symbol = elements.symbol(int(crystal.number[first]))
        centre, points = rounded(crystal.frac[first]), rounded(corners)
        symbols = [elements.symbol(int(number)) for number in numbers[inside]]
        found.append({"symbol": symbol, "centre": centre, "points": points, "symbols": symbols, "faces": faces})
    return found


def hull_faces(points: NDArray[np.float64]) -> list[list[int]]:
    """Triangles of the convex hull of a few points (n, 3); none where they lie in a plane.

    By brute force over all triples, in less time than the import of a library that has convex hulls; in plain numbers,
    since each array operation on so few would cost more than all of them.
    """
    at: list[tuple[float, float, float]] = [(x, y, z) for x, y, z in points.tolist()]
    scale = max(max(column) - min(column) for column in zip(*at, strict=True))
    faces: list[list[int]] = []
    seen: set[tuple[int, ...]] = set()
    for i, j, k in combinations(range(len(at)), 3):
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = at[i], at[j], at[k]
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        size = math.sqrt(nx * nx + ny * ny + nz * nz)
        if size <= _FLAT * scale**2:
            continue
        heights = [((x - ax) * nx + (y - ay) * ny + (z - az) * nz) / size for x, y, z in at]
        above, below = max(heights) > _FLAT * scale, min(heights) < -_FLAT * scale
        if not above and not below:
            return []
        members = tuple(m for m, height in enumerate(heights) if abs(height) < _FLAT * scale)
        if (above and below) or members in seen:
            continue
        seen.add(members)
        ring = _around([at[m] for m in members], (nx / size, ny / size, nz / size))
        order = [members[r] for r in ring]
        faces += [[order[0], order[m], order[m + 1]] for m in range(1, len(order) - 1)]
    return faces


def _around(points: list[tuple[float, float, float]], normal: tuple[float, float, float]) -> list[int]:
    """The order of points of one plane around their middle."""
    x0, y0, z0 = (sum(column) / len(points) for column in zip(*points, strict=True))
    ux, uy, uz = points[0][0] - x0, points[0][1] - y0, points[0][2] - z0
    nx, ny, nz = normal
    vx, vy, vz = ny * uz - nz * uy, nz * ux - nx * uz, nx * uy - ny * ux
    angles = [
        math.atan2(
            (x - x0) * vx + (y - y0) * vy + (z - z0) * vz,
            (x - x0) * ux + (y - y0) * uy + (z - z0) * uz,
        )
        for x, y, z in points
    ]
    return sorted(range(len(points)), key=angles.__getitem__)


def looks(numbers: Any) -> dict[str, dict[str, Any]]:
    """Colour and radius (A) of each element."""
    looks = {}
    present = [int(n) for n in distinct(numbers)]
    common = sorted(present, key=lambda n: -np.count_nonzero(numbers == n))  # the commonest keep their usual colours
    colours = colours_of(common)
    for number in present:
        # between 0.25 and 0.6 A, growing with the row of the periodic table: balls, not space-filling
        size = 0.25 + 0.055 * float(np.searchsorted((1, 3, 11, 19, 37, 55, 87), number, side="right"))
        looks[elements.symbol(number)] = {"colour": colours[number], "radius": round(size, 3)}
    return looks
