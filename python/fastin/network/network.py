"""The interstitial network of a framework: voids, bottlenecks, channels, free spheres."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.errors import GeometryError, InputError
from fastin.network.parts import Channel, FrameworkSpheres, freeze
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads

if TYPE_CHECKING:
    from fastin.graph.graph import InterstitialGraph

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
ClearanceMode = Literal["all", "generators"]

_CLEARANCES = ("all", "generators")


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


@dataclass(frozen=True, eq=False)
class InterstitialNetwork:
    """Voids and bottlenecks of a framework: vertices and edges of its radical Voronoi diagram (Zeo++, CAVD).

    Edge e joins site ``edge_index[0, e]`` with site ``edge_index[1, e]`` displaced by ``edge_image[e]``: the vector is
    ``(site_frac[j] + edge_image - site_frac[i]) @ cell``. Each undirected edge occurs once, with i < j, or i == j and a
    lexicographically positive image; edges are sorted by (i, j, image). Radii are angstrom and may be negative where
    spheres overlap.

    Attributes:
        source: what the crystal was read from.
        ion: mobile ion, "Li+".
        guest: the crystal holds none of the ion, all of it is framework.
        cell: (3, 3) lattice vectors in rows, angstrom.
        site_frac: (V, 3) sites, in [0, 1).
        site_radius: (V,) largest sphere at the site that overlaps no atom (`clearance`).
        site_kind: (V,) 0 Voronoi vertex, 1 centre of a Voronoi face.
        edge_index: (2, E) int64.
        edge_image: (E, 3) cell offsets.
        edge_length: (E,) angstrom.
        edge_bottleneck_frac: (E, 3) narrowest point, in [0, 1).
        edge_bottleneck_radius: (E,) clearance there.
        site_orbit: (V,) symmetry class.
        edge_orbit: (E,) symmetry class, regardless of direction.
        framework: the spheres.
        cell_volume: (N,) volume of each sphere's power cell, angstrom^3; 0 for a hidden sphere.
        free_sphere_radii: (3,) largest sphere that can move without end along a, b, c (the other axes free).
        percolation_radii: (3,) largest sphere that can move without end in 1, 2, 3 dimensions.
        included_sphere_radii: (3,) largest site on the component that opens each axis, at that radius.
        probe_radius: default probe for `channels`, angstrom.
        mobile_frac: (K, 3) sites of the mobile ion.
        mobile_orbit: (K,) their symmetry classes.
        clearance: "all" (every atom counts) or "generators" (only those that own the vertex or edge).
        exact_free_sphere_radii: (3,) the same as free_sphere_radii for paths that need not follow edges; None unless
            asked for.
        exact_percolation_radii: (3,) likewise.
        notes: what was assumed on the way.
    """

    source: str
    ion: str
    guest: bool
    cell: Floats
    site_frac: Floats
    site_radius: Floats
    site_kind: Ints
    edge_index: Longs
    edge_image: Ints
    edge_length: Floats
    edge_bottleneck_frac: Floats
    edge_bottleneck_radius: Floats
    site_orbit: Ints
    edge_orbit: Ints
    framework: FrameworkSpheres
    cell_volume: Floats
    free_sphere_radii: Floats
    percolation_radii: Floats
    included_sphere_radii: Floats
    probe_radius: float
    mobile_frac: Floats
    mobile_orbit: Ints
    clearance: ClearanceMode = "all"
    exact_free_sphere_radii: Floats | None = None
    exact_percolation_radii: Floats | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        """Counts, not contents."""
        a, b, c = self.free_sphere_radii
        return (
            f"InterstitialNetwork({self.ion} in {self.source}: {len(self.site_radius)} sites, {len(self.edge_length)} "
            f"edges, free spheres {a:.3f} {b:.3f} {c:.3f} A)"
        )

    def _repr_html_(self) -> str:
        from fastin.runtime import html as notebook

        return notebook.network(self)

    @property
    def largest_sphere_radius(self) -> float:
        """Radius of the largest void (angstrom)."""
        return float(self.site_radius.max())

    @property
    def included_sphere_along_free_path(self) -> float:
        """Largest void on the widest path of the easiest axis (angstrom); of axes equally wide, the larger void."""
        widest = self.free_sphere_radii == self.free_sphere_radii.max()
        return float(self.included_sphere_radii[widest].max())

    def edge_vectors(self) -> Floats:
        """(E, 3) Cartesian vectors from site i to the image of site j (angstrom)."""
        i, j = self.edge_index
        step: Floats = (self.site_frac[j] + self.edge_image - self.site_frac[i]) @ self.cell
        return step

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

    @cached_property
    def _face_centres(self) -> Floats:
        centres: Floats
        if (self.site_kind == 1).any():
            centres = self.site_frac[self.site_kind == 1]
            return centres
        spheres = self.framework
        found = _core_network(spheres.cell, spheres.frac, spheres.radius, None, None, face_centers=True)
        centres = found["site_frac"][found["site_kind"] == 1]
        return centres

    def recovery(self, threshold: float = 0.5) -> float:
        """Share of the mobile ion's crystallographic sites that the network finds (CAVD's quality measure).

        A site is found when one of its symmetry copies lies within `threshold` (angstrom, periodic) of a void, a
        bottleneck or the centre of a Voronoi face. NaN for a guest, which has no sites.
        """
        if not len(self.mobile_frac):
            return math.nan
        from fastin.graph.graph import nearest_atoms

        points = np.concatenate([self.site_frac, self.edge_bottleneck_frac, self._face_centres])
        key = np.zeros(len(points), np.int32)
        _, _, distance = nearest_atoms(self.cell, points, key, self.mobile_frac, 1)
        found = {int(o) for o, d in zip(self.mobile_orbit, distance[:, 0], strict=True) if d <= threshold}
        return len(found) / len(set(self.mobile_orbit.tolist()))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON; `from_dict` gives the same network back."""
        out: dict[str, Any] = {"format": "fastin.InterstitialNetwork", "version": 1}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, FrameworkSpheres):
                value = {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name != "cell"}
            out[field.name] = _plain(value)
        return out

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> InterstitialNetwork:
        """The network that `to_dict` described.

        Raises:
            InputError: a field is missing or has the wrong length.
        """
        try:
            cell = np.array(data["cell"], np.float64).reshape(3, 3)
            own = data["framework"]
            n = len(own["radius"])
            framework = FrameworkSpheres(
                cell,
                np.array(own["frac"], np.float64).reshape(n, 3),
                np.array(own["radius"], np.float64),
                np.array(own["number"], np.int32),
                tuple(own["species"]),
                np.array(own["charge"], np.float64),
                str(own["source"]),
            )
            values: dict[str, Any] = {"framework": framework}
            for name, (dtype, shape) in _ARRAYS.items():
                raw = data[name] if name not in _OPTIONAL else data.get(name)
                values[name] = None if raw is None and name in _OPTIONAL else np.array(raw, dtype).reshape(shape)
            for name in ("source", "ion", "clearance"):
                values[name] = str(data[name])
            values |= {"guest": bool(data["guest"]), "probe_radius": float(data["probe_radius"])}
            values["notes"] = tuple(data.get("notes", ()))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not an interstitial network: {error!r}") from error
        return cls(**values)

    def write(self, path: str | PathLike[str]) -> None:
        """Writes .json, .net (CAVD layout), .cif, .vasp or .graphml, by suffix."""
        from fastin.network import files as network_io

        network_io.write(self, path)

    @staticmethod
    def read(path: str | PathLike[str]) -> InterstitialNetwork:
        """Reads what `write` wrote."""
        from fastin.network import files as network_io

        network: InterstitialNetwork = network_io.read(path)
        return network

    def to_networkx(self) -> Any:
        """The network as a networkx MultiGraph."""
        from fastin.network import files as network_io

        return network_io.to_networkx(self)

    def to_dataframe(self) -> Any:
        """Sites and edges as pandas tables."""
        from fastin.network import files as network_io

        return network_io.to_dataframe(self)

    def to_graph(self, **options: Any) -> InterstitialGraph:
        """The graph that models read; see `fastin.graph.graph.build_interstitial_graph`."""
        from fastin.graph.graph import build_interstitial_graph

        return build_interstitial_graph(self, **options)


#: dtype and shape of the array fields.
_ARRAYS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "cell": (np.float64, (3, 3)),
    "site_frac": (np.float64, (-1, 3)),
    "site_radius": (np.float64, (-1,)),
    "site_kind": (np.int32, (-1,)),
    "edge_index": (np.int64, (2, -1)),
    "edge_image": (np.int32, (-1, 3)),
    "edge_length": (np.float64, (-1,)),
    "edge_bottleneck_frac": (np.float64, (-1, 3)),
    "edge_bottleneck_radius": (np.float64, (-1,)),
    "site_orbit": (np.int32, (-1,)),
    "edge_orbit": (np.int32, (-1,)),
    "cell_volume": (np.float64, (-1,)),
    "free_sphere_radii": (np.float64, (3,)),
    "percolation_radii": (np.float64, (3,)),
    "included_sphere_radii": (np.float64, (3,)),
    "mobile_frac": (np.float64, (-1, 3)),
    "mobile_orbit": (np.int32, (-1,)),
    "exact_free_sphere_radii": (np.float64, (3,)),
    "exact_percolation_radii": (np.float64, (3,)),
}
_OPTIONAL = ("exact_free_sphere_radii", "exact_percolation_radii")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


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
) -> InterstitialNetwork:
    """The network of given spheres, without any chemistry.

    Args:
        cell: (3, 3) lattice vectors in rows, angstrom.
        frac: (N, 3) fractional positions, any image.
        radius: (N,) angstrom.
        rotations: (G, 3, 3) operations ``x' = R x + t`` of the crystal in this basis; None for the identity alone.
        translations: (G, 3) their translations.
        mobile_frac: (K, 3) sites of the mobile ion, for `InterstitialNetwork.recovery`.
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

    Returns:
        The network; arrays are read-only.

    Raises:
        InputError: shapes do not fit, or values are not finite.
        GeometryError: the cell has no volume, or two atoms are nearer than 0.1 angstrom.
    """
    if clearance not in _CLEARANCES:
        raise InputError(f"clearance must be one of {', '.join(_CLEARANCES)}, not {clearance!r}")
    threads = resolve_threads(num_threads)
    positions = np.array(frac, np.float64).reshape(-1, 3)
    n = len(positions)
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
        raise InputError(f"{source}: {error}") from error
    mobile = np.zeros((0, 3)) if mobile_frac is None else np.array(mobile_frac, np.float64).reshape(-1, 3)
    network = InterstitialNetwork(
        source=source,
        ion=ion,
        guest=guest,
        cell=framework.cell,
        framework=framework,
        probe_radius=float(probe_radius),
        mobile_frac=mobile,
        mobile_orbit=_core.point_orbits(framework.cell, mobile, *_operations(rotations, translations)),
        clearance=clearance,
        notes=notes,
        **{k: np.array(v) if isinstance(v, tuple) else v for k, v in found.items() if k != "symmetry_used"},
    )
    return with_exact_radii(network, threads) if exact else network


def with_exact_radii(network: InterstitialNetwork, num_threads: int | None = None) -> InterstitialNetwork:
    """The same network with the exact free-sphere radii (see `fastin.network.exact`)."""
    from fastin.network.exact import exact_free_spheres

    exact = exact_free_spheres(network.framework, num_threads=num_threads)
    return replace(
        network,
        exact_free_sphere_radii=np.array(exact.free_sphere_radii, np.float64),
        exact_percolation_radii=np.array(exact.percolation_radii, np.float64),
    )


def compute_network(
    source: Any,
    ion: str | None = None,
    *,
    radii: Any = "ionic",
    clearance: ClearanceMode = "all",
    face_centers: bool = False,
    exact: bool = False,
    use_symmetry: bool = True,
    oxidation_states: Any = None,
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
        num_threads: threads to use; None for the default.

    Returns:
        The network; arrays are read-only.

    Raises:
        InputError: unreadable source, no such ion, empty framework.
        GeometryError: zero-volume cell or overlapping atoms.

    Example:
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

    framework = as_crystal(source, oxidation_states=oxidation_states).framework(ion, radii=radii)
    return network_from_arrays(
        framework.cell,
        framework.frac,
        framework.radius,
        rotations=framework.rotations,
        translations=framework.translations,
        mobile_frac=framework.mobile_frac,
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
    )
