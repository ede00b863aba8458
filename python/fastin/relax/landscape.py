"""The energy landscape of one ion in a rigid crystal from any ASE calculator, on the points that can matter.

Points are those of a bond valence grid: its symmetry says which are distinct, and its energies which lie too high to be
worth a call. The lowest point and the saddles that percolation then finds are polished with the forces on the ion, and
take the place of their grid points, until the percolating saddles are polished ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError
from fastin.relax.cells import refuse_disorder
from fastin.relax.potentials import load_potential
from fastin.transport.parts import FloatArray, periodic_distances
from fastin.transport.ways import FILLED

if TYPE_CHECKING:
    from fastin.bvse.grid import EnergyGrid
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import IonName

HIGH = 100.0
"""What points above the ceiling get above the lowest one, eV."""
_BATCH = 8
_OWN = 1.0  # angstrom around an ion of the full crystal within which no other fits
_STEP = 0.02  # angstrom of the finite differences of forces
_FARTHEST = 0.12  # angstrom of one Newton step
_AT_REST = 0.005  # eV/A
_MOST_PASSES = 40
_FALL = 0.15  # eV below a pass at which its band begins and ends
_IMAGES = 7
_FMAX, _STEPS = 0.03, 200  # of that band


class _Probe:
    """Energy of and force on one ion anywhere in a rigid supercell."""

    def __init__(self, calculator: Any, numbers: npt.NDArray[np.int64], cell: FloatArray, still: FloatArray, ion: int):
        self.calculator = calculator
        self.numbers = np.append(numbers, ion)
        self.cell, self.still = cell, still
        self.calls = 0

    def __call__(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n,) energies, eV, and (n, 3) forces, eV/A, at Cartesian points."""
        from fastin.relax.band import structures

        energies, forces = structures(
            self.calculator,
            self.numbers,
            self.cell,
            [np.concatenate([self.still, point[None]]) for point in points],
            _BATCH,
        )
        self.calls += len(points)
        return energies, forces[:, -1]


def grid_from_calculator(
    source: Any,
    ion: IonName | None,
    calculator: Any,
    *,
    ceiling: float = 1.5,
    resolution: float = 0.3,
    framework: str = "empty",
    supercell: float = 7.0,
    refine: bool = True,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> EnergyGrid:
    """An energy grid of a calculator; see `EnergyGrid.from_calculator`."""
    from fastin.bvse.grid import EnergyGrid, compute_bvse
    from fastin.crystal.crystal import as_crystal

    if framework not in ("empty", "full"):
        raise InputError(f"framework must be 'empty' or 'full', not {framework!r}")
    if not (math.isfinite(ceiling) and ceiling > 0):
        raise InputError(f"the ceiling must be positive (eV), not {ceiling}")
    potential = load_potential(calculator)
    crystal = as_crystal(source)
    mobile = crystal.resolve_ion(ion)
    stays = crystal.number != mobile.number
    if framework == "full" or (crystal.occupancy[stays] < FILLED).any():
        refuse_disorder(crystal)
    potential.refuse_unknown([*crystal.number.tolist(), mobile.number], crystal.source)
    started = time.process_time()
    rigid = compute_bvse(crystal, mobile, resolution=resolution, **options)
    points = _points(crystal, rigid, stays, ceiling, framework == "full")
    probe = _probe(potential.calculator(), crystal, mobile.number, stays | (framework == "full"), supercell)
    energy = _computed(probe, points.index[points.chosen] / rigid.shape @ crystal.cell, progress)
    lowest = float(energy.min())
    values = np.full(len(points.index), HIGH, dtype=np.float32)
    values[points.wanted] = (energy - lowest)[np.searchsorted(points.chosen, points.first[points.wanted])]
    notes = [f"energies of {potential.name} above the lowest of the grid points; {HIGH:g} eV above the ceiling"]

    def made(of: npt.NDArray[np.float32], more: Sequence[str] = ()) -> EnergyGrid:
        held = of.reshape(rigid.shape).copy()
        held.setflags(write=False)
        return EnergyGrid(
            *(held, crystal.cell, mobile, crystal.source, "", math.nan, math.nan, None),
            (*crystal.notes, *notes, *more), crystal.warnings, rigid.atom_number, rigid.atom_frac,
        )  # fmt: skip

    polished = 0
    if refine:
        values, polished, more = _refined(made, values, points.first, rigid.shape, crystal.cell, probe, lowest)
        notes += more
    cost = (
        f"{probe.calls} structures of {len(probe.numbers)} atoms computed for {int(points.wanted.sum())} of "
        f"{len(points.index)} points ({len(points.chosen)} distinct, {polished} passes and lowest places relaxed), "
        f"{time.process_time() - started:.1f} CPU s"
    )
    return made(values, [cost])


@dataclass(frozen=True, eq=False)
class _Points:
    """Points of a grid and which of them are computed.

    Attributes:
        index: (P, 3) of every point.
        first: (P,) the first point that symmetry maps on each.
        wanted: (P,) below the ceiling.
        chosen: rising numbers of the distinct points that are computed.
    """

    index: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.bool_]
    chosen: npt.NDArray[np.int64]


def _points(crystal: Crystal, rigid: EnergyGrid, stays: npt.NDArray[np.bool_], ceiling: float, full: bool) -> _Points:
    """The points below the ceiling, and those of them that symmetry leaves distinct.

    Raises:
        InputError: there is none.
    """
    from fastin.bvse.symmetry import grid_operations

    assert rigid.field is not None
    shape = rigid.shape
    if full:  # the ions in place may break the symmetry of the frame
        rotations, shifts = grid_operations(shape, crystal.rotations, crystal.translations)
    else:
        rotations, shifts = grid_operations(shape, rigid.field.rotations, rigid.field.translations)
    wanted = (rigid.values - rigid.minimum <= ceiling).ravel()
    index = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1)
    if full:
        wanted &= (
            periodic_distances(crystal.cell, index / shape, crystal.frac[~stays]).min(axis=1, initial=math.inf) > _OWN
        )
    first = _representatives(index, shape, rotations, shifts)
    chosen = np.unique(first[wanted])
    if not len(chosen):
        raise InputError(f"{crystal.source}: no point lies below {ceiling} eV; raise the ceiling")
    return _Points(index, first, wanted, chosen)


def _probe(calculator: Any, crystal: Crystal, ion: int, stays: npt.NDArray[np.bool_], supercell: float) -> _Probe:
    """The ion in a supercell of the rows that stay, in which its images lie at least so far apart (angstrom)."""
    from fastin.transport.neb import supercell_for

    size = np.array(supercell_for(crystal.cell, supercell))
    cells = np.stack(np.meshgrid(*[np.arange(k) for k in size], indexing="ij"), axis=-1).reshape(-1, 3)
    still = ((crystal.frac[stays][None] + cells[:, None]) @ crystal.cell).reshape(-1, 3)
    numbers = np.tile(crystal.number[stays], len(cells)).astype(np.int64)
    return _Probe(calculator, numbers, crystal.cell * size[:, None], still, ion)


def _computed(probe: _Probe, places: FloatArray, progress: Callable[[int, int], None] | None) -> FloatArray:
    """(n,) energies at Cartesian places, eV."""
    energy = np.empty(len(places))
    for start in range(0, len(places), 4 * _BATCH):
        part = slice(start, start + 4 * _BATCH)
        energy[part] = probe(places[part])[0]
        if progress is not None:
            progress(min(start + 4 * _BATCH, len(places)), len(places))
    return energy


def _representatives(
    index: npt.NDArray[np.int64],
    shape: tuple[int, int, int],
    rotations: npt.NDArray[np.int32],
    shifts: npt.NDArray[np.int32],
) -> npt.NDArray[np.int64]:
    """The first point that the operations map on each."""
    first = np.arange(len(index))
    for rotation, shift in zip(rotations, shifts, strict=True):
        image = (index @ rotation.T + shift) % shape
        np.minimum(first, np.ravel_multi_index(tuple(image.T), shape), out=first)
    return first


def _refined(
    made: Callable[[npt.NDArray[np.float32]], EnergyGrid],
    values: npt.NDArray[np.float32],
    first: npt.NDArray[np.int64],
    shape: tuple[int, int, int],
    cell: FloatArray,
    probe: _Probe,
    lowest: float,
) -> tuple[npt.NDArray[np.float32], int, list[str]]:
    """Values with the lowest places and the passes of percolation relaxed, how many there are, and what could not be.

    The pass of a percolating path is relaxed as a band of the ion in the rigid crystal; the points of the grid's path
    there get at most the energy of its saddle: a way of that height leads past them.
    """
    from fastin.bvse.barriers import compute_barriers

    done: set[int] = set()
    count, failed = 0, 0
    spacing = float((np.linalg.norm(cell, axis=1) / shape).max())

    def kind_of(frac: FloatArray) -> int:
        point = tuple(np.round(frac * shape).astype(int) % shape)
        return int(first[np.ravel_multi_index(point, shape)])

    for _ in range(_MOST_PASSES):
        found = compute_barriers(made(values), refine=False)
        open_in = [d for d in range(3) if math.isfinite(found.levels[d])]
        low = next((k for d in open_in if (k := kind_of(found.minimum_frac[d])) not in done), None)
        if low is not None:
            done.add(low)
            start = np.array(np.unravel_index(low, shape)) / shape @ cell
            energy = _bottom(probe, start, spacing)
            count, failed = (count + 1, failed) if energy is not None else (count, failed + 1)
            if energy is not None:
                values = np.where(first == low, np.minimum(values, np.float32(energy - lowest)), values)
            continue
        d = next((d for d in open_in if kind_of(found.saddle_frac[d]) not in done), None)
        if d is None:
            break
        critical = kind_of(found.saddle_frac[d])
        done.add(critical)
        path = (found.path_1d, found.path_2d, found.path_3d)[d]
        way = None if path is None else _around_top(path.frac, path.energy, found.saddle_frac[d])
        saddle = None if way is None else _pass(probe, way, cell)
        if way is None or saddle is None:
            failed += 1
            continue
        count += 1
        kinds = {kind_of(x) for x in way[1:-1]}
        on_way = np.isin(first, list(kinds))
        level = np.float32(saddle - lowest)
        values = np.where(on_way, np.minimum(values, level), values)
        values = np.where(first == critical, level, values)  # also up: steps of the grid can lead past a saddle
        done.update(k for k in kinds if values[first == k][0] >= level)
    else:
        failed += 1
    notes = [f"{failed} passes or lowest places stay on the grid: none was found beside them"] if failed else []
    return values, count, notes


def _around_top(frac: FloatArray, energy: FloatArray, saddle: FloatArray) -> FloatArray | None:
    """The part of a periodic path beside its saddle, from where it is well below on one side to the other."""
    gap = frac[:-1] - saddle
    top = int(np.abs(gap - np.round(gap)).sum(axis=1).argmin())
    n = len(frac) - 1
    loop = frac[-1] - frac[0]
    height = energy[:-1]
    fall = min(_FALL, 0.7 * float(height[top] - height.min()))

    def at(k: int) -> FloatArray:
        place: FloatArray = frac[k % n] + (k // n) * loop
        return place

    def side(step: int) -> int | None:
        for k in range(1, n + 1):
            if height[(top + step * k) % n] <= height[top] - fall:
                return k
        return None

    left, right = side(-1), side(1)
    if left is None or right is None:
        return None
    return np.array([at(k) for k in range(top - left, top + right + 1)])


def _pass(probe: _Probe, way: FloatArray, cell: FloatArray) -> float | None:
    """Energy of the saddle that a band along a way climbs to; None where it does not converge."""
    from fastin.relax.band import Relaxed, relax_band

    points = way @ cell
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    share = np.linspace(0.0, along[-1], _IMAGES + 2)
    points = np.stack([np.interp(share, along, points[:, k]) for k in range(3)], axis=1)
    ends = []
    energies, forces = probe(points[[0, -1]])
    for x, energy, force in zip(points[[0, -1]], energies, forces, strict=True):
        held = np.zeros((len(probe.numbers), 3))
        held[-1] = force
        ends.append(Relaxed(np.concatenate([probe.still, x[None]]), float(energy), held, True, 0, 0))
    band = np.stack([np.concatenate([probe.still, x[None]]) for x in points])
    free = [len(probe.numbers) - 1]
    found = relax_band(
        *(probe.calculator, probe.numbers, probe.cell, band, ends, _FMAX, _STEPS, True, lambda *_: None), free=free
    )
    probe.calls += found.calls
    return float(found.energy.max()) if found.converged else None


def _bottom(probe: _Probe, start: FloatArray, spacing: float) -> float | None:
    """Energy of the minimum beside a grid point, by Newton steps; None where there is none."""
    x = start.copy()
    for _ in range(15):
        steps = np.concatenate([np.zeros((1, 3)), _STEP * np.eye(3), -_STEP * np.eye(3)])
        energy, force = probe(x + steps)
        hessian = -(force[1:4] - force[4:]) / (2 * _STEP)
        curvature, axes = np.linalg.eigh(0.5 * (hessian + hessian.T))
        if np.linalg.norm(force[0]) < _AT_REST:
            if curvature[0] > -1e-3:
                return float(energy[0])
            x = x + _FARTHEST * axes[:, 0]  # between minima, by symmetry
            continue
        step = axes @ ((axes.T @ force[0]) / np.maximum(np.abs(curvature), 0.05))
        x = x + step * min(1.0, _FARTHEST / max(float(np.linalg.norm(step)), 1e-12))
        if np.linalg.norm(x - start) > 2.0 * spacing:
            return None
    return None
