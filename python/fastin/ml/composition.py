"""Composition features: what a model can know of a compound whose structure is unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.element_features import element_table
from fastin.crystal.elements import element as facts
from fastin.crystal.elements import numbers_by_symbol
from fastin.errors import InputError

#: Elements whose atomic fraction is a feature of its own (the common ones of solid electrolytes).
FRACTIONS = (
    *("Li", "Na", "K", "Ag", "H", "B", "C", "N", "O", "F", "Mg", "Al", "Si", "P", "S", "Cl", "Ca", "Ti", "Fe", "Zn"),
    *("Ga", "Ge", "As", "Se", "Br", "Sr", "Y", "Zr", "Nb", "In", "Sn", "Sb", "Te", "I", "Ba", "La", "Ta", "W", "Bi"),
)
_PROPERTIES = ("number", "group", "period", "electronegativity", "ionization_energy", "electron_affinity", "softness")
_STATISTICS = ("mean", "std", "min", "max")
_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*(?:[eE][-+]?\d+)?)|([(\[{])|([)\]}])(\d*\.?\d*)")
_BROKEN = re.compile(r"[\d.]\s+[\d.]")  # "(PO ) 4 3": two numbers, whose owners got lost
_WATER = r"\d*\.?\d*H2O"
# Between the parts of a hydrate or the oxides of a glass; a full stop only before water, where it is no decimal point.
_DASH = re.compile(r"[-–](?=[\d.]*[A-Z(])")
_PARTS = re.compile(rf"[·•∙⋅*]|{_DASH.pattern}|(?:(?<=[A-Za-z)\]])|(?<=[A-Za-z)\]]\d))\.(?={_WATER})")
_FACTOR = re.compile(r"(\d+\.?\d*|\.\d+)(?=[A-Z(\[])")
_SPACED_WATER = re.compile(rf"(?<=[A-Za-z)\]])\s+(?={_WATER}$)")
_LOOSE = re.compile(r"[A-Za-z)\]]\s+\d[\d.]*(?=[A-Z(\[])")  # "LiCl 2LiI": of the element before, or of what follows?
_ONE_OR_WATER = re.compile(r"(?<![\d.])1\.(?=\d*H2O)")  # "LiCl1.5H2O": 1.5 water, or LiCl1 and 5 water?
_UNKNOWN = re.compile(r"[xyzδ]|(?<![A-Z])n(?=H2O|[A-Z(])")
#: Names of salts and glasses that read as formulas.
_ABBREVIATION = re.compile(r"Li(?:T?FSI|FTFSI|BOB|DFOB|BETI|PON|SiPON|PSON|PS|PO|BON)|LIPON|[A-Z]*[LQXJZ][A-Z]+")
_LARGEST = 1e6  # of an amount
_ROUNDED = 0.05  # charges an atom that rounded formulas may have left
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
#: Elements that are the anion of a salt; others of negative oxidation states make alloys and Zintl phases.
_NEED_OXYGEN = frozenset({"N", "S", "Cl", "Se", "Br", "I"})
_REDOX = frozenset({*range(22, 30), *range(41, 47), *range(73, 79)})  # Ti to Cu, Nb to Pd, Ta to Pt
_PEROXIDES = frozenset({"H", "Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "O"})
_NONMETALS = frozenset({"H", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I", "At"})


def parse_formula(formula: str) -> dict[str, float]:
    """Amount of each element of a formula.

    Decimals, nested brackets, spaces, hydrates and sums of oxides joined by a centred dot or a star
    (``"LiOH*H2O"``, ``"LiCl 2H2O"``, ``"0.5Li2O·0.5SiO2"``, ``"75Li2S-25P2S5"``): ``"Li6.25Al0.25La3Zr2O12"``.

    Raises:
        InputError: not a formula, an unknown element, two materials in one formula, unknown amounts.
    """
    text = formula.strip().translate(_SUBSCRIPTS)
    if re.search(r"\s\+\s|[/&;,:|@]|[A-Za-z\d)\]]\s*\+\s*\d*\.?\d*[A-Z(]|\b(?:wt|mol|vol|and|with|in)\b|%", text):
        raise InputError(f"{formula!r} names two materials: a composite has no one composition; give one of them")
    if _BROKEN.search(text):
        raise InputError(f"cannot read the formula {formula!r}: two numbers follow each other; write it without spaces")
    if re.search(r"\d\.(?!\d|H2O)", text) or _ONE_OR_WATER.search(text):
        raise InputError(f"cannot read the formula {formula!r}: a number ends in a full stop; join water by a star")
    if _ABBREVIATION.fullmatch(text):
        raise InputError(f"{formula!r} has no amounts, like an abbreviation: write the formula with them (Li1P1O1N1)")
    _refuse_pairs(text, formula)
    text = re.sub(r"\s+", "", _SPACED_WATER.sub("*", text))
    if _UNKNOWN.search(re.sub(r"[A-Z][a-z]?", "E", text)):
        raise InputError(f"cannot read the formula {formula!r}: it holds a variable; put in its value")
    parts = [_factor(part) for part in _PARTS.split(text)]
    amounts = [_amounts(part, formula) for _, part in parts]
    if _DASH.search(text):
        _refuse_names(parts, amounts, formula)
    total: dict[str, float] = {}
    for (times, _), own in zip(parts, amounts, strict=True):
        for element, amount in own.items():
            total[element] = total.get(element, 0.0) + (1.0 if times is None else times) * amount
    if not all(amount <= _LARGEST for amount in total.values()):
        raise InputError(f"cannot read the formula {formula!r}: an amount above {_LARGEST:g}")
    total = {element: amount for element, amount in total.items() if amount > 0}
    if not total:
        raise InputError(f"cannot read the formula {formula!r}: it holds nothing")
    return total


def _factor(part: str) -> tuple[float | None, str]:
    """Number before a part of a formula (None without), and the rest."""
    found = _FACTOR.match(part)
    return (float(found.group(1)), part[found.end() :]) if found else (None, part)


def _refuse_pairs(text: str, formula: str) -> None:
    """Refuses compounds that a space alone separates; water is no second material.

    Raises:
        InputError: names the formula.
    """
    if _LOOSE.search(_SPACED_WATER.sub("*", text)) or re.search(r"[A-Za-z)\]]\s+\d[\d.]*\s+H2O$", text):
        raise InputError(f"cannot read the formula {formula!r}: join its parts by a star, or leave out the spaces")
    words = text.split()
    if len(words) < 2 or not all(re.fullmatch(r"(?:[A-Z][a-z]?\d*\.?\d*|[()\[\]]\d*\.?\d*)+", w) for w in words):
        return
    try:
        whole = [_amounts(word, formula) for word in words if word != "H2O"]
    except InputError:  # a bracket that is open over a space: one formula
        return
    if len(whole) > 1 and all(_is_salt(own) for own in whole):
        raise InputError(f"{formula!r} names two materials: a composite has no one composition; give one of them")


def _refuse_names(parts: list[tuple[float | None, str]], amounts: list[dict[str, float]], formula: str) -> None:
    """Refuses sums with a dash whose parts are no compounds ("LLZO-Ga") or have no amounts ("Li2S-P2S5").

    Raises:
        InputError: names the formula.
    """
    if not all(_is_salt(own) for own in amounts):
        raise InputError(f"cannot read the formula {formula!r}: what a dash joins must be compounds, like 3Li2S-P2S5")
    water = any(part == "H2O" for _, part in parts)
    if not water and all(times is None for times, _ in parts):
        raise InputError(
            f"{formula!r} names two materials without amounts: write 0.75Li2S-0.25P2S5, or a star for equal ones"
        )


def _is_salt(amounts: Mapping[str, float]) -> bool:
    """Whether an anion and charges that can balance are there."""
    try:
        check_compound(amounts, "")
    except InputError:
        return False
    return len(amounts) > 1


def _amounts(text: str, formula: str) -> dict[str, float]:
    """Amounts of one part of a formula."""
    symbols = _number_of()
    stack: list[dict[str, float]] = [{}]
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            raise InputError(f"cannot read the formula {formula!r} at {text[position:]!r}")
        position = match.end()
        element, amount, opened, closed, factor = match.groups()
        if element:
            element = "H" if element == "D" else element
            if element not in symbols:
                raise InputError(f"unknown element {element!r} in the formula {formula!r}")
            stack[-1][element] = stack[-1].get(element, 0.0) + (float(amount) if amount else 1.0)
        elif opened:
            stack.append({})
        elif closed:
            if len(stack) == 1:
                raise InputError(f"unbalanced brackets in the formula {formula!r}")
            for name, value in stack.pop().items():
                stack[-1][name] = stack[-1].get(name, 0.0) + value * (float(factor) if factor else 1.0)
    if len(stack) != 1 or not stack[0]:
        raise InputError(f"cannot read the formula {formula!r}")
    return stack[0]


def check_compound(amounts: Mapping[str, float], name: str) -> float:
    """Refuses what is no ionic compound: no anion, or charges that no known oxidation states can balance.

    Args:
        amounts: amount of each element.
        name: formula or source, for the message.

    Returns:
        Charge a formula that is left over where amounts are rounded or come from an analysis; 0 where they balance.

    Raises:
        InputError: a metal, an alloy, or a formula that cannot be neutral by more than 0.05 charges an atom.
    """
    lowest = highest = 0.0
    present = {element for element, amount in amounts.items() if amount > 0}
    for element in present:
        low, high = _span(element, present)
        lowest += amounts[element] * low
        highest += amounts[element] * high
    if not present & _NONMETALS:
        raise InputError(f"{name}: no anion in it: a metal, an alloy or a Zintl phase conducts electrons")
    left = lowest if lowest > 0 else min(highest, 0.0)
    size = sum(amounts.values())
    if abs(left) > _ROUNDED * size:
        span = f"{lowest:+.3g} to {highest:+.3g}"
        raise InputError(f"{name}: cannot be neutral: its oxidation states sum to {span} a formula; check the amounts")
    return left if abs(left) > 1e-3 * size else 0.0


def _span(element: str, present: set[str]) -> tuple[float, float]:
    """Lowest and highest oxidation state of an element among others.

    The lowest is a common state, or one of at least 8 % of the element's occurrences (3 % for redox-active metals); the
    highest of a metal is any that occurs. Nothing is positive without a more electronegative partner, and N, S, Se and
    the halogens not without O or F. Oxygen is above -2 with alkali and alkaline earth metals alone (peroxides).
    """
    number = numbers_by_symbol()[element]
    entry = facts(number)
    counts = {q: n for q, n in dict(entry.occurrences).items() if n > 0}
    share = (0.03 if number in _REDOX else 0.08) * max(sum(counts.values()), 1)
    states = {*entry.common_states, *(q for q, n in counts.items() if n >= share)} or {0}
    if element == "O":
        return -2.0, -0.5 if present <= _PEROXIDES else (2.0 if "F" in present else -2.0)
    table = element_table()
    chi = table.electronegativity[number]
    partners = {e for e in present if table.electronegativity[numbers_by_symbol()[e]] > chi}
    if element in _NEED_OXYGEN:
        partners &= {"O", "F"}
    if not partners and min(states) < 0:
        states = {q for q in states if q <= 0}
    elif element not in _NONMETALS:
        return float(min(states)), float(max({*states, *counts}))
    return float(min(states)), float(max(states))


@cache
def _number_of() -> dict[str, int]:
    """Atomic number of each symbol."""
    return {symbol: z for z, symbol in enumerate(element_table().symbol) if z}


@cache
def _mendeleev_steps() -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Order of the elements by Mendeleev number, and the steps between neighbours."""
    number = element_table().mendeleev_number[1:]
    order = np.argsort(number, kind="stable")
    return order, np.diff(number[order])


def atomic_fractions(amounts: Mapping[str, float]) -> NDArray[np.float64]:
    """(103,) share of each element, by atomic number from 1."""
    number = _number_of()
    fraction = np.zeros(len(number))
    total = sum(amounts.values())
    for element, amount in amounts.items():
        fraction[number[element] - 1] += amount / total
    return fraction


def mover_profile(amounts: Mapping[str, float]) -> NDArray[np.float64]:
    """(102,) running sum of the atomic fractions along the Mendeleev numbers, each step weighted by its length.

    The sum of absolute differences of two profiles is the Element Mover's Distance of the compositions (C. J.
    Hargreaves et al., Chem. Mater. 32, 10610 (2020)) on Villars' scale: the work of turning one into the other.
    """
    return mover_profiles(atomic_fractions(amounts))


def mover_profiles(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 102) as `mover_profile` from atomic fractions (..., 103)."""
    order, gaps = _mendeleev_steps()
    return np.asarray(np.cumsum(fraction[..., order], axis=-1)[..., :-1] * gaps)


def composition_names(ion: str = "Li") -> list[str]:
    """Names of the columns of `composition_features`."""
    names = [f"fraction_{e}" for e in FRACTIONS]
    names += [f"{p}_{s}" for p in _PROPERTIES for s in _STATISTICS]
    names += [f"framework_{p}_mean" for p in _PROPERTIES]
    return [*names, "elements", "entropy", "mobile_fraction", "mobile_to_anion", "anion_electronegativity"]


def composition_features(amounts: Mapping[str, float] | str, ion: str = "Li") -> dict[str, float]:
    """Features of a composition: fractions, statistics of element properties, mobile ions an anion.

    Args:
        amounts: amount of each element, or a formula.
        ion: the mobile element.
    """
    if isinstance(amounts, str):
        amounts = parse_formula(amounts)
    table = element_table()
    z = np.array([table.symbol.index(e) for e in amounts])
    share = np.array(list(amounts.values()), np.float64)
    share = share / share.sum()
    fraction = dict(zip(amounts, share, strict=True))
    values: list[float] = [fraction.get(e, 0.0) for e in FRACTIONS]
    framework = np.array([e != ion for e in amounts])
    inside = share * framework
    columns = {
        "number": np.arange(len(table.symbol), dtype=np.float64),
        **{p: getattr(table, p) for p in _PROPERTIES[1:]},
    }
    for name in _PROPERTIES:
        x = columns[name][z]
        mean = float(share @ x)
        values += [mean, math.sqrt(max(float(share @ (x - mean) ** 2), 0.0)), float(x.min()), float(x.max())]
    for name in _PROPERTIES:
        x = columns[name][z]
        values.append(float(inside @ x / inside.sum()) if inside.sum() > 0 else 0.0)
    chi = table.electronegativity[z]
    anion = int(np.argmax(np.where(framework, chi, -1.0)))
    mobile = fraction.get(ion, 0.0)
    entropy = -float(np.sum(share * np.log(np.maximum(share, 1e-12))))
    values += [float(len(z)), entropy, mobile, mobile / max(float(share[anion]), 1e-6), float(chi[anion])]
    return dict(zip(composition_names(ion), values, strict=True))
