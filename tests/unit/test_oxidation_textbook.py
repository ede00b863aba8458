"""Oxidation states of textbook compounds: compositions alone, prototypes where bonds decide, bonded groups.

Sources of the states, by family: elements' own chapters in N. N. Greenwood, A. Earnshaw, Chemistry of the Elements, 2nd
ed. (1997) [GE]; A. F. Wells, Structural Inorganic Chemistry, 5th ed. (1984) [W]; perovskites: R. H. Mitchell,
Perovskites (2002) [M]; S. Vasala, M. Karppinen, Prog. Solid State Chem. 43, 1 (2015) [VK]; spinels: R. J. Hill,
J. R. Craig, G. V. Gibbs, Phys. Chem. Miner. 4, 317 (1979) [H]; pyrochlores: M. A. Subramanian, G. Aravamudan,
G. V. Subba Rao, Prog. Solid State Chem. 15, 55 (1983) [S]; electrodes: A. Manthiram, Nat. Commun. 11, 1550 (2020) [Ma];
C. Masquelier, L. Croguennec, Chem. Rev. 113, 6552 (2013) [MC]; ores: J. W. Anthony et al., Handbook of Mineralogy [HM];
fluorides: P. Hagenmuller (ed.), Inorganic Solid Fluorides (1985) [Ha]; oxynitrides: S. G. Ebbinghaus et al., Prog.
Solid State Chem. 37, 173 (2009) [E]; cuprates: C. Park, R. L. Snyder, J. Am. Ceram. Soc. 78, 3171 (1995) [PS].
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from fastin.crystal.crystal import Crystal
from fastin.crystal.elements import numbers_by_symbol, symbol
from fastin.crystal.oxidation import assign_oxidation_states

# Composition alone: no bonds, so frequencies and redox order decide.
COMPOSITIONS = {
    "M": """PbTiO3 Pb2 Ti4; LaCoO3 La3 Co3; LaMnO3 La3 Mn3; LaNiO3 La3 Ni3; LaTiO3 La3 Ti3; LaVO3 La3 V3;
        NdNiO3 Nd3 Ni3;
        BiFeO3 Bi3 Fe3; PbZrO3 Pb2 Zr4; SrRuO3 Sr2 Ru4; CaMnO3 Ca2 Mn4; BaPbO3 Ba2 Pb4; EuTiO3 Eu2 Ti4; SrFeO3 Sr2 Fe4;
        PbVO3 Pb2 V4; BiMnO3 Bi3 Mn3; CeAlO3 Ce3 Al3; SmVO3 Sm3 V3; YbFeO3 Yb3 Fe3; EuZrO3 Eu2 Zr4; NaLaTi2O6 La3 Ti4;
        Pb3MgNb2O9 Pb2 Nb5; Pb2FeNbO6 Pb2 Fe3 Nb5; La2NiO4 La3 Ni2; La2CoO4 La3 Co2""",
    "VK": """Ba2NiWO6 Ni2 W6; La2NiMnO6 La3 Ni2 Mn4; La2CoMnO6 La3 Co2 Mn4; Ba2YBiO6 Y3 Bi5; Sr2FeReO6 Fe3 Re5;
        Ba2MnWO6 Mn2 W6; Sr2NiMoO6 Ni2 Mo6; La2MgIrO6 La3 Ir4; Sr2YRuO6 Y3 Ru5; Sr2FeSbO6 Fe3 Sb5; Ba2NaOsO6 Na1 Os7;
        Pb2MgWO6 Pb2 W6; Ba2BiSbO6 Bi3 Sb5; NaLaMgWO6 La3 W6; NaNdMnWO6 Nd3 Mn2 W6; La2LiIrO6 La3 Ir5""",
    "GE": """NiTiO3 Ni2 Ti4; FeTiO3 Fe2 Ti4; MnTiO3 Mn2 Ti4; CoTiO3 Co2 Ti4; BiVO4 Bi3 V5; PbMoO4 Pb2 Mo6; FeWO4 Fe2 W6;
        MnWO4 Mn2 W6; CuWO4 Cu2 W6; FeVO4 Fe3 V5; CeVO4 Ce3 V5; PbCrO4 Pb2 Cr6; CuBi2O4 Cu2 Bi3; Bi2WO6 Bi3 W6; AgO Ag2;
        Pb3O4 Pb2.667; SbNbO4 Sb3 Nb5; FeSbO4 Fe3 Sb5; SnNb2O6 Sn2 Nb5; FeNb2O6 Fe2 Nb5; BiF3 Bi3; TlBr Tl1; BiOCl Bi3;
        FeOCl Fe3; PbFCl Pb2; SbSI Sb3; BiTeI Bi3; EuWO4 Eu2 W6""",
    "H": """CoFe2O4 Co2 Fe3; NiFe2O4 Ni2 Fe3; CuFe2O4 Cu2 Fe3; FeCr2O4 Fe2 Cr3; MnCr2O4 Mn2 Cr3; FeV2O4 Fe2 V3;
        Fe2TiO4 Fe2 Ti4; Mn2SnO4 Mn2 Sn4; Fe2GeO4 Fe2 Ge4; Mn3O4 Mn2.667; Fe3O4 Fe2.667; Co3O4 Co2.667; LiFe5O8 Fe3;
        FeCr2S4 Fe2 Cr3; MnIn2S4 Mn2 In3""",
    "S": """Nd2Ir2O7 Nd3 Ir4; Bi2Ru2O7 Bi3 Ru4; Tl2Mn2O7 Tl3 Mn4; Cd2Os2O7 Cd2 Os5; Cd2Re2O7 Cd2 Re5; Bi2Ti2O7 Bi3 Ti4;
        La2Zr2O7 La3 Zr4; Yb2Ti2O7 Yb3 Ti4; Eu2Ti2O7 Eu3 Ti4; Nd2Mo2O7 Nd3 Mo4""",
    "Ma": """LiCoO2 Co3; LiNiO2 Ni3; Li2MnO3 Mn4; Li3NiMnCoO6 Ni2 Mn4 Co3; Li2NiMnO4 Ni2 Mn4; LiMn2O4 Mn3.5;
        LiV2O4 V3.5;
        Li4Ti5O12 Ti4; Li2NiMn3O8 Ni2 Mn4; LiCrMnO4 Cr3 Mn4; LiCoMnO4 Co3 Mn4; LiNiVO4 Ni2 V5; Na3Ni2SbO6 Ni2 Sb5;
        Li3Co2SbO6 Co2 Sb5; Na2Ni2TeO6 Ni2 Te6; Li2RuO3 Ru4; Na2Mn3O7 Mn4; Li4FeSbO6 Fe3 Sb5; Li2NiTiO4 Ni2 Ti4;
        Li2VO2F V3; LiTiS2 Ti3; LiVS2 V3""",
    "MC": """LiFePO4 Fe2 P5; FePO4 Fe3 P5; Li3V2P3O12 V3 P5; MnZr4P6O24 Mn2 Zr4 P5; Na3MnTiP3O12 Mn2 Ti4; LiVPO5 V4 P5;
        Na4MnVP3O12 Mn2 V3; Li2FeSiO4 Fe2 Si4; LiFeBO3 Fe2 B3; LiFeSO4F Fe2 S6; Na3V2P2O8F3 V3; LiTi2P3O12 Ti4 P5;
        NaMnFe2P3O12 Mn2 Fe3; CuTi2P3O12 Cu1 Ti4; Na2FeP2O7 Fe2 P5; KTiPO5 Ti4 P5; SbPO4 Sb3 P5; Sn2P2O7 Sn2 P5""",
    "HM": """CuFeS2 Cu1 Fe3; Cu2FeSnS4 Cu1 Fe2 Sn4; Ag3SbS3 Ag1 Sb3; Cu3AsS4 Cu1 As5; Cu3VS4 Cu1 V5; PbSb2S4 Pb2 Sb3;
        CuSbS2 Cu1 Sb3; PbCuBiS3 Pb2 Cu1 Bi3; CuInS2 Cu1 In3""",
    "W": "TlInS2 Tl1 In3; TlNdS2 Tl1 Nd3; TlNdSe2 Tl1 Nd3; KCuZrS3 Cu1 Zr4; NaCuTiS3 Cu1 Ti4; LaCrS3 La3 Cr3",
    "Ha": """K2NiF6 Ni4; KMnF3 Mn2; LiMnFeF6 Mn2 Fe3; Na2NiFeF7 Ni2 Fe3; NiZrF6 Ni2 Zr4; CuTiF6 Cu2 Ti4; PbZrF6 Pb2 Zr4;
        NiPtF6 Ni2 Pt4; TlNiF3 Tl1 Ni2; LiNiAlF6 Ni2 Al3; NaVZr2F11 V2 Zr4; NaTiZr2F11 Ti2 Zr4; TlPb2Cl5 Tl1 Pb2;
        Cs2AgBiBr6 Ag1 Bi3; CsSnI3 Sn2; Cs2SnI6 Sn4""",
    "E": "TaON Ta5; BaTaO2N Ta5; LaTiO2N La3 Ti4; LaNbON2 La3 Nb5; EuTaO2N Eu2 Ta5; LiPN2 P5; Li7VN4 V5; Li3FeN2 Fe3",
    "PS": """La1.85Sr0.15CuO4 La3 Cu2.15; YBa2Cu3O7 Cu2.333; YBa2Cu3O6 Cu1.667; Tl2Ba2CuO6 Tl3 Cu2; HgBa2CuO4 Hg2 Cu2;
        NaCuO2 Cu3; CaCu3Ti4O12 Cu2 Ti4; LiCu2O2 Cu1.5; Bi2Sr2CuO6 Bi3 Cu2; La2CuO4 La3 Cu2""",
}
ROWS = [row.strip() for rows in COMPOSITIONS.values() for row in rows.split(";")]


def amounts_of(text: str) -> dict[str, float]:
    return {name: float(n or 1) for name, n in re.findall(r"([A-Z][a-z]?)([\d.]*)", text)}


def by_composition(formula: str) -> dict[str, float]:
    """States of a composition whose atoms have no neighbours."""
    amounts = amounts_of(formula)
    number = np.array([numbers_by_symbol()[e] for e in amounts], dtype=np.int32)
    nothing = (np.zeros(len(number) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    found = assign_oxidation_states(number, np.array(list(amounts.values())), np.arange(len(number)), nothing)
    return dict(zip(amounts, found.charge.tolist(), strict=True))


def means(crystal: Crystal) -> dict[str, float]:
    """Mean state of each element."""
    numbers = np.unique(crystal.number)
    return {
        symbol(int(z)): round(
            float(np.average(crystal.charge[crystal.number == z], weights=crystal.occupancy[crystal.number == z])), 3
        )
        for z in numbers
    }


def cif(group: str, cell: tuple[float, ...], sites: str) -> Crystal:
    """A crystal from its space group, cell and lines "element x y z [occupancy]"."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    text = f"data_x\n_symmetry_space_group_name_H-M '{group}'\n"
    text += "".join(f"_cell_{n} {v}\n" for n, v in zip(names, cell, strict=True))
    text += "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    text += "_atom_site_occupancy\n"
    rows = [line.split() for line in sites.strip().split(";")]
    return Crystal.from_cif_string(text + "".join(" ".join(r if len(r) == 5 else [*r, "1"]) + "\n" for r in rows))


def test_the_table_is_long_enough() -> None:
    assert len(set(ROWS)) >= 120


@pytest.mark.parametrize("row", ROWS)
def test_compositions(row: str) -> None:
    formula, *expected = row.split()
    found = by_composition(formula)
    for name, state in amounts_of(" ".join(expected)).items():
        assert found[name] == pytest.approx(state, abs=2e-3), found


HEX = (90, 90, 120)
CUBE = (90, 90, 90)
PROTOTYPES = {
    # ilmenite: R. E. Newnham, J. H. Fang, R. P. Santoro, Acta Cryst. 17, 240 (1964)
    "NiTiO3": (("R -3", (5.031, 5.031, 13.785, *HEX), "Ni 0 0 0.350; Ti 0 0 0.144; O 0.317 0.023 0.246"), "Ni2 Ti4"),
    # delafossite: C. T. Prewitt, R. D. Shannon, D. B. Rogers, Inorg. Chem. 10, 719 (1971)
    "CuFeO2": (("R -3 m", (3.0351, 3.0351, 17.166, *HEX), "Cu 0 0 0; Fe 0 0 0.5; O 0 0 0.1066"), "Cu1 Fe3"),
    # cubic perovskites, a as in [M]
    "PbTiO3": (("P m -3 m", (3.97, 3.97, 3.97, *CUBE), "Pb 0 0 0; Ti 0.5 0.5 0.5; O 0.5 0.5 0"), "Pb2 Ti4"),
    "LaCoO3": (("P m -3 m", (3.82, 3.82, 3.82, *CUBE), "La 0 0 0; Co 0.5 0.5 0.5; O 0.5 0.5 0"), "La3 Co3"),
    "LaTiO3": (("P m -3 m", (3.97, 3.97, 3.97, *CUBE), "La 0 0 0; Ti 0.5 0.5 0.5; O 0.5 0.5 0"), "La3 Ti3"),
    # rock salt layers with all three metals on one site: N. Yabuuchi, T. Ohzuku, J. Power Sources 119, 171 (2003)
    "NMC": (
        (
            *("R -3 m", (2.862, 2.862, 14.227, *HEX)),
            "Li 0 0 0; Ni 0 0 0.5 0.3333; Mn 0 0 0.5 0.3333; Co 0 0 0.5 0.3334; O 0 0 0.2415",
        ),
        "Ni2 Mn4 Co3",
    ),
    # spinel P4332: R. Santhanam, B. Rambabu, J. Power Sources 195, 5442 (2010); positions idealised
    "LiNi0.5Mn1.5O4": (
        (
            *("P 43 3 2", (8.17, 8.17, 8.17, *CUBE)),
            "Li 0.004 0.004 0.004; Ni 0.625 0.625 0.625; Mn 0.125 0.378 0.872;O 0.387 0.387 0.387; O 0.142 0.857 0.125",
        ),
        "Ni2 Mn4",
    ),
    # K2NiF4 type: J. D. Jorgensen et al., Phys. Rev. Lett. 58, 1024 (1987)
    "La1.85Sr0.15CuO4": (
        (
            *("I 4/m m m", (3.7873, 3.7873, 13.2883, *CUBE)),
            "La 0 0 0.3605 0.925; Sr 0 0 0.3605 0.075; Cu 0 0 0; O 0 0.5 0; O 0 0 0.1824",
        ),
        "La3 Sr2 Cu2.15",
    ),
    # scheelite: A. W. Sleight et al., Mater. Res. Bull. 14, 1571 (1979)
    "BiVO4": (("I 41/a", (5.147, 5.147, 11.722, *CUBE), "Bi 0 0.25 0.625; V 0 0.25 0.125; O 0.139 0 0.205"), "Bi3 V5"),
    # double perovskite: oxygen from Mo-O 1.95 A and Fe-O 1.99 A; B. Garcia-Landa et al., Solid State Commun. 110 (1999)
    "Sr2NiWO6": (
        ("F m -3 m", (7.89, 7.89, 7.89, *CUBE), "Sr 0.25 0.25 0.25; Ni 0 0 0; W 0.5 0.5 0.5; O 0.26 0 0"),
        "Ni2 W6",
    ),
    # fluorite, pyrite, rutile: [W]
    "CeO2": (("F m -3 m", (5.411, 5.411, 5.411, *CUBE), "Ce 0 0 0; O 0.25 0.25 0.25"), "Ce4 O-2"),
    "FeS2": (("P a -3", (5.418, 5.418, 5.418, *CUBE), "Fe 0 0 0; S 0.385 0.385 0.385"), "Fe2 S-1"),
    "MnO2": (("P 42/m n m", (4.398, 4.398, 2.873, *CUBE), "Mn 0 0 0; O 0.305 0.305 0"), "Mn4 O-2"),
}


def expected_of(text: str) -> dict[str, float]:
    return {name: float(q) for name, q in re.findall(r"([A-Z][a-z]?)(-?[\d.]+)", text)}


@pytest.mark.parametrize("name", PROTOTYPES)
def test_prototypes(name: str) -> None:
    model, expected = PROTOTYPES[name]
    found = means(cif(*model))
    for element, state in expected_of(expected).items():
        assert found[element] == pytest.approx(state, abs=5e-3), found


GROUPS = {
    # peroxide, superoxide, acetylide: [W]
    "Na2O2": (
        "P -6 2 m",
        (6.207, 6.207, 4.471, *HEX),
        "Na 0.294 0 0; Na 0.632 0 0.5; O 0 0 0.333; O 0.333 0.667 0.167",
    ),
    "BaO2": ("I 4/m m m", (3.8154, 3.8154, 6.8513, *CUBE), "Ba 0 0 0; O 0 0 0.3911"),
    "KO2": ("I 4/m m m", (4.030, 4.030, 6.697, *CUBE), "K 0 0 0; O 0 0 0.4045"),
    "CaC2": ("I 4/m m m", (3.87, 3.87, 6.37, *CUBE), "Ca 0 0 0; C 0 0 0.4068"),
    # azide, amide, tetrahydroborate, ammonium: [W], [GE]
    "KN3": ("I 4/m c m", (6.113, 6.113, 7.094, *CUBE), "K 0 0 0.25; N 0 0.5 0; N 0.1358 0.6358 0"),
    "KBH4": (
        *("P -4 21 c", (4.7004, 4.7004, 6.5979, *CUBE)),
        "K 0 0 0.5; B 0 0 0; H 0.18 0.08 0.11",
    ),
    "KCN": ("P 1", (6.53, 6.53, 6.53, *CUBE), "K 0 0 0; C 0.5 0.5 0.410; N 0.5 0.5 0.588"),
    "KSCN": ("P 1", (6.6, 6.6, 7.5, *CUBE), "K 0 0 0; S 0.5 0.5 0.29; C 0.5 0.5 0.51; N 0.5 0.5 0.665"),
    "CsI3": ("P 1", (6.8, 8.0, 10.0, *CUBE), "Cs 0 0 0; I 0.5 0.5 0.21; I 0.5 0.5 0.5; I 0.5 0.5 0.79"),
    "LiNH2": ("P 1", (5.0, 5.0, 5.2, *CUBE), "Li 0 0 0; N 0.5 0.5 0.5; H 0.66 0.5 0.62; H 0.34 0.5 0.62"),
    "NaNO2": ("P 1", (5.4, 5.4, 5.6, *CUBE), "Na 0 0 0; N 0.5 0.5 0.45; O 0.695 0.5 0.56; O 0.305 0.5 0.56"),
    "LiNO3": (
        *("R -3 c", (4.692, 4.692, 15.22, *HEX)),
        "Li 0 0 0; N 0 0 0.25; O 0.266 0 0.25",
    ),
    "NH4Cl": ("P -4 3 m", (3.868, 3.868, 3.868, *CUBE), "N 0 0 0; H 0.153 0.153 0.153; Cl 0.5 0.5 0.5"),
}
GROUP_STATES = {
    **{"Na2O2": "Na1 O-1", "BaO2": "Ba2 O-1", "KO2": "K1 O-0.5", "CaC2": "Ca2 C-1", "KN3": "K1 N-0.333"},
    **{"KBH4": "K1 B3 H-1", "KCN": "C2 N-3", "KSCN": "S-2 C4 N-3", "CsI3": "Cs1 I-0.333", "LiNH2": "N-3 H1"},
    **{"NaNO2": "N3 O-2", "LiNO3": "N5 O-2", "NH4Cl": "N-3 H1 Cl-1"},
}


@pytest.mark.parametrize("name", GROUPS)
def test_bonded_groups(name: str) -> None:
    crystal = cif(*GROUPS[name])
    found = means(crystal)
    for element, state in expected_of(GROUP_STATES[name]).items():
        assert found[element] == pytest.approx(state, abs=1e-3), found
    assert abs(float(crystal.charge @ crystal.occupancy)) < 1e-6


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("name", "state"), [("Na2O2", -1.0), ("BaO2", -1.0), ("KN3", -1 / 3), ("CaC2", -1.0)])
def test_groups_in_a_moving_lattice(name: str, state: float, seed: int) -> None:
    """Every atom displaced by 0.06 A (rms a coordinate): the group keeps its charge."""
    rng = np.random.default_rng(seed)
    perfect = cif(*GROUPS[name])
    shift = rng.normal(0.0, 0.06, perfect.frac.shape) @ np.linalg.inv(perfect.cell)
    lines = "; ".join(
        f"{symbol(int(z))} {x:.6f} {y:.6f} {w:.6f}"
        for z, (x, y, w) in zip(perfect.number, perfect.frac + shift, strict=True)
    )
    lengths = np.linalg.norm(perfect.cell, axis=1)
    moved = cif("P 1", (*lengths.tolist(), *(HEX if name == "Na2O2" else CUBE)), lines)
    anion = moved.charge[np.isin(moved.number, (6, 7, 8))]
    np.testing.assert_allclose(anion, state, atol=1e-6)


def molecule(atoms: list[tuple[str, np.ndarray]], counter: dict[str, int], edge: float = 11.0) -> Crystal:
    """A molecule amid an empty box with its counter-ions far away."""
    lines = [f"{e} {' '.join(f'{v:.6f}' for v in 0.5 + p / edge)}" for e, p in atoms]
    spots = [(0.0, 0.0, 0.0), (0.0, 0.0, 0.3), (0.0, 0.3, 0.0), (0.3, 0.0, 0.0)]
    ions = [e for e, n in counter.items() for _ in range(n)]
    lines += [f"{e} {x} {y} {z}" for e, (x, y, z) in zip(ions, spots, strict=False)]
    return cif("P 1", (edge, edge, edge, *CUBE), "; ".join(lines))


def test_hypodiphosphate_has_tetravalent_phosphorus() -> None:
    """P2S6 4-: P-P 2.2 A, three S at 2.03 A on each P, staggered."""
    atoms: list[tuple[str, np.ndarray]] = []
    for side in (1, -1):
        atoms.append(("P", np.array([0.0, 0.0, 1.1 * side])))
        for k in range(3):
            angle = 2 * np.pi * k / 3 + (np.pi / 3 if side < 0 else 0.0)
            atoms.append(("S", np.array([1.9 * np.cos(angle), 1.9 * np.sin(angle), side * 1.8])))
    assert means(molecule(atoms, {"Li": 4})) == {"Li": 1.0, "P": 4.0, "S": -2.0}


def test_thiosulfate_and_closo_borane() -> None:
    tetrahedron = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
    atoms = [("S", np.zeros(3)), ("S", 2.01 * tetrahedron[0]), *(("O", 1.47 * v) for v in tetrahedron[1:])]
    thiosulfate = molecule(atoms, {"Na": 2})
    assert sorted(thiosulfate.charge[thiosulfate.number == 16].tolist()) == [-1.0, 5.0]
    golden = (1 + np.sqrt(5)) / 2
    corners = [np.roll((0.0, a, b * golden), k) for k in range(3) for a in (1, -1) for b in (1, -1)]
    unit = [np.asarray(c) / np.sqrt(1 + golden**2) for c in corners]
    borane = molecule([*(("B", 1.69 * u) for u in unit), *(("H", 2.88 * u) for u in unit)], {"Li": 2})
    assert means(borane) == {"H": -1.0, "Li": 1.0, "B": pytest.approx(10 / 12, abs=1e-3)}


def test_ambiguity_is_a_warning() -> None:
    """Sr2FeMoO6 by composition: Fe3+ Mo5+ and Fe2+ Mo6+ are about as likely; LiMn2O4 and PbTiO3 are not in doubt."""
    number = np.array([38, 26, 42, 8], dtype=np.int32)
    nothing = (np.zeros(5, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    found = assign_oxidation_states(number, np.array([2.0, 1.0, 1.0, 6.0]), np.arange(4), nothing)
    assert [w.code for w in found.warnings] == ["oxidation-ambiguous"]
    assert cif(*PROTOTYPES["PbTiO3"][0]).warnings == ()


LAYERED = {
    # nickel balances, cobalt is 3+ and manganese 4+; cells, positions and states as the NMC above and [Ma]
    "Ni 0.5 Mn 0.3 Co 0.2": (1.0, {"Ni": 2.4, "Mn": 4.0, "Co": 3.0}),
    "Ni 0.6 Mn 0.2 Co 0.2": (1.0, {"Ni": 8 / 3, "Mn": 4.0, "Co": 3.0}),
    "Ni 0.8 Mn 0.1 Co 0.1": (1.0, {"Ni": 2.875, "Mn": 4.0, "Co": 3.0}),
    "Ni 0.9 Mn 0.05 Co 0.05": (1.0, {"Ni": 2.65 / 0.9, "Mn": 4.0, "Co": 3.0}),
    "Ni 0.8 Co 0.15 Al 0.05": (1.0, {"Ni": 3.0, "Co": 3.0, "Al": 3.0}),
    # half of the lithium taken out: nickel is oxidised, neither manganese beyond 4+ nor anything to Co+ or Mn7+
    "Ni 0.3333 Mn 0.3333 Co 0.3334": (0.5, {"Ni": 3.5, "Mn": 4.0, "Co": 3.0}),
    "Ni 0.5 Mn 0.3 Co 0.2 ": (0.5, {"Ni": 3.4, "Mn": 4.0, "Co": 3.0}),
    "Ni 0.6 Mn 0.2 Co 0.2 ": (0.5, {"Ni": 3.5, "Mn": 4.0, "Co": 3.0}),
    "Ni 0.8 Co 0.15 Al 0.05 ": (0.5, {"Ni": 3.625, "Co": 3.0, "Al": 3.0}),
    "Fe 0.5 Mn 0.5": (0.5, {"Fe": 3.0, "Mn": 4.0}),
}


@pytest.mark.parametrize("metals", LAYERED)
def test_metals_that_share_a_site_need_no_whole_states(metals: str) -> None:
    """That whole states of a mixture balance is chance: Ni3+ Co2+ Mn4+ does in LiNi0.8Mn0.1Co0.1O2."""
    lithium, expected = LAYERED[metals]
    words = metals.split()
    shared = "; ".join(f"{name} 0 0 0.5 {share}" for name, share in zip(words[::2], words[1::2], strict=True))
    sites = f"Li 0 0 0 {lithium}; {shared}; O 0 0 0.2415"
    found = means(cif("R -3 m", (2.862, 2.862, 14.227, *HEX), sites))
    for element, state in expected.items():
        assert found[element] == pytest.approx(state, abs=5e-3), found


def test_bonds_that_no_whole_states_balance_are_kept() -> None:
    """Covellite, H. T. Evans, J. A. Konnert, Am. Mineral. 61, 996 (1976): S2 2- and S2-, Cu of 4/3 (was Cu2+ S2-)."""
    cell = (3.7938, 3.7938, 16.341, *HEX)
    sites = "Cu 0.33333 0.66667 0.75; Cu 0.33333 0.66667 0.10733; S 0.33333 0.66667 0.25; S 0 0 0.06337"
    covellite = cif("P 63/m m c", cell, sites)
    assert sorted(set(covellite.charge[covellite.number == 16].tolist())) == [-2.0, -1.0]
    assert covellite.charge[covellite.number == 29] == pytest.approx(4 / 3)


def test_odd_states_against_the_bonds_are_a_warning() -> None:
    """Ammonium chloride without its hydrogen balances as N+ Cl-: said, not silent."""
    bare = cif("P m -3 m", (3.876, 3.876, 3.876, *CUBE), "N 0 0 0; Cl 0.5 0.5 0.5")
    assert [w.code for w in bare.warnings] == ["atoms-apart", "oxidation-ambiguous"]  # the hydrogen between them lacks
    assert "disregard" in bare.warnings[1].message
    assert cif("P m -3 m", (4.123, 4.123, 4.123, *CUBE), "Cs 0 0 0; Cl 0.5 0.5 0.5").warnings == ()


@pytest.mark.parametrize("others", [{"Mn": 2, "Co": 2}, {"Mn": 3, "Co": 3}, {"Mn": 6, "Co": 6}])
def test_ordered_cells_of_half_delithiated_layers(others: dict[str, int]) -> None:
    """18 metals on sites of their own: Mn2+, Mn6+ and Mn5.5+ were taken, since only one metal at a time was varied."""
    cell = Lattice.hexagonal(2.862, 14.227)
    layers = Structure.from_spacegroup("R-3m", cell, ["Li", "Ni", "O"], [[0, 0, 0], [0, 0, 0.5], [0, 0, 0.2415]])
    layers.make_supercell([3, 2, 1])
    draw = np.random.default_rng(0)
    metals = draw.permutation([k for k, site in enumerate(layers) if site.specie.symbol == "Ni"]).tolist()
    for name, count in others.items():
        for _ in range(count):
            layers[metals.pop()] = name
    layers.remove_sites(draw.permutation([k for k, s in enumerate(layers) if s.specie.symbol == "Li"])[:9].tolist())
    found = means(Crystal.from_structure(layers))
    assert found == {"Li": 1.0, "O": -2.0, "Mn": 4.0, "Co": 3.0, "Ni": pytest.approx(3.5, abs=1e-3)}
