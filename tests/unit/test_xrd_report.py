"""Composition rules, metrics and tables of the pattern classifier that need no training."""

from __future__ import annotations

import numpy as np
import pytest

from fastin.xrd.dataset import chemical_system

torch = pytest.importorskip("torch")

from fastin.xrd import evaluate, report  # noqa: E402


def test_composition_reads_parentheses():
    assert report.composition("Li1.3Al0.3Ti1.7(PO4)3") == {"Li": 1.3, "Al": 0.3, "Ti": 1.7, "P": 3.0, "O": 12.0}
    assert report.composition("Ca(Li(OH)2)3") == {"Ca": 1.0, "Li": 3.0, "O": 6.0, "H": 6.0}
    assert chemical_system("Li6PS5Cl") == "Cl-Li-P-S"


@pytest.mark.parametrize(
    ("formula", "flags"),
    [
        ("Li6AsS5I", ("argyrodite",)),
        ("Li6AsSe5I", ("argyrodite",)),
        ("Li6PS5Cl", ("argyrodite",)),
        ("Li6.6P0.4Ge0.6S5I", ("argyrodite",)),
        ("Li10GeP2S12", ("LGPS",)),
        ("Li7La3Zr2O12", ("garnet",)),
        ("Li1.3Al0.3Ti1.7(PO4)3", ("NASICON",)),
        ("Li3PS4", ("thiophosphate",)),
        ("LiCoO2", ()),
        ("NaCl", ()),
        ("Li3PO4", ()),
    ],
)
def test_family_flags(formula, flags):
    assert report.family_flags(formula) == flags


def test_metrics_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    labels = (rng.random(80) < 0.3).astype(int)
    score = np.clip(np.round(0.3 * labels + 0.7 * rng.random(80), 1), 0, 1)
    found = evaluate.metrics(labels, score)
    said = score > 0.5
    assert found["macro_f1"] == pytest.approx(sklearn.f1_score(labels, said, average="macro"))
    assert found["superionic_f1"] == pytest.approx(sklearn.f1_score(labels, said))
    assert found["precision"] == pytest.approx(sklearn.precision_score(labels, said))
    assert found["recall"] == pytest.approx(sklearn.recall_score(labels, said))
    assert found["roc_auc"] == pytest.approx(sklearn.roc_auc_score(labels, score))
    assert found["pr_auc"] == pytest.approx(sklearn.average_precision_score(labels, score))
    assert found["brier"] == pytest.approx(sklearn.brier_score_loss(labels, score))


def test_calibration_error_by_hand():
    """Two bins: 0.25 said and 1/2 true over 4 rows, 0.95 said and 1/2 true over 2 rows."""
    labels = [0, 1, 0, 1, 1, 0]
    score = [0.25, 0.25, 0.25, 0.25, 0.95, 0.95]
    assert evaluate.calibration_error(labels, score) == pytest.approx((4 * 0.25 + 2 * 0.45) / 6)
    assert evaluate.calibration_error([1, 0], [1.0, 0.0]) == 0.0


def test_grouped_folds_never_share_a_group():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 12, 90)
    labels = rng.integers(0, 2, 90)
    seen = []
    for train, test in evaluate.grouped_folds(labels, groups, 5, seed=3):
        assert not set(groups[train]) & set(groups[test])
        seen.extend(test.tolist())
    assert sorted(seen) == list(range(90))


def test_drawn_labels_are_balanced_and_reproducible():
    labels = np.array([0] * 30 + [1] * 12)
    rows = evaluate.draw_labelled(labels, np.arange(42), 10, seed=4)
    assert np.bincount(labels[rows]).tolist() == [10, 10]
    assert np.array_equal(rows, evaluate.draw_labelled(labels, np.arange(42), 10, seed=4))
    with pytest.raises(ValueError, match="only 12 rows"):
        evaluate.draw_labelled(labels, np.arange(42), 13, seed=4)


def test_similarity_of_equal_patterns_is_one():
    rng = np.random.default_rng(2)
    patterns = np.zeros((3, 4501), dtype=np.float32)
    for row in patterns:
        row[rng.integers(400, 4400, 60)] = rng.random(60)
    close = report.similarities(patterns, patterns)
    np.testing.assert_allclose(np.diag(close), 1.0, atol=1e-5)
    assert close[0, 1] < 0.7
