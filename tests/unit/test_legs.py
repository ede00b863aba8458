"""Legs and NEB chains: ways between places, what they open, what every image holds, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.errors import DisorderError, GeometryError, InputError
from fastin.transport.arrangement import spread_out
from fastin.transport.neb import neb_chain
from fastin.transport.parts import periodic_distances
from fastin.transport.paths import compute_paths
from fastin.transport.symmetry import Walk, turned, walk_ends

FILES = fastin.examples()


@pytest.fixture(scope="module")
def networks():
    names = ("LiFePO4", "LiCoO2", "Li3OCl", "Li3N", "CaF2", "LiCl", "Li7La3Zr2O12_cubic", "Li10GeP2S12")
    return {name: compute_paths(FILES[name], "F" if name == "CaF2" else None) for name in names}


def summary(paths, cells=1, mechanism="vacancy"):
    rows = [
        (round(leg.barrier, 3), len(leg.hops), leg.multiplicity // cells, leg.opens) for leg in paths.legs(mechanism)
    ]
    return sorted(rows)


def test_lifepo4_has_one_leg(networks):
    """The hop into the vacant site is half of the way from lithium to lithium along b."""
    (leg,) = networks["LiFePO4"].legs()
    assert leg.places == ("4a", "4a")
    assert len(leg.hops) == 2
    assert leg.multiplicity == 4
    assert leg.opens == (1,)
    assert leg.barrier == pytest.approx(networks["LiFePO4"].barriers.e1d, abs=1e-5)
    assert leg.barrier_backward == pytest.approx(leg.barrier)
    assert abs(np.linalg.norm(leg.image @ networks["LiFePO4"].cell) - 6.01) < 6.1


def test_licoo2_goes_by_the_tetrahedra(networks):
    """Six neighbours in the plane, two tetrahedra between each pair (Van der Ven and Ceder 2000)."""
    (leg,) = networks["LiCoO2"].legs()
    assert leg.multiplicity == 18
    assert leg.opens == (1, 2)
    assert len(leg.hops) == 2


def test_fluorine_goes_along_the_edges_of_its_cubes(networks):
    """CaF2: eight F of the cell with six neighbours each at half the lattice constant (P. W. M. Jacobs 1982)."""
    (leg,) = networks["CaF2"].legs()
    assert leg.places == ("8c", "8c")
    assert leg.multiplicity in (24, 48)  # more than one lowest way where the minima are split
    assert leg.opens == (1, 2, 3)
    assert np.linalg.norm(networks["CaF2"].mobile_frac[0] @ networks["CaF2"].cell) > 0


def test_licl_by_all_mechanisms(networks):
    """Over the empty tetrahedra: 12 neighbours in a cell of four, two tetrahedra between each pair."""
    (leg,) = networks["LiCl"].legs()
    assert leg.multiplicity == 48
    assert networks["LiCl"].legs("interstitial") == ()
    exchanges = networks["LiCl"].legs("exchange")
    assert {x.places for x in exchanges} == {("8c", "4a", "8c")}
    assert {x.stop for x in exchanges} == {1}
    assert sorted(x.multiplicity for x in exchanges) == [16, 48, 48]  # 8 * 7 / 2 pairs around each of four ions


@pytest.mark.parametrize("name", ["LiFePO4", "LiCoO2", "Li3OCl", "CaF2", "LiCl", "Li7La3Zr2O12_cubic", "Li10GeP2S12"])
def test_legs_percolate_where_the_network_does(networks, name):
    paths = networks[name]
    for d, level in enumerate(paths.occupied_levels, 1):
        opening = [leg.energy for leg in paths.legs() if d in leg.opens]
        if np.isfinite(level):
            assert opening, d
            assert opening == pytest.approx([level] * len(opening), abs=1e-6)  # several where they share a saddle
        else:
            assert not opening


@pytest.mark.parametrize("name", ["LiFePO4", "LiCoO2", "Li3OCl", "Li10GeP2S12"])
def test_orbits_of_legs_are_closed_and_apart(networks, name):
    finder = networks[name].leg_finder
    places, orbits = finder.orbits("vacancy")
    seen = set()
    for orbit, leg in zip(orbits, networks[name].legs(), strict=True):
        names = {finder.symmetry.canonical(walk) for walk in orbit}
        assert len(names) == len(orbit) == leg.multiplicity
        assert not names & seen
        seen |= names
        for walk in orbit:
            assert turned(turned(walk, finder.hops), finder.hops) == walk
            end, cell = walk_ends(walk, finder.hops)
            assert places.of_site[walk.start] >= 0
            assert places.of_site[end] >= 0
            assert places.copy_of(end, cell) != places.copy_of(walk.start, (0, 0, 0))
            heights = sorted(round(float(finder.hops.energy[h]), 9) for h, _ in walk.steps)
            assert heights == sorted(round(float(finder.hops.energy[h]), 9) for h in leg.hops)
        for operation in range(len(finder.symmetry._rotations)):
            image = finder.symmetry.image(operation, Walk(leg.sites[0], tuple(leg.steps)))
            assert finder.symmetry.canonical(image) in names


@pytest.mark.parametrize("name", ["LiFePO4", "LiCoO2", "Li3OCl"])
def test_legs_do_not_depend_on_origin_or_cell(networks, name):
    structure = fastin.Crystal.from_file(FILES[name]).to_structure()
    own = summary(networks[name])
    shifted = structure.copy()
    shifted.translate_sites(list(range(len(structure))), [0.137, 0.291, 0.413])
    assert summary(compute_paths(shifted)) == own
    order = np.random.default_rng(0).permutation(len(structure))
    assert summary(compute_paths(type(structure).from_sites([structure[int(k)] for k in order]))) == own
    double = structure.copy()
    double.make_supercell([2, 2, 2] if name == "Li3OCl" else [2, 2, 1])
    assert summary(compute_paths(double), cells=8 if name == "Li3OCl" else 4) == own
    primitive = structure.get_primitive_structure()
    share = len(structure) // len(primitive)
    for row, mine in zip(summary(compute_paths(primitive)), own, strict=True):
        assert row == (*mine[:2], mine[2] // share, mine[3])


def contacts(image, ion):
    """Shortest distance from the last atom to every element."""
    symbols = np.array([site.specie.symbol for site in image])
    d = image.lattice.get_all_distances(image.frac_coords[-1:], image.frac_coords[:-1])[0]
    return {s: float(d[symbols[:-1] == s].min()) for s in set(symbols[:-1])}


@pytest.mark.parametrize("name", ["LiFePO4", "LiCoO2", "Li3OCl", "Li3N", "CaF2", "LiCl"])
@pytest.mark.parametrize("supercell", [None, 7.0])
def test_chains_hold_what_they_announce(networks, name, supercell):
    paths = networks[name]
    structure = fastin.Crystal.from_file(FILES[name]).to_structure()
    ion = paths.ion.element
    wide = structure * (2, 2, 2)
    kinds = np.array([site.specie.symbol for site in wide])
    d = wide.lattice.get_all_distances(wide.frac_coords, wide.frac_coords) + 99 * np.eye(len(wide))
    usual = {s: d[np.ix_(kinds == ion, kinds == s)].min() for s in set(kinds)}
    for leg in paths.legs():
        try:
            chain = neb_chain(paths, leg, 3, supercell=supercell)
        except GeometryError as error:
            assert name == "Li3N"
            assert "two minima of one position" in str(error)  # noqa: PT017
            continue
        cells = np.prod(chain.supercell)
        content = structure.composition.element_composition[ion] * cells
        assert chain.charge == -paths.ion.charge * (1 + chain.taken_out)
        for image in chain.images:
            assert image.composition[ion] == content - 1 - chain.taken_out
            assert image.composition == type(image.composition)(chain.formula)
            symbols = [site.specie.symbol for site in image]
            assert len(list(itertools.groupby(symbols))) == len(set(symbols))
            assert symbols[-1] == ion
            for element, near in contacts(image, ion).items():
                assert near >= 0.6 * usual[element] - 1e-6
        energies = [image.properties["bvse_energy"] for image in chain.images]
        assert energies[0] == pytest.approx(paths.site_energy[leg.sites[0]], abs=1e-4)
        assert energies[-1] == pytest.approx(paths.site_energy[leg.sites[-1]], abs=1e-4)
        assert max(energies) <= leg.energy + 1e-5


def test_ions_that_the_way_crosses_are_taken_out(networks):
    """Lithium in a tetrahedron of LiCoO2 needs a second vacancy beside it (the divacancy of Van der Ven and Ceder)."""
    (leg,) = networks["LiCoO2"].legs()
    chain = neb_chain(networks["LiCoO2"], leg, 5, supercell=(3, 3, 1))
    near = contacts(chain.images[3], "Li")["Li"]
    assert near >= 0.6 * 2.816
    assert chain.taken_out == 1
    assert "Co27O54Li25, charge -2, vacancy, 3 x 3 x 1 cells, 1 ion on the way taken out" in chain.describe()


def test_the_cell_grows_where_both_ends_are_one_position(networks):
    (leg,) = networks["Li3OCl"].legs()
    structure = fastin.Crystal.from_file(FILES["LiCoO2"]).to_structure().get_primitive_structure()
    primitive = compute_paths(structure)
    (way,) = primitive.legs()
    chain = neb_chain(primitive, way, 3)
    assert np.prod(chain.supercell) == 2
    assert chain.images[0].composition["Li"] + chain.taken_out == 1
    with pytest.raises(InputError, match="one position of a supercell"):
        neb_chain(primitive, way, 3, supercell=(1, 1, 1))
    assert neb_chain(networks["Li3OCl"], leg, 3).supercell == (1, 1, 1)


def test_partly_filled_garnet_is_ordered_at_its_content(networks):
    """Li7La3Zr2O12: 56 of 120 positions filled."""
    paths = networks["Li7La3Zr2O12_cubic"]
    (leg,) = paths.legs()
    chain = neb_chain(paths, leg, 3)
    assert chain.formula == "La24Zr16O96Li56"
    assert chain.charge == pytest.approx(0.0, abs=0.1)
    for image in chain.images:
        lithium = np.array([s.frac_coords for s in image if s.specie.symbol == "Li"])
        d = periodic_distances(paths.cell, lithium, lithium) + 99 * np.eye(len(lithium))
        assert d.min() > 1.4
    again = neb_chain(paths, leg, 3)
    np.testing.assert_array_equal(chain.images[0].frac_coords, again.images[0].frac_coords)


def test_ions_spread_out():
    """Half filling of a simple cubic lattice: the checkerboard."""
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    filled = spread_out(np.eye(3) * 12.0, grid / 4, np.full(64, 0.5), 32, np.zeros((0, 3)))
    parity = grid.sum(axis=1) % 2
    assert filled.sum() == 32
    assert len(set(parity[filled])) == 1
    assert not spread_out(np.eye(3), grid / 4, np.full(64, 0.5), 0, np.zeros((0, 3))).any()
    assert spread_out(np.eye(3), grid / 4, np.full(64, 0.5), 70, np.zeros((0, 3))).all()


def test_exchange_moves_two_ions(networks):
    paths = networks["LiCl"]
    leg = paths.legs("exchange")[0]
    try:
        chain = neb_chain(paths, leg, 3, supercell=8.0)
    except GeometryError as error:
        assert "below 0.6" in str(error)  # noqa: PT017
        return
    assert chain.moving == 2
    assert chain.charge == 1.0
    moved = np.linalg.norm(chain.images[-1].cart_coords - chain.images[0].cart_coords, axis=1)
    assert (moved[:-2] < 1e-9).all()
    assert (moved[-2:] > 0.5).all()


def test_guests_move_as_interstitials():
    paths = compute_paths(FILES["LiCl"], "Na", energy_cutoff=6.0)
    assert paths.ion.guest
    with pytest.raises(InputError, match="interstitial"):
        paths.legs()
    legs = paths.legs("interstitial")
    assert legs
    with pytest.raises(GeometryError, match="comes within"):  # between the lithium ions of LiCl there is no room
        neb_chain(paths, legs[0], 2, supercell=(2, 2, 2))


@pytest.mark.parametrize("hop", ["x", "4d", 1.5, True, None, -1, 10_000, [], [0, 10_000], {"a": 1}])
def test_wrong_hops_are_typed_errors(networks, hop, tmp_path):
    with pytest.raises(InputError):
        networks["LiFePO4"].neb_images(hop)
    with pytest.raises(InputError):
        networks["LiFePO4"].write_neb(hop, tmp_path / "neb")
    assert not (tmp_path / "neb").exists()


def test_wrong_mechanisms_and_halves(networks):
    paths = networks["LiFePO4"]
    with pytest.raises(InputError, match="mechanism must be one of"):
        paths.legs("diffusion")
    with pytest.raises(InputError, match="do not lead from place to place"):
        paths.neb_images([0])
    assert len(paths.neb_images(0, 2)) == 4  # a hop's number means the leg over it
    assert paths.neb_images(0, 2)[0].composition["Li"] == 3


def test_old_images_are_replaced_and_results_kept(networks, tmp_path):
    paths = networks["LiFePO4"]
    paths.write_neb(0, tmp_path, 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{k:02d}" for k in range(7)]
    paths.write_neb(0, tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00", "01", "02", "03"]
    (tmp_path / "01" / "OUTCAR").write_text("results")
    with pytest.raises(InputError, match="OUTCAR"):
        paths.write_neb(0, tmp_path, 2)
    assert (tmp_path / "03" / "POSCAR").exists()


def test_every_leg_is_written(networks, tmp_path):
    paths = networks["LiCoO2"]
    files = paths.write_neb("all", tmp_path / "legs", 1)
    assert len(files) == 3 * len(paths.legs())
    assert {f.parent.parent.name for f in files} == {"leg_00"}
    lines = (tmp_path / "legs" / "leg_00" / "00" / "POSCAR").read_text().splitlines()
    assert "Co6O12Li5, charge -1, vacancy, 1 x 2 x 1 cells" in lines[0]
    assert lines[5].split() == ["Co", "O", "Li"]
    assert len(paths.write_neb("all", tmp_path / "chain.extxyz", 1)) == 1
    out = CliRunner().invoke(
        main, ["paths", str(FILES["LiCoO2"]), "--neb", "all", "--neb-out", str(tmp_path / "cli"), "--images", "1"]
    )
    assert out.exit_code == 0
    assert (tmp_path / "cli" / "leg_00" / "02" / "POSCAR").exists()


def test_disordered_frameworks_are_refused(tmp_path):
    text = FILES["Li3OCl"].read_text()
    mixed = text.replace("Cl1 Cl 0.5 0.5 0.5 1", "Cl1 Cl 0.5 0.5 0.5 0.5\nBr1 Br 0.5 0.5 0.5 0.5")
    assert mixed != text
    (tmp_path / "mixed.cif").write_text(mixed)
    with pytest.raises(DisorderError, match="ordered"):
        compute_paths(tmp_path / "mixed.cif").neb_images(0)


def test_coarse_grids_are_warned_of_and_refused():
    grid = fastin.compute_bvse(FILES["LiFePO4"], resolution=0.7)
    assert "resolution-coarse" in [w.code for w in grid.warnings]
    assert not fastin.compute_bvse(FILES["LiFePO4"], resolution=0.5).warnings
    with pytest.raises(InputError, match="at most 1 A"):
        compute_paths(FILES["LiFePO4"], resolution=20.0)
    assert CliRunner().invoke(main, ["paths", str(FILES["LiFePO4"]), "--resolution", "20"]).exit_code == 2
    assert CliRunner().invoke(main, ["barriers", str(FILES["LiFePO4"]), "--cutoff", "3"]).exit_code == 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--simulate"], "find no place"),
        (["--neb", "99"], "there is no hop 99"),
    ],
)
def test_what_fails_beside_the_table_does_not_take_it_away(options, why):
    """Li3N's own minima hold less than its lithium, the other is a mistake: each is one line, after the table."""
    result = CliRunner().invoke(main, ["paths", str(FILES["Li3N"]), *options])
    assert result.exit_code == 1
    assert why in result.output
    assert "effective activation energy" in result.output


def test_a_file_that_cannot_be_written_is_refused_before_the_work():
    result = CliRunner().invoke(main, ["paths", str(FILES["Li3N"]), "--profile", "no/such/folder/x.csv"])
    assert result.exit_code == 2
    assert "no/such/folder" in result.output
    assert "effective activation energy" not in result.output
