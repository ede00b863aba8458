"""Values of a data block: first of several spellings, numbers with uncertainties, what the file says about itself."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from fastin.crystal.elements import numbers_by_symbol

_FORMULA_TOKEN = re.compile(r"([A-Za-z]{1,2})\s*(\d*\.?\d*)(?:\(\d+\))?[\s,]*")
_TWO_WAYS = frozenset({"CO", "NO", "HO", "PO", "HF", "CS"})  # cobalt or carbon and oxygen? in capitals nobody knows
_FORMULA_SUM = ("_chemical_formula_sum", "_chemical_formula.sum")
_FORMULA_OTHER = ("_chemical_formula_moiety", "_chemical_formula_structural")


def first_value(block: Any, tags: tuple[str, ...]) -> str:
    """The first known value among several tags, without quotes; empty where there is none."""
    for tag in tags:
        value = block.find_value(tag)
        if value and value not in ("?", "."):  # a tag without its value has an empty one
            if value.startswith(";"):
                value = value.strip(";")
            return unquoted(value)
    return ""


def unquoted(text: str) -> str:
    """A value without its outer pair of quotes; quotes inside stay (Hall symbols end in them)."""
    text = text.strip()
    while len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        text = text[1:-1].strip()
    return text


def number(text: str) -> float:
    """A CIF number: "0.123(4)" is 0.123; NaN for "?", "." and anything else."""
    try:
        return float(text)
    except ValueError:
        head = text.strip("'\"").partition("(")[0]
        try:
            return float(head)
        except ValueError:
            return math.nan


def decimals(text: str) -> int:
    """Digits behind the decimal point."""
    return len(text.strip("'\"").partition("(")[0].partition("e")[0].partition(".")[2])


@dataclass
class Stated:
    """What a file says about its own contents.

    Attributes:
        formula: atoms by atomic number; empty where there is none, or none that can be read.
        rounding: half of the last digit written, by atomic number.
        units: formula units a cell; NaN where not given.
        density: g/cm^3; NaN where not given.
        volume: of the cell, A^3; NaN where not given.
        from_sum: the formula is ``_chemical_formula_sum``, not a name of the compound.
    """

    formula: dict[int, float] = field(default_factory=dict)
    rounding: dict[int, float] = field(default_factory=dict)
    units: float = math.nan
    density: float = math.nan
    volume: float = math.nan
    from_sum: bool = False


def read_stated(block: Any) -> Stated:
    """See `Stated`."""
    stated = Stated()
    for tags, is_sum in ((_FORMULA_SUM, True), (_FORMULA_OTHER, False)):
        text = first_value(block, tags)
        parsed = parse_formula(text) if text else None
        if parsed is not None:
            stated.formula, stated.rounding = parsed
            stated.from_sum = is_sum
            break
    stated.units = _positive(block, ("_cell_formula_units_Z", "_cell.formula_units_Z"))
    return stated


def read_bulk(block: Any, stated: Stated) -> None:
    """Fills in density and volume, which only decide between readings."""
    stated.density = _positive(block, ("_exptl_crystal_density_diffrn", "_exptl_crystal_density_meas"))
    stated.volume = _positive(block, ("_cell_volume", "_cell.volume"))


def _positive(block: Any, tags: tuple[str, ...]) -> float:
    value = number(first_value(block, tags))
    return value if value > 0.0 else math.nan


def parse_formula(text: str) -> tuple[dict[int, float], dict[int, float]] | None:
    """Atoms, and half of the last digit written, by atomic number; None for anything but plain "Li2 C O3".

    Letters must be elements as a whole; "LI2 FE P O4" is understood where blanks separate the elements.
    """
    amounts: dict[int, float] = {}
    rounding: dict[int, float] = {}
    numbers = numbers_by_symbol()
    text = text.strip().strip("'\"").strip()
    at = 0
    while at < len(text):
        match = _FORMULA_TOKEN.match(text, at)
        if match is None:
            return None
        symbol, digits, end = match[1], match[2], match.end()
        if symbol in _TWO_WAYS and " " in text:
            return None
        if len(symbol) == 2 and symbol[1].isupper() and not _stands_alone(text, at, match):
            symbol, digits, end = symbol[0], "", at + 1
        z = numbers.get(symbol.capitalize())
        if z is None or symbol[0].islower():
            return None
        amounts[z] = amounts.get(z, 0.0) + (float(digits) if digits not in ("", ".") else 1.0)
        rounding[z] = rounding.get(z, 0.0) + 0.5 * 10.0 ** -len(digits.partition(".")[2]) * ("." in digits)
        at = end
    amounts = {z: n for z, n in amounts.items() if n > 0.0}
    return (amounts, rounding) if amounts else None


def _stands_alone(text: str, at: int, match: re.Match[str]) -> bool:
    """True where two capitals are one word, in a formula with blanks, and an element."""
    before = text[at - 1 : at]
    after = text[at + 2 : at + 3]
    known = match[1].capitalize() in numbers_by_symbol()
    return known and (not before or not before.isalpha()) and not after.isalpha() and " " in text
