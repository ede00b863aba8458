"""Training runs: resumed equals uninterrupted, early stopping, run folder, configuration errors."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fastin.errors import InputError
from fastin.ml.checkpoint import load_model
from fastin.ml.config import TrainConfig
from fastin.ml.models import build_model
from fastin.ml.seen import seen_rows
from fastin.ml.store import GraphStore
from fastin.ml.train import load_matching, make_run_split, pick_device, train

OPTIONS = {
    "in-gcn": {"hidden": 8, "dropout": 0.2},
    "percolation": {"hidden": 8, "layers": 1, "species": 4, "basis": 4, "dropout": 0.2},
    "cgcnn": {"hidden": 8, "layers": 1},
}


def settings(tmp_path: Path, model: str, **more: object) -> TrainConfig:
    values = {"epochs": 4, "batch_size": 16, "learning_rate": 3e-3, "split_seed": 1, "device": "cpu"}
    return TrainConfig(
        model=model, dataset="-", run=str(tmp_path / "run"), model_options=OPTIONS[model], **{**values, **more}
    )


@pytest.mark.parametrize("model", OPTIONS)
def test_resumed_training_equals_uninterrupted(model: str, store: GraphStore, tmp_path: Path) -> None:
    config = settings(tmp_path, model, schedule="onecycle", optimizer="adamw", weight_decay=1e-4, gradient_clip=1.0)
    whole = train(config, store)
    parted = replace(config, run=str(tmp_path / "parted"))
    train(parted, store, stop_after=2)
    torch.manual_seed(12345)  # whatever happens between the two halves must not matter
    resumed = train(parted, store)
    assert [r["train_loss"] for r in whole.history] == [r["train_loss"] for r in resumed.history]
    assert np.array_equal(whole.test_prediction, resumed.test_prediction)
    one, two = whole.trained.models[0].state_dict(), resumed.trained.models[0].state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_run_folder_holds_config_metrics_and_plots(store: GraphStore, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    config = settings(tmp_path, "in-gcn", targets=("e1d_global", "e3d_network"), exclude=("synthetic-7",))
    rows: list[dict[str, float]] = []
    result = train(config, store, report=rows.append)
    run = Path(config.run)
    names = {p.name for p in run.iterdir()}
    assert {"config.json", "split.json", "history.csv", "metrics.json", "predictions.csv", "model.pt"} <= names
    assert {"parity.png", "learning_curve.png", "checkpoint.pt"} <= names
    assert len(rows) == config.epochs
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["e1d_global"]["n"] == len(result.split.test)
    assert TrainConfig.from_dict(json.loads((run / "config.json").read_text())) == config
    with (run / "predictions.csv").open() as stream:
        predictions = {row["id"]: row for row in csv.DictReader(stream)}
    assert "synthetic-7" in predictions
    back = load_model(run / "model.pt")
    assert back.targets == config.targets
    assert back.card["domain"]["elements"] == [8, 15, 16, 17]


def test_early_stopping_looks_at_validation_only(store: GraphStore, tmp_path: Path) -> None:
    # A hopeless learning rate: validation gets worse at once, training stops long before the last epoch.
    config = settings(tmp_path, "in-gcn", epochs=60, patience=3, learning_rate=3.0)
    result = train(config, store)
    best = min(result.history, key=lambda r: r["validation_loss"])
    assert len(result.history) == best["epoch"] + 3 < 60
    assert result.metrics["best_epoch"] == best["epoch"]


def test_learning_beats_the_mean(store: GraphStore, tmp_path: Path) -> None:
    config = settings(tmp_path, "percolation", epochs=40, learning_rate=1e-2, targets=("e1d_global",))
    result = train(config, store)
    first, last = result.history[0]["train_loss"], result.history[-1]["train_loss"]
    assert last < 0.5 * first


def test_excluded_structures_are_never_trained_on(store: GraphStore, tmp_path: Path) -> None:
    config = settings(tmp_path, "in-gcn", exclude=("synthetic-1", "synthetic-30"))
    split = make_run_split(config, store)
    held = {1, 30}
    assert held <= set(split.test.tolist())
    assert not held & set(split.train.tolist()) | held & set(split.validation.tolist())


def test_a_checkpoint_of_another_configuration_is_refused(store: GraphStore, tmp_path: Path) -> None:
    config = settings(tmp_path, "in-gcn", epochs=1)
    train(config, store)
    with pytest.raises(InputError, match="learning_rate"):
        train(replace(config, learning_rate=1e-5), store)


def test_a_checkpoint_of_other_data_is_refused(store: GraphStore, tmp_path: Path) -> None:
    """Labels, oxidation states or structures that changed under a run folder's feet."""
    config = settings(tmp_path, "in-gcn", epochs=2)
    train(config, store, stop_after=1)
    arrays = dict(store.arrays) | {"atom_charge": store.arrays["atom_charge"] + np.float32(0.5)}
    fewer = store.select(np.arange(47))
    for other in (replace(store, labels=store.labels * 1.01), replace(store, arrays=arrays), fewer):
        with pytest.raises(InputError, match="other data"):
            train(config, other)
    assert train(config, store).metrics["epochs"] == 2


@pytest.mark.parametrize("model", ["in-gcn", "percolation"])
def test_a_loss_that_is_no_number_ends_the_run(model: str, store: GraphStore, tmp_path: Path) -> None:
    """It was never better than any loss, so that the untrained weights passed for the best."""
    with pytest.raises(InputError, match="loss is nan in epoch 1; lower learning_rate"):
        train(settings(tmp_path, model, learning_rate=1e30), store)
    assert not (tmp_path / "run" / "model.pt").exists()


def test_parts_without_a_target_are_refused(store: GraphStore, tmp_path: Path) -> None:
    """No validation target made a loss of zero, and the first epoch the best."""
    with pytest.raises(InputError, match="validation part: none of its 0 structures"):
        train(settings(tmp_path, "in-gcn", fractions=(0.9, 0.0, 0.1)), store)
    for value in (np.nan, np.inf):
        with pytest.raises(
            InputError, match=r"training part: none of its 38 structures \(of 48\) has a known e1d_global"
        ):
            train(settings(tmp_path, "in-gcn"), replace(store, labels=np.full_like(store.labels, value)))
    # "above the ceiling" alone can be learned, but not chosen by
    with pytest.raises(InputError, match="validation part"):
        train(settings(tmp_path, "percolation"), replace(store, labels=np.full_like(store.labels, np.inf)))


def test_configuration_errors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for text, message in (
        ("model = ", "c.toml"),
        ('model = "in-gcn"\nrun = "r"', "'dataset' is missing"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nlr = 3', "unknown key 'lr'"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nepochs = 0', "positive"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nepochs = "3"', "c.toml: epochs must be a whole number, not '3'"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nepochs = true', "whole number"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\ncheckpoint_every = 0', "checkpoint_every must be positive"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nlearning_rate = nan', "learning_rate must be positive"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nbatch_size = 1', "batch_size must be at least 2"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nlimit = -1', "limit must not be negative"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\ntargets = "e1d_global"', "targets must be a list"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nfractions = [0.9, 0.1]', "3 times a number"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nmodel_options = 3', "a table"),
        ('model = 3\nrun = "r"\ndataset = "d"', "model must be a text"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\ntargets = ["e7"]', "e7"),
        ('model = "in-gcn"\nrun = "r"\ndataset = "d"\nsplit = "x"', "split"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            TrainConfig.from_toml(path)
    with pytest.raises(InputError, match="nowhere"):
        TrainConfig.from_toml(tmp_path / "nowhere.toml")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="CUDA"):
            pick_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_trains_with_mixed_precision(store: GraphStore, tmp_path: Path) -> None:
    result = train(settings(tmp_path, "percolation", device="cuda", amp=True), store)
    assert all(np.isfinite(row["train_loss"]) for row in result.history)


def test_weights_remember_what_they_began_with(store: GraphStore, tmp_path: Path) -> None:
    """A test part of the second training that the first has seen is counted, and the card names both."""
    formulas = np.array([f"Li{k + 1}X" for k in range(len(store))])
    store = replace(store, formulas=formulas)
    first = train(settings(tmp_path, "in-gcn", epochs=1), store)
    began = str(tmp_path / "run" / "model.pt")
    config = settings(tmp_path, "in-gcn", epochs=1, initial=began, split_seed=2)
    second = train(replace(config, run=str(tmp_path / "two")), store)
    seen = set(first.split.train.tolist()) | set(first.split.validation.tolist())
    assert second.metrics["test_seen_before"] == len(seen & set(second.split.test.tolist())) > 0
    found = seen_rows(load_model(tmp_path / "two" / "model.pt").card, formulas)
    assert found is not None
    assert set(np.flatnonzero(found).tolist()) == (
        seen | set(second.split.train.tolist()) | set(second.split.validation.tolist())
    )


def test_the_readout_is_taken_over_where_the_targets_are_the_same(store: GraphStore, tmp_path: Path) -> None:
    """Going on from a model of the same barriers continues it; other targets start with a new readout."""
    names = ("e1d_global", "e3d_network")
    options = {"hidden": 8, "layers": 1, "species": 3, "basis": 4}
    config = TrainConfig(
        model="percolation", dataset="", run=str(tmp_path / "one"), targets=names, model_options=options, epochs=1
    )
    made = train(config, store).trained.models[0]
    for targets, taken in ((names, True), (("e1d_global", "e2d_network"), False), (("free", "free"), False)):
        model = build_model("percolation", 2, options | {"target_names": targets})
        found = load_matching(model, str(tmp_path / "one" / "model.pt"))
        assert ("correction.0.weight" in found) is taken
        assert "site_gain" in found
        if taken:
            own = model.state_dict()
            assert all(torch.equal(value, own[name]) for name, value in made.state_dict().items())
