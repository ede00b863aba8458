"""The atom loop of a CIF: species, coordinates, occupancies, disorder groups of the asymmetric unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif.tags import Stated, decimals, number
from fastin.crystal.elements import symbol as symbol_of
from fastin.crystal.species import Symbol, is_no_atom, parse_label, parse_symbol
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError

_MAX_OCCUPANCY = 1.02  # refined occupancies round up to this
_UNKNOWN = ("?", ".")
_MULTIPLICITY = ("symmetry_multiplicity", "site_symmetry_multiplicity")
_SITE_ORDER = ("site_symmetry_order",)
_EXACT = 24.0  # coordinates that are multiples of 1/24 as written are exact, whatever their digits

Columns = dict[str, list[str]]


@dataclass(eq=False)
class Rows:
    """The asymmetric unit: one row a (site, species).

    Attributes:
        site: index of the written row; rows of a mixed symbol share it.
        blur: how far rounding may have moved each site (A).
        mixed: the share of the species on its site is not written; `occupancy` is that of the whole site.
        grouped: the site belongs to a disorder group and has no occupancy of its own.
        raw: occupancies as written, where some lie outside 0 to 1; None else.
        alternatives: most groups of one disorder assembly whose sites have no occupancies.
        multiplicity: as written, NaN where not; None without a column.
        hydrogen: atoms of hydrogen that symbols, labels or columns state, and that have no row.
        unplaced: labels of hydrogen rows without a position.
    """

    frac: NDArray[np.float64]
    number: NDArray[np.int32]
    charge: NDArray[np.float64]
    label: list[str]
    occupancy: NDArray[np.float64]
    site: NDArray[np.int64]
    blur: NDArray[np.float64]
    mixed: NDArray[np.bool_]
    grouped: NDArray[np.bool_]
    raw: NDArray[np.float64] | None = None
    multiplicity: NDArray[np.float64] | None = None
    hydrogen: list[str] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)
    warnings: list[CrystalWarning] = field(default_factory=list)
    alternatives: int = 0


def columns_of(loop: Any) -> Columns:
    """Values of the atom loop by tag, without ``_atom_site_``, in lower case."""
    width, values = loop.width(), loop.values
    return {
        tag.lower().replace("_atom_site.", "_atom_site_").removeprefix("_atom_site_"): values[at::width]
        for at, tag in enumerate(loop.tags)
    }


def read_rows(
    columns: Columns, stated: Stated, lengths: NDArray[np.float64] | None, source: str, notes: list[str]
) -> Rows:
    """The rows of the atom loop; dummy points go before anything is read from them.

    Args:
        columns: from `columns_of`.
        stated: what the file says about its contents.
        lengths: (3,) of the cell's axes (A), where operations will be applied: how far may rounding have moved a site?
        source: for messages.
        notes: extended.

    Raises:
        InputError: unknown symbols, coordinates or occupancies that are no numbers, no atoms.
    """
    columns = _without_dummies(columns, source, notes)
    symbols, names, hydrogen, mixed = _symbols(columns, stated, source, notes)
    count = len(symbols)
    keep = np.ones(count, dtype=np.bool_)
    unplaced: list[str] = []
    frac = _coordinates(columns, symbols, names, keep, unplaced, source)
    occupancy, raw = _occupancies(columns, names, source, notes)
    keep &= occupancy > 0.0
    if not keep.any():
        raise InputError(f"{source}: the CIF holds no atoms with a position and an occupancy")
    unmixed = np.zeros(count, dtype=np.bool_)
    grouped = _grouped(columns, occupancy, unmixed)
    multiplicity = _multiplicity(columns)
    blur = np.zeros(count) if lengths is None else _blur(columns, lengths)
    hydrogen += _attached(columns, names)
    if keep.all() and not mixed:
        species = [s.species[0] for s in symbols]
        numbers = np.array([s[0] for s in species], dtype=np.int32)
        charges = np.array([s[1] for s in species])
        site = np.arange(count)
        return Rows(
            *(frac, numbers, charges, names, occupancy, site, blur, unmixed, grouped, raw, multiplicity),
            *(hydrogen, unplaced),
            alternatives=_alternatives(columns, grouped) if grouped.any() else 0,
        )
    return _split_rows(
        symbols, keep, Rows(frac, np.zeros(0, np.int32), np.zeros(0), names, occupancy, np.zeros(0, np.int64), blur,
                            np.zeros(0, np.bool_), grouped, raw, multiplicity, hydrogen, unplaced)
    )  # fmt: skip


def _split_rows(symbols: list[Symbol], keep: NDArray[np.bool_], rows: Rows) -> Rows:
    """One row a species of each kept site."""
    picked = [(k, s) for k in np.flatnonzero(keep).tolist() for s in symbols[k].species]
    at = np.array([k for k, _ in picked])
    mixed = np.array([len(symbols[k].species) > 1 and math.isnan(s[2]) for k, s in picked])
    share = np.array([1.0 if math.isnan(s[2]) else s[2] for _, s in picked])
    label = [f"{rows.label[k]}{symbol_of(s[0]) if len(symbols[k].species) > 1 else ''}" for k, s in picked]
    return Rows(
        frac=rows.frac[at],
        number=np.array([s[0] for _, s in picked], dtype=np.int32),
        charge=np.array([s[1] for _, s in picked]),
        label=label,
        occupancy=rows.occupancy[at] * share,
        site=at,
        blur=rows.blur[at],
        mixed=mixed,
        grouped=rows.grouped[at],
        raw=None if rows.raw is None else rows.raw[at],
        multiplicity=None if rows.multiplicity is None else rows.multiplicity[at],
        hydrogen=rows.hydrogen,
        unplaced=rows.unplaced,
    )


def _without_dummies(columns: Columns, source: str, notes: list[str]) -> Columns:
    flags, symbols = columns.get("calc_flag"), columns.get("type_symbol")
    if flags is None and symbols is None:
        return columns
    count = len(flags if flags is not None else symbols or [])
    flagged = {k for k in range(count) if flags is not None and flags[k].strip("'\"").lower().startswith("dum")}
    empty = {k for k in range(count) if symbols is not None and is_no_atom(symbols[k])} if symbols else set()
    gone = flagged | empty
    if not gone:
        return columns
    notes.append(f"{len(gone)} dummy site(s) ignored")
    if len(gone) == count:
        raise InputError(f"{source}: every site of the CIF is a dummy")
    return {tag: [v for k, v in enumerate(values) if k not in gone] for tag, values in columns.items()}


def _symbols(
    columns: Columns, stated: Stated, source: str, notes: list[str]
) -> tuple[list[Symbol], list[str], list[str], bool]:
    """What sits on each row, the rows' names, the names of those that only state their hydrogen, any mixed symbol."""
    labels, types = columns.get("label"), columns.get("type_symbol")
    if types is None and labels is None:
        raise InputError(f"{source}: the atoms have neither _atom_site_type_symbol nor _atom_site_label")
    names = labels if labels is not None else [f"{s}{k + 1}" for k, s in enumerate(types or [])]
    formula = stated.formula if stated.from_sum else {}
    texts = names
    if types is not None:
        unknown = any(t in types for t in _UNKNOWN)
        texts = [name if t in _UNKNOWN else t for t, name in zip(types, names, strict=True)] if unknown else types
    known: dict[str, Symbol] = {}
    for text in dict.fromkeys(texts):
        typed = types is not None and text in types
        symbol = _typed(text, formula) if typed else parse_label(text, tuple(formula))
        if symbol is None:
            raise _refusal(text, names[texts.index(text)], typed, formula, source)
        known[text] = symbol
    if types is None:
        notes.append("no _atom_site_type_symbol: elements are taken from the site labels")
    plain = [n.strip("'\"") for n in names]
    wet = {text for text, symbol in known.items() if symbol.hydrogen}
    hydrogen = [name for text, name in zip(texts, plain, strict=True) if text in wet] if wet else []
    mixed = any(len(symbol.species) > 1 for symbol in known.values())
    return [known[text] for text in texts], plain, hydrogen, mixed


def _typed(text: str, formula: dict[int, float]) -> Symbol | None:
    symbol = parse_symbol(text)
    word = text.strip("'\" ")
    if symbol is not None and len(symbol.species) == 1 and word[:2].isalpha() and word[:2].isupper():
        # in capitals "RE" may be a placeholder and "CO" a group: the formula must hold the element
        number_ = symbol.species[0][0]
        if (formula and number_ not in formula and not symbol.hydrogen) or (word == "RE" and 75 not in formula):
            return None
    if word == "T" and 1 not in formula:  # a tetrahedral site, not tritium
        return None
    return symbol


def _refusal(text: str, name: str, typed: bool, formula: dict[int, float], source: str) -> InputError:
    held = ", ".join(symbol_of(z) for z in formula)
    what = "unknown element" if typed else "no element that fits the site label"
    inside = f" (the stated formula holds {held})" if formula else ""
    return InputError(
        f"{source}: {what} {text!r} at site {name!r}{inside}; "
        "name the element in _atom_site_type_symbol or remove the site"
    )


def _coordinates(
    columns: Columns,
    symbols: list[Symbol],
    label: list[str],
    keep: NDArray[np.bool_],
    unplaced: list[str],
    source: str,
) -> NDArray[np.float64]:
    texts = [columns.get(f"fract_{axis}") for axis in "xyz"]
    if any(t is None for t in texts):
        raise InputError(f"{source}: _atom_site_fract_x, _y and _z must all be given")
    frac = np.empty((len(label), 3))
    for axis, column in enumerate(texts):
        try:
            frac[:, axis] = np.array(column, dtype=np.float64)
        except ValueError:
            frac[:, axis] = [number(v) for v in column or []]
    for k in np.flatnonzero(~np.isfinite(frac).all(axis=1) & keep):
        written = [t[k] for t in texts if t is not None]
        if symbols[k].species[0][0] == 1 and any(w in _UNKNOWN for w in written):
            keep[k] = False
            unplaced.append(label[k])
            continue
        raise InputError(f"{source}: the coordinates of site {label[k]!r} are not numbers ({', '.join(written)})")
    _snap_to_twelfths(frac, texts)
    return frac


def _snap_to_twelfths(frac: NDArray[np.float64], texts: list[list[str] | None]) -> None:
    """Replaces 0.333, 0.16667, 0.4167... by the twelfth that they round, within the digits written."""
    twelfths = frac * 12.0
    off = np.abs(twelfths - np.rint(twelfths))
    for k, axis in zip(*np.nonzero((off > 1e-12) & (off < 12 * 5.01e-4)), strict=True):
        column = texts[axis]
        digits = decimals(column[k]) if column is not None else 0
        if digits >= 3 and off[k, axis] < 12 * 0.501 * 10.0**-digits:
            frac[k, axis] = round(float(twelfths[k, axis])) / 12.0


def _blur(columns: Columns, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) farthest that rounding to the digits written may have moved each site (A)."""
    total = np.zeros(len(columns["fract_x"]))
    for axis, name in enumerate("xyz"):
        for k, text in enumerate(columns[f"fract_{name}"]):
            digits = decimals(text)
            value = number(text) * _EXACT
            if digits <= 3 and abs(value - round(value)) < 1e-9 if math.isfinite(value) else False:
                continue
            total[k] += 0.5 * 10.0**-digits * lengths[axis]
    return total


def _occupancies(
    columns: Columns, label: list[str], source: str, notes: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Occupancies in [0, 1]; beside them the written ones where they need an explanation (checked later)."""
    texts = columns.get("occupancy")
    if texts is None:
        return np.ones(len(label)), None
    try:
        occupancy = np.array(texts, dtype=np.float64)
    except ValueError:
        occupancy = np.array([1.0 if t in _UNKNOWN else number(t) for t in texts])
    outside = np.flatnonzero(~((occupancy >= 0.0) & (occupancy <= 1.0)))
    raw = None
    for k in outside:
        if 1.0 < occupancy[k] <= _MAX_OCCUPANCY:
            notes.append(f"occupancy {occupancy[k]:g} of site {label[k]} taken as 1")
            occupancy[k] = 1.0
        elif occupancy[k] > 1.0 and math.isfinite(occupancy[k]):
            raw = np.where(np.isfinite(occupancy), occupancy, 1.0) if raw is None else raw
        else:
            raise InputError(
                f"{source}: occupancy {texts[k]} of site {label[k]!r} is not between 0 and 1; correct it in the CIF"
            )
    return (occupancy, None) if raw is None else (np.minimum(occupancy, 1.0), raw)


def _grouped(columns: Columns, occupancy: NDArray[np.float64], none: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sites of a disorder group whose occupancy is not written, or written as 1."""
    groups = columns.get("disorder_group")
    assemblies = columns.get("disorder_assembly")
    if groups is None and assemblies is None:
        return none
    none = none.copy()
    for column in (groups, assemblies):
        if column is not None:
            none |= np.array([v.strip("'\"") not in (*_UNKNOWN, "", "0") for v in column])
    return none & (occupancy > 0.99)


def _alternatives(columns: Columns, grouped: NDArray[np.bool_]) -> int:
    """Most groups of one assembly among sites without occupancies."""
    groups = columns.get("disorder_group")
    if groups is None:
        return 0
    assemblies = columns.get("disorder_assembly") or [""] * len(groups)
    held: dict[str, set[str]] = {}
    for k in np.flatnonzero(grouped).tolist():
        held.setdefault(assemblies[k], set()).add(groups[k].strip("'\"-"))
    return max((len(names) for names in held.values()), default=0)


def _multiplicity(columns: Columns) -> NDArray[np.float64] | None:
    for tag in _MULTIPLICITY:
        if tag in columns:
            return np.array([number(v) for v in columns[tag]])
    return None


def _attached(columns: Columns, label: list[str]) -> list[str]:
    texts = columns.get("attached_hydrogens")
    return [] if texts is None else [label[k] for k, t in enumerate(texts) if number(t) > 0.0]
