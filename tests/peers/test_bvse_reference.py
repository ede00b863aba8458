"""Grid energies against frozen reference numbers and, where installed, against bvlain point by point."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest

import fastin
from fastin.bvse.grid import build_field, compute_bvse
from fastin.crystal.crystal import Crystal


def _records(shared) -> list[dict]:
    with gzip.open(shared / "reference" / "bvse" / "barriers.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def _ion(name: str) -> str:
    """``Li1+`` -> ``Li+``."""
    return re.sub(r"(?<=[a-z])1(?=[+-])|(?<=[A-Z])1(?=[+-])", "", name)


def test_grid_minima_on_equal_grids(shared):
    """Minima of 43 grids (bvlain convention, 10 A, hard cutoff there): within 1 meV, the pairs beyond the cutoff."""
    errors = {}
    for record in _records(shared):
        crystal = Crystal.from_cif_string(record["cif"], source=record["name"])
        shape = tuple(record["periodic_grid_0p2"]["shape"])
        grid = compute_bvse(crystal, _ion(record["mobile_ion"]), convention="bvlain", shape=shape, plain_sum=True)
        # The tail that the reference cuts off is what fastin adds back as a constant.
        tail = grid.field.core.tail_energy
        difference = grid.minimum - record["periodic_grid_0p2"]["grid_minimum_ev"]
        errors[record["name"]] = difference
        assert abs(difference) < 1e-3, record["name"]
        assert abs(difference) < 2e-5 + abs(tail), record["name"]
    assert len(errors) == 43
    assert np.median(np.abs(list(errors.values()))) < 5e-5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # bvlain divides by zero on top of an atom
@pytest.mark.parametrize(("name", "ion"), [("LiFePO4", "Li"), ("Li3N", "Li"), ("CaF2", "F")])
def test_bvlain_point_by_point(name, ion):
    """Same points, live, with as many neighbours as its cutoff holds (its default of 100 loses some)."""
    bvlain = pytest.importorskip("bvlain")
    crystal = Crystal.from_file(fastin.examples()[name])
    structure = crystal.to_structure()
    calculator = bvlain.Lain(verbose=False)
    calculator.read_structure(structure, oxi_check=False)
    calculator.atoms_copy.set_array("oxi_states", np.array([s.specie.oxi_state for s in structure], dtype=int))
    charge = {"Li": "Li1+", "F": "F1-"}[ion]
    peer = calculator.bvse_distribution(mobile_ion=charge, r_cut=10.0, resolution=0.4, k=1000)
    axes = [np.linspace(0.0, 1.0, n) for n in peer.shape]  # its grids repeat the end points
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    ours = build_field(crystal, ion, convention="bvlain").energy(points).reshape(peer.shape)
    low = peer < 5.0
    assert low.sum() > 50
    assert np.abs(ours - peer)[low].max() < 1e-3
