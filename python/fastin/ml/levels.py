"""What a model reads of the energies of `fastin.ml.landmarks`, and what plain percolation makes of them without one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastin.ml.pair_terms import ENERGY_SCALE
from fastin.ml.store import GraphStore
from fastin.runtime.openmp import _core

Singles = NDArray[np.float32]

NONE = np.iinfo(np.int64).max  # of `_core.critical_elements`: never percolates
#: What `plain_levels` percolates: column of `fastin.ml.landmarks.EDGE_ENERGIES`, and whether a bottleneck counts at
#: least as high as the valleys of its voids (a void whose walk got stuck closes it then).
VARIANTS = ((0, True), (1, True), (2, True), (2, False))
PASS_CLOSED = 2  # of `VARIANTS`
_LOWEST, _HIGHEST = 0.01, 30.0  # eV; levels are cut there as inputs
_NEAR_SCALE = 0.25  # eV; heights above the ground are compressed by asinh(E / this)
_LINEAR = 8.0  # eV; heights above this count as their logarithm


def plain_levels(store: GraphStore) -> NDArray[np.float32]:
    """(G, 4, 3, 2) barriers by percolation of the energies alone, eV.

    Axes: structure, one of `VARIANTS`, dimension, zero (lowest of all, of the component). Barriers do not fall with the
    dimension. ``inf`` where the network never percolates, NaN where the structure has no energies.
    """
    pointers = store.pointers
    out: NDArray[np.float32] = np.full((len(store), len(VARIANTS), 3, 2), np.nan, np.float32)
    known = energies_known(store)
    if not known.any():
        return out
    first = pointers["site"][:-1]
    cover_site = store.arrays["cover_site"] + np.repeat(first, np.diff(pointers["cover_site"]))
    cover_edge = store.arrays["cover_edge"] + np.repeat(pointers["edge"][:-1], np.diff(pointers["cover_edge"]))
    ground = np.nan_to_num(store.arrays["site_energies"][first, 2])
    for k, (column, closed) in enumerate(VARIANTS):
        site, edge = levels_of(store, column, closed=closed)
        saddle, lowest = _core.critical_elements(
            pointers["cover_site"].astype(np.int64),
            pointers["cover_edge"].astype(np.int64),
            np.ascontiguousarray(store.arrays["cover_ends"], np.int32),
            np.ascontiguousarray(store.arrays["cover_image"], np.int32),
            np.ascontiguousarray(site[cover_site]),
            np.ascontiguousarray(edge[cover_edge]),
            1,
        )
        there = saddle != NONE
        top = edge[cover_edge[np.where(there, saddle, 0)]]
        own = site[cover_site[np.where(there, lowest, 0)]]
        for zero, level in enumerate((np.broadcast_to(ground[:, None], top.shape), own)):
            out[:, k, :, zero] = np.maximum.accumulate(np.where(there, top - level, np.inf), axis=1)
    out[~known] = np.nan
    return out


def levels_of(store: GraphStore, column: int, *, closed: bool) -> tuple[Singles, Singles]:
    """(n,), (E,) eV of voids and bottlenecks, as one column of the energies has them; 0 where they are not known.

    A void counts as low as its valley and as the lowest that was met at its bottlenecks: what is beside it is open to
    the ion. A bottleneck that is `closed` counts at least as high as the valleys of its voids.
    """
    arrays = store.arrays
    edge = np.nan_to_num(arrays["edge_energies"][:, column])
    site = np.nan_to_num(arrays["site_energies"][:, 0 if column == 0 else 1])
    ends = _ends(store)
    level = np.maximum(edge, site[ends].max(axis=1)) if closed else edge
    for end in ends.T:
        np.minimum.at(site, end, edge)
    return site, level


def _ends(store: GraphStore) -> NDArray[np.int64]:
    first = np.repeat(store.pointers["site"][:-1], np.diff(store.pointers["edge"]))
    ends: NDArray[np.int64] = store.arrays["ends"] + first[:, None]
    return ends


def energies_known(store: GraphStore) -> NDArray[np.bool_]:
    """(G,) whether each structure has its energies."""
    known: NDArray[np.bool_] = np.isfinite(store.arrays["site_energies"][store.pointers["site"][:-1], 0])
    return known


def level_columns(store: GraphStore) -> Singles:
    """(G, 25) what a model reads of `plain_levels`: log10 of eV, cut at 0.01 and 30; the last column: 1 where known."""
    levels, known = plain_levels(store), energies_known(store)
    cut = np.log10(np.clip(levels, _LOWEST, _HIGHEST)).reshape(len(store), -1)
    return np.column_stack([np.where(known[:, None], cut, 0.0), known]).astype(np.float32)


def landmark_columns(store: GraphStore) -> dict[str, Singles]:
    """What a model reads of the energies of voids and bottlenecks; zeros where they are not known.

    Returns:
        ``site_landmark`` (n, 5) and ``edge_landmark`` (E, 8): compressed energies and heights above the ground, the
        last column 1 where known; ``site_base`` (n,) and ``edge_base`` (E, 2): heights above the ground (eV) of
        `levels_of` the passes, open and closed.
    """
    arrays, pointers = store.arrays, store.pointers
    site, edge = np.nan_to_num(arrays["site_energies"]), np.nan_to_num(arrays["edge_energies"])
    known = energies_known(store)
    ground = site[pointers["site"][:-1], 2]
    of_site, of_edge = (np.repeat(ground, np.diff(pointers[group])) for group in ("site", "edge"))
    valley = site[:, 1][_ends(store)].max(axis=1)
    low, opened = levels_of(store, 2, closed=False)
    _, closed = levels_of(store, 2, closed=True)
    columns = {
        "site_landmark": [*_compressed(site[:, :2], ENERGY_SCALE), *_compressed(site[:, :2] - of_site[:, None])],
        "edge_landmark": [
            *_compressed(edge, ENERGY_SCALE),
            *_compressed(edge - of_edge[:, None]),
            *_compressed((edge[:, 2] - valley)[:, None]),
        ],
    }
    out = {
        name: np.column_stack([*parts, np.repeat(known, np.diff(pointers[name[:4]]))]).astype(np.float32)
        for name, parts in columns.items()
    }
    out["site_base"] = _height(low - of_site)
    out["edge_base"] = np.column_stack([_height(opened - of_edge), _height(closed - of_edge)])
    return out


def _compressed(energy: Singles, scale: float = _NEAR_SCALE) -> list[Singles]:
    return list(np.arcsinh(energy / np.float32(scale)).T)


def _height(energy: Singles) -> Singles:
    over = np.maximum(energy - np.float32(_LINEAR), np.float32(0.0))
    return np.asarray(energy - over + np.log1p(over), np.float32)
