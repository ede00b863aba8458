"""From the text of a CIF to the data block that is read: repairs of what other programs get wrong, choice of block."""

from __future__ import annotations

import re
from typing import Any

from fastin.errors import InputError

_CARTESIAN = ("_atom_site_Cartn_x", "_atom_site.Cartn_x")
_FRACTIONAL = ("_atom_site_fract_x", "_atom_site.fract_x")
_BLANK_NAME = re.compile(r"^(data_\S+)[ \t]+(?=\S)(.+)$", re.IGNORECASE)
_MAX_REPAIRS = 20


def open_document(text: str, source: str, notes: list[str]) -> Any:
    """The gemmi document of a text; what breaks the syntax without touching the atoms is repaired, with a note.

    Raises:
        InputError: empty, CIF2, or syntax that cannot be repaired.
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
        return cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        reason = str(error)
    for _ in range(_MAX_REPAIRS):
        try:
            document = cif.read_string(text, 0)
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            repaired = _repaired(text, reason, notes)
            if repaired is None:
                break
            text = repaired
            continue
        if "duplicate" in reason:
            notes.append(f"{reason.splitlines()[0].removeprefix('string').lstrip(':0123456789 ')}: the first is used")
        return document
    if text.lstrip().startswith("#\\#CIF_2"):
        raise InputError(f"{source}: a CIF2 file whose syntax CIF 1.1 lacks ({reason}); save it as CIF 1.1")
    raise InputError(f"{source}: not a readable CIF ({reason}); check the syntax at that line")


def _repaired(text: str, reason: str, notes: list[str]) -> str | None:
    """The text with the cause of one syntax error removed; None where that would touch the atoms."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        match = _BLANK_NAME.match(line)
        if match and not match[2].startswith(("_", "#", "loop_")):
            lines[at] = match[1] + "_" + re.sub(r"\s+", "_", match[2].strip())
            notes.append(f"data block name with blanks: {line.strip()!r}")
            return "\n".join(lines)
    place = re.search(r":(\d+):", reason)
    if place is None:
        return None
    at = min(int(place[1]), len(lines)) - 1
    start, end = _loop_around(lines, at)
    if start is None or any("_atom_site_" in x or "_atom_site." in x or "symop" in x or "equiv_pos" in x
                            for x in lines[start:end]):  # fmt: skip
        return None
    tags = [x.strip() for x in lines[start:end] if x.strip().startswith("_")]
    notes.append(f"a broken loop ({tags[0] if tags else 'without tags'}...) is left out")
    return "\n".join(lines[:start] + lines[end:])


def _loop_around(lines: list[str], at: int) -> tuple[int | None, int]:
    """First line of the loop that holds line `at` (or ends before it), and the line behind its last value."""

    def is_loop(line: str) -> bool:
        return line.strip().lower() == "loop_"

    start = next((k for k in range(at, -1, -1) if is_loop(lines[k])), None)
    if start is None:
        return None, 0
    end, values = start + 1, False
    while end < len(lines):
        word = lines[end].strip().lower()
        if word == "loop_" or word.startswith(("data_", "save_")) or (word.startswith("_") and values):
            break
        values = values or bool(word and not word.startswith(("_", "#")))
        end += 1
    return start, end


def has_atoms(block: Any) -> bool:
    """True for a data block with fractional coordinates."""
    return atom_loop(block) is not None


def atom_loop(block: Any) -> Any:
    """The loop of fractional coordinates, None without rows."""
    for tag in _FRACTIONAL:
        loop = block.find_loop(tag).get_loop()
        if loop is not None and loop.length() > 0:
            return loop
    return None


def choose_block(document: Any, wanted: str | int | None, source: str, notes: list[str]) -> Any:
    """The block to read: the one named or numbered (from 1), else the first with atoms.

    Raises:
        InputError: no block with atoms, or none of that name.
    """
    blocks = list(document)
    if not blocks:
        raise InputError(f"{source}: no data block in the CIF")
    usable = [block for block in blocks if has_atoms(block)]
    if wanted is not None:
        return _named_block(blocks, usable, wanted, source)
    if usable:
        if len(usable) > 1:
            names = ", ".join(repr(block.name) for block in usable[:6]) + (", ..." if len(usable) > 6 else "")
            notes.append(
                f"{len(blocks)} data blocks: {usable[0].name!r}, the first with atoms, is read; "
                f"{len(usable)} hold atoms ({names}), block (--block) chooses"
            )
        elif len(blocks) > 1:
            notes.append(f"{len(blocks)} data blocks: {usable[0].name!r}, the first with atoms, is read")
        return usable[0]
    if any(block.find_loop(tag).get_loop() is not None for block in blocks for tag in _CARTESIAN):
        raise InputError(
            f"{source}: only Cartesian coordinates (_atom_site_Cartn_x); convert them to _atom_site_fract_x, _y, _z"
        )
    raise InputError(f"{source}: the CIF holds no atoms (no _atom_site_fract_x loop)")


def _named_block(blocks: list[Any], usable: list[Any], wanted: str | int, source: str) -> Any:
    text = str(wanted)
    found = [block for block in blocks if block.name.lower() == text.lower()]
    if not found and text.isdigit() and 1 <= int(text) <= len(blocks):
        found = [blocks[int(text) - 1]]
    names = ", ".join(f"{k} {block.name!r}" for k, block in enumerate(blocks, 1) if has_atoms(block)) or "none"
    if not found:
        raise InputError(f"{source}: no data block {text!r}; blocks with atoms: {names}")
    chosen = next((block for block in found if has_atoms(block)), None)
    if chosen is None:
        raise InputError(f"{source}: the data block {text!r} holds no atoms; blocks with atoms: {names}")
    return chosen
