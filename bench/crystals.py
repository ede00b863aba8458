"""Every crystal of the shared data to a framework: counts by reason, agreement of oxidation states, CPU time by stage.

Usage: python bench/crystals.py SHARED/data [--every N] [--mismatches]
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from fastin.crystal import build as building
from fastin.crystal import oxidation, symmetry
from fastin.crystal.cif import parse_cif
from fastin.crystal.crystal import Crystal, build_crystal
from fastin.crystal.elements import symbol
from fastin.errors import FastinError

FILES = ("li_mp_ordered", "na_mp_ordered", "f_conductor_mp_ordered", "o_conductor_mp_ordered", "obelix_train")
IONS = {"li_mp_ordered": "Li", "na_mp_ordered": "Na", "f_conductor_mp_ordered": "F", "o_conductor_mp_ordered": "O"}


class Stopwatch:
    """CPU milliseconds by stage; two stages inside the building of a crystal are timed by wrapping their functions."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = collections.defaultdict(list)
        building.assign_oxidation_states = self.timed("oxidation states", oxidation.assign_oxidation_states)
        building.find_space_group = self.timed("space group", symmetry.find_space_group)

    def timed(self, stage: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent[stage].append(1e3 * (time.thread_time() - start))

        return wrapper


def mean_states(crystal: Crystal) -> dict[str, float]:
    return {
        symbol(int(z)): round(float(crystal.charge[crystal.number == z].mean()), 3) for z in np.unique(crystal.number)
    }


def reason(error: FastinError) -> str:
    return f"{type(error).__name__}: {str(error).partition(': ')[2][:60]}"


def run(path: Path, every: int, show_mismatches: bool) -> None:
    name = path.name.removesuffix(".jsonl.gz")
    counts: collections.Counter[str] = collections.Counter()
    watch = Stopwatch()
    read = watch.timed("CIF text to sites", parse_cif)
    build = watch.timed("sites to crystal", build_crystal)
    right = exact = 0
    total: list[float] = []
    with gzip.open(path, "rt") as file:
        for number, line in enumerate(file):
            row = json.loads(line)
            if number % every or not row.get("cif"):
                continue
            start = time.thread_time()
            try:
                crystal = build(read(row["cif"], row["id"]), row["id"])
                watch.timed("crystal to framework", crystal.framework)(IONS.get(name, "Li"))
            except FastinError as error:
                counts[reason(error)] += 1
                continue
            total.append(1e3 * (time.thread_time() - start))
            counts["framework"] += 1
            counts["of these: mixed valence"] += any("mixed valence" in note for note in crystal.notes)
            counts["of these: residue"] += any("residue" in note for note in crystal.notes)
            counts["of these: several neutral assignments"] += any("neutral as well" in note for note in crystal.notes)
            if row.get("charge") == "exact":
                exact += 1
                states = mean_states(crystal)
                agrees = states == {e: float(q) for e, q in row["oxi"].items()}
                right += agrees
                if show_mismatches and not agrees:
                    print("  ", row["id"], row["formula"], row["oxi"], states)
    print(f"{name}: {dict(counts)}")
    if exact:
        print(f"  oxidation states equal on {right} of {exact} rows with one state an element: {right / exact:.4f}")
    for stage, spent in [*watch.spent.items(), ("CIF text to framework", total)]:
        values = np.array(spent)
        tail = np.percentile(values, 99)
        print(f"  {stage}: median {np.median(values):.3f} ms, mean {values.mean():.3f}, 99 % {tail:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take every N-th row")
    parser.add_argument("--mismatches", action="store_true", help="print rows whose oxidation states differ")
    arguments = parser.parse_args()
    for name in FILES:
        run(arguments.data / f"{name}.jsonl.gz", arguments.every, arguments.mismatches)


if __name__ == "__main__":
    main()
