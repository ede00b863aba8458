"""Composition features: what a model can know of a compound whose structure is unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.element_features import element_table
from fastin.ml.formula import parse_formula

#: Elements whose atomic fraction is a feature of its own (the common ones of solid electrolytes).
FRACTIONS = (
    *("Li", "Na", "K", "Ag", "H", "B", "C", "N", "O", "F", "Mg", "Al", "Si", "P", "S", "Cl", "Ca", "Ti", "Fe", "Zn"),
    *("Ga", "Ge", "As", "Se", "Br", "Sr", "Y", "Zr", "Nb", "In", "Sn", "Sb", "Te", "I", "Ba", "La", "Ta", "W", "Bi"),
)
_PROPERTIES = ("number", "group", "period", "electronegativity", "ionization_energy", "electron_affinity", "softness")
_STATISTICS = ("mean", "std", "min", "max")


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


@cache
def _properties() -> dict[str, NDArray[np.float64]]:
    """Properties by atomic number."""
    table = element_table()
    columns = {name: getattr(table, name) for name in _PROPERTIES[1:]}
    return {"number": np.arange(len(table.symbol), dtype=np.float64), **columns}


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
    number = _number_of()
    z = np.array([number[e] for e in amounts])
    share = np.array(list(amounts.values()), np.float64)
    share = share / share.sum()
    fraction = dict(zip(amounts, share, strict=True))
    values: list[float] = [fraction.get(e, 0.0) for e in FRACTIONS]
    framework = np.array([e != ion for e in amounts])
    inside = share * framework
    columns = {name: table[z] for name, table in _properties().items()}
    for x in columns.values():
        mean = float(share @ x)
        values += [mean, math.sqrt(max(float(share @ (x - mean) ** 2), 0.0)), float(x.min()), float(x.max())]
    amount = inside.sum()
    for x in columns.values():
        values.append(float(inside @ x / amount) if amount > 0 else 0.0)
    chi = columns["electronegativity"]
    anion = int(np.argmax(np.where(framework, chi, -1.0)))
    mobile = fraction.get(ion, 0.0)
    entropy = -float(np.sum(share * np.log(np.maximum(share, 1e-12))))
    values += [float(len(z)), entropy, mobile, mobile / max(float(share[anion]), 1e-6), float(chi[anion])]
    return dict(zip(composition_names(ion), values, strict=True))
