"""Percolation of periodic grids against a plain union-find over every point and against supercell flooding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from fastin.errors import InputError, ResourceError
from fastin.runtime.openmp import _core

FACES = [s for s in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, s)) == 1]
ALL = [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)]


def rank(vectors: list[tuple[int, ...]]) -> int:
    return int(np.linalg.matrix_rank(np.array(vectors, dtype=float))) if vectors else 0


def slow_levels(values: NDArray[np.float64], connectivity: int) -> tuple[list[float], list[float]]:
    """Levels and lowest points of the percolating component: every point joins a union-find with offsets, in order."""
    shape = np.array(values.shape)
    steps = FACES if connectivity == 6 else ALL
    flat = values.ravel()
    parent: dict[int, int] = {}
    offset: dict[int, NDArray[np.int64]] = {}
    loops: dict[int, list[tuple[int, ...]]] = {}
    lowest: dict[int, float] = {}
    levels, minima = [np.inf] * 3, [np.nan] * 3
    seeds = [-1] * 3

    def find(i: int) -> tuple[int, NDArray[np.int64]]:
        total = np.zeros(3, dtype=np.int64)
        while parent[i] != i:
            total = total + offset[i]
            i = parent[i]
        return i, total

    for v in np.lexsort((np.arange(flat.size), flat)):
        v = int(v)
        if not np.isfinite(flat[v]):
            break
        for d in range(3):  # the component is the one at the level itself: after every point of that energy
            if seeds[d] >= 0 and np.isnan(minima[d]) and flat[v] > levels[d]:
                minima[d] = lowest[find(seeds[d])[0]]
        parent[v], offset[v], loops[v], lowest[v] = v, np.zeros(3, dtype=np.int64), [], float(flat[v])
        for step in steps:
            target = np.array(np.unravel_index(v, values.shape)) + step
            image = target // shape
            u = int(np.ravel_multi_index(tuple(target - image * shape), values.shape))
            if u not in parent:
                continue
            (a, oa), (b, ob) = find(v), find(u)
            gap = oa + image - ob
            if a == b:
                if gap.any():
                    loops[a].append(tuple(int(x) for x in gap))
            else:
                parent[b], offset[b] = a, gap
                loops[a] += loops.pop(b)
                lowest[a] = min(lowest[a], lowest.pop(b))
        root, _ = find(v)
        for d in range(rank(loops[root])):
            if not np.isfinite(levels[d]):
                levels[d], seeds[d] = float(flat[v]), v
    for d in range(3):
        if seeds[d] >= 0 and np.isnan(minima[d]):
            minima[d] = lowest[find(seeds[d])[0]]
    return levels, minima


def fast_levels(values: NDArray[np.float64], connectivity: int) -> tuple[list[float], list[float]]:
    result = _core.percolate_grid(values, connectivity)
    levels = [level["energy"] for level in result["levels"]]
    return levels, [level.get("minimum", np.nan) for level in result["levels"]]


@pytest.mark.parametrize("connectivity", [6, 26])
@pytest.mark.parametrize(
    "shape", [(6, 7, 8), (5, 5, 5), (1, 6, 5), (4, 1, 1), (1, 1, 1), (2, 5, 3), (2, 2, 2), (3, 1, 9), (7, 2, 1)]
)
def test_equals_the_slow_union_find(shape: tuple[int, int, int], connectivity: int) -> None:
    rng = np.random.default_rng(sum(shape) + connectivity)
    for kind in ("distinct", "tied", "walls"):
        values = rng.normal(size=shape)
        if kind == "tied":
            values = np.round(values * 2.0)
        if kind == "walls":
            values[rng.random(shape) < 0.5] = np.inf
        fast, slow = fast_levels(values, connectivity), slow_levels(values, connectivity)
        np.testing.assert_array_equal(fast[0], slow[0], err_msg=kind)
        np.testing.assert_array_equal(fast[1], slow[1], err_msg=kind)


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([6, 26]),
    st.integers(2, 60),
)
def test_equals_the_slow_union_find_property(
    shape: tuple[int, int, int], seed: int, connectivity: int, steps: int
) -> None:
    values = np.random.default_rng(seed).integers(0, steps, size=shape).astype(np.float64)
    fast, slow = fast_levels(values, connectivity), slow_levels(values, connectivity)
    np.testing.assert_array_equal(fast[0], slow[0])
    np.testing.assert_array_equal(fast[1], slow[1])


def test_equals_bisection_on_a_supercell() -> None:
    # Independent of any union-find: label the flooded 3x3x3 supercell; a component percolates along an axis when two
    # copies of one point, a cell apart, share a label. Valid for paths that wind by less than a cell: smooth grids.
    x = np.stack(np.meshgrid(*(np.arange(n) / n for n in (12, 10, 14)), indexing="ij"))
    values = (
        np.cos(2 * np.pi * x[0]) + 1.7 * np.cos(2 * np.pi * x[1]) + 3.1 * np.cos(2 * np.pi * (x[2] + 0.1 * x[0]))
    ) + 0.05 * np.random.default_rng(3).normal(size=x.shape[1:])
    levels, _ = fast_levels(values, 6)
    tiled = np.tile(values, (3, 3, 3))
    for d in range(3):
        at = _supercell_dimensions(tiled, levels[d], values.shape)
        below = _supercell_dimensions(tiled, np.nextafter(levels[d], -np.inf), values.shape)
        assert at >= d + 1
        assert below <= d


def _supercell_dimensions(tiled: NDArray[np.float64], level: float, shape: tuple[int, ...]) -> int:
    labels, _ = ndimage.label(tiled <= level)
    best = 0
    home = labels[tuple(slice(n, 2 * n) for n in shape)]
    for label in np.unique(home[home > 0]):
        point = np.argwhere(home == label)[0] + shape
        moves = [s for s in ALL if labels[tuple(point + np.array(s) * shape)] == label]
        best = max(best, rank(moves))
    return best


def test_channel_solved_by_hand() -> None:
    # A channel along b at energy 1 with one gate at 2, its lowest point -1; a deeper closed pocket at -5.
    values = np.full((8, 6, 8), np.inf)
    values[2, :, 3] = 1.0
    values[2, 4, 3] = 2.0
    values[2, 1, 3] = -1.0
    values[6, 2, 6] = -5.0
    result = _core.percolate_grid(values, 26)
    one, two, three = result["levels"]
    assert one["energy"] == 2.0
    assert one["voxel"] == (2, 4, 3)
    assert one["minimum"] == -1.0
    assert one["minimum_voxel"] == (2, 1, 3)
    assert one["translations"] == [(0, 1, 0)]
    assert two["energy"] == three["energy"] == np.inf
    assert result["minimum"] == -5.0
    assert result["minimum_voxel"] == (6, 2, 6)


def test_translation_lattice_of_a_screw() -> None:
    # A path that climbs one cell along c while it winds once around a: its translation is (1, 0, 1).
    n = 12
    values = np.full((n, n, n), np.inf)
    for i in range(n):
        values[i, 4, i] = 0.0
    result = _core.percolate_grid(values, 26)
    assert result["levels"][0]["translations"] == [(1, 0, 1)]
    assert result["levels"][1]["energy"] == np.inf
    assert _core.percolate_grid(values, 6)["levels"][0]["energy"] == np.inf


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)))
def test_translation_of_the_origin(seed: int, shift: tuple[int, int, int]) -> None:
    values = np.random.default_rng(seed).normal(size=(7, 6, 5))
    moved = np.ascontiguousarray(np.roll(values, shift, axis=(0, 1, 2)))
    for connectivity in (6, 26):
        assert fast_levels(values, connectivity) == fast_levels(moved, connectivity)


@given(st.integers(0, 2**32 - 1), st.permutations([0, 1, 2]), st.sampled_from([(2, 1, 1), (1, 1, 2), (1, 3, 1)]))
def test_axes_and_supercells(seed: int, axes: list[int], tiles: tuple[int, int, int]) -> None:
    values = np.random.default_rng(seed).normal(size=(6, 5, 7))
    for connectivity in (6, 26):
        levels = fast_levels(values, connectivity)
        assert fast_levels(np.ascontiguousarray(values.transpose(axes)), connectivity) == levels
        assert fast_levels(np.tile(values, tiles), connectivity) == levels


def test_refuses_what_it_cannot_use() -> None:
    values = np.zeros((3, 3, 3))
    with pytest.raises(InputError, match="connectivity"):
        _core.percolate_grid(values, 18)
    with pytest.raises(InputError, match="empty"):
        _core.percolate_grid(np.zeros((3, 0, 3)), 26)
    values[1, 2, 0] = np.nan
    with pytest.raises(InputError, match="NaN at point 15"):
        _core.percolate_grid(values, 26)


def valley_along(turns: int) -> NDArray[np.float64]:
    """One valley that falls along a screw about a thin cell, once across it every four points."""
    steps = 4 * turns
    values = np.full((4, 3, steps + 4), 5.0)
    values[np.arange(steps) % 4, 1, np.arange(steps)] = 1.0 - np.arange(steps) / steps
    return values


def test_valleys_through_hundreds_of_cells() -> None:
    """Cells of a descent are kept in ten bits an axis: what does not fit is refused, not folded into another cell."""
    found = _core.percolate_grid(valley_along(505), 26)
    assert [level["energy"] for level in found["levels"]] == [5.0] * 3
    assert found["minimum_voxel"] == (3, 1, 2019)
    with pytest.raises(ResourceError, match="more than 511 cells"):
        _core.percolate_grid(valley_along(520), 26)
