"""The interstitial network of a framework: voids, bottlenecks, channels, free spheres."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.crystal.ions import IonName
from fastin.crystal.nearest import nearest_atoms
from fastin.crystal.warnings import CrystalWarning, refuse_severe
from fastin.errors import GeometryError, InputError
from fastin.network import files as network_files
from fastin.network.data import ClearanceMode, NetworkData
from fastin.network.exact import exact_free_spheres
from fastin.network.parts import Channel, FrameworkSpheres
from fastin.runtime.arguments import checked_arguments, checked_methods
from fastin.runtime.html import number_text, numbers_text, table, with_picture
from fastin.runtime.late import later
from fastin.runtime.memory import require
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads

__all__ = [
    "Channel",
    "FrameworkSpheres",
    "InterstitialNetwork",
    "ReducedNetwork",
    "compute_network",
    "network_from_arrays",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
_CLEARANCES = ("all", "generators")
_SAME = 1e-6  # A
_ATOM_BYTES = 5000  # measured: 4.2 to 5 kB an atom, 7 voids and 14 bottlenecks each


@dataclass(frozen=True, eq=False)
class ReducedNetwork:
    """One representative of each symmetry class of sites and of edges (the seed paper's non-equivalent paths).

    Attributes:
        network: the full network that the ids refer to.
        site_ids: (n,) lowest site of each class, in order of the class label.
        site_multiplicity: (n,) sites of the class in the cell.
        edge_ids: (m,) lowest edge of each class.
        edge_multiplicity: (m,) edges of the class in the cell.
        edge_classes: (2, m) site classes that the edges join.
    """

    network: InterstitialNetwork
    site_ids: Longs
    site_multiplicity: Longs
    edge_ids: Longs
    edge_multiplicity: Longs
    edge_classes: Longs

    def __repr__(self) -> str:
        """Counts, not contents."""
        return f"ReducedNetwork({len(self.site_ids)} site classes, {len(self.edge_ids)} edge classes)"


@checked_methods
@dataclass(frozen=True, eq=False)
class InterstitialNetwork(NetworkData):
    """Voids and bottlenecks of a framework: vertices and edges of its radical Voronoi diagram (Zeo++, CAVD).

    Edge e joins site ``edge_index[0, e]`` with site ``edge_index[1, e]`` displaced by ``edge_image[e]``: the vector is
    ``(site_frac[j] + edge_image - site_frac[i]) @ cell``. Each undirected edge occurs once, with i < j, or i == j and a
    lexicographically positive image; edges are sorted by (i, j, image). Radii are angstrom and may be negative where
    spheres overlap.

    Attributes: those of `NetworkData`: the tables `sites`, `edges`, `framework`, `spheres` and `mobile`, whose columns
    are attributes too (``site_frac``, ``edge_bottleneck_radius``, ``free_sphere_radii``, ``mobile_frac``...).
    """

    def __repr__(self) -> str:
        """Counts, not contents."""
        a, b, c = self.free_sphere_radii
        return (
            f"InterstitialNetwork({self.ion} in {self.source}: {len(self.site_radius)} sites, {len(self.edge_length)} "
            f"edges, free spheres {a:.3f} {b:.3f} {c:.3f} A)"
        )

    def _repr_html_(self) -> str:
        channels = ", ".join(f"{c.dimensionality}D" for c in self.channels()) or "none"
        rows = [
            ("source", self.source),
            ("voids", f"{len(self.site_radius)}, {len(set(self.site_orbit.tolist()))} inequivalent"),
            ("bottlenecks", f"{len(self.edge_length)}, {len(set(self.edge_orbit.tolist()))} inequivalent"),
            ("largest sphere, Å", number_text(self.largest_sphere_radius)),
            ("free sphere along a, b, c, Å", numbers_text(self.free_sphere_radii)),
            (f"channels for a probe of {number_text(self.probe_radius)} Å", channels),
        ]
        if self.exact_free_sphere_radii is not None:
            rows.insert(5, ("exact free sphere along a, b, c, Å", numbers_text(self.exact_free_sphere_radii)))
        return with_picture(self, table(f"InterstitialNetwork of {self.ion}", rows))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Voids, coloured by radius, and the bottlenecks between them.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.
            **options: of `fastin.view.plots.plot_network`: view, smallest.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot network")(self, ax, **options)

    def channels(self, probe_radius: float | None = None) -> list[Channel]:
        """Percolating components for a spherical probe: edges wider than it between sites larger than it.

        Args:
            probe_radius: angstrom; None takes the ion's default, `probe_radius`.

        Returns:
            Highest dimensionality first, then by first site.
        """
        radius = self.probe_radius if probe_radius is None else float(probe_radius)
        dims, site_start, sites, edge_start, edges = _core.channels(
            self.site_radius, self.edge_index, self.edge_image, self.edge_bottleneck_radius, radius
        )
        return [
            Channel(int(d), sites[site_start[k] : site_start[k + 1]], edges[edge_start[k] : edge_start[k + 1]])
            for k, d in enumerate(dims)
        ]

    def reduce(self) -> ReducedNetwork:
        """One site and one edge of each symmetry class, with their multiplicities in the cell."""
        _, site_ids, site_count = np.unique(self.site_orbit, return_index=True, return_counts=True)
        _, edge_ids, edge_count = np.unique(self.edge_orbit, return_index=True, return_counts=True)
        classes = self.site_orbit[self.edge_index[:, edge_ids]].astype(np.int64)
        return ReducedNetwork(self, site_ids, site_count, edge_ids, edge_count, classes)

    def _distance_to_mobile(self, points: Floats) -> Floats:
        """(K,) distance of each site of the mobile ion to the nearest of some points (angstrom)."""
        key = np.zeros(len(points), np.int32)
        distance: Floats = nearest_atoms(self.cell, points, key, self.mobile_frac, 1)[2][:, 0]
        return distance

    @cached_property
    def _mobile_to_void(self) -> Floats:
        return self._distance_to_mobile(np.concatenate([self.site_frac, self.edge_bottleneck_frac]))

    @cached_property
    def _mobile_to_face(self) -> Floats:
        if (self.site_kind == 1).any():  # the centres of the faces are sites
            return self._mobile_to_void
        spheres = self.framework
        return self._distance_to_mobile(_core.face_centres(spheres.cell, spheres.frac, spheres.radius))

    def recovery(self, threshold: float = 0.5) -> float:
        """Share of the mobile ion's crystallographic sites that the network finds (CAVD's quality measure).

        A site is found when one of its symmetry copies lies within `threshold` (angstrom, periodic) of a void, a
        bottleneck or the centre of a Voronoi face. NaN for a guest, which has no sites.
        """
        if not len(self.mobile_frac):
            return math.nan
        reach = threshold + _SAME  # copies of one site differ by rounding
        orbits = set(self.mobile_orbit.tolist())
        found = set(self.mobile_orbit[self._mobile_to_void <= reach].tolist())
        if len(found) < len(orbits):  # faces only where they can matter: they take a tessellation of their own
            found |= set(self.mobile_orbit[self._mobile_to_face <= reach].tolist())
        return len(found) / len(orbits)

    def write(self, path: str | PathLike[str]) -> None:
        """Writes .json, .net (CAVD layout), .cif, .vasp or .graphml, by suffix."""
        network_files.write(self, path)

    @staticmethod
    def read(path: str | PathLike[str]) -> InterstitialNetwork:
        """Reads what `write` wrote."""
        return network_files.read(path, InterstitialNetwork.from_dict)

    def to_networkx(self) -> Any:
        """The network as a networkx MultiGraph."""
        return network_files.to_networkx(self)

    def to_dataframe(self) -> Any:
        """Sites and edges as pandas tables."""
        return network_files.to_dataframe(self)

    def to_graph(self, **options: Any) -> Any:
        """The `InterstitialGraph` that models read; see `fastin.graph.graph.build_interstitial_graph`."""
        return later("network graph")(self, **options)


def _operations(rotations: ArrayLike | None, translations: ArrayLike | None) -> tuple[Ints, Floats]:
    if rotations is None or translations is None:
        return np.eye(3, dtype=np.int32)[None], np.zeros((1, 3))
    return np.ascontiguousarray(rotations, np.int32), np.ascontiguousarray(translations, np.float64)


def _core_network(
    cell: Floats,
    frac: Floats,
    radius: Floats,
    rotations: ArrayLike | None,
    translations: ArrayLike | None,
    *,
    clearance: str = "all",
    face_centers: bool = False,
    use_symmetry: bool = True,
    num_threads: int = 1,
) -> dict[str, Any]:
    rot, trans = _operations(rotations, translations)
    found: dict[str, Any] = _core.network(
        np.ascontiguousarray(cell, np.float64),
        np.ascontiguousarray(frac, np.float64),
        np.ascontiguousarray(radius, np.float64),
        rot,
        trans,
        generators=clearance == "generators",
        face_centers=face_centers,
        use_symmetry=use_symmetry,
        num_threads=num_threads,
    )
    return found


def _name_sites(error: GeometryError, framework: FrameworkSpheres) -> GeometryError:
    """The core's message, with the source and with the species and positions of the atoms that it names."""
    message = str(error)
    pair = re.match(r"atoms (\d+) and (\d+) overlap", message)
    if pair is None:
        return GeometryError(f"{framework.source}: {message}")
    names = [
        f"{framework.species[k]} (site {k}) at ({', '.join(f'{x:.4f}' for x in framework.frac[k])})"
        for k in map(int, pair.groups())
    ]
    distance = message.split("overlap: ")[1]
    return GeometryError(
        f"{framework.source}: {names[0]} and {names[1]} overlap: {distance}; "
        "remove one of them or give them partial occupancies"
    )


def network_from_arrays(
    cell: ArrayLike,
    frac: ArrayLike,
    radius: ArrayLike,
    *,
    rotations: ArrayLike | None = None,
    translations: ArrayLike | None = None,
    mobile_frac: ArrayLike | None = None,
    mobile_orbit: ArrayLike | None = None,
    number: ArrayLike | None = None,
    species: tuple[str, ...] | None = None,
    charge: ArrayLike | None = None,
    source: str = "arrays",
    ion: str = "X",
    guest: bool = False,
    probe_radius: float = 0.5,
    clearance: ClearanceMode = "all",
    face_centers: bool = False,
    exact: bool = False,
    use_symmetry: bool = True,
    num_threads: int | None = None,
    notes: tuple[str, ...] = (),
    warnings: tuple[CrystalWarning, ...] = (),
) -> InterstitialNetwork:
    """The network of given spheres, without any chemistry.

    Args:
        cell: (3, 3) lattice vectors in rows, angstrom.
        frac: (N, 3) fractional positions, any image.
        radius: (N,) angstrom.
        rotations: (G, 3, 3) operations ``x' = R x + t`` of the crystal in this basis; None for the identity alone.
        translations: (G, 3) their translations.
        mobile_frac: (K, 3) sites of the mobile ion, for `InterstitialNetwork.recovery`.
        mobile_orbit: (K,) their symmetry classes; None finds them by the operations.
        number: (N,) atomic numbers.
        species: names of the spheres.
        charge: (N,) oxidation states, e.
        source: name for messages.
        ion: name of the mobile ion.
        guest: the crystal holds none of the ion.
        probe_radius: default probe of `InterstitialNetwork.channels`, angstrom.
        clearance: "all" or "generators".
        face_centers: add the centres of the Voronoi faces as sites.
        exact: also compute the exact free-sphere radii.
        use_symmetry: compute only distinct parts where the operations allow it; the result is the same.
        num_threads: threads to use; None for the default.
        notes: carried into the result.
        warnings: likewise.

    Returns:
        The network; arrays are read-only.

    Raises:
        InputError: shapes do not fit, or values are not finite.
        GeometryError: the cell has no volume, or two atoms are nearer than 0.1 angstrom.
        ResourceError: more atoms than the memory allowed would hold.
    """
    if not isinstance(clearance, str) or clearance not in _CLEARANCES:
        raise InputError(f"clearance must be one of {', '.join(_CLEARANCES)}, not {clearance!r}")
    threads = resolve_threads(num_threads)
    positions = np.array(frac, np.float64).reshape(-1, 3)
    n = len(positions)
    require(n * _ATOM_BYTES, f"{source}: the network of {n} atoms", "give a smaller cell")
    framework = FrameworkSpheres(
        np.array(cell, np.float64),
        positions,
        np.array(radius, np.float64).reshape(-1),
        np.zeros(n, np.int32) if number is None else np.array(number, np.int32),
        ("X",) * n if species is None else tuple(species),
        np.zeros(n) if charge is None else np.array(charge, np.float64),
        source,
    )
    try:
        found = _core_network(
            framework.cell,
            framework.frac,
            framework.radius,
            rotations,
            translations,
            clearance=clearance,
            face_centers=face_centers,
            use_symmetry=use_symmetry,
            num_threads=threads,
        )
    except GeometryError as error:
        raise _name_sites(error, framework) from error
    except InputError as error:
        edges = " x ".join(f"{length:.6g}" for length in np.linalg.norm(framework.cell, axis=1))
        look = f"; check the cell edges, {edges} A" if "too thin for its voids" in str(error) else ""
        raise InputError(f"{source}: {error}{look}") from error
    mobile = np.zeros((0, 3)) if mobile_frac is None else np.array(mobile_frac, np.float64).reshape(-1, 3)
    columns = {k: np.array(v) if isinstance(v, tuple) else v for k, v in found.items()}
    columns["mobile_frac"] = mobile
    if mobile_orbit is None:
        columns["mobile_orbit"] = _core.point_orbits(framework.cell, mobile, *_operations(rotations, translations))
    else:
        columns["mobile_orbit"] = np.array(mobile_orbit, np.int32)
    network = InterstitialNetwork.from_columns(
        columns,
        framework,
        source=source,
        ion=ion,
        guest=guest,
        probe_radius=float(probe_radius),
        clearance=clearance,
        notes=notes,
        warnings=warnings,
    )
    return with_exact_radii(network, threads) if exact else network


def with_exact_radii(network: InterstitialNetwork, num_threads: int | None = None) -> InterstitialNetwork:
    """The same network with the exact free-sphere radii (see `fastin.network.exact`)."""
    exact = exact_free_spheres(network.framework, num_threads=num_threads)
    spheres = replace(
        network.spheres,
        exact_free=np.array(exact.free_sphere_radii, np.float64),
        exact_percolation=np.array(exact.percolation_radii, np.float64),
    )
    return replace(network, spheres=spheres)


@checked_arguments
def compute_network(
    source: Any,
    ion: IonName | None = None,
    *,
    radii: Any = "ionic",
    clearance: ClearanceMode = "all",
    face_centers: bool = False,
    exact: bool = False,
    use_symmetry: bool = True,
    oxidation_states: Any = None,
    strict: bool = False,
    num_threads: int | None = None,
) -> InterstitialNetwork:
    """Interstitial network that a mobile ion sees: the radical Voronoi diagram of everything else in the crystal.

    Args:
        source: path, pymatgen Structure, ASE Atoms or Crystal.
        ion: element ("Li") or species ("Li+"); None takes the first usual mobile ion present. An ion that the crystal
            does not hold is a guest: the whole crystal is framework.
        radii: "ionic" (Shannon crystal radii by element, charge and coordination), "effective", "atomic", a mapping
            from species or element to radius, or one radius a framework site.
        clearance: "all" measures every radius against all atoms; "generators" against those that own the vertex or
            edge, as CAVD and Zeo++ do (an upper bound).
        face_centers: the centres of the Voronoi faces become sites, each joined to the vertices of its face.
        exact: adds the exact free-sphere radii, for paths that need not follow Voronoi edges.
        use_symmetry: compute only the symmetry-distinct part where that is possible; the result is the same.
        oxidation_states: mapping or array that overrides the assignment.
        strict: refuse a crystal with severe warnings.
        num_threads: threads to use; None for the default.

    Returns:
        The network; arrays are read-only.

    Raises:
        InputError: unreadable source, no such ion, empty framework, severe warnings where `strict`.
        GeometryError: zero-volume cell or overlapping atoms.

    Examples:
        >>> import fastin
        >>> network = fastin.compute_network(fastin.examples()["Li3N"], "Li")
        >>> len(network.site_radius), len(network.edge_length)
        (2, 5)
        >>> [round(float(r), 3) for r in network.free_sphere_radii]
        [1.341, 1.341, 0.786]
        >>> network.channels()
        [Channel(3D, 2 sites, 5 edges)]

    References:
        B. He et al., Sci. Data 7, 151 (2020) (CAVD); T. F. Willems et al., Micropor. Mesopor. Mater. 149, 134 (2012)
        (Zeo++); F. Aurenhammer, SIAM J. Comput. 16, 78 (1987) (power diagrams).
    """
    from fastin.crystal.crystal import as_crystal

    framework = as_crystal(source, oxidation_states=oxidation_states, strict=strict).framework(ion, radii=radii)
    refuse_severe(framework.source, framework.warnings, strict)
    return network_from_arrays(
        framework.cell,
        framework.frac,
        framework.radius,
        rotations=framework.rotations,
        translations=framework.translations,
        mobile_frac=framework.mobile_frac,
        mobile_orbit=framework.mobile_orbit,
        number=framework.number,
        species=framework.species,
        charge=framework.charge,
        source=framework.source,
        ion=framework.ion.symbol,
        guest=framework.ion.guest,
        probe_radius=framework.probe_radius,
        clearance=clearance,
        face_centers=face_centers,
        exact=exact,
        use_symmetry=use_symmetry,
        num_threads=num_threads,
        notes=framework.notes,
        warnings=framework.warnings,
    )
