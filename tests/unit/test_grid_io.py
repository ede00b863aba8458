"""Volumetric files: round trips, conventions that other programs rely on, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from fastin.bvse.files import BOHR, cell_parameters, cell_vectors
from fastin.bvse.grid import EnergyGrid, compute_bvse
from fastin.errors import InputError


@pytest.fixture(scope="module")
def grid() -> EnergyGrid:
    lattice = Lattice.from_parameters(4.1, 5.3, 6.2, 82, 97, 105)
    structure = Structure(lattice, ["Li+", "Li+", "S2-"], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.9], [0.3, 0.7, 0.55]])
    return compute_bvse(structure, "Li", shape=(9, 11, 14))


@pytest.mark.parametrize("name", ["a.cube", "a.grd", "a.vasp", "LOCPOT", "LOCPOT.li", "CHGCAR", "CHG", "a.npz"])
def test_round_trip(grid, tmp_path, name):
    path = grid.write(tmp_path / name)
    back = EnergyGrid.read(path)
    if name.startswith("CHG"):
        np.testing.assert_allclose(back.values, grid.values, rtol=1e-7)  # times and over the volume
    else:
        np.testing.assert_array_equal(back.values, grid.values)
    assert (back.ion.symbol, back.ion.number, back.convention) == ("Li+", 3, "spse")
    assert (back.cutoff, back.screening, back.source) == (grid.cutoff, grid.screening, grid.source)
    assert back.field is None
    assert not back.values.flags.writeable
    if name == "a.grd":  # keeps lengths and angles only
        np.testing.assert_allclose(cell_parameters(back.cell), cell_parameters(grid.cell), rtol=1e-8)
    else:
        np.testing.assert_allclose(back.cell, grid.cell, atol=1e-8)
        np.testing.assert_allclose(back.atom_frac, grid.atom_frac, atol=1e-8)
        np.testing.assert_array_equal(back.atom_number, grid.atom_number)


def test_end_points_of_grd(grid, tmp_path):
    path = grid.write(tmp_path / "a.grd", end_points=True)
    assert path.read_text().splitlines()[2] == "10 12 15"
    np.testing.assert_array_equal(EnergyGrid.read(path).values, grid.values)  # found out by comparing planes
    assert EnergyGrid.read(path, end_points=False).shape == (10, 12, 15)
    with pytest.raises(InputError, match="periodic"):
        grid.write(tmp_path / "a.cube", end_points=True)


def test_ase_reads_the_cube(grid, tmp_path):
    cube = pytest.importorskip("ase.io.cube")
    with grid.write(tmp_path / "a.cube").open() as file:
        found = cube.read_cube(file)
    np.testing.assert_allclose(found["data"], grid.values, rtol=1e-7)
    np.testing.assert_allclose(found["atoms"].cell, grid.cell, atol=1e-6)
    np.testing.assert_array_equal(found["atoms"].numbers, grid.atom_number)
    np.testing.assert_allclose(found["spacing"] * np.array(grid.shape)[:, None], grid.cell, atol=1e-6)


def test_pymatgen_reads_locpot_and_chgcar(grid, tmp_path):
    outputs = pytest.importorskip("pymatgen.io.vasp.outputs")
    locpot = outputs.Locpot.from_file(str(grid.write(tmp_path / "LOCPOT")))
    np.testing.assert_allclose(locpot.data["total"], grid.values, rtol=1e-6)
    chgcar = outputs.Chgcar.from_file(str(grid.write(tmp_path / "CHGCAR")))
    volume = abs(np.linalg.det(grid.cell))
    np.testing.assert_allclose(chgcar.data["total"] / volume, grid.values, rtol=1e-6)


def test_cube_header(grid, tmp_path):
    lines = grid.write(tmp_path / "a.cube").read_text().splitlines()
    assert lines[0].startswith("BVSE Li+ spse cutoff 10 screening 0.74 of ")
    assert lines[2].split()[0] == "1"
    count, *step = lines[3].split()
    assert int(count) == 9
    np.testing.assert_allclose(np.array(step, dtype=float) * BOHR * 9, grid.cell[0], atol=1e-8)


def test_foreign_files(tmp_path):
    text = (
        "made elsewhere\nsecond line\n1 0 0 0\n2 1 0 0\n2 0 1 0\n2 0 0 1\n8 8.0 0 0 0\n" + " ".join("12345678") + "\n"
    )
    (tmp_path / "x.cube").write_text(text)
    back = EnergyGrid.read(tmp_path / "x.cube")
    np.testing.assert_array_equal(back.values.ravel(), np.arange(1, 9))
    assert back.convention == ""
    assert np.isnan(back.cutoff)
    assert back.ion.element == "X"
    np.testing.assert_allclose(back.cell, 2 * BOHR * np.eye(3))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.cube", "a\nb\n1 0 0 0\n2 1 0 0\n2 0 1 0\n2 0 0 1\n8 8.0 0 0 0\n1 2 3\n"),
        ("x.grd", "title\n4 4 4 90 90 90\n2 2\n1 2 3 4\n"),
        ("x.grd", "title\n4 4 4 90 90\n1 1 1\n1\n"),
        ("x.vasp", "too short\n"),
        ("x.npz", "not a zip"),
        ("x.cube", "a\nb\n-1 0 0 0\n2 1 0 0\n2 0 1 0\n2 0 0 1\n8 8.0 0 0 0\n1\n"),
    ],
)
def test_broken_files_are_input_errors(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        EnergyGrid.read(tmp_path / name)


def test_unknown_names(grid, tmp_path):
    with pytest.raises(InputError, match="unknown grid format"):
        grid.write(tmp_path / "a.xyz")
    with pytest.raises(InputError, match="cannot be read"):
        EnergyGrid.read(tmp_path / "absent.cube")


def test_cell_parameters_round_trip():
    cell = cell_vectors([4.0, 5.0, 6.0, 80.0, 95.0, 110.0])
    np.testing.assert_allclose(cell_parameters(cell), [4.0, 5.0, 6.0, 80.0, 95.0, 110.0], rtol=1e-12)
