"""Markdown of the learning results: python bench/experiments/ml_table.py bench/results/ml_*.json."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any


def spread(values: list[float]) -> str:
    """Mean and standard deviation over splits."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{deviation}"


def comparison(table: dict[str, Any]) -> None:
    """One row a model and kind of split; then the error by activation energy."""
    print("| model | split | splits | training structures | R², log10 E | MAE, log10 E | MAE, eV |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for kind, models in table.items():
        for name, row in models.items():
            scores = [run["test"]["e1d_global"] for run in row["runs"]]
            columns = " | ".join(spread([s[key] for s in scores]) for key in ("r2", "mae", "mae_ev"))
            print(f"| {name} | {kind} | {len(scores)} | {row['runs'][0]['train']:,} | {columns} |")
    for kind, models in table.items():
        ranges = [(b["from_ev"], b["to_ev"]) for b in next(iter(models.values()))["runs"][0]["by_barrier"]]
        print(f"\nMAE in eV by activation energy, {kind} splits:\n")
        print("| model | " + " | ".join(f"{a:g}-{b:g} eV" for a, b in ranges) + " |")
        print("|---|" + "---:|" * len(ranges))
        for name, row in models.items():
            columns = []
            for k in range(len(ranges)):
                parts = [run["by_barrier"][k] for run in row["runs"] if run["by_barrier"][k]["n"]]
                total = sum(p["n"] for p in parts)
                columns.append(f"{sum(p['n'] * p['mae_ev'] for p in parts) / total:.3f}" if total else "-")
            print(f"| {name} | " + " | ".join(columns) + " |")


def sensitivity(rows: list[dict[str, Any]]) -> None:
    """One row a setting."""
    print("| learning rate | batch size | epochs | R² |\n|---:|---:|---:|---:|")
    for row in rows:
        r2 = row["test"]["e1d_global"]["r2"]
        print(f"| {row['learning_rate']:g} | {row['batch_size']} | {row['epochs']} | {r2:.3f} |")


def main() -> None:
    """Entry point."""
    for path in map(Path, sys.argv[1:]):
        content = json.loads(path.read_text())
        print(f"\n{path.name}\n")
        if "comparison" in content:
            comparison(content["comparison"])
        elif "rows" in content and isinstance(content["rows"], list):
            sensitivity(content["rows"])
        else:
            print(f"{path}: no comparison and no sensitivity", file=sys.stderr)


if __name__ == "__main__":
    main()
