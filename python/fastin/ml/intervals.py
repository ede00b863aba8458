"""Intervals of the barrier model: 68 and 90 % half widths in log10 of eV, by mobile ion.

An error is measured in units of ``s = hypot(scale spread, floor 10^(-slope (mean - centre)))``: members that disagree
and low barriers (whose logarithm moves fast) err more. The quantiles of ``|error| / s`` of each mobile ion, on chemical
systems that were not trained on, are the half widths; ions with fewer rows than `_FEWEST` take those of all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.ml.forest import fit_uncertainty
from fastin.ml.labels import CEILING
from fastin.ml.store import LABELS

LEVELS = (0.68, 0.90)
_FEWEST = 40
_SLOPES = (0.0, 0.25, 0.5, 0.75, 1.0)

Floats = NDArray[np.float64]


def _shape(mean: Floats, slope: float, centre: float) -> Floats:
    out: Floats = 10.0 ** (-slope * np.clip(mean - centre, -1.0, 1.0))
    return out


def fit_intervals(error: Floats, spread: Floats, mean: Floats, ions: NDArray[np.str_]) -> dict[str, Any]:
    """Constants for `half_widths`, from predictions of structures that were not trained on.

    Args:
        error: (n,) errors of the mean prediction, log10 of eV.
        spread: (n,) standard deviations over the members.
        mean: (n,) predictions.
        ions: (n,) mobile ions.
    """
    size = np.abs(error)
    centre = float(np.median(mean))
    best: tuple[float, float, dict[str, float]] = (np.inf, 0.0, {})
    for slope in _SLOPES:
        shape = _shape(mean, slope, centre)
        fit = fit_uncertainty(size / shape, spread / shape)
        s = np.hypot(fit["scale"] * spread / shape, fit["floor"]) * shape
        loss = float(np.log(max(float((size / s).mean()), 1e-12) * s).mean())  # of Laplace-distributed errors
        if loss < best[0]:
            best = (loss, slope, fit)
    _, slope, fit = best
    constants: dict[str, Any] = {**fit, "slope": slope, "centre": centre}
    s = _unit(constants, spread, mean)
    constants["quantiles"] = {"all": _quantiles(size / s)}
    for ion in np.unique(ions):
        of_ion = ions == ion
        if of_ion.sum() >= _FEWEST:
            constants["quantiles"][str(ion)] = _quantiles((size / s)[of_ion])
    return constants


def _quantiles(z: Floats) -> list[float]:
    """Quantiles that a further draw would fall below as often as asked (n + 1 instead of n)."""
    n = len(z)
    return [float(np.quantile(z, min(1.0, level * (n + 1) / n))) for level in LEVELS]


def _unit(constants: dict[str, Any], spread: Floats, mean: Floats) -> Floats:
    shape = _shape(mean, constants["slope"], constants["centre"])
    out: Floats = np.hypot(constants["scale"] * spread, constants["floor"] * shape)
    return out


def half_widths(constants: dict[str, Any], spread: Floats, mean: Floats, ions: NDArray[np.str_]) -> Floats:
    """(n, 2) half widths of the 68 and 90 % intervals, log10 of eV.

    Args:
        constants: what `fit_intervals` gave.
        spread: (n,) standard deviations over the members.
        mean: (n,) predictions.
        ions: (n,) mobile ions.
    """
    known = constants["quantiles"]
    q = np.array([known.get(str(ion), known["all"]) for ion in ions], float).reshape(-1, len(LEVELS))
    out: Floats = q * _unit(constants, np.asarray(spread, float), np.asarray(mean, float))[:, None]
    return out


@dataclass(frozen=True)
class Said:
    """A predicted barrier with its intervals.

    Attributes:
        value: eV; ``inf`` above the ceiling of `fastin.ml.labels`, NaN where the model says nothing.
        std: half the width of the 68 % interval, eV; NaN where that has no upper end, 0 without an interval.
        within_68, within_90: (low, high) eV; the upper end is ``inf`` where it lies above the ceiling; NaN where the
            model has no intervals.
    """

    value: float
    std: float
    within_68: tuple[float, float]
    within_90: tuple[float, float]


NOTHING = Said(math.nan, math.nan, (math.nan, math.nan), (math.nan, math.nan))


def barrier_of(mean: float, widths: Sequence[float], factor: float) -> Said:
    """The barrier of a prediction in log10 of eV and its half widths, both widened by `factor`."""

    def end(x: float) -> float:
        return math.inf if x > math.log10(CEILING) else 10.0**x

    (one, two), value = (factor * w for w in widths), end(mean)
    if not one >= 0.0:
        return Said(value, 0.0, NOTHING.within_68, NOTHING.within_90)
    within = (end(mean - one), end(mean + one)), (end(mean - two), end(mean + two))
    low, high = within[0]
    if not math.isfinite(value):  # the lower ends stay where they are below the ceiling
        low = min(low, CEILING)
        within = (low, math.inf), (min(within[1][0], CEILING), math.inf)
    std = 0.5 * (high - low) if math.isfinite(high) else math.nan
    return Said(value, std, *within)


def rising(barriers: Sequence[Said]) -> list[Said]:
    """Barriers in 1, 2, 3 dimensions, none below the one before: what percolates in more dimensions does in fewer."""
    out: list[Said] = []
    for said in barriers:
        out.append(out[-1] if out and said.value < out[-1].value else said)
    return out


def read_barriers(
    every: NDArray[Any], targets: Sequence[str], card: dict[str, Any], ions: NDArray[np.str_], factors: Floats
) -> list[dict[str, Said]]:
    """What the members say, as barriers with intervals, one dictionary by target for each structure.

    Args:
        every: (members, G, T) predictions, log10 of eV.
        targets: names of the outputs; those that are no barrier are left out.
        card: of the model.
        ions: (G,) mobile ions; another than those of the card's domain gets `NOTHING`.
        factors: (G,) widening.
    """
    mean = np.asarray(every, float).mean(axis=0)
    spread = np.asarray(every, float).std(axis=0, ddof=1) if len(every) > 1 else np.zeros_like(mean)
    known, constants = card.get("domain", {}).get("ions"), card.get("uncertainty", {})
    out: list[dict[str, Said]] = [{} for _ in ions]
    for k, name in enumerate(targets):
        if name not in LABELS:
            continue
        fit = constants.get(name)
        own = spread[:, k]
        plain = own if len(every) > 1 else np.full_like(own, np.nan)
        widths = half_widths(fit, own, mean[:, k], ions) if fit else np.stack([plain, 1.645 * plain], axis=1)
        for g, ion in enumerate(ions):
            served = known is None or str(ion) in known
            out[g][name] = barrier_of(float(mean[g, k]), widths[g].tolist(), float(factors[g])) if served else NOTHING
    return out
