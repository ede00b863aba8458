"""Where the energy has no slope: empty space beyond the reach of every atom, such as the vacuum of a slab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastin.bvse.grid import EnergyGrid

_FAR = 1e-3  # eV: an ion that no atom reaches has an energy of zero
_SLOPE = 1e-5  # eV/A: the tolerance of stationary points
_CURVATURE = 5e-4  # eV/A^2: softer, and that tolerance places no point within 0.02 A
_MOST = 1000  # grid points that are looked at


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
