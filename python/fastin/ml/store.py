"""Many graphs in a few concatenated arrays: compact on disk, sliced without Python loops.

A `GraphStore` keeps, for every structure, what an `InterstitialGraph` and a `CrystalGraph` are made of: neighbour
indices and distances rather than expanded features, so that 10,000 structures take about 100 MB. Shards are plain
``.npz`` files without pickled objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.graph.graph import CrystalGraph, InterstitialGraph
from fastin.ml.landmarks import EDGE_ENERGIES, SITE_ENERGIES, NetworkEnergies
from fastin.runtime.files import read_npz
from fastin.runtime.openmp import _core

Array = NDArray[Any]

#: Barriers in eV under both zeros (DESIGN: "global" is the seed paper's, "network" tracks experiment better).
LABELS = ("e1d_global", "e2d_global", "e3d_global", "e1d_network", "e2d_network", "e3d_network")

#: Target name of any quantity that is not one of `LABELS` (a user's own labels, on their own scale).
FREE = "free"

#: field -> (group of rows it belongs to, dtype on disk, trailing shape; -1 for the number of neighbours).
FIELDS: dict[str, tuple[str, type[Any], tuple[int, ...]]] = {
    "site_radius": ("site", np.float32, ()),
    "site_kind": ("site", np.int8, ()),
    "site_multiplicity": ("site", np.int32, ()),
    "site_neighbour": ("site", np.int16, (-1,)),
    "site_distance": ("site", np.float32, (-1,)),
    "site_energies": ("site", np.float32, (3,)),
    "ends": ("edge", np.int32, (2,)),
    "length": ("edge", np.float32, ()),
    "bottleneck_radius": ("edge", np.float32, ()),
    "edge_multiplicity": ("edge", np.int32, ()),
    "edge_neighbour": ("edge", np.int16, (-1,)),
    "edge_distance": ("edge", np.float32, (-1,)),
    "edge_energies": ("edge", np.float32, (3,)),
    "atom_number": ("atom", np.int16, ()),
    "atom_charge": ("atom", np.float32, ()),
    "atom_radius": ("atom", np.float32, ()),
    "cover_site": ("cover_site", np.int32, ()),
    "cover_edge": ("cover_edge", np.int32, ()),
    "cover_ends": ("cover_edge", np.int32, (2,)),
    "cover_image": ("cover_edge", np.int32, (3,)),
    "crystal_number": ("crystal", np.int16, ()),
    "crystal_charge": ("crystal", np.float32, ()),
    "crystal_radius": ("crystal", np.float32, ()),
    "crystal_neighbour": ("crystal", np.int16, (-1,)),
    "crystal_distance": ("crystal", np.float32, (-1,)),
    "crystal_vector": ("crystal", np.float32, (-1, 3)),
}
GROUPS = ("site", "edge", "atom", "cover_site", "cover_edge", "crystal")

#: field of indices -> group that they count in, within their structure.
_INDICES = {
    "site_neighbour": "atom",
    "edge_neighbour": "atom",
    "ends": "site",
    "cover_site": "site",
    "cover_edge": "edge",
    "cover_ends": "cover_site",
    "crystal_neighbour": "crystal",
}
#: Largest value that a field of whole numbers holds.
_LARGEST = {name: np.iinfo(dtype).max for name, (_, dtype, _) in FIELDS.items() if np.issubdtype(dtype, np.integer)}
_TEXTS = ("ids", "formulas", "systems", "ions")


@dataclass(frozen=True)
class Entry:
    """One structure of a data set.

    Attributes:
        id: unique name.
        formula: reduced formula.
        system: chemical system, e.g. ``"Li-O-P"``.
        interstitial, crystal: the graphs.
        labels: eV by name of `LABELS`; missing ones are NaN, ``inf`` means that the ion cannot percolate.
        energies: of voids and bottlenecks; None where the pair parameters are not known (NaN in a store).
    """

    id: str
    formula: str
    system: str
    interstitial: InterstitialGraph
    crystal: CrystalGraph | None = None
    labels: Mapping[str, float] | None = None
    energies: NetworkEnergies | None = None


def row_ranges(pointer: Array, index: Array) -> tuple[Array, Array]:
    """Rows of the given graphs, concatenated, and the new pointer: ``rows[p[i]:p[i + 1]]`` belong to ``index[i]``."""
    counts = pointer[index + 1] - pointer[index]
    new_pointer = np.concatenate([[0], np.cumsum(counts)])
    rows = np.repeat(pointer[index] - new_pointer[:-1], counts) + np.arange(new_pointer[-1])
    return rows, new_pointer


@dataclass(frozen=True, eq=False)
class GraphStore:
    """Concatenated arrays of many structures.

    Attributes:
        ids, formulas, systems: (G,) strings.
        ions: (G,) strings, the mobile ion of each structure, e.g. ``"Li+"``.
        labels: (G, 6) eV, columns `LABELS`.
        pointers: group -> (G + 1,) int64, first row of each structure in the arrays of that group.
        arrays: field of `FIELDS` -> concatenated rows; neighbour and end indices count within their structure.
    """

    ids: Array
    formulas: Array
    systems: Array
    ions: Array
    labels: Array
    pointers: dict[str, Array]
    arrays: dict[str, Array]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        p = self.pointers
        return f"GraphStore({len(self)} structures, {p['site'][-1]} voids, {p['edge'][-1]} bottlenecks)"

    @property
    def has_crystals(self) -> bool:
        """The crystal graphs are there too."""
        return bool((np.diff(self.pointers["crystal"]) > 0).all()) and len(self) > 0

    def select(self, index: Array) -> GraphStore:
        """The given structures, in that order, as a store of their own."""
        index = np.asarray(index, np.int64)
        rows, pointers = {}, {}
        for group in GROUPS:
            rows[group], pointers[group] = row_ranges(self.pointers[group], index)
        return GraphStore(
            ids=self.ids[index],
            formulas=self.formulas[index],
            systems=self.systems[index],
            ions=self.ions[index],
            labels=self.labels[index],
            pointers=pointers,
            arrays={name: values[rows[FIELDS[name][0]]] for name, values in self.arrays.items()},
        )

    def save(self, path: Path | str) -> None:
        """Writes one compressed ``.npz`` (strings as bytes, no pickle)."""
        flat: dict[str, Array] = {"labels": self.labels}
        for name in _TEXTS:
            flat[name] = np.char.encode(np.asarray(getattr(self, name), dtype=np.str_), "utf-8")
        flat |= {f"pointer_{group}": values for group, values in self.pointers.items()}
        flat |= self.arrays
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **flat)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> GraphStore:
        """Reads what `save` wrote.

        Raises:
            InputError: another file, or a damaged one.
        """
        path = Path(path)
        names = ["labels", *_TEXTS, *(f"pointer_{g}" for g in GROUPS), *FIELDS]
        data = read_npz(path, names)
        try:
            text = {n: np.char.decode(data[n], "utf-8") for n in _TEXTS}
            pointers = {g: np.asarray(data[f"pointer_{g}"], np.int64) for g in GROUPS}
            store = cls(labels=data["labels"], pointers=pointers, arrays={n: data[n] for n in FIELDS}, **text)
            store.check()
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: not a whole store of graphs ({error})") from None
        return store

    def check(self) -> None:
        """Every shape, pointer and index is inside what it points to.

        Raises:
            ValueError: says which is not.
        """
        count = len(self.ids)
        if self.ids.ndim != 1 or any(getattr(self, n).shape != (count,) for n in _TEXTS):
            raise ValueError("names, formulas, systems and ions are not of one length")
        if self.labels.shape != (count, len(LABELS)) or self.labels.dtype.kind != "f":
            raise ValueError(f"labels of shape {self.labels.shape}")
        for group, pointer in self.pointers.items():
            if pointer.shape != (count + 1,) or pointer[0] != 0 or (np.diff(pointer) < 0).any():
                raise ValueError(f"the pointer of {group} does not rise from 0 over {count} structures")
        for name, (group, dtype, tail) in FIELDS.items():
            values = self.arrays[name]
            fits = values.ndim == 1 + len(tail) and all(
                n in (m, -1) for m, n in zip(values.shape[1:], tail, strict=True)
            )
            if not fits or values.dtype != dtype or len(values) != self.pointers[group][-1]:
                raise ValueError(f"{name} of shape {values.shape} and type {values.dtype}")
        for name, target in _INDICES.items():
            values = self.arrays[name]
            sizes = np.diff(self.pointers[target])
            bound = np.repeat(sizes, np.diff(self.pointers[FIELDS[name][0]])).reshape(-1, *[1] * (values.ndim - 1))
            if ((values < 0) | (values >= bound)).any():
                raise ValueError(f"{name} points outside its structure")

    @classmethod
    def concatenate(cls, stores: Sequence[GraphStore]) -> GraphStore:
        """One store of all the structures, in order."""
        if not stores:
            raise InputError("no graphs to concatenate")
        pointers = {}
        for group in GROUPS:
            counts = np.concatenate([np.diff(s.pointers[group]) for s in stores])
            pointers[group] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(
            ids=np.concatenate([s.ids for s in stores]),
            formulas=np.concatenate([s.formulas for s in stores]),
            systems=np.concatenate([s.systems for s in stores]),
            ions=np.concatenate([s.ions for s in stores]),
            labels=np.concatenate([s.labels for s in stores]),
            pointers=pointers,
            arrays={name: np.concatenate([s.arrays[name] for s in stores]) for name in FIELDS},
        )

    @classmethod
    def from_entries(cls, entries: Sequence[Entry]) -> GraphStore:
        """Packs graphs; structures without a crystal graph get no rows in that group."""
        if not entries:
            raise InputError("no graphs to store")
        columns: dict[str, list[Array]] = {name: [] for name in FIELDS}
        counts: dict[str, list[int]] = {group: [] for group in GROUPS}
        for entry in entries:
            values = _entry_arrays(entry)
            for name, (_, dtype, _) in FIELDS.items():
                array = np.asarray(values[name])
                largest = _LARGEST.get(name)
                if largest is not None and array.size and array.max() > largest:
                    raise InputError(f"{entry.id}: too large to store ({name} above {largest})")
                columns[name].append(array.astype(dtype))
            for group in GROUPS:
                first = next(name for name, spec in FIELDS.items() if spec[0] == group)
                counts[group].append(len(values[first]))
        return cls(
            ids=np.array([e.id for e in entries], dtype=np.str_),
            formulas=np.array([e.formula for e in entries], dtype=np.str_),
            systems=np.array([e.system for e in entries], dtype=np.str_),
            ions=np.array([e.interstitial.ion for e in entries], dtype=np.str_),
            labels=np.array([[(e.labels or {}).get(name, np.nan) for name in LABELS] for e in entries], np.float64),
            pointers={g: np.concatenate([[0], np.cumsum(c)]).astype(np.int64) for g, c in counts.items()},
            arrays={name: parts[0] if len(parts) == 1 else np.concatenate(parts) for name, parts in columns.items()},
        )


def first_rows(pointers: Mapping[str, Array], group: str, rows: str) -> Array:
    """(m,) first row in a group of the structure that each row of another group belongs to; (1,) for one structure."""
    if len(pointers[group]) == 2:
        return np.zeros(1, np.int64)
    return np.repeat(pointers[group][:-1], np.diff(pointers[rows]))


def prune_edges(store: GraphStore, margin: float) -> GraphStore:
    """Without the bottlenecks that lie far below the level at which the network percolates by size alone.

    A bottleneck is kept when its radius is at least the network's 3D percolation radius less `margin` (angstrom): the
    minimax path hardly ever takes a much narrower one. Measured on 1,885 lithium compounds with true point energies:
    margin 0.2 keeps 72 % of the edges and moves 1.4 % of the 1D barriers by more than 0.02 eV, 0.3 keeps 81 % and
    moves 0.4 %.
    """
    pointers, arrays = store.pointers, store.arrays
    site = arrays["cover_site"] + first_rows(pointers, "site", "cover_site")
    edge = arrays["cover_edge"] + first_rows(pointers, "edge", "cover_edge")
    size = -arrays["bottleneck_radius"].astype(np.float32)
    saddle, _ = _core.critical_elements(
        pointers["cover_site"].astype(np.int64),
        pointers["cover_edge"].astype(np.int64),
        np.ascontiguousarray(arrays["cover_ends"], np.int32),
        np.ascontiguousarray(arrays["cover_image"], np.int32),
        np.full(len(site), -np.inf, np.float32),
        np.ascontiguousarray(size[edge]),
        1,
    )
    percolates = saddle[:, 2] != np.iinfo(np.int64).max
    level = np.where(percolates, size[edge[np.where(percolates, saddle[:, 2], 0)]], np.inf)
    graph = np.repeat(np.arange(len(store)), np.diff(pointers["edge"]))
    keep = size <= level[graph] + margin
    keep_cover = keep[edge]
    cover_graph = np.repeat(np.arange(len(store)), np.diff(pointers["cover_edge"]))
    new_pointer = np.concatenate([[0], np.cumsum(np.bincount(graph[keep], minlength=len(store)))]).astype(np.int64)
    cover_counts = np.bincount(cover_graph[keep_cover], minlength=len(store))
    new_number = np.cumsum(keep) - 1
    out = dict(arrays)
    for name, (group, _, _) in FIELDS.items():
        if group == "edge":
            out[name] = arrays[name][keep]
        elif group == "cover_edge":
            out[name] = arrays[name][keep_cover]
    out["cover_edge"] = (new_number[edge] - new_pointer[cover_graph])[keep_cover].astype(np.int32)
    moved = {"edge": new_pointer, "cover_edge": np.concatenate([[0], np.cumsum(cover_counts)]).astype(np.int64)}
    return replace(store, pointers={**pointers, **moved}, arrays=out)


def _entry_arrays(entry: Entry) -> dict[str, Array]:
    graph, crystal = entry.interstitial, entry.crystal
    values: dict[str, Array] = {}
    for name in FIELDS:
        if not name.startswith("crystal_") and not name.endswith("_energies"):
            values[name] = getattr(graph, name)
    energies = entry.energies or NetworkEnergies(
        np.full((graph.num_nodes, len(SITE_ENERGIES)), np.nan), np.full((graph.num_edges, len(EDGE_ENERGIES)), np.nan)
    )
    values |= {"site_energies": energies.site, "edge_energies": energies.edge}
    k = graph.site_neighbour.shape[1]
    if crystal is None:
        return values | {
            "crystal_number": np.empty(0),
            "crystal_charge": np.empty(0),
            "crystal_radius": np.empty(0),
            "crystal_neighbour": np.empty((0, k)),
            "crystal_distance": np.empty((0, k)),
            "crystal_vector": np.empty((0, k, 3)),
        }
    n, m = crystal.neighbour.shape
    return values | {
        "crystal_number": crystal.number,
        "crystal_charge": crystal.charge,
        "crystal_radius": crystal.radius,
        "crystal_neighbour": crystal.neighbour,
        "crystal_distance": crystal.distance,
        "crystal_vector": crystal.edge_vector.reshape(n, m, 3),
    }
