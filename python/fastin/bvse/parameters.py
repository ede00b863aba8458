"""Parameters of any pair of ions: from the table, else derived, else a typed error."""

from __future__ import annotations

import math
from functools import cache

from fastin.bvse.derivation import derive_pair, with_anion_charge, with_cation_charge
from fastin.bvse.pairs import PairParameters, pair_table, species
from fastin.errors import MissingParameterError


def find_pair(cation: str, cation_charge: int, anion: str, anion_charge: float) -> PairParameters:
    """The pair's parameters: from the table, else derived (`fastin.bvse.derivation`) and marked so.

    An anion of another charge than the table's, peroxide's O- or a hole-doped O1.9-, takes R0, b and Rmin of the
    tabulated one and a D0 scaled with the charge as its formula says. A cation whose charge is tabulated with no anion
    takes those of its nearest tabulated charge, with Rmin and D0 recomputed.

    Raises:
        MissingParameterError: the pair is neither tabulated nor derivable.
    """
    whole = round(anion_charge)
    if abs(anion_charge - whole) < 1e-6:
        pair = pair_table().get((cation, cation_charge, anion, whole))
        pair = pair or derive_pair(cation, cation_charge, anion, whole)
        if pair is not None:
            return pair
    charges = [qa for c, qc, a, qa in pair_table() if (c, qc, a) == (cation, cation_charge, anion)]
    if charges:
        pair = pair_table()[cation, cation_charge, anion, charges[0]]
        return with_anion_charge(pair, anion_charge)
    states = {qc for c, qc, _, _ in pair_table() if c == cation} - {cation_charge}
    for nearest in sorted(states, key=lambda q: (abs(q - cation_charge), q)):
        pair = pair_table().get((cation, nearest, anion, whole))
        pair = pair or derive_pair(cation, nearest, anion, whole)
        if pair is not None:
            pair = with_cation_charge(pair, cation_charge)
            return pair if pair.anion_charge == anion_charge else with_anion_charge(pair, anion_charge)
    raise MissingParameterError(
        f"no bond valence parameters for {species(cation, cation_charge)} - {species(anion, anion_charge)}: "
        f"{_known_charges(cation, anion)}; give other oxidation_states if these are wrong"
    )


def _known_charges(cation: str, anion: str) -> str:
    known = sorted((qc, qa) for c, qc, a, qa in pair_table() if c == cation and a == anion)
    if not known:
        return f"the table holds no pair of {cation} with {anion}"
    return "the table holds " + ", ".join(f"{species(cation, qc)} - {species(anion, qa)}" for qc, qa in known)


@cache
def _states(cation: str) -> frozenset[int]:
    """Charges of a cation that the table holds."""
    return frozenset(qc for c, qc, _, _ in pair_table() if c == cation)


def pair_mixture(
    cation: str, cation_charge: float, anion: str, anion_charge: float
) -> list[tuple[PairParameters, float]]:
    """Pairs, with weights, that stand for ions of any charge, fractional ones included.

    A cation's mean charge between two states is a mixture of both, as on a mixed-valent site: Fe2.5+ is half Fe2+ and
    half Fe3+, and Sn3+, which no table holds, half Sn2+ and half Sn4+. The states are the nearest tabulated ones on
    either side, else the neighbouring integers.

    Returns:
        (parameters, weight) pairs whose weighted mean charge is the one given.

    Raises:
        MissingParameterError: a pair is neither tabulated nor derivable, or an ion has no charge.
    """
    if not cation_charge > 0.0 or not anion_charge < 0.0:
        raise MissingParameterError(
            f"no bond valence parameters for {species(cation, cation_charge)} - {species(anion, anion_charge)}: "
            "both need a charge; give oxidation_states"
        )
    nearest = round(cation_charge)
    states = _states(cation)
    below, above = [q for q in states if q < cation_charge], [q for q in states if q > cation_charge]
    if nearest > 0 and abs(cation_charge - nearest) < 1e-6 and (nearest in states or not (below and above)):
        return [(find_pair(cation, nearest, anion, anion_charge), 1.0)]
    low = max(below, default=math.floor(cation_charge))
    high = min(above, default=math.ceil(cation_charge))
    part = (cation_charge - low) / (high - low)
    if low == 0:  # below the lowest state of this cation: its lowest state, diluted
        return [(find_pair(cation, high, anion, anion_charge), part)]
    return [
        (find_pair(cation, low, anion, anion_charge), 1.0 - part),
        (find_pair(cation, high, anion, anion_charge), part),
    ]
