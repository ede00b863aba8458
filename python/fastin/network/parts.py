"""The small pieces of an interstitial network: its spheres and its channels."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


def _read_only(array: Any) -> Any:
    if isinstance(array, np.ndarray) and array.flags.writeable:
        array.setflags(write=False)
    return array


def freeze(instance: Any) -> None:
    """Makes every array of a dataclass read-only."""
    for field in fields(instance):
        _read_only(getattr(instance, field.name))


@dataclass(frozen=True, eq=False)
class FrameworkSpheres:
    """The spheres that a network was made from.

    Attributes:
        cell: (3, 3) lattice vectors in rows, angstrom.
        frac: (N, 3) fractional positions.
        radius: (N,) angstrom.
        number: (N,) atomic numbers of the dominant species; 0 where they are not known.
        species: names of the dominant species, "O2-"; "X" where they are not known.
        charge: (N,) oxidation states, e.
        source: what they were read from.
    """

    cell: Floats
    frac: Floats
    radius: Floats
    number: Ints
    species: tuple[str, ...]
    charge: Floats
    source: str

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        """Counts, not contents."""
        return f"FrameworkSpheres({len(self.radius)} spheres, {self.source})"


@dataclass(frozen=True, eq=False)
class Channel:
    """A component of the network that a probe can follow without end.

    Attributes:
        dimensionality: 1, 2 or 3 independent directions.
        site_ids: (n,) sites of the network, ascending.
        edge_ids: (m,) edges of the network, ascending.
    """

    dimensionality: int
    site_ids: Ints
    edge_ids: Ints

    def __repr__(self) -> str:
        """Counts, not contents."""
        return f"Channel({self.dimensionality}D, {len(self.site_ids)} sites, {len(self.edge_ids)} edges)"
