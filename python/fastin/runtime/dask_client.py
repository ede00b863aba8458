"""A client of a Dask cluster: made from an address, or the caller's own; a scheduler that goes away has one error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastin.errors import FastinError, InputError, missing_extra

_ADDRESS = re.compile(r"inproc://.+|((tcp|tls|ws|wss|ucx|ucxx)://)?(\[[^\s\]]+\]|[^\s/:]+):\d{1,5}(/.*)?")
_WORKERS_WITHIN = 120  # seconds for the first worker to come


class SchedulerLostError(FastinError, ConnectionError):
    """The scheduler went away in the middle of a run."""


def connect(scheduler: Any) -> tuple[Any, bool]:
    """A client, and whether it was made here and is to be closed.

    Args:
        scheduler: address (``tcp://host:8786``) or a `dask.distributed.Client`.

    Raises:
        MissingDependencyError: dask.distributed is not installed.
        InputError: no address, or nobody answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise missing_extra("dask.distributed", "screen") from error
    if not isinstance(scheduler, str):
        return scheduler, False
    if not _ADDRESS.fullmatch(scheduler):  # a Client made with one takes 20 s to give up, and a traceback
        raise InputError(f"{scheduler!r} is no scheduler's address; it looks like tcp://host:8786")
    try:
        return Client(scheduler, timeout="10s", set_as_default=False), True
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {scheduler}: {error}") from error


def threads_of(client: Any) -> int:
    """Threads of the cluster; waits for its first worker.

    Raises:
        InputError: none comes.
    """
    if not client.nthreads():
        try:
            client.wait_for_workers(1, timeout=_WORKERS_WITHIN)
        except TimeoutError as error:
            raise InputError("the Dask cluster has no worker; start one: dask worker ADDRESS") from error
    return max(1, int(sum(client.nthreads().values())))


@contextmanager
def scheduler_lost(kept: str) -> Iterator[None]:
    """Turns what dask says when its scheduler is gone into one error.

    Args:
        kept: what is kept, for the message.

    Raises:
        SchedulerLostError: the scheduler is gone.
    """
    from distributed import CancelledError
    from distributed.comm import CommClosedError
    from distributed.core import RPCClosed

    try:
        yield
    except (CancelledError, CommClosedError, RPCClosed) as error:
        raise SchedulerLostError(f"the Dask scheduler is gone; {kept}: run the same command to continue") from error


def finished(client: Any, futures: list[Any], tick: float) -> list[Any]:
    """Futures that are done, after at most `tick` seconds; none where nothing is."""
    from distributed import wait

    try:
        with client.as_current():
            done: list[Any] = list(wait(futures, timeout=tick, return_when="FIRST_COMPLETED").done)
            return done
    except TimeoutError:
        return []
