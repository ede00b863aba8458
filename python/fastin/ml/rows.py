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
        size = torch.bincount(self.index, minlength=self.count)
        return torch.cat([size.new_zeros(1), torch.cumsum(size, 0)])

    def take(self, x: Tensor) -> Tensor:
        """``x[index]``: (m, ...) rows."""
        if x.device.type != "cpu" or not x.is_floating_point() or not x.requires_grad:
            return x.index_select(0, self.index)
        rows: Tensor = _Take.apply(x, self)  # type: ignore[no-untyped-call]
        return rows

    def sum(self, values: Tensor) -> Tensor:
        """(count, ...) sums of the rows of `values` (m, ...) that share an index; 0 where there are none."""
        if values.device.type != "cpu":
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


class _Propagate(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, source: RowIndex, target: RowIndex, weight: Tensor) -> Tensor:
        ctx.edges = source, target, weight
        order = target.order
        return _bag(source.index.index_select(0, order), x, target.pointer, weight.index_select(0, order))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        source, target, weight = ctx.edges
        order = source.order
        back = _bag(
            target.index.index_select(0, order), grad.contiguous(), source.pointer, weight.index_select(0, order)
        )
        return back, None, None, None


def propagate(x: Tensor, source: RowIndex, target: RowIndex, weight: Tensor) -> Tensor:
    """(target.count, F) sums over edges of ``weight * x[source]`` at their targets.

    Args:
        x: (source.count, F) rows.
        source: of the m edges.
        target: of the m edges.
        weight: (m,); where it needs a gradient, or off the CPU, torch's own operations do the work.
    """
    if x.device.type != "cpu" or weight.requires_grad:
        return target.sum(weight.unsqueeze(1).to(x.dtype) * source.take(x))
    out: Tensor = _Propagate.apply(x, source, target, weight.to(x.dtype))  # type: ignore[no-untyped-call]
    return out


class _TakeOnce(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.index, ctx.shape = index, x.shape
        return x.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.new_zeros(ctx.shape).index_copy_(0, ctx.index, grad), None


def take_once(x: Tensor, index: Tensor) -> Tensor:
    """``x[index]`` where no index occurs twice."""
    out: Tensor = _TakeOnce.apply(x, index)  # type: ignore[no-untyped-call]
    return out


class _SegmentMax(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, sizes: list[int]) -> Tensor:
        parts = torch.split(values, sizes)
        zero = values.new_zeros(values.shape[1:])
        top = torch.stack([part.amax(dim=0) if len(part) else zero for part in parts])
        ctx.save_for_backward(values, top)
        ctx.sizes = sizes
        return top

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        values, top = ctx.saved_tensors
        out = torch.empty_like(values)
        parts = zip(torch.split(values, ctx.sizes), torch.split(out, ctx.sizes), top, grad, strict=True)
        for part, into, highest, slope in parts:
            ties = (part == highest).to(values.dtype)
            torch.mul(ties, slope / ties.sum(dim=0).clamp(min=1), out=into)
        return out, None


def max_of_runs(values: Tensor, sizes: list[int]) -> Tensor:
    """(len(sizes), ...) maxima over consecutive runs of rows; 0 for empty runs. Ties share the gradient evenly."""
    out: Tensor = _SegmentMax.apply(values, sizes)  # type: ignore[no-untyped-call]
    return out
