"""Coordination polyhedra of the view page: LiFePO4's tetrahedra and octahedra, whole and closed."""

from __future__ import annotations

from collections import Counter

import numpy as np

import fastin
from fastin.view.scene import build_scene

EXAMPLES = fastin.examples()


def test_tetrahedra_and_octahedra() -> None:
    data = build_scene(EXAMPLES["LiFePO4"], resolution=0.4).data
    cell = np.array(data["cell"])
    kinds = Counter((q["symbol"], len(q["points"]), len(q["faces"])) for q in data["polyhedra"])
    assert kinds == {("P", 4, 4): 4, ("Fe", 6, 8): 4}
    for q in data["polyhedra"]:
        assert set(q["symbols"]) == {"O"}
        distances = np.linalg.norm((np.array(q["points"]) - q["centre"]) @ cell, axis=1)
        assert distances.min() > 1.4
        assert distances.max() < 2.4
        edges = Counter(frozenset(pair) for a, b, c in q["faces"] for pair in ((a, b), (b, c), (c, a)))
        assert set(edges.values()) == {2}  # each edge belongs to two faces
