"""Framework steps that go over whole neighbour lists at once, beside plain loops over single sites."""

from __future__ import annotations

import numpy as np
import pytest

from fastin.crystal.coordination import _EDGE, BOND_REACH, TOO_NEAR, _sizes, _steps
from fastin.crystal.crystal import build_crystal
from fastin.crystal.data import NEIGHBOUR_CUTOFF
from fastin.crystal.framework import _TIE
from fastin.crystal.sites import Sites
from fastin.runtime.arrays import ranges
from fastin.runtime.openmp import _core


def disordered(seed: int, atoms: int, edge: float):
    """Li and F at random, no two nearer than 1.2 A."""
    rng = np.random.default_rng(seed)
    cell = edge * (np.eye(3) + 0.1 * rng.uniform(-1, 1, (3, 3)))
    held: list[np.ndarray] = []
    while len(held) < atoms:
        x = rng.random(3)
        gap = np.array(held) - x if held else np.full((1, 3), 0.5)
        if np.linalg.norm((gap - np.rint(gap)) @ cell, axis=1).min() > 1.2:
            held.append(x)
    number = np.where(rng.random(atoms) < 0.5, 3, 9).astype(np.int32)
    number[:2] = 3, 9
    return build_crystal(Sites(cell, np.array(held), number, np.ones(atoms), [f"X{k}" for k in range(atoms)]), "sites")


def test_ranges():
    start, count = np.array([5, 2, 9, 0]), np.array([2, 0, 3, 1])
    assert ranges(start, count).tolist() == [5, 6, 9, 10, 11, 0]
    assert ranges(start[:0], count[:0]).tolist() == []


@pytest.mark.parametrize("seed", range(2))
def test_edges_of_shells_one_by_one(seed):
    """Every site asked at once gets what a loop over its own neighbours says."""
    crystal = disordered(seed, 500, 20.0)
    size = _sizes()[crystal.number]
    sign = np.where(crystal.number == 3, 1.0, -1.0)
    total = np.random.default_rng(seed).uniform(0.5, 1.0, len(sign))
    offsets, index, distance = lists = _core.neighbours(crystal.cell, np.ascontiguousarray(crystal.frac), 8.0)
    inside = np.arange(len(sign), dtype=float)
    sites = np.arange(0, len(sign), 2)
    found = _steps(sites, inside, lists, sign, size, total)
    assert list(found) == sites.tolist()
    edges = 0
    for at in sites.tolist():
        window = range(int(offsets[at]), int(offsets[at + 1]))
        near = [k for k in window if distance[k] >= TOO_NEAR and sign[index[k]] != sign[at]]
        ratio = {k: distance[k] / (size[at] + size[index[k]]) for k in near}
        least, held, steps = min(ratio.values()), inside[at], [(1.0, round(inside[at]))]
        for k in sorted(near, key=lambda k: ratio[k]):
            weight = (BOND_REACH * (1.0 + _EDGE) - ratio[k] / least) / (2.0 * _EDGE * BOND_REACH)
            if 0.0 < weight < 1.0:
                held += total[index[k]]
                steps.append((pytest.approx(weight, abs=1e-9), round(held)))
                edges += 1
        assert list(found[at]) == steps
    assert edges > 3


@pytest.mark.parametrize(("atoms", "edge"), [(60, 10.0), (12, 14.0)])  # in the second some ions find nothing in 4.6 A
def test_alpha_is_the_mean_gap_to_the_nearest_framework_atom(atoms, edge):
    for seed in range(4):
        crystal = disordered(seed, atoms, edge)
        framework = crystal.framework("Li")
        shifts = np.array(list(np.ndindex(5, 5, 5))) - 2
        gaps, farthest = [], 0.0
        for x in framework.mobile_frac:
            images = (framework.frac[:, None] + shifts - x) @ crystal.cell
            distance = np.linalg.norm(images, axis=2)
            nearest = distance.min()
            farthest = max(farthest, nearest)
            tied = (distance <= nearest + _TIE).any(axis=1)
            gaps.append(nearest - framework.radius[tied].max())
        assert atoms > 12 or seed > 0 or farthest > NEIGHBOUR_CUTOFF
        expected = min(1.0, max(0.0, float(np.mean(gaps)) / framework.mobile_radius))
        assert framework.alpha == pytest.approx(expected, abs=2e-3)
