"""Model files: every flipped bit is noticed, weights are finite, trees end; data sets are whole or refused."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from damage import flipped, read_all

import fastin
from fastin.cli import main
from fastin.errors import ConvergenceError, InputError
from fastin.ml.checkpoint import Trained, load_model, save_model
from fastin.ml.conductivity import model_folder
from fastin.ml.dataset import BuildOptions, SourceCif, build_dataset, load_dataset, make_entry
from fastin.ml.forest import Forest
from fastin.ml.splits import Split
from fastin.ml.store import GraphStore
from fastin.prediction import predict_entries
from fastin.runtime.files import SUMS, digest
from fastin.runtime.weights import load_weights, save_weights
from fastin.xrd.match import XRDMatch

DEFAULT = model_folder() / "barrier-default.pt"


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own model file."""
    path = tmp_path_factory.mktemp("model") / "mine.pt"
    save_model(path, load_model(DEFAULT), json.loads(load_weights(DEFAULT)["options"]))
    return path


def test_every_shipped_model_is_listed() -> None:
    lines = (model_folder() / SUMS).read_text().splitlines()
    stated = {name: value for value, _, name in (line.partition("  ") for line in lines)}
    shipped = {path.name for path in model_folder().iterdir() if path.suffix in (".pt", ".npz", ".json", ".csv")}
    assert set(stated) == shipped
    assert {name: digest((model_folder() / name).read_bytes()) for name in shipped} == stated


def test_damaged_shipped_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / SUMS).write_bytes((model_folder() / SUMS).read_bytes())
    for name, read in (
        ("barrier-default.pt", load_model),
        ("xrdmatch.pt", XRDMatch.load),
        ("log10_conductivity-composition.npz", Forest.load),
    ):
        refused, rest = read_all(tmp_path / name, flipped((model_folder() / name).read_bytes(), 20), read)
        assert (refused, rest) == (20, [])


def test_a_users_model_carries_its_digest(mine: Path, tmp_path: Path) -> None:
    assert isinstance(torch.load(mine, weights_only=True), dict)  # still torch's own format
    refused, rest = read_all(tmp_path / "x.pt", flipped(mine.read_bytes(), 60), load_model)
    assert (refused, rest) == (60, [])
    (tmp_path / "x.pt").write_bytes(mine.read_bytes()[:-78] + b"\0\0")  # the seal cut off
    with pytest.raises(InputError, match=r"not a model file|seal"):
        load_model(tmp_path / "x.pt")
    result = CliRunner().invoke(main, ["predict", str(fastin.examples()["LiCl"]), "--model", str(tmp_path / "x.pt")])
    assert result.exit_code == 2
    assert "x.pt" in result.stderr


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    stored = load_weights(DEFAULT)
    stored["members"][1] = {k: v.clone() for k, v in stored["members"][1].items()}
    name = next(k for k, v in stored["members"][1].items() if v.is_floating_point() and v.numel() > 3)
    stored["members"][1][name].view(-1)[2] = value
    save_weights(tmp_path / "x.pt", stored)
    with pytest.raises(InputError, match=f"members/1/{name}"):
        load_model(tmp_path / "x.pt")


def test_outputs_that_are_no_numbers_are_refused() -> None:
    trained = load_model(DEFAULT)
    entry = make_entry(SourceCif("LiCl", fastin.examples()["LiCl"].read_text()), BuildOptions())
    with torch.no_grad():
        for parameter in trained.models[0].parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(ConvergenceError, match="no finite number"):
        predict_entries([entry], Trained(trained.models, trained.name, trained.targets, trained.card), "cpu")


def test_trees_that_go_round_in_circles_are_refused(tmp_path: Path) -> None:
    forest = Forest.load(model_folder() / "log10_conductivity-composition.npz")
    inner = int(np.flatnonzero(forest.feature >= 0)[5])
    for name, place, value in (
        ("left", inner, inner),
        ("right", inner, 10**7),
        ("feature", inner, 10_000),
        ("value", 3, np.nan),
        ("roots", 0, -1),
        ("weight", 0, np.inf),
    ):
        changed = getattr(forest, name).copy()
        changed[place] = value
        dataclasses.replace(forest, **{name: changed}).save(tmp_path / "x.npz")
        with pytest.raises(InputError, match="not a whole forest"):
            Forest.load(tmp_path / "x.npz")


def test_damaged_data_sets(tmp_path: Path) -> None:
    examples = fastin.examples()
    sources = [SourceCif(name, examples[name].read_text()) for name in ("LiCl", "Li3OCl")]
    build_dataset(sources, tmp_path / "set")
    shard = tmp_path / "set" / "shards" / "00000.npz"
    whole = GraphStore.load(shard)
    refused, rest = read_all(tmp_path / "x.npz", flipped(shard.read_bytes(), 80), GraphStore.load)
    assert refused > 40
    for store in rest:
        assert all(np.array_equal(store.arrays[k], v, equal_nan=v.dtype.kind == "f") for k, v in whole.arrays.items())
    arrays = dict(whole.arrays)
    arrays["ends"] = arrays["ends"] + 10_000
    dataclasses.replace(whole, arrays=arrays).save(tmp_path / "y.npz")
    with pytest.raises(InputError, match="points outside"):
        GraphStore.load(tmp_path / "y.npz")
    manifest = (tmp_path / "set" / "dataset.json").read_bytes()
    read_all(tmp_path / "set" / "dataset.json", flipped(manifest, 40), lambda path: load_dataset(path.parent))
    (tmp_path / "set" / "dataset.json").write_bytes(manifest)
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"00000\.npz"):
        load_dataset(tmp_path / "set")
    build_dataset(sources, tmp_path / "set")  # what is damaged is made again
    assert len(load_dataset(tmp_path / "set")) == 2


def test_damaged_splits(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"train": 3}', '{"train": [], "validation": [], "test": []}', "[" * 100_000):
        (tmp_path / "split.json").write_text(text)
        with pytest.raises(InputError, match=r"split\.json"):
            Split.load(tmp_path / "split.json", ["a"])
