"""Moves a second of the kinetic Monte Carlo on one core, beside the plain numpy run of the tests.

pytest bench/bench_kinetics.py --benchmark-only -s
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastin
from fastin.transport.kinetics import HopModel
from fastin.transport.lattice_gas import LatticeGas, Repulsion
from fastin.transport.simulation import run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from lattice_gas_twin import monte_carlo

EVENTS = 1_000_000


def simple_cubic(content):
    model = HopModel(
        cell=4.0 * np.eye(3),
        site_frac=np.zeros((1, 3)),
        site_energy=np.zeros(1),
        hop_index=np.zeros((2, 3), dtype=np.int64),
        hop_image=np.eye(3, dtype=np.int32),
        hop_energy=np.full(3, 0.3),
    )
    return LatticeGas(model, content)


def crystal(name, **options):
    return fastin.compute_paths(fastin.examples()[name]).lattice_gas(**options)


CASES = {
    "simple cubic, half filled": lambda: simple_cubic(0.5),
    "cubic Li7La3Zr2O12": lambda: crystal("Li7La3Zr2O12_cubic"),
    "Li10GeP2S12": lambda: crystal("Li10GeP2S12"),
    "cubic Li7La3Zr2O12, repulsion": lambda: crystal("Li7La3Zr2O12_cubic", repulsion=Repulsion()),
}


@pytest.mark.parametrize("name", CASES)
def test_moves_a_second(benchmark, name):
    """CPU seconds of one thread; `extra_info` has the moves a second."""
    gas = CASES[name]()

    def work():
        start = time.thread_time()
        result = run(gas, 600.0, events=EVENTS, num_threads=1)
        return result.events / (time.thread_time() - start)

    speed = benchmark.pedantic(work, rounds=3)
    benchmark.extra_info["moves_per_cpu_second"] = speed
    print(f"\n{name}: {speed:.2e} moves a second of one core")
    assert speed > 1e4


def test_plain_twin(benchmark):
    """The numpy run with full lists of rates on a 4 x 4 x 4 cell, for the ratio."""
    gas = simple_cubic(0.5)

    def work():
        start = time.thread_time()
        monte_carlo(gas, (4, 4, 4), 32, 600.0, 300, 0)
        return 300 / (time.thread_time() - start)

    speed = benchmark.pedantic(work, rounds=1)
    start = time.thread_time()
    fast = run(gas, 600.0, supercell=(4, 4, 4), events=EVENTS, num_threads=1).events / (time.thread_time() - start)
    print(f"\nplain twin: {speed:.2e} moves a second, the core on the same cell {fast:.2e}: {fast / speed:.0f} times")
    assert fast > speed
