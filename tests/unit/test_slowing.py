"""Fast moves to and fro made slower: what they do to equilibrium and transport."""

from __future__ import annotations

import numpy as np
import pytest

from fastin.errors import InputError
from fastin.transport.kinetics import HopModel
from fastin.transport.lattice_gas import LatticeGas, Repulsion
from fastin.transport.simulation import run
from fastin.transport.slowing import slowed

TEMPERATURE = 600.0


def dimers(low: float, high: float = 0.40, depth: float = 0.0) -> HopModel:
    """Simple cubic lattice (4 A) of pairs of minima with a low saddle between them and high ones to other pairs."""
    index = np.array([[0, 1, 1, 0, 1], [1, 0, 0, 0, 1]])
    image = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=np.int32)
    return HopModel(
        cell=4.0 * np.eye(3),
        site_frac=np.array([[0.0, 0.0, 0.0], [0.4, 0.1, 0.0]]),
        site_energy=np.array([0.0, depth]),
        hop_index=index,
        hop_image=image,
        hop_energy=np.array([low, high, high, high, high]),
    )


@pytest.mark.parametrize("depth", [0.0, 0.03])
def test_only_what_flickers_is_slowed(depth):
    gas = LatticeGas(dimers(0.05, depth=depth), 0.3)
    out = slowed(gas, TEMPERATURE, 0.01)
    assert out.raised == 1
    assert out.fewer > 5
    assert 0 < out.loss <= 0.01
    lift = out.gas.model.hop_energy - gas.model.hop_energy
    assert lift[0] > 0.1
    assert (lift[1:] == 0).all()
    assert out.gas.model.hop_energy[0] < 0.40
    assert (out.gas.model.site_energy == gas.model.site_energy).all()
    # the dilute limit, exact for both: the diffusivity of one ion changes as little
    before, after = gas.model.diffusivity(TEMPERATURE), out.gas.model.diffusivity(TEMPERATURE)
    assert np.trace(before) * 0.985 < np.trace(after) <= np.trace(before)
    assert np.allclose(out.gas.occupations(TEMPERATURE), gas.occupations(TEMPERATURE))


def test_nothing_is_slowed_without_need_or_leave():
    gas = LatticeGas(dimers(0.05), 0.3)
    assert slowed(gas, TEMPERATURE, 0.0).gas is gas
    even = LatticeGas(dimers(0.40), 0.3)
    assert slowed(even, TEMPERATURE, 0.01).raised == 0


@pytest.mark.parametrize("repulsion", [None, Repulsion(permittivity=30.0, cutoff=4.2)])
def test_the_run_is_the_same_and_sees_more(repulsion):
    gas = LatticeGas(dimers(0.12), 0.8, repulsion=repulsion)
    plain = run(gas, TEMPERATURE, events=1_500_000, loss=0.0, seed=1)
    fast = run(gas, TEMPERATURE, events=500_000, seed=2)
    assert plain.converged
    assert fast.converged
    assert any("slowed" in note for note in fast.notes)
    error = np.hypot(plain.mean_conductivity_error, fast.mean_conductivity_error)
    assert abs(plain.mean_conductivity - fast.mean_conductivity) < 4 * error + 0.01 * plain.mean_conductivity
    assert np.abs(plain.occupation - fast.occupation).max() < 0.02


def test_a_run_that_flickers_converges():
    gas = LatticeGas(dimers(0.02, 0.45), 0.8)
    stuck = run(gas, 300.0, events=100_000, loss=0.0)
    assert not stuck.converged
    fast = run(gas, 300.0, events=400_000)
    assert fast.converged
    mean_field = float(np.trace(fast.mean_field_conductivity)) / 3
    assert 0.3 < fast.mean_conductivity / mean_field < 1.5


def test_precision_takes_more_moves():
    gas = LatticeGas(dimers(0.2), 0.8)
    once = run(gas, TEMPERATURE, events=20_000)
    sure = run(gas, TEMPERATURE, events=20_000, precision=0.08)
    assert sure.events > once.events
    assert sure.mean_conductivity_error <= 0.08 * sure.mean_conductivity
    capped = run(gas, TEMPERATURE, events=20_000, precision=1e-4, most_events=100_000)
    assert capped.events < 110_000
    with pytest.raises(InputError, match="precision"):
        run(gas, TEMPERATURE, precision=0.0)
    with pytest.raises(InputError, match="loss"):
        run(gas, TEMPERATURE, loss=0.7)
