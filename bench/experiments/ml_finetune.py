"""Item 5: the shipped network model fine-tuned on measured conductivities, against trees, in grouped cross-validation.

    python bench/experiments/ml_finetune.py --shared ../shared --folds 3 --epochs 100 --learning-rate 2e-3

Rows of OBELiX's training split with a CIF. The network model starts from the shipped weights (`percolation`, learned
energies of voids and bottlenecks; what depends on the old targets starts anew) and is trained on the measurement
itself (target "free"); each fold's validation part for early stopping is taken from its training groups. `trees` are
the boosted trees of `ml_experiments.py` on formula and lattice, trained on the same rows, and on all rows of the
other folds ("trees, all rows": composition-only rows too). `mean` averages network and trees.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ml_experiments as experiments
import numpy as np
import torch
from common import RESULTS

import fastin
from fastin.errors import FastinError
from fastin.ml.forest import compress, expand
from fastin.ml.metrics import regression_scores
from fastin.ml.predictor import Predictor, graphs_of
from fastin.ml.splits import grouped_folds
from fastin.prediction import model_path


def graphs(shared: Path) -> tuple[np.ndarray, list[Any]]:
    """Rows with a usable CIF and their interstitial graphs."""
    rows = experiments.records(shared / "data" / "obelix_train.jsonl.gz")
    index, found = [], []
    for i, row in enumerate(rows):
        if not row["cif"]:
            continue
        try:
            crystal = fastin.Crystal.from_cif_string(row["cif"], source=row["id"])
            found.append(graphs_of(crystal, "Li", crystals=False).interstitial)
            index.append(i)
        except FastinError as error:
            print(f"{row['id']}: {error}")
    return np.array(index), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--largest", type=int, default=3000, help="voids of a graph; larger ones count as unusable")
    parser.add_argument("--scratch", action="store_true", help="random weights instead of the shipped ones")
    parser.add_argument("--out", type=Path, default=RESULTS / "ml_finetune.json")
    options = parser.parse_args()
    fastin.set_num_threads(1)
    torch.set_num_threads(1)
    data = experiments.obelix(options.shared)["log10_conductivity"]
    index, found = graphs(options.shared)
    size = np.array([len(g.site_radius) for g in found])
    keep = size <= options.largest
    index, found = index[keep], [g for g, k in zip(found, keep, strict=True) if k]
    print(f"{len(index)} graphs, {size[keep].sum()} voids, {(~keep).sum()} too large", flush=True)
    y, groups = data["y"], data["groups"]
    clipped = compress(y, "log10_conductivity")
    x = experiments.matrix(data, "formula + lattice")[1]
    said = {k: np.full(len(index), np.nan) for k in ("network", "trees", "trees, all rows")}
    start = time.process_time()
    for train, test in grouped_folds(groups[index], options.folds, options.seed):
        model = Predictor(
            "percolation",
            members=1,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            initial="" if options.scratch else str(model_path("default")),
            seed=options.seed,
            device="cpu",
        )
        model.fit([found[i] for i in train], clipped[index[train]], groups=groups[index[train]].tolist())
        said["network"][test] = expand(np.asarray(model.predict([found[i] for i in test])), "log10_conductivity")
        others = np.flatnonzero(~np.isin(groups, groups[index[test]]))
        for name, rows in (("trees", index[train]), ("trees, all rows", others)):
            said[name][test] = experiments.boosted(x[rows], y[rows], x[index[test]], options.seed)
        print(f"fold of {len(test)} done after {time.process_time() - start:.0f} s CPU", flush=True)
    said["mean of network and trees, all rows"] = 0.5 * (said["network"] + said["trees, all rows"])
    said["median constant"] = np.full(len(index), np.median(y[index]))
    result = {
        "rows": len(index),
        "folds": options.folds,
        "seed": options.seed,
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "initial": "random" if options.scratch else "barrier-default",
        "cpu_seconds": round(time.process_time() - start),
        "scores": {k: regression_scores(y[index], p) for k, p in said.items()},
    }
    for name, scores in result["scores"].items():
        print(f"{name}: MAE {scores['mae']:.3f}, R2 {scores['r2']:.3f}")
    results = json.loads(options.out.read_text()) if options.out.is_file() else {}
    results["network, random start" if options.scratch else "network, fine-tuned"] = result
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
