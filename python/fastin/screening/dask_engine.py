"""The same rows on Dask: chunks go to a scheduler's workers, rows come back and are written here.

On each Dask worker a chunk runs in fastin's own worker process, so that the time limit holds and a crash or a full
memory costs one structure. A Dask worker that dies mid-chunk is Dask's to replace: the chunk runs again elsewhere. A
chunk that keeps killing its workers is cut into single structures, and the guilty one gets its error.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Self

from fastin.runtime.dask_client import SchedulerLostError, connect, finished, scheduler_lost, threads_of
from fastin.runtime.pool import Failure
from fastin.screening.engine import Row, Supervisor, error_row
from fastin.screening.inputs import Record

_CHUNK = 32
_CHUNK_SECONDS = 5.0  # rows come back by the chunk: a slow task gets small ones
_AHEAD = 3  # chunks in flight for each thread of the cluster

# One supervisor with one process for each thread of this Dask worker, kept between chunks.
_local = threading.local()


def run_chunk(config: dict[str, Any], time_limit: float, records: list[Record]) -> list[Row]:
    """Computes a chunk on a Dask worker; rows in the order of the records."""
    rows: dict[int, Row] = {}
    supervisor = getattr(_local, "supervisor", None)
    if supervisor is None or supervisor.config != config:
        if supervisor is not None:
            supervisor.close()
        supervisor = _local.supervisor = Supervisor(config, 1, time_limit, keep=True)
    for answer in supervisor.rows(iter(records)):
        if answer is not None:
            rows[answer[0].key] = answer[1]
    return [rows[record.key] for record in records]


class DaskEngine:
    """Feeds a Dask cluster; to be used in a ``with`` statement.

    Args:
        config: see `fastin.screening.engine.Worker`.
        scheduler: address (``tcp://host:8786``) or a `dask.distributed.Client`, which stays open.
        time_limit: seconds for one structure.

    Raises:
        MissingDependencyError: dask.distributed is not installed.
        InputError: nobody answers at the address, or the cluster has no worker.
    """

    def __init__(self, config: dict[str, Any], scheduler: Any, time_limit: float) -> None:
        self._client, self._owned = connect(scheduler)
        self._config = config
        self._mean_seconds = _CHUNK_SECONDS / 8
        self._limit = time_limit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._owned:
            self._client.close()

    def _threads(self) -> int:
        return sum(self._client.nthreads().values())

    def _submit(self, records: list[Record]) -> Any:
        return self._client.submit(run_chunk, self._config, self._limit, records, pure=False)

    def rows(self, records: Iterator[Record], tick: float = 0.5) -> Iterator[tuple[Record, Row] | None]:
        """As `fastin.screening.engine.Supervisor.rows`.

        Raises:
            SchedulerLostError: the scheduler is gone.
        """
        with scheduler_lost("the rows so far are kept"):
            yield from self._rows(records, tick)

    def _rows(self, records: Iterator[Record], tick: float) -> Iterator[tuple[Record, Row] | None]:
        threads_of(self._client)
        flying: dict[Any, list[Record]] = {}
        singles: deque[Record] = deque()
        exhausted = False
        try:
            while True:
                while len(flying) < _AHEAD * max(1, self._threads()) and not (exhausted and not singles):
                    if singles:
                        chunk = [singles.popleft()]
                    else:
                        wanted = max(1, min(_CHUNK, int(_CHUNK_SECONDS / self._mean_seconds)))
                        chunk = [record for _, record in zip(range(wanted), records, strict=False)]
                        exhausted = len(chunk) < wanted
                    if chunk:
                        flying[self._submit(chunk)] = chunk
                if not flying:
                    return
                done = finished(self._client, list(flying), tick)
                if not done:
                    yield None
                for future in done:
                    yield from self._collect(future, flying.pop(future), singles)
        finally:
            self._client.cancel(list(flying), force=True)

    def _collect(self, future: Any, chunk: list[Record], singles: deque[Record]) -> Iterator[tuple[Record, Row]]:
        from distributed import KilledWorker

        error = future.exception()
        if error is None:
            for record, row in zip(chunk, future.result(), strict=True):
                self._mean_seconds += 0.05 * (float(row["seconds"]) - self._mean_seconds)
                yield record, row
        elif not isinstance(error, KilledWorker):
            raise error
        elif len(chunk) > 1:
            singles.extend(chunk)
        else:
            message = "the Dask workers that tried it died, most likely because memory ran out"
            yield chunk[0], error_row(Failure("WorkerDied", message))


__all__ = ["DaskEngine", "SchedulerLostError", "run_chunk"]
