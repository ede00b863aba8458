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
