"""Site labels without type symbols: two elements in one label, an oxygen named by its neighbour."""

from __future__ import annotations

import re

import pytest

from fastin.crystal.crystal import Crystal
from fastin.errors import InputError


def cif(rows: list[str], lines: list[str], *, occupancy: bool = False) -> str:
    cell = [f"_cell_length_{k} 4.21" for k in "abc"] + [f"_cell_angle_{k} 90" for k in ("alpha", "beta", "gamma")]
    columns = ["label", "fract_x", "fract_y", "fract_z", *["occupancy"] * occupancy]
    return "\n".join(["data_x", *cell, *lines, "loop_", *(f"_atom_site_{c}" for c in columns), *rows]) + "\n"


def read(text: str) -> Crystal:
    return Crystal.from_cif_string(text)


def codes(crystal: Crystal) -> set[str]:
    return {w.code for w in crystal.warnings}


@pytest.mark.parametrize("label", ["Fe,Mg1", "(Fe,Mg)1", "Fe/Mg", "FeMg", "FeMg1", "Fe1-Mg1", "Fe0.5Mg0.5", "Mg;Fe1"])
def test_labels_that_name_two_elements(label: str) -> None:
    """They were read as the first element, full: their shares are asked for, or follow from the formula."""
    rows = [f"'{label}' 0 0 0", "O1 0.5 0.5 0.5"]
    with pytest.raises(InputError, match="shares"):
        read(cif(rows, ["_symmetry_space_group_name_H-M 'F m -3 m'"]))
    lines = ["_symmetry_space_group_name_H-M 'F m -3 m'", "_chemical_formula_sum 'Fe0.25 Mg0.75 O'"]
    if re.search("[,/;]", label):
        found = read(cif(rows, lines))
        assert found.occupancy[found.number == 26].sum() == pytest.approx(1.0)
        assert found.occupancy[found.number == 12].sum() == pytest.approx(3.0)
    else:  # one atom on the other's site, or a mixture: the formula tells
        assert "formula-mismatch" in codes(read(cif(rows, lines)))


@pytest.mark.parametrize(
    ("label", "number"),
    [
        ("OSi", 8),
        ("OAl1", 8),
        ("OTi", 8),
        ("OB1", 8),
        ("OCa2", 8),
        ("Os1", 76),
        ("CaM1", 20),
        ("FeA", 26),
        ("MgT2", 12),
    ],
)
def test_labels_with_a_neighbour_or_a_site_in_them(label: str, number: int) -> None:
    """OSi is an oxygen of silicon, no osmium."""
    rows = ["Sr1 0 0 0", f"{label} 0.5 0.5 0.5"]
    found = read(cif(rows, ["_symmetry_space_group_name_H-M 'F m -3 m'"]))
    assert set(found.number.tolist()) == {38, number}


def test_an_atom_on_another_atoms_site() -> None:
    """NiLi1 is a nickel on lithium's site, with the formula as its witness."""
    rows = ["Li1 0 0 0 0.9", "NiLi1 0 0 0 0.1", "Cl1 0.5 0.5 0.5 1"]
    lines = ["_symmetry_space_group_name_H-M 'F m -3 m'", "_chemical_formula_sum 'Li0.9 Ni0.1 Cl'"]
    found = read(cif(rows, lines, occupancy=True))
    assert found.occupancy[found.number == 28].sum() == pytest.approx(0.4)
    assert "formula-mismatch" not in codes(found)
