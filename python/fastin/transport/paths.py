"""The transport network: interstitial network and energy landscape in one, with sites, hops and paths."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads
from fastin.transport.kinetics import DEFAULT_PREFACTOR, HopModel
from fastin.transport.profiles import HopProfile, TransportPath, hop_profiles, join_profiles

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from fastin.bvse.barriers import Barriers
    from fastin.bvse.grid import EnergyGrid
    from fastin.crystal.crystal import Crystal, MobileIon
    from fastin.network.network import InterstitialNetwork

__all__ = ["HopProfile", "TransportNetwork", "TransportPath", "compute_paths", "join_network"]

FloatArray = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

# What is kept above the highest level of interest when no cutoff is given, eV: ten kT at room temperature.
_HEADROOM = 0.25
# A dimensionality whose barrier is higher than this is no conduction; it does not raise the default cutoff, eV.
_NO_CONDUCTION = 3.0
# A network site this close to a crystallographic position of the mobile ion is that position, angstrom.
_SAME_SITE = 0.75
# Symmetry copies of polished stationary points agree within this, angstrom.
_ORBIT_TOLERANCE = 0.05
# Levels of the hops and of the refined grid that differ by more are mentioned in the notes, eV.
_AGREEMENT = 0.01
_EDGE_STEP = 0.1  # spacing of energies along straight edges, angstrom

_NO_ROUTE = np.zeros((0, 3))

_NETWORK_OPTIONS = ("radii", "clearance", "face_centers", "use_symmetry")


@dataclass(frozen=True, eq=False)
class TransportNetwork:
    """Sites of a mobile ion and the hops between them, with energies (eV) above `zero_energy`.

    Hop h joins site ``hop_index[0, h]`` with site ``hop_index[1, h]`` displaced by ``hop_image[h]`` cells; each
    undirected hop once, by rising energy.

    Attributes:
        source: what the crystal was read from.
        ion: the mobile ion.
        cell: (3, 3) lattice vectors in rows, angstrom.
        energy_cutoff: sites and hops up to this energy are kept, eV.
        zero_energy: absolute energy of the zero: the lowest site of the component that percolates, eV.
        barriers: percolation barriers of the same landscape.
        network: the interstitial network of the same crystal.
        site_frac: (S, 3) minima of the energy, in [0, 1).
        site_energy: (S,) eV.
        site_radius: (S,) clearance of the framework's spheres there, angstrom.
        site_orbit: (S,) symmetry class.
        site_mobile: (S,) the crystallographic position of the mobile ion that the site is, or -1 (vacant).
        site_mobile_distance: (S,) to the nearest such position, angstrom; inf where there is none.
        site_occupancy: (S,) occupancy of that position, 0 for vacant interstitials.
        hop_index: (2, H) int64.
        hop_image: (H, 3).
        hop_energy: (H,) energy of the saddle, eV.
        hop_saddle_frac: (H, 3) the saddle, unwrapped: seen from the first site in its home cell.
        hop_length: (H,) along the path of steepest descent, angstrom.
        hop_radius: (H,) smallest clearance of the framework's spheres along that path, angstrom.
        hop_orbit: (H,) symmetry class, regardless of direction: the inequivalent hops.
        hop_weight: (H,) share of the saddle's flux; below 1 where the valley forks below the saddle.
        hop_stationary: (H,) the saddle is a stationary point of the continuous energy; else an upper bound.
        hop_routes: points (n, 3) from site to site of the few hops that are not descents from one saddle.
        void_energy: (V,) energy at the voids of `network`, eV.
        void_site: (V,) site whose basin the void lies in, or -1 where that lies above the cutoff.
        void_cell: (V, 3) cell of that site, seen from the void in its home cell.
        edge_energy: (E,) highest energy along the straight edges of `network`, eV.
        edge_hop: (E,) lowest hop between the sites of the edge's voids, -1 where there is none, -2 where both voids lie
            in the basin of one site.
        mobile_frac: (K, 3) positions of the mobile ion.
        mobile_occupancy: (K,).
        loops: for one, two and three dimensions, the hops (and directions) of the cheapest path, and its translation.
        notes: what was assumed on the way.
    """

    source: str
    ion: MobileIon
    cell: FloatArray
    energy_cutoff: float
    zero_energy: float
    barriers: Barriers
    network: InterstitialNetwork
    site_frac: FloatArray
    site_energy: FloatArray
    site_radius: FloatArray
    site_orbit: Ints
    site_mobile: Ints
    site_mobile_distance: FloatArray
    site_occupancy: FloatArray
    hop_index: npt.NDArray[np.int64]
    hop_image: Ints
    hop_energy: FloatArray
    hop_saddle_frac: FloatArray
    hop_length: FloatArray
    hop_radius: FloatArray
    hop_orbit: Ints
    hop_weight: FloatArray
    hop_stationary: npt.NDArray[np.bool_]
    hop_routes: dict[int, FloatArray]
    void_energy: FloatArray
    void_site: Ints
    void_cell: Ints
    edge_energy: FloatArray
    edge_hop: Ints
    mobile_frac: FloatArray
    mobile_occupancy: FloatArray
    loops: tuple[tuple[tuple[tuple[int, bool], ...], tuple[int, int, int]], ...]
    notes: tuple[str, ...] = ()
    _crystal: Crystal | None = field(default=None, repr=False)
    _grid: EnergyGrid | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value.setflags(write=False)

    def __repr__(self) -> str:
        e = ", ".join(f"E{d}D {v:.3f}" for d, v in enumerate(self.barriers.values("network"), 1) if math.isfinite(v))
        classes = len(np.unique(self.hop_orbit))
        return (
            f"TransportNetwork({self.source}: {self.ion.symbol}, {len(self.site_energy)} sites, "
            f"{len(self.hop_energy)} hops of {classes} kinds, {e} eV)"
        )

    def _repr_html_(self) -> str:
        from fastin.transport.tables import html

        return html(self)

    # --- hops ---

    @property
    def barrier_forward(self) -> FloatArray:
        """(H,) barrier from the first to the second site, eV."""
        barrier: FloatArray = self.hop_energy - self.site_energy[self.hop_index[0]]
        return barrier

    @property
    def barrier_backward(self) -> FloatArray:
        """(H,) barrier from the second to the first site, eV."""
        barrier: FloatArray = self.hop_energy - self.site_energy[self.hop_index[1]]
        return barrier

    def profile(self, hop: int) -> HopProfile:
        """Energy along the path of a hop, from its first to its second site."""
        return next(iter(self._profiles([self._checked_hop(hop)])))

    def _checked_hop(self, hop: int) -> int:
        if not 0 <= hop < len(self.hop_energy):
            raise InputError(f"{self.source}: there is no hop {hop}; the network has {len(self.hop_energy)}")
        return int(hop)

    def _profiles(self, hops: Sequence[int]) -> list[HopProfile]:
        grid = self._energy_grid()
        assert grid.field is not None
        ids = np.asarray(hops, dtype=np.int64)
        i, j = self.hop_index[:, ids]
        ends = self.site_frac[j] + self.hop_image[ids]
        return list(
            hop_profiles(
                grid.field,
                self.zero_energy,
                self.site_frac[i],
                ends,
                self.hop_saddle_frac[ids],
                [self.hop_routes.get(int(h), _NO_ROUTE) for h in ids],
                resolve_threads(None),
            )
        )

    def _energy_grid(self) -> EnergyGrid:
        if self._grid is None or self._grid.field is None:
            raise InputError(f"{self.source}: this transport network carries no energy field")
        return self._grid

    def path(self, dimensions: int) -> TransportPath | None:
        """Cheapest path on which the network reaches that many dimensions; None where it does not below the cutoff.

        Args:
            dimensions: 1, 2 or 3.
        """
        if dimensions not in (1, 2, 3):
            raise InputError(f"dimensions must be 1, 2 or 3, not {dimensions}")
        steps, translation = self.loops[dimensions - 1]
        if not steps:
            return None
        profiles = self._profiles([h for h, _ in steps])
        ends = [(int(self.hop_index[0, h]), int(self.hop_index[1, h])) for h, _ in steps]
        bottom = float(self.barriers.network_minimum[dimensions - 1]) - self.zero_energy
        barrier = float(self.levels[dimensions - 1]) - (bottom if math.isfinite(bottom) else 0.0)
        return join_profiles(dimensions, translation, barrier, steps, profiles, ends, self.cell)

    @cached_property
    def levels(self) -> FloatArray:
        """(3,) energies at which the hops percolate in one, two and three dimensions, eV; inf above the cutoff."""
        return np.array([max((self.hop_energy[h] for h, _ in steps), default=math.inf) for steps, _ in self.loops])

    @cached_property
    def hop_dimensions(self) -> Ints:
        """(H,) smallest number of dimensions whose cheapest path uses a hop of the same kind; 0 where none does."""
        out = np.zeros(len(self.hop_energy), dtype=np.int32)
        for d in (3, 2, 1):
            used = np.array([h for h, _ in self.loops[d - 1][0]], dtype=np.int64)
            out[np.isin(self.hop_orbit, self.hop_orbit[used])] = d
        return out

    def recovery(self, threshold: float = 0.5) -> float:
        """Share of the mobile ion's positions that lie within `threshold` (angstrom) of a site; NaN for a guest."""
        if not len(self.mobile_frac):
            return math.nan
        distance = _periodic_distances(self.cell, self.mobile_frac, self.site_frac)
        return float((distance.min(axis=1, initial=np.inf) <= threshold).mean())

    # --- kinetics ---

    @cached_property
    def conducting_sites(self) -> npt.NDArray[np.int64]:
        """Sites of the components that percolate in one dimension or more below the cutoff."""
        dims, start, sites, _, _ = _core.channels(
            np.zeros(len(self.site_energy)), self.hop_index, self.hop_image, np.zeros(len(self.hop_energy)), -1.0
        )
        parts = [sites[start[k] : start[k + 1]] for k, d in enumerate(dims) if d > 0]
        return np.sort(np.concatenate(parts)).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)

    def hop_model(self, prefactor: float = DEFAULT_PREFACTOR) -> HopModel:
        """The conducting sites and their hops as a Markov chain.

        Args:
            prefactor: attempt frequency, Hz.

        Raises:
            InputError: nothing percolates below the cutoff.
        """
        sites = self.conducting_sites
        if not len(sites):
            raise InputError(
                f"{self.source}: no path percolates below {self.energy_cutoff:.2f} eV; raise energy_cutoff to see hops"
            )
        number = np.full(len(self.site_energy), -1, dtype=np.int64)
        number[sites] = np.arange(len(sites))
        inside = number[self.hop_index[0]] >= 0
        return HopModel(
            cell=self.cell,
            site_frac=self.site_frac[sites],
            site_energy=self.site_energy[sites],
            hop_index=number[self.hop_index[:, inside]],
            hop_image=self.hop_image[inside],
            hop_energy=self.hop_energy[inside],
            prefactor=prefactor * self.hop_weight[inside],
        )

    def diffusivity(self, temperature: float, *, prefactor: float = DEFAULT_PREFACTOR) -> FloatArray:
        """(3, 3) tracer diffusivity of independent ions on the conducting sites, cm^2/s (module `kinetics`)."""
        return self.hop_model(prefactor).diffusivity(temperature)

    def conductivity(
        self, temperature: float, *, prefactor: float = DEFAULT_PREFACTOR, ions_per_cell: float | None = None
    ) -> FloatArray:
        """(3, 3) ionic conductivity by Nernst-Einstein, S/cm.

        Args:
            temperature: K.
            prefactor: attempt frequency, Hz.
            ions_per_cell: None takes the mobile ions of the crystal.

        Raises:
            InputError: a guest ion without `ions_per_cell`; nothing percolates.
        """
        count = float(self.mobile_occupancy.sum()) if ions_per_cell is None else ions_per_cell
        if not count > 0:
            raise InputError(f"{self.source}: the crystal holds no {self.ion.symbol}; give ions_per_cell")
        return self.hop_model(prefactor).conductivity(temperature, count, self.ion.charge)

    def activation_energy(self, low: float = 300.0, high: float = 600.0) -> tuple[FloatArray, float]:
        """Effective activation energy of D(T): (3,) along x, y, z and of the mean, eV."""
        return self.hop_model().activation_energy(low, high)

    # --- outputs ---

    def hop_classes(self) -> list[dict[str, Any]]:
        """One row for each kind of hop: the seed paper's non-equivalent paths, cheapest first."""
        from fastin.transport.tables import hop_classes

        return hop_classes(self)

    def neb_images(self, hop: int, n: int = 5, *, supercell: float | Sequence[int] | None = None) -> list[Structure]:
        """Chain of images for a nudged elastic band run; see `fastin.transport.neb.neb_images`."""
        from fastin.transport.neb import neb_images

        return neb_images(self, hop, n, supercell=supercell)

    def write_neb(
        self,
        hop: int | Sequence[int],
        path: str | PathLike[str],
        n: int = 5,
        *,
        supercell: float | Sequence[int] | None = None,
    ) -> list[Path]:
        """Writes the images as a folder of POSCARs or one extended XYZ file; see `fastin.transport.neb.write_neb`."""
        from fastin.transport.neb import write_neb

        return write_neb(self, hop, path, n, supercell=supercell)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers of the sites, hops and paths."""
        from fastin.transport.tables import to_dict

        return to_dict(self)


def _periodic_distances(cell: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """(len(a), len(b)) shortest distances, angstrom."""
    gap = a[:, None, :] - b[None, :, :]
    gap = gap - np.round(gap)
    near = np.stack(np.meshgrid(*[(-1.0, 0.0, 1.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    best = np.full(gap.shape[:2], np.inf)
    for shift in near:
        np.minimum(best, np.linalg.norm((gap + shift) @ cell, axis=-1), out=best)
    return best


def _ceiling(barriers: Barriers, cutoff: float | None) -> tuple[float, float]:
    """Absolute energy up to which sites and hops are kept, and the zero."""
    finite = np.flatnonzero(np.isfinite(barriers.levels))
    if not len(finite):
        zero = barriers.energy_minimum
        return zero + (cutoff if cutoff is not None else _NO_CONDUCTION), zero
    useful = [d for d in finite if barriers.values("network")[d] <= _NO_CONDUCTION]
    top = useful[-1] if useful else finite[0]
    zero = float(barriers.network_minimum[top])
    if cutoff is not None:
        return zero + cutoff, zero
    return float(barriers.levels[top]) + _HEADROOM, zero


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


def _positive(
    steps: Sequence[tuple[int, bool]], translation: tuple[int, int, int]
) -> tuple[tuple[tuple[int, bool], ...], tuple[int, int, int]]:
    """A loop in the direction whose first non-zero component is positive."""
    walk = [(int(h), bool(forward)) for h, forward in steps]
    if translation < (0, 0, 0):
        walk = [(h, not forward) for h, forward in reversed(walk)]
        translation = (-translation[0], -translation[1], -translation[2])
    return tuple(walk), translation


def _orbits(grid: EnergyGrid, points: FloatArray) -> Ints:
    assert grid.field is not None
    labels: Ints = _core.point_orbits(
        grid.cell,
        np.ascontiguousarray(points - np.floor(points)),
        grid.field.rotations,
        grid.field.translations,
        _ORBIT_TOLERANCE,
    )
    return labels


def compute_paths(
    source: Any,
    ion: str | None = None,
    *,
    energy_cutoff: float | None = None,
    num_threads: int | None = None,
    oxidation_states: Any = None,
    **options: Any,
) -> TransportNetwork:
    """Sites, hops and percolating paths of a mobile ion: the interstitial network joined with the energy landscape.

    Sites are the minima of the bond valence energy, hops its saddles, both stationary points of the continuous energy;
    the voids of the interstitial network are assigned to the sites that they drain to. The network percolates at
    the energies of `compute_barriers` within 10 meV, or a note says that it does not.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        ion: element or species; None takes the most usual mobile ion present.
        energy_cutoff: keep sites and hops up to this energy (eV) above the lowest site of the percolating component;
            None keeps 0.25 eV more than the highest percolation level below 3 eV.
        num_threads: None takes the default.
        oxidation_states: as for `Crystal`.
        **options: of `compute_network` (radii, clearance, face_centers) and `compute_bvse` (resolution, cutoff,
            convention, screening, shape, symmetry).

    Raises:
        InputError: unreadable source, no such ion, empty framework, a cutoff that is not positive.
        MissingParameterError: no bond valence parameters for a pair of species.

    Example:
        >>> import fastin
        >>> paths = fastin.compute_paths("LiFePO4.cif")  # doctest: +SKIP
        >>> paths.path(1)  # doctest: +SKIP
        TransportPath(1D along [0 1 0], 2 hops, 0.429 eV)
    """
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse
    from fastin.crystal.crystal import as_crystal
    from fastin.network.network import compute_network

    if energy_cutoff is not None and not energy_cutoff > 0:
        raise InputError(f"energy_cutoff must be positive, not {energy_cutoff} eV")
    threads = resolve_threads(num_threads)
    crystal = as_crystal(source, oxidation_states=oxidation_states)
    network_options = {k: options.pop(k) for k in _NETWORK_OPTIONS if k in options}
    network = compute_network(crystal, ion, num_threads=threads, **network_options)
    grid = compute_bvse(crystal, ion, num_threads=threads, **options)
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
    from fastin.network.exact import clearance_at

    threads = resolve_threads(num_threads)
    if grid.field is None:
        raise InputError(f"{grid.source}: this energy grid carries no field; compute it with compute_bvse")
    ceiling, zero = _ceiling(barriers, energy_cutoff)
    found = _core.transport_network(
        grid.values, grid.field.core, grid.field.rotations, grid.field.translations, network.site_frac, ceiling
    )
    framework = crystal.framework(grid.ion)
    distance = _periodic_distances(grid.cell, found["site_frac"], framework.mobile_frac)
    nearest = distance.argmin(axis=1) if len(framework.mobile_frac) else np.zeros(len(distance), dtype=np.int64)
    near = distance.min(axis=1, initial=np.inf)
    mobile = np.where(near <= _SAME_SITE, nearest, -1).astype(np.int32)
    occupancy = np.zeros(len(mobile))
    occupancy[mobile >= 0] = framework.mobile_occupancy[mobile[mobile >= 0]]
    hops = len(found["hop_energy"])
    network_of = TransportNetwork(
        source=crystal.source,
        ion=grid.ion,
        cell=grid.cell,
        energy_cutoff=ceiling - zero,
        zero_energy=zero,
        barriers=barriers,
        network=network,
        site_frac=found["site_frac"],
        site_energy=found["site_energy"] - zero,
        site_radius=clearance_at(network.framework, found["site_frac"] @ grid.cell, num_threads=threads),
        site_orbit=_orbits(grid, found["site_frac"]),
        site_mobile=mobile,
        site_mobile_distance=near,
        site_occupancy=occupancy,
        hop_index=found["hop_index"],
        hop_image=found["hop_image"],
        hop_energy=found["hop_energy"] - zero,
        hop_saddle_frac=found["saddle_frac"],
        hop_length=np.zeros(hops),
        hop_radius=np.zeros(hops),
        hop_orbit=_orbits(grid, found["saddle_frac"]),
        hop_weight=found["hop_weight"],
        hop_stationary=found["stationary"].astype(bool),
        hop_routes={
            h: found["route_frac"][a:b]
            for h, (a, b) in enumerate(itertools.pairwise(found["route_start"].tolist()))
            if b > a
        },
        void_energy=grid.field.energy(network.site_frac, num_threads=threads) - zero,
        void_site=found["point_site"],
        void_cell=found["point_cell"],
        edge_energy=_edge_energies(network, grid, zero, threads),
        edge_hop=_edge_hops(network, found["point_site"], found["point_cell"], found),
        mobile_frac=framework.mobile_frac,
        mobile_occupancy=framework.mobile_occupancy,
        loops=tuple(_positive(steps, translation) for steps, translation in found["loops"]),
        notes=tuple(dict.fromkeys([*network.notes, *barriers.notes])),
        _crystal=crystal,
        _grid=grid,
    )
    return _with_lengths(_compared(network_of), threads)


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


def _with_lengths(paths: TransportNetwork, threads: int) -> TransportNetwork:
    """Fills in the hops' lengths and radii: one of a symmetry class is followed."""
    from fastin.network.exact import clearance_at

    if not len(paths.hop_energy):
        return paths
    _, first, inverse = np.unique(paths.hop_orbit, return_index=True, return_inverse=True)
    profiles = paths._profiles(first.tolist())
    start = np.concatenate([[0], np.cumsum([len(p.energy) for p in profiles])])
    points = np.concatenate([p.frac for p in profiles]) @ paths.cell
    radius = np.minimum.reduceat(clearance_at(paths.network.framework, points, num_threads=threads), start[:-1])
    length = np.array([p.distance[-1] for p in profiles])
    return replace(paths, hop_length=length[inverse], hop_radius=radius[inverse])
