"""Exact free spheres and the transport network, beside what they stand on.

pytest bench/bench_paths.py --benchmark-only
"""

from __future__ import annotations

import pytest
from network_cases import SIZES, garnet, synthetic

import fastin
from fastin.runtime.openmp import _core
from fastin.transport.paths import join_network


def _per_atom(benchmark, n):
    benchmark.extra_info["atoms"] = n
    if benchmark.stats is not None:
        benchmark.extra_info["us_per_atom"] = 1e6 * benchmark.stats.stats.min / n


@pytest.mark.parametrize("n", [n for n in SIZES if n <= 1100])
def test_exact_free_spheres(benchmark, n):
    crystal = synthetic(n)
    found = benchmark(_core.exact_free_spheres, *crystal, 1)
    _per_atom(benchmark, n)
    assert found["rank"][0] >= found["rank"][2]


def test_exact_free_spheres_of_garnet(benchmark, shared):
    cell, frac, radius, *_ = garnet(shared)
    found = benchmark(_core.exact_free_spheres, cell, frac, radius, 1)
    _per_atom(benchmark, len(radius))
    network = _core.network(*garnet(shared))
    assert min(found["axis"]) >= min(network["free_sphere_radii"]) - 1e-9


@pytest.mark.parametrize("name", ["LiFePO4", "Li10GeP2S12", "Li7La3Zr2O12_tetragonal"])
def test_transport_network(benchmark, name):
    """Sites, hops, paths and edge energies on a network and a grid that are there already."""
    crystal = fastin.Crystal.from_file(fastin.examples()[name])
    network, grid = fastin.compute_network(crystal), fastin.compute_bvse(crystal)
    barriers = fastin.compute_barriers(grid)
    paths = benchmark(join_network, crystal, network, grid, barriers)
    assert paths.path(1) is not None


def test_diffusivity(benchmark):
    paths = fastin.compute_paths(fastin.examples()["Li7La3Zr2O12_cubic"])
    tensor = benchmark(paths.diffusivity, 300.0)
    assert tensor[0, 0] > 0
