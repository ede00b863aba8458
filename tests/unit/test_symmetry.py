"""Space groups: the core where they are beyond doubt, else spglib, translations first in large cells."""

from __future__ import annotations

import numpy as np
import pytest

import fastin
from fastin.crystal import symmetry
from fastin.crystal.build import position_kinds
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
    keys = {
        (tuple(r.ravel()), tuple(np.round(t * 1e4).astype(int) % 10000))
        for r, t in zip(group.rotations, group.translations, strict=True)
    }
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


def primitive_cell(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cell, positions and kinds of the primitive cell of an example."""
    crystal = Crystal.from_file(fastin.examples()[name])
    kind = position_kinds(crystal.number, crystal.occupancy, crystal.charge, crystal.position)
    cell, frac = np.ascontiguousarray(crystal.cell), np.ascontiguousarray(crystal.frac[crystal.first_rows])
    near = _core.neighbours(cell, frac, 4.6)
    found = _core.pure_translations(cell, frac, kind, near[0], near[2], tolerance=1e-3)
    return found["primitive"] @ cell, np.array(found["primitive_frac"]), kind[found["first"]]


def certain(cell, frac, kind):
    return _core.space_operations(cell, frac, kind, tight=2e-4, loose=2e-2)


@pytest.mark.parametrize("name", fastin.examples())
def test_operations_of_the_core_are_those_of_spglib(name):
    crystal = Crystal.from_file(fastin.examples()[name])
    kind = position_kinds(crystal.number, crystal.occupancy, crystal.charge, crystal.position)
    want = symmetry._from_spglib(crystal.cell, crystal.frac[crystal.first_rows], kind, SYMPREC)
    assert (crystal.space_group, crystal.space_group_number) == (want.symbol, want.number)
    assert same_operations(crystal.symmetry, want)
    assert same_operations(want, crystal.symmetry)
    assert crystal.symmetry.orbit.tolist() == want.orbit.tolist()


@pytest.mark.parametrize("name", ["CaF2", "Li3N", "Li3PO4_gamma", "LiCoO2", "LiFePO4", "Na3PS4_cubic"])
def test_operations_of_the_core_in_skewed_cells(name, monkeypatch):
    """Whatever vectors span the primitive cell, it is the same group, and its name is found from the operations."""
    cell, frac, kind = primitive_cell(name)
    want = symmetry._from_spglib(cell, frac, kind, SYMPREC)
    monkeypatch.setattr(symmetry, "_from_spglib", None)
    for rows in (
        [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 2], [1, 1, 0], [1, 1, 1]],
        [[0, 1, 0], [1, 3, 1], [0, 0, 1]],
    ):
        assert abs(round(np.linalg.det(rows))) == 1
        group = find_space_group(rows @ cell, frac @ np.linalg.inv(rows) % 1.0 % 1.0, kind)
        assert (group.number, group.symbol) == (want.number, want.symbol)
        assert classes(group.orbit) == classes(want.orbit)
        assert len(group.rotations) == len(want.rotations)


def test_operations_of_the_core_map_every_position():
    cell, frac, kind = primitive_cell("LiFePO4")
    rotations, translations, orbit = certain(cell, frac, kind)
    keys = {
        (r.tobytes(), tuple(np.rint(24 * t).astype(int) % 24)) for r, t in zip(rotations, translations, strict=True)
    }
    assert (rotations[0] == np.eye(3)).all()
    reached = np.arange(len(frac))
    for rotation, translation in zip(rotations, translations, strict=True):
        apart = (frac @ rotation.T + translation)[:, None] - frac
        distance = np.linalg.norm((apart - np.rint(apart)) @ cell, axis=2)
        assert (distance.min(axis=1) < 2e-4).all()
        assert (kind[distance.argmin(axis=1)] == kind).all()
        reached = np.minimum(reached, np.arange(len(frac))[distance.argmin(axis=0)])
        for other, shift in zip(rotations, translations, strict=True):  # closed
            product = np.ascontiguousarray(rotation @ other, np.int32)
            assert (product.tobytes(), tuple(np.rint(24 * (rotation @ shift + translation)).astype(int) % 24)) in keys
    assert reached.tolist() == orbit.tolist()


def test_what_is_in_doubt_is_left_to_spglib():
    cell, frac, kind = primitive_cell("LiFePO4")
    assert len(certain(cell, frac, kind)[0]) == 8
    moved = frac.copy()
    moved[0] += [4e-3 / np.linalg.norm(cell[0]), 0.0, 0.0]  # an operation nearly fits
    assert certain(cell, moved, kind) is None
    assert len(find_space_group(cell, moved, kind).rotations) == 8
    moved[0] += [0.1 / np.linalg.norm(cell[0]), 0.0, 0.0]
    assert len(certain(cell, moved, kind)[0]) < 8
    assert certain(cell * [[1.001], [1.0], [1.0]], frac, kind) is not None  # lengths stay their own
    cubic = primitive_cell("Li3OCl")
    assert len(certain(*cubic)[0]) == 48
    assert certain(cubic[0] * [[1.0], [1.0], [1.001]], *cubic[1:]) is None  # a lattice that is nearly cubic
    assert len(certain(cubic[0] * [[1.0], [1.0], [1.02]], *cubic[1:])[0]) == 16
    assert certain(cell, (frac + 0.0123) % 1.0, kind) is None  # translations that are no fractions
    doubled = np.concatenate([frac / [2, 1, 1], frac / [2, 1, 1] + [0.5, 0.0, 0.0]])
    assert certain(cell * [[2.0], [1.0], [1.0]], doubled, np.tile(kind, 2)) is None  # not primitive


@pytest.mark.parametrize("name", ["LiCl", "LiFePO4", "Li3N"])
def test_network_and_barriers_are_those_with_spglib(name, monkeypatch):
    path = fastin.examples()[name]
    network, barriers = fastin.compute_network(path), fastin.compute_barriers(path)
    monkeypatch.setattr(symmetry, "_beyond_doubt", lambda *_: None)
    want, expected = fastin.compute_network(path), fastin.compute_barriers(path)
    np.testing.assert_allclose(np.sort(network.site_radius), np.sort(want.site_radius), atol=1e-6)
    np.testing.assert_allclose(barriers.values("network"), expected.values("network"), atol=1e-6)


def test_operations_refuse_bad_input():
    cell, frac, kind = np.eye(3) * 5, np.zeros((1, 3)), np.zeros(1, np.int32)
    for match, arguments, tight in (
        ("same points", (cell, np.zeros((2, 3)), kind), 1e-4),
        ("numbered", (cell, frac, kind - 1), 1e-4),
        ("finite", (cell, frac * np.nan, kind), 1e-4),
        ("tolerances", (cell, frac, kind), 0.5),
    ):
        with pytest.raises(InputError, match=match):
            _core.space_operations(*arguments, tight=tight, loose=2e-2)


def test_a_name_that_two_threads_ask_for() -> None:
    """The second one finds the name while the first is still at it, and the crystal is let go of."""
    identity = np.eye(3, dtype=np.int32)[None]

    class Interrupted:
        done = False

        def tobytes(self) -> bytes:
            if not self.done:
                self.done = True
                group.named()  # stands for another thread
            return identity.tobytes()

        def __len__(self) -> int:
            return 1

    crystal = symmetry._Primitive(np.eye(3), np.zeros((1, 3)), np.zeros(1, np.int32), Interrupted(), np.zeros((1, 3)))  # type: ignore[arg-type]
    group = symmetry.GroupType(primitive=crystal)
    assert group.named() == ("P1", 1)
