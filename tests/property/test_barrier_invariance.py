"""Barriers do not depend on how the crystal is written down or computed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from structures import low_symmetry

import fastin


def both_zeros(structure: Structure, **options: object) -> NDArray[np.float64]:
    barriers = fastin.compute_barriers(structure, "Li", num_threads=1, **options)
    assert barriers.flags == ()
    values = np.array([barriers.values("network"), barriers.values("global")])
    assert (np.diff(values, axis=1) >= 0).all()
    return values


@pytest.fixture(scope="module")
def expected() -> NDArray[np.float64]:
    return both_zeros(low_symmetry())


@pytest.mark.parametrize("shift", [(0.013, 0.0, 0.0), (0.31, 0.127, 0.749)])
def test_origin(expected: NDArray[np.float64], shift: tuple[float, float, float]) -> None:
    moved = low_symmetry()
    moved.translate_sites(list(range(len(moved))), shift)
    np.testing.assert_allclose(both_zeros(moved), expected, atol=1e-3)


@pytest.mark.parametrize("scaling", [(2, 1, 1), (1, 1, 2)])
def test_supercell(expected: NDArray[np.float64], scaling: tuple[int, int, int]) -> None:
    larger = low_symmetry()
    larger.make_supercell(scaling)
    np.testing.assert_allclose(both_zeros(larger), expected, atol=1e-3)


@pytest.mark.parametrize(
    "basis", [[[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[1, 0, 0], [-1, 1, 0], [1, 0, 1]]]
)
def test_basis(expected: NDArray[np.float64], basis: list[list[int]]) -> None:
    other = low_symmetry()
    other.make_supercell(basis, to_unit_cell=True)
    assert len(other) == len(low_symmetry())
    np.testing.assert_allclose(both_zeros(other), expected, atol=1e-3)


def test_order_of_atoms(expected: NDArray[np.float64]) -> None:
    structure = low_symmetry()
    order = np.random.default_rng(5).permutation(len(structure))
    np.testing.assert_allclose(both_zeros(Structure.from_sites([structure[i] for i in order])), expected, atol=1e-4)


def test_rotation(expected: NDArray[np.float64]) -> None:
    structure = low_symmetry()
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    turned = Structure(structure.lattice.matrix @ turn, structure.species, structure.frac_coords)
    np.testing.assert_allclose(both_zeros(turned), expected, atol=1e-3)


def test_same_bits_for_any_number_of_threads() -> None:
    one, two, five = (
        fastin.compute_barriers(low_symmetry(), "Li", num_threads=threads).to_dict(paths=True) for threads in (1, 2, 5)
    )
    assert one == two == five


def test_symmetry_changes_the_work_not_the_result() -> None:
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.708), ["Li", "S"], [[0.25, 0.25, 0.25], [0, 0, 0]])
    np.testing.assert_allclose(both_zeros(structure, symmetry=False), both_zeros(structure), atol=1e-4)


def test_paths_are_the_same_mountain_pass(expected: NDArray[np.float64]) -> None:
    larger = low_symmetry()
    larger.make_supercell((1, 2, 1))
    path = fastin.compute_barriers(larger, "Li", num_threads=1).path_3d
    assert path is not None
    assert path.energy.max() == pytest.approx(expected[0, 2], abs=1e-3)
