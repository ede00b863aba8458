"""Formulas as people write them: what is read, and what is refused with a typed error."""

from __future__ import annotations

import pytest

from fastin.errors import InputError
from fastin.ml.formula import check_compound, parse_formula


@pytest.mark.parametrize(
    ("formula", "amounts"),
    [
        ("LiOH*H2O", {"Li": 1, "O": 2, "H": 3}),
        ("LiCl.H2O", {"Li": 1, "Cl": 1, "H": 2, "O": 1}),
        ("LiCl.2H2O", {"Li": 1, "Cl": 1, "H": 4, "O": 2}),
        ("Li2SO4 · 0.5 H2O", {"Li": 2, "S": 1, "O": 4.5, "H": 1}),
        ("0.5Li2O·0.5SiO2", {"Li": 1, "O": 1.5, "Si": 0.5}),
        ("75Li2S-25P2S5", {"Li": 150, "S": 200, "P": 50}),
        ("La 0.51 Li 0.34 TiO 2.94", {"La": 0.51, "Li": 0.34, "Ti": 1, "O": 2.94}),
        ("[Li3][PO4]", {"Li": 3, "P": 1, "O": 4}),
        ("LiCl 2H2O", {"Li": 1, "Cl": 1, "H": 4, "O": 2}),
        ("LiOH H2O", {"Li": 1, "O": 2, "H": 3}),
        ("Li2SO4.2H2O", {"Li": 2, "S": 1, "O": 6, "H": 4}),
        ("LiCl-H2O", {"Li": 1, "Cl": 1, "H": 2, "O": 1}),
        ("70 Li2S - 30 P2S5", {"Li": 140, "S": 220, "P": 60}),
        ("Li3 PO4", {"Li": 3, "P": 1, "O": 4}),
        ("LiOD", {"Li": 1, "O": 1, "H": 1}),
        ("Li₃PS₄", {"Li": 3, "P": 1, "S": 4}),
        ("Li2O·Al2O3·4SiO2", {"Li": 2, "Al": 2, "Si": 4, "O": 12}),
        # fractions, mole percent, other signs
        ("Li1/2La1/2TiO3", {"Li": 0.5, "La": 0.5, "Ti": 1, "O": 3}),
        ("Li4/3Ti5/3O4", {"Li": 4 / 3, "Ti": 5 / 3, "O": 4}),
        ("LiCl·½H2O", {"Li": 1, "Cl": 1, "H": 1, "O": 0.5}),
        ("LiCl·1/2H2O", {"Li": 1, "Cl": 1, "H": 1, "O": 0.5}),
        ("75Li2S·25P2S5 (mol%)", {"Li": 150, "S": 200, "P": 50}),
        ("75 mol% Li2S - 25 mol% P2S5", {"Li": 150, "S": 200, "P": 50}),
        ("60Li2S−40P2S5", {"Li": 120, "S": 260, "P": 80}),
        ("LiCl∗2H2O", {"Li": 1, "Cl": 1, "H": 4, "O": 2}),
        ("LiCl×H2O", {"Li": 1, "Cl": 1, "H": 2, "O": 1}),
        ("⁷Li3N", {"Li": 3, "N": 1}),
        ("Li2SO4*D2O", {"Li": 2, "S": 1, "O": 5, "H": 2}),
        # a full stop before water, behind one digit or two
        ("LiNO3.3H2O", {"Li": 1, "N": 1, "O": 6, "H": 6}),
        ("Li7La3Zr2O12.2H2O", {"Li": 7, "La": 3, "Zr": 2, "O": 14, "H": 4}),
        ("LiI.1.5H2O", {"Li": 1, "I": 1, "H": 3, "O": 1.5}),
        ("LiI.0.5H2O", {"Li": 1, "I": 1, "H": 1, "O": 0.5}),
        ("Na0.5Li0.5H2O3", {"Na": 0.5, "Li": 0.5, "H": 2, "O": 3}),  # no water: "0.5" is an amount
        ("LiBH4·NH3", {"Li": 1, "B": 1, "N": 1, "H": 7}),
        # double salts, solid solutions and glasses
        ("3LiF·AlF3", {"Li": 3, "Al": 1, "F": 6}),
        ("0.5Li3PO4·0.5Li4SiO4", {"Li": 3.5, "P": 0.5, "Si": 0.5, "O": 4}),
        ("1Li2SO4·1MgSO4", {"Li": 2, "Mg": 1, "S": 2, "O": 8}),
        ("(YPO4)0.7(Li3PO4)0.3", {"Y": 0.7, "Li": 0.9, "P": 1, "O": 4}),
        ("(Li2S)60(SiS2)28(P2S5)12", {"Li": 120, "Si": 28, "P": 24, "S": 176}),
        ("30LiI·70(0.75Li2S·0.25P2S5)", {"Li": 135, "I": 30, "P": 35, "S": 140}),
        ("30LiI-70(75Li2S-25P2S5)", {"Li": 135, "I": 30, "P": 35, "S": 140}),
        ("2Li2O·SiO2·Li2SO4", {"Li": 6, "O": 8, "Si": 1, "S": 1}),
        ("0.5Li2MnO3·0.5LiCoO2", {"Li": 1.5, "Mn": 0.5, "Co": 0.5, "O": 2.5}),
    ],
)
def test_formulas_are_read(formula: str, amounts: dict[str, float]) -> None:
    assert parse_formula(formula) == pytest.approx(amounts)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("LiFePO4 + C", "two materials"),
        ("LiCl/LiI", "two materials"),
        ("90 wt% LiCl, LiI", "two materials"),
        ("Li1.3Al0.3Zr1.4(PO ) 4 3", "two numbers"),
        ("Li(x)O", "cannot read"),
        ("LiXx", "unknown element"),
        ("LiAl", "metal"),
        ("LiF2", "cannot be neutral"),
        ("Li3O", "cannot be neutral"),
        *((f, "two materials") for f in ("Li3PO4 Li2O", "LiCl:MgO", "LiCl in PEO", "LiI@C", "Li2S-P2S5", "LiCl-Al2O3")),
        *((f, "two materials") for f in ("LiI*Al2O3", "LiI·Al2O3", "40LiI-60Al2O3", "LiI·SiO2", "0.6LiI·0.4Al2O3")),
        *((f, "two materials") for f in ("(LiI)0.6(Al2O3)0.4", "LiI(Al2O3)0.4", "LiCl*2H2O*MgO", "3LiNO3-SiO2")),
        *((f, "two materials") for f in ("Li2SO4*Al2O3", "0.5Li2SO4-0.5Al2O3", "Li2SO4/50Al2O3", "LiFePO4/5C")),
        *((f, "two materials") for f in ("Li7La3Zr2O12-Li3BO3", "LiTi2(PO4)3·0.2Li2O", "Li6PS5Cl·0.5LiCl")),
        *((f, "two materials") for f in ("LiCoO2·2Li3PO4", "LiFePO4*Li7La3Zr2O12", "Li3PS4:LiI", "LiCl+MgO")),
        *((f, "two materials") for f in ("LiPF6 in EC", "5 % Al-doped Li7La3Zr2O12", "LiCl.MgO")),
        *((f, "without amounts") for f in ("Li2S·P2S5", "Li2S*P2S5*Li3N", "Li2O.SiO2", "Li3PS4-LiI", "LiF·AlF3")),
        *((f, "compounds") for f in ("Li7La3Zr2O12-Ga", "Li-1Cl", "LiFePO4·C", "Li3PS4*Li", "Li10.GeP2S12")),
        *((f, "decimal point or join") for f in ("Li2O.2SiO2", "LiNO3.25H2O")),
        *((f, "full stop") for f in ("LiCl.", "LiCl..", "LiCl1.5H2O")),
        *((f, "cannot read") for f in (".LiCl", "Li²O", "5 mol% LiCl", "Li~3PS4", "lifepo4", "β-Li3PS4", "", "()")),
        *((f, "unknown element") for f in ("LiMO2", "LnLiO2", "PEO20LiTFSI", "LICOO2", "XLi")),
        *((f, "star") for f in ("LiCl 2 H2O", "LiCl 2LiI", "LiCl1.5H2O")),
        *((f, "variable") for f in ("LiCl*xH2O", "LiCl*nH2O", "Li7-xLa3Zr2O12", "Li1+xAlxTi2-x(PO4)3", "Li3OCl1-δ")),
        *((f, "abbreviation") for f in ("LiPON", "LiTFSI", "LiFSI", "LLZO")),
        ("Li6.65La2.75Ba0.25Zr1.4Ta0.", "full stop"),
        ("LiC4H8T", "unknown element"),
        *((f, "amount above") for f in ("LiCl1e9", "Li1e400Cl")),
        *((f, "alloy") for f in ("Li", "LiC6", "Li15Si4", "Li3Bi", "Li3Sb", "LiB", "LiHe", "Li2MgSn")),
        *((f, "cannot be neutral") for f in ("LiCl2", "Li2Cl", "Li3PS5", "Li6PS5Cl2", "LiAlO3", "Li2MgCl3", "LiPO5")),
        *((f, "cannot be neutral") for f in ("Li7La3Zr2O11", "LiH2", "Li6.4La3Zr1.4Ta0.6O1")),
    ],
)
def test_what_is_no_ionic_compound_is_refused(formula: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_compound(parse_formula(formula), formula)


def test_unusual_anions_are_compounds() -> None:
    for formula in (
        "Li2O2",
        "LiO2",
        "LiN3",
        "Li2S2",
        "LiBH4",
        "Li3N",
        "Li10GeP2S12",
        "LiNi0.5Mn1.5O4",
        "Li2VCl4",
        "Li7BiO6",
        "LiNiO2",
        "Li2B12H12",
        "LiCB11H12",
        "Li4P2S6",
        "LiB(C2O4)2",
    ):
        check_compound(parse_formula(formula), formula)


def _nested(depth: int) -> str:
    return "(" * depth + "0.5Li2O·0.5SiO2" + ")" * depth


def test_brackets_in_brackets() -> None:
    assert parse_formula(_nested(40))["Li"] == pytest.approx(1.0)
    for depth in (60, 5000):
        with pytest.raises(InputError, match="brackets"):
            parse_formula(_nested(depth))


@pytest.mark.parametrize("salt", ["Li2O", "LiI", "Li3PS4", "Li2SO4"])
@pytest.mark.parametrize("joined", ["0.4{}-0.6AlN", "({})0.4(AlN)0.6", "0.4{}*0.6AlN", "0.4{}·H2O·0.6AlN"])
def test_a_salt_and_another_anion_without_lithium_are_two_materials(salt: str, joined: str) -> None:
    with pytest.raises(InputError, match="two materials"):
        parse_formula(joined.format(salt))


def test_every_formula_of_the_training_table_is_read() -> None:
    from fastin.ml.conductivity import model_folder
    from fastin.ml.measured import load_measured

    table = load_measured(model_folder() / "measured_lithium.csv")
    assert len(table.formula) > 850


def test_the_limit_of_rounding_does_not_depend_on_the_order_of_the_elements() -> None:
    amounts = parse_formula("Li1.225Al0.225Zr1.55(PO4)3")  # 0.9 charges of 18 atoms: at the limit
    for order in (sorted(amounts), sorted(amounts, reverse=True), ["P", "Li", "O", "Zr", "Al"]):
        assert check_compound({element: amounts[element] for element in order}, "") == pytest.approx(-0.9)
