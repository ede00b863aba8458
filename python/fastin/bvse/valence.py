"""Bond valence sums of the sites of a crystal and its global instability index.

A bond's valence is exp((R0 - R) / b) with the softBV parameters of the pair, summed over all counter-ions within the
pair's bond valence cutoff (4 to 8 A), occupancies counted. The sum should be the ion's charge; the root mean square of
what it misses over all atoms is the global instability index (A. Salinas-Sanchez et al., J. Solid State Chem. 100, 201
(1992)): below 0.1 in most stable crystals at rest, above 0.2 strained or wrong.
"""

from __future__ import annotations

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


def _kinds(crystal: Crystal) -> tuple[list[tuple[int, float]], NDArray[np.int64]]:
    index: dict[tuple[int, float], int] = {}
    keys = zip(crystal.number.tolist(), np.round(crystal.charge, 6).tolist(), strict=True)
    kinds = np.array([index.setdefault(key, len(index)) for key in keys], dtype=np.int64)
    return list(index), kinds


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
    frac = np.ascontiguousarray(crystal.frac, dtype=np.float64)
    offsets, index, distance = _core.neighbours(np.ascontiguousarray(crystal.cell), frac, _LONGEST)
    center = np.repeat(np.arange(len(frac)), np.diff(offsets))
    sums = np.zeros(len(frac))
    for a, (cation, cation_charge) in enumerate(species):
        if cation_charge <= 0.0:
            continue
        for x, (anion, anion_charge) in enumerate(species):
            if anion_charge >= 0.0:
                continue
            here = (kind[center] == a) & (kind[index] == x) & (distance > _SAME_SITE)
            if not here.any():
                continue
            r = distance[here]
            try:
                mixture = pair_mixture(element(cation).symbol, cation_charge, element(anion).symbol, anion_charge)
            except MissingParameterError as error:
                if missing == "raise":
                    raise MissingParameterError(f"{crystal.source}: {error}") from None
                mixture = []
            valence = np.full(len(r), 0.0 if mixture else np.nan)
            for pair, weight in mixture:
                valence += weight * np.where(r <= pair.bv_cutoff, np.exp((pair.r0 - r) / pair.b), 0.0)
            i, j = center[here], index[here]
            sums += np.bincount(i, valence * crystal.occupancy[j], minlength=len(sums))
            sums += np.bincount(j, valence * crystal.occupancy[i], minlength=len(sums))
    return sums


def valence_mismatch(crystal: Crystal, *, missing: str = "raise") -> NDArray[np.float64]:
    """(N,) size of the difference between bond valence sum and charge of every row (e); see `bond_valence_sums`."""
    mismatch: NDArray[np.float64] = np.abs(bond_valence_sums(crystal, missing=missing) - np.abs(crystal.charge))
    return mismatch


def global_instability_index(crystal: Crystal, *, missing: str = "raise") -> float:
    """Root mean square of `valence_mismatch` over all atoms, weighted by occupancy (e)."""
    return float(np.sqrt(np.average(valence_mismatch(crystal, missing=missing) ** 2, weights=crystal.occupancy)))
