"""`fastin.ml.percolation` for prediction in numpy: the same numbers without torch and its start-up.

The network is read off the names and shapes of its weights. Weights that nothing here reads mean another architecture:
they are refused, and torch predicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.ml.labels import FLOOR
from fastin.ml.levels import NONE, VARIANTS, critical_of_each, landmark_columns, level_columns
from fastin.ml.numpy_layers import Array, Linear, Norm, Segments, Stack, Weights, sigmoid, silu, softplus
from fastin.ml.pair_terms import ENERGY_SCALE, LINEAR, SOFT, graph_pairs, parse_ion
from fastin.ml.store import FREE, LABELS, GraphStore, first_rows, prune_edges

EDGE_MARGIN = 0.25  # A: the default of `PercolationNetwork`
#: Options of `PercolationNetwork` that are understood here; others mean another architecture.
_OPTIONS = {
    "target_names",
    "hidden",
    "layers",
    "species",
    "basis",
    "auxiliary",
    "dropout",
    "edge_margin",
    "hidden_pairs",
    "hidden_energies",
}
_LOWEST_BARRIER = 1e-3  # eV
_CHUNK = 64  # graphs in one pass


@dataclass(frozen=True)
class _Graphs:
    """Some graphs of a store as one: indices count over all of them.

    Attributes:
        fields: arrays by name of `fastin.ml.store.FIELDS`, of `fastin.ml.pair_terms.graph_pairs` and of
            `fastin.ml.levels.landmark_columns`.
        levels: (G, 25) of `fastin.ml.levels.level_columns`.
        ion: (G, 2) atomic number and charge of the mobile ions, float32.
        ends: (E, 2) voids of each bottleneck.
        pointers: group -> (G + 1,) first row of each graph.
        source, target: (2 E,) of the directed edges.
        per_target: (2 E, 1) edges of the class that arrive at one site of the target's class.
    """

    fields: Mapping[str, Array]
    levels: Array
    ion: Array
    ends: Array
    pointers: Mapping[str, Array]
    source: Array
    target: Array
    per_target: Array

    @classmethod
    def of(cls, store: GraphStore, levels: Array) -> _Graphs:
        pointers = store.pointers
        fields = {**store.arrays, **graph_pairs(store.ions, pointers, store.arrays), **landmark_columns(store)}
        ion = np.array([parse_ion(str(name)) for name in store.ions], np.float32).reshape(-1, 2)
        for name, group in (("site_neighbour", "atom"), ("edge_neighbour", "atom"), ("ends", "site")):
            rows = name.split("_")[0] if name != "ends" else "edge"
            fields[name] = fields[name].astype(np.int64) + first_rows(pointers, group, rows)[:, None]
        ends = fields["ends"]
        source, target = np.concatenate([ends, ends[:, ::-1]]).T
        count = np.tile(fields["edge_multiplicity"].astype(np.float32), 2)
        per_target = (count / fields["site_multiplicity"].astype(np.float32)[target])[:, None]
        return cls(fields, levels, ion, ends, pointers, source, target, per_target)

    def rows(self, group: str) -> Array:
        """Graph of each row of a group."""
        pointer = self.pointers[group]
        if len(pointer) == 2:
            return np.zeros(int(pointer[1]), np.int64)
        return np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))


class _Encoder:
    """`EnvironmentEncoder`: framework atoms around a point -> a vector."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.element, self.ion = (weights.take(f"{name}.{part}.weight") for part in ("element", "ion"))
        self.term_scale = _Scale(weights, f"{name}.term_scale")
        self.atom = Stack(weights, f"{name}.atom")
        centre = weights.take(f"{name}.distance.centre")
        if (centre != centre[0]).any():
            raise ValueError("the members differ in the centres of the distances")
        self.centre = centre[0]
        self.width = float(np.float64(self.centre[-1]) - self.centre[0]) / max(len(self.centre) - 1, 1)
        self.join, self.after = Linear(weights, f"{name}.join"), Stack(weights, f"{name}.after")

    def ions(self, ion: Array) -> Array:
        """(M, G, _ION + 1) vector of the mobile ions (G, 2)."""
        learned = self.ion[:, ion[:, 0].astype(np.int64)]
        return np.concatenate([learned, np.broadcast_to(ion[:, 1:], (*learned.shape[:2], 1))], axis=2)

    def atoms(self, fields: Mapping[str, Array], ion: Array) -> Array:
        """(A, M, species) amplitudes of each framework atom beside its mobile ion (M, A, _ION + 1)."""
        element = self.element[:, fields["atom_number"]]
        own = np.stack([fields["atom_charge"], fields["atom_radius"]], axis=1)
        own = np.broadcast_to(own, (len(element), *own.shape))
        columns = [element, own, ion, self.term_scale(fields["atom_terms"])]
        amplitudes = element + self.atom(np.concatenate(columns, axis=2))
        return np.ascontiguousarray(amplitudes.swapaxes(0, 1))

    def __call__(self, atoms: Array, neighbour: Array, distance: Array) -> Array:
        """(M, P, hidden) vector of each point from its neighbours (P, k)."""
        points, k = neighbour.shape
        members, species = atoms.shape[1:]
        basis = np.exp(-(((distance[:, None, :] - self.centre[:, None]) / np.float32(self.width)) ** 2))
        around = atoms[neighbour.reshape(-1)].reshape(points, k, members * species)
        outer = (basis @ around).reshape(points, len(self.centre), members, species)
        flat = np.ascontiguousarray(outer.transpose(2, 0, 1, 3)).reshape(members, points, -1)
        return self.after(silu(self.join(flat)))


class _Layer:
    """`_NetworkLayer`: gated messages along bottlenecks."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.site_norm, self.edge_norm = Norm(weights, f"{name}.site_norm"), Norm(weights, f"{name}.edge_norm")
        self.from_source = Linear(weights, f"{name}.from_source")
        self.from_target = Linear(weights, f"{name}.from_target")
        self.from_edge = Linear(weights, f"{name}.from_edge")
        self.site = Stack(weights, f"{name}.site")
        self.edge_own, self.edge_ends = Linear(weights, f"{name}.edge_own"), Linear(weights, f"{name}.edge_ends")
        self.edge_out = Linear(weights, f"{name}.edge_out")

    def __call__(self, h: Array, e: Array, graphs: _Graphs, arriving: Segments) -> tuple[Array, Array]:
        m = e.shape[1]
        x, edge = self.site_norm(h), self.edge_norm(e)
        both = self.from_source(x)[:, graphs.source]
        both += self.from_target(x)[:, graphs.target]
        own = self.from_edge(edge)
        both[:, :m] += own
        both[:, m:] += own
        width = h.shape[2]
        weight = sigmoid(both[..., :width])
        weight *= graphs.per_target
        core = silu(both[..., width:])
        core *= weight
        message, total = arriving.sum(core), arriving.sum(weight)
        h = h + self.site(np.concatenate([x, message / (1.0 + total)], axis=2))
        ends = self.edge_ends(h)
        inner = self.edge_own(edge)
        inner += ends[:, graphs.ends[:, 0]]
        inner += ends[:, graphs.ends[:, 1]]
        return h, e + self.edge_out(silu(inner))


class _Scale:
    """`Standardise`."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.mean, self.std = (weights.take(f"{name}.{part}")[:, None] for part in ("mean", "std"))

    def __call__(self, x: Array) -> Array:
        """(n, F) -> (M, n, F)."""
        scaled: Array = (x - self.mean) / self.std
        return scaled


class NumpyPercolation:
    """An ensemble of `fastin.ml.percolation.PercolationNetwork`, for prediction.

    Args:
        members: state dictionary of each member, in numpy.
        targets: label of each output.
        options: keyword arguments that the members were built with.

    Raises:
        KeyError, ValueError: weights of another architecture.
    """

    kind = "interstitial"

    def __init__(
        self, members: Sequence[Mapping[str, Array]], targets: Sequence[str], options: Mapping[str, Any]
    ) -> None:
        if set(options) - _OPTIONS:
            raise ValueError(f"options that this form does not know: {', '.join(sorted(set(options) - _OPTIONS))}")
        if tuple(options.get("target_names", LABELS)) != tuple(targets):
            raise ValueError("the file's targets are not those that the model was built with")
        weights = Weights(members)
        self.members = weights.count
        self.free = [name == FREE for name in targets]
        self.dimension = [2 if name == FREE else int(name[1]) - 1 for name in targets]
        self.global_zero = [name.endswith("global") for name in targets]
        self.edge_margin: float | None = options.get("edge_margin", EDGE_MARGIN)
        self.mean, self.std = weights.take("target_mean"), weights.take("target_std")
        if self.mean.shape[1] != len(targets):
            raise ValueError(f"{self.mean.shape[1]} outputs for {len(targets)} targets")
        self.encoder = _Encoder(weights, "encoder")
        self.site_scale, self.edge_scale = _Scale(weights, "site_scale"), _Scale(weights, "edge_scale")
        self.site_in, self.edge_in = Stack(weights, "site_in"), Stack(weights, "edge_in")
        self.site_gain, self.edge_gain = (weights.take(f"{name}_gain")[:, None] for name in ("site", "edge"))
        numbers = sorted({int(name.split(".")[1]) for name in weights.names("layers.")})
        self.layers = [_Layer(weights, f"layers.{number}") for number in numbers]
        self.site_level, self.edge_level = Stack(weights, "site_level"), Stack(weights, "edge_level")
        self.correction = Stack(weights, "correction")
        self.bias = weights.take("per_target_bias.weight")
        self.site_more, self.edge_more = Linear(weights, "site_more"), Linear(weights, "edge_more")
        self.site_shift, self.edge_shift = Stack(weights, "site_shift"), Stack(weights, "edge_shift")
        self.level_correction = Stack(weights, "level_correction")
        for name in ("site_energy", "edge_energy"):
            weights.skip(f"{name}.")
        if weights.left():
            raise ValueError(f"weights that this form does not know: {', '.join(weights.left()[:3])}")

    def predict(self, store: GraphStore) -> NDArray[np.float32]:
        """(M, G, T) targets on their own scale."""
        levels = level_columns(store)
        if self.edge_margin is not None:
            store = prune_edges(store, self.edge_margin)
        starts = [np.arange(i, min(i + _CHUNK, len(store))) for i in range(0, len(store), _CHUNK)]
        if len(starts) == 1:
            return self._predict(store, levels)
        return np.concatenate([self._predict(store.select(rows), levels[rows]) for rows in starts], axis=1)

    def _predict(self, store: GraphStore, levels: Array) -> NDArray[np.float32]:
        graphs = _Graphs.of(store, levels)
        h, e = self._represent(graphs)
        site, edge = self._energies(graphs, h, e)
        saddle, lowest, bottom = _critical(store, site, edge)
        parts = [(h, graphs.pointers["site"]), (e, graphs.pointers["edge"])]
        means = [np.stack([x[:, a:b].mean(axis=1) for a, b in _runs(p)], axis=1) for x, p in parts]
        maxima = [np.stack([x[:, a:b].max(axis=1) for a, b in _runs(p)], axis=1) for x, p in parts]
        pooled = np.concatenate([*means, *maxima], axis=2)
        member = np.arange(self.members)[:, None]
        known = levels[:, -1] > 0.5
        floor = np.where(known, np.float32(FLOOR), np.float32(_LOWEST_BARRIER))
        rows, heights, plain = [], [], []
        for t, (d, from_global) in enumerate(zip(self.dimension, self.global_zero, strict=True)):
            zero = bottom if from_global else lowest[:, :, d]
            top = saddle[:, :, d]
            depth = site[member, zero]
            if from_global:
                depth = np.where(known, np.float32(0.0), depth)
            level = np.log10(np.maximum(edge[member, top] - depth, floor))[..., None]
            bias = np.broadcast_to(self.bias[:, t, None], (*level.shape[:2], self.bias.shape[2]))
            rows.append(np.concatenate([pooled, e[member, top], h[member, zero], bias, level], axis=2))
            columns = [6 * k + 2 * d + (0 if from_global else 1) for k in range(len(VARIANTS))]
            plain.append(levels[None, :, columns] - level)
            heights.append(level[..., 0])
        more = self._corrections(rows, plain, known)
        mean, std = self.mean[:, :, None], self.std[:, :, None]
        tied = np.where(np.array(self.free)[:, None], np.float32(0.0), (np.stack(heights, axis=1) - mean) / std)
        out: NDArray[np.float32] = ((tied + more) * std + mean).swapaxes(1, 2)
        return out

    def _corrections(self, rows: list[Array], plain: list[Array], known: Array) -> Array:
        """(M, T, G) corrections of the levels, of graphs with energies and of those without."""
        shape = (self.members, len(rows), len(known))
        out = np.empty(shape, np.float32)
        for which, head in ((known, self.level_correction), (~known, self.correction)):
            if which.any():
                parts = [
                    np.concatenate([row, more], axis=2)[:, which] if head is self.level_correction else row[:, which]
                    for row, more in zip(rows, plain, strict=True)
                ]
                made = head(np.concatenate(parts, axis=1))[..., 0]
                out[:, :, which] = made.reshape(self.members, len(rows), -1)
        return out

    def _energies(self, graphs: _Graphs, h: Array, e: Array) -> tuple[Array, Array]:
        """Levels (M, n), (M, E) of voids and bottlenecks, with the landscape's energies where they are known."""
        f, ends = graphs.fields, graphs.ends
        known = [graphs.levels[graphs.rows(group), -1] > 0.5 for group in ("site", "edge")]

        def higher(levels: Array) -> Array:
            return np.maximum(levels[:, ends[:, 0]], levels[:, ends[:, 1]])

        site, edge = np.zeros(h.shape[:2], np.float32), np.zeros(e.shape[:2], np.float32)
        if not known[0].all():
            site = self.site_level(h)[..., 0] + self.site_gain * damped(f["site_pair"].sum(axis=1))
            edge = self.edge_level(e)[..., 0] + self.edge_gain * damped(f["edge_pair"].sum(axis=1))
            high = higher(site)
            edge = high + np.float32(SOFT) * softplus((edge - high) / np.float32(SOFT))
        if known[0].any():
            own, shift = f["site_base"] + self.site_shift(h)[..., 0], self.edge_shift(e)
            opened, closed = f["edge_base"].T
            passes = opened + sigmoid(shift[..., 1]) * (closed - opened) + shift[..., 0]
            site = np.where(known[0], own, site)
            edge = np.where(known[1], np.maximum(passes, higher(own)), edge)
        return site, edge

    def _represent(self, graphs: _Graphs) -> tuple[Array, Array]:
        """Vectors of the voids (M, n, hidden) and of the bottlenecks (M, E, hidden)."""
        f = graphs.fields
        ion = self.encoder.ions(graphs.ion)
        atoms = self.encoder.atoms(f, ion[:, graphs.rows("atom")])
        neighbour = np.concatenate([f["site_neighbour"], f["edge_neighbour"]])
        distance = np.concatenate([f["site_distance"], f["edge_distance"]])
        around = self.encoder(atoms, neighbour, distance)
        n = len(f["site_radius"])
        site = np.stack([f["site_radius"], f["site_kind"], np.log(f["site_multiplicity"].astype(np.float32))], axis=1)
        edge = np.stack(
            [f["bottleneck_radius"], f["length"], np.log(f["edge_multiplicity"].astype(np.float32))], axis=1
        )
        site = np.concatenate([site, _pair_columns(f["site_pair"])], axis=1).astype(np.float32)
        edge = np.concatenate([edge, _pair_columns(f["edge_pair"])], axis=1).astype(np.float32)
        h = self.site_in(np.concatenate([around[:, :n], self.site_scale(site), ion[:, graphs.rows("site")]], axis=2))
        e = self.edge_in(np.concatenate([around[:, n:], self.edge_scale(edge), ion[:, graphs.rows("edge")]], axis=2))
        h += self.site_more(_to_all(f["site_landmark"], self.members))
        e += self.edge_more(_to_all(f["edge_landmark"], self.members))
        arriving = Segments(graphs.target, n)
        for layer in self.layers:
            h, e = layer(h, e, graphs, arriving)
        return h, e


def damped(energy: Array) -> Array:
    """As `fastin.ml.percolation.damped`."""
    over = np.maximum(energy - np.float32(LINEAR), np.float32(0.0))
    return np.asarray(energy - over + np.log1p(over))


def _pair_columns(pair: Array) -> Array:
    both = np.concatenate([pair, pair.sum(axis=1, keepdims=True)], axis=1)
    return np.asarray(np.arcsinh(both / np.float32(ENERGY_SCALE)))


def _to_all(x: Array, members: int) -> Array:
    return np.broadcast_to(x, (members, *x.shape))


def _runs(pointer: Array) -> list[tuple[int, int]]:
    return list(zip(pointer[:-1].tolist(), pointer[1:].tolist(), strict=True))


def _critical(store: GraphStore, site: Array, edge: Array) -> tuple[Array, Array, Array]:
    """As `fastin.ml.percolation.critical` for all members: (M, G, 3), (M, G, 3) and (M, G) rows."""
    pointers, arrays = store.pointers, store.arrays
    cover_site = arrays["cover_site"] + first_rows(pointers, "site", "cover_site")
    cover_edge = arrays["cover_edge"] + first_rows(pointers, "edge", "cover_edge")

    saddle, lowest = critical_of_each(pointers, arrays, site[:, cover_site], edge[:, cover_edge])
    bottom = np.stack([site[:, a:b].argmin(axis=1) + a for a, b in _runs(pointers["site"])], axis=1)
    # Of equal highest bottlenecks the last, as a sort would put it.
    top = np.stack([b - 1 - edge[:, a:b][:, ::-1].argmax(axis=1) for a, b in _runs(pointers["edge"])], axis=1)
    known = saddle != NONE
    in_edge, in_site = np.where(known, saddle, 0), np.where(known, lowest, 0)
    return (
        np.where(known, cover_edge[in_edge], top[:, :, None]),
        np.where(known, cover_site[in_site], bottom[:, :, None]),
        bottom,
    )
