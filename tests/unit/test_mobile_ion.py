"""The mobile ion: which one is chosen, where that is in doubt, and how a caller may name it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import fastin
from fastin import examples
from fastin.cli import main
from fastin.crystal.crystal import Crystal
from fastin.crystal.mobile import ion_name
from fastin.errors import InputError

CUBE = (90, 90, 90)
HEX = (90, 90, 120)


def cif(group: str, cell: tuple[float, ...], sites: str) -> Crystal:
    """A crystal from its space group, cell and lines "element x y z [occupancy]"."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    text = f"data_x\n_symmetry_space_group_name_H-M '{group}'\n"
    text += "".join(f"_cell_{n} {v}\n" for n, v in zip(names, cell, strict=True))
    text += "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    text += "_atom_site_occupancy\n"
    rows = [line.split() for line in sites.strip().split(";")]
    return Crystal.from_cif_string(text + "".join(" ".join(r if len(r) == 5 else [*r, "1"]) + "\n" for r in rows))


def perovskite(a: float, large: str, small: str, anion: str = "O 0.5 0.5 0") -> Crystal:
    def site(text: str, at: str) -> list[str]:
        return [f"{p.split(':')[0]} {at} {(p + ':1').split(':')[1]}" for p in text.split()]

    lines = [*site(large, "0 0 0"), *site(small, "0.5 0.5 0.5"), anion]
    return cif("P m -3 m", (a, a, a, *CUBE), "; ".join(lines))


def fluorite(a: float, metal: str, anion: str) -> Crystal:
    lines = [f"{p.split(':')[0]} 0 0 0 {(p + ':1').split(':')[1]}" for p in metal.split()]
    return cif("F m -3 m", (a, a, a, *CUBE), "; ".join([*lines, f"{anion.replace(':', ' 0.25 0.25 0.25 ')}"]))


CASES = {
    # oxide-ion conductors with dopants: T. Ishihara et al., J. Am. Chem. Soc. 116, 3801 (1994); CSZ; NBT: M. Li et al.,
    # Nat. Mater. 13, 31 (2014)
    "LSGM": (lambda: perovskite(3.92, "La:0.9 Sr:0.1", "Ga:0.8 Mg:0.2", "O 0.5 0.5 0 0.95"), "O2-", False),
    "CSZ": (lambda: fluorite(5.13, "Zr:0.85 Ca:0.15", "O:0.925"), "O2-", False),
    "NBT": (lambda: perovskite(3.9, "Na:0.5 Bi:0.5", "Ti"), "O2-", False),
    "KNN": (lambda: perovskite(3.98, "K:0.5 Na:0.5", "Nb"), "O2-", False),
    "LLTO": (lambda: perovskite(3.87, "La:0.56 Li:0.33", "Ti"), "Li+", False),
    "LLTO, full": (lambda: perovskite(3.87, "La:0.5 Li:0.5", "Ti"), "Li+", False),
    "lithium as a dopant": (lambda: perovskite(3.99, "Ba", "Ti:0.95 Li:0.05"), "O2-", False),
    # cuprates: copper is not monovalent
    "LSCO": (
        lambda: cif(
            *("I 4/m m m", (3.787, 3.787, 13.288, *CUBE)),
            "La 0 0 0.3605 0.925; Sr 0 0 0.3605 0.075; Cu 0 0 0; O 0 0.5 0; O 0 0 0.1824",
        ),
        *("O2-", False),
    ),
    "CuI": (lambda: cif("F -4 3 m", (6.06, 6.06, 6.06, *CUBE), "Cu 0 0 0; I 0.25 0.25 0.25"), "Cu+", False),
    "CaF2": (lambda: Crystal.from_file(examples()["CaF2"]), "F-", False),
    "MgO": (lambda: cif("F m -3 m", (4.21, 4.21, 4.21, *CUBE), "Mg 0 0 0; O 0.5 0.5 0.5"), "O2-", True),
    "CaTiO3": (lambda: perovskite(3.85, "Ca", "Ti"), "O2-", False),
    "PbFCl": (
        lambda: cif("P 4/n m m :2", (4.11, 4.11, 7.23, *CUBE), "Pb 0.25 0.25 0.206; F 0.75 0.25 0; Cl 0.25 0.25 0.65"),
        *("F-", True),
    ),
    "K2NiF4": (
        lambda: cif("I 4/m m m", (4.01, 4.01, 13.08, *CUBE), "K 0 0 0.352; Ni 0 0 0; F 0 0.5 0; F 0 0 0.151"),
        *("K+", True),
    ),
    "KCl": (lambda: cif("F m -3 m", (6.29, 6.29, 6.29, *CUBE), "K 0 0 0; Cl 0.5 0.5 0.5"), "K+", False),
    # oxygen of a polyanion is bound: the Mg NASICON conducts Mg2+
    "Mg in a phosphate": (
        lambda: cif(
            *("P 1", (6.0, 6.1, 6.2, *CUBE)),
            "Mg 0 0 0; Mg 0 0.5 0; Mg 0.5 0 0; P 0.5 0.5 0.5; O 0.645 0.643 0.641; O 0.645 0.357 0.359;"
            "O 0.355 0.643 0.359; O 0.355 0.357 0.641; P 0.1 0.1 0.5; O 0.245 0.243 0.641; O 0.245 0.957 0.359;"
            "O 0.955 0.243 0.359; O 0.955 0.957 0.641",
        ),
        *("Mg2+", False),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_choice(name: str) -> None:
    make, ion, doubted = CASES[name]
    chosen = make().resolve_ion()
    assert chosen.symbol == ion
    assert [w.code for w in chosen.warnings] == (["ion-guessed"] if doubted else [])


def test_the_doubt_reaches_the_results() -> None:
    crystal = CASES["PbFCl"][0]()
    network = fastin.compute_network(crystal)
    assert "ion-guessed" in [w.code for w in network.warnings]
    assert "ion-guessed" not in [w.code for w in fastin.compute_network(crystal, "F-").warnings]
    assert "ion-guessed" in [w.code for w in fastin.compute_bvse(crystal, resolution=0.8).warnings]


def test_names_of_an_ion() -> None:
    pymatgen = pytest.importorskip("pymatgen.core")
    crystal = Crystal.from_file(examples()["Li3OCl"])
    for name in ("Li", "li", "LI", "li+", " Li+ ", "Li1+", pymatgen.Element("Li"), pymatgen.Species("Li", 1)):
        assert crystal.resolve_ion(name).symbol == "Li+"
    for name in ("o2-", "O-2", pymatgen.Species("O", -2), pymatgen.Species("O")):
        assert crystal.resolve_ion(name).symbol == "O2-"
    for name in ("", "Xx", "q", 3, pymatgen.DummySpecies("X", 1)):
        with pytest.raises(InputError, match="unknown ion"):
            crystal.resolve_ion(name)
    assert [ion_name(i) for i in (None, "li", pymatgen.Species("O", -2), crystal.resolve_ion("Cl"))] == [
        *(None, "Li", "O2-", "Cl-")
    ]
    assert fastin.compute_network(crystal, pymatgen.Species("Li", 1)).ion == "Li+"


def test_screen_takes_a_species(tmp_path: object) -> None:
    pymatgen = pytest.importorskip("pymatgen.core")
    pytest.importorskip("pyarrow")
    from pathlib import Path

    out = Path(str(tmp_path)) / "table.parquet"
    result = fastin.screen([examples()["Li3OCl"]], out, ion=pymatgen.Species("Li", 1), tasks=("crystal",), workers=1)
    assert result.table["ion"].to_pylist() == ["Li+"]


def test_tables_say_what_was_guessed() -> None:
    runner = CliRunner()
    fluoride = str(examples()["CaF2"])
    said = runner.invoke(main, ["network", fluoride])
    assert said.exit_code == 0
    assert "F- (guessed; --ion)" in said.output
    assert "guessed" not in runner.invoke(main, ["network", fluoride, "--ion", "f-"]).output
    assert "guessed" not in runner.invoke(main, ["network", str(examples()["LiCl"])]).output
    row = json.loads(runner.invoke(main, ["barriers", fluoride, "--json", "--resolution", "0.6"]).output)
    assert (row if isinstance(row, dict) else row[0])["ion_guessed"] is True
