"""Sites, hops, legs and diffusivities do not depend on origin, order of atoms, choice of the cell or supercell."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import fastin
from fastin.bvse.field import _snapped
from fastin.crystal.crystal import Crystal
from fastin.transport.symmetry import operations

sys.path.insert(0, str(Path(__file__).parents[1]))
from transport_signature import differences, signature, variants

SHARED = Path(__file__).parents[3] / "shared" / "data" / "li_mp_ordered.jsonl.gz"
# Another number of kinds of hops, or another D, once the origin had moved: shallow wells that the grid of one origin
# showed and that of the other did not (the first two), images of one point with different energies (the others).
ONCE_DIFFERENT = ("mp-769555", "mp-1029562", "mp-850216", "mp-1565491")


@pytest.mark.parametrize("name", ["LiFePO4", "LiCoO2", "Li3N", "Li3OCl"])
def test_cells_give_one_network(name):
    structure = Crystal.from_file(fastin.examples()[name]).to_structure()
    own = signature(fastin.compute_paths(structure))
    for kind, other in variants(structure, np.random.default_rng(3)):
        assert differences(own, signature(fastin.compute_paths(other))) == [], kind


@pytest.mark.skipif(not SHARED.exists(), reason="the shared crystals are not beside the repository")
def test_origins_of_crystals_that_once_differed():
    with gzip.open(SHARED, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if any(f'"{i}"' in line[:40] for i in ONCE_DIFFERENT)]
    assert len(records) == len(ONCE_DIFFERENT)
    for record in records:
        structure = Crystal.from_cif_string(record["cif"]).to_structure()
        own = signature(fastin.compute_paths(structure, "Li"))
        moved = dict(variants(structure, np.random.default_rng(0)))["origin"]
        assert differences(own, signature(fastin.compute_paths(moved, "Li"))) == [], record["id"]


def test_operations_of_a_supercell_that_breaks_the_point_group():
    """2 x 1 x 1 cells of a cube are mapped on themselves by 16 of its 48 rotations, the crystal by all."""
    cube = Crystal.from_file(fastin.examples()["LiCl"]).to_structure()
    for multiples, own in (((1, 1, 1), 48), ((2, 1, 1), 16)):
        crystal = Crystal.from_structure(cube * multiples)
        field = fastin.compute_bvse(crystal, "Li").field
        rotations, translations = operations(crystal, field)
        turned = {tuple(np.round(r, 6).ravel()) for r in rotations}
        assert len(turned) == 48
        assert len({tuple(r.ravel()) for r in crystal.rotations}) == own
        assert len(rotations) == 48 * 4 * np.prod(multiples)
        for r, t in zip(rotations[::5], translations[::5], strict=True):
            moved = crystal.frac @ r.T + t
            gap = moved[:, None] - crystal.frac[None]
            gap -= np.round(gap)
            distance = np.linalg.norm(gap @ crystal.cell, axis=2)
            assert distance.min(axis=1).max() < 1e-6
            assert (crystal.number[distance.argmin(axis=1)] == crystal.number).all()


def test_translations_become_fractions_only_all_together():
    """One component near a fraction by chance stays: the operations would be no group."""
    rotations = np.array([np.eye(3), [[0, -1, 0], [-1, 0, 0], [0, 0, 1]]], dtype=np.int32)
    cell = 10.0 * np.eye(3)
    chance = np.array([[0.0, 0.0, 0.0], [0.25001, 0.3142, 0.50001]])
    snapped = _snapped(rotations, chance, cell)
    assert snapped[1, :2].tolist() == chance[1, :2].tolist()
    assert snapped[1, 2] == 0.5
