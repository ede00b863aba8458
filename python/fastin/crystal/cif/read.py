"""`parse_cif`: a CIF as expanded rows."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif.atoms import Rows, columns_of, read_rows
from fastin.crystal.cif.cell import Parameters, completions, read_parameters, stated_volume, vectors
from fastin.crystal.cif.choice import Trial, choose, hydrogen_doubts
from fastin.crystal.cif.contents import amounts_of, compare
from fastin.crystal.cif.document import atom_loop, choose_block, open_document
from fastin.crystal.cif.symmetry import Reading, is_trivial, read_symmetry
from fastin.crystal.cif.tags import Stated, number, read_bulk, read_stated
from fastin.crystal.gates import volume_warning
from fastin.crystal.sites import Sites
from fastin.crystal.species import parse_symbol
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError


def parse_cif(text: str, source: str, *, block: str | int | None = None) -> Sites:
    """Reads a data block and expands it to the whole cell.

    Args:
        text: the CIF.
        source: what to call it in error messages.
        block: name or number (from 1) of the data block; None takes the first with atoms.

    Raises:
        InputError: not a CIF, no atoms, unknown element, unusable coordinates or occupancies.
        GeometryError: impossible cell.
    """
    notes: list[str] = []
    document = open_document(text, source, notes)
    lowered = text.lower()
    listed = "symop" in lowered or "equiv_pos" in lowered
    return _read_block(choose_block(document, block, source, notes), source, notes, listed)


def _read_block(block: Any, source: str, notes: list[str], listed: bool) -> Sites:
    parameters, missing = read_parameters(block, source)
    stated = read_stated(block)
    columns = columns_of(atom_loop(block))
    if not missing and is_trivial(block, listed):
        cell = vectors(parameters, source)
        rows = read_rows(columns, stated, None, source, notes)
        _forget_counted_sites(block, rows, stated)
        repeated = rows.multiplicity is not None and bool((rows.multiplicity > 1.5).any())
        if rows.raw is None and not rows.mixed.any() and not rows.grouped.any() and not repeated:
            sites = _as_it_is(block, cell, rows, stated, notes)
            sites.warnings += volume_warning(cell, stated_volume(block))
            return sites
        readings = [Reading(None, "list")]
    else:
        parameters, readings = _cell_and_symmetry(block, parameters, missing, source, notes)
        cell = vectors(parameters, source)
        rows = read_rows(columns, stated, _lengths(cell), source, notes)
        _forget_counted_sites(block, rows, stated)
    read_bulk(block, stated)
    trial, warnings = choose(rows, readings, stated, cell, source, notes)
    sites = _expanded(rows, trial, cell, notes, [*warnings, *volume_warning(cell, stated_volume(block))])
    _note_unplaced(rows, notes)
    _stated_charges(sites, block)
    return sites


def _forget_counted_sites(block: Any, rows: Rows, stated: Stated) -> None:
    """ASE (blocks "image0") writes the formula of the sites as if all were full: of partial ones it says nothing."""
    if re.fullmatch(r"image\d+", block.name) and bool((rows.occupancy < 1.0).any()):
        stated.formula = {}


def _lengths(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt((cell * cell).sum(axis=1))
    return lengths


def _as_it_is(block: Any, cell: NDArray[np.float64], rows: Rows, stated: Stated, notes: list[str]) -> Sites:
    """P1 with nothing to decide: the common case."""
    fit = compare(amounts_of(rows.number, rows.occupancy), stated, math.nan)
    warnings = hydrogen_doubts(rows, fit, stated)
    if fit.formula is False and stated.from_sum:
        warnings.append(CrystalWarning("formula-mismatch", fit.told, "_chemical_formula_sum"))
    if fit.units is False:
        notes.append(
            f"_cell_formula_units_Z is {stated.units:g}, the cell of P1 holds {fit.factor:.3g}: are all atoms listed?"
        )
    _note_unplaced(rows, notes)
    sites = Sites(cell, rows.frac, rows.number, rows.occupancy, rows.label, rows.charge, False, notes, warnings)
    _stated_charges(sites, block)
    return sites


def _note_unplaced(rows: Rows, notes: list[str]) -> None:
    notes += [f"hydrogen {label} has no position and is ignored" for label in rows.unplaced]


def _cell_and_symmetry(
    block: Any, parameters: Parameters, missing: frozenset[str], source: str, notes: list[str]
) -> tuple[Parameters, list[Reading]]:
    """The cell and the readings of the symmetry that fit each other."""
    incomplete = any(math.isnan(x) for x in parameters[:3])
    first: tuple[Parameters, list[Reading], list[str]] | None = None
    if not incomplete:
        told: list[str] = []
        readings = read_symmetry(block, vectors(parameters, source), parameters[3:], source, told)
        first = (parameters, readings, told)
        if not _at_odds(readings):
            notes += told
            return parameters, readings
    for other, note in completions(block, parameters, missing, source):
        told = []
        readings = read_symmetry(block, vectors(other, source), other[3:], source, told)
        if not _at_odds(readings) and not (incomplete and readings[0].operations is None):
            notes += [*told, note]
            return other, readings
    if first is None:
        raise InputError(f"{source}: _cell_length_b or _c is missing, and the symmetry does not give it")
    notes += first[2]
    return first[0], first[1]


def _at_odds(readings: list[Reading]) -> bool:
    return any(w.code == "setting-mismatch" for w in readings[0].warnings)


def _expanded(
    rows: Rows, trial: Trial, cell: NDArray[np.float64], notes: list[str], warnings: list[CrystalWarning]
) -> Sites:
    count = trial.orbits.count
    kept = [k for k in range(len(count)) if count[k]]
    return Sites(
        cell,
        np.concatenate([trial.orbits.images[k] for k in kept]),
        np.repeat(rows.number, count),
        np.repeat(trial.occupancy, count),
        [rows.label[k] for k in kept for _ in range(count[k])],
        np.repeat(rows.charge, count),
        False,
        notes,
        warnings,
    )


def _stated_charges(sites: Sites, block: Any) -> None:
    """Charges from the type symbols, else from _atom_type_oxidation_number; kept only where every row has one."""
    if sites.charge is not None and np.isfinite(sites.charge).all():
        return
    sites.charge = None
    for prefix in ("_atom_type_", "_atom_type."):
        table = block.find([f"{prefix}symbol", f"{prefix}oxidation_number"])
        if not table:
            continue
        stated: dict[int, float] = {}
        for row in table:
            found = parse_symbol(row.str(0))
            value = number(row.str(1).replace("+", ""))
            if found is None or not math.isfinite(value) or stated.get(found.species[0][0], value) != value:
                return  # unreadable, or several states of one element that the sites do not tell apart
            stated[found.species[0][0]] = value
        if all(int(z) in stated for z in set(sites.number.tolist())):
            sites.charge = np.array([stated[int(z)] for z in sites.number])
        return
