"""The whole network in the core (tessellation, clearances, bottlenecks, percolation), by size, and with symmetry.

pytest bench/bench_network.py --benchmark-only
python bench/bench_network.py 10000    # peak memory of the network of so many atoms, in a fresh process
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from pathlib import Path

import numpy as np
import pytest
from network_cases import SIZES, garnet, per_atom, synthetic

from fastin import compute_network
from fastin.crystal.crystal import Crystal
from fastin.crystal.examples import examples
from fastin.runtime.openmp import _core

IDENTITY = (np.eye(3, dtype=np.int32)[None], np.zeros((1, 3)))


@pytest.mark.parametrize("n", SIZES)
def test_network(benchmark, n):
    crystal = synthetic(n)
    found = benchmark(_core.network, *crystal, *IDENTITY)
    per_atom(benchmark, n)
    assert found["percolation_radii"][0] >= found["percolation_radii"][2]


@pytest.mark.parametrize("symmetry", [True, False])
def test_garnet(benchmark, shared, symmetry):
    cell, frac, radius, rotations, translations = garnet(shared)
    found = benchmark(_core.network, cell, frac, radius, rotations, translations, use_symmetry=symmetry)
    per_atom(benchmark, len(radius))
    assert found["symmetry_used"] == symmetry
    assert len(found["site_radius"]) == 792


@pytest.mark.benchmark(group="network of a supercell of 48,048 atoms, with symmetry and without")
@pytest.mark.parametrize("symmetry", [True, False])
def test_supercell(benchmark, symmetry):
    cells = Crystal.from_file(examples()["LiFePO4"]).to_structure() * (12, 13, 11)
    crystal = Crystal.from_structure(cells)
    network = benchmark.pedantic(compute_network, (crystal, "Li"), {"use_symmetry": symmetry}, rounds=3)
    assert len(network.site_radius) > 0


def test_percolation_and_channels(benchmark, shared):
    n = _core.network(*garnet(shared))
    arrays = (n["site_radius"], n["edge_index"], n["edge_image"], n["edge_bottleneck_radius"])

    def both():
        return _core.free_spheres(*arrays), _core.channels(*arrays, 0.39)

    spheres, channels = benchmark(both)
    assert spheres["axis"] == n["free_sphere_radii"]
    assert channels[0].tolist() == [3]


@pytest.mark.benchmark(group="network: from a CIF file, and the share of the core")
@pytest.mark.parametrize("name", ["Li3N", "LiFePO4", "Li10GeP2S12", "Li7La3Zr2O12_tetragonal"])
def test_from_cif(benchmark, name):
    """`compute_network` of a file; ``extra_info`` says how much of it is spent in the compiled core."""
    path = examples()[name]
    network = benchmark(compute_network, path)
    assert len(network.site_radius) > 0
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(20):
        compute_network(path)
    profiler.disable()
    rows = pstats.Stats(profiler).stats.items()
    total = sum(own for _, (_, _, own, _, _) in rows)
    core = sum(own for (_, _, function), (_, _, own, _, _) in rows if "fastin._core" in function)
    benchmark.extra_info["share_of_the_core_under_the_profiler"] = round(core / total, 3)


def peak() -> float:
    """Peak memory of this process so far (MB)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    _core.network(*synthetic(200), *IDENTITY)
    case, before = synthetic(int(sys.argv[1])), peak()
    result = _core.network(*case, *IDENTITY, num_threads=1)
    held = sum(value.nbytes for value in result.values() if isinstance(value, np.ndarray)) / 2**20
    print(f"{peak() - before:.1f} MB, of which the result is {held:.1f}")
