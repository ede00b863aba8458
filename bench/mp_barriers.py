"""Table of percolation barriers over JSON-lines collections of structures: resumable, failures typed and counted.

    python bench/mp_barriers.py --data DIR --out barriers.csv [--only li_mp_ordered] [--limit N] [--threads 1]

Each line of a collection holds ``id`` and ``cif``; lines without a CIF are skipped. The table has one row a structure:
barriers with both zeros, or the type and text of the error. A second run continues where the first stopped. With
``--summary`` only the counts of an existing table are printed. Every structure is computed by one process, so that its
wall time is its own.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastin
from fastin.crystal.crystal import Crystal

# collection -> the mobile ion asked for
COLLECTIONS = {
    "li_mp_ordered": "Li",
    "na_mp_ordered": "Na",
    "f_conductor_mp_ordered": "F",
    "o_conductor_mp_ordered": "O",
    "obelix_train": "Li",
}
COLUMNS = [
    "collection", "id", "formula", "ion", "nsites", "space_group",
    "e1d_eV", "e2d_eV", "e3d_eV", "e1d_global_eV", "e2d_global_eV", "e3d_global_eV",
    "grid_e1d_global_eV", "energy_minimum_eV", "grid_points", "cpu_ms", "flags", "notes", "error", "message",
]  # fmt: skip


def records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record.get("cif"):
                yield record


def finite(value: float) -> float | str:
    return round(float(value), 6) if math.isfinite(value) else "inf"


def row_of(collection: str, record: dict[str, Any], convention: str, threads: int) -> dict[str, Any]:
    row: dict[str, Any] = {"collection": collection, "id": record["id"], "formula": record.get("formula", "")}
    start = time.process_time()
    try:
        crystal = Crystal.from_cif_string(record["cif"])
        grid = fastin.compute_bvse(crystal, COLLECTIONS[collection], convention=convention, num_threads=threads)
        barriers = fastin.compute_barriers(grid)
    except fastin.FastinError as error:
        row |= {"error": type(error).__name__, "message": " ".join(str(error).split())[:300]}
        return row
    row |= {"ion": grid.ion.symbol, "nsites": crystal.num_positions, "space_group": crystal.space_group_number}
    for zero, tag in (("network", ""), ("global", "_global")):
        for d, value in enumerate(barriers.values(zero), start=1):
            row[f"e{d}d{tag}_eV"] = finite(value)
    row["grid_e1d_global_eV"] = finite(float(barriers.grid_levels[0]) - barriers.energy_minimum)
    row["energy_minimum_eV"] = finite(barriers.energy_minimum)
    row["grid_points"] = grid.values.size
    row["cpu_ms"] = round(1e3 * (time.process_time() - start), 2)
    row["flags"] = "; ".join(barriers.flags)
    row["notes"] = "; ".join(grid.notes)[:300]
    return row


def done_ids(out: Path) -> set[tuple[str, str]]:
    """Rows that an earlier run finished; a last line cut short by a kill is removed."""
    if not out.exists():
        return set()
    text = out.read_bytes()
    if text and not text.endswith(b"\n"):
        out.write_bytes(text[: text.rfind(b"\n") + 1])
    with out.open(newline="", encoding="utf-8") as file:
        return {(row["collection"], row["id"]) for row in csv.DictReader(file)}


def summarise(out: Path) -> None:
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for collection in COLLECTIONS:
        mine = [r for r in rows if r["collection"] == collection]
        if not mine:
            continue
        good = [r for r in mine if not r["error"]]
        reasons = Counter(r["error"] for r in mine if r["error"])
        times = sorted(float(r["cpu_ms"]) for r in good)
        flagged = sum(bool(r["flags"]) for r in good)
        print(f"{collection}: {len(mine)} structures, {len(good)} with barriers, {flagged} flagged", end="")
        if times:
            print(f"; CPU ms median {statistics.median(times):.1f}, mean {statistics.mean(times):.1f}", end="")
            print(f", 99 % {times[int(0.99 * (len(times) - 1))]:.0f}", end="")
        print(f"; failures: {dict(reasons) or 'none'}")
        for reason in reasons:
            texts = Counter(r["message"].split(": ", 1)[-1][:90] for r in mine if r["error"] == reason)
            for text, count in texts.most_common(5):
                print(f"    {count:5d} {reason}: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FASTIN_SHARED", "../shared")) / "data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=sorted(COLLECTIONS), action="append")
    parser.add_argument("--limit", type=int, help="structures of each collection")
    parser.add_argument("--convention", default="spse", choices=["spse", "bvlain", "softbv"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    if options.summary:
        summarise(options.out)
        return
    done = done_ids(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with options.out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        if file.tell() == 0:
            writer.writeheader()
        for collection in options.only or COLLECTIONS:
            for i, record in enumerate(records(options.data / f"{collection}.jsonl.gz")):
                if options.limit is not None and i >= options.limit:
                    break
                if (collection, record["id"]) in done:
                    continue
                writer.writerow(row_of(collection, record, options.convention, options.threads))
                if i % 100 == 0:
                    file.flush()
    print(f"{time.perf_counter() - start:.0f} s")
    summarise(options.out)


if __name__ == "__main__":
    main()
