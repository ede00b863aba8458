"""What models are trained on: log10 of a barrier in eV, and the rule for barriers that have none.

Rule: a barrier below `FLOOR` counts as `FLOOR` (the published barriers are multiples of 10/1024 eV, so that smaller
ones carry no information); a barrier that is infinite (the ion cannot percolate) or above `CEILING` is no regression
label: it is masked out of the loss and of every score, and the number of such structures is reported beside the
scores. Nothing conducts over 5 eV, and the BVSE energy there is the repulsive wall of the Morse potential. Models that
say so (`fastin.ml.models.GraphModel.censored`) learn of such a barrier that it is above the ceiling, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.ml.store import LABELS

FLOOR = 0.01  # eV
CEILING = 5.0  # eV


def to_targets(barriers: NDArray[Any], *, censored: bool = False) -> NDArray[np.float64]:
    """log10(barrier / eV) with the rule above; NaN where there is no regression label.

    Args:
        barriers: eV.
        censored: barriers above the ceiling and infinite ones become ``inf`` instead of NaN.
    """
    barriers = np.asarray(barriers, np.float64)
    usable = np.isfinite(barriers) & (barriers <= CEILING)
    out = np.full(barriers.shape, np.nan)
    if censored:
        out[barriers > CEILING] = np.inf
    out[usable] = np.log10(np.maximum(barriers[usable], FLOOR))
    return out


def to_barriers(targets: NDArray[Any]) -> NDArray[np.float64]:
    """Barriers in eV of predicted targets."""
    return np.asarray(10.0 ** np.asarray(targets, np.float64))


def label_columns(names: Sequence[str]) -> list[int]:
    """Columns of `GraphStore.labels` by name.

    Raises:
        InputError: an unknown name.
    """
    for name in names:
        if name not in LABELS:
            raise InputError(f"unknown target {name!r}: choose from {', '.join(LABELS)}")
    return [LABELS.index(name) for name in names]


def label_summary(barriers: NDArray[Any]) -> dict[str, int]:
    """How many labels are usable, infinite, above the ceiling, missing."""
    barriers = np.asarray(barriers, np.float64)
    return {
        "usable": int((np.isfinite(barriers) & (barriers <= CEILING)).sum()),
        "infinite": int(np.isinf(barriers).sum()),
        "above_ceiling": int((np.isfinite(barriers) & (barriers > CEILING)).sum()),
        "missing": int(np.isnan(barriers).sum()),
    }
