"""The bond valence landscape as a network of its own: minima (sites) and saddles (hops).

`compute_landscape` polishes every minimum and every saddle up to an energy (by default the level at which the ion
percolates in the most dimensions) and follows the steepest descents from each saddle to the two sites it joins. The
merge tree (which site drains into which, at what energy) and the percolation levels follow from the network alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastin.bvse.barriers import grid_margins
from fastin.bvse.grid import EnergyGrid, compute_bvse
from fastin.errors import InputError
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads

if TYPE_CHECKING:
    from fastin.crystal.ions import MobileIon

__all__ = ["Landscape", "compute_landscape"]


@dataclass(frozen=True, eq=False)
class Landscape:
    """Sites and hops of a mobile ion.

    Attributes:
        ion: the mobile ion.
        source: where the crystal came from.
        cell: (3, 3) rows are lattice vectors (A).
        cutoff: highest energy included (eV, absolute).
        site_frac: (S, 3) minima in [0, 1), in order of energy.
        site_energy: (S,) (eV, absolute).
        site_volume: (S,) share of the cell that drains to the site and lies below the cutoff.
        site_merge_energy: (S,) energy at which the site's component joins a deeper one (the merge tree); inf for the
            deepest site of each component.
        site_orbit: (S,) symmetry class.
        edge_index: (2, E) the two sites of a hop; each hop once, i < j, or i = j with a positive image.
        edge_image: (E, 3) cell of the second site when the first lies in the home cell.
        edge_saddle_frac: (E, 3) saddles in [0, 1).
        edge_energy: (E,) energy of the saddle (eV, absolute).
        edge_orbit: (E,) symmetry class.
        edge_stationary: (E,) False where no saddle of index 1 could be pinned down: the energy is the top of a relaxed
            string or that of the connection the barriers ran through.
        levels: (3,) energies at which the network percolates in 1, 2, 3 dimensions; inf above the cutoff.
    """

    ion: MobileIon
    source: str
    cell: NDArray[np.float64]
    cutoff: float
    site_frac: NDArray[np.float64]
    site_energy: NDArray[np.float64]
    site_volume: NDArray[np.float64]
    site_merge_energy: NDArray[np.float64]
    site_orbit: NDArray[np.int64]
    edge_index: NDArray[np.int64]
    edge_image: NDArray[np.int32]
    edge_saddle_frac: NDArray[np.float64]
    edge_energy: NDArray[np.float64]
    edge_orbit: NDArray[np.int64]
    edge_stationary: NDArray[np.bool_]
    levels: NDArray[np.float64]

    def __repr__(self) -> str:
        return (
            f"Landscape({self.source}: {self.ion.symbol}, {len(self.site_energy)} sites in "
            f"{len(np.unique(self.site_orbit))} classes, {len(self.edge_energy)} hops in "
            f"{len(np.unique(self.edge_orbit))})"
        )

    @property
    def site_multiplicity(self) -> NDArray[np.int64]:
        """(S,) number of sites in each site's symmetry class."""
        counts: NDArray[np.int64] = np.bincount(self.site_orbit)[self.site_orbit]
        return counts

    @property
    def edge_multiplicity(self) -> NDArray[np.int64]:
        """(E,) number of hops in each hop's symmetry class."""
        counts: NDArray[np.int64] = np.bincount(self.edge_orbit)[self.edge_orbit]
        return counts

    @property
    def barrier_forward(self) -> NDArray[np.float64]:
        """(E,) saddle minus first site (eV)."""
        forward: NDArray[np.float64] = self.edge_energy - self.site_energy[self.edge_index[0]]
        return forward

    @property
    def barrier_backward(self) -> NDArray[np.float64]:
        """(E,) saddle minus second site (eV)."""
        backward: NDArray[np.float64] = self.edge_energy - self.site_energy[self.edge_index[1]]
        return backward

    @property
    def edge_length(self) -> NDArray[np.float64]:
        """(E,) straight distance between the two sites (A)."""
        i, j = self.edge_index
        length: NDArray[np.float64] = np.linalg.norm(
            (self.site_frac[j] + self.edge_image - self.site_frac[i]) @ self.cell, axis=1
        )
        return length

    def to_dict(self) -> dict[str, Any]:
        """Plain types; inf becomes None."""
        out: dict[str, Any] = {"source": self.source, "ion": self.ion.symbol}
        for item in fields(self):
            if item.name in ("ion", "source"):
                continue
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value = value.tolist()
            if item.name in ("site_merge_energy", "levels"):
                value = [x if math.isfinite(x) else None for x in value]
            out[item.name] = value
        return out


def compute_landscape(
    source_or_grid: Any,
    ion: str | None = None,
    *,
    energy_cutoff: float | None = None,
    connectivity: int = 26,
    num_threads: int | None = None,
    **bvse_options: Any,
) -> Landscape:
    """Sites, saddles and the hops between them.

    Args:
        source_or_grid: an `EnergyGrid` with its field, or anything that `compute_bvse` takes.
        ion: as for `compute_bvse`; not with an `EnergyGrid`.
        energy_cutoff: highest energy to include (eV above the lowest grid point); None takes the highest level at
            which the ion percolates.
        connectivity: neighbours of a grid point, 6 or 26; only seeds the search.
        num_threads: for the grid; None takes the default of `set_num_threads`.
        **bvse_options: of `compute_bvse`.

    Raises:
        InputError: a grid without a field (read from a file) or too coarse; unusable options.

    Examples:
        >>> import fastin
        >>> from fastin.bvse.landscape import compute_landscape
        >>> landscape = compute_landscape(fastin.examples()["LiFePO4"])
        >>> round(float(landscape.barrier_forward.min()), 2)
        0.37
    """
    if isinstance(source_or_grid, EnergyGrid):
        if ion is not None or bvse_options:
            raise InputError(f"{source_or_grid.source}: the energy grid has already fixed the ion and the options")
        grid = source_or_grid
    else:
        grid = compute_bvse(source_or_grid, ion, num_threads=num_threads, **bvse_options)
    if grid.field is None:
        raise InputError(f"{grid.source}: a grid read from a file carries no energy function; give the structure")
    if energy_cutoff is not None and not energy_cutoff > 0.0:
        raise InputError(f"energy_cutoff must be positive, not {energy_cutoff}")
    network = _core.landscape_network(
        grid.values,
        grid.field.core,
        grid.field.rotations,
        grid.field.translations,
        connectivity,
        *grid_margins(grid),
        float("nan") if energy_cutoff is None else grid.minimum + energy_cutoff,
        resolve_threads(num_threads),
    )
    network["edge_stationary"].setflags(write=False)
    return Landscape(ion=grid.ion, source=grid.source, cell=grid.cell, **network)
