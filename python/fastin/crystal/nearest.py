"""Nearest atoms of any points of a periodic crystal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastin.runtime.openmp import _core

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

#: How many framework atoms describe a void or a bottleneck (the seed paper's choice).
NEIGHBOURS = 12


def nearest_atoms(
    cell: Floats,
    atom_frac: Floats,
    atom_key: Ints,
    points: Floats,
    k: int = NEIGHBOURS,
    *,
    skip: Ints | None = None,
    num_threads: int = 1,
) -> tuple[Ints, Ints, Floats]:
    """The k nearest atoms of each point over all periodic images, nearest first.

    Atoms whose distances differ by less than 1e-3 angstrom come in the order of `atom_key`, so that the answer does
    not depend on the order of the atoms.

    Args:
        cell: (3, 3) rows are the lattice vectors, angstrom.
        atom_frac: (N, 3) fractional coordinates.
        atom_key: (N,) int32, the order among equidistant atoms.
        points: (P, 3) fractional coordinates.
        k: neighbours a point.
        skip: (P,) int32, an atom whose own image is left out, or -1.
        num_threads: threads to use.

    Returns:
        Atom (P, k) int32, image (P, k, 3) int32 and distance (P, k) angstrom.
    """
    left_out = np.empty(0, np.int32) if skip is None else np.ascontiguousarray(skip, np.int32)
    found: tuple[Ints, Ints, Floats] = _core.nearest_atoms(
        np.ascontiguousarray(cell, np.float64),
        np.ascontiguousarray(atom_frac, np.float64),
        np.ascontiguousarray(atom_key, np.int32),
        np.ascontiguousarray(points, np.float64),
        int(k),
        left_out,
        int(num_threads),
    )
    return found
