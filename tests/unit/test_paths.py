"""The transport network: agreement with the barriers, known conductors, invariances, NEB chains, command line."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.errors import DisorderError, InputError
from fastin.transport.neb import leg, oriented, supercell_for
from fastin.transport.paths import compute_paths

FILES = fastin.examples()


@pytest.fixture(scope="module")
def lifepo4():
    return compute_paths(FILES["LiFePO4"])


@pytest.fixture(scope="module")
def licoo2():
    return compute_paths(FILES["LiCoO2"])


@pytest.fixture(scope="module")
def li3ocl():
    return compute_paths(FILES["Li3OCl"])


@pytest.mark.parametrize("name", ["lifepo4", "licoo2", "li3ocl"])
def test_paths_have_the_barriers_of_compute_barriers(name, request):
    paths = request.getfixturevalue(name)
    for d in (1, 2, 3):
        path = paths.path(d)
        level = paths.barriers.levels[d - 1] - paths.zero_energy
        if path is None:
            assert level > paths.energy_cutoff
            continue
        assert path.energy.max() == pytest.approx(level, abs=1e-5)
        assert paths.hop_energy[list(path.hops)].max() == pytest.approx(level, abs=1e-5)
        np.testing.assert_allclose(path.frac[-1] - path.frac[0], path.translation, atol=1e-6)
        assert path.translation.any()
        assert path.sites[0] == path.sites[-1]
        energy = paths._grid.field.energy(path.frac) - paths.zero_energy
        np.testing.assert_allclose(energy, path.energy, atol=1e-6)


@pytest.mark.parametrize("name", ["lifepo4", "licoo2", "li3ocl"])
def test_network_alone_percolates_at_those_levels(name, request):
    """Union-find over hops, lowest first: the ranks are reached at the barriers' levels."""
    paths = request.getfixturevalue(name)
    parent = {s: (s, np.zeros(3, int)) for s in range(len(paths.site_energy))}
    loops = {s: [] for s in parent}

    def find(s):
        offset = np.zeros(3, int)
        while parent[s][0] != s:
            offset = offset + parent[s][1]
            s = parent[s][0]
        return s, offset

    reached = {}
    for (i, j), image, energy in zip(paths.hop_index.T, paths.hop_image, paths.hop_energy, strict=True):
        (a, oa), (b, ob) = find(int(i)), find(int(j))
        gap = oa + image - ob
        if a != b:
            parent[b] = (a, gap)
            loops[a] += loops.pop(b)
        else:
            loops[a].append(gap)
        rank = np.linalg.matrix_rank(np.array(loops[a])) if loops[a] else 0
        for d in range(1, rank + 1):
            reached.setdefault(d, energy)
    for d in (1, 2, 3):
        level = paths.barriers.levels[d - 1] - paths.zero_energy
        if level <= paths.energy_cutoff:
            assert reached[d] == pytest.approx(level, abs=1e-5)
        else:
            assert d not in reached


def test_lifepo4_conducts_along_b_only(lifepo4):
    """D. Morgan, A. Van der Ven, G. Ceder, Electrochem. Solid-State Lett. 7, A30 (2004)."""
    assert lifepo4.path(1).translation.tolist() == [0, 1, 0]
    assert lifepo4.path(2) is None
    d = lifepo4.diffusivity(300.0)
    assert d[1, 1] > 0
    assert d[0, 0] < 1e-12 * d[1, 1]
    assert d[2, 2] < 1e-12 * d[1, 1]
    along, mean = lifepo4.activation_energy(300, 400)
    assert along[1] == pytest.approx(lifepo4.barriers.e1d, abs=0.01)
    assert mean == along[1]


def test_licoo2_conducts_in_two_dimensions_through_tetrahedral_sites(licoo2):
    """A. Van der Ven and G. Ceder, Electrochem. Solid-State Lett. 3, 301 (2000)."""
    assert licoo2.path(2) is not None
    assert licoo2.path(3) is None
    d = licoo2.diffusivity(600.0)
    np.testing.assert_allclose(d[0, 0], d[1, 1], rtol=1e-6)
    assert abs(d[2, 2]) < 1e-9 * d[0, 0]
    occupied = licoo2.site_mobile >= 0
    assert set(licoo2.path(1).sites) & set(np.flatnonzero(~occupied))  # by way of the vacant tetrahedra
    assert (licoo2.site_energy[~occupied] > licoo2.site_energy[occupied].max()).all()


def test_li3ocl_conducts_in_three_dimensions_alike(li3ocl):
    """Vacancy hops along the edges of the Li6O octahedron: one kind, twelve in the cell; Zhao and Daemen (2012)."""
    assert li3ocl.path(3) is not None
    assert len(np.unique(li3ocl.hop_orbit)) == 1
    assert len(li3ocl.hop_energy) == 12
    d = li3ocl.diffusivity(400.0)
    np.testing.assert_allclose(d, d[0, 0] * np.eye(3), rtol=1e-6, atol=1e-9 * d[0, 0])
    # Twelve equal hops of length a / sqrt(2) between three sites: D = k l^2 8 / 6 with eight neighbours a site.
    rate = 1e13 * np.exp(-li3ocl.barrier_forward[0] / (8.617333262e-5 * 400.0))
    assert d[0, 0] == pytest.approx(8 / 6 * rate * (3.9083 / np.sqrt(2)) ** 2 * 1e-16, rel=1e-4)


def test_tetragonal_llzo_conducts_in_three_dimensions():
    """J. Awaka et al., J. Solid State Chem. 182, 2046 (2009): a three-dimensional framework of lithium sites."""
    paths = compute_paths(FILES["Li7La3Zr2O12_tetragonal"])
    assert paths.path(3) is not None
    assert paths.recovery() == 1.0
    assert paths.barriers.e3d < 1.0


def test_sites_have_the_energy_of_the_grid(lifepo4):
    grid = lifepo4._grid
    np.testing.assert_allclose(
        grid.interpolate(lifepo4.site_frac) - lifepo4.zero_energy, lifepo4.site_energy, atol=0.02
    )
    energy, gradient, hessian = grid.field.derivatives(lifepo4.site_frac)
    np.testing.assert_allclose(energy - lifepo4.zero_energy, lifepo4.site_energy, atol=1e-6)
    assert np.abs(gradient).max() < 1e-3
    assert np.linalg.eigvalsh(hessian).min() > 0
    energy, gradient, hessian = grid.field.derivatives(lifepo4.hop_saddle_frac)
    np.testing.assert_allclose(energy - lifepo4.zero_energy, lifepo4.hop_energy, atol=1e-6)
    assert np.abs(gradient).max() < 1e-3
    assert ((np.linalg.eigvalsh(hessian) < 0).sum(axis=1) == 1).all()


def test_crystallographic_sites_are_found(lifepo4):
    assert lifepo4.recovery() == 1.0
    occupied = lifepo4.site_mobile >= 0
    assert occupied.sum() == 4
    assert (lifepo4.site_occupancy == occupied).all()
    assert (lifepo4.site_mobile_distance[occupied] < 0.3).all()
    assert len(np.unique(lifepo4.site_orbit[occupied])) == 1


def test_voids_belong_to_sites(lifepo4):
    """Each void's site is the one that descent on the grid reaches; edges know the hop between the basins."""
    network = lifepo4.network
    assert (lifepo4.void_energy >= lifepo4.site_energy.min() - 1e-9).all()
    labelled = lifepo4.void_site >= 0
    assert labelled.mean() > 0.9
    below = lifepo4.site_energy[lifepo4.void_site[labelled]] <= lifepo4.void_energy[labelled] + 1e-6
    assert below.all()
    ends = np.maximum(*lifepo4.void_energy[network.edge_index])
    assert (lifepo4.edge_energy >= ends - 1e-6).all()
    for e in np.flatnonzero(lifepo4.edge_hop >= 0):
        sites = set(lifepo4.void_site[network.edge_index[:, e]].tolist())
        assert sites == set(lifepo4.hop_index[:, lifepo4.edge_hop[e]].tolist())
        assert lifepo4.edge_energy[e] >= lifepo4.hop_energy[lifepo4.edge_hop[e]] - 0.02


def signature(paths, cells=1):
    """Energies, lengths and radii of the hops, sorted; a supercell has `cells` times as many of each."""
    rows = np.c_[paths.hop_energy, np.sort(np.c_[paths.barrier_forward, paths.barrier_backward]), paths.hop_length]
    rows = rows[np.lexsort(rows.T[::-1])]
    return np.round(rows[::cells], 3), len(rows) // cells


def test_hops_do_not_depend_on_the_origin(lifepo4):
    structure = fastin.Crystal.from_file(FILES["LiFePO4"]).to_structure()
    structure.translate_sites(list(range(len(structure))), [0.137, 0.291, 0.413])
    moved = compute_paths(structure)
    (a, n), (b, m) = signature(lifepo4), signature(moved)
    assert n == m
    np.testing.assert_allclose(a[:, :3], b[:, :3], atol=3e-3)
    np.testing.assert_allclose(a[:, 3], b[:, 3], atol=0.1)  # where a polyline is sampled
    np.testing.assert_allclose(moved.diffusivity(350.0), lifepo4.diffusivity(350.0), rtol=0.02, atol=1e-25)


def test_supercell_has_the_same_network(li3ocl):
    structure = fastin.Crystal.from_file(FILES["Li3OCl"]).to_structure()
    structure.make_supercell([2, 1, 1])
    double = compute_paths(structure)
    assert len(double.site_energy) == 2 * len(li3ocl.site_energy)
    (a, n), (b, m) = signature(li3ocl), signature(double, cells=2)
    assert n == m
    np.testing.assert_allclose(a[:, :3], b[:, :3], atol=3e-3)
    np.testing.assert_allclose(double.barriers.values(), li3ocl.barriers.values(), atol=3e-3)
    np.testing.assert_allclose(double.diffusivity(350.0), li3ocl.diffusivity(350.0), rtol=0.05, atol=1e-16)


def test_profiles_run_from_site_to_site(lifepo4):
    for h in range(0, len(lifepo4.hop_energy), 3):
        profile = lifepo4.profile(h)
        i, j = lifepo4.hop_index[:, h]
        np.testing.assert_allclose(profile.frac[0], lifepo4.site_frac[i], atol=1e-9)
        np.testing.assert_allclose(profile.frac[-1], lifepo4.site_frac[j] + lifepo4.hop_image[h], atol=1e-9)
        assert profile.energy[0] == pytest.approx(lifepo4.site_energy[i], abs=1e-5)
        assert profile.energy.max() == pytest.approx(lifepo4.hop_energy[h], abs=1e-5)
        top = int(profile.energy.argmax())
        assert (np.diff(profile.energy[: top + 1]) > -1e-6).all()
        assert (np.diff(profile.energy[top:]) < 1e-6).all()
        assert profile.distance[-1] == pytest.approx(lifepo4.hop_length[h], abs=0.05)
        step = np.linalg.norm(np.diff(profile.frac, axis=0) @ lifepo4.cell, axis=1)
        assert step.max() < 0.25


def test_radius_is_the_clearance_along_the_path(lifepo4):
    from fastin.network.exact import clearance_at

    clearance = clearance_at(lifepo4.network.framework, lifepo4.profile(0).frac @ lifepo4.cell)
    assert clearance.min() == pytest.approx(lifepo4.hop_radius[0], abs=0.01)


def test_cutoff_drops_what_lies_above(licoo2):
    wide = compute_paths(FILES["LiCoO2"], energy_cutoff=20.0)
    assert wide.path(3) is not None
    assert len(wide.hop_energy) > len(licoo2.hop_energy)
    assert (wide.hop_energy <= 20.0).all()
    assert (licoo2.hop_energy <= licoo2.energy_cutoff).all()
    narrow = compute_paths(FILES["LiCoO2"], energy_cutoff=0.1)
    assert narrow.path(1) is None
    assert not len(narrow.conducting_sites)
    with pytest.raises(InputError, match="raise energy_cutoff"):
        narrow.diffusivity(300.0)
    with pytest.raises(InputError, match="positive"):
        compute_paths(FILES["LiCoO2"], energy_cutoff=-1.0)


def test_neb_images_of_a_vacancy_jump(lifepo4):
    hops = leg(lifepo4, 1)
    images = lifepo4.neb_images(hops, 5, supercell=8.0)
    assert len(images) == 7
    first = images[0]
    assert first.lattice.abc == pytest.approx((10.332, 12.020, 9.384))
    assert first.composition["Li"] == 15  # of 16: one vacancy
    assert {str(e): n for e, n in first.composition.items()} == {"Li": 15.0, "Fe": 16.0, "P": 16.0, "O": 64.0}
    energies = [image.properties["bvse_energy"] for image in images]
    assert energies[0] == pytest.approx(energies[-1], abs=1e-4)
    assert max(energies) <= lifepo4.barriers.e1d + 1e-6
    for a, b in itertools.pairwise(images):
        moved = np.linalg.norm(b.cart_coords - a.cart_coords, axis=1)
        assert (moved[:-1] < 1e-9).all()
        assert 0.3 < moved[-1] < 0.8
    for image in images:
        distances = image.distance_matrix + 99 * np.eye(len(image))
        assert distances[-1].min() > 1.5  # not on top of an atom or of another lithium
    for image in (images[0], images[-1]):
        assert np.sort(image.distance_matrix[-1])[1] > 1.9


def test_neb_images_of_one_hop_in_the_cell(li3ocl):
    images = li3ocl.neb_images(0, 3)
    assert len(images) == 5
    assert images[0].composition["Li"] == 2
    middle = images[2].properties["bvse_energy"]
    assert middle == pytest.approx(li3ocl.hop_energy[0], abs=5e-3)


def test_neb_files(lifepo4, tmp_path):
    pymatgen = pytest.importorskip("pymatgen.core")
    ase_io = pytest.importorskip("ase.io")
    images = lifepo4.neb_images(0, 3)
    files = lifepo4.write_neb(0, tmp_path / "neb", 3)
    assert [f.parent.name for f in files] == ["00", "01", "02", "03", "04"]
    for file, image in zip(files, images, strict=True):
        back = pymatgen.Structure.from_file(file)
        assert back.composition == image.composition
        np.testing.assert_allclose(back.frac_coords, image.frac_coords, atol=1e-10)
    (file,) = lifepo4.write_neb(0, tmp_path / "neb.extxyz", 3)
    chain = ase_io.read(file, index=":")
    assert len(chain) == 5
    np.testing.assert_allclose(chain[1].positions, images[1].cart_coords, atol=1e-8)
    assert chain[1].info["bvse_energy"] == pytest.approx(images[1].properties["bvse_energy"], abs=1e-6)


def test_neb_refusals(lifepo4, tmp_path):
    with pytest.raises(InputError, match="there is no hop"):
        lifepo4.neb_images(10_000)
    with pytest.raises(InputError, match="at least one image"):
        lifepo4.neb_images(0, 0)
    with pytest.raises(InputError, match="three multiples"):
        lifepo4.neb_images(0, supercell=(1, 0, 1))
    ends = set(lifepo4.hop_index[:, 0])
    far = next(h for h in range(len(lifepo4.hop_energy)) if not ends & set(lifepo4.hop_index[:, h]))
    with pytest.raises(InputError, match="do not follow"):
        oriented(lifepo4, [0, far])
    with pytest.raises(InputError, match="raise the cutoff"):
        leg(lifepo4, 3)
    disordered = tmp_path / "mixed.cif"
    text = FILES["Li3OCl"].read_text()
    mixed = text.replace("Cl1 Cl 0.5 0.5 0.5 1", "Cl1 Cl 0.5 0.5 0.5 0.5\nBr1 Br 0.5 0.5 0.5 0.5")
    assert mixed != text
    disordered.write_text(mixed)
    with pytest.raises(DisorderError, match="occupancy"):
        compute_paths(disordered).neb_images(0)


def test_supercells():
    cell = np.array([[3.0, 0, 0], [0, 5.0, 0], [0, 0, 9.0]])
    assert supercell_for(cell, None) == (1, 1, 1)
    assert supercell_for(cell, 8.0) == (3, 2, 1)
    assert supercell_for(cell, (1, 2, 3)) == (1, 2, 3)
    sheared = np.array([[3.0, 0, 0], [2.9, 3.0, 0], [0, 0, 9.0]])  # spacings, not lengths
    assert supercell_for(sheared, 6.0)[0] == 3


def test_conductivity_needs_ions():
    guest = compute_paths(FILES["Li3OCl"], "Na", energy_cutoff=4.0)
    assert guest.ion.guest
    assert np.isnan(guest.recovery())
    assert (guest.site_mobile == -1).all()
    if len(guest.conducting_sites):
        with pytest.raises(InputError, match="ions_per_cell"):
            guest.conductivity(300.0)


def test_tables(lifepo4):
    rows = lifepo4.hop_classes()
    assert sum(r["multiplicity"] for r in rows) == len(lifepo4.hop_energy)
    assert rows[0]["dimensions"] == 1
    row = json.loads(json.dumps(lifepo4.to_dict()))
    assert row["e1d_eV"] == pytest.approx(lifepo4.barriers.e1d)
    assert row["paths"]["1d"]["barrier_eV"] == pytest.approx(lifepo4.barriers.e1d)
    html = lifepo4._repr_html_()
    assert html.count("<tr>") == len(rows) + 1


def test_command(tmp_path):
    out = tmp_path / "paths.json"
    arguments = [
        "paths",
        str(FILES["LiFePO4"]),
        "--neb",
        "1d",
        "--neb-out",
        str(tmp_path / "chain"),
        "-o",
        str(out),
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "1D path along [0 1 0]" in result.output
    assert (tmp_path / "chain" / "06" / "POSCAR").exists()
    row = json.loads(out.read_text())
    assert row["kinetics"]["activation_energy_eV"] == pytest.approx(row["e1d_eV"], abs=0.01)
    result = CliRunner().invoke(main, ["paths", str(FILES["LiFePO4"]), "--json"])
    assert json.loads(result.stdout)["ion"] == "Li+"
    assert CliRunner().invoke(main, ["paths", str(tmp_path / "absent.cif")]).exit_code == 2
    assert CliRunner().invoke(main, ["paths", str(FILES["LiFePO4"]), "--neb", "x"]).exit_code == 2


def test_arrhenius_beside_the_network(tmp_path):
    data = tmp_path / "sigma.csv"
    data.write_text("T_K,sigma\n300,1e-6\n350,1e-5\n400,6e-5\n")
    plot = tmp_path / "plot.png"
    arguments = ["arrhenius", str(data), "--network", str(FILES["Li3OCl"]), "-o", str(plot), "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert row["network"]["activation_energy_eV"] == pytest.approx(0.5, abs=0.2)
    assert plot.stat().st_size > 5000


def test_short_names_are_the_columns_of_the_tables(lifepo4):
    from dataclasses import fields

    for table, prefix in (("sites", "site_"), ("hops", "hop_"), ("voids", "void_"), ("positions", "mobile_")):
        for column in fields(getattr(lifepo4, table)):
            if column.name.startswith("basin_"):
                continue
            name = column.name if column.name.startswith("edge_") else prefix + column.name
            value = getattr(lifepo4, name)
            assert value is getattr(getattr(lifepo4, table), column.name)
            if isinstance(value, np.ndarray):
                assert not value.flags.writeable
            with pytest.raises(AttributeError, match="cannot assign"):
                setattr(lifepo4, name, value)


def _closed(paths, rotations, translations):
    """Every operation takes every hop to a hop of the same energy and class."""

    def find(points):
        gap = points[:, None, :] - paths.site_frac[None]
        whole = np.round(gap)
        distance = np.linalg.norm((gap - whole) @ paths.cell, axis=2)
        best = distance.argmin(axis=1)
        assert distance.min(axis=1).max() < 0.05
        return best, whole[np.arange(len(points)), best].astype(int)

    i, j = paths.hop_index
    hops = {}
    for h, (a, b, image) in enumerate(zip(i.tolist(), j.tolist(), paths.hop_image.tolist(), strict=True)):
        hops.setdefault((a, b, *image), []).append(h)
        hops.setdefault((b, a, *(-v for v in image)), []).append(h)
    for rotation, translation in zip(rotations, translations, strict=True):
        a, cell_a = find(paths.site_frac[i] @ rotation.T + translation)
        b, cell_b = find((paths.site_frac[j] + paths.hop_image) @ rotation.T + translation)
        for h, image in enumerate((cell_b - cell_a).tolist()):
            there = hops[int(a[h]), int(b[h]), *image]
            assert any(
                paths.hop_energy[k] == paths.hop_energy[h] and paths.hop_orbit[k] == paths.hop_orbit[h] for k in there
            )


def _invariant(paths, rotations):
    d = paths.diffusivity(600.0)
    for rotation in rotations:
        r = paths.cell.T @ rotation @ np.linalg.inv(paths.cell.T)
        np.testing.assert_allclose(r @ d @ r.T, d, atol=1e-6 * np.abs(d).max())


@pytest.mark.parametrize("name", ["LiCoO2", "Li3OCl", "Na3PS4_cubic", "Li3N", "LiFePO4", "CaF2"])
def test_hops_are_closed_under_the_space_group(name):
    """With the origin anywhere: the grid then breaks the symmetry."""
    crystal = fastin.Crystal.from_file(FILES[name])
    structure = crystal.to_structure()
    structure.translate_sites(list(range(len(structure))), [0.1234, 0.2567, 0.0377])
    shifted = fastin.Crystal.from_structure(structure)
    paths = compute_paths(shifted)
    _closed(paths, shifted.rotations, shifted.translations)
    _invariant(paths, shifted.rotations)
    home = compute_paths(crystal)
    assert len(paths.hop_energy) == len(home.hop_energy)
    assert np.bincount(paths.hop_orbit).tolist() == np.bincount(home.hop_orbit).tolist()
    d = home.diffusivity(600.0)
    np.testing.assert_allclose(paths.diffusivity(600.0), d, rtol=1e-3, atol=1e-9 * np.abs(d).max())


def test_rounded_coordinates_keep_the_space_group():
    """Positions off by 2e-3 A, which spglib forgives: the field obeys fewer operations than the crystal."""
    structure = fastin.Crystal.from_file(FILES["LiCoO2"]).to_structure()
    rng = np.random.default_rng(1)
    for k in range(len(structure)):
        shift = rng.normal(size=3)
        structure.translate_sites(k, 2e-3 * shift / np.linalg.norm(shift), frac_coords=False)
    crystal = fastin.Crystal.from_structure(structure)
    paths = compute_paths(crystal)
    assert len(crystal.rotations) == 36
    assert len(paths._grid.field.rotations) < 36
    assert len(paths.hop_energy) == 18
    _closed(paths, crystal.rotations, crystal.translations)
    _invariant(paths, crystal.rotations)


def test_positions_belong_to_the_basins_that_hold_them(lifepo4):
    """Small steps down the gradient, and nothing else, end on the site."""
    field = lifepo4._grid.field
    inverse = np.linalg.inv(lifepo4.cell)
    pairs = lifepo4.positions
    assert pairs.basin_position.tolist() == [0, 1, 2, 3]
    for k, site, cell in zip(pairs.basin_position, pairs.basin_site, pairs.basin_cell, strict=True):
        x = lifepo4.mobile_frac[k] + 1e-3
        for _ in range(400):
            _, gradient, _ = field.derivatives(x[None])
            x = x - 0.005 * gradient[0] @ inverse
        np.testing.assert_allclose(x, lifepo4.site_frac[site] + cell, atol=0.01)
        assert lifepo4.site_mobile[site] == k
    assert lifepo4.site_occupancy.sum() == pytest.approx(4.0)


def test_split_minima_share_a_position():
    """Li3N: Li2 lies on the mirror plane between two minima, Li1 on a hill whose valleys are other positions'."""
    paths = compute_paths(FILES["Li3N"])
    pairs = paths.positions
    assert np.bincount(pairs.basin_position, minlength=3).tolist() == [0, 2, 2]
    np.testing.assert_allclose(paths.site_occupancy, 0.5)
    assert [w.code for w in paths.warnings] == ["ion-off-site"]
    assert paths.conducting_ions == pytest.approx(2.0)


def test_wyckoff_letters():
    """Rhombohedral LiCoO2: Li on 3a, the tetrahedra beside it on 6c (Orman and Wiseman, Acta Cryst. C40, 12 (1984))."""
    paths = compute_paths(FILES["LiCoO2"])
    assert set(paths.mobile_wyckoff) == {"3a"}
    assert {w for w, k in zip(paths.site_wyckoff, paths.site_mobile, strict=True) if k >= 0} == {"3a"}
    assert {w for w, k in zip(paths.site_wyckoff, paths.site_mobile, strict=True) if k < 0} == {"6c"}
    structure = fastin.Crystal.from_file(FILES["LiCoO2"]).to_structure()
    primitive = compute_paths(structure.get_primitive_structure())
    assert sorted(set(primitive.site_wyckoff)) == ["3a", "6c"]


def test_conductivity_counts_the_ions_that_are_there(lifepo4):
    from dataclasses import replace

    assert lifepo4.conducting_ions == pytest.approx(4.0)
    np.testing.assert_array_equal(lifepo4.occupied_levels, lifepo4.levels)
    half = replace(lifepo4.positions, occupancy=0.5 * lifepo4.mobile_occupancy)
    some = replace(lifepo4, positions=half)
    np.testing.assert_allclose(some.conductivity(300.0), 0.5 * lifepo4.conductivity(300.0))
    np.testing.assert_allclose(some.diffusivity(300.0), lifepo4.diffusivity(300.0))
    none = replace(half, occupancy=np.zeros(4))
    empty = replace(lifepo4, positions=none)
    assert empty.conducting_ions == 0
    assert not empty.conductivity(300.0).any()
    assert np.isinf(empty.occupied_levels).all()
    np.testing.assert_allclose(empty.diffusivity(300.0), lifepo4.diffusivity(300.0))


def test_no_site_lies_below_the_lowest(lifepo4, licoo2):
    for paths in (lifepo4, licoo2, compute_paths(FILES["Li10GeP2S12"])):
        assert paths.site_energy.min() == 0.0
        assert paths.zero_energy == pytest.approx(paths.barriers.energy_minimum, abs=1e-6)
