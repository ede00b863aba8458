"""Blocks of the GCNs in the compiled core: what lies between two matrix products is done graph by graph.

A block of `fastin.ml.models.TopKGCN` is a product with the layer's weights and, around it, sums over neighbours,
activation, scores, pooling and readout: a dozen passes over rows that no cache holds. The core does all of them for
one graph before the next, forward and backward (float32 on a processor; `fastin.ml.layers` has the same layers in
torch's operations, for other devices and numbers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from fastin.ml.rows import on_cpu, run_pointer
from fastin.runtime.openmp import _core

if TYPE_CHECKING:
    from fastin.ml.data import Batch


def applies(batch: Any, like: Tensor, hidden: int) -> bool:
    """Whether the core can do the blocks of this batch: one of ours, float32 on a processor, whole groups of units."""
    mixed = torch.is_autocast_enabled(like.device.type)
    exact = on_cpu(like) and like.dtype == torch.float32 and not mixed
    return exact and hasattr(batch, "parts") and hidden % _core.gcn_lanes == 0


def group(edge_index: Tensor, graph_of: Tensor, graphs: int) -> _core.GcnGraphs:
    """Edges (2, m) between the nodes of so many graphs, sorted; nodes of one graph are consecutive."""
    first = run_pointer(torch.bincount(graph_of, minlength=graphs)).to(torch.int32)
    source, target = edge_index.contiguous()
    return _core.GcnGraphs(first.numpy(), source.numpy(), target.numpy())


def input_sums(graphs: _core.GcnGraphs, batch: Batch, mean: Tensor, deviation: Tensor, *, necks: bool) -> Tensor:
    """(n, F + p) ``D^-1/2 (A + I) D^-1/2 x`` of the batch's standardised input rows x, without a gradient.

    Behind the F columns are zeros up to a whole group.

    Args:
        graphs: edges of the nodes.
        batch: its nodes, with the bottlenecks where `necks`.
        mean: (F,) of each column.
        deviation: (F,) of each column.
        necks: bottlenecks are nodes, and the last column marks them.
    """
    parts = [(a.numpy(), b.numpy(), c.numpy(), d.numpy()) for a, b, c, d in batch.parts(necks=necks)]
    behind = -len(mean) % _core.gcn_lanes  # columns of zeros that the core wants
    mean, deviation = torch.cat([mean, mean.new_zeros(behind)]), torch.cat([deviation, mean.new_ones(behind)])
    out = mean.new_empty((sum(len(own) for _, own, _, _ in parts), len(mean)))
    constants = (batch.atoms().numpy(), mean.numpy(), deviation.numpy(), out.numpy())
    _core.gcn_input_sums(graphs, parts, necks, *constants, torch.get_num_threads())
    return out


def _numpy(x: Tensor | None) -> Any:
    return None if x is None else x.detach().numpy()


class _Pool(Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, bias: Tensor | None, weight: Tensor, graphs: _core.GcnGraphs, ratio: float, last: bool
    ) -> tuple[Tensor, Tensor, _core.GcnGraphs]:
        y, weight = y.contiguous(), weight.contiguous()
        readout = y.new_empty((len(graphs), 2 * y.shape[1]))
        sums = y.new_empty((0 if last else graphs.pooled_nodes(ratio), y.shape[1]))
        ctx.pooled = _core.gcn_pool(
            graphs,
            _numpy(y),
            _numpy(bias),
            _numpy(weight),
            ratio,
            readout.numpy(),
            None if last else sums.numpy(),
            torch.get_num_threads(),
        )
        ctx.graphs, ctx.last = graphs, last
        ctx.save_for_backward(y, bias, weight, readout)
        return sums, readout, ctx.pooled.graphs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_sums: Tensor, of_readout: Tensor, _: None
    ) -> tuple[Tensor, Tensor | None, Tensor, None, None, None]:
        y, bias, weight, readout = ctx.saved_tensors
        of_y, of_bias, of_weight = torch.empty_like(y), torch.empty_like(weight), torch.empty_like(weight)
        _core.gcn_pool_backward(
            ctx.graphs,
            _numpy(y),
            _numpy(bias),
            _numpy(weight),
            ctx.pooled,
            readout.numpy(),
            of_readout.contiguous().numpy(),
            None if ctx.last else of_sums.contiguous().numpy(),
            of_y.numpy(),
            of_bias.numpy(),
            of_weight.numpy(),
            torch.get_num_threads(),
        )
        return of_y, None if bias is None else of_bias, of_weight, None, None, None


class _Block(Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, matrix: Tensor, bias: Tensor, weight: Tensor, graphs: _core.GcnGraphs, ratio: float,
        last: bool,
    ) -> tuple[Tensor, Tensor, _core.GcnGraphs]:  # fmt: skip
        columns = matrix.shape[1]
        y = rows.new_empty((len(rows), columns))
        readout = rows.new_empty((len(graphs), 2 * columns))
        sums = rows.new_empty((0 if last else graphs.pooled_nodes(ratio), columns))
        ctx.pooled = _core.gcn_block(
            graphs,
            _numpy(rows),
            _numpy(matrix),
            _numpy(bias),
            _numpy(weight),
            ratio,
            y.numpy(),
            readout.numpy(),
            None if last else sums.numpy(),
            torch.get_num_threads(),
        )
        ctx.graphs, ctx.last = graphs, last
        ctx.save_for_backward(rows, matrix, y, bias, weight, readout)
        return sums, readout, ctx.pooled.graphs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_sums: Tensor, of_readout: Tensor, _: None
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None, None, None]:
        rows, matrix, y, bias, weight, readout = ctx.saved_tensors
        of_rows = rows.new_empty((len(rows), len(matrix))) if ctx.needs_input_grad[0] else None
        of_matrix, of_bias, of_weight = torch.empty_like(matrix), torch.empty_like(bias), torch.empty_like(weight)
        _core.gcn_block_backward(
            ctx.graphs,
            _numpy(rows),
            _numpy(matrix),
            y.numpy(),
            _numpy(bias),
            _numpy(weight),
            ctx.pooled,
            readout.numpy(),
            of_readout.contiguous().numpy(),
            None if ctx.last else of_sums.contiguous().numpy(),
            _numpy(of_rows),
            of_matrix.numpy(),
            of_bias.numpy(),
            of_weight.numpy(),
            torch.get_num_threads(),
        )
        return of_rows, of_matrix, of_bias, of_weight, None, None, None


def block(
    rows: Tensor, matrix: Tensor, bias: Tensor, weight: Tensor, graphs: _core.GcnGraphs, ratio: float, *, last: bool
) -> tuple[Tensor, Tensor, _core.GcnGraphs]:
    """`pool` of ``y = rows @ matrix`` with a bias.

    Args:
        rows: (n, C); columns from K on do not count (there must be none where the rows have a gradient).
        matrix: (K, F).
        bias: (F,).
        weight: as in `pool`, like the other arguments and the results.
        graphs: see `pool`.
        ratio: see `pool`.
        last: see `pool`.
    """
    found = _Block.apply(rows, matrix, bias, weight, graphs, ratio, last)  # type: ignore[no-untyped-call]
    sums, readout, kept = found
    return sums, readout, kept


def pool(
    y: Tensor, bias: Tensor | None, weight: Tensor, graphs: _core.GcnGraphs, ratio: float, *, last: bool
) -> tuple[Tensor, Tensor, _core.GcnGraphs]:
    """Activation, TopK pooling, readout and the sums over neighbours of what is kept.

    Args:
        y: (n, F) rows before the activation ``relu(y + bias)``; after it where there is no bias.
        bias: (F,) or None.
        weight: (F,) vector of the score ``tanh(x . weight / |weight|)``.
        graphs: edges of the n nodes.
        ratio: share of the nodes that are kept, in (0, 1].
        last: no sums are wanted.

    Returns:
        (k, F) sums over neighbours (no rows where `last`), (G, 2 F) means and maxima of the kept rows, and
        the edges between these.
    """
    sums, readout, kept = _Pool.apply(y, bias, weight, graphs, ratio, last)  # type: ignore[no-untyped-call]
    return sums, readout, kept
