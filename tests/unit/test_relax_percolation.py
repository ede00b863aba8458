"""Percolation of relaxed legs on random crystals, against a plain reference: what the barriers mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_relax_bounding import random_crystal

from fastin.relax.percolation import Places, percolate


def components(places, rows):
    """Places joined by edges, and the rank of the lattice vectors that closed walks among them make."""
    left = set(range(len(places.frac)))
    while left:
        root = min(left)
        cell = {root: np.zeros(3, int)}
        queue, loops = [root], [np.zeros(3, int)]
        while queue:
            a = queue.pop()
            for e in rows:
                one, other = (int(k) for k in places.index[:, e])
                for start, end, image in ((one, other, places.image[e]), (other, one, -places.image[e])):
                    if start != a:
                        continue
                    there = cell[a] + image
                    if end in cell:
                        loops.append(there - cell[end])
                    else:
                        cell[end] = there
                        queue.append(end)
        left -= set(cell)
        yield sorted(cell), int(np.linalg.matrix_rank(np.array(loops)))


def reference(places, energy, height, d):
    """The first level at which places go on in d dimensions, above the lowest place that does there."""
    for level in sorted(set(height.values())):
        rows = [e for e, leg in enumerate(places.leg) if height[int(leg)] <= level + 1e-9]
        wide = [members for members, rank in components(places, rows) if rank >= d]
        if wide:
            return level - min(energy[m] for members in wide for m in members)
    return math.inf


def truth(seed):
    """A random crystal with its absolute energies: kinds and saddles, and the cell before each leg."""
    random = np.random.default_rng(seed)
    places, barriers, vacancy = random_crystal(random)
    # places of one set are said by the barriers; sets that no leg joins get energies of their own
    bare = percolate(places, barriers, vacancy)
    parts = {int(k): n for n, (members, _) in enumerate(components(places, range(len(places.leg)))) for k in members}
    by_kind = {}
    for m, kind in enumerate(places.kind):
        by_kind.setdefault(int(kind), parts[m])
    same = {k: k for k in set(parts.values())}  # parts of one kind lie alike
    for m, kind in enumerate(places.kind):
        a, b = sorted((same[parts[m]], same[by_kind[int(kind)]]))
        same = {k: a if v == b else v for k, v in same.items()}
    shift = {k: float(np.round(random.uniform(0, 0.6), 2)) for k in set(same.values())}
    energy = np.array([e + shift[same[parts[m]]] for m, e in enumerate(bare.place_energy)])
    of_kind = {int(k): float(e) for k, e in zip(places.kind, energy, strict=True)}
    before, height = {}, {}
    for leg, (ahead, _) in barriers.items():
        a, b = places.ends(leg)
        start = b if vacancy else a
        before[leg] = of_kind[start] - 50.0
        height[leg] = of_kind[start] + ahead
    return places, barriers, vacancy, energy, height, before


@pytest.mark.parametrize("seed", range(60))
def test_barriers_are_those_of_the_definition(seed):
    places, barriers, vacancy, energy, height, before = truth(seed)
    found = percolate(places, barriers, vacancy, before)
    own = [reference(places, energy, height, d) for d in (1, 2, 3)]
    np.testing.assert_allclose(found.own, own, atol=1e-9)
    np.testing.assert_allclose(found.barriers, np.maximum.accumulate(own), atol=1e-9)
    known = np.isfinite(found.place_energy)
    np.testing.assert_allclose((found.place_energy - energy)[known], -energy[known].min(), atol=1e-9)
    assert found.apart <= 1
    for d, (legs, raised) in enumerate(zip(found.legs, found.barriers > found.own + 1e-9, strict=True)):
        if math.isfinite(found.own[d]):
            top = max(found.saddle[k] for k in legs)
            assert top - min(found.place_energy[known]) >= found.barriers[d] - 1e-9
        if raised:
            assert set(found.legs[d - 1]) <= set(legs)


def test_random_crystals_hold_the_cases():
    """Without them the test above would say nothing of raised barriers or of sets apart."""
    raised = apart = 0
    for seed in range(60):
        places, barriers, vacancy, _, _, before = truth(seed)
        found = percolate(places, barriers, vacancy, before)
        raised += bool((found.own < found.barriers - 1e-9).any())
        apart += percolate(places, barriers, vacancy).apart > 1
    assert raised > 0
    assert apart > 1


def channels(low, high):
    """A deep channel along a, and a shallow layer in a and b that no leg joins it with."""
    places = Places(
        np.zeros((2, 3)), np.array([0, 1]), np.array([[0, 1, 1], [0, 1, 1]]),
        np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.int32), np.array([0, 1, 1]),
    )  # fmt: skip
    return percolate(places, {0: (0.5, 0.5), 1: (0.2, 0.2)}, False, {0: low, 1: high})


def test_a_shallow_layer_above_a_deep_channel():
    """The carriers sit in the channel: they move in it at 0.5 eV, and in two dimensions no more easily than that."""
    found = channels(0.0, 0.4)
    np.testing.assert_allclose(found.own, [0.5, 0.2, math.inf])
    np.testing.assert_allclose(found.barriers, [0.5, 0.5, math.inf])
    assert found.legs[1] == (0, 1)
    found = channels(0.0, 0.1)  # the layer opens first
    np.testing.assert_allclose(found.barriers, [0.2, 0.2, math.inf])
    assert found.legs[0] == (1,)


def test_sets_that_nothing_compares_are_counted():
    found = percolate(apart_ways(), {0: (0.5, 0.5), 1: (0.2, 0.2)}, False)
    assert found.apart == 2
    assert percolate(apart_ways(), {0: (0.5, 0.5), 1: (0.2, 0.2)}, False, {0: 0.0}).apart == 2
    assert percolate(apart_ways(), {0: (0.5, 0.5), 1: (0.2, 0.2)}, False, {0: 0.0, 1: 0.0}).apart == 1
    assert percolate(apart_ways(), {0: (0.5, 0.5)}, False).apart == 1


def apart_ways():
    index = np.array([[0, 1], [0, 1]])
    image = np.array([[1, 0, 0], [1, 0, 0]], dtype=np.int32)
    return Places(np.zeros((2, 3)), np.array([0, 1]), index, image, np.arange(2))
