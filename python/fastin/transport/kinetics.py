"""Hop kinetics: diffusivity and conductivity of independent ions on a periodic network of sites and saddles.

Model: a continuous-time Markov chain. An ion on site i leaves over a saddle s with rate ``nu exp(-(E_s - E_i) / kT)``
(harmonic transition state theory with one attempt frequency; G. H. Vineyard, J. Phys. Chem. Solids 3, 121 (1957)), so
that sites are occupied as ``exp(-E_i / kT)``. Ions do not see each other: the dilute limit, with a Haven ratio of 1.

Method: the diffusivity tensor is half the growth rate of the displacement's covariance. Sites are eliminated one by
one; each elimination keeps, for every pair of the remaining sites, the flux and the first two moments of the
displacement of the walk watched on them only. No fluxes are subtracted, so rates over many orders of magnitude keep
their digits (W. K. Grassmann, M. I. Taksar, D. P. Heyman, Oper. Res. 33, 1107 (1985)); there is no sampling noise.
Where the sites lie inside the cell has no effect in the long run: displacements count in whole cells, and each site is
assigned to the cell that its fastest connection puts it in, so that fast moves to and fro add nothing to cancel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError

FloatArray = npt.NDArray[np.float64]

BOLTZMANN_EV = 8.617333262e-5
"""Boltzmann constant, eV/K (CODATA 2018, exact)."""
ELEMENTARY_CHARGE = 1.602176634e-19
"""Coulomb (exact)."""
DEFAULT_PREFACTOR = 1e13
"""Attempt frequency, Hz: the order of a lattice vibration."""

_CM2_PER_A2 = 1e-16
_CM3_PER_A3 = 1e-24


@dataclass(frozen=True, eq=False)
class HopModel:
    """Sites and hops of one ion in one cell.

    Attributes:
        cell: (3, 3) rows are lattice vectors, angstrom.
        site_frac: (S, 3) fractional positions.
        site_energy: (S,) eV, on any common zero.
        hop_index: (2, H) int; the two sites of a hop, each undirected hop once.
        hop_image: (H, 3) int; the displacement is ``(frac[j] + image - frac[i]) @ cell``.
        hop_energy: (H,) energy of the saddle, eV, same zero as the sites; infinite hops are closed.
        prefactor: attempt frequency, Hz, a number or one value a hop.
    """

    cell: FloatArray
    site_frac: FloatArray
    site_energy: FloatArray
    hop_index: npt.NDArray[np.int64]
    hop_image: npt.NDArray[np.int32]
    hop_energy: FloatArray
    prefactor: float | FloatArray = DEFAULT_PREFACTOR

    def __post_init__(self) -> None:
        sites, hops = len(self.site_energy), len(self.hop_energy)
        for name, shape in (
            ("cell", (3, 3)),
            ("site_frac", (sites, 3)),
            ("hop_index", (2, hops)),
            ("hop_image", (hops, 3)),
        ):
            got = np.shape(getattr(self, name))
            if got != shape:
                raise InputError(f"{name} must have shape {shape}, not {got}")
        if sites == 0:
            raise InputError("a hop model needs at least one site")
        if hops and not (np.min(self.hop_index) >= 0 and np.max(self.hop_index) < sites):
            raise InputError(f"hop_index names sites outside 0 ... {sites - 1}")
        if not np.isfinite(self.site_energy).all() or np.isnan(self.hop_energy).any():
            raise InputError("site energies must be finite and hop energies not NaN")
        frequency = np.asarray(self.prefactor, dtype=np.float64)
        if frequency.shape not in ((), (hops,)) or not (np.isfinite(frequency) & (frequency > 0)).all():
            raise InputError("prefactor must be positive (Hz): one number, or one a hop")

    def displacements(self) -> FloatArray:
        """(H, 3) Cartesian displacement of each hop from its first to its second site, angstrom."""
        i, j = self.hop_index
        step: FloatArray = (self.site_frac[j] + self.hop_image - self.site_frac[i]) @ self.cell
        return step

    def occupations(self, temperature: float) -> FloatArray:
        """(S,) equilibrium probabilities ``exp(-E_i / kT) / Z``."""
        weight = np.exp(-(self.site_energy - self.site_energy.min()) / thermal_energy(temperature))
        p: FloatArray = weight / weight.sum()
        return p

    def diffusivity(self, temperature: float) -> FloatArray:
        """Diffusivity tensor.

        Args:
            temperature: K.

        Returns:
            (3, 3) symmetric tensor, cm^2/s, Cartesian. Sites that are not connected with each other count with their
            share of the ions.

        Raises:
            InputError: a temperature that is not positive.
        """
        kt = thermal_energy(temperature)
        if len(self.hop_energy) == 0 or not np.isfinite(self.hop_energy).any():
            return np.zeros((3, 3))
        lowest = float(self.hop_energy.min())
        # Flux over each hop at equilibrium, p_i k_ij, without the common factor exp(-(lowest - E_0) / kT) / Z.
        flux = np.asarray(self.prefactor) * np.exp(-(self.hop_energy - lowest) / kt)
        base = float(self.site_energy.min())
        partition = np.exp(-(self.site_energy - base) / kt).sum()
        scale = math.exp(-(lowest - base) / kt) / float(partition)
        image = tree_images(len(self.site_energy), self.hop_index, self.hop_image, flux)
        tensor = covariance_rate(len(self.site_energy), self.hop_index, image.astype(np.float64), flux)
        result: FloatArray = self.cell.T @ tensor @ self.cell * (scale * _CM2_PER_A2)
        return result

    def conductivity(self, temperature: float, ions_per_cell: float, charge: float) -> FloatArray:
        """Ionic conductivity tensor by Nernst-Einstein, ``n (z e)^2 D / kT``.

        Args:
            temperature: K.
            ions_per_cell: mobile ions in the cell.
            charge: of one ion, in elementary charges.

        Returns:
            (3, 3) tensor, S/cm.
        """
        return nernst_einstein(self.diffusivity(temperature), self.cell, temperature, ions_per_cell, charge)

    def activation_energy(self, low: float = 300.0, high: float = 600.0) -> tuple[FloatArray, float]:
        """Effective activation energy from D(T) at two temperatures.

        Returns:
            (3,) along the Cartesian axes x, y, z and the one of the mean diffusivity (a third of the trace), eV;
            infinite where D is zero.

        Raises:
            InputError: temperatures that are not positive and different.
        """
        check_temperatures(low, high)
        return slopes(self.diffusivity(low), self.diffusivity(high), low, high)

    def along(self, tensor: FloatArray) -> FloatArray:
        """(3,) values of a Cartesian tensor along the cell vectors a, b, c: ``u . D u``."""
        unit = self.cell / np.linalg.norm(self.cell, axis=1)[:, None]
        values: FloatArray = np.einsum("ki,ij,kj->k", unit, tensor, unit)
        return values


def nernst_einstein(
    diffusivity: FloatArray, cell: FloatArray, temperature: float, ions_per_cell: float, charge: float
) -> FloatArray:
    """(3, 3) conductivity, S/cm, of that many ions with this diffusivity (cm^2/s): ``n (z e)^2 D / kT``."""
    density = ions_per_cell / (abs(float(np.linalg.det(cell))) * _CM3_PER_A3)
    result: FloatArray = diffusivity * (density * charge**2 * ELEMENTARY_CHARGE / thermal_energy(temperature))
    return result


def check_temperatures(low: float, high: float) -> None:
    """Refuses temperatures that no slope can be taken between.

    Raises:
        InputError: they are not positive and different.
    """
    if not (low > 0 and high > 0 and low != high):
        raise InputError(f"two different positive temperatures are needed, not {low} K and {high} K")


def slopes(d_low: FloatArray, d_high: FloatArray, low: float, high: float) -> tuple[FloatArray, float]:
    """Activation energies between two temperatures (K).

    Args:
        d_low: (3, 3) diffusivity at the first.
        d_high: at the second.
        low: first temperature.
        high: second temperature.

    Returns:
        (3,) along the Cartesian axes and the one of the mean diffusivity, eV; infinite where D is zero.
    """
    inverse = 1.0 / (BOLTZMANN_EV * low) - 1.0 / (BOLTZMANN_EV * high)

    def slope(a: float, b: float) -> float:
        return math.log(b / a) / inverse if a > 0 and b > 0 else math.inf

    along = np.array([slope(float(d_low[k, k]), float(d_high[k, k])) for k in range(3)])
    return along, slope(float(np.trace(d_low)), float(np.trace(d_high)))


def thermal_energy(temperature: float) -> float:
    """Thermal energy kT, eV.

    Raises:
        InputError: a temperature that is not positive.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature must be positive, not {temperature} K")
    return BOLTZMANN_EV * temperature


def tree_images(
    sites: int, index: npt.NDArray[np.int64], image: npt.NDArray[np.int32], flux: FloatArray
) -> npt.NDArray[np.int64]:
    """(H, 3) lattice offsets of the hops after moving sites by whole cells: zero on a tree of the largest fluxes."""
    group = list(range(sites))
    members = {i: [i] for i in range(sites)}
    cell = np.zeros((sites, 3), dtype=np.int64)
    for h in np.argsort(-flux, kind="stable"):
        i, j = (int(v) for v in index[:, h])
        keep, drop = group[i], group[j]
        if keep == drop:
            continue
        shift = cell[i] - (cell[j] + image[h])  # moves j's group so that this hop stays in its cell
        if len(members[keep]) < len(members[drop]):
            keep, drop, shift = drop, keep, -shift
        cell[members[drop]] += shift
        for n in members[drop]:
            group[n] = keep
        members[keep] += members.pop(drop)
    moved: npt.NDArray[np.int64] = image + cell[index[1]] - cell[index[0]]
    return moved


def covariance_rate(sites: int, index: npt.NDArray[np.int64], step: FloatArray, flux: FloatArray) -> FloatArray:
    """Half the covariance rate of the walk with these fluxes and displacements, by elimination of all sites."""
    weight = np.zeros((sites, sites))
    first = np.zeros((sites, sites, 3))  # flux-weighted mean displacement i -> j
    second = np.zeros((sites, sites, 3, 3))
    for i, j, sign in ((index[0], index[1], 1.0), (index[1], index[0], -1.0)):
        np.add.at(weight, (i, j), flux)
        np.add.at(first, (i, j), sign * flux[:, None] * step)
        np.add.at(second, (i, j), flux[:, None, None] * step[:, :, None] * step[:, None, :])
    tensor = np.zeros((3, 3))
    # A site's own loops are walked both ways, so their mean displacement vanishes; only the second moment stays.
    for n in range(sites - 1, -1, -1):
        loops = second[n, n]
        out = weight[n, :n]
        total = out.sum()
        if total <= 0.0:  # nothing else is connected: the walk of this component, watched on one site
            tensor += 0.5 * loops
            continue
        near = np.flatnonzero(out)
        at = np.ix_(near, near)
        leave, mean_out, square_out = out[near] / total, first[n, near] / total, second[n, near] / total
        enter, mean_in, square_in = weight[near, n], first[near, n], second[near, n]
        weight[at] += enter[:, None] * leave[None, :]
        first[at] += mean_in[:, None] * leave[None, :, None] + enter[:, None, None] * mean_out[None, :]
        cross = mean_in[:, None, :, None] * mean_out[None, :, None, :]
        second[at] += (
            square_in[:, None] * leave[None, :, None, None]
            + enter[:, None, None, None] * square_out[None, :]
            + cross
            + np.swapaxes(cross, 2, 3)
            + enter[:, None, None, None] * leave[None, :, None, None] * (loops / total)
        )
    return 0.5 * (tensor + tensor.T)
