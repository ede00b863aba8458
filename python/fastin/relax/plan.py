"""What a run will cost, from one timed structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastin.relax.cells import Band

# Steps that textbook legs took with two potentials (bench/experiments/relaxed_truth.py), rounded up.
END_STEPS = 25
BAND_STEPS = 40


@dataclass(frozen=True)
class Estimate:
    """Cost before it is spent.

    Attributes:
        atoms: of a supercell.
        seconds: for energy and forces of one structure.
        structures: that are expected to be computed.
        total: seconds of computing for all of them.
        elapsed: seconds with the processes that work side by side.
        workers: how many do.
    """

    atoms: int
    seconds: float
    structures: int
    total: float
    elapsed: float
    workers: int

    def describe(self) -> str:
        """One line."""
        return (
            f"about {span(self.elapsed)}: {self.structures} structures of {self.atoms} atoms at {self.seconds:.2f} s"
            + (f" in {self.workers} processes" if self.workers > 1 else "")
        )


def span(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def estimate(calculator: Any, band: Band, legs: int, images: int, workers: int) -> Estimate:
    """Times one structure of a leg.

    Args:
        calculator: of ASE.
        band: of a leg.
        legs: that are not there yet.
        images: between the ends.
        workers: processes.
    """
    from fastin.relax.band import time_structure

    seconds = time_structure(calculator, band.numbers, band.cell, band.positions[0])
    structures = legs * (2 * END_STEPS + images * BAND_STEPS) + (END_STEPS if legs else 0)  # the crystal, shaken
    total = structures * seconds
    rounds = int(np.ceil(legs / max(workers, 1)))
    return Estimate(len(band.numbers), seconds, structures, total, total / max(legs, 1) * rounds, workers)


__all__ = ["Estimate", "estimate", "span"]
