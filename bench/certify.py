"""Certificates of the tessellation on every structure of a data set: volumes, Euler characteristic, powers.

    python bench/certify.py SHARED_DATA_FOLDER results.jsonl [--limit N] [--symmetry-sample N]

Reads the Materials Project files of the data folder (one JSON object a line, gzip), takes each CIF through
`Crystal` and its framework, and certifies the power diagram with an independent check (`certify_tessellation`). With
--symmetry-sample, every N-th structure is also computed with the symmetry switched off and compared. Results go to a
JSON-lines file, one row a structure; rows already there are not computed again. Prints counts at the end.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastin.crystal.crystal import Crystal
from fastin.errors import FastinError
from fastin.network.network import network_from_arrays
from fastin.runtime.openmp import _core

#: data file and the mobile ion that its structures are read for
FILES = {
    "li_mp_ordered.jsonl.gz": "Li",
    "na_mp_ordered.jsonl.gz": "Na",
    "f_conductor_mp_ordered.jsonl.gz": "F",
    "o_conductor_mp_ordered.jsonl.gz": "O",
}
VOLUME_TOLERANCE = 1e-9  # relative
SYMMETRY_TOLERANCE = 1e-5  # A: operations hold to the rounding of the coordinates only


def structures(folder: Path) -> Iterator[tuple[str, str, str]]:
    for name, ion in FILES.items():
        with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield row["id"], ion, row["cif"]


def symmetry_difference(framework: Any) -> dict[str, Any]:
    """How much the networks with and without the symmetry differ."""
    options = {"rotations": framework.rotations, "translations": framework.translations}
    on, off = (
        network_from_arrays(framework.cell, framework.frac, framework.radius, use_symmetry=flag, **options)
        for flag in (True, False)
    )
    same_counts = len(on.site_radius) == len(off.site_radius) and len(on.edge_length) == len(off.edge_length)
    row: dict[str, Any] = {"symmetry_same_counts": same_counts}
    if same_counts:
        row["symmetry_error"] = float(
            max(
                np.abs(np.sort(on.site_radius) - np.sort(off.site_radius)).max(),
                np.abs(np.sort(on.edge_bottleneck_radius) - np.sort(off.edge_bottleneck_radius)).max(),
                np.abs(on.free_sphere_radii - off.free_sphere_radii).max(),
                np.abs(on.cell_volume - off.cell_volume).max(),
            )
        )
    return row


def certify(name: str, ion: str, cif: str, with_symmetry: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": name, "ion": ion}
    try:
        framework = Crystal.from_cif_string(cif, source=name).framework(ion)
        start = time.perf_counter()
        row |= _core.certify_tessellation(framework.cell, framework.frac, framework.radius)
        row["certify_ms"] = 1e3 * (time.perf_counter() - start)
        row["atoms"] = len(framework.radius)
        if with_symmetry:
            row |= symmetry_difference(framework)
    except FastinError as error:
        row |= {"error": type(error).__name__, "message": str(error)}
    return row


def verdict(row: dict[str, Any]) -> str:
    if "error" in row:
        return row["error"]
    if row["euler"] != 0:
        return "Euler characteristic"
    if not row["volume_error"] <= VOLUME_TOLERANCE:
        return "volume"
    if row["foreign_owners"]:
        return "owners"
    if not row.get("symmetry_same_counts", True) or row.get("symmetry_error", 0.0) > SYMMETRY_TOLERANCE:
        return "symmetry"
    return "ok"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--limit", type=int, default=None, help="at most this many structures")
    parser.add_argument("--symmetry-sample", type=int, default=0, help="compare symmetry on and off on every N-th")
    arguments = parser.parse_args()
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    if arguments.results.exists():
        for line in arguments.results.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[row["id"], row["ion"]] = row
    with arguments.results.open("a", encoding="utf-8") as out:
        for k, (name, ion, cif) in enumerate(structures(arguments.folder)):
            if arguments.limit is not None and k >= arguments.limit:
                break
            if (name, ion) in rows:
                continue
            sampled = arguments.symmetry_sample > 0 and k % arguments.symmetry_sample == 0
            rows[name, ion] = row = certify(name, ion, cif, sampled)
            out.write(json.dumps(row) + "\n")
    counts = Counter(verdict(row) for row in rows.values())
    good = [row for row in rows.values() if "error" not in row]
    print(f"{len(rows)} structures, {sum(row['atoms'] for row in good)} framework atoms")
    for key in ("volume_error", "power_error", "empty_error", "symmetry_error"):
        values = [row[key] for row in good if key in row]
        if values:
            print(f"largest {key}: {max(values):.3g} ({len(values)} structures)")
    print(f"sum of |Euler characteristic|: {sum(abs(row['euler']) for row in good)}")
    for name, count in counts.most_common():
        print(f"{name}: {count}")
    return 0 if set(counts) <= {"ok"} else 1


if __name__ == "__main__":
    sys.exit(main())
