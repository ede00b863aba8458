"""What the commands over many structures share: each in a process of its own, its limits, Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from fastin.cli._common import Finite, stderr_console
from fastin.errors import FastinError, InputError
from fastin.runtime.isolate import TIME_LIMIT, Failure, isolate
from fastin.runtime.memory import parse_memory

F = TypeVar("F", bound=Callable[..., Any])

_SMALLEST = 64 * 2**20


class Size(click.ParamType):  # type: ignore[type-arg]
    """An amount of memory: 500MB, 4G, 1.5GiB; bytes."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; less than a process needs for itself is refused."""
        if isinstance(value, int):
            return value
        try:
            size = parse_memory(str(value))
        except InputError as error:
            self.fail(str(error), param, ctx)
        if not _SMALLEST <= size < 2**60:
            self.fail(f"{value} is outside 64 MiB to 1 EiB", param, ctx)
        return size


memory_option = click.option(
    "--memory",
    type=Size(),
    help="Memory for all structures at work together, e.g. 4G. [default: three quarters of what is free]",
)


def limits(command: F) -> F:
    """Adds ``--time-limit`` and ``--memory``."""
    timed = click.option(
        "--time-limit", type=Finite(0.001, 1e7), default=TIME_LIMIT, show_default=True, help="Seconds a structure."
    )
    return timed(memory_option(command))


@dataclass(frozen=True)
class Limits:
    """Time (s) of one structure, memory (bytes) of all at work together, threads of the core."""

    time_limit: float
    memory: int | None
    threads: int | None


def error_of(path: Path | str, failure: Failure) -> dict[str, str]:
    """Type and message of a structure that its process did not survive; the message names the file and the remedy."""
    remedy = {"TimeoutError": " (--time-limit)"}.get(failure.kind, "")
    return {"type": failure.kind, "message": f"{path}: {failure.message}{remedy}"}


def run_batch(
    function: str,
    items: Sequence[Any],
    arguments: Mapping[str, Any],
    given: Limits,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Any], bool]:
    """The answer of each item in order (a `Failure` where there is none, None where it was not begun).

    Returns:
        The answers, and True where Ctrl-C stopped the batch: what was done until then is there.
    """
    answers: list[Any] = [None] * len(items)
    found = isolate(
        function,
        items,
        arguments,
        time_limit=given.time_limit,
        memory=given.memory,
        num_threads=given.threads,
        progress=progress,
    )
    try:
        for number, answer in found:
            answers[number] = answer
    except KeyboardInterrupt:
        return answers, True
    return answers, False


def failed_row(path: Path | str, error: Exception) -> dict[str, Any]:
    """What a worker returns where there is no answer; ``status`` is 2 where it could not write (`EXIT_STATUSES`)."""
    return {
        "source": str(path),
        "error": {"type": type(error).__name__, "message": str(error)},
        "status": 1 if isinstance(error, FastinError) else 2,
    }


def complain(error: Mapping[str, str]) -> None:
    """One line on standard error."""
    from rich.markup import escape

    stderr_console().print(f"[red]{escape(error['type'])}[/red]: {escape(error['message'])}", soft_wrap=True)


def run_one(function: str, item: Any, path: Path | str, arguments: Mapping[str, Any], given: Limits) -> dict[str, Any]:
    """The answer of a command that takes one structure; ends the command, with a line and its status, without one."""
    (answer,), interrupted = run_batch(function, [item], arguments, given)
    if isinstance(answer, Failure):
        answer = {"error": error_of(path, answer)}
    if answer is None or interrupted:
        leave(True, interrupted, int(answer is not None), 1)
    if "error" in answer:
        complain(answer["error"])
        sys.exit(answer.get("status", 1))
    found: dict[str, Any] = answer
    return found


def leave(failed: bool, interrupted: bool, done: int, total: int) -> None:
    """Ends the command with the status of its batch; returns where all is well."""
    if interrupted:
        stderr_console().print(f"interrupted: {done} of {total} structures done")
        sys.exit(130)
    if failed:
        sys.exit(1)
