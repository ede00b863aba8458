"""From rows as read to the parts of a crystal: checks, coincident rows merged, charges, space group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.bonding import CLOSED_SHELL, METALLOIDS, NONMETALS
from fastin.crystal.data import NEIGHBOUR_CUTOFF, AtomTable, first_rows_of
from fastin.crystal.elements import element, numbers_by_symbol, species_name, symbol
from fastin.crystal.gates import apart_warnings, contact_warnings, residue_warnings, vacuum_warnings
from fastin.crystal.ions import OxidationStates
from fastin.crystal.oxidation import assign_oxidation_states
from fastin.crystal.state_likelihood import state_costs
from fastin.crystal.symmetry import SpaceGroup, find_space_group
from fastin.crystal.warnings import CrystalWarning, merge_warnings
from fastin.errors import GeometryError, InputError, OxidationStateError
from fastin.runtime.arguments import real, real_array
from fastin.runtime.arrays import distinct, sum_by
from fastin.runtime.openmp import _core

if TYPE_CHECKING:
    from fastin.crystal.sites import Sites

_ACCUSED = frozenset({"formula-mismatch", "symmetry-mismatch"})  # atoms are known to be missing
_COINCIDENT = 1e-3  # A: rows nearer than this share one position
_OVERLAP = 0.5  # A: two atoms nearer than this cannot both be there
_MIN_SPACING = 0.05  # A between lattice planes
_MIN_VOLUME = 1.0  # A^3 an atom: solid hydrogen at megabars still has more
_SLIGHT = 0.02  # e: what rounding takes from a state
_FULL = 1.02  # largest total occupancy of a position


class Assembled(NamedTuple):
    """The parts of a crystal, with what was computed on the way."""

    cell: NDArray[np.float64]
    atoms: AtomTable
    symmetry: SpaceGroup
    notes: tuple[str, ...]
    warnings: tuple[CrystalWarning, ...]
    first_rows: NDArray[np.int64]
    neighbours: Any


def assemble(sites: Sites, source: str, oxidation_states: OxidationStates | None = None) -> Assembled:
    """Checks rows as read, merges coincident ones, assigns charges and finds the space group.

    Raises:
        InputError: no atoms, coordinates that are no numbers, overlapping atoms, contradictory occupancies.
        GeometryError: no volume, or more atoms than fit.
        OxidationStateError: given oxidation states that do not fit the crystal.
    """
    cell = np.ascontiguousarray(sites.cell, dtype=np.float64)
    frac = np.ascontiguousarray(sites.frac, dtype=np.float64)
    if len(frac) == 0:
        raise InputError(f"{source}: the crystal holds no atoms")
    if not np.isfinite(frac).all():
        bad = np.flatnonzero(~np.isfinite(frac).all(axis=1))
        raise InputError(f"{source}: the coordinates of site {sites.label[bad[0]]!r} are not finite numbers")
    notes, warnings = list(sites.notes), list(sites.warnings)
    if not np.isfinite(cell).all():
        raise GeometryError(f"{source}: the cell has a component that is not finite")
    if _signed_volume(cell) < 0.0:
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
            neighbours = _core.neighbours(cell, frac[first_rows_of(position)], NEIGHBOUR_CUTOFF)
    number = np.ascontiguousarray(number, dtype=np.int32)
    occupancy = np.ascontiguousarray(occupancy, dtype=np.float64)
    charge = _charges(
        number, occupancy, position, label, charge, sites, neighbours, oxidation_states, source, notes, warnings
    )
    kind = position_kinds(number, occupancy, charge, position)
    first = first_rows_of(position)
    warnings += residue_warnings(charge, occupancy)
    warnings += contact_warnings(number, occupancy, position, first, label, neighbours)
    if not any(w.code in _ACCUSED for w in warnings):
        warnings += apart_warnings(number, charge, first, label, neighbours)
    warnings += vacuum_warnings(cell, frac)
    group = find_space_group(cell, frac[first], kind, neighbours=neighbours)
    if group.note:
        notes.append(group.note)
    for array in (cell, frac, number, occupancy, charge, position, group.rotations, group.translations, group.orbit):
        array.setflags(write=False)
    atoms = AtomTable(frac, number, occupancy, charge, position, tuple(label))
    return Assembled(cell, atoms, group, tuple(dict.fromkeys(notes)), merge_warnings(warnings), first, neighbours)


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


def _signed_volume(cell: NDArray[np.float64]) -> float:
    """Determinant of three rows, without the overhead of a factorisation."""
    a, b, c = cell.tolist()
    return float(sum(x * y for x, y in zip(a, _cross(b, c), strict=True)))


def _cross(u: list[float], v: list[float]) -> tuple[float, float, float]:
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]


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
    warnings: list[CrystalWarning],
) -> NDArray[np.float64]:
    """Oxidation states by priority: the caller's, the species', the file's if they balance, else assigned."""
    if given is not None:
        charge = _given_charges(number, position, given, source)
        _note_residue(charge, occupancy, notes)
        warnings.extend(_unknown_states(number, charge))
        return charge
    if stated is not None and np.any(stated != 0.0):
        residue = float(stated @ occupancy)
        positive = float((stated * occupancy)[stated > 0].sum())
        if sites.charge_is_certain or abs(residue) <= 0.02 * positive:
            _note_residue(stated, occupancy, notes)
            warnings.extend(_unknown_states(number, stated))
            return np.ascontiguousarray(stated, dtype=np.float64)
        notes.append(f"the oxidation states of the file do not balance ({residue:+.3g} e a cell) and are ignored")
    assigned = assign_oxidation_states(number, occupancy, position, neighbours)
    notes.extend(assigned.notes)
    warnings.extend(assigned.warnings)
    return assigned.charge


def _note_residue(charge: NDArray[np.float64], occupancy: NDArray[np.float64], notes: list[str]) -> None:
    residue = float(charge @ occupancy)
    if abs(residue) > 1e-3:
        notes.append(f"the given oxidation states leave a residue of {residue:+.3g} e a cell")


def _unknown_states(number: NDArray[np.int32], charge: NDArray[np.float64]) -> list[CrystalWarning]:
    """Said where given states are none that the element has: partial charges (Bader, Mulliken), or a slip."""
    odd = []
    for z, q in sorted(set(zip(number.tolist(), charge.tolist(), strict=True))):
        usual = [k for k, _ in state_costs(z, ())]
        highest = max((*usual, *element(z).occurrences), default=0)
        lowest = 0 if z in NONMETALS or z in METALLOIDS else min(usual, default=0)
        if q > _SLIGHT:
            wrong = highest > 0 and not lowest - _SLIGHT <= q <= highest + _SLIGHT
        else:
            wrong = q < CLOSED_SHELL.get(z, 0) - _SLIGHT or (z == 9 and q > _SLIGHT - 1.0)
        if wrong:
            odd.append(species_name(z, q))
    if not odd:
        return []
    text = f"given oxidation states that these elements do not have ({', '.join(odd)}); partial charges are none"
    return [CrystalWarning("oxidation-ambiguous", text)]


def _given_charges(
    number: NDArray[np.int32], position: NDArray[np.int64], given: OxidationStates, source: str
) -> NDArray[np.float64]:
    if isinstance(given, Mapping):
        by_number: dict[int, float] = {}
        for name, value in given.items():
            z = numbers_by_symbol().get(name)
            if z is None:
                raise OxidationStateError(f"{source}: oxidation_states names an unknown element {name!r}")
            by_number[z] = real(value, f"{source}: the oxidation state of {name}", OxidationStateError)
        missing = sorted({symbol(int(z)) for z in number if int(z) not in by_number})
        if missing:
            raise OxidationStateError(f"{source}: oxidation_states lacks {', '.join(missing)}")
        charge = np.array([by_number[int(z)] for z in number])
    else:
        charge = real_array(given, f"{source}: oxidation_states", OxidationStateError).reshape(-1)
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


def position_kinds(
    number: NDArray[np.int32], occupancy: NDArray[np.float64], charge: NDArray[np.float64], position: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Integer label a position, equal where the same ions sit with the same occupancies."""
    code = np.round(occupancy, 3) * 1e6 + number * 1e3 + np.round(charge, 2)
    if len(code) == int(position[-1]) + 1:
        return np.searchsorted(distinct(code), code).astype(np.int32)
    held: dict[int, list[float]] = {}
    for at, value in zip(position.tolist(), code.tolist(), strict=True):
        held.setdefault(at, []).append(value)
    kinds: dict[tuple[float, ...], int] = {}
    return np.array([kinds.setdefault(tuple(sorted(held[k])), len(kinds)) for k in range(len(held))], dtype=np.int32)
