"""Intervals hold what they say, on errors of another draw; barriers above the ceiling; joined data sets."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from synthetic import synthetic_entry

from fastin.cli import main
from fastin.errors import InputError
from fastin.ml.dataset import BuildOptions, SourceCif, build_dataset, load_dataset
from fastin.ml.intervals import NOTHING, barrier_of, fit_intervals, half_widths, read_barriers, rising
from fastin.ml.join import join_datasets
from fastin.ml.labels import to_targets


def _draw(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Errors three times as wide for sodium, growing with the spread and towards low barriers, with heavy tails."""
    rng = np.random.default_rng(seed)
    ions = rng.choice(["Li+", "Na+"], n)
    mean, spread = rng.normal(-0.2, 0.4, n), rng.gamma(2.0, 0.02, n)
    width = np.hypot(spread, 0.03 * 10 ** (-0.5 * (mean + 0.2))) * np.where(ions == "Na+", 3.0, 1.0)
    return width * rng.standard_t(3, n), spread, mean, ions


def test_intervals_hold_for_each_ion_and_for_low_and_high_barriers() -> None:
    constants = fit_intervals(*_draw(0, 4000))
    error, spread, mean, ions = _draw(1, 4000)
    widths = half_widths(constants, spread, mean, ions)
    inside = np.abs(error)[:, None] <= widths
    for part in (ions == "Li+", ions == "Na+", mean < -0.4, mean > 0.0):
        assert inside[part].mean(axis=0) == pytest.approx([0.68, 0.90], abs=0.04)
    assert (widths[:, 1] > widths[:, 0]).all()


def test_an_ion_with_few_rows_takes_the_widths_of_all() -> None:
    error, spread, mean, ions = _draw(0, 300)
    ions[:10] = "K+"
    constants = fit_intervals(error, spread, mean, ions)
    assert "K+" not in constants["quantiles"]
    some = half_widths(constants, spread[:2], mean[:2], np.array(["K+", "Rb+"]))
    assert np.isfinite(some).all()


def test_above_the_ceiling_there_is_no_number() -> None:
    assert to_targets(np.array([0.5, 5.1, np.inf, np.nan]), censored=True) == pytest.approx(
        [math.log10(0.5), np.inf, np.inf, np.nan], nan_ok=True
    )
    said = barrier_of(0.8, (0.05, 0.2), 1.0)
    assert said.value == math.inf
    assert said.within_68 == (5.0, math.inf)
    assert said.within_90 == (pytest.approx(10**0.6), math.inf)
    below = barrier_of(0.6, (0.05, 0.2), 1.0)
    assert below.within_68 == (pytest.approx(10**0.55), pytest.approx(10**0.65))
    assert below.within_90[1] == math.inf
    wide = barrier_of(0.0, (0.1, 0.2), 2.0)
    assert wide.within_68 == (pytest.approx(10**-0.2), pytest.approx(10**0.2))


def test_barriers_never_fall_with_the_dimension() -> None:
    three = [barrier_of(mean, (0.05, 0.2), 1.0) for mean in (0.1, 0.08, 0.9)]
    found = rising([three[0], three[1], three[2]])
    assert found == [three[0], three[0], three[2]]
    assert rising([NOTHING, NOTHING]) == [NOTHING, NOTHING]


def test_an_ion_that_was_not_trained_on_gets_nothing() -> None:
    card = {"domain": {"ions": ["Li+", "O2-"]}}
    every = np.zeros((2, 2, 1))
    said = read_barriers(every, ["e1d_global"], card, np.array(["Li+", "K+"]), np.ones(2))
    assert said[0]["e1d_global"].value == 1.0
    assert said[1]["e1d_global"] == NOTHING


def test_joined_sets_keep_rows_apart_by_ion(tmp_path: Path) -> None:
    from fastin.crystal.examples import examples

    text = next(p for p in examples().values() if p.stem == "Li3OCl").read_text()
    for ion in ("Li", "O"):
        build_dataset([SourceCif("a", text)], tmp_path / ion, BuildOptions(ion=ion))
    manifest = join_datasets([tmp_path / "Li", tmp_path / "O"], tmp_path / "both")
    store = load_dataset(tmp_path / "both")
    assert store.ids.tolist() == ["a/Li+", "a/O2-"]
    assert store.ions.tolist() == ["Li+", "O2-"]
    assert [part["structures"] for part in manifest["parts"]] == [1, 1]
    with pytest.raises(InputError, match="holds a data set"):
        join_datasets([tmp_path / "Li", tmp_path / "O"], tmp_path / "both")
    with pytest.raises(InputError, match="in two of the data sets"):
        join_datasets([tmp_path / "Li", tmp_path / "Li"], tmp_path / "twice")
    build_dataset([SourceCif("a", text)], tmp_path / "coarse", BuildOptions(ion="O", resolution=0.4))
    done = CliRunner().invoke(main, ["dataset", "join", *map(str, (tmp_path / "Li", tmp_path / "coarse")), "-o", "x"])
    assert done.exit_code == 2
    assert "resolution 0.4" in done.output


def test_large_structures_are_in_an_epoch_less_often(tmp_path: Path) -> None:
    from fastin.ml.config import TrainConfig
    from fastin.ml.store import GraphStore
    from fastin.ml.train import train

    store = GraphStore.from_entries([synthetic_entry(seed) for seed in range(20)])
    seen: dict[int, int] = {}
    for typical in (0, 16):  # each has 8 voids and 24 bottlenecks
        config = TrainConfig(
            model="in-gcn", dataset="", run=str(tmp_path / str(typical)), epochs=2, batch_size=2, typical_nodes=typical
        )
        steps: list[int] = []
        train(config, store, progress=lambda done, total, steps=steps: steps.append(total))
        seen[typical] = max(steps)
    assert seen == {0: 8, 16: 4}
