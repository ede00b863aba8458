"""Facts about the elements: numbers, masses, electronegativities, radii, known oxidation states.

Sources are listed in ``data/README.md``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parents[1] / "data"
MAX_NUMBER = 103


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the periodic table.

    Attributes:
        number: atomic number.
        symbol: chemical symbol.
        name: English name.
        mass: standard atomic weight (u).
        electronegativity: Pauling scale; NaN where none is known.
        atomic_radius: empirical radius of Slater (A); NaN where none is known.
        covalent_radius: radius of Cordero et al. (A); NaN where none is known.
        common_states: textbook oxidation states.
        usual_states: oxidation states with many structures in the ICSD.
        occurrences: oxidation state -> number of structures of the ICSD in which it was assigned.
    """

    number: int
    symbol: str
    name: str
    mass: float
    electronegativity: float
    atomic_radius: float
    covalent_radius: float
    common_states: tuple[int, ...]
    usual_states: tuple[int, ...]
    occurrences: dict[int, int]


def _number_or_nan(text: str) -> float:
    return float(text) if text else float("nan")


@lru_cache(maxsize=1)
def table() -> tuple[Element, ...]:
    """Every element, hydrogen first: ``table()[z - 1]`` has atomic number z."""
    rows = []
    with (DATA / "elements.csv").open(newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            states = dict(pair.split(":") for pair in row["states"].split())
            rows.append(
                Element(
                    number=int(row["number"]),
                    symbol=row["symbol"],
                    name=row["name"],
                    mass=float(row["mass"]),
                    electronegativity=_number_or_nan(row["electronegativity"]),
                    atomic_radius=_number_or_nan(row["atomic_radius"]),
                    covalent_radius=_number_or_nan(row["covalent_radius"]),
                    common_states=tuple(int(q) for q in row["common_states"].split()),
                    usual_states=tuple(int(q) for q in row["icsd_states"].split()),
                    occurrences={int(q): int(n) for q, n in states.items()},
                )
            )
    return tuple(rows)


@lru_cache(maxsize=1)
def numbers_by_symbol() -> dict[str, int]:
    """Chemical symbol -> atomic number; deuterium (D) and tritium (T) are hydrogen."""
    known = {element.symbol: element.number for element in table()}
    known["D"] = known["T"] = 1
    return known


def element(number: int) -> Element:
    """The element of that atomic number."""
    return table()[number - 1]


def symbol(number: int) -> str:
    """Chemical symbol of an atomic number."""
    return table()[number - 1].symbol


@lru_cache(maxsize=8)
def column(name: str) -> NDArray[np.float64]:
    """One numeric attribute of every element, (104,) indexed by atomic number; row 0 is NaN."""
    values = np.array([np.nan, *(getattr(e, name) for e in table())], dtype=np.float64)
    values.setflags(write=False)
    return values


@lru_cache(maxsize=4096)
def species_name(number: int, charge: float) -> str:
    """Name of an ion as the field writes it: ``O2-``, ``Li+``, ``Mn3.5+``; the bare symbol for charge 0."""
    magnitude = abs(charge)
    if magnitude < 5e-3:
        return symbol(number)
    digits = "" if abs(magnitude - 1.0) < 5e-3 else f"{magnitude:.2f}".rstrip("0").rstrip(".")
    return f"{symbol(number)}{digits}{'+' if charge > 0 else '-'}"
