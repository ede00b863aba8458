"""Space groups of large cells: translations first, spglib on what is left."""

from __future__ import annotations

import numpy as np
import pytest

import fastin
from fastin.crystal import symmetry
from fastin.crystal.crystal import Crystal, build_crystal
from fastin.crystal.sites import Sites
from fastin.crystal.symmetry import SYMPREC, SpaceGroup, find_space_group
from fastin.errors import InputError
from fastin.runtime.openmp import _core

CELLS = {
    "Li3N": [[2, 0, 0], [0, 3, 0], [0, 0, 2]],
    "LiFePO4": [[1, 1, 0], [-1, 1, 0], [0, 0, 2]],
    "LiCoO2": [[2, 0, 0], [1, 1, 0], [0, 0, 1]],
    "Na3PS4_cubic": [[1, 0, 0], [0, 1, 0], [0, 0, 3]],  # keeps a tetragonal part of the rotations
    "CaF2": [[1, 2, 0], [0, 1, 1], [1, 0, 1]],
}


def supercell(name: str, rows: list[list[int]], noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cell, positions and kinds of a supercell whose atoms are shuffled and moved at random (A)."""
    crystal = Crystal.from_file(fastin.examples()[name])
    rng = np.random.default_rng(3)
    frac, kind = crystal.frac[crystal.first_rows], crystal.number[crystal.first_rows]
    back = np.linalg.inv(np.array(rows, float))
    steps = np.array([(a, b, c) for a in range(-4, 5) for b in range(-4, 5) for c in range(-4, 5)]) @ back
    steps = np.unique(np.round(steps - np.floor(steps + 1e-9), 9), axis=0)
    assert len(steps) == round(abs(np.linalg.det(rows)))
    cell = np.array(rows, float) @ crystal.cell
    points = (frac @ back + steps[:, None]).reshape(-1, 3)
    points = points + rng.normal(0.0, noise, points.shape) @ np.linalg.inv(cell)
    order = rng.permutation(len(points))
    return cell, np.ascontiguousarray((points % 1.0)[order] % 1.0), np.tile(kind, len(steps))[order].astype(np.int32)


def same_operations(a: SpaceGroup, b: SpaceGroup) -> bool:
    """Whether each operation of one group is one of the other, to the precision of the positions."""
    if len(a.rotations) != len(b.rotations):
        return False
    for rotation, translation in zip(a.rotations, a.translations, strict=True):
        apart = b.translations[(b.rotations == rotation).all(axis=(1, 2))] - translation
        if not len(apart) or np.abs(apart - np.rint(apart)).max(axis=1).min() > 2e-3:
            return False
    return True


def classes(orbit: np.ndarray) -> list[int]:
    """Labels in order of appearance."""
    seen: dict[int, int] = {}
    return [seen.setdefault(label, len(seen)) for label in orbit.tolist()]


@pytest.mark.parametrize("noise", [0.0, 1e-3])
@pytest.mark.parametrize("name", CELLS)
def test_supercells_have_the_group_that_spglib_finds(name, noise, monkeypatch):
    cell, frac, kind = supercell(name, CELLS[name], noise)
    want = find_space_group(cell, frac, kind)
    monkeypatch.setattr(symmetry, "LARGE", 2)
    found = find_space_group(cell, frac, kind)
    assert (found.number, found.symbol) == (want.number, want.symbol)
    assert same_operations(found, want)
    assert same_operations(want, found)
    assert classes(found.orbit) == classes(want.orbit)


def test_operations_of_a_supercell_are_a_group_that_maps_it(monkeypatch):
    monkeypatch.setattr(symmetry, "LARGE", 2)
    cell, frac, kind = supercell("LiCoO2", CELLS["LiCoO2"], 0.0)
    group = find_space_group(cell, frac, kind)
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        image = frac @ rotation.T + translation
        apart = image[:, None] - frac[None]
        apart -= np.rint(apart)
        distance = np.linalg.norm(apart @ cell, axis=2)
        assert (distance.min(axis=1) < 1e-4).all()
        assert (kind[distance.argmin(axis=1)] == kind).all()
    keys = {(tuple(r.ravel()), tuple(np.round(t * 1e4).astype(int) % 10000)) for r, t in zip(*group[:2], strict=True)}
    assert len(keys) == len(group.rotations)


def test_disordered_cell_has_no_symmetry_without_spglib(monkeypatch):
    rng = np.random.default_rng(1)
    grid = np.array(list(np.ndindex(7, 7, 7)), float) / 7
    frac = (grid + rng.uniform(-0.04, 0.04, grid.shape)) % 1.0
    kind = rng.integers(0, 3, len(frac)).astype(np.int32)
    cell = 18.0 * np.eye(3)
    assert find_space_group(cell, frac, kind).number == symmetry._from_spglib(cell, frac, kind, SYMPREC).number == 1
    monkeypatch.setattr(symmetry, "_from_spglib", None)
    group = find_space_group(cell, frac, kind)
    assert (group.number, group.symbol, len(group.rotations), group.note) == (1, "P1", 1, "")
    assert group.orbit.tolist() == list(range(len(frac)))


@pytest.mark.parametrize("operation", [-np.eye(3), np.diag([1.0, -1.0, 1.0]), np.diag([-1.0, 1.0, -1.0])])
def test_a_single_operation_is_not_overlooked(operation):
    rng = np.random.default_rng(2)
    half = rng.random((160, 3))
    frac = np.concatenate([half, half @ operation.T + [0.0, 0.5, 0.0]]) % 1.0
    kind = np.tile(rng.integers(0, 2, 160), 2).astype(np.int32)
    group = find_space_group(np.diag([19.0, 20.0, 21.0]), frac, kind)
    assert len(group.rotations) == 2
    assert len(set(group.orbit.tolist())) == 160


def test_translations_below_and_above_the_tolerance():
    """A doubled cell whose second half is moved: by less than the tolerance it is still doubled, by more no longer."""
    rng = np.random.default_rng(4)
    half = rng.random((150, 3)) * [0.5, 1.0, 1.0]
    kind = np.zeros(300, np.int32)
    cell = np.diag([40.0, 20.0, 20.0])
    for moved, count in ((0.004, 2), (0.05, 1)):
        second = half + np.array([0.5, 0.0, 0.0])
        second[::2] += [0.0, moved / 20.0, 0.0]
        group = find_space_group(cell, np.concatenate([half, second]) % 1.0, kind)
        assert len(group.translations) == count


def test_refusals():
    cell, frac, kind = np.eye(3) * 5, np.zeros((1, 3)), np.zeros(1, np.int32)
    near = _core.neighbours(cell, frac, 4.6)
    with pytest.raises(InputError, match="tolerance"):
        _core.pure_translations(cell, frac, kind, near[0], near[2], tolerance=1.0)
    with pytest.raises(InputError, match="same points"):
        _core.pure_translations(cell, frac, kind, near[0][:-1], near[2], tolerance=0.01)
    with pytest.raises(InputError, match="numbered"):
        _core.pure_translations(cell, frac, kind - 1, near[0], near[2], tolerance=0.01)


@pytest.mark.parametrize(("name", "multiple"), [("LiFePO4", 3), ("LiCl", 4), ("Li3N", 4)])
def test_network_of_a_supercell_with_and_without_symmetry(name, multiple):
    crystal = Crystal.from_file(fastin.examples()[name])
    steps = np.array(list(np.ndindex(multiple, multiple, multiple)), float)
    frac = ((crystal.frac[:, None] + steps) / multiple).reshape(-1, 3)
    count = multiple**3
    made = build_crystal(
        Sites(
            crystal.cell * multiple,
            frac,
            np.repeat(crystal.number, count),
            np.repeat(crystal.occupancy, count),
            [f"X{k}" for k in range(len(frac))],
            charge=np.repeat(crystal.charge, count),
            charge_is_certain=True,
        ),
        name,
    )
    assert len(made.rotations) == count * len(crystal.rotations)
    one, large = fastin.compute_network(crystal), fastin.compute_network(made)
    plain = fastin.compute_network(made, use_symmetry=False)
    for network in (large, plain):
        assert len(network.site_radius) == count * len(one.site_radius)
        assert len(network.edge_length) == count * len(one.edge_length)
        assert len(set(network.site_orbit.tolist())) == len(set(one.site_orbit.tolist()))
        assert len(set(network.edge_orbit.tolist())) == len(set(one.edge_orbit.tolist()))
        np.testing.assert_allclose(
            np.sort(network.edge_bottleneck_radius), np.repeat(np.sort(one.edge_bottleneck_radius), count), atol=1e-7
        )
