"""The split sum of the bond valence energy beside the plain one: CPU time of each stage, and how far the two differ.

    python bench/bench_split.py [DATA] [--count 300] [--levels x86-64-v3 x86-64-v4]

An even sample of the Li compounds of DATA (li_mp_ordered.jsonl.gz), one thread; each instruction set in a process of
its own (FASTIN_SIMD), both sums in turn on each structure. Times are the shorter of two, in ms: mean / median.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastin
from fastin.bvse.grid import EnergyGrid, build_field, fill_grid
from fastin.crystal.crystal import Crystal
from fastin.runtime.openmp import _core

STAGES = ("field", "grid", "percolation", "refined", "with paths")
LEVELS = ("baseline", "x86-64-v3", "x86-64-v4")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = call()
    return result, 1e3 * (time.process_time() - start)


def stages(crystal: Crystal, plain_sum: bool) -> tuple[list[float], fastin.Barriers, EnergyGrid]:
    """CPU time of each stage (ms), the barriers, the grid."""
    field, t_field = timed(lambda: build_field(crystal, "Li", plain_sum=plain_sum))
    values, t_grid = timed(lambda: fill_grid(field, 0.2, num_threads=1))
    known = {"source": crystal.source, "convention": "spse", "cutoff": 10.0, "screening": 0.74}
    grid = EnergyGrid(values=values, cell=field.cell, ion=field.ion, field=field, **known)
    _, t_percolation = timed(lambda: fastin.compute_barriers(grid, refine=False, num_threads=1))
    barriers, t_refined = timed(lambda: fastin.compute_barriers(grid, num_threads=1))
    _, t_paths = timed(lambda: fastin.compute_barriers(grid, paths=True, num_threads=1))
    return [t_field, t_grid, t_percolation, t_refined, t_paths], barriers, grid


def here(data: Path, count: int) -> dict[str, Any]:
    """Times and differences at this process's instruction set."""
    times: dict[bool, list[list[float]]] = {False: [], True: []}
    energy, barrier = [], []
    path = data / "li_mp_ordered.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        total = sum(1 for _ in lines)
    with gzip.open(path, "rt") as lines:
        for line in itertools.islice(lines, 0, None, max(1, total // count)):
            try:
                crystal = Crystal.from_cif_string(json.loads(line)["cif"])
                runs = {p: (stages(crystal, p), stages(crystal, p)) for p in (False, True)}
            except fastin.FastinError:
                continue
            for plain_sum, both in runs.items():
                times[plain_sum].append(np.minimum(both[0][0], both[1][0]).tolist())
            (_, split, grid), (_, plain, reference) = runs[False][0], runs[True][0]
            low = reference.values < 20
            energy.append(float(np.abs(grid.values - reference.values)[low].max()))
            known = np.isfinite(plain.levels)
            barrier.append(float(np.abs(split.values() - plain.values())[known].max(initial=0.0)))
    return {
        "level": _core.simd_level(),
        "structures": len(energy),
        "ms": {("plain" if p else "split"): np.transpose(rows).tolist() for p, rows in times.items()},
        "energy_meV": 1e3 * np.array(energy),
        "barrier_meV": 1e3 * np.array(barrier),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data", type=Path, nargs="?", default=Path(os.environ.get("FASTIN_SHARED", "../shared")) / "data"
    )
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--levels", nargs="+", default=LEVELS)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        found = here(options.data, options.count)
        print(json.dumps({k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in found.items()}))
        return
    for level in options.levels:
        command = [sys.executable, __file__, str(options.data), "--count", str(options.count), "--here"]
        out = subprocess.run(
            command, env={**os.environ, "FASTIN_SIMD": level}, capture_output=True, text=True, check=True
        )
        found = json.loads(out.stdout)
        print(f"{found['level']}, {found['structures']} structures")
        print(f"{'':8}" + "".join(f"{stage:>17}" for stage in STAGES))
        for name, columns in found["ms"].items():
            cells = (f"{statistics.mean(c):9.2f} /{statistics.median(c):6.2f}" for c in columns)
            print(f"{name:8}" + "".join(cells))
        energy, barrier = np.array(found["energy_meV"]), np.array(found["barrier_meV"])
        print(f"grids below 20 eV differ by {energy.max():.3f} meV at most, {np.median(energy):.3f} in the median")
        changed = int((barrier > 1e-3).sum())
        print(f"barriers differ by {barrier.max():.4f} meV at most; by more than 0.001 meV in {changed}")


if __name__ == "__main__":
    main()
