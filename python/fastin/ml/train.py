"""Training: deterministic, resumable bit for bit, the same code on CPU and CUDA.

The order of batches is a function of seed and epoch alone, and a checkpoint holds the state of model, optimiser,
schedule and random generators, so that a resumed run continues as if it had never stopped.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastin.errors import InputError
from fastin.ml.checkpoint import Trained, load_model, save_model
from fastin.ml.checkpoint import pick_device as pick_device
from fastin.ml.checkpoint import predict_targets as predict_targets
from fastin.ml.config import TrainConfig
from fastin.ml.data import TensorStore
from fastin.ml.labels import label_columns, label_summary, to_targets
from fastin.ml.metrics import barrier_scores, by_barrier, regression_scores
from fastin.ml.models import GraphModel, build_model
from fastin.ml.seen import digest, joined, seen_rows
from fastin.ml.splits import Split, make_split
from fastin.ml.store import FREE, GraphStore
from fastin.runtime.weights import DAMAGED, load_weights, refuse_damaged, save_weights

_READOUT = ("target_", "correction", "per_target_bias")
#: Training graphs from which the constants of the inputs are taken (all of them in small sets).
_NORMALISATION_GRAPHS = 2000


@dataclass
class RunResult:
    """What a run leaves in memory: the best model, its scores, the history and the predictions on the test part."""

    trained: Trained
    metrics: dict[str, Any]
    history: list[dict[str, float]]
    split: Split
    test_truth: np.ndarray
    test_prediction: np.ndarray


class _Run:
    """State of one run: everything that a checkpoint must hold, and the steps that change it."""

    def __init__(self, config: TrainConfig, store: GraphStore, split: Split, targets: np.ndarray) -> None:
        self.config, self.store, self.split = config, store, split
        self.device = pick_device(config.device)
        torch.manual_seed(config.seed)
        options = dict(config.model_options)
        if config.model == "percolation":
            options["target_names"] = list(config.targets)
        self.options = options
        self.model: GraphModel = build_model(config.model, len(config.targets), options).to(self.device)
        self.targets = targets
        self.tensors = TensorStore(
            store, self.model.kind, targets, self.device, self.model.edge_margin, landscape=self.model.landscape
        )
        known = ~np.isnan(targets) if self.model.censored else np.isfinite(targets)
        self.usable: np.ndarray = np.asarray(known.any(axis=1))
        self._refuse_empty_parts()
        sample = self._train_index()[:: max(1, len(split.train) // _NORMALISATION_GRAPHS)]
        if config.initial:
            load_matching(self.model, config.initial)
        self.model.fit_normalisation(self.tensors.batch(sample))
        kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        self.optimizer = kind(
            self.model.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True if self.device.type == "cpu" else None,
        )
        self.share = self._shares()
        self.steps = max(1, math.ceil(self.share[self._train_index()].sum() / config.batch_size))
        self.epoch = 0
        self.best = math.inf
        self.best_epoch = 0
        self.best_state = self._copy_state()
        self.history: list[dict[str, float]] = []

    def _refuse_empty_parts(self) -> None:
        """Without a target to learn from, or one to choose the best epoch by, any weights would pass for the best."""
        finite = np.isfinite(self.targets).any(axis=1)
        for name, part, known in (
            ("training", self.split.train, self.usable),
            ("validation", self.split.validation, finite),
        ):
            if not known[part].any():
                text = f"{name} part: none of its {len(part)} structures (of {len(self.store)}) has a known"
                wanted = "label" if FREE in self.config.targets else ", ".join(self.config.targets)
                raise InputError(f"{text} {wanted}; give more structures, or other fractions")

    @cached_property
    def _data(self) -> str:
        """Hash of split, targets and what the graphs say of atoms and sites: a checkpoint goes on with no other."""
        out = hashlib.sha256(np.ascontiguousarray(self.targets, np.float32).tobytes())
        for part in (self.split.train, self.split.validation):
            out.update("\n".join(self.store.ids[part].tolist()).encode())
        for name in ("atom_number", "atom_charge", "site_radius", "site_energies", "crystal_charge"):
            out.update(np.ascontiguousarray(self.store.arrays[name]).tobytes())
        return out.hexdigest()

    def _train_index(self) -> np.ndarray:
        index: np.ndarray = self.split.train[self.usable[self.split.train]]
        return index

    def _shares(self) -> np.ndarray:
        """(G,) probability of each structure to be in an epoch (`TrainConfig.typical_nodes`)."""
        groups = ("site", "edge") if self.model.kind == "interstitial" else ("crystal",)
        size = sum(np.diff(self.tensors.store.pointers[group]) for group in groups)
        typical = self.config.typical_nodes
        return np.minimum(1.0, typical / np.maximum(size, 1)) if typical else np.ones(len(self.store))

    def _epoch_index(self) -> np.ndarray:
        """Structures of this epoch in random order, at most as many as its steps take."""
        index = self._train_index()
        rng = np.random.default_rng((self.config.seed, self.epoch))
        order: np.ndarray = rng.permutation(index)
        if self.config.typical_nodes:
            order = order[rng.random(len(order)) < self.share[order]]
        return order[: self.steps * self.config.batch_size]

    def _copy_state(self) -> dict[str, Tensor]:
        return {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _rate(self, step: int) -> float:
        """Learning rate at a step counted over the whole run."""
        total = self.steps * self.config.epochs
        full = self.config.learning_rate
        if self.config.schedule == "constant":
            return full
        if self.config.schedule == "cosine":
            return full * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / total)))
        rise = 0.25 * total
        if step < rise:
            return full * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
        return full * (1e-3 + (1 - 1e-3) * 0.5 * (1 + math.cos(math.pi * (step - rise) / (total - rise))))

    def train_epoch(self, progress: Callable[[int, int], None] | None = None) -> float:
        """One pass over the training part; returns the mean loss."""
        config = self.config
        order = self._epoch_index()
        self.model.train()
        total = 0.0
        amp = config.amp and self.device.type == "cuda"
        for i in range(self.steps):
            chosen = order[i * config.batch_size : (i + 1) * config.batch_size]
            if len(chosen) < (2 if self.steps > 1 else 1):
                continue  # batch normalisation needs two
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate(self.epoch * self.steps + i)
            batch = self.tensors.batch(chosen)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=amp):
                loss = self.model.training_loss(batch)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if config.gradient_clip > 0:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
            self.optimizer.step()
            total += float(loss.detach()) * len(chosen)
            if progress is not None:
                progress(i + 1, self.steps)
        return self._finite("training", total / max(len(order), 1))

    def _finite(self, name: str, loss: float) -> float:
        if math.isfinite(loss):
            return loss
        text = f"{self.config.run}: the {name} loss is {loss} in epoch {self.epoch + 1}"
        raise InputError(f"{text}; lower learning_rate or set gradient_clip, in another run folder")

    def finish_epoch(self, train_loss: float, seconds: float) -> dict[str, float]:
        """Scores the validation part, keeps the best weights and the history."""
        part = self.split.validation
        predicted = predict_targets([self.model], self.tensors, part)[0]
        truth = self.tensors.targets[part].cpu().numpy() if self.tensors.targets is not None else predicted
        scale = self.model.target_std.cpu().numpy()
        known = np.isfinite(truth)
        error = (np.where(known, truth, predicted) - predicted) / scale
        loss = self._finite("validation", float((error**2).sum() / max(known.sum(), 1)))
        scores = score_target(self.config.targets[0], truth[:, 0], predicted[:, 0])
        self.epoch += 1
        row = {
            "epoch": self.epoch,
            "train_loss": train_loss,
            "validation_loss": loss,
            "validation_r2": scores["r2"],
            "validation_mae": scores["mae"],
            "seconds": seconds,
        }
        self.history.append(row)
        if loss < self.best:
            self.best, self.best_epoch, self.best_state = loss, self.epoch, self._copy_state()
        return row

    @property
    def finished(self) -> bool:
        """All epochs done, or no better validation loss for `patience` epochs."""
        patience = self.config.patience
        return self.epoch >= self.config.epochs or (patience > 0 and self.epoch - self.best_epoch >= patience)

    def save(self, path: Path) -> None:
        """Writes the state so that a crash in between leaves the previous checkpoint."""
        save_weights(
            path,
            {
                "config": json.dumps(self.config.to_dict()),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "epoch": self.epoch,
                "best": self.best,
                "best_epoch": self.best_epoch,
                "best_state": self.best_state,
                "history": json.dumps(self.history),
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else torch.empty(0),
                "data": self._data,
            },
        )

    def restore(self, path: Path) -> None:
        """Continues from a checkpoint.

        Raises:
            InputError: it belongs to another configuration, or is damaged.
        """
        state = load_weights(path, self.device, finite=False)
        try:
            self._take(path, state)
        except InputError:
            raise
        except DAMAGED as error:
            raise refuse_damaged(path, error) from None

    def _take(self, path: Path, state: dict[str, Any]) -> None:
        then, now = json.loads(state["config"]), self.config.to_dict()
        different = [k for k in now if k not in ("run", "checkpoint_every", "dataset") and then.get(k) != now[k]]
        if different:
            raise InputError(f"{path}: belongs to a run with another {different[0]}; choose another run folder")
        if state.get("data", self._data) != self._data:  # checkpoints of before do not say
            text = "belongs to a run on other data (split, labels or inputs have changed)"
            raise InputError(f"{path}: {text}; choose another run folder")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.best, self.best_epoch = state["epoch"], state["best"], state["best_epoch"]
        self.best_state = state["best_state"]
        self.history = json.loads(state["history"])
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"].cpu())


def score_target(name: str, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Scores of one output: `barrier_scores` for barriers, plain regression scores for a free quantity."""
    if name != FREE:
        return barrier_scores(truth, predicted)
    known = np.isfinite(truth)
    return regression_scores(truth[known], predicted[known])


def load_matching(model: GraphModel, path: str) -> list[str]:
    """Takes over the weights of the first member of a model file that have the same name and shape; their names.

    The readout is taken over where both have the same barriers as targets, else it starts anew.
    """
    trained = load_model(path)
    source, own = trained.models[0].state_dict(), model.state_dict()
    same = trained.targets == getattr(model, "target_names", ()) and FREE not in trained.targets
    taken = {
        k: v for k, v in source.items() if k in own and own[k].shape == v.shape and (same or not k.startswith(_READOUT))
    }
    model.load_state_dict({**own, **taken})
    return sorted(taken)


def domain(store: GraphStore, index: np.ndarray) -> dict[str, Any]:
    """What the training part covers: elements of the framework, mobile ions, void radii, size; for the warning.

    An ion counts as covered from 20 structures on, in small sets from a twentieth of them.
    """
    part = store.select(index)
    radius = part.arrays["site_radius"]
    ions, counts = np.unique(part.ions, return_counts=True)
    return {
        "elements": sorted({int(z) for z in np.unique(part.arrays["atom_number"])}),
        "ions": [str(ion) for ion in ions[counts >= min(20, len(index) / 20)]],
        "site_radius": [float(np.quantile(radius, 0.001)), float(np.quantile(radius, 0.999))],
        "site_distance": [
            float(np.quantile(part.arrays["site_distance"], 0.001)),
            float(np.quantile(part.arrays["site_distance"], 0.999)),
        ],
        "largest_atoms": int(np.diff(part.pointers["atom"]).max()),
    }


def make_run_split(config: TrainConfig, store: GraphStore) -> Split:
    """The split of a configuration, without the excluded ids in training and validation (they go to the test)."""
    split = make_split(config.split, store.systems, config.split_seed, config.fractions)
    if not config.exclude:
        return split
    held = np.flatnonzero(np.isin(store.ids, np.array(config.exclude)))
    return replace(
        split,
        train=np.setdiff1d(split.train, held),
        validation=np.setdiff1d(split.validation, held),
        test=np.union1d(split.test, held),
    )


def train(
    config: TrainConfig,
    store: GraphStore | None = None,
    *,
    split: Split | None = None,
    targets: np.ndarray | None = None,
    resume: bool = True,
    stop_after: int | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RunResult:
    """Trains one model and scores it on the test part.

    Args:
        config: the settings.
        store: the graphs; default: the data set of the configuration.
        split: default: the one of the configuration.
        targets: (G, T) values on their own scale for ``targets = ["free", ...]``, NaN where unknown; default: the
            labels of the store as log10 of eV.
        resume: continue from the run folder's checkpoint when there is one.
        stop_after: stop (resumably) when so many epochs are done; the scores are those of the best model so far.
        report: called with the history row after every epoch.
        progress: called with (step, steps) after every batch.

    Returns:
        The best model by validation loss, and what was measured. The run folder gets ``config.json``,
        ``split.json``, ``history.csv``, ``metrics.json``, ``predictions.csv``, ``model.pt`` and the plots.
    """
    from fastin.ml.dataset import load_dataset

    store = load_dataset(config.dataset) if store is None else store
    if config.limit:
        count = min(config.limit, len(store))
        store = store.select(np.linspace(0, len(store) - 1, count).astype(np.int64))
    split = make_run_split(config, store) if split is None else split
    folder = Path(config.run)
    folder.mkdir(parents=True, exist_ok=True)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
    try:
        if targets is None:
            targets = to_targets(store.labels[:, label_columns(config.targets)], censored=True)
        run = _Run(config, store, split, np.asarray(targets, np.float64).reshape(len(store), len(config.targets)))
        checkpoint = folder / "checkpoint.pt"
        if resume and checkpoint.is_file():
            run.restore(checkpoint)
        (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1))
        split.save(folder / "split.json", [str(i) for i in store.ids])
        while not run.finished and (stop_after is None or run.epoch < stop_after):
            start = time.perf_counter()
            loss = run.train_epoch(progress)
            row = run.finish_epoch(loss, time.perf_counter() - start)
            if report is not None:
                report(row)
            if run.epoch % config.checkpoint_every == 0 or run.finished or run.epoch == stop_after:
                run.save(checkpoint)
                _write_history(folder / "history.csv", run.history)
        return _finish(run, folder)
    finally:
        torch.use_deterministic_algorithms(before)


def _count_seen_before(
    initial: dict[str, Any], formulas: np.ndarray, card: dict[str, Any], metrics: dict[str, Any]
) -> None:
    """Weights remember what they began with: those formulas are seen too, and how many of them are in the test part."""
    seen = seen_rows(initial, formulas)
    metrics["test_seen_before"] = card["test_seen_before"] = None if seen is None else int(seen.sum())
    card["seen"] = joined(initial, card["seen"])


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def _finish(run: _Run, folder: Path) -> RunResult:
    config, store, split = run.config, run.store, run.split
    run.model.load_state_dict(run.best_state)
    run.model.eval()
    truth = run.targets[split.test]
    predicted = predict_targets([run.model], run.tensors, split.test)[0]
    scores = {t: score_target(t, truth[:, k], predicted[:, k]) for k, t in enumerate(config.targets)}
    tied = [t for t in config.targets if t != FREE]
    labels = store.labels[:, label_columns(tied)]
    metrics = {
        "model": config.model,
        "split": config.split,
        "split_seed": config.split_seed,
        "epochs": run.epoch,
        "best_epoch": run.best_epoch,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "train": int(run.usable[split.train].sum()),
        "validation": int(run.usable[split.validation].sum()),
        "test": scores,
        "test_by_barrier": by_barrier(truth[:, 0], predicted[:, 0]) if tied else [],
        "labels": {t: label_summary(labels[:, k]) for k, t in enumerate(tied)},
        "seconds": sum(row["seconds"] for row in run.history),
        "device": str(run.device),
    }
    card = {
        "test": scores,
        "split": config.split,
        "split_seed": config.split_seed,
        "train_structures": metrics["train"],
        "domain": domain(store, split.train),
        "seen": digest(store.formulas[np.concatenate([split.train, split.validation])]),
    }
    if config.initial:
        _count_seen_before(load_model(config.initial).card, store.formulas[split.test], card, metrics)
    trained = Trained([run.model], config.model, tuple(config.targets), card)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
    save_model(folder / "model.pt", trained, run.options)
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", *[f"{t}_{w}" for t in config.targets for w in ("true", "predicted")]])
        for i, row in enumerate(split.test):
            pairs = [f"{v:.6f}" for k in range(len(config.targets)) for v in (truth[i, k], predicted[i, k])]
            writer.writerow([store.ids[row], *pairs])
    from fastin.ml.plots import plot_run

    plot_run(folder, run.history, truth[:, 0], predicted[:, 0], config.targets[0])
    return RunResult(trained, metrics, run.history, split, truth, predicted)
