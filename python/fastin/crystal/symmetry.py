"""Space group of a whole crystal: by the core where it is beyond doubt, else by spglib."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastin.runtime.openmp import _core

SYMPREC = 1e-2  # angstrom
LARGE = 250  # positions: from here on looking for translations first is quicker
_SHELL = 4.6  # A: neighbours that tell atoms apart
_WHOLE = 1e-5  # rounding of matrices that should be whole numbers
# In units of the precision: a group is beyond doubt where its operations with exact fractions map all positions
# within the first and every other operation misses by more than the second.
_TIGHT, _LOOSE = 0.02, 2.0
# Point groups by the number of their operations.
_ORDER = {
    name: order
    for order, names in (
        (1, "1"),
        (2, "-1 2 m"),
        (3, "3"),
        (4, "2/m 222 mm2 4 -4"),
        (6, "-3 32 3m 6 -6"),
        (8, "mmm 4/m 422 4mm -42m"),
        (12, "-3m 6/m 622 6mm -62m 23"),
        (16, "4/mmm"),
        (24, "6/mmm m-3 432 -43m"),
        (48, "m-3m"),
    )
    for name in names.split()
}


#: Symbol and number by the bytes of exact operations: the type is theirs, whatever the lattice.
_NAMES: dict[tuple[bytes, bytes], tuple[str, int]] = {}
_REMEMBERED = 4096


class SpaceGroup(NamedTuple):
    """Operations ``x' = R x + t`` on fractional columns of the given cell, centring translations included."""

    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]
    type: GroupType
    orbit: NDArray[np.int64]  # (P,) symmetry class of each position: the index of its first member
    note: str = ""

    @property
    def symbol(self) -> str:
        """Short Hermann-Mauguin symbol."""
        return self.type.named()[0]

    @property
    def number(self) -> int:
        """Number in International Tables."""
        return self.type.named()[1]


class GroupType:
    """Symbol and number of a space group; those of operations are looked up when they are asked for.

    Args:
        named: symbol and number where they are known.
        primitive: else cell, positions and kinds of a primitive cell with its rotations and translations.
    """

    def __init__(self, named: tuple[str, int] | None = None, primitive: _Primitive | None = None) -> None:
        self._named, self._primitive = named, primitive

    def named(self) -> tuple[str, int]:
        """Symbol and number."""
        primitive = self._primitive  # read first: another thread sets the name before it lets go of the crystal
        if self._named is None:
            assert primitive is not None
            key = primitive.rotations.tobytes(), primitive.translations.tobytes()
            found = _NAMES.get(key)
            if found is None:
                found = _type_of(primitive)
                if len(_NAMES) >= _REMEMBERED:
                    _NAMES.clear()
                _NAMES[key] = found
            self._named = found
            self._primitive = None
        return self._named


class _Primitive(NamedTuple):
    cell: NDArray[np.float64]
    frac: NDArray[np.float64]
    kind: NDArray[np.int32]
    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]


def _type_of(crystal: _Primitive) -> tuple[str, int]:
    """Type of exact operations; of the crystal as spglib finds it where its answer has another point group."""
    if len(crystal.rotations) == 1:
        return "P1", 1
    if len(crystal.rotations) == 2 and np.trace(crystal.rotations[1]) == -3:
        return "P-1", 2
    with _quiet_spglib() as spglib:
        found = spglib.get_spacegroup_type_from_symmetry(crystal.rotations, crystal.translations, crystal.cell)
        if found is None or _ORDER.get(found.pointgroup_international) != len(crystal.rotations):
            found = spglib.get_symmetry_dataset(crystal[:3], symprec=SYMPREC)
            if found is None:  # not seen: the operations were found
                return "", 0
            return str(found.international), int(found.number)
    return str(found.international_short), int(found.number)


def identity_group(count: int, note: str = "") -> SpaceGroup:
    """P1 in any cell with that many positions."""
    one = np.eye(3, dtype=np.int32)[None]
    return SpaceGroup(one, np.zeros((1, 3)), GroupType(("P1", 1)), np.arange(count), note)


@cache
def _spglib() -> Any:
    """The module, told not to print from C: it retries at a tighter tolerance, and what fails is in the notes."""
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    import spglib

    return spglib


@contextmanager
def _quiet_spglib() -> Iterator[Any]:
    """The module, while it announces nothing of its future error handling."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield _spglib()


def find_space_group(
    cell: NDArray[np.float64],
    frac: NDArray[np.float64],
    kind: NDArray[np.int32],
    symprec: float = SYMPREC,
    neighbours: Any = None,
) -> SpaceGroup:
    """Space group of positions labelled by `kind`; P1 with a note when spglib finds none.

    The core finds the operations; spglib, which weighs tolerances, is asked where some operation nearly fits, or where
    the origin gives translations that are no fractions. It sees the primitive cell of large ones alone, since its time
    grows with the square of the atoms.

    Args:
        cell: (3, 3) lattice vectors in rows (A).
        frac: (P, 3) fractional positions.
        kind: (P,) label of what sits there: positions of different kinds are never mapped on each other.
        symprec: distance (A) within which an atom counts as mapped.
        neighbours: lists of the positions, nearest first, as `CrystalData.neighbours`; made where they are missing.
    """
    cell, frac, kind = np.ascontiguousarray(cell), np.ascontiguousarray(frac), np.ascontiguousarray(kind, np.int32)
    offsets, _, distance = _core.neighbours(cell, frac, _SHELL) if neighbours is None else neighbours
    certain = _beyond_doubt(cell, frac, kind, symprec, offsets, distance)
    if certain is not None:
        return certain
    if len(frac) < LARGE:
        return _from_spglib(cell, frac, kind, symprec)
    found = _core.pure_translations(cell, frac, kind, offsets, distance, tolerance=symprec)
    if found["nothing_else"]:
        return identity_group(len(frac))
    translations: NDArray[np.float64] = found["translations"]
    if len(translations) == 1:
        return _from_spglib(cell, frac, kind, symprec)
    basis: NDArray[np.float64] = found["primitive"]
    group = find_space_group(basis @ cell, found["primitive_frac"], kind[found["first"]], symprec)
    return _of_supercell(group, basis, translations, found["first"], found["primitive_of"])


def _beyond_doubt(
    cell: NDArray[np.float64],
    frac: NDArray[np.float64],
    kind: NDArray[np.int32],
    symprec: float,
    offsets: NDArray[np.int64],
    distance: NDArray[np.float64],
) -> SpaceGroup | None:
    """The group where no choice of tolerances between `_TIGHT` and `_LOOSE` changes it; None where one may."""
    tight, loose = _TIGHT * symprec, _LOOSE * symprec
    found = _core.pure_translations(cell, frac, kind, offsets, distance, tolerance=loose)
    if found["nothing_else"]:
        return identity_group(len(frac))
    translations: NDArray[np.float64] = found["translations"]
    if len(translations) > 1:
        count = len(translations)
        found = _core.pure_translations(cell, frac, kind, offsets, distance, tolerance=tight)
        if len(found["translations"]) != count:
            return None
        basis: NDArray[np.float64] = found["primitive"]
        group = _group_of_primitive(basis @ cell, found["primitive_frac"], kind[found["first"]], tight, loose)
        if group is None:
            return None
        return _of_supercell(group, basis, found["translations"], found["first"], found["primitive_of"])
    return _group_of_primitive(cell, frac, kind, tight, loose)


def _group_of_primitive(
    cell: NDArray[np.float64], frac: NDArray[np.float64], kind: NDArray[np.int32], tight: float, loose: float
) -> SpaceGroup | None:
    found = _core.space_operations(cell, frac, kind, tight=tight, loose=loose)
    if found is None:
        return None
    rotations, translations, orbit = found
    return SpaceGroup(
        rotations,
        translations,
        GroupType(primitive=_Primitive(cell, frac, kind, rotations, translations)),
        orbit.astype(np.int64),
    )


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
    return SpaceGroup(rotations, shift.reshape(-1, 3), group.type, orbit, group.note)


def _from_spglib(
    cell: NDArray[np.float64], frac: NDArray[np.float64], kind: NDArray[np.int32], symprec: float
) -> SpaceGroup:
    with _quiet_spglib() as spglib:
        try:
            found = spglib.get_symmetry_dataset((cell, frac, kind), symprec=symprec)
        except getattr(spglib, "SpglibError", RuntimeError) as error:  # raised by spglib >= 2.7 on request
            return identity_group(len(frac), f"spglib found no space group ({error}); treated as P1")
    if found is None:
        return identity_group(len(frac), "spglib found no space group; treated as P1")
    return SpaceGroup(
        np.ascontiguousarray(found.rotations, dtype=np.int32),
        np.ascontiguousarray(found.translations, dtype=np.float64),
        GroupType((str(found.international), int(found.number))),
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
    with _quiet_spglib() as spglib:
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
