"""How each barrier definition ranks measured conductivities and activation energies (OBELiX training CIFs).

    python bench/obelix_rank.py --data DIR [--out table.csv] [--json bench/results/obelix_rank.json]

Every training entry with a CIF is computed with full disorder in the three conventions. For 1D, 2D and 3D barriers and
both zeros the Spearman coefficient against log10 of the conductivity (room temperature) and against the experimental
activation energy is printed. Rows of one paper are alike, so errors come from a bootstrap over papers (DOIs); beside
the coefficient over rows stands the one in which every paper counts alike. Structures in which the ion does not
percolate in that many dimensions rank last. Then the same for the barriers with the positions that other species share
with lithium blocked at random (median of five draws), for the activation energy of diffusion over all hops (300 to 600
K), and for the conductivity of independent ions at 300 K (dilute limit, 1e13 Hz), with its mean distance from the
measured one in decades.
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

BEST = "spse network 3D"  # fastin's default, that the others are compared with in pairs
CONVENTIONS = ("spse", "bvlain", "softbv")
SHOWN = (
    *(("log10_sigma", "rows"), ("uncensored", "rows"), ("log10_sigma", "papers")),
    *(("activation_energy", "rows"), ("activation_energy", "papers")),
)


def barrier_rows(path: Path) -> tuple[list[dict[str, Any]], Counter[str]]:
    rows, failures = [], Counter[str]()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record.get("cif")]
    for record in records:
        row = {
            **{"id": record["id"], "doi": str(record["doi"]).lower(), "log10_sigma": record["log10_sigma"]},
            "censored": bool(record["censored"]),
        }
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
            row["kinetic E_a"] = float(paths.activation_energy(300.0, 600.0)[1]) if counted else np.inf
            row["dilute"] = float(np.trace(paths.conductivity(300.0))) / 3 if counted else 0.0
        except fastin.FastinError as error:
            failures[f"{type(error).__name__}: {str(error).split(': ', 1)[-1][:100]}"] += 1
            continue
        rows.append(row)
    return rows, failures


def activation_energies(path: Path) -> dict[str, float]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["obelix_id"]: float(row["Ea_exp_eV"]) for row in csv.DictReader(file)}


Ranked = dict[str, float]


def spearman(x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Spearman coefficient of weighted rows: Pearson's of the weighted mid-ranks."""
    ranks = []
    for values in (x, y):
        order = np.argsort(values, kind="stable")
        _, start, inverse = np.unique(values[order], return_index=True, return_inverse=True)
        sums = np.add.reduceat(weight[order], start)
        middle = np.cumsum(sums) - 0.5 * sums
        rank = np.empty(len(values))
        rank[order] = middle[inverse]
        ranks.append(rank - np.average(rank, weights=weight))
    a, b = ranks
    return float((weight * a * b).sum() / np.sqrt((weight * a * a).sum() * (weight * b * b).sum()))


def rank(
    x: NDArray[np.float64], y: NDArray[np.float64], papers: NDArray[np.str_]
) -> tuple[Ranked, NDArray[np.float64]]:
    """Coefficient over rows, with every paper counting alike, and the bootstrap error over papers of each.

    Infinite barriers rank last. The draws (300, 2), the same for every definition, come second.
    """
    x = np.where(np.isfinite(x), x, 1e9)
    names, number, counts = np.unique(papers, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(0)
    alike = 1.0 / counts[number]
    samples = []
    for _ in range(300):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[number].astype(float)
        use = times > 0
        samples.append([spearman(x[use], y[use], (times * w)[use]) for w in (np.ones(len(x)), alike)])
    rows, paper = np.std(samples, axis=0)
    found = {
        "rows": spearman(x, y, np.ones(len(x))),
        "rows_error": float(rows),
        "papers": spearman(x, y, alike),
        "papers_error": float(paper),
        "n": len(x),
        "n_papers": len(names),
    }
    return found, np.array(samples)


def _value(name: str, text: str) -> Any:
    """Cell of the CSV that `--out` wrote."""
    return text if name in ("id", "doi") else text == "True" if name == "censored" else float(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FASTIN_SHARED", "../shared")) / "data")
    parser.add_argument("--out", type=Path, help="write the barriers as CSV")
    parser.add_argument("--table", type=Path, help="barriers from this CSV of --out")
    parser.add_argument("--json", type=Path, help="write the coefficients as JSON")
    options = parser.parse_args()
    if options.table is not None:
        with options.table.open(newline="", encoding="utf-8") as file:
            rows = [{k: _value(k, v) for k, v in row.items()} for row in csv.DictReader(file)]
        failures = Counter[str]()
    else:
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
    papers = np.array([row["doi"] for row in rows])
    print(f"{len(rows)} structures of {len(set(papers))} papers, {certain.sum()} with an uncensored conductivity,")
    print(f"{has_energy.sum()} of {len(set(papers[has_energy]))} papers with an Ea; errors: bootstrap over papers")
    for reason, count in failures.most_common():
        print(f"  failed: {count} x {reason}")
    columns = ("log sigma, all", "uncensored", "papers alike", "measured Ea", "papers alike")
    print(f"{'definition':22s} " + " ".join(f"{name:>16s}" for name in columns) + f" {'infinite':>9s}")
    every = np.ones(len(rows), bool)
    draws: dict[tuple[str, str], NDArray[np.float64]] = {}
    names = [(BEST, 1.0)]
    names += [(f"{c} {z} {d}D", 1.0) for c in CONVENTIONS for z in ("network", "global") for d in (1, 2, 3)]
    names += [(f"spse blocked {d}D", 1.0) for d in (1, 2, 3)] + [("kinetic E_a", 1.0), ("dilute", -1.0)]
    table: dict[str, dict[str, Ranked]] = {}
    for name, sign in names:
        x = sign * np.array([row[name] for row in rows])
        own = table[name] = {}
        for kind, mask, y in (
            *(("log10_sigma", every, sigma), ("uncensored", certain, sigma)),
            ("activation_energy", has_energy, measured),
        ):
            own[kind], draws[name, kind] = rank(x[mask], y[mask], papers[mask])
            gap = np.abs(draws[name, kind]) - np.abs(draws[BEST, kind]) if (BEST, kind) in draws else None
            if gap is not None:
                own[kind]["stronger_than_best"] = own[kind]["rows"] * np.sign(own[kind]["rows"]) - abs(
                    table[BEST][kind]["rows"]
                )
                own[kind]["stronger_than_best_error"] = float(gap[:, 0].std())
        cells = [(own[k][kind], own[k][f"{kind}_error"]) for k, kind in SHOWN]
        text = " ".join(f"{value:+7.3f} +- {error:.3f}" for value, error in cells)
        print(f"{name:22s} {text} {np.count_nonzero(~np.isfinite(x)):9d}")
    print(f"\npaired with {BEST}: how much stronger the coefficient over rows is (log sigma; measured Ea)")
    for name, own in table.items():
        if name != BEST:
            cells = [
                (own[k]["stronger_than_best"], own[k]["stronger_than_best_error"])
                for k in ("log10_sigma", "activation_energy")
            ]
            print(f"{name:22s} " + " ".join(f"{value:+7.3f} +- {error:.3f}" for value, error in cells))
    if options.json is not None:
        options.json.write_text(json.dumps(table, indent=1) + "\n")
    dilute = np.array([row["dilute"] for row in rows])
    both = certain & (dilute > 0)
    decades = np.abs(np.log10(dilute[both]) - sigma[both])
    e3d = np.array([row["spse network 3D"] for row in rows])[both]
    own, other = (spearmanr(x, sigma[both]).statistic for x in (dilute[both], e3d))
    print(f"dilute-limit conductivity of {both.sum()} structures: {decades.mean():.1f} decades off on average,")
    print(f"Spearman {own:+.2f} (E3D of the same structures {other:+.2f})")


if __name__ == "__main__":
    main()
