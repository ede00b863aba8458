"""One kind of warning, carried from the crystal into everything computed from it."""

from __future__ import annotations

import dataclasses
import json

import pytest

import fastin
from fastin.crystal.cif import parse_cif
from fastin.crystal.crystal import build_crystal
from fastin.crystal.warnings import SEVERE_CODES, WARNING_CODES, CrystalWarning, codes_of, merge_warnings
from fastin.network.network import InterstitialNetwork

SEVERE = CrystalWarning("formula-mismatch", "the cell holds Li3N, the formula says Li2N", "_chemical_formula_sum")
MILD = CrystalWarning("oxidation-ambiguous", "Fe3+ is about as likely")


def doubted(*warnings):
    """Li3N as a file that carries these warnings would give it."""
    sites = parse_cif(fastin.examples()["Li3N"].read_text(), "doubted.cif")
    sites.warnings.extend(warnings)
    return build_crystal(sites, "doubted.cif")


def test_codes_are_documented():
    assert all(facts.meaning for facts in WARNING_CODES.values())
    assert {code for code, facts in WARNING_CODES.items() if facts.severe} == SEVERE_CODES
    with pytest.raises(fastin.InputError, match="unknown warning code 'no-such'"):
        CrystalWarning("no-such", "text")


def test_frozen_and_round_trip():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SEVERE.code = "vacuum"
    assert CrystalWarning.from_dict(json.loads(json.dumps(SEVERE.to_dict()))) == SEVERE


def test_merge_keeps_each_once_severe_first():
    assert merge_warnings([MILD, SEVERE], [MILD]) == (SEVERE, MILD)
    assert codes_of([MILD, SEVERE, MILD]) == ("formula-mismatch", "oxidation-ambiguous")


def test_every_result_carries_them():
    crystal = doubted(MILD, SEVERE)
    wanted = {SEVERE, MILD}
    assert crystal.warnings == (SEVERE, MILD)
    assert wanted <= set(crystal.framework("Li").warnings)
    network = fastin.compute_network(crystal)
    assert wanted <= set(network.warnings)
    assert InterstitialNetwork.from_dict(json.loads(json.dumps(network.to_dict()))).warnings == network.warnings
    assert wanted <= set(network.to_graph().warnings)
    grid = fastin.compute_bvse(crystal, resolution=0.5)
    barriers = fastin.compute_barriers(grid)
    assert wanted <= set(grid.warnings)
    assert wanted <= set(barriers.warnings)
    assert SEVERE.to_dict() in barriers.to_dict()["warnings"]
    paths = fastin.compute_paths(crystal, resolution=0.5)
    assert wanted <= set(paths.warnings)
    assert SEVERE.to_dict() in paths.to_dict()["warnings"]
    assert wanted <= set(fastin.describe(crystal, resolution=0.5).warnings)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: fastin.compute_network(c, strict=True),
        lambda c: fastin.compute_bvse(c, strict=True),
        lambda c: fastin.compute_barriers(c, strict=True),
        lambda c: fastin.compute_paths(c, strict=True),
        lambda c: fastin.describe(c, strict=True),
    ],
)
def test_strict_refuses_the_severe_ones(call):
    with pytest.raises(fastin.InputError, match=r"doubted.cif: formula-mismatch: .*Li3N"):
        call(doubted(MILD, SEVERE))


def test_strict_lets_the_others_pass():
    assert fastin.compute_network(doubted(MILD), strict=True).warnings == (MILD,)


def test_other_oxidation_states_drop_what_was_said_of_the_old_ones():
    from fastin.crystal.crystal import with_oxidation_states

    crystal = with_oxidation_states(doubted(MILD, SEVERE), {"Li": 1, "N": -3})
    assert crystal.warnings == (SEVERE,)


# ------------------------------------------------------------------------------------------------ command line, tables

BAD = """data_bad
_cell_length_a 5.13
_cell_length_b 5.13
_cell_length_c 5.13
_space_group_name_H-M_alt 'F m -3 m'
_chemical_formula_sum 'Li2 Cl'
loop_
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li 0 0 0
Cl 0.5 0.5 0.5
"""


@pytest.fixture
def folder(tmp_path):
    """A good and a bad salt."""
    (tmp_path / "bad.cif").write_text(BAD)
    (tmp_path / "good.cif").write_text(BAD.replace("Li2 Cl", "Li Cl"))
    return tmp_path


def run(*arguments):
    from click.testing import CliRunner

    from fastin import cli

    return CliRunner().invoke(cli.main, [str(a) for a in arguments])


@pytest.mark.parametrize("command", ["analyze", "barriers"])
def test_tables_mark_the_codes(folder, command):
    result = run(command, folder / "bad.cif", folder / "good.cif")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert any(line.startswith("bad.cif") and "Li+!!" in line for line in lines)
    assert not any("good.cif" in line and "!" in line for line in lines)
    assert any(line.startswith("!! bad.cif: formula-mismatch:") for line in lines)
    assert "!! formula-mismatch" in run(command, folder / "bad.cif", "--wide").output
    rows = json.loads(run(command, folder / "bad.cif", "--json").output)
    assert [w["code"] for w in rows[0]["warnings"]] == ["formula-mismatch"]


@pytest.mark.parametrize("command", ["analyze", "barriers", "paths", "network"])
def test_strict_on_the_command_line(folder, command):
    assert run(command, folder / "good.cif", "--strict").exit_code == 0
    result = run(command, folder / "bad.cif", "--strict")
    assert result.exit_code == 1
    assert "formula-mismatch" in result.output


def test_block_on_the_command_line(folder):
    both = folder / "both.cif"
    both.write_text(BAD + BAD.replace("data_bad", "data_good").replace("Li2 Cl", "Li Cl"))
    assert "formula-mismatch" in run("barriers", both).output
    assert "formula-mismatch" not in run("barriers", both, "--block", "good").output
    assert run("barriers", both, "--block", "none").exit_code == 1


def test_screen_top_and_report(folder):
    pytest.importorskip("pyarrow")
    from fastin.screening import screen
    from fastin.screening.query import left_out, top
    from fastin.screening.report import report_html
    from fastin.screening.store import read_results

    out = folder / "r.parquet"
    screen([folder / "bad.cif", folder / "good.cif"], out, tasks=("network",), workers=1)
    table = read_results(out)
    held = dict(zip(table["id"].to_pylist(), table["warnings"].to_pylist(), strict=True))
    assert held == {"bad": ["formula-mismatch"], "good": []}
    best = top(out, "probe_radius_A")
    assert best["id"].to_pylist() == ["good"]
    assert left_out(best) == 1
    every = top(out, "probe_radius_A", severe=True)
    assert set(every["id"].to_pylist()) == {"bad", "good"}
    assert left_out(every) == 0
    assert "1 with severe warnings left out" in report_html(out)
    assert "left out" not in report_html(out, severe=True)
    result = run("top", out, "--by", "probe_radius_A")
    assert "1 row(s) with severe warnings are left out" in result.output
    strict = screen([folder / "bad.cif", folder / "good.cif"], folder / "s.parquet", tasks=("network",), workers=1,
                    options={"strict": True})  # fmt: skip
    assert strict.failed == 1
