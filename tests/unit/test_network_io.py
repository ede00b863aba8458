"""Network files and converters: round trips, layouts that other programs read, named errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastin.errors import InputError
from fastin.network import files as network_io
from fastin.network.network import InterstitialNetwork, network_from_arrays

TABLES = ("site_frac", "site_radius", "site_kind", "site_orbit", "edge_index", "edge_image", "edge_length",
          "edge_bottleneck_frac", "edge_bottleneck_radius")  # fmt: skip


@pytest.fixture(scope="module")
def network():
    """Perovskite-like framework with three kinds of spheres, skewed by an odd basis, face centres included."""
    cell = np.array([[3.9, 0.0, 0.0], [3.9, 3.9, 0.0], [-3.9, 3.9, 3.9]]) + 0.01
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]) + 0.137
    return network_from_arrays(
        cell,
        frac,
        [1.1, 0.7, 1.26, 1.26, 1.26],
        species=("La3+", "Zr4+", "O2-", "O2-", "O2-"),
        mobile_frac=[[0.1, 0.2, 0.3]],
        ion="Li+",
        source="test",
        face_centers=True,
        exact=True,
    )


@pytest.mark.parametrize("suffix", [".json", ".graphml"])
def test_lossless_round_trip(network, tmp_path, suffix):
    path = network_io.write(network, tmp_path / f"n{suffix}")
    back = InterstitialNetwork.read(path)
    assert back.to_dict() == network.to_dict()
    assert back.edge_index.dtype == np.int64
    assert back.edge_image.dtype == np.int32


def test_net_round_trip(network, tmp_path):
    path = tmp_path / "n.net"
    network.write(path)
    back = InterstitialNetwork.read(path)
    for name in TABLES:
        if name == "edge_bottleneck_frac":
            difference = getattr(back, name) - getattr(network, name)
            assert np.abs(difference - np.round(difference)).max() < 1e-14
        else:
            assert np.array_equal(getattr(back, name), getattr(network, name)), name
    assert back.ion == "Li+"
    np.testing.assert_array_equal(back.cell, network.cell)
    np.testing.assert_array_equal(back.free_sphere_radii, network.free_sphere_radii)
    np.testing.assert_array_equal(back.percolation_radii, network.percolation_radii)


def test_net_layout_is_that_of_cavd(network):
    lines = network_io.to_net(network).splitlines()
    assert lines[1] == ""
    assert all(len(line.split()) == 3 and line.startswith("    ") for line in lines[2:5])
    assert lines[5] == ""
    assert lines[6] == "Interstitial table:"
    first = lines.index("Connection table:") + 1
    assert lines[first - 2] == ""
    rows = [line.split("\t") for line in lines[first:]]
    assert len(rows) == 2 * len(network.edge_length)
    assert all([len(c.split()) for c in row] == [1, 1, 3, 3, 1, 1] for row in rows)
    links = {(r[0], r[1], r[2]) for r in rows}
    assert all((j, i, " ".join(str(-int(v)) for v in image.split())) in links for i, j, image in links)


def test_net_bottlenecks_lie_on_their_edges(network):
    """Seen from the first void in its home cell, as CAVD writes them."""
    text = network_io.to_net(network).splitlines()
    for line in text[text.index("Connection table:") + 1 :]:
        i, j, *numbers = line.split()
        start, image, neck = network.site_frac[int(i)], np.array(numbers[:3], float), np.array(numbers[3:6], float)
        end = network.site_frac[int(j)] + image
        a, b, c = start @ network.cell, end @ network.cell, neck @ network.cell
        length = np.linalg.norm(b - a)
        assert length == pytest.approx(float(numbers[7]), abs=1e-9)
        assert np.linalg.norm(c - a) + np.linalg.norm(c - b) == pytest.approx(length, abs=1e-6)


def test_net_of_cavd_is_read(tmp_path):
    """Six digits, connections of zero radius left out, a channel header of older versions."""
    path = tmp_path / "cavd.net"
    path.write_text(
        "LiX\n\n    4 0 0\n    0 4 0\n    0 0 4\n\n"
        "Interstitial table:\n0\t3\t0.5 0.5 0.5\t1.2\n7\t3\t0 0.25 0.5\t0.8\n\n"
        "Channel table:\n7\t0\t-1 0 0\t0.1 0.3 0.5\t0.7\t2.1\n0\t7\t1 0 0\t1.1 0.3 0.5\t0.7\t2.1\n"
        "0\t0\t0 0 1\t0.5 0.5 1\t0.6\t4\n0\t0\t0 0 -1\t0.5 0.5 0\t0.6\t4\n"
    )
    network = network_io.read(path)
    assert network.edge_index.tolist() == [[0, 0], [0, 1]]
    assert network.edge_image.tolist() == [[0, 0, 1], [1, 0, 0]]
    np.testing.assert_allclose(network.edge_bottleneck_frac[1], [0.1, 0.3, 0.5])
    assert network.free_sphere_radii[2] == 0.6
    assert network.site_orbit.tolist() == [3, 3]


def test_cif_and_poscar_are_read_by_other_programs(network, tmp_path):
    ase_io = pytest.importorskip("ase.io")
    gemmi = pytest.importorskip("gemmi")
    network.write(tmp_path / "n.cif")
    network.write(tmp_path / "n.vasp")
    structure = gemmi.read_small_structure(str(tmp_path / "n.cif"))
    voids = [s for s in structure.sites if s.label.startswith("V")]
    assert len(voids) == len(network.site_radius)
    assert sum(s.label.startswith("O") for s in structure.sites) == 3
    lengths = np.linalg.norm(network.cell, axis=1)
    np.testing.assert_allclose([structure.cell.a, structure.cell.b, structure.cell.c], lengths, rtol=1e-7)
    np.testing.assert_allclose(voids[0].fract.tolist(), network.site_frac[0], atol=1e-9)
    block = gemmi.cif.read(str(tmp_path / "n.cif")).sole_block()
    radii = dict(zip(block.find_loop("_atom_site_label"), block.find_loop("_atom_site_fastin_radius"), strict=True))
    assert float(radii["V1"]) == pytest.approx(network.site_radius[0], abs=1e-6)
    atoms = ase_io.read(tmp_path / "n.vasp", format="vasp")
    counts = {s: atoms.get_chemical_symbols().count(s) for s in ("He", "Ne", "O", "La", "Zr")}
    assert counts == {"He": len(network.site_radius), "Ne": len(network.edge_length), "O": 3, "La": 1, "Zr": 1}
    np.testing.assert_allclose(atoms.cell.array, network.cell, atol=1e-10)


def test_networkx(network):
    graph = network.to_networkx()
    assert graph.number_of_nodes() == len(network.site_radius)
    assert graph.number_of_edges() == len(network.edge_length)
    assert graph.is_multigraph()
    for i, j, e, data in graph.edges(keys=True, data=True):
        assert {i, j} == {data["source"], data["target"]}
        assert data["image"] == tuple(network.edge_image[e])
        assert data["bottleneck_radius"] == network.edge_bottleneck_radius[e]


def test_dataframe(network):
    tables = network.to_dataframe()
    assert tables.sites["radius"].to_numpy().tolist() == network.site_radius.tolist()
    assert tables.edges[["site_i", "site_j"]].to_numpy().T.tolist() == network.edge_index.tolist()
    assert tables.edges[["image_a", "image_b", "image_c"]].to_numpy().tolist() == network.edge_image.tolist()


@pytest.mark.parametrize("name", ["n.xyz", "n", "n.JSONL"])
def test_unknown_suffix_lists_the_known_ones(network, tmp_path, name):
    with pytest.raises(InputError, match=r"\.json, \.net, \.cif, \.vasp, \.graphml"):
        network.write(tmp_path / name)
    with pytest.raises(InputError, match=r"\.json, \.net, \.graphml"):
        network_io.read(tmp_path / name)


def test_viewer_files_are_not_read_back(tmp_path):
    with pytest.raises(InputError, match="hold no connections"):
        network_io.read(tmp_path / "n.cif")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n.json", "{", "not JSON"),
        ("n.json", "[]", "not a network file"),
        ("n.json", '{"format": "fastin.InterstitialNetwork", "version": 99}', "version 99"),
        ("n.json", '{"format": "fastin.InterstitialNetwork", "version": 1}', "not an interstitial network"),
        ("n.net", "hello", "not a .net file"),
        ("n.net", "t\n\n1 0 0\n0 1 0\n0 0\n", "line 5"),
        ("n.net", "t\n\n1 0 0\n0 1 0\n0 0 1\nInterstitial table:\n0 0 0 0 nan 1\n", "line 7"),
        ("n.net", "t\n1 0 0\n0 1 0\n0 0 1\nInterstitial table:\n0 0 0 0 0 1\nConnection table:\n0 5 0 0 1 0 0 0 1 1\n",
         "names a void"),
        ("n.net", "t\n1 0 0\n0 1 0\n0 0 1\nInterstitial table:\n0 0 0 0 0 1\nConnection table:\n0 0 0 0 1 0 0 0 1 1\n",
         "both directions"),
        ("n.graphml", "<a/>", "not a network in GraphML"),
        ("n.graphml", "<a", "not a network in GraphML"),
    ],
)  # fmt: skip
def test_broken_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as error:
        network_io.read(tmp_path / name)
    assert name in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        network_io.read(tmp_path / "absent.json")


def test_json_is_plain(network):
    assert json.loads(network_io.to_json(network))["ion"] == "Li+"
