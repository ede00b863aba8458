"""Signals are answered while the core computes: Python's handlers run, and what they raise ends the call."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.errors import ResourceError
from fastin.network.exact import exact_free_spheres
from fastin.runtime import memory
from fastin.runtime.openmp import _core

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")


class Rung(BaseException):
    """Raised by the handler; nothing of the package catches it."""


@pytest.fixture
def alarm():
    """Sets an alarm that raises `Rung` in the main thread; undone afterwards."""

    def ring(*_):
        raise Rung

    before = signal.signal(signal.SIGALRM, ring)
    # It rings again: an exception that is raised inside a destructor is lost.
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, before)
    memory.set_memory_limit(None)


def lattice_of_atoms(per_edge: int, spacing: float, seed: int) -> Structure:
    rng = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*[np.arange(per_edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    frac = (index + 0.5 + rng.uniform(-0.15, 0.15, index.shape)) / per_edge
    return Structure(Lattice.cubic(per_edge * spacing), ["Li", "F"] * (len(index) // 2), frac)


def grid(threads: int) -> None:  # minutes of work
    field = fastin.compute_bvse(lattice_of_atoms(4, 2.4, 1), "Li", resolution=0.5).field
    assert field is not None
    no_operations = np.zeros((0, 3, 3), dtype=np.int32), np.zeros((0, 3), dtype=np.int32)
    field.core.grid((1600, 1600, 60), *no_operations, threads)


def percolation(threads: int) -> None:
    values = np.random.default_rng(2).uniform(size=(200, 200, 800))
    for _ in range(1000):
        _core.percolate_grid(values)


def tessellation(threads: int) -> None:
    index = np.stack(np.meshgrid(*[np.arange(74)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    frac = (index + 0.5 + np.random.default_rng(3).uniform(-0.4, 0.4, index.shape)) / 74  # no two that overlap
    _core.tessellate(200.0 * np.eye(3), frac, np.full(len(frac), 1.0))


def pattern(threads: int) -> None:
    structure = lattice_of_atoms(10, 3.0, 4)
    for _ in range(10_000):
        fastin.xrd_pattern(structure)


def annealing(threads: int) -> None:
    n = 60
    coulomb = np.random.default_rng(5).uniform(size=(n, n))
    arrays = (coulomb + coulomb.T, np.zeros(n), np.array([1.0]), np.zeros(n, np.int32))
    species = np.where(np.arange(n) < n // 2, 0, -1).astype(np.int32)
    no_exclusions = np.zeros(n + 1, np.int64), np.zeros(0, np.int32)
    _core.anneal(*arrays, species, *no_exclusions, 4, 10**11, 5.0, 0.1, 0.0, 1, 0, threads)


def monte_carlo(threads: int) -> None:
    paths = fastin.compute_paths(fastin.examples()["Li7La3Zr2O12_cubic"])
    paths.simulate(600.0, events=10**11, num_threads=threads)


def exact(threads: int) -> None:
    exact_free_spheres(Cluster(600.0, 200), num_threads=threads)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a ring lost in a destructor
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("work", [grid, percolation, tessellation, pattern, annealing, monte_carlo, exact])
def test_a_signal_ends_the_call(alarm, work, threads):
    memory.set_memory_limit("8GB")
    alarm(0.4)
    begin = time.process_time()
    with pytest.raises(Rung):
        work(threads)
    assert time.process_time() - begin < 5.0  # CPU: other programs do not count


def test_ctrl_c_is_a_keyboard_interrupt():
    threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the test run ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            percolation(1)
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_that_return_leave_the_result_alone(alarm):
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    structure = lattice_of_atoms(4, 2.4, 5)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    first = fastin.compute_barriers(structure, "Li", resolution=0.12)
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    assert np.array_equal(first.levels, fastin.compute_barriers(structure, "Li", resolution=0.12).levels)


def test_other_threads_compute_undisturbed():
    values = np.random.default_rng(6).uniform(size=(40, 40, 40))
    expected = _core.percolate_grid(values)["levels"][2]["energy"]
    found = []
    workers = [
        threading.Thread(target=lambda: found.append(_core.percolate_grid(values)["levels"][2]["energy"]))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [expected] * 3


class Cluster:
    """A few hundred spheres in a corner of a wide cell."""

    def __init__(self, edge: float, count: int = 300) -> None:
        self.cell = edge * np.eye(3)
        self.frac = np.random.default_rng(7).uniform(size=(count, 3)) * 20.0 / edge
        self.radius = np.ones(count)


def test_exact_free_spheres_of_a_huge_void_are_refused():
    with pytest.raises(ResourceError, match=r"a void of [0-9.]+ angstrom.*exact=False"):
        exact_free_spheres(Cluster(400.0))
    assert exact_free_spheres(Cluster(24.0)).largest_sphere_radius > 2.0
