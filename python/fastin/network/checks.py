"""What a stored network must fulfil before anything is computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_LONGEST = 1e6  # A: of cells, edges and radii
_FARTHEST = 1000  # cells between the ends of an edge; beyond, only damage
_WIDEST_FRAC = 100.0  # positions of other programs may lie outside the cell, but near it
_MOST_CLASSES = 10**6  # labels of symmetry classes; other programs need not count from 0
_THINNEST = 1e-12  # volume of a cell, in cubes of its longest component


def column(raw: Any, dtype: Any) -> npt.NDArray[Any]:
    """An array of the type; whole numbers must be whole and fit.

    Raises:
        ValueError: they are not; TypeError and OverflowError where there are no numbers at all.
    """
    values = np.asarray(raw)
    if values.dtype.kind not in "iufb" and values.size:
        raise TypeError(f"{values.dtype} instead of numbers")
    if np.issubdtype(dtype, np.integer) and values.size:
        limits = np.iinfo(dtype)
        if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
            raise ValueError("a number that is not whole")
        if values.min() < limits.min or values.max() > limits.max:
            raise ValueError(f"a number outside {limits.min} to {limits.max}")
    return values.astype(dtype)


def check_columns(columns: Mapping[str, Any]) -> None:
    """Lengths fit, indices exist, numbers are finite and of a crystal's size.

    Args:
        columns: ``cell`` and the columns ``site_*`` and ``edge_*`` of a network; others are looked at where they are.

    Raises:
        ValueError: names the column.
    """
    cell = columns["cell"]
    longest = float(np.abs(cell).max(initial=0.0))
    if not 0.0 < longest < _LONGEST or abs(np.linalg.det(cell / longest)) < _THINNEST:  # NaN too
        raise ValueError("cell: no three lattice vectors of a crystal")
    sites, edges = len(columns["site_radius"]), len(columns["edge_length"])
    for name, values in columns.items():
        count = {"s": sites, "e": edges}[name[0]] if name.startswith(("site_", "edge_")) else None
        if count is not None and values.shape[-1 if name == "edge_index" else 0] != count:
            raise ValueError(f"{name}: {values.shape} for {sites} voids and {edges} bottlenecks")
    for name in ("site_radius", "edge_length", "edge_bottleneck_radius", "cell_volume"):
        _within(name, columns, _LONGEST if name != "cell_volume" else _LONGEST**3)
    for name in ("site_frac", "edge_bottleneck_frac", "mobile_frac"):
        _within(name, columns, _WIDEST_FRAC)
    _within("edge_image", columns, _FARTHEST)
    for name, bound in (("edge_index", sites), ("site_orbit", _MOST_CLASSES), ("edge_orbit", _MOST_CLASSES)):
        values = columns[name]
        if values.size and (values.min() < 0 or values.max() >= bound):
            raise ValueError(f"{name}: a number outside 0 to {bound - 1}")
    if (columns["edge_length"] < 0.0).any():
        raise ValueError("edge_length: below 0")


def _within(name: str, columns: Mapping[str, Any], bound: float) -> None:
    values = columns.get(name)
    if values is not None and values.size and not (np.abs(values.astype(np.float64)) <= bound).all():
        raise ValueError(f"{name}: a value outside -{bound:g} to {bound:g}")
