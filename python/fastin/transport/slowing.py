"""Fast moves to and fro made slower, so that a kinetic Monte Carlo run sees the ions get on.

In most crystals some neighbouring minima are joined by far lower saddles than any way through: nearly all moves flicker
between them. What they do to the transport is to keep these minima in equilibrium with each other, and that they still
do when they are slower but stay far faster than the moves that limit the current. So the attempts over every hop are
capped: saddles that are crossed more often are raised until they are crossed just as often as the cap says. Energies of
sites, and with them all equilibrium averages and detailed balance, stay as they are. The cap is the lowest (in steps of
half a decade) at which the conductance of the network of all hops, each with its equilibrium attempts in the mean
field, loses no more than a given share.

Accelerated superbasins (A. Chatterjee and A. F. Voter, J. Chem. Phys. 132, 194101 (2010)) raise barriers for the same
reason, by counting moves; here the conductance of the network says by how much.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastin.errors import ConvergenceError, InputError
from fastin.transport.kinetics import FloatArray, HopModel, covariance_rate, thermal_energy, tree_images
from fastin.transport.lattice_gas import LatticeGas

_STEP = 0.5  # decades between caps that are tried
_DEEPEST = 40.0  # decades below the most attempted hop


class Slowed(NamedTuple):
    """A lattice gas with capped attempts.

    Attributes:
        gas: the same sites, some saddles raised.
        raised: how many hops of the cell.
        fewer: attempts of all hops before, over those after.
        loss: share of the conductance that it costs.
    """

    gas: LatticeGas
    raised: int
    fewer: float
    loss: float


def slowed(gas: LatticeGas, temperature: float, loss: float) -> Slowed:
    """Caps the attempts of a lattice gas.

    Args:
        gas: sites, hops, content and pair energies.
        temperature: K.
        loss: share of the conductance (its trace) that the caps may cost; 0 changes nothing.
    """
    same = Slowed(gas, 0, 1.0, 0.0)
    if not loss > 0:
        return same
    try:
        flux, _ = gas.attempts(temperature)
    except (ConvergenceError, InputError):
        flux = _lone_attempts(gas, temperature)
    used = flux > 0
    if not used.any():
        return same
    whole = _conductance(gas.model, flux)
    if not whole > 0:
        return same
    low, high = 0, round(_DEEPEST / _STEP)  # the cap at `low` costs little enough, that at `high` too much
    while high - low > 1:
        middle = (low + high) // 2
        if _conductance(gas.model, _capped(flux, middle)) >= (1.0 - loss) * whole:
            low = middle
        else:
            high = middle
    capped = _capped(flux, low)
    raised = capped < flux
    if not raised.any():
        return same
    lift = np.zeros(len(flux))
    lift[raised] = thermal_energy(temperature) * np.log(flux[raised] / capped[raised])
    model = replace(gas.model, hop_energy=gas.saddle_energy + lift)
    cost = 1.0 - _conductance(gas.model, capped) / whole
    return Slowed(replace(gas, model=model), int(raised.sum()), float(flux.sum() / capped.sum()), cost)


def _capped(flux: FloatArray, steps: int) -> FloatArray:
    out: FloatArray = np.minimum(flux, float(flux.max()) * 10.0 ** (-_STEP * steps))
    return out


def _lone_attempts(gas: LatticeGas, temperature: float) -> FloatArray:
    """Attempts of one ion on the empty lattice, where there is no mean field: by the saddles alone."""
    prefactor = np.broadcast_to(np.asarray(gas.model.prefactor), (len(gas.saddle_energy),))
    log = np.log(prefactor) - gas.saddle_energy / thermal_energy(temperature)
    out: FloatArray = np.exp(log - log.max(initial=-math.inf)) if len(log) else np.zeros(0)
    return out


def _conductance(model: HopModel, flux: FloatArray) -> float:
    """Trace of the conductance of the network of hops."""
    used = flux > 0
    index, image = model.hop_index[:, used], model.hop_image[used]
    sites = len(model.site_energy)
    moved = tree_images(sites, index, image, flux[used])
    tensor = covariance_rate(sites, index, moved.astype(np.float64), flux[used])
    return float(np.trace(model.cell.T @ tensor @ model.cell))
