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


def _bag(index: Tensor, values: Tensor, pointer: Tensor) -> Tensor:
    """Sums of the rows ``values[index]`` between the pointers."""
    if values.numel() == 0 or len(index) == 0:
        return values.new_zeros((len(pointer) - 1, *values.shape[1:]))
    flat = values.reshape(len(values), -1)
    out = torch.nn.functional.embedding_bag(index, flat, pointer, mode="sum", include_last_offset=True)
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
