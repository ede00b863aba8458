"""Conductivities at 300 K beside the measured ones (OBELiX training CIFs): independent ions and lattice gas.

    python bench/obelix_kinetics.py --data DIR [--every N] [--first K] [--events N] [--out table.csv]
    python bench/obelix_kinetics.py --tables table.csv ...

For every training entry with a CIF: independent ions on an empty lattice (dilute), the lattice gas at the crystal's own
content in the mean field, and its kinetic Monte Carlo run. Printed are, over the entries that a model gives a positive
number for, the Spearman coefficient against log10 of the measured conductivity (room temperature), the mean error in
decades and its mean absolute value; then the same over the entries that all models share; with the 3D barrier's rank
beside. The kinetic Monte Carlo runs take four times the moves until the error is below `--precision`, up to `--most`
moves; why the others give no number is counted. A table that was written is printed again by `--tables`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import fastin
from fastin.crystal.crystal import Crystal
from fastin.transport.lattice_gas import Repulsion

TEMPERATURE = 300.0
MODELS = ("dilute", "mean field", "mean field, repulsion", "kinetic Monte Carlo")
# The repulsion that is tried beside none.
REPULSION = Repulsion(permittivity=20.0, screening=4.0, cutoff=4.5)


def mean(tensor: Any) -> float:
    return float(np.trace(tensor)) / 3.0


def attempt(name: str, reasons: Counter[str], compute: Any) -> float:
    try:
        value = float(compute())
    except fastin.FastinError as error:
        reasons[f"{name}: {type(error).__name__}: {str(error).split(': ', 1)[-1][:70]}"] += 1
        return math.nan
    if not value > 0:
        reasons[f"{name}: {'no result' if math.isnan(value) else 'zero or below'}"] += 1
        return math.nan
    return value


WHY = {
    "every site is filled": "every site is filled",
    "no move is possible": "no empty site beside an ion",
    "thermal defects": "too few thermal defects in the cell",
    "to and fro: no net": "no net displacement",
    "not yet linear": "not yet linear in time",
    "cut off": "cut off: some moves are far faster",
}


def monte_carlo(paths: Any, options: argparse.Namespace, row: dict[str, Any]) -> float:
    """The conductivity; why there is none goes into the row."""
    run = paths.simulate(TEMPERATURE, events=options.events, precision=options.precision, most_events=options.most)
    row["moves"] = run.events
    if not run.mean_conductivity > 0:
        said = [why for key, why in WHY.items() if any(key in note for note in run.notes)]
        row["why"] = said[0] if said else "no reason"
    return float(run.mean_conductivity)


def rows(options: argparse.Namespace, reasons: Counter[str]) -> list[dict[str, Any]]:
    out = []
    with gzip.open(options.data / "obelix_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record.get("cif")][options.first :: options.every]
    for record in records:
        try:
            paths = fastin.compute_paths(Crystal.from_cif_string(record["cif"]), "Li")
        except fastin.FastinError as error:
            reasons[f"paths: {type(error).__name__}: {str(error).split(': ', 1)[-1][:70]}"] += 1
            continue
        row = {"id": record["id"], "measured": record["log10_sigma"], "censored": bool(record["censored"])}
        row |= {"e3d": float(paths.barriers.values("network")[2]), "moves": 0, "why": ""}
        row["dilute"] = attempt("dilute", reasons, lambda p=paths: mean(p.conductivity(TEMPERATURE)))
        row["mean field"] = attempt(
            "mean field", reasons, lambda p=paths: mean(p.lattice_gas().mean_field_conductivity(TEMPERATURE))
        )
        row["mean field, repulsion"] = attempt(
            "mean field, repulsion",
            reasons,
            lambda p=paths: mean(p.lattice_gas(repulsion=REPULSION).mean_field_conductivity(TEMPERATURE)),
        )
        row["kinetic Monte Carlo"] = attempt(
            "kinetic Monte Carlo", reasons, lambda p=paths, r=row: monte_carlo(p, options, r)
        )
        out.append(row)
    return out


def read(paths: list[Path]) -> list[dict[str, Any]]:
    """Tables that were written before."""
    out = []
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                numbers = {k: float(row[k]) for k in ("measured", "e3d", "moves", *MODELS)}
                out.append({**row, **numbers})
    return out


def line(name: str, table: list[dict[str, Any]], key: str) -> str:
    measured = np.array([row["measured"] for row in table])
    value = np.log10([row[key] for row in table])
    error = value - measured
    rank = spearmanr(value, measured).statistic
    e3d = spearmanr(np.nan_to_num([-row["e3d"] for row in table], neginf=-1e9), measured).statistic
    return (
        f"{name:24s} {len(table):4d} {rank:+8.3f} {error.mean():+8.2f} {np.abs(error).mean():8.2f} "
        f"{np.median(np.abs(error)):8.2f} {e3d:+8.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FASTIN_SHARED", "../shared")) / "data")
    parser.add_argument("--every", type=int, default=1, help="take every N-th entry")
    parser.add_argument("--events", type=int, default=1_000_000, help="moves of each kinetic Monte Carlo run at first")
    parser.add_argument("--first", type=int, default=0, help="begin with the K-th entry")
    parser.add_argument("--precision", type=float, default=0.3, help="relative error of the kinetic Monte Carlo runs")
    parser.add_argument("--most", type=int, default=20_000_000, help="moves that a run may take for that")
    parser.add_argument("--tables", type=Path, nargs="+", help="print these tables, compute nothing")
    parser.add_argument("--out", type=Path, help="write the conductivities as CSV")
    options = parser.parse_args()
    reasons: Counter[str] = Counter()
    table = read(options.tables) if options.tables else rows(options, reasons)
    if options.out is not None:
        with options.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    why = Counter(f"kinetic Monte Carlo: {row['why']}" for row in table if row["why"])
    for reason, count in [*reasons.most_common(), *why.most_common()]:
        print(f"  {count:4d} x {reason}")
    print(f"{len(table)} entries at {TEMPERATURE:g} K; rank: Spearman against log10 of the measured conductivity")
    head = f"{'model':24s} {'n':>4s} {'rank':>8s} {'mean':>8s} {'mean abs':>8s} {'median':>8s} {'E3D rank':>8s}"
    print(f"{head}   (errors in decades)")
    for model in MODELS:
        given = [row for row in table if math.isfinite(row[model])]
        if len(given) > 2:
            print(line(model, given, model))
    for shared in (MODELS[:2], (*MODELS[:2], MODELS[3])):
        common = [row for row in table if all(math.isfinite(row[m]) for m in shared)]
        if len(common) > 2:
            print(f"the {len(common)} entries with a number from each of: {'; '.join(shared)}")
            for model in shared:
                print(line(model, common, model))


if __name__ == "__main__":
    main()
