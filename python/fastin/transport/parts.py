"""The tables that a transport network is made of: sites, hops, voids, positions of the mobile ion, loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastin.runtime.parts import Table

FloatArray = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Cell = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Sites(Table):
    """Minima of the energy.

    Attributes:
        frac: (S, 3) in [0, 1).
        energy: (S,) eV, on the zero of the network.
        radius: (S,) clearance of the framework's spheres there, angstrom.
        orbit: (S,) symmetry class.
        mobile: (S,) the crystallographic position of the mobile ion in the site's basin of descent, the nearest of
            several; -1 where there is none: a vacant interstitial.
        mobile_distance: (S,) to the nearest position of any site, angstrom; inf where the crystal holds no such ion.
        occupancy: (S,) ions that the crystal holds in the site's basin; a position on the ridge between several basins
            counts with an equal share in each.
    """

    frac: FloatArray
    energy: FloatArray
    radius: FloatArray
    orbit: Ints
    mobile: Ints
    mobile_distance: FloatArray
    occupancy: FloatArray

    def __len__(self) -> int:
        return len(self.energy)


@dataclass(frozen=True, eq=False)
class Hops(Table):
    """Saddles of the energy, each undirected hop once, by rising energy.

    Hop h joins site ``index[0, h]`` with site ``index[1, h]`` displaced by ``image[h]`` cells.

    Attributes:
        index: (2, H) int64.
        image: (H, 3).
        energy: (H,) energy of the saddle, eV, on the zero of the network.
        saddle_frac: (H, 3) the saddle, unwrapped: seen from the first site in its home cell.
        length: (H,) along the path of steepest descent, angstrom.
        radius: (H,) smallest clearance of the framework's spheres along that path, angstrom.
        orbit: (H,) symmetry class, regardless of direction: the inequivalent hops.
        weight: (H,) share of the saddle's flux; below 1 where the valley forks below the saddle.
        stationary: (H,) the saddle is a stationary point of the continuous energy; else an upper bound.
        routes: points (n, 3) from site to site of the few hops that are not descents from one saddle.
    """

    index: npt.NDArray[np.int64]
    image: Ints
    energy: FloatArray
    saddle_frac: FloatArray
    length: FloatArray
    radius: FloatArray
    orbit: Ints
    weight: FloatArray
    stationary: npt.NDArray[np.bool_]
    routes: Mapping[int, FloatArray]

    def __len__(self) -> int:
        return len(self.energy)


@dataclass(frozen=True, eq=False)
class Voids(Table):
    """The interstitial network seen in the energy.

    Attributes:
        energy: (V,) energy at the voids, eV, on the zero of the transport network.
        site: (V,) site whose basin the void lies in, or -1 where that lies above the cutoff.
        cell: (V, 3) cell of that site, seen from the void in its home cell.
        edge_energy: (E,) highest energy along the straight edges, eV.
        edge_hop: (E,) lowest hop between the sites of the edge's voids, -1 where there is none, -2 where both voids lie
            in the basin of one site.
    """

    energy: FloatArray
    site: Ints
    cell: Ints
    edge_energy: FloatArray
    edge_hop: Ints


@dataclass(frozen=True, eq=False)
class Positions(Table):
    """Crystallographic positions of the mobile ion, and the sites that they belong to.

    A position belongs to the site that steepest descent from it reaches; one on a ridge, as on a symmetry element
    between split minima, to each of the sites beside it.

    Attributes:
        frac: (K, 3).
        occupancy: (K,).
        basin_position: (M,) pairs of a position and a site whose basin holds it: the position, in rising order.
        basin_site: (M,) the site.
        basin_cell: (M, 3) cell of that site, seen from the position in its home cell.
    """

    frac: FloatArray
    occupancy: FloatArray
    basin_position: Ints
    basin_site: Ints
    basin_cell: Ints

    def __len__(self) -> int:
        return len(self.occupancy)

    def shares(self) -> FloatArray:
        """(M,) ions that each pair stands for: the position's occupancy over the number of its sites."""
        count = np.bincount(self.basin_position, minlength=len(self))
        shares: FloatArray = (self.occupancy / np.maximum(count, 1))[self.basin_position]
        return shares


#: The hops of a cheapest path with their directions, and its translation in cells; empty where there is none.
Loop = tuple[tuple[tuple[int, bool], ...], tuple[int, int, int]]


def periodic_distances(cell: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """(len(a), len(b)) shortest distances, angstrom."""
    gap = a[:, None, :] - b[None, :, :]
    gap = (gap - np.round(gap)) @ cell
    near = np.stack(np.meshgrid(*[(-1.0, 0.0, 1.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    best = np.full(gap.shape[:2], np.inf)
    for shift in near:
        moved = gap + shift
        np.minimum(best, np.einsum("abk,abk->ab", moved, moved), out=best)
    shortest: FloatArray = np.sqrt(best)
    return shortest
