"""What a crystal is: rows of atoms, a cell and a space group, and the facts that follow from them alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import column, symbol
from fastin.crystal.symmetry import SpaceGroup
from fastin.crystal.warnings import CrystalWarning
from fastin.runtime.arrays import distinct
from fastin.runtime.openmp import _core
from fastin.runtime.parts import Column, Table

NEIGHBOUR_CUTOFF = 4.6  # A: bonds, coordination shells and coincident sites


@dataclass(frozen=True, eq=False)
class AtomTable(Table):
    """One row per (position, species).

    Attributes:
        frac: (N, 3) fractional positions in [0, 1).
        number: (N,) atomic numbers.
        occupancy: (N,) share of the position that this species holds.
        charge: (N,) oxidation states (e).
        position: (N,) index of the position; rows of a mixed site share it.
        label: site label of each row.
    """

    frac: NDArray[np.float64]
    number: NDArray[np.int32]
    occupancy: NDArray[np.float64]
    charge: NDArray[np.float64]
    position: NDArray[np.int64]
    label: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CrystalData:
    """A crystal with oxidation states and symmetry, in three parts: cell, atoms, space group.

    The columns of the parts are attributes of the crystal as well.

    Attributes:
        source: path or short description, used in every error message.
        cell: (3, 3) lattice vectors in rows (A).
        atoms: one row per (position, species): `AtomTable`.
        symmetry: space group (within 0.01 A, as spglib finds it), operations in this cell's basis: `SpaceGroup`.
        notes: what was assumed or repaired on the way, in words.
        warnings: reasons to doubt that this is the crystal meant (`fastin.crystal.warnings`), severe ones first.
    """

    source: str
    cell: NDArray[np.float64]
    atoms: AtomTable
    symmetry: SpaceGroup
    notes: tuple[str, ...] = ()
    warnings: tuple[CrystalWarning, ...] = ()

    frac = Column[NDArray[np.float64]]("atoms", "frac")
    number = Column[NDArray[np.int32]]("atoms", "number")
    occupancy = Column[NDArray[np.float64]]("atoms", "occupancy")
    charge = Column[NDArray[np.float64]]("atoms", "charge")
    position = Column[NDArray[np.int64]]("atoms", "position")
    label = Column[tuple[str, ...]]("atoms", "label")
    rotations = Column[NDArray[np.int32]]("symmetry", "rotations")
    translations = Column[NDArray[np.float64]]("symmetry", "translations")
    space_group = Column[str]("symmetry", "symbol")
    space_group_number = Column[int]("symmetry", "number")
    orbit = Column[NDArray[np.int64]]("symmetry", "orbit")

    @cached_property
    def first_rows(self) -> NDArray[np.int64]:
        """(P,) row that stands for each position: its first."""
        return first_rows_of(self.position)

    @cached_property
    def neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Neighbours of every position within 4.6 A, nearest first: offsets (P + 1,), index (m,), distance (m,) (A)."""
        frac = np.ascontiguousarray(self.frac[self.first_rows])
        found: tuple[Any, Any, Any] = _core.neighbours(self.cell, frac, NEIGHBOUR_CUTOFF)
        return found

    @property
    def num_positions(self) -> int:
        """Number of distinct positions; mixed sites count once."""
        return int(self.position.max()) + 1

    @cached_property
    def volume(self) -> float:
        """Volume of the cell (A^3)."""
        return float(abs(np.linalg.det(self.cell)))

    @cached_property
    def formula(self) -> str:
        """Reduced formula, electropositive elements first: ``Li10GeP2S12``, ``Li0.33La0.56TiO3``."""
        numbers = [int(z) for z in distinct(self.number)]
        amounts = np.array([self.occupancy[self.number == z].sum() for z in numbers])
        amounts /= self._formula_units(amounts)
        chi = _electronegativity()
        order = sorted(range(len(numbers)), key=lambda k: (chi[numbers[k]], numbers[k]))
        return "".join(f"{symbol(numbers[k])}{amount_text(float(amounts[k]))}" for k in order)

    def _formula_units(self, amounts: NDArray[np.float64]) -> int:
        """Formula units a cell: common divisor of the amounts, or of the site counts when they are not integers."""
        counts = np.rint(amounts).astype(int)
        if np.abs(amounts - counts).max() > 1e-3:
            counts = np.unique(np.round(self.occupancy, 3) * 1000 + self.number, return_counts=True)[1]
        return max(1, math.gcd(*counts.tolist()))


@cache
def _electronegativity() -> list[float]:
    """Pauling's electronegativity by atomic number, 0 where there is none."""
    values: list[float] = np.nan_to_num(column("electronegativity")).tolist()
    return values


def first_rows_of(position: NDArray[np.int64]) -> NDArray[np.int64]:
    """First row of each position; rows of a position follow each other."""
    if len(position) and position[-1] == len(position) - 1:
        return np.arange(len(position))
    return np.unique(position, return_index=True)[1]


def amount_text(value: float) -> str:
    """An amount in a formula: three digits at most, nothing for one."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "" if text == "1" else text
