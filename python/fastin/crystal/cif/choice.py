"""Which reading of a file is right: the one that holds what the file says; what stays open is a warning."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif.atoms import Rows
from fastin.crystal.cif.contents import (
    Fit,
    amounts_of,
    compare,
    conventions,
    multiplicities_agree,
    solve_groups,
    solve_mixed,
    usable,
)
from fastin.crystal.cif.expand import Orbits, expand
from fastin.crystal.cif.settings import Operations
from fastin.crystal.cif.symmetry import Reading
from fastin.crystal.cif.tags import Stated
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError
from fastin.runtime.openmp import _core

_CONTACT = 0.9  # A: two full atoms (hydrogen aside) are never nearer
_OVERLAP = 1.2  # A: full sites of disorder groups nearer than this are alternatives
_REACH = 3.5  # A: distances that tell two crystals apart
_ALIKE = 0.02  # A

_IDENTITY = Operations(np.eye(3)[None], np.zeros((1, 3)), "P 1")
_MINOR = ("hydrogen-missing", "disorder-unresolved")


@dataclass(eq=False)
class Trial:
    """One reading carried out."""

    reading: Reading
    orbits: Orbits
    occupancy: NDArray[np.float64]
    fit: Fit
    order: int
    notes: list[str] = field(default_factory=list)
    warnings: list[CrystalWarning] = field(default_factory=list)
    clash: bool = False


def choose(
    rows: Rows, readings: list[Reading], stated: Stated, cell: NDArray[np.float64], source: str, notes: list[str]
) -> tuple[Trial, list[CrystalWarning]]:
    """The reading that the file's own statements support, and what they leave open.

    Raises:
        InputError: occupancies that no convention explains, mixed symbols that the formula does not split.
    """
    first = _try(rows, readings[0], stated, cell, source)
    if len(readings) == 1:
        return _accept(first, rows, stated, notes), _doubts(first, rows, stated)
    trials = [first, *(_try(rows, reading, stated, cell, source) for reading in readings[1:])]
    for trial in trials:
        trial.clash = _clashes(trial, rows, cell)
    order = sorted(range(len(trials)), key=lambda k: (*_key(trials[k]), k))
    best = trials[order[0]]
    rivals = [trials[k] for k in order[1:] if trials[k].reading.kind != "alternative"]
    warnings = _doubts(best, rows, stated)
    if best.reading.kind == "alternative" and _key(best)[:-2] >= _key(first)[:-2]:
        best = first
        warnings = _doubts(best, rows, stated)
    complete = _complete_list(best, rivals)
    if complete is not None:
        return _accept(complete, rows, stated, notes), _doubts(complete, rows, stated)
    open_ = [t for t in rivals if _key(t)[:-1] == _key(best)[:-1] and t is not best and not _same(best, t, rows, cell)]
    if open_ and best.reading.kind != "alternative":
        warnings.append(_undecided(best, open_))
    elif best.reading.kind == "origin":
        name = best.reading.operations.name if best.reading.operations is not None else "P 1"
        notes.append(f"the space-group name leaves the origin open: {name} used, by what the file says it holds")
    return _accept(best, rows, stated, notes), warnings


def _complete_list(best: Trial, rivals: list[Trial]) -> Trial | None:
    """The listed operations where the named group adds no atoms: a file that lists the whole cell under its name."""
    pair = [t for t in (best, *rivals) if t.reading.kind == "list"]
    named = [t for t in (best, *rivals) if t.reading.kind != "list" and t.orbits.repeats]
    if len(pair) != 1 or not named or _key(pair[0])[:-1] > _key(best)[:-1]:
        return None
    held = [float((t.occupancy * t.orbits.count).sum()) for t in (pair[0], named[0])]
    return pair[0] if abs(held[0] - held[1]) < 1e-6 * held[0] else None


def _key(trial: Trial) -> tuple[bool, ...]:
    return (*trial.fit.key(), trial.clash, trial.reading.kind == "alternative")


def _undecided(best: Trial, rivals: list[Trial]) -> CrystalWarning:
    used = best.reading.operations.name if best.reading.operations is not None else "P 1"
    other = rivals[0].reading.operations.name if rivals[0].reading.operations is not None else "P 1"
    if best.reading.kind == "origin" and rivals[0].reading.kind == "origin":
        text = f"the space-group name leaves the origin or the axes open: {used} is taken, {other} fits as well"
        return CrystalWarning("origin-undecided", text, "_space_group_name_H-M_alt")
    if "contradiction" in (best.reading.kind, rivals[0].reading.kind):
        text = f"name, Hall symbol and number of the space group differ: {used} is taken, {other} fits as well"
        return CrystalWarning("symmetry-mismatch", text, "_space_group_IT_number")
    text = f"the operations listed and the space group named differ: {used} is taken, {other} fits as well"
    return CrystalWarning("symmetry-mismatch", text, "_space_group_symop_operation_xyz")


def _same(one: Trial, other: Trial, rows: Rows, cell: NDArray[np.float64]) -> bool:
    """True where two readings give one crystal, up to its place in the cell: equal distances around equal atoms."""
    if one.orbits.count.sum() != other.orbits.count.sum():
        return False
    distances = []
    for trial in (one, other):
        frac = np.concatenate([x for x, n in zip(trial.orbits.images, trial.orbits.count, strict=True) if n])
        offsets, index, distance = _core.neighbours(cell, np.ascontiguousarray(frac - np.floor(frac)), _REACH)
        kind = np.repeat(rows.number, trial.orbits.count)
        pairs = np.repeat(kind, np.diff(offsets)) * 1000.0 + kind[index]
        distances.append(np.sort(pairs * 100.0 + np.round(distance / _ALIKE) * _ALIKE))
    if len(distances[0]) != len(distances[1]):
        return False
    return bool(np.abs(distances[0] - distances[1]).max(initial=0.0) < 2.5 * _ALIKE)


def _clashes(trial: Trial, rows: Rows, cell: NDArray[np.float64]) -> bool:
    """True where two full atoms, hydrogen aside, are nearer than 0.9 A."""
    heavy = [k for k, n in enumerate(trial.orbits.count) if n and rows.number[k] != 1]
    if not heavy:
        return False
    frac = np.concatenate([trial.orbits.images[k] for k in heavy])
    share = np.repeat(trial.occupancy[heavy], trial.orbits.count[heavy])
    offsets, index, distance = _core.neighbours(cell, np.ascontiguousarray(frac - np.floor(frac)), _CONTACT)
    row = np.repeat(np.arange(len(frac)), np.diff(offsets))
    return bool(((share[row] + share[index] > 1.05) & (distance > 1e-3)).any())


def _try(rows: Rows, reading: Reading, stated: Stated, cell: NDArray[np.float64], source: str) -> Trial:
    """Expands by a reading; tries other merging and other meanings of the occupancies where the formula disagrees."""
    operations = reading.operations if reading.operations is not None else _IDENTITY
    trial = _carried_out(rows, reading, operations, expand(rows, operations, cell), stated, cell, source)
    if trial.orbits.widened and (trial.fit.formula is False or trial.fit.multiplicity is False):
        narrow = expand(rows, operations, cell, wide=False)
        other = _carried_out(rows, reading, operations, narrow, stated, cell, source)
        if other.fit.key() < trial.fit.key():
            trial = other
    return trial


def _carried_out(
    rows: Rows,
    reading: Reading,
    operations: Operations,
    orbits: Orbits,
    stated: Stated,
    cell: NDArray[np.float64],
    source: str,
) -> Trial:
    order = len(operations.rotations)
    volume = float(abs(np.linalg.det(cell)))
    occupancy = rows.occupancy
    notes: list[str] = []
    if orbits.repeats:
        notes.append(f"{orbits.repeats} sites repeat images of others and are left out")
    if rows.mixed.any():
        solved = solve_mixed(rows, occupancy, orbits.count, stated)
        if solved is None:
            label = rows.label[int(np.flatnonzero(rows.mixed)[0])]
            raise InputError(
                f"{source}: the shares of the species on mixed site {label!r} are not written and the formula does not "
                "give them; list one row a species with its occupancy"
            )
        notes.append("shares on mixed sites follow from the formula")
        occupancy = solved

    def fitted(share: NDArray[np.float64]) -> Fit:
        found = compare(amounts_of(rows.number, share * orbits.count), stated, volume)
        found.multiplicity = multiplicities_agree(rows, orbits.count, order)
        return found

    fit = fitted(occupancy)
    trial = Trial(reading, orbits, occupancy, fit, order, notes)
    if rows.grouped.any() and fit.formula is False:
        solved = solve_groups(rows, occupancy, orbits.count, stated)
        if solved is not None and fitted(solved).formula:
            trial.occupancy, trial.fit = solved, fitted(solved)
            notes.append("occupancies of the disorder groups follow from the formula")
            return trial
    partial = rows.raw is not None or bool((occupancy < 0.99).any())
    if partial and (rows.raw is not None or fit.formula is False) and stated.formula:
        for share, told in conventions(rows, orbits.count, order):
            other = fitted(share) if usable(share) else None
            if other is not None and other.formula and other.units is not False:
                trial.occupancy, trial.fit = np.minimum(share, 1.0), other
                notes.append(told)
                return trial
    if rows.raw is not None:
        worst = int(rows.raw.argmax())
        raise InputError(
            f"{source}: occupancy {rows.raw[worst]:g} of site {rows.label[worst]!r} is not between 0 and 1; "
            "correct it in the CIF"
        )
    if rows.grouped.any() and (
        fit.formula is False or (fit.formula is None and (rows.alternatives > 1 or _overlap(trial, rows, cell)))
    ):
        names = ", ".join(sorted({rows.label[k] for k in np.flatnonzero(rows.grouped)})[:6])
        text = f"sites {names} are alternatives of each other, and the file gives no occupancies that fit its formula"
        trial.warnings.append(CrystalWarning("disorder-unresolved", text, "_atom_site_disorder_group"))
    return trial


def _overlap(trial: Trial, rows: Rows, cell: NDArray[np.float64]) -> bool:
    picked = np.flatnonzero(rows.grouped & (trial.orbits.count > 0))
    if not len(picked):
        return False
    frac = np.concatenate([trial.orbits.images[k] for k in picked])
    distance = _core.neighbours(cell, np.ascontiguousarray(frac - np.floor(frac)), _OVERLAP)[2]
    return bool(len(distance))


def _accept(trial: Trial, rows: Rows, stated: Stated, notes: list[str]) -> Trial:
    if trial.reading.note:
        notes.append(trial.reading.note)
    notes += trial.notes
    return trial


def _doubts(trial: Trial, rows: Rows, stated: Stated) -> list[CrystalWarning]:
    """What the file says and the reading does not hold."""
    fit = trial.fit
    warnings = [*trial.reading.warnings, *trial.warnings]
    warnings += hydrogen_doubts(rows, fit, stated)
    if fit.formula is False and stated.from_sum and not any(w.code == "disorder-unresolved" for w in warnings):
        warnings.append(CrystalWarning("formula-mismatch", fit.told, "_chemical_formula_sum"))
    confirmed = fit.formula and fit.units
    if fit.multiplicity is False and not confirmed and not fit.formula:
        text = "the multiplicities written are not those of the sites under the symmetry that the file gives"
        warnings.append(CrystalWarning("symmetry-mismatch", text, "_atom_site_symmetry_multiplicity"))
    elif fit.multiplicity is False and fit.units is False:
        text = "neither the multiplicities nor the formula units written fit the symmetry that the file gives"
        warnings.append(CrystalWarning("symmetry-mismatch", text, "_atom_site_symmetry_multiplicity"))
    elif trial.reading.kind == "none" and fit.formula and fit.units is False and fit.factor < stated.units:
        text = f"the file gives no symmetry and holds {fit.factor:g} formula units, not {stated.units:g}"
        warnings.append(CrystalWarning("symmetry-mismatch", text, "_cell_formula_units_Z"))
    return warnings


def hydrogen_doubts(rows: Rows, fit: Fit, stated: Stated) -> list[CrystalWarning]:
    """Hydrogen that the file states and that has no position."""
    if fit.lacks_hydrogen > 0.0:
        share = stated.formula[1]
        text = f"{fit.lacks_hydrogen:.3g} of {share:.3g} hydrogen atoms of the formula have no position"
        return [CrystalWarning("hydrogen-missing", text, "_chemical_formula_sum")]
    complete = 1 in stated.formula and fit.formula is not None
    if complete:
        return []
    lost = rows.unplaced or (rows.hydrogen if not bool((rows.number == 1).any()) else [])
    if not lost:
        return []
    text = f"hydrogen at {', '.join(dict.fromkeys(lost))} has no position"
    return [CrystalWarning("hydrogen-missing", text, lost[0])]


def units_known(stated: Stated) -> bool:
    """Whether the file gives the number of formula units."""
    return math.isfinite(stated.units)
