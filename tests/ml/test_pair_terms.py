"""Constants of the mobile ion's pairs: the energy's own, summed by brute force; hidden, unknown and foreign ions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import fastin
from fastin.bvse.field import build_field
from fastin.crystal.crystal import Crystal
from fastin.ml.dataset import graphs_of
from fastin.ml.models import build_model
from fastin.ml.pair_terms import TERMS, graph_pairs, pair_terms, pairs_known, parse_ion, point_sums
from fastin.ml.store import GraphStore


def test_ions_are_read_off_their_names() -> None:
    said = {name: parse_ion(name) for name in ("Li+", "O2-", "F-", "Mg2+", "Fe2.5+")}
    assert said == {"Li+": (3, 1.0), "O2-": (8, -2.0), "F-": (9, -1.0), "Mg2+": (12, 2.0), "Fe2.5+": (26, 2.5)}


@pytest.mark.parametrize(
    ("name", "ion"), [("Li3OCl", "Li"), ("LiCoO2", "Li"), ("Na3PS4_cubic", "Na"), ("CaF2", "F"), ("Li3PO4_gamma", "O")]
)
def test_sums_over_all_atoms_are_the_bvse_energy(name: str, ion: str) -> None:
    """Differences between points, as the field adds a constant for what its cutoff removes."""
    crystal = Crystal.from_file(fastin.examples()[name])
    framework, field = crystal.framework(ion), build_field(crystal, ion)
    points = np.random.default_rng(0).uniform(size=(40, 3))
    energy = field.energy(points)
    pointer = np.array([0, len(framework.number)])
    terms = pair_terms(np.array([field.ion.symbol]), framework.number, framework.charge, pointer)
    reach = np.ceil(10.0 / np.abs(np.linalg.det(crystal.cell)) * _areas(crystal.cell)).astype(int) + 1
    images = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    vector = framework.frac[None, :, None] + images[None, None] - points[:, None, None]
    distance = np.linalg.norm(vector @ crystal.cell, axis=-1).reshape(len(points), -1)
    atom = np.repeat(np.arange(len(framework.number)), len(images))
    nearest = np.argsort(distance, axis=1)[:, : np.count_nonzero(distance < 10.0, axis=1).max()]
    own = point_sums(terms, atom[nearest], np.take_along_axis(distance, nearest, axis=1)).sum(axis=1)
    low = energy < 20.0
    shift = own[low] - energy[low]
    assert low.sum() > 5
    np.testing.assert_allclose(shift, np.median(shift), atol=0.03)


def _areas(cell: np.ndarray) -> np.ndarray:
    a, b, c = cell
    return np.linalg.norm([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)


def test_terms_of_one_structure_do_not_depend_on_the_others() -> None:
    names = ["Li3N", "Na3PS4_cubic", "CaF2"]
    entries = [graphs_of(fastin.examples()[n], crystals=False) for n in names]
    together = GraphStore.from_entries(entries)
    found = graph_pairs(together.ions, together.pointers, together.arrays)
    for k, entry in enumerate(entries):
        one = GraphStore.from_entries([entry])
        alone = graph_pairs(one.ions, one.pointers, one.arrays)
        for field, group in (("atom_terms", "atom"), ("site_pair", "site"), ("edge_pair", "edge")):
            first, last = together.pointers[group][k : k + 2]
            np.testing.assert_array_equal(found[field][first:last], alone[field])


def test_an_unknown_pair_hides_the_whole_structure() -> None:
    number, charge = np.array([8, 10], np.int16), np.array([-2.0, 0.0])
    terms = pair_terms(np.array(["Li+"]), number, charge, np.array([0, 2]))
    assert terms[0, -1] == 1.0
    assert not terms[1].any()
    assert pairs_known("Li+", number[:1], charge[:1])
    assert not pairs_known("Li+", number, charge)
    arrays = {"atom_number": number, "atom_charge": charge}
    for group in ("site", "edge"):
        arrays |= {f"{group}_neighbour": np.zeros((1, 2), np.int16), f"{group}_distance": np.full((1, 2), 2.0)}
    pointers = {"atom": np.array([0, 2]), "site": np.array([0, 1]), "edge": np.array([0, 1])}
    assert not any(values.any() for values in graph_pairs(np.array(["Li+"]), pointers, arrays).values())


def test_strength_scales_with_the_charge_that_neutrality_leaves_to_the_ion() -> None:
    """LiCl and Li2O alone have no like charge but lithium's own; the factor is counter over like of the whole."""
    number, charge = np.array([8, 15, 8, 8, 8], np.int16), np.array([-2.0, 5.0, -2.0, -2.0, -2.0])
    terms = pair_terms(np.array(["Li+"]), number, charge, np.array([0, 5]))
    like = 5.0 / np.sqrt(3) + 3.0 / np.sqrt(2)  # P5+ (n = 3), three Li+ (n = 2)
    counter = 8.0 / np.sqrt(2)
    strength = 14.4 * 5.0 / np.sqrt(2 * 3) * counter / like
    assert terms[1, list(TERMS).index("strength")] == pytest.approx(strength)


def test_hidden_constants_act_in_training_only() -> None:
    store = GraphStore.from_entries([graphs_of(fastin.examples()[n], crystals=False) for n in ("Li3N", "LiCl")])
    from fastin.ml.data import TensorStore

    batch = TensorStore(store, "interstitial").batch([0, 1])
    model = build_model("percolation", 6, {"hidden": 8, "hidden_pairs": 1.0})
    for training in (True, False):
        model.train(training)
        pairs, energies = model.seen(batch)
        _, _, *sums = model.represent(batch, pairs, energies)
        assert [bool(part.any()) for part in (pairs, energies, *sums)] == [not training] * 4
    blind = build_model("percolation", 6, {"hidden": 8, "hidden_pairs": 0.0, "hidden_energies": 1.0})
    pairs, energies = blind.train().seen(batch)
    assert pairs.all()
    assert not energies.any()


def test_the_mobile_ion_is_an_input() -> None:
    store = GraphStore.from_entries([graphs_of(fastin.examples()["Li3N"], crystals=False)])
    from fastin.ml.data import TensorStore

    torch.manual_seed(0)
    model = build_model("percolation", 6, {"hidden": 8}).eval()
    with torch.no_grad():
        model.level_correction[-1].weight.normal_()  # begins at zero
    batch = TensorStore(store, "interstitial").batch([0])
    said = model(batch)
    batch.ion = torch.tensor([[11.0, 1.0]])
    assert not torch.allclose(model(batch), said)
