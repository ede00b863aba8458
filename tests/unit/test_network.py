"""InterstitialNetwork: sites, bottlenecks, percolation, channels, orbits, face centres, round trips, errors."""

from __future__ import annotations

import doctest
import json

import numpy as np
import pytest
from network_support import NAMED, assert_same_edges, assert_same_network, bcc, fcc, random_crystal, simple_cubic

import fastin.network.network
from fastin.errors import GeometryError, InputError
from fastin.network.exact import clearance_at, exact_free_spheres
from fastin.network.network import InterstitialNetwork, network_from_arrays


def cubic_operations():
    """The 48 operations of m-3m at the origin."""
    out = []
    for p in ([0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]):
        for k in range(8):
            signs = [1 - 2 * (k >> b & 1) for b in range(3)]
            out.append(np.eye(3, dtype=int)[p] * np.array(signs)[:, None])
    return np.array(out), np.zeros((48, 3))


def test_simple_cubic_closed_form():
    n = network_from_arrays(*simple_cubic())
    np.testing.assert_allclose(n.site_frac, [[0.5, 0.5, 0.5]], atol=1e-12)
    assert n.site_radius[0] == pytest.approx(2 * np.sqrt(3) - 1, abs=1e-12)
    np.testing.assert_array_equal(n.edge_image, [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(n.edge_bottleneck_radius, 2 * np.sqrt(2) - 1, atol=1e-12)
    np.testing.assert_allclose(n.free_sphere_radii, 2 * np.sqrt(2) - 1, atol=1e-12)
    np.testing.assert_allclose(n.percolation_radii, 2 * np.sqrt(2) - 1, atol=1e-12)
    assert n.included_sphere_along_free_path == n.largest_sphere_radius


@pytest.mark.parametrize("name", NAMED)
def test_conventions_hold(name):
    n = network_from_arrays(*NAMED[name]())
    i, j = n.edge_index
    keys = list(zip(i.tolist(), j.tolist(), map(tuple, n.edge_image.tolist()), strict=True))
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert all(a < b or (a == b and s > (0, 0, 0)) for a, b, s in keys)
    for f in (n.site_frac, n.edge_bottleneck_frac):
        assert (f >= 0).all()
        assert (f < 1).all()
    np.testing.assert_allclose(np.linalg.norm(n.edge_vectors(), axis=1), n.edge_length, atol=1e-9)
    ends = np.minimum(n.site_radius[i], n.site_radius[j])
    assert (n.edge_bottleneck_radius <= ends + 1e-9).all()
    assert n.percolation_radii[0] >= n.percolation_radii[1] >= n.percolation_radii[2]
    assert n.percolation_radii[0] == n.free_sphere_radii.max()
    assert not n.site_frac.flags.writeable
    assert not n.edge_image.flags.writeable


@pytest.mark.parametrize("seed", range(3))
def test_clearance_is_that_of_all_atoms(seed):
    cell, frac, radius = random_crystal(seed, 20)
    radius = radius * np.where(np.arange(20) % 3 == 0, 1.4, 0.6)
    n = network_from_arrays(cell, frac, radius)
    np.testing.assert_allclose(n.site_radius, clearance_at(n.framework, n.site_frac @ cell), atol=1e-9)
    np.testing.assert_allclose(
        n.edge_bottleneck_radius, clearance_at(n.framework, n.edge_bottleneck_frac @ cell), atol=1e-9
    )
    # and it is the smallest on the segment
    i, _ = n.edge_index
    for t in np.linspace(0, 1, 23):
        along = clearance_at(n.framework, n.site_frac[i] @ cell + t * n.edge_vectors())
        assert (along >= n.edge_bottleneck_radius - 1e-9).all()
    owners = network_from_arrays(cell, frac, radius, clearance="generators")
    assert (owners.site_radius >= n.site_radius - 1e-9).all()
    assert (owners.site_radius > n.site_radius + 1e-3).any()  # spheres that own nothing there are nearer


def test_free_spheres_of_an_anisotropic_crystal():
    # Rods along c in a square lattice: wide channels along c, windows of another size across.
    cell = np.diag([5.0, 5.0, 2.5])
    n = network_from_arrays(cell, [[0, 0, 0]], [1.0])
    across = np.sqrt(2.5**2 + 1.25**2) - 1.0
    along = np.sqrt(2 * 2.5**2) - 1.0
    np.testing.assert_allclose(n.free_sphere_radii, [across, across, along], atol=1e-12)
    np.testing.assert_allclose(n.percolation_radii, [along, across, across], atol=1e-12)
    assert [c.dimensionality for c in n.channels((across + along) / 2)] == [1]
    assert [c.dimensionality for c in n.channels(across - 1e-6)] == [3]
    assert n.channels(along + 1e-6) == []


def test_channels_hold_their_sites_and_edges():
    n = network_from_arrays(*random_crystal(2))
    probe = float(np.median(n.edge_bottleneck_radius))
    for channel in n.channels(probe):
        assert (n.site_radius[channel.site_ids] > probe).all()
        assert (n.edge_bottleneck_radius[channel.edge_ids] > probe).all()
        assert set(n.edge_index[:, channel.edge_ids].ravel()) <= set(channel.site_ids.tolist())
    assert max((c.dimensionality for c in n.channels(n.percolation_radii[2] - 1e-9)), default=0) == 3
    assert max((c.dimensionality for c in n.channels(n.percolation_radii[0])), default=0) == 0


def test_bisection_agrees_with_the_percolation_radii():
    n = network_from_arrays(*random_crystal(9, 18))

    def dimension(radius):
        return max((c.dimensionality for c in n.channels(radius)), default=0)

    for d in (1, 2, 3):
        low, high = -2.0, 5.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if dimension(middle) >= d else (low, middle)
        assert n.percolation_radii[d - 1] == pytest.approx(low, abs=1e-9)


def test_orbits_and_reduction_of_fcc():
    rotations, translations = cubic_operations()
    centring = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    rotations = np.repeat(rotations, 4, axis=0)
    translations = np.tile(centring, (48, 1))
    n = network_from_arrays(*fcc(), rotations=rotations, translations=translations)
    assert sorted(np.bincount(n.site_orbit)) == [4, 8]
    assert set(n.edge_orbit.tolist()) == {0}
    reduced = n.reduce()
    assert sorted(reduced.site_multiplicity) == [4, 8]
    assert reduced.edge_multiplicity.tolist() == [32]
    assert set(reduced.edge_classes[:, 0].tolist()) == {0, 1}


def test_symmetry_switch_does_not_change_the_result():
    rotations, translations = cubic_operations()
    for crystal in (bcc(), fcc(), simple_cubic()):
        on, off = (
            network_from_arrays(*crystal, rotations=rotations, translations=translations, use_symmetry=flag)
            for flag in (True, False)
        )
        m, shift, table = assert_same_network(on, off)
        order = assert_same_edges(on, off, m, shift, table)
        assert len(set(zip(on.site_orbit[m].tolist(), off.site_orbit.tolist(), strict=True))) == len(set(on.site_orbit))
        pairs = set(zip(on.edge_orbit[order].tolist(), off.edge_orbit.tolist(), strict=True))
        assert len(pairs) == len(set(on.edge_orbit.tolist()))


def test_operations_that_do_not_fit_change_nothing_but_orbits():
    cell, frac, radius = random_crystal(4)
    rotations, translations = cubic_operations()
    plain = network_from_arrays(cell, frac, radius)
    wrong = network_from_arrays(cell, frac, radius, rotations=rotations, translations=translations)
    np.testing.assert_array_equal(plain.site_frac, wrong.site_frac)
    np.testing.assert_array_equal(plain.edge_bottleneck_radius, wrong.edge_bottleneck_radius)


def test_face_centres_are_sites_with_true_clearances():
    for crystal in (random_crystal(6), fcc(), simple_cubic()):
        plain, with_faces = network_from_arrays(*crystal), network_from_arrays(*crystal, face_centers=True)
        centres = with_faces.site_kind == 1
        assert (with_faces.site_kind[: len(plain.site_radius)] == 0).all()
        np.testing.assert_array_equal(with_faces.site_frac[~centres], plain.site_frac)
        assert centres.any()
        points = with_faces.site_frac @ with_faces.cell
        np.testing.assert_allclose(with_faces.site_radius, clearance_at(with_faces.framework, points), atol=1e-9)
        exact = exact_free_spheres(plain.framework)
        assert (with_faces.free_sphere_radii <= exact.free_sphere_radii + 1e-6).all()
        assert (with_faces.free_sphere_radii >= plain.free_sphere_radii - 1e-12).all()
        keys = [
            (int(a), int(b), *s) for a, b, s in zip(*with_faces.edge_index, with_faces.edge_image.tolist(), strict=True)
        ]
        assert keys == sorted(keys)
        assert len(set(keys)) == len(keys)


def test_centres_of_the_cube_faces():
    n = network_from_arrays(*simple_cubic(), face_centers=True)
    assert (n.site_kind == 1).sum() == 3
    centres = np.sort(n.site_frac[n.site_kind == 1], axis=None)
    np.testing.assert_allclose(centres, [0.0] * 6 + [0.5] * 3, atol=1e-9)
    np.testing.assert_allclose(n.site_radius[n.site_kind == 1], 1.0, atol=1e-12)
    assert (n.edge_index[1] == 1).sum() == 4  # each face has four corners, images of the one void


def test_recovery_looks_at_faces_too():
    """In the body-centred lattice the midpoint of two neighbours is the centre of a face, and no void is near."""
    cell, frac, radius = np.eye(3) * 4.0, np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), np.ones(2)
    n = network_from_arrays(cell, frac, radius, mobile_frac=[[0.25, 0.25, 0.25], [0.5, 0.25, 0.0]])
    assert n.recovery(0.3) == 1.0
    with_faces = network_from_arrays(cell, frac, radius, mobile_frac=[[0.25, 0.25, 0.25]], face_centers=True)
    assert with_faces.recovery(0.01) == 1.0
    apart = np.linalg.norm((n.site_frac - 0.25 + 0.5) % 1.0 - 0.5, axis=1) * 4.0
    assert apart.min() > 0.3
    assert network_from_arrays(cell, frac, radius, mobile_frac=[[0.25, 0.25, 0.2]]).recovery(0.1) == 0.0


def test_recovery_counts_crystallographic_sites():
    cell, frac, radius = fcc()
    rotations, translations = cubic_operations()
    mobile = [[0.5, 0.5, 0.5], [0.02, 0.02, 0.02]]
    n = network_from_arrays(cell, frac, radius, mobile_frac=mobile, rotations=rotations, translations=translations)
    assert n.recovery(0.5) == 0.5
    assert n.recovery(3.0) == 1.0
    assert np.isnan(network_from_arrays(cell, frac, radius).recovery())


def test_exact_radii_are_added_on_request():
    n = network_from_arrays(*random_crystal(8), exact=True)
    expected = exact_free_spheres(n.framework)
    np.testing.assert_array_equal(n.exact_free_sphere_radii, expected.free_sphere_radii)
    np.testing.assert_array_equal(n.exact_percolation_radii, expected.percolation_radii)
    assert network_from_arrays(*random_crystal(8)).exact_free_sphere_radii is None


@pytest.mark.parametrize("exact", [False, True])
def test_dictionary_round_trip(exact):
    n = network_from_arrays(*random_crystal(1), mobile_frac=[[0.1, 0.2, 0.3]], exact=exact, notes=("a note",))
    again = InterstitialNetwork.from_dict(json.loads(json.dumps(n.to_dict())))
    for name in n.__dataclass_fields__:
        one, two = getattr(n, name), getattr(again, name)
        if name == "framework":
            np.testing.assert_array_equal(one.radius, two.radius)
            assert one.species == two.species
        elif isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, two)
            assert one.dtype == two.dtype
            assert one.shape == two.shape
        else:
            assert one == two
    with pytest.raises(InputError, match="not an interstitial network"):
        InterstitialNetwork.from_dict({"cell": [[1, 0, 0]]})


def test_representations_count():
    n = network_from_arrays(*fcc(), ion="Li+", source="fcc.cif")
    assert repr(n) == (
        "InterstitialNetwork(Li+ in fcc.cif: 12 sites, 32 edges, free spheres "
        + " ".join(f"{r:.3f}" for r in n.free_sphere_radii)
        + " A)"
    )
    assert "2 site classes" in repr(n.reduce()) or "12 site classes" in repr(n.reduce())
    assert repr(n.channels(0.1)[0]).startswith("Channel(3D, ")


def supercell(crystal, multiple):
    cell, frac, radius = crystal
    steps = np.array(list(np.ndindex(multiple, multiple, multiple)))
    return multiple * cell, ((frac + steps[:, None]) / multiple).reshape(-1, 3), np.tile(radius, len(steps))


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("name", ["random", "rock salt"])
def test_threads_give_the_same_bits(name, threads):
    crystal = supercell(NAMED[name](), 3)  # above the size from which threads are used
    one, many = (network_from_arrays(*crystal, face_centers=True, num_threads=t) for t in (1, threads))
    for field in one.__dataclass_fields__:
        value = getattr(one, field)
        if isinstance(value, np.ndarray):
            assert value.tobytes() == getattr(many, field).tobytes(), field


def test_errors_name_the_source_and_the_sites():
    with pytest.raises(GeometryError, match=r"LiX\.cif: O2- \(site 0\) at .* and S2- \(site 1\).*overlap"):
        network_from_arrays(4 * np.eye(3), [[0, 0, 0], [0.001, 0, 0]], [1, 1], species=("O2-", "S2-"), source="LiX.cif")
    with pytest.raises(InputError, match="clearance must be one of"):
        network_from_arrays(*fcc(), clearance="some")
    with pytest.raises(InputError, match="arrays: there are no atoms"):
        network_from_arrays(np.eye(3), np.zeros((0, 3)), [])
    with pytest.raises(GeometryError, match=r"flat: .*zero volume"):
        network_from_arrays([[1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 0, 0]], [1.0], source="flat")
    with pytest.raises(InputError, match="translations must have shape"):
        network_from_arrays(*fcc(), rotations=np.eye(3)[None], translations=np.zeros((2, 3)))


def test_docstring_example():
    results = doctest.testmod(fastin.network.network, raise_on_error=True)
    assert results.attempted >= 4
