"""Cost of one training step and of one prediction for every model: pytest bench/bench_ml.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastin.crystal.examples import examples
from fastin.ml.data import TensorStore
from fastin.ml.dataset import BuildOptions, SourceCif, make_entry
from fastin.ml.labels import label_columns, to_targets
from fastin.ml.models import MODELS, build_model
from fastin.ml.rows import RowIndex
from fastin.ml.store import GraphStore

BATCH = 64


@pytest.fixture(scope="module")
def store():
    """64 graphs: the bundled lithium compounds, repeated."""
    names = ["Li3N", "LiFePO4", "Li3OCl", "LiCoO2", "Li10GeP2S12"]
    entries = [make_entry(SourceCif(n, examples()[n].read_text()), BuildOptions(ion="Li")) for n in names]
    return GraphStore.from_entries(entries).select(np.arange(BATCH) % len(entries))


def _model(name, store):
    targets = to_targets(store.labels[:, label_columns(["e1d_global"])])
    options = {"target_names": ("e1d_global",)} if name == "percolation" else {}
    model = build_model(name, 1, options)
    tensors = TensorStore(store, model.kind, targets)
    model.fit_normalisation(tensors.batch(np.arange(len(store))))
    return model, tensors


@pytest.mark.parametrize("name", MODELS)
def test_training_step(benchmark, name, store):
    model, tensors = _model(name, store)
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        loss = model.training_loss(tensors.batch(np.arange(BATCH)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    assert torch.isfinite(benchmark(step).detach())


@pytest.mark.parametrize("name", MODELS)
def test_prediction(benchmark, name, store):
    model, tensors = _model(name, store)
    model.eval()

    def predict():
        with torch.no_grad():
            return model(tensors.batch(np.arange(BATCH)))

    assert torch.isfinite(benchmark(predict)).all()


def test_batching(benchmark, store):
    _, tensors = _model("in-gcn", store)
    batch = benchmark(lambda: tensors.batch(np.arange(BATCH)))
    assert batch.num_graphs == BATCH


@pytest.mark.benchmark(group="ml: forward and backward of a sum over edges, 128 columns")
@pytest.mark.parametrize("way", ["shared index", "torch"])
def test_message_sum(benchmark, store, way):
    """The same messages and gradients both ways; the ratio is what `fastin.ml.rows` is for."""
    batch = TensorStore(store, "interstitial").batch(np.arange(16 * BATCH) % BATCH)  # as large as MP's graphs
    source, target = batch.edge_index
    x = torch.randn(batch.num_nodes, 128, requires_grad=True)

    def shared():
        # A new index every time: a training batch is seen once.
        ends = RowIndex(source, len(x)), RowIndex(target, len(x))
        out = ends[1].sum(ends[0].take(x))
        return torch.autograd.grad(out.square().sum(), [x])[0]

    def plain():
        out = torch.zeros_like(x).index_add_(0, target, x[source])
        return torch.autograd.grad(out.square().sum(), [x])[0]

    assert torch.allclose(shared(), plain(), rtol=1e-3, atol=1e-3)
    benchmark(shared if way == "shared index" else plain)
