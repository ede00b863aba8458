"""Legs that are left out cannot change a percolation barrier: random crystals against all legs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastin.relax.bounding import least_barriers, still_open
from fastin.relax.percolation import Places, percolate


def random_crystal(random):
    """Places, true barriers of the ion and rigid ones that lie above them, for a vacancy or an added ion."""
    count = int(random.integers(2, 7))
    kinds = int(random.integers(1, count + 1))
    kind = np.concatenate([np.arange(kinds), random.integers(0, kinds, count - kinds)])
    energy = np.round(random.uniform(0, 0.5, kinds), random.integers(1, 4)) * random.integers(0, 2)
    edges, images, legs, barriers = [], [], [], {}
    vacancy = bool(random.integers(0, 2))
    for leg in range(int(random.integers(1, 9))):
        ends = tuple(int(k) for k in random.choice(kinds, 2))
        rows = int(random.integers(1, 4))
        for _ in range(rows):  # images of the class join places of the same kinds
            a, b = (int(random.choice(np.flatnonzero(kind == k))) for k in ends)
            image = random.integers(-1, 2, 3) * (random.random(3) < 0.6)
            if a == b and not image.any():
                image = np.array([1, 0, 0])
            edges.append((a, b))
            images.append(image)
            legs.append(leg)
        top = max(energy[k] for k in ends) + np.round(random.exponential(0.3), random.integers(1, 4))
        start, end = ends[::-1] if vacancy else ends
        barriers[leg] = (float(top - energy[start]), float(top - energy[end]))
    places = Places(
        random.random((count, 3)), kind.astype(np.int64), np.array(edges).T.astype(np.int64),
        np.array(images, dtype=np.int32).reshape(-1, 3), np.array(legs, dtype=np.int64),
    )  # fmt: skip
    return places, barriers, vacancy


def relaxed_one_by_one(places, barriers, vacancy, order, rigid=None, softening=math.inf):
    done = {}
    while True:
        waiting = {k: (0.0, 0.0) for k in barriers if k not in done}
        if rigid is not None:
            waiting = {k: least_barriers(*rigid[k], softening) for k in waiting}
        found = still_open(places, done, waiting, vacancy)
        assert found.legs | set(found.closed) == set(waiting)
        assert not found.legs & set(found.closed)
        assert all(found.closed.values())
        k = next((k for k in order if k in found.legs), None)
        if k is None:
            return done
        done[k] = barriers[k]


@pytest.mark.parametrize("seed", [*range(100), 1094, 1165, 1383])
def test_the_barriers_are_those_of_all_legs(seed):
    random = np.random.default_rng(seed)
    places, barriers, vacancy = random_crystal(random)
    every = percolate(places, barriers, vacancy).barriers
    rigid = {k: tuple(v + random.uniform(0, 0.3) for v in pair) for k, pair in barriers.items()}
    for _ in range(2):
        order = random.permutation(len(barriers)).tolist()
        some = relaxed_one_by_one(places, barriers, vacancy, order)
        found = percolate(places, some, vacancy).barriers if some else np.full(3, math.inf)
        np.testing.assert_allclose(found, every, atol=1e-9)
        fewer = relaxed_one_by_one(places, barriers, vacancy, order, rigid, 0.3)
        found = percolate(places, fewer, vacancy).barriers if fewer else np.full(3, math.inf)
        np.testing.assert_allclose(found, every, atol=1e-9)


def test_legs_are_spared():
    """A bound that never spares a leg would pass the test above."""
    spared = np.zeros(2, dtype=int)
    for seed in range(30):
        random = np.random.default_rng(seed)
        places, barriers, vacancy = random_crystal(random)
        order = sorted(barriers, key=lambda k: barriers[k])
        some = relaxed_one_by_one(places, barriers, vacancy, order)
        fewer = relaxed_one_by_one(places, barriers, vacancy, order, barriers, 0.05)
        spared += len(barriers) - len(some), len(barriers) - len(fewer)
    assert spared[0] > 3
    assert spared[1] > spared[0]


def line(*legs):
    """Two places of kinds 0 and 1, joined by legs (start, end, image)."""
    a, b, image = zip(*legs, strict=True)
    return Places(
        np.zeros((2, 3)), np.array([0, 1]), np.array([a, b]), np.array(image, dtype=np.int32), np.arange(len(legs))
    )


def test_a_dead_end_matters_while_a_lower_place_may_lie_there():
    ways = line((0, 0, (1, 0, 0)), (0, 1, (0, 0, 0)))
    open_ = still_open(ways, {0: (0.4, 0.4)}, {1: (0.0, 0.0)}, False)
    assert open_.legs == {1}  # its end may lie below: the barrier would be higher
    open_ = still_open(ways, {0: (0.4, 0.4)}, {1: (0.5, 0.0)}, False)
    assert not open_.legs  # above the level: the percolating part does not hold it
    assert "0.500 eV or more, above the 0.400 eV of E1D" in open_.closed[1]


def test_a_second_way_between_the_same_places():
    ways = line((0, 1, (0, 0, 0)), (0, 1, (0, 0, 0)), (1, 0, (1, 0, 0)))
    open_ = still_open(ways, {0: (0.2, 0.1), 2: (0.5, 0.6)}, {1: (0.0, 0.0)}, False)
    assert not open_.legs  # the third is the one that counts
    assert open_.closed[1]
    open_ = still_open(ways, {0: (0.5, 0.4), 2: (0.1, 0.2)}, {1: (0.0, 0.0)}, False)
    assert open_.legs == {1}
