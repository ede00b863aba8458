"""Exact free spheres: closed forms, references, errors."""

from __future__ import annotations

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest

from fastin.errors import GeometryError, InputError
from fastin.network.exact import clearance_at, exact_free_spheres


def spheres(cell, frac, radius):
    frac = np.atleast_2d(np.array(frac, float))
    return SimpleNamespace(
        cell=np.array(cell, float), frac=frac, radius=np.broadcast_to(radius, len(frac)).astype(float)
    )


CUBIC = np.eye(3) * 4.0


@pytest.mark.parametrize(
    ("frac", "window", "void"),
    [
        ([[0, 0, 0]], np.sqrt(2) * 2 - 1, np.sqrt(3) * 2 - 1),  # simple cubic: square window, cubic void
        ([[0, 0, 0], [0.5, 0.5, 0.5]], 4 * np.sqrt(9 / 32) - 1, np.sqrt(5) - 1),  # bcc: triangle, tetrahedral void
        ([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], 4 / np.sqrt(6) - 1, 1.0),  # fcc: octahedral void
    ],
)
def test_cubic_lattices_have_closed_forms(frac, window, void):
    r = exact_free_spheres(spheres(CUBIC, frac, 1.0))
    np.testing.assert_allclose(r.free_sphere_radii, window, atol=1e-9)
    np.testing.assert_allclose(r.percolation_radii, window, atol=1e-9)
    assert r.largest_sphere_radius == pytest.approx(void, abs=1e-9)


def test_layers_conduct_in_two_dimensions_first():
    """A square net stacked far apart: the gallery is wide, the square window of the net is the third dimension."""
    r = exact_free_spheres(spheres(np.diag([3.0, 3.0, 7.0]), [[0, 0, 0]], 1.0))
    gallery, window = np.hypot(1.5, 3.5) - 1.0, 3.0 / np.sqrt(2) - 1.0
    np.testing.assert_allclose(r.percolation_radii, [gallery, gallery, window], atol=1e-9)
    np.testing.assert_allclose(r.free_sphere_radii, [gallery, gallery, window], atol=1e-9)


def test_unequal_spheres_solve_the_apollonius_problem():
    """CsCl arrangement: the window lies where two large and one small sphere touch, in the plane x = y."""
    a, large, small = 3.0, 1.2, 0.4
    r = exact_free_spheres(spheres(a * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [large, small]))
    # On the diagonal plane: large at (0, 0) and (0, a), small at (a / sqrt 2, a / 2); the window is at (x, a / 2).
    reach, gap = a / np.sqrt(2), large - small
    # sqrt(x^2 + a^2/4) - large = (reach - x) - small, solved for x by squaring once.
    x = ((reach + gap) ** 2 - a * a / 4) / (2 * (reach + gap))
    np.testing.assert_allclose(r.percolation_radii[2], np.hypot(x, a / 2) - large, atol=1e-9)


def test_negative_radii_where_spheres_overlap():
    r = exact_free_spheres(spheres(CUBIC, [[0, 0, 0]], 3.5))
    np.testing.assert_allclose(r.free_sphere_radii, np.sqrt(8) - 3.5, atol=1e-9)
    assert r.largest_sphere_radius < 0


def test_basis_does_not_matter():
    rng = np.random.default_rng(5)
    cell = np.diag([4.0, 4.6, 5.3]) + rng.uniform(-0.4, 0.4, (3, 3))
    frac, radius = rng.random((3, 3)), np.array([0.7, 1.0, 1.2])
    plain = exact_free_spheres(spheres(cell, frac, radius))
    shear = np.array([[1, 0, 0], [3, 1, 0], [-2, 5, 1]])
    skewed = exact_free_spheres(spheres(shear @ cell, frac @ np.linalg.inv(shear), radius))
    np.testing.assert_allclose(skewed.percolation_radii, plain.percolation_radii, atol=1e-9)
    doubled = exact_free_spheres(
        spheres(
            np.diag([2, 1, 1]) @ cell, np.vstack([frac, frac + np.array([1, 0, 0])]) / [2, 1, 1], np.tile(radius, 2)
        )
    )
    np.testing.assert_allclose(doubled.percolation_radii, plain.percolation_radii, atol=1e-9)
    np.testing.assert_allclose(doubled.free_sphere_radii, plain.free_sphere_radii, atol=1e-9)


def test_links_lead_from_void_to_void():
    s = spheres(CUBIC, [[0, 0, 0]], 1.0)
    r = exact_free_spheres(s)
    np.testing.assert_allclose(clearance_at(s, r.void_frac @ s.cell), r.void_radius, atol=1e-9)
    np.testing.assert_allclose(clearance_at(s, r.bottleneck_frac @ s.cell), r.bottleneck_radius, atol=1e-8)
    assert (r.link_radius <= np.minimum(*r.void_radius[r.link.T]) + 1e-9).all()
    step = r.void_frac[r.link[:, 1]] + r.link_image - r.void_frac[r.link[:, 0]]
    wide = r.link_radius > r.percolation_radii[2] - 1e-9
    assert {tuple(v) for v in np.abs(np.round(step[wide])).astype(int)} == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}


def test_threads_do_not_change_a_bit():
    rng = np.random.default_rng(2)
    s = spheres(np.diag([7.0, 8.0, 9.0]), rng.random((12, 3)), rng.uniform(0.5, 1.3, 12))
    one, four = exact_free_spheres(s, num_threads=1), exact_free_spheres(s, num_threads=4)
    for name in one.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(four, name)), name


@pytest.mark.parametrize(
    ("cell", "frac", "radius", "error"),
    [
        (CUBIC, np.zeros((0, 3)), np.zeros(0), InputError),
        (CUBIC, [[0, 0, np.nan]], [1.0], InputError),
        (CUBIC, [[0, 0, 0]], [np.inf], InputError),
        (CUBIC, [[0, 0, 0]], [1.0, 2.0], InputError),
        (CUBIC[:2], [[0, 0, 0]], [1.0], InputError),
        ([[1, 0, 0], [2, 0, 0], [0, 0, 1]], [[0, 0, 0]], [1.0], GeometryError),
    ],
)
def test_bad_input_is_named(cell, frac, radius, error):
    with pytest.raises(error):
        exact_free_spheres(SimpleNamespace(cell=cell, frac=frac, radius=radius))


def test_points_must_be_finite():
    with pytest.raises(InputError, match="points"):
        clearance_at(spheres(CUBIC, [[0, 0, 0]], 1.0), [[0, 0, np.nan]])


def test_reference_structures(shared):
    """Exact additively weighted radii of an independent computation (its own tolerance is about 1e-4 A)."""
    files = sorted((shared / "reference" / "network").glob("*.json.gz"))
    assert len(files) >= 32
    close = 0
    for path in files:
        data = json.loads(gzip.decompress(path.read_bytes()))
        atoms = data["input"]["atoms"]
        s = spheres(data["input"]["lattice"], [a["frac"] for a in atoms], [a["radius"] for a in atoms])
        r = exact_free_spheres(s)
        error = np.abs(r.free_sphere_radii - data["independent"]["R_T_exact_additive_weight"]).max()
        assert error < 1e-3, data["name"]
        close += error < 1e-9
    assert close >= len(files) - 3
