"""Crystal and framework: every way in, symmetry, disorder rules, mobile ions, radii and probe."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastin import examples
from fastin.crystal.crystal import Crystal, as_crystal
from fastin.crystal.elements import numbers_by_symbol, symbol
from fastin.crystal.ions import MobileIon
from fastin.runtime.arrays import distinct
from fastin.runtime.openmp import _core

EXPECTED = {  # name: formula, positions, space group, volume (A^3), cell contents
    "CaF2": ("CaF2", 12, 225, 163.03),
    "Li10GeP2S12": ("Li10.1Ge1.03P1.97S12", 58, 137, 960.21),
    "Li3N": ("Li3N", 4, 191, 44.66),
    "Li3OCl": ("Li3ClO", 5, 221, 59.70),
    "Li3PO4_gamma": ("Li3PO4", 32, 62, 316.29),
    "Li7La3Zr2O12_cubic": ("Li7.008La3Zr2O12", 256, 230, 2188.25),
    "Li7La3Zr2O12_tetragonal": ("Li7La3Zr2O12", 192, 142, 2184.38),
    "LiCl": ("LiCl", 8, 225, 134.97),
    "LiCoO2": ("LiCoO2", 12, 166, 96.52),
    "LiFePO4": ("LiFePO4", 28, 62, 291.35),
    "Na3PS4_cubic": ("Na3PS4", 16, 217, 342.49),
}
# Shortest distances (A) known for these compounds.
SHORTEST = {
    ("LiFePO4", "P", "O"): 1.52,
    ("LiFePO4", "Fe", "O"): 2.06,
    ("Li3PO4_gamma", "P", "O"): 1.54,
    ("Li7La3Zr2O12_tetragonal", "Zr", "O"): 2.10,
    ("Li7La3Zr2O12_tetragonal", "La", "O"): 2.47,
    ("Li7La3Zr2O12_cubic", "Zr", "O"): 2.11,
    ("Li10GeP2S12", "P", "S"): 1.98,
    ("LiCoO2", "Co", "O"): 1.92,
    ("Li3N", "Li", "N"): 1.94,
    ("Na3PS4_cubic", "P", "S"): 2.05,
    ("CaF2", "Ca", "F"): 2.37,
    ("Li3OCl", "Li", "O"): 1.95,
}


def example(name: str) -> Crystal:
    return Crystal.from_file(examples()[name])


def p1(sites: str, a: float = 6.0) -> Crystal:
    text = f"data_x\n_cell_length_a {a}\n_cell_length_b {a + 0.1}\n_cell_length_c {a + 0.2}\n"
    text += "_symmetry_space_group_name_H-M 'P 1'\nloop_\n_atom_site_label\n_atom_site_type_symbol\n"
    text += "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
    return Crystal.from_cif_string(text + sites + "\n")


def shortest(crystal: Crystal, a: str, b: str) -> float:
    offsets, index, distance = crystal.neighbours
    name = np.array([symbol(int(z)) for z in crystal.number[crystal.first_rows]])
    source = np.repeat(np.arange(len(name)), np.diff(offsets))
    return float(distance[(name[source] == a) & (name[index] == b)].min())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_bundled_examples(name: str) -> None:
    crystal = example(name)
    formula, positions, group, volume = EXPECTED[name]
    assert (crystal.formula, crystal.num_positions, crystal.space_group_number) == (formula, positions, group)
    assert crystal.volume == pytest.approx(volume, abs=0.02)
    assert "journal" in Path(examples()[name]).read_text()


def test_every_example_is_listed() -> None:
    assert sorted(examples()) == sorted(EXPECTED)


@pytest.mark.parametrize(("key", "length"), SHORTEST.items())
def test_interatomic_distances_of_the_examples(key: tuple[str, str, str], length: float) -> None:
    name, a, b = key
    assert shortest(example(name), a, b) == pytest.approx(length, abs=0.01)


@pytest.mark.parametrize("name", ["LiFePO4", "LiCoO2", "Li7La3Zr2O12_tetragonal", "Li10GeP2S12"])
def test_operations_map_the_crystal_onto_itself(name: str) -> None:
    crystal = example(name)
    first = crystal.first_rows
    frac = crystal.frac[first]
    for rotation, translation in zip(crystal.rotations, crystal.translations, strict=True):
        delta = (frac @ rotation.T + translation)[:, None] - frac[None]
        delta -= np.rint(delta)
        distance = np.linalg.norm(delta @ crystal.cell, axis=2)
        partner = distance.argmin(axis=1)
        assert distance[np.arange(len(first)), partner].max() < 0.01
        assert len(set(partner.tolist())) == len(first)
        np.testing.assert_array_equal(crystal.number[first][partner], crystal.number[first])
        np.testing.assert_array_equal(crystal.orbit[partner], crystal.orbit)


def test_arrays_are_read_only_and_wrapped() -> None:
    crystal = example("LiFePO4")
    assert crystal.frac.min() >= 0.0
    assert crystal.frac.max() < 1.0
    for value in (crystal.frac, crystal.charge, crystal.framework("Li").radius):
        with pytest.raises(ValueError, match="read-only"):
            value[0] = 1.0
    assert repr(crystal) == "Crystal(LiFePO4, 28 positions, Pnma (62), 291.4 A^3)"


# ------------------------------------------------------------------------------------------------- ways in


def same(a: Crystal, b: Crystal) -> None:
    assert a.formula == b.formula
    assert a.space_group_number == b.space_group_number
    np.testing.assert_allclose(np.sort(a.neighbours[2]), np.sort(b.neighbours[2]), atol=1e-6)
    np.testing.assert_allclose(np.sort(a.charge), np.sort(b.charge), atol=1e-9)


@pytest.mark.parametrize("name", ["LiFePO4", "Li3N", "Li10GeP2S12"])
def test_pymatgen_structure_there_and_back(name: str) -> None:
    crystal = example(name)
    structure = crystal.to_structure()
    back = as_crystal(structure)
    same(crystal, back)
    assert structure.composition.reduced_formula
    structure.remove_oxidation_states()
    same(crystal, as_crystal(structure))


def test_ase_atoms_and_poscars(tmp_path: Path) -> None:
    ase = pytest.importorskip("ase")
    crystal = example("LiFePO4")
    first = crystal.first_rows
    atoms = ase.Atoms(numbers=crystal.number[first], cell=crystal.cell, scaled_positions=crystal.frac[first], pbc=True)
    same(crystal, as_crystal(atoms))
    atoms.write(tmp_path / "a.vasp", format="vasp", direct=True)
    atoms.write(tmp_path / "CONTCAR", format="vasp", direct=False)
    same(crystal, Crystal.from_file(tmp_path / "a.vasp"))
    same(crystal, Crystal.from_file(str(tmp_path / "CONTCAR")))
    atoms.write(tmp_path / "b.cif", format="cif")
    same(crystal, Crystal.from_file(tmp_path / "b.cif"))


def test_left_handed_cells_and_positions_outside_the_cell(tmp_path: Path) -> None:
    text = "LiCl\n-135.0\n4.0 0 0\n0 0 4.0\n0 4.0 0\nLi Cl\n1 1\nSelective\nDirect\n-1 2 0 T T T\n1.5 -0.5 7.5 F F F\n"
    (tmp_path / "POSCAR").write_text(text)
    crystal = Crystal.from_file(tmp_path / "POSCAR")
    assert crystal.volume == pytest.approx(135.0)
    assert np.linalg.det(crystal.cell) > 0
    np.testing.assert_allclose(crystal.frac, [[0, 0, 0], [0.5, 0.5, 0.5]], atol=1e-12)
    assert any("left-handed" in note for note in crystal.notes)


def test_as_crystal_keeps_a_crystal_and_can_change_its_charges() -> None:
    crystal = example("LiFePO4")
    assert as_crystal(crystal) is crystal
    other = as_crystal(crystal, oxidation_states={"Li": 1, "Fe": 3, "P": 5, "O": -2})
    assert other.charge[other.number == 26].tolist() == [3.0] * 4
    assert any("residue of +4" in note for note in other.notes)


def test_importing_needs_no_pymatgen() -> None:
    code = (
        "import sys, fastin.crystal.crystal; from fastin import examples; "
        "fastin.crystal.crystal.Crystal.from_file(examples()['LiCl']).framework(); "
        "assert not {'pymatgen', 'ase', 'torch', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ------------------------------------------------------------------------------------------------- mobile ions


@pytest.mark.parametrize(
    ("name", "ion", "expected"),
    [
        ("LiFePO4", None, ("Li", 1, False)),
        ("LiFePO4", "Li", ("Li", 1, False)),
        ("LiFePO4", "Li+", ("Li", 1, False)),
        ("LiFePO4", "O2-", ("O", -2, False)),
        ("LiFePO4", "O", ("O", -2, False)),
        ("LiFePO4", "Na", ("Na", 1, True)),
        ("LiFePO4", "Mg2+", ("Mg", 2, True)),
        ("CaF2", None, ("F", -1, False)),
        ("CaF2", "F-", ("F", -1, False)),
        ("Na3PS4_cubic", None, ("Na", 1, False)),
    ],
)
def test_mobile_ions(name: str, ion: str | None, expected: tuple[str, int, bool]) -> None:
    found = example(name).resolve_ion(ion)
    assert (found.element, found.charge, found.guest) == expected
    assert example(name).resolve_ion(found) is found


def test_ion_names() -> None:
    assert MobileIon("O", 8, -2, False).symbol == "O2-"
    assert MobileIon("Li", 3, 1, True).symbol == "Li+"


def test_a_guest_leaves_the_whole_crystal() -> None:
    framework = example("CaF2").framework("Li")
    assert framework.ion.guest
    assert len(framework.frac) == len(framework.energy_frac) == 12
    assert framework.mobile_frac.shape == (0, 3)
    assert framework.alpha == 1.0
    assert framework.mobile_radius == 0.90
    assert framework.probe_radius == pytest.approx(0.85 * 0.5327)
    assert any("guest" in note for note in framework.notes)


# ------------------------------------------------------------------------------------------------- framework


def test_framework_of_lithium_iron_phosphate() -> None:
    framework = example("LiFePO4").framework()
    assert sorted(set(framework.species)) == ["Fe2+", "O2-", "P5+"]
    by_species = dict(zip(framework.species, framework.coordination.tolist(), strict=True))
    assert by_species["P5+"] == 4
    assert by_species["Fe2+"] == 6
    radius = dict(zip(framework.species, framework.radius.tolist(), strict=True))
    assert radius["P5+"] == 0.31
    assert radius["Fe2+"] == 0.92
    assert radius["O2-"] == 1.24
    assert len(framework.mobile_frac) == 4
    assert len(framework.energy_number) == 24
    assert framework.mobile_radius == 0.90


def test_a_framework_is_built_once_for_an_ion_and_its_radii() -> None:
    crystal = Crystal.from_file(examples()["Li10GeP2S12"])
    first = crystal.framework("Li")
    assert crystal.framework("Li+") is first
    assert not any(value.flags.writeable for value in vars(first).values() if isinstance(value, np.ndarray))
    assert crystal.framework("Li", radii="atomic") is not first
    assert crystal.framework("S") is not first
    own = {"Ge": 0.5, "P": 0.4, "S": 1.7, "Li": 0.9}
    assert crystal.framework("Li", radii=own) is not crystal.framework("Li", radii=own)  # a mapping may change


def test_distinct_values_are_those_of_numpy() -> None:
    rng = np.random.default_rng(3)
    for values in (rng.integers(0, 9, 40), rng.normal(size=5), np.zeros((2, 3)), np.array([], dtype=np.int64)):
        expected = np.unique(values)
        np.testing.assert_array_equal(distinct(values), expected)
        assert distinct(values).dtype == expected.dtype


def test_probe_of_lithium_phosphate_is_cavds(shared: Path) -> None:
    """Threshold that CAVD 0.2.0 computed for the same CIF."""
    with gzip.open(shared / "reference/network/obx_w7d_Li3PO4.json.gz", "rt") as file:
        reference = json.load(file)
    with gzip.open(shared / "data/obelix_train.jsonl.gz", "rt") as file:
        row = next(r for r in map(json.loads, file) if r["id"] == "w7d")
    framework = Crystal.from_cif_string(row["cif"]).framework("Li")
    assert framework.probe_radius == pytest.approx(reference["input"]["minRad"], abs=2e-4)
    given = {a["label"]: a["radius"] for a in reference["input"]["atoms"]}
    assert sorted(set(framework.radius.tolist())) == pytest.approx(sorted(set(given.values())))


@pytest.mark.parametrize("radii", ["ionic", "effective", "atomic"])
def test_radius_choices(radii: str) -> None:
    framework = example("LiCl").framework("Li", radii=radii)
    assert framework.radius[0] == {"ionic": 1.67, "effective": 1.81, "atomic": 1.0}[radii]


def test_given_radii() -> None:
    crystal = example("LiCoO2")
    mapped = crystal.framework(radii={"O2-": 1.3, "O": 9.0, "Co": 0.7})
    assert sorted(set(mapped.radius.tolist())) == [0.7, 1.3]
    array = np.linspace(0.5, 1.5, 9)
    np.testing.assert_array_equal(crystal.framework(radii=array).radius, array)


def test_mixed_sites() -> None:
    crystal = p1("Ge1 Ge 0 0 0 0.25\nP1 P 0 0 0 0.75\nS1 S 0.35 0 0 1\nS2 S 0 0.35 0 1\nLi1 Li 0.5 0.5 0.5 1")
    assert crystal.num_positions == 4
    assert crystal.position.tolist() == [0, 0, 1, 2, 3]
    crystal = as_crystal(crystal, oxidation_states={"Li": 1, "Ge": 4, "P": 5, "S": -2})
    framework = crystal.framework("Li")
    assert framework.frac.shape == (3, 3)
    assert len(framework.energy_number) == 4
    assert framework.species[0].startswith("P")
    assert framework.radius[0] == pytest.approx(0.25 * 0.53 + 0.75 * 0.31)


def test_a_site_shared_with_the_mobile_ion() -> None:
    crystal = p1("Li1 Li 0 0 0 0.6\nLa1 La 0 0 0 0.4\nO1 O 0.5 0.5 0.5 1\nLi2 Li 0.5 0 0 1")
    framework = crystal.framework("Li")
    assert len(framework.frac) == 2
    assert sorted(framework.energy_occupancy.tolist()) == [0.4, 1.0]
    assert framework.radius[0] == framework.radius.min() or framework.species[0] == "La3+"
    assert len(framework.mobile_frac) == 2


def test_split_sites() -> None:
    base = "Li1 Li 0.5 0.5 0.5 1\nCl1 Cl 0.5 0 0 1\n"
    winner = p1(base + "Na1 Na 0 0 0.00 0.7\nNa2 Na 0 0 0.08 0.3").framework("Li")
    assert len(winner.frac) == 2
    assert len(winner.energy_frac) == 3
    np.testing.assert_allclose(winner.frac[1], [0, 0, 0], atol=1e-12)
    assert any("Na1, Na2 are one position" in note for note in winner.notes)
    tied = p1(base + "Na1 Na 0 0 0.04 0.5\nNa2 Na 0 0 0.96 0.5").framework("Li")
    assert len(tied.frac) == 2
    assert abs(tied.frac[1][2] - round(tied.frac[1][2])) < 1e-12
    apart = p1(base + "Na1 Na 0 0 0.00 0.5\nNa2 Na 0 0 0.2 0.5").framework("Li")
    assert len(apart.frac) == 3
    molecule = p1(base + "H1 H 0 0 0.00 1\nH2 H 0 0 0.12 1").framework("Li")
    assert len(molecule.frac) == 3


def test_faint_sites_are_no_obstacle() -> None:
    framework = p1("Li1 Li 0.5 0.5 0.5 1\nCl1 Cl 0 0 0 1\nNa1 Na 0.5 0 0 0.15").framework("Li")
    assert framework.species == ("Cl-",)
    assert len(framework.energy_frac) == 2
    assert any("Na1, occupied by less than 0.2" in note for note in framework.notes)


def test_operations_that_a_choice_breaks_are_dropped() -> None:
    """Two alternatives of unequal occupancy inside a cell that the operations would exchange with others."""
    for name in ("Li10GeP2S12", "Li7La3Zr2O12_cubic"):
        framework = example(name).framework("Li")
        for rotation, translation in zip(framework.rotations[::7], framework.translations[::7], strict=True):
            delta = (framework.frac @ rotation.T + translation)[:, None] - framework.frac[None]
            delta -= np.rint(delta)
            distance = np.linalg.norm(delta @ framework.cell, axis=2)
            assert distance.min(axis=1).max() < 0.01


def test_negative_radii_of_protons_are_zero() -> None:
    crystal = p1("Li1 Li 0.5 0.5 0.5 1\nO1 O 0 0 0 1\nH1 H 0 0 0.155 1")
    framework = crystal.framework("Li")
    assert framework.radius.min() == 0.0
    assert any("negative radius of H+" in note for note in framework.notes)


def test_neighbour_list_matches_pymatgen() -> None:
    crystal = example("LiFePO4")
    offsets, index, distance = _core.neighbours(crystal.cell, np.ascontiguousarray(crystal.frac), 3.7)
    centers, points, _, lengths = crystal.to_structure().get_neighbor_list(3.7)
    ours = sorted(
        zip(np.repeat(np.arange(28), np.diff(offsets)).tolist(), index.tolist(), distance.round(6), strict=True)
    )
    theirs = sorted(zip(centers.tolist(), points.tolist(), lengths.round(6), strict=True))
    assert [x[:2] for x in ours] == [x[:2] for x in theirs]
    np.testing.assert_allclose([x[2] for x in ours], [x[2] for x in theirs], atol=2e-6)


def test_all_obelix_crystals_reach_a_framework(shared: Path) -> None:
    read = 0
    with gzip.open(shared / "data/obelix_train.jsonl.gz", "rt") as file:
        for k, row in enumerate(map(json.loads, file)):
            if not row.get("cif") or k % 6:
                continue
            crystal = Crystal.from_cif_string(row["cif"], source=row["id"])
            stated = re.search(r"_chemical_formula_sum\s+'([^']+)'", row["cif"])
            assert stated is not None
            for name, amount in re.findall(r"([A-Z][a-z]?)([0-9.]*)", stated[1]):
                held = crystal.occupancy[crystal.number == numbers_by_symbol()[name]].sum()
                assert held == pytest.approx(float(amount or 1), rel=0.02, abs=0.02), (row["id"], name)
            framework = crystal.framework("Li")
            assert len(framework.frac) > 0
            assert np.isfinite(framework.radius).all()
            assert 0.0 <= framework.alpha <= 1.0
            read += 1
    assert read > 30


def test_spglib_prints_nothing(tmp_path):
    """A nearly symmetric cell on which spglib gives up a tolerance and says so on standard error, from C."""
    path = tmp_path / "near.cif"
    path.write_text(_NEARLY_SYMMETRIC)
    code = "import sys; from fastin.crystal.crystal import Crystal; print(Crystal.from_file(sys.argv[1]).formula)"
    environment = {k: v for k, v in os.environ.items() if k != "SPGLIB_WARNING"}
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "Li3Fe3O8"
    assert done.stderr == ""


_NEARLY_SYMMETRIC = """data_mp-1299455
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 5.84209
_cell_length_b 10.23799
_cell_length_c 5.91175
_cell_angle_alpha 72.3121
_cell_angle_beta 60.3994
_cell_angle_gamma 90.0945
_chemical_formula_sum 'Li6 Fe6 O16'
loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li Li0 0.49959 0.49979 0.00070 1
Li Li1 0.99969 0.99984 0.00114 1
Li Li2 0.56981 0.18760 0.84443 1
Li Li3 0.08507 0.68877 0.84631 1
Li Li4 0.42930 0.81206 0.15777 1
Li Li5 0.91407 0.31086 0.15519 1
Fe Fe6 0.49980 0.99978 0.50137 1
Fe Fe7 0.49971 0.49988 0.50059 1
Fe Fe8 0.99982 0.99973 0.50104 1
Fe Fe9 0.24488 0.24952 0.49555 1
Fe Fe10 0.75397 0.75003 0.50643 1
Fe Fe11 0.99954 0.49979 0.50069 1
O O12 0.11212 0.38434 0.73104 1
O O13 0.65845 0.88252 0.73565 1
O O14 0.88699 0.61533 0.27045 1
O O15 0.34083 0.11705 0.26656 1
O O16 0.87897 0.61842 0.71110 1
O O17 0.37285 0.12205 0.70200 1
O O18 0.42721 0.62501 0.70673 1
O O19 0.91462 0.12161 0.70802 1
O O20 0.64351 0.39595 0.71275 1
O O21 0.14010 0.89624 0.71466 1
O O22 0.12016 0.38117 0.29043 1
O O23 0.62639 0.87767 0.30018 1
O O24 0.57191 0.37463 0.29474 1
O O25 0.08471 0.87800 0.29414 1
O O26 0.35559 0.60375 0.28858 1
O O27 0.85927 0.10336 0.28770 1
"""
