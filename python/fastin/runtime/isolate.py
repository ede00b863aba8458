"""Many inputs, each in a process that it may crash, hang or fill: the answers of all the others are kept."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fastin.runtime.memory import share_of_memory
from fastin.runtime.pool import Failure, Pool, Target
from fastin.runtime.threads import get_num_threads, resolve_threads

TIME_LIMIT = 300.0
_ITEMS_A_WORKER = 4  # fewer are not worth the start of a second process


def shared_out(count: int, num_threads: int | None = None, workers: int | None = None) -> tuple[int, int]:
    """Processes and threads of each for `count` inputs: the processors are shared out, never promised twice.

    Args:
        count: number of inputs.
        num_threads: threads that the caller asked for in each process, None for its share.
        workers: processes that the caller asked for, None for as many as are worth their start.
    """
    cores = get_num_threads()
    if workers is None:
        each = resolve_threads(num_threads) if num_threads is not None else 1
        workers = max(1, min(cores // max(1, each), count // _ITEMS_A_WORKER))
    workers = max(1, min(resolve_threads(max(1, workers)), count))
    return workers, resolve_threads(num_threads) if num_threads is not None else max(1, cores // workers)


def isolate(
    function: str,
    items: Sequence[Any],
    arguments: Mapping[str, Any] | None = None,
    *,
    time_limit: float = TIME_LIMIT,
    memory: int | None = None,
    num_threads: int | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, Any]]:
    """The answer of each item by its number, in the order of completion; a `Failure` where there is none.

    Args:
        function: ``"package.module:function"``; called in the worker with the `arguments` (and ``num_threads``), it
            returns the function of an item.
        items: picklable.
        arguments: picklable.
        time_limit: seconds for one item.
        memory: bytes for all processes together; None takes three quarters of what the machine has free.
        num_threads: threads of each process; None shares the processors out.
        workers: processes; None: one for every four items, at most one a processor.
        progress: called with the number of items answered.

    Raises:
        WorkerStartError: no worker process can start.
    """
    if not items:
        return
    count, threads = shared_out(len(items), num_threads, workers)
    given = {**(arguments or {}), "num_threads": threads}
    target = Target(function, given, threads, share_of_memory(count, memory), time_limit)
    pool: Pool[tuple[int, Any]] = Pool(target, count, pack=lambda pair: (pair[1], 0))
    done = 0
    sendable: list[tuple[int, Any]] = []
    for number, item in enumerate(items):
        try:
            pickle.dumps(item, protocol=5)
        except Exception as error:  # whatever an object does while it is pickled
            done += 1
            yield number, Failure(type(error).__name__, f"cannot be handed to another process: {error}")
        else:
            sendable.append((number, item))
    answers = pool.answers(iter(sendable))
    try:
        for found in answers:
            if found is None:
                continue
            done += 1
            if progress is not None:
                progress(done)
            yield found[0][0], found[1]
    finally:
        answers.close()


__all__ = ["TIME_LIMIT", "Failure", "isolate", "shared_out"]
