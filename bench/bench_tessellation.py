"""Radical tessellation in the core, by size; voro++ (through pyvoro2) beside it where it is installed.

    pytest bench/bench_tessellation.py --benchmark-only --benchmark-group-by=param:n

``us_per_atom`` in the extra info is the figure to compare.
"""

from __future__ import annotations

import pytest
from network_cases import SIZES, per_atom, rock_salt, synthetic

from fastin.runtime.openmp import _core


@pytest.mark.parametrize("n", SIZES)
def test_tessellation(benchmark, n):
    crystal = synthetic(n)
    found = benchmark(_core.tessellate, *crystal)
    per_atom(benchmark, n)
    assert abs(found["cell_volume"].sum() / (16.0 * n * 0.98 * 1.03) - 1) < 0.05


@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_degenerate_tessellation(benchmark, multiple):
    crystal = rock_salt(multiple)
    found = benchmark(_core.tessellate, *crystal)
    per_atom(benchmark, len(crystal[2]))
    assert len(found["vertex_frac"]) == 40 * multiple**3


@pytest.mark.parametrize("n", [n for n in SIZES if n <= 1008])
def test_voro(benchmark, n):
    pyvoro2 = pytest.importorskip("pyvoro2")
    cell, frac, radius = synthetic(n)
    domain = pyvoro2.PeriodicCell(vectors=tuple(map(tuple, cell)))
    found = benchmark(
        pyvoro2.compute,
        frac @ cell,
        domain=domain,
        mode="power",
        radii=radius,
        return_vertices=False,
        return_adjacency=False,
        return_faces=False,
        output="cells",
    )
    per_atom(benchmark, n)
    assert len(found) == n
