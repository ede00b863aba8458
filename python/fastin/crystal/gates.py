"""Facts of a built crystal that say it is hardly the one meant: charge residue, short contacts, vacuum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import column
from fastin.crystal.warnings import CrystalWarning
from fastin.runtime.arrays import sum_by

CONTACT = 0.9  # A: two full atoms, hydrogen aside, are never nearer
_FULL = 0.75  # occupancy from which a position is no alternative of another one
# Distance over the sum of the covalent radii (Cordero 2008): in 6,788 crystals of the Materials Project and OBELiX the
# shortest one is at most 1.26, and no crystal has more than a seventh of its atoms beyond 1.6.
_TOUCHING, _APART, _APART_SHARE = 1.4, 1.6, 0.25
_NOBLE = frozenset({2, 10, 18, 36, 54, 86})
_BOHR = 0.529177  # A
_RESIDUE = 0.05  # of the positive charge
_VOLUME = 0.01
_GAP = 9.0  # A between planes of atoms: wider than any interlayer of a crystal that holds together


def residue_warnings(charge: NDArray[np.float64], occupancy: NDArray[np.float64]) -> list[CrystalWarning]:
    """Oxidation states that miss neutrality by more than 5 % of the positive charge."""
    held = charge * occupancy
    residue, positive = float(held.sum()), float(held[held > 0.0].sum())
    if abs(residue) <= _RESIDUE * max(positive, positive - residue) or not held.any():
        return []
    share = 100.0 * abs(residue) / max(positive, positive - residue)
    text = f"the oxidation states leave {residue:+.3g} e a cell, {share:.0f} % of the positive charge"
    return [CrystalWarning("charge-residue", text)]


def contact_warnings(
    number: NDArray[np.int32],
    occupancy: NDArray[np.float64],
    position: NDArray[np.int64],
    first: NDArray[np.int64],
    label: Any,
    neighbours: Any,
) -> list[CrystalWarning]:
    """Pairs of full positions, without hydrogen on either, nearer than 0.9 A; the shortest is named."""
    offsets, index, distance = neighbours
    if not len(distance) or float(distance.min()) >= CONTACT:
        return []
    total = sum_by(position, occupancy)
    heavy = sum_by(position, np.where(number == 1, 0.0, 1.0)) > 0.0
    row = np.repeat(np.arange(len(first)), np.diff(offsets))
    bad = (distance < CONTACT) & (total[row] > _FULL) & (total[index] > _FULL) & heavy[row] & heavy[index]
    if not bad.any():
        return []
    at = np.flatnonzero(bad)[int(distance[bad].argmin())]
    pair = f"{label[int(first[row[at]])]}-{label[int(first[index[at]])]}"
    text = f"{pair} are {distance[at]:.2f} A apart, and {int(bad.sum() + 1) // 2} such contacts are in the cell"
    return [CrystalWarning("short-contact", text, pair)]


def apart_warnings(
    number: NDArray[np.int32],
    charge: NDArray[np.float64],
    first: NDArray[np.int64],
    label: Any,
    neighbours: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
) -> list[CrystalWarning]:
    """Compounds in which no two atoms touch, or a quarter of the atoms has no neighbour.

    The cell is not in angstrom, or atoms are missing (symmetry that the file lacks).
    """
    offsets, index, distance = neighbours
    atoms = number[first]
    if not charge.any() or _NOBLE & set(atoms.tolist()):
        return []
    radius = column("covalent_radius")[atoms]
    row = np.repeat(np.arange(len(first)), np.diff(offsets))
    ratio = distance / (radius[row] + radius[index])
    nearest = np.full(len(first), np.inf)
    np.fmin.at(nearest, row[distance > 0.0], ratio[distance > 0.0])
    share = float((nearest > _APART).mean())
    if nearest.min() <= _TOUCHING and share <= _APART_SHARE:
        return []
    at = int(first[int(nearest.argmax())])
    far = (
        f"{nearest.max():.1f} times the sum of the covalent radii" if np.isfinite(nearest.max()) else "more than 4.6 A"
    )
    told = f"{share:.0%} of the atoms have no neighbour (that of {label[at]} is {far} away)"
    text = f"{told}: the cell is not in angstrom, or atoms are missing (symmetry that the file lacks)"
    return [CrystalWarning("atoms-apart", text, str(label[at]))]


def volume_warning(cell: NDArray[np.float64], stated: float) -> list[CrystalWarning]:
    """A stated volume (A^3; NaN for none) that lengths and angles miss by more than 1 %."""
    volume = abs(float(np.linalg.det(cell)))
    if not stated > 0.0 or abs(volume / stated - 1.0) <= _VOLUME:
        return []
    text = f"lengths and angles give {volume:.6g} A^3, _cell_volume says {stated:g}"
    for unit, size in (("bohr", _BOHR), ("nm", 10.0), ("pm", 0.01)):
        if any(abs(v * size**3 / w - 1.0) < _VOLUME for v, w in ((volume, stated), (stated, volume))):
            text += f": one of them is in {unit}"
    return [CrystalWarning("cell-mismatch", text, "_cell_volume")]


def vacuum_warnings(cell: NDArray[np.float64], frac: NDArray[np.float64]) -> list[CrystalWarning]:
    """Empty layers wider than 9 A: a slab, wire or molecule in a box."""
    long = [k for k, v in enumerate(cell.tolist()) if math.hypot(*v) > _GAP]
    gaps = []
    for axis in long:
        at = np.sort(frac[:, axis])
        gap = max(float((at[1:] - at[:-1]).max(initial=0.0)), 1.0 - float(at[-1] - at[0]))
        if gap * math.hypot(*cell[axis].tolist()) <= _GAP:  # planes are never farther apart than the axis is long
            continue
        gap /= float(np.linalg.norm(np.linalg.inv(cell)[:, axis]))
        if gap > _GAP:
            gaps.append(f"{gap:.1f} A along {'abc'[axis]}")
    if not gaps:
        return []
    kind = {1: "a slab", 2: "a wire", 3: "a molecule"}[len(gaps)]
    return [CrystalWarning("vacuum", f"{kind} in vacuum ({', '.join(gaps)} without atoms)")]
