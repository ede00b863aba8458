"""Experiments on XRDMatch: baselines, all labels, and the learning curve, on folds grouped by composition.

Every number is of rows whose group (chemical system unless said otherwise) was not trained on; networks train for a
fixed number of steps, so no row chooses a checkpoint. Results go to a JSON file after every run; a second call goes on
where the first one stopped.

    python bench/xrd_learning_curve.py SHARED_DATA_FOLDER bench/results/xrd_learning_curve.json [--stage NAME]...
"""

# ruff: noqa: B023 (every closure is called at once)
from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fastin.xrd.baselines import BASELINES, Baseline
from fastin.xrd.dataset import load_labelled, load_unlabelled
from fastin.xrd.evaluate import draw_labelled, grouped_folds, metrics
from fastin.xrd.match import XRDMatch
from fastin.xrd.model import coarsen
from fastin.xrd.training import TrainConfig

SUPERVISED = TrainConfig(algorithm="supervised")
PRIOR = TrainConfig(algorithm="prior")
SEMI = TrainConfig(algorithm="fixmatch", unlabelled_ratio=2, threshold=0.9, iterations=250, align=True)
SETUPS = {
    "small supervised": SUPERVISED,
    "small prior": PRIOR,
    "small prior 0.6": replace(PRIOR, unlabelled_poor=0.6),
    "small prior fixmatch": replace(SEMI, unlabelled_poor=0.3),
    "small fixmatch": SEMI,
    "small flexmatch": replace(SEMI, algorithm="flexmatch"),
    "conv supervised": replace(SUPERVISED, network="conv", augment_labelled=0.5, iterations=250),
    "conv prior": replace(PRIOR, network="conv", augment_labelled=0.5, iterations=250),
    "conv fixmatch": replace(SEMI, network="conv", augment_labelled=0.5),
    "conv prior fixmatch": replace(SEMI, network="conv", augment_labelled=0.5, unlabelled_poor=0.3),
}


class Results:
    """Finished runs by name, saved after every one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = json.loads(path.read_text()) if path.is_file() else {}

    def once(self, name: str, run) -> None:
        if name in self.runs:
            return
        start = time.process_time()
        record = run()
        record["cpu_s"] = round(time.process_time() - start, 1)
        self.runs[name] = {k: round(v, 4) if isinstance(v, float) else v for k, v in record.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.runs, indent=1) + "\n")
        print(name, self.runs[name], flush=True)


def all_labels(data, labels, pool, config, level, repetition, members):
    """Pooled out-of-fold scores of single members and of their ensemble."""
    logits = np.zeros((members, len(labels)))
    for train, test in grouped_folds(labels, data.groups(level), 5, repetition):
        model = XRDMatch(replace(config, seed=100 * repetition), members)
        logits[:, test] = model.fit(data.patterns[train], labels[train], pool).member_logits(data.patterns[test])
    probability = 1 / (1 + np.exp(-logits))
    single = [metrics(labels, p) for p in probability]
    ensemble = metrics(labels, 1 / (1 + np.exp(-logits.mean(axis=0))))
    record = {f"single_{key}": float(np.mean([m[key] for m in single])) for key in single[0]}
    return record | {f"ensemble_{key}": value for key, value in ensemble.items()} | {"members": members}


def baseline(data, labels, name, level, repetition):
    probability = np.zeros(len(labels))
    for train, test in grouped_folds(labels, data.groups(level), 5, repetition):
        model = Baseline(name, seed=repetition).fit(data.patterns[train], labels[train])
        probability[test] = model.predict_proba(data.patterns[test])[:, 1]
    return metrics(labels, probability)


def few_labels(data, labels, pool, config, each, seed, make=None):
    """One fold, `each` labels of either class out of its training rows.

    FixMatch and FlexMatch also see the unlabelled patterns of all training rows (20 copies beside the pool); where the
    pool counts as poor it is the pool alone.
    """
    train, test = grouped_folds(labels, data.groups("system"), 5, seed // 5)[seed % 5]
    rows = draw_labelled(labels, train, each, seed)
    if make is not None:
        probability = make().fit(data.patterns[rows], labels[rows]).predict_proba(data.patterns[test])[:, 1]
    else:
        unlabelled = None
        if config.algorithm != "supervised":
            unlabelled = pool.numpy()
            if not config.unlabelled_poor:
                own = coarsen(torch.from_numpy(np.array(data.patterns[train])))
                unlabelled = torch.cat([pool, own.repeat(20, 1)]).numpy()
        few = coarsen(torch.from_numpy(np.array(data.patterns[rows]))).numpy()
        model = XRDMatch(replace(config, seed=seed), 1).fit(few, labels[rows], unlabelled)
        probability = model.predict_proba(data.patterns[test])[:, 1]
    return metrics(labels[test], probability) | {"labelled": len(rows), "tested": len(test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stage", action="append", default=[])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stages = arguments.stage or ["baselines", "all", "levels", "10", "20"]
    data = load_labelled(arguments.data / "obelix_train.jsonl.gz")
    labels = data.labels()
    results = Results(arguments.out)
    pool = None
    if {"10", "20", "all semi", "10 conv"} & set(stages):
        sticks = load_unlabelled(arguments.data / "li_mp_ordered.jsonl.gz").patterns
        pool = coarsen(torch.from_numpy(np.array(sticks))).contiguous()
    for stage in stages:
        for r in range(arguments.repetitions):
            if stage == "baselines":
                for level in ("system", "formula", "family"):
                    for name in BASELINES:
                        results.once(f"{name} | {level} | {r}", lambda: baseline(data, labels, name, level, r))
            elif stage == "all":
                run = lambda: all_labels(data, labels, None, SUPERVISED, "system", r, 3)  # noqa: E731
                results.once(f"small supervised | all | system | {r}", run)
            elif stage == "levels":
                for level in ("formula", "family"):
                    run = lambda: all_labels(data, labels, None, SUPERVISED, level, r, 1)  # noqa: E731
                    results.once(f"small supervised | all | {level} | {r}", run)
            elif stage == "all semi":
                for name in ("conv fixmatch", "small prior"):
                    run = lambda: all_labels(data, labels, pool.numpy(), SETUPS[name], "system", r, 1)  # noqa: E731
                    results.once(f"{name} | all | system | {r}", run)
        if stage.split()[0] in ("10", "20"):
            each = int(stage.split()[0])
            kind = stage.split()[1] if " " in stage else "small"
            for seed in range(arguments.seeds):
                for name in ("svm", "logistic regression"):
                    run = lambda: few_labels(data, labels, pool, None, each, seed, lambda: Baseline(name))  # noqa: E731
                    results.once(f"{name} | {each} | {seed}", run)
                for name, config in SETUPS.items():
                    if name.startswith(kind):
                        run = lambda: few_labels(data, labels, pool, config, each, seed)  # noqa: E731
                        results.once(f"{name} | {each} | {seed}", run)


if __name__ == "__main__":
    main()
