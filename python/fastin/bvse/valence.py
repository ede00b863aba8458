"""Bond valence sums of the sites of a crystal and its global instability index.

A bond's valence is exp((R0 - R) / b) with the softBV parameters of the pair, summed over all counter-ions within the
pair's bond valence cutoff (4 to 8 A), occupancies counted. The sum should be the ion's charge; the root mean square of
what it misses over all atoms is the global instability index (A. Salinas-Sanchez et al., J. Solid State Chem. 100, 201
(1992)): below 0.1 in most stable crystals at rest, above 0.2 strained or wrong.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastin.bvse.pairs import element
from fastin.bvse.parameters import pair_mixture
from fastin.errors import InputError, MissingParameterError
from fastin.runtime.openmp import _core

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal

_LONGEST = 8.0  # A: largest bond valence cutoff of the table
_SAME_SITE = 0.5  # A: nearer rows are alternatives of one atom, not neighbours


def _kinds(crystal: Crystal) -> tuple[list[tuple[int, float]], NDArray[np.int32]]:
    index: dict[tuple[int, float], int] = {}
    keys = zip(crystal.number.tolist(), np.round(crystal.charge, 6).tolist(), strict=True)
    kinds = np.array([index.setdefault(key, len(index)) for key in keys], dtype=np.int32)
    return list(index), kinds


@lru_cache(maxsize=4096)
def _bonds(cation: int, cation_charge: float, anion: int, anion_charge: float) -> tuple[tuple[float, ...], ...]:
    """Rows of R0, b, cutoff and weight for a pair of ions; one row with NaN where there are no parameters."""
    try:
        mixture = pair_mixture(element(cation).symbol, cation_charge, element(anion).symbol, anion_charge)
    except MissingParameterError:
        return ((math.nan, 1.0, _LONGEST, 1.0),)
    return tuple((pair.r0, pair.b, pair.bv_cutoff, weight) for pair, weight in mixture)


def bond_valence_sums(crystal: Crystal, *, missing: str = "raise") -> NDArray[np.float64]:
    """Bond valence sum of every row of the crystal.

    Args:
        crystal: with oxidation states.
        missing: ``"raise"``, or ``"nan"``: rows with a neighbour for which there are no parameters get NaN.

    Returns:
        (N,) sums, positive for every ion; compare with the size of `Crystal.charge`. Ions without charge get 0.

    Raises:
        MissingParameterError: a pair of ions has no parameters; names it.
    """
    if missing not in ("raise", "nan"):
        raise InputError(f"missing must be 'raise' or 'nan', not {missing!r}")
    species, kind = _kinds(crystal)
    kinds: list[tuple[int, int]] = []
    values: list[tuple[float, ...]] = []
    for a, (cation, cation_charge) in enumerate(species):
        for x, (anion, anion_charge) in enumerate(species):
            if cation_charge > 0.0 > anion_charge:
                rows = _bonds(cation, cation_charge, anion, anion_charge)
                kinds += [(a, x)] * len(rows)
                values += rows
    sums: NDArray[np.float64]
    sums, bonds = _core.bond_valence_sums(
        np.ascontiguousarray(crystal.cell, dtype=np.float64),
        np.ascontiguousarray(crystal.frac, dtype=np.float64),
        kind,
        np.ascontiguousarray(crystal.occupancy, dtype=np.float64),
        np.array(kinds, dtype=np.int32).reshape(-1, 2),
        np.array(values, dtype=np.float64).reshape(-1, 4),
        too_near=_SAME_SITE,
    )
    if missing == "raise":
        for (a, x), row, count in zip(kinds, values, bonds.tolist(), strict=True):
            if count and math.isnan(row[0]):
                _refuse(crystal.source, species[a], species[x])
    return sums


def _refuse(source: str, cation: tuple[int, float], anion: tuple[int, float]) -> None:
    try:
        pair_mixture(element(cation[0]).symbol, cation[1], element(anion[0]).symbol, anion[1])
    except MissingParameterError as error:
        raise MissingParameterError(f"{source}: {error}") from None


def valence_mismatch(crystal: Crystal, *, missing: str = "raise") -> NDArray[np.float64]:
    """(N,) size of the difference between bond valence sum and charge of every row (e); see `bond_valence_sums`."""
    mismatch: NDArray[np.float64] = np.abs(bond_valence_sums(crystal, missing=missing) - np.abs(crystal.charge))
    return mismatch


def global_instability_index(crystal: Crystal, *, missing: str = "raise") -> float:
    """Root mean square of `valence_mismatch` over all atoms, weighted by occupancy (e)."""
    return float(np.sqrt(np.average(valence_mismatch(crystal, missing=missing) ** 2, weights=crystal.occupancy)))
