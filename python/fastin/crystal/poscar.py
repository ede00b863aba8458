"""POSCAR files, and the headers of VASP's volumetric files that are written like them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from fastin.crystal.sites import LONGEST, Sites
from fastin.crystal.species import parse_species
from fastin.errors import GeometryError, InputError

_COMMENT = re.compile(r"\s*[!#].*")
_NAMES_A_LINE = 20
_HEADER = 200  # lines at most, up to the positions
_TITLE_WORD = re.compile(r"([A-Z][a-z]?)(\d*)")


def parse_poscar(text: str, source: str) -> Sites:
    """Sites of a POSCAR: VASP 5 (element symbols on line 6), or VASP 4 (behind each position, or in the title).

    Raises:
        InputError: a line that cannot be read, no element names, or more or fewer positions than counted.
    """
    lines = text.splitlines()
    sites, end = read_header(lines, source)
    extra = 0
    while end + extra < len(lines) and len(_leading_numbers(lines[end + extra])) >= 3:
        extra += 1
    if extra:
        total = len(sites.number)
        raise InputError(
            f"{source}: not a readable POSCAR ({total} atoms announced, {total + extra} positions written); "
            "correct the counts, or put a blank line before what are no positions"
        )
    return sites


def looks_like_poscar(text: str) -> bool:
    """A POSCAR by its first lines, whatever its name: scale, vectors, names and counts, kind of the positions."""
    lines = text.split("\n", _HEADER)[:_HEADER]
    try:
        numbers = [_leading_numbers(line) for line in lines[1:5]]
        _, counts, at = _names_and_counts(lines, 5)
        kind = lines[at].strip().upper()
    except (IndexError, ValueError):
        return False
    if "CONFIGURATION" in kind:  # an XDATCAR: many frames
        return False
    return (
        bool(numbers[0]) and all(len(row) >= 3 for row in numbers[1:]) and sum(counts) > 0 and kind[:1] in tuple("SDCK")
    )


def read_header(lines: list[str], source: str) -> tuple[Sites, int]:
    """The sites, and the index of the line behind the last position.

    Raises:
        InputError: see `parse_poscar`.
    """
    notes: list[str] = []
    try:
        scale = _leading_numbers(lines[1])
        if len(scale) not in (1, 3):
            scale = scale[:1]
        if not scale:
            raise ValueError("no scale factor on line 2")
        cell = np.array([_leading_numbers(lines[k])[:3] for k in (2, 3, 4)], dtype=np.float64)
        if cell.shape != (3, 3):
            raise ValueError("three vectors of three numbers expected")
        at = 5
        names, counts, at = _names_and_counts(lines, at)
        selective = lines[at].strip()[:1].upper() == "S"
        at += selective
        cartesian = lines[at].strip()[:1].upper() in ("C", "K")
        total = sum(counts)
        if total <= 0 or min(counts) < 0 or total > len(lines):
            raise ValueError(f"{total} atoms announced")
        rows = [line.split() for line in lines[at + 1 : at + 1 + total]]
        written = next((k for k, row in enumerate(rows) if len(row) < 3), len(rows))
        if written < total:
            raise ValueError(f"{total} atoms announced, {written} positions written")
        coordinates = np.array([[float(v) for v in row[:3]] for row in rows]).reshape(total, 3)
        if not (np.abs(coordinates) < LONGEST).all():
            raise ValueError("a coordinate is no number below 1e9")
    except (IndexError, ValueError) as error:
        raise InputError(f"{source}: not a readable POSCAR ({error})") from None
    if names and len(names) != len(counts):
        raise InputError(f"{source}: the POSCAR names {len(names)} elements but counts {len(counts)}")
    symbols = _symbols(names, counts, rows, 6 if selective else 3, lines[0], notes)
    cell, factor = _scaled(cell, scale, source)
    if cartesian:
        coordinates = np.linalg.solve(cell.T, (coordinates * factor).T).T
    numbers = []
    for k, name in enumerate(symbols):
        found = parse_species(name)
        if found is None:
            raise InputError(f"{source}: unknown element {name!r} of atom {k + 1}; name the elements on line 6")
        numbers.append(found[0])
    _check_words(symbols, rows, 6 if selective else 3, source)
    label = [f"{name}{k + 1}" for k, name in enumerate(symbols)]
    sites = Sites(cell, coordinates, np.array(numbers, dtype=np.int32), np.ones(total), label, notes=notes)
    return sites, at + 1 + total


def _leading_numbers(line: str) -> list[float]:
    """The numbers that a line begins with; what follows is a comment."""
    found = []
    for word in line.split():
        try:
            found.append(float(word))
        except ValueError:
            break
    return found


def _names_and_counts(lines: list[str], at: int) -> tuple[list[str], list[int], int]:
    """Element names (none in VASP 4), atoms of each, and the next line; VASP writes twenty names and counts a line."""
    names: list[str] = []
    words = _COMMENT.sub("", lines[at]).split()
    if not words or not words[0].isdigit():
        names, at = words, at + 1
        while names and len(names) % _NAMES_A_LINE == 0 and lines[at].split() and not lines[at].split()[0].isdigit():
            names += _COMMENT.sub("", lines[at]).split()
            at += 1
    counts = _leading_counts(lines[at])
    at += 1
    while len(counts) < len(names) and len(counts) % _NAMES_A_LINE == 0:
        counts += _leading_counts(lines[at])
        at += 1
    return names, counts, at


def _leading_counts(line: str) -> list[int]:
    counts = []
    for word in _COMMENT.sub("", line).split():
        if not word.lstrip("+-").isdigit():
            break
        counts.append(int(word))
    if not counts:
        raise ValueError(f"atom counts expected, not {line.strip()!r}")
    return counts


def _symbols(
    names: list[str], counts: list[int], rows: list[list[str]], column: int, title: str, notes: list[str]
) -> list[str]:
    """Element of each atom: by line 6, else behind the positions, else by the title."""
    if names:
        plain = [re.split(r"[/_.]", name)[0] for name in names]
        return [name for name, count in zip(plain, counts, strict=True) for _ in range(count)]
    behind = [row[column] if len(row) > column else "" for row in rows]
    if all(parse_species(name) for name in behind):
        return behind
    words = [_TITLE_WORD.fullmatch(word) for word in _COMMENT.sub("", title).split()]
    if len(words) == 1 and words[0] is None:
        words = (
            list(re.finditer(r"([A-Z][a-z]?)(\d*)", title)) if re.fullmatch(r"\s*([A-Z][a-z]?\d*)+\s*", title) else []
        )
    elements = [word[1] for word in words if word is not None]
    if len(elements) == len(words) == len(counts) and all(parse_species(name) for name in elements):
        notes.append(f"the file names no elements on line 6: those of its title are used ({' '.join(elements)})")
        return [name for name, count in zip(elements, counts, strict=True) for _ in range(count)]
    return behind


def _check_words(symbols: list[str], rows: list[list[str]], column: int, source: str) -> None:
    """Refuses elements behind the positions that are not those of line 6, where every position has one."""
    behind = [row[column] if len(row) == column + 1 else "" for row in rows]  # F F F without a selective line is none
    found = [parse_species(word) for word in behind]
    if not all(found):
        return
    for k, (name, word) in enumerate(zip(symbols, behind, strict=True)):
        own, other = parse_species(name), found[k]
        if own is not None and other is not None and own[0] != other[0]:
            raise InputError(
                f"{source}: atom {k + 1} is {name} by line 6 and its counts, {word!r} by its own line; correct one"
            )


def _scaled(cell: Any, scale: list[float], source: str) -> tuple[Any, Any]:
    within = bool(np.abs(cell).max() < LONGEST)  # False for nan too
    volume = abs(float(np.linalg.det(cell))) if within else math.nan
    if not volume >= 1e-9:
        raise GeometryError(f"{source}: the cell has zero volume; check the lattice vectors")
    factor = np.array(scale) if len(scale) == 3 else scale[0]
    if len(scale) == 1 and scale[0] < 0.0:
        factor = (-scale[0] / volume) ** (1.0 / 3.0)
    if not np.isfinite(factor).all() or np.min(factor) <= 0.0 or np.max(factor) > LONGEST:
        raise InputError(f"{source}: the scale factor of the POSCAR must not be zero, nor {LONGEST:g} and more")
    return cell * factor, factor
