"""Energy grids: against a plain numpy sum in all three conventions, symmetry, disorder, invariances, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.special import erfc

import fastin
from fastin.bvse.field import _symmetric_cell
from fastin.bvse.grid import build_field, compute_bvse, fill_grid, grid_shape
from fastin.bvse.pairs import COULOMB, element, softbv_radius
from fastin.bvse.parameters import find_pair
from fastin.crystal.crystal import Crystal
from fastin.errors import InputError, MissingParameterError


def olivine() -> Structure:
    """LiFePO4, Streltsov et al., Acta Cryst. B49, 147 (1993)."""
    lattice = Lattice.orthorhombic(10.332, 6.010, 4.692)
    species = ["Li+", "Fe2+", "P5+", "O2-", "O2-", "O2-"]
    coords = [
        [0, 0, 0],
        [0.28222, 0.25, 0.97472],
        [0.09482, 0.25, 0.41820],
        [0.09678, 0.25, 0.74279],
        [0.45710, 0.25, 0.20602],
        [0.16558, 0.04646, 0.28478],
    ]
    return Structure.from_spacegroup("Pnma", lattice, species, coords)


def rocksalt(cation: str = "Li+", anion: str = "Cl-", a: float = 5.13) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def fluorite() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.463), ["Ca2+", "F-"], [[0, 0, 0], [0.25, 0.25, 0.25]])


def plain_energy(structure: Structure, symbol: str, charge: int, convention: str, points, cutoff: float = 14.0):
    """The definition, image by image, float64, hard cutoff."""
    number = {"Li": 3, "F": 9}[symbol]
    sites = [(s.specie.Z, float(s.specie.oxi_state), s.frac_coords) for s in structure]
    weighted = [(abs(q) / math.sqrt(element(z).n), q) for z, q, _ in sites]
    like = sum(w for w, q in weighted if q * charge > 0)
    counter = sum(w for w, q in weighted if q * charge < 0)
    scaling = 1.0 if convention == "bvlain" else counter / like
    energy = np.zeros(len(points))
    reach = [math.ceil(cutoff * r / (2 * math.pi)) + 1 for r in structure.lattice.reciprocal_lattice.abc]
    shifts = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    for z, q, frac in sites:
        if z == number:
            continue
        delta = (frac + shifts)[None] - np.asarray(points)[:, None]
        r = np.linalg.norm(delta @ structure.lattice.matrix, axis=-1)
        r = np.where(r < cutoff, r, np.inf)
        if q * charge < 0:
            pair = (
                find_pair(symbol, charge, element(z).symbol, int(q))
                if charge > 0
                else find_pair(element(z).symbol, int(q), symbol, charge)
            )
            depth = pair.d0 if convention == "softbv" else pair.d0 / 2
            energy += (depth * ((np.exp((pair.rmin - r) / pair.b) - 1) ** 2 - 1)).sum(axis=1)
        else:
            radii = (
                element(number).covalent_radius + element(z).covalent_radius
                if convention == "bvlain"
                else softbv_radius(number, charge) + softbv_radius(z, q)
            )
            strength = COULOMB * abs(charge * q) / math.sqrt(element(number).n * element(z).n)
            energy += (scaling * strength / r * erfc(r / (0.74 * radii))).sum(axis=1)
    return energy


@pytest.mark.parametrize("convention", ["spse", "bvlain", "softbv"])
@pytest.mark.parametrize(("structure", "symbol", "charge"), [(olivine(), "Li", 1), (fluorite(), "F", -1)])
def test_definition(structure, symbol, charge, convention):
    grid = compute_bvse(structure, symbol, convention=convention, resolution=0.4, num_threads=1)
    rng = np.random.default_rng(7)
    index = rng.integers(0, grid.shape, size=(40, 3))
    points = index / np.array(grid.shape)
    want = plain_energy(structure, symbol, charge, convention, points)
    got = grid.values[tuple(index.T)]
    near = want < 20
    assert near.sum() > 20
    np.testing.assert_allclose(got[near], want[near], atol=1e-4)
    np.testing.assert_allclose(grid.field.energy(points)[near], want[near], atol=5e-5)


def test_float32_sum_is_within_a_tenth_of_a_millielectronvolt():
    for source, ion in ((olivine(), "Li"), (rocksalt(), "Li"), (fluorite(), "F")):
        grid = compute_bvse(source, ion, resolution=0.3)
        axes = [np.arange(n) / n for n in grid.shape]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        exact = grid.field.energy(points).reshape(grid.shape)
        error = np.abs(grid.values - exact)
        assert error[exact < 20].max() < 1e-4
        assert (error / np.abs(exact))[exact >= 20].max(initial=0.0) < 1e-5


@pytest.mark.parametrize("source", [olivine(), rocksalt(), fluorite()])
def test_symmetry_changes_nothing(source):
    ion = "F" if "F" in source.symbol_set else "Li"
    reduced = compute_bvse(source, ion, resolution=0.25)
    plain = compute_bvse(source, ion, resolution=0.25, symmetry=False)
    assert reduced.shape == plain.shape
    low = plain.values < 20
    assert np.abs(reduced.values - plain.values)[low].max() < 1e-4


def test_grid_is_commensurate_where_it_costs_nothing():
    field = build_field(Crystal.from_structure(rocksalt(a=5.13)), "Li")
    assert grid_shape(field, 0.2) == (26, 26, 26)  # 26 planes already fit the halves of F
    assert len(field.rotations) == 192
    olivine_field = build_field(Crystal.from_structure(olivine()), "Li")
    assert grid_shape(olivine_field, 0.2) == (52, 32, 24)
    for resolution in (0.17, 0.33, 0.61):
        shape = grid_shape(olivine_field, resolution)
        assert (np.linalg.norm(olivine_field.cell, axis=1) / shape <= resolution + 1e-9).all()
    with pytest.raises(InputError, match="positive"):
        grid_shape(field, 0.0)
    with pytest.raises(InputError, match="too large"):
        grid_shape(field, 0.001)


@pytest.mark.parametrize("rounding", [1e-5, 4e-5])
def test_cells_of_rounded_lengths_and_angles(rounding):
    """Rotations keep the metric of such a cell but for its last digits; a point and its images have one energy."""
    structure = rocksalt(a=5.13).get_primitive_structure()
    lengths, angles = np.array(structure.lattice.abc), np.array(structure.lattice.angles)
    lattice = Lattice.from_parameters(*(lengths + rounding * np.array([1.0, -1.0, 0.3])), *(angles + rounding))
    crystal = Crystal.from_structure(Structure(lattice, structure.species, structure.frac_coords))
    field = build_field(crystal, "Li", plain_sum=True)
    assert len(field.rotations) == 48
    np.testing.assert_array_equal(field.cell, crystal.cell)  # as given
    for resolution in (0.2, 0.31):
        reduced = fill_grid(field, resolution, num_threads=1)
        plain = fill_grid(field, resolution, symmetry=False, num_threads=1)
        assert np.abs(reduced - plain)[plain < 20].max() < 1e-4
    points = np.random.default_rng(5).random((200, 3))
    energy = field.energy(points)
    for rotation, translation in zip(field.rotations[::7], field.translations[::7], strict=True):
        image = field.energy(points @ rotation.T + translation)
        np.testing.assert_allclose(image[energy < 20], energy[energy < 20], atol=1e-9)
    # what was taken out is a strain of the size of the rounding, no rotation
    strain = np.linalg.solve(crystal.cell, _symmetric_cell(crystal.cell, field.rotations)) - np.eye(3)
    assert 0.1 * rounding < np.abs(strain).max() < 2.0 * rounding
    np.testing.assert_allclose(strain, strain.T, atol=1e-12)
    exact = Crystal.from_structure(structure)
    np.testing.assert_allclose(_symmetric_cell(exact.cell, field.rotations), exact.cell, atol=1e-14)


def test_supercells_keep_every_operation():
    """5,184 operations on 216 atoms: translations and rotations are averaged apart."""
    structure = rocksalt(a=5.13)
    structure.make_supercell(3)
    field = build_field(Crystal.from_structure(structure), "Li")
    assert len(field.rotations) == 192 * 27
    reduced = fill_grid(field, 0.5, num_threads=1)
    plain = fill_grid(field, 0.5, symmetry=False, num_threads=1)
    assert np.abs(reduced - plain)[plain < 20].max() < 1e-4
    structure.translate_sites([150], [0.0, 0.0, 0.002 / 15.39])  # within spglib's precision, not within ours
    broken = build_field(Crystal.from_structure(structure), "Li")
    assert len(broken.rotations) <= 96
    plain = fill_grid(broken, 0.5, symmetry=False)
    assert np.abs(fill_grid(broken, 0.5) - plain)[plain < 20].max() < 1e-4


def test_operations_that_atoms_break_are_dropped():
    structure = olivine()
    structure.translate_sites([8], [0.004, 0.0, 0.0])  # 0.04 A: spglib sees it too
    reduced = compute_bvse(structure, "Li", resolution=0.3)
    plain = compute_bvse(structure, "Li", resolution=0.3, symmetry=False)
    assert np.abs(reduced.values - plain.values)[plain.values < 20].max() < 1e-4


def test_threads_give_the_same_bits():
    one = compute_bvse(olivine(), "Li", num_threads=1)
    for threads in (2, 3, 7):
        assert np.array_equal(one.values, compute_bvse(olivine(), "Li", num_threads=threads).values)


def test_origin_order_and_supercell_do_not_matter():
    base = olivine()
    grid = compute_bvse(base, "Li", shape=(40, 24, 20))
    moved = base.copy()
    moved.translate_sites(range(len(moved)), [5 / 40, 7 / 24, 11 / 20])
    rolled = compute_bvse(moved, "Li", shape=(40, 24, 20))
    low = grid.values < 20
    np.testing.assert_allclose(np.roll(rolled.values, (-5, -7, -11), (0, 1, 2))[low], grid.values[low], atol=1e-4)
    order = np.random.default_rng(3).permutation(len(base))
    shuffled = compute_bvse(Structure.from_sites([base[i] for i in order]), "Li", shape=(40, 24, 20))
    np.testing.assert_allclose(shuffled.values[low], grid.values[low], atol=1e-4)
    twice = compute_bvse(base.copy().make_supercell([1, 1, 2], in_place=False), "Li", shape=(40, 24, 40))
    np.testing.assert_allclose(twice.values[:, :, :20][low], grid.values[low], atol=1e-4)
    np.testing.assert_allclose(twice.values[:, :, 20:][low], grid.values[low], atol=1e-4)


def test_basis_does_not_matter():
    base = rocksalt()
    primitive = base.get_primitive_structure()
    a, b = build_field(Crystal.from_structure(base), "Li"), build_field(Crystal.from_structure(primitive), "Li")
    points = np.random.default_rng(5).random((50, 3))
    cart = points @ base.lattice.matrix
    # the primitive cell comes rotated: compare through distances to the origin atom's shell is not enough, so map
    # fractional coordinates of the conventional cell onto the primitive basis by its own vectors
    skewed = Structure(
        Lattice(np.array([[1, 0, 0], [3, 1, 0], [-2, 1, 1]]) @ base.lattice.matrix),
        base.species,
        base.cart_coords,
        coords_are_cartesian=True,
    )
    c = build_field(Crystal.from_structure(skewed), "Li")
    np.testing.assert_allclose(c.energy(cart @ np.linalg.inv(skewed.lattice.matrix)), a.energy(points), atol=1e-9)
    assert fill_grid(a, shape=(20, 20, 20)).min() == pytest.approx(float(fill_grid(b, 0.1).min()), abs=0.02)


def test_occupancies_weigh():
    lattice = Lattice.cubic(5.13)
    half = Structure.from_spacegroup("Fm-3m", lattice, [{"Li+": 1.0}, {"Cl-": 0.5, "Br-": 0.5}], [[0, 0, 0], [0.5] * 3])
    values = [
        compute_bvse(s, "Li", convention="bvlain", shape=(24, 24, 24)).values
        for s in (rocksalt(anion="Cl-"), rocksalt(anion="Br-"), half)
    ]
    low = np.maximum(values[0], values[1]) < 20
    np.testing.assert_allclose(0.5 * (values[0] + values[1])[low], values[2][low], atol=1e-4)


def test_mobile_sites_do_not_matter_in_the_unscaled_convention():
    base, empty = olivine(), olivine()
    empty.remove_species(["Li+"])
    kept = compute_bvse(base, "Li", convention="bvlain", shape=(30, 18, 14))
    guest = compute_bvse(
        empty, "Li", convention="bvlain", shape=(30, 18, 14), oxidation_states={"Fe": 2, "P": 5, "O": -2}
    )
    assert guest.ion.guest
    np.testing.assert_allclose(guest.values[kept.values < 20], kept.values[kept.values < 20], atol=1e-4)


def test_point_on_an_atom_is_finite():
    grid = compute_bvse(rocksalt(anion="Cl-"), "Li", shape=(2, 2, 2))
    assert np.isfinite(grid.values).all()
    assert grid.values.max() <= 1000.0
    fluoride = compute_bvse(fluorite(), "F", shape=(4, 4, 4))
    assert np.isfinite(fluoride.values).all()
    energy, gradient, hessian = grid.field.derivatives([[0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])
    assert np.isfinite(energy).all()
    assert np.isfinite(gradient).all()
    assert np.isfinite(hessian).all()


def test_derivatives_are_those_of_the_energy():
    field = build_field(Crystal.from_structure(olivine()), "Li")
    points = np.random.default_rng(11).random((200, 3))
    points = points[field.energy(points) < 5.0][:20]
    energy, gradient, hessian = field.derivatives(points)
    np.testing.assert_allclose(energy, field.energy(points), atol=1e-12)
    inverse = np.linalg.inv(field.cell)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-4
        up, down = field.derivatives(points + step @ inverse), field.derivatives(points - step @ inverse)
        np.testing.assert_allclose((up[0] - down[0]) / 2e-4, gradient[:, axis], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-4, hessian[:, axis], rtol=1e-4, atol=1e-3)


def test_cutoff_is_converged_and_tail_returned():
    crystal = Crystal.from_structure(rocksalt("Li+", "Br-", 5.5))
    points = np.random.default_rng(2).random((100, 3))
    energies = {cutoff: build_field(crystal, "Li", cutoff=cutoff).energy(points) for cutoff in (8.0, 10.0, 20.0)}
    low = energies[20.0] < 10
    assert np.abs(energies[10.0] - energies[20.0])[low].max() < 1e-4
    assert np.abs(energies[8.0] - energies[20.0])[low].max() < 1e-3


def test_interpolation_is_periodic_and_exact_at_the_points():
    grid = compute_bvse(olivine(), "Li", resolution=0.2)
    index = np.random.default_rng(4).integers(0, grid.shape, size=(60, 3))
    on_points = grid.interpolate(index / np.array(grid.shape) + [3, -2, 1])
    np.testing.assert_allclose(on_points, grid.values[tuple(index.T)], rtol=1e-6, atol=1e-6)
    points = np.random.default_rng(6).random((400, 3))
    exact = grid.field.energy(points)
    low = exact < 1.0
    assert low.sum() > 20
    assert np.abs(grid.interpolate(points) - exact)[low].max() < 0.05
    with pytest.raises(InputError, match="shape"):
        grid.interpolate([0.1, 0.2, 0.3])


@pytest.mark.parametrize("shape", [(7, 5, 9), (31, 64, 1), (2, 3, 4)])
def test_resampling_is_interpolation_at_the_new_points(shape):
    grid = compute_bvse(olivine(), "Li+", resolution=0.4)
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    resampled = grid.resample(shape)
    assert resampled.shape == shape
    np.testing.assert_allclose(resampled.ravel(), grid.interpolate(points), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(grid.resample(grid.shape), grid.values.astype(float))
    with pytest.raises(InputError, match="three numbers"):
        grid.resample((3, 0, 3))


def test_minimum():
    grid = compute_bvse(olivine(), "Li", resolution=0.2)
    assert grid.minimum == grid.values.min()
    assert grid.field.energy(grid.minimum_frac[None])[0] == pytest.approx(grid.minimum, abs=1e-4)
    assert not grid.values.flags.writeable
    assert repr(grid).startswith("EnergyGrid(")
    assert "52 x 32 x 24" in repr(grid)


def test_notes_name_derived_pairs():
    phosphide = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.9), ["Li+", "Li+", "P3-"], [[0.25] * 3, [0.5] * 3, [0, 0, 0]]
    )
    grid = compute_bvse(phosphide, "Li", resolution=0.4)
    assert any("Li+ - P3-" in note and "derived" in note for note in grid.notes)


def test_errors_name_the_cause():
    base = olivine()
    with pytest.raises(InputError, match="convention"):
        compute_bvse(base, "Li", convention="vesta")
    with pytest.raises(InputError, match="cutoff"):
        compute_bvse(base, "Li", cutoff=1.0)
    with pytest.raises(InputError, match="screening"):
        compute_bvse(base, "Li", screening=0.0)
    with pytest.raises(InputError, match="shape"):
        compute_bvse(base, "Li", shape=(0, 3, 3))
    with pytest.raises(InputError, match="resolution"):
        compute_bvse(base, "Li", resolution=math.nan)
    with pytest.raises(ValueError, match="num_threads"):
        compute_bvse(base, "Li", num_threads=0)
    carbide = Structure(
        Lattice.cubic(4.5),
        ["Li+", "Li+", "Li+", "Li+", "C4-"],
        [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5] * 3, [0] * 3],
    )
    with pytest.raises(MissingParameterError, match=r"Li\+ - C4-"):
        compute_bvse(carbide, "Li")


def test_public_names():
    assert fastin.compute_bvse is compute_bvse
    assert isinstance(compute_bvse(rocksalt(), resolution=1.0), fastin.EnergyGrid)
