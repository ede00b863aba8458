"""Kinetic Monte Carlo of a lattice gas: tracer and charge diffusivity, Haven ratio and conductivity with errors.

The core draws every move from the exact sums of all rates (rejection-free); replicas start from independent
equilibrium configurations (Metropolis, ions moved between any two sites).

Diffusivities are slopes of the mean square displacement between a time t / 8 and a time t, so that the constant that
fast moves to and fro add does not count: ``D = (<d^2(t)> - <d^2(t / 8)>) / (2 (t - t / 8))`` a direction. Of the times
1, 2, 4, ... pieces of the run, the one after the shortest whose slopes agree with those of all longer ones within two
errors is taken.
Errors are standard errors over the blocks of duration t, or over replicas where those are larger. Where the ions have
hardly left their places by then, whatever the number of moves, all results are NaN and a note says so.

The tracer diffusivity counts the ions' own displacements, the charge diffusivity that of their sum (its square divided
by their number); their ratio is the Haven ratio, and ``sigma = n (z e)^2 D_charge / kT``. See
`fastin.transport.lattice_gas` for the model and what it lacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastin.errors import ConvergenceError, InputError
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads
from fastin.transport.kinetics import FloatArray, thermal_energy
from fastin.transport.lattice_gas import LatticeGas, checked_multiples
from fastin.transport.slopes import Slopes, plateau, slopes_of, spread, tensor
from fastin.transport.slowing import slowed

__all__ = ["Simulation", "default_supercell", "run"]

_CM2_PER_A2 = 1e-16
# Net displacements by the length of a hop, all ions and blocks together, that a result needs.
_NET_MOVES = 30.0
_WARM_UP = 0.1  # share of the moves
_SWEEPS = 200  # Metropolis tries an ion before the run
_SPACING = 12.0  # default distance between opposite faces of the supercell, angstrom
_DEFECTS = 10.0
_AUTOMATIC_SITES = 4_000
_MOST_SITES = 200_000
# With fewer thermal defects on average a finite cell holds too few of them.
_FEW_DEFECTS = 3.0
# Relative error of the mean charge diffusivity from which a result is called rough.
_ROUGH = 0.3
_MOST_LEVELS = 15


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
        block_time: duration of one, s: the time t of the module's formula.
        converged: the ions left their places, and the slope no longer depends on the time; results are NaN otherwise.
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
    converged: bool
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
        head = f"Simulation({self.temperature:g} K, {self.ions} ions on {self.sites} sites, {self.events} moves: "
        if not math.isfinite(self.mean_conductivity) or not self.events:
            return f"{head}no conductivity: {self.notes[-1] if self.notes else 'no ion moved'})"
        return (
            f"{head}sigma {self.mean_conductivity:.2e} +- {self.mean_conductivity_error:.1e} S/cm, "
            f"Haven {self.haven:.2f} +- {self.haven_error:.2f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        out: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            out[name] = value.tolist() if isinstance(value, np.ndarray) else value
        return out


def default_supercell(gas: LatticeGas, temperature: float) -> tuple[int, int, int]:
    """Multiples of the cell vectors for a run.

    12 A between opposite faces, no ion beside its own image, and, as far as 4,000 sites allow, ten thermal defects
    (ions and vacancies away from a full or empty site) on average.
    """
    cell = gas.model.cell
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    multiples = [max(1, math.ceil(_SPACING / s - 1e-9)) for s in spacing]
    for index, image in ((gas.model.hop_index, gas.model.hop_image), (gas.pairs.index, gas.pairs.image)):
        own = image[index[0] == index[1]]
        for step in own:
            while not (np.asarray(step) % multiples).any():
                multiples[int(np.argmax(np.abs(step)))] += 1
    defects = _defects(gas, temperature)
    if defects * _AUTOMATIC_SITES < _DEFECTS * len(gas.model.site_energy):  # out of reach
        return multiples[0], multiples[1], multiples[2]
    while defects * math.prod(multiples) < _DEFECTS:
        k = int(np.argmin(spacing * multiples))
        larger = [m + (n == k) for n, m in enumerate(multiples)]
        if len(gas.model.site_energy) * math.prod(larger) > _AUTOMATIC_SITES:
            break
        multiples = larger
    return multiples[0], multiples[1], multiples[2]


def _defects(gas: LatticeGas, temperature: float) -> float:
    """Vacancies or interstitials a cell in the mean field; infinite where that fails."""
    try:
        p = gas.occupations(temperature)
    except (ConvergenceError, InputError):
        return math.inf
    return float(np.minimum(p, 1.0 - p).sum())


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
        """Directed entries of one cell by their first site: order, starts, and the tiled targets and their cells."""
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
    pair_i, pair_j = gas.pairs.index
    pair_order, pair_start, pair_site, _ = lists(pair_i, pair_j, gas.pairs.image)
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
    samples: int = 512,
    seed: int = 0,
    loss: float = 0.01,
    precision: float | None = None,
    most_events: int = 16_000_000,
    num_threads: int | None = None,
) -> Simulation:
    """Kinetic Monte Carlo of a lattice gas at one temperature.

    Args:
        gas: sites, hops, content and pair energies.
        temperature: K.
        supercell: three multiples of the cell vectors; None takes 12 A between opposite faces.
        events: moves to count, all replicas together.
        replicas: independent runs, spread over the threads.
        samples: pieces of time in a replica, rounded up to a power of two (64 or more); errors fall with their number.
        seed: any non-negative integer; the result depends on it and not on the number of threads.
        loss: share of the mean-field conductivity that may be lost by slowing down the fastest moves to and fro
            (`fastin.transport.slowing`); 0 runs the model as it is.
        precision: relative error of the mean conductivity to reach: as long as it is not, the run is repeated with four
            times the moves; None runs once.
        most_events: moves that a run for `precision` may take.
        num_threads: None takes the default.

    Raises:
        InputError: a supercell in which an ion would meet its own image, a content that rounds to no ion or finds no
            place, numbers out of range.
    """
    if events < 1 or replicas < 1 or samples < 1 or seed < 0:
        raise InputError(
            "events, replicas and samples must be positive, the seed not negative: got "
            f"{events}, {replicas}, {samples}, {seed}"
        )
    if not 0 <= loss < 0.5 or not (precision is None or precision > 0):
        raise InputError(f"loss must be 0 to 0.5 and the precision positive: got {loss}, {precision}")
    levels = max(6, math.ceil(math.log2(samples)))
    multiples = default_supercell(gas, temperature) if supercell is None else checked_multiples(supercell)
    task = _Task.prepare(gas, temperature, multiples, loss)
    while True:
        found = task.simulate(events, replicas, levels, seed, resolve_threads(num_threads))
        result = _gathered(gas, temperature, multiples, task, found, levels)
        reached = result.converged and result.mean_conductivity_error <= (precision or 0.0) * result.mean_conductivity
        if precision is None or reached or 4 * events > most_events or not result.events:
            return result
        events *= 4  # in as many more pieces of the same duration: more blocks, and longer ones
        levels = min(levels + 2, _MOST_LEVELS)


@dataclass(frozen=True)
class _Task:
    """What runs of one supercell share."""

    arrays: dict[str, Any]
    order: npt.NDArray[np.int64]
    ions: int
    mean_field: FloatArray
    notes: tuple[str, ...]

    @classmethod
    def prepare(cls, gas: LatticeGas, temperature: float, multiples: tuple[int, int, int], loss: float) -> _Task:
        kt = thermal_energy(temperature)
        cells = math.prod(multiples)
        sites = len(gas.model.site_energy) * cells
        if sites > _MOST_SITES:
            raise InputError(
                f"a supercell of {multiples} holds {sites} sites, more than {_MOST_SITES}: give a smaller one"
            )
        ions = round(gas.ions_per_cell * cells)
        notes = _content_notes(gas, ions, cells, sites)
        defects = _defects(gas, temperature) * cells
        if ions < sites and defects < _FEW_DEFECTS:
            notes.append(
                f"the supercell holds {defects:.2g} thermal defects on average, too few for its size not to "
                "matter: enlarge it"
            )
        slower = slowed(gas, temperature, loss)
        if slower.raised:
            notes.append(
                f"{slower.raised} of {len(gas.saddle_energy)} hops of the cell, mere moves to and fro, are slowed: "
                f"{slower.fewer:.2g} times fewer attempts, {100 * slower.loss:.1f} % of the mean-field conductivity"
            )
        arrays = _tiled(slower.gas, multiples, kt)
        order = arrays.pop("order")
        try:
            mean_field = gas.mean_field_conductivity(temperature)
        except (ConvergenceError, InputError) as error:
            mean_field = np.full((3, 3), np.nan)
            notes.append(f"no mean field: {error}")
        return cls(arrays, order, ions, mean_field, tuple(notes))

    def simulate(self, events: int, replicas: int, levels: int, seed: int, threads: int) -> dict[str, Any]:
        try:
            found: dict[str, Any] = _core.lattice_gas(
                **self.arrays,
                ions=self.ions,
                replicas=replicas,
                levels=levels,
                piece_events=max(1, round(events / (replicas * 2**levels))),
                warmup_events=max(100, round(_WARM_UP * events / replicas)),
                sweeps=_SWEEPS,
                seed=seed,
                num_threads=threads,
            )
        except InputError as error:
            raise InputError(f"{error}; lower exclusion=, or raise energy_cutoff to find more sites") from error
        return found


def _content_notes(gas: LatticeGas, ions: int, cells: int, sites: int) -> list[str]:
    if ions < 1:
        raise InputError(f"{gas.ions_per_cell:g} ions a cell make no ion in {cells} cell(s): enlarge the supercell")
    notes = []
    if abs(ions - gas.ions_per_cell * cells) > 1e-6:
        notes.append(f"the supercell holds {ions / cells:.4f} ions a cell, the crystal {gas.ions_per_cell:.4f}")
    if ions == sites:
        notes.append("every site is filled: nothing can move; raise energy_cutoff to find interstitial sites")
    return notes


def _gathered(
    gas: LatticeGas,
    temperature: float,
    multiples: tuple[int, int, int],
    task: _Task,
    found: dict[str, Any],
    levels: int,
) -> Simulation:
    notes, ions, order = list(task.notes), task.ions, task.order
    cells, sites, hops = math.prod(multiples), len(gas.model.site_energy), len(gas.model.hop_energy)
    rows, moves = found["replicas"], int(sum(r["events"] for r in found["replicas"]))
    count = np.zeros(2 * hops, dtype=np.int64)
    occupation = np.full(sites, np.nan)
    if found["piece_time"] > 0:
        occupation = np.mean([r["occupation"].reshape(cells, sites).mean(axis=0) for r in rows], axis=0)
        for r in rows:
            count[order] += r["moves"].reshape(cells, 2 * hops).sum(axis=0).astype(np.int64)
        if any(r["pieces"] < 2**levels for r in rows):
            notes.append("some replicas met much faster moves than the warm-up did and were cut off")
        slopes = slopes_of(found, levels)
    else:  # nothing can move in any replica
        notes.append("no move is possible: no empty site beside an ion")
        slopes = [Slopes(0.0, np.zeros((2, 6)), np.zeros((2, 6)), np.zeros(2, dtype=np.int64))]
    best, converged = _judged(gas, slopes, ions, moves, notes)
    nan = 1.0 if converged else math.nan
    tracer, charge, replica = best.tracer * nan, best.charge * nan, best.replica
    sum_t, sum_c = tracer[:, :3].sum(axis=1), charge[:, :3].sum(axis=1)
    haven = haven_error = math.nan
    if sum_c.mean() > 0:
        haven = float(sum_t.mean() / sum_c.mean())
        haven_error = float(spread((sum_t - haven * sum_c) / sum_c.mean(), replica))
    factor = float(gas.conductivity_of(np.array(1.0), temperature, ions / cells))
    charge_tensor, charge_error = tensor(charge.mean(axis=0)), tensor(spread(charge, replica))
    return Simulation(
        temperature=temperature,
        supercell=multiples,
        ions=ions,
        sites=sites * cells,
        events=moves,
        replicas=len(rows),
        blocks=len(replica) if best.time > 0 else 0,
        block_time=best.time,
        converged=converged,
        tracer=tensor(tracer.mean(axis=0)),
        tracer_error=tensor(spread(tracer, replica)),
        charge=charge_tensor,
        charge_error=charge_error,
        haven=haven,
        haven_error=haven_error,
        conductivity=factor * charge_tensor,
        conductivity_error=factor * charge_error,
        mean_conductivity=factor * float(sum_c.mean()) / 3.0,
        mean_conductivity_error=factor * float(spread(sum_c, replica)) / 3.0,
        mean_tracer=float(sum_t.mean()) / 3.0,
        mean_tracer_error=float(spread(sum_t, replica)) / 3.0,
        occupation=occupation,
        hop_count=count.reshape(2, hops),
        mean_field_conductivity=task.mean_field,
        notes=tuple(notes),
    )


def _judged(gas: LatticeGas, slopes: list[Slopes], ions: int, moves: int, notes: list[str]) -> tuple[Slopes, bool]:
    """The slopes to report, and whether they may be reported."""
    if not slopes:
        notes.append("the run was cut off before enough blocks were complete: a few moves are far faster than the rest")
        return Slopes(0.0, np.zeros((2, 6)), np.zeros((2, 6)), np.zeros(2, dtype=np.int64)), False
    if not moves:
        return slopes[-1], True  # zero is the answer
    best, level = plateau(slopes)
    step = gas.model.displacements()
    hop = math.sqrt(float((step**2).sum(axis=1).mean()))
    # Squared displacements beyond the moves to and fro, of the ions one by one and of their sum.
    tracer, charge = best.means() * 2.0 * best.time * len(best.tracer) * ions / (_CM2_PER_A2 * hop**2)
    if min(tracer, charge) < _NET_MOVES:
        notes.append(
            f"{moves} moves, nearly all of them to and fro: no net displacement to measure; simulate at a higher "
            "temperature or with more events (mean_field_conductivity needs no sampling)"
        )
        return best, False
    if not level:
        notes.append("the mean square displacement is not yet linear in time: give more events or a higher temperature")
        return best, False
    mean, error = best.means(), best.errors()
    if error[1] > _ROUGH * mean[1]:
        notes.append("the conductivity has a large error: give more events or a higher temperature")
    return best, True
