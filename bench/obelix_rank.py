"""How each barrier definition ranks measured conductivities and activation energies (OBELiX training CIFs).

    python bench/obelix_rank.py --data DIR [--out table.csv]

Every training entry with a CIF is computed with full disorder in the three conventions. For 1D, 2D and 3D barriers and
both zeros the Spearman coefficient against log10 of the conductivity (room temperature) and against the experimental
activation energy is printed, with the number of structures and a bootstrap standard error. Structures in which the ion
does not percolate in that many dimensions rank last. Then the same for the barriers with the positions that other
species share with lithium blocked at random (median of five draws), and for the conductivity of independent ions at
300 K (dilute limit, 1e13 Hz), with its mean distance from the measured one in decades.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

import fastin
from fastin.crystal.crystal import Crystal

CONVENTIONS = ("spse", "bvlain", "softbv")


def barrier_rows(path: Path) -> tuple[list[dict[str, Any]], Counter[str]]:
    rows, failures = [], Counter[str]()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record.get("cif")]
    for record in records:
        row = {"id": record["id"], "log10_sigma": record["log10_sigma"], "censored": bool(record["censored"])}
        try:
            crystal = Crystal.from_cif_string(record["cif"])
            for convention in CONVENTIONS:
                barriers = fastin.compute_barriers(crystal, "Li", convention=convention)
                for zero in ("network", "global"):
                    for d, value in enumerate(barriers.values(zero), start=1):
                        row[f"{convention} {zero} {d}D"] = float(value)
            paths = fastin.compute_paths(crystal, "Li")
            for d, value in enumerate(np.median(paths.blocked_barriers(5), axis=0), start=1):
                row[f"spse blocked {d}D"] = float(value)
            counted = len(paths.conducting_sites) and paths.conducting_ions > 0
            row["dilute"] = float(np.trace(paths.conductivity(300.0))) / 3 if counted else 0.0
        except fastin.FastinError as error:
            failures[f"{type(error).__name__}: {str(error).split(': ', 1)[-1][:100]}"] += 1
            continue
        rows.append(row)
    return rows, failures


def activation_energies(path: Path) -> dict[str, float]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["obelix_id"]: float(row["Ea_exp_eV"]) for row in csv.DictReader(file)}


def rank(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Spearman coefficient and its bootstrap standard error; infinite barriers rank last."""
    x = np.where(np.isfinite(x), x, 1e9)
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(200):
        pick = rng.integers(0, len(x), len(x))
        samples.append(spearmanr(x[pick], y[pick]).statistic)
    return float(spearmanr(x, y).statistic), float(np.std(samples))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FASTIN_SHARED", "../shared")) / "data")
    parser.add_argument("--out", type=Path, help="write the barriers as CSV")
    options = parser.parse_args()
    rows, failures = barrier_rows(options.data / "obelix_train.jsonl.gz")
    energies = activation_energies(options.data / "obelix_experimental_ea.csv")
    if options.out is not None:
        with options.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    sigma = np.array([row["log10_sigma"] for row in rows])
    certain = np.array([not row["censored"] for row in rows])
    measured = np.array([energies.get(row["id"], np.nan) for row in rows])
    has_energy = np.isfinite(measured)
    print(f"{len(rows)} structures, {certain.sum()} with an uncensored conductivity, {has_energy.sum()} with an Ea")
    for reason, count in failures.most_common():
        print(f"  failed: {count} x {reason}")
    print(f"{'definition':22s} {'log sigma, all':>18s} {'uncensored':>18s} {'measured Ea':>18s} {'infinite':>9s}")
    for convention in CONVENTIONS:
        for zero in ("network", "global"):
            for d in (1, 2, 3):
                name = f"{convention} {zero} {d}D"
                x = np.array([row[name] for row in rows])
                cells = [rank(x, sigma), rank(x[certain], sigma[certain]), rank(x[has_energy], measured[has_energy])]
                text = " ".join(f"{value:+9.3f} +- {error:.3f}" for value, error in cells)
                print(f"{name:22s} {text} {np.count_nonzero(~np.isfinite(x)):9d}")
    for name, sign in (*((f"spse blocked {d}D", 1.0) for d in (1, 2, 3)), ("dilute", -1.0)):
        x = sign * np.array([row[name] for row in rows])
        cells = [rank(x, sigma), rank(x[certain], sigma[certain]), rank(x[has_energy], measured[has_energy])]
        text = " ".join(f"{value:+9.3f} +- {error:.3f}" for value, error in cells)
        print(f"{name:22s} {text} {np.count_nonzero(~np.isfinite(x)):9d}")
    dilute = np.array([row["dilute"] for row in rows])
    both = certain & (dilute > 0)
    decades = np.abs(np.log10(dilute[both]) - sigma[both])
    e3d = np.array([row["spse network 3D"] for row in rows])[both]
    own, other = (spearmanr(x, sigma[both]).statistic for x in (dilute[both], e3d))
    print(f"dilute-limit conductivity of {both.sum()} structures: {decades.mean():.1f} decades off on average,")
    print(f"Spearman {own:+.2f} (E3D of the same structures {other:+.2f})")


if __name__ == "__main__":
    main()
