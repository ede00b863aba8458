"""Exact free spheres against an independent diagram at fixed clearance, and against a plain grid bound."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fastin.errors import GeometryError
from fastin.network.exact import clearance_at, exact_free_spheres
from fastin.network.network import network_from_arrays

sys.path.insert(0, str(Path(__file__).parent))
from clearance_twin import percolation

RESOLUTION = 1e-6


@st.composite
def crystals(draw):
    """Up to five spheres in a compact cell: random, on a quarter grid (degenerate), or nearly on it."""
    count = draw(st.integers(1, 5))
    length = 2.2 * count ** (1 / 3) + draw(st.floats(0.0, 1.5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cell = length * (np.eye(3) + (rng.uniform(-0.25, 0.25, (3, 3)) if draw(st.booleans()) else 0.0))
    frac = rng.random((count, 3))
    if draw(st.booleans()):
        frac = np.unique(np.round(frac * 4) / 4 % 1.0, axis=0)
        noise = draw(st.sampled_from([0.0, 1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2]))
        frac = frac + noise * rng.normal(size=frac.shape)
    radius = np.full(len(frac), 0.8) if draw(st.booleans()) else rng.uniform(0.3, 1.2, len(frac))
    return SimpleNamespace(cell=cell, frac=frac, radius=radius)


SIMPLE_CUBIC = SimpleNamespace(cell=3.0 * np.eye(3), frac=np.zeros((1, 3)), radius=np.ones(1))


@settings(max_examples=60)
@given(crystals())
@example(SIMPLE_CUBIC)
def test_each_threshold_is_where_the_outside_of_the_spheres_connects(spheres):
    r = exact_free_spheres(spheres)
    assert (np.diff(r.percolation_radii) <= 0).all()
    assert r.percolation_radii[0] == pytest.approx(r.free_sphere_radii.max(), abs=1e-12)
    for threshold in {*r.free_sphere_radii.round(9), *r.percolation_radii.round(9)}:
        for t in (threshold - RESOLUTION, threshold + RESOLUTION):
            if (spheres.radius + t).min() <= 0:
                continue
            axes, rank = percolation(spheres.cell, spheres.frac, spheres.radius, t)
            assert (axes == (r.free_sphere_radii > t)).all(), t
            assert rank == (r.percolation_radii > t).sum(), t


@settings(max_examples=30)
@given(crystals(), st.floats(0.5, 3.0), st.integers(0, 2**32 - 1))
def test_translation_permutation_and_scale(spheres, scale, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(spheres.radius))
    moved = SimpleNamespace(
        cell=scale * spheres.cell,
        frac=(spheres.frac + rng.random(3))[order],
        radius=scale * spheres.radius[order],
    )
    a, b = exact_free_spheres(spheres), exact_free_spheres(moved)
    np.testing.assert_allclose(b.free_sphere_radii, scale * a.free_sphere_radii, atol=1e-7)
    np.testing.assert_allclose(b.percolation_radii, scale * a.percolation_radii, atol=1e-7)


@settings(max_examples=20)
@given(crystals())
def test_no_grid_path_is_wider(spheres):
    """A percolating grid path through clearances above t + half a voxel would be a real path wider than t."""
    r = exact_free_spheres(spheres)
    n = 24
    axis = np.arange(n) / n
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    values = clearance_at(spheres, points @ spheres.cell).reshape(n, n, n)
    corners = [np.array([a, b, c]) @ spheres.cell / n for a in (0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    diagonal = max(np.linalg.norm(v) for v in corners)
    # 26-connected neighbours are at most one diagonal apart: on the segment between them f >= min - diagonal / 2.
    assert not _spans(values > r.free_sphere_radii.max() + 0.5 * diagonal)
    # And every point of a real path lies within half a voxel diagonal of a grid point.
    assert _spans(values > r.free_sphere_radii.max() - 0.5 * diagonal - 1e-9)


def _spans(mask):
    """Some 26-connected component of the periodic mask reaches its own image: breadth first with cell offsets."""
    n = mask.shape[0]
    cells = {tuple(p) for p in np.argwhere(mask)}
    seen = {}
    steps = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1) if (a, b, c) != (0, 0, 0)]
    for root in cells:
        if root in seen:
            continue
        seen[root] = (0, 0, 0)
        stack = [root]
        while stack:
            p = stack.pop()
            for s in steps:
                raw = [p[k] + s[k] for k in range(3)]
                home = tuple(v % n for v in raw)
                if home not in cells:
                    continue
                offset = tuple(seen[p][k] + raw[k] // n for k in range(3))
                if home not in seen:
                    seen[home] = offset
                    stack.append(home)
                elif seen[home] != offset:
                    return True
    return False


@settings(max_examples=25)
@given(crystals())
def test_radical_edges_and_face_centres_are_never_wider(spheres):
    """Each edge is a real path: with true clearances no network exceeds the exact radii, face centres or not."""
    try:
        networks = [
            network_from_arrays(spheres.cell, spheres.frac, spheres.radius, face_centers=faces)
            for faces in (False, True)
        ]
    except GeometryError:  # two centres closer than the network accepts
        assume(False)
    exact = exact_free_spheres(spheres)
    for network in networks:
        assert (network.free_sphere_radii <= exact.free_sphere_radii + 1e-8).all()
        assert (network.percolation_radii <= exact.percolation_radii + 1e-8).all()
    plain, faces = networks
    assert (faces.free_sphere_radii >= plain.free_sphere_radii - 1e-9).all()
