"""Grid shapes that a space group maps onto themselves, and the group acting on grid indices."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastin.runtime.arrays import distinct

#: (24, 1, 1) the denominators of fractions that operations may hold, smallest first
DENOMINATORS = np.arange(1.0, 25.0)[:, None, None]
_AT_ONCE = 4096  # operations whose fractions are tried together: supercells have 10^5


def slices_of(count: int) -> list[slice]:
    """Slices of at most `_AT_ONCE` that cover so many rows."""
    return [slice(begin, begin + _AT_ONCE) for begin in range(0, count, _AT_ONCE)]


def denominators_of(translations: NDArray[np.float64]) -> NDArray[np.int64]:
    """(G, 3) smallest denominators up to 24 of the translations' components; 0 where there is none."""
    found = np.zeros(translations.shape, dtype=np.int64)
    for some in slices_of(len(translations)):
        scaled = translations[some] * DENOMINATORS
        fits = np.abs(scaled - np.rint(scaled)) < 1e-8
        found[some] = np.where(fits.any(axis=0), fits.argmax(axis=0) + 1, 0)
    return found


def commensurate_shape(
    base: tuple[int, int, int], rotations: NDArray[np.int32], denominators: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Smallest shape, not below `base`, on which the operations map points on points."""
    linked = (rotations != 0).any(axis=0)
    linked |= linked.T
    linked = (linked.astype(np.int32) @ linked.astype(np.int32)) > 0  # transitive: three axes
    multiple = [math.lcm(*(int(d) for d in distinct(denominators[:, axis]))) for axis in range(3)]
    shape = [0, 0, 0]
    for axis in range(3):
        group = [other for other in range(3) if linked[axis, other]]
        step = math.lcm(*(multiple[other] for other in group))
        shape[axis] = -(-max(base[other] for other in group) // step) * step
    return shape[0], shape[1], shape[2]


def grid_operations(
    shape: tuple[int, int, int], rotations: NDArray[np.int32], translations: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The operations that map grid points on grid points, acting on indices: ``i' = rotation @ i + shift``."""
    n = np.array(shape)
    numerator = rotations * n[:, None]
    whole = (numerator % n[None, :] == 0).all(axis=(1, 2))
    shift = translations * n
    whole &= (np.abs(shift - np.round(shift)) < 1e-6).all(axis=1)
    return (
        np.ascontiguousarray(numerator[whole] // n[None, :], dtype=np.int32),
        np.ascontiguousarray(np.round(shift[whole]), dtype=np.int32),
    )


def spline_shape(
    base: tuple[int, int, int], rotations: NDArray[np.int32], translations: NDArray[np.float64]
) -> tuple[tuple[int, int, int], tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Shape with the fewest points to compute among `base` and the one commensurate with the space group.

    Returns:
        The shape, and the operations that map its points on points (`grid_operations`).
    """
    operations = grid_operations(base, rotations, translations)
    denominators = denominators_of(translations)
    rational = (denominators > 0).all(axis=1)
    if np.count_nonzero(rational) < 2:
        return base, operations
    better = commensurate_shape(base, rotations[rational], denominators[rational])
    if better == base:
        return base, operations
    more = grid_operations(better, rotations, translations)
    cost, gain = (math.prod(s) / max(1, len(o[0])) for s, o in ((base, operations), (better, more)))
    return (better, more) if gain < cost else (base, operations)
