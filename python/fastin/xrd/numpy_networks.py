"""`fastin.xrd.model.SmallNet` for prediction in numpy: the same numbers without torch and its start-up.

Everything is computed in double precision; torch's single precision is off by more than the two differ. Other networks,
and settings or weights that are not known here, are left to torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.xrd.settings import COARSE_BINS, COARSE_FACTOR, PATTERN_BINS, PATTERN_STEP, PRESETS, TrainConfig, coarsened

_STEP = PATTERN_STEP * COARSE_FACTOR  # degrees
_SCALE = 0.25  # root mean square of a broadened channel
_KERNEL_REACH = 30  # bins to either side of a broadened stick
_SETTINGS = {"hidden", "fwhm", "first", "dropout"}
_FWHM, _FIRST = (0.3,), 5.0  # degrees: the defaults of `SmallNet`
_NAMES = ("front.centre", "layers.1.weight", "layers.1.bias", "layers.4.weight", "layers.4.bias")


class NumpySmallNets:
    """All members of an ensemble of `SmallNet`.

    Args:
        members: state dictionary of each member, in numpy.
        config: how they were trained.

    Raises:
        KeyError, ValueError: weights or settings of something else.
    """

    def __init__(self, members: Sequence[Mapping[str, Any]], config: TrainConfig) -> None:
        settings = config.network_settings
        if config.network != "small" or set(settings) - _SETTINGS:
            raise ValueError("not the small network")
        if any(set(member) != set(_NAMES) for member in members):
            raise ValueError("weights of another network")
        offset = np.arange(-_KERNEL_REACH, _KERNEL_REACH + 1) * _STEP
        widths = [float(width) for width in settings.get("fwhm", _FWHM)]
        kernels = [np.exp(-4.0 * math.log(2.0) * (offset / width) ** 2) for width in widths]
        self.kernels = np.stack([k / k.sum() for k in kernels], axis=1)
        self.skip = round(float(settings.get("first", _FIRST)) / _STEP / 2)
        self.cut = PRESETS[config.preset].intensity_cut
        length = (COARSE_BINS + 1) // 2 - self.skip
        self.members = []
        for member in members:
            centre, hidden, bias, out, last = (np.asarray(member[name], dtype=np.float64) for name in _NAMES)
            shapes = ((len(widths), length), (len(bias), len(widths) * length), (2, len(bias)), (2,))
            if (centre.shape, hidden.shape, out.shape, last.shape) != shapes or bias.ndim != 1:
                raise ValueError("weights of other shapes")
            # What counts is the difference of the two outputs.
            self.members.append((centre.reshape(-1), hidden.T, bias, out[1] - out[0], last[1] - last[0]))

    def logits(self, patterns: NDArray[np.float32]) -> NDArray[np.float64]:
        """(members, N) log odds of the second class.

        Args:
            patterns: (N, 4501) sticks, or (N, 901).

        Raises:
            InputError: another number of bins.
        """
        if patterns.ndim != 2 or patterns.shape[1] not in (PATTERN_BINS, COARSE_BINS):
            raise InputError(f"patterns must be (N, {PATTERN_BINS}) on 0 to 90 degrees, not {patterns.shape}")
        out = np.zeros((len(self.members), len(patterns)))
        for start in range(0, len(patterns), 512):
            inputs = self._inputs(patterns[start : start + 512])
            for row, (centre, hidden, bias, weight, last) in zip(out, self.members, strict=True):
                units = np.maximum((inputs - centre) @ hidden + bias, 0.0)
                row[start : start + 512] = units @ weight + last
        return out

    def _inputs(self, patterns: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, channels * length) broadened, rooted, scaled; not centred."""
        rows = patterns if patterns.shape[1] == COARSE_BINS else coarsened(patterns)
        low = rows.min(axis=1, keepdims=True)
        span = rows.max(axis=1, keepdims=True) - low
        scaled = np.where(span > 0, (rows - low) / np.maximum(span, np.float32(1e-30)), np.float32(0.0))
        if self.cut > 0:
            scaled = np.where(scaled < self.cut, np.float32(0.0), scaled)
        padded = np.pad(scaled.astype(np.float64), ((0, 0), (_KERNEL_REACH, _KERNEL_REACH)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _KERNEL_REACH + 1, axis=1)[:, ::2]
        broad = (np.ascontiguousarray(windows[:, self.skip :]) @ self.kernels).swapaxes(1, 2)
        root = np.sqrt(np.maximum(broad, 0.0) + 1e-8)
        root *= _SCALE / np.sqrt(np.square(root).mean(axis=2, keepdims=True))
        return np.ascontiguousarray(root).reshape(len(rows), -1)
