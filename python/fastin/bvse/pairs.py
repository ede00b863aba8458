"""Parameters of the bond valence site energy: the tables of pairs and of elements, and the formulas between them.

The table ``data/bvse_parameters.csv`` holds, for each cation-anion pair, the bond valence parameters R0 and b, the mean
coordination number Nc of the cation, and the Morse parameters Rmin and D0 that follow from them:

    Rmin = f R0 - b ln(V / Nc)                       V = charge of the cation
    D0   = k g b^2 / (2 Rmin sqrt(n_c n_a))          k = 14.4 eV A, n = principal quantum numbers
    g    = z_c z_a for s- and p-block cations, sqrt(8 z_c z_a) for d and f

(Adams and Prasada Rao, phys. stat. sol. (a) 208, 1746 (2011); Chen and Adams, IUCrJ 4, 614 (2017)). The factor f lies
between 0.919 and 0.978. ``data/BVSE.md`` names sources and known conflicts.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastin.errors import MissingParameterError

_DATA = Path(__file__).parents[1] / "data"
COULOMB = 14.4  # eV angstrom, as in the softBV literature
_D_AND_F = frozenset([*range(21, 31), *range(39, 49), *range(57, 81), *range(89, 104)])


@dataclass(frozen=True, slots=True)
class PairParameters:
    """One cation-anion pair.

    Attributes:
        cation, anion: element symbols.
        cation_charge, anion_charge: oxidation states.
        r0, b: bond valence parameters (A).
        coordination: mean coordination number of the cation.
        rmin: distance of the Morse minimum (A).
        d0: depth of the published table (eV); conventions "spse" and "bvlain" use half of it.
        bv_cutoff: distance up to which bond valences are summed (A).
        source: where the numbers come from; ``"derived"`` for pairs that no published table holds.
        quality: ``"ok"``, ``"recomputed"``, ``"suspect"`` or ``"derived"``.
        note: what is wrong or special, empty for most.
    """

    cation: str
    cation_charge: int
    anion: str
    anion_charge: int
    r0: float
    b: float
    coordination: float
    rmin: float
    d0: float
    bv_cutoff: float
    source: str
    quality: str
    note: str

    @property
    def name(self) -> str:
        """For messages: ``Li+ - O2-``."""
        return f"{species(self.cation, self.cation_charge)} - {species(self.anion, self.anion_charge)}"


@dataclass(frozen=True, slots=True)
class ElementParameters:
    """One element: number, principal quantum number, covalent radius (Cordero, A) and softBV radii (A) by charge."""

    symbol: str
    number: int
    n: int
    covalent_radius: float
    softbv_radius: dict[int, float]
    ok91: tuple[float, float] | None  # radius (A) and electronegativity of O'Keeffe and Brese (1991)


def species(symbol: str, charge: float) -> str:
    """``Li+``, ``O2-``, ``Fe2.5+``, ``Ar0``."""
    if charge == 0:
        return f"{symbol}0"
    size = abs(charge)
    return f"{symbol}{'' if size == 1 else f'{size:g}'}{'+' if charge > 0 else '-'}"


@lru_cache(maxsize=1)
def pair_table() -> dict[tuple[str, int, str, int], PairParameters]:
    """Every tabulated pair by (cation, charge, anion, charge)."""
    table = {}
    with (_DATA / "bvse_parameters.csv").open(newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            pair = PairParameters(
                cation=row["cation"],
                cation_charge=int(row["cation_charge"]),
                anion=row["anion"],
                anion_charge=int(row["anion_charge"]),
                r0=float(row["r0"]),
                b=float(row["b"]),
                coordination=float(row["nc"]),
                rmin=float(row["rmin"]),
                d0=float(row["d0"]),
                bv_cutoff=float(row["bv_cutoff"]),
                source=row["source"],
                quality=row["quality"],
                note=row["note"],
            )
            table[pair.cation, pair.cation_charge, pair.anion, pair.anion_charge] = pair
    return table


@lru_cache(maxsize=1)
def element_table() -> dict[int, ElementParameters]:
    """Every element by atomic number."""
    table: dict[int, ElementParameters] = {}
    with (_DATA / "bvse_elements.csv").open(newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            number = int(row["number"])
            if number not in table:
                ok91 = (float(row["ok91_r"]), float(row["ok91_c"])) if row["ok91_r"] else None
                table[number] = ElementParameters(
                    row["element"], number, int(row["n"]), float(row["covalent_radius"]), {}, ok91
                )
            if row["charge"]:
                table[number].softbv_radius[int(row["charge"])] = float(row["softbv_radius"])
    return table


def element(number: int) -> ElementParameters:
    """Parameters of the element with that atomic number.

    Raises:
        MissingParameterError: beyond curium, where the table ends.
    """
    try:
        return element_table()[number]
    except KeyError:
        raise MissingParameterError(f"no BVSE parameters for the element with atomic number {number}") from None


def softbv_radius(number: int, charge: float) -> float:
    """SoftBV radius (A): linear between tabulated charges, the nearest outside; Cordero's radius if there is none."""
    entry = element(number)
    known = sorted(entry.softbv_radius.items())
    signed = [(q, r) for q, r in known if (q > 0) == (charge > 0)]
    if not signed:
        return entry.covalent_radius
    below = max((item for item in signed if item[0] <= charge), default=signed[0])
    above = min((item for item in signed if item[0] >= charge), default=signed[-1])
    if below[0] == above[0]:
        return below[1]
    part = (charge - below[0]) / (above[0] - below[0])
    return below[1] + part * (above[1] - below[1])


def morse_depth(
    cation_number: int, cation_charge: float, anion_number: int, anion_charge: float, b: float, rmin: float
) -> float:
    """D0 (eV) of the published tables from b and Rmin (A); see the module's text."""
    product = abs(cation_charge * anion_charge)
    g = math.sqrt(8.0 * product) if cation_number in _D_AND_F else product
    return COULOMB * g * b * b / (2.0 * rmin * math.sqrt(element(cation_number).n * element(anion_number).n))


def morse_distance(r0: float, b: float, coordination: float, cation_charge: float, factor: float) -> float:
    """Rmin (A) from R0, b (A), the coordination number and the factor f; see the module's text."""
    return factor * r0 - b * math.log(cation_charge / coordination)
