"""Coordination polyhedra of the view page: LiFePO4's tetrahedra and octahedra, whole and closed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.spatial import ConvexHull

import fastin
from fastin.view.atoms import hull_faces
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


CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
SHAPES = {
    "tetrahedron": CUBE[[0, 3, 5, 6]],
    "cube": CUBE,
    "prism": np.array([[0, 0, 0], [1, 0, 0], [0.4, 1, 0], [0, 0, 2], [1, 0, 2], [0.4, 1, 2]]),
    "octahedron": np.concatenate([np.eye(3), -np.eye(3)]),
    "pyramid": np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]]),
    "one inside": np.concatenate([CUBE[[0, 3, 5, 6]], [[0.5, 0.5, 0.5]]]),
    **{f"random {n} {seed}": np.random.default_rng(seed).normal(size=(n, 3)) for n in (4, 6, 8) for seed in range(5)},
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("turned", [False, True])
def test_hulls_are_those_of_qhull(name: str, turned: bool) -> None:
    points = SHAPES[name]
    if turned:
        rotation, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))
        points = 3.7 * points @ rotation + [5.0, -1.0, 2.0]
    expected = ConvexHull(points)
    faces = hull_faces(points)
    corners = points[np.array(faces)]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(expected.area, rel=1e-9)
    assert {i for face in faces for i in face} == set(expected.vertices.tolist())
    edges = Counter(frozenset(pair) for a, b, c in faces for pair in ((a, b), (b, c), (c, a)))
    assert set(edges.values()) == {2}


def test_flat_points_have_no_hull() -> None:
    assert hull_faces(CUBE[:4] @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] * 2.5) == []
    assert hull_faces(np.outer(np.arange(5.0), [1.0, 2.0, 3.0])) == []
