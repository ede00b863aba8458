"""Ordered cells of partly occupied crystals, ranked by their Ewald energy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastin.crystal.crystal import Crystal, as_crystal
from fastin.crystal.ions import OxidationStates
from fastin.errors import InputError
from fastin.ordering import arrange
from fastin.ordering.arrange import Problem, Progress
from fastin.ordering.content import VACANCY, Content, Sublattice, choose, sublattice
from fastin.runtime import html
from fastin.runtime.arguments import checked_arguments
from fastin.runtime.threads import resolve_threads

if TYPE_CHECKING:
    from pymatgen.core import Structure

FloatArray = npt.NDArray[np.float64]

_MAX_ATOMS = 200
_MOST_ATOMS = 2_000
_FORMATS = {"cif": ".cif", "poscar": ".vasp"}


@dataclass(frozen=True, eq=False)
class OrderedCell:
    """One ordered arrangement.

    Attributes:
        structure: pymatgen structure with oxidation states, atoms grouped by element.
        energy: Ewald energy of the oxidation states in vacuum, eV for the cell: ranks arrangements of one crystal only.
        rank: 0 for the lowest.
        contact: the closest two atoms in relation to their covalent radii: elements and distance, angstrom.
    """

    structure: Structure
    energy: float
    rank: int
    contact: tuple[str, str, float]

    @property
    def energy_per_atom(self) -> float:
        """Ewald energy an atom, eV."""
        return self.energy / len(self.structure)

    @property
    def formula(self) -> str:
        """Content of the cell, "Li56 La24 Zr16 O96"."""
        text: str = self.structure.composition.element_composition.formula
        return text


@dataclass(frozen=True, eq=False)
class OrderedCells(Sequence[OrderedCell]):
    """Ordered cells of a crystal, lowest Ewald energy first; a sequence of `OrderedCell`.

    Attributes:
        source: what the crystal was read from.
        supercell: multiples of the crystal's cell vectors.
        cells: the ordered cells.
        content: species -> (ions in a cell here, in the crystal with its occupancies).
        method: "ordered already", "enumeration" (all arrangements were compared) or "monte carlo".
        arrangements: how many there are with this content, symmetry copies included (a float: it may be huge).
        notes: what differs from the crystal.
    """

    source: str
    supercell: tuple[int, int, int]
    cells: tuple[OrderedCell, ...]
    content: dict[str, tuple[int, float]]
    method: str
    arrangements: float
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, index: Any) -> Any:
        return self.cells[index]

    def __iter__(self) -> Iterator[OrderedCell]:
        return iter(self.cells)

    @property
    def structures(self) -> list[Structure]:
        """The pymatgen structures."""
        return [c.structure for c in self.cells]

    @property
    def energies(self) -> FloatArray:
        """(n,) Ewald energies, eV a cell."""
        return np.array([c.energy for c in self.cells])

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.supercell))
        what = f"{self.cells[0].formula}, {len(self.cells[0].structure)} atoms" if self.cells else "none"
        return f"OrderedCells({self.source}: {len(self.cells)} of {shape} cells, {what}, {self.method})"

    def _repr_html_(self) -> str:
        names = ("rank", "formula", "atoms", "energy_eV", "above_lowest_meV_per_atom")
        return html.table(repr(self), [[row[name] for name in names] for row in self.rows()], names)

    def rows(self) -> list[dict[str, Any]]:
        """One row a cell: rank, formula, atoms, energy, energy above the lowest one."""
        lowest = self.cells[0].energy if self.cells else 0.0
        return [
            {
                "rank": c.rank,
                "formula": c.formula,
                "atoms": len(c.structure),
                "energy_eV": c.energy,
                "energy_eV_per_atom": c.energy_per_atom,
                "above_lowest_meV_per_atom": 1e3 * (c.energy - lowest) / len(c.structure),
                "closest": "-".join(c.contact[:2]),
                "closest_A": c.contact[2],
            }
            for c in self.cells
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, without the structures."""
        return {
            "source": self.source,
            "supercell": list(self.supercell),
            "method": self.method,
            "arrangements": self.arrangements,
            "content": {name: {"here": n, "crystal": x} for name, (n, x) in self.content.items()},
            "cells": self.rows(),
            "notes": list(self.notes),
        }

    def write(self, folder: str | PathLike[str], *, format: str = "cif", stem: str | None = None) -> list[Path]:
        """Writes one file a cell, and ``STEM-ordered.csv`` with the energies.

        Args:
            folder: made where it is missing.
            format: "cif" (with oxidation states) or "poscar".
            stem: of the names ``STEM-ordered-0.cif``...; None takes that of the source.

        Returns:
            The structure files and the table.

        Raises:
            InputError: another format.
        """
        from pymatgen.io.cif import CifWriter
        from pymatgen.io.vasp import Poscar

        if format not in _FORMATS:
            raise InputError(f"ordered cells are written as {' or '.join(_FORMATS)}, not {format!r}")
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        name = stem or Path(self.source).stem.replace(" ", "_") or "crystal"
        files = []
        for c in self.cells:
            file = target / f"{name}-ordered-{c.rank}{_FORMATS[format]}"
            if format == "cif":
                text = str(CifWriter(c.structure, significant_figures=8))
            else:
                text = Poscar(c.structure, comment=f"{name} ordered {c.rank}").get_str(significant_figures=10)
            file.write_text(text, encoding="utf-8")
            files.append(file)
        table = target / f"{name}-ordered.csv"
        rows = self.rows()
        lines = [",".join(rows[0])] + [",".join(str(v) for v in row.values()) for row in rows]
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [*files, table]


@checked_arguments
def order(
    source: Any,
    *,
    supercell: Sequence[int] | None = None,
    n: int = 1,
    seed: int = 0,
    max_atoms: int = _MAX_ATOMS,
    oxidation_states: OxidationStates | None = None,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> OrderedCells:
    """Neutral ordered cells of a partly occupied crystal, lowest Ewald energy first.

    Every position is filled with one ion or left empty. The numbers of ions are whole, near the occupancies, and the
    cell is neutral. Positions closer than 0.8 A (split sites), and positions that need not be filled together and are
    closer than 0.7 times the sum of their covalent radii, are not filled together. Where the sites of a symmetry class
    hold whole numbers of ions, they keep them; else sites with equal occupancies are filled together.

    All arrangements are compared where there are at most 40,000, by pymatgen's Ewald matrix; otherwise seeded simulated
    annealing on that matrix looks for the lowest ones (16 runs), which need not find the very lowest. Of arrangements
    that the crystal's symmetry maps on each other one is kept.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        supercell: three multiples of the cell vectors; None takes the smallest supercell of at most `max_atoms` atoms
            whose content is within 0.5 % of the crystal's, or else the nearest one.
        n: how many arrangements to return; there may be fewer.
        seed: of the annealing; the result depends on it and not on the number of threads.
        max_atoms: for the automatic supercell; one cell is always tried.
        oxidation_states: as for `Crystal`.
        num_threads: None takes the default.
        progress: called with the share of the work that is done.

    Raises:
        InputError: unreadable source, numbers out of range.
        DisorderError: no neutral content near the occupancies, or no arrangement avoids the exclusions.

    Examples:
        >>> import fastin
        >>> cells = fastin.order(fastin.examples()["Li10GeP2S12"])
        >>> cells[0].formula, cells.supercell
        ('Li20 Ge2 P4 S24', (1, 1, 1))
    """
    if n < 1 or seed < 0 or max_atoms < 1:
        raise InputError(f"n and max_atoms must be positive and the seed not negative, not {n}, {max_atoms}, {seed}")
    tell = progress or (lambda share: None)
    crystal = as_crystal(source, oxidation_states=oxidation_states)
    multiples = _checked(supercell)
    if multiples and float(crystal.occupancy.sum()) * math.prod(multiples) > _MOST_ATOMS:
        raise InputError(
            f"{crystal.source}: a {' x '.join(map(str, multiples))} cell holds more than {_MOST_ATOMS} atoms: give a "
            "smaller supercell"
        )
    lattice = sublattice(crystal)
    content = choose(crystal, lattice, multiples, max_atoms) if lattice.groups else _whole(lattice, multiples)
    tell(0.1)
    notes = [*content.notes]
    total = arrange.count(lattice, content)
    if not lattice.groups:
        return _already(crystal, lattice, content)
    problem = arrange.build(crystal, lattice, content)
    tell(0.3)
    method, problem, energy, rows = _arrangements(crystal, lattice, content, problem, n, seed, num_threads, tell, notes)
    found = _distinct(crystal, problem, energy, rows, n)
    if len(found) < n:
        notes.append(f"{len(found)} inequivalent arrangements were found, not {n}")
    if abs(content.charge) > 1e-3:
        names = ", ".join(lattice.name(s) for s in lattice.mixed)
        notes.append(f"the oxidation states of {names} are shifted to make the cell neutral")
    structures = [_structure(crystal, lattice, problem, row) for _, row in found]
    contacts = [arrange.closest(s) for s in structures]
    cells = tuple(
        OrderedCell(s, e, k, c) for k, (s, (e, _), (c, _)) in enumerate(zip(structures, found, contacts, strict=True))
    )
    (a, b, distance), share = contacts[0]
    if share < arrange.CONTACT:
        notes.append(f"{a} and {b} are {distance:.2f} A apart, {share:.2f} of the sum of their covalent radii")
    tell(1.0)
    return OrderedCells(
        crystal.source,
        content.multiples,
        cells,
        _content_table(crystal, lattice, content),
        method,
        total,
        tuple(dict.fromkeys(notes)),
    )


def _checked(supercell: Sequence[int] | None) -> tuple[int, int, int] | None:
    if supercell is None:
        return None
    values = [int(v) for v in supercell]
    if len(values) != 3 or min(values) < 1:
        raise InputError(f"a supercell needs three multiples of 1 or more, not {tuple(supercell)}")
    return values[0], values[1], values[2]


def _whole(lattice: Sublattice, multiples: tuple[int, int, int] | None) -> Content:
    shape = multiples or (1, 1, 1)
    return Content(shape, [], 0.0, len(lattice.fixed) * int(np.prod(shape)), 0.0)


def _already(crystal: Crystal, lattice: Sublattice, content: Content) -> OrderedCells:
    structure = crystal.to_structure()
    structure.make_supercell(content.multiples)
    structure = structure.get_sorted_structure()
    from pymatgen.analysis.ewald import EwaldSummation

    energy = float(EwaldSummation(structure).total_energy)
    cell = OrderedCell(structure, energy, 0, arrange.closest(structure)[0])
    table = _content_table(crystal, lattice, content)
    note = "every position holds one ion for certain: there is nothing to order"
    return OrderedCells(crystal.source, content.multiples, (cell,), table, "ordered already", 1.0, (note,))


def _arrangements(
    crystal: Crystal,
    lattice: Sublattice,
    content: Content,
    problem: Problem,
    n: int,
    seed: int,
    num_threads: int | None,
    tell: Progress,
    notes: list[str],
) -> tuple[str, Problem, FloatArray, npt.NDArray[np.int32]]:
    """Allowed arrangements by rising energy; the exclusions are eased step by step where they leave none."""
    threads = resolve_threads(num_threads)
    if arrange.count(lattice, content) <= arrange.ENUMERATE:
        energy, rows = arrange.enumerate_all(lattice, content, problem)
        if len(rows):
            return "enumeration", problem, energy, rows

    def attempt(trial: Problem) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        return arrange.search(trial, 4 * n + 8, seed, threads, lambda share: tell(0.3 + 0.6 * share))

    energy, rows = attempt(problem)
    if len(rows):
        return "monte carlo", problem, energy, rows
    freer = replace(problem, pool=arrange.merged_pools(lattice, problem))
    if (freer.pool != problem.pool).any():
        energy, rows = attempt(freer)
        if len(rows):
            notes.append("ions were moved between sites with different occupancies: otherwise some come too close")
            return "monte carlo", freer, energy, rows
    closer = replace(freer, exclusion=arrange.split_only(crystal, problem))
    if closer.exclusion.shape != problem.exclusion.shape:
        energy, rows = attempt(closer)
        if len(rows):
            notes.append(
                f"the content fits only with ions closer than {arrange.CONTACT} of the sum of their covalent radii: "
                "look at the shortest distances"
            )
            return "monte carlo", closer, energy, rows
    raise arrange.refuse(crystal, lattice, problem)


def _distinct(
    crystal: Crystal, problem: Problem, energy: FloatArray, rows: npt.NDArray[np.int32], n: int
) -> list[tuple[float, npt.NDArray[np.int32]]]:
    copies = arrange.permutations(crystal, problem)
    found: list[tuple[float, npt.NDArray[np.int32]]] = []
    seen: set[bytes] = set()
    for e, row in zip(energy, rows, strict=True):
        key = arrange.canonical(row, copies)
        if key in seen:
            continue
        seen.add(key)
        found.append((float(e), row))
        if len(found) == n:
            break
    return found


def _structure(crystal: Crystal, lattice: Sublattice, problem: Problem, row: npt.NDArray[np.int32]) -> Structure:
    from pymatgen.core import Lattice, Species, Structure

    from fastin.crystal.elements import symbol

    filled = row != VACANCY
    species = np.concatenate([problem.fixed_species, row[filled]]).astype(int)
    frac = np.concatenate([problem.fixed_frac, problem.frac[filled]]) % 1.0
    names = [Species(symbol(int(lattice.number[s])), round(float(problem.charge[s]), 6)) for s in species]
    cell = crystal.cell * np.array(problem.multiples)[:, None]
    structure: Structure = Structure(Lattice(cell), names, frac).get_sorted_structure()
    return structure


def _content_table(crystal: Crystal, lattice: Sublattice, content: Content) -> dict[str, tuple[int, float]]:
    cells = int(np.prod(content.multiples))
    here = np.bincount(lattice.fixed_species, minlength=len(lattice.number)) * cells
    for group, counts in zip(lattice.groups, content.counts, strict=True):
        for s, count in zip(group.species, counts, strict=True):
            if s != VACANCY:
                here[s] += count
    table = {}
    for s in range(len(lattice.number)):
        rows = (crystal.number == lattice.number[s]) & (np.abs(crystal.charge - lattice.charge[s]) < 1e-3)
        table[lattice.name(s)] = (int(here[s]), float(crystal.occupancy[rows].sum()) * cells)
    return table
