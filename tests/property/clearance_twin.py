"""Slow, independent twin of the exact free spheres: is the outside of inflated spheres connected across the crystal?

At a fixed clearance t the set {x : |x - c_i| - r_i > t for all i} is the outside of balls of radius r_i + t, and so
{pow > 0} for the power function of those balls. The power function changes its superlevel connections on the edges of
its own (radical) diagram only, so the outside percolates exactly when the edges with positive power everywhere do. The
diagram comes from a lifted convex hull (scipy's Qhull): nothing is shared with the library's code.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import ConvexHull


def _power_edges(cell, frac, radius, images):
    """Edges of the power diagram with one end in the home cell: (start, end) fractional, smallest power on the edge."""
    shifts = np.array(list(itertools.product(range(-images, images + 1), repeat=3)), float)
    points = (frac[None] + shifts[:, None]).reshape(-1, 3) @ cell
    power = np.tile(radius**2, len(shifts))
    lifted = np.c_[points, (points**2).sum(1) - power]
    hull = ConvexHull(lifted, qhull_options="Qt")
    lower = np.flatnonzero(hull.equations[:, 3] < -1e-12)
    plane = hull.equations[lower]
    vertex = -plane[:, :3] / (2.0 * plane[:, 3:4])
    where = np.linalg.solve(cell.T, vertex.T).T
    index = {int(s): n for n, s in enumerate(lower)}
    inside = ((where > -1e-9) & (where < 1.0 + 1e-9)).all(1)
    for n in np.flatnonzero(inside):
        s = lower[n]
        for k in range(4):
            m = index.get(int(hull.neighbors[s, k]))
            if m is None:
                continue
            owner = hull.simplices[s, (k + 1) % 4]
            a, b, c = vertex[n], vertex[m], points[owner]
            d = b - a
            length2 = d @ d
            t = np.clip((c - a) @ d / length2, 0.0, 1.0) if length2 > 0 else 0.0
            yield where[n], where[m], ((a + t * d - c) ** 2).sum() - power[owner]


def percolation(cell, frac, radius, clearance, images=2):
    """Axes (3 bools) and rank of the outside of the spheres inflated by `clearance` (all radii must stay positive)."""
    inflated = np.asarray(radius, float) + clearance
    assert (inflated > 0).all(), "the twin needs positive inflated radii"
    cell, frac = np.asarray(cell, float), np.asarray(frac, float)
    node, links = {}, {}

    def identify(where):
        home = np.floor(where + 1e-7)
        rest = where - home
        key = tuple(np.round(rest * 1e6).astype(int))
        for delta in itertools.product((0, -1, 1), repeat=3):  # rounding may fall on either side
            near = tuple(np.add(key, delta))
            if near in node:
                return node[near], home
        node[key] = len(node)
        return node[key], home

    for a, b, smallest in _power_edges(cell, frac, inflated, images):
        if smallest <= 0:
            continue
        (i, si), (j, sj) = identify(a), identify(b)
        links.setdefault(i, []).append((j, sj - si))
        links.setdefault(j, []).append((i, si - sj))
    best_rank, axes, seen = 0, np.zeros(3, bool), {}
    for root in links:
        if root in seen:
            continue
        seen[root] = np.zeros(3)
        stack, loops = [root], []
        while stack:
            i = stack.pop()
            for j, shift in links[i]:
                at = seen[i] + shift
                if j not in seen:
                    seen[j] = at
                    stack.append(j)
                elif (at != seen[j]).any():
                    loops.append(at - seen[j])
        if loops:
            loops = np.array(loops)
            best_rank = max(best_rank, int(np.linalg.matrix_rank(loops)))
            axes |= (loops != 0).any(0)
    return axes, best_rank
