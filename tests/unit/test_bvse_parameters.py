"""The bond valence table: its own formulas on every row, look-ups, derived pairs, charges that no table holds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fastin.bvse.derivation import (
    HARDNESS,
    anion_softness,
    cation_softness,
    derive_pair,
    rmin_factor_of,
    with_cation_charge,
)
from fastin.bvse.pairs import element, element_table, morse_depth, morse_distance, pair_table, softbv_radius, species
from fastin.bvse.parameters import find_pair, pair_mixture
from fastin.errors import MissingParameterError

NUMBERS = {entry.symbol: z for z, entry in element_table().items()}
PAIRS = list(pair_table().values())


def test_table_is_complete_and_sane():
    assert len(PAIRS) == 593
    for pair in PAIRS:
        assert pair.b > 0.25, pair.name
        assert 0.9 < pair.rmin < 4.5, pair.name
        assert 0.0 < pair.d0 < 8.0, pair.name
        assert pair.quality in ("ok", "recomputed", "suspect")
        assert pair.quality == "ok" or pair.note
    ions = {("Li", 1), ("Na", 1), ("K", 1), ("Rb", 1), ("Cs", 1), ("Ag", 1), ("Cu", 1), ("Mg", 2), ("Ca", 2), ("Zn", 2)}
    assert ions | {("Al", 3), ("H", 1)} <= {(p.cation, p.cation_charge) for p in PAIRS}
    assert {"F", "Cl", "Br", "I", "O", "S", "Se", "Te", "N"} == {p.anion for p in PAIRS}


def test_depth_follows_from_b_and_rmin_on_every_row():
    for pair in PAIRS:
        depth = morse_depth(
            NUMBERS[pair.cation], pair.cation_charge, NUMBERS[pair.anion], pair.anion_charge, pair.b, pair.rmin
        )
        assert depth == pytest.approx(pair.d0, rel=2e-3), pair.name


def test_rmin_factor_is_linear_in_the_softness_difference():
    misfits = []
    for pair in PAIRS:
        if pair.quality == "suspect" or pair.source == "softbv-2011":
            continue
        f = rmin_factor_of(pair)
        assert 0.918 < f < 0.9785, pair.name
        difference = abs(
            anion_softness(pair.anion, pair.anion_charge) - cation_softness(pair.cation, pair.cation_charge)
        )
        misfits.append(abs(f - 0.9185 - 0.2285 * difference))
        assert morse_distance(pair.r0, pair.b, pair.coordination, pair.cation_charge, f) == pytest.approx(pair.rmin)
    assert np.quantile(misfits, 0.97) < 2.5e-4
    assert np.median(misfits) < 5e-5


def test_suspect_rows_are_those_documented():
    suspects = {(p.cation, p.cation_charge) for p in PAIRS if p.quality == "suspect"}
    assert suspects == {("Cu", 2), ("Tb", 4)}


def test_softness_of_anions_runs_with_the_inverse_hardness():
    for group in (("F", "Cl", "Br", "I"), ("O", "S", "Se", "Te")):
        charge = -1 if group[0] == "F" else -2
        for a, b in itertools.pairwise(group):
            step = anion_softness(b, charge) - anion_softness(a, charge)
            assert step == pytest.approx(1 / HARDNESS[b] - 1 / HARDNESS[a], abs=6e-4)
    assert anion_softness("N", -3) < anion_softness("P", -3) < anion_softness("As", -3) < anion_softness("Sb", -3)
    assert anion_softness("C", -4) is None


def test_derived_r0_and_rmin_leave_one_out():
    """Each tabulated pair derived from the others: the error that the module's text states."""
    r0, rmin = [], []
    for pair in PAIRS:
        derived = derive_pair(pair.cation, pair.cation_charge, pair.anion, pair.anion_charge)
        others = sum((p.cation, p.cation_charge) == (pair.cation, pair.cation_charge) for p in PAIRS)
        if derived is None or others < 3:
            continue
        r0.append(abs(derived.r0 - pair.r0))
        rmin.append(abs(derived.rmin - pair.rmin))
    assert len(r0) > 400
    assert np.median(r0) < 0.035
    assert np.quantile(r0, 0.9) < 0.12
    assert np.median(rmin) < 0.035
    assert np.quantile(rmin, 0.9) < 0.12


@pytest.mark.parametrize(
    ("cation", "charge", "anion", "anion_charge", "low", "high"),
    [
        ("Li", 1, "P", -3, 2.45, 2.75),  # Li3P: 2.45 and 2.78 A
        ("Li", 1, "As", -3, 2.5, 2.85),  # Li3As: 2.53 A
        ("Li", 1, "H", -1, 1.8, 2.1),  # LiH: 2.04 A
        ("Na", 1, "N", -3, 2.3, 2.6),
        ("Mg", 2, "P", -3, 2.4, 2.7),
    ],
)
def test_derived_pairs_are_physical_and_flagged(cation, charge, anion, anion_charge, low, high):
    pair = find_pair(cation, charge, anion, anion_charge)
    assert pair.quality == "derived"
    assert "derived" in pair.note
    assert low < pair.rmin < high
    assert pair.d0 > 0


def test_cation_charges_that_no_table_holds():
    known, other = find_pair("La", 3, "O", -2), find_pair("La", 2, "O", -2)
    assert other.quality == "derived"
    assert other.rmin == pytest.approx(known.rmin + known.b * math.log(3 / 2))
    assert with_cation_charge(known, 3).d0 == pytest.approx(known.d0)
    with pytest.raises(MissingParameterError, match=r"Li\+ - C4-"):
        find_pair("Li", 1, "C", -4)
    with pytest.raises(MissingParameterError, match="both need a charge"):
        pair_mixture("Li", 1, "O", 0)


@pytest.mark.parametrize("charge", [2.0, 2.25, 2.5, 2.999, 3.0, 3.3, 4.0, 1.5])
def test_mixtures_conserve_the_charge(charge):
    parts = pair_mixture("Fe", charge, "O", -2)
    assert sum(pair.cation_charge * weight for pair, weight in parts) == pytest.approx(charge)
    assert all(weight >= 0 for _, weight in parts)


def test_mixture_of_tin_and_scaled_anion():
    parts = pair_mixture("Sn", 3, "O", -2)
    assert [(p.cation_charge, w) for p, w in parts] == [(2, 0.5), (4, 0.5)]
    full, peroxide = find_pair("Li", 1, "O", -2), find_pair("Li", 1, "O", -1)
    assert peroxide.d0 == pytest.approx(0.5 * full.d0)
    assert (peroxide.rmin, peroxide.b, peroxide.quality) == (full.rmin, full.b, "derived")
    (partial, weight), *rest = pair_mixture("Li", 1, "O", -1.9)
    assert not rest
    assert weight == 1.0
    assert partial.d0 == pytest.approx(0.95 * full.d0)


def test_radii_and_names():
    assert softbv_radius(26, 3) == 1.26
    assert softbv_radius(26, 2.5) == 1.26
    assert softbv_radius(15, -3) == 1.92
    assert softbv_radius(7, 4) == pytest.approx(0.74)
    assert softbv_radius(16, -1) == 1.84  # nearest of its sign
    assert softbv_radius(61, 3) == element(61).covalent_radius  # Pm: no softBV radius
    assert species("O", -2) == "O2-"
    assert species("Li", 1) == "Li+"
    assert species("Fe", 2.5) == "Fe2.5+"
    with pytest.raises(MissingParameterError, match="120"):
        element(120)
