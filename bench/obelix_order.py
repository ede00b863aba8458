"""Ordered cells of every disordered crystal of OBELiX: how many succeed, how long they take, why others fail.

    python bench/obelix_order.py --data DIR [--every N] [--max-atoms N] [--out table.csv]

Each result is checked apart from the code that made it: total charge of the oxidation states, content against the CIF,
the shortest distance, and that every atom sits on a position of the CIF that may hold it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import fastin
from fastin.crystal.crystal import Crystal


def shortest(structure: Any) -> float:
    distance = np.array(structure.distance_matrix)
    np.fill_diagonal(distance, np.inf)
    return float(distance.min())


def misplaced(crystal: Crystal, ordered: Any) -> int:
    """Atoms farther than 1e-3 A from every position of the crystal that may hold their element."""
    wrong = 0
    frac = ordered.frac_coords * ordered.multiples
    for z, x in zip(ordered.atomic_numbers, frac, strict=True):
        gap = crystal.frac[crystal.number == z] - x
        gap -= np.round(gap)
        wrong += float(np.linalg.norm(gap @ crystal.cell, axis=1).min()) > 1e-3
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FASTIN_SHARED", "../shared")) / "data")
    parser.add_argument("--every", type=int, default=1, help="take every N-th entry")
    parser.add_argument("--max-atoms", type=int, default=200)
    parser.add_argument("--out", type=Path, help="write one row a crystal as CSV")
    options = parser.parse_args()
    with gzip.open(options.data / "obelix_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [r for r in map(json.loads, lines) if r.get("cif")][:: options.every]
    counts: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for record in records:
        crystal = Crystal.from_cif_string(record["cif"], source=record["id"])
        if (crystal.occupancy >= 0.999).all():
            counts["ordered in the CIF"] += 1
            continue
        start, cpu = time.perf_counter(), time.process_time()
        row: dict[str, Any] = {"id": record["id"], "formula": crystal.formula}
        try:
            cells = fastin.order(crystal, max_atoms=options.max_atoms)
        except fastin.FastinError as error:
            counts["refused"] += 1
            row["error"] = f"{type(error).__name__}: {error}"
            print(f"  {row['error'][:230]}")
            rows.append(row)
            continue
        structure = cells[0].structure
        structure.multiples = np.array(cells.supercell)
        charge = float(sum(site.specie.oxi_state for site in structure))
        row |= {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
            "atoms": len(structure),
            "method": cells.method,
            "charge": charge,
            "shortest": shortest(structure),
            "misplaced": misplaced(crystal, structure),
            "deviation": sum(abs(a - b) for a, b in cells.content.values()) / len(structure),
            "notes": "; ".join(cells.notes),
        }
        counts["ordered now"] += 1
        counts[cells.method] += 1
        counts["neutral"] += abs(charge) < 1e-3
        counts["every atom on a position of the CIF"] += row["misplaced"] == 0
        counts["content within 1 %"] += row["deviation"] <= 0.01
        counts["shortest distance above 1 A"] += row["shortest"] > 1.0
        for note in cells.notes:
            counts[f"note: {note.split(':')[0][:60]}"] += "partly filled" not in note
        rows.append(row)
    for name, count in counts.items():
        print(f"{count:5d} {name}")
    done = [row for row in rows if "seconds" in row]
    for name in ("seconds", "cpu_seconds", "atoms", "shortest", "deviation"):
        values = np.array([row[name] for row in done])
        print(f"{name:12s} median {np.median(values):.3f}, smallest {values.min():.3f}, largest {values.max():.3f}")
    if options.out is not None:
        with options.out.open("w", newline="", encoding="utf-8") as file:
            names = list(dict.fromkeys(name for row in rows for name in row))
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
