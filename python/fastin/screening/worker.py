"""One worker process of a screening: ``python -m fastin.screening.worker CONNECTION LIFELINE``.

A plain subprocess, not a `multiprocessing` child: nothing is forked after OpenMP ran, a script needs no
``if __name__ == "__main__"`` guard, and a worker that is killed takes nothing with it. Records come in by the
connection in chunks, one row goes out for each as soon as it is there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fastin.errors import FastinError, InputError


def _die_with_parent(lifeline: int) -> None:
    """Ends this process, in whatever it is busy, when the supervisor is gone (its end of the pipe closes)."""

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _first_to_go() -> None:
    """When memory runs out, the kernel shall take a worker (one structure), not the supervisor."""
    try:
        Path("/proc/self/oom_score_adj").write_text("800")
    except OSError:
        return  # no Linux, or not allowed


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _prepare(config: dict[str, Any]) -> Any:
    from fastin.runtime.threads import set_num_threads
    from fastin.screening.job import SMALL_CRYSTAL
    from fastin.screening.tasks import job_loader, resolve_tasks, run_tasks

    set_num_threads(config["threads"])
    tasks = resolve_tasks(config["tasks"])
    # once before the first record, so that no structure's time limit pays for imports and tables
    own = [task for task in tasks if ":" not in task.name]
    small = ("", "", "cif", SMALL_CRYSTAL.encode())
    row = run_tasks(own, job_loader(small, None, config["options"], config["threads"]))
    if config["options"] and row.get("error_type"):  # else every structure would fail, one by one
        raise InputError(f"the options {config['options']} do not work: {row['error_message']}")
    return tasks


def serve(connection: Connection) -> None:
    """Answers records with rows until the supervisor closes the connection."""
    from fastin.screening.tasks import job_loader, run_tasks

    config = connection.recv()
    try:
        tasks = _prepare(config)
    except (FastinError, ImportError) as error:
        connection.send(("fatal", f"{type(error).__name__}: {error}"))
        return
    connection.send(("ready", os.getpid()))
    while True:
        for record in connection.recv():
            start = time.perf_counter()
            row = run_tasks(tasks, job_loader(record, config["ion"], config["options"], config["threads"]))
            row["seconds"] = time.perf_counter() - start
            connection.send((row, _resident_bytes()))


def main() -> None:
    """Entry point."""
    connection, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's
    _die_with_parent(lifeline)
    _first_to_go()
    warnings.simplefilter("ignore")
    try:
        serve(connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main()
