"""Agreement with the independent reference networks (lifted convex hull, qhull) on every shared structure."""

from __future__ import annotations

import numpy as np
import pytest
from network_support import (
    canonical,
    edge_table,
    load_reference,
    match_sites,
    reference_names,
    reference_network,
)

from fastin.network.network import with_exact_radii
from fastin.runtime.openmp import _core

#: Li3P carries float32 coordinates (1/3 = 0.33333334): its degenerate vertices are spread over 3e-6 A, and where in
#: that spread a merged vertex is placed moves its radius by as much.
FLOAT32_COORDINATES = {"obx_11b_Li3P": 2e-6}
#: In LiTi2(PO4)3 the reference keeps eight flat slivers apart from the vertex whose generators they share (2e-4 A) and
#: has no edge between the two, so that its complex is not closed; here each is one vertex.
UNCLOSED_REFERENCE = {"obx_rr5_LiTi2PO43"}
MODES = {"all": "radius_true", "generators": "radius"}


def names():
    from reference_data import SHARED

    return reference_names(SHARED) if (SHARED / "reference").is_dir() else []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", names())
def test_reference_network(shared, name, mode):
    reference = load_reference(shared, name)
    independent = reference["independent"]
    n = reference_network(reference, clearance=mode)
    key, tolerance = MODES[mode], FLOAT32_COORDINATES.get(name, 1e-6)
    nodes = independent["nodes"]
    m, shift = match_sites(n.cell, n.site_frac, np.array([v["frac"] for v in nodes]), 1e-3)
    one_to_one = len(set(m.tolist())) == len(n.site_radius)
    assert one_to_one
    if name not in UNCLOSED_REFERENCE:
        assert len(n.site_radius) == len(nodes)
        assert len(n.edge_length) == len(independent["edges"])
        np.testing.assert_allclose(n.site_radius[m], [v[key] for v in nodes], atol=tolerance, rtol=0)
    table = edge_table(n)
    edges = [
        table[canonical(m[e["u"]], m[e["v"]], shift[e["v"]] + e["T"] - shift[e["u"]])] for e in independent["edges"]
    ]
    assert len(set(edges)) == len(n.edge_length)
    radii = [e[key] for e in independent["edges"]]
    np.testing.assert_allclose(n.edge_bottleneck_radius[edges], radii, atol=1e-6, rtol=0)
    free = independent["R_T" if mode == "generators" else "R_T_true_clearance_on_radical_edges"]
    np.testing.assert_allclose(n.free_sphere_radii, free, atol=1e-6, rtol=0)
    assert sorted(c.dimensionality for c in n.channels()) == sorted(independent["channel_dims"])
    np.testing.assert_allclose(n.cell_volume, independent["cell_volumes"], atol=1e-5, rtol=0)
    if mode == "generators":
        assert n.largest_sphere_radius == pytest.approx(independent["Ri"], abs=1e-6)
        assert n.included_sphere_along_free_path == pytest.approx(independent["Rif"], abs=2e-6)


@pytest.mark.parametrize("name", names())
def test_reference_orbits(shared, name):
    reference = load_reference(shared, name)
    nodes = reference["independent"]["nodes"]
    if nodes[0].get("orbit") is None:
        pytest.skip("no symmetry operations")
    n = reference_network(reference)
    m, _ = match_sites(n.cell, n.site_frac, np.array([v["frac"] for v in nodes]), 1e-3)
    pairs = {(v["orbit"], int(n.site_orbit[k])) for v, k in zip(nodes, m, strict=True)}
    assert len(pairs) == len({v["orbit"] for v in nodes}) == len(set(n.site_orbit.tolist()))


@pytest.mark.parametrize("name", names())
def test_certificates_on_reference_structures(shared, name):
    given = load_reference(shared, name)["input"]
    c = _core.certify_tessellation(
        np.array(given["lattice"]),
        np.array([a["frac"] for a in given["atoms"]]),
        np.array([a["radius"] for a in given["atoms"]]),
    )
    assert c["volume_error"] < 1e-9
    assert c["euler"] == 0
    assert c["power_error"] < 1e-5
    assert c["empty_error"] < 1e-9
    assert c["foreign_owners"] == 0


@pytest.mark.parametrize("name", names())
def test_symmetry_off_gives_the_same_network(shared, name):
    reference = load_reference(shared, name)
    on, off = (reference_network(reference, use_symmetry=flag) for flag in (True, False))
    assert len(on.site_radius) == len(off.site_radius)
    m, shift = match_sites(on.cell, on.site_frac, off.site_frac, 1e-5)
    table = edge_table(on)
    edges = [
        table[canonical(m[i], m[j], shift[j] + s - shift[i])]
        for (i, j), s in zip(off.edge_index.T, off.edge_image, strict=True)
    ]
    assert len(set(edges)) == len(on.edge_length) == len(off.edge_length)
    np.testing.assert_allclose(on.site_radius[m], off.site_radius, atol=1e-6)
    np.testing.assert_allclose(on.edge_bottleneck_radius[edges], off.edge_bottleneck_radius, atol=1e-6)
    np.testing.assert_allclose(on.free_sphere_radii, off.free_sphere_radii, atol=1e-6)
    np.testing.assert_allclose(on.cell_volume, off.cell_volume, atol=2e-5)  # 1e-6 A times the area of a cell
    assert len(set(zip(on.site_orbit[m].tolist(), off.site_orbit.tolist(), strict=True))) == len(set(off.site_orbit))


@pytest.mark.parametrize("name", ["hard_fcc_conv", "cavd_Li2CO3_GGA", "obx_4p7_Li3OCl", "hard_longc"])
def test_exact_free_spheres_of_the_reference(shared, name):
    reference = load_reference(shared, name)
    n = with_exact_radii(reference_network(reference))
    expected = reference["independent"]["R_T_exact_additive_weight"]
    np.testing.assert_allclose(n.exact_free_sphere_radii, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", names())
def test_face_centres_stay_below_the_exact_free_sphere(shared, name):
    """What peers get wrong: a link across a face is no wider than the space really is."""
    reference = load_reference(shared, name)
    n = reference_network(reference, face_centers=True)
    exact = np.array(reference["independent"]["R_T_exact_additive_weight"], float)
    known = np.isfinite(exact)
    assert (n.free_sphere_radii[known] <= exact[known] + 1e-6).all()
    assert (n.free_sphere_radii >= reference_network(reference).free_sphere_radii - 1e-6).all()
