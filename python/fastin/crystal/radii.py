"""Radii of ions and atoms, and the rule that picks one for a site.

Ionic radii are Shannon's (R. D. Shannon, Acta Cryst. A32, 751 (1976)), chosen by element, charge and coordination
number; anions that he does not list are derived from lattice parameters (``data/anion_radii.csv``).
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from fastin.crystal.elements import DATA, element, species_name, symbol
from fastin.errors import MissingParameterError

Scale = Literal["crystal", "effective"]

# Shannon's crystal radii exceed his effective ionic radii by this much (A): O2- VI is 1.26 and 1.40.
_SCALE_SHIFT = 0.14
# Mean of (crystal radius - covalent radius) over Shannon's monoatomic anions: N 0.61, O 0.60, F 0.62, S 0.65,
# Cl 0.65, Se 0.64, Br 0.62, Te 0.69, I 0.67.
_ANION_OVER_COVALENT = 0.64
# Ions that are low-spin in most oxides and fluorides; every other ion with two entries is taken high-spin.
_LOW_SPIN = frozenset({("Co", 3), ("Ni", 3), ("Ni", 4), ("Co", 4)})


class Radius(NamedTuple):
    """A radius in angstrom, and how it was found when that was not a plain table entry."""

    value: float
    note: str = ""


_Table = dict[int, dict[int, dict[int, tuple[float, float]]]]


@lru_cache(maxsize=1)
def _ionic_table() -> _Table:
    """Atomic number -> charge -> coordination number -> (crystal, effective) radius."""
    from fastin.crystal.elements import numbers_by_symbol

    numbers = numbers_by_symbol()
    chosen: dict[tuple[int, int, int], tuple[bool, float, float]] = {}
    with (DATA / "shannon_radii.csv").open(newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            charge, coordination = int(row["charge"]), int(row["coordination"])
            key = (numbers[row["symbol"]], charge, coordination)
            wanted_spin = "low" if (row["symbol"], charge) in _LOW_SPIN else "high"
            preferred = row["geometry"] == "" and row["spin"] in ("", wanted_spin)
            if key not in chosen or (preferred and not chosen[key][0]):
                chosen[key] = (preferred, float(row["crystal_radius"]), float(row["effective_radius"]))
    with (DATA / "anion_radii.csv").open(newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            key = (numbers[row["symbol"]], int(row["charge"]), int(row["coordination"]))
            chosen[key] = (True, float(row["crystal_radius"]), float(row["effective_radius"]))
    nested: _Table = {}
    for (number, charge, coordination), (_, crystal, effective) in sorted(chosen.items()):
        nested.setdefault(number, {}).setdefault(charge, {})[coordination] = (crystal, effective)
    return nested


def _at_coordination(entries: Mapping[int, tuple[float, float]], coordination: float, scale: Scale) -> float:
    """Entry of the nearest coordination number; between two equally near ones, the lower."""
    pick = min(entries, key=lambda known: (abs(known - coordination), known))
    return entries[pick][0 if scale == "crystal" else 1]


@lru_cache(maxsize=16384)
def ionic_radius(number: int, charge: float, coordination: int, scale: Scale = "crystal") -> Radius:
    """Ionic radius of an element in a state of charge and a coordination number.

    A charge between two tabulated states of the same sign is interpolated; beyond the table the nearest state of that
    sign is taken. A radius is never taken from the other sign. An anion without an entry is estimated as its covalent
    radius (Cordero et al. 2008) + 0.64 A, the offset of the tabulated anions. Charge 0 has the atomic radius.

    Args:
        number: atomic number.
        charge: oxidation state; may be fractional (an average).
        coordination: number of counter-ions around the site; 0 when unknown (then 6 is meant).
        scale: ``"crystal"`` (O2- VI is 1.26 A) or ``"effective"`` (1.40 A).

    Returns:
        The radius (A) with a note when it is not a plain table entry.

    Raises:
        MissingParameterError: there is no entry for that sign and nothing to estimate it from.
    """
    if abs(charge) < 5e-3:
        return Radius(atomic_radius(number).value, f"{symbol(number)} without charge has its atomic radius")
    wanted = coordination or 6
    by_charge = _ionic_table().get(number, {})
    states = sorted(q for q in by_charge if q * charge > 0)
    name = species_name(number, charge)
    if not states:
        return _without_entry(number, charge, name, scale)
    at = bisect_left(states, charge - 1e-9)
    if at < len(states) and abs(states[at] - charge) < 1e-6:
        return Radius(_at_coordination(by_charge[states[at]], wanted, scale))
    if 0 < at < len(states):
        low, high = states[at - 1], states[at]
        share = (charge - low) / (high - low)
        value = (1 - share) * _at_coordination(by_charge[low], wanted, scale) + share * _at_coordination(
            by_charge[high], wanted, scale
        )
        return Radius(value, f"radius of {name} interpolated between charges {low:+d} and {high:+d}")
    nearest = states[0] if at == 0 else states[-1]
    value = _at_coordination(by_charge[nearest], wanted, scale)
    return Radius(value, f"radius of {name} is that of {species_name(number, nearest)} (nearest tabulated)")


def _without_entry(number: int, charge: float, name: str, scale: Scale) -> Radius:
    covalent = element(number).covalent_radius
    if math.isnan(covalent):
        raise MissingParameterError(f"no ionic radius is tabulated for {name}; give radii={{'{name}': value}}")
    if charge < 0:
        value = covalent + _ANION_OVER_COVALENT + (0.0 if scale == "crystal" else _SCALE_SHIFT)
        return Radius(value, f"radius of {name} estimated from its covalent radius (no anionic radius is tabulated)")
    return Radius(covalent, f"radius of {name} is its covalent radius (no ionic radius is tabulated)")


@lru_cache(maxsize=128)
def atomic_radius(number: int) -> Radius:
    """Slater's empirical atomic radius (A); the covalent radius where he gives none.

    Raises:
        MissingParameterError: neither is known.
    """
    facts = element(number)
    if not math.isnan(facts.atomic_radius):
        return Radius(facts.atomic_radius)
    if not math.isnan(facts.covalent_radius):
        return Radius(facts.covalent_radius, f"atomic radius of {facts.symbol} is its covalent radius")
    raise MissingParameterError(f"no atomic radius is known for {facts.symbol}; give radii={{'{facts.symbol}': value}}")
