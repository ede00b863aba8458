"""What the numbers of independent ions leave out in the crystal at hand: full sites, barriers of a few kT."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastin.transport.kinetics import BOLTZMANN_EV

if TYPE_CHECKING:
    from fastin.transport.network import TransportNetwork

_FULL = 0.995  # occupancy from which positions count as full: refined ones are given to a percent
_NOT_HOPPING = 4.0  # kT: below, an ion does not come to rest in a site between two hops
# cm^2/s: what ions reach in molten salts at most (G. J. Janz, N. P. Bansal, J. Phys. Chem. Ref. Data 11, 505 (1982))
_MELT = 1e-4


class Doubts(NamedTuple):
    """Why diffusivity and conductivity of independent ions are not the crystal's.

    Attributes:
        full: the conducting positions hold an ion each: without defects nothing moves.
        said: one sentence for each reason.
    """

    full: bool
    said: tuple[str, ...]


def kinetic_doubts(network: TransportNetwork, temperature: float, diffusivity: float) -> Doubts:
    """Doubts of the kinetics of independent ions at a temperature.

    Args:
        network: sites, hops and positions.
        temperature: K.
        diffusivity: mean of the three directions, cm^2/s.
    """
    said = []
    full = _full(network)
    if full:
        said.append(
            f"all positions of {network.ion.symbol} are full: D is that of an ion beside a vacancy; multiply D and the "
            "conductivity by the share of vacancies, which the crystal does not state"
        )
    levels = network.levels[np.isfinite(network.levels)]
    lowest = float(levels.min()) if len(levels) else np.inf
    if lowest < _NOT_HOPPING * BOLTZMANN_EV * temperature or diffusivity > _MELT:
        said.append(
            f"the lowest barrier, {lowest:.2f} eV, is {lowest / (BOLTZMANN_EV * temperature):.1f} kT: "
            "ions hardly rest between hops (melts reach 1e-4 cm²/s): D and conductivity are upper bounds"
        )
    return Doubts(full, tuple(said))


def _full(network: TransportNetwork) -> bool:
    """Whether every crystallographic position on conducting sites is occupied, by the ion or what shares it."""
    positions = network.positions
    if not len(positions):
        return False
    here = np.isin(positions.basin_site, network.conducting_sites)
    mine = np.unique(positions.basin_position[here])
    return bool(len(mine)) and float(positions.occupancy[mine].min()) >= _FULL
