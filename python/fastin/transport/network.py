"""The transport network: interstitial network and energy landscape in one, with sites, hops and paths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastin.bvse.shared import blocked_shares
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError
from fastin.runtime import html
from fastin.runtime.arguments import checked_methods
from fastin.runtime.late import later
from fastin.runtime.parts import Column
from fastin.runtime.threads import resolve_threads
from fastin.transport import export, filling, neb, neb_files, simulation, tables
from fastin.transport.blocking import blocked_barriers
from fastin.transport.components import Component, components, conducting, occupied_levels
from fastin.transport.kinetics import DEFAULT_PREFACTOR, HopModel, check_temperatures, nernst_einstein, slopes
from fastin.transport.lattice_gas import LatticeGas, Repulsion
from fastin.transport.legs import Leg, LegFinder
from fastin.transport.parts import FloatArray, Hops, Ints, Loop, Positions, Sites, Voids, periodic_distances
from fastin.transport.profiles import HopProfile, TransportPath, hop_profiles, join_profiles
from fastin.transport.symmetry import HopSymmetry, letters, operations

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from fastin.bvse.barriers import Barriers
    from fastin.bvse.grid import EnergyGrid
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import MobileIon
    from fastin.network.network import InterstitialNetwork
    from fastin.transport.simulation import Simulation

_NO_ROUTE = np.zeros((0, 3))


@checked_methods
@dataclass(frozen=True, eq=False)
class TransportNetwork:
    """Sites of a mobile ion and the hops between them, with energies (eV) above `zero_energy`.

    The columns of its tables have short names here: ``site_energy`` is ``sites.energy``, ``hop_index`` is
    ``hops.index``, ``void_site`` is ``voids.site``, ``edge_hop`` is ``voids.edge_hop``, ``mobile_frac`` is
    ``positions.frac``.

    Attributes:
        source: what the crystal was read from.
        ion: the mobile ion.
        cell: (3, 3) lattice vectors in rows, angstrom.
        energy_cutoff: sites and hops up to this energy are kept, eV.
        zero_energy: absolute energy of the zero: the lowest site, the minimum of the whole landscape, eV.
        barriers: percolation barriers of the same landscape.
        network: the interstitial network of the same crystal.
        sites: minima of the energy (`Sites`).
        hops: saddles between them (`Hops`).
        voids: voids and edges of `network` in the energy (`Voids`).
        positions: where the crystal holds the mobile ion (`Positions`).
        loops: for one, two and three dimensions, the hops (and directions) of the cheapest path, and its translation.
        notes: what was assumed on the way.
        warnings: those of the network and of the energies (`fastin.crystal.warnings`).
    """

    source: str
    ion: MobileIon
    cell: FloatArray
    energy_cutoff: float
    zero_energy: float
    barriers: Barriers
    network: InterstitialNetwork
    sites: Sites
    hops: Hops
    voids: Voids
    positions: Positions
    loops: tuple[Loop, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[CrystalWarning, ...] = ()
    _crystal: Crystal | None = field(default=None, repr=False)
    _grid: EnergyGrid | None = field(default=None, repr=False)

    site_frac = Column[FloatArray]("sites", "frac")
    site_energy = Column[FloatArray]("sites", "energy")
    site_radius = Column[FloatArray]("sites", "radius")
    site_orbit = Column[Ints]("sites", "orbit")
    site_mobile = Column[Ints]("sites", "mobile")
    site_mobile_distance = Column[FloatArray]("sites", "mobile_distance")
    site_occupancy = Column[FloatArray]("sites", "occupancy")
    hop_index = Column[npt.NDArray[np.int64]]("hops", "index")
    hop_image = Column[Ints]("hops", "image")
    hop_energy = Column[FloatArray]("hops", "energy")
    hop_saddle_frac = Column[FloatArray]("hops", "saddle_frac")
    hop_length = Column[FloatArray]("hops", "length")
    hop_radius = Column[FloatArray]("hops", "radius")
    hop_orbit = Column[Ints]("hops", "orbit")
    hop_weight = Column[FloatArray]("hops", "weight")
    hop_stationary = Column[npt.NDArray[np.bool_]]("hops", "stationary")
    hop_routes = Column[Mapping[int, FloatArray]]("hops", "routes")
    void_energy = Column[FloatArray]("voids", "energy")
    void_site = Column[Ints]("voids", "site")
    void_cell = Column[Ints]("voids", "cell")
    edge_energy = Column[FloatArray]("voids", "edge_energy")
    edge_hop = Column[Ints]("voids", "edge_hop")
    mobile_frac = Column[FloatArray]("positions", "frac")
    mobile_occupancy = Column[FloatArray]("positions", "occupancy")

    def __repr__(self) -> str:
        e = ", ".join(f"E{d}D {v:.3f}" for d, v in enumerate(self.barriers.values("network"), 1) if math.isfinite(v))
        classes = len(np.unique(self.hop_orbit))
        return (
            f"TransportNetwork({self.source}: {self.ion.symbol}, {len(self.site_energy)} sites, "
            f"{len(self.hop_energy)} hops of {classes} kinds, {e} eV)"
        )

    def _repr_html_(self) -> str:
        rows = tables.hop_rows(self.hop_classes())
        return html.with_picture(self, html.table(repr(self), rows, tables.HOP_COLUMNS))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Energy along the cheapest path, or along one hop.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.
            **options: of `fastin.view.plots.plot_transport`: dimensions, hop.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot transport")(self, ax, **options)

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
        return next(iter(self.profiles([self.checked_hop(hop)])))

    def checked_hop(self, hop: int) -> int:
        """The number of a hop that is there.

        Raises:
            InputError: no such hop.
        """
        if isinstance(hop, bool) or not isinstance(hop, int | np.integer):
            raise InputError(f"{self.source}: {hop!r} is no hop: its number is a whole number")
        if not 0 <= hop < len(self.hop_energy):
            raise InputError(f"{self.source}: there is no hop {hop}; the network has {len(self.hop_energy)}")
        return int(hop)

    def profiles(self, hops: Sequence[int]) -> list[HopProfile]:
        """The profiles of several hops, each from its first to its second site."""
        grid = self._energy_grid()
        assert grid.field is not None
        ids = np.asarray(hops, dtype=np.int64)
        i, j = self.hop_index[:, ids]
        ends = self.site_frac[j] + self.hop_image[ids]
        return list(
            hop_profiles(
                grid.field,
                self._operations,
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

    @cached_property
    def _operations(self) -> tuple[FloatArray, FloatArray]:
        field = self._energy_grid().field
        assert field is not None
        return operations(self.crystal, field)

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
        profiles = self.profiles([h for h, _ in steps])
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
        distance = periodic_distances(self.cell, self.mobile_frac, self.site_frac)
        return float((distance.min(axis=1, initial=np.inf) <= threshold).mean())

    @property
    def crystal(self) -> Crystal:
        """The crystal that the network was computed from.

        Raises:
            InputError: the network carries none.
        """
        if self._crystal is None:
            raise InputError(f"{self.source}: this transport network carries no crystal")
        return self._crystal

    @cached_property
    def _wyckoff(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return letters(self.crystal, self.positions, self.sites)

    @property
    def site_wyckoff(self) -> tuple[str, ...]:
        """(S,) multiplicity and Wyckoff letter of each site, "24d", in the setting that spglib chooses."""
        return self._wyckoff[1]

    @property
    def mobile_wyckoff(self) -> tuple[str, ...]:
        """(K,) multiplicity and Wyckoff letter of each position of the mobile ion, in the same setting."""
        return self._wyckoff[0]

    @cached_property
    def conducting_components(self) -> tuple[Component, ...]:
        """Components that percolate below the cutoff: those that hold an ion of the crystal, or all where none does."""
        return tuple(conducting(components(len(self.sites), self.hops, self.positions)))

    @cached_property
    def conducting_sites(self) -> npt.NDArray[np.int64]:
        """Sites of `conducting_components`, in rising order."""
        parts = [part.sites for part in self.conducting_components]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)

    @property
    def conducting_ions(self) -> float:
        """Ions of the cell in the basins of conducting sites: those that `conductivity` counts."""
        return sum(part.ions for part in self.conducting_components)

    @cached_property
    def occupied_levels(self) -> FloatArray:
        """(3,) energies at which a component that holds an ion percolates in 1, 2, 3 dimensions, eV; inf for none."""
        return occupied_levels(len(self.sites), self.hops, self.positions)

    def blocked_barriers(self, choices: int = 9, *, seed: int = 0) -> FloatArray:
        """(choices, 3) barriers, eV, with the positions that other species hold drawn at random (`blocking`)."""
        shares = blocked_shares(self.crystal, self.ion)
        return blocked_barriers(self.cell, self.sites, self.hops, self.positions, shares, choices, seed)

    def hop_model(
        self, prefactor: float = DEFAULT_PREFACTOR, *, sites: npt.NDArray[np.int64] | None = None
    ) -> HopModel:
        """Sites and their hops as a Markov chain.

        Args:
            prefactor: attempt frequency, Hz.
            sites: whole components, by ids in rising order; None takes the conducting sites.

        Raises:
            InputError: nothing percolates below the cutoff.
        """
        sites = self.conducting_sites if sites is None else sites
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
        """(3, 3) tracer diffusivity of independent ions on the conducting sites, cm^2/s (module `kinetics`).

        Ions do not leave their component: the mean over the components, each with the ions that it holds. Where none
        holds an ion, that of one ion in equilibrium over all of them.

        Raises:
            InputError: a temperature that is not positive; nothing percolates below the cutoff.
        """
        if not self.conducting_ions > 0:
            return self.hop_model(prefactor).diffusivity(temperature)
        total = np.zeros((3, 3))
        for part in self.conducting_components:
            total += part.ions * self.hop_model(prefactor, sites=part.sites).diffusivity(temperature)
        return total / self.conducting_ions

    def conductivity(
        self, temperature: float, *, prefactor: float = DEFAULT_PREFACTOR, ions_per_cell: float | None = None
    ) -> FloatArray:
        """(3, 3) ionic conductivity by Nernst-Einstein, S/cm: an order of magnitude (`docs/guide/energies.md`).

        Args:
            temperature: K.
            prefactor: attempt frequency, Hz.
            ions_per_cell: None takes the ions that the crystal holds on the conducting sites (`conducting_ions`); zero
                where its ions sit elsewhere.

        Raises:
            InputError: a guest ion without `ions_per_cell`; nothing percolates.
        """
        if ions_per_cell is None and not len(self.positions):
            raise InputError(f"{self.source}: the crystal holds no {self.ion.symbol}; give ions_per_cell")
        count = self.conducting_ions if ions_per_cell is None else ions_per_cell
        if not (math.isfinite(count) and count >= 0):
            raise InputError(f"ions_per_cell must be a number of 0 or more, not {ions_per_cell}")
        d = self.diffusivity(temperature, prefactor=prefactor)
        return nernst_einstein(d, self.cell, temperature, count, self.ion.charge)

    def activation_energy(self, low: float = 300.0, high: float = 600.0) -> tuple[FloatArray, float]:
        """Effective activation energy of D(T): (3,) along x, y, z and of the mean, eV."""
        check_temperatures(low, high)
        return slopes(self.diffusivity(low), self.diffusivity(high), low, high)

    def lattice_gas(
        self,
        *,
        ions_per_cell: float | None = None,
        exclusion: float | None = None,
        repulsion: Repulsion | None = None,
        prefactor: float = DEFAULT_PREFACTOR,
    ) -> LatticeGas:
        """All sites at the crystal's own content, with ions that exclude each other: occupations, mean field.

        Args:
            ions_per_cell: None takes the content of the crystal.
            exclusion: sites closer than this (angstrom) are not filled together; None takes the shortest contact
                usual for the ion, or less where the crystal's own positions are nearer (`fastin.transport.filling`).
            repulsion: screened Coulomb energy of ions farther apart; None for none.
            prefactor: attempt frequency, Hz.

        Raises:
            InputError: a guest ion without `ions_per_cell`; more ions than sites.
        """
        return filling.lattice_gas(
            self.source,
            self.ion,
            self.cell,
            self.sites,
            self.hops,
            self.positions,
            ions_per_cell=ions_per_cell,
            exclusion=exclusion,
            repulsion=repulsion,
            prefactor=prefactor,
        )

    def simulate(
        self,
        temperature: float,
        *,
        ions_per_cell: float | None = None,
        exclusion: float | None = None,
        repulsion: Repulsion | None = None,
        prefactor: float = DEFAULT_PREFACTOR,
        **options: Any,
    ) -> Simulation:
        """Kinetic Monte Carlo at the crystal's own content: tracer and charge diffusivity, Haven ratio, conductivity.

        Ions exclude each other and move one at a time: concerted moves and the framework's relaxation are lacking, see
        `fastin.transport.lattice_gas`.

        Args:
            temperature: K.
            ions_per_cell: this and the next three as for `lattice_gas`.
            exclusion: angstrom.
            repulsion: of ions farther apart.
            prefactor: attempt frequency, Hz.
            **options: of `fastin.transport.simulation.run`: supercell, events, replicas, samples, seed, num_threads.

        Raises:
            InputError: as `lattice_gas`; ions that find no place, a supercell in which an ion meets its own image.
        """
        gas = self.lattice_gas(
            ions_per_cell=ions_per_cell, exclusion=exclusion, repulsion=repulsion, prefactor=prefactor
        )
        try:
            return simulation.run(gas, temperature, **options)
        except InputError as error:
            raise InputError(f"{self.source}: {error}") from error

    @cached_property
    def leg_finder(self) -> LegFinder:
        """Ways between places by any mechanism, with their symmetry."""
        symmetry = HopSymmetry(self.cell, self.sites, self.hops, *self._operations)
        return LegFinder(
            self.cell, self.sites, self.hops, self.positions, symmetry, self.site_wyckoff, self.mobile_wyckoff
        )

    def legs(self, mechanism: str = "vacancy") -> tuple[Leg, ...]:
        """All inequivalent ways between places of the ion below the cutoff, lowest saddle first.

        Args:
            mechanism: ``"vacancy"`` (the default): between crystallographic positions; ``"interstitial"``: between
                vacant sites with room beside the crystal's ions; ``"exchange"``: from such a site into a position,
                whose ion moves on to another.

        Raises:
            InputError: no such mechanism; ``"vacancy"`` or ``"exchange"`` of an ion that the crystal does not hold.
        """
        return self.leg_finder.legs(neb.default_mechanism(self, mechanism))

    def write(self, path: str | PathLike[str], *, what: str | None = None, **options: Any) -> list[Path]:
        """Writes legs, profiles (CSV), sites (extended XYZ), JSON or a kMCpy folder; see `fastin.transport.export`."""
        return export.write(self, Path(path), what=what, **options)

    def hop_classes(self) -> list[dict[str, Any]]:
        """One row for each kind of hop: the seed paper's non-equivalent paths, cheapest first."""
        return tables.hop_classes(self.hops, self.sites, self.hop_dimensions)

    def site_classes(self) -> list[dict[str, Any]]:
        """One row for each kind of site: class, multiplicity, position, energy, clearance, what is there."""
        return tables.site_classes(self.sites, self.site_wyckoff)

    def neb_images(
        self,
        hop: Leg | int | str | Sequence[int],
        n: int = 5,
        *,
        supercell: float | Sequence[int] | None = None,
        mechanism: str | None = None,
    ) -> list[Structure]:
        """Chain of images for a nudged elastic band run; see `fastin.transport.neb.neb_images`."""
        return neb.neb_images(self, hop, n, supercell=supercell, mechanism=mechanism)

    def write_neb(
        self,
        hop: Leg | int | str | Sequence[int],
        path: str | PathLike[str],
        n: int = 5,
        *,
        supercell: float | Sequence[int] | None = None,
        mechanism: str | None = None,
    ) -> list[Path]:
        """Writes the images of a leg, or with ``"all"`` of all; see `fastin.transport.neb_files.write_neb`."""
        return neb_files.write_neb(self, hop, path, n, supercell=supercell, mechanism=mechanism)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers of the sites, hops and paths."""
        return tables.to_dict(self)
