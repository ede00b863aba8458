"""``percolation``: the network model that learns a landscape and reads the barrier off it.

A migration barrier is a minimax over paths, which sums and means over a graph cannot express. This model gives an
energy to every void and every bottleneck, finds the elements that set the 1D, 2D and 3D percolation levels of the full
periodic network (`_core.critical_elements`, exact union-find with lattice offsets), and takes the barrier as the
difference of the energies of exactly those elements; the gradient flows through them. One model serves any mobile ion.

Energies start from what is known of the landscape at the points (`fastin.ml.landmarks`): bond valence energies after
short walks from each void and bottleneck. What is learned, from the framework atoms around each point and messages
along the network, are shifts of these energies and a correction of the barrier, for which it also sees what plain
percolation of the energies gives. Where there are no energies (no bond valence parameters, or a graph without its
crystal), and in a tenth of the training structures, the model stands on the constants of the ion's pairs with the
framework atoms and their sums over the nearest atoms (`fastin.ml.pair_terms`); in another tenth these are hidden too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastin.errors import InputError
from fastin.ml.labels import CEILING, FLOOR
from fastin.ml.layers import RadialBasis, mlp, segment_mean_max
from fastin.ml.levels import NONE, VARIANTS
from fastin.ml.models import GraphModel, Standardise, above_mse, masked_mse
from fastin.ml.pair_terms import ENERGY_SCALE, LINEAR, SOFT, TERMS
from fastin.ml.rows import RowIndex
from fastin.ml.store import FREE, LABELS
from fastin.runtime.openmp import _core

_ELEMENTS = 104
_ION = 6  # length of a mobile ion's learned vector
_SITE_COLUMNS, _EDGE_COLUMNS = 5, 8  # of `fastin.ml.levels.landmark_columns`
_CLOSED = 3.0  # logit of the share of closed bottlenecks that training begins with
_ABSOLUTE = 0.3  # weight of absolute errors in the loss
_LOWEST_BARRIER = 1e-3  # eV, without energies


class EnvironmentEncoder(nn.Module):
    """Framework atoms around a point -> a vector, as a sum of learned pair functions of species and distance.

    Each atom has `species` learned amplitudes (from its element, oxidation state and radius), each distance `basis`
    Gaussians; the sum over atoms of their outer product, mapped linearly, is the most general sum of pair functions
    over this basis. It costs one small matrix product a point instead of a network an atom.
    """

    def __init__(self, hidden: int, species: int, basis: int) -> None:
        super().__init__()
        self.element = nn.Embedding(_ELEMENTS, species)
        self.ion = nn.Embedding(_ELEMENTS, _ION)
        self.term_scale = Standardise(len(TERMS))
        self.atom = mlp(species + 2 + _ION + 1 + len(TERMS), 32, species)
        self.distance = RadialBasis(0.5, 5.5, basis)
        self.join = nn.Linear(species * basis, hidden)
        self.after = mlp(hidden, hidden, hidden)

    def ions(self, ion: Tensor) -> Tensor:
        """(G, _ION + 1) vector of the mobile ions (G, 2): learned by element, and the charge."""
        return torch.cat([self.ion(ion[:, 0].long()), ion[:, 1:]], dim=1)

    def atoms(self, number: Tensor, charge: Tensor, radius: Tensor, terms: Tensor, ion: Tensor) -> Tensor:
        """(A, species) amplitudes of each framework atom beside its mobile ion (A, _ION + 1)."""
        element = self.element(number)
        columns = [element, charge[:, None], radius[:, None], ion, self.term_scale(terms)]
        amplitudes: Tensor = element + self.atom(torch.cat(columns, dim=1))
        return amplitudes

    def forward(self, atoms: Tensor, neighbour: Tensor, distance: Tensor) -> Tensor:
        """(P, hidden) vector of each point from its neighbours (P, k)."""
        around = RowIndex(neighbour.reshape(-1), len(atoms)).take(atoms).reshape(*neighbour.shape, -1)
        outer = torch.bmm(self.distance(distance).transpose(1, 2), around)
        vector: Tensor = self.after(nn.functional.silu(self.join(outer.flatten(1))))
        return vector


class _NetworkLayer(nn.Module):
    """Gated messages along bottlenecks; each class of edges counts as often as it arrives at a site."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.site_norm, self.edge_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.from_source = nn.Linear(hidden, 2 * hidden)
        self.from_target = nn.Linear(hidden, 2 * hidden, bias=False)
        self.from_edge = nn.Linear(hidden, 2 * hidden, bias=False)
        self.site = mlp(2 * hidden, hidden, hidden)
        self.edge_own, self.edge_ends = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.edge_out = nn.Linear(hidden, hidden)

    def forward(
        self, h: Tensor, e: Tensor, source: RowIndex, target: RowIndex, per_target: Tensor
    ) -> tuple[Tensor, Tensor]:
        m = len(e)
        x, edge = self.site_norm(h), self.edge_norm(e)
        own = self.from_edge(edge)
        both = source.take(self.from_source(x)) + target.take(self.from_target(x)) + torch.cat([own, own])
        gate, core = both.chunk(2, dim=1)
        weight = per_target.unsqueeze(1) * torch.sigmoid(gate)
        summed = target.sum(torch.cat([weight * nn.functional.silu(core), weight], dim=1))
        message, total = summed.chunk(2, dim=1)
        h = h + self.site(torch.cat([x, message / (1.0 + total)], dim=1))
        ends = source.take(self.edge_ends(h))  # the second half holds the other ends of the first
        inner = nn.functional.silu(self.edge_own(edge) + ends[:m] + ends[m:])
        return h, e + self.edge_out(inner)


class PercolationNetwork(GraphModel):
    """Learned landscape and exact percolation readout.

    Args:
        targets: outputs.
        target_names: which label each output is (names of `fastin.ml.store.LABELS`); decides dimension and zero.
            ``"free"`` is any other quantity: the readout sees the 3D barrier but is not tied to it.
        hidden, layers: width and number of message-passing layers.
        species, basis: size of the element embedding and of each distance basis.
        auxiliary: weight in the loss of the energies that are hidden, as targets.
        dropout: in the correction head.
        edge_margin: see `fastin.ml.store.prune_edges`.
        hidden_pairs: share of the structures of a training step whose pair constants and energies are hidden.
        hidden_energies: share of those whose energies are hidden; 1: a model that never sees any.
    """

    kind = "interstitial"
    censored = True
    landscape = True

    def __init__(
        self,
        targets: int = 6,
        target_names: tuple[str, ...] = LABELS,
        hidden: int = 64,
        layers: int = 2,
        species: int = 12,
        basis: int = 16,
        auxiliary: float = 0.3,
        dropout: float = 0.1,
        edge_margin: float | None = 0.25,
        hidden_pairs: float = 0.1,
        hidden_energies: float = 0.1,
    ) -> None:
        super().__init__(targets)
        self.hidden_energies = hidden_energies
        self.hidden_pairs = hidden_pairs
        self.edge_margin = edge_margin
        if len(target_names) != targets or any(name not in (*LABELS, FREE) for name in target_names):
            allowed = ", ".join((*LABELS, FREE))
            raise InputError(f"target_names must name {targets} of {allowed}, not {list(target_names)}")
        self.target_names = tuple(target_names)
        self.free = [name == FREE for name in target_names]
        self.dimension = [2 if name == FREE else int(name[1]) - 1 for name in target_names]
        self.global_zero = [name.endswith("global") for name in target_names]
        self.auxiliary = auxiliary
        self.encoder = EnvironmentEncoder(hidden, species, basis)
        self.site_scale, self.edge_scale = Standardise(6), Standardise(6)
        width = hidden + 6 + _ION + 1
        self.site_in, self.edge_in = mlp(width, hidden, hidden), mlp(width, hidden, hidden)
        self.site_gain, self.edge_gain = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        self.layers = nn.ModuleList(_NetworkLayer(hidden) for _ in range(layers))
        self.site_level, self.edge_level = mlp(hidden, hidden, 1), mlp(hidden, hidden, 1)
        self.site_energy, self.edge_energy = mlp(hidden, hidden, 1), mlp(hidden, hidden, 1)
        self.correction = mlp(7 * hidden + 1, hidden, hidden, 1, dropout=dropout)
        self.per_target_bias = nn.Embedding(targets, hidden)
        self.site_more = nn.Linear(_SITE_COLUMNS, hidden, bias=False)
        self.edge_more = nn.Linear(_EDGE_COLUMNS, hidden, bias=False)
        self.site_shift, self.edge_shift = mlp(hidden, hidden, 1), mlp(hidden, hidden, 2)
        self.level_correction = mlp(7 * hidden + 1 + len(VARIANTS), hidden, hidden, 1, dropout=dropout)
        self.columns = [_level_columns(d, z) for d, z in zip(self.dimension, self.global_zero, strict=True)]
        with torch.no_grad():  # begins as plain percolation of the energies
            for head in (self.site_shift, self.edge_shift, self.level_correction):
                last = [layer for layer in head if isinstance(layer, nn.Linear)][-1]
                last.weight.zero_()
                last.bias.zero_()
                if head is self.edge_shift:
                    last.bias[1] = _CLOSED

    def fit_normalisation(self, batch: Any) -> None:
        """Constants of targets and of the scalar features."""
        super().fit_normalisation(batch)
        f = batch.fields
        self.site_scale.fit(_site_scalars(f, f["site_pair"]))
        self.edge_scale.fit(_edge_scalars(f, f["edge_pair"]))
        self.encoder.term_scale.fit(f["atom_terms"])

    def seen(self, batch: Any) -> tuple[Tensor, Tensor]:
        """(G,) bool each: whether the pair constants and whether the energies are seen; some hidden while training."""
        energies = batch.levels[:, -1] > 0.5
        pairs = torch.ones_like(energies)
        if self.training and self.hidden_pairs + self.hidden_energies > 0:
            draw = torch.rand(batch.num_graphs).to(energies.device)
            pairs = draw >= self.hidden_pairs
            energies = energies & (draw >= self.hidden_pairs + self.hidden_energies)
        return pairs, energies

    def represent(self, batch: Any, pairs: Tensor, energies: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Vectors of the voids (n, hidden) and of the bottlenecks (E, hidden), and the pair sums that were seen."""
        f = batch.fields
        ion = self.encoder.ions(batch.ion)
        number, charge, radius = f["atom_number"].long(), f["atom_charge"], f["atom_radius"]
        parts = [(f["atom_terms"], batch.atom_batch), (f["site_pair"], batch.batch), (f["edge_pair"], batch.edge_batch)]
        terms, site_pair, edge_pair = (x * pairs[of].float().unsqueeze(1) for x, of in parts)
        atoms = self.encoder.atoms(number, charge, radius, terms, ion[batch.atom_batch])
        site = self.encoder(atoms, f["site_neighbour"], f["site_distance"])
        edge = self.encoder(atoms, f["edge_neighbour"], f["edge_distance"])
        h = self.site_in(torch.cat([site, self.site_scale(_site_scalars(f, site_pair)), ion[batch.batch]], dim=1))
        e = self.edge_in(torch.cat([edge, self.edge_scale(_edge_scalars(f, edge_pair)), ion[batch.edge_batch]], dim=1))
        h = h + self.site_more(f["site_landmark"] * energies[batch.batch].float().unsqueeze(1))
        e = e + self.edge_more(f["edge_landmark"] * energies[batch.edge_batch].float().unsqueeze(1))
        for layer in self.layers:
            h, e = layer(h, e, batch.source, batch.target, batch.per_target)
        return h, e, site_pair, edge_pair

    def levels(self, h: Tensor, e: Tensor, ends: Tensor, site_pair: Tensor, edge_pair: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (eV, free zero) of voids and bottlenecks without a landscape; a bottleneck lies above its voids."""
        site = self.site_level(h).squeeze(1).float() + self.site_gain * damped(site_pair.sum(dim=1))
        edge = self.edge_level(e).squeeze(1).float() + self.edge_gain * damped(edge_pair.sum(dim=1))
        high = torch.maximum(site[ends[0]], site[ends[1]])
        return site, high + SOFT * nn.functional.softplus((edge - high) / SOFT)

    def shifted(self, h: Tensor, e: Tensor, ends: Tensor, fields: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Energies (eV above the ground) of voids and bottlenecks from those of the landscape."""
        site = fields["site_base"] + self.site_shift(h).squeeze(1).float()
        shift, share = self.edge_shift(e).float().unbind(1)
        opened, closed = fields["edge_base"].unbind(1)
        edge = opened + torch.sigmoid(share) * (closed - opened) + shift
        return site, torch.maximum(edge, torch.maximum(site[ends[0]], site[ends[1]]))

    def normalised(self, batch: Any) -> Tensor:
        """(G, T) normalised targets."""
        return self._predict(batch)[0]

    def _predict(self, batch: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(G, T) normalised targets, the vectors of voids and bottlenecks, and whose energies were seen."""
        pairs, energies = self.seen(batch)
        h, e, site_pair, edge_pair = self.represent(batch, pairs, energies)
        ends = batch.edge_index[:, : len(e)]
        without = self.levels(h, e, ends, site_pair, edge_pair)
        given = self.shifted(h, e, ends, batch.fields)
        site = torch.where(energies[batch.batch], given[0], without[0])
        edge = torch.where(energies[batch.edge_batch], given[1], without[1])
        graphs = batch.num_graphs
        saddle, lowest, bottom = critical(batch, site, edge)
        parts = [(h, batch.batch), (e, batch.edge_batch)]
        means, maxima = zip(*(segment_mean_max(x, of, graphs).chunk(2, dim=1) for x, of in parts), strict=True)
        pooled = torch.cat([*means, *maxima], dim=1)
        columns = []
        for t, (d, from_global) in enumerate(zip(self.dimension, self.global_zero, strict=True)):
            zero = bottom if from_global else lowest[:, d]
            depth = torch.where(energies, torch.zeros_like(site[zero]), site[zero]) if from_global else site[zero]
            floor = torch.where(energies, FLOOR, _LOWEST_BARRIER)
            level = torch.log10(torch.maximum(edge[saddle[:, d]] - depth, floor)).unsqueeze(1)
            bias = self.per_target_bias.weight[t].expand(graphs, -1)
            inputs = torch.cat([pooled, e[saddle[:, d]], h[zero], bias, level.to(h.dtype)], dim=1)
            plain = batch.levels[:, self.columns[t]] - level
            more = torch.where(
                energies.unsqueeze(1), self.level_correction(torch.cat([inputs, plain], dim=1)), self.correction(inputs)
            )
            tied = 0.0 if self.free[t] else (level - self.target_mean[t]) / self.target_std[t]
            columns.append(tied + more.float())
        return torch.cat(columns, dim=1), h, e, energies

    def training_loss(self, batch: Any) -> Tensor:
        """Error of the targets, squared and absolute, of barriers below the ceiling that are above it, of energies."""
        predicted, h, e, energies = self._predict(batch)
        truth = (batch.y - self.target_mean) / self.target_std
        ceiling = (math.log10(CEILING) - self.target_mean) / self.target_std
        ceiling[torch.tensor(self.free)] = -torch.inf  # free quantities have none
        loss: Tensor = masked_mse(predicted, truth) + above_mse(predicted, truth, ceiling)
        known = torch.isfinite(truth)
        loss = loss + _ABSOLUTE * (predicted - truth)[known].abs().sum() / known.sum().clamp(min=1)
        if self.auxiliary > 0:
            parts = (
                (self.site_energy, h, "site_energies", batch.batch),
                (self.edge_energy, e, "edge_energies", batch.edge_batch),
            )
            for head, vector, name, of in parts:
                truth = compress_energy(batch.fields[name][:, -2 if name == "site_energies" else -1])
                truth = torch.where(energies[of], torch.nan, truth)
                loss = loss + self.auxiliary * masked_mse(head(vector).squeeze(1).float(), truth)
        return loss


def _level_columns(dimension: int, from_global: bool) -> list[int]:
    """Columns of `fastin.ml.levels.level_columns` that belong to one target."""
    return [6 * k + 2 * dimension + (0 if from_global else 1) for k in range(len(VARIANTS))]


def compress_energy(energy: Tensor) -> Tensor:
    """BVSE energy on a scale on which the repulsive wall does not drown the wells: ``asinh(E / 1.25 eV)``."""
    return torch.asinh(energy / ENERGY_SCALE)


def damped(energy: Tensor) -> Tensor:
    """eV; above `LINEAR` it grows as a logarithm: what lies on the repulsive wall is high, how high matters little."""
    over = (energy - LINEAR).clamp(min=0.0)
    return energy - over + torch.log1p(over)


def _pair_columns(pair: Tensor) -> list[Tensor]:
    return [*compress_energy(pair).unbind(1), compress_energy(pair.sum(dim=1))]


def _site_scalars(f: dict[str, Tensor], pair: Tensor) -> Tensor:
    own = [f["site_radius"], f["site_kind"].float(), f["site_multiplicity"].float().log()]
    return torch.stack([*own, *_pair_columns(pair)], dim=1)


def _edge_scalars(f: dict[str, Tensor], pair: Tensor) -> Tensor:
    own = [f["bottleneck_radius"], f["length"], f["edge_multiplicity"].float().log()]
    return torch.stack([*own, *_pair_columns(pair)], dim=1)


def critical(batch: Any, site: Tensor, edge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Edge that sets the level (G, 3), lowest void of that component (G, 3), lowest void of all (G,).

    Where a network never percolates in d dimensions, its highest edge and lowest void stand in.
    """
    cover = batch.cover
    with torch.no_grad():
        site_np = site.detach().cpu().numpy().astype(np.float32)
        edge_np = edge.detach().cpu().numpy().astype(np.float32)
    saddle, lowest = _core.critical_elements(
        cover["site_ptr"],
        cover["edge_ptr"],
        cover["ends"],
        cover["image"],
        np.ascontiguousarray(site_np[cover["site"]]),
        np.ascontiguousarray(edge_np[cover["edge"]]),
        1,
    )
    ptr = batch.ptr.cpu().numpy()
    edge_graph = batch.edge_batch.cpu().numpy()
    graphs = batch.num_graphs
    # First rows in order of energy, graph by graph: the lowest void and the highest bottleneck of each.
    order = np.lexsort((site_np, np.repeat(np.arange(graphs), np.diff(ptr))))
    bottom = order[ptr[:-1]]
    top_order = np.lexsort((edge_np, edge_graph))
    last = np.searchsorted(edge_graph[top_order], np.arange(graphs), side="right") - 1
    top = top_order[last]
    # The level of an edge is at least that of its voids, so the critical element is always an edge.
    known = saddle != NONE
    saddle_edge = np.where(known, cover["edge"][np.where(known, saddle, 0)], top[:, None])
    lowest_site = np.where(known, cover["site"][np.where(known, lowest, 0)], bottom[:, None])
    device = site.device
    return (
        torch.from_numpy(saddle_edge.astype(np.int64)).to(device),
        torch.from_numpy(lowest_site.astype(np.int64)).to(device),
        torch.from_numpy(bottom.astype(np.int64)).to(device),
    )
