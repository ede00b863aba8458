"""A name, a Hall symbol and a number that state different space groups: the contents decide, or a warning says so.

Cell and positions: LiCl, as in R. W. G. Wyckoff, Crystal Structures; in P m -3 m they would be a caesium chloride type.
"""

from __future__ import annotations

import pytest

from fastin import Crystal

ATOMS = ["Li1 Li 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]
REST = [
    "Li2 Li 0.5 0.5 0",
    "Li3 Li 0.5 0 0.5",
    "Li4 Li 0 0.5 0.5",
    "Cl2 Cl 0.5 0 0",
    "Cl3 Cl 0 0.5 0",
    "Cl4 Cl 0 0 0.5",
]
NAME, NUMBER, HALL = "_space_group_name_H-M_alt", "_space_group_IT_number", "_space_group_name_Hall"


def salt(lines, atoms=ATOMS):
    cell = [f"_cell_length_{k} 5.13" for k in "abc"] + [f"_cell_angle_{k} 90" for k in ("alpha", "beta", "gamma")]
    columns = [f"_atom_site_{c}" for c in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")]
    text = "\n".join(["data_x", *cell, *lines, "loop_", *columns, *atoms]) + "\n"
    return Crystal.from_cif_string(text)


@pytest.mark.parametrize(
    "lines",
    [
        [f"{NAME} 'F m -3 m'", f"{NUMBER} 221"],
        [f"{NAME} 'P m -3 m'", f"{NUMBER} 225"],
        [f"{HALL} '-F 4 2 3'", f"{NAME} 'P m -3 m'"],
        [f"{HALL} '-P 4 2 3'", f"{NUMBER} 225"],
    ],
)
def test_two_groups_that_nothing_decides(lines):
    assert [w.code for w in salt(lines).warnings] == ["symmetry-mismatch"]


@pytest.mark.parametrize(("units", "held"), [(1, 2), (4, 8)])
@pytest.mark.parametrize("lines", [[f"{NAME} 'F m -3 m'", f"{NUMBER} 221"], [f"{NAME} 'P m -3 m'", f"{NUMBER} 225"]])
def test_the_formula_units_decide(lines, units, held):
    crystal = salt([*lines, "_chemical_formula_sum 'Li Cl'", f"_cell_formula_units_Z {units}"])
    assert crystal.occupancy.sum() == held
    assert [w.code for w in crystal.warnings] == ([] if held == 8 else ["atoms-apart"])  # 2 atoms in the cell of 8


def test_the_whole_cell_under_a_number_is_in_no_doubt():
    crystal = salt([f"{NAME} 'P 1'", f"{NUMBER} 225"], ATOMS + REST)
    assert crystal.occupancy.sum() == 8
    assert crystal.warnings == ()


def test_other_settings_of_one_group_are_no_contradiction():
    general = ["Li1 Li 0.25 0.25 0.25", "Cl1 Cl 0.75 0.25 0.25"]
    assert salt([f"{NAME} 'P 21/n'", f"{NUMBER} 14"], general).warnings == ()
    assert salt([f"{NAME} 'F m -3 m'", f"{NUMBER} 225"]).warnings == ()
    assert salt([f"{NAME} 'F m -3 m'", f"{NUMBER} ?"]).warnings == ()
