"""numpy graphs to torch: the only place where float64 becomes float32.

`TensorStore` holds a `GraphStore` on one device and cuts batches out of it with index arithmetic, so that no Python
loop runs over the graphs of a batch. A `Batch` has PyG's names (x, edge_index, edge_attr, batch, ptr, y); PyG's own
``Data`` objects come from `interstitial_to_pyg` and work with the same models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fastin.crystal.element_features import element_table
from fastin.graph.graph import NEIGHBOUR_FEATURES, CrystalGraph, InterstitialGraph
from fastin.ml._require import require
from fastin.ml.levels import landmark_columns, level_columns
from fastin.ml.pair_terms import graph_pairs, parse_ion
from fastin.ml.rows import RowIndex, run_pointer
from fastin.ml.store import FIELDS, GROUPS, GraphStore, prune_edges, row_ranges

if TYPE_CHECKING:
    from torch_geometric.data import Data


def _label(y: Any) -> dict[str, Tensor]:
    return {} if y is None else {"y": torch.as_tensor(np.atleast_1d(y), dtype=torch.float32).reshape(1, -1)}


def interstitial_to_pyg(graph: InterstitialGraph, y: Any = None) -> Data:
    """PyG data of one interstitial graph in float32; `y` of any length T becomes (1, T)."""
    data = require("torch_geometric.data", "torch-geometric")
    made: Data = data.Data(
        x=torch.tensor(graph.x, dtype=torch.float32),
        edge_index=torch.tensor(graph.edge_index),
        edge_attr=torch.tensor(graph.edge_attr, dtype=torch.float32),
        edge_image=torch.tensor(graph.edge_image),
        edge_forward=torch.arange(2 * graph.num_edges) < graph.num_edges,
        pos=torch.tensor(graph.pos, dtype=torch.float32),
        **_label(y),
    )
    return made


def crystal_to_pyg(graph: CrystalGraph, y: Any = None) -> Data:
    """PyG data of one crystal graph in float32; `y` of any length T becomes (1, T)."""
    data = require("torch_geometric.data", "torch-geometric")
    made: Data = data.Data(
        x=torch.tensor(graph.x, dtype=torch.float32),
        z=torch.tensor(graph.number, dtype=torch.int64),
        edge_index=torch.tensor(graph.edge_index),
        edge_attr=torch.tensor(graph.edge_attr, dtype=torch.float32),
        edge_vector=torch.tensor(graph.edge_vector, dtype=torch.float32),
        pos=torch.tensor(graph.frac @ graph.cell, dtype=torch.float32),
        **_label(y),
    )
    return made


def _element_columns() -> Tensor:
    """(Z + 1, 4) group, period, electronegativity, softness by atomic number."""
    t = element_table()
    return torch.tensor(np.stack([t.group, t.period, t.electronegativity, t.softness], axis=1), dtype=torch.float32)


def atom_columns(number: Tensor, charge: Tensor, radius: Tensor) -> Tensor:
    """(N, 9) what `environment` says of each atom, but for the distances in the first two columns."""
    group, period, chi, softness = _element_columns().to(number.device)[number.long()].unbind(1)
    # The two distances (to the centre, to the surface) stand in front of what depends on the neighbour alone.
    return torch.stack(
        [torch.zeros_like(radius), -radius, number.float(), group, period, chi, charge, radius, softness], dim=1
    )


def environment(number: Tensor, charge: Tensor, radius: Tensor, neighbour: Tensor, distance: Tensor) -> Tensor:
    """(P, k * 9) columns of `fastin.graph.graph.NEIGHBOUR_FEATURES` in float32, as `environment_features` in numpy."""
    atoms = atom_columns(number, charge, radius)
    rows = atoms.index_select(0, neighbour.reshape(-1)).reshape(*neighbour.shape, len(NEIGHBOUR_FEATURES))
    rows[..., :2] += distance.unsqueeze(-1)
    return rows.flatten(1)


@dataclass
class Batch:
    """Several graphs in one; `kind` is ``"interstitial"`` or ``"crystal"``.

    Attributes:
        kind: which graphs these are.
        num_graphs: how many.
        batch: (n,) graph of each node; nodes of one graph are consecutive.
        ptr: (G + 1,) first node of each graph.
        edge_index: (2, m) directed edges, source and target.
        fields: compact arrays of the batch by name (see `fastin.ml.store.FIELDS`), neighbour and end indices
            counted over the whole batch.
        cover: numpy arrays of the full networks (interstitial graphs): site, edge, ends, image, site_ptr, edge_ptr.
        y: (G, T) targets, NaN where unknown, or None.
        edge_batch: (E,) graph of each undirected edge (interstitial graphs).
        atom_batch: (N,) graph of each framework atom (interstitial graphs).
        ion: (G, 2) atomic number and charge of the mobile ions (interstitial graphs).
        levels: (G, 25) of `fastin.ml.levels.level_columns` (interstitial graphs).
    """

    kind: str
    num_graphs: int
    batch: Tensor
    ptr: Tensor
    edge_index: Tensor
    fields: dict[str, Tensor]
    cover: dict[str, np.ndarray] = field(default_factory=dict)
    y: Tensor | None = None
    edge_batch: Tensor | None = None
    atom_batch: Tensor | None = None
    ion: Tensor | None = None
    levels: Tensor | None = None

    @property
    def num_nodes(self) -> int:
        """Nodes of all graphs."""
        return len(self.batch)

    @cached_property
    def source(self) -> RowIndex:
        """Source of each directed edge."""
        return RowIndex(self.edge_index[0], self.num_nodes)

    @cached_property
    def target(self) -> RowIndex:
        """Target of each directed edge."""
        return RowIndex(self.edge_index[1], self.num_nodes)

    @cached_property
    def per_target(self) -> Tensor:
        """(m,) edges of the class and direction that arrive at one site of the target's class."""
        count = self.fields["edge_multiplicity"].float().repeat(2)
        return count / self.fields["site_multiplicity"].float()[self.edge_index[1]]

    @cached_property
    def edge_forward(self) -> Tensor:
        """(m,) bool: one direction of each undirected edge (interstitial graphs)."""
        m = self.edge_index.shape[1]
        return torch.arange(m, device=self.edge_index.device) < m // 2

    @cached_property
    def x(self) -> Tensor:
        """(n, F) node features: the columns of the numpy graphs' ``x``."""
        f = self.fields
        if self.kind == "crystal":
            atoms = (f["crystal_number"], f["crystal_charge"], f["crystal_radius"])
            around = environment(*atoms, f["crystal_neighbour"], f["crystal_distance"])
            return torch.cat([atom_columns(*atoms)[:, 2:], around], dim=1)
        scalars = [f["site_radius"], f["site_kind"].float(), f["site_multiplicity"].float()]
        around = environment(
            f["atom_number"], f["atom_charge"], f["atom_radius"], f["site_neighbour"], f["site_distance"]
        )
        return torch.cat([torch.stack(scalars, dim=1), around], dim=1)

    @cached_property
    def neck(self) -> Tensor:
        """(E, D - 1) features of the undirected edges: ``edge_attr`` without ``per_target``."""
        f = self.fields
        scalars = [f["bottleneck_radius"], f["length"], f["edge_multiplicity"].float()]
        around = environment(
            f["atom_number"], f["atom_charge"], f["atom_radius"], f["edge_neighbour"], f["edge_distance"]
        )
        return torch.cat([torch.stack(scalars, dim=1), around], dim=1)

    def atoms(self) -> Tensor:
        """(N, 9) `atom_columns` of the atoms that the neighbours number."""
        group = "crystal" if self.kind == "crystal" else "atom"
        return atom_columns(*(self.fields[f"{group}_{name}"] for name in ("number", "charge", "radius")))

    def parts(self, *, necks: bool) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """What the rows of `x`, then of the bottlenecks in `voids_and_necks`, are made of.

        Of each kind of node: (G + 1,) int32 first one of each graph, own columns, neighbours, their distances.
        """
        f, ptr = self.fields, self.ptr.to(torch.int32)
        if self.kind == "crystal":
            return [(ptr, self.atoms()[:, 2:].contiguous(), f["crystal_neighbour"], f["crystal_distance"])]
        own = torch.stack([f["site_radius"], f["site_kind"].float(), f["site_multiplicity"].float()], dim=1)
        parts = [(ptr, own, f["site_neighbour"], f["site_distance"])]
        if necks:
            assert self.edge_batch is not None
            radius = f["bottleneck_radius"]
            own = torch.stack([radius, torch.zeros_like(radius), f["edge_multiplicity"].float()], dim=1)
            first = run_pointer(torch.bincount(self.edge_batch, minlength=self.num_graphs)).to(torch.int32)
            parts.append((first, own, f["edge_neighbour"], f["edge_distance"]))
        return parts

    def voids_and_necks(self, order: Tensor) -> Tensor:
        """(n + E, F + 1) rows of `x`, then of the bottlenecks in the same columns, taken in this order.

        A bottleneck has its own radius, kind 0 and its multiplicity; the last column is 1 for bottlenecks.
        """
        f = self.fields
        necks = torch.zeros_like(f["bottleneck_radius"])
        scalars = [
            torch.cat([f["site_radius"], f["bottleneck_radius"]]),
            torch.cat([f["site_kind"].float(), necks]),
            torch.cat([f["site_multiplicity"].float(), f["edge_multiplicity"].float()]),
        ]
        mark = torch.cat([torch.zeros_like(f["site_radius"]), necks + 1])[order]
        around = environment(
            f["atom_number"],
            f["atom_charge"],
            f["atom_radius"],
            torch.cat([f["site_neighbour"], f["edge_neighbour"]]).index_select(0, order),
            torch.cat([f["site_distance"], f["edge_distance"]]).index_select(0, order),
        )
        return torch.cat([torch.stack(scalars, dim=1).index_select(0, order), around, mark.unsqueeze(1)], dim=1)

    @cached_property
    def edge_attr(self) -> Tensor:
        """(m, D) edge features: the columns of the numpy graphs' ``edge_attr``."""
        if self.kind == "crystal":
            return self.fields["crystal_distance"].reshape(-1, 1)
        neck = self.neck.repeat(2, 1)
        return torch.cat([neck[:, :3], self.per_target.unsqueeze(1), neck[:, 3:]], dim=1)


#: How many nodes `local index + first row` refers to: field -> group whose rows its values count.
_POINTS_INTO = {
    "site_neighbour": "atom",
    "edge_neighbour": "atom",
    "ends": "site",
    "crystal_neighbour": "crystal",
}
_MADE_GROUPS = {
    "atom_terms": "atom",
    "site_pair": "site",
    "edge_pair": "edge",
    "site_landmark": "site",
    "site_base": "site",
    "edge_landmark": "edge",
    "edge_base": "edge",
}
_ENERGIES = ("site_energies", "edge_energies")
_NUMPY_ONLY = ("cover_site", "cover_edge", "cover_ends", "cover_image")
_KIND_GROUPS = {"interstitial": ("site", "edge", "atom"), "crystal": ("crystal",)}


def _group_of(name: str) -> str:
    return FIELDS[name][0] if name in FIELDS else _MADE_GROUPS[name]


class TensorStore:
    """A `GraphStore` as tensors on one device, from which batches are cut.

    Args:
        store: the graphs.
        kind: ``"interstitial"`` (then with the fields of `fastin.ml.pair_terms.graph_pairs` and of
            `fastin.ml.levels.landmark_columns`) or ``"crystal"``: only those arrays are moved.
        targets: (G, T) or None.
        device: where the tensors live.
        edge_margin: bottlenecks are pruned so far below the percolation radius (angstrom); None keeps all.
        landscape: False leaves out the fields made of energies and bond valence constants, the full networks and the
            levels, for models that do not read them (`fastin.ml.models.GraphModel`).
    """

    def __init__(
        self,
        store: GraphStore,
        kind: str,
        targets: Any = None,
        device: torch.device | str = "cpu",
        edge_margin: float | None = None,
        *,
        landscape: bool = True,
    ) -> None:
        self.landscape = landscape and kind == "interstitial"
        levels = level_columns(store) if self.landscape else np.empty((len(store), 0), np.float32)
        self.levels = torch.from_numpy(levels).to(device)
        if edge_margin is not None:
            store = prune_edges(store, edge_margin)
        self.store = store
        self.kind = kind
        self.device = torch.device(device)
        groups = _KIND_GROUPS[kind]
        self.fields: dict[str, Tensor] = {}
        for name, (group, _, _) in FIELDS.items():
            if group in groups and (self.landscape or name not in _ENERGIES):
                values = np.asarray(store.arrays[name])
                tensor = torch.from_numpy(values.astype(np.int64) if name in _POINTS_INTO else values.copy())
                self.fields[name] = tensor.to(self.device)
        if self.landscape:
            made = graph_pairs(store.ions, store.pointers, store.arrays) | landmark_columns(store)
            for name, values in made.items():
                self.fields[name] = torch.from_numpy(values).to(self.device)
        ion = np.array([parse_ion(str(name)) for name in store.ions], np.float32).reshape(-1, 2)
        self.ion = torch.from_numpy(ion).to(self.device)
        self.targets = None if targets is None else torch.as_tensor(np.asarray(targets), dtype=torch.float32).to(device)

    def __len__(self) -> int:
        return len(self.store)

    def batch(self, index: Any) -> Batch:
        """The graphs of the given numbers, in that order."""
        index = np.ascontiguousarray(index, np.int64)
        groups = _KIND_GROUPS[self.kind]
        rows: dict[str, Tensor] = {}
        pointers: dict[str, np.ndarray] = {}
        for group in groups:
            numbers, pointers[group] = row_ranges(self.store.pointers[group], index)
            rows[group] = torch.from_numpy(numbers).to(self.device)
        graph_of = {
            group: torch.from_numpy(np.repeat(np.arange(len(index)), np.diff(p))).to(self.device)
            for group, p in pointers.items()
        }
        fields = {}
        for name, values in self.fields.items():
            group = _group_of(name)
            taken = values.index_select(0, rows[group])
            if name in _POINTS_INTO:
                first = torch.from_numpy(pointers[_POINTS_INTO[name]][:-1]).to(self.device)[graph_of[group]]
                taken += first.reshape(-1, *[1] * (taken.dim() - 1))
            fields[name] = taken
        nodes = groups[0]
        common: dict[str, Any] = {
            "kind": self.kind,
            "num_graphs": len(index),
            "batch": graph_of[nodes],
            "ptr": torch.from_numpy(pointers[nodes]).to(self.device),
            "fields": fields,
            "y": None if self.targets is None else self.targets[torch.from_numpy(index).to(self.device)],
        }
        if self.kind == "crystal":
            neighbour = fields["crystal_neighbour"]
            target = torch.arange(len(neighbour), device=self.device).repeat_interleave(neighbour.shape[1])
            return Batch(edge_index=torch.stack([neighbour.reshape(-1), target]), **common)
        ends = fields["ends"].T
        return Batch(
            edge_index=torch.cat([ends, ends.flip(0)], dim=1),
            edge_batch=graph_of["edge"],
            atom_batch=graph_of["atom"],
            ion=self.ion[torch.from_numpy(index).to(self.device)],
            levels=self.levels[torch.from_numpy(index).to(self.device)],
            cover=self._cover(index, pointers) if self.landscape else {},
            **common,
        )

    def _cover(self, index: np.ndarray, pointers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        store = self.store
        site_rows, site_ptr = row_ranges(store.pointers["cover_site"], index)
        edge_rows, edge_ptr = row_ranges(store.pointers["cover_edge"], index)
        arrays = store.arrays
        return {
            "site": arrays["cover_site"][site_rows] + np.repeat(pointers["site"][:-1], np.diff(site_ptr)),
            "edge": arrays["cover_edge"][edge_rows] + np.repeat(pointers["edge"][:-1], np.diff(edge_ptr)),
            "ends": np.ascontiguousarray(arrays["cover_ends"][edge_rows], np.int32),
            "image": np.ascontiguousarray(arrays["cover_image"][edge_rows], np.int32),
            "site_ptr": site_ptr.astype(np.int64),
            "edge_ptr": edge_ptr.astype(np.int64),
        }


__all__ = ["GROUPS", "Batch", "TensorStore", "crystal_to_pyg", "environment", "interstitial_to_pyg"]
