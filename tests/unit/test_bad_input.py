"""Input that cannot be used gets a typed error that names the source and the remedy; odd but usable input is read."""

from __future__ import annotations

import numpy as np
import pytest

from fastin import examples
from fastin.crystal.cif.settings import settings_by_name as _settings_by_name
from fastin.crystal.crystal import Crystal, as_crystal
from fastin.errors import DisorderError, FastinError, GeometryError, InputError, OxidationStateError

HEAD = """data_x
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha {angle}
_cell_angle_beta {angle}
_cell_angle_gamma {angle}
{group}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""
LICL_P1 = """Li1 Li 0 0 0 1
Li2 Li 0 0.5 0.5 1
Li3 Li 0.5 0 0.5 1
Li4 Li 0.5 0.5 0 1
Cl1 Cl 0.5 0.5 0.5 1
Cl2 Cl 0.5 0 0 1
Cl3 Cl 0 0.5 0 1
Cl4 Cl 0 0 0.5 1"""


def cif(sites: str = LICL_P1, *, a: object = 5.13, angle: object = 90, group: str = "") -> str:
    return HEAD.format(a=a, angle=angle, group=group, sites=sites)


def read(text: str) -> Crystal:
    return Crystal.from_cif_string(text, source="test.cif")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", InputError, "empty"),
        ("   \n\n", InputError, "empty"),
        ("hello, this is not a CIF", InputError, "not a readable CIF"),
        ("data_x\n_cell_length_a 5\n", InputError, "no atoms"),
        ("data_a\ndata_b\n", InputError, "no atoms"),
        (cif("Xx1 Xx 0 0 0 1"), InputError, "unknown element 'Xx'"),
        (cif("X1 X 0 0 0 1\n" + LICL_P1), InputError, "unknown element 'X' at site 'X1'"),
        (cif("Va1 Va 0 0 0 1\n" + LICL_P1), InputError, "unknown element"),
        (cif("Li1 Li nan 0 0 1"), InputError, "not numbers"),
        (cif("Li1 Li ? 0 0 1"), InputError, "not numbers"),
        (cif("Li1 Li x 0 0 1"), InputError, "not numbers"),
        (cif("Li1 Li 1e400 0 0 1"), InputError, "not numbers"),
        (cif("Li1 Li 0 0 0 1.3\nCl1 Cl 0.5 0.5 0.5 1"), InputError, "occupancy 1.3"),
        (cif("Li1 Li 0 0 0 -0.1\nCl1 Cl 0.5 0.5 0.5 1"), InputError, "occupancy -0.1"),
        (cif("Li1 Li 0 0 0 abc\nCl1 Cl 0.5 0.5 0.5 1"), InputError, "occupancy abc"),
        (cif("Li1 Li 0 0 0 0.7\nNa1 Na 0 0 0 0.7\nCl1 Cl 0.5 0.5 0.5 1"), InputError, "sum to 1.4"),
        (cif("Li1 Li 0 0 0 1\nCl1 Cl 0.05 0 0 1"), InputError, "overlapping atoms: 'Li1' and 'Cl1'"),
        (cif("Li1 Li 0 0 0 0"), InputError, "no atoms"),
        (cif(a=0), GeometryError, "positive"),
        (cif(a=-5), GeometryError, "positive"),
        (cif(a="?"), InputError, "_cell_length_a"),
        (cif(a="big"), InputError, "_cell_length_a"),
        (cif(a=0.001), GeometryError, "zero volume or is flatter"),
        (cif(a=1.2), GeometryError, "overlapping atoms"),
        (cif(angle=0), GeometryError, "zero volume"),
        (cif(angle=120), GeometryError, "zero volume"),
        (cif(angle=180), GeometryError, "zero volume"),
        (cif(group="_space_group_name_H-M_alt 'Q 42'"), InputError, "space group 'Q 42'"),
        (cif(group="_symmetry_Int_Tables_number 999"), InputError, "999"),
        (cif(group="loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'x,y,q'"), InputError, "symmetry operation 'x,y,q'"),
        (cif().replace("fract_", "Cartn_"), InputError, "Cartesian"),
        (cif().replace("_atom_site_fract_z", "_atom_site_other"), InputError, "_atom_site_fract_x, _y and _z"),
    ],
)
def test_refused_cif_text(text: str, error: type[FastinError], words: str) -> None:
    with pytest.raises(error) as caught:
        read(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith("test.cif: ")


def test_missing_file_directory_and_binary(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Crystal.from_file(tmp_path / "absent.cif")
    with pytest.raises(InputError, match="a directory"):
        Crystal.from_file(tmp_path)
    for name in ("x.cif", "POSCAR", "x.dat"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0")
        with pytest.raises(InputError, match="binary"):
            Crystal.from_file(tmp_path / name)
    (tmp_path / "empty.cif").write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        Crystal.from_file(tmp_path / "empty.cif")
    (tmp_path / "notes.txt").write_text("no crystal at all\n")
    with pytest.raises(InputError, match="neither a CIF nor a POSCAR"):
        Crystal.from_file(tmp_path / "notes.txt")


def test_cif_text_as_a_path_says_what_to_call() -> None:
    with pytest.raises(InputError, match=r"from_cif_string|cannot be read"):
        as_crystal(cif())


def test_other_types_are_refused() -> None:
    with pytest.raises(InputError, match="cannot read a crystal from int"):
        as_crystal(3)


def test_unknown_ion_and_none_of_the_usual_ones() -> None:
    crystal = read(cif())
    for name in ("Xx", "", "lithium", "Li++", "+"):
        with pytest.raises(InputError, match="unknown ion"):
            crystal.resolve_ion(name)
    silicon = read(cif("Si1 Si 0 0 0 1\nSi2 Si 0.25 0.25 0.25 1"))
    with pytest.raises(InputError, match="none of the usual mobile ions"):
        silicon.resolve_ion(None)


def test_only_the_mobile_ion() -> None:
    lithium = read(cif("Li1 Li 0 0 0 1\nLi2 Li 0.5 0.5 0.5 1", a=3.5))
    with pytest.raises(InputError, match="there is no framework"):
        lithium.framework("Li")
    sparse = read(cif("Li1 Li 0 0 0 1\nO1 O 0.5 0.5 0.5 0.1", a=3.5))
    with pytest.raises(DisorderError, match=r"occupied by less than 0\.2"):
        sparse.framework("Li")


@pytest.mark.parametrize(
    ("radii", "words"),
    [
        ("ionik", "radii must be"),
        ({"O": 1.2}, "no entry for 'Cl-'"),
        ({"Cl": -1.0}, ">= 0"),
        ({"Cl": float("nan")}, ">= 0"),
        ([1.0], "1 values for 4 framework positions"),
        ([1.0, 1.0, 1.0, float("inf")], "finite"),
        (["a", "b", "c", "d"], "numbers"),
    ],
)
def test_unusable_radii(radii: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(cif()).framework("Li", radii=radii)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"Li": 1}, "lacks Cl"),
        ({"Li": 1, "Cl": -1, "Qq": 2}, "unknown element 'Qq'"),
        ([1, -1], "2 values for 8 rows"),
        ([1] * 7 + [float("nan")], "finite"),
    ],
)
def test_unusable_oxidation_states(states: object, words: str) -> None:
    with pytest.raises(OxidationStateError, match=words):
        Crystal.from_cif_string(cif(), oxidation_states=states)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- odd, but usable


def test_occupancy_slightly_above_one_is_rounding() -> None:
    crystal = read(cif(LICL_P1.replace("Li1 Li 0 0 0 1", "Li1 Li 0 0 0 1.012")))
    assert crystal.occupancy.max() == 1.0
    assert any("1.012" in note for note in crystal.notes)


def test_bom_line_ends_latin1_and_utf16(tmp_path) -> None:
    reference = read(cif())
    text = "# Universit\u00e9 \u2014 caf\u00e9\n" + cif()
    variants = {
        "bom": b"\xef\xbb\xbf" + cif().encode(),
        "crlf": cif().replace("\n", "\r\n").encode(),
        "cr": cif().replace("\n", "\r").encode(),
        "latin1": text.replace("\u2014", "-").encode("latin-1"),
        "utf8": text.encode(),
        "utf16": text.encode("utf-16"),
    }
    for name, data in variants.items():
        path = tmp_path / f"{name}.cif"
        path.write_bytes(data)
        crystal = Crystal.from_file(path)
        np.testing.assert_array_equal(crystal.frac, reference.frac, err_msg=name)


def test_several_data_blocks_take_the_first_with_atoms() -> None:
    crystal = read("data_global\n_publ_section_title 'x'\n" + cif().replace("data_x", "data_salt") + cif(a=99))
    assert crystal.cell[0, 0] == 5.13
    assert any("3 data blocks: 'salt'" in note for note in crystal.notes)


def test_space_group_name_without_operations() -> None:
    named = read(cif("Li1 Li 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1", group="_space_group_name_H-M_alt 'F m -3 m'"))
    numbered = read(cif("Li1 Li 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1", group="_symmetry_Int_Tables_number 225"))
    hall = read(cif("Li1 Li 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1", group="_space_group_name_Hall '-F 4 2 3'"))
    for crystal in (named, numbered, hall):
        assert crystal.num_positions == 8
        assert crystal.space_group_number == 225


def test_non_standard_setting() -> None:
    """LiFePO4 as Pnma and as Pmnb (axes b c a -> a c b of the older literature) is one crystal."""
    lengths = {"a": "10.332", "b": "6.010", "c": "4.692"}
    sites = [("Fe", 0.28222, 0.25, 0.97472), ("P", 0.09486, 0.25, 0.4182), ("O", 0.16558, 0.04646, 0.28478)]

    def text(axes: str, name: str) -> str:
        rows = []
        for k, (element, *xyz) in enumerate(sites):
            values = dict(zip("abc", xyz, strict=True))
            rows.append(f"{element}{k} {element} " + " ".join(str(values[axis]) for axis in axes) + " 1")
        out = cif("\n".join(rows), group=f"_symmetry_space_group_name_H-M '{name}'")
        for target, axis in zip("abc", axes, strict=True):
            out = out.replace(f"_cell_length_{target} 5.13", f"_cell_length_{target} {lengths[axis]}")
        return out

    standard, other = read(text("abc", "P n m a")), read(text("bac", "P m n b"))
    assert standard.num_positions == other.num_positions == 16
    assert standard.space_group_number == other.space_group_number == 62
    assert standard.volume == pytest.approx(other.volume)
    np.testing.assert_allclose(np.sort(standard.neighbours[2]), np.sort(other.neighbours[2]), atol=1e-9)


def test_every_setting_of_the_tables_is_found_by_its_name() -> None:
    import gemmi

    for setting in gemmi.spacegroup_table():
        angles = (90.0, 90.0, 120.0) if setting.ext == "H" else (90.0, 90.0, 90.0)
        for name in (setting.xhm(), setting.xhm().replace(" ", ""), setting.xhm().replace(" ", "_")):
            assert _settings_by_name(name, angles)[0].xhm() == setting.xhm(), name
    for name, expected in {
        "Fd-3mS": "F d -3 m:1",
        "F d -3 m Z": "F d -3 m:2",
        "R -3 m H": "R -3 m:H",
        "R3cR": "R 3 c:R",
        "P4(2)/nmc O1": "P 42/n m c:1",
        "Fm3m": "F m -3 m",
    }.items():
        assert _settings_by_name(name, (90.0, 90.0, 90.0))[0].xhm() == expected


def test_open_origin_is_settled_by_the_formula() -> None:
    spinel = "Mg1 Mg 0.125 0.125 0.125 1\nAl1 Al 0.5 0.5 0.5 1\nO1 O 0.2624 0.2624 0.2624 1"
    group = "_symmetry_space_group_name_H-M 'F d -3 m'\n_chemical_formula_sum 'Mg Al2 O4'"
    crystal = read(cif(spinel, a=8.08, group=group))
    assert crystal.formula == "MgAl2O4"
    assert any("origin open" in note for note in crystal.notes)


def test_rounded_special_positions_merge() -> None:
    """Thirds to three or four digits, on a threefold axis of a long cell."""
    for third, two_thirds in (
        ("0.333", "0.667"),
        ("0.3333", "0.6667"),
        ("0.33333", "0.66667"),
        ("0.3333(2)", "0.6667(2)"),
    ):
        text = cif(f"Li1 Li {third} {two_thirds} 0 1\nLi2 Li 0 0 0.5 1\nN1 N 0 0 0 1", a=13.648)
        text = text.replace("gamma 90", "gamma 120") + ""
        text = text.replace("loop_", "_space_group_name_H-M_alt 'P 6/m m m'\nloop_", 1)
        crystal = read(text)
        assert crystal.formula == "Li3N", third
        assert crystal.space_group_number == 191


def test_nearly_special_position_is_moved_onto_it() -> None:
    text = cif("Li1 Li 0 0 0 1\nCl1 Cl 0.5 0.5 0.498 1", group="_space_group_name_H-M_alt 'F m -3 m'")
    assert read(text).num_positions == 8
    split = cif("Li1 Li 0 0 0 1\nCl1 Cl 0.5 0.5 0.45 0.1666", group="_space_group_name_H-M_alt 'F m -3 m'")
    assert read(split).num_positions == 4 + 24  # six sixths around each centre stay apart


def test_deuterium_uncertainties_and_missing_values() -> None:
    text = cif(
        "Li1 Li 0.0000(1) 0 0 1\nD1 D 0.5(2) 0.5 0.50(3) ?", a=4.084, group="_space_group_name_H-M_alt 'F m -3 m'"
    )
    crystal = read(text)
    assert set(crystal.number.tolist()) == {1, 3}
    assert crystal.occupancy.min() == 1.0
    unknown = read(cif(LICL_P1 + "\nH1 H ? ? ? 1"))
    assert 1 not in unknown.number
    assert any("H1" in note for note in unknown.notes)


def test_elements_from_labels_and_charged_symbols() -> None:
    text = cif().replace("_atom_site_type_symbol\n", "").replace(" Li ", " ").replace(" Cl ", " ")
    crystal = read(text)
    assert crystal.formula == "LiCl"
    assert any("site labels" in note for note in crystal.notes)
    charged = read(cif().replace(" Li ", " Li1+ ").replace(" Cl ", " Cl- "))
    assert set(charged.charge.tolist()) == {1.0, -1.0}
    assert read(cif().replace(" Li ", " 7Li ")).formula == "LiCl"
    wrong = read(cif().replace(" Li ", " Li2+ ").replace(" Cl ", " Cl- "))
    assert set(wrong.charge.tolist()) == {1.0, -1.0}
    assert any("do not balance" in note for note in wrong.notes)


def test_duplicate_sites_are_one() -> None:
    crystal = read(cif(LICL_P1 + "\nCl5 Cl 0.0 0.0 0.50001 1"))
    assert crystal.num_positions == 8
    assert any("duplicate of site Cl4" in note for note in crystal.notes)


def test_no_symmetry_at_all_is_p1_with_a_note() -> None:
    crystal = read(cif())
    assert any("treated as P1" in note for note in crystal.notes)
    assert crystal.space_group_number == 225  # spglib's, not the text's


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a readable POSCAR"),
        ("x\n1.0\n1 0 0\n0 1 0\n", "not a readable POSCAR"),
        ("x\n1.0\n4 0 0\n0 4 0\n0 0 0\nLi Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "zero volume"),
        ("x\n0.0\n4 0 0\n0 4 0\n0 0 4\nLi Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "scale factor"),
        ("x\n1.0\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "unknown element"),
        ("x\n1.0\n4 0 0\n0 4 0\n0 0 4\nLi\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "names 1 elements but counts 2"),
        ("x\n1.0\n4 0 0\n0 4 0\n0 0 4\nLi Cl\n1 1\nDirect\n0 0 0\nnan .5 .5\n", "a coordinate is no number"),
        ("x\n1.0\n4 0 0\n0 4 0\n0 0 4\nLi Cl\n1 900000000\nDirect\n0 0 0\n.5 .5 .5\n", "announced"),
    ],
)
def test_refused_poscars(text: str, words: str, tmp_path) -> None:
    (tmp_path / "POSCAR").write_text(text)
    with pytest.raises((InputError, GeometryError), match=words):
        Crystal.from_file(tmp_path / "POSCAR")


def test_refused_structures() -> None:
    from pymatgen.core import DummySpecies, Lattice, Structure

    cubic = Lattice.cubic(4.0)
    with pytest.raises(InputError, match="dummy"):
        as_crystal(Structure(cubic, [DummySpecies("X"), "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    with pytest.raises(InputError, match="not finite"):
        as_crystal(Structure(cubic, ["Li", "O"], [[0, 0, float("nan")], [0.5, 0.5, 0.5]]))
    with pytest.raises(InputError, match="overlapping atoms"):
        as_crystal(Structure(cubic, ["Li", "O"], [[0, 0, 0], [0, 0, 0.01]]))
    with pytest.raises(GeometryError, match="zero volume"):
        as_crystal(Structure(Lattice([[4, 0, 0], [0, 4, 0], [4, 4, 0]]), ["Li"], [[0, 0, 0]]))
    empty = Structure(cubic, ["Li"], [[0, 0, 0]])
    empty.remove_sites([0])
    with pytest.raises(InputError, match="no atoms"):
        as_crystal(empty)


def test_refused_atoms() -> None:
    ase = pytest.importorskip("ase")
    with pytest.raises(GeometryError, match="no three-dimensional cell"):
        as_crystal(ase.Atoms("LiCl", positions=[[0, 0, 0], [2.5, 0, 0]]))
    with pytest.raises(InputError, match="dummy"):
        as_crystal(ase.Atoms("XCl", positions=[[0, 0, 0], [2.5, 0, 0]], cell=[5, 5, 5], pbc=True))
    with pytest.raises(InputError, match="not finite"):
        as_crystal(ase.Atoms("LiCl", positions=[[0, 0, float("inf")], [2.5, 0, 0]], cell=[5, 5, 5], pbc=True))


def test_charge_that_contradicts_the_crystal():
    crystal = Crystal.from_file(examples()["LiCl"])
    with pytest.raises(InputError, match=r"oxidation state \+1 in this crystal, not \+2"):
        crystal.resolve_ion("Li2+")
    assert crystal.resolve_ion("Li+").charge == 1
    assert crystal.resolve_ion("Mg2+").guest
