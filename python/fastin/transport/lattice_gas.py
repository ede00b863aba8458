"""Lattice gas: ions that share a network of sites at the crystal's own content and keep out of each other's way.

The sites, hops and rates are those of `fastin.transport.kinetics.HopModel`; what is added:

* a site holds one ion at most, and two sites closer than the *exclusion* radius are not filled together;
* optionally the ions repel each other by a screened Coulomb energy up to a cutoff (`Repulsion`);
* the number of ions is the crystal's, not one.

A hop in company sees one saddle from both sides: the lone ion's, raised by the mean of the pair energies at its two
ends and never below either end. Rates so defined are in detailed balance with the Boltzmann weights.

`LatticeGas.occupations` and `mean_field_diffusivity` are the Bethe (quasi-chemical) approximation: exact for single
sites without pairs (Fermi occupations; H. A. Bethe, Proc. R. Soc. A 150, 552 (1935)) and on networks of pairs without
loops. The conduction network has the equilibrium number of attempts over each hop as its conductance, which is exact
for a non-interacting lattice gas on a Bravais lattice (D = D_0 (1 - c)) and neglects correlations elsewhere; it fails
in one dimension near complete filling, where defects cannot pass each other.
`fastin.transport.simulation` has the exact kinetic Monte Carlo.

What it lacks: concerted moves of several ions, relaxation of the framework around vacancies and interstitials, and
energies of the sites that depend on which of them are filled beyond the pair repulsion. Barriers that only a chain of
ions moving together gets over (garnets, Li10GeP2S12) are overestimated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fastin.errors import ConvergenceError, InputError
from fastin.transport.kinetics import (
    FloatArray,
    HopModel,
    covariance_rate,
    nernst_einstein,
    thermal_energy,
    tree_images,
)

Ints = npt.NDArray[np.int64]

COULOMB_EV_A = 14.399645
"""e^2 / (4 pi eps_0), eV angstrom (CODATA 2018)."""

_CM2_PER_A2 = 1e-16
# The messages of the Bethe equations have converged when none changes by more than this (log of a weight).
_BETHE_TOLERANCE = 1e-10
_BETHE_ROUNDS = 1500
# A content within this share of what the sites can hold fills them.
_FULL = 1e-6


@dataclass(frozen=True)
class Repulsion:
    """Screened Coulomb repulsion of the ions, ``14.4 z^2 / (permittivity r) exp(-r / screening)`` up to a cutoff.

    Attributes:
        permittivity: relative, of the static response between two ions.
        screening: length, angstrom; infinite for none.
        cutoff: pairs farther apart do not see each other, angstrom: about the distance of the nearest neighbours.
    """

    permittivity: float = 20.0
    screening: float = 4.0
    cutoff: float = 4.5

    def __post_init__(self) -> None:
        if not (self.permittivity > 0 and self.screening > 0 and self.cutoff > 0 and math.isfinite(self.cutoff)):
            raise InputError(f"permittivity, screening and cutoff must be positive, the cutoff finite: {self}")

    def energy(self, distance: FloatArray, charge: float) -> FloatArray:
        """eV, of pairs at these distances (angstrom); zero beyond the cutoff."""
        r = np.asarray(distance, dtype=np.float64)
        value = COULOMB_EV_A * charge**2 / (self.permittivity * r) * np.exp(-r / self.screening)
        out: FloatArray = np.where(r <= self.cutoff, value, 0.0)
        return out


@dataclass(frozen=True)
class Pairs:
    """Sites that see each other: each undirected pair once.

    Attributes:
        index: (2, P) sites.
        image: (P, 3) cell of the second one.
        energy: (P,) eV; infinite where both cannot be filled.
    """

    index: Ints
    image: Ints
    energy: FloatArray


@dataclass(frozen=True, eq=False)
class LatticeGas:
    """Ions on the sites of a hop model.

    Attributes:
        model: all sites of the ion and its hops; sites that no hop reaches count as places for ions.
        ions_per_cell: content of the cell, above 0 and at most the number of sites.
        charge: of one ion, in elementary charges.
        exclusion: sites closer than this are not filled together, angstrom; 0 for single sites only.
        repulsion: of ions that are farther apart; None for none.
    """

    model: HopModel
    ions_per_cell: float
    charge: float = 1.0
    exclusion: float = 0.0
    repulsion: Repulsion | None = None

    def __post_init__(self) -> None:
        sites = len(self.model.site_energy)
        if not (math.isfinite(self.ions_per_cell) and 0 < self.ions_per_cell <= sites):
            raise InputError(
                f"{self.ions_per_cell:g} ions a cell on {sites} sites: give a content above 0 that they hold, or "
                "raise energy_cutoff to find more sites"
            )
        if not (math.isfinite(self.exclusion) and self.exclusion >= 0):
            raise InputError(f"the exclusion radius must be 0 A or more, not {self.exclusion}")
        if not math.isfinite(self.charge):
            raise InputError(f"the charge must be finite, not {self.charge}")

    @cached_property
    def pairs(self) -> Pairs:
        """Pairs of sites that exclude or repel each other, by index and image."""
        reach = max(self.exclusion, self.repulsion.cutoff if self.repulsion else 0.0)
        i, j, image, distance = neighbours(self.model.cell, self.model.site_frac, reach)
        energy = self.repulsion.energy(distance, self.charge) if self.repulsion else np.zeros(len(distance))
        energy = np.where(distance < self.exclusion, np.inf, energy)
        keep = energy > 0
        return Pairs(np.stack([i[keep], j[keep]]), image[keep], energy[keep])

    @cached_property
    def saddle_energy(self) -> FloatArray:
        """(H,) energies of the saddles, eV, none below its sites."""
        i, j = self.model.hop_index
        e = self.model.site_energy
        raised: FloatArray = np.maximum(self.model.hop_energy, np.maximum(e[i], e[j]))
        return raised

    # --- mean field ---

    def occupations(self, temperature: float) -> FloatArray:
        """(S,) equilibrium occupations at the content of the cell, Bethe approximation.

        Args:
            temperature: K.

        Raises:
            InputError: a temperature that is not positive; more ions than the exclusion lets in.
            ConvergenceError: the equations have no stable symmetric solution (strong repulsion near an ordering).
        """
        r, _, _ = self._bethe(temperature)
        p: FloatArray = _fermi(r)
        return p

    def _bethe(self, temperature: float) -> tuple[FloatArray, FloatArray, float]:
        """Log odds of the sites, log messages of the directed pairs (2P: forward, then backward), mu / kT.

        An infinite mu: all places are filled.
        """
        kt = thermal_energy(temperature)
        energy = self.model.site_energy / kt
        content = self.ions_per_cell
        solver = _Bethe(energy, self.pairs, kt)
        spread = float(energy.max() - energy.min()) + 60.0
        low, high = float(energy.min()) - spread, float(energy.max()) + spread
        if solver.surplus(high, content) < 0:
            if solver.surplus(high, content) > -_FULL * content:
                return solver.solve(high), solver.message, math.inf
            raise InputError(
                f"{content:g} ions a cell do not fit on {len(energy)} sites that exclude each other within "
                f"{self.exclusion:g} A: lower the exclusion radius, or raise energy_cutoff to find more sites"
            )
        for _ in range(200):
            middle = 0.5 * (low + high)
            if not low < middle < high:
                break
            if solver.surplus(middle, content) < 0:
                low = middle
            else:
                high = middle
        r = solver.solve(0.5 * (low + high))
        return r, solver.message, 0.5 * (low + high)

    def attempts(self, temperature: float) -> tuple[FloatArray, float]:
        """Equilibrium rate of each hop in one direction, both being equal, in the mean field.

        Returns:
            (H,) rates divided by a common scale, and the natural logarithm of that scale in 1/s.
        """
        kt = thermal_energy(temperature)
        r, message, mu = self._bethe(temperature)
        if math.isinf(mu):
            return np.zeros(len(self.model.hop_energy)), 0.0
        count = len(self.pairs.energy)
        sites = len(r)
        i, j = self.model.hop_index
        log_flux = np.log(np.broadcast_to(np.asarray(self.model.prefactor), (len(i),))) + mu - self.saddle_energy / kt
        log_flux = np.where(np.isfinite(self.model.hop_energy), log_flux, -np.inf)
        if not count:
            log_flux = log_flux - np.logaddexp(0.0, r[i]) - np.logaddexp(0.0, r[j])
        else:
            around = _around(sites, self.pairs)
            for h in range(len(i)):
                log_flux[h] += _company(h, self.model, around, self.pairs, message, r, kt)
        top = float(log_flux.max(initial=-np.inf))
        if not math.isfinite(top):
            return np.zeros(len(i)), 0.0
        return np.exp(log_flux - top), top

    def mean_field_diffusivity(self, temperature: float) -> FloatArray:
        """(3, 3) charge diffusivity a ion in the mean field, cm^2/s: conductivity = n (z e)^2 D / kT."""
        flux, log_scale = self.attempts(temperature)
        if not flux.any():
            return np.zeros((3, 3))
        used = flux > 0
        index, image = self.model.hop_index[:, used], self.model.hop_image[used]
        sites = len(self.model.site_energy)
        moved = tree_images(sites, index, image, flux[used])
        tensor = covariance_rate(sites, index, moved.astype(np.float64), flux[used])
        cell = self.model.cell
        scale = math.exp(max(log_scale, -700.0)) if log_scale < 700 else math.inf
        result: FloatArray = cell.T @ tensor @ cell * (scale / self.ions_per_cell * _CM2_PER_A2)
        return result

    def mean_field_conductivity(self, temperature: float) -> FloatArray:
        """(3, 3) conductivity in the mean field, S/cm."""
        return self.conductivity_of(self.mean_field_diffusivity(temperature), temperature)

    def conductivity_of(self, diffusivity: FloatArray, temperature: float, content: float | None = None) -> FloatArray:
        """Conductivity of a charge diffusivity (cm^2/s), S/cm: ``n (z e)^2 D / kT``."""
        ions = self.ions_per_cell if content is None else content
        return nernst_einstein(np.asarray(diffusivity), self.model.cell, temperature, ions, self.charge)


def _fermi(log_odds: FloatArray) -> FloatArray:
    out: FloatArray = np.exp(-np.logaddexp(0.0, -log_odds))
    return out


def _log_sum(a: FloatArray, log_factor: FloatArray) -> FloatArray:
    """log((1 + f R) / (1 + R)) for R = exp(a), f = exp(log_factor)."""
    out: FloatArray = np.logaddexp(0.0, a + log_factor) - np.logaddexp(0.0, a)
    return out


class _Bethe:
    """Cavity messages of the pair model: the weight that a site is filled, seen by one of its partners."""

    def __init__(self, energy: FloatArray, pairs: Pairs, kt: float) -> None:
        self.energy = energy
        i, j = pairs.index
        self.source, self.target = np.concatenate([i, j]), np.concatenate([j, i])
        self.factor = -np.concatenate([pairs.energy, pairs.energy]) / kt
        count = len(i)
        self.back = np.concatenate([np.arange(count, 2 * count), np.arange(count)])
        self.message = np.full(2 * count, -1.0)  # log weight of the source without the target

    def solve(self, mu: float) -> FloatArray:
        """Log odds of the sites at a chemical potential."""
        bare = mu - self.energy
        if not len(self.message):
            return bare
        m = self.message
        for k in range(_BETHE_ROUNDS):
            seen = _log_sum(m, self.factor)  # what the target feels from the source
            felt = np.bincount(self.target, seen, len(bare))
            new = bare[self.source] + felt[self.source] - seen[self.back]
            change = float(np.abs(new - m).max())
            m = m + (0.5 if k < 150 else 0.2 if k < 400 else 0.05) * (new - m)
            if change < _BETHE_TOLERANCE * (1.0 + float(np.abs(new).max())):
                self.message = m
                return bare + felt
            if k >= 700 and change > 0.01:
                break
        raise ConvergenceError(
            "the Bethe equations of the lattice gas do not converge: the exclusion or repulsion is near an ordering; "
            "the kinetic Monte Carlo does not need them"
        )

    def surplus(self, mu: float, content: float) -> float:
        """Ions in excess of the content; small differences from whole numbers keep their digits."""
        r = self.solve(mu)
        filled = r > 0
        return float(_fermi(r[~filled]).sum() - _fermi(-r[filled]).sum() + (np.count_nonzero(filled) - content))


def _around(sites: int, pairs: Pairs) -> list[list[tuple[int, tuple[int, int, int], int]]]:
    """For each site: partner, its cell, and the number of the message from the partner to the site."""
    out: list[list[tuple[int, tuple[int, int, int], int]]] = [[] for _ in range(sites)]
    count = len(pairs.energy)
    for p, ((i, j), (x, y, z)) in enumerate(zip(pairs.index.T.tolist(), pairs.image.tolist(), strict=True)):
        out[i].append((j, (x, y, z), count + p))
        out[j].append((i, (-x, -y, -z), p))
    return out


def _company(
    h: int,
    model: HopModel,
    around: list[list[tuple[int, tuple[int, int, int], int]]],
    pairs: Pairs,
    message: FloatArray,
    log_odds: FloatArray,
    kt: float,
) -> float:
    """Log of what the other ions make of a hop's rate: both ends empty, the saddle in the field of the neighbours."""
    i, j = (int(v) for v in model.hop_index[:, h])
    shift = tuple(int(v) for v in model.hop_image[h])
    double = np.concatenate([pairs.energy, pairs.energy]) / kt
    field: dict[tuple[int, tuple[int, int, int]], list[tuple[float, float]]] = {}
    link, to_i, to_j = 0.0, None, None
    for k, cell, m in around[i]:
        if (k, cell) == (j, shift):
            link, to_i = -float(double[m]), m
            continue
        field.setdefault((k, cell), []).append((float(message[m]), float(double[m])))
    for k, cell, m in around[j]:
        absolute = (cell[0] + shift[0], cell[1] + shift[1], cell[2] + shift[2])
        if (k, absolute) == (i, (0, 0, 0)):
            to_j = m
            continue
        field.setdefault((k, absolute), []).append((float(message[m]), float(double[m])))
    log_i = float(message[to_j]) if to_j is not None else float(log_odds[i])
    log_j = float(message[to_i]) if to_i is not None else float(log_odds[j])
    norm = np.logaddexp.reduce([0.0, log_i, log_j, log_i + log_j + link])
    total = -float(norm)
    for seen in field.values():
        # A neighbour of both ends is counted once, with the mean of its two messages.
        weight = sum(w for w, _ in seen) / len(seen)
        total += float(_log_sum(np.array(weight), np.array(-0.5 * sum(v for _, v in seen))))
    return total


def neighbours(cell: FloatArray, frac: FloatArray, reach: float) -> tuple[Ints, Ints, Ints, FloatArray]:
    """Undirected pairs of sites within a distance: i, j, image of j, distance; a site and its own image too."""
    if not reach > 0 or not len(frac):
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros((0, 3), dtype=np.int64), np.zeros(0)
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    span = np.ceil(reach / spacing + 1e-9).astype(int) + 1  # one more: positions need not lie in one cell
    images = np.stack(np.meshgrid(*[np.arange(-s, s + 1) for s in span], indexing="ij"), axis=-1).reshape(-1, 3)
    i, j = np.triu_indices(len(frac))
    base = (frac[j] - frac[i]) @ cell
    out: list[tuple[Ints, Ints, Ints, FloatArray]] = []
    for image in images:
        distance = np.linalg.norm(base + image @ cell, axis=1)
        near = distance <= reach
        # A pair of images of one site is met twice: keep the direction whose first non-zero component is positive.
        near &= (i != j) | bool(tuple(image) > (0, 0, 0))
        out.append((i[near], j[near], np.tile(image, (int(near.sum()), 1)), distance[near]))
    parts = [np.concatenate(column) for column in zip(*out, strict=True)]
    return parts[0], parts[1], parts[2].reshape(-1, 3).astype(np.int64), parts[3]


def checked_multiples(multiples: Sequence[int]) -> tuple[int, int, int]:
    """Three positive multiples of the cell vectors.

    Raises:
        InputError: otherwise.
    """
    values = [int(v) for v in multiples]
    if len(values) != 3 or min(values) < 1:
        raise InputError(f"a supercell needs three multiples of 1 or more, not {tuple(multiples)}")
    return values[0], values[1], values[2]
