"""Diffusivities as slopes of mean square displacements, with errors; see `fastin.transport.simulation`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastin.transport.kinetics import FloatArray

_CM2_PER_A2 = 1e-16
_HALVINGS = 3  # the slope of the mean square displacement is taken between t / 2^3 and t
_FEWEST = 32  # blocks, all replicas together: the longest time has at least so many
_PLATEAU = 2.0  # errors within which the slopes of longer times agree


def tensor(rows: FloatArray) -> FloatArray:
    """(..., 6) xx, yy, zz, yz, xz, xy -> (..., 3, 3)."""
    out: FloatArray = rows[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return out


def spread(samples: FloatArray, replica: npt.NDArray[np.int64]) -> FloatArray:
    """Standard error of the mean over blocks, or over replicas where that is larger; samples on the first axis."""
    n = len(samples)
    if n < 2:
        return np.full(samples.shape[1:], np.inf)
    error = samples.std(axis=0, ddof=1) / math.sqrt(n)
    names = np.unique(replica)
    if len(names) >= 4:
        means = np.stack([samples[replica == k].mean(axis=0) for k in names])
        error = np.maximum(error, means.std(axis=0, ddof=1) / math.sqrt(len(names)))
    out: FloatArray = error
    return out


@dataclass(frozen=True)
class Slopes:
    """Samples of the diffusivity at one time."""

    time: float  # s
    tracer: FloatArray  # (n, 6) cm^2/s
    charge: FloatArray  # (n, 6)
    replica: npt.NDArray[np.int64]  # (n,)

    def means(self) -> FloatArray:
        """(2,) of the traces of tracer and charge."""
        return np.array([self.tracer[:, :3].sum(axis=1).mean(), self.charge[:, :3].sum(axis=1).mean()])

    def errors(self) -> FloatArray:
        """(2,) their errors."""
        traces = np.stack([self.tracer[:, :3].sum(axis=1), self.charge[:, :3].sum(axis=1)], axis=1)
        return spread(traces, self.replica)


def slopes_of(found: dict[str, Any], levels: int) -> list[Slopes]:
    """By rising time; as many times as leave enough blocks."""
    out = []
    for level in range(_HALVINGS, levels + 1):
        time = found["piece_time"] * 2**level
        scale = _CM2_PER_A2 / (2.0 * time * (1.0 - 0.5**_HALVINGS))
        columns: dict[str, list[FloatArray]] = {"tracer": [], "charge": []}
        replica = []
        for k, row in enumerate(found["replicas"]):
            counts = [row["pieces"] >> n for n in range(levels + 1)]
            start = np.concatenate([[0], np.cumsum(counts)])
            n = counts[level]
            for name, samples in columns.items():
                whole = row[name][start[level] : start[level] + n]
                short = start[level - _HALVINGS]
                parts = row[name][short : short + n * 2**_HALVINGS].reshape(n, 2**_HALVINGS, 6)
                samples.append(scale * (whole - parts.mean(axis=1)))
            replica.append(np.full(n, k))
        if sum(map(len, replica)) < _FEWEST:
            break
        out.append(
            Slopes(time, np.concatenate(columns["tracer"]), np.concatenate(columns["charge"]), np.concatenate(replica))
        )
    return out


def plateau(slopes: Sequence[Slopes]) -> tuple[Slopes, bool]:
    """The time after the shortest whose slopes agree with those of all longer times, and whether there is one."""
    means, errors = [s.means() for s in slopes], [s.errors() for s in slopes]
    for k in range(len(slopes) - 1):
        if all((np.abs(means[k] - means[n]) <= _PLATEAU * errors[n]).all() for n in range(k + 1, len(slopes))):
            return slopes[k + 1], True
    return slopes[-1], False
