"""Species on the mobile ion's own positions: left out of the energy where the ion can pass, kept elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.bvse.choices import _Draw, choice_barriers
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
    assert "--choices" not in found["ion-shared-site"].message
    much = {w.code: w for w in fastin.compute_bvse(mixed(0.4), "Li").warnings}
    assert "explicit choices (fastin barriers --choices 5)" in much["ion-shared-site"].message
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


@pytest.mark.parametrize(("share", "flagged"), [(0.05, True), (0.25, True), (0.31, True), (1.0, False)])
def test_an_ion_on_positions_of_another_species_is_told(share, flagged):
    """Li on the Na of rock salt (a 5.64 A): below 30 % of it Na counts in full and Li is sought beside it."""
    metal = {"Li": share, "Na": 1.0 - share} if share < 1.0 else "Li"
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), [metal, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    said = [w for w in fastin.compute_barriers(salt, "Li").warnings if w.code == "ion-shared-site"]
    assert bool(said) == flagged
    assert any("belong to Na+" in w.message for w in said) == (share < 0.3)


def test_a_few_antisite_ions_are_not_worth_a_word():
    crystal = fastin.Crystal.from_file(fastin.examples()["LiFePO4"])
    structure = crystal.to_structure()
    structure.remove_oxidation_states()
    for k, site in enumerate(structure):
        if "Fe" in site.species:
            structure[k] = {"Fe": 0.97, "Li": 0.03}
    assert not [w for w in fastin.compute_barriers(structure, "Li").warnings if w.code == "ion-shared-site"]


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


def test_choices_put_each_species_where_it_sits():
    """A quarter Na on 24 positions: six of them in full, eighteen with lithium alone, no position twice."""
    crystal = fastin.Crystal.from_structure(mixed(0.25))
    draw = _Draw(crystal, crystal.resolve_ion("Li"), None)
    assert draw.multiples == (2, 2, 2)
    assert draw.counts() == {"Na+": 6}
    cells = [draw.structure(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    where = []
    for cell in cells:
        held = [site for site in cell if any(s.symbol == "Na" for s in site.species)]
        assert len(cell) == 40
        assert len(held) == 6
        assert all(site.species.num_atoms == 1 and len(site.species) == 1 for site in held)
        lithium = sum(site.species[s] for site in cell for s in site.species if s.symbol == "Li")
        assert lithium == pytest.approx(18.0)
        where.append(sorted(tuple(np.round(site.frac_coords, 6)) for site in held))
    assert where[0] == where[1] != where[2]


def test_choices_follow_the_ordered_cells():
    """Within 0.12 eV of the mixed crystal where Na is little, above it where it is much; the seed decides."""
    little, much = (choice_barriers(mixed(share), "Li", choices=3) for share in (0.04, 0.38))
    np.testing.assert_allclose(little.median, little.mixed, atol=0.05)
    assert much.median[2] > much.mixed[2] + 0.12
    again = choice_barriers(mixed(0.38), "Li", choices=2)
    np.testing.assert_allclose(again.values, much.values[:2], atol=1e-9)
    assert "9 Na+" in repr(much)
    assert much.to_dict()["drawn"] == {"Na+": 9}


def test_choices_are_refused_where_there_are_none():
    with pytest.raises(fastin.InputError, match="nothing to choose"):
        choice_barriers(mixed(0.0), "Li")
    with pytest.raises(fastin.InputError, match="choices"):
        choice_barriers(mixed(0.2), "Li", choices=0)
    with pytest.raises(fastin.InputError, match="three multiples"):
        choice_barriers(mixed(0.2), "Li", supercell=(2, 2))
    with pytest.raises(fastin.InputError, match="3000 positions"):
        choice_barriers(mixed(0.2), "Li", supercell=(20, 20, 20))


def test_two_species_on_one_position_do_not_meet():
    """La and Sr beside Li on one site: disjoint positions, both in full."""
    held = {"Li": 0.4, "La": 0.3, "Sr": 0.3}
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    crystal = fastin.Crystal.from_structure(Structure(Lattice.cubic(3.88), [held, "Ti", "O", "O", "O"], frac))
    draw = _Draw(crystal, crystal.resolve_ion("Li"), (3, 3, 3))
    cell = draw.structure(np.random.default_rng(0))
    names = [sorted(s.symbol for s in site.species) for site in cell]
    assert draw.counts() == {"La3+": 8, "Sr2+": 8}
    assert sum(n == ["La"] for n in names) == 8
    assert sum(n == ["Sr"] for n in names) == 8
    assert sum(n == ["Li"] for n in names) == 11
