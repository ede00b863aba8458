"""Work that may not take the caller with it: a supervisor of worker processes on this machine.

A pool that breaks as a whole when one process dies (`concurrent.futures`) cannot run tens of thousands of foreign
CIFs. Here each worker has its own pipe, answers item by item, and can be killed and replaced alone: an item that
exceeds the time limit, crashes the process or makes the kernel kill it costs its own answer only.

What runs is named: ``"package.module:function"`` is imported in the worker and called once with the arguments; what it
returns is called with each item. Items and answers travel pickled.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from fastin import errors
from fastin.errors import FastinError

T = TypeVar("T")

_START_LIMIT = 180.0  # s for a worker to import what it needs
_CHUNK_SECONDS = 0.4  # work handed out at a time
_MAX_CHUNK = 64
_PREFETCH_BYTES = 32768  # a chunk that surely fits in the socket's buffer may be sent while the worker is busy
_RECYCLE_ITEMS = 5000
_RECYCLE_BYTES = 1536 * 2**20
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# Rounds that an OpenMP thread (GNU's) waits for work before it sleeps, some 30 us: of its own accord it spins for
# milliseconds, which took as much CPU time as the structures, and on busy processors took it from other workers.
_SPIN_ROUNDS = "10000"


class WorkerStartError(FastinError, RuntimeError):
    """The worker processes cannot start: an import fails there, or they are killed at once."""


class LostError(FastinError, RuntimeError):
    """An input whose process hung, crashed or ran out of memory, or that met an error of another library."""


@dataclass(frozen=True)
class Failure:
    """An item that was not answered.

    Attributes:
        kind: name of the exception; ``TimeoutError`` and ``WorkerDied`` come from the supervisor.
        message: what it says.
        seconds: that the item took.
    """

    kind: str
    message: str
    seconds: float = 0.0

    def error(self, name: str) -> FastinError:
        """The exception to raise for it: of its own class where that is fastin's, else a `LostError`.

        Args:
            name: of the item, where the message does not hold it.
        """
        message = self.message if name in self.message else f"{name}: {self.message}"
        kind = getattr(errors, self.kind, None)
        if isinstance(kind, type) and issubclass(kind, FastinError):
            return kind(message)
        return LostError(f"{self.kind}: {message}")


@dataclass(frozen=True)
class Target:
    """What the workers run.

    Attributes:
        function: ``"package.module:function"``, called with `arguments`; returns the function of an item.
        arguments: picklable.
        threads: of the core in each process.
        memory: bytes that a process may allocate; None for no limit. Beyond it the item fails with a MemoryError.
        time_limit: seconds for one item.
        attempts: how often an item is tried whose process dies: its death may have another cause.
    """

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    memory: int | None = None
    time_limit: float = 300.0
    attempts: int = 2


@dataclass(frozen=True)
class Task(Generic[T]):
    """One item on its way: the caller's object, its number, what the worker gets and the size of that."""

    item: T
    number: int
    data: Any
    size: int = 0


class Worker(Generic[T]):
    """One worker process and the tasks it has not answered yet.

    Args:
        target: what it runs.
        stderr: where the process writes what libraries print; None discards it.
    """

    def __init__(self, target: Target, stderr: IO[bytes] | None = None) -> None:
        from multiprocessing.connection import Pipe  # here and below: a prediction alone needs none

        self.connection, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
            "PYTHONUNBUFFERED": "1",
            **dict.fromkeys(_ONE_THREAD, str(target.threads)),
        }
        if "OMP_WAIT_POLICY" not in environment:
            environment.setdefault("GOMP_SPINCOUNT", _SPIN_ROUNDS)
        command = [sys.executable, "-W", "ignore", "-m", "fastin.runtime.worker", str(theirs.fileno()), str(lifeline)]
        sink = subprocess.DEVNULL if stderr is None else stderr
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment,
                pass_fds=(theirs.fileno(), lifeline),
            )  # fmt: skip
        finally:
            theirs.close()
            os.close(lifeline)
        self.queue: deque[Task[T]] = deque()
        self.ready = False
        self.answered = 0
        self.resident = 0
        self.since = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a stillborn one shows at the first receive
            self.connection.send(target)

    def submit(self, data: bytes, tasks: list[Task[T]]) -> None:
        """Sends a pickled chunk; the clock of its first item starts when the worker is free for it."""
        if not self.queue:
            self.since = time.monotonic()
        self.queue.extend(tasks)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(data)

    def receive(self) -> tuple[Task[T], Any, float] | None:
        """The next answer and its seconds; None for the start message.

        Raises:
            EOFError: the process is gone.
            WorkerStartError: it says that it cannot work.
        """
        try:
            first, second, third = self.connection.recv()
        except (ConnectionResetError, BrokenPipeError, OSError, pickle.UnpicklingError) as error:
            raise EOFError from error
        self.since = time.monotonic()
        if first == "fatal":
            raise WorkerStartError(f"a worker process cannot start: {second}")
        if first == "ready":
            self.ready = True
            return None
        self.answered += 1
        self.resident = third
        return self.queue.popleft(), first, second

    def overdue(self, now: float, limit: float) -> bool:
        """True when the item at work (or the start) exceeds its time."""
        return now - self.since > (limit if self.ready else _START_LIMIT) and (bool(self.queue) or not self.ready)

    def cause_of_death(self) -> str:
        """How the process ended, in words; waits for it."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        return words_of_status(status)

    def stop(self) -> None:
        """Ends the process at once."""
        self.connection.close()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        self.process.kill()
        self.process.wait()


def words_of_status(status: int) -> str:
    """How a process ended, from `subprocess`'s return code."""
    if status == -signal.SIGKILL:
        return "the process was killed (SIGKILL), most likely because memory ran out"
    if status == -signal.SIGXCPU:
        return "the process used up its processor time (SIGXCPU)"
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:  # real-time signals have no name
            name = f"signal {-status}"
        return f"the process crashed ({name})"
    return f"the process ended with status {status}"


class Pool(Generic[T]):
    """Feeds workers from a stream of items and yields the answers as they come.

    Args:
        target: what the workers run.
        workers: number of processes.
        stderr: see `Worker`.
        keep: keeps the processes between calls of `answers`, until `close`.
        pack: data for the worker and its size, from an item; by default the item itself.
    """

    def __init__(
        self,
        target: Target,
        workers: int,
        stderr: IO[bytes] | None = None,
        *,
        keep: bool = False,
        pack: Callable[[T], tuple[Any, int]] | None = None,
    ) -> None:
        self.target = target
        self._keep = keep
        self._pack = pack or (lambda item: (item, 0))
        self._stderr = stderr
        self._size = workers
        self._workers: list[Worker[T]] = []
        self._again: deque[Task[T]] = deque()
        self._deaths: dict[int, int] = {}
        self._stillborn = 0
        self._number = 0
        self._mean_seconds = _CHUNK_SECONDS

    def answers(self, items: Iterator[T], tick: float = 0.5) -> Generator[tuple[T, Any, float] | None, None, None]:
        """Each item with its answer (or a `Failure`) and the seconds it took, in the order of completion.

        Yields None at least every `tick` seconds without an answer.

        Raises:
            WorkerStartError: no worker can start.
        """
        first = next(items, None)
        if first is None:
            return
        from multiprocessing.connection import Connection, wait

        items = chain([first], items)
        exhausted = False
        try:
            while True:
                exhausted = self._feed(items, exhausted)
                busy = {w.connection: w for w in self._workers if w.queue or not w.ready}
                if not any(w.queue for w in busy.values()) and exhausted and not self._again:
                    return
                answered = False
                for connection in wait(list(busy), timeout=tick):
                    assert isinstance(connection, Connection)
                    for task, answer, seconds in self._receive(busy[connection]):
                        answered = True
                        yield task.item, answer, seconds
                for task, answer, seconds in self._expire():
                    answered = True
                    yield task.item, answer, seconds
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

    def kill(self) -> None:
        """Kills the processes and nothing else: for another thread than the one that waits for the answers."""
        for worker in list(self._workers):
            worker.process.kill()

    def _task(self, item: T) -> Task[T]:
        self._number += 1
        return Task(item, self._number, *self._pack(item))

    def _chunk(self, items: Iterator[T], exhausted: bool) -> tuple[list[Task[T]], bool]:
        wanted = max(1, min(_MAX_CHUNK, int(_CHUNK_SECONDS / self._mean_seconds)))
        chunk: list[Task[T]] = []
        if self._again:  # after a death one at a time, so that the guilty one is known
            return [self._again.popleft()], exhausted
        size, start = 0, time.monotonic()
        while len(chunk) < wanted and size < 2**20 and not exhausted:
            if chunk and time.monotonic() - start > _CHUNK_SECONDS:
                break  # a slow source: what came must not wait for the rest
            item = next(items, None)
            if item is None:
                exhausted = True
            else:
                chunk.append(self._task(item))
                size += chunk[-1].size
        return chunk, exhausted

    def _feed(self, items: Iterator[T], exhausted: bool) -> bool:
        """Replaces missing workers, hands out work; True when the stream is at its end."""
        for worker in [w for w in self._workers if not w.queue and w.ready]:
            if worker.answered >= _RECYCLE_ITEMS or worker.resident > _RECYCLE_BYTES:
                self._drop(worker)
        while len(self._workers) < self._size and not (exhausted and not self._again and self._workers):
            self._workers.append(Worker(self.target, self._stderr))
        for worker in self._workers:
            retiring = worker.answered >= _RECYCLE_ITEMS or worker.resident > _RECYCLE_BYTES
            if not worker.ready or len(worker.queue) > 1:
                continue
            if worker.queue and (retiring or self._again or self._mean_seconds > 1.0):
                continue
            chunk, exhausted = self._chunk(items, exhausted)
            if not chunk:
                continue
            data = pickle.dumps([task.data for task in chunk], protocol=5)
            if worker.queue and len(data) > _PREFETCH_BYTES:
                self._again.extend(chunk)  # rare: given out singly when a worker is free
            else:
                worker.submit(data, chunk)
        return exhausted

    def _receive(self, worker: Worker[T]) -> Iterator[tuple[Task[T], Any, float]]:
        try:
            answer = worker.receive()
            if answer is None:
                self._stillborn = 0
                return
            self._mean_seconds += 0.05 * (answer[2] - self._mean_seconds)
            yield answer
        except EOFError:
            yield from self._bury(worker)

    def _bury(self, worker: Worker[T]) -> Iterator[tuple[Task[T], Any, float]]:
        """A worker died by itself: the item it was at is tried once more, alone, then it gets its error."""
        cause = worker.cause_of_death()
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= 3:
                raise WorkerStartError(f"worker processes die at their start: {cause}")
        if worker.queue:
            task = worker.queue.popleft()
            self._deaths[task.number] = self._deaths.get(task.number, 0) + 1
            if self._deaths[task.number] >= self.target.attempts:
                del self._deaths[task.number]
                seconds = time.monotonic() - worker.since
                yield task, Failure("WorkerDied", cause, seconds), seconds
            else:
                self._again.append(task)
        self._drop(worker)

    def _expire(self) -> Iterator[tuple[Task[T], Any, float]]:
        now, limit = time.monotonic(), self.target.time_limit
        for worker in [w for w in self._workers if w.overdue(now, limit)]:
            if worker.connection.poll():  # it has answered in the meantime
                continue
            if not worker.ready:
                self._drop(worker)
                raise WorkerStartError(f"a worker process did not start within {_START_LIMIT:.0f} s")
            task = worker.queue.popleft()
            seconds = now - worker.since
            yield task, Failure("TimeoutError", f"exceeded the time limit of {limit:g} s", seconds), seconds
            self._drop(worker)

    def _drop(self, worker: Worker[T]) -> None:
        """Ends a worker; what it had not begun goes back to the front."""
        self._again.extendleft(reversed(worker.queue))
        worker.queue.clear()
        self._workers.remove(worker)
        worker.stop()
