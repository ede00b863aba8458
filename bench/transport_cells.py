"""Whether a crystal's transport network depends on how its cell was chosen: the counts should be zero.

    python bench/transport_cells.py DATA [--files li_mp_ordered.jsonl.gz ...] [--count 300] [--atoms 60]

DATA as for `transport_check.py`. Every crystal is computed as it is and with a random origin, its atoms in another
order, the primitive and the conventional cell, and supercells of two along one axis (which may break the point group)
and along two. Compared are, for one primitive cell:

* sites: energies and numbers of each class;
* hops: energies of the ends and the saddle, lengths and numbers of each class;
* legs by vacancy, interstitial and exchange: barriers both ways, lengths, numbers, the dimensions that they open;
* the eigenvalues of the diffusivity at 600 K (relative, 1e-3).

Energies within 2 meV and lengths within 0.05 A are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import fastin
from fastin.crystal.crystal import Crystal

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from transport_check import FILES, sample
from transport_signature import MECHANISMS, differences, signature, variants


def check(task: tuple[dict[str, Any], int]) -> dict[str, Any]:
    """The row of one crystal: what differs in each variant."""
    record, seed = task
    row: dict[str, Any] = {"id": record["id"]}
    start = time.process_time()
    rng = np.random.default_rng(seed)
    try:
        crystal = Crystal.from_cif_string(record["cif"])
        structure = crystal.to_structure()
        own = signature(fastin.compute_paths(structure, num_threads=1))
        for name, other in variants(structure, rng):
            row[name] = differences(own, signature(fastin.compute_paths(other, num_threads=1)))
    except fastin.FastinError as error:
        row["error"] = f"{type(error).__name__}: {error}"
    row["seconds"] = time.process_time() - start
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--files", nargs="+", default=list(FILES))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--atoms", type=int, default=60, help="leave larger cells out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(os.devnull), help="one row a crystal, JSON lines")
    options = parser.parse_args()
    records = sample(options.data, options.files, 3 * options.count, options.seed)
    records = [r for r in records if r["nsites"] <= options.atoms][: options.count]
    rows = []
    with ProcessPoolExecutor(options.workers) as pool, options.out.open("w", encoding="utf-8") as out:
        for row in pool.map(check, [(r, k) for k, r in enumerate(records)]):
            rows.append(row)
            out.write(json.dumps(row) + "\n")
            out.flush()
    done = [r for r in rows if "error" not in r]
    names = ("sites", "hops", *MECHANISMS, "D")
    print(f"{len(rows)} crystals, {len(rows) - len(done)} with a typed error; crystals that differ in")
    print(f"{'':18s}" + "".join(f"{name:>14s}" for name in names))
    for variant in ("origin", "order", "primitive", "conventional", "supercell 2", "supercell 2 x 2"):
        print(f"{variant:18s}" + "".join(f"{sum(name in r[variant] for r in done):14d}" for name in names))
    print(f"{sum(r['seconds'] for r in rows):.0f} CPU seconds")


if __name__ == "__main__":
    main()
