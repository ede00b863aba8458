"""Files whose cell is not what it seems: other units, missing symmetry, a volume that contradicts the lengths."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import fastin
from fastin.crystal.crystal import Crystal
from fastin.errors import FastinError

BOHR = 0.529177


def codes(crystal: Crystal) -> set[str]:
    return {warning.code for warning in crystal.warnings}


def scaled(text: str, factor: float) -> str:
    for axis in "abc":
        text = re.sub(rf"(?m)^(_cell_length_{axis}\s+)([\d.]+).*$", lambda m: f"{m[1]}{float(m[2]) * factor:.6f}", text)
    return re.sub(r"(?m)^_cell_volume.*\n", "", text)


@pytest.mark.parametrize("name", sorted(fastin.examples()))
def test_cells_in_other_units(name: str) -> None:
    """Every bundled crystal: as it is no such warning; in bohr, picometres and nanometres never silent."""
    text = fastin.examples()[name].read_text()
    assert not codes(Crystal.from_cif_string(text)) & {"atoms-apart", "cell-mismatch"}
    for factor in (1.0 / BOHR, 10.0, 100.0):
        assert "atoms-apart" in codes(Crystal.from_cif_string(scaled(text, factor)))
    for factor in (0.1, BOHR):
        try:
            found = codes(Crystal.from_cif_string(scaled(text, factor)))
        except FastinError:
            continue
        assert "short-contact" in found or factor == BOHR


ROCKSALT = """data_x
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
{lines}
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{sites}
"""


def rocksalt(lines: str = "_symmetry_space_group_name_H-M 'F m -3 m'", a: float = 5.64, sites: str = "") -> Crystal:
    return Crystal.from_cif_string(ROCKSALT.format(a=a, lines=lines, sites=sites or "Na 0 0 0\nCl 0.5 0.5 0.5"))


def test_symmetry_that_the_file_lacks() -> None:
    assert "atoms-apart" in codes(rocksalt(""))
    with pytest.raises(FastinError, match="atoms-apart"):
        Crystal.from_cif_string(ROCKSALT.format(a=5.64, lines="", sites="Na 0 0 0\nCl 0.5 0.5 0.5"), strict=True)
    assert not codes(rocksalt())


def test_long_bonds_that_are_real() -> None:
    """CsI (3.95 A) and solid argon are no mistakes; elements without charges are none either."""
    csi = ROCKSALT.format(a=4.567, lines="_symmetry_space_group_name_H-M 'P m -3 m'", sites="Cs 0 0 0\nI 0.5 0.5 0.5")
    caesium = ROCKSALT.format(a=6.14, lines="_symmetry_space_group_name_H-M 'I m -3 m'", sites="Cs 0 0 0")
    argon = ROCKSALT.format(a=5.31, lines="_symmetry_space_group_name_H-M 'F m -3 m'", sites="Ar 0 0 0")
    for text in (csi, caesium, argon):
        assert "atoms-apart" not in codes(Crystal.from_cif_string(text))


@pytest.mark.parametrize(("stated", "told"), [("179.41", ""), ("179.5(2)", ""), ("150.2", "says 150.2"), ("?", "")])
def test_a_stated_volume(stated: str, told: str) -> None:
    for group in ("_symmetry_space_group_name_H-M 'F m -3 m'", ""):
        found = [w for w in rocksalt(f"{group}\n_cell_volume {stated}").warnings if w.code == "cell-mismatch"]
        assert bool(found) == bool(told)
        assert all(told in w.message and w.severe for w in found)


def test_a_volume_in_other_units() -> None:
    [found] = [w for w in rocksalt("_cell_volume 0.17941").warnings if w.code == "cell-mismatch"]
    assert "one of them is in nm" in found.message
    [found] = [w for w in rocksalt("_cell_volume 1210.7").warnings if w.code == "cell-mismatch"]
    assert "one of them is in bohr" in found.message


@pytest.mark.parametrize("column", ["occupancy", "occ", "Occupancies"])
def test_occupancies_in_extended_xyz(tmp_path: Path, column: str) -> None:
    pytest.importorskip("ase")
    path = tmp_path / "x.extxyz"
    head = f'Lattice="3.4 0 0 0 3.4 0 0 0 3.4" Properties=species:S:1:pos:R:3:{column}:R:1 pbc="T T T"'
    path.write_text(f"4\n{head}\nLi 0 0 0 0.5\nNa 0 0 0 0.5\nCl 1.7 1.7 1.7 1.0\nK 0.9 0.9 0.9 0\n")
    crystal = Crystal.from_file(path)
    assert crystal.number.tolist() == [3, 11, 17]
    assert np.allclose(crystal.occupancy, [0.5, 0.5, 1.0])
    assert any("own column" in note for note in crystal.notes)
    path.write_text(f"2\n{head}\nLi 0 0 0 50\nCl 1.7 1.7 1.7 100\n")
    with pytest.raises(FastinError, match="no occupancy between 0 and 1"):
        Crystal.from_file(path)


def test_databases_and_slabs_of_ase_say_what_they_lack(tmp_path: Path) -> None:
    ase = pytest.importorskip("ase")
    salt = ase.Atoms("NaCl", [[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=[True, True, False])
    assert any("not periodic along c" in note for note in Crystal.from_atoms(salt).notes)
    salt.pbc = False  # the default of ASE, which nobody means
    assert not any("not periodic" in note for note in Crystal.from_atoms(salt).notes)
    salt.write(tmp_path / "a.json")
    assert any("no partial occupancies" in note for note in Crystal.from_file(tmp_path / "a.json").notes)
