"""Parity plot and learning curves of a run; skipped without matplotlib (extra ``view``)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastin
from fastin.ml.metrics import barrier_scores

_NAMES = {"e1d": "1D", "e2d": "2D", "e3d": "3D"}


def _axis_label(target: str, what: str) -> str:
    dimension, _, zero = target.partition("_")
    return f"{what} {_NAMES.get(dimension, dimension)} barrier ({zero} zero), log10(E / eV)"


def plot_run(
    folder: Path,
    history: list[dict[str, float]],
    truth: NDArray[Any],
    predicted: NDArray[Any],
    target: str,
) -> list[Path]:
    """Writes ``parity.png`` and ``learning_curve.png``; returns the files (none without matplotlib)."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    from matplotlib.figure import Figure

    known = np.isfinite(truth)
    truth, predicted = truth[known], predicted[known]
    written = []
    if truth.size:
        figure = Figure(figsize=(4.2, 4.0), layout="constrained")
        axes = figure.subplots()
        low, high = float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))
        axes.plot([low, high], [low, high], color="0.6", lw=1)
        axes.scatter(truth, predicted, s=6, alpha=0.4, lw=0, color="#1f4e79")
        scores = barrier_scores(truth, predicted)
        axes.set_title(
            f"R2 {scores['r2']:.3f}, MAE {scores['mae']:.3f}, n {scores['n']}; fastin {fastin.__version__}", fontsize=9
        )
        axes.set_xlabel(_axis_label(target, "BVSE"))
        axes.set_ylabel(_axis_label(target, "predicted"))
        axes.set_aspect("equal")
        written.append(folder / "parity.png")
        figure.savefig(written[-1], dpi=150)
    if history:
        figure = Figure(figsize=(4.8, 3.4), layout="constrained")
        axes = figure.subplots()
        epochs = [row["epoch"] for row in history]
        axes.semilogy(epochs, [row["train_loss"] for row in history], label="training", color="#1f4e79")
        axes.semilogy(epochs, [row["validation_loss"] for row in history], label="validation", color="#c55a11")
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean squared error (normalised)")
        axes.legend(frameon=False)
        written.append(folder / "learning_curve.png")
        figure.savefig(written[-1], dpi=150)
    return written
