"""One and two threads on one large crystal: wall times, ratios, and whether the bits are the same.

    python bench/bench_threads.py [--rounds 9] [--threads 2] [--atoms 10000] [--resolution 0.1] [--shares]

Run it on idle cores: it takes the best of the rounds, alternating. The garnet is tetragonal Li7La3Zr2O12
2x2x2. The last column is Amdahl's serial share s that the ratio r of n threads means, r = 1 / (s + (1 - s) / n).

On a busy machine wall times say little: --shares (Linux, g++) measures CPU time outside and inside the parallel
regions with a small library in front of OpenMP, and prints one thread's time over outside + inside / n.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from network_cases import synthetic

import fastin
from fastin import _core
from fastin.bvse.grid import build_field, fill_grid
from fastin.crystal.crystal import Crystal


def same(one: Any, other: Any) -> bool:
    """Whether two results agree in every bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


_SHARES = "FASTIN_BENCH_SHARES"  # the library that is preloaded


def with_shares() -> None:
    """Starts this script again with `thread_shares.cpp` in front of OpenMP."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "shares.so"
        source = Path(__file__).with_name("thread_shares.cpp")
        subprocess.run(["g++", "-O2", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library), _SHARES: str(library), "OMP_WAIT_POLICY": "passive"}
        raise SystemExit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)


def shares(name: str, work: Callable[[int], Any], options: argparse.Namespace) -> None:
    """Prints CPU milliseconds outside and inside parallel regions, medians, and the ratio that they allow."""
    library = ctypes.CDLL(os.environ[_SHARES])
    seconds = (ctypes.c_double * 2)()
    rows: dict[int, list[tuple[float, float]]] = {1: [], options.threads: []}
    for _ in range(options.rounds):
        for threads in rows:
            library.region_seconds(seconds)
            outside, inside = seconds
            work(threads)
            library.region_seconds(seconds)
            rows[threads].append((seconds[0] - outside, seconds[1] - inside))
    one = statistics.median(sum(row) for row in rows[1])
    outside, inside = (statistics.median(column) for column in zip(*rows[options.threads], strict=True))
    ratio = one / (outside + inside / options.threads)
    print(f"{name:46s}{1e3 * one:10.1f}{1e3 * outside:10.1f}{1e3 * inside:10.1f}{ratio:8.2f}", flush=True)


def measure(name: str, work: Callable[[int], Any], options: argparse.Namespace) -> None:
    """Prints the row of one kind of work; `work` takes the number of threads."""
    if options.shares:
        shares(name, work, options)
        return
    best = {1: float("inf"), options.threads: float("inf")}
    results = {}
    for _ in range(options.rounds):
        for threads in best:
            start = time.perf_counter()
            results[threads] = work(threads)
            best[threads] = min(best[threads], time.perf_counter() - start)
    ratio = best[1] / best[options.threads]
    serial = (1.0 / ratio - 1.0 / options.threads) / (1.0 - 1.0 / options.threads)
    equal = "same bits" if same(results[1], results[options.threads]) else "DIFFERENT"
    print(
        f"{name:46s}{1e3 * best[1]:10.1f}{1e3 * best[options.threads]:10.1f}{ratio:8.2f}{serial:8.2f}  {equal}",
        flush=True,
    )


def garnet() -> Crystal:
    """Tetragonal Li7La3Zr2O12, 2x2x2: 1,536 atoms."""
    small = Crystal.from_file(fastin.examples()["Li7La3Zr2O12_tetragonal"])
    return Crystal.from_structure(small.to_structure() * (2, 2, 2))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--atoms", type=int, default=10000)
    parser.add_argument("--resolution", type=float, default=0.1)
    parser.add_argument("--shares", action="store_true", help="CPU time outside and inside parallel regions")
    options = parser.parse_args()
    if options.shares and _SHARES not in os.environ:
        with_shares()
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f}; milliseconds, {options.rounds} rounds")
    if options.shares:
        print(f"{'CPU, medians':46s}{'1':>10s}{'outside':>10s}{'inside':>10s}{'ratio':>8s}")
    else:
        print(f"{'':46s}{'1':>10s}{options.threads:>10d}{'ratio':>8s}{'serial':>8s}")
    one = np.eye(3, dtype=np.int32)[None], np.zeros((1, 3))
    arrays = synthetic(options.atoms)
    measure(f"tessellation, {options.atoms} atoms", lambda n: _core.tessellate(*arrays, num_threads=n), options)
    measure(f"network, {options.atoms} atoms", lambda n: _core.network(*arrays, *one, num_threads=n), options)
    crystal = garnet()
    field = build_field(crystal, "Li")
    size = f"{options.resolution} A"
    measure(
        f"grid of {len(crystal.number)} atoms, {size}",
        lambda n: fill_grid(field, options.resolution, num_threads=n),
        options,
    )
    grid = fastin.compute_bvse(crystal, "Li", resolution=options.resolution)
    values = lambda n: np.array(fastin.compute_barriers(grid, num_threads=n).values("network"))  # noqa: E731
    measure(f"percolation and refinement, {size}", values, options)


if __name__ == "__main__":
    main()
