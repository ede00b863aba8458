"""Barriers of an ion some of whose positions other species hold: explicit choices of the blocked ones on the network.

The energy leaves out what shares the ion's positions (`fastin.bvse.shared`); here it blocks them. In a supercell the
shares of the other species are drawn at random, the sites of the drawn positions are taken out with their hops, and the
barrier is that of the percolation of what is left. It tells where the ion must make detours or is shut in; what the
species do to the energies of their neighbours it does not know.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError
from fastin.runtime.openmp import _core
from fastin.transport.parts import FloatArray, Hops, Positions, Sites

_POSITIONS = 150  # positions in a supercell, at least: a dimension that percolates by chance counts less
_MOST_CHOICES = 100_000
_EQUAL = 1e-9


def multiples_for(cell: FloatArray, positions: int) -> npt.NDArray[np.int64]:
    """(3,) multiples of the cell vectors with enough positions, about as long along each."""
    lengths, m = np.linalg.norm(cell, axis=1), np.ones(3, dtype=np.int64)
    while m.prod() * positions < _POSITIONS or m.min() < 2:
        m[(lengths * m).argmin() if m.min() >= 2 else m.argmin()] += 1
    return m


def _supercell(hops: Hops, sites: int, m: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Ends and images of all hops of the supercell; site s of cell c has number ``s + sites * c``."""
    cells = np.stack(np.meshgrid(*[np.arange(k) for k in m], indexing="ij"), axis=-1).reshape(-1, 3)
    ends = cells[:, None, :] + hops.image[None]
    image, home = ends // m, ends % m
    number = (home[..., 0] * m[1] + home[..., 1]) * m[2] + home[..., 2]
    here = np.arange(len(cells))[:, None] * sites + hops.index[0][None]
    there = number * sites + hops.index[1][None]
    return np.stack([here.ravel(), there.ravel()]), image.reshape(-1, 3).astype(np.int32)


def blocked_barriers(
    cell: FloatArray,
    sites: Sites,
    hops: Hops,
    positions: Positions,
    blocked: FloatArray,
    choices: int,
    seed: int,
) -> FloatArray:
    """Barriers of random choices of the blocked positions.

    Args:
        cell: (3, 3) lattice vectors in rows, angstrom.
        sites: of the network.
        hops: of the network.
        positions: of the ion.
        blocked: (K,) share of each position that other species hold.
        choices: how many to draw.
        seed: of the draws.

    Returns:
        (choices, 3) barriers in 1, 2, 3 dimensions, eV above the lowest site of the component that percolates; inf
        where none does below the cutoff.
    """
    if not 1 <= choices <= _MOST_CHOICES or seed < 0:
        raise InputError(f"choices must be 1 to {_MOST_CHOICES:,}, seed 0 or more; not {choices} and {seed}")
    m = multiples_for(cell, max(1, len(positions)))
    count, copies = len(sites), int(m.prod())
    index, image = _supercell(hops, count, m)
    energy = np.tile(hops.energy, copies)
    depth = np.tile(sites.energy, copies)
    rng = np.random.default_rng(seed)
    out = np.full((choices, 3), math.inf)
    for choice in range(choices):
        taken = _taken(positions, blocked, copies, rng)
        shut = np.zeros(count * copies, dtype=np.bool_)
        for position, site in zip(positions.basin_position, positions.basin_site, strict=True):
            shut[np.flatnonzero(taken[position]) * count + site] = True
        free = ~(shut[index[0]] | shut[index[1]])
        out[choice] = _barriers(depth, index[:, free], image[free], energy[free])
    return out


def _taken(positions: Positions, blocked: FloatArray, copies: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(K, copies) positions drawn: of those with one share the right number."""
    taken = np.zeros((len(positions), copies), dtype=np.bool_)
    for share in np.unique(np.round(blocked, 6)):
        members = np.flatnonzero(np.abs(blocked - share) < 1e-6)
        places = len(members) * copies
        drawn = rng.choice(places, round(share * places), replace=False)
        taken[members[drawn // copies], drawn % copies] = True
    return taken


def _barriers(
    depth: FloatArray, index: npt.NDArray[np.int64], image: npt.NDArray[np.int32], energy: FloatArray
) -> FloatArray:
    levels, out = np.unique(energy), np.full(3, math.inf)
    for d in (1, 2, 3):
        low, high = 0, len(levels)
        while low < high:
            middle = (low + high) // 2
            if _lowest(depth, index, image, energy, float(levels[middle]), d) < math.inf:
                high = middle
            else:
                low = middle + 1
        if low < len(levels):
            out[d - 1] = levels[low] - _lowest(depth, index, image, energy, float(levels[low]), d)
    return out


def _lowest(
    depth: FloatArray,
    index: npt.NDArray[np.int64],
    image: npt.NDArray[np.int32],
    energy: FloatArray,
    level: float,
    dimensions: int,
) -> float:
    """Lowest site of the components that reach so many dimensions up to a level; inf where none does."""
    below = energy <= level + _EQUAL
    dims, start, members, _, _ = _core.channels(
        np.zeros(len(depth)),
        np.ascontiguousarray(index[:, below]),
        np.ascontiguousarray(image[below]),
        np.zeros(int(below.sum())),
        -1.0,
    )
    found = [depth[members[start[k] : start[k + 1]]].min() for k, d in enumerate(dims) if d >= dimensions]
    return float(min(found, default=math.inf))
