"""``fastin screen``."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from fastin.cli._batch import memory_option
from fastin.cli._common import Finite
from fastin.errors import FastinError


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as a batch system sends before the end of the allocation."""


def _raise_terminated(signum: int, frame: object) -> NoReturn:
    raise _Terminated


@contextlib.contextmanager
def _progress_bar(quiet: bool) -> Iterator[Any]:
    """A callback for `fastin.screen`; None when quiet, plain lines where there is no terminal."""
    if quiet:
        yield None
        return
    from rich import progress as rich_progress
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainProgress()
        return
    columns = (
        rich_progress.TextColumn("screening"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[rate]}"),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.fields[errors]}"),
    )
    with rich_progress.Progress(*columns, console=console) as bar:
        line = bar.add_task("screening", total=None, rate="", errors="")

        def show(state: Any) -> None:
            errors = f"[red]{state.failed} errors[/red]" if state.failed else "no errors"
            completed = state.resumed + state.computed
            bar.update(line, total=state.total, completed=completed, rate=f"{state.rate:.1f}/s", errors=errors)

        yield show


class _Echo(logging.Handler):
    """Warnings on standard error: what an input leaves out."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        click.echo(f"Warning: {record.getMessage()}", err=True)


class _PlainProgress:
    """One line every ten seconds, for logs."""

    def __init__(self) -> None:
        self._shown = 0.0

    def __call__(self, state: Any) -> None:
        if state.seconds - self._shown < 10.0:
            return
        self._shown = state.seconds
        total = "?" if state.total is None else str(state.total)
        done = state.resumed + state.computed
        left = ""
        if state.total is not None and state.rate > 0:
            left = f", {(state.total - done) / state.rate:.0f} s left"
        click.echo(f"{done}/{total} structures, {state.rate:.1f}/s{left}, {state.failed} errors", err=True)


def _options(pairs: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name.isidentifier():
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--option")
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options


def _summary(result: Any, quiet: bool) -> None:
    if quiet:
        return
    rate = f" ({result.computed / result.seconds:.1f}/s)" if result.seconds > 0 and result.computed else ""
    click.echo(f"{result.path}: {result.total} rows, {result.ok} ok, {result.failed} with an error")
    there = result.total - result.computed
    click.echo(f"computed {result.computed} in {result.seconds:.1f} s{rate}, {there} were there")
    if result.others:
        click.echo(f"{result.others} rows of earlier inputs are in the table too (--prune drops them)")
    if result.dropped:
        click.echo(f"{result.dropped} rows of earlier inputs dropped (--prune)")
    if result.replaced:
        click.echo(f"{result.replaced} rows replaced: their structures' content has changed")
    if result.renamed:
        click.echo(f"{result.renamed} structures share a name with an earlier one: their ids end in #2, #3...")


@click.command("screen")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--out", required=True, help="results.parquet, or a folder for Parquet parts.")
@click.option("--ion", help="Mobile ion, e.g. Li or Na+; default: each structure's own.")
@click.option("-t", "--task", "tasks", multiple=True, help="Task; may be repeated or comma-separated.")
@click.option("-j", "--workers", type=click.IntRange(1), help="Worker processes. [default: one a core]")
@click.option("--scheduler", help="Address of a Dask scheduler (tcp://...): compute there.")
@click.option("--time-limit", type=Finite(0.001, 1e7), default=300.0, show_default=True, help="Seconds a structure.")
@memory_option
@click.option("--option", "pairs", multiple=True, metavar="NAME=VALUE", help="Option of tasks, e.g. resolution=0.3.")
@click.option("--where", help='Relax only where the rigid barriers are so: "barrier_3d_network_eV < 0.6".')
@click.option("--strict", is_flag=True, help="A structure with severe warnings is an error.")
@click.option("--recompute", is_flag=True, help="Compute rows of another version or other options again.")
@click.option("--restart", is_flag=True, help="Forget the rows that are there.")
@click.option("--retry-errors", is_flag=True, help="Compute rows again that hold an error.")
@click.option("--prune", is_flag=True, help="Drop rows of earlier inputs from the table; else they stay.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
@click.option("--log", "log_file", type=click.Path(dir_okay=False), help="File for warnings and workers' output.")
def command(
    inputs: tuple[str, ...],
    out: str,
    ion: str | None,
    tasks: tuple[str, ...],
    workers: int | None,
    scheduler: str | None,
    time_limit: float,
    memory: int | None,
    pairs: tuple[str, ...],
    where: str | None,
    strict: bool,
    recompute: bool,
    restart: bool,
    retry_errors: bool,
    prune: bool,
    quiet: bool,
    log_file: str | None,
) -> None:
    """Compute one row for each structure of INPUT...: files, folders, globs, .zip, .tar.gz, .jsonl.gz.

    Tasks: network, barriers and descriptors (the default), paths, prediction, xrd, relax, or package.module:function.

    Another INPUT adds its rows to the table, another task its columns: only what is missing is computed.
    The run can be stopped or killed at any moment; the same command continues it. Exit status: 0 all rows are
    without an error, 1 some hold one, 2 usage or output, 130 stopped by Ctrl-C.
    """
    from fastin.screening import DEFAULT_TASKS, screen

    logger = logging.getLogger("fastin.screening")
    handler: logging.Handler = logging.FileHandler(log_file, encoding="utf-8") if log_file else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    inputs_logger, shown = logging.getLogger("fastin.screening.inputs"), _Echo(logging.WARNING)
    if not quiet:
        inputs_logger.addHandler(shown)
    names = [name.strip() for group in tasks for name in group.split(",") if name.strip()] or list(DEFAULT_TASKS)
    options = _options(pairs) | ({"strict": True} if strict else {})
    if where is not None:
        if "relax" not in names:
            raise click.UsageError("--where chooses what the task relax computes: add -t relax")
        options["where"] = where
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        with _progress_bar(quiet) as progress:
            result = screen(
                list(inputs), out, ion=ion, tasks=names, workers=workers, scheduler=scheduler, options=options,
                resume="recompute" if recompute else not restart, time_limit=time_limit, memory=memory,
                retry_errors=retry_errors, prune=prune, progress=progress, worker_log=log_file,
            )  # fmt: skip
    except KeyboardInterrupt as stop:
        click.echo(f"stopped; {out} keeps the rows so far: run the same command to continue", err=True)
        sys.exit(143 if isinstance(stop, _Terminated) else 130)
    except FastinError as error:  # the run is not finished: 1 would say that it is
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    finally:
        inputs_logger.removeHandler(shown)
        logger.removeHandler(handler)
        handler.close()
    _summary(result, quiet)
    sys.exit(1 if result.failed else 0)
