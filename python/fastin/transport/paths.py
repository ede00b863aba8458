"""Sites, hops and percolating paths of a mobile ion: the interstitial network joined with the energy landscape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.crystal.warnings import CrystalWarning, merge_warnings
from fastin.errors import InputError
from fastin.runtime.arguments import checked_arguments
from fastin.runtime.arrays import sum_by
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads
from fastin.transport.network import TransportNetwork
from fastin.transport.parts import FloatArray, Hops, Ints, Loop, Positions, Sites, Voids, periodic_distances
from fastin.transport.plateau import lies_on_surface, plateau_energy
from fastin.transport.profiles import HopProfile, TransportPath
from fastin.transport.symmetry import operations

if TYPE_CHECKING:
    from fastin.bvse.barriers import Barriers
    from fastin.bvse.grid import EnergyGrid
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import IonName
    from fastin.network.network import InterstitialNetwork

__all__ = ["HopProfile", "TransportNetwork", "TransportPath", "compute_paths", "join_network"]

# What is kept above the highest level of interest when no cutoff is given, eV: ten kT at room temperature.
_HEADROOM = 0.25
# A dimensionality whose barrier is higher than this is no conduction; it does not raise the default cutoff, eV.
_NO_CONDUCTION = 3.0
_SAME_DISTANCE = 0.02  # angstrom between two distances that count as equal: rounded coordinates
_SAME_ENERGY = 1e-6  # eV between two energies of one stationary point
# Levels of the hops and of the refined grid that differ by more are mentioned in the notes, eV.
_AGREEMENT = 0.01
_EDGE_STEP = 0.1  # spacing of energies along straight edges, angstrom

_NETWORK_OPTIONS = ("radii", "clearance", "face_centers", "use_symmetry")


def _ceiling(barriers: Barriers, cutoff: float | None) -> float:
    """Absolute energy up to which sites and hops are kept."""
    if cutoff is not None:
        return barriers.energy_minimum + cutoff
    finite = np.flatnonzero(np.isfinite(barriers.levels))
    if not len(finite):
        return barriers.energy_minimum + _NO_CONDUCTION
    useful = [d for d in finite if barriers.values("network")[d] <= _NO_CONDUCTION]
    return float(barriers.levels[useful[-1] if useful else finite[0]]) + _HEADROOM


def _below_plateau(grid: EnergyGrid, barriers: Barriers, ceiling: float) -> tuple[float, list[CrystalWarning]]:
    """The ceiling, lowered where sites and hops would lie in empty space, and the warning that says so."""
    if lies_on_surface(grid):
        raise InputError(
            f"{grid.source}: the lowest energy of {grid.ion.symbol} is not at a point but all around an atom or "
            "molecule alone in empty space, so there are no sites to hop between; compute crystals"
        )
    plateau = plateau_energy(grid)
    if plateau is None or ceiling <= plateau - _AGREEMENT:
        return ceiling, []
    lowered, bottom = plateau - _AGREEMENT, barriers.energy_minimum
    if lowered <= bottom:
        raise InputError(
            f"{grid.source}: no position holds {grid.ion.symbol} better than empty space does, so there are no sites "
            "to hop between: check the ion and the oxidation states"
        )
    text = (
        f"{plateau - bottom:.3f} eV above the lowest site {grid.ion.symbol} is out of reach of every atom and the "
        "energy flat: sites, hops and paths from there on are left out"
    )
    return lowered, [CrystalWarning("flat-energy", text)]


def _edge_energies(network: InterstitialNetwork, grid: EnergyGrid, zero: float, threads: int) -> FloatArray:
    """Highest energy along each straight edge: one of a symmetry class is sampled."""
    assert grid.field is not None
    _, first, inverse = np.unique(network.edge_orbit, return_index=True, return_inverse=True)
    vectors = network.edge_vectors() @ np.linalg.inv(network.cell)
    points, start = [], [0]
    for e in first:
        n = max(2, math.ceil(network.edge_length[e] / _EDGE_STEP) + 1)
        points.append(network.site_frac[network.edge_index[0, e]] + np.linspace(0.0, 1.0, n)[:, None] * vectors[e])
        start.append(start[-1] + n)
    if not points:
        return np.zeros(0)
    energy = grid.field.energy(np.concatenate(points), num_threads=threads)
    highest: FloatArray = np.maximum.reduceat(energy, start[:-1])[inverse] - zero
    return highest


def _edge_hops(network: InterstitialNetwork, site: Ints, cell: Ints, found: dict[str, Any]) -> Ints:
    """The lowest hop between the basins of each edge's voids."""
    lowest: dict[tuple[int, ...], int] = {}
    for h, ((i, j), image) in enumerate(zip(found["hop_index"].T.tolist(), found["hop_image"].tolist(), strict=True)):
        lowest.setdefault((i, j, *image), h)
        lowest.setdefault((j, i, *(-v for v in image)), h)
    a, b = network.edge_index
    images = network.edge_image + cell[b] - cell[a]
    out = np.full(len(a), -1, dtype=np.int32)
    for e, (i, j, image) in enumerate(zip(site[a].tolist(), site[b].tolist(), images.tolist(), strict=True)):
        if i >= 0 and j >= 0:
            out[e] = -2 if i == j and not any(image) else lowest.get((i, j, *image), -1)
    return out


def _positive(steps: Sequence[tuple[int, bool]], translation: tuple[int, int, int]) -> Loop:
    """A loop in the direction whose first non-zero component is positive."""
    walk = [(int(h), bool(forward)) for h, forward in steps]
    if translation < (0, 0, 0):
        walk = [(h, not forward) for h, forward in reversed(walk)]
        translation = (-translation[0], -translation[1], -translation[2])
    return tuple(walk), translation


@checked_arguments
def compute_paths(
    source: Any,
    ion: IonName | None = None,
    *,
    energy_cutoff: float | None = None,
    num_threads: int | None = None,
    oxidation_states: Any = None,
    strict: bool = False,
    **options: Any,
) -> TransportNetwork:
    """Sites, hops and percolating paths of a mobile ion: the interstitial network joined with the energy landscape.

    Sites are the minima of the bond valence energy, hops its saddles, both stationary points of the continuous energy;
    the voids of the interstitial network are assigned to the sites that they drain to. The network percolates at
    the energies of `compute_barriers` within 10 meV, or a note says that it does not.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        ion: element or species; None takes the most usual mobile ion present.
        energy_cutoff: keep sites and hops up to this energy (eV) above the lowest site; None keeps 0.25 eV more than
            the highest percolation level below 3 eV.
        num_threads: None takes the default.
        oxidation_states: as for `Crystal`.
        strict: refuse a crystal with severe warnings.
        **options: of `compute_network` (radii, clearance, face_centers) and `compute_bvse` (resolution, cutoff,
            convention, screening, shape, symmetry).

    Raises:
        InputError: unreadable source, no such ion, empty framework, a cutoff that is not positive, no position that
            binds the ion.
        MissingParameterError: no bond valence parameters for a pair of species.

    Examples:
        >>> import fastin
        >>> paths = fastin.compute_paths(fastin.examples()["LiFePO4"])
        >>> paths.path(1)
        TransportPath(1D along [0 1 0], 4 hops, 0.373 eV)
    """
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse
    from fastin.crystal.crystal import as_crystal
    from fastin.network.network import compute_network

    if energy_cutoff is not None and not energy_cutoff > 0:
        raise InputError(f"energy_cutoff must be positive, not {energy_cutoff} eV")
    threads = resolve_threads(num_threads)
    crystal = as_crystal(source, oxidation_states=oxidation_states, strict=strict)
    network_options = {k: options.pop(k) for k in _NETWORK_OPTIONS if k in options}
    network = compute_network(crystal, ion, strict=strict, num_threads=threads, **network_options)
    grid = compute_bvse(crystal, ion, strict=strict, num_threads=threads, **options)
    barriers = compute_barriers(grid, num_threads=threads)
    return join_network(crystal, network, grid, barriers, energy_cutoff=energy_cutoff, num_threads=threads)


def join_network(
    crystal: Crystal,
    network: InterstitialNetwork,
    grid: EnergyGrid,
    barriers: Barriers,
    *,
    energy_cutoff: float | None = None,
    num_threads: int | None = None,
) -> TransportNetwork:
    """The transport network of results that are there already; see `compute_paths`.

    Args:
        crystal: the crystal that the others were computed from.
        network: its interstitial network for the ion.
        grid: its energy grid for the same ion, with its field.
        barriers: of that grid.
        energy_cutoff: as for `compute_paths`.
        num_threads: None takes the default.

    Raises:
        InputError: a grid read from a file, which carries no field.
    """
    threads = resolve_threads(num_threads)
    if grid.field is None:
        raise InputError(f"{grid.source}: this energy grid carries no field; compute it with compute_bvse")
    ceiling, flat = _below_plateau(grid, barriers, _ceiling(barriers, energy_cutoff))
    framework = crystal.framework(grid.ion)
    found = _core.transport_network(
        grid.values,
        grid.field.core,
        grid.field.rotations,
        grid.field.translations,
        *operations(crystal, grid.field),
        network.site_frac,
        np.ascontiguousarray(framework.mobile_frac),
        ceiling,
    )
    zero = float(found["site_energy"].min(initial=np.inf))
    if not zero <= barriers.energy_minimum + _SAME_ENERGY:  # the same minimum was polished twice
        zero = barriers.energy_minimum
    positions = _positions(found, grid.cell, framework.mobile_frac, framework.mobile_occupancy)
    network_of = TransportNetwork(
        source=crystal.source,
        ion=grid.ion,
        cell=grid.cell,
        energy_cutoff=ceiling - zero,
        zero_energy=zero,
        barriers=barriers,
        network=network,
        sites=_sites(found, zero, grid, network, positions, threads),
        hops=_hops(found, zero, grid),
        voids=Voids(
            energy=grid.field.energy(network.site_frac, num_threads=threads) - zero,
            site=found["point_site"],
            cell=found["point_cell"],
            edge_energy=_edge_energies(network, grid, zero, threads),
            edge_hop=_edge_hops(network, found["point_site"], found["point_cell"], found),
        ),
        positions=positions,
        loops=tuple(_positive(steps, translation) for steps, translation in found["loops"]),
        notes=tuple(dict.fromkeys([*network.notes, *barriers.notes])),
        warnings=merge_warnings(network.warnings, barriers.warnings, flat),
        _crystal=crystal,
        _grid=grid,
    )
    return _with_lengths(_doubted(_compared(network_of)), threads)


def _positions(found: dict[str, Any], cell: FloatArray, frac: FloatArray, occupancy: FloatArray) -> Positions:
    """The positions and their sites; those on a ridge only have the sites to which no other position is nearer."""
    position, site, image = found["basin_position"], found["basin_site"], found["basin_cell"]
    distance = periodic_distances(cell, found["site_frac"], frac)
    single = np.bincount(position, minlength=len(frac))[position] == 1
    own = np.linalg.norm((found["site_frac"][site] + image - frac[position]) @ cell, axis=1)
    keep = single | (own <= distance.min(axis=1, initial=np.inf)[site] + _SAME_DISTANCE)
    return Positions(frac, occupancy, position[keep], site[keep], image[keep])


def _numbered(labels: Ints) -> Ints:
    """Classes 0, 1, ... in the order in which they come first; `labels` are the first member of each."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)


def _sites(
    found: dict[str, Any],
    zero: float,
    grid: EnergyGrid,
    network: InterstitialNetwork,
    positions: Positions,
    threads: int,
) -> Sites:
    from fastin.network.exact import clearance_at

    frac = found["site_frac"]
    distance = periodic_distances(grid.cell, frac, positions.frac)
    mobile = np.full(len(frac), -1, dtype=np.int32)
    order = np.argsort(-distance[positions.basin_site, positions.basin_position], kind="stable")
    mobile[positions.basin_site[order]] = positions.basin_position[order]  # the nearest comes last
    return Sites(
        frac=frac,
        energy=found["site_energy"] - zero,
        radius=clearance_at(network.framework, frac @ grid.cell, num_threads=threads),
        orbit=_numbered(found["site_orbit"]),
        mobile=mobile,
        mobile_distance=distance.min(axis=1, initial=np.inf),
        occupancy=sum_by(positions.basin_site, positions.shares(), len(frac)),
    )


def _hops(found: dict[str, Any], zero: float, grid: EnergyGrid) -> Hops:
    """The hops, without their lengths and radii."""
    count = len(found["hop_energy"])
    return Hops(
        index=found["hop_index"],
        image=found["hop_image"],
        energy=found["hop_energy"] - zero,
        saddle_frac=found["saddle_frac"],
        length=np.zeros(count),
        radius=np.zeros(count),
        orbit=_numbered(found["hop_orbit"]),
        weight=found["hop_weight"],
        stationary=found["stationary"].astype(bool),
        routes={
            h: found["route_frac"][a:b]
            for h, (a, b) in enumerate(itertools.pairwise(found["route_start"].tolist()))
            if b > a
        },
    )


def _compared(paths: TransportNetwork) -> TransportNetwork:
    """Adds a note where the hops percolate at other energies than `compute_barriers` says."""
    notes = []
    for d, (own, level) in enumerate(zip(paths.levels, paths.barriers.levels - paths.zero_energy, strict=True), 1):
        if min(own, level) > paths.energy_cutoff or abs(own - level) <= _AGREEMENT:
            continue
        notes.append(
            f"the hops percolate in {d}D at {own:.3f} eV, the refined grid at {level:.3f} eV: minima and saddles finer "
            "than the grid, or equivalent valleys that it tells apart; a smaller resolution settles which"
        )
    return replace(paths, notes=(*paths.notes, *notes)) if notes else paths


def _doubted(paths: TransportNetwork) -> TransportNetwork:
    """Adds warnings where the ions of the crystal are not where the landscape percolates, or off its sites."""
    warnings = []
    for d, (level, own) in enumerate(zip(paths.levels, paths.occupied_levels, strict=True), 1):
        if not len(paths.positions) or not math.isfinite(level) or own - level <= _AGREEMENT:
            continue
        beyond = f"only from {own:.3f} eV" if math.isfinite(own) else f"not below {paths.energy_cutoff:.2f} eV"
        warnings.append(
            CrystalWarning(
                "path-without-ion",
                f"what percolates in {d}D from {level:.3f} eV above the lowest site holds no {paths.ion.symbol} of the "
                f"crystal; what holds one does so {beyond}",
                f"{d}D",
            )
        )
    off = np.flatnonzero(np.bincount(paths.positions.basin_position, minlength=len(paths.positions)) == 0)
    if len(off):
        where = ", ".join(f"({', '.join(f'{v:.4f}' for v in x)})" for x in paths.mobile_frac[off[:3]])
        warnings.append(
            CrystalWarning(
                "ion-off-site",
                f"{len(off)} of {len(paths.positions)} positions of {paths.ion.symbol} lie in no basin of a site "
                "below the cutoff: their ions are not counted",
                where + (", ..." if len(off) > 3 else ""),
            )
        )
    return replace(paths, warnings=merge_warnings(paths.warnings, warnings)) if warnings else paths


def _with_lengths(paths: TransportNetwork, threads: int) -> TransportNetwork:
    """Fills in the hops' lengths and radii: one of a symmetry class is followed."""
    from fastin.network.exact import clearance_at

    if not len(paths.hop_energy):
        return paths
    _, first, inverse = np.unique(paths.hop_orbit, return_index=True, return_inverse=True)
    profiles = paths.profiles(first.tolist())
    start = np.concatenate([[0], np.cumsum([len(p.energy) for p in profiles])])
    points = np.concatenate([p.frac for p in profiles]) @ paths.cell
    radius = np.minimum.reduceat(clearance_at(paths.network.framework, points, num_threads=threads), start[:-1])
    length = np.array([p.distance[-1] for p in profiles])
    return replace(paths, hops=replace(paths.hops, length=length[inverse], radius=radius[inverse]))
