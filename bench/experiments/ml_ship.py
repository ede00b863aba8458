"""Joins finished runs into the model that fastin ships: one file, uncertainty fitted on the validation part, card.

    python bench/experiments/ml_ship.py --dataset DIR --runs RUNS --train 3 --name default --out FOLDER
    python bench/experiments/ml_ship.py --dataset DIR --members RUNS/a RUNS/b [...] --name default --out FOLDER

The first form trains what is missing (seeds of `percolation` on random split 0, the first of them being the run of
``bench/experiments/ml_compare.py``). All members must have the same split. Nothing was chosen on its test part.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from common import configure, held_out, run

from fastin.ml.checkpoint import Trained, load_model, save_model
from fastin.ml.dataset import load_dataset, read_manifest
from fastin.ml.forest import fit_uncertainty
from fastin.ml.labels import label_columns, to_targets
from fastin.ml.metrics import barrier_scores, by_barrier, calibration
from fastin.ml.splits import Split
from fastin.ml.train import domain, predict_targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--members", nargs="+", type=Path, default=[])
    parser.add_argument("--train", type=int, default=0, help="instead of --members: so many seeds of the default model")
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--name", default="default")
    parser.add_argument("--ion", default="Li")
    parser.add_argument("--note", default="", help="what a reader of the card must know besides")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    store = load_dataset(options.dataset)
    options.device, options.limit, options.epochs = "auto", 0, 0
    for seed in range(options.train):
        folder = "percolation-random-0" + (f"-seed-{seed}" if seed else "")
        config = configure("percolation", options, folder, seed=seed, exclude=held_out(store))
        run(config, store)
        options.members.append(Path(config.run))
    if not options.members:
        parser.error("give --members or --train")
    manifest = read_manifest(options.dataset)
    configs = [json.loads((m / "config.json").read_text()) for m in options.members]
    splits = [json.loads((m / "split.json").read_text()) for m in options.members]
    if any(s != splits[0] for s in splits):
        parser.error("the members were trained on different splits")
    ids = [str(i) for i in store.ids]
    split = Split.load(options.members[0] / "split.json", ids)
    loaded = [load_model(m / "model.pt") for m in options.members]
    trained = Trained([m for one in loaded for m in one.models], loaded[0].name, loaded[0].targets, {})
    tensors = trained.tensors(store)
    truth = to_targets(store.labels[:, label_columns(trained.targets)])
    uncertainty, scores, honest = {}, {}, {}
    validation = predict_targets(trained.models, tensors, split.validation)
    test = predict_targets(trained.models, tensors, split.test)
    for k, name in enumerate(trained.targets):

        def spread(every: np.ndarray, column: int = k) -> np.ndarray:
            return every[:, :, column].std(axis=0, ddof=1) if len(every) > 1 else np.zeros(every.shape[1])

        known = np.isfinite(truth[split.validation, k])
        error = (truth[split.validation, k] - validation[:, :, k].mean(axis=0))[known]
        uncertainty[name] = fit_uncertainty(error, spread(validation)[known])
        mean = test[:, :, k].mean(axis=0)
        std = np.hypot(uncertainty[name]["scale"] * spread(test), uncertainty[name]["floor"])
        scores[name] = barrier_scores(truth[split.test, k], mean)
        honest[name] = calibration(truth[split.test, k], mean, np.maximum(std, 1e-9))
    card = {
        "name": f"fastin-{options.name}",
        "members": len(trained.models),
        "dataset": {k: manifest[k] for k in ("version", "structures", "options")},
        "split": {"kind": split.kind, "seed": split.seed, "train": len(split.train), "test": len(split.test)},
        "training": {k: configs[0][k] for k in ("epochs", "learning_rate", "batch_size", "optimizer", "exclude")},
        "note": options.note,
        "test": scores,
        "test_by_barrier": by_barrier(truth[split.test, 0], test[:, :, 0].mean(axis=0)),
        "calibration": honest,
        "uncertainty": uncertainty,
        "domain": domain(store, split.train) | {"ion": options.ion},
    }
    trained.card.update(card)
    model_options = dict(configs[0]["model_options"])
    if trained.name == "percolation":
        model_options["target_names"] = list(trained.targets)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"barrier-{options.name}.pt"
    save_model(path, trained, model_options)
    (options.out / f"barrier-{options.name}.json").write_text(json.dumps(card, indent=1) + "\n")
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    for name, row in scores.items():
        print(name, {k: round(v, 4) for k, v in row.items()}, honest[name])


if __name__ == "__main__":
    main()
