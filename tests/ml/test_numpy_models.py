"""Predictions in numpy: torch's numbers, on shipped weights and on random ones; files read without torch, safely."""

from __future__ import annotations

import inspect
import io
import json
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fastin
from fastin.errors import InputError
from fastin.ml.checkpoint import Trained, load_model, predict_targets, save_model
from fastin.ml.conductivity import model_folder
from fastin.ml.dataset import graphs_of
from fastin.ml.inference import Light, load_light
from fastin.ml.models import build_model
from fastin.ml.numpy_layers import Linear, Segments, Weights
from fastin.ml.numpy_percolation import EDGE_MARGIN
from fastin.ml.percolation import PercolationNetwork
from fastin.ml.store import FREE, LABELS, GraphStore
from fastin.prediction import load_predictor
from fastin.runtime.torchfile import read_arrays
from fastin.runtime.weights import load_arrays, load_weights, save_weights

SHIPPED = sorted(model_folder().glob("barrier-*.pt"))
#: Options of `percolation` that change shapes or the readout: with them the form in numpy must still be torch's.
VARIANTS: list[dict[str, Any]] = [
    {"target_names": LABELS},
    {"target_names": ("e1d_global",), "hidden": 16, "layers": 1, "species": 3, "basis": 5, "edge_margin": None},
    {"target_names": (FREE, "e3d_network"), "hidden": 24, "layers": 3, "dropout": 0.0, "edge_margin": 0.6},
]


@pytest.fixture(scope="module")
def store() -> GraphStore:
    """Graphs of the examples: cells of one void and of dozens; every third without energies."""
    entries = [graphs_of(path, crystals=False) for path in fastin.examples().values()]
    return GraphStore.from_entries([replace(e, energies=None) if k % 3 == 2 else e for k, e in enumerate(entries)])


def _random(options: dict[str, Any], members: int, sample: GraphStore) -> Trained:
    names = options["target_names"]
    models = []
    for seed in range(members):
        torch.manual_seed(seed)
        model = build_model("percolation", len(names), options)
        made = Trained([model], "percolation", tuple(names), {})
        model.fit_normalisation(made.tensors(sample).batch(np.arange(len(sample))))
        with torch.no_grad():  # the heads begin at zero
            for head in (model.site_shift, model.edge_shift, model.level_correction):
                head[-1].weight.normal_(std=0.2)
                head[-1].bias.normal_(std=0.2)
        model.target_mean.normal_()
        model.target_std.uniform_(0.5, 2.0)
        models.append(model.eval())
    return Trained(models, "percolation", tuple(names), {})


def _torch(trained: Trained, store: GraphStore) -> np.ndarray:
    return predict_targets(trained.models, trained.tensors(store), np.arange(len(store)))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_models_give_the_numbers_of_torch(path: Path, store: GraphStore) -> None:
    light, trained = load_light(path), load_model(path)
    assert light is not None, "the shipped model has no form in numpy: predictions would wait for torch"
    assert (light.targets, light.card, light.members, light.kind) == (
        *(trained.targets, trained.card, trained.members),
        trained.kind,
    )
    np.testing.assert_allclose(light.predict(store), _torch(trained, store), rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("members", [1, 2])
def test_random_weights_of_any_size_give_the_numbers_of_torch(
    options: dict[str, Any], members: int, store: GraphStore, tmp_path: Path
) -> None:
    trained = _random(options, members, store)
    save_model(tmp_path / "m.pt", trained, {**options, "target_names": list(options["target_names"])})
    light = load_light(tmp_path / "m.pt")
    assert light is not None
    expected = _torch(trained, store)
    assert np.ptp(expected, axis=1).min() > 1e-3  # the structures differ, or nothing is tested
    np.testing.assert_allclose(light.predict(store), expected, rtol=1e-6, atol=2e-6)


def test_one_at_a_time_and_many_are_the_same(store: GraphStore) -> None:
    light = load_predictor()
    assert isinstance(light, Light)
    many = GraphStore.concatenate([store] * 7)  # more than one pass
    together = light.predict(many)
    for k in range(len(store)):
        alone = light.predict(store.select(np.array([k])))
        np.testing.assert_allclose(together[:, k :: len(store)], np.repeat(alone, 7, axis=1), rtol=0, atol=2e-6)


def test_products_in_blocks() -> None:
    rng = np.random.default_rng(0)
    weights = Weights([{"a.weight": rng.normal(size=(130, 70)), "a.bias": rng.normal(size=130)} for _ in range(2)])
    layer = Linear(weights, "a")
    for n in (1, 27, 28, 29, 30, 57, 300):  # the block holds 28 rows
        x = rng.normal(size=(2, n, 70))
        np.testing.assert_allclose(layer(x), np.einsum("mnf,mfh->mnh", x, layer.weight) + layer.bias, atol=1e-12)


def test_sums_over_segments() -> None:
    rng = np.random.default_rng(1)
    index, values = rng.integers(0, 5, 40), rng.normal(size=(3, 40, 4))
    expected = np.zeros((3, 7, 4))
    for k, i in enumerate(index):
        expected[:, i] += values[:, k]
    np.testing.assert_allclose(Segments(index, 7).sum(values), expected, atol=1e-14)


def test_unknown_architectures_are_left_to_torch(store: GraphStore, tmp_path: Path) -> None:
    """A weight or an option that the form in numpy does not read must not be passed over in silence."""
    stored = load_weights(SHIPPED[0])
    stored["members"] = [{**m, "ion.weight": torch.zeros(3)} for m in stored["members"]]
    save_weights(tmp_path / "weight.pt", stored)
    assert load_light(tmp_path / "weight.pt") is None
    stored = load_weights(SHIPPED[0])
    stored["options"] = json.dumps({**json.loads(stored["options"]), "ions": True})
    save_weights(tmp_path / "option.pt", stored)
    assert load_light(tmp_path / "option.pt") is None
    other = Trained([build_model("in-gcn", 1, {})], "in-gcn", ("e1d_global",), {})
    save_model(tmp_path / "gcn.pt", other, {})
    assert load_light(tmp_path / "gcn.pt") is None
    assert isinstance(load_predictor(tmp_path / "gcn.pt"), Trained)
    stored["format"] = 99
    save_weights(tmp_path / "format.pt", stored)
    with pytest.raises(InputError, match="format"):
        load_light(tmp_path / "format.pt")


def test_the_default_margin_is_that_of_the_network() -> None:
    assert inspect.signature(PercolationNetwork).parameters["edge_margin"].default == EDGE_MARGIN


def test_predictions_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['sklearn'] = None\n"
        "import fastin\nfrom fastin.prediction import predict_many\n"
        "paths = fastin.examples()\n"
        "print(fastin.predict(paths['LiFePO4']).activation_energy)\n"
        "print(len(predict_many([paths['LiCl'], paths['Li3N']])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    value, count = done.stdout.split()
    expected = fastin.predict(fastin.examples()["LiFePO4"]).activation_energy
    assert (float(value), int(count)) == (pytest.approx(expected, rel=1e-12), 2)


# The reader of torch's files.


def _saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def test_every_kind_of_tensor_is_read() -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "plain": base,
        "part": base[1:3, ::2],
        "turned": base.T,
        "scalar": torch.tensor(3.5, dtype=torch.float64),
        "empty": torch.empty(0, 3),
        **{str(t): torch.tensor([0, 1, 3]).to(t) for t in (torch.float16, torch.int64, torch.int32, torch.int16)},
        **{str(t): torch.tensor([0, 1, 3]).to(t) for t in (torch.int8, torch.uint8, torch.bool)},
    }
    content = {"tensors": tensors, "list": [1, 2.5, "x", None, True], "module": torch.nn.Linear(2, 3).state_dict()}
    read = read_arrays(_saved(content))
    assert read["list"] == content["list"]
    for name, tensor in {**tensors, **content["module"]}.items():
        found = read["tensors" if name in tensors else "module"][name]
        assert found.dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(found, tensor.numpy())


def test_shipped_files_are_read_as_torch_reads_them() -> None:
    for path in SHIPPED:
        ours, theirs = load_arrays(path), load_weights(path)
        assert {k: v for k, v in ours.items() if k != "members"} == {k: v for k, v in theirs.items() if k != "members"}
        for one, other in zip(ours["members"], theirs["members"], strict=True):
            assert list(one) == list(other)
            assert all(np.array_equal(one[k], other[k].numpy()) for k in one)


class _Evil:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def _archive(pickled: bytes, data: bytes = b"", compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("m/data.pkl", pickled)
        archive.writestr("m/data/0", data)
    return buffer.getvalue()


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for call in ((Path.touch, target), (eval, "1+1"), (getattr, dict, "items"), (torch.load, str(target))):
        for protocol in (0, 2, 4):
            with pytest.raises(pickle.UnpicklingError, match="not one of tensors"):
                read_arrays(_archive(pickle.dumps({"format": _Evil(*call)}, protocol)))
            (tmp_path / "x.pt").write_bytes(_archive(pickle.dumps({"format": _Evil(*call)}, protocol)))
            with pytest.raises(InputError, match=r"x\.pt: not a model file"):
                load_arrays(tmp_path / "x.pt")
    assert not target.exists()


def test_tensors_beyond_their_storage_are_refused() -> None:
    """Sizes, places and strides of a description that would read foreign memory, or fill it."""
    good = _saved({"x": torch.arange(7, dtype=torch.float32)})
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        description = archive.read("archive/data.pkl")
        data = archive.read("archive/data/0")
    assert read_arrays(_archive(description, data))["x"].tolist() == list(range(7))
    # BININT1 7 is the storage's length and then the tensor's only size.
    assert description.count(b"K\x07") == 2
    head, middle, tail = description.split(b"K\x07")
    for count, size in ((b"K\x08", b"K\x07"), (b"K\x07", b"K\x08"), (b"K\x07", b"J\xff\xff\xff\x7f")):
        with pytest.raises(pickle.UnpicklingError, match="storage"):
            read_arrays(_archive(head + count + middle + size + tail, data))
    with pytest.raises(pickle.UnpicklingError, match="negative"):
        read_arrays(_archive(head + b"K\x07" + middle + b"J\xff\xff\xff\xff" + tail, data))
    with pytest.raises(zipfile.BadZipFile, match="not stored"):
        read_arrays(_archive(description, data, zipfile.ZIP_DEFLATED))
