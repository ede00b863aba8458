"""Every model: batching and permutation invariance, gradients, overfitting, checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import energies_of, synthetic_entry, synthetic_network
from torch_geometric.data import Batch as PygBatch

from fastin.errors import InputError
from fastin.graph.graph import build_interstitial_graph
from fastin.ml import rows
from fastin.ml.checkpoint import Trained, load_model, save_model
from fastin.ml.data import TensorStore
from fastin.ml.labels import FLOOR, to_targets
from fastin.ml.levels import PASS_CLOSED, plain_levels
from fastin.ml.models import MODELS, GraphModel, build_model
from fastin.ml.store import LABELS, Entry, GraphStore

SMALL = {
    "in-gcn": {"hidden": 16},
    "crystal-gcn": {"hidden": 16},
    "cgcnn": {"hidden": 16, "layers": 2},
    "deepergatgnn": {"hidden": 16, "layers": 2, "heads": 2, "groups": 3},
    "alignn": {"hidden": 16, "alignn_layers": 1, "gcn_layers": 1},
    "percolation": {"hidden": 16, "layers": 2, "species": 8, "basis": 8},
}


def ready(name: str, store: GraphStore, **extra: object) -> tuple[GraphModel, TensorStore]:
    torch.manual_seed(0)
    model = build_model(name, len(LABELS), {**SMALL[name], **extra})
    tensors = TensorStore(store, model.kind, to_targets(store.labels))
    model.fit_normalisation(tensors.batch(np.arange(len(store))))
    return model.eval(), tensors


@pytest.mark.parametrize("name", MODELS)
def test_prediction_does_not_depend_on_the_batch(name: str, store: GraphStore) -> None:
    model, tensors = ready(name, store)
    together = model(tensors.batch(np.arange(6)))
    alone = torch.cat([model(tensors.batch([i])) for i in range(6)])
    backwards = model(tensors.batch(np.arange(6)[::-1].copy())).flip(0)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together, backwards, rtol=1e-4, atol=1e-5)
    assert together.shape == (6, len(LABELS))


@pytest.mark.parametrize("name", ["in-gcn", "percolation"])
def test_prediction_does_not_depend_on_the_order_of_sites_and_atoms(name: str, store: GraphStore) -> None:
    model, tensors = ready(name, store)
    network = synthetic_network(3)
    rng = np.random.default_rng(0)
    sites, atoms, edges = rng.permutation(8), rng.permutation(8), rng.permutation(24)
    place = np.argsort(sites)
    for field in ("site_frac", "site_radius"):
        setattr(network, field, getattr(network, field)[sites])
    for field in ("frac", "radius", "number", "charge"):
        setattr(network.framework, field, getattr(network.framework, field)[atoms])
    network.edge_index = place[network.edge_index][:, edges]
    for field in ("edge_image", "edge_length", "edge_bottleneck_frac", "edge_bottleneck_radius"):
        setattr(network, field, getattr(network, field)[edges])
    graph = build_interstitial_graph(network)
    shuffled = Entry("p", "X", "X", graph, energies=energies_of(graph))
    other = TensorStore(GraphStore.from_entries([shuffled]), "interstitial")
    torch.testing.assert_close(model(other.batch([0])), model(tensors.batch([3])), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_parameter(name: str, store: GraphStore) -> None:
    model, tensors = ready(name, store)
    model.train()
    model.training_loss(tensors.batch(np.arange(32))).backward()
    silent = [k for k, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert silent == []
    assert sum(float(p.grad.abs().sum()) > 0 for p in model.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("name", MODELS)
def test_operations_of_other_devices_give_the_same_numbers(
    name: str, store: GraphStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tensors = ready(name, store)

    def step(mixed: bool = False) -> tuple[torch.Tensor, list[torch.Tensor]]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            loss = model.training_loss(tensors.batch(np.arange(6)))
        return loss.detach(), list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))

    loss, gradients = step()
    monkeypatch.setattr(rows, "on_cpu", lambda x: False)
    others_loss, others_gradients = step()
    torch.testing.assert_close(others_loss, loss)
    torch.testing.assert_close(others_gradients, gradients, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(step(mixed=True)[0], loss, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_mixed_precision_trains_on_a_cpu(name: str, store: GraphStore) -> None:
    """bfloat16 autocast with the operations written for CPUs: forward, backward and a step along the right gradient."""
    model, tensors = ready(name, store)
    batch = tensors.batch(np.arange(6))

    def gradient(mixed: bool) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            loss = model.training_loss(batch)
        made = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        parts = zip(model.parameters(), made, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in parts])

    exact, mixed = gradient(False), gradient(True)
    assert mixed.dtype == torch.float32
    assert torch.isfinite(mixed).all()
    assert float(torch.dot(exact, mixed) / (exact.norm() * mixed.norm())) > 0.8


@pytest.mark.parametrize("name", MODELS)
def test_overfits_one_batch(name: str, store: GraphStore) -> None:
    options = {"activation": "relu"} if name in ("in-gcn", "crystal-gcn") else {}
    if name == "percolation":
        options = {"auxiliary": 0.0, "dropout": 0.0}
    model, tensors = ready(name, store, **options)
    model.train()
    batch = tensors.batch(np.arange(8))
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    first = float(model.training_loss(batch).detach())
    for _ in range(250):
        optimiser.zero_grad()
        loss = model.training_loss(batch)
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05 * first


@pytest.mark.parametrize("name", MODELS)
def test_checkpoint_round_trip(name: str, store: GraphStore, tmp_path: Path) -> None:
    model, tensors = ready(name, store)
    options = SMALL[name]
    trained = Trained([model, model], name, tuple(LABELS), {"note": "test"})
    save_model(tmp_path / "model.pt", trained, options)
    back = load_model(tmp_path / "model.pt")
    assert back.card == {"note": "test"}
    assert len(back.models) == 2
    batch = tensors.batch(np.arange(5))
    assert torch.equal(back.models[1](batch), model(batch))


def test_broken_checkpoints_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"bad\.pt"):
        load_model(bad)
    torch.save({"format": 99}, bad)
    with pytest.raises(InputError, match="format"):
        load_model(bad)
    with pytest.raises(InputError, match=r"missing\.pt"):
        load_model(tmp_path / "missing.pt")


def test_unknown_models_and_options_are_named() -> None:
    with pytest.raises(InputError, match="unknown model"):
        build_model("nope", 1)
    with pytest.raises(InputError, match="widht"):
        build_model("cgcnn", 1, {"widht": 3})
    with pytest.raises(InputError, match="activation"):
        build_model("in-gcn", 1, {"activation": "tanh"})
    with pytest.raises(InputError, match="bottlenecks"):
        build_model("in-gcn", 1, {"bottlenecks": "no"})
    with pytest.raises(InputError, match="target_names"):
        build_model("percolation", 1, {"target_names": ["x"]})


def test_in_gcn_reads_pyg_batches_alike(store: GraphStore) -> None:
    model, tensors = ready("in-gcn", store)
    entries = [synthetic_entry(seed).interstitial for seed in range(3)]
    pyg = PygBatch.from_data_list([g.to_pyg(y=[1.0, 2.0]) for g in entries])
    assert pyg.y.shape == (3, 2)
    torch.testing.assert_close(model(pyg), model(tensors.batch(np.arange(3))), rtol=1e-4, atol=1e-5)


def test_default_ratios_are_the_papers() -> None:
    model = build_model("in-gcn", 1)
    assert [p.ratio for p in model.pools] == [0.9, 0.8, 0.9]
    assert [c.weight.shape[1] for c in model.convolutions] == [128, 128, 128]
    assert model.activation is torch.sigmoid


def test_energies_that_are_not_known_are_not_read(store: GraphStore) -> None:
    """A graph without energies is predicted as one whose energies are hidden, whatever stands in their place."""
    model, tensors = ready("percolation", store)
    with torch.no_grad():
        model.edge_shift[-1].bias.fill_(0.3)
        model.level_correction[-1].bias.fill_(0.1)
    bare = GraphStore.from_entries([synthetic_entry(seed, energies=False) for seed in range(4)])
    other = TensorStore(bare, "interstitial")
    batch = tensors.batch(np.arange(4))
    known = model(batch)
    batch.levels = torch.zeros_like(batch.levels)
    for name in ("site_landmark", "edge_landmark", "site_base", "edge_base"):
        batch.fields[name] = torch.full_like(batch.fields[name], 7.0)
    hidden = model(batch)
    torch.testing.assert_close(hidden, model(other.batch(np.arange(4))))
    assert (known - hidden).abs().max() > 0.01


def test_begins_as_plain_percolation_of_the_energies(store: GraphStore) -> None:
    """Untrained heads leave a bottleneck between its open and its closed energy, and so the barrier."""
    model, tensors = ready("percolation", store)
    said = model(tensors.batch(np.arange(len(store)))).detach().numpy()
    levels = plain_levels(store)[:, :, :, 0]
    for k, name in enumerate(model.target_names[:3]):
        assert name.endswith("global")
        low, high = (np.log10(np.maximum(levels[:, v, k], FLOOR)) for v in (3, PASS_CLOSED))
        assert (said[:, k] >= low - 1e-4).all()
        assert (said[:, k] <= high + 1e-4).all()
        assert np.ptp(said[:, k]) > 0.1


def test_percolation_readout_is_the_minimax_of_its_own_landscape(store: GraphStore) -> None:
    """The element that sets the 3D level splits the network: below it nothing percolates in three dimensions."""
    from fastin.ml.percolation import critical

    model, tensors = ready("percolation", store)
    batch = tensors.batch([0])
    with torch.no_grad():
        h, e, *pairs = model.represent(batch, *model.seen(batch))
        ends = batch.edge_index[:, : len(e)]
        both = model.levels(h, e, ends, *pairs), model.shifted(h, e, ends, batch.fields)
    for site, edge in both:
        saddle, lowest, bottom = critical(batch, site, edge)
        level = edge[saddle[0]].numpy()
        assert (np.diff(level) >= 0).all()
        assert float(site[bottom[0]]) == float(site.min())
        assert (site[lowest[0]] >= site.min()).all()
        assert (edge >= site[batch.edge_index[0, : len(e)]]).all()
