"""Which positions of a partly filled sublattice hold ions in one ordered cell: the right number, kept apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastin.transport.parts import FloatArray, periodic_distances

_RANGE = 2.0  # angstrom: decay of the repulsion between ions; only which arrangement is lowest matters
_SWEEPS = 300  # exchanges tried for each position while the temperature falls
_MOST_STEPS = 200_000
_HOT, _COLD = 1.0, 0.01  # of the repulsion of two ions 2 A apart


def spread_out(
    cell: FloatArray,
    frac: FloatArray,
    occupancy: FloatArray,
    count: int,
    taken: FloatArray,
    seed: int = 0,
) -> npt.NDArray[np.bool_]:
    """Chooses `count` of the positions so that the ions repel each other least (seeded annealing).

    The repulsion is a screened Coulomb sum over the nearest images; positions with a higher occupancy are preferred by
    ``-log(occupancy / (1 - occupancy))`` of a tenth of the repulsion of two ions 2 A apart.

    Args:
        cell: (3, 3) lattice vectors in rows, angstrom.
        frac: (P, 3) positions that may be filled.
        occupancy: (P,) how often the crystal fills them.
        count: ions to place, at most P.
        taken: (T, 3) ions that are there in any case.
        seed: of the annealing.

    Returns:
        (P,) which of them are filled.
    """
    chosen = np.zeros(len(frac), dtype=np.bool_)
    if count >= len(frac) or count <= 0:
        chosen[:] = count > 0
        return chosen
    unit = np.exp(-2.0 / _RANGE) / 2.0

    def repulsion(distance: FloatArray) -> FloatArray:
        r = np.maximum(distance, 0.1)
        energy: FloatArray = np.exp(-r / _RANGE) / r / unit
        return energy

    pair = repulsion(periodic_distances(cell, frac, frac))
    np.fill_diagonal(pair, 0.0)
    held = np.clip(occupancy, 0.01, 0.99)
    single = repulsion(periodic_distances(cell, frac, taken)).sum(axis=1) if len(taken) else np.zeros(len(frac))
    single = single - 0.1 * np.log(held / (1.0 - held))
    rng = np.random.default_rng(seed)
    chosen[rng.choice(len(frac), size=count, replace=False, p=held / held.sum())] = True
    field = single + pair[:, chosen].sum(axis=1)
    steps = min(_SWEEPS * len(frac), _MOST_STEPS)
    best, energy, lowest = chosen.copy(), 0.0, 0.0
    inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    draws = rng.random((steps, 3))
    for step in range(steps):
        heat = _HOT * (_COLD / _HOT) ** (step / steps)
        m, n = int(draws[step, 0] * count), int(draws[step, 1] * (len(frac) - count))
        i, j = inside[m], outside[n]
        gain = field[j] - field[i] - pair[i, j]
        if gain > 0 and draws[step, 2] >= np.exp(-gain / heat):
            continue
        chosen[i], chosen[j] = False, True
        inside[m], outside[n] = j, i
        field += pair[j] - pair[i]
        energy += gain
        if energy < lowest - 1e-12:
            best, lowest = chosen.copy(), energy
    return best
