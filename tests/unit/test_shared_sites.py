"""Species on the mobile ion's own positions: left out of the energy where the ion can pass, kept elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.bvse.field import build_field
from fastin.bvse.shared import sharing_rows
from fastin.transport.blocking import blocked_barriers
from fastin.transport.parts import Hops, Positions, Sites

FRAC = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]


def mixed(share, name="Na"):
    """Li3OCl, a = 3.9 A (Y. Zhao, L. L. Daemen, J. Am. Chem. Soc. 134, 15042 (2012)), with some of its Li replaced."""
    lithium = {"Li": 1 - share, name: share} if share else "Li"
    return Structure(Lattice.cubic(3.9), [lithium] * 3 + ["O", "Cl"], FRAC)


def sharing(structure):
    crystal = fastin.Crystal.from_structure(structure)
    return crystal, sharing_rows(crystal, crystal.resolve_ion("Li"))


def test_ten_percent_sodium_is_near_the_ordered_cells():
    """Three draws of 2 or 3 Na on the 24 positions of a 2 x 2 x 2 cell around 10 %."""
    own = fastin.compute_barriers(mixed(0.1), "Li").values()
    pure = mixed(0.0) * (2, 2, 2)
    sites = [k for k, site in enumerate(pure) if site.specie.symbol == "Li"]
    for seed, count in ((0, 2), (1, 3), (2, 3)):
        cell = pure.copy()
        for k in np.random.default_rng(seed).choice(sites, count, replace=False):
            cell[int(k)] = "Na"
        ordered = fastin.compute_barriers(cell, "Li").values()
        np.testing.assert_allclose(own, ordered, atol=0.12)


def test_barriers_are_continuous_at_no_content():
    pure = fastin.compute_barriers(mixed(0.0), "Li").values()
    for share, name in ((1e-4, "Na"), (1e-3, "Na"), (1e-4, "K"), (1e-4, "Ag")):
        some = fastin.compute_barriers(mixed(share, name), "Li").values()
        np.testing.assert_allclose(some, pure, atol=1e-3)
    faint = fastin.compute_paths(mixed(0.01), "Li")
    assert len(faint.site_energy) == 3
    assert faint.site_mobile_distance.max() < 0.01


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_energy_is_that_without_the_shared_rows(share):
    """Convention without scaling by the content: the same field bit for bit as without the species."""
    crystal = fastin.Crystal.from_structure(mixed(share))
    points = np.random.default_rng(0).random((50, 3))
    pure = fastin.Crystal.from_structure(mixed(0.0))
    a = build_field(crystal, "Li", convention="bvlain").energy(points)
    b = build_field(pure, "Li", convention="bvlain").energy(points)
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_warning_names_what_and_how_much():
    found = {w.code: w for w in fastin.compute_bvse(mixed(0.1), "Li").warnings}
    assert "Na+ (0.3 a cell beside 2.7 Li+)" in found["ion-shared-site"].message
    assert "ordered cells" not in found["ion-shared-site"].message
    much = {w.code: w for w in fastin.compute_bvse(mixed(0.4), "Li").warnings}
    assert "ordered cells (fastin order) can have higher barriers" in much["ion-shared-site"].message
    assert "ion-shared-site" not in [w.code for w in fastin.compute_bvse(mixed(0.0), "Li").warnings]
    assert "framework-dropped" not in [w.code for w in fastin.compute_paths(mixed(0.1), "Li").warnings]


def test_antisite_ions_open_no_channel():
    """3 % Li on the iron of LiFePO4: the iron stays where it is."""
    structure = fastin.Crystal.from_file(fastin.examples()["LiFePO4"]).to_structure()
    structure.remove_oxidation_states()
    pure = fastin.compute_barriers(structure, "Li").values()
    for k, site in enumerate(structure):
        if "Fe" in site.species:
            structure[k] = {"Fe": 0.97, "Li": 0.03}
    crystal, rows = sharing(structure)
    assert not rows.any()
    np.testing.assert_allclose(fastin.compute_barriers(crystal, "Li").values()[0], pure[0], atol=0.05)


def test_anions_and_full_sites_are_never_left_out():
    for structure in (mixed(0.0), mixed(0.2)):
        crystal, rows = sharing(structure)
        assert not rows[crystal.charge < 0].any()
        assert not rows[crystal.number == 3].any()
    halide = Structure(Lattice.cubic(3.9), ["Li", "Li", "Li", {"O": 0.9, "S": 0.1}, "Cl"], FRAC)
    assert not sharing(halide)[1].any()


def test_alternatives_near_the_position_share_it():
    """A dopant 0.3 A off the lithium position that it replaces."""
    frac = [*FRAC, [0.5, 0.5, 0.3 / 3.9], [0.5, 0.3 / 3.9, 0.5], [0.3 / 3.9, 0.5, 0.5]]
    species = [{"Li": 0.9}] * 3 + ["O", "Cl"] + [{"Na": 0.1}] * 3
    crystal, rows = sharing(Structure(Lattice.cubic(3.9), species, frac))
    assert rows.sum() == 3
    assert (crystal.number[rows] == 11).all()
    far = [*FRAC, [0.5, 0.5, 0.25], [0.5, 0.25, 0.5], [0.25, 0.5, 0.5]]
    assert not sharing(Structure(Lattice.cubic(3.9), species, far))[1].any()


def test_mobile_anions_share_too():
    """Fluorine beside OH or Cl on its own position: like-charged, so left out; calcium stays."""
    cell = Lattice.cubic(5.463)
    fluorite = Structure.from_spacegroup(225, cell, ["Ca", {"F": 0.95, "Cl": 0.05}], [[0, 0, 0], [0.25, 0.25, 0.25]])
    crystal = fastin.Crystal.from_structure(fluorite)
    rows = sharing_rows(crystal, crystal.resolve_ion("F"))
    assert set(crystal.number[rows].tolist()) == {17}
    assert not sharing_rows(crystal, crystal.resolve_ion("Li")).any()  # a guest has no positions


def test_blocked_positions_shut_the_ion_in():
    """Li3OCl, eight neighbours a site: open with 10 and 50 % blocked, shut with 90 %; none blocked: the barriers."""
    paths = fastin.compute_paths(mixed(0.1), "Li")
    np.testing.assert_allclose(np.median(paths.blocked_barriers(), axis=0), paths.barriers.values(), atol=1e-5)
    np.testing.assert_array_equal(paths.blocked_barriers(2), paths.blocked_barriers(2))
    pure = fastin.compute_paths(mixed(0.0), "Li")
    np.testing.assert_allclose(pure.blocked_barriers(1)[0], pure.barriers.values(), atol=1e-5)
    args = (paths.cell, paths.sites, paths.hops, paths.positions)
    shut = blocked_barriers(*args, np.full(3, 0.9), 3, 0)
    assert np.isinf(shut).all()
    assert np.isfinite(blocked_barriers(*args, np.full(3, 0.5), 3, 0)).all()
    one = blocked_barriers(*args, np.array([1.0, 0.0, 0.0]), 1, 0)[0]
    assert np.isfinite(one[1])  # the two others form planes...
    assert (blocked_barriers(*args, np.array([1.0, 1.0, 0.0]), 1, 0) == np.inf).all()  # ... one alone has no hops


@pytest.mark.parametrize("share", [0.2, 0.25, 0.45, 0.6])
def test_site_percolation_of_the_simple_cubic_lattice(share):
    """Threshold 0.3116 (D. Stauffer, A. Aharony 1994): with 0.45 free draws percolate, with 0.2 they do not."""
    ones = np.ones(3)
    hops = Hops(
        index=np.zeros((2, 3), dtype=np.int64),
        image=np.eye(3, dtype=np.int32),
        energy=0.3 * ones,
        saddle_frac=np.eye(3) / 2,
        length=3 * ones,
        radius=ones,
        orbit=np.zeros(3, np.int32),
        weight=ones,
        stationary=ones.astype(bool),
        routes={},
    )
    zero = np.zeros(1)
    sites = Sites(np.zeros((1, 3)), zero, zero, np.zeros(1, np.int32), np.zeros(1, np.int32), zero, zero + 1)
    none = np.zeros(1, np.int32)
    positions = Positions(np.zeros((1, 3)), zero + 1, none, none, np.zeros((1, 3), np.int32))
    drawn = blocked_barriers(3 * np.eye(3), sites, hops, positions, np.array([1 - share]), 12, 0)
    through = np.isfinite(drawn[:, 2]).mean()
    assert through == pytest.approx(0.0, abs=0.2) if share < 0.3 else through >= 0.6
    assert (drawn[np.isfinite(drawn)] == 0.3).all()
