"""Rows taken and summed by an index vector that several layers share.

The backward pass of ``x[index]`` and a sum over equal indices are the same operation. torch adds the rows one by one
(`index_put_`, `index_add_`); with the index sorted once, both become sums over runs of one permutation, which
`embedding_bag` does in one pass over the result. On the graphs of this package that is several times faster on a CPU
(`bench/bench_ml.py`). Other devices take torch's own operations.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_RADIX = 65536  # numpy sorts 16-bit integers in linear time


def on_cpu(x: Tensor) -> bool:
    """Whether the operations written for CPUs apply; other devices take torch's own, with the same results."""
    return x.device.type == "cpu"


def run_pointer(sizes: Tensor) -> Tensor:
    """(G + 1,) first row of each run."""
    return torch.cat([sizes.new_zeros(1), torch.cumsum(sizes, 0)])


class RowIndex:
    """An index vector and, when first needed, the permutation that sorts it.

    Args:
        index: (m,) int64, values in [0, count).
        count: rows of what it points into.
    """

    def __init__(self, index: Tensor, count: int) -> None:
        self.index = index
        self.count = count

    @cached_property
    def order(self) -> Tensor:
        """(m,) stable order of the index."""
        if self.index.device.type == "cpu" and self.count <= _RADIX:
            return torch.from_numpy(np.argsort(self.index.numpy().astype(np.uint16), kind="stable"))
        return torch.argsort(self.index, stable=True)

    @cached_property
    def pointer(self) -> Tensor:
        """(count + 1,) first place of each value in the sorted index."""
        return run_pointer(torch.bincount(self.index, minlength=self.count))

    def take(self, x: Tensor) -> Tensor:
        """``x[index]``: (m, ...) rows."""
        if not on_cpu(x) or not x.is_floating_point() or not x.requires_grad:
            return x.index_select(0, self.index)
        rows: Tensor = _Take.apply(x, self)  # type: ignore[no-untyped-call]
        return rows

    def sum(self, values: Tensor) -> Tensor:
        """(count, ...) sums of the rows of `values` (m, ...) that share an index; 0 where there are none."""
        if not on_cpu(values):
            return values.new_zeros((self.count, *values.shape[1:])).index_add_(0, self.index, values)
        summed: Tensor = _Sum.apply(values, self)  # type: ignore[no-untyped-call]
        return summed


def _bag(index: Tensor, values: Tensor, pointer: Tensor, weight: Tensor | None = None) -> Tensor:
    """Sums of the rows ``values[index]`` (times their weights) between the pointers."""
    if values.numel() == 0 or len(index) == 0:
        return values.new_zeros((len(pointer) - 1, *values.shape[1:]))
    flat = values.reshape(len(values), -1)
    out = torch.nn.functional.embedding_bag(
        index, flat, pointer, mode="sum", include_last_offset=True, per_sample_weights=weight
    )
    return out.reshape(-1, *values.shape[1:])


class _Take(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: RowIndex) -> Tensor:
        ctx.rows = rows
        return x.index_select(0, rows.index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _bag(ctx.rows.order, grad.contiguous(), ctx.rows.pointer), None


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: RowIndex) -> Tensor:
        ctx.rows = rows
        return _bag(rows.order, values.contiguous(), rows.pointer)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.index_select(0, ctx.rows.index), None


class _Convolve(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor, source: RowIndex, target: RowIndex, weight: Tensor, own: Tensor
    ) -> Tensor:
        ctx.edges = source, target, weight, own
        order = target.order
        out = _bag(source.index.index_select(0, order), x, target.pointer, weight.index_select(0, order))
        return out.addcmul_(x, own).add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        source, target, weight, own = ctx.edges
        grad = grad.contiguous()
        order = source.order
        back = _bag(target.index.index_select(0, order), grad, source.pointer, weight.index_select(0, order))
        return back.addcmul_(grad, own), grad.sum(dim=0), None, None, None, None


def convolve(x: Tensor, bias: Tensor, source: RowIndex, target: RowIndex, weight: Tensor, own: Tensor) -> Tensor:
    """(n, F) sums over edges of ``weight * x[source]`` at their targets, plus ``own * x`` and the bias.

    Args:
        x: (n, F) rows.
        bias: (F,).
        source: of the m edges.
        target: of the m edges.
        weight: (m,); where it needs a gradient, or off the CPU, torch's own operations do the work.
        own: (n,) weight of each row itself.
    """
    own = own.unsqueeze(1).to(x.dtype)
    if not on_cpu(x) or weight.requires_grad or own.requires_grad:
        return target.sum(weight.unsqueeze(1).to(x.dtype) * source.take(x)) + own * x + bias
    out: Tensor = _Convolve.apply(x, bias, source, target, weight.to(x.dtype), own)  # type: ignore[no-untyped-call]
    return out


class _GatedTake(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, score: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        kept, gate = x.index_select(0, index), score.index_select(0, index)
        ctx.save_for_backward(kept, weight, gate)
        ctx.index, ctx.count = index, len(x)
        return kept * gate.unsqueeze(1), gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_rows: Tensor, of_gate: Tensor) -> tuple[Tensor, Tensor, None, None]:
        kept, weight, gate = ctx.saved_tensors
        norm = weight.norm()
        # score = tanh(x . w / |w|); its slope with respect to the argument, times the gradient of the gate
        slope = (of_gate + (of_rows * kept).sum(dim=1)) * (1 - gate**2)
        unit = weight / norm
        along = torch.mv(kept.T.to(slope.dtype), slope)  # under autocast the rows are shorter numbers than the score
        of_weight = (along - unit * torch.dot(unit, along)) / norm
        rows = (of_rows * gate.unsqueeze(1)).addr_(slope, unit)
        return rows.new_zeros((ctx.count, rows.shape[1])).index_copy_(0, ctx.index, rows), of_weight, None, None


def gated_take(x: Tensor, weight: Tensor, score: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The rows ``x[index]`` times their scores, and these scores.

    Gradients flow to `x` and `weight` through the rows and through the scores of the rows taken.

    Args:
        x: (n, F) rows.
        weight: (F,) vector of the score.
        score: (n,) ``tanh(x . weight / |weight|)``; on a CPU its gradient is made here, and not taken from `score`.
        index: (k,) rows, each at most once.
    """
    if not on_cpu(x):
        gate = score.index_select(0, index)
        return x.index_select(0, index) * gate.unsqueeze(1), gate
    rows, gate = _GatedTake.apply(x, weight, score.detach(), index)  # type: ignore[no-untyped-call]
    return rows, gate


class _RunMeanMax(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        share = sizes.to(values.dtype).clamp_(min=1).reciprocal_().unsqueeze(1)
        mean = _bag(torch.arange(len(index)), values, run_pointer(sizes)).mul_(share)
        zero = values.new_zeros(values.shape[1:])
        top = torch.stack([part.amax(dim=0) if len(part) else zero for part in torch.split(values, sizes.tolist())])
        ctx.save_for_backward(values, top, share)
        ctx.index, ctx.sizes = index, sizes
        return mean, top

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_top: Tensor) -> tuple[Tensor, None, None]:
        values, top, share = ctx.saved_tensors
        ties = (values == top.index_select(0, ctx.index)).to(values.dtype)
        count = _bag(torch.arange(len(ties)), ties, run_pointer(ctx.sizes))
        ties.mul_((of_top / count.clamp_(min=1)).index_select(0, ctx.index))
        return ties.add_((of_mean * share).index_select(0, ctx.index)), None, None


def mean_and_max_of_runs(values: Tensor, index: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """(G, F) means and maxima over consecutive runs of rows; 0 for empty runs. Equal maxima share the gradient evenly.

    Args:
        values: (n, F) rows.
        index: (n,) run of each row, not decreasing.
        sizes: (G,) rows of each run.
    """
    mean, top = _RunMeanMax.apply(values, index, sizes)  # type: ignore[no-untyped-call]
    return mean, top


def descending_within(score: Tensor, index: Tensor) -> Tensor:
    """(n,) order of the rows: by `index`, and among equal ones the highest score first, ties by row number."""
    if not on_cpu(score) or score.dtype != torch.float32 or len(score) >= 1 << 31:
        order = torch.argsort(score, descending=True, stable=True)
        return order[torch.argsort(index[order], stable=True)]
    # One unstable sort of (falling score, row number) in 64 bits is several times faster than a stable one. Adding 0
    # turns -0 into 0; a float's bits, with the lower ones of negative numbers flipped, are ordered as the numbers are.
    bits = (score.detach() + 0.0).numpy().view(np.int32).astype(np.int64)
    rising = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys = (-rising << 32) + np.arange(len(bits))
    keys.sort()
    rows = keys & 0xFFFFFFFF
    of = index.numpy()[rows]
    return torch.from_numpy(rows[np.argsort(of.astype(np.uint16) if of.max(initial=0) < _RADIX else of, kind="stable")])
