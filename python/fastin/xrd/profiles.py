"""Peak shapes of powder patterns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError

_FRACTION = {"gaussian": 0.0, "lorentzian": 1.0}


@dataclass(frozen=True)
class PeakProfile:
    """Pseudo-Voigt peaks with a Caglioti width.

    ``fwhm^2 = u tan^2(theta) + v tan(theta) + w`` (G. Caglioti, A. Paoletti, F. P. Ricci, Nucl. Instrum. 3, 223
    (1958)); the Lorentzian part has the same width as the Gaussian one.

    Attributes:
        u, v, w: degrees^2.
        lorentzian_fraction: 0 Gaussian ... 1 Lorentzian.
    """

    u: float = 0.0
    v: float = 0.0
    w: float = 0.01
    lorentzian_fraction: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.lorentzian_fraction <= 1.0:
            raise InputError(f"lorentzian_fraction must lie in [0, 1], not {self.lorentzian_fraction}")
        if not all(math.isfinite(x) for x in (self.u, self.v, self.w)):
            raise InputError("the Caglioti parameters must be finite")

    @classmethod
    def named(cls, shape: str, fwhm: float, *, lorentzian_fraction: float = 0.5) -> PeakProfile:
        """A profile of one width (degrees): ``"gaussian"``, ``"lorentzian"`` or ``"pseudo-voigt"``."""
        if not (fwhm > 0.0 and math.isfinite(fwhm)):
            raise InputError(f"fwhm must be positive, not {fwhm}")
        if shape not in ("gaussian", "lorentzian", "pseudo-voigt"):
            raise InputError(f"unknown peak shape {shape!r}; use 'gaussian', 'lorentzian' or 'pseudo-voigt'")
        return cls(w=fwhm * fwhm, lorentzian_fraction=_FRACTION.get(shape, lorentzian_fraction))

    @property
    def parameters(self) -> list[float]:
        """(u, v, w, lorentzian fraction), as the core takes them."""
        return [self.u, self.v, self.w, self.lorentzian_fraction]


def smooth(patterns: NDArray[np.floating], *, fwhm: float, step: float) -> NDArray[np.float32]:
    """Gaussian broadening of patterns on a uniform grid.

    Args:
        patterns: (..., B) intensities.
        fwhm: full width at half maximum, degrees; 0 returns a copy.
        step: grid step, degrees.

    Returns:
        (..., B) float32, the kernel's sum being 1 (peak areas are kept).
    """
    if fwhm < 0.0 or step <= 0.0:
        raise InputError("fwhm must not be negative and step must be positive")
    values = np.asarray(patterns, dtype=np.float32)
    if fwhm == 0.0:
        return values.copy()
    from scipy.ndimage import gaussian_filter1d

    sigma = fwhm / (2.0 * math.sqrt(2.0 * math.log(2.0))) / step
    result: NDArray[np.float32] = gaussian_filter1d(values, sigma, axis=-1, mode="constant", truncate=4.0)
    return result
