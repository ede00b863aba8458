"""The cell of a CIF; angles and lengths that the file leaves out follow from the symmetry it states."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif.tags import first_value, number
from fastin.crystal.sites import cell_from_parameters
from fastin.errors import InputError

_NAMES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_VOLUME = ("_cell_volume", "_cell.volume")

Parameters = tuple[float, float, float, float, float, float]


def read_parameters(block: Any, source: str) -> tuple[Parameters, frozenset[str]]:
    """Lengths (A) and angles (degrees), and the names of those that are not written (angles then are 90).

    Raises:
        InputError: a length is missing, or a value is no number.
    """
    values, missing = [], set()
    for name in _NAMES:
        text = first_value(block, (f"_cell_{name}", f"_cell.{name}"))
        if not text:
            missing.add(name)
            text = "90" if name.startswith("angle") else ""
        values.append(number(text) if text else math.nan)
        if not math.isfinite(values[-1]):
            if name in ("length_b", "length_c") and name in missing and math.isfinite(values[0]):
                continue
            raise InputError(f"{source}: _cell_{name} is missing or not a number ({text or 'absent'})")
    return tuple(values), frozenset(missing)  # type: ignore[return-value]


def stated_volume(block: Any) -> float:
    """The volume that the file states (A^3); NaN for none."""
    return number(first_value(block, _VOLUME))


def completions(
    block: Any, parameters: Parameters, missing: frozenset[str], source: str
) -> list[tuple[Parameters, str]]:
    """Other cells that the file may mean, likeliest first, each with the note that goes with it.

    A gamma that is not written is 120 where the symmetry needs it, lengths that are not written are a; a gamma of 90
    that the stated volume contradicts is 120.
    """
    a, b, c, alpha, beta, gamma = parameters
    if math.isnan(b) or math.isnan(c):
        full = (a, a if math.isnan(b) else b, a if math.isnan(c) else c)
        told = f"lengths that the file leaves out follow from the symmetry: {full[0]:g}, {full[1]:g}, {full[2]:g} A"
        options = [(*full, alpha, beta, gamma), (*full, 90.0, 90.0, 120.0)]
        if "angle_alpha" not in missing and {"angle_beta", "angle_gamma"} <= missing:
            options.insert(0, (*full, alpha, alpha, alpha))
        return [(option, told) for option in options]
    equal = abs(a - b) < 5e-3 * a
    if "angle_gamma" in missing and equal and alpha == beta == 90.0:
        return [((a, b, c, alpha, beta, 120.0), "gamma is not written: the symmetry needs 120 degrees")]
    if equal and alpha == beta == gamma == 90.0:
        volume = stated_volume(block)
        if math.isfinite(volume) and abs(volume / (a * b * c * math.sqrt(0.75)) - 1.0) < 5e-3:
            return [((a, b, c, alpha, beta, 120.0), "gamma is 120 degrees by the symmetry and the volume, not 90")]
    return []


def vectors(parameters: Parameters, source: str) -> NDArray[np.float64]:
    """(3, 3) lattice vectors in rows (A)."""
    return cell_from_parameters(*parameters, source=source)
