"""Local environments, the interstitial graph and the crystal graph."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fastin.errors import InputError
from fastin.graph.graph import (
    EDGE_SCALARS,
    NEIGHBOUR_FEATURES,
    NODE_SCALARS,
    InterstitialGraph,
    build_interstitial_graph,
    feature_names,
    nearest_atoms,
)


def brute_force(cell: np.ndarray, frac: np.ndarray, points: np.ndarray, k: int, reach: int = 6) -> np.ndarray:
    """Sorted distances to the k nearest atoms over (2 reach + 1)^3 cells."""
    r = np.arange(-reach, reach + 1)
    cells = np.array(np.meshgrid(r, r, r)).reshape(3, -1).T
    there = (frac[:, None, :] + cells[None]).reshape(-1, 3)
    d = np.linalg.norm((there[None] - points[:, None]) @ cell, axis=2)
    return np.sort(d, axis=1)[:, :k]


def chain_network(orbits: bool = True) -> SimpleNamespace:
    """Two equivalent voids along a chain in a tetragonal cell, three bottlenecks of two classes."""
    framework = SimpleNamespace(
        frac=np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
        radius=np.array([1.26, 1.26]),
        number=np.array([8, 8], np.int32),
        charge=np.array([-2.0, -2.0]),
    )
    return SimpleNamespace(
        source="chain",
        ion="Li+",
        cell=np.diag([4.0, 4.0, 6.0]),
        site_frac=np.array([[0.5, 0.0, 0.25], [0.5, 0.0, 0.75]]),
        site_radius=np.array([1.1, 1.1]),
        site_kind=np.zeros(2, np.int32),
        edge_index=np.array([[0, 0, 0], [1, 1, 0]]),
        edge_image=np.array([[0, 0, 0], [0, 0, -1], [1, 0, 0]], np.int32),
        edge_length=np.array([3.0, 3.0, 4.0]),
        edge_bottleneck_frac=np.array([[0.5, 0.0, 0.5], [0.5, 0.0, 0.0], [1.0, 0.0, 0.25]]),
        edge_bottleneck_radius=np.array([0.7, 0.7, 0.2]),
        site_orbit=np.array([0, 0]) if orbits else np.array([0, 1]),
        edge_orbit=np.array([0, 0, 1]) if orbits else np.array([0, 1, 2]),
        framework=framework,
    )


@pytest.mark.parametrize("seed", range(4))
def test_nearest_atoms_match_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = np.eye(3) * 5 + rng.normal(size=(3, 3)) * 1.2
    frac, points = rng.uniform(-1, 2, (4, 3)), rng.uniform(-1, 2, (7, 3))
    atom, image, distance = nearest_atoms(cell, frac, np.zeros(4, np.int32), points, 12)
    np.testing.assert_allclose(np.sort(distance, axis=1), brute_force(cell, frac, points, 12), atol=1e-3 + 1e-9)
    vector = (frac[atom] + image - points[:, None]) @ cell
    np.testing.assert_allclose(np.linalg.norm(vector, axis=2), distance, atol=1e-10)


def test_equidistant_species_do_not_depend_on_the_order_of_atoms() -> None:
    cell = np.eye(3) * 4.0
    frac = np.array([[0.0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    key = np.array([8, 17, 35, 9], np.int32)
    point = np.array([[0.25, 0.25, 0.25]])
    expected = None
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        atom, _, distance = nearest_atoms(cell, frac[order], key[order], point, 3)
        species = key[order][atom][0].tolist()
        assert np.ptp(distance) < 1e-9
        expected = expected or species
        assert species == expected == sorted(species)


def test_threads_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    cell, frac = np.diag([7.0, 8.0, 9.0]), rng.uniform(size=(30, 3))
    points, key = rng.uniform(size=(1500, 3)), np.zeros(30, np.int32)
    one = nearest_atoms(cell, frac, key, points, 12, num_threads=1)
    two = nearest_atoms(cell, frac, key, points, 12, num_threads=2)
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a, b)


def test_core_rejects_impossible_input() -> None:
    with pytest.raises(InputError, match="no atoms"):
        nearest_atoms(np.eye(3), np.empty((0, 3)), np.empty(0, np.int32), np.zeros((1, 3)))
    with pytest.raises(InputError, match="not finite"):
        nearest_atoms(np.eye(3), np.zeros((1, 3)), np.zeros(1, np.int32), np.full((1, 3), np.nan))
    with pytest.raises(InputError, match="skip"):
        nearest_atoms(np.eye(3), np.zeros((1, 3)), np.zeros(1, np.int32), np.zeros((2, 3)), skip=np.zeros(1, np.int32))


def test_reduced_graph_folds_the_full_one() -> None:
    graph = build_interstitial_graph(chain_network())
    assert (graph.num_nodes, graph.num_edges) == (1, 2)
    assert graph.site_multiplicity.tolist() == [2]
    assert graph.edge_multiplicity.tolist() == [2, 1]
    assert graph.edge_index.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0]]
    # Each void has one chain edge arriving in each direction, and half a side edge (only void 0 has it).
    assert graph.per_target.tolist() == [1.0, 0.5, 1.0, 0.5]
    assert graph.cover_site.tolist() == [0, 0]
    assert graph.cover_edge.tolist() == [0, 0, 1]
    full = build_interstitial_graph(chain_network(), reduce=False)
    assert (full.num_nodes, full.num_edges) == (2, 3)
    assert full.edge_index.shape == (2, 6)
    assert np.array_equal(full.edge_index[:, 3:], full.edge_index[::-1, :3])
    assert np.array_equal(full.edge_image[3:], -full.edge_image[:3])
    np.testing.assert_allclose(full.x[0][3:], graph.x[0][3:])


def test_features_follow_the_table() -> None:
    graph = build_interstitial_graph(chain_network())
    assert graph.node_features == feature_names(NODE_SCALARS)
    assert graph.x.shape == (1, len(NODE_SCALARS) + 12 * len(NEIGHBOUR_FEATURES))
    assert graph.edge_attr.shape == (4, len(EDGE_SCALARS) + 12 * len(NEIGHBOUR_FEATURES))
    row = dict(zip(graph.node_features, graph.x[0], strict=True))
    nearest = brute_force(np.diag([4.0, 4.0, 6.0]), np.array([[0, 0, 0], [0.5] * 3]), np.array([[0.5, 0, 0.25]]), 12)[0]
    assert row["radius"] == 1.1
    assert row["multiplicity"] == 2
    assert row["n0_distance"] == pytest.approx(nearest[0])
    assert row["n0_surface_distance"] == pytest.approx(nearest[0] - 1.26)
    assert row["n11_distance"] == pytest.approx(nearest[11])
    assert row["n3_atomic_number"] == 8
    assert row["n3_oxidation_state"] == -2
    assert row["n3_electronegativity"] == pytest.approx(3.44)
    assert row["n3_group"] == 16
    assert "energy" not in row


def test_energies_are_a_last_column_only_on_request() -> None:
    network = chain_network()
    graph = build_interstitial_graph(network, site_energy=np.array([-1.0, -1.0]), edge_energy=np.array([0.2, 0.2, 0.9]))
    assert graph.node_features[-1] == graph.edge_features[-1] == "energy"
    assert graph.x[0, -1] == -1.0
    assert graph.edge_attr[:, -1].tolist() == [0.2, 0.9, 0.2, 0.9]
    with pytest.raises(InputError, match="site_energy"):
        build_interstitial_graph(network, site_energy=np.zeros(5))


def test_unknown_element_is_named() -> None:
    network = chain_network()
    network.framework.number = np.array([8, 118], np.int32)
    with pytest.raises(InputError, match="118"):
        build_interstitial_graph(network)


def test_graph_is_deterministic_and_round_trips() -> None:
    one, two = build_interstitial_graph(chain_network()), build_interstitial_graph(chain_network())
    back = InterstitialGraph.from_dict(one.to_dict())
    for other in (two, back):
        assert np.array_equal(one.x, other.x)
        assert np.array_equal(one.edge_attr, other.edge_attr)
    with pytest.raises(ValueError, match="read-only"):
        one.site_radius[0] = 3.0
