"""What casts doubt on a relaxed barrier: each flag is a rule over the numbers, named and explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastin.relax.cells import Band, shortest_image
from fastin.transport.parts import FloatArray, periodic_distances

if TYPE_CHECKING:  # those who read results, a page for one, do so without ASE
    from fastin.relax.band import Relaxed, RelaxedBand

END_MOVED = 0.5  # angstrom
ANOTHER_MOVED = 1.0  # angstrom
SMALL_CELL = 8.0  # angstrom between images of the moving ion
LOWER = 0.01  # eV by which an image lies below the lower end
DIP = 0.05  # eV by which an image lies below maxima on both sides
DROP = 0.02  # eV by which the shaken crystal ends below the symmetric one
ENDS_DIFFER = 0.02  # eV between ends that are equivalent by symmetry

#: flag -> what it says.
FLAGS: Mapping[str, str] = {
    "end-moved": f"an ion of an end moved more than {END_MOVED} A from where the landscape puts it",
    "end-in-other-site": "an ion of an end fell into another site: the barrier is not that of this leg",
    "lower-on-the-way": f"an image lies more than {LOWER} eV below both ends: the ends are not the lowest places",
    "minimum-on-the-way": f"an image lies more than {DIP} eV below maxima on both sides: the leg is two hops",
    "concerted": f"another atom moved more than {ANOTHER_MOVED} A: not a hop of one ion",
    "not-converged": "the forces did not fall below the limit within the steps allowed",
    "parent-unstable": f"an atom of the crystal itself moved more than {END_MOVED} A, or did not come to rest; or the "
    f"crystal, shaken, ends more than {DROP} eV lower: the potential prefers another structure",
    "small-cell": f"the moving ion is less than {SMALL_CELL:g} A from its own images",
    "unseen-element": "the potential was not trained on an element of this crystal",
    "ions-taken-out": "ions that the way crosses were taken out of the cell: another composition than the other legs",
    "charged": "the cell is charged by oxidation states; the potential sees atoms, and finds its own charges",
    "ends-differ": f"ends that are equivalent by symmetry differ by more than {ENDS_DIFFER} eV",
}

#: Flags that say something of the model rather than of a fault; they do not shake a barrier by themselves.
REMARKS = frozenset({"charged"})


def parent_flags(displacement: FloatArray, converged: bool, drop: float = 0.0) -> list[str]:
    """Flags of the relaxed crystal.

    Args:
        displacement: (N, 3) of its rows, angstrom.
        converged: whether it came to rest.
        drop: energy of the supercell less that after it was shaken and relaxed again, eV.
    """
    moved = np.linalg.norm(displacement - displacement.mean(axis=0), axis=1).max(initial=0)
    return ["parent-unstable"] if not converged or moved > END_MOVED or drop > DROP else []


def band_flags(band: Band, ends: Sequence[Relaxed], relaxed: RelaxedBand, places: FloatArray) -> list[str]:
    """Flags of one leg.

    Args:
        band: before relaxing.
        ends: start and end, relaxed.
        relaxed: the band.
        places: (P, 3) Cartesian places of the mobile ion in the supercell, filled or not, angstrom.
    """
    flags = []
    starts = band.positions[[0, -1]]
    steps = [_moved(end.positions, start) for end, start in zip(ends, starts, strict=True)]
    mobile = list(band.mobile)
    if max(float(step[mobile].max(initial=0)) for step in steps) > END_MOVED:
        flags.append("end-moved")
    if any(
        _fell(band.cell, end.positions[mobile], start[mobile], places) for end, start in zip(ends, starts, strict=True)
    ):
        flags.append("end-in-other-site")
    flags += profile_flags(relaxed.energy)
    rest = np.setdiff1d(np.arange(len(band.numbers)), band.moving)
    far = max(float(_moved(image[rest], starts[0][rest]).max(initial=0)) for image in relaxed.positions)
    if far > ANOTHER_MOVED:
        flags.append("concerted")
    if not (relaxed.converged and all(end.converged for end in ends)):
        flags.append("not-converged")
    if shortest_image(band.cell) < SMALL_CELL - 1e-6:
        flags.append("small-cell")
    if band.taken_out:
        flags.append("ions-taken-out")
    if abs(band.charge) > 0.05:
        flags.append("charged")
    return flags


def profile_flags(energy: FloatArray) -> list[str]:
    """Flags of the energies along a band, eV."""
    flags = []
    inner = energy[1:-1]
    if len(inner) and inner.min() < min(energy[0], energy[-1]) - LOWER:
        flags.append("lower-on-the-way")
    left = np.maximum.accumulate(energy)
    right = np.maximum.accumulate(energy[::-1])[::-1]
    if (np.minimum(left, right) - energy > DIP).any():
        flags.append("minimum-on-the-way")
    return flags


def _moved(now: FloatArray, before: FloatArray) -> FloatArray:
    """(N,) displacements less the drift of all."""
    step = now - before
    length: FloatArray = np.linalg.norm(step - step.mean(axis=0), axis=1)
    return length


def _fell(cell: FloatArray, now: FloatArray, before: FloatArray, places: FloatArray) -> bool:
    """Whether an ion's nearest place is another one than before."""
    inverse = np.linalg.inv(cell)
    distance = [periodic_distances(cell, x @ inverse, places @ inverse) for x in (before, now)]
    nearest = [d.argmin(axis=1) for d in distance]
    rows = np.arange(len(now))
    # places that are as near as the ion's own (split minima) are its own
    own = distance[1][rows, nearest[0]]
    changed = (nearest[0] != nearest[1]) & (own > distance[1][rows, nearest[1]] + 0.3)
    return bool(changed.any())
