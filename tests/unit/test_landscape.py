"""The landscape's own network: sites, saddles, orbits, merge tree, consistency with the barriers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.bvse.grid import EnergyGrid, compute_bvse
from fastin.bvse.landscape import Landscape, compute_landscape
from fastin.errors import InputError


def lithium_chloride() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def lithium_nitride() -> Structure:
    sites = [[0, 0, 0], [0, 0, 0.5], [1 / 3, 2 / 3, 0]]
    return Structure.from_spacegroup("P6/mmm", Lattice.hexagonal(3.648, 3.875), ["N", "Li", "Li"], sites)


@pytest.fixture(scope="module")
def rocksalt_grid() -> EnergyGrid:
    return compute_bvse(lithium_chloride(), "Li", convention="bvlain", num_threads=1)


@pytest.fixture(scope="module")
def rocksalt(rocksalt_grid: EnergyGrid) -> Landscape:
    return compute_landscape(rocksalt_grid)


def test_rocksalt_known_by_symmetry(rocksalt: Landscape) -> None:
    # Octahedral sites (4 a cell) at the lithium positions, tetrahedral ones (8); each octahedron shares its 8 faces
    # with tetrahedra, so 4 x 8 hops, all equivalent.
    assert rocksalt.site_multiplicity.tolist() == [4] * 4 + [8] * 8
    assert rocksalt.edge_multiplicity.tolist() == [32] * 32
    octahedra = rocksalt.site_frac[:4]
    np.testing.assert_allclose(np.round(octahedra * 2) / 2, octahedra, atol=1e-4)
    np.testing.assert_allclose(np.abs(rocksalt.site_frac[4:] * 4 % 2), 1.0, atol=1e-3)
    first, second = rocksalt.edge_index
    assert (first < 4).all()
    assert (second >= 4).all()
    assert np.bincount(second)[4:].tolist() == [4] * 8
    np.testing.assert_allclose(rocksalt.edge_length, 5.13 * np.sqrt(3) / 4, atol=1e-3)


def test_levels_equal_the_barriers(rocksalt: Landscape, rocksalt_grid: EnergyGrid) -> None:
    barriers = fastin.compute_barriers(rocksalt_grid)
    np.testing.assert_allclose(rocksalt.levels, barriers.levels, atol=1e-5)
    grid = compute_bvse(lithium_nitride(), "Li", num_threads=1)
    np.testing.assert_allclose(compute_landscape(grid).levels, fastin.compute_barriers(grid).levels, atol=1e-5)


def test_saddles_and_sites_are_stationary() -> None:
    grid = compute_bvse(lithium_nitride(), "Li", num_threads=1)
    assert grid.field is not None
    landscape = compute_landscape(grid)
    energy, gradient, hessian = grid.field.derivatives(landscape.site_frac)
    np.testing.assert_allclose(energy, landscape.site_energy, atol=1e-7)
    assert np.abs(gradient).max() < 1e-3
    assert (np.linalg.eigvalsh(hessian) > 0).all()
    energy, gradient, hessian = grid.field.derivatives(landscape.edge_saddle_frac[landscape.edge_stationary])
    np.testing.assert_allclose(energy, landscape.edge_energy[landscape.edge_stationary], atol=1e-7)
    assert np.abs(gradient).max() < 1e-3
    assert (np.count_nonzero(np.linalg.eigvalsh(hessian) < 0, axis=1) == 1).all()
    assert (landscape.barrier_forward > 0).all()
    assert (landscape.barrier_backward > 0).all()


def test_sites_that_the_grid_hides() -> None:
    # In this elpasolite (primitive cell) twelve sites lie in pairs 0.48 A apart, two or three grid points: the grid
    # has one minimum for a pair, and the pass inside the pair must be found all the same.
    elpasolite = Structure.from_spacegroup(
        "Fm-3m",
        Lattice.cubic(8.16851),
        ["Li", "Nb", "Na", "F"],
        [[0.5, 0.5, 0.5], [0, 0, 0], [0.25, 0.25, 0.25], [0.25581, 0, 0]],
    ).get_primitive_structure()
    grid = compute_bvse(elpasolite, "Li", num_threads=1)
    landscape, barriers = compute_landscape(grid), fastin.compute_barriers(grid)
    assert np.isfinite(barriers.e3d)
    assert landscape.site_multiplicity.max() == 12
    np.testing.assert_allclose(landscape.levels, barriers.levels, atol=1e-3)


def test_merge_tree(rocksalt: Landscape) -> None:
    # Every site but the deepest of its component merges at the one saddle energy there is.
    saddle = rocksalt.edge_energy[0]
    finite = np.isfinite(rocksalt.site_merge_energy)
    assert np.count_nonzero(~finite) == 1
    assert not finite[0]
    np.testing.assert_allclose(rocksalt.site_merge_energy[finite], saddle, atol=1e-9)


def test_volumes_and_cutoff(rocksalt: Landscape, rocksalt_grid: EnergyGrid) -> None:
    below = np.count_nonzero(rocksalt_grid.values <= rocksalt.cutoff) / rocksalt_grid.values.size
    assert rocksalt.site_volume.sum() == pytest.approx(below, abs=1e-12)
    low = compute_landscape(rocksalt_grid, energy_cutoff=0.2)
    assert len(low.edge_energy) == 0
    assert len(low.site_energy) == 4
    assert (low.levels == np.inf).all()
    high = compute_landscape(rocksalt_grid, energy_cutoff=3.0)
    assert len(high.edge_energy) >= 32
    np.testing.assert_allclose(high.levels, rocksalt.levels, atol=1e-6)


def test_edges_are_listed_once(rocksalt: Landscape) -> None:
    first, second = rocksalt.edge_index
    for i, j, image in zip(first, second, rocksalt.edge_image.tolist(), strict=True):
        assert i < j or (i == j and tuple(image) > (0, 0, 0))
    assert ((rocksalt.site_frac >= 0) & (rocksalt.site_frac < 1)).all()


def test_plain_types_and_errors(rocksalt: Landscape, rocksalt_grid: EnergyGrid) -> None:
    out = json.loads(json.dumps(rocksalt.to_dict(), allow_nan=False))
    assert out["site_merge_energy"][0] is None
    assert "12 sites in 2 classes, 32 hops in 1" in repr(rocksalt)
    with pytest.raises(InputError, match="energy_cutoff"):
        compute_landscape(rocksalt_grid, energy_cutoff=-1.0)
    with pytest.raises(InputError, match="already fixed"):
        compute_landscape(rocksalt_grid, "Li")
    with pytest.raises(ValueError, match="read-only"):
        rocksalt.site_energy[0] = 0.0
