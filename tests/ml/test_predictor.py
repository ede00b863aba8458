"""Predictor in the manner of scikit-learn; predict, its warnings and its command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from synthetic import synthetic_entry

import fastin
from fastin.cli import main
from fastin.crystal.examples import examples
from fastin.errors import InputError, MissingDependencyError
from fastin.ml.checkpoint import Trained, load_model, save_model
from fastin.ml.config import TrainConfig
from fastin.ml.models import build_model
from fastin.ml.outside import domain_warnings
from fastin.ml.predictor import Predictor, graphs_of
from fastin.ml.store import LABELS, GraphStore
from fastin.ml.train import domain, train
from fastin.prediction import load_shipped, predict_many, whole_worker

SMALL = {"hidden": 16, "layers": 1, "species": 8, "basis": 8}
CIF = str(examples()["LiFePO4"])


def small_model(path: Path, store: GraphStore) -> Path:
    options = {**SMALL, "target_names": list(LABELS)}
    model = build_model("percolation", len(LABELS), options).eval()
    card = {"name": "test", "domain": domain(store, np.arange(len(store)))}
    save_model(path, Trained([model, model], "percolation", tuple(LABELS), card), options)
    return path


def test_fit_predict_save_load(tmp_path: Path) -> None:
    bare = [synthetic_entry(seed).interstitial for seed in range(24)]
    y = np.array([g.site_radius.max() for g in bare])
    model = Predictor("percolation", members=2, epochs=60, learning_rate=5e-3, device="cpu", model_options=SMALL)
    with pytest.raises(InputError, match="not fitted"):
        model.predict(bare)
    model.fit(bare, y)
    mean, std = model.predict(bare, return_std=True)
    assert mean.shape == std.shape == (24,)
    assert np.corrcoef(mean, y)[0, 1] > 0.7
    model.save(tmp_path / "own.pt")
    back = Predictor.load(tmp_path / "own.pt", device="cpu")
    np.testing.assert_array_equal(back.predict(bare), mean)
    one = fastin.predict(CIF, "Li", model=tmp_path / "own.pt", device="cpu", experiment=False)
    expected = back.predict([CIF], return_std=True)
    assert one.values == pytest.approx(tuple(expected[0].reshape(-1)), rel=1e-5)
    assert one.values_std == pytest.approx(tuple(expected[1].reshape(-1)), rel=1e-5)
    assert f"predicted {one.values[0]:.4g}" in repr(one)
    assert "fitted label" in one._repr_html_()
    shown = CliRunner().invoke(main, ["predict", CIF, "--model", str(tmp_path / "own.pt")], terminal_width=200)
    assert "predicted" in shown.output
    assert "Ea BVSE" not in shown.output
    with pytest.raises(InputError, match="at least"):
        Predictor().fit(bare[:3], y[:3])
    with pytest.raises(InputError, match="unknown model"):
        Predictor("nope")


def _bare(count: int) -> list[object]:
    return [synthetic_entry(seed).interstitial for seed in range(count)]


def test_predictor_is_an_estimator_of_scikit_learn() -> None:
    from sklearn.base import clone, is_regressor
    from sklearn.model_selection import GroupKFold, cross_val_score

    model = Predictor("percolation", members=1, epochs=2, device="cpu", model_options=SMALL)
    assert is_regressor(model)
    assert clone(model).get_params() == model.get_params()
    assert model.get_params()["model_options"] == SMALL
    assert clone(model).set_params(epochs=3).epochs == 3
    bare = _bare(24)
    y = np.array([g.site_radius.max() for g in bare])
    scores = cross_val_score(model, bare, y, cv=2, scoring="neg_mean_absolute_error")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    assert not hasattr(model, "trained_")  # clones were fitted
    groups = np.repeat(np.arange(8), 3)
    assert np.isfinite(cross_val_score(model, bare, y, cv=GroupKFold(2), groups=groups)).all()  # R2


def test_wrong_shapes_are_named() -> None:
    bare = _bare(12)
    y = np.ones(12)
    model = Predictor("percolation", members=1, epochs=1, device="cpu", model_options=SMALL)
    for labels in (
        np.ones(24),
        np.ones(11),
        np.ones((12, 2, 2)),
        np.ones((2, 12)),
        1.0,
        ["a"] * 12,
        np.full(12, np.nan),
    ):
        with pytest.raises(InputError):
            model.fit(bare, labels)
    for structures in (CIF, None, 5, examples()):
        with pytest.raises(InputError, match="list of structures"):
            model.fit(structures, y)
    with pytest.raises(InputError, match="groups"):
        model.fit(bare, y, groups=[1, 2])
    with pytest.raises(InputError, match="members"):
        Predictor("percolation", members=0).fit(bare, y)
    model.fit(bare, y)
    with pytest.raises(InputError, match="at least one"):
        model.predict([])
    with pytest.raises(InputError, match="list of structures"):
        model.predict(CIF)


def test_unknown_labels_do_not_make_up_the_validation_part() -> None:
    bare = _bare(12)
    y = np.full(12, np.nan)
    y[::4] = [0.1, 0.2, 0.3]
    model = Predictor("in-gcn", members=3, epochs=1, device="cpu", model_options={"hidden": 16}).fit(bare, y)
    assert np.isfinite(model.predict(bare)).all()
    y[4] = np.nan
    with pytest.raises(InputError, match="three groups"):
        model.fit(bare, y)


def test_predictor_draws_its_parity() -> None:
    pytest.importorskip("matplotlib", reason="plots need the view extra")
    from matplotlib.figure import Figure

    bare = _bare(12)
    y = np.array([g.site_radius.max() for g in bare])
    model = Predictor("percolation", members=1, epochs=1, device="cpu", model_options=SMALL).fit(bare, y)
    axes = Figure().subplots()
    assert model.plot(bare, y, axes) is axes
    assert "12 rows" in axes.get_title(loc="left")


def test_fine_tuning_starts_from_the_given_weights(store: GraphStore, tmp_path: Path) -> None:
    start = small_model(tmp_path / "start.pt", store)
    config = TrainConfig(
        model="percolation",
        dataset="",
        run=str(tmp_path / "run"),
        model_options=SMALL,
        initial=str(start),
        epochs=1,
        learning_rate=1e-12,
        device="cpu",
    )
    tuned = train(config, store).trained.models[0].state_dict()
    given = load_shipped(start, "cpu").models[0].state_dict()
    name = "encoder.join.weight"
    assert np.allclose(tuned[name], given[name], atol=1e-6)


def test_predict_from_a_model_file(store: GraphStore, tmp_path: Path) -> None:
    path = small_model(tmp_path / "own.pt", store)
    one = fastin.predict(CIF, "Li", model=path, device="cpu")
    assert isinstance(one, fastin.Prediction)
    assert one.activation_energy > 0
    assert one.log10_conductivity is not None
    bare = fastin.predict(CIF, "Li", model=path, device="cpu", experiment=False)
    assert bare.log10_conductivity is None
    assert bare.activation_energy == one.activation_energy
    assert one.formula == "LiFePO4"
    assert any("Fe" in w.message for w in one.warnings)  # the synthetic set holds O, S, P and Cl only
    many = predict_many([CIF, CIF], "Li", model=path, device="cpu")
    assert many[0].activation_energy == pytest.approx(many[1].activation_energy)
    assert many[0].activation_energy == pytest.approx(one.activation_energy, rel=1e-5)
    assert json.loads(json.dumps(one.to_dict()))["ion"].startswith("Li")
    result = CliRunner().invoke(main, ["predict", CIF, "--model", str(path), "--json", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)[0]["formula"] == "LiFePO4"
    table = CliRunner().invoke(main, ["predict", CIF, "--model", str(path)])
    assert "LiFePO4" in table.output
    bad = CliRunner().invoke(main, ["predict", "nowhere.cif", CIF, "--model", str(path), "--json"])
    assert bad.exit_code == 1


def test_bad_requests_are_named(tmp_path: Path) -> None:
    for model, message in (("nonsense", "unknown model"), (tmp_path / "no.pt", "no such model file")):
        with pytest.raises(InputError, match=message):
            fastin.predict(CIF, model=model)
    with pytest.raises(InputError, match="on_error"):
        predict_many([], on_error="perhaps")


def test_missing_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is needed: another device than the processor, and architectures that have no form in numpy."""
    import fastin.ml._require as module

    def gone(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    with monkeypatch.context() as patch:
        patch.setattr(module, "importlib", SimpleNamespace(import_module=gone))
        with pytest.raises(MissingDependencyError, match=r"fastin\[ml\]"):
            fastin.predict(CIF, device="cuda")
        assert fastin.predict(CIF).activation_energy > 0


def test_domain_warnings(store: GraphStore) -> None:
    entry = graphs_of(synthetic_entry(0).interstitial)
    card = {"domain": domain(store, np.arange(len(store)))}
    assert domain_warnings(entry, card) == ()
    narrow = {"domain": {"elements": [8], "site_radius": [5.0, 6.0], "ions": ["Na+"], "largest_atoms": 2}}
    said = " | ".join(map(str, domain_warnings(entry, narrow)))
    for word in ("no ", "trained on Na+, not on Li+", "void radius", "largest training cell"):
        assert word in said


def test_train_and_evaluate_commands(store: GraphStore, tmp_path: Path) -> None:
    store.save(tmp_path / "set.npz")
    config = tmp_path / "c.toml"
    config.write_text(
        f'model = "in-gcn"\ndataset = "{tmp_path / "set.npz"}"\nrun = "{tmp_path / "run"}"\n'
        'epochs = 2\ndevice = "cpu"\nmodel_options = { hidden = 8 }\n'
    )
    trained = CliRunner().invoke(main, ["train", str(config)])
    assert trained.exit_code == 0, trained.output
    assert "test e1d_global" in trained.output
    model, split = tmp_path / "run" / "model.pt", tmp_path / "run" / "split.json"
    arguments = ["evaluate", str(model), "--dataset", str(tmp_path / "set.npz"), "--split", str(split)]
    scored = CliRunner().invoke(main, [*arguments, "--json"])
    assert scored.exit_code == 0, scored.output
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert json.loads(scored.output)["scores"]["e1d_global"]["mae"] == pytest.approx(
        metrics["test"]["e1d_global"]["mae"], rel=1e-4
    )
    assert "R2" in CliRunner().invoke(main, arguments).output
    whole = CliRunner().invoke(main, ["evaluate", str(tmp_path / "run"), "--json"])
    assert json.loads(whole.output) == json.loads(scored.output)
    nothing = CliRunner().invoke(main, ["evaluate", str(tmp_path)])
    assert nothing.exit_code == 2
    assert "no finished run" in nothing.output
    assert "--dataset" in CliRunner().invoke(main, ["evaluate", str(model)]).output
    run = tmp_path / "run"
    everything = CliRunner().invoke(
        main, ["evaluate", str(run / "model.pt"), "--dataset", str(tmp_path / "set.npz"), "--json"]
    )
    answer = json.loads(everything.stdout)
    parts = json.loads((run / "split.json").read_text())
    assert answer["rows_in_training_set"] == len(parts["train"]) + len(parts["validation"])
    assert set(answer["groups"]) == {"not in the training set", "in the training set"}
    alone = CliRunner().invoke(main, ["evaluate", str(run)])
    assert "0 of them in the model's training or validation set" in alone.output
    moved = tmp_path / "moved.pt"
    moved.write_bytes(model.read_bytes())
    elsewhere = CliRunner().invoke(main, ["evaluate", str(moved), "--dataset", str(tmp_path / "set.npz")])
    assert "have a formula that is in the model's training or validation set" in elsewhere.output
    names = [str(i) for i in store.ids]
    beside = tmp_path / "moved.split.json"  # as beside the shipped model: joined sets name a row id/ion
    parts = {"train": [names[0], f"{names[1]}/{store.ions[1]}"], "validation": [f"{names[2]}/X+"], "test": names[3:]}
    beside.write_text(json.dumps(parts))
    by_id = CliRunner().invoke(main, ["evaluate", str(moved), "--dataset", str(tmp_path / "set.npz"), "--json"])
    assert json.loads(by_id.stdout)["rows_in_training_set"] == 2
    assert json.loads(by_id.stdout)["known_by"] == "id"
    beside.write_text("[1")
    assert (
        "damaged" in CliRunner().invoke(main, ["evaluate", str(moved), "--dataset", str(tmp_path / "set.npz")]).output
    )
    beside.unlink()
    trained_file = load_model(moved)
    trained_file.card.pop("seen")
    save_model(moved, trained_file, {"hidden": 8})
    elsewhere = CliRunner().invoke(main, ["evaluate", str(moved), "--dataset", str(tmp_path / "set.npz")])
    assert "does not say what it was trained on" in elsewhere.output
    config.write_text("model = 3 =")
    assert CliRunner().invoke(main, ["train", str(config)]).exit_code == 2


def test_the_command_predicts_in_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = whole_worker(None, "default", experiment=True, strict=False, num_threads=1)
    said = fastin.predict(CIF).to_dict()
    assert repr(answer(CIF)) == repr(said)  # NaN too
    shown = CliRunner().invoke(main, ["predict", CIF, str(tmp_path / "nowhere.cif"), "--json"])
    assert shown.exit_code == 1
    assert "nowhere.cif" in shown.stderr
    (row,) = json.loads(shown.stdout)
    assert row["activation_energy"] == pytest.approx(said["activation_energy"], rel=1e-12)
    script = (
        "import sys; from fastin.cli import main\n"
        f"try: main(['predict', {CIF!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'numpy' not in sys.modules, 'the command imports numpy'"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)

    def refuse(*_: object) -> None:
        raise InputError("no such model here")

    monkeypatch.setattr("fastin.prediction.load_predictor", refuse)
    assert whole_worker(None, "default", True, False, 1)(CIF) == {"refused": ("InputError", "no such model here")}
