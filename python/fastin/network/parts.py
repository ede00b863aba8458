"""The parts of an interstitial network: sites, edges, free spheres, the spheres it was made from, channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastin.runtime.parts import Table

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FrameworkSpheres(Table):
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


@dataclass(frozen=True, eq=False)
class SiteTable(Table):
    """Voids: vertices of the radical Voronoi diagram, and centres of its faces where asked for.

    Attributes:
        frac: (V, 3) in [0, 1).
        radius: (V,) largest sphere that overlaps no atom, angstrom.
        kind: (V,) 0 Voronoi vertex, 1 centre of a Voronoi face.
        orbit: (V,) symmetry class.
    """

    frac: Floats
    radius: Floats
    kind: Ints
    orbit: Ints


@dataclass(frozen=True, eq=False)
class EdgeTable(Table):
    """Ways between voids and their narrowest points; each undirected edge once, sorted by (i, j, image).

    Attributes:
        index: (2, E) sites i and j.
        image: (E, 3) cell offset of site j.
        length: (E,) angstrom.
        bottleneck_frac: (E, 3) narrowest point, in [0, 1).
        bottleneck_radius: (E,) clearance there, angstrom.
        orbit: (E,) symmetry class, regardless of direction.
    """

    index: Longs
    image: Ints
    length: Floats
    bottleneck_frac: Floats
    bottleneck_radius: Floats
    orbit: Ints


@dataclass(frozen=True, eq=False)
class FreeSpheres(Table):
    """The largest spheres that can move without end, angstrom.

    Attributes:
        free: (3,) along a, b, c (the other axes free).
        percolation: (3,) in 1, 2, 3 dimensions.
        included: (3,) largest site on the component that opens each axis, at that radius.
        exact_free: (3,) as `free` for paths that need not follow edges; None unless asked for.
        exact_percolation: (3,) likewise.
    """

    free: Floats
    percolation: Floats
    included: Floats
    exact_free: Floats | None = None
    exact_percolation: Floats | None = None


@dataclass(frozen=True, eq=False)
class MobileSites(Table):
    """Crystallographic sites of the mobile ion.

    Attributes:
        frac: (K, 3) positions.
        orbit: (K,) their symmetry classes.
    """

    frac: Floats
    orbit: Ints
