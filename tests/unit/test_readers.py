"""Files other than CIFs: POSCARs of every age, what ASE reads, packed files; cubes, LOCPOTs and grids."""

from __future__ import annotations

import bz2
import gzip
import lzma
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastin
from fastin import Crystal, EnergyGrid, GeometryError, InputError
from fastin.crystal.files import read_sites
from fastin.crystal.poscar import parse_poscar

POSCAR = """salt
{scale}
2.82 2.82 0.0 {comment}
2.82 0.0 2.82
0.0 2.82 2.82
{names}{counts}
{select}Direct
0 0 0{first}
0.5 0.5 0.5{second}
"""


def poscar(*, title="salt", scale="1.0", comment="", names="Na Cl\n", counts="1 1", select="", first="", second=""):
    text = POSCAR.format(scale=scale, comment=comment, names=names, counts=counts, select=select, first=first,
                         second=second)  # fmt: skip
    return text.replace("salt", title, 1)


@pytest.mark.parametrize("options", [
    {}, {"scale": "1.0 ! no scale", "comment": "! a", "counts": "1 1 ! two atoms"}, {"counts": "1 1 # two"},
    {"names": "Na_pv Cl\n"}, {"names": "Na/0fc7481fb069 Cl/e053789ff3a6\n"}, {"names": "Na_pv/a1b2 Cl\n"},
    {"scale": "1.0 1.0 1.0"}, {"scale": "-44.85"},
    {"select": "Selective dynamics\n", "first": " T T F", "second": " F F F"},
    {"names": "", "first": " Na", "second": " Cl"}, {"names": "", "title": "Na Cl"}, {"names": "", "title": "NaCl"},
    {"names": "", "title": "Na1 Cl1 ! made by hand"},
    {"names": "", "select": "Selective dynamics\n", "first": " T T T Na", "second": " F F F Cl"},
    {"names": "", "title": "Na Cl", "select": "Selective dynamics\n", "first": " T T T", "second": " F F F"},
])  # fmt: skip
def test_poscars(options):
    sites = parse_poscar(poscar(**options), "POSCAR")
    assert sites.number.tolist() == [11, 17]
    assert abs(np.linalg.det(sites.cell)) == pytest.approx(2 * 2.82**3, rel=1e-3)


@pytest.mark.parametrize("groups", [1, 19, 20, 21, 40, 47])
def test_names_and_counts_go_over_twenty_a_line(groups):
    """As VASP writes them where atoms of a kind do not stand together."""
    names = [("Li", "O", "Co")[k % 3] for k in range(groups)]
    counts = [1 + k % 2 for k in range(groups)]
    total = sum(counts)
    lines = ["salt", "1.0", "50 0 0", "0 50 0", "0 0 50"]
    lines += [" ".join(names[k : k + 20]) for k in range(0, groups, 20)]
    lines += [" ".join(map(str, counts[k : k + 20])) for k in range(0, groups, 20)]
    lines += ["Direct", *(f"{k / total:.9f} 0 0.5" for k in range(total))]
    sites = parse_poscar("\n".join(lines) + "\n", "POSCAR")
    expected = [
        {"Li": 3, "O": 8, "Co": 27}[name] for name, count in zip(names, counts, strict=True) for _ in range(count)
    ]
    assert sites.number.tolist() == expected
    assert np.allclose(sites.frac[:, 0], np.arange(total) / total)


@pytest.mark.parametrize("name", ["LiCl_POSCAR", "relaxed_CONTCAR", "LiCl-CONTCAR.txt", "structure", "LiCl_LOCPOT.gz"])
def test_poscars_under_other_names(tmp_path, name):
    """By content: pymatgen, which knows some of these names, misplaces the atoms of a negative scale."""
    text = poscar(scale="-358.8").replace("Direct", "Cartesian").replace("0.5 0.5 0.5", "2.82 2.82 2.82")
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    sites = read_sites(tmp_path / name)[0]
    assert sites.number.tolist() == [11, 17]
    assert np.allclose(sites.frac, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert abs(np.linalg.det(sites.cell)) == pytest.approx(358.8)


@pytest.mark.parametrize("options", [
    {"names": ""}, {"names": "", "title": "my salt"}, {"names": "", "title": "Na Cl Li"}, {"names": "Fl Cl\n"},
    {"names": "", "select": "Selective dynamics\n", "first": " T T T", "second": " F F F"}, {"counts": "1 1 1"},
])  # fmt: skip
def test_poscars_without_elements_are_refused(options):
    with pytest.raises(InputError, match="POSCAR"):
        parse_poscar(poscar(**options), "POSCAR")


def test_three_scales_and_cartesian_lines():
    text = poscar(scale="1.0 2.0 0.5").replace("Direct", "Cartesian").replace("0.5 0.5 0.5", "2.82 1.0 1.0")
    sites = parse_poscar(text, "POSCAR")
    assert sites.cell[0] == pytest.approx([2.82, 5.64, 0.0])
    assert sites.frac[1] @ sites.cell == pytest.approx([2.82, 2.0, 0.5])


@pytest.fixture
def salt():
    build = pytest.importorskip("ase.build")
    return build.bulk("NaCl", "rocksalt", a=5.64, cubic=True)


@pytest.mark.parametrize(("name", "form"), [
    ("a.extxyz", "extxyz"), ("XDATCAR", "vasp-xdatcar"), ("a.gen", "gen"), ("a.cell", "castep-cell"), ("a.res", "res"),
    ("geometry.in", "aims"), ("a.traj", "traj"), ("a.xsf", "xsf"), ("a.lmp", "lammps-data"), ("CONFIG", "dlp4"),
])  # fmt: skip
def test_what_ase_writes(salt, tmp_path, name, form):
    import ase.io

    options = {"masses": True} if form == "lammps-data" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ASE's own
        ase.io.write(tmp_path / name, [salt] if form == "vasp-xdatcar" else salt, format=form, **options)
    crystal = Crystal.from_file(tmp_path / name)
    assert crystal.formula == "NaCl"
    assert crystal.num_positions == 8
    assert crystal.space_group_number == 225


def test_own_neb_output_can_be_read_back(tmp_path):
    pytest.importorskip("ase")
    paths = fastin.compute_paths(fastin.examples()["LiFePO4"], resolution=0.3)
    out = tmp_path / "neb.extxyz"
    paths.write_neb(0, out, 3)
    crystal = Crystal.from_file(out)
    assert any("frames: the last is read" in note for note in crystal.notes)
    assert Crystal.from_file(out, block=1).formula == crystal.formula
    with pytest.raises(InputError, match="no frame '99'"):
        Crystal.from_file(out, block="99")


def test_no_cell_and_no_elements(tmp_path, salt):
    import ase.io

    ase.io.write(tmp_path / "a.xyz", salt, format="xyz")
    with pytest.raises(GeometryError, match="no three-dimensional cell"):
        Crystal.from_file(tmp_path / "a.xyz")
    (tmp_path / "a.dump").write_text(
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n"
        "ITEM: ATOMS id type x y z\n1 1 0 0 0\n2 2 2.5 2.5 2.5\n"
    )
    with pytest.raises(InputError, match="without naming elements"):
        Crystal.from_file(tmp_path / "a.dump")


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_packed_files(tmp_path, suffix, pack):
    path = tmp_path / f"a.cif{suffix}"
    path.write_bytes(pack(fastin.examples()["LiCl"].read_bytes()))
    assert Crystal.from_file(path).formula == "LiCl"
    path.write_bytes(pack(b"data_x\n" * 500)[:-20])
    with pytest.raises(InputError):
        Crystal.from_file(path)


def test_packed_and_magnetic_files_in_folders(tmp_path):
    pytest.importorskip("pyarrow")
    from fastin.cli._common import expand_inputs
    from fastin.screening import screen
    from fastin.screening.store import read_results

    text = fastin.examples()["LiCl"].read_bytes()
    (tmp_path / "a.cif.gz").write_bytes(gzip.compress(text))
    (tmp_path / "b.mcif").write_bytes(text)
    assert [p.name for p in expand_inputs([str(tmp_path)])] == ["a.cif.gz", "b.mcif"]
    screen(tmp_path, tmp_path / "r.parquet", tasks=("network",), workers=1)
    table = read_results(tmp_path / "r.parquet")
    assert table["id"].to_pylist() == ["a", "b"]
    assert table["formula"].to_pylist() == ["LiCl", "LiCl"]


def test_edited_atoms_win_over_stale_occupancies(salt):
    salt.info["occupancy"] = {"0": {"Na": 0.7, "Li": 0.3}, "1": {"Cl": 1.0}}
    salt.arrays["spacegroup_kinds"] = np.array([0, 1] * 4)
    assert sorted(Crystal.from_atoms(salt).formula) == sorted("Li0.3Na0.7Cl")
    salt.symbols[0] = "K"
    salt.symbols[1] = "Br"
    crystal = Crystal.from_atoms(salt)
    held = {z: float(crystal.occupancy[crystal.number == z].sum()) for z in (3, 11, 19, 17, 35)}
    assert held == pytest.approx({3: 0.9, 11: 2.1, 19: 1.0, 17: 3.0, 35: 1.0})
    assert any("2 atoms differ" in note for note in crystal.notes)


def test_occupancies_of_a_trajectory(tmp_path):
    """ASE's .traj keeps info["occupancy"] but not which entry is whose: by the symbols, or refused."""
    ase = pytest.importorskip("ase")
    from ase.io import write

    salt = ase.Atoms("NaLiCl2", [[0, 0, 0], [2, 2, 0], [2, 0, 0], [0, 2, 0]], cell=[4, 4, 4], pbc=True)
    salt.info["occupancy"] = {"0": {"Na": 0.7}, "1": {"Li": 0.6, "K": 0.4}, "2": {"Cl": 1.0}}
    salt.set_array("spacegroup_kinds", np.array([0, 1, 2, 2]))
    for name in ("salt.traj", "salt.xyz"):
        write(tmp_path / name, salt)
        sites = read_sites(tmp_path / name)[0]
        held = {z: float(sites.occupancy[sites.number == z].sum()) for z in (3, 11, 19, 17)}
        assert held == pytest.approx({3: 0.6, 11: 0.7, 19: 0.4, 17: 2.0}), name
    salt.info["occupancy"]["3"] = {"Cl": 0.9, "Br": 0.1}
    salt.arrays["spacegroup_kinds"][3] = 3
    write(tmp_path / "salt.traj", salt)
    with pytest.raises(InputError, match="which atom"):
        read_sites(tmp_path / "salt.traj")
    write(tmp_path / "salt.xyz", salt)
    sites = read_sites(tmp_path / "salt.xyz")[0]
    assert sites.occupancy[sites.number == 35].sum() == pytest.approx(0.1)


@pytest.mark.parametrize("shares", [{"Na": 0.5}, {"Na": 0.6, "Li": 0.4}])
def test_the_formula_in_a_cif_of_ase_counts_sites(tmp_path, shares):
    ase = pytest.importorskip("ase")
    from ase.io import write

    salt = ase.Atoms("NaCl", [[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True)
    salt.info["occupancy"] = {"0": shares, "1": {"Cl": 1.0}}
    salt.set_array("spacegroup_kinds", np.array([0, 1]))
    write(tmp_path / "salt.cif", salt)
    text = (tmp_path / "salt.cif").read_text()
    crystal = Crystal.from_file(tmp_path / "salt.cif")
    assert crystal.occupancy[crystal.number == 11].sum() == pytest.approx(shares["Na"])
    assert "formula-mismatch" not in [warning.code for warning in crystal.warnings]
    other = Crystal.from_cif_string(text.replace("data_image0", "data_salt"))
    assert "formula-mismatch" in [warning.code for warning in other.warnings]


# ------------------------------------------------------------------------------------------------ volumetric files


@pytest.fixture(scope="module")
def grid():
    return fastin.compute_bvse(fastin.examples()["LiFePO4"], resolution=0.6)


def test_the_origin_of_a_cube_is_applied(grid, tmp_path):
    plain, moved = tmp_path / "a.cube", tmp_path / "b.cube.gz"
    grid.write(plain)
    lines = plain.read_text().split("\n")
    shift = (2, 3, 1)
    steps = np.array([[float(x) for x in line.split()[1:]] for line in lines[3:6]])
    origin = np.array(shift) @ steps
    count = int(lines[2].split()[0])
    values = np.roll(grid.values, [-s for s in shift], axis=(0, 1, 2)).ravel()
    head = [*lines[:2], f"{count} " + " ".join(f"{x:.10f}" for x in origin), *lines[3 : 6 + count]]
    moved.write_bytes(gzip.compress("\n".join([*head, *(f"{v:.8e}" for v in values)]).encode()))
    one, two = EnergyGrid.read(plain), EnergyGrid.read(moved)
    assert two.values == pytest.approx(one.values)
    assert two.atom_frac == pytest.approx(one.atom_frac)
    assert any("origin of the grid is applied" in note for note in two.notes)


def test_cubes_of_castep_repeat_their_first_planes(grid, tmp_path):
    path = tmp_path / "a.cube"
    grid.write(path)
    lines = path.read_text().split("\n")
    count = int(lines[2].split()[0])
    steps = [line.split()[1:] for line in lines[3:6]]
    axes = [" ".join([str(n + 1), *step]) for n, step in zip(grid.shape, steps, strict=True)]
    values = np.pad(grid.values, ((0, 1),) * 3, mode="wrap").ravel()
    head = [lines[0], "written by castep2cube", lines[2], *axes, *lines[6 : 6 + count]]
    path.write_text("\n".join([*head, *(f"{v:.8e}" for v in values)]) + "\n")
    read = EnergyGrid.read(path)
    assert np.allclose(read.cell, grid.cell)
    assert read.values == pytest.approx(grid.values, rel=1e-6)
    frac = pytest.importorskip("ase.io").read(path).get_scaled_positions()
    assert np.allclose((read.atom_frac - frac + 0.5) % 1.0, 0.5, atol=1e-6)


@pytest.mark.parametrize("order", ["XYZ", "ZYX", "XZY"])
def test_loops_that_a_cube_announces(grid, tmp_path, order):
    path = tmp_path / "a.cube"
    grid.write(path)
    lines = path.read_text().split("\n")
    words = ", ".join(f"{name} LOOP: {axis}" for name, axis in zip(("OUTER", "MIDDLE", "INNER"), order, strict=True))
    path.write_text("\n".join([lines[0], words, *lines[2:]]))
    if order == "XYZ":
        assert EnergyGrid.read(path).values == pytest.approx(grid.values)
        return
    with pytest.raises(InputError, match="outermost"):
        EnergyGrid.read(path)


def test_cubes_with_several_values_are_refused(grid, tmp_path):
    path = tmp_path / "a.cube"
    grid.write(path)
    text = path.read_text()
    lines = text.split("\n")
    path.write_text("\n".join([*lines[:2], lines[2] + " 2", *lines[3:]]))
    with pytest.raises(InputError, match="2 values a point"):
        EnergyGrid.read(path)
    count = int(lines[2].split()[0])
    path.write_text(text + "\n".join(lines[6 + count :]))
    with pytest.raises(InputError, match="2 values a point"):
        EnergyGrid.read(path)


def test_locpot_headers_of_vasp(grid, tmp_path):
    path = tmp_path / "LOCPOT"
    grid.write(path)
    lines = path.read_text().split("\n")
    names = " ".join(f"{name}/0fc7481fb069" for name in lines[5].split())
    atoms = sum(map(int, lines[6].split()))
    fixed = [*lines[:5], names, lines[6], "Selective dynamics", lines[7], *(f"{x} T T F" for x in lines[8 : 8 + atoms])]
    path.write_text("\n".join([*fixed, *lines[8 + atoms :]]))
    read = EnergyGrid.read(path)
    assert read.values == pytest.approx(grid.values, rel=1e-6)
    assert sorted(read.atom_number) == sorted(grid.atom_number)
    assert Crystal.from_file(path).num_positions == atoms


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_end_planes_of_a_grd_by_a_tolerance(grid, tmp_path, noise):
    path = tmp_path / "a.grd"
    values = np.pad(grid.values.astype(float), ((0, 1),) * 3, mode="wrap")
    values[-1] *= 1.0 + noise
    cell = " ".join(f"{x:.6f}" for x in (*np.linalg.norm(grid.cell, axis=1), 90, 90, 90))
    path.write_text(
        "x\n" + cell + "\n" + " ".join(map(str, values.shape)) + "\n" + "\n".join(f"{v:.6e}" for v in values.ravel())
    )
    read = EnergyGrid.read(path)
    assert read.values.shape == grid.values.shape
    grid.write(path)
    assert EnergyGrid.read(path).values.shape == grid.values.shape


def test_a_grid_without_an_ion_says_so(grid, tmp_path):
    path = tmp_path / "a.cube"
    grid.write(path)
    lines = path.read_text().split("\n")
    path.write_text("\n".join(["some field", *lines[1:]]))
    read = EnergyGrid.read(path)
    assert "Lr" not in repr(read)
    assert any("does not say which ion" in note for note in read.notes)


SALT_HEAD = "salt\n5.13\n1 0 0\n0 1 0\n0 0 1\nLi Cl\n"


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("1 2\nDirect\n0 0 0\n0.5 0.5 0.5\n", "3 atoms announced, 2 positions"),
        ("1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n0.5 0.5 0\n", "2 atoms announced, 3 positions"),
        ("1 1\nDirect\n0 0 0 Cl\n0.5 0.5 0.5 Li\n", "atom 1 is Li by line 6"),
        ("1 1\nSelective dynamics\nDirect\n0 0 0 T T F Na\n0.5 0.5 0.5 T T F Cl\n", "'Na' by its own line"),
    ],
)
def test_poscars_that_contradict_themselves(tmp_path, rest, said):
    (tmp_path / "POSCAR").write_text(SALT_HEAD + rest)
    with pytest.raises(InputError, match=said):
        Crystal.from_file(tmp_path / "POSCAR")


@pytest.mark.parametrize(
    "rest",
    [
        "1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n\n0.1 0 0\n0 0 0\n",  # velocities
        "1 1\nDirect\n0 0 0 Li\n0.5 0.5 0.5 Cl\n",
        "1 1\nDirect\n0 0 0 Li+ ! first\n0.5 0.5 0.5 Na ! a comment\n",
        "1 1\nDirect\n0 0 0 F F F\n0.5 0.5 0.5 F F F\n",
        "1 1\nSelective dynamics\nDirect\n0 0 0 F F F\n0.5 0.5 0.5 T T F\n",
    ],
)
def test_what_may_follow_the_positions_of_a_poscar(tmp_path, rest):
    (tmp_path / "POSCAR").write_text(SALT_HEAD + rest)
    assert Crystal.from_file(tmp_path / "POSCAR").number.tolist() == [3, 17]


def _salt_cssr() -> str:
    places = ["0 0 0", "0 .5 .5", ".5 0 .5", ".5 .5 0", ".5 .5 .5", ".5 0 0", "0 .5 0", "0 0 .5"]
    rows = [f"{k + 1} {'Na' if k < 4 else 'Cl'}{k + 1} {place}" for k, place in enumerate(places)]
    head = ["5.640 5.640 5.640", "90.000 90.000 90.000 SPGR = 1 P 1 OPT = 1", "8 0", "0 NaCl"]
    return "\n".join([*head, *rows]) + "\n"


def test_numbers_in_labels_of_cssr_are_no_oxidation_states(tmp_path: Path) -> None:
    path = tmp_path / "salt.cssr"
    path.write_text(_salt_cssr())
    crystal = Crystal.from_file(path)
    assert {(int(z), float(q)) for z, q in zip(crystal.number, crystal.charge, strict=True)} == {(11, 1.0), (17, -1.0)}
    assert not crystal.warnings


RES = "TITL x\nCELL 0.7 4 4 4 90 90 90\n{lines}SFAC Cs Cl\nCs 1 0 0 0 {a}\nCl 2 .5 .5 .5 {b}\nEND\n"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.res", RES.format(lines="LATT -1\n", a="0.5", b="1.0"), "an occupancy"),
        ("a.res", RES.format(lines="LATT -1\n", a="10.5", b="11.0"), "an occupancy"),
        ("a.res", RES.format(lines="LATT 1\n", a="11.0", b="11.0"), "symmetry"),
        ("a.res", RES.format(lines="LATT -1\nSYMM -X,-Y,Z\n", a="11.0", b="11.0"), "symmetry"),
        (
            "a.pdb",
            "CRYST1    5.640    5.640    5.640  90.00  90.00  90.00 F m -3 m      4\n",
            "a space group, F m -3 m",
        ),
    ],
)
def test_what_readers_pass_over_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    """Symmetry of SHELX and PDB files and occupancies of SHELX: the asymmetric unit would be read as the whole cell."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        Crystal.from_file(path)


def test_a_res_of_the_whole_cell_is_read(tmp_path: Path) -> None:
    pytest.importorskip("ase")
    path = tmp_path / "a.res"
    for full in ("1.0", "11.0", "1.000"):
        path.write_text(RES.format(lines="LATT -1\n", a=full, b=full))
        assert Crystal.from_file(path).number.tolist() == [55, 17]
