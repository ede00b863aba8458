"""Space group of a whole crystal, by spglib."""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SYMPREC = 1e-2  # angstrom


class SpaceGroup(NamedTuple):
    """Operations ``x' = R x + t`` on fractional columns of the given cell, centring translations included."""

    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]
    symbol: str
    number: int
    orbit: NDArray[np.int64]  # (P,) symmetry class of each position: the index of its first member
    note: str = ""


def identity_group(count: int, note: str = "") -> SpaceGroup:
    """P1 in any cell with that many positions."""
    return SpaceGroup(np.eye(3, dtype=np.int32)[None], np.zeros((1, 3)), "P1", 1, np.arange(count), note)


@cache
def _spglib() -> Any:
    """The module, told not to print from C: it retries at a tighter tolerance, and what fails is in the notes."""
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    import spglib

    return spglib


def find_space_group(
    cell: NDArray[np.float64], frac: NDArray[np.float64], kind: NDArray[np.int32], symprec: float = SYMPREC
) -> SpaceGroup:
    """Space group of positions labelled by `kind`; P1 with a note when spglib finds none.

    Args:
        cell: (3, 3) lattice vectors in rows (A).
        frac: (P, 3) fractional positions.
        kind: (P,) label of what sits there: positions of different kinds are never mapped on each other.
        symprec: distance (A) within which an atom counts as mapped.
    """
    spglib = _spglib()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces its future error handling
        try:
            found = spglib.get_symmetry_dataset((cell, frac, kind), symprec=symprec)
        except getattr(spglib, "SpglibError", RuntimeError) as error:  # raised by spglib >= 2.7 on request
            return identity_group(len(frac), f"spglib found no space group ({error}); treated as P1")
    if found is None:
        return identity_group(len(frac), "spglib found no space group; treated as P1")
    return SpaceGroup(
        np.ascontiguousarray(found.rotations, dtype=np.int32),
        np.ascontiguousarray(found.translations, dtype=np.float64),
        str(found.international),
        int(found.number),
        found.crystallographic_orbits.astype(np.int64),
    )


def wyckoff_letters(
    cell: NDArray[np.float64], frac: NDArray[np.float64], kind: NDArray[np.int32], symprec: float = SYMPREC
) -> tuple[str, ...]:
    """Wyckoff letters with the multiplicities of the conventional cell, "24d"; empty where spglib finds none.

    Points of different kinds may lie on each other. Letters depend on the origin that spglib chooses: compare only
    those of one call.

    Args:
        cell: (3, 3) lattice vectors in rows (A).
        frac: (P, 3) fractional positions: every atom of the crystal, then other points, closed under its space group.
        kind: (P,) label of what sits there.
        symprec: distance (A) within which a point counts as mapped.
    """
    import spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            found = spglib.get_symmetry_dataset((cell, frac, kind), symprec=symprec)
        except getattr(spglib, "SpglibError", RuntimeError):
            found = None
    if found is None:
        return ("",) * len(frac)
    cells = abs(np.linalg.det(cell) / np.linalg.det(found.std_lattice))
    count = np.bincount(found.crystallographic_orbits, minlength=len(frac))
    return tuple(
        f"{round(count[orbit] / cells)}{letter}"
        for orbit, letter in zip(found.crystallographic_orbits.tolist(), found.wyckoffs, strict=True)
    )
