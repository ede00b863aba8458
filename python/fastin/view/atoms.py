"""Atoms of a scene: places, species, colours, coordination polyhedra, as plain numbers."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal import elements
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
    for position in np.unique(crystal.position):
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
    """(N,) distance from each cation row to its nearest anion, 0 for anions and where there is none."""
    lengths = np.zeros(len(crystal.number))
    anions = crystal.frac[crystal.charge < 0]
    if not len(anions):
        return lengths
    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T
    images = (anions[None] + shifts[:, None]).reshape(-1, 3) @ crystal.cell
    for row in np.flatnonzero(crystal.charge > 0):
        lengths[row] = np.sqrt(((images - crystal.frac[row] @ crystal.cell) ** 2).sum(axis=1).min())
    return lengths


def polyhedra(crystal: Any, mobile_number: int | None) -> list[dict[str, Any]]:
    """Coordination polyhedra of the framework's cations with four to eight anions around them."""
    anions = crystal.frac[crystal.charge < 0]
    if not len(anions):
        return []
    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T
    images, rows_of = np.unique(np.round((anions[None] + shifts[:, None]).reshape(-1, 3), 6), axis=0, return_index=True)
    numbers = np.tile(crystal.number[crystal.charge < 0], len(shifts))[rows_of]
    bonds = _bond_lengths(crystal)
    found = []
    for position in np.unique(crystal.position):
        rows = np.flatnonzero(crystal.position == position)
        first = rows[np.argmax(crystal.occupancy[rows])]
        if crystal.charge[first] <= 0 or (mobile_number is not None and mobile_number in crystal.number[rows]):
            continue
        distance = np.linalg.norm((images - crystal.frac[first]) @ crystal.cell, axis=1)
        inside = distance < _SHELL * bonds[first]
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

    By brute force over all triples, in less time than the import of a library that has convex hulls.
    """
    triples = np.array(list(combinations(range(len(points)), 3)))
    a, b, c = (points[triples[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    size = np.linalg.norm(normal, axis=1)
    scale = float(np.ptp(points, axis=0).max())
    proper = size > _FLAT * scale**2
    normal = normal[proper] / size[proper, None]
    height = points @ normal.T - (a[proper] * normal).sum(axis=1)  # (n, planes)
    on = np.abs(height) < _FLAT * scale
    if on.all(axis=0).any() or not len(normal):
        return []
    outside = ~((height > _FLAT * scale).any(axis=0) & (height < -_FLAT * scale).any(axis=0))
    faces: list[list[int]] = []
    seen: set[tuple[int, ...]] = set()
    for plane in np.flatnonzero(outside):
        members = np.flatnonzero(on[:, plane])
        if tuple(members.tolist()) in seen:
            continue
        seen.add(tuple(members.tolist()))
        middle = points[members].mean(axis=0)
        u = points[members[0]] - middle
        v = np.cross(normal[plane], u)
        ring = members[np.argsort(np.arctan2((points[members] - middle) @ v, (points[members] - middle) @ u))].tolist()
        faces += [[ring[0], ring[k], ring[k + 1]] for k in range(1, len(ring) - 1)]
    return faces


def looks(numbers: Any) -> dict[str, dict[str, Any]]:
    """Colour and radius (A) of each element."""
    looks = {}
    present = [int(n) for n in np.unique(numbers)]
    common = sorted(present, key=lambda n: -np.count_nonzero(numbers == n))  # the commonest keep their usual colours
    colours = colours_of(common)
    for number in present:
        # between 0.25 and 0.6 A, growing with the row of the periodic table: balls, not space-filling
        size = 0.25 + 0.055 * float(np.searchsorted((1, 3, 11, 19, 37, 55, 87), number, side="right"))
        looks[elements.symbol(number)] = {"colour": colours[number], "radius": round(size, 3)}
    return looks
