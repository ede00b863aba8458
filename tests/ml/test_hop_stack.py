"""A relaxed barrier beside the forest: constants found again, limits, files, the prediction that uses them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fastin
from fastin.errors import InputError
from fastin.ml.conductivity import load_forest
from fastin.ml.forest import Forest, expand
from fastin.ml.hop_stack import HopStack, shipped_stack
from fastin.ml.migration import hop_row, predict_hop

CARD = {"uncertainty": {"scale": 0.5, "floor": 0.2, "two": 1.8}}


@pytest.mark.parametrize("truth", [(0.1, 0.3, 0.6), (0.0, 0.0, 1.1), (-0.05, 0.9, 0.1)])
def test_constants_are_found_again(truth) -> None:
    random = np.random.default_rng(0)
    forest, relaxed = random.uniform(0.1, 2.0, (2, 80))
    y = HopStack("any", truth, ()).combine(forest, relaxed)
    y[::10] += 1.0  # a few that are wrong do not move a line of absolute errors
    found = HopStack.fit("any", ("concerted",), forest, relaxed, y)
    np.testing.assert_allclose(found.constants, truth, atol=0.12)
    right = np.arange(80) % 10 != 0
    assert np.abs(found.combine(forest, relaxed) - y)[right].mean() < 0.02


def test_a_potential_that_says_nothing_is_left_out() -> None:
    random = np.random.default_rng(1)
    forest, relaxed = random.uniform(0.1, 2.0, (2, 300))
    found = HopStack.fit("any", (), forest, relaxed, forest.copy())
    assert abs(found.constants[1] - 1.0) < 0.1
    assert abs(found.constants[2]) < 0.1


def test_barriers_are_not_negative_and_rise_with_either_input() -> None:
    stack = HopStack("any", (0.1, 0.3, 0.6), ("concerted", "not-converged"))
    grid = np.linspace(0.0, 5.0, 60)
    for fixed in (0.0, 1.0):
        assert (np.diff(stack.combine(grid, np.full(60, fixed))) >= 0).all()
        assert (np.diff(stack.combine(np.full(60, fixed), grid)) >= 0).all()
    assert HopStack("any", (-2.0, 0.3, 0.3), ()).combine(np.zeros(1), np.zeros(1)) == 0.0
    assert stack.counts(("charged", "small-cell"))
    assert not stack.counts(("charged", "concerted"))


def test_the_spread_is_that_of_the_members() -> None:
    random = np.random.default_rng(2)
    x = random.uniform(size=(60, 3))
    forest = Forest.fit(["a", "b", "c"], x, x[:, 0] + 0.3, {}, trees=7, scale="energy")
    stack = HopStack("any", (0.0, 0.5, 0.5), (), CARD)
    relaxed = np.full(60, 0.4)
    mean, spread = stack.mean_and_spread(forest, x, relaxed)
    members = expand(forest.members(x), "energy")
    plain = np.stack([stack.combine(row, relaxed) for row in members])
    np.testing.assert_allclose(mean, stack.combine(forest.mean_and_spread(x)[0], relaxed))
    np.testing.assert_allclose(spread, np.sqrt(((plain - mean) ** 2).mean(axis=0)))
    np.testing.assert_allclose(stack.predict(forest, x, relaxed)[1], np.hypot(0.5 * spread, 0.2))


def test_files(tmp_path: Path) -> None:
    stack = HopStack("any", (0.1, 0.3, 0.6), ("concerted",), CARD)
    stack.save(tmp_path / "a.json")
    assert HopStack.load(tmp_path / "a.json") == stack
    text = (tmp_path / "a.json").read_text()
    for bad in ("", "[]", text[:50], text.replace("0.6", "NaN"), json.dumps({**json.loads(text), "card": {}})):
        (tmp_path / "b.json").write_text(bad)
        with pytest.raises(InputError, match=r"b\.json"):
            HopStack.load(tmp_path / "b.json")


def test_the_shipped_stack_and_its_card() -> None:
    stack = shipped_stack("chgnet")
    assert stack is not None
    assert stack.potential == "chgnet"
    assert set(stack.doubt) >= {"concerted", "end-in-other-site", "not-converged"}
    said = stack.card["against_the_forest"]
    assert said["difference_eV"] + said["error_eV"] < 0  # ships since it helps by more than its error
    assert 0.6 < stack.card["calibration"]["within_68"] < 0.76
    for name in ("sevennet", "relax_support:make", "../models/neb_barrier", ""):
        assert shipped_stack(name) is None


def test_a_prediction_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ase", reason="the mlip extra is absent")
    from fastin.ml import hop_stack

    stack = HopStack("relax_support:make", (0.1, 0.3, 0.6), ("concerted",), CARD)
    monkeypatch.setattr(hop_stack, "shipped_stack", lambda name: stack if name == stack.potential else None)
    path, hop = fastin.examples()["LiCl"], ((0, 0, 0), (0.5, 0.5, 0))
    plain = predict_hop(path, *hop)
    found = predict_hop(path, *hop, calculator="relax_support:make", supercell=5.0)
    assert plain.barrier_without == plain.barrier == found.barrier_without
    forest = load_forest("neb_barrier", "hop")
    inputs = forest.row(hop_row(fastin.Crystal.from_file(path), "Li", *np.array(hop)))
    mean, std = stack.predict(forest, inputs, np.array([found.relaxed_barrier]))
    assert found.barrier == pytest.approx(float(mean[0]))
    assert found.high_68 - found.barrier == pytest.approx(float(std[0]))
    assert found.high_90 - found.barrier == pytest.approx(1.8 * float(std[0]))
    assert "with the relaxed barrier of relax_support:make" in found.model
    doubted = HopStack("relax_support:make", (0.1, 0.3, 0.6), found.relaxed_flags, CARD)
    monkeypatch.setattr(hop_stack, "shipped_stack", lambda name: doubted)
    again = predict_hop(path, *hop, calculator="relax_support:make", supercell=5.0)
    assert again.barrier == plain.barrier
    assert again.model == plain.model
    assert again.relaxed_barrier == found.relaxed_barrier


def test_the_command_gives_a_relaxation_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of the models would end it; one that is named holds."""
    pytest.importorskip("ase", reason="the mlip extra is absent")
    from click.testing import CliRunner

    from fastin.cli import main
    from fastin.cli import predict as module

    seen: list[float] = []
    monkeypatch.setattr(module, "_print_hops", lambda *given: seen.append(given[-1].time_limit))
    words = ["predict", str(fastin.examples()["LiCl"]), "--hop", *["0", "0", "0", "0.5", "0.5", "0"]]
    for more in (
        [],
        ["--calculator", "relax_support:make"],
        ["--calculator", "relax_support:make", "--time-limit", "7"],
    ):
        assert CliRunner().invoke(main, [*words, *more]).exit_code == 0
    assert seen[0] < seen[1]
    assert seen[2] == 7.0
