"""NEB barriers of universal potentials against published DFT-NEB barriers, row by row.

    python bench/experiments/relaxed_neb.py DATA --potential chgnet [--rows 40] [--keep FOLDER]
    python bench/experiments/relaxed_neb.py DATA --potential sevennet --rows 40 --cheapest 13
    python bench/experiments/relaxed_neb.py DATA --sound 100
    python bench/experiments/relaxed_neb.py DATA --score

The rows are those of `neb_barriers_train.jsonl.gz` with at most 80 atoms, in an order drawn by seed 15 before anything
was computed; `--rows` takes the first so many, `--cheapest` of them those that cost CHGNet least. `--sound` takes every
sound row with at most so many atoms instead, smallest cells first, for `ml_neb_relaxed.py`. Each is one
`fastin.relax.single.relax_hop` in the row's own cell, with three images of which one climbs. What is there already is
not computed again, so a run may be stopped.
Unsound rows are those of `ml_neb.py`'s rules. Scores of the rows drawn and of all that are there stand apart.
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


def cheapest(rows: list[dict[str, Any]], count: int, out: Path) -> list[dict[str, Any]]:
    """Sound ones of these rows in the order of the CPU time that CHGNet took."""
    cost = {e["id"]: e["cpu_s"] for e in held_in(out).values() if e["potential"] == "chgnet" and not e["unsound"]}
    return sorted((row for row in rows if row["id"] in cost), key=lambda row: cost[row["id"]])[:count]


def every_sound(rows: list[dict[str, Any]], atoms: int) -> list[dict[str, Any]]:
    """Sound rows with at most so many atoms, smallest cells first."""
    small = [row for row in rows if len(row["elements"]) - 4 <= atoms]
    return sorted((row for row in small if not flags(row, *neb_hop(row))), key=lambda row: len(row["elements"]))


def held_in(out: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    return held


def compute(chosen: list[dict[str, Any]], potential: str, keep: Path, out: Path) -> None:
    import fastin
    from fastin.relax.potentials import load_potential
    from fastin.relax.single import relax_hop

    made = load_potential(potential)
    held = held_in(out)
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
        held = held_in(out)
        held[key] = entry
        out.write_text(json.dumps(held, indent=1) + "\n")
        said = entry.get("error") or f"{entry['barrier_eV']:.3f} eV {entry['flags']}"
        print(f"{key} {row['formula_images']}: {said}, DFT {row['Em_eV']} eV, {entry['cpu_s']} s", flush=True)


def score(out: Path, first: list[dict[str, Any]]) -> None:
    held = list(held_in(out).values())
    drawn_ids = {row["id"] for row in first}
    same = {e["id"] for e in held if e["potential"] == "sevennet"}
    for potential in sorted({e["potential"] for e in held}):
        rows = [e for e in held if e["potential"] == potential and "barrier_eV" in e]
        failed = sum(e["potential"] == potential and "error" in e for e in held)
        own = [e for e in rows if e["id"] in drawn_ids]
        for name, which in (
            ("rows drawn", own),
            ("rows drawn without flags", [e for e in own if unflagged(e)]),
            ("rows that SevenNet has", [e for e in rows if e["id"] in same]),
            ("all sound rows there", [e for e in rows if not e["unsound"]]),
            ("all sound rows there without flags", [e for e in rows if not e["unsound"] and unflagged(e)]),
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


def unflagged(entry: dict[str, Any]) -> bool:
    """Whether no flag doubts the barrier."""
    return set(entry["flags"]) <= {"charged", "small-cell"}


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
    parser.add_argument("--cheapest", type=int, help="of these rows, by the CPU time of CHGNet")
    parser.add_argument("--sound", type=int, metavar="ATOMS", help="every sound row with at most so many atoms instead")
    parser.add_argument("--keep", type=Path, default=Path("relaxed_neb"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--score", action="store_true")
    options = parser.parse_args()
    rows = records(options.data / "neb_barriers_train.jsonl.gz")
    first = drawn(rows)[: options.rows]
    if not options.score:
        chosen = every_sound(rows, options.sound) if options.sound else first
        if options.cheapest:
            chosen = cheapest(chosen, options.cheapest, options.out)
        compute(chosen, options.potential, options.keep, options.out)
    score(options.out, first)


if __name__ == "__main__":
    main()
