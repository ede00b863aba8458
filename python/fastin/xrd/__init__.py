"""Powder X-ray diffraction patterns, and XRDMatch: superionic conductors from few labels.

Names are loaded at first use; patterns and the shipped classifier need neither torch nor scikit-learn.
"""

from __future__ import annotations

from fastin.runtime.late import lazy_names

_HOME = {
    "WAVELENGTHS": "fastin.xrd.pattern",
    "PowderPeaks": "fastin.xrd.pattern",
    "xrd_pattern": "fastin.xrd.pattern",
    "xrd_patterns": "fastin.xrd.pattern",
    "xrd_peaks": "fastin.xrd.pattern",
    "XRDMatch": "fastin.xrd.match",
    "TrainConfig": "fastin.xrd.settings",
    "DomainWarning": "fastin.xrd.domain",
    "read_pattern": "fastin.xrd.measured",
    "prepare_measured": "fastin.xrd.measured",
    "rank_candidates": "fastin.xrd.report",
    "PeakProfile": "fastin.xrd.profiles",
}

__all__ = sorted(_HOME)


__getattr__, __dir__ = lazy_names(__name__, _HOME, globals())
