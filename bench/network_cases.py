"""Crystals for the tessellation and network benchmarks; every seed is fixed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

#: framework atoms of the synthetic cases: a distorted anion lattice with two sizes of spheres
SIZES = (12, 48, 136, 216, 1008, 5040, 10000)


def synthetic(n: int) -> tuple[Any, Any, Any]:
    """n spheres on a distorted grid, 16 A^3 each (the density of an oxide framework), in a triclinic cell."""
    rng = np.random.default_rng(n)
    edge = np.cbrt(16.0 * n)
    cell = edge * np.array([[1.0, 0.0, 0.0], [0.1, 0.98, 0.0], [-0.15, 0.08, 1.03]])
    per_side = int(np.ceil(np.cbrt(n)))
    grid = np.array(list(np.ndindex(per_side, per_side, per_side)), float)
    chosen = grid[np.sort(rng.permutation(len(grid))[:n])]
    frac = (chosen + rng.uniform(-0.18, 0.18, chosen.shape)) / per_side
    return cell, np.ascontiguousarray(frac), rng.choice([1.24, 0.9], n, p=[0.7, 0.3])


def rock_salt(multiple: int) -> tuple[Any, Any, Any]:
    """Rock salt supercell: every vertex is degenerate."""
    anions = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    basis = np.concatenate([anions, anions + np.array([0.5, 0, 0])])
    steps = np.array(list(np.ndindex(multiple, multiple, multiple)), float)
    frac = ((basis + steps[:, None]) / multiple).reshape(-1, 3) % 1
    return 5.6 * multiple * np.eye(3), frac, np.tile(np.repeat([1.67, 0.9], 4), len(steps))


def garnet(shared: Path) -> tuple[Any, Any, Any, Any, Any]:
    """Tetragonal Li7La3Zr2O12 without lithium (136 atoms) and its 32 operations, from the shared references."""
    path = shared / "reference" / "network" / "cavd_icsd_246817_LLZO.json.gz"
    with gzip.open(path, "rt") as stream:
        given = json.load(stream)["input"]
    frac = np.array([a["frac"] for a in given["atoms"]])
    radius = np.array([a["radius"] for a in given["atoms"]])
    rotations, translations = [], []
    for text in given["symmetry_ops"]:
        parts = text.replace(" ", "").split(",")
        zero = [eval(p, {"__builtins__": {}}, {"x": 0, "y": 0, "z": 0}) for p in parts]
        columns = [
            [eval(p, {"__builtins__": {}}, {"x": 0, "y": 0, "z": 0} | {name: 1}) for p in parts] for name in "xyz"
        ]
        rotations.append(np.rint(np.array(columns).T - np.array(zero)[:, None]))
        translations.append(zero)
    return (
        np.array(given["lattice"], float),
        frac,
        radius,
        np.ascontiguousarray(rotations, np.int32),
        np.ascontiguousarray(translations, np.float64),
    )


def per_atom(benchmark: Any, n: int) -> None:
    """Notes the number of atoms and, where a time was taken, microseconds an atom."""
    benchmark.extra_info["atoms"] = n
    if benchmark.stats is not None:
        benchmark.extra_info["us_per_atom"] = 1e6 * benchmark.stats.stats.min / n
