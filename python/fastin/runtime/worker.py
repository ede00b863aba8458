"""One worker process of a `fastin.runtime.pool.Pool`: ``python -m fastin.runtime.worker CONNECTION LIFELINE``.

A plain subprocess, not a `multiprocessing` child: nothing is forked after OpenMP ran, a script needs no
``if __name__ == "__main__"`` guard, and a worker that is killed takes nothing with it. Items come in by the
connection in chunks, one answer goes out for each as soon as it is there.
"""

from __future__ import annotations

import importlib
import math
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fastin.errors import FastinError
from fastin.runtime.memory import format_bytes, set_memory_limit
from fastin.runtime.pool import Failure, Target

_CPU_MARGIN = 60  # s of processor time beyond the time limit: only a supervisor that is gone lets a worker use them


def die_with_parent(lifeline: int) -> None:
    """Ends this process, in whatever it is busy, when the supervisor is gone (its end of the pipe closes)."""

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def first_to_go() -> None:
    """When memory runs out, the kernel shall take a worker (one structure), not the supervisor."""
    try:
        Path("/proc/self/oom_score_adj").write_text("800")
    except OSError:
        return  # no Linux, or not allowed


def limit_memory(size: int | None) -> None:
    """Lets this process allocate `size` bytes more than it has now; beyond, allocations fail (MemoryError).

    Counted are private writable pages (``RLIMIT_DATA``), so neither libraries nor reserved address space.
    """
    if size is None:
        return
    set_memory_limit(size)  # what the computations estimate beforehand is held against it too
    try:
        import resource
    except ImportError:  # pragma: no cover - not on Windows
        return
    limit = size + _private_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _private_bytes() -> int:
    """Private writable pages of this process, as the kernel counts them against ``RLIMIT_DATA``; 0 where unknown."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    except (OSError, ValueError, StopIteration):
        return 0


def limit_cpu(seconds: float) -> None:
    """Ends this process (SIGXCPU) after so much more processor time: the last resort should nobody watch it."""
    try:
        import resource
    except ImportError:  # pragma: no cover - not on Windows
        return
    if not math.isfinite(seconds):
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(time.process_time() + seconds)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def out_of_memory(size: int | None) -> Failure:
    """The answer of an item for which memory did not suffice."""
    granted = "there is" if size is None else f"the {format_bytes(size)} that its process may use (--memory)"
    return Failure("MemoryError", f"needs more memory than {granted}")


def _prepare(target: Target) -> Callable[[Any], Any]:
    from fastin.runtime.threads import set_num_threads

    set_num_threads(target.threads)
    module, _, name = target.function.partition(":")
    made: Callable[[Any], Any] = getattr(importlib.import_module(module), name)(**target.arguments)
    return made


def answer_to(function: Callable[[Any], Any], item: Any, memory: int | None) -> Any:
    """The answer, or a `Failure` that names the exception: whatever an item does to the code, it is that item's."""
    try:
        return function(item)
    except Exception as error:
        if isinstance(error, MemoryError) and not isinstance(error, FastinError):
            return out_of_memory(memory)
        return Failure(type(error).__name__, str(error)[:2000] or type(error).__name__)


def serve(connection: Connection) -> None:
    """Answers items until the supervisor closes the connection."""
    target: Target = connection.recv()
    try:
        function = _prepare(target)
    except (FastinError, ImportError) as error:
        connection.send(("fatal", f"{type(error).__name__}: {error}", 0))
        return
    limit_memory(target.memory)
    connection.send(("ready", os.getpid(), 0))
    while True:
        for item in pickle.loads(connection.recv_bytes()):  # pickled by this run's own supervisor
            limit_cpu(target.time_limit * target.threads + _CPU_MARGIN)
            start = time.perf_counter()
            answer = answer_to(function, item, target.memory)
            seconds = time.perf_counter() - start
            try:
                data = pickle.dumps((answer, seconds, _resident_bytes()), protocol=5)
            except MemoryError:
                data = pickle.dumps((out_of_memory(target.memory), seconds, _resident_bytes()), protocol=5)
            connection.send_bytes(data)


def main() -> None:
    """Entry point."""
    connection, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's
    die_with_parent(lifeline)
    first_to_go()
    warnings.simplefilter("ignore")
    try:
        serve(connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main()
