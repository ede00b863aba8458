"""The mobile ion, and how a caller may name charges and radii."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import species_name
from fastin.crystal.warnings import CrystalWarning

OxidationStates = Mapping[str, float] | Sequence[float] | NDArray[np.float64]
Radii = str | Mapping[str, float] | Sequence[float] | NDArray[np.float64]

#: Order in which a mobile ion is looked for when none is named.
USUAL_IONS = ("Li", "Na", "K", "Ag", "Cu", "Mg", "Zn", "Ca", "Al", "F", "O", "Rb", "Cs", "Cl", "Br", "I")


@dataclass(frozen=True, eq=False)
class MobileIon:
    """The ion whose paths are sought.

    Attributes:
        element: chemical symbol.
        number: atomic number.
        charge: oxidation state (e).
        guest: True when the crystal holds none of it, so that the whole crystal is framework.
        warnings: why another ion may be meant; not part of its identity.
    """

    element: str
    number: int
    charge: int
    guest: bool
    warnings: tuple[CrystalWarning, ...] = field(default=(), compare=False, repr=False)

    @property
    def symbol(self) -> str:
        """Name of the species: ``Li+``, ``O2-``."""
        return species_name(self.number, self.charge)
