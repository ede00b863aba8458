"""One hop between two points of a crystal, with everything relaxed: for hops that are no leg of a network."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastin.errors import FastinError, InputError
from fastin.relax.cells import Band, refuse_disorder, refuse_large
from fastin.relax.legs import Kept, RelaxedLeg, Settings, relax_leg
from fastin.relax.potentials import load_potential
from fastin.runtime.files import digest
from fastin.transport.parts import FloatArray, periodic_distances

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import IonName, MobileIon

_OWN = 1.0  # angstrom around an end within which an ion of the crystal is the moving one
_SPACING = 0.25  # angstrom between the points of the tube
_WIDTH = 1.5  # angstrom: half width of the tube
_CROWDED = 0.6  # eV by which the straight line may lie above the best way before that is taken
_SOFT = 0.4  # eV: how much a way may be longer to be lower
_HIGHEST = 50.0


def relax_hop(
    source: Any,
    calculator: Any,
    start: ArrayLike,
    end: ArrayLike,
    ion: IonName | None = None,
    *,
    images: int = 5,
    supercell: float | None = None,
    fmax: float = 0.05,
    climb: bool = True,
    end_steps: int = 300,
    band_steps: int = 300,
    out: str | PathLike[str] | None = None,
    watch: Callable[[str, int, float], None] | None = None,
) -> RelaxedLeg:
    """The barrier of one hop between two points, every atom relaxed.

    The band starts on the straight line between the ends or, where that is crowded, on a lower way beside it.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`, with the ions that stay in place; an ion
            within 1 A of either end is the moving one.
        calculator: as for `relax_hops`.
        start: (3,) fractional position, not wrapped.
        end: (3,) fractional position, not wrapped: the difference is the hop.
        ion: None takes the most usual one.
        images: between the ends.
        supercell: smallest distance (angstrom) between images of the moving ion; None takes the cell as it is.
        fmax: eV/A, as for `relax_hops`, like the next three.
        climb: whether the highest image climbs.
        end_steps: at most.
        band_steps: at most.
        out: folder for the results of each stage.
        watch: called after every step.

    Raises:
        InputError: ends less than 0.1 A apart, no such calculator, an element that it does not know.
        DisorderError: positions are partly filled.
    """
    from fastin.crystal.crystal import as_crystal

    crystal = as_crystal(source)
    refuse_disorder(crystal)
    potential = load_potential(calculator)
    mobile = crystal.resolve_ion(ion)
    potential.refuse_unknown([*crystal.number.tolist(), mobile.number], crystal.source)
    ends = np.array([start, end], dtype=np.float64)
    band = hop_band(crystal, mobile, ends[0], ends[1], images, supercell)
    settings = Settings(images, fmax, climb, end_steps, band_steps)
    key = digest(
        repr((potential.name, settings, band.numbers.tolist(), band.cell.tolist(), band.positions.tolist())).encode()
    )
    places = np.concatenate([band.positions[0][list(band.mobile)], band.positions[-1][list(band.moving)]])
    kept = Kept(None if out is None else Path(out), key)
    found = relax_leg(0, band, potential.calculator(), settings, places, kept, watch or (lambda *_: None))
    if potential.unseen(band.numbers):
        from dataclasses import replace

        found = replace(found, flags=(*found.flags, "unseen-element"))
    return found


def hop_band(
    crystal: Crystal, ion: MobileIon, start: FloatArray, end: FloatArray, images: int, supercell: float | None
) -> Band:
    """Images of the hop before relaxing.

    Raises:
        InputError: ends less than 0.1 A apart; every atom of the crystal is the moving ion.
    """
    from fastin.transport.neb import supercell_for

    if np.linalg.norm((end - start) @ crystal.cell) < 0.1:
        raise InputError(f"{crystal.source}: the two ends of a hop must lie apart")
    size = np.array(supercell_for(crystal.cell, supercell))
    refuse_large(crystal.source, len(crystal.number) * math.prod(size.tolist()), size.tolist())
    cell = crystal.cell * size[:, None]
    cells = np.stack(np.meshgrid(*[np.arange(k) for k in size], indexing="ij"), axis=-1).reshape(-1, 3)
    frac = ((crystal.frac[:, None] + cells[None]) / size).reshape(-1, 3)
    number = np.repeat(crystal.number, len(cells))
    charge = np.repeat(crystal.charge, len(cells))
    near = periodic_distances(cell, frac, np.array([start, end]) / size).min(axis=1) < _OWN
    stay = ~(near & (number == ion.number))
    if not stay.any():
        raise InputError(f"{crystal.source}: nothing stays in place beside the moving ion")
    way = _way(crystal, ion, cell, frac[stay], number[stay], start, end, images)
    still = frac[stay] @ cell
    positions = np.concatenate([np.broadcast_to(still, (images + 2, *still.shape)), way[:, None]], axis=1)
    numbers = np.append(number[stay], ion.number).astype(np.int64)
    total = round(float(charge[stay].sum()) + ion.charge, 4) + 0.0
    return Band(
        numbers=numbers,
        cell=cell,
        positions=positions,
        moving=(len(numbers) - 1,),
        mobile=tuple(np.flatnonzero(numbers == ion.number).tolist()),
        supercell=(int(size[0]), int(size[1]), int(size[2])),
        formula="",
        charge=total,
        taken_out=0,
        bvse=np.full(images + 2, math.nan),
    )


def _way(
    crystal: Crystal, ion: MobileIon, cell: FloatArray, frac: FloatArray, number: Any, start: FloatArray,
    end: FloatArray, images: int,
) -> FloatArray:  # fmt: skip
    """(n + 2, 3) Cartesian points from start to end."""
    a, b = start @ crystal.cell, end @ crystal.cell
    share = np.linspace(0.0, 1.0, images + 2)[:, None]
    line: FloatArray = a + share * (b - a)

    like = frac[number == ion.number] @ cell

    def energy(points: FloatArray) -> FloatArray:
        return _crowding(crystal, ion, cell, like, points)

    tube, index = _tube(a, b)
    height = energy(tube)
    way = tube[_lowest(height, index)]
    way[0], way[-1] = a, b
    for _ in range(3):  # corners of the grid
        way[1:-1] = 0.25 * way[:-2] + 0.5 * way[1:-1] + 0.25 * way[2:]
    if energy(line).max() <= energy(way).max() + _CROWDED:
        return line
    step = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
    found: FloatArray = np.stack([np.interp(share[:, 0] * step[-1], step, way[:, k]) for k in range(3)], axis=1)
    return found


def _crowding(crystal: Crystal, ion: MobileIon, cell: FloatArray, like: FloatArray, points: FloatArray) -> FloatArray:
    """(n,) how bad a place is, eV: bond valence energy, or repulsion without parameters, and that of like ions."""
    from fastin.bvse.field import build_field

    inverse = np.linalg.inv(crystal.cell)
    try:
        found = build_field(crystal, ion).energy(np.ascontiguousarray(points @ inverse), num_threads=1)
    except FastinError:
        near = periodic_distances(crystal.cell, points @ inverse, crystal.frac[crystal.number != ion.number])
        found = 10.0 * np.exp(-(near.min(axis=1) - 1.2) / 0.3)
    if len(like):
        whole = np.linalg.inv(cell)
        near = periodic_distances(cell, points @ whole, like @ whole).min(axis=1)
        found = found + 5.0 * np.exp(-(near - 1.2) / 0.3)
    height: FloatArray = np.minimum(found - found.min(), _HIGHEST)
    return height


def _tube(a: FloatArray, b: FloatArray) -> tuple[FloatArray, Any]:
    """Points on a grid around a line, and their numbers as an array (u, v, w); the line runs along the first axis."""
    length = float(np.linalg.norm(b - a))
    along = (b - a) / length
    side = np.eye(3)[np.argmin(np.abs(along))]
    side = np.cross(along, side) / np.linalg.norm(np.cross(along, side))
    other = np.cross(along, side)
    u = np.linspace(0.0, length, max(3, math.ceil(length / _SPACING) + 1))
    w = np.linspace(-_WIDTH, _WIDTH, 2 * round(_WIDTH / _SPACING) + 1)
    points = a + u[:, None, None, None] * along + w[None, :, None, None] * side + w[None, None, :, None] * other
    shape = points.shape[:3]
    return points.reshape(-1, 3), np.arange(math.prod(shape)).reshape(shape)


def _lowest(height: FloatArray, index: Any) -> list[int]:
    """Numbers of the points of a short low way from the middle of the first layer to that of the last."""
    shape = index.shape
    middle = shape[1] // 2
    start, goal = (0, middle, middle), (shape[0] - 1, middle, middle)
    steps = [s for s in np.ndindex(3, 3, 3) if s != (1, 1, 1)]
    best = {start: 0.0}
    before: dict[Any, Any] = {}
    queue = [(0.0, start)]
    while queue:
        cost, at = heapq.heappop(queue)
        if at == goal:
            break
        if cost > best[at]:
            continue
        for s in steps:
            to = (at[0] + s[0] - 1, at[1] + s[1] - 1, at[2] + s[2] - 1)
            if not all(0 <= t < n for t, n in zip(to, shape, strict=True)):
                continue
            far = math.sqrt(sum((v - 1) ** 2 for v in s))
            there = cost + far * (1.0 + (float(height[index[to]]) / _SOFT) ** 2)
            if there < best.get(to, math.inf):
                best[to], before[to] = there, at
                heapq.heappush(queue, (there, to))
    way = [goal]
    while way[-1] != start:
        way.append(before[way[-1]])
    return [int(index[p]) for p in reversed(way)]
