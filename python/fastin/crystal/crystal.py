"""Crystals: reading, oxidation states, symmetry, and the framework that a mobile ion sees."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import column, element, numbers_by_symbol, symbol
from fastin.crystal.framework import Framework, MobileIon, build_framework
from fastin.crystal.oxidation import assign_oxidation_states
from fastin.crystal.symmetry import find_space_group
from fastin.errors import GeometryError, InputError, OxidationStateError
from fastin.runtime.arrays import sum_by
from fastin.runtime.openmp import _core

if TYPE_CHECKING:
    from fastin.crystal.cif import Sites

__all__ = ["Crystal", "Framework", "MobileIon", "OxidationStates", "Radii", "as_crystal"]

OxidationStates = Mapping[str, float] | Sequence[float] | NDArray[np.float64]
Radii = str | Mapping[str, float] | Sequence[float] | NDArray[np.float64]

#: Order in which a mobile ion is looked for when none is named.
USUAL_IONS = ("Li", "Na", "K", "Ag", "Cu", "Mg", "Zn", "Ca", "Al", "F", "O", "Rb", "Cs", "Cl", "Br", "I")

NEIGHBOUR_CUTOFF = 4.6  # A: bonds, coordination shells and coincident sites
_COINCIDENT = 1e-3  # A: rows nearer than this share one position
_OVERLAP = 0.5  # A: two atoms nearer than this cannot both be there
_MIN_SPACING = 0.05  # A between lattice planes
_MIN_VOLUME = 1.0  # A^3 an atom: solid hydrogen at megabars still has more
_FULL = 1.02  # largest total occupancy of a position


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal with oxidation states and symmetry: one row per (position, species).

    Attributes:
        source: path or short description, used in every error message.
        cell: (3, 3) lattice vectors in rows (A).
        frac: (N, 3) fractional positions in [0, 1).
        number: (N,) atomic numbers.
        occupancy: (N,) share of the position that this species holds.
        charge: (N,) oxidation states (e).
        position: (N,) index of the position; rows of a mixed site share it.
        label: site label of each row.
        rotations: (G, 3, 3) operations of the space group in this cell's basis, ``x' = R x + t``, centring included.
        translations: (G, 3) their translations.
        space_group: international symbol found by spglib (symprec 0.01 A).
        space_group_number: its number.
        notes: what was assumed or repaired on the way, in words.
        orbit: (P,) symmetry class of each position: the index of its first member.
    """

    source: str
    cell: NDArray[np.float64]
    frac: NDArray[np.float64]
    number: NDArray[np.int32]
    occupancy: NDArray[np.float64]
    charge: NDArray[np.float64]
    position: NDArray[np.int64]
    label: tuple[str, ...]
    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]
    space_group: str
    space_group_number: int
    notes: tuple[str, ...] = ()
    orbit: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)

    # ------------------------------------------------------------------------------------------------ construction

    @classmethod
    def from_file(cls, path: str | Path, *, oxidation_states: OxidationStates | None = None) -> Crystal:
        """Reads a CIF or POSCAR (by name or content); other formats through pymatgen or ASE.

        Args:
            path: the file.
            oxidation_states: species or element -> charge, or one value a site; assigned by fastin when absent.

        Raises:
            InputError: the file is missing, unreadable, or holds no usable crystal.
            GeometryError: the cell has no volume.
        """
        from fastin.crystal.files import read_sites

        sites, source = read_sites(Path(path))
        return build_crystal(sites, source, oxidation_states)

    @classmethod
    def from_cif_string(
        cls, text: str, *, source: str = "CIF string", oxidation_states: OxidationStates | None = None
    ) -> Crystal:
        """Reads a CIF given as text; `source` names it in messages. Errors as from_file."""
        from fastin.crystal.cif import parse_cif

        return build_crystal(parse_cif(text, source), source, oxidation_states)

    @classmethod
    def from_structure(
        cls, structure: Any, *, source: str | None = None, oxidation_states: OxidationStates | None = None
    ) -> Crystal:
        """From a pymatgen Structure, with its partial occupancies and, if every species has one, its charges."""
        from fastin.crystal.files import sites_from_structure

        source = source or f"Structure {structure.composition.reduced_formula}"
        return build_crystal(sites_from_structure(structure, source), source, oxidation_states)

    @classmethod
    def from_atoms(
        cls, atoms: Any, *, source: str | None = None, oxidation_states: OxidationStates | None = None
    ) -> Crystal:
        """From ASE Atoms with a three-dimensional cell."""
        from fastin.crystal.files import sites_from_atoms

        source = source or f"Atoms {atoms.get_chemical_formula(empirical=True)}"
        return build_crystal(sites_from_atoms(atoms, source), source, oxidation_states)

    def to_structure(self) -> Any:
        """The crystal as a pymatgen Structure with oxidation states and partial occupancies."""
        from pymatgen.core import Lattice, Species, Structure

        species: list[dict[Any, float]] = []
        coords = []
        for k in range(self.num_positions):
            rows = np.flatnonzero(self.position == k)
            held: dict[Any, float] = {}
            for r in rows:
                ion = Species(symbol(int(self.number[r])), float(round(self.charge[r], 6)))
                held[ion] = held.get(ion, 0.0) + float(self.occupancy[r])
            species.append(held)
            coords.append(self.frac[rows[0]])
        return Structure(Lattice(self.cell), species, coords)

    # ------------------------------------------------------------------------------------------------ facts

    @cached_property
    def first_rows(self) -> NDArray[np.int64]:
        """(P,) row that stands for each position: its first."""
        return _first_rows(self.position)

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

    @property
    def volume(self) -> float:
        """Volume of the cell (A^3)."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def formula(self) -> str:
        """Reduced formula, electropositive elements first: ``Li10GeP2S12``, ``Li0.33La0.56TiO3``."""
        numbers = [int(z) for z in np.unique(self.number)]
        amounts = np.array([self.occupancy[self.number == z].sum() for z in numbers])
        amounts /= self._formula_units(amounts)
        chi = np.nan_to_num(column("electronegativity"))
        order = sorted(range(len(numbers)), key=lambda k: (float(chi[numbers[k]]), numbers[k]))
        return "".join(f"{symbol(numbers[k])}{_amount(float(amounts[k]))}" for k in order)

    def _formula_units(self, amounts: NDArray[np.float64]) -> int:
        """Formula units a cell: common divisor of the amounts, or of the site counts when they are not integers."""
        counts = np.rint(amounts).astype(int)
        if np.abs(amounts - counts).max() > 1e-3:
            counts = np.unique(np.round(self.occupancy, 3) * 1000 + self.number, return_counts=True)[1]
        return max(1, math.gcd(*counts.tolist()))

    def __repr__(self) -> str:
        """Counts, not contents."""
        return (
            f"Crystal({self.formula}, {self.num_positions} positions, {self.space_group} ({self.space_group_number}), "
            f"{self.volume:.1f} A^3)"
        )

    def _repr_html_(self) -> str:
        from fastin.runtime import html as notebook

        return notebook.crystal(self)

    # ------------------------------------------------------------------------------------------------ mobile ion

    def resolve_ion(self, ion: str | MobileIon | None = None) -> MobileIon:
        """The mobile ion that a request means.

        Args:
            ion: element ("Li") or species ("Li+", "F-", "O2-"); None takes the first of USUAL_IONS that is present.
                An ion that the crystal does not hold is a guest.

        Raises:
            InputError: unknown name, a charge that contradicts the crystal's oxidation states, or None and none of
                the usual ions is present.
        """
        if isinstance(ion, MobileIon):
            return ion
        present = set(self.number.tolist())
        if ion is None:
            for name in USUAL_IONS:
                if numbers_by_symbol()[name] in present:
                    return self._mobile(numbers_by_symbol()[name], math.nan)
            raise InputError(
                f"{self.source}: none of the usual mobile ions ({', '.join(USUAL_IONS)}) is present; "
                'name one, for example ion="Li" for a guest'
            )
        from fastin.crystal.cif import parse_species

        found = parse_species(ion.strip()) if isinstance(ion, str) else None
        if found is None or (isinstance(ion, str) and ion.strip()[:1].islower()):
            raise InputError(f'{self.source}: unknown ion {ion!r}; give an element or species: "Li", "Li+", "O2-"')
        return self._mobile(*found)

    def _mobile(self, number: int, charge: float) -> MobileIon:
        rows = self.number == number
        guest = not bool(rows.any())
        held = self.occupancy[rows]
        own = 0.0 if guest else float(self.charge[rows] @ held / held.sum())
        if math.isnan(charge) or charge == 0:
            charge = round(own) if round(own) != 0 else _usual_charge(number)
        elif round(own) != 0 and abs(charge - own) > 0.5:
            raise InputError(
                f"{self.source}: {symbol(number)} has oxidation state {own:+.3g} in this crystal, not {charge:+.3g}; "
                f'name the element (ion="{symbol(number)}") or give oxidation_states'
            )
        return MobileIon(symbol(number), number, round(charge), guest)

    def framework(self, ion: str | MobileIon | None = None, *, radii: Radii = "ionic") -> Framework:
        """Everything but the mobile ion, split and mixed sites resolved, with radii.

        Args:
            ion: as in resolve_ion.
            radii: ``"ionic"`` (Shannon crystal radii by element, charge and coordination number), ``"effective"``
                (his effective ionic radii), ``"atomic"``, a mapping from species or element to radius (A), or one
                radius a framework position in input order.

        Raises:
            InputError: unknown ion, no framework left, or unusable radii.
            DisorderError: every framework site is occupied by less than 0.2.
            MissingParameterError: no radius is known for a species.
        """
        return build_framework(self, self.resolve_ion(ion), radii)


def as_crystal(source: Any, *, oxidation_states: OxidationStates | None = None) -> Crystal:
    """Whatever names a crystal, as a Crystal: a path, a pymatgen Structure, ASE Atoms, or a Crystal itself.

    Args:
        source: the crystal. A string is a path; CIF text goes through Crystal.from_cif_string.
        oxidation_states: species or element -> charge, or one value a site; replaces those of a Crystal.

    Raises:
        InputError: the type is not one of these, or the file cannot be used.
    """
    if isinstance(source, Crystal):
        return source if oxidation_states is None else with_oxidation_states(source, oxidation_states)
    if isinstance(source, str | Path):
        return Crystal.from_file(source, oxidation_states=oxidation_states)
    if hasattr(source, "lattice") and hasattr(source, "species_and_occu"):
        return Crystal.from_structure(source, oxidation_states=oxidation_states)
    if hasattr(source, "get_scaled_positions") and hasattr(source, "numbers"):
        return Crystal.from_atoms(source, oxidation_states=oxidation_states)
    raise InputError(
        f"cannot read a crystal from {type(source).__name__}; give a path, a pymatgen Structure, ASE Atoms or a Crystal"
    )


def with_oxidation_states(crystal: Crystal, states: OxidationStates) -> Crystal:
    """The same crystal with other oxidation states."""
    from fastin.crystal.cif import Sites

    sites = Sites(
        crystal.cell, crystal.frac, crystal.number, crystal.occupancy, list(crystal.label), notes=list(crystal.notes)
    )
    return build_crystal(sites, crystal.source, states)


# ---------------------------------------------------------------------------------------------------- building


def build_crystal(sites: Sites, source: str, oxidation_states: OxidationStates | None = None) -> Crystal:
    """Checks rows as read, merges coincident ones, assigns charges and finds the space group."""
    cell = np.ascontiguousarray(sites.cell, dtype=np.float64)
    frac = np.ascontiguousarray(sites.frac, dtype=np.float64)
    if len(frac) == 0:
        raise InputError(f"{source}: the crystal holds no atoms")
    bad = np.flatnonzero(~np.isfinite(frac).all(axis=1))
    if len(bad):
        raise InputError(f"{source}: the coordinates of site {sites.label[bad[0]]!r} are not finite numbers")
    notes = list(sites.notes)
    if not np.isfinite(cell).all():
        raise GeometryError(f"{source}: the cell has a component that is not finite")
    if np.linalg.det(cell) < 0.0:
        cell = -cell
        notes.append("left-handed cell: mirrored")
    _check_density(cell, float(sites.occupancy.sum()), source)
    frac = frac - np.floor(frac)
    frac[frac >= 1.0] = 0.0
    frac += 0.0  # no negative zeros
    try:
        neighbours = _core.neighbours(cell, frac, NEIGHBOUR_CUTOFF)
    except GeometryError as error:
        raise GeometryError(f"{source}: {error}; check the cell parameters") from None
    position = np.arange(len(frac), dtype=np.int64)
    number, occupancy, label, charge = sites.number, sites.occupancy, sites.label, sites.charge
    if len(neighbours[2]) and neighbours[2].min() < _OVERLAP:
        merged = _merge(sites, frac, neighbours, source, notes)
        if merged is not None:
            frac, number, occupancy, label, charge, position = merged
            neighbours = _core.neighbours(cell, frac[_first_rows(position)], NEIGHBOUR_CUTOFF)
    number = np.ascontiguousarray(number, dtype=np.int32)
    occupancy = np.ascontiguousarray(occupancy, dtype=np.float64)
    charge = _charges(number, occupancy, position, label, charge, sites, neighbours, oxidation_states, source, notes)
    kind = _position_kinds(number, occupancy, charge, position)
    first = _first_rows(position)
    group = find_space_group(cell, frac[first], kind)
    if group.note:
        notes.append(group.note)
    for array in (cell, frac, number, occupancy, charge, position, group.rotations, group.translations, group.orbit):
        array.setflags(write=False)
    crystal = Crystal(
        *(source, cell, frac, number, occupancy, charge, position, tuple(label)),
        *(group.rotations, group.translations, group.symbol, group.number, tuple(dict.fromkeys(notes)), group.orbit),
    )
    vars(crystal).update(first_rows=first, neighbours=neighbours)  # already at hand: fills the cached properties
    return crystal


def _check_density(cell: NDArray[np.float64], atoms: float, source: str) -> None:
    """Refuses cells so flat or so full of atoms that no crystal has them (and no neighbour search would end)."""
    a, b, c = cell.tolist()
    faces = (_cross(b, c), _cross(c, a), _cross(a, b))
    volume = sum(x * y for x, y in zip(a, faces[0], strict=True))
    largest = max(math.hypot(*face) for face in faces)
    spacing = volume / largest if volume > 0.0 else 0.0
    if not spacing > _MIN_SPACING:
        raise GeometryError(f"{source}: the cell has zero volume or is flatter than {_MIN_SPACING:g} A; check it")
    if volume < _MIN_VOLUME * atoms:
        raise GeometryError(
            f"{source}: overlapping atoms: {atoms:.3g} atoms in {volume:.3g} A^3; check the cell and the coordinates"
        )


def _cross(u: list[float], v: list[float]) -> tuple[float, float, float]:
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]


def _first_rows(position: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(position) and position[-1] == len(position) - 1:
        return np.arange(len(position))
    return np.unique(position, return_index=True)[1]


class _Merged(NamedTuple):
    frac: NDArray[np.float64]
    number: NDArray[np.int32]
    occupancy: NDArray[np.float64]
    label: list[str]
    charge: NDArray[np.float64] | None
    position: NDArray[np.int64]


def _merge(sites: Sites, frac: NDArray[np.float64], neighbours: Any, source: str, notes: list[str]) -> _Merged | None:
    """Rows within 1e-3 A share a position; the same ion twice on it becomes one row. None if nothing coincides."""
    offsets, index, distance = neighbours
    row = np.repeat(np.arange(len(frac)), np.diff(offsets))
    close = (distance < _OVERLAP) & (index >= row)
    leader = np.arange(len(frac))
    for i, j, d in zip(row[close].tolist(), index[close].tolist(), distance[close].tolist(), strict=True):
        if d < _COINCIDENT:
            if i == j:
                raise GeometryError(f"{source}: the cell is so small that site {sites.label[i]!r} meets its own image")
            leader[leader == leader[j]] = leader[i]
        elif sites.occupancy[i] + sites.occupancy[j] > 1.98:
            raise InputError(
                f"{source}: overlapping atoms: {sites.label[i]!r} and {sites.label[j]!r} are {d:.3f} A apart; "
                "remove one or give partial occupancies"
            )
    if (leader == np.arange(len(frac))).all():
        return None
    kept_row: dict[tuple[int, int, float], int] = {}
    occupancy = sites.occupancy.copy()
    keep: list[int] = []
    for r in range(len(frac)):
        at = int(leader[r])
        state = 0.0 if sites.charge is None else float(sites.charge[r])
        key = (at, int(sites.number[r]), state if math.isfinite(state) else 0.0)
        if key not in kept_row:
            kept_row[key] = r
            keep.append(r)
            continue
        first = kept_row[key]
        if occupancy[first] + occupancy[r] <= _FULL:
            occupancy[first] += occupancy[r]
        elif occupancy[first] != occupancy[r]:
            raise InputError(f"{source}: site {sites.label[r]!r} repeats {sites.label[first]!r} with another occupancy")
        else:
            notes.append(f"duplicate of site {sites.label[first]} removed")
    frac, leader = frac[leader[keep]], leader[keep]
    _, position = np.unique(leader, return_inverse=True)
    position = position.reshape(-1).astype(np.int64)
    occupancy = occupancy[keep]
    total = sum_by(position, occupancy)
    over = np.flatnonzero(total > _FULL)
    if len(over):
        names = ", ".join(sites.label[keep[r]] for r in np.flatnonzero(position == over[0]))
        raise InputError(
            f"{source}: overlapping atoms: the occupancies of {names} on one position sum to {total[over[0]]:.3g}"
        )
    charge = None if sites.charge is None else sites.charge[keep]
    order = np.argsort(position, kind="stable")
    return _Merged(
        np.ascontiguousarray(frac[order]),
        sites.number[keep][order],
        occupancy[order],
        [sites.label[keep[r]] for r in order],
        None if charge is None else charge[order],
        position[order],
    )


def _charges(
    number: NDArray[np.int32],
    occupancy: NDArray[np.float64],
    position: NDArray[np.int64],
    label: Sequence[str],
    stated: NDArray[np.float64] | None,
    sites: Sites,
    neighbours: Any,
    given: OxidationStates | None,
    source: str,
    notes: list[str],
) -> NDArray[np.float64]:
    """Oxidation states by priority: the caller's, the species', the file's if they balance, else assigned."""
    if given is not None:
        charge = _given_charges(number, position, given, source)
        _note_residue(charge, occupancy, notes)
        return charge
    if stated is not None and np.any(stated != 0.0):
        residue = float(stated @ occupancy)
        positive = float((stated * occupancy)[stated > 0].sum())
        if sites.charge_is_certain or abs(residue) <= 0.02 * positive:
            _note_residue(stated, occupancy, notes)
            return np.ascontiguousarray(stated, dtype=np.float64)
        notes.append(f"the oxidation states of the file do not balance ({residue:+.3g} e a cell) and are ignored")
    assigned = assign_oxidation_states(number, occupancy, position, neighbours)
    notes.extend(assigned.notes)
    return assigned.charge


def _note_residue(charge: NDArray[np.float64], occupancy: NDArray[np.float64], notes: list[str]) -> None:
    residue = float(charge @ occupancy)
    if abs(residue) > 1e-3:
        notes.append(f"the given oxidation states leave a residue of {residue:+.3g} e a cell")


def _given_charges(
    number: NDArray[np.int32], position: NDArray[np.int64], given: OxidationStates, source: str
) -> NDArray[np.float64]:
    if isinstance(given, Mapping):
        by_number: dict[int, float] = {}
        for name, value in given.items():
            z = numbers_by_symbol().get(name)
            if z is None:
                raise OxidationStateError(f"{source}: oxidation_states names an unknown element {name!r}")
            by_number[z] = float(value)
        missing = sorted({symbol(int(z)) for z in number if int(z) not in by_number})
        if missing:
            raise OxidationStateError(f"{source}: oxidation_states lacks {', '.join(missing)}")
        charge = np.array([by_number[int(z)] for z in number])
    else:
        charge = np.asarray(given, dtype=np.float64).reshape(-1)
        if len(charge) != len(number) and len(charge) == int(position.max()) + 1:
            charge = charge[position]
        if len(charge) != len(number):
            raise OxidationStateError(
                f"{source}: oxidation_states has {len(charge)} values for {len(number)} rows "
                f"on {int(position.max()) + 1} positions"
            )
    if not np.isfinite(charge).all() or np.abs(charge).max() > 9:
        raise OxidationStateError(f"{source}: oxidation states must be finite and between -9 and 9")
    return charge


def _position_kinds(
    number: NDArray[np.int32], occupancy: NDArray[np.float64], charge: NDArray[np.float64], position: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Integer label a position, equal where the same ions sit with the same occupancies."""
    code = np.round(occupancy, 3) * 1e6 + number * 1e3 + np.round(charge, 2)
    if len(code) == int(position[-1]) + 1:
        return np.unique(code, return_inverse=True)[1].reshape(-1).astype(np.int32)
    held: dict[int, list[float]] = {}
    for at, value in zip(position.tolist(), code.tolist(), strict=True):
        held.setdefault(at, []).append(value)
    kinds: dict[tuple[float, ...], int] = {}
    return np.array([kinds.setdefault(tuple(sorted(held[k])), len(kinds)) for k in range(len(held))], dtype=np.int32)


def _usual_charge(number: int) -> int:
    facts = element(number)
    known = {q: n for q, n in facts.occurrences.items() if q in facts.common_states} or facts.occurrences
    if not known:
        raise InputError(f'{facts.symbol} has no known oxidation state; name a species such as "{facts.symbol}+"')
    return max(known, key=lambda q: known[q])


def _amount(value: float) -> str:
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "" if text == "1" else text
