"""The mobile ion, and how a caller may name charges and radii."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import species_name
from fastin.crystal.warnings import CrystalWarning

OxidationStates = Mapping[str, float] | Sequence[float] | NDArray[np.float64]
Radii = str | Mapping[str, float] | Sequence[float] | NDArray[np.float64]


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
        """Name of the species: ``Li+``, ``O2-``; ``?`` where a file of energies names no ion."""
        return species_name(self.number, self.charge) if self.number > 0 else "?"


class NamedSpecies(Protocol):
    """What pymatgen's Element and Species have in common; a Species has `oxi_state` too."""

    @property
    def symbol(self) -> str:
        """Chemical symbol."""


#: What a caller may give where an ion is asked for.
IonName = str | MobileIon | NamedSpecies
