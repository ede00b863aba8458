"""Graph models: the common base, ``in-gcn`` and ``crystal-gcn``, and the table of models by name."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from fastin.errors import InputError
from fastin.ml import pooled_gcn
from fastin.ml.layers import GCNLayer, TopKPool, segment_mean_max
from fastin.ml.rows import run_pointer

#: model name -> (module, class). Checkpoints store the name and the options, never the code.
MODELS = {
    "in-gcn": ("fastin.ml.models", "InGCN"),
    "crystal-gcn": ("fastin.ml.models", "CrystalGCN"),
    "cgcnn": ("fastin.ml.crystal_models", "CGCNN"),
    "deepergatgnn": ("fastin.ml.crystal_models", "DeeperGATGNN"),
    "alignn": ("fastin.ml.crystal_models", "ALIGNN"),
    "percolation": ("fastin.ml.percolation", "PercolationNetwork"),
}


def build_model(name: str, targets: int, options: dict[str, Any] | None = None) -> GraphModel:
    """A new model by name (see `MODELS`).

    Raises:
        InputError: an unknown name or option.
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}: choose from {', '.join(MODELS)}")
    module, cls = MODELS[name]
    try:
        model: GraphModel = getattr(importlib.import_module(module), cls)(targets=targets, **(options or {}))
    except TypeError as error:
        raise InputError(f"model {name}: {error}") from None
    return model


class GraphModel(nn.Module):
    """Base of the models: normalised targets, masked squared error.

    Attributes:
        kind: which graphs the model reads, ``"interstitial"`` or ``"crystal"``.
        edge_margin: how far below the percolation radius it wants bottlenecks (angstrom; None: all of them).
        censored: its loss reads targets of ``inf`` as "above the ceiling" (`fastin.ml.labels`).
        landscape: it reads the bond valence energies and constants and the full networks of its graphs.
        target_mean, target_std: (T,) buffers set from the training set by `fit_normalisation`.
    """

    kind = "interstitial"
    edge_margin: float | None = None
    censored: bool = False
    landscape: bool = False

    def __init__(self, targets: int) -> None:
        super().__init__()
        self.targets = targets
        self.register_buffer("target_mean", torch.zeros(targets))
        self.register_buffer("target_std", torch.ones(targets))

    target_mean: Tensor
    target_std: Tensor

    def fit_normalisation(self, batch: Any) -> None:
        """Sets the constants of the inputs and targets from a batch of training graphs."""
        if batch.y is not None:
            for t in range(self.targets):
                known = batch.y[:, t][torch.isfinite(batch.y[:, t])]
                if len(known) > 1:
                    self.target_mean[t] = known.mean()
                    self.target_std[t] = known.std().clamp(min=1e-3)

    def forward(self, batch: Any) -> Tensor:
        """(G, T) targets on their own scale."""
        return self.normalised(batch) * self.target_std + self.target_mean

    def normalised(self, batch: Any) -> Tensor:
        """(G, T) targets in units of the training set's deviation, zero mean."""
        raise NotImplementedError

    def training_loss(self, batch: Any) -> Tensor:
        """Mean squared error of the known targets in normalised units."""
        return masked_mse(self.normalised(batch), (batch.y - self.target_mean) / self.target_std)


def above_mse(predicted: Tensor, truth: Tensor, bound: Tensor) -> Tensor:
    """Squared shortfall below the bound, summed where the truth is infinite, over the number of all targets known."""
    short = torch.where(torch.isposinf(truth), (bound - predicted).clamp(min=0.0), torch.zeros_like(predicted))
    return (short**2).sum() / (~torch.isnan(truth)).sum().clamp(min=1)


def masked_mse(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error where the truth is not NaN; zero (with gradient) when nothing is known."""
    known = torch.isfinite(truth)
    error = torch.where(known, predicted - torch.where(known, truth, torch.zeros_like(truth)), torch.zeros_like(truth))
    return (error**2).sum() / known.sum().clamp(min=1)


class Standardise(nn.Module):
    """Columns to zero mean and unit deviation, with constants from the training set."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("std", torch.ones(columns))

    mean: Tensor
    std: Tensor

    def fit(self, x: Tensor) -> None:
        """Takes the constants from these rows; constant columns keep unit deviation."""
        if len(x) > 1:
            self.mean.copy_(x.mean(dim=0))
            std = x.std(dim=0)
            self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, x: Tensor) -> Tensor:
        """Standardised columns."""
        return (x - self.mean) / self.std


class TopKGCN(GraphModel):
    """Blocks of GCN layer, activation and TopK pooling; readouts of every block summed; MLP.

    The seed paper's Table 1: three blocks of 128 units with pooling ratios 0.9, 0.8, 0.9. The activation is the
    sigmoid of its Eq. 1, or ReLU. The readout of a block is the mean and the maximum over its nodes.

    Args:
        targets: outputs.
        columns: node features of the input.
        hidden: units of a GCN layer.
        ratios: pooling ratio of each block.
        activation: ``"sigmoid"`` or ``"relu"``.
        dropout: before the last layer.
    """

    def __init__(
        self,
        targets: int,
        columns: int,
        hidden: int = 128,
        ratios: tuple[float, ...] = (0.9, 0.8, 0.9),
        activation: str = "sigmoid",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(targets)
        if activation not in ("sigmoid", "relu"):
            raise InputError(f"unknown activation {activation!r}: choose sigmoid or relu")
        self.activation = torch.sigmoid if activation == "sigmoid" else torch.relu
        self.scale = Standardise(columns)
        self.hidden = hidden
        widths = [columns, *[hidden] * len(ratios)]
        self.convolutions = nn.ModuleList(GCNLayer(a, b) for a, b in itertools.pairwise(widths))
        self.pools = nn.ModuleList(TopKPool(hidden, ratio) for ratio in ratios)
        self.head = nn.Sequential(
            nn.Linear(2 * hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Linear(hidden // 2, targets),
        )

    def fit_normalisation(self, batch: Any) -> None:
        """Constants of targets and node features."""
        super().fit_normalisation(batch)
        self.scale.fit(self.inputs(batch)[0])

    @property
    def necks(self) -> bool:
        """The bottlenecks are nodes too."""
        return False

    def layout(self, batch: Any) -> tuple[Tensor | None, Tensor, Tensor]:
        """Order of voids, then bottlenecks as nodes (None: voids alone), edges between the nodes, graph of each."""
        return None, batch.edge_index, self.graph_of(batch)

    def inputs(self, batch: Any) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Node features, edges, graph of each node and edge weights of a `Batch` or a PyG batch."""
        return batch.x, *self.layout(batch)[1:], None

    @staticmethod
    def graph_of(batch: Any) -> Tensor:
        """(n,) graph of each node; zeros for a single PyG graph."""
        of: Tensor | None = getattr(batch, "batch", None)
        return torch.zeros(len(batch.x), dtype=torch.int64, device=batch.x.device) if of is None else of

    def normalised(self, batch: Any) -> Tensor:
        """(G, T) normalised targets."""
        graphs = int(batch.num_graphs) if getattr(batch, "batch", None) is not None else 1
        if pooled_gcn.applies(batch, self.scale.mean, self.hidden):
            edge_index, graph_of = self.layout(batch)[1:]
            out: Tensor = self.head(self._readout_in_core(batch, pooled_gcn.group(edge_index, graph_of, graphs)))
            return out
        x, edge_index, graph_of, weight = self.inputs(batch)
        x = self.scale(x)
        readout = torch.zeros((), dtype=x.dtype, device=x.device)
        for convolution, pool in zip(self.convolutions, self.pools, strict=True):
            x = self.activation(convolution(x, edge_index, weight))
            x, edge_index, weight, graph_of, _, _ = pool(x, edge_index, weight, graph_of, graphs)
            readout = readout + segment_mean_max(x, graph_of, graphs)
        out = self.head(readout)
        return out

    def _readout_in_core(self, batch: Any, graphs: Any) -> Tensor:
        """Sum of the blocks' readouts; sums over neighbours commute with the product, and come first."""
        total = torch.zeros(())
        sums = pooled_gcn.input_sums(graphs, batch, self.scale.mean, self.scale.std, necks=self.necks)
        for convolution, pool in zip(self.convolutions, self.pools, strict=True):
            assert isinstance(convolution, GCNLayer)
            assert isinstance(pool, TopKPool)
            select, more = pool.select.weight.squeeze(0), {"last": pool is self.pools[-1]}
            if self.activation is torch.relu:
                sums, readout, graphs = pooled_gcn.block(
                    sums, convolution.weight, convolution.bias, select, graphs, pool.ratio, **more
                )
            else:
                y = self.activation(sums[:, : len(convolution.weight)] @ convolution.weight + convolution.bias)
                sums, readout, graphs = pooled_gcn.pool(y, None, select, graphs, pool.ratio, **more)
            total = total + readout
        return total


_NODE_COLUMNS = 3 + 12 * 9
_CRYSTAL_COLUMNS = 7 + 12 * 9


class InGCN(TopKGCN):
    """``in-gcn``: `TopKGCN` on the interstitial network, as the seed paper trains it.

    Args:
        targets: outputs.
        bottlenecks: how the graph tells the model of its edges: ``"nodes"`` puts one node in the middle of every edge,
            with the bottleneck's own environment (voids and bottlenecks share the columns of ``x``; the bottleneck's
            radius stands in the column of the void's radius); ``"ignored"`` leaves only the adjacency.
        options: as `TopKGCN`.
    """

    kind = "interstitial"

    def __init__(self, targets: int = 1, bottlenecks: str = "nodes", **options: Any) -> None:
        if bottlenecks not in ("nodes", "ignored"):
            raise InputError(f"unknown bottlenecks {bottlenecks!r}: choose nodes or ignored")
        columns = options.pop("columns", _NODE_COLUMNS + (1 if bottlenecks == "nodes" else 0))
        super().__init__(targets, columns, **options)
        self.bottlenecks = bottlenecks

    @property
    def necks(self) -> bool:
        """The bottlenecks are nodes too."""
        return self.bottlenecks == "nodes"

    def layout(self, batch: Any) -> tuple[Tensor | None, Tensor, Tensor]:
        """With bottlenecks as nodes of their own between the voids, unless they are ignored."""
        if not self.necks:
            return super().layout(batch)
        graph_of = self.graph_of(batch)
        n, device = len(graph_of), graph_of.device
        one, two = batch.edge_index[:, batch.edge_forward]
        m = len(one)
        # Nodes of a graph stay together: its voids, then its bottlenecks (the edges come graph by graph).
        of_edge = graph_of[one]
        graphs = int(graph_of[-1]) + 1 if n else 0
        sites = torch.cumsum(torch.bincount(graph_of, minlength=graphs), 0)
        before = run_pointer(torch.bincount(of_edge, minlength=graphs))
        void = torch.arange(n, device=device) + before[graph_of]
        middle = torch.arange(m, device=device) + sites[of_edge]
        one, two = void[one], void[two]
        edges = torch.stack([torch.cat([one, two, middle, middle]), torch.cat([middle, middle, one, two])])
        place = torch.cat([void, middle])
        belongs = torch.empty_like(place)
        belongs[place] = torch.cat([graph_of, of_edge])
        order = torch.empty_like(place)
        order[place] = torch.arange(n + m, device=device)
        return order, edges, belongs

    def inputs(self, batch: Any) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Voids, and bottlenecks between them."""
        order, edges, belongs = self.layout(batch)
        if order is None:
            return super().inputs(batch)
        if hasattr(batch, "voids_and_necks"):
            return batch.voids_and_necks(order), edges, belongs, None
        # Columns of edge_attr: radius, length, multiplicity, per_target, environment.
        attr, x = batch.edge_attr[batch.edge_forward], batch.x
        mark, kind = x.new_zeros(len(x), 1), x.new_zeros(len(attr), 1)
        own = torch.cat([attr[:, :1], kind, attr[:, 2:3], attr[:, 4:], kind + 1], dim=1)
        return torch.cat([torch.cat([x, mark], dim=1), own])[order], edges, belongs, None


class CrystalGCN(TopKGCN):
    """``crystal-gcn``: the same network on the crystal graph, atoms for voids (the seed paper's comparison)."""

    kind = "crystal"

    def __init__(self, targets: int = 1, **options: Any) -> None:
        super().__init__(targets, options.pop("columns", _CRYSTAL_COLUMNS), **options)
