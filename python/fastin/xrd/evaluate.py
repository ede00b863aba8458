"""Evaluation that can be believed: grouped folds, no row that chose a checkpoint is ever scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from fastin.errors import InputError, missing_extra
from fastin.xrd import augment
from fastin.xrd.dataset import LabelledSet
from fastin.xrd.training import TrainConfig, Trainer


class Classifier(Protocol):
    """What the evaluation trains: `XRDMatch` or a `Baseline`."""

    def fit(self, patterns: ArrayLike, labels: ArrayLike, unlabelled: ArrayLike | None = None) -> Any: ...  # noqa: D102

    def predict_proba(self, patterns: ArrayLike) -> NDArray[np.float64]: ...  # noqa: D102


def metrics(labels: ArrayLike, probability: ArrayLike, threshold: float = 0.5) -> dict[str, float]:
    """Scores of predictions; class 1 is superionic.

    Args:
        labels: (N,) of 0 and 1.
        probability: (N,) of superionic.
        threshold: above it a row counts as superionic.

    Returns:
        macro_f1, superionic_f1, precision, recall, accuracy, roc_auc, pr_auc (average precision), brier.
    """
    truth = np.asarray(labels, dtype=np.int64)
    score = np.asarray(probability, dtype=np.float64)
    said = score > threshold
    f1 = []
    for label in (0, 1):
        hits = float(((truth == label) & (said == label)).sum())
        f1.append(2.0 * hits / max(1.0, float((truth == label).sum() + (said == label).sum())))
    hits = float((said & (truth == 1)).sum())
    return {
        "macro_f1": 0.5 * (f1[0] + f1[1]),
        "superionic_f1": f1[1],
        "precision": hits / max(1.0, float(said.sum())),
        "recall": hits / max(1.0, float((truth == 1).sum())),
        "accuracy": float((said == (truth == 1)).mean()),
        "roc_auc": _roc_auc(truth, score),
        "pr_auc": _average_precision(truth, score),
        "brier": float(np.mean((score - truth) ** 2)),
    }


def _roc_auc(truth: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    """Chance that a superionic row scores above a poor one; ties count half. NaN with one class only."""
    from scipy.stats import rankdata

    positive = int(truth.sum())
    negative = len(truth) - positive
    if positive == 0 or negative == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[truth == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _average_precision(truth: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    """Sum over distinct scores of precision times the step in recall."""
    positive = int(truth.sum())
    if positive == 0:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(score[order]) != 0), len(score) - 1]
    hits = np.cumsum(truth[order])[ends]
    return float(np.sum(hits / (ends + 1.0) * np.diff(np.r_[0, hits])) / positive)


def calibration_error(labels: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean gap between probability and frequency over bins of equal width.

    Bins count by their rows (M. P. Naeini et al., AAAI 2015); the probability is that of superionic.
    """
    truth = np.asarray(labels, dtype=np.float64)
    score = np.asarray(probability, dtype=np.float64)
    place = np.minimum((score * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, score - truth, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def grouped_folds(
    labels: NDArray[np.int64], groups: NDArray[Any], folds: int = 5, seed: int = 0
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(train, test) rows of stratified folds that keep each group on one side."""
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError:
        raise missing_extra("scikit-learn", "ml") from None
    if folds < 2 or folds > len(set(groups.tolist())):
        raise InputError(f"{folds} folds need as many groups; there are {len(set(groups.tolist()))}")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [(np.asarray(a), np.asarray(b)) for a, b in splitter.split(labels, labels, groups)]


def out_of_fold(
    make: Callable[[], Any],
    data: LabelledSet,
    labels: NDArray[np.int64],
    unlabelled: NDArray[np.float32] | None = None,
    *,
    folds: int = 5,
    level: str = "system",
    seed: int = 0,
) -> NDArray[np.float64]:
    """(N,) log odds of superionic of every row from a model that saw none of its group.

    Networks are trained for a fixed number of steps: no checkpoint is chosen, so no row is spent on it.
    """
    logits = np.zeros(len(labels))
    for train, test in grouped_folds(labels, data.groups(level), folds, seed):
        model = make()
        model.fit(data.patterns[train], labels[train], unlabelled)
        if hasattr(model, "member_logits"):
            logits[test] = model.member_logits(data.patterns[test]).mean(axis=0)
        else:
            probability = np.clip(model.predict_proba(data.patterns[test])[:, 1], 1e-6, 1.0 - 1e-6)
            logits[test] = np.log(probability / (1.0 - probability))
    return logits


def draw_labelled(labels: NDArray[np.int64], rows: NDArray[np.int64], each: int | None, seed: int) -> NDArray[np.int64]:
    """`each` rows of either class out of `rows` (all of them for ``None``)."""
    if each is None:
        return rows
    rng = np.random.default_rng(seed)
    picks = []
    for label in (0, 1):
        candidates = rows[labels[rows] == label]
        if len(candidates) < each:
            raise InputError(f"only {len(candidates)} rows of class {label} for {each} labels")
        picks.append(rng.choice(candidates, each, replace=False))
    return np.concatenate(picks)


def learning_curve(
    make: Callable[[int], Classifier],
    data: LabelledSet,
    labels: NDArray[np.int64],
    unlabelled: NDArray[np.float32] | None,
    *,
    each: Sequence[int | None] = (10, 20, None),
    seeds: Sequence[int] = tuple(range(10)),
    folds: int = 5,
    level: str = "system",
    add_train_rows: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Scores against the number of labels; seed s scores fold s mod `folds` of repetition s div `folds`.

    Args:
        make: seed -> untrained classifier.
        data: the labelled set.
        labels: (N,) of 0 and 1.
        unlabelled: (M, 4501) or ``None``.
        each: labelled rows of each class; ``None`` takes all of the training folds.
        seeds: one run each.
        folds: of one repetition.
        level: grouping, see `LabelledSet.groups`.
        progress: called with a line a run.
        add_train_rows: the training folds' patterns (without labels) join the unlabelled set that many times over.
    """
    records: list[dict[str, Any]] = []
    groups = data.groups(level)
    for seed in seeds:
        train, test = grouped_folds(labels, groups, folds, seed // folds)[seed % folds]
        pool = unlabelled
        if unlabelled is not None and add_train_rows:
            pool = np.concatenate([unlabelled, np.tile(data.patterns[train], (add_train_rows, 1))])
        for amount in each:
            rows = draw_labelled(labels, train, amount, seed)
            model = make(seed)
            model.fit(data.patterns[rows], labels[rows], pool)
            record: dict[str, Any] = {"seed": seed, "each": amount, "labelled": len(rows), "tested": len(test)}
            record.update(metrics(labels[test], model.predict_proba(data.patterns[test])[:, 1]))
            records.append(record)
            if progress is not None:
                progress(f"seed {seed} labels {amount}: macro-F1 {record['macro_f1']:.3f}")
    return records


def published_protocol(
    config: TrainConfig,
    data: LabelledSet,
    labels: NDArray[np.int64],
    unlabelled: NDArray[np.float32] | None,
    *,
    seeds: Sequence[int],
    keep: int = 10,
    each: int = 10,
    check_every: int = 10,
) -> dict[str, Any]:
    """XRDMatch's own protocol, for comparison only: it is optimistic by construction.

    Random splits without groups, `each` labels of either class; the checkpoint with the best macro-F1 on the very
    rows that are scored is kept; the `keep` best seeds vote over all rows, their training rows included.

    Returns:
        Per-seed best macro-F1, their mean and deviation, the vote's scores over all rows, and the vote's scores with
        every row counted only by members that did not train on it.
    """
    rows_all = np.arange(len(labels))
    best_scores, said, trained = [], [], []
    for seed in seeds:
        rows = draw_labelled(labels, rows_all, each, seed)
        rest = np.setdiff1d(rows_all, rows)
        pool = None if unlabelled is None else torch.from_numpy(unlabelled)
        trainer = Trainer(
            _with_seed(config, seed), torch.from_numpy(data.patterns[rows]), torch.from_numpy(labels[rows]), pool
        )
        every = trainer.network.prepare(torch.from_numpy(np.array(data.patterns)))
        every = augment.normalise(every, trainer.preset.intensity_cut)
        best, chosen = -1.0, np.zeros(len(labels))
        while trainer.step < config.iterations:
            trainer.train_step()
            if trainer.step % check_every == 0:
                with torch.no_grad():
                    probability = torch.softmax(trainer.predictor(every), dim=-1)[:, 1].numpy()
                score = metrics(labels[rest], probability[rest])["macro_f1"]
                if score > best:
                    best, chosen = score, probability
        best_scores.append(best)
        said.append(chosen > 0.5)
        trained.append(np.isin(rows_all, rows))
    order = np.argsort(best_scores)[::-1][:keep]
    votes = np.array(said, dtype=float)[order]
    unseen = ~np.array(trained)[order]
    share = (votes * unseen).sum(axis=0) / np.maximum(1, unseen.sum(axis=0))
    return {
        "single_best_macro_f1": [float(x) for x in best_scores],
        "mean": float(np.mean(best_scores)),
        "deviation": float(np.std(best_scores)),
        "vote_all_rows": metrics(labels, votes.mean(axis=0)),
        "vote_unseen_only": metrics(labels, share),
    }


def _with_seed(config: TrainConfig, seed: int) -> TrainConfig:
    from dataclasses import replace

    return replace(config, seed=seed)
