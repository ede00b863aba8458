"""Energy grids: time per pair against the kernel's floor, thread scaling, and bvlain on the same structure.

    pytest bench/bench_bvse.py                 # timings by pytest-benchmark
    python bench/bench_bvse.py [--json FILE]   # ratios in one run, CPU time, for reports

The floor is what the sum itself needs: (pairs within the cutoff at the symmetry-distinct points) x 0.7 ns.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastin
from fastin.bvse.field import Field
from fastin.bvse.grid import build_field, fill_grid
from fastin.crystal.crystal import Crystal

CASES = {"LiFePO4": "Li", "Li10GeP2S12": "Li", "Li7La3Zr2O12_tetragonal": "Li", "CaF2": "F"}
FLOOR_NS = 0.7  # one pair in float32 on one core


def case(name: str) -> tuple[Crystal, Field]:
    crystal = Crystal.from_file(fastin.examples()[name])
    return crystal, build_field(crystal, CASES[name])


@pytest.mark.parametrize("symmetry", [True, False], ids=["symmetry", "every-point"])
@pytest.mark.parametrize("name", CASES)
def test_grid(benchmark, name, symmetry):
    _, field = case(name)
    values = benchmark(fill_grid, field, 0.2, symmetry=symmetry, num_threads=1)
    benchmark.extra_info["points"] = int(values.size)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", CASES)
def test_field(benchmark, name):
    crystal, _ = case(name)
    field = benchmark(build_field, crystal, CASES[name])
    assert field.core.image_count > 0


def best_seconds(call: Callable[[], Any], repeat: int, clock: Callable[[], float] = time.process_time) -> float:
    """Shortest time of `call`; by CPU time unless threads are to be compared."""
    times = []
    for _ in range(repeat):
        start = clock()
        call()
        times.append(clock() - start)
    return min(times)


def pairs_per_point(crystal: Crystal, field: Field) -> float:
    """Mean number of framework atoms within the cutoff of a point, occupancies aside."""
    framework = int((crystal.number != field.ion.number).sum())
    return framework / crystal.volume * 4.0 / 3.0 * np.pi * field.cutoff**3


def grid_row(name: str) -> dict[str, Any]:
    """CPU time of one grid against the floor, and the wall time on two threads."""
    crystal, field = case(name)
    values = fill_grid(field, 0.2, num_threads=1)
    # Points of one orbit carry the same bits, so that distinct values count the orbits (less coincidences).
    distinct = len(np.unique(values))
    seconds = best_seconds(lambda: fill_grid(field, 0.2, num_threads=1), 15)
    every = best_seconds(lambda: fill_grid(field, 0.2, symmetry=False, num_threads=1), 5)
    pairs = pairs_per_point(crystal, field)
    walls = [
        best_seconds(lambda n=n: fill_grid(field, 0.2, symmetry=False, num_threads=n), 7, time.perf_counter)
        for n in (1, 2)
    ]
    return {
        "structure": name,
        "shape": list(values.shape),
        "operations": len(field.rotations),
        "distinct_points": distinct,
        "pairs_per_point": round(pairs),
        "field_ms": 1e3 * best_seconds(lambda: build_field(crystal, CASES[name]), 15),
        "grid_ms": 1e3 * seconds,
        "over_floor": seconds / (distinct * pairs * FLOOR_NS * 1e-9),
        "every_point_ms": 1e3 * every,
        "every_point_over_floor": every / (values.size * pairs * FLOOR_NS * 1e-9),
        "two_threads_speedup": walls[0] / walls[1],
    }


def bvlain_row(name: str) -> dict[str, Any] | None:
    """bvlain's grid and fastin's field and grid at 0.2 A in the same process, CPU seconds."""
    if importlib.util.find_spec("bvlain") is None:
        return None
    import bvlain

    crystal, _ = case(name)
    structure = crystal.to_structure()
    calculator = bvlain.Lain(verbose=False)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator.read_structure(structure, oxi_check=False)
        states = np.array([site.specie.oxi_state for site in structure], dtype=int)
        calculator.atoms_copy.set_array("oxi_states", states)
        start = time.process_time()
        calculator.bvse_distribution(mobile_ion="Li1+", r_cut=10.0, resolution=0.2, k=100)
        peer = time.process_time() - start

    def ours() -> None:
        fill_grid(build_field(crystal, "Li", convention="bvlain"), 0.2, num_threads=1)

    seconds = best_seconds(ours, 7)
    return {"structure": name, "bvlain_s": peer, "fastin_s": seconds, "ratio": peer / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--skip-peer", action="store_true")
    options = parser.parse_args()
    result: dict[str, Any] = {"grids": [grid_row(name) for name in CASES]}
    for row in result["grids"]:
        print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}))
    if not options.skip_peer:
        result["bvlain"] = [bvlain_row(name) for name in ("LiFePO4", "Li7La3Zr2O12_tetragonal")]
        print(json.dumps(result["bvlain"]))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
