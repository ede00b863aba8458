"""The periodic power diagram: closed forms, certificates, degenerate and hostile cells."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from network_support import NAMED, fcc, random_crystal

from fastin.errors import GeometryError, InputError
from fastin.runtime.openmp import _core


def tessellate(cell, frac, radius, **options):
    return _core.tessellate(
        np.array(cell, float), np.array(frac, float).reshape(-1, 3), np.array(radius, float).reshape(-1), **options
    )


def certificate(cell, frac, radius):
    return _core.certify_tessellation(
        np.array(cell, float), np.array(frac, float).reshape(-1, 3), np.array(radius, float).reshape(-1)
    )


@pytest.mark.parametrize("name", NAMED)
def test_certificates_hold_on_named_crystals(name):
    c = certificate(*NAMED[name]())
    assert c["volume_error"] < 1e-12
    assert c["euler"] == 0
    assert c["power_error"] < 1e-6
    assert c["empty_error"] < 1e-9
    assert c["foreign_owners"] == 0


@pytest.mark.parametrize(
    ("name", "vertices", "edges", "faces"),
    [
        ("simple cubic", 1, 3, 3),  # cubes: eight generators at a vertex, four at an edge
        ("fcc", 12, 32, 24),  # rhombic dodecahedra: four octahedral and eight tetrahedral holes
        ("bcc", 12, 24, 14),  # truncated octahedra: generic
        ("hexagonal", 2, 5, 4),  # hexagonal prisms
    ],
)
def test_degenerate_vertices_are_one(name, vertices, edges, faces):
    c = certificate(*NAMED[name]())
    assert (c["vertices"], c["edges"], c["faces"]) == (vertices, edges, faces)


def test_generators_of_the_octahedral_hole():
    t = tessellate(*fcc())
    counts = np.diff(t["generator_start"])
    assert sorted(counts) == [4] * 8 + [6] * 4
    hole = int(np.flatnonzero((np.abs(t["vertex_frac"] - 0.5) < 1e-9).all(axis=1))[0])
    own = t["generator"][t["generator_start"][hole] : t["generator_start"][hole + 1]]
    cell, frac, _ = fcc()
    distance = np.linalg.norm((frac[own[:, 0]] + own[:, 1:] - 0.5) @ cell, axis=1)
    np.testing.assert_allclose(distance, 2.5, atol=1e-12)


def test_rounding_noise_does_not_split_vertices_and_real_distortion_does():
    cell, frac, radius = fcc()
    rng = np.random.default_rng(0)
    noise = rng.normal(size=frac.shape)
    assert len(tessellate(cell, frac + 1e-9 * noise, radius)["vertex_frac"]) == 12
    assert len(tessellate(cell, frac + 4e-3 * noise, radius)["vertex_frac"]) > 12


@pytest.mark.parametrize("seed", range(4))
def test_volumes_match_a_monte_carlo_count(seed):
    cell, frac, radius = random_crystal(seed)
    volume = tessellate(cell, frac, radius)["cell_volume"]
    rng = np.random.default_rng(seed)
    points = rng.random((20000, 3))
    step = points[:, None] - frac[None]
    images = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)])
    power = (((step[:, :, None] + images) @ cell) ** 2).sum(-1).min(-1) - radius**2
    share = np.bincount(power.argmin(1), minlength=len(frac)) / len(points)
    np.testing.assert_allclose(volume / volume.sum(), share, atol=0.012)


def test_hidden_sphere_has_no_cell():
    cell, frac, _ = fcc(8.0)
    with_hidden = np.vstack([frac, [0.03, 0.02, 0.0]])
    t = tessellate(cell, with_hidden, [*(1.5 * np.ones(4)), 0.3])
    assert t["cell_volume"][4] == 0.0
    assert t["cell_volume"].sum() == pytest.approx(512.0, rel=1e-12)
    assert 4 not in t["generator"][:, 0]
    assert certificate(cell, with_hidden, [*(1.5 * np.ones(4)), 0.3])["euler"] == 0


def test_sphere_whose_centre_lies_outside_its_cell():
    cell = 9.0 * np.eye(3)
    frac = [[0, 0, 0], [0.15, 0, 0], [0.5, 0.5, 0.5]]
    c = certificate(cell, frac, [2.0, 1.4, 1.0])
    assert c["euler"] == 0
    assert c["volume_error"] < 1e-12


@pytest.mark.parametrize("turn", [[[1, 0, 0], [7, 1, 0], [-11, 5, 1]], [[1, 40, 0], [0, 1, 0], [0, 3, 1]]])
def test_skewed_basis_gives_the_same_cells(turn):
    cell, frac, radius = random_crystal(3)
    turn = np.array(turn)
    plain, skewed = tessellate(cell, frac, radius), tessellate(turn @ cell, frac @ np.linalg.inv(turn), radius)
    np.testing.assert_allclose(plain["cell_volume"], skewed["cell_volume"], atol=1e-9)
    assert len(plain["edge_i"]) == len(skewed["edge_i"])


def test_one_atom_in_a_needle_and_in_a_huge_cell():
    for cell in (np.diag([2.0, 2.1, 60.0]), np.diag([1.5, 30.0, 33.0]), 70.0 * np.eye(3)):
        c = certificate(cell, [[0.3, 0.2, 0.9]], [1.0])
        assert c["euler"] == 0
        assert c["volume_error"] < 1e-12


def test_images_outside_the_cell_are_the_same_atoms():
    cell, frac, radius = random_crystal(5)
    moved = frac + np.arange(len(frac))[:, None] * [1, -2, 3]
    one, two = tessellate(cell, frac, radius), tessellate(cell, moved, radius)
    np.testing.assert_allclose(one["vertex_frac"], two["vertex_frac"], atol=1e-9)
    for t, f in ((one, frac), (two, moved)):
        vertex = np.repeat(np.arange(len(t["vertex_frac"])), np.diff(t["generator_start"]))
        own = t["generator"]
        d = np.linalg.norm((f[own[:, 0]] + own[:, 1:] - t["vertex_frac"][vertex]) @ cell, axis=1)
        np.testing.assert_allclose(d**2 - radius[own[:, 0]] ** 2, t["vertex_power"][vertex], atol=1e-6)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("far", [2, 150, 5000])
@pytest.mark.parametrize("turn", [np.eye(3), [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[1, 0, 0], [7, 1, 0], [-11, 5, 1]]])
def test_generators_and_owners_are_counted_from_where_atoms_are_given(large, far, turn):
    cell, frac, radius = placed(600) if large else random_crystal(3)
    frac = np.asarray(frac) @ np.linalg.inv(turn)
    frac = frac + np.random.default_rng(1).integers(-far, far + 1, frac.shape)
    cell = np.asarray(turn) @ cell
    t = tessellate(cell, frac, radius)
    corner, length = t["vertex_frac"], np.diff(t["generator_start"])
    ends = corner[t["edge_i"]], corner[t["edge_j"]] + t["edge_image"]
    shares = np.diff(t["owner_start"])
    power = t["vertex_power"]
    for part, at, want in (
        ("generator", np.repeat(corner, length, axis=0), np.repeat(power, length)),
        ("owner", np.repeat(ends[0], shares, axis=0), np.repeat(power[t["edge_i"]], shares)),
        ("owner", np.repeat(ends[1], shares, axis=0), np.repeat(power[t["edge_j"]], shares)),
    ):
        atom = t[part][:, 0]
        from_atom = (frac[atom] + t[part][:, 1:] - at) @ cell
        np.testing.assert_allclose((from_atom**2).sum(axis=1) - np.asarray(radius)[atom] ** 2, want, atol=1e-6)


def test_faces_are_shared_loops():
    cell, frac, radius = random_crystal(1)
    t = tessellate(cell, frac, radius, faces=True)
    start = t["face_start"]
    assert (np.diff(start) >= 3).all()
    for f in range(len(start) - 1):
        own = t["face_loop"][start[f] : start[f + 1]]
        x = (t["vertex_frac"][own[:, 0]] + own[:, 1:]) @ cell
        first, second = t["face_first"][f], t["face_second"][f]
        p = ((x - frac[first] @ cell) ** 2).sum(1) - radius[first] ** 2
        q = ((x - (frac[second[0]] + second[1:]) @ cell) ** 2).sum(1) - radius[second[0]] ** 2
        np.testing.assert_allclose(p, q, atol=1e-8)


def test_random_crystals_of_many_sizes_are_certified():
    rng = np.random.default_rng(11)
    for n in (1, 2, 3, 5, 9, 30, 120, 400):
        cell = np.cbrt(16.0 * n) * (np.eye(3) + 0.3 * rng.normal(size=(3, 3)))
        if abs(np.linalg.det(cell)) < n:
            cell = np.cbrt(16.0 * n) * np.eye(3)
        c = certificate(cell, rng.random((n, 3)), rng.uniform(0.0, 1.8, n))
        assert c["euler"] == 0, n
        assert c["volume_error"] < 1e-9, n
        assert c["empty_error"] < 1e-6, n


@pytest.mark.parametrize(
    ("cell", "frac", "radius", "error", "text"),
    [
        (np.eye(3), np.zeros((0, 3)), [], InputError, "no atoms"),
        (np.eye(3), [[0, 0, np.nan]], [1], InputError, "atom 0 is not finite"),
        (4 * np.eye(3), [[0, 0, 0]], [np.inf], InputError, "radius of atom 0"),
        (4 * np.eye(3), [[0, 0, 0]], [1, 2], InputError, "2 radii"),
        (4 * np.eye(3), [[0, 0, 1e12]], [1], InputError, "a million cells"),
        (4 * np.eye(3), [[0, 0, 0]], [1e4], InputError, "more than any atom's"),
        ([[1, 0, 0], [2, 0, 0], [0, 0, 1]], [[0, 0, 0]], [1], GeometryError, "zero volume"),
        (4 * np.eye(3), [[0, 0, 0], [0.001, 0, 0]], [1, 1], GeometryError, "atoms 0 and 1 overlap"),
        (4 * np.eye(3), [[0, 0, 0.999], [0, 0, 0.001], [0.5, 0.5, 0.5]], [1, 1, 1], GeometryError, "0 and 1 overlap"),
    ],
)
def test_errors_say_what_is_wrong(cell, frac, radius, error, text):
    with pytest.raises(error, match=text):
        tessellate(cell, frac, radius)


def placed(n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n spheres on a distorted grid in a skewed cell."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.cbrt(n)))
    grid = np.array(list(np.ndindex(side, side, side)), float)[:n]
    cell = np.cbrt(16.0 * n) * np.array([[1.0, 0.0, 0.0], [0.1, 0.98, 0.0], [-0.15, 0.4, 1.03]])
    return cell, (grid + rng.uniform(-0.2, 0.2, grid.shape)) / side, rng.choice([1.24, 0.9], n)


def test_large_crystals_are_swept_and_certified():
    """From 512 atoms on the walk goes atom after atom along a curve through space."""
    for n in (511, 512, 700):
        c = certificate(*placed(n))
        assert c["euler"] == c["foreign_owners"] == 0
        assert c["volume_error"] < 1e-12
        assert max(c["power_error"], c["empty_error"]) < 1e-6


def test_cells_of_a_supercell_are_those_of_the_small_cell():
    """One is followed, the other swept."""
    cell, frac, radius = placed(90)
    steps = np.array(list(np.ndindex(2, 2, 2)), float)
    small = tessellate(cell, frac, radius)
    many = ((frac[:, None] + steps) / 2).reshape(-1, 3)
    large = tessellate(2 * cell, many, np.repeat(radius, 8), faces=True)
    assert len(large["vertex_frac"]) == 8 * len(small["vertex_frac"])
    assert len(large["edge_i"]) == 8 * len(small["edge_i"])
    np.testing.assert_allclose(large["cell_volume"], np.repeat(small["cell_volume"], 8), rtol=1e-11)
    want = np.sort(np.repeat(small["vertex_power"], 8))
    np.testing.assert_allclose(np.sort(large["vertex_power"]), want, atol=1e-9)
    position = (many[large["generator"][:, 0]] + large["generator"][:, 1:]) @ (2 * cell)
    vertex = np.repeat(np.arange(len(large["vertex_frac"])), np.diff(large["generator_start"]))
    distance = np.linalg.norm(position - large["vertex_frac"][vertex] @ (2 * cell), axis=1)
    power = distance**2 - np.repeat(radius, 8)[large["generator"][:, 0]] ** 2
    np.testing.assert_allclose(power, large["vertex_power"][vertex], atol=1e-6)


def test_numbering_of_many_atoms_does_not_matter():
    cell, frac, radius = placed(600)
    order = np.random.default_rng(0).permutation(600)
    one, other = tessellate(cell, frac, radius), tessellate(cell, frac[order], radius[order])
    np.testing.assert_allclose(other["cell_volume"], one["cell_volume"][order], rtol=1e-11)
    for part in ("generator", "owner"):
        sets = []
        for found, back in ((one, np.arange(600)), (other, order)):
            start, members = found[f"{part}_start"], back[found[part][:, 0]]
            groups = [tuple(sorted(members[a:b].tolist())) for a, b in pairwise(start)]
            sets.append(sorted(groups))
            assert all(found[part][a:b].tolist() == sorted(found[part][a:b].tolist()) for a, b in pairwise(start))
        assert sets[0] == sets[1]


def test_overlap_in_a_large_crystal_names_the_atoms():
    for near, far in ((27, 413), (0, 599), (301, 302)):
        cell, frac, radius = placed(600)
        frac[far] = frac[near] + 1e-5 + np.eye(3)[near % 3]
        radius[near], radius[far] = 0.5, 2.5  # the small one is hidden
        with pytest.raises(GeometryError, match=f"atoms {near} and {far} overlap"):
            tessellate(cell, frac, radius)


def _disordered(atoms):
    """A jittered lattice in a skewed cell, atoms in any order."""
    rng = np.random.default_rng(atoms)
    places = np.stack(np.meshgrid(*[np.arange(10.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    frac = (rng.permutation(places)[:atoms] + rng.uniform(0.1, 0.9, (atoms, 3))) / 10
    cell = np.array([[24.0, 0, 0], [5.0, 25.0, 0], [-4.0, 3.0, 26.0]])
    return cell, frac, rng.uniform(0.5, 1.6, atoms)


@pytest.mark.parametrize("atoms", [511, 512, 513, 900])
def test_threads_change_nothing(atoms):
    """Also the network, with and without face centres, which is made while the diagram is."""
    cell, frac, radius = _disordered(atoms)
    one = np.eye(3, dtype=np.int32)[None], np.zeros((1, 3))
    for compute in (
        lambda n: tessellate(cell, frac, radius, faces=True, num_threads=n),
        lambda n: _core.network(cell, frac, radius, *one, num_threads=n),
        lambda n: _core.network(cell, frac, radius, *one, face_centers=True, generators=True, num_threads=n),
    ):
        alone = compute(1)
        for threads in (2, 3):
            found = compute(threads)
            assert all(np.array_equal(found[name], alone[name]) for name in alone)


def test_network_measures_the_generators_of_its_diagram():
    """The lists that `tessellate` keeps, taken apart with numpy, give the clearances that the network is made with."""
    cell, frac, radius = _disordered(600)
    t = tessellate(cell, frac, radius)
    network = _core.network(
        cell, frac, radius, np.eye(3, dtype=np.int32)[None], np.zeros((1, 3)), generators=True, num_threads=2
    )
    np.testing.assert_array_equal(network["site_frac"], t["vertex_frac"])
    atoms, images = t["generator"][:, 0], t["generator"][:, 1:]
    vertex = np.repeat(np.arange(len(t["vertex_frac"])), np.diff(t["generator_start"]))
    offset = (frac[atoms] + images - t["vertex_frac"][vertex]) @ cell
    clearance = np.minimum.reduceat(np.linalg.norm(offset, axis=1) - radius[atoms], t["generator_start"][:-1])
    np.testing.assert_allclose(network["site_radius"], clearance, atol=1e-10)
    np.testing.assert_array_equal(network["edge_index"], np.array([t["edge_i"], t["edge_j"]]))
    start = t["vertex_frac"][t["edge_i"]] @ cell
    along = (t["vertex_frac"][t["edge_j"]] + t["edge_image"]) @ cell - start
    edge = np.repeat(np.arange(len(start)), np.diff(t["owner_start"]))
    centre = (frac[t["owner"][:, 0]] + t["owner"][:, 1:]) @ cell - start[edge]
    step = np.clip((centre * along[edge]).sum(1) / (along[edge] ** 2).sum(1), 0, 1)
    distance = np.linalg.norm(centre - step[:, None] * along[edge], axis=1) - radius[t["owner"][:, 0]]
    narrowest = np.minimum.reduceat(distance, t["owner_start"][:-1])
    np.testing.assert_allclose(network["edge_bottleneck_radius"], narrowest, atol=1e-10)
