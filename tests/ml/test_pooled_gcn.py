"""The blocks of the GCNs in the core against the layers in torch's operations, values and gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fastin.errors import InputError
from fastin.ml import pooled_gcn
from fastin.ml.data import TensorStore
from fastin.ml.labels import to_targets
from fastin.ml.layers import TopKPool, segment_mean_max
from fastin.ml.models import build_model
from fastin.ml.store import LABELS, GraphStore
from fastin.runtime.openmp import _core

#: Nodes of each graph: among them one node, no node, and rows that do not fill a vector register.
SIZES = (5, 0, 1, 40, 7)


def random_graphs(seed: int) -> tuple[Tensor, Tensor]:
    """Directed edges within the graphs (self-edges and parallel ones too), and the graph of each node."""
    rng = np.random.default_rng(seed)
    first = np.concatenate([[0], np.cumsum(SIZES)])
    edges = [rng.integers(a, b, (2, 3 * (b - a))) for a, b in itertools.pairwise(first) if b > a]
    return torch.from_numpy(np.concatenate(edges, axis=1)), torch.from_numpy(np.repeat(np.arange(len(SIZES)), SIZES))


def dense(edges: Tensor, nodes: int) -> Tensor:
    """(n, n) ``D^-1/2 (A + I) D^-1/2`` in double."""
    one = torch.ones(edges.shape[1], dtype=torch.float64)
    matrix = torch.eye(nodes, dtype=torch.float64).index_put((edges[1], edges[0]), one, accumulate=True)
    root = matrix.sum(dim=1).rsqrt()
    return root[:, None] * matrix * root[None]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("columns", [16, 48])
@pytest.mark.parametrize("ratio", [0.9, 0.5, 1.0])
def test_pooling_equals_the_layers_in_double(relu: bool, columns: int, ratio: float) -> None:
    torch.manual_seed(columns)
    edges, graph_of = random_graphs(columns)
    nodes, graphs = len(graph_of), len(SIZES)
    y, bias, weight = torch.randn(nodes, columns), torch.randn(columns), torch.randn(columns)
    exact = [x.double().requires_grad_() for x in (y, bias, weight)]
    layer = TopKPool(columns, ratio).double()
    activated = torch.relu(exact[0] + exact[1]) if relu else exact[0]
    layer.select.weight = torch.nn.Parameter(torch.zeros(1, columns, dtype=torch.float64))
    expected = torch.func.functional_call(
        layer, {"select.weight": exact[2].unsqueeze(0)}, (activated, edges, None, graph_of, graphs)
    )
    rows, kept_edges, _, of_kept, perm, gate = expected
    expected_sums = dense(kept_edges, len(rows)) @ rows
    expected_readout = segment_mean_max(rows, of_kept, graphs)

    ours = [x.clone().requires_grad_() for x in (y, bias, weight)]
    grouped = pooled_gcn.group(edges, graph_of, graphs)
    sums, readout, _ = pooled_gcn.pool(ours[0], ours[1] if relu else None, ours[2], grouped, ratio, last=False)
    torch.testing.assert_close(sums.double(), expected_sums, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(readout.double(), expected_readout, rtol=1e-5, atol=1e-6)
    pooled = _core.gcn_pool(
        grouped, y.numpy(), bias.numpy() if relu else None, weight.numpy(), ratio, readout.detach().numpy(), None, 1
    )
    assert pooled.kept.tolist() == perm.tolist()
    np.testing.assert_allclose(pooled.gate, gate.detach().numpy(), rtol=1e-5, atol=1e-6)

    def gradients(sums: Tensor, readout: Tensor, inputs: list[Tensor]) -> list[Tensor]:
        ramp = torch.linspace(-1, 2, sums.numel()).reshape(sums.shape).to(sums.dtype)
        loss = (sums * ramp).sum() + (readout * torch.linspace(3, -2, readout.shape[1]).to(sums.dtype)).sum()
        return list(torch.autograd.grad(loss, inputs))

    of = [0, 1, 2] if relu else [0, 2]
    theirs = gradients(expected_sums, expected_readout, [exact[i] for i in of])
    for a, b in zip(gradients(sums, readout, [ours[i] for i in of]), theirs, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("terms", "columns"), [(16, 16), (23, 48), (48, 32), (5, 80)])
def test_a_block_equals_product_and_pooling(terms: int, columns: int) -> None:
    torch.manual_seed(terms)
    edges, graph_of = random_graphs(terms)
    nodes, graphs = len(graph_of), len(SIZES)
    rows, matrix = torch.randn(nodes, terms), torch.randn(terms, columns) / terms**0.5
    bias, weight = torch.randn(columns), torch.randn(columns)
    padded = torch.cat([rows, torch.full((nodes, -terms % 16), torch.nan)], dim=1)  # what must not count
    grouped = pooled_gcn.group(edges, graph_of, graphs)
    with_rows = terms % 16 == 0

    def found(whole: bool) -> list[Tensor]:
        x, w, b, v = (t.clone().requires_grad_() for t in (rows, matrix, bias, weight))
        if whole:
            first = x if with_rows else padded
            sums, readout, _ = pooled_gcn.block(first, w, b, v, grouped, 0.7, last=False)
        else:  # the product in double
            y = (x.double() @ w.double()).float()
            sums, readout, _ = pooled_gcn.pool(y, b, v, grouped, 0.7, last=False)
        ramp = torch.linspace(-1, 2, sums.numel()).reshape(sums.shape)
        loss = (sums * ramp).sum() + (readout * torch.linspace(3, -2, readout.shape[1])).sum()
        return [sums, readout, *torch.autograd.grad(loss, [x, w, b, v] if with_rows else [w, b, v])]

    for a, b in zip(found(True), found(False), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("name", ["in-gcn", "in-gcn-voids", "crystal-gcn"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_models_equal_those_of_the_layers(
    name: str, activation: str, store: GraphStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"hidden": 32, "activation": activation}
    if name == "in-gcn-voids":
        options["bottlenecks"] = "ignored"
    torch.manual_seed(0)
    model = build_model(name.removesuffix("-voids"), len(LABELS), options)
    tensors = TensorStore(store, model.kind, to_targets(store.labels))
    model.fit_normalisation(tensors.batch(np.arange(len(store))))

    def step() -> tuple[Tensor, list[Tensor]]:
        loss = model.training_loss(tensors.batch(np.arange(48)[::-1]))
        return loss.detach(), list(torch.autograd.grad(loss, list(model.parameters())))

    calls = []
    used = "block" if activation == "relu" else "pool"
    whole: Callable[..., Any] = getattr(pooled_gcn, used)
    monkeypatch.setattr(pooled_gcn, used, lambda *a, **k: calls.append(1) or whole(*a, **k))
    loss, gradients = step()
    assert len(calls) == 3
    assert step()[1][0].equal(gradients[0])
    monkeypatch.setattr(pooled_gcn, "applies", lambda *_: False)
    plain_loss, plain_gradients = step()
    assert len(calls) == 6
    torch.testing.assert_close(loss, plain_loss, rtol=1e-6, atol=1e-6)
    for a, b in zip(gradients, plain_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    torch.manual_seed(1)
    edges, graph_of = random_graphs(2)
    grouped = pooled_gcn.group(edges, graph_of, len(SIZES))
    y, bias, weight = torch.randn(len(graph_of), 32).numpy(), torch.randn(32).numpy(), torch.randn(32).numpy()
    found = []
    for threads in (1, 3):
        readout, sums = np.empty((5, 64), np.float32), np.empty((grouped.pooled_nodes(0.8), 32), np.float32)
        pooled = _core.gcn_pool(grouped, y, bias, weight, 0.8, readout, sums, threads)
        out = [np.empty_like(x) for x in (y, bias, weight)]
        _core.gcn_pool_backward(grouped, y, bias, weight, pooled, readout, np.cos(readout), np.sin(sums), *out, threads)
        found.append([readout, sums, *out])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_block_gives_the_same_bits_on_any_number_of_threads() -> None:
    torch.manual_seed(2)
    edges, graph_of = random_graphs(3)
    grouped = pooled_gcn.group(edges, graph_of, len(SIZES))
    nodes = len(graph_of)
    rows, matrix = torch.randn(nodes, 32).numpy(), torch.randn(32, 48).numpy()
    bias, weight = torch.randn(48).numpy(), torch.randn(48).numpy()
    found = []
    for threads in (1, 4):
        y, readout = np.empty((nodes, 48), np.float32), np.empty((5, 96), np.float32)
        sums = np.empty((grouped.pooled_nodes(0.8), 48), np.float32)
        pooled = _core.gcn_block(grouped, rows, matrix, bias, weight, 0.8, y, readout, sums, threads)
        out = [np.empty_like(x) for x in (rows, matrix, bias, weight)]
        _core.gcn_block_backward(
            grouped, rows, matrix, y, bias, weight, pooled, readout, np.cos(readout), np.sin(sums), *out, threads
        )
        found.append([y, readout, sums, *out])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="fewer columns"):
        _core.gcn_block(grouped, rows[:, :16].copy(), matrix, bias, weight, 0.8, y, readout, sums, 1)
    more = [np.empty_like(x) for x in (rows[:, :20], matrix[:20], bias, weight)]
    with pytest.raises(InputError, match="groups of 16"):
        _core.gcn_block_backward(
            grouped, rows, matrix[:20].copy(), y, bias, weight, pooled, readout, readout, sums, *more, 1
        )


def test_equal_scores_fall_to_the_lower_number() -> None:
    grouped = pooled_gcn.group(torch.zeros((2, 0), dtype=torch.int64), torch.zeros(6, dtype=torch.int64), 1)
    y, weight, readout = np.zeros((6, 16), np.float32), np.zeros(16, np.float32), np.empty((1, 32), np.float32)
    y[:, 3], weight[3] = [0.0, 2.0, -1.0, 2.0, -0.0, 2.0], 1.0
    pooled = _core.gcn_pool(grouped, y, None, weight, 0.9, readout, None, 1)
    assert pooled.kept.tolist() == [1, 3, 5, 0, 4, 2]
    top = _core.gcn_pool(grouped, y, None, weight, 0.3, readout, None, 1)
    assert top.kept.tolist() == [1, 3]
    assert readout[0, [3, 19]].tolist() == pytest.approx([2 * np.tanh(2.0)] * 2)
    with pytest.raises(InputError, match="groups of 16"):
        _core.gcn_pool(grouped, y[:, :15].copy(), None, weight[:15].copy(), 0.3, readout[:, :30].copy(), None, 1)


def test_edges_and_neighbours_outside_are_refused(store: GraphStore) -> None:
    first = np.array([0, 2, 4], np.int32)
    for source, target in ((0, 2), (3, 1), (-1, 0), (0, 4)):
        with pytest.raises(InputError, match="edge 0 does not join"):
            _core.GcnGraphs(first, np.array([source], np.int64), np.array([target], np.int64))
    with pytest.raises(InputError, match="rise from 0"):
        _core.GcnGraphs(np.array([0, 3, 2], np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))
    model = build_model("in-gcn", 1)
    batch = TensorStore(store, "interstitial").batch([0, 1])
    model(batch)
    batch.fields["edge_neighbour"] = batch.fields["edge_neighbour"] + 1000
    with pytest.raises(InputError, match="neighbour is no atom"):
        model(batch)
