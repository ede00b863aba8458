"""NEB barriers of universal potentials against published DFT-NEB barriers, row by row.

    python bench/experiments/relaxed_neb.py DATA --potential chgnet [--rows 40] [--keep FOLDER]
    python bench/experiments/relaxed_neb.py DATA --score

The rows are those of `neb_barriers_train.jsonl.gz` with at most 80 atoms, in an order drawn by seed 15 before anything
was computed; `--rows` takes the first so many. Each is one `fastin.relax.single.relax_hop` in the row's own cell, with
three images of which one climbs.
Unsound rows are those of `ml_neb.py`'s rules.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, records
from ml_neb import flags, neb_hop

SEED = 15
MOST_ATOMS = 80
OUT = RESULTS / "relaxed_neb.json"


def drawn(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows of moderate size, in the drawn order."""
    small = [row for row in rows if len(row["elements"]) - 4 <= MOST_ATOMS]
    return [small[k] for k in np.random.default_rng(SEED).permutation(len(small))]


def compute(data: Path, potential: str, count: int, keep: Path, out: Path) -> None:
    import fastin
    from fastin.relax.potentials import load_potential
    from fastin.relax.single import relax_hop

    made = load_potential(potential)
    chosen = drawn(records(data / "neb_barriers_train.jsonl.gz"))[:count]
    held: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    for row in chosen:
        key = f"{row['id']} {potential}"
        if key in held:
            continue
        structure, ion, start, end = neb_hop(row)
        cpu = time.process_time()
        entry: dict[str, Any] = {
            "id": row["id"],
            "potential": potential,
            "formula": row["formula_images"],
            "atoms": len(structure),
            "dft_eV": float(row["Em_eV"]),
            "mace_published_eV": None if row["Em_mace_neb"] is None else float(row["Em_mace_neb"]),
            "unsound": flags(row, structure, ion, start, end),
        }
        try:
            leg = relax_hop(structure, made, start, end, ion, images=3, out=keep / f"{row['id']}-{potential}")
            entry |= leg.to_dict()
        except fastin.FastinError as error:
            entry["error"] = f"{type(error).__name__}: {error}"
        entry["cpu_s"] = round(time.process_time() - cpu, 1)
        held = json.loads(out.read_text()) if out.is_file() else {}
        held[key] = entry
        out.write_text(json.dumps(held, indent=1) + "\n")
        said = entry.get("error") or f"{entry['barrier_eV']:.3f} eV {entry['flags']}"
        print(f"{key} {row['formula_images']}: {said}, DFT {row['Em_eV']} eV, {entry['cpu_s']} s", flush=True)


def score(out: Path) -> None:
    held = list(json.loads(out.read_text()).values())
    for potential in sorted({e["potential"] for e in held}):
        rows = [e for e in held if e["potential"] == potential and "barrier_eV" in e]
        failed = sum(e["potential"] == potential and "error" in e for e in held)
        for name, which in (
            ("all rows", rows),
            ("sound rows", [e for e in rows if not e["unsound"]]),
            (
                "sound rows without flags",
                [e for e in rows if not e["unsound"] and set(e["flags"]) <= {"charged", "small-cell"}],
            ),
        ):
            if len(which) < 3:
                continue
            y = np.array([e["dft_eV"] for e in which])
            # a published number is that of the higher or of the first direction, which no row says: the first
            x = np.array([e["barrier_eV"] for e in which])
            mace = np.array([np.nan if e["mace_published_eV"] is None else e["mace_published_eV"] for e in which])
            error = np.abs(x - y)
            scaled = [abs(x[k] * _scale(np.delete(x, k), np.delete(y, k)) - y[k]) for k in range(len(x))]
            print(
                f"{potential}, {name}: {len(which)} (failed {failed}), MAE {error.mean():.3f} +- "
                f"{_deviation(error):.3f} eV, median {np.median(error):.3f}, bias {np.mean(x - y):+.3f}; one fitted "
                f"scale (leave one out) MAE {np.mean(scaled):.3f} +- {_deviation(np.array(scaled)):.3f}; "
                f"MACE as published MAE {np.nanmean(np.abs(mace - y)):.3f}"
            )


def _deviation(values: np.ndarray) -> float:
    """Error of a mean by a bootstrap over the rows."""
    drawn = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    return float(values[drawn].mean(axis=1).std())


def _scale(x: np.ndarray, y: np.ndarray) -> float:
    """The factor with the smallest sum of absolute errors."""
    ratios = y[x > 0.01] / x[x > 0.01]
    return float(min(ratios, key=lambda r: np.abs(r * x - y).sum())) if len(ratios) else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--potential", default="chgnet")
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--keep", type=Path, default=Path("relaxed_neb"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--score", action="store_true")
    options = parser.parse_args()
    if not options.score:
        compute(options.data, options.potential, options.rows, options.keep, options.out)
    score(options.out)


if __name__ == "__main__":
    main()
