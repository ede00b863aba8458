"""Small array helpers with precise types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sum_by(group: NDArray[Any], values: NDArray[Any], count: int = 0) -> NDArray[np.float64]:
    """Sum of `values` over each integer label of `group`, at least `count` labels long."""
    return np.bincount(group, weights=values, minlength=count).astype(np.float64, copy=False)
