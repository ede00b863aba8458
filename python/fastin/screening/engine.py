"""The default engine: a supervisor of worker processes on this machine.

A pool that breaks as a whole when one process dies (`concurrent.futures`) cannot run tens of thousands of foreign
CIFs. Here each worker has its own pipe, answers record by record, and can be killed and replaced alone: a structure
that exceeds the time limit, crashes the process or makes the kernel kill it costs its own row only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import chain
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import IO, Any

from fastin.errors import FastinError
from fastin.screening.inputs import Record

log = logging.getLogger("fastin.screening")

Row = dict[str, Any]

_START_LIMIT = 180.0  # s for a worker to import what it needs
_CHUNK_SECONDS = 0.4  # work handed out at a time
_MAX_CHUNK = 64
_PREFETCH_BYTES = 32768  # a chunk that surely fits in the socket's buffer may be sent while the worker is busy
_RECYCLE_RECORDS = 5000
_RECYCLE_BYTES = 1536 * 2**20
_ATTEMPTS = 2  # a worker's death may have another cause than the structure it was at
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerStartError(FastinError, RuntimeError):
    """The worker processes cannot start: an import fails there, or they are killed at once."""


class Worker:
    """One worker process and the records it has not answered yet.

    Args:
        config: tasks, ion, options and threads, as `fastin.screening.worker` reads them.
        stderr: where the process writes what libraries print; None discards it.
    """

    def __init__(self, config: dict[str, Any], stderr: IO[bytes] | None = None) -> None:
        self.connection, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
            "PYTHONUNBUFFERED": "1",
            **dict.fromkeys(_ONE_THREAD, str(config["threads"])),
        }
        command = [sys.executable, "-W", "ignore", "-m", "fastin.screening.worker", str(theirs.fileno()), str(lifeline)]
        sink = subprocess.DEVNULL if stderr is None else stderr
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment,
                pass_fds=(theirs.fileno(), lifeline),
            )  # fmt: skip
        finally:
            theirs.close()
            os.close(lifeline)
        self.queue: deque[Record] = deque()
        self.ready = False
        self.answered = 0
        self.resident = 0
        self.since = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a stillborn one shows at the first receive
            self.connection.send(config)

    def submit(self, data: bytes, records: list[Record]) -> None:
        """Sends a pickled chunk; the clock of its first record starts when the worker is free for it."""
        if not self.queue:
            self.since = time.monotonic()
        self.queue.extend(records)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(data)

    def receive(self) -> tuple[Record, Row] | None:
        """The next answer; None for the start message.

        Raises:
            EOFError: the process is gone.
            WorkerStartError: it says that it cannot work.
        """
        try:
            first, second = self.connection.recv()
        except (ConnectionResetError, BrokenPipeError, OSError, pickle.UnpicklingError) as error:
            raise EOFError from error
        self.since = time.monotonic()
        if first == "fatal":
            raise WorkerStartError(f"a screening worker cannot start: {second}")
        if first == "ready":
            self.ready = True
            return None
        self.answered += 1
        self.resident = second
        return self.queue.popleft(), first

    def overdue(self, now: float, limit: float) -> bool:
        """True when the record at work (or the start) exceeds its time."""
        return now - self.since > (limit if self.ready else _START_LIMIT) and (bool(self.queue) or not self.ready)

    def cause_of_death(self) -> str:
        """How the process ended, in words; waits for it."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if status == -signal.SIGKILL:
            return "the process was killed (SIGKILL), most likely because memory ran out"
        if status < 0:
            return f"the process crashed ({signal.Signals(-status).name})"
        return f"the process ended with status {status}"

    def stop(self) -> None:
        """Ends the process at once."""
        self.connection.close()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        self.process.kill()
        self.process.wait()


def error_row(kind: str, message: str, seconds: float) -> Row:
    """The columns of a record that no worker could answer."""
    return {"failed_tasks": "all", "error_type": kind, "error_message": message, "seconds": seconds}


def encode(records: list[Record]) -> bytes:
    """A chunk as the worker reads it."""
    return pickle.dumps([(r.uid, r.source, r.kind, r.payload) for r in records], protocol=5)


class Supervisor:
    """Feeds workers from a stream of records and yields the rows as they come.

    Args:
        config: see `Worker`.
        workers: number of processes.
        time_limit: seconds for one structure.
        stderr: see `Worker`.
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
        self._keep = keep
        self._limit = time_limit
        self._stderr = stderr
        self._size = workers
        self._workers: list[Worker] = []
        self._again: deque[Record] = deque()
        self._deaths: dict[int, int] = {}
        self._stillborn = 0
        self._mean_seconds = _CHUNK_SECONDS

    def rows(self, records: Iterator[Record], tick: float = 0.5) -> Iterator[tuple[Record, Row] | None]:
        """Each record with its row, in the order of completion; None at least every `tick` seconds without one.

        Raises:
            WorkerStartError: no worker can start.
        """
        first = next(records, None)
        if first is None:
            return
        records = chain([first], records)
        exhausted = False
        try:
            while True:
                exhausted = self._feed(records, exhausted)
                busy = {w.connection: w for w in self._workers if w.queue or not w.ready}
                if not any(w.queue for w in busy.values()) and exhausted and not self._again:
                    return
                answered = False
                for connection in wait(list(busy), timeout=tick):
                    assert isinstance(connection, Connection)
                    for answer in self._receive(busy[connection]):
                        answered = True
                        yield answer
                for answer in self._expire():
                    answered = True
                    yield answer
                if not answered:
                    yield None
        except BaseException:
            self.close()
            raise
        finally:
            if not self._keep:
                self.close()

    def close(self) -> None:
        """Ends every process."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
        self._again.clear()

    def _chunk(self, records: Iterator[Record], exhausted: bool) -> tuple[list[Record], bool]:
        wanted = max(1, min(_MAX_CHUNK, int(_CHUNK_SECONDS / self._mean_seconds)))
        chunk: list[Record] = []
        if self._again:  # after a death one at a time, so that the guilty one is known
            return [self._again.popleft()], exhausted
        size, start = 0, time.monotonic()
        while len(chunk) < wanted and size < 2**20 and not exhausted:
            if chunk and time.monotonic() - start > _CHUNK_SECONDS:
                break  # a slow source: what came must not wait for the rest
            record = next(records, None)
            if record is None:
                exhausted = True
            else:
                chunk.append(record)
                size += len(record.payload)
        return chunk, exhausted

    def _feed(self, records: Iterator[Record], exhausted: bool) -> bool:
        """Replaces missing workers, hands out work; True when the stream is at its end."""
        for worker in [w for w in self._workers if not w.queue and w.ready]:
            if worker.answered >= _RECYCLE_RECORDS or worker.resident > _RECYCLE_BYTES:
                self._drop(worker)
        while len(self._workers) < self._size and not (exhausted and not self._again and self._workers):
            self._workers.append(Worker(self.config, self._stderr))
        for worker in self._workers:
            retiring = worker.answered >= _RECYCLE_RECORDS or worker.resident > _RECYCLE_BYTES
            if not worker.ready or len(worker.queue) > 1:
                continue
            if worker.queue and (retiring or self._again or self._mean_seconds > 1.0):
                continue
            chunk, exhausted = self._chunk(records, exhausted)
            if not chunk:
                continue
            data = encode(chunk)
            if worker.queue and len(data) > _PREFETCH_BYTES:
                self._again.extend(chunk)  # rare: given out singly when a worker is free
            else:
                worker.submit(data, chunk)
        return exhausted

    def _receive(self, worker: Worker) -> Iterator[tuple[Record, Row]]:
        try:
            answer = worker.receive()
            if answer is None:
                self._stillborn = 0
                return
            self._mean_seconds += 0.05 * (float(answer[1]["seconds"]) - self._mean_seconds)
            yield answer
        except EOFError:
            yield from self._bury(worker)

    def _bury(self, worker: Worker) -> Iterator[tuple[Record, Row]]:
        """A worker died by itself: the record it was at is tried once more, alone, then it gets its error."""
        cause = worker.cause_of_death()
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= 3:
                raise WorkerStartError(f"screening workers die at their start: {cause}")
        if worker.queue:
            record = worker.queue.popleft()
            self._deaths[record.key] = self._deaths.get(record.key, 0) + 1
            if self._deaths[record.key] >= _ATTEMPTS:
                log.warning("%s: %s", record.uid, cause)
                del self._deaths[record.key]
                yield record, error_row("WorkerDied", cause, time.monotonic() - worker.since)
            else:
                self._again.append(record)
        self._drop(worker)

    def _expire(self) -> Iterator[tuple[Record, Row]]:
        now = time.monotonic()
        for worker in [w for w in self._workers if w.overdue(now, self._limit)]:
            if worker.connection.poll():  # it has answered in the meantime
                continue
            if not worker.ready:
                self._drop(worker)
                raise WorkerStartError(f"a screening worker did not start within {_START_LIMIT:.0f} s")
            record = worker.queue.popleft()
            log.warning("%s: exceeded %g s", record.uid, self._limit)
            yield record, error_row("TimeoutError", f"exceeded the time limit of {self._limit:g} s", now - worker.since)
            self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        """Ends a worker; what it had not begun goes back to the front."""
        self._again.extendleft(reversed(worker.queue))
        worker.queue.clear()
        self._workers.remove(worker)
        worker.stop()
