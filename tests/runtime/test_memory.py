"""Memory: what the machine has, the limits asked for, refusals before anything is allocated."""

from __future__ import annotations

import os

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.bvse.grid import EnergyGrid
from fastin.errors import FastinError, InputError, ResourceError
from fastin.runtime import memory
from fastin.runtime.threads import resolve_threads


@pytest.fixture
def limited(monkeypatch):
    monkeypatch.delenv(memory.ENVIRONMENT, raising=False)
    yield memory.set_memory_limit
    memory.set_memory_limit(None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2 * 10**9),
        ("512MiB", 512 * 2**20),
        ("1.5g", 1_500_000_000),
        ("64 k", 64_000),
        (4096, 4096),
        (".5Gi", 2**29),
    ],
)
def test_sizes(text, size):
    assert memory.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1GB", "2 pints", "nan", "inf", "1e9", "2²", "9" * 400, "GB", -5])
def test_no_sizes(text):
    with pytest.raises(InputError, match="no amount of memory"):
        memory.parse_memory(text)


def test_available_is_at_most_the_machine():
    free = memory.available_memory()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_control_group_and_address_space_count(monkeypatch):
    monkeypatch.setattr(memory, "_left_in_cgroup", lambda: 3_000_000)
    monkeypatch.setattr(memory, "_left_of_address_space", lambda: 2_000_000)
    assert memory.available_memory() == 2_000_000
    monkeypatch.setattr(memory, "_left_of_address_space", lambda: None)
    assert memory.available_memory() == 3_000_000


def test_order_of_limits(limited, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 8_000_000_000)
    assert memory.memory_limit() == 4_000_000_000
    monkeypatch.setenv(memory.ENVIRONMENT, "1GB")
    assert memory.memory_limit() == 1_000_000_000
    limited("2GB")
    assert memory.memory_limit() == 2_000_000_000
    limited(None)
    monkeypatch.setenv(memory.ENVIRONMENT, "plenty")
    with pytest.raises(InputError, match="FASTIN_MEMORY"):
        memory.memory_limit()


def test_shares(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 8_000_000_000)
    assert memory.share_of_memory(2) == 3_000_000_000
    assert memory.share_of_memory(1000) == 512 * 2**20  # a worker must be able to start
    assert memory.share_of_memory(4, "2GB") == 500_000_000
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert memory.share_of_memory(2) is None


def long_cell(length: float) -> Structure:
    return Structure(Lattice.orthorhombic(4.0, 4.1, length), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 1.9 / length]])


def test_a_mistyped_length_is_named(limited):
    limited("200MB")
    with pytest.raises(ResourceError, match=r"cell edges 4 x 4.1 x 1e\+06 A.*resolution of [0-9.]+ A") as caught:
        fastin.compute_barriers(long_cell(1e6), "Li")
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, FastinError)


def test_a_mistyped_length_of_a_network_is_named():
    with pytest.raises(FastinError, match=r"check the cell edges, 4 x 4.1 x 1e\+06 A"):
        fastin.compute_network(long_cell(1e6), "Li")


def test_the_resolution_named_would_do(limited):
    limited("40MB")
    with pytest.raises(ResourceError) as caught:
        fastin.compute_bvse(long_cell(1000.0), "Li", resolution=0.1)
    words = str(caught.value).split()
    resolution = float(words[words.index("resolution") + 2])
    assert 0.1 < resolution < 0.3
    grid = fastin.compute_bvse(long_cell(1000.0), "Li", resolution=resolution)
    assert grid.values.size * 20 < 40_000_000


def test_given_grids_are_bounded_too(limited):
    crystal = fastin.compute_bvse(long_cell(5.0), "Li", resolution=0.5)
    values = np.broadcast_to(np.float32(0), (300, 300, 300))
    fields = {**crystal.__dict__, "values": values, "field": None}
    limited("100MB")
    with pytest.raises(ResourceError, match="300 x 300 x 300"):
        fastin.compute_barriers(EnergyGrid(**fields))


def test_more_threads_than_processors_are_not_started():
    most = max(16, os.cpu_count() or 1)
    assert resolve_threads(10**9) == most
    assert resolve_threads(2) == 2
