"""Legs side by side: in worker processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastin.errors import FastinError
from fastin.relax.cells import Band
from fastin.relax.legs import Kept, RelaxedLeg, Settings, relax_leg
from fastin.relax.potentials import load_potential
from fastin.runtime.pool import Failure, Pool, Target
from fastin.transport.parts import FloatArray

_ENDLESS = float("inf")
_TICK = 0.5  # seconds between two looks at the cluster


class OutOfBudgetError(Exception):
    """The time allowed is over; caught before a user sees it."""


@dataclass(frozen=True, eq=False)
class LegJob:
    """All that one leg needs in another process.

    Attributes:
        number: of the leg.
        spec: name of the potential.
        band: before relaxing.
        settings: how.
        places: for the flags.
        folder: of its checkpoints, or None.
        key: of its checkpoints.
        until: wall clock (`time.time`) at which it stops, or None.
    """

    number: int
    spec: str
    band: Band
    settings: Settings
    places: FloatArray
    folder: Path | None
    key: str
    until: float | None


def run_job(job: LegJob) -> RelaxedLeg | str:
    """The relaxed leg, or why there is none."""
    if job.until is not None and time.time() > job.until:
        return OVER_BUDGET

    def watch(stage: str, step: int, force: float) -> None:
        if job.until is not None and time.time() > job.until:
            raise OutOfBudgetError

    try:
        calculator = load_potential(job.spec).calculator()
        kept = Kept(job.folder, job.key)
        return relax_leg(job.number, job.band, calculator, job.settings, job.places, kept, watch)
    except OutOfBudgetError:
        return OVER_BUDGET
    except FastinError as error:
        return str(error)


OVER_BUDGET = "not computed: the budget was spent"


def leg_worker() -> Callable[[LegJob], RelaxedLeg | str]:
    """For a worker process: the function of an item; the potential is loaded once."""
    made: dict[str, Any] = {}

    def run(job: LegJob) -> RelaxedLeg | str:
        from dataclasses import replace

        if job.spec not in made:
            made[job.spec] = load_potential(job.spec)
        return run_job(replace(job, spec=made[job.spec]))

    return run


def in_processes(jobs: Iterator[LegJob], workers: int, threads: int) -> Iterator[tuple[int, RelaxedLeg | str] | None]:
    """Numbers of legs with what came of them, as they end; None now and then while nothing does.

    Args:
        jobs: made when a process is free for them.
        workers: processes.
        threads: of each.

    Raises:
        WorkerStartError: no process can start.
    """
    target = Target("fastin.relax.work:leg_worker", {}, threads, None, _ENDLESS)
    for answer in Pool[LegJob](target, workers).answers(jobs):
        if answer is None:
            yield None
            continue
        job, found, _ = answer
        yield job.number, f"{found.kind}: {found.message}" if isinstance(found, Failure) else found


def on_dask(jobs: Iterator[LegJob], scheduler: Any) -> Iterator[tuple[int, RelaxedLeg | str] | None]:
    """As `in_processes`, on a Dask cluster; checkpoints need a folder that the workers share.

    Args:
        jobs: of the legs.
        scheduler: address (``tcp://host:8786``) or a `dask.distributed.Client`, which stays open.

    Raises:
        MissingDependencyError: dask.distributed is not installed.
        InputError: nobody answers at the address, or the cluster has no worker.
        SchedulerLostError: the scheduler went away.
    """
    from fastin.runtime.dask_client import connect, finished, scheduler_lost, threads_of

    client, owned = connect(scheduler)
    flying: dict[Any, int] = {}
    try:
        with scheduler_lost("stages that ended are kept where a folder was given"):
            threads_of(client)
            while True:
                # what a leg gives may spare others: no more wait than the cluster computes
                while len(flying) < threads_of(client) and (job := next(jobs, None)) is not None:
                    flying[client.submit(run_job, job, pure=False)] = job.number
                if not flying:
                    return
                done = finished(client, list(flying), _TICK)
                if not done:
                    yield None
                for future in done:
                    yield flying.pop(future), _said(future)
    finally:
        if flying:
            client.cancel(list(flying), force=True)
        if owned:
            client.close()


def _said(future: Any) -> RelaxedLeg | str:
    from distributed import KilledWorker

    error = future.exception()
    if error is None:
        found: RelaxedLeg | str = future.result()
        return found
    if isinstance(error, KilledWorker):
        return "the Dask workers that tried it died, most likely because memory ran out"
    return f"{type(error).__name__}: {error}"
