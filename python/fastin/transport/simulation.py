"""Kinetic Monte Carlo of a lattice gas: tracer and charge diffusivity, Haven ratio and conductivity with errors.

The core draws every move from the exact sums of all rates (rejection-free); replicas start from independent equilibrium
configurations (Metropolis, ions moved between any two sites). Diffusivities are slopes of the mean square displacement:
``D = (<d^2(t)> - <d^2(t / 8)>) / (2 (t - t / 8))`` a direction with blocks of duration t, so that the constant that fast
moves to and fro add does not count. Errors are standard errors over blocks, or over replicas where those are larger.

The tracer diffusivity counts the ions' own displacements, the charge diffusivity that of their sum (divided by their
number); their ratio is the Haven ratio, and ``sigma = n (z e)^2 D_charge / kT``. See `fastin.transport.lattice_gas` for the
model and what it lacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastin.errors import ConvergenceError, InputError
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads
from fastin.transport.kinetics import DEFAULT_PREFACTOR, FloatArray, HopModel, _thermal
from fastin.transport.lattice_gas import LatticeGas, Repulsion, checked_multiples, neighbours

if TYPE_CHECKING:
    from fastin.transport.paths import TransportNetwork

__all__ = ["Repulsion", "Simulation", "default_supercell", "exclusion_radius", "lattice_gas", "run", "simulate"]

_CM2_PER_A2 = 1e-16
_PARTS = 8  # pieces of a block
_WARM_UP = 0.1  # share of the moves
_SWEEPS = 200  # Metropolis tries an ion before the run
_SPACING = 12.0  # default distance between opposite faces of the supercell, angstrom
_MOST_SITES = 200_000
# Relative error of the mean charge diffusivity from which a result is called rough.
_ROUGH = 0.3


@dataclass(frozen=True, eq=False)
class Simulation:
    """Result of a kinetic Monte Carlo run at one temperature; tensors are Cartesian, errors are one standard error.

    Attributes:
        temperature: K.
        supercell: multiples of the cell vectors.
        ions: in the supercell.
        sites: in the supercell.
        events: moves counted, all replicas together.
        replicas: independent runs.
        blocks: samples that the averages are taken over, all replicas together.
        block_time: duration of one, s.
        tracer: (3, 3) tracer diffusivity, cm^2/s.
        tracer_error: (3, 3).
        charge: (3, 3) charge (conductivity) diffusivity, cm^2/s.
        charge_error: (3, 3).
        haven: ratio of the traces of tracer and charge; NaN where nothing moves.
        haven_error: its error.
        conductivity: (3, 3) S/cm.
        conductivity_error: (3, 3).
        mean_conductivity: a third of the trace, S/cm.
        mean_conductivity_error: its error, with the covariance of the three directions.
        mean_tracer: a third of the trace, cm^2/s.
        mean_tracer_error: its error.
        occupation: (S,) share of the time that each site of the cell is filled.
        hop_count: (2, H) moves forward and backward over each hop of the cell, all replicas together.
        mean_field_conductivity: (3, 3) S/cm of the same model in the Bethe approximation; NaN where that fails.
        notes: what limits the numbers.
    """

    temperature: float
    supercell: tuple[int, int, int]
    ions: int
    sites: int
    events: int
    replicas: int
    blocks: int
    block_time: float
    tracer: FloatArray
    tracer_error: FloatArray
    charge: FloatArray
    charge_error: FloatArray
    haven: float
    haven_error: float
    conductivity: FloatArray
    conductivity_error: FloatArray
    mean_conductivity: float
    mean_conductivity_error: float
    mean_tracer: float
    mean_tracer_error: float
    occupation: FloatArray
    hop_count: npt.NDArray[np.int64]
    mean_field_conductivity: FloatArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, np.ndarray) and value.flags.writeable:
                value.setflags(write=False)

    def __repr__(self) -> str:
        return (
            f"Simulation({self.temperature:g} K, {self.ions} ions on {self.sites} sites, {self.events} moves: "
            f"sigma {self.mean_conductivity:.2e} +- {self.mean_conductivity_error:.1e} S/cm, "
            f"Haven {self.haven:.2f} +- {self.haven_error:.2f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        out: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            out[name] = value.tolist() if isinstance(value, np.ndarray) else value
        return out


def default_supercell(gas: LatticeGas) -> tuple[int, int, int]:
    """Multiples with 12 A between opposite faces, enough that no ion meets its own image."""
    cell = gas.model.cell
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    multiples = [max(1, math.ceil(_SPACING / s - 1e-9)) for s in spacing]
    for index, image in ((gas.model.hop_index, gas.model.hop_image), (gas.pairs.index, gas.pairs.image)):
        own = image[index[0] == index[1]]
        for step in own:
            while not (np.asarray(step) % multiples).any():
                multiples[int(np.argmax(np.abs(step)))] += 1
    return multiples[0], multiples[1], multiples[2]


def _tiled(gas: LatticeGas, multiples: tuple[int, int, int], kt: float) -> dict[str, Any]:
    """Arrays of the core for a supercell: site ``s`` of cell ``c`` is ``c * S + s``."""
    model, sites = gas.model, len(gas.model.site_energy)
    grid = np.array(multiples)
    cells = np.stack(np.meshgrid(*[np.arange(n) for n in multiples], indexing="ij"), axis=-1).reshape(-1, 3)

    def cell_number(where: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        w = where % grid
        number: npt.NDArray[np.int64] = (w[..., 0] * grid[1] + w[..., 1]) * grid[2] + w[..., 2]
        return number

    def lists(i: Any, j: Any, image: Any) -> tuple[Any, Any, Any, Any]:
        """Directed entries of one cell by their first site: order, starts, and tiled targets and cells of the targets."""
        first, second = np.concatenate([i, j]), np.concatenate([j, i])
        offset = np.concatenate([image, -image]).astype(np.int64)
        order = np.argsort(first, kind="stable")
        to = cell_number(cells[:, None, :] + offset[order][None])
        target = (to * sites + second[order][None]).astype(np.int32).ravel()
        counts = np.tile(np.bincount(first, minlength=sites), len(cells))
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return order, start, target, to

    hops = len(model.hop_energy)
    i, j = model.hop_index
    order, start, target, to = lists(i, j, model.hop_image)
    place = np.empty(2 * hops, dtype=np.int64)
    place[order] = np.arange(2 * hops)
    back = place[(order + hops) % (2 * hops)] if hops else place
    reverse = (to * (2 * hops) + back[None]).astype(np.int64).ravel()
    energy = model.site_energy / kt
    saddle = gas.saddle_energy / kt
    barrier = np.concatenate([saddle - energy[i], saddle - energy[j]])[order]
    prefactor = np.broadcast_to(np.asarray(model.prefactor, dtype=np.float64), (hops,))
    step = model.displacements()
    pair_order, pair_start, pair_site, _ = lists(*gas.pairs.index, gas.pairs.image)
    pair_energy = np.concatenate([gas.pairs.energy, gas.pairs.energy])[pair_order] / kt
    n = len(cells)
    return {
        "energy": np.tile(energy, n),
        "move_start": start,
        "target": target,
        "reverse": reverse,
        "barrier": np.tile(barrier, n),
        "prefactor": np.tile(np.concatenate([prefactor, prefactor])[order], n),
        "step": np.tile(np.concatenate([step, -step])[order], (n, 1)),
        "pair_start": pair_start,
        "pair_site": pair_site,
        "pair_energy": np.tile(pair_energy, n),
        "order": order,
    }


def run(
    gas: LatticeGas,
    temperature: float,
    *,
    supercell: Sequence[int] | None = None,
    events: int = 2_000_000,
    replicas: int = 8,
    blocks: int = 64,
    seed: int = 0,
    num_threads: int | None = None,
) -> Simulation:
    """Kinetic Monte Carlo of a lattice gas at one temperature.

    Args:
        gas: sites, hops, content and pair energies.
        temperature: K.
        supercell: three multiples of the cell vectors; None takes 12 A between opposite faces.
        events: moves to count, all replicas together.
        replicas: independent runs, spread over the threads.
        blocks: samples a replica.
        seed: any non-negative integer; the result depends on it and not on the number of threads.
        num_threads: None takes the default.

    Raises:
        InputError: a supercell in which an ion would meet its own image, a content that rounds to no ion or finds no
            place, numbers out of range.
    """
    kt = _thermal(temperature)
    if events < 1 or replicas < 1 or blocks < 2 or seed < 0:
        raise InputError(
            f"events and replicas must be positive, blocks at least 2, the seed not negative: got {events}, {replicas}, "
            f"{blocks}, {seed}"
        )
    multiples = default_supercell(gas) if supercell is None else checked_multiples(supercell)
    cells = math.prod(multiples)
    sites = len(gas.model.site_energy) * cells
    if sites > _MOST_SITES:
        raise InputError(f"a supercell of {multiples} holds {sites} sites, more than {_MOST_SITES}: give a smaller one")
    ions = round(gas.ions_per_cell * cells)
    notes = _content_notes(gas, ions, cells, sites)
    arrays = _tiled(gas, multiples, kt)
    order = arrays.pop("order")
    block_events = max(1, round(events / (replicas * blocks)))
    found = _core.lattice_gas(
        **arrays,
        ions=ions,
        replicas=replicas,
        blocks=blocks,
        parts=_PARTS,
        block_events=block_events,
        warmup_events=max(100, round(_WARM_UP * events / replicas)),
        sweeps=_SWEEPS,
        seed=seed,
        num_threads=resolve_threads(num_threads),
    )
    try:
        mean_field = gas.mean_field_conductivity(temperature)
    except (ConvergenceError, InputError) as error:
        mean_field = np.full((3, 3), np.nan)
        notes.append(f"no mean field: {error}")
    return _gathered(gas, temperature, multiples, ions, found, order, mean_field, notes, blocks * replicas)


def _content_notes(gas: LatticeGas, ions: int, cells: int, sites: int) -> list[str]:
    if ions < 1:
        raise InputError(f"{gas.ions_per_cell:g} ions a cell make no ion in {cells} cell(s): enlarge the supercell")
    notes = []
    if abs(ions - gas.ions_per_cell * cells) > 1e-6:
        notes.append(f"the supercell holds {ions / cells:.4f} ions a cell, the crystal {gas.ions_per_cell:.4f}")
    if ions == sites:
        notes.append("every site is filled: nothing can move; raise energy_cutoff to find interstitial sites")
    return notes


def _tensor(rows: FloatArray) -> FloatArray:
    """(..., 6) xx, yy, zz, yz, xz, xy -> (..., 3, 3)."""
    out: FloatArray = rows[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return out


def _spread(samples: FloatArray, replica: npt.NDArray[np.int64]) -> FloatArray:
    """Standard error of the mean over blocks, or over replicas where that is larger; samples on the first axis."""
    n = len(samples)
    if n < 2:
        return np.full(samples.shape[1:], np.inf)
    error = samples.std(axis=0, ddof=1) / math.sqrt(n)
    names = np.unique(replica)
    if len(names) >= 4:
        means = np.stack([samples[replica == k].mean(axis=0) for k in names])
        error = np.maximum(error, means.std(axis=0, ddof=1) / math.sqrt(len(names)))
    out: FloatArray = error
    return out


def _gathered(
    gas: LatticeGas,
    temperature: float,
    multiples: tuple[int, int, int],
    ions: int,
    found: dict[str, Any],
    order: npt.NDArray[np.int64],
    mean_field: FloatArray,
    notes: list[str],
    wanted: int,
) -> Simulation:
    cells, sites = math.prod(multiples), len(gas.model.site_energy)
    rows, time = found["replicas"], found["block_time"]
    hops = len(gas.model.hop_energy)
    count = np.zeros(2 * hops, dtype=np.int64)
    if time > 0:
        scale = _CM2_PER_A2 / (2.0 * time * (1.0 - 1.0 / _PARTS))
        tracer = scale * np.concatenate([r["tracer"] - r["tracer_part"] for r in rows])
        charge = scale * np.concatenate([r["charge"] - r["charge_part"] for r in rows])
        replica = np.concatenate([np.full(len(r["tracer"]), k) for k, r in enumerate(rows)])
        occupation = np.mean([r["occupation"].reshape(cells, sites).mean(axis=0) for r in rows], axis=0)
        for r in rows:
            count[order] += r["moves"].reshape(cells, 2 * hops).sum(axis=0).astype(np.int64)
    else:  # nothing can move in any replica
        tracer = charge = np.zeros((2, 6))
        replica = np.zeros(2, dtype=np.int64)
        occupation = np.full(sites, np.nan)
        notes.append("no move is possible: no empty site beside an ion")
    if len(tracer) < wanted and time > 0:
        notes.append(
            f"{len(tracer)} of {wanted} blocks: some replicas met much faster moves than the warm-up did and were cut off"
        )
    if len(tracer) < 2:
        raise ConvergenceError(
            "the run was cut off before two blocks were complete: a few moves are far faster than the rest; simulate at a "
            "higher temperature or with more events"
        )
    sum_t, sum_c = tracer[:, :3].sum(axis=1), charge[:, :3].sum(axis=1)
    haven = float(sum_t.mean() / sum_c.mean()) if sum_c.mean() > 0 else math.nan
    haven_error = math.nan
    if math.isfinite(haven):
        haven_error = float(_spread((sum_t - haven * sum_c) / sum_c.mean(), replica))
    factor = float(gas.conductivity_of(np.array(1.0), temperature, ions / cells))
    mean_sigma, mean_error = factor * sum_c.mean() / 3.0, factor * float(_spread(sum_c, replica)) / 3.0
    if mean_error > _ROUGH * abs(mean_sigma):
        notes.append("the conductivity is known to an order of magnitude at best: give more events or a higher temperature")
    charge_tensor, charge_error = _tensor(charge.mean(axis=0)), _tensor(_spread(charge, replica))
    return Simulation(
        temperature=temperature,
        supercell=multiples,
        ions=ions,
        sites=sites * cells,
        events=int(sum(r["events"] for r in rows)),
        replicas=len(rows),
        blocks=len(tracer) if time > 0 else 0,
        block_time=time,
        tracer=_tensor(tracer.mean(axis=0)),
        tracer_error=_tensor(_spread(tracer, replica)),
        charge=charge_tensor,
        charge_error=charge_error,
        haven=haven,
        haven_error=haven_error,
        conductivity=factor * charge_tensor,
        conductivity_error=factor * charge_error,
        mean_conductivity=float(mean_sigma),
        mean_conductivity_error=float(mean_error),
        mean_tracer=float(sum_t.mean() / 3.0),
        mean_tracer_error=float(_spread(sum_t, replica)) / 3.0,
        occupation=occupation,
        hop_count=count.reshape(2, hops),
        mean_field_conductivity=mean_field,
        notes=tuple(notes),
    )


# Shortest distance of like ions in 99 of 100 ordered crystals of the Materials Project (13,797 with Li, 6,594 with Na),
# angstrom: two sites closer than this are not filled together.
_SHORTEST_CONTACT = {"Li": 1.77, "Na": 2.11}
# For other ions this many ionic radii (effective, six-fold), about the ratio for sodium (2.11 / 1.02).
_CONTACT_RADII = 2.0
# The exclusion radius stays below the distance of positions that are filled together by this factor.
_ROOM = 0.98
# Two positions whose occupancies add up to more than this are filled together at times.
_TOGETHER = 1.02

# Contents this close to a whole number of ions a cell, in relation to it, are that number.
_WHOLE = 2e-3


def exclusion_radius(paths: TransportNetwork) -> float:
    """Distance below which two sites are not filled together, angstrom.

    The shortest contact usual for the ion, but less than the distance of any two positions of the crystal whose
    occupancies add up to more than one: those are filled together at times.
    """
    from fastin.crystal.radii import ionic_radius

    usual = _SHORTEST_CONTACT.get(paths.ion.element)
    if usual is None:
        usual = _CONTACT_RADII * ionic_radius(paths.ion.number, paths.ion.charge, 6, "effective").value
    i, j, _, distance = neighbours(paths.cell, paths.mobile_frac, usual)
    together = paths.mobile_occupancy[i] + paths.mobile_occupancy[j] > _TOGETHER
    return min(usual, _ROOM * float(distance[together].min(initial=math.inf)))


def _content(occupancies: float) -> float:
    near = float(round(occupancies))
    return near if abs(occupancies - near) <= _WHOLE * near else occupancies


def lattice_gas(
    paths: TransportNetwork,
    *,
    ions_per_cell: float | None = None,
    exclusion: float | None = None,
    repulsion: Repulsion | None = None,
    prefactor: float = DEFAULT_PREFACTOR,
) -> LatticeGas:
    """The lattice gas of a transport network: all its sites, also those that no path leads through.

    Args:
        paths: the transport network.
        ions_per_cell: None takes the content of the crystal; refined contents within 0.2 % of a whole number are taken
            as that number, because occupancies are rounded (0.333).
        exclusion: sites closer than this (angstrom) are not filled together; None takes `exclusion_radius`.
        repulsion: of ions farther apart; None for none.
        prefactor: attempt frequency, Hz.

    Raises:
        InputError: a guest ion without `ions_per_cell`; more ions than sites.
    """
    count = _content(float(paths.mobile_occupancy.sum())) if ions_per_cell is None else ions_per_cell
    if not count > 0:
        raise InputError(f"{paths.source}: the crystal holds no {paths.ion.symbol}; give ions_per_cell")
    model = HopModel(
        cell=paths.cell,
        site_frac=paths.site_frac,
        site_energy=paths.site_energy,
        hop_index=paths.hop_index,
        hop_image=paths.hop_image,
        hop_energy=paths.hop_energy,
        prefactor=prefactor * paths.hop_weight,
    )
    radius = exclusion_radius(paths) if exclusion is None else exclusion
    try:
        return LatticeGas(model, count, float(paths.ion.charge), radius, repulsion)
    except InputError as error:
        raise InputError(f"{paths.source}: {error}") from error


def simulate(
    paths: TransportNetwork,
    temperature: float,
    *,
    ions_per_cell: float | None = None,
    exclusion: float | None = None,
    repulsion: Repulsion | None = None,
    prefactor: float = DEFAULT_PREFACTOR,
    **options: Any,
) -> Simulation:
    """Kinetic Monte Carlo on a transport network at the crystal's own content; see `lattice_gas` and `run`."""
    gas = lattice_gas(
        paths, ions_per_cell=ions_per_cell, exclusion=exclusion, repulsion=repulsion, prefactor=prefactor
    )
    try:
        return run(gas, temperature, **options)
    except InputError as error:
        raise InputError(f"{paths.source}: {error}") from error
