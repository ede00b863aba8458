"""Relaxed barriers of a crystal's inequivalent legs: what a user calls."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.errors import FastinError, InputError
from fastin.relax.bounding import Open, least_barriers, still_open
from fastin.relax.cells import Band, build_band, common_supercell, refuse_disorder, refuse_large
from fastin.relax.flags import parent_flags
from fastin.relax.journal import Journal
from fastin.relax.legs import END_SHARE, Kept, RelaxedLeg, from_plain, relax_leg, to_plain
from fastin.relax.percolation import Places, places_of
from fastin.relax.percolation import needed as smallest_set
from fastin.relax.plan import Estimate, estimate
from fastin.relax.potentials import Potential, load_potential
from fastin.relax.progress import Clock, Progress
from fastin.relax.request import Request
from fastin.relax.result import RelaxedHops
from fastin.relax.work import OVER_BUDGET, LegJob, OutOfBudgetError, in_processes, on_dask
from fastin.runtime.arguments import checked_arguments
from fastin.runtime.files import digest
from fastin.runtime.threads import get_num_threads
from fastin.transport.parts import FloatArray

if TYPE_CHECKING:
    import numpy.typing as npt

    from fastin.crystal.ions import IonName
    from fastin.relax.band import Relaxed, Watch
    from fastin.transport.legs import Leg
    from fastin.transport.network import TransportNetwork

_PARENT_FORCE = 0.03
"""eV/A at which the crystal and its shaken supercell stop at the latest, however coarse the bands are."""


@checked_arguments
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
    softening: float = math.inf,
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
        legs: ``"needed"``: cheapest first, until no other can change the percolation barriers, whatever its barrier
            is; ``"smallest"``: a smallest set that percolates in 1, 2 and 3 dimensions at the barriers of the
            landscape, though another leg could be lower; ``"all"``; or numbers of `TransportNetwork.legs`.
        images: between the ends.
        supercell: smallest distance (angstrom) between images of the moving ion, or three multiples of the cell.
        fmax: largest force at which a band stops, eV/A; ends stop at 0.6 of it, the crystal too, at 0.03 at the latest.
        climb: whether the highest image climbs to the saddle.
        end_steps: of the optimiser, at most, for the crystal and each end.
        band_steps: at most, for a band.
        softening: for ``"needed"``: take it that relaxing lowers no barrier of the landscape by more than this, eV;
            legs that cannot matter then are not computed. inf assumes nothing.
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
    request = Request(
        mechanism=mechanism,
        legs=legs,
        images=images,
        supercell=supercell,
        fmax=fmax,
        climb=climb,
        end_steps=end_steps,
        band_steps=band_steps,
        softening=softening,
    )
    run = prepare(source, calculator, request, ion=ion, out=out, num_threads=num_threads, **options)
    return run.finish(budget, progress, workers, scheduler)


def prepare(
    source: Any,
    calculator: Any,
    request: Request | None = None,
    *,
    ion: IonName | None = None,
    out: str | PathLike[str] | None = None,
    num_threads: int | None = None,
    **options: Any,
) -> Run:
    """A run before anything is relaxed: its legs, its cost (`Run.estimate`), `Run.finish`; see `relax_hops`."""
    potential = load_potential(calculator)
    paths = _paths(source, ion, num_threads, options)
    refuse_disorder(paths.crystal)
    potential.refuse_unknown([*paths.crystal.number.tolist(), paths.ion.number], paths.source)
    folder = None if out is None else Path(out).absolute()  # workers elsewhere stand in other folders
    return Run(paths, potential, request or Request(), folder)


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
        request: which legs, and how.
        folder: for checkpoints, or None.
    """

    def __init__(self, paths: TransportNetwork, potential: Potential, request: Request, folder: Path | None) -> None:
        from fastin.transport.neb import default_mechanism

        self.paths = paths
        self.potential = potential
        self.request = request
        self.settings = request.settings
        self.mechanism = default_mechanism(paths, request.mechanism)
        self.all_legs: tuple[Leg, ...] = paths.legs(self.mechanism)
        if not self.all_legs:
            raise InputError(
                f"{paths.source}: no {self.mechanism} leg of {paths.ion.symbol} below {paths.energy_cutoff:.2f} eV; "
                "raise energy_cutoff or choose another mechanism"
            )
        self.places: Places = places_of(paths.leg_finder, self.mechanism)
        self.idle = self._idle()
        self.bounded = request.legs == "needed"
        self.numbers = self._chosen(request.legs)
        self.supercell = common_supercell(paths, [self.all_legs[k] for k in self.numbers], request.supercell)
        refuse_large(paths.source, len(paths.crystal.number) * math.prod(self.supercell), self.supercell)
        self.folder = folder

    def _idle(self) -> dict[int, str]:
        """Legs that move no vacancy -> why: the ion rattles in its own position."""
        from fastin.transport.neb import leg_stands

        if self.mechanism != "vacancy":
            return {}
        same = (k for k, leg in enumerate(self.all_legs) if len(leg_stands(self.paths, leg)) == 1)
        return dict.fromkeys(same, "its ends are two minima of one position: it moves no vacancy")

    def _chosen(self, legs: str | Sequence[int]) -> list[int]:
        """Legs to relax, in order; where barriers decide which matter, all that may come to that."""
        count = len(self.all_legs)
        if isinstance(legs, str):
            heights = {k: leg.energy for k, leg in enumerate(self.all_legs) if k not in self.idle}
            if not heights:
                raise InputError(f"{self.paths.source}: no leg moves a vacancy: {next(iter(self.idle.values()))}")
            if legs == "all":
                return list(heights)
            smallest = smallest_set(self.places, heights) or [min(heights)]
            if legs == "smallest":
                return smallest
            matter = still_open(self.places, {}, dict.fromkeys(heights, (0.0, 0.0)), False).legs
            rest = sorted(matter - set(smallest), key=lambda k: (heights[k], k))
            return [*smallest, *rest]
        chosen = []
        for k in legs:
            if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 0 <= k < count:
                raise InputError(f"{self.paths.source}: there is no leg {k!r}; legs({self.mechanism!r}) lists {count}")
            chosen.append(int(k))
        if not chosen:
            raise InputError("no leg was named")
        return list(dict.fromkeys(chosen))

    def open_legs(self, done: Mapping[int, RelaxedLeg], left: Mapping[int, str]) -> Open:
        """Which of the legs that are not there can still change a percolation barrier, and why the others cannot."""
        return self._open({k: (leg.barrier, leg.barrier_backward) for k, leg in done.items()}, left)

    def _open(self, barriers: Mapping[int, tuple[float, float]], left: Container[int]) -> Open:
        waiting = {
            k: least_barriers(leg.barrier, leg.barrier_backward, self.request.softening)
            for k, leg in enumerate(self.all_legs)
            if k not in barriers and k not in left and k not in self.idle
        }
        return still_open(self.places, barriers, waiting, self.mechanism == "vacancy")

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

    def parent(self, watch: Watch) -> tuple[FloatArray, bool, float]:
        """Displacements of the crystal's rows when it relaxes (angstrom), whether it came to rest, its energy (eV)."""
        from fastin.relax.band import Relaxed

        crystal = self.paths.crystal
        before = crystal.frac @ crystal.cell

        def make(journal: Journal) -> dict[str, Any]:
            numbers = crystal.number.astype(np.int64)
            found = self._relaxed(numbers, crystal.cell, before, watch, "parent", journal)
            return to_plain(found)

        found: Relaxed = from_plain(Relaxed, self.kept(-1)("parent", make))
        return found.positions - before, found.converged, found.energy

    def _relaxed(
        self, numbers: npt.NDArray[np.int64], cell: FloatArray, positions: FloatArray, watch: Watch, stage: str,
        journal: Journal,
    ) -> Relaxed:  # fmt: skip
        from fastin.relax.band import relax_cell

        # a shaken crystal that is let go at large forces has not left the slope yet, and nothing would be said
        limit, steps = min(END_SHARE * self.settings.fmax, _PARENT_FORCE), self.settings.end_steps
        calculator = self.potential.calculator()
        return relax_cell(calculator, numbers, cell, positions, limit, steps, watch, stage, journal)

    def drop(self, displacement: FloatArray, energy: float, watch: Watch) -> float:
        """Energy that the supercell of the relaxed crystal loses when it is shaken and relaxed again, eV.

        A relaxation that starts in a symmetric place stays symmetric, on a maximum as well as in a minimum.
        """
        from fastin.relax.cells import shaken

        crystal = self.paths.crystal
        numbers, cell, positions = shaken(crystal, displacement, self.supercell)

        def make(journal: Journal) -> dict[str, Any]:
            found = self._relaxed(numbers, cell, positions, watch, "shaken", journal)
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

    def waiting(self) -> list[int]:
        """Legs that may still have to be relaxed."""
        there: dict[int, tuple[float, float]] = {}
        for k in self.numbers:
            if (band := self.kept(k).read("band")) is not None:
                energy = band["energy"]
                there[k] = (max(energy) - energy[0], max(energy) - energy[-1])
        rest = [k for k in self.numbers if k not in there]
        if self.bounded:
            matter = self._open(there, ()).legs
            rest = [k for k in rest if k in matter]
        return rest

    def estimate(self, workers: int = 1) -> Estimate:
        """What the legs that are not there yet will cost at most, from one timed structure."""
        todo = len(self.waiting())
        band = self._any_band()
        return estimate(self.potential.calculator(), band, todo, self.settings.images, min(workers, todo))

    def _any_band(self) -> Band:
        """First images of the first leg that has some; the error of the last where none has."""
        still = np.zeros((len(self.paths.crystal.number), 3))
        for k in self.numbers[:-1]:
            try:
                return self.band(k, still)
            except FastinError:
                continue
        return self.band(self.numbers[-1], still)

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
        clock = Clock(budget, progress, len(self.numbers))
        done: dict[int, RelaxedLeg] = {}
        left: dict[int, str] = {}
        flags: list[str] = []
        drop = math.nan
        try:
            displacement, rested, energy = self.parent(clock.watch(-1))
            drop = self.drop(displacement, energy, clock.watch(-1))
            flags = parent_flags(displacement, rested, drop)
            work = _Work(self, displacement, clock, done, left)
            if scheduler is not None or (workers > 1 and len(self.numbers) > 1):
                while work.elsewhere(workers, scheduler):
                    pass  # what came last may have left legs that matter again
            else:
                work.here()
        except OutOfBudgetError:
            pass
        closed = {k: why for k, why in self.idle.items() if k not in self.numbers}
        if self.bounded:
            said = self.open_legs(done, left)
            closed |= said.closed
            left |= dict.fromkeys(sorted(said.legs), OVER_BUDGET)
        else:
            left |= {k: OVER_BUDGET for k in self.numbers if k not in done and k not in left}
        return RelaxedHops.assemble(self, done, left, closed, flags, drop)


class _Work:
    """The legs of a run, one after another or side by side.

    Args:
        run: of the legs.
        displacement: (N, 3) of the crystal's rows to the relaxed parent, angstrom.
        clock: of the run.
        done: filled with what is there.
        left: filled with why there is none.
    """

    def __init__(
        self, run: Run, displacement: FloatArray, clock: Clock, done: dict[int, RelaxedLeg], left: dict[int, str]
    ) -> None:
        self.run, self.displacement, self.clock, self.done, self.left = run, displacement, clock, done, left
        self.places = run.place_points(displacement)
        self.begun: set[int] = set()

    def bands(self) -> Iterator[tuple[int, Band]]:
        """Legs to relax and their first images: which comes next is decided when it is asked for."""
        while (k := self._next()) is not None:
            self.begun.add(k)
            try:
                yield k, self.run.band(k, self.displacement)
            except FastinError as error:
                self.left[k] = str(error)
                self.clock.done += 1

    def _next(self) -> int | None:
        rest = [k for k in self.run.numbers if k not in self.begun]
        if self.run.bounded:
            matter = self.run.open_legs(self.done, self.left).legs
            rest = [k for k in rest if k in matter]
            self.clock.legs = len(self.begun) + len(rest)
        return rest[0] if rest else None

    def here(self) -> None:
        """One after another, in this process."""
        run = self.run
        for k, band in self.bands():
            watch = self.clock.watch(k)
            try:
                self.done[k] = relax_leg(
                    *(k, band, run.potential.calculator(), run.settings, self.places, run.kept(k), watch)
                )
            except FastinError as error:
                self.left[k] = str(error)
            self.clock.done += 1

    def elsewhere(self, workers: int, scheduler: Any) -> bool:
        """In other processes; whether any leg was begun."""
        run, clock = self.run, self.clock
        assert run.potential.spec is not None
        spec = run.potential.spec
        until = None if clock.budget is None else time.time() + clock.budget - clock.spent
        before = len(self.begun)
        jobs = (
            LegJob(k, spec, band, run.settings, self.places, run.kept(k).folder, run.kept(k).key, until)
            for k, band in self.bands()
        )
        count = min(workers, len(run.numbers))
        threads = max(1, get_num_threads() // count)
        found = on_dask(jobs, scheduler) if scheduler is not None else in_processes(jobs, count, threads)
        for answer in found:
            if answer is None:
                continue
            k, result = answer
            if isinstance(result, str):
                self.left[k] = result
            else:
                self.done[k] = result
            clock.done += 1
            clock.tell(k, "done", 0, math.nan)
        return len(self.begun) > before
