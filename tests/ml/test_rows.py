"""Shared row indices against torch's own indexing and sums, values and gradients."""

from __future__ import annotations

import pytest
import torch

from fastin.ml.layers import segment_max
from fastin.ml.rows import RowIndex, descending_within, max_of_runs, propagate, sum_of_runs, take_once


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


@pytest.mark.parametrize("learned", [False, True])
def test_propagate_equals_the_dense_product(learned: bool) -> None:
    torch.manual_seed(1)
    source, target = torch.randint(6, (30,)), torch.randint(8, (30,))
    weight = torch.rand(30, dtype=torch.float64, requires_grad=learned)
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    adjacency = torch.zeros(8, 6, dtype=torch.float64).index_put((target, source), weight, accumulate=True)
    out = propagate(x, RowIndex(source, 6), RowIndex(target, 8), weight)
    torch.testing.assert_close(out, adjacency @ x)
    inputs = (x, weight) if learned else (x,)
    torch.testing.assert_close(_gradients(out, *inputs), _gradients(adjacency @ x, *inputs))


def test_nothing_to_take_or_sum() -> None:
    rows = RowIndex(torch.zeros(0, dtype=torch.int64), 3)
    assert rows.sum(torch.zeros(0, 2)).tolist() == [[0.0, 0.0]] * 3
    x = torch.ones(3, 2, requires_grad=True)
    rows.take(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.0]] * 3


def test_take_once_sends_the_gradient_back() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([4, 0, 2])
    torch.testing.assert_close(_gradients(take_once(x, index), x), _gradients(x[index], x))


def test_maximum_shares_the_gradient_of_ties_evenly() -> None:
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0], [3.0, 2.0], [-4.0, 0.0]], requires_grad=True)
    out = segment_max(values, torch.tensor([0, 0, 0, 2]), 3)
    assert out.tolist() == [[3.0, 5.0], [0.0, 0.0], [-4.0, 0.0]]
    (grad,) = torch.autograd.grad(out.sum(), [values])
    assert grad.tolist() == [[0.0, 0.5], [0.5, 0.5], [0.5, 0.0], [1.0, 1.0]]


def test_sums_and_maxima_of_runs_equal_torch() -> None:
    torch.manual_seed(2)
    sizes = torch.tensor([3, 0, 1, 40, 6])
    index = torch.repeat_interleave(torch.arange(5), sizes)
    values = torch.randn(50, 4, dtype=torch.float64, requires_grad=True)
    plain = torch.zeros(5, 4, dtype=torch.float64).index_add(0, index, values)
    torch.testing.assert_close(sum_of_runs(values, index, sizes), plain)
    torch.testing.assert_close(_gradients(sum_of_runs(values, index, sizes), values), _gradients(plain, values))
    where = index.unsqueeze(1).expand_as(values)
    top = torch.zeros(5, 4, dtype=torch.float64).scatter_reduce(0, where, values, "amax", include_self=False)
    torch.testing.assert_close(max_of_runs(values, index, sizes), top)
    torch.testing.assert_close(_gradients(max_of_runs(values, index, sizes), values), _gradients(top, values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # both ways of sorting
def test_descending_order_within_runs_is_that_of_two_stable_sorts(dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    score = torch.cat([torch.randn(300), torch.tensor([0.0, -0.0, float("inf"), -float("inf"), 1e-42, -1e-42])])
    score = torch.cat([score, score]).to(dtype)  # every score twice
    for index in (torch.randint(7, (len(score),)), torch.randint(200_000, (len(score),)).sort().values):
        order = torch.argsort(score, descending=True, stable=True)
        expected = order[torch.argsort(index[order], stable=True)]
        assert torch.equal(descending_within(score, index), expected)
    assert len(descending_within(score[:0], index[:0])) == 0
