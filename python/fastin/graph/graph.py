"""The interstitial network, and the crystal itself, as graphs that models read.

Nodes of an `InterstitialGraph` are voids, edges are bottlenecks; both carry the local environment of their nearest
framework atoms. `NODE_SCALARS`, `EDGE_SCALARS` and `NEIGHBOUR_FEATURES` are the one table of every feature and its
unit. Arrays are raw (no normalisation): constants belong to the model that was fitted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.element_features import element_table
from fastin.crystal.nearest import NEIGHBOURS, nearest_atoms
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import FastinError, InputError
from fastin.runtime.late import later
from fastin.runtime.threads import resolve_threads

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from fastin.crystal.crystal import Crystal

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Feature:
    """One column of a graph array: its name, its unit ("" for a pure number) and what it means."""

    name: str
    unit: str
    meaning: str


NODE_SCALARS = (
    Feature("radius", "angstrom", "largest sphere at the void that touches no framework atom"),
    Feature("face_centre", "", "1 for the centre of a Voronoi face, 0 for a Voronoi vertex"),
    Feature("multiplicity", "", "voids of this symmetry class in the cell"),
)
EDGE_SCALARS = (
    Feature("bottleneck_radius", "angstrom", "largest sphere that passes along the edge"),
    Feature("length", "angstrom", "distance between the two voids"),
    Feature("multiplicity", "", "edges of this symmetry class in the cell"),
    Feature("per_target", "", "edges of this class and direction that arrive at one site of the target class"),
)
NEIGHBOUR_FEATURES = (
    Feature("distance", "angstrom", "to the atom's centre"),
    Feature("surface_distance", "angstrom", "to the atom's surface (distance - ionic radius)"),
    Feature("atomic_number", "", "of the atom (dominant species of a mixed site)"),
    Feature("group", "", "column of the periodic table"),
    Feature("period", "", "row of the periodic table"),
    Feature("electronegativity", "Pauling", "of the element"),
    Feature("oxidation_state", "e", "of the atom (mean of a mixed site)"),
    Feature("ionic_radius", "angstrom", "of the atom, as used by the tessellation"),
    Feature("softness", "1/eV", "1 / (ionization energy - electron affinity) of the element"),
)
ENERGY = Feature("energy", "eV", "BVSE energy at the void or along the edge; only where the caller asked for it")
ATOM_SCALARS = NEIGHBOUR_FEATURES[2:]


def feature_names(scalars: tuple[Feature, ...], *, energies: bool = False, neighbours: int = NEIGHBOURS) -> list[str]:
    """Column names of ``x`` or ``edge_attr``: the scalars, then ``n0_distance`` ... ``n11_softness``, then energy."""
    names = [f.name for f in scalars]
    names += [f"n{j}_{f.name}" for j in range(neighbours) for f in NEIGHBOUR_FEATURES]
    return [*names, ENERGY.name] if energies else names


class FrameworkLike(Protocol):
    """What the graph needs of a framework (see `fastin.crystal.crystal.Framework`)."""

    @property
    def frac(self) -> Floats:
        """(N, 3) fractional coordinates."""

    @property
    def radius(self) -> Floats:
        """(N,) angstrom."""

    @property
    def number(self) -> Ints:
        """(N,) atomic numbers."""

    @property
    def charge(self) -> Floats:
        """(N,) oxidation states."""


def _species_key(number: Ints, charge: Floats) -> Ints:
    """Order of species among equidistant atoms: by element, then by oxidation state."""
    return (np.asarray(number, np.int32) * 1000 + np.rint(np.asarray(charge) * 10).astype(np.int32)).astype(np.int32)


def atom_features(number: Ints, charge: Floats, radius: Floats) -> Floats:
    """(N, 7) table of the columns of `ATOM_SCALARS` for each atom."""
    table = element_table()
    z = np.asarray(number, np.int64)
    columns = [z, table.group[z], table.period[z], table.electronegativity[z], charge, radius, table.softness[z]]
    return np.stack([np.asarray(c, np.float64) for c in columns], axis=1)


def environment_features(atoms: Floats, neighbour: Ints, distance: Floats) -> Floats:
    """(P, k * 9) columns of `NEIGHBOUR_FEATURES`, neighbour after neighbour, from the table of `atom_features`."""
    own = atoms[neighbour]
    radius = own[:, :, [f.name for f in ATOM_SCALARS].index("ionic_radius")]
    joined = np.concatenate([distance[..., None], (distance - radius)[..., None], own], axis=2)
    return joined.reshape(len(neighbour), -1)


def _frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    return value


@dataclass(frozen=True, eq=False)
class InterstitialGraph:
    """Voids and bottlenecks with their local environments.

    With ``reduced`` there is one node a symmetry class of voids and one edge a class of bottlenecks, and ``cover_*``
    says how the full network folds onto them; without it the cover is the identity. Several edges may join the same
    two nodes, and an edge may join a node with itself (another image or an equivalent void): both are kept here, each
    model says what it does with them.

    Attributes:
        source: what the graph was made from.
        ion: mobile ion, e.g. ``"Li+"``.
        reduced: one node a symmetry class.
        cell: (3, 3) lattice vectors, angstrom.
        site_frac, site_radius, site_kind, site_multiplicity: (n, 3), (n,), (n,), (n,) voids; angstrom.
        ends: (E, 2) int32 nodes that each undirected edge joins.
        image: (E, 3) int32 cell offset of the representative edge in the full network.
        length, bottleneck_radius, edge_multiplicity: (E,) each; angstrom.
        bottleneck_frac: (E, 3) where the edge is narrowest.
        atom_number, atom_charge, atom_radius: (N,) framework atoms; angstrom.
        site_neighbour, site_distance: (n, k) framework atoms nearest to each void and how far they are.
        edge_neighbour, edge_distance: (E, k) the same for each bottleneck.
        cover_site: (V,) node of each void of the full network.
        cover_edge: (M,) edge of each bottleneck of the full network.
        cover_ends, cover_image: (M, 2), (M, 3) the full network itself.
        site_energy, edge_energy: (n,), (E,) eV, or None.
        warnings: those of the network.
    """

    source: str
    ion: str
    reduced: bool
    cell: Floats
    site_frac: Floats
    site_radius: Floats
    site_kind: Ints
    site_multiplicity: Ints
    ends: Ints
    image: Ints
    length: Floats
    bottleneck_frac: Floats
    bottleneck_radius: Floats
    edge_multiplicity: Ints
    atom_number: Ints
    atom_charge: Floats
    atom_radius: Floats
    site_neighbour: Ints
    site_distance: Floats
    edge_neighbour: Ints
    edge_distance: Floats
    cover_site: Ints
    cover_edge: Ints
    cover_ends: Ints
    cover_image: Ints
    site_energy: Floats | None = None
    edge_energy: Floats | None = None
    warnings: tuple[CrystalWarning, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            _frozen(getattr(self, field.name))

    def __repr__(self) -> str:
        kind = "reduced" if self.reduced else "full"
        return f"InterstitialGraph({self.source}, {self.ion}, {kind}, {self.num_nodes} nodes, {self.num_edges} edges)"

    @property
    def num_nodes(self) -> int:
        """Voids (classes of voids when reduced)."""
        return len(self.site_frac)

    @property
    def num_edges(self) -> int:
        """Undirected edges; the directed arrays hold twice as many."""
        return len(self.ends)

    @property
    def node_features(self) -> list[str]:
        """Column names of `x`."""
        return feature_names(NODE_SCALARS, energies=self.site_energy is not None, neighbours=self._k)

    @property
    def edge_features(self) -> list[str]:
        """Column names of `edge_attr`."""
        return feature_names(EDGE_SCALARS, energies=self.edge_energy is not None, neighbours=self._k)

    @property
    def _k(self) -> int:
        return int(self.site_neighbour.shape[1])

    @cached_property
    def _atoms(self) -> Floats:
        return atom_features(self.atom_number, self.atom_charge, self.atom_radius)

    @cached_property
    def pos(self) -> Floats:
        """(n, 3) Cartesian positions, angstrom."""
        position: Floats = self.site_frac @ self.cell
        return position

    @cached_property
    def x(self) -> Floats:
        """(n, F) node features, columns named by `node_features`."""
        columns = [
            self.site_radius[:, None],
            self.site_kind[:, None].astype(np.float64),
            self.site_multiplicity[:, None].astype(np.float64),
            environment_features(self._atoms, self.site_neighbour, self.site_distance),
        ]
        if self.site_energy is not None:
            columns.append(self.site_energy[:, None])
        return np.concatenate(columns, axis=1)

    @cached_property
    def edge_index(self) -> NDArray[np.int64]:
        """(2, 2 E) source and target; the E forward edges first."""
        forward = self.ends.T.astype(np.int64)
        return np.concatenate([forward, forward[::-1]], axis=1)

    @cached_property
    def edge_image(self) -> NDArray[np.int64]:
        """(2 E, 3) cell offset of the target seen from the source."""
        return np.concatenate([self.image, -self.image]).astype(np.int64)

    @cached_property
    def per_target(self) -> Floats:
        """(2 E,) edges of this class and direction that arrive at one site of the target's class."""
        target = self.edge_index[1]
        share: Floats = np.tile(self.edge_multiplicity, 2) / self.site_multiplicity[target]
        return share

    @cached_property
    def edge_attr(self) -> Floats:
        """(2 E, D) edge features, columns named by `edge_features`; both directions differ in ``per_target`` only."""
        environment = environment_features(self._atoms, self.edge_neighbour, self.edge_distance)
        columns = [
            np.tile(self.bottleneck_radius, 2)[:, None],
            np.tile(self.length, 2)[:, None],
            np.tile(self.edge_multiplicity, 2)[:, None].astype(np.float64),
            self.per_target[:, None],
            np.concatenate([environment, environment]),
        ]
        if self.edge_energy is not None:
            columns.append(np.tile(self.edge_energy, 2)[:, None])
        return np.concatenate(columns, axis=1)

    def to_pyg(self, y: Any = None) -> Data:
        """A ``torch_geometric.data.Data`` in float32: x, edge_index, edge_attr, edge_image, pos, and y (1, T).

        ``edge_forward`` (2 E,) marks one direction of each edge: in a PyG batch the halves do not stay together.
        """
        return later("interstitial graph to pyg")(self, y)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary of every field; `from_dict` restores it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> InterstitialGraph:
        """The graph that `to_dict` wrote."""
        return cls(**values)


def _representatives(orbit: NDArray[Any], reduce: bool) -> tuple[NDArray[np.int64], Ints, Ints]:
    """First member of each class, class of each member (0..C-1), members of each class; without `reduce` all apart."""
    if not reduce:
        every = np.arange(len(orbit))
        return every, every.astype(np.int32), np.ones(len(orbit), np.int32)
    _, first, inverse, counts = np.unique(orbit, return_index=True, return_inverse=True, return_counts=True)
    return first, inverse.astype(np.int32), counts.astype(np.int32)


def build_interstitial_graph(
    network: Any,
    framework: FrameworkLike | None = None,
    *,
    reduce: bool = True,
    site_energy: Floats | None = None,
    edge_energy: Floats | None = None,
    neighbours: int = NEIGHBOURS,
    num_threads: int | None = None,
) -> InterstitialGraph:
    """The graph of an interstitial network.

    Args:
        network: `fastin.network.network.InterstitialNetwork`.
        framework: framework with ``number`` and ``charge`` of each atom; default: the network's own.
        reduce: one node and one edge a symmetry class (default), or all of them.
        site_energy: (V,) eV for the sites of `network`; adds the column ``energy`` to ``x``.
        edge_energy: (E,) eV for its edges; adds the column ``energy`` to ``edge_attr``.
        neighbours: framework atoms that describe each void and bottleneck.
        num_threads: see `fastin.set_num_threads`.

    Raises:
        InputError: an array of the wrong length, or an element without properties.
    """
    atoms: FrameworkLike = network.framework if framework is None else framework
    source = str(getattr(network, "source", "") or getattr(atoms, "source", "") or "network")
    number = np.asarray(atoms.number, np.int32)
    element_table().check(number, source)
    ends = np.ascontiguousarray(np.asarray(network.edge_index).T, np.int32)
    image = np.ascontiguousarray(network.edge_image, np.int32)
    sites, bonds = len(network.site_frac), len(ends)
    for name, values, wanted in (("site_energy", site_energy, sites), ("edge_energy", edge_energy, bonds)):
        if values is not None and np.shape(values) != (wanted,):
            raise InputError(f"{source}: {name} must have shape ({wanted},), not {np.shape(values)}")
    first_site, node_of, site_count = _representatives(np.asarray(network.site_orbit), reduce)
    first_edge, edge_of, edge_count = _representatives(np.asarray(network.edge_orbit), reduce)
    site_frac = np.asarray(network.site_frac, np.float64)[first_site]
    neck_frac = np.asarray(network.edge_bottleneck_frac, np.float64)[first_edge]
    charge = np.asarray(atoms.charge, np.float64)
    found, _, distance = nearest_atoms(
        network.cell,
        np.asarray(atoms.frac, np.float64),
        _species_key(number, charge),
        np.concatenate([site_frac, neck_frac]),
        neighbours,
        num_threads=resolve_threads(num_threads),
    )
    n = len(site_frac)
    return InterstitialGraph(
        source=source,
        ion=str(getattr(network.ion, "symbol", network.ion)),
        reduced=reduce,
        cell=np.array(network.cell, np.float64),
        site_frac=site_frac,
        site_radius=np.asarray(network.site_radius, np.float64)[first_site],
        site_kind=np.asarray(network.site_kind, np.int32)[first_site],
        site_multiplicity=site_count,
        ends=node_of[ends[first_edge]].reshape(-1, 2),
        image=image[first_edge],
        length=np.asarray(network.edge_length, np.float64)[first_edge],
        bottleneck_frac=neck_frac,
        bottleneck_radius=np.asarray(network.edge_bottleneck_radius, np.float64)[first_edge],
        edge_multiplicity=edge_count,
        atom_number=number.copy(),
        atom_charge=charge.copy(),
        atom_radius=np.array(atoms.radius, np.float64),
        site_neighbour=found[:n],
        site_distance=distance[:n],
        edge_neighbour=found[n:],
        edge_distance=distance[n:],
        cover_site=node_of,
        cover_edge=edge_of,
        cover_ends=ends,
        cover_image=image,
        site_energy=None if site_energy is None else np.asarray(site_energy, np.float64)[first_site],
        edge_energy=None if edge_energy is None else np.asarray(edge_energy, np.float64)[first_edge],
        warnings=tuple(getattr(network, "warnings", ())),
    )


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """The crystal itself as a graph, as CGCNN builds it: nodes atoms, edges the nearest neighbours of each atom.

    T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018): 12 nearest neighbours, each a directed edge from
    the neighbour to the atom. Mobile ions are atoms like all others. A site of several species counts as the one
    with the largest occupancy.

    Attributes:
        source: what the graph was made from.
        cell: (3, 3) lattice vectors, angstrom.
        frac, number, charge, radius: (N, 3), (N,), (N,), (N,) atoms; angstrom (0 where no radius is known).
        neighbour, image, distance: (N, k), (N, k, 3), (N, k) nearest atoms of each atom, angstrom.
    """

    source: str
    cell: Floats
    frac: Floats
    number: Ints
    charge: Floats
    radius: Floats
    neighbour: Ints
    image: Ints
    distance: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            _frozen(getattr(self, field.name))

    def __repr__(self) -> str:
        return f"CrystalGraph({self.source}, {len(self.number)} atoms, {self.neighbour.size} edges)"

    @cached_property
    def x(self) -> Floats:
        """(N, F) columns of `ATOM_SCALARS`, then those of `NEIGHBOUR_FEATURES` for each neighbour."""
        atoms = atom_features(self.number, self.charge, self.radius)
        return np.concatenate([atoms, environment_features(atoms, self.neighbour, self.distance)], axis=1)

    @cached_property
    def edge_index(self) -> NDArray[np.int64]:
        """(2, N k) source (the neighbour) and target (the atom)."""
        target = np.repeat(np.arange(len(self.number)), self.neighbour.shape[1])
        return np.stack([self.neighbour.ravel().astype(np.int64), target])

    @cached_property
    def edge_attr(self) -> Floats:
        """(N k, 1) distances, angstrom."""
        return self.distance.reshape(-1, 1)

    @cached_property
    def edge_vector(self) -> Floats:
        """(N k, 3) from the atom to its neighbour, angstrom."""
        there = self.frac[self.neighbour] + self.image
        vector: Floats = ((there - self.frac[:, None, :]) @ self.cell).reshape(-1, 3)
        return vector

    def to_pyg(self, y: Any = None) -> Data:
        """A ``torch_geometric.data.Data`` in float32: x, z, edge_index, edge_attr, edge_vector, pos and y (1, T)."""
        return later("crystal graph to pyg")(self, y)


def _crystal_radii(crystal: Crystal, rows: NDArray[np.int64], number: Ints, charge: Floats) -> Floats:
    """Shannon crystal radius of each atom (angstrom), 0 where none is tabulated."""
    from fastin.crystal.coordination import shells_of
    from fastin.crystal.radii import ionic_radius

    shells = shells_of(crystal)

    @cache
    def value(z: int, state: float, shell: int) -> float:
        try:
            return max(ionic_radius(z, state, shell).value, 0.0)
        except FastinError:
            return 0.0

    rounded = np.round(charge, 3).tolist()
    columns = zip(crystal.position[rows].tolist(), number.tolist(), rounded, strict=True)
    return np.array([shells.between(at, partial(value, z, state)) for at, z, state in columns])


def build_crystal_graph(source: Any, *, neighbours: int = NEIGHBOURS, num_threads: int | None = None) -> CrystalGraph:
    """The crystal graph of a path, `Crystal`, pymatgen Structure or ASE Atoms; see `CrystalGraph`."""
    from fastin.crystal.crystal import as_crystal

    crystal = as_crystal(source)
    order = np.lexsort((-crystal.occupancy, crystal.position))
    _, first = np.unique(crystal.position[order], return_index=True)
    rows = order[first]  # the dominant species of each position
    number = np.asarray(crystal.number, np.int32)[rows]
    element_table().check(number, crystal.source)
    charge = np.asarray(crystal.charge, np.float64)[rows]
    frac = np.asarray(crystal.frac, np.float64)[rows]
    found, image, distance = nearest_atoms(
        crystal.cell,
        frac,
        _species_key(number, charge),
        frac,
        neighbours,
        skip=np.arange(len(rows), dtype=np.int32),
        num_threads=resolve_threads(num_threads),
    )
    return CrystalGraph(
        source=crystal.source,
        cell=np.array(crystal.cell, np.float64),
        frac=frac,
        number=number,
        charge=charge,
        radius=_crystal_radii(crystal, rows, number, charge),
        neighbour=found,
        image=image,
        distance=distance,
    )
