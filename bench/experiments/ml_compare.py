"""(a) and (b): interstitial networks against crystal graphs, over random and grouped splits, and by barrier.

    python bench/experiments/ml_compare.py --dataset DIR --models in-gcn crystal-gcn cgcnn percolation --splits 10

The compounds of the paper's Table 2 are in the test part of every split. Every (model, split, seed) has its own run
folder and continues where it stopped; the table is of what is finished. ``--limit 2300`` is about the paper's number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import SETTINGS, arguments, configure, held_out, run, start, write

from fastin.ml.dataset import load_dataset
from fastin.ml.metrics import summarise


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--models", nargs="+", default=["in-gcn", "crystal-gcn", "cgcnn", "percolation"])
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--kinds", nargs="+", default=["random", "grouped"])
    parser.add_argument("--finished", action="store_true", help="train nothing: the table of the runs that are there")
    options = parser.parse_args()
    start(options)
    store = load_dataset(options.dataset)
    held = held_out(store)
    table: dict[str, Any] = {}
    for seed in range(options.splits):
        for kind in options.kinds:
            for name in options.models:
                if name not in SETTINGS:
                    parser.error(f"unknown model {name}: choose from {', '.join(SETTINGS)}")
                config = configure(
                    name, options, f"{name}-{kind}-{seed}", split=kind, split_seed=seed, seed=seed, exclude=held
                )
                if options.finished and not (Path(config.run) / "metrics.json").is_file():
                    continue
                metrics = run(config, store)
                row = table.setdefault(kind, {}).setdefault(name, {"runs": []})
                row["runs"].append(
                    {
                        "split_seed": seed,
                        "epochs": metrics["epochs"],
                        "best_epoch": metrics["best_epoch"],
                        "train": metrics["train"],
                        "parameters": metrics["parameters"],
                        "seconds": round(metrics["seconds"]),
                        "test": metrics["test"],
                        "by_barrier": metrics["test_by_barrier"],
                    }
                )
                row["e1d_global"] = summarise([r["test"]["e1d_global"] for r in row["runs"]])
                write("ml_compare", options, {"comparison": table})


if __name__ == "__main__":
    main()
