"""Measured quantities: both branches on forests fitted to a known law, warnings, the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.errors import InputError
from fastin.ml import conductivity
from fastin.ml.composition import composition_features
from fastin.ml.forest import Forest

FORMULAS = ["Li3N", "Li3OCl", "LiCoO2", "LiFePO4", "Li10GeP2S12", "Li7La3Zr2O12", "LiCl", "Li6PS5Cl", "Li3PO4"]


@pytest.fixture
def forests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forests of both branches whose target is ten times the fraction of lithium."""
    pytest.importorskip("sklearn")
    rows = [composition_features(f) for f in FORMULAS]
    names = list(rows[0])
    x = np.array([[row[n] for n in names] for row in rows]).repeat(4, axis=0)
    y = 10 * x[:, names.index("fraction_Li")]
    card = {"elements": ["Li", "N", "O", "Cl", "Co", "P", "S", "Ge"], "uncertainty": {"scale": 1.0, "floor": 0.2}}
    for target in conductivity.TARGETS:
        for branch in ("lattice", "composition"):
            Forest.fit(names, x, y, card, trees=30).save(tmp_path / f"{target}-{branch}.npz")
    monkeypatch.setattr(conductivity, "model_folder", lambda: tmp_path)
    conductivity.load_forest.cache_clear()
    yield tmp_path
    conductivity.load_forest.cache_clear()


def test_composition_branch(forests: Path) -> None:
    said = conductivity.predict_composition("Li6PS5Cl")
    assert said.branch == "composition"
    assert said.log10_conductivity == pytest.approx(10 * 6 / 13, abs=0.5)
    assert said.log10_conductivity_std >= 0.2
    assert said.warnings == ()
    assert "Fe" in conductivity.predict_composition("LiFePO4").warnings[0].message
    with pytest.raises(InputError, match="lithium"):
        conductivity.predict_composition("NaCl")


def test_crystals_take_the_richest_model(forests: Path) -> None:
    said = conductivity.predict_crystal(fastin.examples()["Li3OCl"])
    assert said.branch == "lattice"
    assert said.activation_energy == pytest.approx(6.0, abs=0.5)
    with pytest.raises(InputError, match="lithium"):
        conductivity.predict_crystal(fastin.examples()["CaF2"])


def test_missing_forests_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductivity, "model_folder", lambda: tmp_path)
    conductivity.load_forest.cache_clear()
    assert not conductivity.has_forests()
    with pytest.raises(InputError, match="no shipped model"):
        conductivity.predict_composition("Li3N")


def test_command_line_takes_compositions(forests: Path) -> None:
    result = CliRunner().invoke(main, ["predict", "--formula", "Li6PS5Cl", "--formula", "Li3N", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)
    assert [row["formula"] for row in rows] == ["Li6PS5Cl", "Li3N"]
    assert "Li3N" in CliRunner().invoke(main, ["predict", "--formula", "Li3N"]).output
    assert CliRunner().invoke(main, ["predict"]).exit_code == 2
    bad = CliRunner().invoke(main, ["predict", "--formula", "Xx"])
    assert bad.exit_code == 1
    assert "Xx" in bad.output


def test_features_of_a_crystal_do_not_depend_on_its_cell() -> None:
    from pymatgen.core import Structure

    structure = Structure.from_file(fastin.examples()["Li3OCl"])
    rows = []
    for cell in (structure, structure.copy().make_supercell((2, 1, 1))):
        crystal = fastin.Crystal.from_structure(cell)
        rows.append(
            conductivity.lattice_features(
                crystal.space_group_number, crystal.volume, conductivity.amounts_of(crystal), "Li"
            )
        )
    assert rows[0] == pytest.approx(rows[1])
    assert rows[0]["space_group_number"] == 221
    assert rows[0]["crystal_system"] == 6
    assert rows[0]["volume_per_atom_A3"] == pytest.approx(structure.volume / 5)
    assert rows[0]["mobile_density_per_nm3"] == pytest.approx(3000 / structure.volume)


def test_unknown_structure_columns_are_left_out() -> None:
    found = conductivity.structure_features({"barrier_3d_network_eV": np.inf, "recovery_share": np.nan, "other": 1.0})
    assert found == {"barrier_3d_network_eV": 6.0}
