"""Barriers end to end: stages, peak memory, bvlain on the same structure, and the median over a collection.

    pytest bench/bench_barriers.py                      # timings by pytest-benchmark
    python bench/bench_barriers.py [--data DIR] [--skip-peer]
    python bench/bench_barriers.py --memory 0.05        # peak memory of the garnet's grid and barriers alone

Ratios come from one process and CPU time (bvlain computes its grid and searches its levels; fastin reads the CIF too).
Peak memory is measured in a fresh process, above what importing fastin takes.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib.util
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastin
from fastin.bvse.grid import build_field, fill_grid
from fastin.crystal.crystal import Crystal

CASES = {"LiFePO4": "Li", "Li10GeP2S12": "Li", "Li7La3Zr2O12_tetragonal": "Li", "CaF2": "F"}
PEER_CASES = ("LiFePO4", "Li7La3Zr2O12_tetragonal")

_MEMORY = """
import sys
import fastin
from fastin.bvse.barriers import compute_barriers
from fastin.crystal.crystal import Crystal
import spglib, gemmi
def peak():
    # Not ru_maxrss: that one survives exec, so that a child starts with its parent's peak.
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
before = peak()
compute_barriers(Crystal.from_file(sys.argv[1]), sys.argv[2], resolution=float(sys.argv[3]), num_threads=1)
print(peak() - before)
"""


@pytest.mark.parametrize("name", CASES)
def test_cif_to_barriers(benchmark, name):
    path = fastin.examples()[name]
    barriers = benchmark(fastin.compute_barriers, path, CASES[name], num_threads=1)
    assert barriers.e1d <= barriers.e2d <= barriers.e3d


@pytest.mark.parametrize("refine", [True, False], ids=["refined", "grid"])
@pytest.mark.parametrize("name", CASES)
def test_grid_to_barriers(benchmark, name, refine):
    grid = fastin.compute_bvse(fastin.examples()[name], CASES[name], num_threads=1)
    barriers = benchmark(fastin.compute_barriers, grid, refine=refine)
    assert np.isfinite(barriers.e1d)


def best_ms(call: Callable[[], Any], repeat: int = 7) -> float:
    times = []
    for _ in range(repeat):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def peak_memory(name: str, resolution: float) -> float:
    """Peak memory (MB above import) of barriers from a file, in a fresh process."""
    command = [sys.executable, "-c", _MEMORY, str(fastin.examples()[name]), CASES[name], str(resolution)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout)


def stage_row(name: str) -> dict[str, Any]:
    """CPU time of each stage, one thread, and the peak memory of the whole."""
    path, ion = fastin.examples()[name], CASES[name]
    crystal = Crystal.from_file(path)
    field = build_field(crystal, ion)
    grid = fastin.compute_bvse(crystal, ion, num_threads=1)
    return {
        "structure": name,
        "atoms": crystal.num_positions,
        "points": int(grid.values.size),
        "read_ms": best_ms(lambda: Crystal.from_file(path)),
        "field_ms": best_ms(lambda: build_field(crystal, ion)),
        "grid_ms": best_ms(lambda: fill_grid(field, 0.2, num_threads=1)),
        "percolation_ms": best_ms(lambda: fastin.compute_barriers(grid, refine=False)),
        "refined_ms": best_ms(lambda: fastin.compute_barriers(grid)),
        "total_ms": best_ms(lambda: fastin.compute_barriers(path, ion, num_threads=1)),
        "peak_MB_above_import": peak_memory(name, 0.2),
    }


def peer_row(name: str) -> dict[str, Any] | None:
    """bvlain's grid and search against fastin's CIF to refined barriers, CPU seconds, `bvlain` convention."""
    if importlib.util.find_spec("bvlain") is None:
        return None
    import bvlain

    path = fastin.examples()[name]
    structure = Crystal.from_file(path).to_structure()
    calculator = bvlain.Lain(verbose=False)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator.read_structure(structure, oxi_check=False)
        states = np.array([site.specie.oxi_state for site in structure], dtype=int)
        calculator.atoms_copy.set_array("oxi_states", states)
        start = time.process_time()
        calculator.bvse_distribution(mobile_ion="Li1+", r_cut=10.0, resolution=0.2, k=100)
        grid = time.process_time() - start
        found = calculator.percolation_barriers(encut=10.0)
        total = time.process_time() - start
    ours = best_ms(lambda: fastin.compute_barriers(path, "Li", convention="bvlain", num_threads=1))
    exact = fastin.compute_barriers(path, "Li", convention="bvlain", zero="global").values()
    return {
        "structure": name,
        "bvlain_grid_s": grid,
        "bvlain_total_s": total,
        "bvlain_eV": [float(v) for v in found.values()],
        "fastin_eV": [float(v) for v in exact],
        "fastin_ms": ours,
        "ratio": 1e3 * total / ours,
    }


def collection_row(path: Path, count: int) -> dict[str, Any]:
    """CIF text to barriers over an even sample of a collection, CPU time on one thread."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        total = sum(1 for _ in lines)
    times, failures = [], 0
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in itertools.islice(lines, 0, None, max(1, total // count)):
            text = json.loads(line)["cif"]
            start = time.process_time()
            try:
                fastin.compute_barriers(Crystal.from_cif_string(text), "Li", num_threads=1)
            except fastin.FastinError:
                failures += 1
                continue
            times.append(1e3 * (time.process_time() - start))
    times.sort()
    return {
        "collection": path.name,
        "structures": len(times),
        "failures": failures,
        "median_ms": statistics.median(times),
        "mean_ms": statistics.mean(times),
        "p95_ms": times[int(0.95 * (len(times) - 1))],
    }


def rounded(row: dict[str, Any] | None) -> str:
    return json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in (row or {}).items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FASTIN_SHARED", "../shared")) / "data")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--skip-peer", action="store_true")
    parser.add_argument("--memory", type=float, metavar="RESOLUTION")
    options = parser.parse_args()
    if options.memory:
        print(f"{peak_memory('Li7La3Zr2O12_tetragonal', options.memory):.0f} MB above import")
        return
    for name in CASES:
        print(rounded(stage_row(name)))
    if (options.data / "li_mp_ordered.jsonl.gz").is_file():
        print(rounded(collection_row(options.data / "li_mp_ordered.jsonl.gz", options.count)))
    for name in () if options.skip_peer else PEER_CASES:
        print(rounded(peer_row(name)))


if __name__ == "__main__":
    main()
