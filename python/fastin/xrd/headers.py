"""What the prose above a powder pattern says: the wavelength, and the axis where no heading names it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastin.runtime.tables import ask, parse_number
from fastin.xrd.pattern import WAVELENGTHS

_NUMBER = r"(\d*[.,]\d+(?:[eE][+-]?\d+)?|\d+[eE]-\d+)"  # with decimals: counts and indices are none
_AWAY = r"[\"'\s:=,;()\[\]]*"
_LENGTH = r"(angstroms?|å|å|a|nm|m)"
_ALPHA = re.compile(
    r"(?<!/)(?<!/ )k[\s_-]*(?:alpha|α)[\s_-]*([12])(?!\d)[\s_]*(?:wave\s?length)?"
    rf"{_AWAY}(?:{_LENGTH}{_AWAY})?{_NUMBER}",
    re.I,
)
_WAVELENGTH = re.compile(
    r"(?<![a-z])(?:wave\s?-?length|lambda|λ|_(?:diffrn_radiation|pd_proc)_wavelength)(?:[\s_]*\d(?=[\s:=]))?"
    rf"{_AWAY}(?:{_LENGTH}{_AWAY})?{_NUMBER}\s*{_LENGTH}?(?![a-z])",
    re.I,
)
_ENERGY = re.compile(
    rf"^(?!.*(?:threshold|cut-?off|resolution|window)).*energy{_AWAY}(?:(kev){_AWAY})?(\d+(?:[.,]\d+)?)\s*(kev)?", re.I
)
_ANODE = re.compile(rf"(?:anode|target)(?:[\s_]*(?:material|name|type))?{_AWAY}(Cu|Co|Mo|Cr|Fe|Ag)\b", re.I)
_KEV = 12.398419843  # keV times angstrom
_LONGEST, _SHORTEST = 5.0, 0.05  # angstrom: wavelengths of powder patterns

_INVERSE_NM = r"(?:1/nm|nm\^?\{?[-⁻−][1¹]|(?:inverse|reciprocal)\s+nanomet|nanomet(?:er|re)s?\s*\^?-1)"
_INVERSE_A = r"(?:1/(?:å|å|a\b|ang)|(?:å|å|a|angstroms?)\^?\{?[-⁻−][1¹]|(?:inverse|reciprocal)\s+(?:å|å|angstr))"
_Q = r"(?<![a-z])(?:q|scattering vector|momentum transfer)[\s_,:/(\[]*"
_TWO_THETA = r"(?:2[\s_*-]*th(?:eta)?|two[\s_-]*theta|2θ)(?![a-z])"
_AXES = (
    (re.compile(_TWO_THETA + r".*?(?<![a-z])rad(?:ians?)?(?![a-z])", re.I), "2theta-rad"),
    (re.compile(_TWO_THETA, re.I), "2theta"),
    (re.compile(_Q + _INVERSE_NM, re.I), "Q-nm"),
    (re.compile(_Q + _INVERSE_A, re.I), "Q"),
)


def prose(text: str, most: int = 400) -> list[str]:
    """The lines at the top that hold words, not rows of numbers."""
    return [line for line in text.splitlines()[:most] if re.search(r"[^\W\d_eEdD]{2}|[λθÅÅ]|q_|Q\s*[(\[/]", line)]


def stated_axis(lines: Sequence[str]) -> str | None:
    """What the last line that speaks of an axis calls it: FIT2D writes "Q (Inverse Nanometres)", pyFAI "q_nm^-1"."""
    for line in reversed(lines):
        for pattern, axis in _AXES:
            if pattern.search(line):
                return axis
    return None


def stated_wavelength(text: str, source: str) -> float | None:
    """Wavelength in angstrom that the words above the numbers give, by itself, an energy in keV, or the tube's anode.

    K-alpha1 and K-alpha2 give the mean of the doublet. A file of DASH holds it as the only number of its first line.

    Raises:
        InputError: several wavelengths that are no doublet.
    """
    lines = prose(text)
    alpha = {match[1]: _angstrom(match[3], match[2]) for line in lines for match in _ALPHA.finditer(line)}
    first, second = alpha.get("1"), alpha.get("2")
    if first is not None:
        return first if second is None else (2.0 * first + second) / 3.0
    found = [_angstrom(match[2], match[1] or match[3]) for line in lines for match in _WAVELENGTH.finditer(line)]
    if not any(found):
        energies = [match for line in lines if (match := _ENERGY.match(line)) and (match[1] or match[3])]
        found = [_KEV / energy for match in energies if (energy := parse_number(match[2].replace(",", ".")))]
    plausible = [value for value in found if value is not None and _SHORTEST < value < _LONGEST]
    if plausible:
        low, high = min(plausible), max(plausible)
        if high > 1.01 * low:
            raise ask(source, f"several wavelengths are stated ({low:.5g} to {high:.5g} A)", "leave the one used")
        return low if high < 1.0001 * low else (2.0 * low + high) / 3.0
    anodes = {match[1].capitalize() for line in lines for match in _ANODE.finditer(line)}
    if len(anodes) == 1:
        return WAVELENGTHS[f"{anodes.pop()}Ka"]
    words = next((line.split() for line in text.splitlines() if line.strip()), [])
    if len(words) == 1 and re.fullmatch(r"[0-2]\.\d{3,}", words[0]):
        return _angstrom(words[0], None)
    return None


def _angstrom(word: str, unit: str | None) -> float | None:
    """A wavelength in angstrom; None where the number is that of no powder pattern."""
    value = parse_number(word.replace(",", "."))
    if value is None or not value > 0.0:
        return None
    value *= 1e10 if unit in ("m", "M") or value < 1e-8 else 10.0 if (unit or "").lower() == "nm" else 1.0
    return value if _SHORTEST < value < _LONGEST else None
