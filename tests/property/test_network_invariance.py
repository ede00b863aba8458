"""The network does not depend on how the crystal is written down."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from network_support import assert_same_edges, assert_same_network

from fastin.network.network import network_from_arrays
from fastin.runtime.openmp import _core

# Basis changes of determinant one.
TURNS = [
    [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
    [[1, 0, 0], [-3, 1, 0], [2, -1, 1]],
    [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
    [[2, 1, 0], [1, 1, 0], [0, 5, 1]],
    [[-1, 0, 0], [0, 0, 1], [0, 1, 0]],
]


@st.composite
def crystals(draw, largest=9):
    """Cells of any shape, atoms at least 0.9 A apart; half of the time on a coarse grid (degenerate)."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n = draw(st.integers(1, largest))
    cell = np.cbrt(14.0 * n) * (np.eye(3) + draw(st.sampled_from([0.0, 0.15, 0.5])) * rng.normal(size=(3, 3)))
    assume(abs(np.linalg.det(cell)) > 5.0 * n)
    frac = rng.random((n, 3))
    if draw(st.booleans()):
        frac = np.round(frac * 4) / 4 % 1
    images = np.array([[a, b, c] for a in range(-2, 3) for b in range(-2, 3) for c in range(-2, 3)])
    d = np.linalg.norm((frac[:, None, None] - frac[None, :, None] + images) @ cell, axis=-1)
    d[np.arange(n), np.arange(n), 62] = np.inf
    assume(d.min() > 0.9)
    radius = np.round(rng.uniform(0.3, 1.7, n), draw(st.sampled_from([1, 6])))
    return cell, frac, radius


def well_separated(network):
    """Vertices that are neither merged nor nearly so: their number cannot depend on rounding."""
    return (network.edge_length > 1e-3).all()


@settings(max_examples=120)
@given(crystals(30))
def test_certificates(crystal):
    c = _core.certify_tessellation(*crystal)
    assert c["euler"] == 0
    assert c["volume_error"] < 1e-9
    assert c["empty_error"] < 1e-6
    assert c["foreign_owners"] == 0


@settings(max_examples=60)
@given(crystals(), st.tuples(*[st.floats(-2, 2)] * 3))
def test_translation(crystal, shift):
    cell, frac, radius = crystal
    one = network_from_arrays(cell, frac, radius)
    assume(well_separated(one))
    two = network_from_arrays(cell, frac + np.array(shift), radius)
    m, s, table = assert_same_network(one, two, frac_of_two=two.site_frac - np.array(shift))
    assert_same_edges(one, two, m, s, table)
    np.testing.assert_allclose(one.cell_volume, two.cell_volume, atol=1e-6)
    np.testing.assert_allclose(one.free_sphere_radii, two.free_sphere_radii, atol=1e-6)


@settings(max_examples=60)
@given(crystals(), st.integers(0, 2**32 - 1))
def test_rotation_and_permutation(crystal, seed):
    cell, frac, radius = crystal
    one = network_from_arrays(cell, frac, radius)
    assume(well_separated(one))
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # proper or improper
    order = rng.permutation(len(radius))
    two = network_from_arrays(cell @ rotation, frac[order], radius[order])
    m, s, table = assert_same_network(one, two)
    assert_same_edges(one, two, m, s, table)
    np.testing.assert_allclose(one.cell_volume[order], two.cell_volume, atol=1e-6)
    np.testing.assert_allclose(one.percolation_radii, two.percolation_radii, atol=1e-6)


@settings(max_examples=60)
@given(crystals(), st.sampled_from(TURNS))
def test_basis(crystal, turn):
    cell, frac, radius = crystal
    turn = np.array(turn)
    back = np.linalg.inv(turn)
    one = network_from_arrays(cell, frac, radius)
    assume(well_separated(one))
    two = network_from_arrays(turn @ cell, frac @ back, radius)
    m, s, table = assert_same_network(one, two, frac_of_two=two.site_frac @ turn)
    assert_same_edges(one, two, m, s, table, turn=turn)
    np.testing.assert_allclose(one.percolation_radii, two.percolation_radii, atol=1e-6)


@settings(max_examples=40)
@given(crystals(5), st.sampled_from([(2, 1, 1), (1, 3, 1), (2, 2, 1)]))
def test_supercell(crystal, multiples):
    cell, frac, radius = crystal
    one = network_from_arrays(cell, frac, radius)
    assume(well_separated(one))
    multiples = np.array(multiples)
    steps = np.array(list(np.ndindex(*multiples)))
    two = network_from_arrays(
        cell * multiples[:, None], ((frac + steps[:, None]) / multiples).reshape(-1, 3), np.tile(radius, len(steps))
    )
    n = len(steps)
    assert len(two.site_radius) == n * len(one.site_radius)
    assert len(two.edge_length) == n * len(one.edge_length)
    for name in ("site_radius", "edge_length", "edge_bottleneck_radius"):
        np.testing.assert_allclose(np.sort(np.tile(getattr(one, name), n)), np.sort(getattr(two, name)), atol=1e-6)
    np.testing.assert_allclose(two.free_sphere_radii, one.free_sphere_radii, atol=1e-6)
    np.testing.assert_allclose(two.percolation_radii, one.percolation_radii, atol=1e-6)


@settings(max_examples=40)
@given(crystals(), st.sampled_from([0.7, 1.3, 2.0]))
def test_scale(crystal, scale):
    cell, frac, radius = crystal
    one = network_from_arrays(cell, frac, radius)
    assume(well_separated(one))
    two = network_from_arrays(scale * cell, frac, scale * radius)
    assert len(two.site_radius) == len(one.site_radius)
    for name in ("site_radius", "edge_length", "edge_bottleneck_radius", "free_sphere_radii"):
        np.testing.assert_allclose(np.sort(getattr(two, name)), scale * np.sort(getattr(one, name)), atol=1e-6)


@settings(max_examples=30)
@given(crystals(), st.integers(2, 6))
def test_threads(crystal, threads):
    one, many = (network_from_arrays(*crystal, num_threads=t) for t in (1, threads))
    for name in ("site_frac", "edge_index", "edge_image", "edge_bottleneck_radius", "edge_bottleneck_frac"):
        assert getattr(one, name).tobytes() == getattr(many, name).tobytes()


@settings(max_examples=40)
@given(crystals(5), st.sampled_from(["inversion", "twofold", "centring", "mirror"]))
def test_symmetry_on_and_off(crystal, kind):
    """A crystal made symmetric by one operation: with and without its use the network is the same."""
    cell, frac, radius = crystal
    operations = {
        "inversion": (-np.eye(3, dtype=int), np.zeros(3)),
        "twofold": (np.diag([-1, -1, 1]), np.array([0, 0, 0.5])),
        "centring": (np.eye(3, dtype=int), np.full(3, 0.5)),
        "mirror": (np.diag([1, 1, -1]), np.zeros(3)),
    }
    rotation, translation = operations[kind]
    if kind in ("twofold", "mirror"):
        cell = np.diag(np.linalg.norm(cell, axis=1))
    image = (frac @ rotation.T + translation) % 1
    gap = (image - frac + 0.5) % 1 - 0.5
    special = np.linalg.norm(gap @ cell, axis=1) < 1e-9
    frac, radius = np.vstack([frac, image[~special]]), np.concatenate([radius, radius[~special]])
    images = np.array([[a, b, c] for a in range(-1, 2) for b in range(-1, 2) for c in range(-1, 2)])
    d = np.linalg.norm((frac[:, None, None] - frac[None, :, None] + images) @ cell, axis=-1)
    d[np.arange(len(frac)), np.arange(len(frac)), 13] = np.inf
    assume(d.min() > 0.5)
    rotations = np.array([np.eye(3, dtype=int), rotation])
    translations = np.array([np.zeros(3), translation])
    on, off = (
        network_from_arrays(
            cell, frac, radius, rotations=rotations, translations=translations, use_symmetry=flag, clearance=mode
        )
        for flag, mode in ((True, "generators"), (False, "generators"))
    )
    m, s, table = assert_same_network(on, off)
    assert_same_edges(on, off, m, s, table)
    np.testing.assert_allclose(on.cell_volume, off.cell_volume, atol=1e-6)
