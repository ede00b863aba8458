"""Measured quantities: intervals, distances, measured compounds, refusals, one quantity from the other, commands."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.errors import InputError
from fastin.ml import conductivity
from fastin.ml.composition import atomic_fractions, composition_features, mover_profile
from fastin.ml.forest import Forest
from fastin.ml.formula import parse_formula
from fastin.ml.measured import (
    SAME,
    Domain,
    _plain_amounts,
    family_codes,
    family_quantiles,
    fit_domain,
    load_measured,
    table_of,
    weighted_quantile,
)

FORMULAS = ["Li3N", "Li3OCl", "LiCoO2", "LiFePO4", "Li10GeP2S12", "Li7La3Zr2O12", "LiCl", "Li6PS5Cl", "Li3PO4"]
DOMAIN = {"median": 2.0, "reach": 3.0, "power": 4.0, "spread": 1.0, "floor": 1.0, "slope": 0.5, "limit": 6.0}


@pytest.fixture
def forests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forests whose target is ten times the fraction of lithium, and a table of three measured compounds."""
    pytest.importorskip("sklearn")
    rows = [composition_features(f) for f in FORMULAS]
    names = list(rows[0])
    x = np.array([[row[n] for n in names] for row in rows]).repeat(4, axis=0)
    y = 10 * x[:, names.index("fraction_Li")]
    card = {
        "elements": ["Li", "N", "O", "Cl", "Co", "P", "S", "Ge"],
        "domain": DOMAIN,
        "line": [0.1, -0.06],
        "inverse_line": [0.0, -10.0],
        "through_conductivity": 0.5,
        "half_widths_given_the_other": [0.1, 0.2],
    }
    for target in conductivity.TARGETS:
        Forest.fit(names, x, y, card, trees=30).save(tmp_path / f"{target}-composition.npz")
    (tmp_path / "measured_lithium.csv").write_text(
        "# three rows\n"
        "formula,log10_sigma_S_cm,below,activation_energy_eV,doi,family,"
        "log10_sigma_error_over_width,activation_energy_error_over_width\n"
        "Li3N,-3.2,0,0.29,10.1/a,,0.4,0.1\nLi10GeP2S12,-1.9,0,0.25,10.1/b,lgps,0.2,0.05\nLi3PO4,-8.0,1,,10.1/c,,0.9,\n"
    )
    monkeypatch.setattr(conductivity, "model_folder", lambda: tmp_path)
    conductivity.load_forest.cache_clear()
    load_measured.cache_clear()
    yield tmp_path
    conductivity.load_forest.cache_clear()
    load_measured.cache_clear()


def test_a_composition_near_the_measured_ones(forests: Path) -> None:
    said = conductivity.predict_composition("Li6PS5Cl")
    assert said.conductivity is not None
    assert said.conductivity.origin == "model"
    assert said.conductivity.low_90 <= said.conductivity.low_68 < said.log10_conductivity < said.conductivity.high_68
    assert said.log10_conductivity_std == pytest.approx(said.conductivity.high_68 - said.conductivity.value)
    assert said.nearest[0].formula == "Li10GeP2S12"
    assert said.nearest[0].doi == "10.1/b"
    assert [n.distance for n in said.nearest] == sorted(n.distance for n in said.nearest)


def test_far_predictions_are_pulled_and_wider(forests: Path) -> None:
    domain = Domain(**DOMAIN)
    assert domain.pull(10.0, 0.0) == 10.0
    assert domain.pull(10.0, 3.0) == pytest.approx(6.0)  # half the way to the median of 2
    assert domain.pull(10.0, 300.0) == pytest.approx(2.0, abs=1e-3)
    assert domain.width(0.5, 2.0) > domain.width(0.5, 0.0) > domain.width(0.0, 0.0)


def test_beyond_the_limit_there_is_no_number(forests: Path) -> None:
    near, far = conductivity.predict_composition("Li6PS5Cl"), conductivity.predict_composition("LiCsF2")
    assert far.distance > DOMAIN["limit"] > near.distance
    assert far.log10_conductivity is None
    assert far.energy is None
    assert "no number" in far.warnings[0].message
    assert far.nearest[0].doi in far.warnings[0].message
    assert "Cs" in far.warnings[-1].message


def test_a_measured_compound_is_answered_with_the_measurement(forests: Path) -> None:
    said = conductivity.predict_composition("N Li3")
    assert said.conductivity is not None
    assert (said.conductivity.origin, said.conductivity.value) == ("measured", -3.2)
    assert said.conductivity.std >= conductivity.REPEAT["log10_conductivity"]
    only = conductivity.predict_composition("Li3PO4")
    assert only.conductivity is not None
    assert only.energy is not None
    assert (only.conductivity.origin, only.energy.origin) == ("measured", "model")


def test_one_measured_quantity_gives_the_other(forests: Path) -> None:
    said = conductivity.predict_composition("Li6PS5Cl", measured={"conductivity": 1e-3})
    assert said.conductivity is not None
    assert said.energy is not None
    assert (said.conductivity.origin, said.conductivity.value) == ("given", pytest.approx(-3.0))
    assert (said.energy.origin, said.energy.value) == ("from the other", pytest.approx(0.1 + 0.06 * 3.0))
    plain = conductivity.predict_composition("Li6PS5Cl")
    back = conductivity.predict_composition("Li6PS5Cl", measured={"activation_energy": 0.3})
    assert back.log10_conductivity == pytest.approx(0.5 * (-3.0 + plain.log10_conductivity))
    for wrong in ({"conductivity": 0.0}, {"conductivity": math.nan}, {"resistance": 1.0}):
        with pytest.raises(InputError, match="measured"):
            conductivity.predict_composition("Li6PS5Cl", measured=wrong)


def test_a_crystal_gives_what_its_composition_gives(forests: Path) -> None:
    crystal = conductivity.predict_crystal(fastin.examples()["Li3OCl"])
    formula = conductivity.predict_composition("Li3OCl")
    assert crystal.log10_conductivity == pytest.approx(formula.log10_conductivity)
    with pytest.raises(InputError, match="lithium"):
        conductivity.predict_crystal(fastin.examples()["CaF2"])
    with pytest.raises(InputError, match="lithium"):
        conductivity.predict_composition("NaCl")


def test_missing_forests_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductivity, "model_folder", lambda: tmp_path)
    conductivity.load_forest.cache_clear()
    assert not conductivity.has_forests()
    with pytest.raises(InputError, match=r"no shipped model|not a table"):
        conductivity.predict_composition("Li3N")


def test_a_crystal_of_no_compound_keeps_its_barriers(forests: Path) -> None:
    structure = pytest.importorskip("pymatgen.core").Structure(
        np.eye(3) * 4.0, ["Li", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]]
    )
    said = conductivity.predict_crystal(structure)
    assert (said.conductivity, said.energy, len(said.nearest)) == (None, None, 3)
    assert "cannot be neutral" in str(said.warnings[0])
    with pytest.raises(InputError, match="cannot be neutral"):
        conductivity.predict_crystal(structure, measured={"conductivity": 1e-4})


def test_the_distance_is_a_metric() -> None:
    profiles = [mover_profile(parse_formula(f)) for f in FORMULAS]
    distance = np.array([[np.abs(a - b).sum() for b in profiles] for a in profiles])
    np.testing.assert_allclose(distance, distance.T)
    assert (distance[:, :, None] <= distance[:, None, :] + distance.T[None] + 1e-9).all()
    np.testing.assert_allclose(mover_profile({"Li": 2, "O": 1}), mover_profile({"Li": 4, "O": 2}))


def test_domain_constants_recover_a_known_law() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    distance = rng.uniform(0, 4, n)
    truth = rng.normal(0, 2, n)
    width = 0.5 * (1 + 0.5 * distance)
    value = truth + rng.laplace(0, width / math.sqrt(2), n)
    fitted = fit_domain(truth, value, np.full(n, 1e-3), distance, np.ones(n), 0.0, 4.0)
    error = np.abs(fitted.pull(value, distance) - truth)
    inside = error <= fitted.width(1e-3, distance)
    assert inside.mean() == pytest.approx(0.6827, abs=0.01)
    for low in (0.0, 1.0, 2.0, 3.0):  # holds at every distance, not only on average
        own = (distance >= low) & (distance < low + 1)
        assert inside[own].mean() == pytest.approx(0.68, abs=0.06)


def test_quantiles_follow_the_nearest_family() -> None:
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), 0.5) == 2.0
    rng = np.random.default_rng(1)
    n = 400
    family = family_codes(np.array(["tight"] * n + ["wide"] * n))
    ratio = np.abs(np.concatenate([0.3 * rng.normal(size=n), 2.0 * rng.normal(size=n)]))
    at_tight = np.concatenate([np.full(n, 0.1), np.full(n, 3.0)])
    one, two = family_quantiles(at_tight, ratio, family, np.ones(2 * n))
    assert one == pytest.approx(0.3, rel=0.15)
    assert two == pytest.approx(1.645 * 0.3, rel=0.2)
    wide, _ = family_quantiles(at_tight[::-1], ratio, family, np.ones(2 * n))
    assert wide == pytest.approx(2.0, rel=0.15)
    between = family_quantiles(np.full(2 * n, 0.1), ratio, family, np.ones(2 * n))[0]
    assert one < between < wide
    far = family_quantiles(at_tight + 1e3, ratio, family, np.ones(2 * n))[0]  # no family: all papers alike, as five
    assert far == pytest.approx(np.quantile(ratio, 0.6827 * (1 + 0.25 / 5)), rel=0.02)


def test_a_family_of_few_papers_is_told_by_the_others() -> None:
    ratio = np.concatenate([[0.01], np.linspace(0, 2, 200), [np.nan]])
    family = family_codes(np.array(["one paper"] + ["others"] * 200 + [""]))
    distance = np.concatenate([[0.0], np.full(200, 3.0), [0.0]])
    one, two = family_quantiles(distance, ratio, family, np.ones(202))
    assert one == pytest.approx(2 * 0.68, rel=0.15)
    assert two == pytest.approx(2 * 0.9, rel=0.1)
    many = np.concatenate([np.full(100, 0.01), np.linspace(0, 2, 200)])  # a hundred rows of one paper count as one
    weight = np.concatenate([np.full(100, 0.01), np.ones(200)])
    family = family_codes(np.array(["one paper"] * 100 + ["others"] * 200))
    distance = np.concatenate([np.zeros(100), np.full(200, 3.0)])
    assert family_quantiles(distance, many, family, weight)[0] == pytest.approx(one, rel=0.1)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        *((f, "two elements") for f in ("LiF", "Li2S", "Li2O", "LiCl", "LiH", "Li2Se")),
        *((f, "carbon and hydrogen") for f in ("LiCH3COO", "C6H5OLi", "LiCB11H12", "LiHCO3")),
        *((f, "of its atoms are lithium") for f in ("Li0.01LaTiO3", "Li0.01La2Zr2O7")),
        *((f, "another ion may move") for f in ("Li0.1Na0.9Cl", "K2LiErCl6", "LiNa2PS4", "Na2.9Li0.1PS4")),
    ],
)
def test_kinds_that_nobody_measured_get_no_number(formula: str, said: str) -> None:
    found = conductivity.predict_composition(formula)
    assert (found.conductivity, found.energy) == (None, None)
    assert said in str(found.warnings[0])
    assert conductivity.decades_above(parse_formula(formula), 5e-5) is None
    given = conductivity.predict_composition(formula, measured={"conductivity": 1e-6})
    assert given.energy is not None  # from the given conductivity
    assert given.energy.origin == "from the other"


def test_numbers_that_say_little_say_so() -> None:
    far = conductivity.predict_composition("LiPF6")
    assert far.conductivity is not None
    assert any("median" in str(warning) for warning in far.warnings)
    electrode = conductivity.predict_composition("Li2MnO3")
    assert any("electrons" in str(warning) for warning in electrode.warnings)
    assert not conductivity.predict_composition("Li6.5La3Zr1.5Ta0.5O12").warnings


def test_repeats_of_a_compound_are_one_neighbour() -> None:
    rows = [
        {"formula": f, "log10_sigma_S_cm": -3, "below": 0, "activation_energy_eV": "", "doi": d,
         "family": "", "log10_sigma_error_over_width": 1, "activation_energy_error_over_width": ""}
        for f, d in (("Li3N", "a"), ("Li6N2", "b"), ("Li3P", "c"))
    ]  # fmt: skip
    table = table_of(rows)
    found = table.nearest(table.distances(parse_formula("Li3N")))
    assert [n.doi for n in found] == ["a", "c"]


def test_command_line(forests: Path) -> None:
    result = CliRunner().invoke(main, ["predict", "--formula", "Li6PS5Cl", "--formula", "Li3N", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)
    assert [row["formula"] for row in rows] == ["Li6PS5Cl", "Li3N"]
    assert rows[1]["conductivity"]["origin"] == "measured"
    shown = CliRunner().invoke(main, ["predict", "--formula", "Li3N"]).output
    assert "measured" in shown
    assert "10.1/a" in shown
    told = CliRunner().invoke(main, ["predict", "--formula", "Li6PS5Cl", "--measured-sigma", "1e-3", "--json"])
    assert json.loads(told.output)[0]["energy"]["origin"] == "from the other"
    two = ["predict", "--formula", "Li3N", "--formula", "Li3P", "--measured-ea", "0.3"]
    assert CliRunner().invoke(main, two).exit_code == 2
    assert CliRunner().invoke(main, ["predict"]).exit_code == 2
    bad = CliRunner().invoke(main, ["predict", "--formula", "Xx"])
    assert bad.exit_code == 1
    assert "Xx" in bad.output


def test_the_table_is_read_as_its_formulas_are():
    """Plain formulas skip the questions of `parse_formula`; what they give is the same."""
    table = load_measured(conductivity.model_folder() / "measured_lithium.csv")
    for formula in table.formula:
        plain = _plain_amounts(formula)
        assert plain is not None
        assert list(plain.items()) == list(parse_formula(formula).items())
    assert _plain_amounts("Li3(PO4)") is None
    assert _plain_amounts("LiCl.2H2O") is None


def test_the_same_composition_is_found_as_by_a_plain_search():
    table = load_measured(conductivity.model_folder() / "measured_lithium.csv")
    rng = np.random.default_rng(0)
    for k in range(0, len(table.formula), 5):
        amounts = parse_formula(table.formula[k])
        for size in (0.0, 1e-3, 5e-3, 2e-2):
            near = {e: x * (1.0 + size * rng.random()) for e, x in amounts.items()}
            plain = np.flatnonzero(np.abs(table.fraction - atomic_fractions(near)).max(axis=1) < SAME)
            assert table.same(near).tolist() == plain.tolist()
    assert len(table.same({"U": 1.0})) == 0
