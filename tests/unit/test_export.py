"""Files of a transport network: legs, profiles, sites, kMCpy input; the bond valence map."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pymatgen.core import Structure

import fastin
from fastin.bvse.valence import bond_valence_sums
from fastin.cli import main
from fastin.crystal.crystal import Crystal
from fastin.errors import InputError
from fastin.transport.kinetics import BOLTZMANN_EV, HopModel
from fastin.transport.kmcpy import write_kmcpy
from fastin.transport.lattice_gas import LatticeGas, Repulsion

sys.path.insert(0, str(Path(__file__).parents[1]))
from lattice_gas_twin import pair_matrix, rates, tiled


@pytest.fixture(scope="module")
def garnet():
    return fastin.compute_paths(fastin.examples()["Li7La3Zr2O12_cubic"])


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_legs(garnet, tmp_path):
    (file,) = garnet.write(tmp_path / "legs.csv")
    rows, legs = rows_of(file), garnet.legs()
    assert len(rows) == len(legs) > 0
    for row, leg in zip(rows, legs, strict=True):
        assert float(row["barrier_eV"]) == pytest.approx(leg.barrier, abs=1e-6)
        assert int(row["multiplicity"]) == leg.multiplicity
        assert [abs(int(h)) for h in row["hops"].split()] == list(leg.hops)
        assert len(row["sites"].split()) == len(leg.hops) + 1


def test_profile(garnet, tmp_path):
    (file,) = garnet.write(tmp_path / "p.csv", what="profile")
    assert "-0.000000," not in file.read_text(encoding="utf-8")
    rows = rows_of(file)
    for d in (1, 2, 3):
        path = garnet.path(d)
        mine = [row for row in rows if int(row["dimensions"]) == d]
        energy = np.array([float(row["energy_eV"]) for row in mine])
        where = np.array([[float(row[f"{n}_A"]) for n in "xyz"] for row in mine])
        at = np.array([float(row["distance_A"]) for row in mine])
        assert (np.diff(at) > 0).all()  # each point once
        np.testing.assert_allclose(energy, np.interp(at, path.distance, path.energy), atol=1e-5)
        np.testing.assert_allclose(where[-1] - where[0], path.translation @ garnet.cell, atol=1e-5)
        gap = np.linalg.norm(np.diff(where, axis=0), axis=1)
        np.testing.assert_allclose(np.diff([float(r["distance_A"]) for r in mine]), gap, atol=1e-4)


def test_sites_are_read_by_ase(garnet, tmp_path):
    read = pytest.importorskip("ase.io", reason="ase is not installed").read
    (file,) = garnet.write(tmp_path / "sites.extxyz")
    atoms = read(file)
    dummy = atoms.numbers == 0
    assert dummy.sum() == len(garnet.sites)
    np.testing.assert_allclose(atoms.cell[:], garnet.cell, atol=1e-8)
    np.testing.assert_allclose(atoms.arrays["site_energy"][dummy], garnet.site_energy, atol=1e-6)
    np.testing.assert_array_equal(atoms.arrays["site_class"][dummy], garnet.site_orbit)
    assert "Li" not in atoms.get_chemical_symbols()
    crystal = garnet.crystal
    assert (~dummy).sum() == (crystal.number != 3).sum()


def test_json_and_unknown_names(garnet, tmp_path):
    (file,) = garnet.write(tmp_path / "all.json")
    assert len(json.loads(file.read_text())["legs"]) == len(garnet.legs())
    for name, what in (("x.pdf", None), ("x.csv", "nothing")):
        with pytest.raises(InputError, match="kmcpy"):
            garnet.write(tmp_path / name, what=what)


def layered(exclusion):
    hops = [
        (0, 1, (0, 0, 0), 0.25),
        (1, 2, (0, 0, 0), 0.3),
        (2, 3, (0, 0, 0), 0.28),
        (3, 0, (1, 0, 0), 0.33),
        (0, 2, (0, 1, 0), 0.35),
        (1, 1, (0, 0, 1), 0.4),
    ]
    model = HopModel(
        cell=np.diag([8.0, 4.5, 6]),
        site_frac=np.array([[0.1, 0.1, 0], [0.35, 0.4, 0], [0.6, 0.15, 0], [0.85, 0.55, 0]]),
        site_energy=np.array([0.0, 0.06, 0.02, 0.1]),
        hop_index=np.array([[h[0] for h in hops], [h[1] for h in hops]]),
        hop_image=np.array([h[2] for h in hops], np.int32),
        hop_energy=np.array([h[3] for h in hops]),
        prefactor=np.array([1.0, 1.0, 0.5, 1.0, 1.0, 1.0]) * 1e13,
    )
    return LatticeGas(model, 1.5, exclusion=exclusion)


def sites_of(event):
    return {*event["mobile_ion_indices"], *event["local_env_indices"]}


def rule_rate(rules, event, state, kt, common):
    """kMCpy's rule: the first that fits gives the barrier; only a filled and an empty end make a rate."""
    a, b = event["mobile_ion_indices"]
    if state[a] == state[b]:
        return 0.0
    canonical = [a, b, *event["local_env_indices"]]
    for rule in rules:
        if rule["mobile_ion_indices"] == [a, b] and all(
            p in ("*", state[s]) for p, s in zip(rule["pattern"], canonical, strict=True)
        ):
            return common * np.exp(-rule["properties"]["barrier"] / 1e3 / kt)
    return 0.0


@pytest.mark.parametrize("exclusion", [0.0, 2.6])
def test_kmcpy_files_give_the_rates_of_the_lattice_gas(tmp_path, exclusion):
    """Every event of random allowed states, against the plain twin; positions and steps by the shortest way."""
    gas, kt = layered(exclusion), BOLTZMANN_EV * 500.0
    files = write_kmcpy(gas, tmp_path, source="x", element="Li", temperature=500.0, supercell=(3, 4, 3))
    assert [f.name for f in files] == ["structure.cif", "events.json", "model.json", "state.json", "input.yaml"]
    events = json.loads(files[1].read_text())
    rules = json.loads(files[2].read_text())["rules"]
    state = json.loads(files[3].read_text())["occupations"]
    assert state.count(0) == round(1.5 * 36)
    energy, moves, pairs = tiled(gas, (3, 4, 3))
    v = pair_matrix(len(energy), pairs)
    filled = np.array(state) == 0
    assert not np.isinf(v[filled][:, filled]).any()
    expected = {}
    for m, rate in rates(filled, energy, moves, v, kt):
        expected[moves[m][0], moves[m][1]] = rate
    got = {}
    structure = Structure.from_file(files[0])
    order = [int(site.label.removeprefix("Li")) - 1 for site in structure]
    assert order == sorted(order)
    by_ends = {(m[0], m[1]): m[2] for m in moves}
    for event in events["events"]:
        a, b = event["mobile_ion_indices"]
        gap = structure[b].frac_coords - structure[a].frac_coords
        np.testing.assert_allclose((gap - np.round(gap)) @ structure.lattice.matrix, by_ends[a, b], atol=1e-5)
        rate = rule_rate(rules, event, state, kt, 1e13)
        if rate > 0:
            got[(a, b) if filled[a] else (b, a)] = rate
    assert got.keys() == expected.keys()
    for ends, rate in expected.items():
        assert got[ends] == pytest.approx(rate, rel=1e-6)
    for e, row in enumerate(events["event_dependencies"]):
        mine = sites_of(events["events"][e])
        others = [k for k, v in enumerate(events["events"]) if mine & sites_of(v)]
        assert row == others


def test_kmcpy_refusals(tmp_path):
    with pytest.raises(InputError, match="shortest way"):
        write_kmcpy(layered(0.0), tmp_path, source="x", element="Li", supercell=(1, 1, 1))
    gas = LatticeGas(layered(0.0).model, 1.5, repulsion=Repulsion())
    with pytest.raises(InputError, match="repulsion"):
        write_kmcpy(gas, tmp_path, source="x", element="Li")


def test_kmcpy_reads_them(garnet, tmp_path, monkeypatch):
    """The program itself, where it is installed."""
    kmc = pytest.importorskip("kmcpy.simulator.kmc", reason="kmcpy is not installed")
    from kmcpy.simulator.config import Configuration

    garnet.write(tmp_path / "run", temperature=800.0)
    monkeypatch.chdir(tmp_path / "run")
    found = kmc.KMC.from_config(Configuration.from_file("input.yaml"))
    barriers = np.concatenate([garnet.barrier_forward, garnet.barrier_backward])
    barrier = -BOLTZMANN_EV * 800 * np.log(found.prob_list.max() / 1e13)
    assert np.abs(barriers - barrier).min() < 1e-4


def test_simulate_command():
    source = str(fastin.examples()["Li7La3Zr2O12_cubic"])
    result = CliRunner().invoke(main, ["paths", source, "--simulate", "--temperature", "700"])
    assert result.exit_code == 0, result.output
    assert "Haven ratio" in result.output
    assert "lattice gas at 700 K, 56 ions on 72 sites" in result.output


def test_command(tmp_path):
    source = str(fastin.examples()["Li3N"])
    files = [tmp_path / "p.csv", tmp_path / "l.csv"]
    result = CliRunner().invoke(
        main, ["paths", source, "--profile", str(files[0]), "--legs-out", str(files[1]), "--json"]
    )
    assert result.exit_code == 0, result.output
    assert rows_of(files[0])
    assert len(rows_of(files[1])) == len(json.loads(result.stdout)["legs"])


# --- bond valence map ---


def test_valence_map_is_the_sum_of_the_bonds():
    """At grid points: the sum over a plain list of neighbours; at the ion's own position: `bond_valence_sums`."""
    crystal = Crystal.from_file(fastin.examples()["LiCl"])
    found = fastin.bond_valence_map(crystal, shape=(20, 20, 20))
    sums = bond_valence_sums(crystal)
    for row in np.flatnonzero(crystal.number == 3):
        i, j, k = np.rint(crystal.frac[row] * 20).astype(int) % 20
        np.testing.assert_allclose(crystal.frac[row] * 20, np.rint(crystal.frac[row] * 20), atol=1e-9)
        assert found.values[i, j, k] == pytest.approx(sums[row], rel=1e-4)
    structure = crystal.to_structure()
    structure.remove_species(["Li+"])
    rng = np.random.default_rng(1)
    from fastin.bvse.parameters import pair_mixture

    ((pair, weight),) = pair_mixture("Li", 1.0, "Cl", -1.0)
    for i, j, k in rng.integers(0, 20, (20, 3)):
        near = structure.get_sites_in_sphere(structure.lattice.get_cartesian_coords(np.array([i, j, k]) / 20), 9.0)
        r = np.array([n.nn_distance for n in near])
        expected = weight * np.exp((pair.r0 - np.maximum(r[r <= pair.bv_cutoff], 0.5)) / pair.b).sum()
        assert found.values[i, j, k] == pytest.approx(expected, rel=1e-4)


def test_valence_map_beside_the_energy_grid(tmp_path):
    source = fastin.examples()["Li10GeP2S12"]
    grid = fastin.compute_bvse(source, resolution=0.5)
    found = fastin.bond_valence_map(source, resolution=0.5)
    assert found.shape == grid.shape
    at = np.unravel_index(grid.values.argmin(), grid.shape)
    assert found.mismatch[at] < 0.35  # the lowest energy has about the right valence
    text = found.write(tmp_path / "v.cube").read_text().splitlines()
    assert text[0].startswith("bond valence sum of Li+")
    assert "valence units" in text[1]
    back = fastin.EnergyGrid.read(found.write(tmp_path / "v.npz"))
    np.testing.assert_array_equal(back.values, found.values)
    assert "BondValenceMap(" in repr(found)


def test_valence_map_does_not_depend_on_the_cell():
    """A shifted origin and a supercell give the same sums."""
    crystal = Crystal.from_file(fastin.examples()["Li3OCl"]).to_structure()
    plain = fastin.bond_valence_map(crystal, "Li", shape=(12, 12, 12))
    double = crystal.copy()
    double.make_supercell([1, 2, 1])
    np.testing.assert_allclose(
        fastin.bond_valence_map(double, "Li", shape=(12, 24, 12)).values, np.tile(plain.values, (1, 2, 1)), rtol=1e-4
    )
    moved = crystal.copy()
    moved.translate_sites(range(len(moved)), [0.25, 0.5, 0])
    shifted = fastin.bond_valence_map(moved, "Li", shape=(12, 12, 12)).values
    np.testing.assert_allclose(shifted, np.roll(plain.values, (3, 6, 0), axis=(0, 1, 2)), rtol=1e-4)
