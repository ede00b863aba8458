"""Degenerate lattices with noise: one answer with and without symmetry, in any order, supercell and from any origin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from noisy_lattices import PROTOTYPES, in_other_order, noisy, shifted, supercell

import fastin
from fastin.crystal.coordination import shells_of
from fastin.crystal.crystal import Crystal

NOISE = (0.0, 2e-8, 5e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 1e-3)


def facts(network: Any) -> dict[str, Any]:
    """What may not depend on how the crystal is written down; counts a unit of volume."""
    volume = float(network.cell_volume.sum())
    return {
        "sites": len(network.site_radius) / volume,
        "edges": len(network.edge_length) / volume,
        "percolation": network.percolation_radii,
        "largest": network.largest_sphere_radius,
        "probe": network.probe_radius,
        "recovery": network.recovery(),
        "dimensions": max((c.dimensionality for c in network.channels()), default=0),
    }


def assert_same(one: dict[str, Any], two: dict[str, Any], what: str) -> None:
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=0.0, atol=1e-6, err_msg=f"{what}: {name}")


@pytest.mark.parametrize("name", PROTOTYPES)
def test_one_answer(name: str) -> None:
    for k, noise in enumerate(NOISE):
        rng = np.random.default_rng([7, k])
        structure = noisy(name, noise, rng)
        network = fastin.compute_network(structure, "Li")
        here = facts(network)
        what = f"{name} with noise of {noise:g} A"
        assert_same(here, facts(fastin.compute_network(structure, "Li", use_symmetry=False)), f"{what}, no symmetry")
        assert_same(here, facts(fastin.compute_network(in_other_order(structure, rng), "Li")), f"{what}, shuffled")
        assert_same(here, facts(fastin.compute_network(shifted(structure, rng), "Li")), f"{what}, shifted")
        if len(structure) < 9:
            other = supercell(structure, rng)
            assert_same(here, facts(fastin.compute_network(other, "Li")), f"{what}, supercell")
            assert_same(
                here, facts(fastin.compute_network(other, "Li", use_symmetry=False)), f"{what}, plain supercell"
            )


@pytest.mark.parametrize("name", PROTOTYPES)
def test_the_origin_does_not_decide_what_is_rounding(name: str) -> None:
    """About the noise up to which positions are taken as symmetric: 9 voids of a perovskite, 12 from another origin."""
    for seed in range(4):
        rng = np.random.default_rng([11, seed])
        noise = float(rng.uniform(2e-7, 7e-7))
        structure = noisy(name, noise, rng)
        here = facts(fastin.compute_network(structure, "Li"))
        for _ in range(2):
            moved = shifted(structure, rng)
            assert_same(here, facts(fastin.compute_network(moved, "Li")), f"{name} with noise of {noise:g} A, shifted")


@pytest.mark.parametrize("name", PROTOTYPES)
def test_no_bottleneck_is_wider_than_its_sites(name: str) -> None:
    """Also in needles, where the vertices are badly conditioned."""
    for k, stretch in enumerate((1.0, 1.0, 25.0, 60.0)):
        structure = noisy(name, (0.0, 1e-5, 1e-5, 1e-3)[k], np.random.default_rng([8, k]))
        if stretch > 1.0:
            a, b, c = structure.lattice.abc
            structure = type(structure)(
                type(structure.lattice).orthorhombic(a, b, c + stretch), structure.species, structure.frac_coords
            )
        for symmetry in (True, False):
            network = fastin.compute_network(structure, "Li", use_symmetry=symmetry)
            narrower = network.site_radius[network.edge_index].min(axis=0)
            assert (network.edge_bottleneck_radius <= narrower).all()


def perovskite_like(distance: float) -> Any:
    """Na with six oxygens at 2.3 A and six at about 1.35 times that; Mg keeps the charge."""
    from pymatgen.core import Lattice, Structure

    near = 2.3 * np.vstack([np.eye(3), -np.eye(3)])
    directions = np.array([[1, 1, 0], [-1, -1, 0], [1, 0, -1], [-1, 0, 1], [0, 1, -1], [0, -1, 1]]) / np.sqrt(2.0)
    oxygen = np.vstack([near, distance * directions])
    cell = 14.0
    coords = np.vstack([np.zeros(3), oxygen, [7.0, 7.0, 7.0], [7.0, 7.0, 4.0]]) / cell
    return Structure(Lattice.cubic(cell), ["Na"] + ["O"] * 12 + ["Li", "Li"], coords)


def sodium_radius(distance: float) -> float:
    states = {"Na": 1.0, "O": -2.0, "Li": 1.0}
    framework = Crystal.from_structure(perovskite_like(distance), oxidation_states=states).framework("Li")
    return float(framework.radius[framework.species.index("Na+")])


def test_a_radius_is_continuous_where_a_coordination_number_changes() -> None:
    """Six neighbours leave the shell of sodium together: 1.53 A with twelve neighbours, 1.16 A with six."""
    edge = 1.35 * 2.3
    assert sodium_radius(edge * 0.99) == pytest.approx(1.53)
    assert sodium_radius(edge * 1.01) == pytest.approx(1.16)
    distances = edge * np.linspace(0.996, 1.004, 81)
    radii = np.array([sodium_radius(float(d)) for d in distances])
    assert (np.diff(radii) <= 1e-12).all()
    assert np.abs(np.diff(radii)).max() < 0.05  # over 3e-4 A; a jump would be 0.37
    noise = [sodium_radius(edge + step) for step in (-1e-5, 0.0, 1e-5)]
    assert max(noise) - min(noise) < 1.5e-3


def test_the_change_is_noted_and_shared_by_equivalent_atoms() -> None:
    crystal = Crystal.from_structure(perovskite_like(1.35 * 2.3), oxidation_states={"Na": 1.0, "O": -2.0, "Li": 1.0})
    assert 0 in shells_of(crystal).steps
    notes = crystal.framework("Li").notes
    assert any("coordination number of" in note and "between 6 and 12" in note for note in notes)
    double = perovskite_like(1.35 * 2.3 + 3e-6)
    double.make_supercell((2, 1, 1))
    framework = Crystal.from_structure(double, oxidation_states={"Na": 1.0, "O": -2.0, "Li": 1.0}).framework("Li")
    sodium = framework.radius[np.array([s == "Na+" for s in framework.species])]
    assert len(sodium) == 2
    assert sodium[0] == sodium[1]
