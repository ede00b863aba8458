"""describe() and bond valence sums."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.bvse.parameters import find_pair, pair_mixture
from fastin.bvse.valence import bond_valence_sums, global_instability_index, valence_mismatch
from fastin.crystal.crystal import Crystal
from fastin.crystal.elements import symbol
from fastin.errors import InputError, MissingParameterError
from fastin.runtime.openmp import _core


@pytest.fixture(scope="module")
def olivine() -> dict[str, float]:
    return fastin.describe(fastin.examples()["LiFePO4"], paths=True)


def rocksalt(a: float = 5.13) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Li+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_bond_valence_sum_of_rocksalt_by_hand():
    a = 5.13
    pair = find_pair("Li", 1, "Cl", -1)
    shells = [(6, a / 2), (8, a / 2 * math.sqrt(3)), (24, a / 2 * math.sqrt(5)), (30, a / 2 * 3)]
    want = sum(n * math.exp((pair.r0 - r) / pair.b) for n, r in shells if r <= pair.bv_cutoff)
    sums = bond_valence_sums(Crystal.from_structure(rocksalt(a)))
    np.testing.assert_allclose(sums, want, rtol=1e-12)
    assert 0.9 < want < 1.1
    assert global_instability_index(Crystal.from_structure(rocksalt(a))) == pytest.approx(abs(want - 1))


def test_valences_of_both_ends_balance():
    crystal = Crystal.from_file(fastin.examples()["LiFePO4"])
    sums = bond_valence_sums(crystal)
    cations = crystal.charge > 0
    assert sums[cations].sum() == pytest.approx(sums[~cations].sum())
    assert np.abs(valence_mismatch(crystal)).max() < 0.3
    assert global_instability_index(crystal) < 0.1


def test_strain_raises_the_instability():
    relaxed, stretched = (global_instability_index(Crystal.from_structure(rocksalt(a))) for a in (5.13, 5.6))
    assert stretched > relaxed + 0.2


def test_occupancies_weigh_in_valence_sums():
    half = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.13), [{"Li+": 0.5, "Na+": 0.5}, "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    lithium, sodium = (
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.13), [c, "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        for c in ("Li+", "Na+")
    )
    crystals = [Crystal.from_structure(s) for s in (half, lithium, sodium)]
    sums = [bond_valence_sums(c)[c.charge < 0].mean() for c in crystals]
    assert sums[0] == pytest.approx(0.5 * (sums[1] + sums[2]))


def test_keys_carry_units_and_do_not_depend_on_the_crystal(olivine):
    assert all(isinstance(value, float) for value in olivine.values())
    other = fastin.describe(fastin.examples()["CaF2"], "F", resolution=0.4, paths=True)
    assert list(other) == list(olivine)
    untraced = fastin.describe(fastin.examples()["CaF2"], "F", resolution=0.4)
    assert untraced == {k: v for k, v in other.items() if not k.startswith(("path_", "tortuosity_"))}
    unit = re.compile(r"_(A|A3|eV|e|g_cm3|per_nm3|K)$|_\d+(\.\d+)?eV$|_\d+K$")
    plain = {name for name in olivine if not unit.search(name)}
    assert plain == {
        *("atoms_per_cell", "space_group_number", "mobile_share_of_atoms", "mobile_site_occupancy_mean"),
        *("framework_disordered_share", "anion_electronegativity_mean", "framework_cation_electronegativity_mean"),
        *("channel_dimensionality", "channels", "inequivalent_voids", "inequivalent_bottlenecks", "edges_per_void"),
        *("wide_bottleneck_share", "recovery_share", "sphere_volume_share"),
        *("tortuosity_1d", "tortuosity_2d", "tortuosity_3d"),
    }


def test_values_are_those_of_the_parts(olivine):
    crystal = Crystal.from_file(fastin.examples()["LiFePO4"])
    network = fastin.compute_network(crystal)
    barriers = fastin.compute_barriers(fastin.compute_bvse(crystal))
    assert olivine["free_sphere_radius_b_A"] == network.free_sphere_radii[1]
    assert olivine["largest_sphere_radius_A"] == network.largest_sphere_radius
    assert olivine["barrier_1d_network_eV"] == barriers.e1d
    assert olivine["barrier_3d_global_eV"] == barriers.values("global")[2]
    assert olivine["global_instability_index_e"] == pytest.approx(global_instability_index(crystal))
    assert olivine["density_g_cm3"] == pytest.approx(3.6, abs=0.1)
    shares = [olivine[f"accessible_share_{level:g}eV"] for level in (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
    # the 1D path runs along b, a little longer than the cell edge
    assert 6.0 < olivine["path_length_1d_A"] < 9.0
    assert 1.0 <= olivine["tortuosity_1d"] < 1.5
    assert olivine["mobile_site_energy_mean_eV"] < 0.1


def test_parts_given_are_used(olivine):
    crystal = Crystal.from_file(fastin.examples()["LiFePO4"])
    grid = fastin.compute_bvse(crystal)
    found = fastin.describe(
        crystal, network=fastin.compute_network(crystal), grid=grid, barriers=fastin.compute_barriers(grid), paths=True
    )
    for name, value in olivine.items():
        np.testing.assert_allclose(found[name], value, err_msg=name)


def test_guest_has_no_mobile_sites():
    host = rocksalt()
    found = fastin.describe(host, "Na", resolution=0.4)
    assert math.isnan(found["valence_mismatch_mean_e"])
    assert math.isnan(found["mobile_site_energy_mean_eV"])
    assert math.isnan(found["recovery_share"])
    assert found["mobile_share_of_atoms"] == 0.0
    assert math.isfinite(found["barrier_3d_network_eV"])


def test_errors_or_nan():
    carbide = Structure(
        Lattice.cubic(4.5),
        ["Li+", "Li+", "Li+", "Li+", "C4-"],
        [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5] * 3, [0] * 3],
    )
    with pytest.raises(InputError, match="on_error"):
        fastin.describe(carbide, on_error="skip")
    with pytest.raises(MissingParameterError):
        fastin.describe(carbide, "Li")
    found = fastin.describe(carbide, on_error="nan")
    assert math.isnan(found["barrier_1d_network_eV"])
    assert math.isnan(found["global_instability_index_e"])
    assert math.isfinite(found["density_g_cm3"])


def test_framework_pairs_without_parameters_leave_the_rest():
    """Pt2+ - H- is in no table: its atoms have no valence sum, the mobile ion keeps its own."""
    structure = Structure(
        Lattice.tetragonal(3.6, 8.0), ["Na+", "Na+", "Pt2+", *["H-"] * 4],
        [[0.5, 0.5, 0.25], [0.5, 0.5, 0.75], [0, 0, 0], [0.45, 0, 0], [0.55, 0, 0.5], [0, 0.45, 0], [0, 0.55, 0.5]],
    )  # fmt: skip
    crystal = Crystal.from_structure(structure)
    with pytest.raises(MissingParameterError, match=r"Pt2\+ - H-"):
        bond_valence_sums(crystal)
    sums = bond_valence_sums(crystal, missing="nan")
    assert np.isfinite(sums[crystal.number == 11]).all()
    assert np.isnan(sums[crystal.number == 78]).all()
    assert math.isnan(global_instability_index(crystal, missing="nan"))
    with pytest.raises(InputError, match="missing"):
        bond_valence_sums(crystal, missing="skip")


def plain_sums(crystal: Crystal) -> np.ndarray:
    """Bond valence sums by loops over a block of images."""
    sums = np.zeros(len(crystal.frac))
    block = np.array([(a, b, c) for a in range(-4, 5) for b in range(-4, 5) for c in range(-4, 5)])
    for i in np.flatnonzero(crystal.charge > 0):
        for j in np.flatnonzero(crystal.charge < 0):
            names = [symbol(int(crystal.number[k])) for k in (i, j)]
            distance = np.linalg.norm((crystal.frac[j] + block - crystal.frac[i]) @ crystal.cell, axis=1)
            for pair, weight in pair_mixture(names[0], crystal.charge[i], names[1], crystal.charge[j]):
                near = distance[(distance <= pair.bv_cutoff) & (distance > 0.5)]
                valence = weight * np.exp((pair.r0 - near) / pair.b).sum()
                sums[i] += valence * crystal.occupancy[j]
                sums[j] += valence * crystal.occupancy[i]
    return sums


@pytest.mark.parametrize("name", ["LiFePO4", "Li10GeP2S12", "LiCoO2"])
def test_valence_sums_are_those_of_the_plain_loops(name):
    crystal = Crystal.from_file(fastin.examples()[name])
    np.testing.assert_allclose(bond_valence_sums(crystal), plain_sums(crystal), rtol=1e-12)


def test_valence_sums_do_not_depend_on_the_choice_of_cell():
    structure = Crystal.from_file(fastin.examples()["LiFePO4"]).to_structure()
    sheared = structure.copy()
    sheared.make_supercell([[1, 0, 0], [3, 1, 0], [-2, 4, 1]])
    one, other = (np.sort(bond_valence_sums(Crystal.from_structure(s))) for s in (structure, sheared))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_fractional_charges_are_mixtures():
    crystal = Crystal.from_structure(rocksalt(), oxidation_states={"Li": 0.5, "Cl": -0.5})
    np.testing.assert_allclose(bond_valence_sums(crystal), plain_sums(crystal), rtol=1e-12)


def test_distances_of_mobile_sites_are_those_of_the_plain_search():
    for name in ("LiFePO4", "Li10GeP2S12"):
        crystal = Crystal.from_file(fastin.examples()[name])
        block = np.array([(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)])
        mobile = crystal.number == 3
        like, unlike = [], []
        for i in np.flatnonzero(mobile):
            apart = (crystal.frac[:, None] + block - crystal.frac[i]) @ crystal.cell
            distance = np.linalg.norm(apart, axis=2)
            distance[distance <= 0.5] = np.inf
            like.append(min(8.0, distance[mobile].min()))
            unlike.append(min(8.0, distance[~mobile].min()))
        facts = fastin.describe(crystal, resolution=0.6)
        assert facts["mobile_mobile_distance_A"] == pytest.approx(np.mean(like), rel=1e-12)
        assert facts["mobile_framework_distance_A"] == pytest.approx(np.mean(unlike), rel=1e-12)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 16, 17, 5000, 20011])
def test_shares_below_levels_are_those_of_numpy(count):
    values = np.random.default_rng(count).gamma(2.0, 1.0, count).astype(np.float32) - np.float32(3.0)
    levels = np.array([0.1, 0.5, 3.0], np.float32)
    if count == 0:
        with pytest.raises(InputError, match="empty"):
            _core.level_shares(values, -3.0, levels, kt=0.0861)
        return
    values[0] = 1000.0
    shares, thermal = _core.level_shares(values, -2.9, levels, kt=0.0861)
    height = values - np.float32(-2.9)
    assert shares.tolist() == [float((height <= level).mean()) for level in levels]
    assert thermal == pytest.approx(np.exp(-np.maximum(height.astype(float), 0.0) / 0.0861).mean(), rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
def test_spread_is_that_of_numpy(count):
    values = np.random.default_rng(count).normal(3.0, 2.0, count)
    want = (values.mean(), values.std(), values.min(), np.median(values), values.max())
    assert _core.spread(values) == pytest.approx(want, rel=1e-13)


def test_spread_of_nothing_and_of_nan_is_nan():
    assert all(map(math.isnan, _core.spread(np.zeros(0))))
    assert all(map(math.isnan, _core.spread(np.array([1.0, np.nan, 2.0]))))


def test_barriers_bring_their_grid():
    path = fastin.examples()["LiCoO2"]
    grid = fastin.compute_bvse(path, resolution=0.4)
    barriers = fastin.compute_barriers(grid)
    network = fastin.compute_network(path)
    given = fastin.describe(path, network=network, grid=grid, barriers=barriers)
    assert fastin.describe(path, network=network, barriers=barriers) == given
