"""Shared row indices against torch's own indexing and sums, values and gradients."""

from __future__ import annotations

import pytest
import torch

from fastin.ml.rows import RowIndex, mean_and_max_of_runs


def _gradients(out: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    weight = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)
    return list(torch.autograd.grad((out * weight).sum(), inputs))


@pytest.mark.parametrize("count", [9, 70_000])  # both ways of sorting
@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_take_and_sum_equal_indexing(count: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    index = torch.randint(count - 2, (200,))  # the last rows are never meant
    rows = RowIndex(index, count)
    x = torch.randn(count, *shape, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(rows.take(x), x[index])
    torch.testing.assert_close(_gradients(rows.take(x), x), _gradients(x[index], x))
    values = torch.randn(200, *shape, dtype=torch.float64, requires_grad=True)
    plain = torch.zeros(count, *shape, dtype=torch.float64).index_add(0, index, values)
    torch.testing.assert_close(rows.sum(values), plain)
    torch.testing.assert_close(_gradients(rows.sum(values), values), _gradients(plain, values))


def test_nothing_to_take_or_sum() -> None:
    rows = RowIndex(torch.zeros(0, dtype=torch.int64), 3)
    assert rows.sum(torch.zeros(0, 2)).tolist() == [[0.0, 0.0]] * 3
    x = torch.ones(3, 2, requires_grad=True)
    rows.take(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.0]] * 3


def test_maximum_shares_the_gradient_of_ties_evenly() -> None:
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0], [3.0, 2.0], [-4.0, 0.0]], requires_grad=True)
    _, top = mean_and_max_of_runs(values, torch.tensor([0, 0, 0, 2]), torch.tensor([3, 0, 1]))
    assert top.tolist() == [[3.0, 5.0], [0.0, 0.0], [-4.0, 0.0]]
    (grad,) = torch.autograd.grad(top.sum(), [values])
    assert grad.tolist() == [[0.0, 0.5], [0.5, 0.5], [0.5, 0.0], [1.0, 1.0]]


def test_means_and_maxima_of_runs_equal_torch() -> None:
    torch.manual_seed(2)
    sizes = torch.tensor([3, 0, 1, 40, 6])
    index = torch.repeat_interleave(torch.arange(5), sizes)
    values = torch.randn(50, 4, dtype=torch.float64, requires_grad=True)
    where = index.unsqueeze(1).expand_as(values)
    zero = torch.zeros(5, 4, dtype=torch.float64)
    mean = zero.index_add(0, index, values) / sizes.clamp(min=1).unsqueeze(1)
    expected = torch.cat([mean, zero.scatter_reduce(0, where, values, "amax", include_self=False)])
    out = torch.cat(mean_and_max_of_runs(values, index, sizes))
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(_gradients(out, values), _gradients(expected, values))
