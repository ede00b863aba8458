"""Unlabelled materials that are known conductors: their patterns must not teach a network what is poor."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.elements import numbers_by_symbol
from fastin.xrd.dataset import SUPERIONIC, LabelledSet, PatternSet, chemical_system, composition

#: Atomic fractions that all differ by less: a compound and its doped or off-stoichiometric relatives.
RELATED = 0.03


def known_conductors(formulas: Sequence[str], conductors: Sequence[str]) -> NDArray[np.bool_]:
    """Which materials consist of the elements of a known conductor, or are a doped variant of one.

    Args:
        formulas: (N,) of the materials.
        conductors: of compounds that conduct.

    Returns:
        (N,) true where the set of elements is that of a conductor or all atomic fractions differ by less than
        `RELATED` from one.
    """
    from scipy.spatial.distance import cdist

    if not len(formulas) or not len(conductors):
        return np.zeros(len(formulas), dtype=np.bool_)
    systems = {chemical_system(formula) for formula in conductors}
    same = np.array([chemical_system(formula) in systems for formula in formulas])
    close = cdist(_fractions(formulas), _fractions(sorted(set(conductors))), "chebyshev").min(axis=1) < RELATED
    return np.asarray(same | close, dtype=np.bool_)


def conductors_of(labelled: LabelledSet, threshold: float = SUPERIONIC) -> list[str]:
    """Formulas of the conductors that are known: of the labelled set, and of the measured compounds in the package."""
    found = [f for f, sigma in zip(labelled.formulas, labelled.sigma, strict=True) if sigma >= threshold]
    path = resources.files("fastin").joinpath("data/models/measured_lithium.csv")
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            sigma = row["log10_sigma_S_cm"]
            if sigma and row["below"] != "1" and float(sigma) >= np.log10(threshold):
                found.append(row["formula"])
    return found


def not_known(pool: PatternSet, conductors: Sequence[str]) -> NDArray[np.int64]:
    """Rows of a pool that no known conductor resembles."""
    return np.flatnonzero(~known_conductors(pool.formulas, conductors))


def _fractions(formulas: Sequence[str]) -> NDArray[np.float64]:
    """(N, Z) atomic fractions."""
    number = numbers_by_symbol()
    out = np.zeros((len(formulas), max(number.values()) + 1))
    for row, formula in zip(out, formulas, strict=True):
        for element, amount in composition(formula).items():
            row[number[element]] += amount
        row /= max(row.sum(), 1e-12)
    return out
