"""Space group of a whole crystal, by spglib."""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastin.runtime.openmp import _core

SYMPREC = 1e-2  # angstrom
LARGE = 250  # positions: from here on looking for translations first is quicker
_SHELL = 4.6  # A: neighbours that tell atoms apart
_WHOLE = 1e-5  # rounding of matrices that should be whole numbers


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
    cell: NDArray[np.float64],
    frac: NDArray[np.float64],
    kind: NDArray[np.int32],
    symprec: float = SYMPREC,
    neighbours: Any = None,
) -> SpaceGroup:
    """Space group of positions labelled by `kind`; P1 with a note when spglib finds none.

    Large cells are looked through for translations first: spglib, whose time grows with the square of the atoms, then
    sees the primitive cell alone, and nothing where no operation but the identity can fit.

    Args:
        cell: (3, 3) lattice vectors in rows (A).
        frac: (P, 3) fractional positions.
        kind: (P,) label of what sits there: positions of different kinds are never mapped on each other.
        symprec: distance (A) within which an atom counts as mapped.
        neighbours: lists of the positions, nearest first, as `CrystalData.neighbours`; made where they are missing.
    """
    if len(frac) < LARGE:
        return _from_spglib(cell, frac, kind, symprec)
    cell, frac, kind = np.ascontiguousarray(cell), np.ascontiguousarray(frac), np.ascontiguousarray(kind, np.int32)
    offsets, _, distance = _core.neighbours(cell, frac, _SHELL) if neighbours is None else neighbours
    found = _core.pure_translations(cell, frac, kind, offsets, distance, tolerance=symprec)
    if found["nothing_else"]:
        return identity_group(len(frac))
    translations: NDArray[np.float64] = found["translations"]
    if len(translations) == 1:
        return _from_spglib(cell, frac, kind, symprec)
    basis: NDArray[np.float64] = found["primitive"]
    group = find_space_group(basis @ cell, found["primitive_frac"], kind[found["first"]], symprec)
    return _of_supercell(group, basis, translations, found["first"], found["primitive_of"])


def _of_supercell(
    group: SpaceGroup,
    basis: NDArray[np.float64],
    translations: NDArray[np.float64],
    first: NDArray[np.int32],
    primitive_of: NDArray[np.int32],
) -> SpaceGroup:
    """The group of a primitive cell with rows `basis` in the cell that has these translations besides."""
    change = basis.T  # columns: primitive fractions -> fractions of the large cell
    rotation = change @ group.rotations @ np.linalg.inv(change)
    whole = np.rint(rotation)
    kept = np.abs(rotation - whole).max(axis=(1, 2)) < _WHOLE  # the others do not keep the large cell's lattice
    rotations = np.tile(whole[kept].astype(np.int32), (len(translations), 1, 1))
    shift = translations[:, None] + (group.translations[kept] @ change.T)[None]
    shift -= np.floor(shift + _WHOLE * _WHOLE)
    orbit = first.astype(np.int64)[group.orbit][primitive_of]
    return SpaceGroup(rotations, shift.reshape(-1, 3), group.symbol, group.number, orbit, group.note)


def _from_spglib(
    cell: NDArray[np.float64], frac: NDArray[np.float64], kind: NDArray[np.int32], symprec: float
) -> SpaceGroup:
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


def primitive_operations(
    cell: NDArray[np.float64], frac: NDArray[np.float64], kind: NDArray[np.int32], symprec: float = SYMPREC
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Space group of the primitive cell, on fractional columns of the given one; None where that is primitive itself.

    One operation for each rotation: with the centring translations of the given cell they are all of the crystal, also
    those that do not map the given cell on itself.

    Args:
        cell: (3, 3) lattice vectors in rows (A).
        frac: (P, 3) fractional positions.
        kind: (P,) label of what sits there.
        symprec: distance (A) within which an atom counts as mapped.

    Returns:
        (G, 3, 3) rotations, rows of fractions where one turns the cell into another, and (G, 3) translations.
    """
    cell, frac, kind = np.ascontiguousarray(cell), np.ascontiguousarray(frac), np.ascontiguousarray(kind, np.int32)
    offsets, _, distance = _core.neighbours(cell, frac, _SHELL)
    found = _core.pure_translations(cell, frac, kind, offsets, distance, tolerance=symprec)
    basis: NDArray[np.float64] = found["primitive"]
    if found["nothing_else"] or len(found["translations"]) == 1:
        return None
    group = find_space_group(basis @ cell, found["primitive_frac"], kind[found["first"]], symprec)
    change = basis.T  # columns: primitive fractions -> fractions of the given cell
    rotations: NDArray[np.float64] = change @ group.rotations @ np.linalg.inv(change)
    return rotations, group.translations @ change.T


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
