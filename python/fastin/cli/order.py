"""``fastin order``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fastin.cli._batch import Limits, error_of, leave, limits, run_batch
from fastin.cli._common import (
    dump_json,
    expand_inputs,
    json_option,
    number,
    refuse_folder,
    stderr_console,
    stdout_console,
    threads_option,
    unique_stems,
)
from fastin.errors import FastinError
from fastin.runtime.isolate import Failure


def worker(options: dict[str, Any], out: Path | None, form: str, num_threads: int) -> Callable[[Any], dict[str, Any]]:
    """In a worker process: the function that takes one (path, stem), writes its files and returns what is shown."""
    import fastin.ordering.order  # noqa: F401 - no structure's time limit shall pay for imports

    return partial(_answer, options=options, out=out, form=form, threads=num_threads)


def _answer(
    item: tuple[Path, str], *, options: dict[str, Any], out: Path | None, form: str, threads: int
) -> dict[str, Any]:
    from fastin.ordering.order import order

    path, stem = item
    try:
        refuse_folder(path)
        cells = order(path, num_threads=threads, **options)
        row = cells.to_dict()
        if out is not None:
            row["files"] = [str(f) for f in cells.write(out, format=form, stem=stem)]
    except (FastinError, OSError) as error:
        return _failed(path, {"type": type(error).__name__, "message": str(error)})
    return {"row": row, "title": repr(cells), "table": cells.rows(), "notes": list(cells.notes)}


def _failed(path: Path, error: dict[str, str]) -> dict[str, Any]:
    return {"row": {"source": str(path), "error": f"{error['type']}: {error['message']}"}, "error": error}


def _print(shown: dict[str, Any]) -> None:
    console = stdout_console()
    console.print(escape(shown["title"]))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("rank", "formula", "atoms", "Ewald energy eV", "above lowest meV/atom"):
        table.add_column(name, justify="left" if name == "formula" else "right")
    for row in shown["table"]:
        energy, above = number(row["energy_eV"], 3), number(row["above_lowest_meV_per_atom"], 3)
        table.add_row(str(row["rank"]), row["formula"], str(row["atoms"]), energy, above)
    console.print(table)
    for note in shown["notes"]:
        console.print(f"note: {escape(note)}")
    console.print()


@click.command("order")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=str))
@click.option(
    "--supercell",
    nargs=3,
    type=click.IntRange(min=1),
    metavar="A B C",
    help="Multiples of the cell vectors; default: the smallest supercell that holds nearly the crystal's content.",
)
@click.option("-n", "count", type=click.IntRange(min=1), default=1, show_default=True, help="Arrangements of each.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the search.")
@click.option(
    "--max-atoms", type=click.IntRange(min=1), default=200, show_default=True, help="Of the automatic supercell."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the structures and a table of energies here.")
@click.option("--format", "form", type=click.Choice(["cif", "poscar"]), default="cif", show_default=True)
@json_option
@threads_option
@limits
def command(
    files: tuple[str, ...],
    supercell: tuple[int, int, int] | None,
    count: int,
    seed: int,
    max_atoms: int,
    out: Path | None,
    form: str,
    as_json: bool,
    threads: int | None,
    time_limit: float,
    memory: int | None,
) -> None:
    """Neutral ordered cells of partly occupied FILES, ranked by Ewald energy.

    The numbers of ions follow the occupancies, split sites and sites that are too close are not filled together, copies
    by symmetry are left out. The energies (oxidation states in vacuum) rank arrangements of one crystal only.
    """
    paths = expand_inputs(files)
    options = {"supercell": supercell, "n": count, "seed": seed, "max_atoms": max_atoms}
    items = list(zip(paths, unique_stems(paths), strict=True))
    errors = stderr_console()
    columns = (TextColumn("{task.completed}/{task.total}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("", total=len(items))
        answers, interrupted = run_batch(
            "fastin.cli.order:worker",
            items,
            {"options": options, "out": out, "form": form},
            Limits(time_limit, memory, threads),
            progress=lambda done: bar.update(task, completed=done),
        )
    found = [
        _failed(path, error_of(path, answer)) if isinstance(answer, Failure) else answer
        for path, answer in zip(paths, answers, strict=True)
        if answer is not None
    ]
    if as_json:
        click.echo(dump_json([answer["row"] for answer in found]))
    else:
        for answer in found:
            if "error" not in answer:
                _print(answer)
    failed = [answer["error"] for answer in found if "error" in answer]
    for error in failed:
        errors.print(f"[red]{error['type']}[/red]: {escape(error['message'])}", soft_wrap=True)
    leave(bool(failed), interrupted, len(found), len(paths))
