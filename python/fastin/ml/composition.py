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
# Between the parts of a hydrate or the oxides of a glass; a full stop only before water, where it is no decimal point.
_PARTS = re.compile(r"[·•∙⋅*]|[-–](?=[\d.]*[A-Z(])|(?:(?<=[A-Za-z)\]])|(?<=[A-Za-z)\]]\d))\.(?=\d*\.?\d*H2O)")
_FACTOR = re.compile(r"(\d+\.?\d*|\.\d+)(?=[A-Z(\[])")


def parse_formula(formula: str) -> dict[str, float]:
    """Amount of each element of a formula.

    Decimals, nested brackets, spaces, hydrates and sums of oxides joined by a centred dot or a star
    (``"LiOH*H2O"``, ``"0.5Li2O·0.5SiO2"``): ``"Li6.25Al0.25La3Zr2O12"``.

    Raises:
        InputError: not a formula, an unknown element, two materials in one formula, unknown amounts.
    """
    text = formula.strip()
    if re.search(r"\s\+\s|[/&;,]|[A-Za-z\d)\]]\s*\+\s*\d*\.?\d*[A-Z(]|\bwt\b|%", text):
        raise InputError(f"{formula!r} names two materials: a composite has no one composition; give one of them")
    if _BROKEN.search(text):
        raise InputError(f"cannot read the formula {formula!r}: two numbers follow each other; write it without spaces")
    text = re.sub(r"\s+", "", text)
    total: dict[str, float] = {}
    for part in _PARTS.split(text):
        factor = _FACTOR.match(part)
        times = float(factor.group(1)) if factor else 1.0
        for element, amount in _amounts(part[factor.end() if factor else 0 :], formula).items():
            total[element] = total.get(element, 0.0) + times * amount
    return total


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
            element = "H" if element in ("D", "T") else element
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
    if len(stack) != 1 or not stack[0] or sum(stack[0].values()) <= 0:
        raise InputError(f"cannot read the formula {formula!r}")
    return stack[0]


def check_compound(amounts: Mapping[str, float], name: str) -> None:
    """Refuses what is no ionic compound: no anion, or charges that no common oxidation states can balance.

    Args:
        amounts: amount of each element.
        name: formula or source, for the message.

    Raises:
        InputError: a metal or alloy, or a formula that cannot be neutral.
    """
    lowest = highest = 0.0
    anions = False
    for element, amount in amounts.items():
        entry = facts(numbers_by_symbol()[element])
        states = entry.common_states or tuple(entry.occurrences) or (0,)
        anions = anions or min(states) < 0
        lowest += amount * min(states)
        highest += amount * (-0.5 if element == "O" else max(states))  # superoxide
    if not anions:
        raise InputError(f"{name}: no anion in it: a metal or an alloy conducts electrons, not ions")
    size = sum(amounts.values())
    if lowest > 1e-3 * size or highest < -1e-3 * size:
        span = f"{lowest:+.3g} to {highest:+.3g}"
        raise InputError(f"{name}: cannot be neutral: its oxidation states sum to {span} a formula; check the amounts")


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
