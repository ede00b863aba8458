"""Crystallographic information files: text in, expanded sites out (gemmi parses, numpy expands)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import numbers_by_symbol
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import GeometryError, InputError
from fastin.runtime.arrays import sum_by

SAME_SITE = 1e-3  # A: images of one site nearer than this are one
_SPECIAL = 0.15  # A: images nearer than this are one where the occupancy forbids two
_MAX_OCCUPANCY = 1.02  # refined occupancies round up to this

_SYMOP_TAGS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall", "_space_group.name_Hall")
_NAME_TAGS = (
    *("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full"),
    *("_space_group.name_H-M_alt", "_space_group.name_H-M_full", "_symmetry.space_group_name_H-M"),
)
_NUMBER_TAGS = (
    *("_space_group_IT_number", "_symmetry_Int_Tables_number"),
    *("_space_group.IT_number", "_symmetry.Int_Tables_number"),
)
_SPECIES = re.compile(r"([A-Za-z]{1,2})(?:(\d*\.?\d*)([+-])|([+-])(\d+\.?\d*))?")


@dataclass(eq=False)
class Sites:
    """One row per (position, species) of the whole unit cell, as read."""

    cell: NDArray[np.float64]
    frac: NDArray[np.float64]
    number: NDArray[np.int32]
    occupancy: NDArray[np.float64]
    label: list[str]
    charge: NDArray[np.float64] | None = None  # NaN where the input gives none
    charge_is_certain: bool = False  # given by the caller or on the species, not just stated by a file
    notes: list[str] = field(default_factory=list)
    warnings: list[CrystalWarning] = field(default_factory=list)


def decode(data: bytes, source: str) -> str:
    """Text of a file: UTF-8 (with or without BOM), UTF-16 with BOM, else Latin-1.

    Raises:
        InputError: the bytes are not text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError(f"{source}: not a text file; give a CIF or POSCAR") from None
    if b"\0" in data:
        raise InputError(f"{source}: a binary file, not a CIF or POSCAR")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_species(text: str) -> tuple[int, float] | None:
    """Atomic number and charge (NaN if not written) of "Li", "Li+", "O2-", "O-2", "Fe2.5+", "D"; None if unknown."""
    match = _SPECIES.fullmatch(text)
    if match is None:
        return None
    number = numbers_by_symbol().get(match[1].capitalize())
    if number is None:
        return None
    sign = match[3] or match[4]
    if not sign:
        return number, math.nan
    digits = (match[2] if match[3] else match[5]) or "1"
    if digits == ".":
        return None
    magnitude = float(digits)
    return number, magnitude if sign == "+" else -magnitude


@lru_cache(maxsize=4096)
def _species_of(text: str) -> tuple[int, float] | None:
    """Like parse_species, for a type symbol or site label with trailing counters: "Li1", "O2A", "FE3", "OW1"."""
    text = text.strip().strip("'\"").lstrip("0123456789")  # isotopes: 7Li
    found = parse_species(text)
    if found is not None:
        return found
    letters = re.match(r"[A-Za-z]+", text)
    if letters is None or letters[0].lower() in ("va", "vac"):  # a vacancy, not vanadium
        return None
    if letters[0].lower() == "wat":  # water oxygen, not tungsten
        return numbers_by_symbol()["O"], math.nan
    numbers = numbers_by_symbol()
    charge = _SPECIES.match(text)
    for width in (2, 1):
        number = numbers.get(letters[0][:width].capitalize()) if len(letters[0]) >= width else None
        if number is None:
            continue
        if charge is not None and charge.end() == len(text) and len(charge[1]) == width:
            return parse_species(text)
        return number, math.nan
    return None


def parse_cif(text: str, source: str) -> Sites:
    """Reads the first data block that has atoms and expands it to the whole cell.

    Args:
        text: the CIF.
        source: what to call it in error messages.

    Raises:
        InputError: not a CIF, no atoms, unknown element, unusable coordinates or occupancies.
        GeometryError: impossible cell.
    """
    from gemmi import cif

    if text.startswith("\ufeff"):
        text = text[1:]
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = text.encode("ascii", "replace").decode("ascii")
    if not text.strip():
        raise InputError(f"{source}: the CIF is empty")
    try:
        document = cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{source}: not a readable CIF ({reason}); check the syntax at that line") from None
    notes: list[str] = []
    block = _block_with_atoms(document, source, notes)
    return _read_block(block, source, notes)


def _block_with_atoms(document: Any, source: str, notes: list[str]) -> Any:
    if len(document) == 0:
        raise InputError(f"{source}: no data block in the CIF")
    cartesian = False
    for block in document:
        if _atom_loop(block) is not None:
            if len(document) > 1:
                notes.append(f"{len(document)} data blocks: {block.name!r}, the first with atoms, is read")
            return block
        cartesian = cartesian or block.find_loop("_atom_site_Cartn_x").get_loop() is not None
        cartesian = cartesian or block.find_loop("_atom_site.Cartn_x").get_loop() is not None
    if cartesian:
        raise InputError(
            f"{source}: only Cartesian coordinates (_atom_site_Cartn_x); convert them to _atom_site_fract_x, _y, _z"
        )
    raise InputError(f"{source}: the CIF holds no atoms (no _atom_site_fract_x loop)")


def _atom_loop(block: Any) -> Any:
    for tag in ("_atom_site_fract_x", "_atom_site.fract_x"):
        loop = block.find_loop(tag).get_loop()
        if loop is not None and loop.length() > 0:
            return loop
    return None


def _first_value(block: Any, tags: tuple[str, ...]) -> str:
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and value not in ("?", "."):
            if value[0] == ";":
                value = value.strip(";")
            return str(value.strip().strip("'\"").strip())
    return ""


def _number(text: str) -> float:
    """A CIF number: "0.123(4)" is 0.123; NaN for "?", "." and anything else."""
    try:
        return float(text)
    except ValueError:
        head = text.strip("'\"").partition("(")[0]
        try:
            return float(head)
        except ValueError:
            return math.nan


def _read_block(block: Any, source: str, notes: list[str]) -> Sites:
    cell, angles = _cell(block, source)
    loop = _atom_loop(block)
    width = loop.width()
    values = loop.values
    columns = {
        tag.lower().replace("_atom_site.", "_atom_site_").removeprefix("_atom_site_"): values[at::width]
        for at, tag in enumerate(loop.tags)
    }
    number, charge, label, keep = _species_columns(columns, source, notes)
    frac = _coordinates(columns, number, label, keep, source, notes)
    occupancy = _occupancies(columns, label, source, notes) if "occupancy" in columns else np.ones(len(number))
    keep &= occupancy > 0.0
    if not keep.all():
        kept = np.flatnonzero(keep)
        if len(kept) == 0:
            raise InputError(f"{source}: the CIF holds no atoms with a position and an occupancy")
        number, charge, frac, occupancy = number[kept], charge[kept], frac[kept], occupancy[kept]
        label = [label[k] for k in kept]
    sites = Sites(cell, frac, number, occupancy, label, charge, False, notes)
    expanded = _expand(sites, _operation_candidates(block, angles, source, notes), block)
    _stated_charges(expanded, block)
    return expanded


def _cell(block: Any, source: str) -> tuple[NDArray[np.float64], tuple[float, float, float]]:
    parameters = []
    for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"):
        text = _first_value(block, (f"_cell_{name}", f"_cell.{name}"))
        if not text and name.startswith("angle"):
            text = "90"
        value = _number(text) if text else math.nan
        if not math.isfinite(value):
            raise InputError(f"{source}: _cell_{name} is missing or not a number ({text or 'absent'})")
        parameters.append(value)
    return cell_from_parameters(*parameters, source=source), (parameters[3], parameters[4], parameters[5])


def cell_from_parameters(
    a: float, b: float, c: float, alpha: float, beta: float, gamma: float, *, source: str = "cell"
) -> NDArray[np.float64]:
    """(3, 3) lattice vectors in rows: a along x, b in the xy plane (A, degrees).

    Raises:
        GeometryError: lengths or angles that span no volume.
    """
    if min(a, b, c) <= 0.0:
        raise GeometryError(f"{source}: cell lengths must be positive, not {a:g}, {b:g}, {c:g}")
    cos = [math.cos(math.radians(t)) if t != 90.0 else 0.0 for t in (alpha, beta, gamma)]
    sin_gamma = math.sin(math.radians(gamma)) if gamma != 90.0 else 1.0
    flat = 1.0 - cos[0] ** 2 - cos[1] ** 2 - cos[2] ** 2 + 2.0 * cos[0] * cos[1] * cos[2]
    if not (0.0 < alpha < 180.0 and 0.0 < beta < 180.0 and 0.0 < gamma < 180.0) or flat <= 1e-12:
        raise GeometryError(
            f"{source}: the cell has zero volume (angles {alpha:g}, {beta:g}, {gamma:g}); check the cell parameters"
        )
    cy = (cos[0] - cos[1] * cos[2]) / sin_gamma
    cz = math.sqrt(flat) / sin_gamma
    return np.array([[a, 0.0, 0.0], [b * cos[2], b * sin_gamma, 0.0], [c * cos[1], c * cy, c * cz]])


def _species_columns(
    columns: dict[str, list[str]], source: str, notes: list[str]
) -> tuple[NDArray[np.int32], NDArray[np.float64], list[str], NDArray[np.bool_]]:
    labels = columns.get("label")
    symbols = columns.get("type_symbol")
    if symbols is None and labels is None:
        raise InputError(f"{source}: the atoms have neither _atom_site_type_symbol nor _atom_site_label")
    count = len(symbols if symbols is not None else labels or [])
    keep = np.ones(count, dtype=np.bool_)
    numbers = np.zeros(count, dtype=np.int32)
    charges = np.full(count, math.nan)
    names = labels if labels is not None else [f"{s}{k + 1}" for k, s in enumerate(symbols or [])]
    dummies = columns.get("calc_flag")
    for k in range(count):
        found = _species_of(symbols[k]) if symbols is not None else None
        if found is None and labels is not None and (symbols is None or symbols[k] in ("?", ".")):
            found = _species_of(labels[k])
        if found is None:
            if dummies is not None and dummies[k].startswith("dum"):
                keep[k] = False
                continue
            shown = (symbols if symbols is not None else names)[k]
            raise InputError(
                f"{source}: unknown element {shown!r} at site {names[k]!r}; "
                "name the element in _atom_site_type_symbol or remove the site"
            )
        numbers[k], charges[k] = found
    if not keep.all():
        notes.append(f"{int((~keep).sum())} dummy site(s) ignored")
    if symbols is None:
        notes.append("no _atom_site_type_symbol: elements are taken from the site labels")
    return numbers, charges, [n.strip("'\"") for n in names], keep


def _coordinates(
    columns: dict[str, list[str]],
    number: NDArray[np.int32],
    label: list[str],
    keep: NDArray[np.bool_],
    source: str,
    notes: list[str],
) -> NDArray[np.float64]:
    texts = [columns.get(f"fract_{axis}") for axis in "xyz"]
    if any(t is None for t in texts):
        raise InputError(f"{source}: _atom_site_fract_x, _y and _z must all be given")
    frac = np.empty((len(label), 3))
    for axis, column in enumerate(texts):
        try:
            frac[:, axis] = np.array(column, dtype=np.float64)
        except ValueError:
            frac[:, axis] = [_number(v) for v in column or []]
    bad = np.flatnonzero(~np.isfinite(frac).all(axis=1) & keep)
    for k in bad:
        written = [t[k] for t in texts if t is not None]
        if number[k] == 1 and any(w in ("?", ".") for w in written):
            keep[k] = False
            notes.append(f"hydrogen {label[k]} has no position and is ignored")
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
        written = column[k].partition("(")[0] if column is not None else ""
        digits = len(written.partition(".")[2])
        if digits >= 3 and off[k, axis] < 12 * 0.501 * 10.0**-digits:
            frac[k, axis] = round(float(twelfths[k, axis])) / 12.0


def _occupancies(columns: dict[str, list[str]], label: list[str], source: str, notes: list[str]) -> NDArray[np.float64]:
    texts = columns["occupancy"]
    try:
        occupancy = np.array(texts, dtype=np.float64)
    except ValueError:
        occupancy = np.array([1.0 if t in ("?", ".") else _number(t) for t in texts])
    for k in np.flatnonzero(~((occupancy >= 0.0) & (occupancy <= 1.0))):
        if 1.0 < occupancy[k] <= _MAX_OCCUPANCY:
            notes.append(f"occupancy {occupancy[k]:g} of site {label[k]} taken as 1")
            occupancy[k] = 1.0
            continue
        raise InputError(
            f"{source}: occupancy {texts[k]} of site {label[k]!r} is not between 0 and 1; correct it in the CIF"
        )
    return occupancy


# ---------------------------------------------------------------------------------------------------- symmetry


_Operations = tuple[NDArray[np.float64], NDArray[np.float64], str]  # rotations, translations, what they are


def _from_group(operations: Any, name: str) -> _Operations:
    listed = list(operations)
    rotations = np.array([op.rot for op in listed], dtype=np.float64) / 24.0
    translations = np.array([op.tran for op in listed], dtype=np.float64) / 24.0
    return rotations, translations, name


def _operation_candidates(
    block: Any, angles: tuple[float, float, float], source: str, notes: list[str]
) -> list[_Operations]:
    """The operations to expand by; several when the name leaves the origin or the axes open, likeliest first."""
    import gemmi

    for tag in _SYMOP_TAGS:
        written = list(block.find_values(tag))
        if not written:
            continue
        if len(written) == 1 and written[0].strip("'\"").replace(" ", "").lower() in ("x,y,z", "+x,+y,+z"):
            return []
        operations = []
        for text in written:
            triplet = text.strip().strip("'\"").strip()
            try:
                operations.append(gemmi.Op(triplet))
            except (ValueError, RuntimeError):
                raise InputError(f"{source}: symmetry operation {triplet!r} cannot be read") from None
        return [_from_group(operations, "the operations listed")]
    hall = _first_value(block, _HALL_TAGS)
    if hall:
        try:
            return [_from_group(gemmi.symops_from_hall(hall), hall)]
        except (ValueError, RuntimeError):
            notes.append(f"Hall symbol {hall!r} is not understood")
    name = _first_value(block, _NAME_TAGS)
    if name.replace(" ", "").upper() in ("P1", "P1(1)"):
        return []
    settings = _settings_by_name(name, angles) if name else []
    number = _first_value(block, _NUMBER_TAGS)
    if not settings and number.isdigit() and 1 <= int(number) <= 230:
        settings = _settings_by_number(int(number), angles)
        if name:
            notes.append(f"space-group name {name!r} is not known; number {number} used")
    if not settings:
        if name or number:
            raise InputError(
                f"{source}: space group {name or number!r} is not known and no operations are listed; "
                "add _space_group_symop_operation_xyz"
            )
        notes.append("no space group and no operations in the CIF: treated as P1")
        return []
    return [_from_group(s.operations(), s.xhm()) for s in settings]


def _settings_by_name(name: str, angles: tuple[float, float, float]) -> list[Any]:
    import gemmi

    text = re.sub(r"\((\d)\)", r"\1", name.replace("_", "").strip())  # P4(2)/nmc, P4_2/nmc
    preferred = ""
    # Suffixes for the origin or axes: ":1", "S" (origin 1), "Z" (origin 2), "H", "R", "O1", "O2".
    match = re.fullmatch(r"(.*?[\dmnabcde/)])\s*:?\s*(O?1|O?2|S|Z|H|R|HR|RS)", text)
    suffix = ""
    if match and (":" in text[len(match[1]) :] or not text[-1].isdigit() or "O" in match[2]):
        text, suffix = match[1].strip(), match[2]
        preferred = {"O1": "1", "O2": "2", "S": "1", "Z": "2", "HR": "H", "RS": "R"}.get(suffix, suffix)
    found = gemmi.find_spacegroup_by_name(text, angles[0], angles[2])
    if found is None:
        found = gemmi.find_spacegroup_by_name(text.replace(" ", ""), angles[0], angles[2])
    if found is None:
        return []
    same = [s for s in gemmi.spacegroup_table() if s.hm == found.hm and s.number == found.number]
    if preferred:
        chosen = [s for s in same if s.ext == preferred]
        if chosen:
            return chosen
    return _likeliest_first(same, angles)


def _settings_by_number(number: int, angles: tuple[float, float, float]) -> list[Any]:
    import gemmi

    reference = gemmi.find_spacegroup_by_number(number)
    same = [s for s in gemmi.spacegroup_table() if s.number == number and s.hm == reference.hm]
    return _likeliest_first(same, angles)


def _likeliest_first(settings: list[Any], angles: tuple[float, float, float]) -> list[Any]:
    hexagonal = abs(angles[2] - 120.0) < 1e-2
    order = {"2": 0, "1": 1, "H": 0 if hexagonal else 1, "R": 1 if hexagonal else 0}
    ordered = sorted(settings, key=lambda s: order.get(s.ext, 0))
    return ordered[:1] if ordered and ordered[0].ext in ("H", "R") else ordered


# ---------------------------------------------------------------------------------------------------- expansion


def _expand(sites: Sites, candidates: list[_Operations], block: Any) -> Sites:
    if not candidates:
        return sites
    results = [_expand_by(sites, rotations, translations) for rotations, translations, _ in candidates[:1]]
    if len(candidates) == 1:
        return results[0]
    results += [_expand_by(sites, rotations, translations) for rotations, translations, _ in candidates[1:]]
    wanted = _formula(block)
    scores = [_formula_mismatch(r, wanted) for r in results]
    best = min(range(len(results)), key=lambda k: (scores[k], k))
    results[best].notes.append(
        f"the space-group name leaves the origin open: {candidates[best][2]} used"
        + ("" if scores[best] < 0.02 else " (the formula of the CIF does not decide)")
    )
    return results[best]


def _formula(block: Any) -> dict[int, float]:
    text = _first_value(block, ("_chemical_formula_sum", "_chemical_formula_structural"))
    amounts: dict[int, float] = {}
    for symbol, amount in re.findall(r"([A-Z][a-z]?)\s*(\d*\.?\d*)", text):
        number = numbers_by_symbol().get(symbol)
        if number:
            amounts[number] = amounts.get(number, 0.0) + (float(amount) if amount not in ("", ".") else 1.0)
    return amounts


def _formula_mismatch(sites: Sites, wanted: dict[int, float]) -> float:
    """Largest difference of atomic fractions, 0 if they agree; 1 without a formula."""
    total = sum(wanted.values())
    if total <= 0.0:
        return 1.0
    held = sum_by(sites.number, sites.occupancy, 104)
    held /= held.sum()
    return float(round(max(abs(held[z] - wanted.get(z, 0.0) / total) for z in {*wanted, *map(int, sites.number)}), 3))


def _expand_by(sites: Sites, rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> Sites:
    """All distinct images of every site; a site on (or rounded off) a special position is moved onto it."""
    count = len(sites.number)
    repeats = np.empty(count, dtype=np.int64)
    positions = []
    for k in range(count):
        images = _orbit(sites.frac[k], float(sites.occupancy[k]), rotations, translations, sites.cell)
        repeats[k] = len(images)
        positions.append(images)
    charge = None if sites.charge is None else np.repeat(sites.charge, repeats)
    label = [name for name, n in zip(sites.label, repeats, strict=True) for _ in range(n)]
    return Sites(
        sites.cell,
        np.concatenate(positions),
        np.repeat(sites.number, repeats),
        np.repeat(sites.occupancy, repeats),
        label,
        charge,
        sites.charge_is_certain,
        list(sites.notes),
        list(sites.warnings),
    )


def _orbit(
    frac: NDArray[np.float64],
    occupancy: float,
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> NDArray[np.float64]:
    images = rotations @ frac + translations
    delta = images - frac
    delta -= np.rint(delta)
    distance = np.linalg.norm(delta @ cell, axis=1)
    fixed = distance < SAME_SITE
    near = distance < _SPECIAL
    if near.sum() > fixed.sum() and occupancy * near.sum() > _MAX_OCCUPANCY * max(1, fixed.sum()):
        fixed = near
    if fixed.sum() > 1:
        frac = frac + delta[fixed].mean(axis=0)
        images = rotations @ frac + translations
    images -= np.floor(images)
    if fixed.sum() <= 1:
        return images
    unique: list[NDArray[np.float64]] = []
    left = images
    while len(left):
        delta = left - left[0]
        delta -= np.rint(delta)
        same = np.linalg.norm(delta @ cell, axis=1) < SAME_SITE
        unique.append(left[0])
        left = left[~same]
    return np.array(unique)


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
            found = _species_of(row.str(0))
            value = _number(row.str(1).replace("+", ""))
            if found is None or not math.isfinite(value) or stated.get(found[0], value) != value:
                return  # unreadable, or several states of one element that the sites do not tell apart
            stated[found[0]] = value
        if all(int(z) in stated for z in set(sites.number.tolist())):
            sites.charge = np.array([stated[int(z)] for z in sites.number])
        return
