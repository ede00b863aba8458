"""The whole network in the core (tessellation, clearances, bottlenecks, percolation), by size, and with symmetry.

pytest bench/bench_network.py --benchmark-only
"""

from __future__ import annotations

import numpy as np
import pytest
from network_cases import SIZES, garnet, synthetic

from fastin._openmp import _core

IDENTITY = (np.eye(3, dtype=np.int32)[None], np.zeros((1, 3)))


def _per_atom(benchmark, n):
    benchmark.extra_info["atoms"] = n
    if benchmark.stats is not None:
        benchmark.extra_info["us_per_atom"] = 1e6 * benchmark.stats.stats.min / n


@pytest.mark.parametrize("n", SIZES)
def test_network(benchmark, n):
    crystal = synthetic(n)
    found = benchmark(_core.network, *crystal, *IDENTITY)
    _per_atom(benchmark, n)
    assert found["percolation_radii"][0] >= found["percolation_radii"][2]


@pytest.mark.parametrize("symmetry", [True, False])
def test_garnet(benchmark, shared, symmetry):
    cell, frac, radius, rotations, translations = garnet(shared)
    found = benchmark(_core.network, cell, frac, radius, rotations, translations, use_symmetry=symmetry)
    _per_atom(benchmark, len(radius))
    assert found["symmetry_used"] == symmetry
    assert len(found["site_radius"]) == 792


def test_percolation_and_channels(benchmark, shared):
    n = _core.network(*garnet(shared))
    arrays = (n["site_radius"], n["edge_index"], n["edge_image"], n["edge_bottleneck_radius"])

    def both():
        return _core.free_spheres(*arrays), _core.channels(*arrays, 0.39)

    spheres, channels = benchmark(both)
    assert spheres["axis"] == n["free_sphere_radii"]
    assert channels[0].tolist() == [3]
