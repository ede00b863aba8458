"""Small array helpers with precise types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sum_by(group: NDArray[Any], values: NDArray[Any], count: int = 0) -> NDArray[np.float64]:
    """Sum of `values` over each integer label of `group`, at least `count` labels long."""
    return np.bincount(group, weights=values, minlength=count).astype(np.float64, copy=False)


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Distinct values, ascending: ``np.unique`` without its import of ``numpy.ma``, which takes as long as reading."""
    ordered = np.sort(values, axis=None)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def ranges(start: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """``start[k], start[k] + 1, ...``, ``count[k]`` of each, one after the other."""
    found: NDArray[np.int64] = np.arange(count.sum()) + np.repeat(start - (np.cumsum(count) - count), count)
    return found
