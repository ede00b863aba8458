"""Bond valence energies at and beside the voids and bottlenecks of a network: the physics that the barrier model sees.

The geometric centre of a gap is not where an ion crosses it, so each point is walked a few Newton steps over the
landscape (`cpp/src/percolation/walks.cpp`):

==========  ==========  ===========================================================================================
point       column      eV
==========  ==========  ===========================================================================================
void        centre      at the void
void        valley      lowest on a descent of at most five steps and 1.5 A from there
void        ground      the same for all voids: lowest energy met at all, the crystal's own ions let down too
bottleneck  centre      where the gap is widest for spheres
bottleneck  crossing    lowest found in the plane across the bottleneck, at most 0.5 A off
bottleneck  pass        after two more steps towards the saddle along the bottleneck
==========  ==========  ===========================================================================================

Data sets and predictions both call `network_energies`: a model sees at prediction what it saw in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import IonName
    from fastin.graph.graph import InterstitialGraph
    from fastin.network.network import InterstitialNetwork

Floats = NDArray[np.float64]

SITE_ENERGIES = ("centre", "valley", "ground")
EDGE_ENERGIES = ("centre", "crossing", "pass")
CUTOFF = 7.0  # angstrom; with 10 the barriers of `plain_levels` move by 0.4 meV (median of 120 Li compounds)


@dataclass(frozen=True, eq=False)
class NetworkEnergies:
    """Energies of the classes of voids and bottlenecks of a graph.

    Attributes:
        site: (n, 3) eV, columns `SITE_ENERGIES`.
        edge: (E, 3) eV, columns `EDGE_ENERGIES`.
    """

    site: Floats
    edge: Floats


def network_energies(
    crystal: Crystal,
    ion: IonName | None,
    network: InterstitialNetwork,
    graph: InterstitialGraph,
    *,
    num_threads: int | None = None,
) -> NetworkEnergies:
    """Energies of the nodes and edges of a graph, in the ``spse`` convention with a cutoff of 7 angstrom.

    Args:
        crystal: what the network was computed from.
        ion: its mobile ion.
        network: the full network.
        graph: made from it.
        num_threads: None takes the default of `set_num_threads`.

    Raises:
        MissingParameterError: no bond valence parameters for a pair.
    """
    from fastin.bvse.field import build_field

    field, threads = build_field(crystal, ion, cutoff=CUTOFF), resolve_threads(num_threads)
    _, first = np.unique(graph.cover_edge, return_index=True)
    own = crystal.frac[crystal.number == field.ion.number]
    points = np.concatenate([graph.site_frac, own])
    found = _core.void_walks(field.core, np.ascontiguousarray(points, np.float64), threads)
    edge = _core.bottleneck_walks(
        field.core,
        np.ascontiguousarray(graph.bottleneck_frac),
        np.ascontiguousarray(network.edge_vectors()[first]),
        threads,
    )
    site = found[: len(graph.site_frac)]
    ground = min(float(found.min()), float(edge.min()))
    return NetworkEnergies(np.column_stack([site, np.full(len(site), ground)]), edge)
