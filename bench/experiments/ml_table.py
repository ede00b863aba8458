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


def paired(table: dict[str, Any], one: str = "in-gcn", other: str = "crystal-gcn") -> None:
    """Differences of two models over the splits that both have, with the 95 % interval of the mean (Student's t)."""
    from scipy.stats import t

    for kind, models in table.items():
        if not {one, other} <= set(models):
            continue
        runs = [{run["split_seed"]: run["test"]["e1d_global"] for run in models[name]["runs"]} for name in (one, other)]
        seeds = sorted(runs[0].keys() & runs[1].keys())
        if len(seeds) < 2:
            continue
        print(f"\n{one} less {other}, {len(seeds)} {kind} splits:\n")
        for key, better in (("r2", 1), ("mae", -1), ("mae_ev", -1)):
            gaps = [runs[0][seed][key] - runs[1][seed][key] for seed in seeds]
            half = t.ppf(0.975, len(gaps) - 1) * statistics.stdev(gaps) / len(gaps) ** 0.5
            mean, won = statistics.fmean(gaps), sum(better * gap > 0 for gap in gaps)
            print(f"{key}: {mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f}), better in {won}")


def sensitivity(rows: list[dict[str, Any]]) -> None:
    """One row a setting."""
    print("| learning rate | batch size | epochs | R² |\n|---:|---:|---:|---:|")
    for row in rows:
        r2 = row["test"]["e1d_global"]["r2"]
        print(f"| {row['learning_rate']:g} | {row['batch_size']} | {row['epochs']} | {r2:.3f} |")


_BARRIERS = {"e1d_global": "1D, global zero", "e1d_network": "1D", "e2d_network": "2D", "e3d_network": "3D"}


def shipped(content: dict[str, Any]) -> None:
    """Of the shipped model: accuracy and intervals by ion and target, single models on other splits."""
    card = content["card"]
    print("| barrier | ion | rows | R², log10 E | MAE, eV | within 68 % | within 90 % | energies alone: R² | MAE, eV |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for target, ions in card["test"].items():
        for ion, s in ions.items():
            c, p = card["calibration"][target][ion], card["plain"][target][ion]
            print(
                f"| {_BARRIERS[target]} | {ion} | {s['n']:,} | {s['r2']:.3f} | {s['mae_ev']:.3f} | {c['68']:.3f} | "
                f"{c['90']:.3f} | {p['r2']:.3f} | {p['mae_ev']:.3f} |"
            )
    print("\n| error of the 1D barrier, global zero, eV | 50 % below | 90 % below | 99 % below |\n|---|---:|---:|---:|")
    for ion, values in card["error_quantiles"]["e1d_global"].items():
        print(f"| {ion} | " + " | ".join(f"{v:.4f}" if k == 0 else f"{v:.3f}" for k, v in enumerate(values)) + " |")
    print("\n| barrier | above 5 eV | called so | precision | recall |\n|---|---:|---:|---:|---:|")
    for target, a in card["above_ceiling"].items():
        print(f"| {_BARRIERS[target]} | {a['n']} | {a['said']} | {a['precision']:.2f} | {a['recall']:.2f} |")
    shown = [ion for ion in card["test"]["e1d_global"] if ion != "all"]
    for title, runs in (("one model", "single_models"), ("ensemble", "ensembles")):
        print(f"\n| {title}: split | " + " | ".join(f"{ion} R² / MAE" for ion in shown) + " |")
        print("|---|" + "---:|" * len(shown))
        for name, run in content[runs].items():
            scores = run["e1d_global"]
            columns = " | ".join(f"{scores[i]['r2']:.3f} / {scores[i]['mae_ev']:.3f}" for i in shown)
            print(f"| {name.removeprefix('percolation-')} | {columns} |")
    print("\n| 1D, global zero | all | " + " | ".join(shown) + " | intervals times |")
    print("|---|" + "---:|" * (len(shown) + 2))
    for name, title in (("without_energies", "energies hidden"), ("without_pairs", "pair constants hidden too")):
        scores = card[name]["test"]
        columns = " | ".join(f"{scores[i]['r2']:.3f} / {scores[i]['mae_ev']:.3f}" for i in ("all", *shown))
        print(f"| {title}, R² / MAE | {columns} | {card[name]['factor']:.2f} |")
    unseen = card["unseen_element"]
    if "rows" in unseen:
        print(
            f"\n{len(unseen['elements'])} elements never met (Z = {', '.join(map(str, unseen['elements']))}), "
            f"{unseen['rows']:,} rows: mean error {unseen['mae']:.4f} in log10, of unseen systems of met elements "
            f"{unseen['mae_seen']:.4f} (68 % below {unseen['quantile_68'][0]:.4f} and {unseen['quantile_68'][1]:.4f}); "
            f"intervals times {unseen['factor']:.2f}."
        )


def main() -> None:
    """Entry point."""
    for path in map(Path, sys.argv[1:]):
        content = json.loads(path.read_text())
        print(f"\n{path.name}\n")
        if "card" in content:
            shipped(content)
        elif "comparison" in content:
            comparison(content["comparison"])
            paired(content["comparison"])
        elif "rows" in content and isinstance(content["rows"], list):
            sensitivity(content["rows"])
        else:
            print(f"{path}: no comparison and no sensitivity", file=sys.stderr)


if __name__ == "__main__":
    main()
