"""The measured compounds that the models of measured quantities were fitted to, and how far a composition is from them.

A prediction far from every measurement is a guess: the distance to the nearest measured composition (Element Mover's
Distance) pulls it towards the median and widens its interval, and beyond a limit there is none. Near measurements, the
interval follows the errors that the model made on them when their papers were left out of its training (`Domain`). All
constants are fitted on papers, and on whole structural families, that were left out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.ml.composition import atomic_fractions, mover_profile, mover_profiles
from fastin.ml.formula import parse_formula
from fastin.runtime.files import read_checked

Floats = NDArray[np.float64]

#: Compositions whose atomic fractions all differ by less are the same compound: rounding of formulas.
SAME = 2e-3


@dataclass(frozen=True)
class Neighbour:
    """A measured compound near a composition.

    Attributes:
        formula: as published.
        distance: Element Mover's Distance to the composition, 0 for the same.
        log10_conductivity: log10 of S/cm near room temperature; None where only the activation energy was measured.
        below: the conductivity is an upper bound.
        activation_energy: eV, or None.
        doi: of the paper.
    """

    formula: str
    distance: float
    log10_conductivity: float | None
    below: bool
    activation_energy: float | None
    doi: str


@dataclass(frozen=True, eq=False)
class MeasuredTable:
    """Measured compounds: formula, log10 conductivity, bound, activation energy, DOI; one row a measurement.

    `profile` has the composition of each row (`mover_profile`), `fraction` its atomic fractions, `errors` by target the
    absolute error of the row's prediction from other papers (NaN where it was not measured).
    """

    formula: tuple[str, ...]
    log10_conductivity: Floats
    below: NDArray[np.bool_]
    activation_energy: Floats
    doi: tuple[str, ...]
    profile: Floats
    fraction: Floats
    errors: Mapping[str, Floats]

    def distances(self, amounts: Mapping[str, float]) -> Floats:
        """(n,) Element Mover's Distance of a composition to every row."""
        return np.asarray(np.abs(self.profile - mover_profile(amounts)).sum(axis=1))

    def nearest(self, amounts: Mapping[str, float], count: int = 3) -> tuple[Neighbour, ...]:
        """The nearest compounds, one row each: the first of equal compositions, repeats left out."""
        distance = self.distances(amounts)
        found: list[Neighbour] = []
        taken: list[int] = []
        for k in np.argsort(distance, kind="stable").tolist():
            if any(np.abs(self.fraction[k] - self.fraction[j]).max() < SAME for j in taken):
                continue
            taken.append(k)
            found.append(self.row(k, float(distance[k])))
            if len(found) == count:
                break
        return tuple(found)

    def row(self, k: int, distance: float = 0.0) -> Neighbour:
        """One measurement."""
        sigma, energy = float(self.log10_conductivity[k]), float(self.activation_energy[k])
        return Neighbour(
            self.formula[k],
            distance,
            None if math.isnan(sigma) else sigma,
            bool(self.below[k]),
            None if math.isnan(energy) else energy,
            self.doi[k],
        )

    def same(self, amounts: Mapping[str, float]) -> NDArray[np.int64]:
        """Rows that hold this very composition."""
        return np.flatnonzero(np.abs(self.fraction - atomic_fractions(amounts)).max(axis=1) < SAME)


@cache
def load_measured(path: Path) -> MeasuredTable:
    """The table in a CSV file that `bench/experiments/ml_measured.py` wrote.

    Raises:
        InputError: no such file, or another kind of file.
    """
    try:
        text = read_checked(path).decode()
        return table_of(list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))))
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a table of measured compounds ({error})") from None


def table_of(rows: list[dict[str, Any]]) -> MeasuredTable:
    """The table of rows with the columns of the shipped file."""

    def numbers(name: str) -> Floats:
        return np.array([float(row[name]) if row[name] not in ("", None) else math.nan for row in rows])

    formulas = tuple(str(row["formula"]) for row in rows)
    fraction = np.array([atomic_fractions(parse_formula(f)) for f in formulas])
    return MeasuredTable(
        formulas,
        numbers("log10_sigma_S_cm"),
        np.array([str(row["below"]) == "1" for row in rows]),
        numbers("activation_energy_eV"),
        tuple(str(row["doi"]) for row in rows),
        mover_profiles(fraction),
        fraction,
        {
            "log10_conductivity": numbers("log10_sigma_error"),
            "experimental_activation_energy": numbers("activation_energy_error_eV"),
        },
    )


KERNEL = 0.5  # distance over which errors of neighbours count
PRIOR = 3.0  # neighbours that the mean error stands for


def local_error(distance: Floats, error: Floats) -> Any:
    """Mean error of the neighbours, drawn towards that of all rows where there are few.

    Args:
        distance: (..., n) distances to rows.
        error: (n,) their errors; NaN rows do not count.
    """
    known = np.isfinite(error)
    weight = np.where(known, np.exp(-np.asarray(distance) / KERNEL), 0.0)
    filled = np.where(known, error, 0.0)
    return (weight @ filled + PRIOR * filled.sum() / known.sum()) / (weight.sum(axis=-1) + PRIOR)


@dataclass(frozen=True)
class Domain:
    """What the distance to the measurements does to a prediction.

    Attributes:
        median: of the training values, towards which a far prediction is pulled.
        reach, power: weight of the model, 1 / (1 + (distance / reach)^power).
        spread, slope: width = hypot(spread s, e (1 + slope min(d, limit))), s the members' deviation, e `local_error`.
        one, two: half widths of the 68 and 90 % intervals in units of that width.
        limit: beyond this distance nothing is predicted.
    """

    median: float
    reach: float
    power: float
    spread: float
    slope: float
    one: float
    two: float
    limit: float

    def pull(self, value: Any, distance: Any) -> Any:
        """Predictions pulled towards the median by their distance."""
        weight = 1.0 / (1.0 + (np.asarray(distance) / self.reach) ** self.power)
        return self.median + weight * (value - self.median)

    def width(self, deviation: Any, distance: Any, local: Any) -> Any:
        """Width that the intervals are multiples of."""
        far = np.asarray(local) * (1.0 + self.slope * np.minimum(distance, self.limit))
        return np.hypot(self.spread * np.asarray(deviation), far)


def fit_domain(
    y: Floats,
    value: Floats,
    deviation: Floats,
    distance: Floats,
    local: Floats,
    weight: Floats,
    family: NDArray[np.bool_],
    median: float,
    limit: float,
) -> Domain:
    """Constants from predictions of rows whose paper, or whole family, was left out.

    The pull has the smallest weighted mean absolute error on a grid, the width the largest likelihood of Laplace
    errors; the two intervals then hold 68 and 90 % of the weight of the rows whose paper alone was left out.

    Args:
        y: (n,) measured values.
        value: (n,) predictions without the pull.
        deviation: (n,) deviation of the members.
        distance: (n,) to the nearest training composition.
        local: (n,) `local_error`.
        weight: (n,) weights of the rows.
        family: (n,) rows whose whole family was left out.
        median: of the training values.
        limit: distance beyond which nothing is predicted; farther rows do not count.
    """
    near = distance <= limit
    y, value, deviation, distance, local, weight = (a[near] for a in (y, value, deviation, distance, local, weight))
    family = family[near]
    best = (math.inf, 1.0, 1.0)
    for reach in np.geomspace(0.5, 8.0, 25):
        for power in (1.0, 2.0, 3.0, 4.0, 6.0):
            pulled = median + (value - median) / (1.0 + (distance / reach) ** power)
            loss = float(np.average(np.abs(y - pulled), weights=weight))
            if loss < best[0] - 1e-12:
                best = (loss, float(reach), power)
    _, reach, power = best
    error = np.abs(y - (median + (value - median) / (1.0 + (distance / reach) ** power)))
    found = (math.inf, 0.0, 0.0)
    for spread in np.linspace(0.0, 3.0, 13):
        for slope in np.linspace(0.0, 2.0, 21):
            shape = np.hypot(spread * deviation, local * (1.0 + slope * distance))
            scale = float(np.average(error / shape, weights=weight))
            loss = float(np.average(np.log(scale * shape), weights=weight))
            if loss < found[0] - 1e-12:
                found = (loss, float(spread), float(slope))
    _, spread, slope = found
    ratio = error / np.hypot(spread * deviation, local * (1.0 + slope * distance))
    one, two = (weighted_quantile(ratio[~family], weight[~family], q) for q in (0.6827, 0.90))
    return Domain(median, reach, power, spread, slope, one, two, limit)


def weighted_quantile(values: Floats, weight: Floats, q: float) -> float:
    """Smallest value below which at least the share q of the weight lies."""
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(share, q)), len(values) - 1)])
