"""Relaxed barriers of a crystal's inequivalent legs: what a user calls."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.errors import FastinError, InputError
from fastin.relax.cells import Band, build_band, common_supercell, refuse_disorder
from fastin.relax.flags import parent_flags
from fastin.relax.legs import END_SHARE, Kept, RelaxedLeg, Settings, from_plain, relax_leg, to_plain
from fastin.relax.percolation import Places, needed, places_of
from fastin.relax.plan import Estimate, estimate
from fastin.relax.potentials import Potential, load_potential
from fastin.relax.result import RelaxedHops
from fastin.relax.work import OVER_BUDGET, LegJob, OutOfBudgetError, in_processes, on_dask
from fastin.runtime.files import digest
from fastin.runtime.threads import get_num_threads
from fastin.transport.parts import FloatArray

if TYPE_CHECKING:
    from fastin.crystal.ions import IonName
    from fastin.transport.legs import Leg
    from fastin.transport.network import TransportNetwork


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        leg: number of the leg at work; -1 for the crystal itself.
        stage: ``"parent"``, ``"shaken"``, ``"start"``, ``"end"`` or ``"band"``; ``"done"`` where legs run side by side.
        step: of the optimiser.
        force: largest, eV/A.
        done: legs that are done.
        legs: in all.
        seconds: since the start.
        remaining: estimate of the seconds left; NaN before there is one.
    """

    leg: int
    stage: str
    step: int
    force: float
    done: int
    legs: int
    seconds: float
    remaining: float


def relax_hops(
    source: Any,
    calculator: Any,
    *,
    ion: IonName | None = None,
    mechanism: str | None = None,
    legs: str | Sequence[int] = "needed",
    images: int = 5,
    supercell: float | Sequence[int] = 8.0,
    fmax: float = 0.05,
    climb: bool = True,
    end_steps: int = 300,
    band_steps: int = 300,
    out: str | PathLike[str] | None = None,
    budget: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    workers: int = 1,
    scheduler: Any = None,
    num_threads: int | None = None,
    **options: Any,
) -> RelaxedHops:
    """Barriers of a crystal's legs with every atom relaxed by a potential, and their percolation.

    The crystal relaxes in its own cell (which stays as it is), then both ends of each leg in a supercell, then the
    images between them: nudged elastic band with the improved tangent (G. Henkelman, H. Jonsson, J. Chem. Phys. 113,
    9978 (2000)) and a climbing image, as ASE implements them, from the way of the bond valence landscape.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms``, `Crystal`, or a `TransportNetwork`.
        calculator: ``"sevennet"``, ``"chgnet"``, ``"mace:PATH"``, ``"module:factory"``, an ASE calculator or a function
            that makes one.
        ion: of a crystal; None takes the most usual one.
        mechanism: ``"vacancy"``, ``"interstitial"`` or ``"exchange"``; None takes vacancy, interstitial for a guest.
        legs: ``"needed"``: a smallest set that percolates in 1, 2 and 3 dimensions at the barriers of the landscape;
            ``"all"``; or numbers of `TransportNetwork.legs`.
        images: between the ends.
        supercell: smallest distance (angstrom) between images of the moving ion, or three multiples of the cell.
        fmax: largest force at which a band stops, eV/A; ends and the crystal stop at 0.6 of it.
        climb: whether the highest image climbs to the saddle.
        end_steps: of the optimiser, at most, for the crystal and each end.
        band_steps: at most, for a band.
        out: folder for results of each stage: a run that was stopped goes on there.
        budget: seconds after which no more is computed; what is there is returned.
        progress: called after every step; after every leg where several run side by side.
        workers: processes that relax legs side by side, the processors shared out among them; more than one needs a
            calculator with a name.
        scheduler: address or client of a Dask cluster that relaxes the legs; needs a calculator with a name.
        num_threads: of the landscape; a calculator looks after its own.
        **options: of `compute_paths`.

    Raises:
        InputError: no such calculator, an element that it does not know, numbers that name no leg, no leg at all.
        DisorderError: positions are partly filled: order the crystal first (`fastin.order`).
        MissingDependencyError: ASE or the potential's library is not installed.
    """
    run = prepare(
        source,
        calculator,
        ion=ion,
        mechanism=mechanism,
        legs=legs,
        images=images,
        supercell=supercell,
        fmax=fmax,
        climb=climb,
        end_steps=end_steps,
        band_steps=band_steps,
        out=out,
        num_threads=num_threads,
        **options,
    )
    return run.finish(budget, progress, workers, scheduler)


def prepare(
    source: Any,
    calculator: Any,
    *,
    ion: IonName | None = None,
    mechanism: str | None = None,
    legs: str | Sequence[int] = "needed",
    images: int = 5,
    supercell: float | Sequence[int] = 8.0,
    fmax: float = 0.05,
    climb: bool = True,
    end_steps: int = 300,
    band_steps: int = 300,
    out: str | PathLike[str] | None = None,
    num_threads: int | None = None,
    **options: Any,
) -> Run:
    """A run before anything is relaxed: its legs, its cost (`Run.estimate`), `Run.finish`; see `relax_hops`."""
    potential = load_potential(calculator)
    settings = _settings(images, fmax, climb, end_steps, band_steps)
    paths = _paths(source, ion, num_threads, options)
    refuse_disorder(paths.crystal)
    potential.refuse_unknown([*paths.crystal.number.tolist(), paths.ion.number], paths.source)
    return Run(paths, potential, settings, mechanism, legs, supercell, None if out is None else Path(out))


def _settings(images: int, fmax: float, climb: bool, end_steps: int, band_steps: int) -> Settings:
    for name, value in (("images", images), ("end_steps", end_steps), ("band_steps", band_steps)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{name} must be a whole number of 1 or more, not {value!r}")
    if not (math.isfinite(fmax) and fmax > 0):
        raise InputError(f"fmax must be positive (eV/A), not {fmax}")
    return Settings(int(images), float(fmax), bool(climb), int(end_steps), int(band_steps))


def _paths(source: Any, ion: IonName | None, num_threads: int | None, options: dict[str, Any]) -> TransportNetwork:
    from fastin.crystal.crystal import as_crystal
    from fastin.transport.network import TransportNetwork
    from fastin.transport.paths import compute_paths

    if isinstance(source, TransportNetwork):
        if options or (ion is not None and source.crystal.resolve_ion(ion).number != source.ion.number):
            raise InputError("a transport network brings its ion and its options: name them for compute_paths")
        return source
    strict = {k: options[k] for k in ("oxidation_states", "strict") if k in options}
    crystal = as_crystal(source, **strict)
    refuse_disorder(crystal)  # before the landscape is computed
    return compute_paths(crystal, ion, num_threads=num_threads, **options)


class Run:
    """The legs to relax and what is there of them.

    Args:
        paths: the transport network.
        potential: of energies and forces.
        settings: how.
        mechanism: of the legs, or None.
        legs: see `relax_hops`.
        supercell: see `relax_hops`.
        folder: for checkpoints, or None.
    """

    def __init__(
        self,
        paths: TransportNetwork,
        potential: Potential,
        settings: Settings,
        mechanism: str | None,
        legs: str | Sequence[int],
        supercell: float | Sequence[int],
        folder: Path | None,
    ) -> None:
        from fastin.transport.neb import default_mechanism

        self.paths = paths
        self.potential = potential
        self.settings = settings
        self.mechanism = default_mechanism(paths, mechanism)
        self.all_legs: tuple[Leg, ...] = paths.legs(self.mechanism)
        if not self.all_legs:
            raise InputError(
                f"{paths.source}: no {self.mechanism} leg of {paths.ion.symbol} below {paths.energy_cutoff:.2f} eV; "
                "raise energy_cutoff or choose another mechanism"
            )
        self.places: Places = places_of(paths.leg_finder, self.mechanism)
        self.numbers = self._chosen(legs)
        self.supercell = common_supercell(paths, [self.all_legs[k] for k in self.numbers], supercell)
        self.folder = folder

    def _chosen(self, legs: str | Sequence[int]) -> list[int]:
        count = len(self.all_legs)
        if isinstance(legs, str):
            if legs == "all":
                return list(range(count))
            if legs == "needed":
                heights = {k: leg.energy for k, leg in enumerate(self.all_legs)}
                return needed(self.places, heights) or [0]
            raise InputError(f"legs must be 'needed', 'all' or numbers, not {legs!r}")
        chosen = []
        for k in legs:
            if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 0 <= k < count:
                raise InputError(f"{self.paths.source}: there is no leg {k!r}; legs({self.mechanism!r}) lists {count}")
            chosen.append(int(k))
        if not chosen:
            raise InputError("no leg was named")
        return list(dict.fromkeys(chosen))

    def _key(self, leg: int) -> str:
        """Digest of what a leg's numbers depend on."""
        crystal = self.paths.crystal
        facts: dict[str, Any] = {
            "cell": crystal.cell.tolist(),
            "frac": crystal.frac.tolist(),
            "number": crystal.number.tolist(),
            "potential": self.potential.name,
            "settings": asdict(self.settings),
        }
        if leg >= 0:
            facts["supercell"] = list(self.supercell)
            facts["leg"] = self.all_legs[leg].to_dict()
        return digest(json.dumps(facts, sort_keys=True).encode())

    def kept(self, leg: int) -> Kept:
        """The results of a leg's stages; of the crystal for -1."""
        name = "parent" if leg < 0 else f"leg_{leg:02d}"
        return Kept(None if self.folder is None else self.folder / name, self._key(leg))

    def parent(self, watch: Callable[[str, int, float], None]) -> tuple[FloatArray, bool, float]:
        """Displacements of the crystal's rows when it relaxes (angstrom), whether it came to rest, its energy (eV)."""
        from fastin.relax.band import Relaxed, relax_cell

        crystal = self.paths.crystal
        before = crystal.frac @ crystal.cell

        def make() -> dict[str, Any]:
            found = relax_cell(
                *(self.potential.calculator(), crystal.number.astype(np.int64), crystal.cell, before),
                *(END_SHARE * self.settings.fmax, self.settings.end_steps, watch, "parent"),
            )
            return to_plain(found)

        found: Relaxed = from_plain(Relaxed, self.kept(-1)("parent", make))
        return found.positions - before, found.converged, found.energy

    def drop(self, displacement: FloatArray, energy: float, watch: Callable[[str, int, float], None]) -> float:
        """Energy that the supercell of the relaxed crystal loses when it is shaken and relaxed again, eV.

        A relaxation that starts in a symmetric place stays symmetric, on a maximum as well as in a minimum.
        """
        from fastin.relax.band import relax_cell
        from fastin.relax.cells import shaken

        crystal = self.paths.crystal
        numbers, cell, positions = shaken(crystal, displacement, self.supercell)

        def make() -> dict[str, Any]:
            found = relax_cell(
                *(self.potential.calculator(), numbers, cell, positions),
                *(END_SHARE * self.settings.fmax, self.settings.end_steps, watch, "shaken"),
            )
            return {"energy": found.energy, "steps": found.steps}

        name = "shaken_" + "x".join(map(str, self.supercell))
        found = self.kept(-1)(name, make)
        return energy * math.prod(self.supercell) - float(found["energy"])

    def band(self, leg: int, displacement: FloatArray) -> Band:
        """First images of a leg."""
        return build_band(self.paths, self.all_legs[leg], self.settings.images, self.supercell, displacement)

    def place_points(self, displacement: FloatArray) -> FloatArray:
        """(P, 3) Cartesian places of the ion in the supercell, filled or not: positions, and sites that hold none."""
        from fastin.relax.cells import _rows

        paths = self.paths
        size = np.array(self.supercell)
        cells = np.stack(np.meshgrid(*[np.arange(k) for k in size], indexing="ij"), axis=-1).reshape(-1, 3)
        own = paths.positions.frac
        points = own @ paths.cell
        if len(own):
            rows = _rows(paths.crystal, np.full(len(own), paths.ion.number), own)
            points = points + displacement[rows]
        vacant = paths.sites.frac[paths.sites.mobile < 0] @ paths.cell
        both = np.concatenate([points, vacant])
        found: FloatArray = (both[None] + (cells @ paths.cell)[:, None]).reshape(-1, 3)
        return found

    def estimate(self, workers: int = 1) -> Estimate:
        """What the legs that are not there yet will cost, from one timed structure."""
        todo = [k for k in self.numbers if self.kept(k).read("band") is None]
        band = self.band(self.numbers[0], np.zeros((len(self.paths.crystal.number), 3)))
        found = estimate(self.potential.calculator(), band, len(todo), self.settings.images, min(workers, len(todo)))
        return found

    def finish(
        self,
        budget: float | None = None,
        progress: Callable[[Progress], None] | None = None,
        workers: int = 1,
        scheduler: Any = None,
    ) -> RelaxedHops:
        """Computes what is not there yet; arguments as for `relax_hops`.

        Raises:
            InputError: several processes and a calculator that has no name; a number of them below 1.
        """
        if budget is not None and not (math.isfinite(budget) and budget >= 0):
            raise InputError(f"the budget must be seconds of 0 or more, not {budget}")
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise InputError(f"workers must be a whole number of 1 or more, not {workers!r}")
        if (workers > 1 or scheduler is not None) and self.potential.spec is None:
            raise InputError(
                f"calculator {self.potential.name} is an object of this process: name one (module:factory) to relax "
                "legs in others"
            )
        clock = _Clock(budget, progress, len(self.numbers))
        done: dict[int, RelaxedLeg] = {}
        left: dict[int, str] = {}
        flags: list[str] = []
        drop = math.nan
        try:
            displacement, rested, energy = self.parent(clock.watch(-1))
            drop = self.drop(displacement, energy, clock.watch(-1))
            flags = parent_flags(displacement, rested, drop)
            places = self.place_points(displacement)
            bands: dict[int, Band] = {}
            for k in self.numbers:
                try:
                    bands[k] = self.band(k, displacement)
                except FastinError as error:
                    left[k] = str(error)
                    clock.done += 1
            if scheduler is not None or (workers > 1 and len(bands) > 1):
                self._elsewhere(bands, places, clock, done, left, workers, scheduler)
            else:
                self._here(bands, places, clock, done, left)
        except OutOfBudgetError:
            pass
        for k in self.numbers:
            if k not in done and k not in left:
                left[k] = OVER_BUDGET
        return RelaxedHops.assemble(self.paths, self.potential, self, done, left, flags, drop)

    def _here(
        self,
        bands: dict[int, Band],
        places: FloatArray,
        clock: _Clock,
        done: dict[int, RelaxedLeg],
        left: dict[int, str],
    ) -> None:
        for k, band in bands.items():
            try:
                done[k] = relax_leg(
                    *(k, band, self.potential.calculator(), self.settings, places, self.kept(k), clock.watch(k))
                )
            except FastinError as error:
                left[k] = str(error)
            clock.done += 1

    def _elsewhere(
        self,
        bands: dict[int, Band],
        places: FloatArray,
        clock: _Clock,
        done: dict[int, RelaxedLeg],
        left: dict[int, str],
        workers: int,
        scheduler: Any,
    ) -> None:
        assert self.potential.spec is not None
        spec = self.potential.spec
        until = None if clock.budget is None else time.time() + clock.budget - clock.spent
        jobs = (
            LegJob(k, spec, band, self.settings, places, self.kept(k).folder, self.kept(k).key, until)
            for k, band in bands.items()
        )
        count = min(workers, len(bands))
        threads = max(1, get_num_threads() // count)
        found = on_dask(jobs, scheduler) if scheduler is not None else in_processes(jobs, count, threads)
        for answer in found:
            if answer is None:
                continue
            k, result = answer
            if isinstance(result, str):
                left[k] = result
            else:
                done[k] = result
            clock.done += 1
            clock.tell(k, "done", 0, math.nan)


class _Clock:
    """Time spent and left, told to the caller."""

    def __init__(self, budget: float | None, progress: Callable[[Progress], None] | None, legs: int) -> None:
        self.budget = budget
        self.progress = progress
        self.legs = legs
        self.done = 0
        self.since = time.monotonic()

    @property
    def spent(self) -> float:
        return time.monotonic() - self.since

    def tell(self, leg: int, stage: str, step: int, force: float) -> None:
        if self.progress is not None:
            left = self.spent / self.done * (self.legs - self.done) if self.done else math.nan
            self.progress(Progress(leg, stage, step, force, self.done, self.legs, self.spent, left))

    def watch(self, leg: int) -> Callable[[str, int, float], None]:
        def after(stage: str, step: int, force: float) -> None:
            self.tell(leg, stage, step, force)
            if self.budget is not None and self.spent > self.budget:
                raise OutOfBudgetError

        return after
