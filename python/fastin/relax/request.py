"""What a run of relaxed barriers is asked for, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastin.errors import InputError
from fastin.relax.legs import Settings

CHOICES = ("needed", "smallest", "all")


@dataclass(frozen=True)
class Request:
    """The settings of a run; `fastin.relax_hops` explains each.

    Attributes:
        mechanism: of the legs; None for the usual one.
        legs: ``"needed"``, ``"smallest"``, ``"all"`` or numbers.
        images: between the ends.
        supercell: smallest distance between images of the moving ion (angstrom), or three multiples.
        fmax: largest force of a band, eV/A.
        climb: whether the highest image climbs.
        end_steps: of the crystal and each end, at most.
        band_steps: of a band, at most.
        softening: eV by which relaxing lowers a barrier of the landscape at most, for ``"needed"``; inf for no bound.

    Raises:
        InputError: a setting out of its range.
    """

    mechanism: str | None = None
    legs: str | Sequence[int] = "needed"
    images: int = 5
    supercell: float | Sequence[int] = 8.0
    fmax: float = 0.05
    climb: bool = True
    end_steps: int = 300
    band_steps: int = 300
    softening: float = math.inf

    def __post_init__(self) -> None:
        for name in ("images", "end_steps", "band_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"{name} must be a whole number of 1 or more, not {value!r}")
        if not (math.isfinite(self.fmax) and self.fmax > 0):
            raise InputError(f"fmax must be positive (eV/A), not {self.fmax}")
        if math.isnan(self.softening) or self.softening < 0:
            raise InputError(f"softening must be 0 eV or more, not {self.softening}")
        if isinstance(self.legs, str) and self.legs not in CHOICES:
            raise InputError(f"legs must be 'needed', 'smallest', 'all' or numbers, not {self.legs!r}")

    @property
    def settings(self) -> Settings:
        """Those that the numbers of a leg depend on."""
        return Settings(
            *(int(self.images), float(self.fmax), bool(self.climb), int(self.end_steps), int(self.band_steps))
        )
