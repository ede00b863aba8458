"""Rows as read from a file, before anything is merged or assigned; and the text of a file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.warnings import CrystalWarning
from fastin.errors import GeometryError, InputError


@dataclass(eq=False)
class Sites:
    """One row per (position, species) of the whole unit cell, as read."""

    cell: NDArray[np.float64]
    frac: NDArray[np.float64]
    number: NDArray[np.int32]
    occupancy: NDArray[np.float64]
    label: list[str]
    charge: NDArray[np.float64] | None = None  # NaN where the input gives none
    charge_is_certain: bool = False  # given by the caller or on the species, not just stated by a file
    notes: list[str] = field(default_factory=list)
    warnings: list[CrystalWarning] = field(default_factory=list)


def decode(data: bytes, source: str) -> str:
    """Text of a file: UTF-8 (with or without BOM), UTF-16 with BOM, else Latin-1.

    Raises:
        InputError: the bytes are not text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError(f"{source}: not a text file; give a CIF or POSCAR") from None
    if b"\0" in data:
        raise InputError(f"{source}: a binary file, not a CIF or POSCAR")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


LONGEST = 1e9  # A: beyond, squares of lengths lose the digits of the others


def cell_from_parameters(
    a: float, b: float, c: float, alpha: float, beta: float, gamma: float, *, source: str = "cell"
) -> NDArray[np.float64]:
    """(3, 3) lattice vectors in rows: a along x, b in the xy plane (A, degrees).

    Raises:
        GeometryError: lengths or angles that span no volume.
    """
    if min(a, b, c) <= 0.0:
        raise GeometryError(f"{source}: cell lengths must be positive, not {a:g}, {b:g}, {c:g}")
    if max(a, b, c) > LONGEST:
        raise GeometryError(f"{source}: a cell length of {max(a, b, c):g} A is no crystal's; check the cell parameters")
    cos = [math.cos(math.radians(t)) if t != 90.0 else 0.0 for t in (alpha, beta, gamma)]
    sin_gamma = math.sin(math.radians(gamma)) if gamma != 90.0 else 1.0
    flat = 1.0 - cos[0] ** 2 - cos[1] ** 2 - cos[2] ** 2 + 2.0 * cos[0] * cos[1] * cos[2]
    if not (0.0 < alpha < 180.0 and 0.0 < beta < 180.0 and 0.0 < gamma < 180.0) or flat <= 1e-12:
        raise GeometryError(
            f"{source}: the cell has zero volume (angles {alpha:g}, {beta:g}, {gamma:g}); check the cell parameters"
        )
    cy = (cos[0] - cos[1] * cos[2]) / sin_gamma
    cz = math.sqrt(flat) / sin_gamma
    return np.array([[a, 0.0, 0.0], [b * cos[2], b * sin_gamma, 0.0], [c * cos[1], c * cy, c * cz]])
