"""A CIF against what it says about itself: the right reading, a warning or an error; never silently another crystal.

Parameters: LiFePO4 (V. A. Streltsov et al., Acta Cryst. B49, 147, 1993), NaCl, CaF2, TiO2 and Li2CO3 as in textbooks
(R. W. G. Wyckoff, Crystal Structures), beta-alumina as idealised there.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fastin import Crystal, InputError
from fastin.crystal.cif.tags import parse_formula

LFP = ["Li1 Li 0 0 0", "Fe1 Fe 0.28222 0.25 0.97472", "P1 P 0.09486 0.25 0.41820", "O1 O 0.09678 0.25 0.74279",
       "O2 O 0.45710 0.25 0.20602", "O3 O 0.16558 0.04646 0.28478"]  # fmt: skip
PNMA = ["x,y,z", "-x+1/2,-y,z+1/2", "-x,y+1/2,-z", "x+1/2,-y+1/2,-z+1/2", "-x,-y,-z", "x+1/2,y,-z+1/2",
        "x,-y+1/2,z", "-x+1/2,y+1/2,z+1/2"]  # fmt: skip
LFP_CELL = (10.332, 6.010, 4.692, 90, 90, 90)
SALT_CELL = (5.64, 5.64, 5.64, 90, 90, 90)
SALT = ["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")


def cif(cell, rows, lines=(), columns=COLUMNS):
    """A CIF; rows have the values of `columns`."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    out = ["data_x", *(f"_cell_{n} {v}" for n, v in zip(names, cell, strict=True) if v is not None), *lines, "loop_"]
    return "\n".join([*out, *(f"_atom_site_{c}" for c in columns), *rows]) + "\n"


def ops(texts, tag="_space_group_symop_operation_xyz"):
    return ["loop_", tag, *(f"'{t}'" for t in texts)]


def read(text, **options):
    return Crystal.from_cif_string(text, source="x.cif", **options)


def codes(crystal):
    return {w.code for w in crystal.warnings}


def atoms(crystal):
    return round(float(crystal.occupancy.sum()), 3)


# ------------------------------------------------------------------------------------------------ formula


def test_a_missing_element_is_a_formula_mismatch():
    text = cif(LFP_CELL, LFP[:-1], ["_chemical_formula_sum 'Li Fe P O4'", *ops(PNMA)])
    warning = next(w for w in read(text).warnings if w.code == "formula-mismatch")
    assert warning.severe
    assert "O2" in warning.message
    assert "O4" in warning.message
    with pytest.raises(InputError, match="formula-mismatch"):
        read(text, strict=True)


@pytest.mark.parametrize("formula", ["Li Fe P O4", "Li4 Fe4 P4 O16", "O4 P Fe Li", "LiFePO4", "LI FE P O4", "?"])
def test_formulas_that_agree(formula):
    assert not codes(read(cif(LFP_CELL, LFP, [f"_chemical_formula_sum '{formula}'", *ops(PNMA)])))


def test_an_element_that_the_formula_does_not_name():
    rows = [r.replace("P1 P", "P1 Si") for r in LFP]
    assert "formula-mismatch" in codes(read(cif(LFP_CELL, rows, ["_chemical_formula_sum 'Li Fe P O4'", *ops(PNMA)])))


def test_units_and_density_alone_never_ring():
    lines = ["_chemical_formula_sum 'Li Fe P O4'", "_cell_formula_units_Z 8", "_exptl_crystal_density_diffrn 9.9"]
    assert not codes(read(cif(LFP_CELL, LFP, [*lines, *ops(PNMA)])))


# ------------------------------------------------------------------------------------------------ symmetry


@pytest.mark.parametrize("lines", [
    ["_symmetry_space_group_name_H-M 'F m -3 m'", "_cell_formula_units_Z 4", *ops(["x,y,z"])],
    ["_symmetry_Int_Tables_number 225", "_cell_formula_units_Z 4", *ops(["x,y,z"])],
    ["_symmetry_space_group_name_H-M 'F m -3 m'", "_exptl_crystal_density_diffrn 2.17", *ops(["x,y,z"])],
    ["_symmetry_space_group_name_H-M 'Fm-3m'", "_cell_formula_units_Z 4"],
])  # fmt: skip
def test_the_group_of_the_name_where_the_list_lacks_it(lines):
    crystal = read(cif(SALT_CELL, SALT, ["_chemical_formula_sum 'Na Cl'", *lines]))
    assert atoms(crystal) == 8
    assert not codes(crystal)


def test_a_list_that_contradicts_the_name_and_nothing_decides():
    crystal = read(cif(SALT_CELL, SALT, ["_symmetry_space_group_name_H-M 'F m -3 m'", *ops(["x,y,z"])]))
    assert codes(crystal) == {"symmetry-mismatch"}


def test_lost_multiplicities():
    rows = [f"{r} 4" for r in SALT]
    lines = ["_chemical_formula_sum 'Na Cl'", "_cell_formula_units_Z 4", *ops(["x,y,z"])]
    assert "symmetry-mismatch" in codes(read(cif(SALT_CELL, rows, lines, (*COLUMNS, "symmetry_multiplicity"))))


def test_no_symmetry_at_all_against_the_units():
    lines = ["_chemical_formula_sum 'Na Cl'", "_cell_formula_units_Z 4"]
    assert codes(read(cif(SALT_CELL, SALT, lines))) == {"symmetry-mismatch"}
    assert codes(read(cif(SALT_CELL, SALT, ["_chemical_formula_sum 'Na Cl'"]))) == {"atoms-apart"}  # nothing touches


def test_magnetic_operations_of_the_older_spelling_and_centrings():
    rows = ["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]
    lines = ["_chemical_formula_sum 'Na Cl'", "_symmetry_space_group_name_H-M 'P 1'", "loop_",
             "_space_group_symop.magn_id", "_space_group_symop.magn_operation_xyz", "1 x,y,z,+1", "2 -x,-y,-z,-1",
             "loop_", "_space_group_symop.magn_centering_id", "_space_group_symop.magn_centering_xyz", "1 x,y,z,+1",
             "2 x,y+1/2,z+1/2,-1", "3 x+1/2,y,z+1/2,+1", "4 x+1/2,y+1/2,z,-1"]  # fmt: skip
    crystal = read(cif(SALT_CELL, rows, lines))
    assert atoms(crystal) == 8
    assert not codes(crystal)


def test_superspace_centrings_with_a_fourth_part():
    lines = ["_chemical_formula_sum 'Na Cl'", "loop_", "_space_group_symop_ssg_id",
             "_space_group_symop_ssg_operation_algebraic", "1 x1,x2,x3,x4", "2 x1,x2+1/2,x3+1/2,x4+1/2",
             "3 x1+1/2,x2,x3+1/2,x4", "4 x1+1/2,x2+1/2,x3,x4+1/2"]  # fmt: skip
    crystal = read(cif(SALT_CELL, SALT, lines))
    assert atoms(crystal) == 8
    assert codes(crystal) == {"modulation-ignored"}


@pytest.mark.parametrize("line", ["_space_group_magn.number_BNS 62.445", "_space_group_ssg_name 'Pnma(00g)000'"])
def test_groups_named_without_operations(line):
    assert "symmetry-mismatch" in codes(read(cif(SALT_CELL, SALT, [line])))


def test_composites_are_refused():
    lines = ["loop_", "_cell_subsystem_code", "_cell_subsystem_description", "1 a", "2 b", "loop_",
             "_space_group_symop_ssg_operation_algebraic", "x1,x2,x3,x4"]  # fmt: skip
    with pytest.raises(InputError, match="composite"):
        read(cif(SALT_CELL, SALT, lines))


# ------------------------------------------------------------------------------------------------ settings

LI2CO3 = [("Li1", "Li", 0.1965, 0.4485, 0.8344), ("C1", "C", 0.0, 0.0657, 0.25), ("O1", "O", 0.0, 0.3216, 0.25),
          ("O2", "O", 0.1459, -0.0673, 0.3127)]  # fmt: skip
A, B, C, BETA = 8.359, 4.973, 6.197, 114.83


def turned(order):
    """Li2CO3 with its axes in another order (cyclic: right-handed); the oblique angle goes along."""
    lengths, angles = (A, B, C), (90.0, BETA, 90.0)
    cell = [lengths[k] for k in order] + [angles[k] for k in order]
    return cell, [f"{n} {s} {' '.join(str(x[k]) for k in order)}" for n, s, *x in LI2CO3]


@pytest.mark.parametrize(("order", "name"), [
    ((0, 1, 2), "C 2/c"), ((0, 1, 2), "C 1 2/c 1"), ((2, 0, 1), "A 2/a"), ((2, 0, 1), "A 1 1 2/a"),
    ((2, 0, 1), "15"), ((0, 1, 2), "15"), ((1, 2, 0), "B 2/b"), ((1, 2, 0), "15"), ((2, 0, 1), "C 2/c"),
])  # fmt: skip
def test_monoclinic_axes_follow_the_angles(order, name):
    cell, rows = turned(order)
    tag = "_symmetry_Int_Tables_number" if name.isdigit() else "_symmetry_space_group_name_H-M"
    lines = ["_chemical_formula_sum 'C Li2 O3'", "_cell_formula_units_Z 4", f"{tag} '{name}'"]
    crystal = read(cif(cell, rows, lines))
    assert atoms(crystal) == 24
    assert crystal.space_group_number == 15
    assert not codes(crystal)


def test_a_list_of_another_setting_than_the_cell():
    cell, rows = turned((2, 0, 1))
    listed = ops(["x,y,z", "-x,y,-z+1/2", "-x,-y,-z", "x,-y,z+1/2", "x+1/2,y+1/2,z", "-x+1/2,y+1/2,-z+1/2",
                  "-x+1/2,-y+1/2,-z", "x+1/2,-y+1/2,z+1/2"])  # fmt: skip
    lines = ["_chemical_formula_sum 'C Li2 O3'", "_symmetry_Int_Tables_number 15", *listed]
    crystal = read(cif(cell, rows, lines))
    assert atoms(crystal) == 24
    assert crystal.space_group_number == 15


def test_no_setting_keeps_the_metric():
    lines = ["_symmetry_space_group_name_H-M 'F m -3 m'", "_chemical_formula_sum 'Na Cl'"]
    crystal = read(cif((5.64, 5.9, 5.64, 90, 90, 90), SALT, lines))
    assert "setting-mismatch" in codes(crystal)


@pytest.mark.parametrize("cell", [
    (3.648, 3.648, 3.875, None, None, None), (3.648, 3.648, 3.875, 90, 90, None), (3.648, None, 3.875, 90, 90, 120),
    (3.648, None, 3.875, None, None, None),
])  # fmt: skip
@pytest.mark.parametrize("symmetry", [
    ["_symmetry_space_group_name_H-M 'P 6/m m m'"], ["_symmetry_Int_Tables_number 191"],
    ops(["x,y,z", "-y,x-y,z", "-x+y,-x,z", "-x,-y,-z", "y,-x+y,-z", "x-y,x,-z"]),
])  # fmt: skip
def test_hexagonal_cells_without_gamma_or_b(cell, symmetry):
    rows = ["Li1 Li 0 0 0.5", "Li2 Li 0.3333 0.6667 0", "N1 N 0 0 0"]
    crystal = read(cif(cell, rows, ["_chemical_formula_sum 'Li3 N'", *symmetry]))
    assert atoms(crystal) == 4
    assert crystal.space_group_number == 191
    assert crystal.volume == pytest.approx(3.648**2 * 3.875 * 0.8660254, rel=1e-6)


def test_gamma_of_90_that_the_volume_contradicts():
    rows = ["Li1 Li 0 0 0.5", "Li2 Li 0.3333 0.6667 0", "N1 N 0 0 0"]
    lines = ["_symmetry_space_group_name_H-M 'P 6/m m m'", "_cell_volume 44.66"]
    assert read(cif((3.648, 3.648, 3.875, 90, 90, 90), rows, lines)).volume == pytest.approx(44.66, abs=0.01)
    assert "setting-mismatch" in codes(read(cif((3.648, 3.648, 3.875, 90, 90, 90), rows, lines[:1])))


LCO = ["Li1 Li 0 0 0.5", "Co1 Co 0 0 0", "O1 O 0 0 0.2602"]
RHOMBOHEDRAL = ["x,y,z", "z,x,y", "y,z,x", "-y,-x,-z", "-x,-z,-y", "-z,-y,-x", "-x,-y,-z", "-z,-x,-y", "-y,-z,-x",
                "y,x,z", "x,z,y", "z,y,x"]  # fmt: skip


@pytest.mark.parametrize("symmetry", [
    ["_symmetry_space_group_name_H-M 'R -3 m R'"], ["_symmetry_space_group_name_H-M 'R -3 m :R'"],
    ["_symmetry_space_group_name_H-M 'R -3 m'"], ["_symmetry_Int_Tables_number 166"],
    ["_symmetry_space_group_name_H-M 'R -3 m'", *ops(RHOMBOHEDRAL)], ops(RHOMBOHEDRAL),
])  # fmt: skip
def test_rhombohedral_symmetry_on_hexagonal_axes(symmetry):
    lines = ["_chemical_formula_sum 'Co Li O2'", "_cell_formula_units_Z 3", *symmetry]
    crystal = read(cif((2.8156, 2.8156, 14.054, 90, 90, 120), LCO, lines))
    assert atoms(crystal) == 12
    assert crystal.space_group_number == 166
    assert not codes(crystal)


def test_hexagonal_name_on_rhombohedral_axes():
    rows = ["Li1 Li 0.5 0.5 0.5", "Co1 Co 0 0 0", "O1 O 0.2602 0.2602 0.2602"]
    lines = ["_chemical_formula_sum 'Co Li O2'", "_symmetry_space_group_name_H-M 'R -3 m :H'"]
    assert atoms(read(cif((4.96, 4.96, 4.96, 32.97, 32.97, 32.97), rows, lines))) == 4


@pytest.mark.parametrize(("rows", "z", "used"), [
    (["Ti1 Ti 0 0 0", "O1 O 0 0 0.2081"], 4, ":1"), (["Ti1 Ti 0 0.75 0.125", "O1 O 0 0.75 0.3331"], 4, ":2"),
])  # fmt: skip
def test_origins_by_the_formula_units(rows, z, used):
    lines = ["_chemical_formula_sum 'O2 Ti'", f"_cell_formula_units_Z {z}", "_space_group_name_H-M_alt 'I 41/a m d'"]
    crystal = read(cif((3.785, 3.785, 9.514, 90, 90, 90), rows, lines))
    assert atoms(crystal) == 12
    assert not codes(crystal)
    assert any(used in note for note in crystal.notes)


def test_an_origin_that_nothing_decides():
    lines = ["_space_group_name_H-M_alt 'I 41/a m d'"]
    crystal = read(cif((3.785, 3.785, 9.514, 90, 90, 90), ["Ti1 Ti 0 0 0"], lines))
    assert "origin-undecided" in codes(crystal)


# ------------------------------------------------------------------------------------------------ special positions


@pytest.mark.parametrize("digits", [2, 3, 4, 8])
def test_beta_alumina_keeps_its_sodium(digits):
    x = f"{0.8785:.{digits}f} {2 * 0.8785 - 1:.{digits}f}"
    rows = ["Al1 Al 0.8322 0.6644 0.1055 1", "Al2 Al 0.33333 0.66667 0.0248 1", "Al3 Al 0.33333 0.66667 0.1758 1",
            "Al4 Al 0 0 0 1", "O1 O 0.1571 0.3142 0.0500 1", "O2 O 0.5032 0.0064 0.1467 1",
            "O3 O 0.66667 0.33333 0.0555 1", "O4 O 0 0 0.1426 1", "O5 O 0.33333 0.66667 0.25 1",
            "Na1 Na 0.66667 0.33333 0.25 0.4", f"Na2 Na {x} 0.25 0.2"]  # fmt: skip
    lines = ["_chemical_formula_sum 'Na1 Al11 O17'", "_space_group_name_H-M_alt 'P 63/m m c'"]
    crystal = read(cif((5.594, 5.594, 22.53, 90, 90, 120), rows, lines, (*COLUMNS, "occupancy")))
    assert crystal.formula == "NaAl11O17"
    assert not codes(crystal)


# ------------------------------------------------------------------------------------------------ symbols

LIOH = ["Li1 Li 0.25 0.75 0", "O1 O 0.25 0.25 0.1951"]
LIOH_LINES = ["_space_group_name_Hall '-P 4a 2a'"]
LIOH_CELL = (3.549, 3.549, 4.334, 90, 90, 90)


@pytest.mark.parametrize("symbol", ["Fl", "CN", "NH", "RE", "Sx", "X", "M", "Ln", "Qq", "Li/Xx", "CH3", "T"])
def test_symbols_that_are_no_elements_are_refused(symbol):
    with pytest.raises(InputError, match="unknown element"):
        read(cif(SALT_CELL, ["Li1 Li 0 0 0", f"X1 {symbol} 0.5 0.5 0.5"], ["_space_group_name_H-M_alt 'F m -3 m'"]))


@pytest.mark.parametrize(("labels", "formula", "expected"), [
    (["LI1", "O1", "HO1"], "H Li O", {"Li", "O", "H"}), (["LI1", "CO1", "O1"], "C Li O", {"Li", "C", "O"}),
    (["NA1", "NO1", "O1"], "N Na O", {"Na", "N", "O"}), (["Li1", "Co1", "O1"], "Co Li O", {"Li", "Co", "O"}),
    (["LI1", "W1", "CL1"], "Li O Cl", {"Li", "O", "Cl"}), (["W1", "O1", "LI1"], "W O Li", {"W", "O", "Li"}),
])  # fmt: skip
def test_labels_by_the_formula(labels, formula, expected):
    places = ("0 0 0", "0.5 0.5 0.5", "0.5 0 0")
    rows = [f"{name} {place}" for name, place in zip(labels, places, strict=True)]
    text = cif((5, 5, 5, 90, 90, 90), rows, [f"_chemical_formula_sum '{formula}'"], (COLUMNS[0], *COLUMNS[2:]))
    from fastin.crystal.elements import symbol

    assert {symbol(int(z)) for z in read(text).number} == expected


@pytest.mark.parametrize("label", ["ST1", "Zr1", "XX1", "M1"])
def test_labels_outside_the_formula_are_refused(label):
    text = cif(SALT_CELL, ["Li1 0 0 0", f"{label} 0.5 0.5 0.5"], ["_chemical_formula_sum 'Li O'"],
               (COLUMNS[0], *COLUMNS[2:]))  # fmt: skip
    with pytest.raises(InputError, match="no element that fits"):
        read(text)


@pytest.mark.parametrize(("rows", "columns"), [
    (LIOH, COLUMNS),
    ([*LIOH, "H1 H ? ? ?"], COLUMNS),
    ([LIOH[0], "O1 OH 0.25 0.25 0.1951"], COLUMNS),
    ([f"{LIOH[0]} 0", f"{LIOH[1]} 1"], (*COLUMNS, "attached_hydrogens")),
])  # fmt: skip
@pytest.mark.parametrize("formula", [["_chemical_formula_sum 'H Li O'"], []])
def test_hydrogen_stated_but_absent(rows, columns, formula):
    if rows is LIOH and not formula:
        pytest.skip("nothing states the hydrogen")
    assert "hydrogen-missing" in codes(read(cif(LIOH_CELL, rows, [*LIOH_LINES, *formula], columns)))


def test_hydrogen_with_a_position_is_enough():
    rows = [LIOH[0], "O1 OH 0.25 0.25 0.1951", "H1 H 0.25 0.25 0.407"]
    crystal = read(cif(LIOH_CELL, rows, [*LIOH_LINES, "_chemical_formula_sum 'H Li O'"]))
    assert atoms(crystal) == 6
    assert "hydrogen-missing" not in codes(crystal)


@pytest.mark.parametrize("row", ["DUM0 . 0.25 0.25 0.25 . dum", "X1 ? . . . . dum", "Q1 Fl x y z abc dum",
                                 "Dum Dum 0.1 0.1 0.1 1 d"])  # fmt: skip
def test_dummies_go_before_anything_is_read_from_them(row):
    rows = ["Li1 Li 0 0 0 1 d", "Cl1 Cl 0.5 0.5 0.5 1 d", row]
    lines = ["_chemical_formula_sum 'Cl Li'", "_space_group_name_H-M_alt 'F m -3 m'"]
    assert atoms(read(cif(SALT_CELL, rows, lines, (*COLUMNS, "occupancy", "calc_flag")))) == 8


# ------------------------------------------------------------------------------------------------ mixed sites, disorder

EUCRYPTITE = ["Li1 Li 0 0 0.5 0.5", "T1 {} 0.5 0 0 1", "O1 O 0.2078 0.4156 0.5 1"]


@pytest.mark.parametrize("symbol", ["Si/Al", "Si,Al", "'Si, Al'", "0.5Si+0.5Al", "Si0.5Al0.5", "(Si,Al)", "'Al Si'"])
@pytest.mark.parametrize("formula", ["Al0.5 Li0.5 O2 Si0.5", "Li Al Si O4"])
def test_mixed_symbols(symbol, formula):
    rows = [r.format(symbol) for r in EUCRYPTITE]
    lines = [f"_chemical_formula_sum '{formula}'", "_space_group_name_H-M_alt 'P 62 2 2'"]
    crystal = read(cif((5.2, 5.2, 5.46, 90, 90, 120), rows, lines, (*COLUMNS, "occupancy")))
    assert crystal.formula == "Li0.5Al0.5Si0.5O2"
    assert not codes(crystal)


@pytest.mark.parametrize("lines", [[], ["_chemical_formula_sum 'Li O2 Si Al5'"]])
def test_mixed_symbols_that_nothing_splits(lines):
    rows = [r.format("Si/Al") for r in EUCRYPTITE]
    with pytest.raises(InputError, match="shares of the species on mixed site"):
        read(cif((5.2, 5.2, 5.46, 90, 90, 120), rows, [*lines, "_space_group_name_H-M_alt 'P 62 2 2'"],
                 (*COLUMNS, "occupancy")))  # fmt: skip


GROUPS = ["Na1 Na 0 0.5 0.5 . .", "P1 P 0 0 0 . .", "S1 S 0.168 0.168 0.168 A 1"]
GROUP_COLUMNS = (*COLUMNS, "disorder_assembly", "disorder_group")


def test_groups_without_occupancies():
    lines = ["_chemical_formula_sum 'Na3 P S4'", "_space_group_name_H-M_alt 'I m -3 m'"]
    crystal = read(cif((6.99, 6.99, 6.99, 90, 90, 90), GROUPS, lines, GROUP_COLUMNS))
    assert crystal.formula == "Na3PS4"
    assert not codes(crystal)


def test_two_groups_without_occupancies_and_without_a_formula():
    rows = [*GROUPS, "S2 S -0.148 -0.148 -0.148 A 2"]
    lines = ["_space_group_name_H-M_alt 'I -4 3 m'"]
    assert "disorder-unresolved" in codes(read(cif((6.99, 6.99, 6.99, 90, 90, 90), rows, lines, GROUP_COLUMNS)))


def test_a_whole_cell_listed_under_the_name_of_its_group():
    """Relaxed a little off the special positions, as programs write P1 cells that keep the old name."""
    shift = (0.0031, -0.0042, 0.0057, 0.0018, -0.0026, 0.0049, -0.0037, 0.0022)
    places = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    sites = [("Na", *p) for p in places] + [("Cl", x + 0.5, y, z) for x, y, z in places]
    rows = [f"{s}{k} {s} {x + shift[k]} {y - shift[k]} {z}" for k, (s, x, y, z) in enumerate(sites)]
    lines = ["_symmetry_space_group_name_H-M 'F m -3 m'", "_chemical_formula_sum 'Na Cl'", *ops(["x,y,z"])]
    crystal = read(cif(SALT_CELL, rows, lines))
    assert atoms(crystal) == 8
    assert not codes(crystal)


def test_groups_that_nothing_resolves():
    lines = ["_chemical_formula_sum 'Na3 P S2.5 O9'", "_space_group_name_H-M_alt 'I m -3 m'"]
    assert "disorder-unresolved" in codes(read(cif((6.99, 6.99, 6.99, 90, 90, 90), GROUPS, lines, GROUP_COLUMNS)))


@pytest.mark.parametrize("how", ["population", "fixed", "percent", "atoms"])
def test_other_conventions_of_occupancy(how):
    """Na3PS4 with S on x,x,x (16 f of Im-3m, half filled), the column in the convention of some program."""
    true = {"Na": (1.0, 6), "P": (1.0, 2), "S": (0.5, 16)}
    convert = {
        "population": lambda occ, m: occ * m / 96,
        "fixed": lambda occ, m: 10 + occ * m / 96,
        "percent": lambda occ, m: 100 * occ,
        "atoms": lambda occ, m: occ * m,
    }[how]
    rows = [" ".join(r.split()[:5]) + f" {convert(*true[r.split()[1]]):.6f}" for r in GROUPS]
    lines = ["_chemical_formula_sum 'Na3 P S4'", "_cell_formula_units_Z 2", "_space_group_name_H-M_alt 'I m -3 m'"]
    crystal = read(cif((6.99, 6.99, 6.99, 90, 90, 90), rows, lines, (*COLUMNS, "occupancy")))
    assert crystal.formula == "Na3PS4"
    assert atoms(crystal) == 16


# ------------------------------------------------------------------------------------------------ gates


def test_full_contacts_charge_residue_and_vacuum():
    near = read(cif(LFP_CELL, [*LFP, "F1 F 0.16558 0.04646 0.42"], ops(PNMA)))
    assert "short-contact" in codes(near)
    bad = read(cif(SALT_CELL, ["Na1 Na 0 0 0", "O1 O 0.5 0.5 0.5"], ["_space_group_name_H-M_alt 'F m -3 m'"]),
               oxidation_states={"Na": 1, "O": -2})  # fmt: skip
    assert "charge-residue" in codes(bad)
    slab = read(cif((5.64, 5.64, 30, 90, 90, 90), ["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0"]))
    assert "vacuum" in codes(slab)
    assert any("slab" in w.message for w in slab.warnings)


def test_faint_sites_are_judged_by_what_is_dropped_in_all():
    rows = ["Na1 Na 0.25 0.25 0.25 1", "Na2 Na 0.5 0.5 0.5 1", "P1 P 0 0 0 1", "S1 S 0.0871 0.0871 0.1931 0.16667"]
    rotor = read(cif((8.95, 8.95, 8.95, 90, 90, 90), rows, ["_space_group_name_H-M_alt 'F m -3 m'"],
                     (*COLUMNS, "occupancy")))  # fmt: skip
    framework = rotor.framework("Na")
    assert "S2-" in framework.species
    assert "framework-smeared" in codes(framework)
    rows = ["Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 0.9", "Br1 Br 0.25 0.25 0.25 0.15"]
    faint = read(cif(SALT_CELL, rows, ["_space_group_name_H-M_alt 'F m -3 m'"], (*COLUMNS, "occupancy")))
    assert "framework-dropped" in codes(faint.framework("Na"))


# ------------------------------------------------------------------------------------------------ syntax and blocks


def test_blocks_are_said_and_chosen():
    one, two = cif(SALT_CELL, SALT), cif(LFP_CELL, LFP, ops(PNMA)).replace("data_x", "data_lfp")
    both = one + two
    assert read(both).formula == "NaCl"
    assert any("'x'" in note and "'lfp'" in note for note in read(both).notes)
    for block in ("lfp", "LFP", 2, "2"):
        assert Crystal.from_cif_string(both, block=block).formula == "LiFePO4"
    with pytest.raises(InputError, match="no data block 'zz'; blocks with atoms: 1 'x', 2 'lfp'"):
        Crystal.from_cif_string(both, block="zz")


@pytest.mark.parametrize("broken", [
    lambda t: t + "_cell_length_a 99\n_extra 1\n",
    lambda t: t.replace("data_x", "data_my nice salt"),
    lambda t: t + "loop_\n_ref_a\n_ref_b\n1 2 3\n",
    lambda t: t.replace("loop_\n_atom", "loop_\n_ref_a\n_ref_b\n1 2 3\n_other 5\nloop_\n_atom"),
    lambda t: t + t,
])  # fmt: skip
def test_breaks_that_do_not_touch_the_atoms(broken):
    crystal = read(broken(cif(SALT_CELL, SALT)))
    assert crystal.formula == "NaCl"
    assert crystal.cell[0, 0] == 5.64


def test_a_broken_atom_loop_and_cif2_are_refused():
    with pytest.raises(InputError, match="not a readable CIF"):
        read(cif(SALT_CELL, [*SALT, "Cl2 Cl 0.5"]))
    with pytest.raises(InputError, match="CIF2"):
        read("#\\#CIF_2.0\n" + cif(SALT_CELL, SALT, ["_a [1 2 3]", "_b {'x':1}", "_c '''long\ntext'''"]))


# ------------------------------------------------------------------------------------------------ shared examples


def test_shared_cases(shared: Path):
    folder = shared / "cases" / "reading"
    if not folder.is_dir():
        pytest.skip("the shared cases are not there")
    for row in csv.DictReader((folder / "EXPECTED.csv").read_text().splitlines()):
        warn = "warn" in row["kind"] or "refused" in row["kind"]
        try:
            crystal = Crystal.from_file(folder / row["file"])
        except InputError:
            assert warn, row
            continue
        severe = any(w.severe for w in crystal.warnings)
        wanted = parse_formula(row["formula"])
        assert wanted is not None, row
        held = {z: float(crystal.occupancy[crystal.number == z].sum()) for z in wanted[0]}
        ratios = [held[z] / n for z, n in wanted[0].items()]
        right = max(ratios) - min(ratios) < 0.02 * max(ratios) and len(held) == len(set(crystal.number.tolist()))
        if "warn" in row["kind"]:
            assert right or severe, row
        else:
            assert right, row
            assert not severe, row


@pytest.mark.parametrize("formula", ["Li4 Cl4", "Li2 Cl2"])
def test_a_part_of_the_formula_is_a_mismatch(formula: str) -> None:
    """Right ratios are not enough: a cell holds at least one formula unit, so the cell's sum shows a lost centring."""
    text = f"""data_x
_symmetry_space_group_name_H-M 'P m -3 m'
_chemical_formula_sum '{formula}'
_cell_length_a 5.13
_cell_length_b 5.13
_cell_length_c 5.13
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li1 0 0 0
Cl1 0.5 0.5 0.5
"""
    found = [w for w in Crystal.from_cif_string(text).warnings if w.code == "formula-mismatch"]
    assert [w.severe for w in found] == [True]
    assert formula.replace(" ", "") in found[0].message
    listed = text.replace("P m -3 m", "P 1").replace(f"sum '{formula}'", "sum 'Li Cl'\n_cell_formula_units_Z 4")
    noted = Crystal.from_cif_string(listed)  # Z alone is wrong too often for a warning
    assert [w.code for w in noted.warnings] == ["atoms-apart"]  # 4.4 A from Li to Cl are
    assert any("_cell_formula_units_Z is 4, the cell of P1 holds 1" in note for note in noted.notes)
    whole = text.replace("P m -3 m", "F m -3 m")
    assert not Crystal.from_cif_string(whole).warnings


def test_a_mismatch_names_what_the_cell_holds() -> None:
    """Hydrogen that has no position is not counted as held."""
    text = """data_x
_symmetry_space_group_name_H-M 'F m -3 m'
_chemical_formula_sum 'Li Cl H2 O'
_cell_length_a 5.13
_cell_length_b 5.13
_cell_length_c 5.13
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li1 0 0 0
Cl1 0.5 0.5 0.5
"""
    found = {w.code: w.message for w in Crystal.from_cif_string(text).warnings}
    assert "holds LiCl a formula unit" in found["formula-mismatch"]
    assert "hydrogen-missing" in found
