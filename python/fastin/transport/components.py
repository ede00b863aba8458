"""Connected parts of a network of sites and hops: how many dimensions they reach, and how many ions they hold."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastin.runtime.arrays import distinct, sum_by
from fastin.runtime.openmp import _core
from fastin.transport.parts import FloatArray, Hops, Positions

# Energies of hops that count as equal, eV.
_EQUAL = 1e-9
_AN_ION = 1e-6  # ions in the cell from which a component counts as occupied


class Component(NamedTuple):
    """Sites joined by hops.

    Attributes:
        dimensions: in how many dimensions it goes on for ever.
        sites: their ids, in rising order.
        ions: ions of the crystal in their basins.
    """

    dimensions: int
    sites: npt.NDArray[np.int64]
    ions: float


def components(sites: int, hops: Hops, positions: Positions, level: float = math.inf) -> list[Component]:
    """Components of the sites joined by the hops up to an energy.

    Args:
        sites: how many there are.
        hops: between them.
        positions: where the ions are.
        level: highest hop, eV on the zero of the network.
    """
    held = sum_by(positions.basin_site, positions.shares(), sites)
    below = hops.energy <= level + _EQUAL
    dims, start, members, _, _ = _core.channels(
        np.zeros(sites),
        np.ascontiguousarray(hops.index[:, below]),
        np.ascontiguousarray(hops.image[below]),
        np.zeros(int(below.sum())),
        -1.0,
    )
    parts = (np.sort(members[start[k] : start[k + 1]]).astype(np.int64) for k in range(len(dims)))
    return [Component(int(d), part, float(held[part].sum())) for d, part in zip(dims, parts, strict=True)]


def occupied_levels(sites: int, hops: Hops, positions: Positions) -> FloatArray:
    """(3,) lowest energies at which a component that holds an ion reaches 1, 2 and 3 dimensions; inf for none."""
    energies = distinct(hops.energy)
    levels = np.full(3, math.inf)
    for d in (1, 2, 3):
        low, high = 0, len(energies)  # the answer lies in energies[low:high], or there is none
        while low < high:
            middle = (low + high) // 2
            parts = components(sites, hops, positions, float(energies[middle]))
            if any(part.dimensions >= d and part.ions > _AN_ION for part in parts):
                high = middle
            else:
                low = middle + 1
        if low < len(energies):
            levels[d - 1] = energies[low]
    return levels


def conducting(parts: list[Component]) -> list[Component]:
    """Components that percolate: those that hold an ion, or all where none does."""
    through = [part for part in parts if part.dimensions > 0]
    return [part for part in through if part.ions > _AN_ION] or through
