"""Sums over segments, the GCN layer and TopK pooling.

``torch_scatter`` is used for the sums where it is installed; the results are the same without it (`index_add_`).
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn

from fastin.ml import rows
from fastin.ml.rows import RowIndex, mean_and_max_of_runs

_scatter: Any = importlib.import_module("torch_scatter") if importlib.util.find_spec("torch_scatter") else None


def segment_sum(values: Tensor, index: Tensor, count: int, *, use_scatter: bool | None = None) -> Tensor:
    """(count, ...) sums of the rows of `values` that share an index.

    Args:
        values: (n, ...) rows.
        index: (n,) int64 segment of each row.
        count: number of segments; empty ones give 0.
        use_scatter: force torch_scatter on or off; default: when it is installed.
    """
    if use_scatter is None:
        use_scatter = _scatter is not None
    if use_scatter:
        summed: Tensor = _scatter.scatter_add(values, index, dim=0, dim_size=count)
        return summed
    return values.new_zeros((count, *values.shape[1:])).index_add_(0, index, values)


def segment_mean(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Means of the rows that share an index; 0 for empty segments."""
    size = torch.zeros(count, dtype=values.dtype, device=values.device).index_add_(
        0, index, torch.ones(len(index), dtype=values.dtype, device=values.device)
    )
    return segment_sum(values, index, count) / size.clamp(min=1).reshape(-1, *[1] * (values.dim() - 1))


def segment_mean_max(values: Tensor, index: Tensor, count: int) -> Tensor:
    """(count, 2 F) means, then maxima of the rows (n, F) that share an index; 0 for empty segments.

    The index must be sorted.
    """
    if rows.on_cpu(values):
        return torch.cat(mean_and_max_of_runs(values, index, torch.bincount(index, minlength=count)), dim=1)
    empty = values.new_zeros((count, *values.shape[1:]))
    top = empty.scatter_reduce(0, index.unsqueeze(1).expand_as(values), values, "amax", include_self=False)
    return torch.cat([segment_mean(values, index, count), top], dim=1)


def segment_softmax(scores: Tensor, index: Tensor, count: int) -> Tensor:
    """Softmax over the rows that share an index; scores are (n,) or (n, heads)."""
    with torch.no_grad():
        where = index.reshape(-1, *[1] * (scores.dim() - 1)).expand_as(scores)
        top = scores.new_zeros((count, *scores.shape[1:])).scatter_reduce(0, where, scores, "amax", include_self=False)
    exponent = torch.exp(scores - top[index])
    return exponent / segment_sum(exponent, index, count)[index].clamp(min=torch.finfo(scores.dtype).tiny)


class GCNLayer(nn.Module):
    """Graph convolution of T. N. Kipf and M. Welling (ICLR 2017): ``D^-1/2 (A + I) D^-1/2 X W + b``.

    Every edge counts: parallel edges to different images add up, and a periodic self-edge adds to the layer's own
    self-loop. PyG's ``GCNConv`` is the same on graphs without self-edges, and keeps one self-edge a node otherwise.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """(n, outputs). `edge_weight` (m,) must be finite and not negative; default: 1."""
        n = len(x)
        source, target = RowIndex(edge_index[0], n), RowIndex(edge_index[1], n)
        h = x @ self.weight
        weight = h.new_ones(edge_index.shape[1], dtype=torch.float32) if edge_weight is None else edge_weight
        inverse_root = (1.0 + target.sum(weight)).rsqrt()
        norm = source.take(inverse_root) * weight * target.take(inverse_root)
        own = (inverse_root**2).unsqueeze(1).to(h.dtype)
        return target.sum(norm.unsqueeze(1).to(h.dtype) * source.take(h)) + own * h + self.bias.to(h.dtype)


def top_k(score: Tensor, ratio: float, batch: Tensor, num_graphs: int) -> Tensor:
    """Nodes that are kept: of each graph the ``ceil(ratio n)`` with the highest score, best first, graph by graph.

    Equal scores fall to the lower node number. A ratio of 1 keeps every node.
    """
    order = torch.argsort(score, descending=True, stable=True)
    order = order[torch.argsort(batch[order], stable=True)]
    size = torch.bincount(batch, minlength=num_graphs)
    # The product in double, less one part in 1e9, so that 0.9 * 10 keeps 9 nodes and not 10.
    keep = torch.ceil(ratio * size.double() - 1e-9 * size).long()
    first = torch.cumsum(size, 0) - size
    rank = torch.arange(len(order), device=order.device) - first[batch[order]]
    return order[rank < keep[batch[order]]]


class _Projection(nn.Module):
    """Holds the pooling vector under PyG's name, ``select.weight``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(channels)
        self.weight = nn.Parameter(torch.empty(1, channels).uniform_(-bound, bound))


class TopKPool(nn.Module):
    """TopK pooling (H. Gao and S. Ji, ICML 2019; C. Cangea et al., 2018).

    Score ``tanh(x . p / |p|)``; the kept nodes are gated by it; edges between kept nodes survive. Parameter names
    and the order of the results are PyG's (``select.weight``; x, edge_index, edge_attr, batch, perm, score).
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        if not 0.0 < ratio <= 1.0:
            raise ValueError(f"ratio must be in (0, 1], not {ratio}")
        self.ratio = ratio
        self.select = _Projection(channels)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None,
        batch: Tensor,
        num_graphs: int,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor]:
        """Pooled x, edge_index, edge_attr, batch, and which nodes were kept with which score."""
        weight = self.select.weight.squeeze(0)
        score = torch.tanh((x * weight).sum(dim=-1) / weight.norm(p=2))
        perm = top_k(score, self.ratio, batch, num_graphs)
        new_number = torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
        new_number[perm] = torch.arange(len(perm), device=x.device)
        ends = new_number.index_select(0, edge_index.reshape(-1)).reshape(2, -1)
        kept = (ends >= 0).all(dim=0)
        attr = None if edge_attr is None else edge_attr[kept]
        gate = score.index_select(0, perm)
        return x.index_select(0, perm) * gate.unsqueeze(1), ends[:, kept], attr, batch[perm], perm, gate


class RadialBasis(nn.Module):
    """Gaussians of a distance: ``exp(-((d - mu) / width)^2)`` at `count` centres from `low` to `high` angstrom."""

    def __init__(self, low: float, high: float, count: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.linspace(low, high, count))
        self.width = (high - low) / max(count - 1, 1)

    def forward(self, distance: Tensor) -> Tensor:
        """(..., count)."""
        centre = self.centre
        assert isinstance(centre, Tensor)
        return torch.exp(-(((distance.unsqueeze(-1) - centre) / self.width) ** 2))


def mlp(*widths: int, activation: type[nn.Module] = nn.SiLU, last: bool = False, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these widths with an activation between them (and after the last one if `last`)."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(a, b))
        if i < len(widths) - 2 or last:
            layers.append(activation())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)
