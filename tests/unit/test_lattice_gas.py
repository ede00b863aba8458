"""Lattice gas and its kinetic Monte Carlo: closed forms, the exact master equation of small cells, a plain twin."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastin
from fastin.errors import InputError
from fastin.transport.kinetics import BOLTZMANN_EV, HopModel
from fastin.transport.lattice_gas import LatticeGas, Repulsion
from fastin.transport.simulation import run

sys.path.insert(0, str(Path(__file__).parents[1]))
from lattice_gas_twin import master_equation, monte_carlo

T = 600.0


def model(cell, frac, energy, hops):
    """Hops as (i, j, image, saddle energy)."""
    return HopModel(
        cell=np.array(cell, float),
        site_frac=np.atleast_2d(np.array(frac, float)),
        site_energy=np.array(energy, float),
        hop_index=np.array([[h[0] for h in hops], [h[1] for h in hops]], dtype=np.int64).reshape(2, len(hops)),
        hop_image=np.array([h[2] for h in hops], dtype=np.int32).reshape(len(hops), 3),
        hop_energy=np.array([h[3] for h in hops], float),
    )


AXES = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def bravais(name):
    if name == "sc":
        cell, images = 4.0 * np.eye(3), AXES
    elif name == "bcc":
        cell, images = 2.0 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]), [*AXES, (1, 1, 1)]
    else:
        cell = 2.0 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
        images = [*AXES, (1, -1, 0), (0, 1, -1), (1, 0, -1)]
    return model(cell, [0, 0, 0], [0.0], [(0, 0, v, 0.3) for v in images])


def chain(gap, saddle=0.2):
    """Deep and shallow sites in turn along x."""
    return model(
        np.diag([5.0, 6, 7]),
        [[0, 0, 0], [0.5, 0, 0]],
        [0.0, gap],
        [(0, 1, (0, 0, 0), gap + saddle), (1, 0, (1, 0, 0), gap + saddle)],
    )


def layered():
    """Four unlike sites in a layer with two kinds of hops that can be enumerated in a 2 x 1 x 1 cell."""
    hops = [
        (0, 1, (0, 0, 0), 0.25),
        (1, 2, (0, 0, 0), 0.3),
        (2, 3, (0, 0, 0), 0.28),
        (3, 0, (1, 0, 0), 0.33),
        (0, 2, (0, 1, 0), 0.35),
        (1, 3, (0, -1, 0), 0.31),
    ]
    frac = [[0.1, 0.1, 0], [0.35, 0.4, 0], [0.6, 0.15, 0], [0.85, 0.55, 0]]
    return model(np.diag([8.0, 4.5, 6]), frac, [0.0, 0.06, 0.02, 0.1], hops)


def mean(tensor):
    return np.trace(tensor) / 3


# --- closed forms ---


@pytest.mark.parametrize("content", [0.1, 0.5, 0.875])
@pytest.mark.parametrize("name", ["sc", "bcc", "fcc"])
def test_mean_field_of_a_bravais_lattice(name, content):
    """D_charge = D_0 (1 - c), exact for the non-interacting lattice gas; occupations are the content."""
    m = bravais(name)
    gas = LatticeGas(m, content)
    np.testing.assert_allclose(gas.occupations(T), content, rtol=1e-9)
    np.testing.assert_allclose(gas.mean_field_diffusivity(T), m.diffusivity(T) * (1 - content), rtol=1e-8, atol=1e-20)


@pytest.mark.parametrize(("name", "content"), [("sc", 0.25), ("bcc", 0.5), ("fcc", 0.75)])
def test_charge_diffusivity_of_a_bravais_lattice(name, content):
    m = bravais(name)
    r = run(LatticeGas(m, content), T, supercell=(6, 6, 6), events=600_000, seed=1)
    expected = mean(m.diffusivity(T)) * (1 - content)
    error = mean(r.charge_error) * np.sqrt(3)
    assert r.converged
    assert abs(mean(r.charge) - expected) < 4 * error
    assert error < 0.25 * expected
    assert r.mean_conductivity == pytest.approx(mean(r.conductivity), rel=1e-12)
    np.testing.assert_allclose(r.occupation, content, atol=1e-12)


@pytest.mark.parametrize(("name", "factor"), [("sc", 0.6531), ("bcc", 0.7272), ("fcc", 0.7815)])
def test_correlation_factor_of_a_single_vacancy(name, factor):
    """K. Compaan, Y. Haven, Trans. Faraday Soc. 52, 786 (1956); a thousand sites make it less than 0.003 too large."""
    m, n = bravais(name), 10
    r = run(LatticeGas(m, 1 - 1 / n**3), T, supercell=(n, n, n), events=1_000_000, samples=64)
    free = mean(m.diffusivity(T)) / n**3
    assert r.ions == n**3 - 1
    assert r.mean_tracer_error < 0.012 * free
    assert abs(r.mean_tracer / free - factor) < 0.003 + 4 * r.mean_tracer_error / free


def test_dilute_limit_is_the_markov_model():
    """One ion in a large cell: both the mean field and the run give the tensor of independent ions."""
    m = layered()
    exact = m.diffusivity(T)
    thin = LatticeGas(m, 1e-7)
    np.testing.assert_allclose(thin.mean_field_diffusivity(T), exact, rtol=1e-5, atol=1e-12 * exact.max())
    np.testing.assert_allclose(thin.occupations(T) / 1e-7, m.occupations(T), rtol=1e-5)
    r = run(LatticeGas(m, 1 / 8), T, supercell=(4, 2, 1), events=400_000, samples=1024)
    assert r.ions == 1
    for tensor, error in ((r.tracer, r.tracer_error), (r.charge, r.charge_error)):
        assert (np.abs(tensor - exact) <= 4 * error + 1e-30).all()
    assert r.haven == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(r.occupation * 8, m.occupations(T), atol=0.01)


def test_single_sites_are_filled_as_fermions():
    m = model(np.eye(3) * 5, [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]], [0.0, 0.05, 0.4], [(0, 1, (0, 0, 0), 0.5)])
    p = LatticeGas(m, 1.0).occupations(300.0)
    odds = np.log(p / (1 - p)) * BOLTZMANN_EV * 300.0
    np.testing.assert_allclose(odds - odds[0], [0.0, -0.05, -0.4], atol=1e-9)
    assert p.sum() == pytest.approx(1.0, abs=1e-12)


def test_intrinsic_defects_keep_their_digits():
    """A full deep and an empty shallow site: x = exp(-gap / 2kT), far below the rounding of the sum of occupations."""
    p = LatticeGas(chain(2.6), 1.0).occupations(300.0)
    assert p[1] == pytest.approx(np.exp(-1.3 / (BOLTZMANN_EV * 300.0)), rel=1e-6)


def test_pair_that_excludes_itself_is_one_site():
    """Two sites that exclude each other hold one ion: p = z w / (1 + z (w_1 + w_2)), the Bethe form is exact."""
    m = model(np.eye(3) * 9, [[0, 0, 0], [0.1, 0, 0]], [0.0, 0.03], [(0, 1, (0, 0, 0), 0.1)])
    p = LatticeGas(m, 0.7, exclusion=1.5).occupations(T)
    assert p.sum() == pytest.approx(0.7, abs=1e-9)
    assert p[1] / p[0] == pytest.approx(np.exp(-0.03 / (BOLTZMANN_EV * T)), rel=1e-9)
    with pytest.raises(InputError, match="exclude"):
        LatticeGas(m, 1.2, exclusion=1.5).occupations(T)


# --- against the exact master equation ---

CASES = {
    "chain": (LatticeGas(chain(0.1), 1.0), (4, 1, 1), 4),
    "layer": (LatticeGas(layered(), 2.0), (2, 1, 1), 4),
    "exclusion": (LatticeGas(layered(), 1.0, exclusion=2.6), (2, 1, 1), 3),
    "repulsion": (LatticeGas(layered(), 1.5, repulsion=Repulsion(20.0, 4.0, 4.4)), (2, 1, 1), 3),
    "both": (LatticeGas(layered(), 1.0, exclusion=2.6, repulsion=Repulsion(15.0, 3.0, 4.4)), (2, 1, 1), 3),
}


@pytest.mark.parametrize("name", CASES)
def test_run_equals_the_master_equation(name):
    gas, multiples, ions = CASES[name]
    gas = replace(gas, ions_per_cell=ions / np.prod(multiples))
    exact, occupation = master_equation(gas, multiples, ions, T)
    r = run(gas, T, supercell=multiples, events=600_000, samples=256, seed=5)
    assert r.ions == ions
    assert r.converged
    assert (np.abs(r.charge - exact) < 4.5 * r.charge_error + 1e-3 * mean(exact)).all()
    assert mean(r.charge_error) < 0.3 * mean(exact)
    folded = occupation.reshape(-1, len(r.occupation)).mean(axis=0)
    np.testing.assert_allclose(r.occupation, folded, atol=0.006)
    forward, backward = r.hop_count
    assert (np.abs(forward - backward) < 6 * np.sqrt(forward + backward + 1)).all()  # detailed balance


@pytest.mark.parametrize("name", ["chain", "both"])
def test_plain_twin_agrees(name):
    gas, multiples, ions = CASES[name]
    _, occupation = master_equation(gas, multiples, ions, T)
    time, total, twin = monte_carlo(gas, multiples, ions, T, 6000, 2)
    np.testing.assert_allclose(twin, occupation, atol=0.12)
    r = run(replace(gas, ions_per_cell=ions / np.prod(multiples)), T, supercell=multiples, events=200_000)
    moves_per_second = r.events / (r.replicas * r.block_time * r.blocks / r.replicas)
    assert len(time) / time[-1] == pytest.approx(moves_per_second, rel=0.1)
    assert np.isfinite(total).all()


def test_bethe_is_near_the_master_equation():
    """Two dimensions, repulsion: the quasi-chemical approximation is good to a few percent in the occupations."""
    gas, multiples, ions = CASES["repulsion"]
    _, occupation = master_equation(gas, multiples, ions, 900.0)
    p = replace(gas, ions_per_cell=1.5).occupations(900.0)
    np.testing.assert_allclose(p, occupation.reshape(2, 4).mean(axis=0), atol=0.06)


# --- the run as a program ---


def test_seed_decides_and_threads_do_not():
    gas = LatticeGas(layered(), 1.7)
    one = run(gas, T, events=40_000, replicas=3, seed=4, num_threads=1)
    many = run(gas, T, events=40_000, replicas=3, seed=4, num_threads=3)
    other = run(gas, T, events=40_000, replicas=3, seed=5)
    np.testing.assert_array_equal(one.charge, many.charge)
    np.testing.assert_array_equal(one.hop_count, many.hop_count)
    assert one.events == many.events
    assert not np.array_equal(one.hop_count, other.hop_count)


def test_moves_to_and_fro_give_no_number():
    """A million moves between two sites of a pair, and a barrier that nothing crosses in that time."""
    m = model(
        np.diag([5.0, 8, 8]), [[0, 0, 0], [0.3, 0, 0]], [0.0, 0.0], [(0, 1, (0, 0, 0), 0.05), (1, 0, (1, 0, 0), 1.5)]
    )
    r = run(LatticeGas(m, 1.0, exclusion=2.0), 300.0, events=100_000)
    assert r.events > 50_000
    assert not r.converged
    assert np.isnan(r.mean_conductivity)
    assert np.isnan(r.tracer).all()
    assert any("to and fro" in note for note in r.notes)


def test_full_lattice_does_not_conduct():
    r = run(LatticeGas(bravais("sc"), 1.0), T)
    assert (r.events, r.mean_conductivity) == (0, 0.0)
    assert any("every site is filled" in note for note in r.notes)
    assert (LatticeGas(bravais("sc"), 1.0).mean_field_diffusivity(T) == 0).all()


def test_dense_packing_is_found():
    """A ring in which every second site must be filled: greedy filling alone leaves gaps."""
    m = model(np.diag([3.0, 9, 9]), [[0, 0, 0], [0.5, 0, 0]], [0.0, 0.0], [(0, 1, (0, 0, 0), 0.3)])
    r = run(LatticeGas(m, 1.0, exclusion=1.6), T, supercell=(20, 1, 1), events=1000)
    assert r.ions == 20
    with pytest.raises(InputError, match="no place"):
        run(LatticeGas(m, 1.1, exclusion=1.6), T, supercell=(20, 1, 1), events=1000)


def test_no_ion_meets_its_own_image():
    m = bravais("sc")
    with pytest.raises(InputError, match="enlarge the cell"):
        run(LatticeGas(m, 0.5), T, supercell=(1, 4, 4))
    assert min(run(LatticeGas(m, 0.5), T, events=1000).supercell) >= 2


@pytest.mark.parametrize(
    "change",
    [
        {"ions_per_cell": 0.0},
        {"ions_per_cell": 4.1},
        {"ions_per_cell": np.nan},
        {"exclusion": -1.0},
        {"charge": np.nan},
    ],
)
def test_bad_lattice_gases_are_refused(change):
    with pytest.raises(InputError):
        LatticeGas(**({"model": layered(), "ions_per_cell": 1.0} | change))


@pytest.mark.parametrize(
    "options", [{"events": 0}, {"replicas": 0}, {"samples": 0}, {"seed": -1}, {"supercell": (2, 2)}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(InputError):
        run(LatticeGas(layered(), 1.0), T, **options)


@pytest.mark.parametrize("bad", [{"permittivity": 0.0}, {"screening": -1.0}, {"cutoff": np.inf}])
def test_bad_repulsions_are_refused(bad):
    with pytest.raises(InputError):
        Repulsion(**bad)


# --- crystals ---


def test_garnet():
    """Cubic Li7La3Zr2O12: 56 ions on 72 tetrahedral and octahedral places, in the order of measured conductivities."""
    paths = fastin.compute_paths(fastin.examples()["Li7La3Zr2O12_cubic"])
    gas = paths.lattice_gas()
    assert gas.ions_per_cell == pytest.approx(56, abs=0.2)
    assert gas.occupations(300.0).sum() == pytest.approx(gas.ions_per_cell, abs=1e-6)
    r = paths.simulate(600.0, events=200_000)
    assert r.converged
    sigma = mean(gas.mean_field_conductivity(600.0))
    assert 0.3 < r.mean_conductivity / sigma < 1.5
    assert 0 < r.haven < 1
    assert mean(r.mean_field_conductivity) == pytest.approx(sigma)
    assert paths.conductivity(600.0)[0, 0] > 2 * sigma  # independent ions: every site may be filled
    assert set(r.to_dict()) >= {"haven", "conductivity", "notes"}
    with pytest.raises(InputError, match="Li7La3Zr2O12"):
        paths.simulate(600.0, ions_per_cell=80)
    with pytest.raises(InputError, match="temperature"):
        paths.simulate(-1.0)


def test_positions_filled_together_do_not_exclude_each_other():
    """Exclusion stays below the distance of positions that must both be filled, for every bundled crystal."""
    for name in ("Li10GeP2S12", "Li3N", "Li3OCl"):
        paths = fastin.compute_paths(fastin.examples()[name])
        radius = paths.lattice_gas().exclusion
        gap = paths.mobile_frac[:, None] - paths.mobile_frac[None]
        images = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
        d = np.linalg.norm((gap - np.round(gap))[..., None, :] @ paths.cell + images @ paths.cell, axis=-1)
        d[d < 1e-6] = np.inf
        both = paths.mobile_occupancy[:, None] + paths.mobile_occupancy[None] > 1.05
        assert radius < d.min(axis=-1)[both].min()
