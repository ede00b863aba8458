"""Radii: Shannon's table, the rule between its entries, and anions that it lacks."""

from __future__ import annotations

import pytest

from fastin.crystal.elements import element, numbers_by_symbol, species_name, table
from fastin.crystal.radii import atomic_radius, ionic_radius
from fastin.errors import MissingParameterError

Z = numbers_by_symbol()


@pytest.mark.parametrize(
    ("symbol", "charge", "coordination", "crystal", "effective"),
    [
        ("O", -2, 6, 1.26, 1.40),
        ("O", -2, 4, 1.24, 1.38),
        ("S", -2, 6, 1.70, 1.84),
        ("Cl", -1, 6, 1.67, 1.81),
        ("F", -1, 4, 1.17, 1.31),
        ("Li", 1, 4, 0.73, 0.59),
        ("Li", 1, 6, 0.90, 0.76),
        ("Na", 1, 6, 1.16, 1.02),
        ("La", 3, 8, 1.30, 1.16),
        ("Zr", 4, 6, 0.86, 0.72),
        ("P", 5, 4, 0.31, 0.17),
        ("Ge", 4, 4, 0.53, 0.39),
        ("Fe", 2, 6, 0.92, 0.78),  # high spin
        ("Mn", 3, 6, 0.785, 0.645),  # high spin
        ("Co", 3, 6, 0.685, 0.545),  # low spin
        ("Eu", 3, 7, 1.15, 1.01),
    ],
)
def test_shannon_entries(symbol: str, charge: int, coordination: int, crystal: float, effective: float) -> None:
    assert ionic_radius(Z[symbol], charge, coordination) == (pytest.approx(crystal), "")
    assert ionic_radius(Z[symbol], charge, coordination, "effective").value == pytest.approx(effective)


def test_scales_differ_by_shannons_constant_everywhere() -> None:
    for facts in table():
        for charge in facts.occurrences:
            for coordination in (4, 6, 8):
                if charge == 0:
                    continue
                try:
                    crystal = ionic_radius(facts.number, charge, coordination)
                    effective = ionic_radius(facts.number, charge, coordination, "effective")
                except MissingParameterError:
                    continue
                if "covalent" not in crystal.note or charge < 0:
                    assert abs(effective.value - crystal.value) == pytest.approx(0.14, abs=0.01), (facts.symbol, charge)


def test_nearest_coordination_number() -> None:
    assert ionic_radius(Z["Li"], 1, 5).value == 0.73  # 4 and 6 are equally near: the lower
    assert ionic_radius(Z["Li"], 1, 12).value == 1.06  # beyond VIII
    assert ionic_radius(Z["P"], 5, 3).value == 0.31
    assert ionic_radius(Z["O"], -2, 0).value == 1.26  # unknown: six-fold


def test_charges_between_and_beyond_the_entries() -> None:
    low, high = ionic_radius(Z["Mn"], 3, 6).value, ionic_radius(Z["Mn"], 4, 6).value
    mean = ionic_radius(Z["Mn"], 3.5, 6)
    assert mean.value == pytest.approx((low + high) / 2)
    assert "interpolated" in mean.note
    beyond = ionic_radius(Z["O"], -1, 6)
    assert beyond.value == 1.26
    assert "O2-" in beyond.note


@pytest.mark.parametrize(
    ("symbol", "charge"),
    [
        ("P", -3),
        ("As", -3),
        ("Sb", -3),
        ("Bi", -3),
        ("Si", -4),
        ("Ge", -4),
        ("Sn", -4),
        ("C", -4),
        ("H", -1),
        ("B", -3),
    ],
)
def test_anions_never_get_a_cations_radius(symbol: str, charge: int) -> None:
    radius = ionic_radius(Z[symbol], charge, 6)
    cations = [q for q in element(Z[symbol]).occurrences if q > 0]
    largest_cation = max(ionic_radius(Z[symbol], q, n).value for q in cations for n in (4, 6, 8))
    assert radius.value > max(1.2, largest_cation)


def test_derived_anions_agree_with_shannon_where_he_has_one() -> None:
    """The estimate from covalent radii, applied to his own anions."""
    for symbol, charge, coordination in (("O", -2, 6), ("S", -2, 6), ("Cl", -1, 6), ("Se", -2, 6), ("I", -1, 6)):
        estimate = element(Z[symbol]).covalent_radius + 0.64
        assert estimate == pytest.approx(ionic_radius(Z[symbol], charge, coordination).value, abs=0.06)
    assert "estimated" in ionic_radius(Z["B"], -3, 6).note


def test_atoms_and_names() -> None:
    assert atomic_radius(Z["Li"]).value == 1.45
    assert ionic_radius(Z["Fe"], 0.0, 8).value == atomic_radius(Z["Fe"]).value
    assert atomic_radius(Z["He"]).note
    assert species_name(8, -2.0) == "O2-"
    assert species_name(3, 1.0) == "Li+"
    assert species_name(25, 3.5) == "Mn3.5+"
    assert species_name(26, 0.0) == "Fe"
    with pytest.raises(MissingParameterError, match="radii="):
        ionic_radius(Z["Lr"], 2, 6)
