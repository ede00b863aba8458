"""Measured diffractograms: reading, background, K-alpha2, and resampling to the grid of the models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from fastin.errors import InputError
from fastin.runtime.tables import read_table, read_text
from fastin.xrd.columns import pattern_columns
from fastin.xrd.headers import stated_wavelength
from fastin.xrd.layouts import EXPORTS, Scan, read_layout, read_vendor
from fastin.xrd.pattern import WAVELENGTHS, resolve_wavelength

#: Suffixes that `read_pattern` takes for measured patterns.
PATTERN_SUFFIXES = (
    ".xy", ".xye", ".csv", ".tsv", ".txt", ".dat", ".asc", ".prn", ".gsa", ".gsas", ".gda", ".fxye", ".gss", ".uxd",
    ".ras", ".xyd", ".chi", ".xlsx", ".xls", ".ods", *EXPORTS,
)  # fmt: skip
_K_ALPHA2_RATIO = 0.5
_DENOISING = 0.1  # degrees: noise is averaged over so much before the background is clipped
_WIDTH = 2.0  # degrees: of the background's clipping
_LOWEST_PEAK = 0.005  # of the strongest: lower maxima are taken for what the background's curve has left
_COUNTS = 1e4  # height of the strongest point while the background is clipped: the double logarithm is made for counts


@dataclass(frozen=True, eq=False)
class MeasuredPattern:
    """Intensities against 2 theta.

    Attributes:
        two_theta: (M,) degrees, rising.
        intensity: (M,) any scale.
        sigma: (M,) standard uncertainties, or ``None``.
        source: the file.
        wavelength: angstrom, where the file states it (itself, an energy, the anode) or the angles come from Q or d;
            else ``None``.
        remarks: what was assumed in reading.
        absolute: the angles come from Q or d: they belong to `wavelength` whatever the measurement's was.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64] | None = None
    source: str = "pattern"
    wavelength: float | None = None
    remarks: tuple[str, ...] = ()
    absolute: bool = False


def read_pattern(
    path: str | Path, *, x: str | None = None, columns: Sequence[int] | None = None, decimal: str | None = None
) -> MeasuredPattern:
    """Reads a measured pattern as instruments and spreadsheets write it.

    Tables in text (``.xy``, ``.xye``, ``.csv``, ``.txt``, ``.dat``): separator and decimal mark are those under which
    the columns parse; headings say which column is 2 theta, theta, Q or d, the intensity, its uncertainty. Lines "start
    step stop" (FullProf), GSAS data (STD, ESD, FXY, FXYE), Bruker UXD and Rigaku RAS too. The formats ``.xrdml``,
    ``.rasx``, ``.brml`` and Bruker's ``.raw`` (version 4) are read where fairmat-readers-xrd is installed (extra
    ``xrd``). Points are sorted by angle; points at one angle are averaged.

    Args:
        path: the file.
        x: what the first axis is, where the file does not say: "2theta", "theta", "Q" (1/angstrom), "Q-nm", "d"
            (angstrom), "d-nm", "2theta-rad", "theta-rad".
        columns: numbers (from 1) of the columns of axis, intensity and, if any, uncertainty.
        decimal: "." or ",", where both would do.

    Raises:
        InputError: the file is missing, its columns or units are unclear (the message asks), a line is not understood
            (it is shown), fewer than 10 points, angles outside 0 to 180 degrees, or values that are not finite.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    remarks: list[str] = []
    scan: Scan | None
    if suffix in EXPORTS:
        scan = read_vendor(path)
    else:
        text = read_text(path)
        scan = None if columns is not None else read_layout(text, str(path))
        if scan is None:
            table = read_table(path, decimal=decimal, text=text)
            scan, remarks = pattern_columns(table, x=x, columns=columns, with_sigma=suffix == ".xye")
        if scan.wavelength is None and (length := stated_wavelength(text, str(path))) is not None:
            scan = replace(scan, wavelength=length)
            if not math.isclose(length, WAVELENGTHS["CuKa"], rel_tol=2e-3):
                remarks.append(f"the wavelength is the file's own, {length:.5g} A")
    return _checked(scan, str(path), tuple(remarks))


def _checked(scan: Scan, source: str, remarks: tuple[str, ...]) -> MeasuredPattern:
    """Sorted, averaged over equal angles, refused where it is no pattern."""
    kept = np.isfinite(scan.two_theta)  # Q beyond the reach of the angles' wavelength
    if not np.isfinite(scan.intensity[kept]).all():
        raise InputError(f"{source}: holds values that are not finite numbers")
    if kept.sum() < 10:
        raise InputError(f"{source}: holds {kept.sum()} points (2 theta, intensity); at least 10 are needed")
    angle, inverse = np.unique(scan.two_theta[kept], return_inverse=True)
    if angle[0] < 0.0 or angle[-1] > 180.0:
        raise InputError(
            f"{source}: 2 theta runs from {angle[0]:g} to {angle[-1]:g}; degrees within 0 to 180 are needed"
        )
    if len(angle) < 0.5 * kept.sum():
        raise InputError(
            f"{source}: {kept.sum()} rows at {len(angle)} angles: decimal commas between commas, or several scans; "
            "export one scan with another separator"
        )
    if len(angle) < 10:
        raise InputError(f"{source}: holds {len(angle)} points (2 theta, intensity); at least 10 are needed")
    count = np.bincount(inverse)
    intensity = np.bincount(inverse, scan.intensity[kept]) / count
    if intensity.max() <= intensity.min():
        raise InputError(f"{source}: the intensity is the same everywhere")
    sigma = None if scan.sigma is None else np.sqrt(np.bincount(inverse, scan.sigma[kept] ** 2)) / count
    return MeasuredPattern(angle, intensity, sigma, source, scan.wavelength, remarks, scan.absolute)


def background(pattern: MeasuredPattern, *, width: float = _WIDTH, iterations: int = 1) -> NDArray[np.float64]:
    """Slowly varying background by statistics-sensitive non-linear peak clipping.

    Works on the double logarithm of the intensity's square root (C. G. Ryan et al., Nucl. Instrum. Methods B 34, 396
    (1988)): each point becomes the smaller of itself and the mean of the points at equal distances to either side,
    for distances that shrink from `width`. The result follows the pattern's scale, and lies nowhere below its lowest
    point.

    Args:
        pattern: the measurement.
        width: degrees; wider than the widest peak's foot.
        iterations: passes over all distances.

    Returns:
        (M,) background at the pattern's own angles.
    """
    if width <= 0.0:
        raise InputError("the background's width must be positive")
    angle = pattern.two_theta
    grid, step = _uniform_grid(angle)
    values = np.interp(grid, angle, pattern.intensity)
    values = uniform_filter1d(values, max(1, round(_DENOISING / step)), mode="nearest")
    floor, highest = min(0.0, float(values.min())), float(values.max())
    scale = _COUNTS / (highest - floor) if highest > floor else 1.0
    level = np.log(np.log(np.sqrt(scale * (values - floor) + 1.0) + 1.0) + 1.0)
    lowest = level.min()
    reach = max(1, min(round(width / step), len(grid) // 2 - 1))
    for _ in range(iterations):
        for distance in range(reach, 0, -1):
            padded = np.maximum(np.pad(level, distance, mode="reflect", reflect_type="odd"), lowest)
            level = np.minimum(level, 0.5 * (padded[: len(level)] + padded[2 * distance :]))
    curve = ((np.exp(np.exp(level) - 1.0) - 1.0) ** 2 - 1.0) / scale + floor
    curve = np.maximum(curve, pattern.intensity.min())  # running sums and logarithms round
    values = np.interp(angle, grid, curve)
    return np.asarray(values, dtype=np.float64)


def noise_level(pattern: MeasuredPattern) -> float:
    """Standard deviation of the noise where there is no peak: from the median second difference."""
    y = pattern.intensity
    bend = np.abs(y[1:-1] - 0.5 * (y[:-2] + y[2:]))
    return float(1.4826 * np.median(bend) / math.sqrt(1.5))


def subtract_background(pattern: MeasuredPattern, *, width: float = _WIDTH, noise: float = 3.0) -> MeasuredPattern:
    """The pattern without its `background`; what stays below `noise` times the `noise_level` becomes 0."""
    rest = pattern.intensity - background(pattern, width=width)
    return replace(pattern, intensity=np.where(rest > noise * noise_level(pattern), np.maximum(rest, 0.0), 0.0))


def _uniform_grid(angle: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    step = float(np.median(np.diff(angle)))
    return np.arange(angle[0], angle[-1] + 0.5 * step, step), step


def gather_peaks(pattern: MeasuredPattern, *, lowest: float = _LOWEST_PEAK) -> MeasuredPattern:
    """Sticks: the area between two minima is gathered at the maximum between them.

    The models are trained on sticks; their reading of square roots would otherwise see the feet of wide peaks, which
    sticks do not have, as intensity everywhere.

    Args:
        pattern: background already subtracted.
        lowest: maxima below this share of the strongest are left out, with their area.

    Returns:
        The sticks on a uniform grid of the pattern's step.
    """
    grid, step = _uniform_grid(pattern.two_theta)
    values = np.interp(grid, pattern.two_theta, pattern.intensity)
    height = uniform_filter1d(values, max(1, round(_DENOISING / step) | 1), mode="nearest")
    place = np.arange(len(grid))
    before, after = np.append(-np.inf, height[:-1]), np.append(height[1:], -np.inf)
    # each point leans on its higher neighbour; level ground leans to the left
    target = np.where((after > height) & (after >= before), place + 1, place - (before >= height))
    for _ in range(len(grid).bit_length()):
        target = target[target]
    sticks = np.asarray(np.bincount(target, values, minlength=len(grid)), dtype=np.float64)
    sticks[height < lowest * height.max()] = 0.0
    return MeasuredPattern(two_theta=grid, intensity=sticks, source=pattern.source)


def strip_k_alpha2(pattern: MeasuredPattern, *, anode: str = "Cu", ratio: float = _K_ALPHA2_RATIO) -> MeasuredPattern:
    """Removes the K-alpha2 part of a pattern without background (W. A. Rachinger, J. Sci. Instrum. 25, 254 (1948)).

    Going up in angle, the intensity at the angle where K-alpha1 meets the same lattice planes, times `ratio`, is
    taken off.

    Args:
        pattern: background already subtracted.
        anode: "Cu", "Mo", "Cr", "Fe", "Co" or "Ag".
        ratio: intensity of K-alpha2 over K-alpha1.
    """
    first, second = WAVELENGTHS.get(f"{anode}Ka1"), WAVELENGTHS.get(f"{anode}Ka2")
    if first is None or second is None:
        raise InputError(f"unknown anode {anode!r}")
    if not 0.0 <= ratio < 1.0:
        raise InputError("the intensity ratio of the doublet must lie in [0, 1)")
    angle = pattern.two_theta
    grid, step = _uniform_grid(angle)
    values = np.interp(grid, angle, pattern.intensity)
    twin = 2.0 * np.degrees(np.arcsin(np.sin(np.radians(grid / 2.0)) * first / second))
    place = (twin - grid[0]) / step
    index = np.floor(place).astype(int)
    share = place - index
    for i in range(len(grid)):
        k = int(index[i])
        if k < 0 or k >= i:
            continue
        below = values[k] * (1.0 - share[i]) + values[min(k + 1, i)] * share[i]
        if k + 1 >= i:  # the twin lies within the last step: the new value enters its own correction
            below = (values[k] * (1.0 - share[i]) + values[i] * share[i]) / (1.0 + ratio * share[i])
        values[i] = max(0.0, values[i] - ratio * below)
    return replace(pattern, intensity=np.interp(angle, grid, values), sigma=None)


def convert_wavelength(
    pattern: MeasuredPattern, wavelength: str | float, target: str | float = "CuKa"
) -> MeasuredPattern:
    """The same lattice planes at the angles of another radiation; what that cannot reach is lost."""
    old, new = resolve_wavelength(wavelength), resolve_wavelength(target)
    if math.isclose(old, new, rel_tol=1e-9):
        return pattern
    sine = np.sin(np.radians(pattern.two_theta / 2.0)) * new / old
    kept = sine <= 1.0
    if kept.sum() < 10:
        raise InputError(f"{pattern.source}: nothing of the pattern lies in the range of the target radiation")
    return replace(
        pattern,
        two_theta=2.0 * np.degrees(np.arcsin(sine[kept])),
        intensity=pattern.intensity[kept],
        sigma=None if pattern.sigma is None else pattern.sigma[kept],
        wavelength=new,
    )


def resample(
    pattern: MeasuredPattern, *, two_theta: tuple[float, float] = (0.0, 90.0), step: float = 0.02
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The pattern on a uniform grid, highest point 1; zero where nothing was measured.

    Coarser measurements are interpolated linearly; finer ones are averaged over each bin, so that areas are kept.

    Returns:
        Angles (B,) and intensities (B,) float32.
    """
    bins = math.floor((two_theta[1] - two_theta[0]) / step + 1e-6) + 1
    grid = two_theta[0] + step * np.arange(bins, dtype=np.float64)
    angle = pattern.two_theta
    edges = np.concatenate([grid - 0.5 * step, [grid[-1] + 0.5 * step]])
    # mean over each bin = difference of the exact integral of the piecewise linear curve
    area = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(angle) * (pattern.intensity[1:] + pattern.intensity[:-1]))])
    inner = np.clip(edges, angle[0], angle[-1])
    segment = np.clip(np.searchsorted(angle, inner, side="right") - 1, 0, len(angle) - 2)
    into = inner - angle[segment]
    slope = (pattern.intensity[segment + 1] - pattern.intensity[segment]) / (angle[segment + 1] - angle[segment])
    integral = area[segment] + into * (pattern.intensity[segment] + 0.5 * slope * into)
    values = np.maximum(np.diff(integral) / step, 0.0)
    highest = values.max()
    if not highest > 0.0:
        raise InputError(f"{pattern.source}: nothing above the background between {two_theta[0]} and {two_theta[1]}")
    return grid, (values / highest).astype(np.float32)


def prepare_measured(
    pattern: MeasuredPattern,
    *,
    wavelength: str | float | None = None,
    background_width: float | None = _WIDTH,
    k_alpha2: str | None = None,
) -> NDArray[np.float32]:
    """(4501,) pattern that the models take, from a measurement: its peaks as sticks.

    Args:
        pattern: the measurement.
        wavelength: of the measurement; converted to Cu K-alpha. ``None``: the pattern's own, else "CuKa"; a pattern
            that is `absolute` keeps its own. With `k_alpha2`, the doublet's mean ("CuKa") means the K-alpha1 left.
        background_width: see `background`; ``None`` for a pattern whose background is already off.
        k_alpha2: anode whose K-alpha2 part is to be removed, e.g. ``"Cu"``.
    """
    if wavelength is None or pattern.absolute:
        wavelength = "CuKa" if pattern.wavelength is None else pattern.wavelength
    if background_width is not None:
        pattern = subtract_background(pattern, width=background_width)
    if k_alpha2 is not None:
        pattern = strip_k_alpha2(pattern, anode=k_alpha2)
        if math.isclose(resolve_wavelength(wavelength), resolve_wavelength(f"{k_alpha2}Ka"), rel_tol=1e-4):
            wavelength = f"{k_alpha2}Ka1"
    return resample(gather_peaks(convert_wavelength(pattern, wavelength)))[1]
