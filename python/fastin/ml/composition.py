"""Composition features: what a model can know of a compound whose structure is unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from fastin.crystal.element_features import element_table
from fastin.errors import InputError

#: Elements whose atomic fraction is a feature of its own (the common ones of solid electrolytes).
FRACTIONS = (
    *("Li", "Na", "K", "Ag", "H", "B", "C", "N", "O", "F", "Mg", "Al", "Si", "P", "S", "Cl", "Ca", "Ti", "Fe", "Zn"),
    *("Ga", "Ge", "As", "Se", "Br", "Sr", "Y", "Zr", "Nb", "In", "Sn", "Sb", "Te", "I", "Ba", "La", "Ta", "W", "Bi"),
)
_PROPERTIES = ("number", "group", "period", "electronegativity", "ionization_energy", "electron_affinity", "softness")
_STATISTICS = ("mean", "std", "min", "max")
_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*(?:[eE][-+]?\d+)?)|(\()|(\))(\d*\.?\d*)|(\s+|[-·])")


def parse_formula(formula: str) -> dict[str, float]:
    """Amount of each element of a formula with decimals and nested brackets, e.g. ``"Li6.25Al0.25La3Zr2O12"``.

    Raises:
        InputError: not a formula, or an unknown element.
    """
    symbols = set(element_table().symbol[1:])
    stack: list[dict[str, float]] = [{}]
    position = 0
    while position < len(formula):
        match = _TOKEN.match(formula, position)
        if match is None or match.end() == position:
            raise InputError(f"cannot read the formula {formula!r} at {formula[position:]!r}")
        position = match.end()
        element, amount, opened, closed, factor, _ = match.groups()
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
