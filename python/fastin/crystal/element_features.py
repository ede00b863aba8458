"""Element properties that enter graph features and composition descriptors.

``data/element_features.csv`` holds group, period, Pauling electronegativity, first ionization energy and electron
affinity (eV; NIST compilations) and the Mendeleev number (P. Villars et al., J. Alloys Compd. 367, 167 (2004)) as
collected in pymatgen's periodic table (MIT licence). Chemical softness is
``1 / (I - A)`` (R. G. Parr and R. G. Pearson, J. Am. Chem. Soc. 105, 7512 (1983): half the inverse hardness).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError

#: Electronegativity given to the noble gases that have no Pauling value, so that no feature is NaN.
_NO_ELECTRONEGATIVITY = 0.0


@dataclass(frozen=True, eq=False)
class ElementTable:
    """Properties by atomic number: row z of every array is element z, row 0 is unused (zeros)."""

    symbol: tuple[str, ...]
    group: NDArray[np.float64]
    period: NDArray[np.float64]
    electronegativity: NDArray[np.float64]
    ionization_energy: NDArray[np.float64]
    electron_affinity: NDArray[np.float64]
    softness: NDArray[np.float64]
    mendeleev_number: NDArray[np.float64]

    @property
    def largest(self) -> int:
        """The largest atomic number in the table."""
        return len(self.symbol) - 1

    def check(self, number: NDArray[np.int32], source: str) -> None:
        """Raises InputError unless every atomic number is in the table."""
        bad = (number < 1) | (number > self.largest)
        if bad.any():
            raise InputError(f"{source}: no element properties for atomic number {int(number[bad][0])}")


@cache
def element_table() -> ElementTable:
    """The table, read once."""
    text = (Path(__file__).parents[1] / "data" / "element_features.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))

    def column(name: str, missing: float = 0.0) -> NDArray[np.float64]:
        values = np.array([0.0] + [float(row[name]) if row[name] else missing for row in rows])
        values.setflags(write=False)
        return values

    ionization, affinity = column("ionization_energy_ev"), column("electron_affinity_ev")
    softness = np.zeros_like(ionization)
    softness[1:] = 1.0 / (ionization[1:] - affinity[1:])
    softness.setflags(write=False)
    return ElementTable(
        symbol=("", *(row["symbol"] for row in rows)),
        group=column("group"),
        period=column("period"),
        electronegativity=column("electronegativity", _NO_ELECTRONEGATIVITY),
        ionization_energy=ionization,
        electron_affinity=affinity,
        softness=softness,
        mendeleev_number=column("mendeleev_number"),
    )
