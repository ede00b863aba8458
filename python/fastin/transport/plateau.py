"""Where the energy has no slope: empty space beyond every atom's reach, and surfaces around an atom alone in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastin.bvse.field import Field
    from fastin.bvse.grid import EnergyGrid

_FAR = 1e-3  # eV: an ion that no atom reaches has an energy of zero
_SLOPE = 1e-5  # eV/A: the tolerance of stationary points
_CURVATURE = 5e-4  # eV/A^2: softer, and that tolerance places no point within 0.02 A
_MOST = 1000  # grid points that are looked at
_STEP = 0.3  # A along the softest mode of the lowest point, from which a site leads back
_STIFF = 0.05  # eV/A^2: modes along which a point is brought back to the bottom of its valley


def plateau_energy(grid: EnergyGrid) -> float | None:
    """Lowest energy (eV, absolute) at which the landscape is flat; None where it has a slope or a curvature everywhere.

    Every point of a plateau is without a slope, so sites and hops there are as many as the points that were searched.

    Args:
        grid: with its field.
    """
    assert grid.field is not None
    near = np.flatnonzero(np.abs(grid.values) < _FAR)
    if not len(near):
        return None
    shape = grid.values.shape
    points = np.column_stack(np.unravel_index(near[:: 1 + len(near) // _MOST], shape)) / np.array(shape)
    energy, gradient, hessian = grid.field.derivatives(points)
    flat = (np.linalg.norm(gradient, axis=1) < _SLOPE) & (np.linalg.norm(hessian, axis=(1, 2)) < _CURVATURE)
    return float(energy[flat].min()) if flat.any() else None


def lies_on_surface(grid: EnergyGrid) -> bool:
    """Whether the lowest energy is not at a point but all along a line or surface.

    So it is around a single atom (a sphere) or a straight molecule (a ring) in empty space: the points of that surface
    on which minima are found are those where the search began.

    Args:
        grid: with its field.
    """
    assert grid.field is not None
    shape = np.array(grid.values.shape)
    start = np.array(np.unravel_index(int(grid.values.argmin()), shape)) / shape
    bottom, energy, hessian = _bottom(grid.field, start)
    curvature, modes = np.linalg.eigh(hessian)
    if curvature[0] > _CURVATURE:
        return False
    inverse = np.linalg.inv(grid.cell)
    away, level, _ = _bottom(grid.field, bottom + _STEP * modes[:, 0] @ inverse)
    return bool(abs(level - energy) < _FAR and np.linalg.norm((away - bottom) @ grid.cell) > _STEP / 2)


def _bottom(field: Field, frac: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """The point below along the stiff modes, its energy (eV) and Hessian (eV/A^2)."""
    inverse = np.linalg.inv(field.cell)
    for _ in range(20):
        energy, gradient, hessian = (found[0] for found in field.derivatives(frac[None]))
        curvature, modes = np.linalg.eigh(hessian)
        stiff = np.abs(curvature) > _STIFF
        along = (gradient @ modes)[stiff] / np.abs(curvature[stiff])
        step = -modes[:, stiff] @ np.clip(along, -_STEP, _STEP)
        if np.linalg.norm(step) < 1e-6:
            break
        frac = frac + step @ inverse
    return frac, float(energy), hessian
