"""What a symbol or a label of a site means: species, water, mixed sites, or nothing.

A type symbol must be an element as a whole ("Fl", "CN", "RE" are refused, never cut to their first letter). A label
("HO1", "W1", "CO1") is read by its letters, and the element must be in the stated formula where there is one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from fastin.crystal.elements import numbers_by_symbol

_SPECIES = re.compile(r"([A-Za-z]{1,2})(?:(\d*\.?\d*)([+-])|([+-])(\d+\.?\d*))?")
_LETTERS = re.compile(r"[A-Za-z]+")
_SHARE = re.compile(r"(\d*\.?\d*)\s*\*?\s*([A-Za-z]{1,2})(?:\d*\.?\d*[+-])?\s*(\d*\.?\d*)")
_SIDE_BY_SIDE = re.compile(r"([A-Z][a-z])[\d.]*[-_]?([A-Z][a-z])(?![a-z])")
_OF_ANOTHER = re.compile(r"O[A-Z][a-z]")
_ANIONS = frozenset({17, 34, 35, 52, 85})
#: Type symbols of oxygen whose hydrogen has no position.
_HYDROXYL = {"OH": 1, "OD": 1, "HO": 0, "OW": 2, "OH2": 2, "H2O": 2, "D2O": 2, "WAT": 2, "HOH": 2, "OH3": 3, "H3O": 3}
#: Names of points that are no atoms.
_NO_ATOM = frozenset({"DUM", "DUMMY", "DU", "CNT", "CENT", "CG", "BARY"})


class Symbol(NamedTuple):
    """What sits on a site: (number, charge, share) each, NaN where not written; hydrogen atoms that it only states."""

    species: tuple[tuple[int, float, float], ...]
    hydrogen: int = 0


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
def is_no_atom(text: str) -> bool:
    """True for symbols of dummy points."""
    letters = _LETTERS.match(text.strip("'\" "))
    return letters is not None and letters[0].upper() in _NO_ATOM


@lru_cache(maxsize=4096)
def parse_symbol(text: str) -> Symbol | None:
    """What a type symbol says, matched whole; None where it is no element, mixture or hydroxyl.

    Counters behind the element are allowed ("Fe3", "O2A"), as are isotopes ("7Li") and charges.
    """
    text = text.strip().strip("'\"").strip()
    plain = text.lstrip("0123456789")  # isotopes: 7Li
    found = parse_species(plain)
    if found is not None:
        return Symbol(((*found, math.nan),))
    if text.upper() in _HYDROXYL:
        return Symbol(((8, math.nan, math.nan),), _HYDROXYL[text.upper()])
    letters = _LETTERS.match(plain)
    if letters is not None and not re.search(r"[/,;+&]|\s", plain[letters.end() :].rstrip("+-")):
        number = numbers_by_symbol().get(letters[0].capitalize())
        if number is not None and not _LETTERS.search(plain, letters.end() + 2):
            charge = re.fullmatch(r"\d*([+-])", plain[letters.end() :])
            return Symbol(((number, parse_species(plain)[1] if charge else math.nan, math.nan),))  # type: ignore[index]
        if letters[0].upper() in _HYDROXYL:
            return Symbol(((8, math.nan, math.nan),), _HYDROXYL[letters[0].upper()])
    return _mixture(text)


def _mixture(text: str) -> Symbol | None:
    """``Si/Al``, ``Si,Al``, ``0.75Si+0.25Al``, ``(Si0.75Al0.25)``."""
    inner = text.strip("()[]{} ")
    parts = [p for p in re.split(r"\s*[/,;&]\s*|\s*\+\s*(?=[\d.]*\s*[A-Za-z(])|\s+", inner) if p]
    if len(parts) == 1:
        pieces = re.findall(r"[A-Z][a-z]?\d*\.\d+", inner)
        parts = pieces if len(pieces) > 1 and "".join(pieces) == inner else parts
    if len(parts) < 2:
        return None
    species: dict[int, float] = {}
    for part in parts:
        match = _SHARE.fullmatch(part)
        number = numbers_by_symbol().get(match[2].capitalize()) if match else None
        if match is None or number is None or number in species:
            return None
        written = match[1] or match[3]
        species[number] = float(written) if written not in ("", ".") else math.nan
    shares = list(species.values())
    if any(math.isnan(s) for s in shares) or not sum(shares) > 0.0:
        shares = [math.nan] * len(shares)
    elif abs(sum(shares) - 100.0) < 2.0:
        shares = [s / 100.0 for s in shares]
    elif sum(shares) > 1.02:
        return None
    return Symbol(tuple((z, math.nan, s) for z, s in zip(species, shares, strict=True)))


def _two_names(label: str, formula: Collection[int]) -> Symbol | None:
    """The mixture that a label names: "Fe,Mg1", "(Nb/Ta)1", and without a formula "FeMg1", "Fe0.5Mg0.5"; else None.

    Shares are not written in a label (digits count sites): they follow from the formula, or are asked for. Symbols side
    by side may also be one atom on another's site ("NiLi1"): with a formula the first is taken, which the formula then
    checks. "NaCl1" and "CaM1" name one element.
    """
    inner = label.strip("()[]{} ")
    parts = [part.strip("()[]{} ") for part in re.split(r"[/,;&]", inner)]
    aside = None
    if len(parts) == 1 and not formula:
        aside = _SIDE_BY_SIDE.match(inner)
        parts = list(aside.groups()) if aside else []
    found: list[int] = []
    for part in parts:
        letters = _LETTERS.match(part)
        number = numbers_by_symbol().get(letters[0].capitalize()) if letters else None
        if number is None or (aside is not None and number in _ANIONS):
            return None
        found.append(number)
    found = list(dict.fromkeys(found))
    if formula:
        found = [z for z in found if z in formula]
    return Symbol(tuple((z, math.nan, math.nan) for z in found)) if len(found) > 1 else None


def parse_label(text: str, formula: Collection[int] = ()) -> Symbol | None:
    """What a site label says; its element must be in the stated formula where there is one.

    Args:
        text: the label: "Li1", "FE3", "OW1", "HO1", "W1", "O2A".
        formula: atomic numbers in the stated formula; empty without one.
    """
    text = text.strip().strip("'\"").strip()
    letters = _LETTERS.match(text.lstrip("0123456789("))
    if letters is None:
        return None
    mixed = _two_names(text, formula)
    if mixed is not None:
        return mixed
    word = letters[0]
    if word.upper() in ("WAT", "OW", "OH", "H2O") and (not formula or 8 in formula):
        return Symbol(((8, math.nan, math.nan),), 2 if "W" in word.upper() else 1)
    numbers = numbers_by_symbol()
    options = [numbers.get(word[:width].capitalize()) for width in (2, 1) if len(word) >= width]
    found = [z for z in options if z is not None]
    if formula:
        inside = [z for z in found if z in formula]
        if not inside and word.upper() == "W" and 8 in formula:
            return Symbol(((8, math.nan, math.nan),), 2)
        found = inside
        if len(found) == 2 and word[1:2].isupper() and not word.isupper():
            found = found[1:]
    elif _OF_ANOTHER.fullmatch(word) and word[1:3] in numbers:
        found = [8]  # an oxygen by its neighbour: OSi, OAl
    elif word == "T" or (word[:2].upper() in ("HO", "NO") and word[1:2].isupper()):
        return None  # holmium or a hydrogen of O, tritium or a tetrahedral site? only a formula or a type symbol tells
    if not found:
        return None
    charge = parse_species(text)
    if charge is not None and charge[0] == found[0]:
        return Symbol(((*charge, math.nan),))
    return Symbol(((found[0], math.nan, math.nan),))
