"""The symmetry that a CIF states, as readings to choose from: listed operations, Hall symbol, name, number.

Listed operations are completed to a group; every reading must keep the cell's metric; a list that is smaller than the
group of the name is offered beside that group (`fastin.crystal.cif.choice` decides by what the file says it holds).
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif.settings import (
    KEEPS,
    NEARLY,
    Operations,
    distortion,
    from_group,
    operations_of,
    other_settings,
    settings_by_name,
    settings_by_number,
)
from fastin.crystal.cif.tags import first_value
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError

SYMOP_TAGS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz")
HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall", "_space_group.name_Hall")
NAME_TAGS = (
    *("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full"),
    *("_space_group.name_H-M_alt", "_space_group.name_H-M_full", "_symmetry.space_group_name_H-M"),
)
NUMBER_TAGS = (
    *("_space_group_IT_number", "_symmetry_Int_Tables_number"),
    *("_space_group.IT_number", "_symmetry.Int_Tables_number"),
)
_IDENTITY = ("x,y,z", "+x,+y,+z")


@dataclass
class Reading:
    """One way to read the symmetry of a file.

    Attributes:
        operations: None for P1.
        kind: ``list``, ``name``, ``origin`` (one of several origins or axes of a name), ``contradiction`` (another
            group than the name's or Hall symbol's, by the name or the number), ``none``.
        note: what was assumed, for the one that is chosen.
    """

    operations: Operations | None
    kind: str
    note: str = ""
    warnings: list[CrystalWarning] = field(default_factory=list)


def is_trivial(block: Any, lists: bool = True) -> bool:
    """True where the file states P1 and nothing else: the common case, decided at once.

    Args:
        block: the data block.
        lists: False where the text holds no tag of operations at all.
    """
    name = first_value(block, NAME_TAGS).replace(" ", "").upper()
    if name not in ("P1", "P1(1)", ""):
        return False
    listed = False
    for tag in SYMOP_TAGS if lists else ():
        written = block.find_values(tag)
        if len(written) > 1:
            return False
        if len(written) == 1:
            if written[0].strip("'\"").replace(" ", "").lower() not in _IDENTITY:
                return False
            listed = True
    if not listed and not name:
        return False
    plain = first_value(block, HALL_TAGS) in ("", "P 1") and first_value(block, NUMBER_TAGS) in ("", "1")
    return plain and not (lists and has_extended(block))


def has_extended(block: Any) -> bool:
    """True where the file lists magnetic or superspace operations."""
    return any(_kind_of(tag) for tag in _loop_tags(block))


def _unlisted(block: Any) -> list[CrystalWarning]:
    """A warning where the file names a magnetic or superspace group and lists no operations."""
    tags = [item.pair[0].lower() for item in block if item.pair is not None]
    named = next((tag for tag in tags if tag.startswith(("_space_group_magn", "_space_group_ssg"))), "")
    if not named:
        return []
    text = (
        "the file names a magnetic or superspace group and lists no operations: its atoms are taken for all there are"
    )
    return [CrystalWarning("symmetry-mismatch", text, named)]


def _loop_tags(block: Any) -> list[str]:
    tags = []
    for item in block:
        if item.loop is not None:
            tags += list(item.loop.tags)
        elif item.pair is not None and ("symop" in item.pair[0] or "magn" in item.pair[0]):
            tags.append(item.pair[0])
    return tags


def _kind_of(tag: str) -> str:
    """``magnetic``, ``superspace`` and whether these are centrings, of a tag that holds operations; else empty."""
    plain = tag.lower().replace(".", "_")
    if "symop" not in plain or not plain.endswith(("_xyz", "_algebraic")):
        return ""
    centring = "_centering" if "centering" in plain or "centring" in plain else ""
    if "_ssg_" in plain:
        return "superspace" + centring
    return "magnetic" + centring if "magn" in plain else ""


def read_symmetry(
    block: Any, cell: NDArray[np.float64], angles: tuple[float, float, float], source: str, notes: list[str]
) -> list[Reading]:
    """Readings, likeliest first; at least one.

    Raises:
        InputError: operations that cannot be read, or a space group that is not known.
    """
    extended = _extended_reading(block, cell, source)
    if extended is not None:
        return [extended]
    listed = _listed(block, source)
    named = _named(block, cell, angles, source, notes, required=listed is None)
    if listed is None:
        if named:
            return [*named, *_contradicting(block, cell, angles, named, notes)]
        notes.append("no space group and no operations in the CIF: treated as P1")
        return [Reading(None, "none", "", _unlisted(block))]
    return _list_and_name(listed, named, cell, source)


# ------------------------------------------------------------------------------------------------------ lists


def _extended_reading(block: Any, cell: NDArray[np.float64], source: str) -> Reading | None:
    """Magnetic operations without their time reversal, superspace operations by their first three dimensions."""
    found: dict[str, list[str]] = {}
    for tag in _loop_tags(block):
        kind = _kind_of(tag)
        if kind and kind not in found:
            found[kind] = [v.strip().strip("'\"").strip() for v in block.find_values(tag)]
    for name in ("superspace", "magnetic"):
        if name not in found:
            continue
        texts = [_three_dimensional(t, source) for t in found[name]]
        centring = [_three_dimensional(t, source) for t in found.get(f"{name}_centering", [])]
        operations = _group([*texts, *centring], source, f"the {name} operations listed")
        warnings = []
        if name == "superspace":
            if len(list(block.find_values("_cell_subsystem_code"))) > 1:
                raise InputError(f"{source}: a composite crystal (several subsystems) has no single basic structure")
            text = "a modulated crystal: only its basic structure is read, the modulation is left out"
            warnings.append(CrystalWarning("modulation-ignored", text))
        note = f"symmetry from the {name} operations of the file"
        if distortion(operations.rotations, cell) > NEARLY:
            text = f"the {name} operations of the file do not keep the lengths and angles of its cell"
            warnings.append(CrystalWarning("setting-mismatch", text))
        return Reading(operations, "list", note, warnings)
    return None


def _three_dimensional(text: str, source: str) -> str:
    """``-x1+1/2,x2,x3,-x4,+1`` and ``x,y,z,-1`` as ordinary triplets."""
    parts = [p.strip() for p in text.lower().split(",")]
    if len(parts) < 3:
        raise InputError(f"{source}: symmetry operation {text!r} cannot be read")
    for old, new in (("x1", "x"), ("x2", "y"), ("x3", "z")):
        parts = [p.replace(old, new) for p in parts]
    kept = ["".join(re.findall(r"[+-]?[^+-]+", p)) for p in parts[:3]]
    kept = ["".join(term for term in re.findall(r"[+-]?[^+-]+", p) if not re.search(r"x[4-9]", term)) for p in kept]
    return ",".join(kept)


def _listed(block: Any, source: str) -> list[str] | None:
    for tag in SYMOP_TAGS:
        written = [v.strip().strip("'\"").strip() for v in block.find_values(tag)]
        written = [v for v in written if v not in ("", "?", ".")]
        if written:
            return written
    return None


def _group(triplets: list[str], source: str, name: str) -> Operations:
    """The group that listed operations span: identity added, closed."""
    import gemmi

    operations = [gemmi.Op("x,y,z")]
    for triplet in triplets:
        try:
            operations.append(gemmi.Op(triplet.strip("; ")).wrap())
        except (ValueError, RuntimeError):
            raise InputError(f"{source}: symmetry operation {triplet!r} cannot be read") from None
    try:
        group = gemmi.GroupOps(_unique(operations))
        group.add_missing_elements()
    except (ValueError, RuntimeError):
        return from_group(_unique(operations), name)  # no finite group: the list as it is
    return from_group(group, name)


def _unique(operations: list[Any]) -> list[Any]:
    return list({op.triplet(): op for op in operations}.values())


def _list_and_name(written: list[str], named: list[Reading], cell: NDArray[np.float64], source: str) -> list[Reading]:
    """The list as a reading, with the named group beside it where they disagree in order or in metric."""
    given = {re.sub(r"\s", "", text.lower()) for text in written}
    operations = _group(written, source, "the operations listed")
    lost = distortion(operations.rotations, cell)
    order = len(operations.rotations)
    reading = Reading(operations if order > 1 else None, "list")
    if order > len(given):
        reading.note = f"the operations listed ({len(given)}) are completed to a group of {order}"
    matching = [r for r in named if r.kind != "mismatch"]
    if lost > NEARLY:
        others = matching or _retyped(operations, cell)
        if others:
            for other in others:
                other.note = (
                    other.note or f"the operations listed do not keep the cell's metric: {_name(other)} is used"
                )
            return others
        text = f"the operations listed change the cell's lengths or angles (by {100 * lost:.1f} %)"
        reading.warnings.append(CrystalWarning("setting-mismatch", text))
        return [reading]
    orders = {1 if r.operations is None else len(r.operations.rotations) for r in matching}
    if not matching or orders == {order}:
        return [reading, *_supplement(reading, matching)]
    bigger = [r for r in matching if r.operations is not None and len(r.operations.rotations) > order]
    for other in matching:
        other.note = (
            f"{order} operations are listed, {_name(other)} has "
            f"{1 if other.operations is None else len(other.operations.rotations)}: the group of the name is used"
        )
    # the named group first where it only adds to the list (a lost centring, the identity alone)
    holding = [r for r in bigger if r.operations is not None and _holds(r.operations, operations)]
    rest = [r for r in matching if r not in holding]
    return [*holding, reading, *rest]


def _supplement(reading: Reading, named: list[Reading]) -> list[Reading]:
    """The named group as an alternative to a list of the same order, for files whose formula refutes the list."""
    if reading.operations is None:
        return []
    others = [r for r in named if r.operations is not None and not _holds(r.operations, reading.operations)]
    for other in others:
        other.kind = "alternative"
        other.note = f"the operations listed contradict the file's contents: {_name(other)} is used"
    return others


def _name(reading: Reading) -> str:
    return "P 1" if reading.operations is None else reading.operations.name


def _keys(operations: Operations) -> set[tuple[int, ...]]:
    rotations = np.rint(operations.rotations).astype(int).reshape(-1, 9)
    translations = np.rint(24.0 * operations.translations).astype(int) % 24
    return {tuple(r) + tuple(t) for r, t in zip(rotations.tolist(), translations.tolist(), strict=True)}


def _holds(bigger: Operations, smaller: Operations) -> bool:
    return _keys(smaller) <= _keys(bigger)


def _retyped(operations: Operations, cell: NDArray[np.float64]) -> list[Reading]:
    """Settings of the listed operations' own type that keep the metric."""
    import spglib

    rotations = np.rint(operations.rotations).astype(np.intc)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces its future error handling
        try:
            hall = spglib.get_spacegroup_type_from_symmetry(rotations, operations.translations)
        except getattr(spglib, "SpglibError", RuntimeError):  # a list that is no group
            return []
    if hall is None:
        return []
    settings = other_settings(settings_by_number(int(hall.number), (90.0, 90.0, 90.0)), cell, NEARLY)
    return [Reading(operations_of(s.hall, s.xhm()), "origin") for s in settings]


# ------------------------------------------------------------------------------------------------------ names


def _named(
    block: Any,
    cell: NDArray[np.float64],
    angles: tuple[float, float, float],
    source: str,
    notes: list[str],
    *,
    required: bool,
) -> list[Reading]:
    """Readings of the Hall symbol, else of the name, else of the number; those that keep the metric."""
    import gemmi

    hall = first_value(block, HALL_TAGS)
    if hall:
        try:
            operations = from_group(gemmi.symops_from_hall(hall), hall)
        except (ValueError, RuntimeError):
            notes.append(f"Hall symbol {hall!r} is not understood")
        else:
            if distortion(operations.rotations, cell) <= NEARLY:
                return [Reading(operations if len(operations.rotations) > 1 else None, "name")]
    name = first_value(block, NAME_TAGS)
    if name.replace(" ", "").upper() in ("P1", "P1(1)"):
        return [Reading(None, "name")]
    settings = settings_by_name(name, angles) if name else []
    number = first_value(block, NUMBER_TAGS)
    if not settings and number.isdigit() and 1 <= int(number) <= 230:
        settings = settings_by_number(int(number), angles)
        if name and required:
            notes.append(f"space-group name {name!r} is not known; number {number} used")
    if not settings:
        if (name or number) and required:
            raise InputError(
                f"{source}: space group {name or number!r} is not known and no operations are listed; "
                "add _space_group_symop_operation_xyz"
            )
        return []
    return _keeping(settings, name or f"number {number}", cell)


def _contradicting(
    block: Any, cell: NDArray[np.float64], angles: tuple[float, float, float], named: list[Reading], notes: list[str]
) -> list[Reading]:
    """Readings of the name or the number where they state another group than the one that was read.

    The file's contents decide between them (`fastin.crystal.cif.choice`); what they leave open is a warning.
    """
    import gemmi

    first = named[0].operations
    used = gemmi.find_spacegroup_by_number(1) if first is None else gemmi.find_spacegroup_by_name(first.name)
    hall = first_value(block, HALL_TAGS)
    if used is None and first is not None and first.name == hall:
        used = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))
    if used is None or named[0].kind == "mismatch":
        return []
    name, number = first_value(block, NAME_TAGS), first_value(block, NUMBER_TAGS)
    stated = [(f"the name {name!r}", settings_by_name(name, angles) if name else [])]
    if number.isdigit() and 1 <= int(number) <= 230:
        stated.append((f"the number {number}", settings_by_number(int(number), angles)))
    found = []
    for told, settings in stated:
        if not settings or settings[0].number == used.number:
            continue
        others = [r for r in _keeping(settings, told, cell) if r.kind in ("name", "origin")]
        for other in others:
            other.kind = "contradiction"
            other.note = (
                f"{told} is used for the space group: what else the file states of it does not fit its contents"
            )
        found += others
        if not others:
            notes.append(f"{told} contradicts the space group {used.xhm()} and the cell: it is not used")
    return found


def _keeping(settings: list[Any], name: str, cell: NDArray[np.float64]) -> list[Reading]:
    """Readings of the settings that keep the metric; the others of the group where none does."""
    if settings[0].hm == "P 1":
        return [Reading(None, "name")]
    made = {s.xhm(): operations_of(s.hall, s.xhm()) for s in settings}
    lost = {key: distortion(operations.rotations, cell) for key, operations in made.items()}
    for limit in (KEEPS, NEARLY):
        kept = [s for s in settings if lost[s.xhm()] <= limit]
        if kept:
            kind = "origin" if len(kept) > 1 else "name"
            readings = [Reading(made[s.xhm()], kind) for s in kept]
            if kept[0] is not settings[0] and settings[0].ext in ("H", "R"):
                readings[0].note = f"{name!r} on the axes of the cell: {kept[0].xhm()} is used"
            return readings
        others = other_settings(settings, cell, limit)
        if others:
            same = [s for s in others if s.hm == others[0].hm]
            text = f"the cell's lengths and angles fit {others[0].xhm()}, not {name!r} as usually read"
            kinds = {s.xhm(): "origin" if len(same) > 1 else "name" for s in same}
            ordered = same + [s for s in others if s not in same]
            return [Reading(operations_of(s.hall, s.xhm()), kinds.get(s.xhm(), "alternative"), text) for s in ordered]
    text = f"space group {name!r}: no setting keeps the cell's lengths and angles"
    first = made[settings[0].xhm()]
    return [Reading(first, "mismatch", "", [CrystalWarning("setting-mismatch", text)])]
