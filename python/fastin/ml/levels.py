"""What a model reads of the energies of `fastin.ml.landmarks`, and what plain percolation makes of them without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.ml.pair_terms import ENERGY_SCALE
from fastin.ml.store import GraphStore, first_rows
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
    pointers, arrays = store.pointers, store.arrays
    out: NDArray[np.float32] = np.full((len(store), len(VARIANTS), 3, 2), np.nan, np.float32)
    known = energies_known(store)
    if not known.any():
        return out
    first = pointers["site"][:-1]
    cover_site = arrays["cover_site"] + first_rows(pointers, "site", "cover_site")
    cover_edge = arrays["cover_edge"] + first_rows(pointers, "edge", "cover_edge")
    site, edge = (levels[:, cover] for levels, cover in zip(_levels(store), (cover_site, cover_edge), strict=True))
    saddle, lowest = critical_of_each(pointers, arrays, site, edge)
    there = saddle != NONE
    top = np.take_along_axis(edge, np.where(there, saddle, 0).reshape(len(VARIANTS), -1), axis=1).reshape(there.shape)
    own = np.take_along_axis(site, np.where(there, lowest, 0).reshape(len(VARIANTS), -1), axis=1).reshape(there.shape)
    ground = _known(arrays["site_energies"][first, 2])[:, None]
    for zero, level in enumerate((ground, own)):
        out[..., zero] = np.maximum.accumulate(np.where(there, top - level, np.inf), axis=2).swapaxes(0, 1)
    out[~known] = np.nan
    return out


def critical_of_each(
    pointers: Mapping[str, NDArray[np.int64]], arrays: Mapping[str, NDArray[Any]], site: Singles, edge: Singles
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What sets the percolation levels of the full networks of a store, for several sets of levels at once.

    Args:
        pointers: of the store.
        arrays: of the store.
        site: (M, V) levels of the voids of the full networks.
        edge: (M, B) levels of their bottlenecks.

    Returns:
        (M, G, 3) bottleneck that sets the level in 1, 2, 3 dimensions and lowest void of its component, as rows of the
        full network; `NONE` where nothing percolates.
    """
    sets, graphs = len(site), len(pointers["cover_site"]) - 1

    def repeated(name: str) -> NDArray[np.int64]:
        """The pointer of the same graphs once for every set."""
        pointer = pointers[name]
        starts = pointer[:-1] + np.arange(sets)[:, None] * pointer[-1]
        return np.append(starts.ravel(), sets * pointer[-1]).astype(np.int64)

    found = _core.critical_elements(
        repeated("cover_site"),
        repeated("cover_edge"),
        np.ascontiguousarray(np.tile(arrays["cover_ends"], (sets, 1)), np.int32),
        np.ascontiguousarray(np.tile(arrays["cover_image"], (sets, 1)), np.int32),
        np.ascontiguousarray(site, np.float32).ravel(),
        np.ascontiguousarray(edge, np.float32).ravel(),
        1,
    )
    out = []
    for rows, values in zip(found, (edge, site), strict=True):
        rows = rows.reshape(sets, graphs, 3)
        offset = np.arange(sets)[:, None, None] * values.shape[1]
        out.append(np.where(rows != NONE, rows - offset, NONE))
    return out[0], out[1]


def _levels(store: GraphStore) -> tuple[Singles, Singles]:
    """(4, n), (4, E) eV of voids and bottlenecks for each of `VARIANTS`; 0 where they are not known.

    A void counts as low as its valley and as the lowest that was met at its bottlenecks: what is beside it is open to
    the ion. A bottleneck that is closed counts at least as high as the valleys of its voids.
    """
    ends = _ends(store)
    raw = _known(store.arrays["edge_energies"])
    own = _known(store.arrays["site_energies"])[:, [0, 1, 1]]  # beside each column of the bottlenecks' energies
    higher = own[ends].max(axis=1)
    low = [_lowered(own[:, k], raw[:, k], ends) for k in range(raw.shape[1])]
    level = [np.maximum(raw[:, k], higher[:, k]) if closed else raw[:, k] for k, closed in VARIANTS]
    return np.stack([low[k] for k, _ in VARIANTS]), np.stack(level)


def _lowered(site: Singles, edge: Singles, ends: NDArray[np.int64]) -> Singles:
    """(n,) energies of voids, or the lowest of their bottlenecks' where that is lower."""
    low = site.copy()
    np.minimum.at(low, ends.ravel(), np.repeat(edge, 2))
    return low


def _known(energy: Singles) -> Singles:
    """The energies, 0 where there are none."""
    return np.where(np.isnan(energy), np.float32(0.0), energy)


def _ends(store: GraphStore) -> NDArray[np.int64]:
    ends: NDArray[np.int64] = store.arrays["ends"] + first_rows(store.pointers, "site", "edge")[:, None]
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
        voids and passes, these open and closed, as in `VARIANTS`.
    """
    arrays, pointers = store.arrays, store.pointers
    site, edge, ends = _known(arrays["site_energies"]), _known(arrays["edge_energies"]), _ends(store)
    known = energies_known(store)
    ground = site[pointers["site"][:-1], 2]
    of_site, of_edge = (np.repeat(ground, np.diff(pointers[group])) for group in ("site", "edge"))
    valley, opened = site[:, 1][ends].max(axis=1), edge[:, 2]
    low, closed = _lowered(site[:, 1], opened, ends), np.maximum(opened, valley)
    columns = {
        "site_landmark": [*_compressed(site[:, :2], ENERGY_SCALE), *_compressed(site[:, :2] - of_site[:, None])],
        "edge_landmark": [
            *_compressed(edge, ENERGY_SCALE),
            *_compressed(edge - of_edge[:, None]),
            *_compressed((opened - valley)[:, None]),
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
