"""The measured compounds that the models of measured quantities were fitted to, and how far a composition is from them.

A prediction far from every measurement is a guess: the distance to the nearest measured composition (Element Mover's
Distance) pulls it towards the median and widens its interval, and beyond a limit there is none (`Domain`). The interval
follows the errors that the model made on the nearest structural family when its papers were left out of the training
(`family_quantiles`). All constants are fitted on papers, and on whole families, that were left out.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.element_features import element_table
from fastin.errors import InputError
from fastin.ml.composition import atomic_fractions, mover_profile, mover_profiles
from fastin.ml.formula import parse_formula
from fastin.runtime.files import read_checked

Floats = NDArray[np.float64]

#: Compositions whose atomic fractions all differ by less are the same compound: rounding of formulas.
SAME = 2e-3
_TOLD_BY = 3  # largest shares of a composition that are looked at before all others


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

    `profile` has the composition of each row (`mover_profile`), `fraction` its atomic fractions, `family` its
    structural family ("" where nobody named one), `ratios` by target the error of the row's prediction from other
    papers over its width (NaN where it was not measured).
    """

    formula: tuple[str, ...]
    log10_conductivity: Floats
    below: NDArray[np.bool_]
    activation_energy: Floats
    doi: tuple[str, ...]
    profile: Floats
    fraction: Floats
    family: NDArray[np.str_]
    ratios: Mapping[str, Floats]

    @cached_property
    def weight(self) -> Floats:
        """(n,) 1 over the number of rows of the row's paper; a row without a DOI is a paper of its own."""
        rows = Counter(self.doi)
        return np.array([1.0 / rows[doi] if doi else 1.0 for doi in self.doi])

    @cached_property
    def family_code(self) -> NDArray[np.int64]:
        """(n,) number of the row's family; every row without one has a number of its own."""
        return family_codes(self.family)

    @cached_property
    def least_lithium(self) -> float:
        """Smallest atomic fraction of lithium."""
        return float(self.fraction[:, _columns()["Li"]].min())

    @cached_property
    def rare(self) -> dict[str, str]:
        """Kinds of compounds of which fewer different ones than `FEWEST` were measured, and which those are."""
        held, columns = self.fraction > 0, _columns()
        kinds = {TWO: held.sum(axis=1) <= 2, ORGANIC: held[:, columns["C"]] & held[:, columns["H"]]}
        return {
            kind: ", ".join(dict.fromkeys(np.array(self.formula)[rows].tolist())) or "none"
            for kind, rows in kinds.items()
            if len({tuple(np.round(row, 3)) for row in self.fraction[rows].tolist()}) < FEWEST
        }

    def distances(self, amounts: Mapping[str, float]) -> Floats:
        """(n,) Element Mover's Distance of a composition to every row."""
        apart = self.profile - mover_profile(amounts)
        return np.asarray(np.abs(apart, out=apart).sum(axis=1))

    def nearest(self, distance: Floats, count: int = 3) -> tuple[Neighbour, ...]:
        """The nearest compounds, one row each: the first of equal compositions, repeats left out.

        Args:
            distance: (n,) `distances` of the composition.
            count: how many.
        """
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
        wanted = atomic_fractions(amounts)
        rows = np.arange(len(self.fraction))
        for column in np.argsort(-wanted, kind="stable")[:_TOLD_BY].tolist():  # few rows pass the largest shares
            rows = rows[np.abs(self.fraction[rows, column] - wanted[column]) < SAME]
        return np.asarray(rows[np.abs(self.fraction[rows] - wanted).max(axis=1, initial=0.0) < SAME])


@cache
def load_measured(path: Path) -> MeasuredTable:
    """The table in a CSV file that `bench/experiments/ml_measured.py` wrote.

    Raises:
        InputError: no such file, or another kind of file.
    """
    try:
        text = read_checked(path).decode()
        header, *rows = csv.reader(line for line in text.splitlines() if not line.startswith("#"))
        return table_of([dict(zip(header, row, strict=True)) for row in rows if row])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a table of measured compounds ({error})") from None


def table_of(rows: list[dict[str, Any]]) -> MeasuredTable:
    """The table of rows with the columns of the shipped file."""

    def numbers(name: str) -> Floats:
        return np.array([float(row[name]) if row[name] not in ("", None) else math.nan for row in rows])

    formulas = tuple(str(row["formula"]) for row in rows)
    fraction = np.array([atomic_fractions(_plain_amounts(f) or parse_formula(f)) for f in formulas])
    return MeasuredTable(
        formulas,
        numbers("log10_sigma_S_cm"),
        np.array([str(row["below"]) == "1" for row in rows]),
        numbers("activation_energy_eV"),
        tuple(str(row["doi"]) for row in rows),
        mover_profiles(fraction),
        fraction,
        np.array([str(row["family"]) for row in rows]),
        {
            "log10_conductivity": numbers("log10_sigma_error_over_width"),
            "experimental_activation_energy": numbers("activation_energy_error_over_width"),
        },
    )


_PLAIN = re.compile(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+")
_ELEMENT = re.compile(r"([A-Z][a-z]?)([\d.]*)")


def _plain_amounts(formula: str) -> dict[str, float] | None:
    """Amounts of a formula of elements and numbers alone, as the table has them; None for any other.

    The table was checked by `parse_formula` when it was written, whose questions take most of the time to read it.
    """
    if _PLAIN.fullmatch(formula) is None:
        return None
    amounts: dict[str, float] = {}
    for element, amount in _ELEMENT.findall(formula):
        amounts[element] = amounts.get(element, 0.0) + (float(amount) if amount else 1.0)
    return amounts


#: Kinds of compounds of which fewer different ones than this were measured get no number.
FEWEST = 5
TWO, ORGANIC = "two elements", "carbon and hydrogen"
_OTHER_IONS = ("Na", "K", "Rb", "Cs", "Ag")


def unlike_any(amounts: Mapping[str, float], table: MeasuredTable) -> str | None:
    """Why a composition is of a kind that nobody measured, which no distance to measured ones tells; None if it is not.

    Binary salts (LiF, Li2S) and compounds of carbon and hydrogen, if fewer than `FEWEST` were measured; hardly any
    lithium; another mobile ion in the majority.

    Args:
        amounts: amount of each element.
        table: the measured compounds.
    """
    lithium = float(amounts.get("Li", 0.0) / sum(amounts.values()))
    least = table.least_lithium
    if lithium < 0.9 * least:
        return f"{100 * lithium:.2g} % of its atoms are lithium, {100 * least:.2g} % or more of the measured compounds'"
    other = [e for e in _OTHER_IONS if amounts.get(e, 0.0) > 0]
    if sum(amounts.get(e, 0.0) for e in other) > amounts.get("Li", 0.0):
        return f"holds more {' and '.join(other)} than lithium: another ion may move"
    for kind, own in ((TWO, len(amounts) <= 2), (ORGANIC, {"C", "H"} <= amounts.keys())):
        if own and kind in table.rare:
            return f"of compounds of {kind} only {table.rare[kind]} were measured"
    return None


@cache
def _columns() -> dict[str, int]:
    """Column of each element in `atomic_fractions`."""
    return {symbol: z for z, symbol in enumerate(symbol for symbol in element_table().symbol if symbol)}


def family_codes(family: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) whole numbers, equal in rows of one structural family; rows without one ("") stand alone."""
    names, code = np.unique(np.asarray(family).astype(str), return_inverse=True)
    return np.where(names[code] == "", len(names) + np.arange(len(code)), code).astype(np.int64)


KERNEL = 0.15  # distance over which a measured compound stands for its family
FADE = 2.0  # distance over which the nearest family loses its say
BEHIND = (5.0, 15.0)  # papers that those of all families together stand for, at 68 and at 90 %
OWN = 0.25  # papers that the new compound counts as: quantiles of few papers lie too low
LEVELS = (0.6827, 0.90)


def family_quantiles(distance: Floats, ratio: Floats, family: NDArray[np.int64], weight: Floats) -> tuple[float, float]:
    """68 and 90 % quantiles of error over width, as the family of a composition has them.

    Families differ in how well their papers agree. The papers of the nearest family count in full (of several, by their
    closeness), those of all families together as many as `BEHIND`: a family of few papers is told by the others.

    Args:
        distance: (n,) of the composition to the measured rows.
        ratio: (n,) error over `Domain.width` of each row when its paper was left out; NaN rows do not count.
        family: (n,) structural family of each row, by number (`family_codes`).
        weight: (n,) 1 over the number of rows of the row's paper.
    """
    known = np.isfinite(ratio)
    distance, ratio, weight, code = distance[known], ratio[known], weight[known], family[known]
    nearest = float(distance.min())
    near = weight * np.exp(-(distance - nearest) / KERNEL)
    share = np.bincount(code, weights=near)
    share = share / share.sum() * math.exp(-nearest / FADE)
    out = []
    order = np.argsort(ratio)
    ratio, weight, share = ratio[order], weight[order], share[code[order]]
    for level, behind in zip(LEVELS, BEHIND, strict=True):
        papers = weight * (share + behind / weight.sum())
        out.append(_quantile(ratio, papers, min(1.0, level * (1.0 + OWN / float(papers.sum())))))
    return out[0], max(out)


@dataclass(frozen=True)
class Domain:
    """What the distance to the measurements does to a prediction.

    Attributes:
        median: of the training values, towards which a far prediction is pulled.
        reach, power: weight of the model, 1 / (1 + (distance / reach)^power).
        spread, floor, slope: width = hypot(spread s, floor (1 + slope min(d, limit))), s the members' deviation.
        limit: beyond this distance nothing is predicted.
    """

    median: float
    reach: float
    power: float
    spread: float
    floor: float
    slope: float
    limit: float

    def share(self, distance: Any) -> Any:
        """Weight of the model against the median."""
        return 1.0 / (1.0 + (np.asarray(distance) / self.reach) ** self.power)

    def pull(self, value: Any, distance: Any) -> Any:
        """Predictions pulled towards the median by their distance."""
        return self.median + self.share(distance) * (value - self.median)

    def width(self, deviation: Any, distance: Any) -> Any:
        """Width that the intervals are multiples of (`family_quantiles`)."""
        far = self.floor * (1.0 + self.slope * np.minimum(distance, self.limit))
        return np.hypot(self.spread * np.asarray(deviation), far)


def fit_domain(
    y: Floats,
    value: Floats,
    deviation: Floats,
    distance: Floats,
    weight: Floats,
    median: float,
    limit: float,
) -> Domain:
    """Constants from predictions of rows whose paper, or whole family, was left out.

    The pull has the smallest weighted mean absolute error on a grid, the width the largest likelihood of Laplace
    errors; 68 % of the weight of the errors then lies within one width.

    Args:
        y: (n,) measured values.
        value: (n,) predictions without the pull.
        deviation: (n,) deviation of the members.
        distance: (n,) to the nearest training composition.
        weight: (n,) weights of the rows.
        median: of the training values.
        limit: distance beyond which nothing is predicted; farther rows do not count.
    """
    near = distance <= limit
    y, value, deviation, distance, weight = (a[near] for a in (y, value, deviation, distance, weight))
    best = (math.inf, 1.0, 1.0)
    for reach in np.geomspace(0.5, 8.0, 25):
        for power in (1.0, 2.0, 3.0, 4.0, 6.0):
            pulled = median + (value - median) / (1.0 + (distance / reach) ** power)
            loss = float(np.average(np.abs(y - pulled), weights=weight))
            if loss < best[0] - 1e-12:
                best = (loss, float(reach), power)
    _, reach, power = best
    error = np.abs(y - (median + (value - median) / (1.0 + (distance / reach) ** power)))
    typical = float(np.average(error, weights=weight))
    found = (math.inf, 0.0, 0.0)
    for spread in np.linspace(0.0, 3.0, 13):
        for slope in np.linspace(0.0, 2.0, 21):
            shape = np.hypot(spread * deviation, typical * (1.0 + slope * distance))
            scale = float(np.average(error / shape, weights=weight))
            loss = float(np.average(np.log(scale * shape), weights=weight))
            if loss < found[0] - 1e-12:
                found = (loss, float(spread), float(slope))
    _, spread, slope = found
    ratio = error / np.hypot(spread * deviation, typical * (1.0 + slope * distance))
    one = weighted_quantile(ratio, weight, LEVELS[0])
    return Domain(median, reach, power, spread * one, typical * one, slope, limit)


def weighted_quantile(values: Floats, weight: Floats, q: float) -> float:
    """Smallest value below which at least the share q of the weight lies."""
    order = np.argsort(values)
    return _quantile(values[order], weight[order], q)


def _quantile(rising: Floats, weight: Floats, q: float) -> float:
    share = np.cumsum(weight) / weight.sum()
    return float(rising[min(int(np.searchsorted(share, q)), len(rising) - 1)])
