"""Layers against PyG's and against formulas written out on small graphs."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch_geometric.nn import GCNConv, TopKPooling, global_max_pool, global_mean_pool
from torch_geometric.utils import softmax

from fastin.ml.layers import (
    GCNLayer,
    RadialBasis,
    TopKPool,
    segment_mean,
    segment_mean_max,
    segment_softmax,
    segment_sum,
    top_k,
)


def random_batch(seed: int = 0, graphs: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Node features, edges without self-edges, graph of each node."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 12, graphs)
    batch = np.repeat(np.arange(graphs), sizes)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    edges = [
        (f + a, f + b) for f, n in zip(first, sizes, strict=True) for a, b in rng.integers(0, n, (3 * n, 2)) if a != b
    ]
    x = torch.tensor(rng.normal(size=(len(batch), 7)), dtype=torch.float32)
    return x, torch.tensor(np.array(edges).T), torch.tensor(batch)


def test_gcn_equals_pyg_without_self_edges() -> None:
    x, edge_index, _ = random_batch()
    weight = torch.rand(edge_index.shape[1])
    ours, theirs = GCNLayer(7, 5), GCNConv(7, 5)
    with torch.no_grad():
        theirs.lin.weight.copy_(ours.weight.T)
        ours.bias.normal_()
        theirs.bias.copy_(ours.bias)
    torch.testing.assert_close(ours(x, edge_index), theirs(x, edge_index))
    torch.testing.assert_close(ours(x, edge_index, weight), theirs(x, edge_index, weight))


def test_gcn_counts_periodic_self_edges_and_parallel_edges() -> None:
    # One site with two directed self-edges and a second site joined by two parallel edges, formula written out.
    edge_index = torch.tensor([[0, 0, 0, 1, 0, 1], [0, 0, 1, 0, 1, 0]])
    layer = GCNLayer(2, 3)
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    adjacency = torch.tensor([[3.0, 2.0], [2.0, 1.0]])  # A + I
    root = adjacency.sum(dim=1).rsqrt()
    expected = (root[:, None] * adjacency * root[None]) @ x @ layer.weight + layer.bias
    torch.testing.assert_close(layer(x, edge_index), expected)


@pytest.mark.parametrize("ratio", [0.9, 0.8, 0.5, 0.1])
def test_pool_equals_pyg(ratio: float) -> None:
    x, edge_index, batch = random_batch(1)
    attr = torch.rand(edge_index.shape[1], 2)
    ours, theirs = TopKPool(7, ratio), TopKPooling(7, ratio)
    theirs.load_state_dict(ours.state_dict())
    for a, b in zip(ours(x, edge_index, attr, batch, 5), theirs(x, edge_index, attr, batch), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("ratio", [0.9, 0.8])
def test_pool_keeps_the_share_that_pyg_keeps(ratio: float) -> None:
    for n in range(1, 200):
        batch = torch.zeros(n, dtype=torch.int64)
        score = torch.linspace(1, 2, n)
        kept = top_k(score, ratio, batch, 1)
        assert len(kept) == int((ratio * torch.tensor(float(n))).ceil())
        assert len(kept) == int(np.ceil(round(ratio * n, 6)))


def test_pool_of_ratio_one_keeps_all_nodes_and_gates_them_once() -> None:
    x, edge_index, batch = random_batch(2)
    pool = TopKPool(7, 1.0)
    out, edges, _, _, perm, score = pool(x, edge_index, None, batch, 5)
    assert sorted(perm.tolist()) == list(range(len(x)))
    weight = pool.select.weight[0]
    expected = torch.tanh(x @ weight / weight.norm())
    torch.testing.assert_close(score, expected[perm])
    torch.testing.assert_close(out, x[perm] * expected[perm, None])
    assert edges.shape == edge_index.shape
    with pytest.raises(ValueError, match="ratio"):
        TopKPool(7, 0.0)


def test_gradients_reach_the_pooling_weight() -> None:
    x, edge_index, batch = random_batch(3)
    pool = TopKPool(7, 0.5)
    out = pool(x, edge_index, None, batch, 5)[0]
    out.square().sum().backward()
    assert pool.select.weight.grad is not None
    assert float(pool.select.weight.grad.abs().sum()) > 0


def test_readouts_equal_pyg() -> None:
    x, _, batch = random_batch(4)
    torch.testing.assert_close(segment_mean(x, batch, 5), global_mean_pool(x, batch))
    expected = torch.cat([global_mean_pool(x, batch), global_max_pool(x, batch)], dim=1)
    torch.testing.assert_close(segment_mean_max(x, batch, 5), expected)
    needs_gradient = x.clone().requires_grad_()
    torch.testing.assert_close(segment_mean_max(needs_gradient, batch, 5), expected)
    torch.testing.assert_close(segment_softmax(x[:, 0], batch, 5), softmax(x[:, 0], batch))


def test_empty_segments_are_zero() -> None:
    values, index = torch.ones(2, 3), torch.tensor([0, 2])
    for reduce in (segment_sum, segment_mean, segment_mean_max):
        assert reduce(values, index, 4)[1].tolist() == [0.0] * (6 if reduce is segment_mean_max else 3)
    assert segment_mean_max(values.clone().requires_grad_(), index, 4)[3].tolist() == [0.0] * 6


@pytest.mark.skipif(importlib.util.find_spec("torch_scatter") is None, reason="torch-scatter is not installed")
def test_torch_scatter_gives_the_same_sums() -> None:
    x, _, batch = random_batch(5)
    torch.testing.assert_close(segment_sum(x, batch, 5, use_scatter=True), segment_sum(x, batch, 5, use_scatter=False))


def test_radial_basis_peaks_at_its_centres() -> None:
    basis = RadialBasis(0.0, 8.0, 5)
    torch.testing.assert_close(basis(torch.tensor([4.0]))[0, 2], torch.tensor(1.0))
    torch.testing.assert_close(basis(torch.tensor([6.0]))[0, 2], torch.exp(torch.tensor(-1.0)))
