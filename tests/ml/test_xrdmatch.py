"""XRDMatch: losses by hand, thresholds, determinism, resuming, a small run from structures to a ranked table."""

from __future__ import annotations

import csv
import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

import fastin  # noqa: E402
from fastin.errors import InputError  # noqa: E402
from fastin.xrd import augment, evaluate  # noqa: E402
from fastin.xrd.domain import DomainWarning  # noqa: E402
from fastin.xrd.match import XRDMatch, config_from_dict, fit_platt, train_from_config  # noqa: E402
from fastin.xrd.model import VGG11, build_network, coarsen  # noqa: E402
from fastin.xrd.training import FlexThresholds, TrainConfig, Trainer, semi_supervised_loss  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread():
    """Two spinning pools on a busy machine make these small networks a hundred times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


QUICK = TrainConfig(algorithm="fixmatch", iterations=30, batch_size=8, checkpoint_every=10)


@pytest.fixture(scope="module")
def patterns():
    """Two kinds of patterns: peaks near 20 and 50 degrees (superionic) or near 30 and 60 (poor), and clutter."""
    rng = np.random.default_rng(0)

    def rows(count, centres):
        out = np.zeros((count, 4501), dtype=np.float32)
        for row in out:
            for centre in centres:
                row[round((centre + rng.normal(0, 0.15)) / 0.02)] = 0.6 + 0.4 * rng.random()
            row[rng.integers(500, 4400, 15)] = 0.3 * rng.random(15)
        return out / out.max(axis=1, keepdims=True)

    data = np.concatenate([rows(20, (30.0, 60.0)), rows(20, (20.0, 50.0))])
    labels = np.repeat([0, 1], 20)
    pool = np.concatenate([rows(40, (30.0, 60.0)), rows(40, (20.0, 50.0))])
    return data, labels, pool


def test_published_network():
    network = VGG11()
    assert sum(p.numel() for p in network.parameters()) == 10_854_786
    with torch.no_grad():
        assert network.eval()(torch.rand(2, 4501)).shape == (2, 2)
    assert all(torch.all(m.bias == 0) for m in network.classifier if isinstance(m, torch.nn.Linear))


@pytest.mark.parametrize("name", ["small", "conv", "elastic"])
def test_own_networks_are_small(name):
    network = build_network(name)
    assert sum(p.numel() for p in network.parameters()) < 100_000
    assert network(torch.rand(3, 901)).shape == (3, 2)


def test_basis_comes_from_the_unlabelled_patterns_alone(patterns):
    """Components are orthogonal over the pool, rows have unit length in the mean, labelled rows do not enter."""
    data, labels, pool = (torch.from_numpy(x) for x in patterns)
    config = replace(QUICK, algorithm="prior", network="elastic", network_settings={"components": 5, "whiten": 1.0})
    trainer = Trainer(config, data, labels, pool)
    codes = trainer.network.encode(augment.normalise(trainer.unlabelled)).double()
    covariance = codes.T @ codes / len(codes)
    torch.testing.assert_close(covariance, torch.eye(5).double() / 5, rtol=0, atol=1e-4)
    other = Trainer(config, data[10:30], labels[10:30], pool)
    assert torch.equal(trainer.network.basis, other.network.basis)
    assert not torch.equal(trainer.network.basis, Trainer(config, data, labels, pool[:40]).network.basis)


def test_elastic_axis_forgives_a_strained_lattice():
    """One percent of lattice parameter: nearly the same on the elastic axis, something else to the small network."""
    spacing = torch.tensor([8.0, 5.1, 4.2, 3.3, 2.6, 2.1])

    def sticks(scale):
        row = torch.zeros(1, 901)
        angle = 2 * torch.rad2deg(torch.asin(1.54184 / (2 * spacing * scale)))
        row[0, torch.round(angle / 0.1).long()] = 1.0
        return row

    def cosine(encode):
        first, second = encode(sticks(1.0)).flatten(), encode(sticks(1.01)).flatten()
        return float(torch.nn.functional.cosine_similarity(first, second, dim=0))

    # roots of Gaussians of deviation 0.01 on the log axis, moved by 0.01: exp(-1/8), less the rounding to bins
    elastic, small = (build_network("elastic", components=0, width=0.01).rooted, build_network("small").front.rooted)
    assert cosine(elastic) == pytest.approx(math.exp(-0.125), abs=0.1)
    assert cosine(small) < 0.6


def test_ridge_adds_the_squared_weights(patterns):
    data, labels, _ = (torch.from_numpy(x) for x in patterns)
    config = replace(QUICK, algorithm="supervised", network="elastic", network_settings={"components": 0})
    plain = Trainer(config, data, labels)
    squares = sum(float(p.detach().pow(2).sum()) for p in plain.network.parameters() if p.ndim > 1)
    firm = Trainer(replace(config, ridge=0.5), data, labels)
    assert firm.train_step()["loss"] - plain.train_step()["loss"] == pytest.approx(0.5 * squares, rel=1e-4)


def test_coarse_bins_gather_five_fine_ones():
    fine = torch.zeros(1, 4501)
    fine[0, 1000] = 1.0
    fine[0, 1002] = 2.0
    fine[0, 1003] = 4.0
    coarse = coarsen(fine)
    assert coarse.shape == (1, 901)
    assert coarse[0, 200].item() == 3.0
    assert coarse[0, 201].item() == 4.0


def test_loss_by_hand():
    labelled = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    targets = torch.tensor([1, 0])
    student = torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, 0.0]])
    pseudo = torch.tensor([1, 0, 1])
    mask = torch.tensor([1.0, 1.0, 0.0])
    total, supervised, unlabelled = semi_supervised_loss(
        labelled, targets, student, pseudo, mask, class_weights=torch.tensor([0.54, 0.46]), unlabelled_weight=2.0
    )
    by_hand = (0.46 * math.log(2) + 0.54 * math.log(1 + math.exp(-2))) / 2
    by_hand_unlabelled = (0.46 * math.log(1 + math.exp(-1)) + 0.54 * math.log(1 + math.exp(-3))) / 3
    assert supervised.item() == pytest.approx(by_hand, rel=1e-6)
    assert unlabelled.item() == pytest.approx(by_hand_unlabelled, rel=1e-6)
    assert total.item() == pytest.approx(by_hand + 2 * by_hand_unlabelled, rel=1e-6)


def test_first_step_has_the_loss_of_its_batch(patterns):
    """One training step's loss equals the cross-entropy of the same network on the same augmented batch."""
    data, labels, _ = patterns
    config = replace(QUICK, algorithm="supervised", augment_labelled=1.0, network_settings={"dropout": 0.0})
    tensors = torch.from_numpy(data), torch.from_numpy(labels)
    twin = Trainer(config, *tensors)
    batch, targets = twin._labelled_batch()
    logits = twin.network(batch)
    expected = -(logits - logits.logsumexp(dim=1, keepdim=True))[torch.arange(len(targets)), targets].mean()
    assert Trainer(config, *tensors).train_step()["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_prior_takes_over_its_share_of_the_poor_loss(patterns):
    """L = mean over the batch with poor rows times (1 - w), plus half of w times the unlabelled rows' mean."""
    data, labels, pool = (torch.from_numpy(x) for x in patterns)
    config = replace(QUICK, algorithm="prior", unlabelled_poor=0.4, network_settings={"dropout": 0.0})
    twin = Trainer(config, data, labels, pool)
    batch, targets = twin._labelled_batch()
    rows = torch.nn.functional.cross_entropy(twin.network(batch), targets, reduction="none")
    expected = (rows * torch.where(targets == 0, 0.6, 1.0)).mean()
    unlabelled = augment.normalise(twin.unlabelled[twin._unlabelled_rows()])
    expected = expected + 0.5 * 0.4 * -torch.log_softmax(twin.network(unlabelled), dim=1)[:, 0].mean()
    assert Trainer(config, data, labels, pool).train_step()["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert TrainConfig().unlabelled_poor == 0.3
    assert TrainConfig(algorithm="fixmatch").unlabelled_poor == 0.0


def test_flexmatch_thresholds():
    status = FlexThresholds(10)
    assert status.scale().tolist() == [0.0, 0.0]
    status.update(torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([0, 0, 0, 0, 1, 1]), torch.ones(6, dtype=torch.bool))
    # four rows unused, four of class 0, two of class 1: accuracies 1 and 1/2
    assert status.scale().tolist() == pytest.approx([1.0, 0.5 / 1.5])
    published = FlexThresholds(10_000)
    rows = torch.arange(960)
    published.update(rows, rows % 2, torch.ones(960, dtype=torch.bool))
    assert published.scale().max().item() * 0.95 < 0.053  # so every pseudo-label of two classes counts


def test_published_preset_uses_every_pseudo_label(patterns):
    data, labels, pool = patterns
    config = TrainConfig.faithful(iterations=2, batch_size=4)
    trainer = Trainer(config, torch.from_numpy(data), torch.from_numpy(labels), torch.from_numpy(pool))
    assert trainer.average is None
    assert trainer.class_weights.tolist() == pytest.approx([0.54, 0.46])
    assert trainer.train_step()["used"] == 1.0


@pytest.mark.parametrize("algorithm", ["supervised", "prior", "fixmatch", "flexmatch"])
def test_same_seed_same_weights(patterns, algorithm):
    data, labels, pool = patterns
    models = [XRDMatch(replace(QUICK, algorithm=algorithm, seed=s), members=1) for s in (3, 3, 4)]
    first, second, third = (model.fit(data, labels, pool).member_logits(data) for model in models)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize("network", ["small", "conv"])
def test_interrupted_training_continues_exactly(patterns, tmp_path, network):
    data, labels, pool = (torch.from_numpy(x) for x in patterns)
    config = replace(QUICK, algorithm="flexmatch", network=network)
    whole = Trainer(config, data, labels, pool)
    whole.run()
    stopped = Trainer(config, data, labels, pool)

    class Interrupt(Exception):
        pass

    def stop(record):
        raise Interrupt

    with pytest.raises(Interrupt):
        stopped.run(tmp_path / "run.pt", stop)  # after step 20; the checkpoint is of step 10
    resumed = Trainer(config, data, labels, pool)
    resumed.run(tmp_path / "run.pt")
    assert resumed.step == whole.step
    for a, b in zip(whole.predictor.state_dict().values(), resumed.predictor.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    other = Trainer(replace(config, seed=9), data, labels, pool)
    with pytest.raises(InputError, match="another configuration"):
        other.load(tmp_path / "run.pt")


def test_learns_saves_and_loads(patterns, tmp_path):
    data, labels, pool = patterns
    rows = np.r_[0:4, 20:24]
    model = XRDMatch(replace(QUICK, iterations=80), members=2).fit(data[rows], labels[rows], pool)
    rest = np.setdiff1d(np.arange(40), rows)
    assert evaluate.metrics(labels[rest], model.predict_proba(data[rest])[:, 1])["macro_f1"] > 0.9
    model.calibrate(model.member_logits(data[rest]).mean(axis=0), labels[rest])
    model.save(tmp_path / "model.pt")
    again = XRDMatch.load(tmp_path / "model.pt")
    assert np.array_equal(model.predict_proba(data), again.predict_proba(data))
    assert again.notes["labelled"] == 8
    probability = again.predict_proba(data)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    again.calibration = (0.5, -0.4)  # the decision stays that of the mean logit
    assert np.array_equal(again.predict(data), (again.member_logits(data).mean(axis=0) > 0).astype(np.int64))
    assert again.decision_threshold == pytest.approx(1 / (1 + math.exp(0.4)))
    again.calibration = model.calibration
    assert set(np.unique(again.vote(data))) <= {0.0, 0.5, 1.0}
    pseudo = again.pseudo_labels(pool)
    assert np.all(pseudo["accepted"] == (pseudo["confidence"] >= 0.95))


def test_calibration_recovers_a_known_slope():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 0.7)))).astype(np.int64)
    slope, intercept = fit_platt(logits, labels)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-0.7, abs=0.05)


def test_unusable_input(patterns, tmp_path):
    data, labels, pool = patterns
    with pytest.raises(InputError, match="both classes"):
        XRDMatch(QUICK).fit(data[:5], labels[:5], pool)
    with pytest.raises(InputError, match="unlabelled"):
        XRDMatch(QUICK).fit(data, labels)
    with pytest.raises(InputError, match="4501"):
        XRDMatch(QUICK).fit(data[:, :100], labels, pool)
    with pytest.raises(InputError, match="not trained"):
        XRDMatch(QUICK).predict_proba(data)
    with pytest.raises(InputError, match="training settings: unknown key 'colour'"):
        config_from_dict({"colour": 1})
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a model file"):
        XRDMatch.load(tmp_path / "broken.pt")


def _cif(a, anion):
    lengths = "\n".join(f"_cell_length_{axis} {a}" for axis in "abc")
    angles = "\n".join(f"_cell_angle_{name} 90" for name in ("alpha", "beta", "gamma"))
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    loop = "\n".join(f"_atom_site_{name}" for name in columns)
    sites = f"Li1 Li 0 0 0 1\nX1 {anion} 0.5 0.5 0.5 1"
    return f"data_x\n{lengths}\n{angles}\n_symmetry_space_group_name_H-M 'P 1'\nloop_\n{loop}\n{sites}\n"


def test_from_structures_to_a_ranked_table(tmp_path):
    """The whole way: records, training from TOML (twice: the second call only loads), model file, report, CLI."""
    from fastin.cli.train import command as train_command
    from fastin.cli.xrd import command as xrd_command

    rng = np.random.default_rng(1)
    labelled, unlabelled = [], []
    for i in range(24):
        anion, sigma = ("S", 1e-3) if i % 2 else ("O", 1e-8)
        cell = (3.9 if i % 2 else 3.2) + 0.1 * rng.random()
        record = {"id": f"r{i}", "formula": f"Li{anion}", "family": f"f{i // 2}", "cif": _cif(cell, anion)}
        labelled.append({**record, "sigma": sigma})
        unlabelled.append({**record, "id": f"u{i}"})
    for name, rows in (("labelled", labelled), ("unlabelled", unlabelled)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run = tmp_path / "run"
    lines = [
        *('model = "xrdmatch"', "members = 2", f'run = "{run}"'),
        *("[data]", 'labelled = "labelled.jsonl"', 'unlabelled = "unlabelled.jsonl"'),
        *("[train]", "iterations = 40", "batch_size = 8"),
    ]
    (tmp_path / "xrdmatch.toml").write_text("\n".join(lines))
    result = CliRunner().invoke(train_command, [str(tmp_path / "xrdmatch.toml")])
    assert result.exit_code == 0, result.output
    with (run / "pseudo_labels.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 24
    (tmp_path / "a.cif").write_text(_cif(3.95, "S"))
    (tmp_path / "b.cif").write_text(_cif(3.25, "O"))
    arguments = [
        "classify",
        str(tmp_path / "a.cif"),
        str(tmp_path / "b.cif"),
        "--model",
        str(run / "model.pt"),
        "--json",
    ]
    result = CliRunner().invoke(xrd_command, arguments)
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.output)
    assert first["probability_superionic"] > 0.5 > second["probability_superionic"]
    assert first["class"] == "superionic"
    assert first["warnings"] == []
    assert first["nearest"]["formula"] == "LiS"
    check_domain(tmp_path, run / "model.pt")
    arguments = ["rank", str(tmp_path / "unlabelled.jsonl"), "--labelled", str(tmp_path / "labelled.jsonl")]
    arguments += ["--model", str(run / "model.pt"), "--top", "5", "--out", str(tmp_path / "out.csv")]
    result = CliRunner().invoke(xrd_command, arguments)
    assert result.exit_code == 0, result.output
    with (tmp_path / "out.csv").open() as file:
        ranked = list(csv.DictReader(file))
    assert len(ranked) == 5
    assert [row["rank"] for row in ranked] == ["1", "2", "3", "4", "5"]
    assert all(row["formula"] == "LiS" for row in ranked)
    assert "LiS (1.000, 0.001)" in ranked[0]["nearest_labelled"] or "LiS (0.99" in ranked[0]["nearest_labelled"]
    check_family(tmp_path, run / "model.pt")


def check_family(folder, path):
    """A family's members keep their place among all materials."""
    from fastin.cli.xrd import command as xrd_command
    from fastin.xrd.dataset import load_unlabelled
    from fastin.xrd.report import FAMILIES, rank_candidates

    model, pool = XRDMatch.load(path), load_unlabelled(folder / "unlabelled.jsonl")
    named = replace(pool, formulas=("Li6AsS5I", *pool.formulas[1:-1], "Li6PS5Cl"))
    found = rank_candidates(model, named, family="argyrodite")
    probability = model.predict_proba(pool.patterns)[:, 1]
    assert {c.formula for c in found} == {"Li6AsS5I", "Li6PS5Cl"}
    assert [c.rank for c in found] == [23, 24]  # elements that no training material holds: behind all others
    assert [c.probability for c in found] == sorted((float(probability[i]) for i in (0, -1)), reverse=True)
    known = replace(pool, formulas=("Li7O5S", *pool.formulas[1:]))  # elements that it knows
    for c in rank_candidates(model, known, top=None):
        assert c.rank == 1 + np.flatnonzero(np.argsort(-probability, kind="stable") == known.ids.index(c.id))[0]
    assert rank_candidates(model, pool, family="garnet") == []
    with pytest.raises(InputError, match="unknown family"):
        rank_candidates(model, pool, family="spinel")
    (choice,) = [option.type for option in xrd_command.commands["rank"].params if option.name == "family"]
    assert tuple(choice.choices) == FAMILIES


def check_domain(folder, path):
    """A material without lithium and one with an unknown element are flagged, by the model and the command."""
    from fastin.cli.xrd import command as xrd_command

    model = XRDMatch.load(path)
    assert model.domain.required == ("Li",)
    assert model.domain.elements == {"Li": 48, "O": 24, "S": 24}
    sodium = _cif(3.95, "S").replace("Li1 Li", "Na1 Na")
    (folder / "sodium.cif").write_text(sodium)
    result = CliRunner().invoke(xrd_command, ["classify", str(folder / "sodium.cif"), "--model", str(path), "--json"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.output)
    assert row["class"] == "out of domain"
    assert "holds no Li" in row["warnings"][0]
    assert "holds Na" in row["warnings"][1]
    result = CliRunner().invoke(xrd_command, ["classify", str(folder / "sodium.cif"), "--model", str(path)])
    assert "holds no Li" in result.output
    pattern = fastin.xrd_pattern(folder / "sodium.cif")[1]
    with pytest.warns(DomainWarning, match="holds no Li"):
        model.predict_proba(pattern, elements=[{"Na", "S"}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict_proba(fastin.xrd_pattern(folder / "a.cif")[1], elements=[{"Li", "S"}])
    strange = np.zeros(4501, dtype=np.float32)
    strange[[777, 1555]] = 1.0
    assert "unlike every labelled pattern" in model.domain.objections(strange)[0]
    with pytest.raises(InputError, match="sets of elements"):
        model.predict_proba(pattern, elements=[])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "needs .data. labelled"),
        ({"data": {"labeled": "a"}}, "unknown keys: .data. labeled"),
        ({"data": {"labelled": "a"}, "member": 3}, "unknown keys: member;"),
        ({"data": {"labelled": "a"}, "members": "three"}, "members must be a whole number"),
        ({"data": {"labelled": "a", "threshold": 0}}, "threshold must be a conductivity above 0"),
        ({"data": "a"}, "tables"),
        ({"data": {"labelled": "a"}, "train": {"iterations": "ten"}}, "iterations must be a whole number, not 'ten'"),
        ({"data": {"labelled": "a"}, "train": {"iteration": 10}}, "unknown key 'iteration'"),
    ],
)
def test_unusable_configurations(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        train_from_config({"model": "xrdmatch", **changes}, tmp_path)


def test_augmented_batches_use_the_networks_grid(patterns):
    data, labels, pool = patterns
    trainer = Trainer(QUICK, torch.from_numpy(data), torch.from_numpy(labels), torch.from_numpy(pool))
    batch, targets = trainer._labelled_batch()
    assert batch.shape == (8, 901)
    assert targets.sum().item() == 4
    assert torch.equal(batch, augment.normalise(batch))
