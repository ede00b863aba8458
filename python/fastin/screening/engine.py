"""The default engine: the records of a screening in worker processes on this machine (`fastin.runtime.pool`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from fastin.errors import InputError
from fastin.runtime.pool import Failure, Pool, Target, WorkerStartError
from fastin.screening.inputs import Record

__all__ = ["Row", "Supervisor", "WorkerStartError", "error_row", "worker"]

log = logging.getLogger("fastin.screening")

Row = dict[str, Any]


def error_row(failure: Failure) -> Row:
    """The columns of a record that no worker could answer."""
    return {
        "failed_tasks": "all",
        "error_type": failure.kind,
        "error_message": failure.message,
        "seconds": failure.seconds,
    }


def worker(
    tasks: list[str], ion: str | None, options: Mapping[str, Any], threads: int
) -> Callable[[tuple[str, str, str, bytes, tuple[str, ...]]], Row]:
    """In a worker process: the function that turns a record (uid, source, kind, payload, tasks or all) into its row.

    Raises:
        InputError: the options cannot work.
    """
    from fastin.screening.job import SMALL_CRYSTAL
    from fastin.screening.tasks import job_loader, resolve_tasks, run_tasks

    resolved = resolve_tasks(tasks)
    # once before the first record, so that no structure's time limit pays for imports and tables
    own = [task for task in resolved if ":" not in task.name and task.trial is None]
    row = run_tasks(own, job_loader(("", "", "cif", SMALL_CRYSTAL.encode()), None, options, threads))
    if options and row.get("error_type"):  # else every structure would fail, one by one
        raise InputError(f"the options {options} do not work: {row['error_message']}")
    for task in resolved:
        if task.trial is not None:
            task.trial(options)

    def answer(record: tuple[str, str, str, bytes, tuple[str, ...]]) -> Row:
        wanted = [task for task in resolved if task.name in record[4]] if record[4] else resolved
        return run_tasks(wanted, job_loader(record[:4], ion, options, threads))

    return answer


def _pack(record: Record) -> tuple[Any, int]:
    return (record.uid, record.source, record.kind, record.payload, record.tasks), len(record.payload)


class Supervisor:
    """Yields the rows of records as they come.

    Args:
        config: tasks, ion, options, threads, and memory of each process (bytes, or None).
        workers: number of processes.
        time_limit: seconds for one structure.
        stderr: where the processes write what libraries print; None discards it.
        keep: keeps the processes between calls of `rows`, until `close`.
    """

    def __init__(
        self,
        config: dict[str, Any],
        workers: int,
        time_limit: float,
        stderr: IO[bytes] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self.config = config
        arguments = {name: config[name] for name in ("tasks", "ion", "options", "threads")}
        target = Target(
            "fastin.screening.engine:worker", arguments, config["threads"], config.get("memory"), time_limit
        )
        self._pool: Pool[Record] = Pool(target, workers, stderr, keep=keep, pack=_pack)

    def rows(self, records: Iterator[Record], tick: float = 0.5) -> Iterator[tuple[Record, Row] | None]:
        """Each record with its row, in the order of completion; None at least every `tick` seconds without one.

        Raises:
            WorkerStartError: no worker can start.
        """
        answers = self._pool.answers(records, tick)
        try:
            for found in answers:
                if found is None:
                    yield None
                    continue
                record, answer, seconds = found
                if isinstance(answer, Failure):
                    log.warning("%s: %s: %s", record.uid, answer.kind, answer.message)
                    yield record, error_row(answer)
                else:
                    yield record, answer | {"seconds": seconds}
        finally:
            answers.close()

    def close(self) -> None:
        """Ends every process."""
        self._pool.close()
