"""Powder X-ray diffraction patterns, and XRDMatch: superionic conductors from few labels.

Names are loaded at first use; patterns need neither torch nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "WAVELENGTHS": "fastin.xrd.pattern",
    "PowderPeaks": "fastin.xrd.pattern",
    "xrd_pattern": "fastin.xrd.pattern",
    "xrd_patterns": "fastin.xrd.pattern",
    "xrd_peaks": "fastin.xrd.pattern",
    "XRDMatch": "fastin.xrd.match",
    "TrainConfig": "fastin.xrd.training",
    "DomainWarning": "fastin.xrd.domain",
    "read_pattern": "fastin.xrd.measured",
    "prepare_measured": "fastin.xrd.measured",
    "rank_candidates": "fastin.xrd.report",
    "PeakProfile": "fastin.xrd.profiles",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'fastin.xrd' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
