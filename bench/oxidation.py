"""Oxidation states over the shared Materials Project rows: agreement, speed, and what they do to barriers.

    python bench/oxidation.py DATA --dump new.json.gz             # states and time of every row
    python bench/oxidation.py DATA --compare old.json.gz new.json.gz  # what changed, agreement
    python bench/oxidation.py DATA --compare old.json.gz new.json.gz --bvanalyzer 300
    python bench/oxidation.py DATA --compare old.json.gz new.json.gz --barriers 60

DATA is the folder of ``li_mp_ordered.jsonl.gz`` and its like. --dump also runs with an older fastin on the path, so
that two builds can be compared. A row is ambiguous where the first dump's notes name a second neutral assignment.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FILES = ("li_mp_ordered", "na_mp_ordered", "f_conductor_mp_ordered", "o_conductor_mp_ordered")


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    for name in FILES:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt") as file:
            for line in file:
                row = json.loads(line)
                yield {**row, "id": f"{name}/{row['id']}"}  # a few ids are in two files


def dump(folder: Path, out: Path) -> None:
    """States of every row, and the time of reading it (ms)."""
    from fastin import Crystal

    found, times = {}, []
    for row in rows(folder):
        start = time.perf_counter()
        crystal = Crystal.from_cif_string(row["cif"])
        times.append(1e3 * (time.perf_counter() - start))
        found[row["id"]] = {
            "formula": row["formula"],
            "number": crystal.number.tolist(),
            "charge": [round(float(q), 4) for q in crystal.charge],
            "notes": list(crystal.notes),
        }
    with gzip.open(out, "wt") as file:
        json.dump(found, file)
    print(f"{len(found)} rows; reading: median {statistics.median(times):.2f} ms")


def load(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt") as file:
        found: dict[str, Any] = json.load(file)
        return found


def means(entry: dict[str, Any]) -> dict[int, float]:
    number, charge = np.array(entry["number"]), np.array(entry["charge"])
    return {int(z): float(charge[number == z].mean()) for z in np.unique(number)}


def equal(a: dict[int, float], b: dict[int, float]) -> bool:
    return all(abs(a[z] - b.get(z, 99.0)) < 0.02 for z in a)


def single(entry: dict[str, Any]) -> bool:
    """True where one assignment of known states alone is neutral, whichever elements are the anions."""
    from fastin.crystal.elements import element

    sums: Counter[int] = Counter({0: 1})
    for z, amount in Counter(entry["number"]).items():
        states = {*element(z).usual_states, *element(z).common_states}
        wider: Counter[int] = Counter()
        for total, ways in sums.items():
            for q in states:
                wider[total + amount * q] += ways
        sums = wider
    return sums[0] == 1


def changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [k for k in new if k in old and not equal(means(new[k]), means(old[k]))]


def compare(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    from fastin.crystal.elements import numbers_by_symbol

    print(f"states changed in {len(changed(old, new))} of {len(new)} rows")
    for name, states in (("first dump", old), ("second dump", new)):
        left = sum(abs(sum(entry["charge"])) > 1e-2 for entry in states.values())
        print(f"{name}: a residue in {left} rows")
    right: Counter[str] = Counter()
    total = 0
    for row in rows(folder):
        if row["charge"] != "exact" or not single(new[row["id"]]):
            continue
        total += 1
        truth = {numbers_by_symbol()[e]: float(q) for e, q in row["oxi"].items()}
        for name, states in (("first dump", old), ("second dump", new)):
            right[name] += equal(means(states[row["id"]]), truth)
    for name, count in right.items():
        print(
            f"{name}: as stated in {count} of {total} rows where one assignment alone is neutral ({count / total:.4f})"
        )


def bvanalyzer(folder: Path, old: dict[str, Any], new: dict[str, Any], count: int) -> None:
    """Agreement with pymatgen's BVAnalyzer on ambiguous rows, a random sample with a fixed seed."""
    from pymatgen.analysis.bond_valence import BVAnalyzer
    from pymatgen.core import Structure

    warnings.simplefilter("ignore")
    ambiguous = sorted(k for k, entry in old.items() if any("neutral as well" in note for note in entry["notes"]))
    sample = set(random.Random(0).sample(ambiguous, min(count, len(ambiguous))))
    right: Counter[str] = Counter()
    answered = 0
    for row in rows(folder):
        if row["id"] not in sample:
            continue
        structure = Structure.from_str(row["cif"], fmt="cif")
        try:
            charge = BVAnalyzer().get_valences(structure)
        except ValueError:
            continue
        answered += 1
        truth = means({"number": [s.specie.Z for s in structure], "charge": charge})
        for name, states in (("first dump", old), ("second dump", new)):
            right[name] += equal(means(states[row["id"]]), truth)
    print(f"{len(ambiguous)} ambiguous rows, {len(sample)} drawn, BVAnalyzer answers {answered}")
    for name, hits in right.items():
        print(f"{name}: agrees in {hits} ({hits / answered:.3f})")


def barriers(folder: Path, old: dict[str, Any], new: dict[str, Any], count: int) -> None:
    """1D barriers (spse, global zero) with the states of either dump, on a random sample of the rows that changed."""
    from fastin import Crystal, compute_barriers
    from fastin.errors import FastinError

    sample = set(random.Random(0).sample(sorted(changed(old, new)), count))
    shifts = []
    for row in rows(folder):
        if row["id"] not in sample:
            continue
        pair = []
        for states in (old, new):
            try:
                crystal = Crystal.from_cif_string(row["cif"], oxidation_states=states[row["id"]]["charge"])
                pair.append(compute_barriers(crystal, zero="global").e1d)
            except FastinError:
                pair.append(float("nan"))
        if np.isfinite(pair).all():
            shifts.append(pair[1] - pair[0])
    size = np.abs(shifts)
    print(
        f"{len(shifts)} of {count} changed rows have both barriers: |change of E_1D| median {np.median(size):.3f} eV, "
        f"mean {size.mean():.3f}, above 0.1 eV {np.mean(size > 0.1):.2f}, mean signed {np.mean(shifts):+.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("OLD", "NEW"))
    parser.add_argument("--bvanalyzer", type=int, default=0, metavar="COUNT")
    parser.add_argument("--barriers", type=int, default=0, metavar="COUNT")
    given = parser.parse_args()
    if given.dump:
        dump(given.data, given.dump)
    if given.compare:
        old, new = map(load, given.compare)
        compare(given.data, old, new)
        if given.bvanalyzer:
            bvanalyzer(given.data, old, new, given.bvanalyzer)
        if given.barriers:
            barriers(given.data, old, new, given.barriers)


if __name__ == "__main__":
    main()
