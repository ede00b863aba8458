"""Scores of predictions: R2, MAE, RMSE on the trained scale and in eV, by subset, and calibration of uncertainties."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.ml.labels import to_barriers

Floats = NDArray[np.float64]

#: Edges in eV of the subsets by activation energy that `by_barrier` reports (the seed paper's Fig. 5 scores subsets).
BARRIER_EDGES = (0.0, 0.3, 0.5, 0.8, 1.2, 2.0, 5.0)


def r2(truth: Floats, predicted: Floats) -> float:
    """Coefficient of determination; NaN for fewer than two values or no variance."""
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    if truth.size < 2:
        return float("nan")
    total = float(((truth - truth.mean()) ** 2).sum())
    return 1.0 - float(((truth - predicted) ** 2).sum()) / total if total > 0 else float("nan")


def mae(truth: Floats, predicted: Floats) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(np.asarray(truth) - np.asarray(predicted)))) if np.size(truth) else float("nan")


def rmse(truth: Floats, predicted: Floats) -> float:
    """Root mean square error."""
    return float(np.sqrt(np.mean((np.asarray(truth) - np.asarray(predicted)) ** 2))) if np.size(truth) else float("nan")


def regression_scores(truth: Floats, predicted: Floats) -> dict[str, float]:
    """n, r2, mae, rmse of any target."""
    return {
        "n": int(np.size(truth)),
        "r2": r2(truth, predicted),
        "mae": mae(truth, predicted),
        "rmse": rmse(truth, predicted),
    }


def barrier_scores(truth: Floats, predicted: Floats) -> dict[str, float]:
    """Scores of log10(barrier / eV) targets, on the log scale and in eV (``*_ev``); NaN are left out."""
    keep = np.isfinite(truth)
    truth, predicted = np.asarray(truth)[keep], np.asarray(predicted)[keep]
    scores = regression_scores(truth, predicted)
    linear = regression_scores(to_barriers(truth), to_barriers(predicted))
    return scores | {f"{name}_ev": value for name, value in linear.items() if name != "n"}


def by_barrier(truth: Floats, predicted: Floats) -> list[dict[str, float]]:
    """Scores by true barrier: one row a subset between consecutive `BARRIER_EDGES`."""
    keep = np.isfinite(truth)
    truth, predicted = np.asarray(truth)[keep], np.asarray(predicted)[keep]
    barrier = to_barriers(truth)
    rows = []
    for low, high in itertools.pairwise(BARRIER_EDGES):
        inside = (barrier > low) & (barrier <= high)
        scores = barrier_scores(truth[inside], predicted[inside])
        rows.append({"from_ev": low, "to_ev": high, **scores})
    return rows


def calibration(truth: Floats, predicted: Floats, std: Floats) -> dict[str, float]:
    """How honest an uncertainty is: share within 1 and 2 std, RMS of the standardised error, rank correlation."""
    from scipy.stats import spearmanr

    keep = np.isfinite(truth)
    error = np.abs(np.asarray(truth)[keep] - np.asarray(predicted)[keep])
    std = np.asarray(std)[keep]
    scores = {
        "within_1_std": float(np.mean(error <= std)),
        "within_2_std": float(np.mean(error <= 2 * std)),
        "rms_z": float(np.sqrt(np.mean((error / std) ** 2))),
    }
    if np.ptp(std) > 0:  # one member has the same deviation everywhere: no rank correlation
        scores["spearman_error_std"] = float(spearmanr(error, std).statistic)
    return scores


def summarise(
    rows: list[dict[str, Any]], keys: tuple[str, ...] = ("r2", "mae", "rmse", "r2_ev", "mae_ev")
) -> dict[str, Any]:
    """Mean and standard deviation over repeated splits."""
    out: dict[str, Any] = {"splits": len(rows)}
    for key in keys:
        values = np.array([row[key] for row in rows if key in row], float)
        if values.size:
            out[key] = {"mean": float(values.mean()), "std": float(values.std(ddof=1)) if values.size > 1 else 0.0}
    return out
