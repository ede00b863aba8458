"""Energies beside voids and bottlenecks: bounds, symmetry, what plain percolation makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from structures import low_symmetry

import fastin
from fastin.bvse.field import build_field
from fastin.crystal.crystal import as_crystal
from fastin.ml.dataset import graphs_of
from fastin.ml.landmarks import CUTOFF, NetworkEnergies
from fastin.ml.levels import PASS_CLOSED, VARIANTS, landmark_columns, level_columns, plain_levels
from fastin.ml.store import Entry, GraphStore
from fastin.runtime.openmp import _core

FILES = {path.stem: path for path in fastin.examples().values()}


def entry_of(source: object, ion: str | None = None) -> tuple[Entry, NetworkEnergies]:
    entry = graphs_of(source, ion, crystals=False, num_threads=1)
    assert entry.energies is not None
    return entry, entry.energies


def levels(entry: Entry) -> NDArray[np.float32]:
    return plain_levels(GraphStore.from_entries([entry]))[0]


@pytest.mark.parametrize("name", ["LiCl", "Li3N", "LiFePO4", "CaF2"])
def test_a_walk_goes_down_and_stays_near(name: str) -> None:
    entry, energies = entry_of(FILES[name])
    graph = entry.interstitial
    field = build_field(as_crystal(FILES[name]), cutoff=CUTOFF)
    for points, found in ((graph.site_frac, energies.site), (graph.bottleneck_frac, energies.edge)):
        np.testing.assert_allclose(found[:, 0], field.energy(points), rtol=1e-12, atol=1e-12)
        assert (found[:, 1] <= found[:, 0]).all()
    assert (energies.site[:, 2] <= min(energies.site.min(), energies.edge.min())).all()
    assert np.ptp(energies.site[:, 2]) == 0


@pytest.mark.parametrize("name", ["Li10GeP2S12", "LiFePO4"])
def test_crossings_are_the_lowest_of_their_planes(name: str) -> None:
    """Against a search of the whole disc of 0.5 A: never below it, and mostly at its bottom."""
    entry, energies = entry_of(FILES[name])
    crystal, graph = as_crystal(FILES[name]), entry.interstitial
    network = fastin.compute_network(crystal)
    field = build_field(crystal, cutoff=CUTOFF)
    _, first = np.unique(graph.cover_edge, return_index=True)
    along = network.edge_vectors()[first]
    moved = np.linalg.norm(along, axis=1) > 1e-3
    along = along[moved] / np.linalg.norm(along[moved], axis=1)[:, None]
    u = np.cross(along, np.where(np.abs(along[:, :1]) < 0.6, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    u /= np.linalg.norm(u, axis=1)[:, None]
    v = np.cross(along, u)
    radius, angle = np.meshgrid(np.linspace(0, 0.5, 21), np.linspace(0, 2 * np.pi, 120, endpoint=False))
    x, y = (radius * np.cos(angle)).ravel(), (radius * np.sin(angle)).ravel()
    disc = x[:, None, None] * u + y[:, None, None] * v
    points = graph.bottleneck_frac[moved] + disc @ np.linalg.inv(crystal.cell)
    lowest = field.energy(points.reshape(-1, 3)).reshape(len(x), -1).min(axis=0)
    excess = energies.edge[moved, 1] - lowest
    assert excess.min() > -0.05  # the disc is sampled
    assert np.median(excess) < 0.002
    assert np.mean(excess < 0.02) > 0.8


def test_a_pass_is_a_saddle_where_one_is_near() -> None:
    """Rock salt: the ion crosses a face of three anions on its axis; the exact pass lies off the plane of the atoms."""
    entry, _ = entry_of(FILES["LiCl"])
    exact = fastin.compute_barriers(FILES["LiCl"], num_threads=1).values("global")
    np.testing.assert_allclose(levels(entry)[PASS_CLOSED, :, 0], exact, atol=0.01)


def test_origin_basis_and_supercell_change_nothing() -> None:
    expected, energies = entry_of(low_symmetry(), "Li")
    for change in ("origin", "basis", "supercell"):
        other = low_symmetry()
        if change == "origin":
            other.translate_sites(list(range(len(other))), (0.31, 0.127, 0.749))
        else:
            other.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]] if change == "basis" else (2, 1, 1))
        entry, found = entry_of(other, "Li")
        np.testing.assert_allclose(levels(entry), levels(expected), atol=2e-4, err_msg=change)
        for own, first in ((found.site, energies.site), (found.edge, energies.edge)):
            copies = len(own) // len(first)
            np.testing.assert_allclose(
                np.sort(own, axis=0), np.sort(np.repeat(first, copies, axis=0), axis=0), atol=2e-4, err_msg=change
            )


def test_equivalent_points_have_equal_energies() -> None:
    """One of each class stands for all: garnet with every void and bottleneck walked."""
    path = FILES["Li7La3Zr2O12_cubic"]
    entry, energies = entry_of(path)
    crystal, graph = as_crystal(path), entry.interstitial
    network = fastin.compute_network(crystal)
    core = build_field(crystal, cutoff=CUTOFF).core
    site = _core.void_walks(core, np.ascontiguousarray(network.site_frac), 1)
    vectors = np.ascontiguousarray(network.edge_vectors())
    edge = _core.bottleneck_walks(core, np.ascontiguousarray(network.edge_bottleneck_frac), vectors, 1)
    np.testing.assert_allclose(site, energies.site[graph.cover_site, :2], atol=1e-6)
    np.testing.assert_allclose(edge, energies.edge[graph.cover_edge], atol=1e-6)


def test_points_on_symmetry_elements_are_left() -> None:
    """Li3N: void and bottleneck rest on ridges without a slope; staying there gave a barrier of zero."""
    entry, _ = entry_of(FILES["Li3N"])
    exact = fastin.compute_barriers(FILES["Li3N"], num_threads=1).values("network")
    assert (levels(entry)[PASS_CLOSED, :, 1] > 0.5 * exact).all()


def test_plain_levels_bracket_and_rise() -> None:
    store = GraphStore.from_entries([entry_of(path)[0] for path in FILES.values()])
    found = plain_levels(store)
    assert found.shape == (len(FILES), len(VARIANTS), 3, 2)
    assert (np.diff(found, axis=2) >= 0).all()
    assert (found[:, 3] <= found[:, PASS_CLOSED] + 1e-6).all()  # open at most closed
    exact = np.array([fastin.compute_barriers(path, num_threads=1).values("network") for path in FILES.values()])
    error = np.abs(found[:, PASS_CLOSED, :, 1] - exact)
    assert np.median(error) < 0.005
    assert np.mean(error < 0.02) > 0.8


def test_without_parameters_nothing_is_known() -> None:
    known, _ = entry_of(FILES["LiCl"])
    store = GraphStore.from_entries([known, replace(known, id="bare", energies=None)])
    assert np.isfinite(plain_levels(store)[0]).all()
    assert np.isnan(plain_levels(store)[1]).all()
    columns = level_columns(store)
    assert columns[:, -1].tolist() == [1.0, 0.0]
    assert (columns[1] == 0).all()
    for name, values in landmark_columns(store).items():
        rows = len(values) // 2
        assert np.abs(values[:rows]).max() > 0
        assert (values[rows:] == 0).all(), name


def test_unknown_pairs_leave_the_energies_out() -> None:
    xenon = Structure(Lattice.cubic(5.0), ["Li", "Xe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    xenon.add_oxidation_state_by_element({"Li": 1, "Xe": -1})
    assert graphs_of(xenon, "Li", crystals=False).energies is None
