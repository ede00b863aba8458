"""``fastin order``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

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

if TYPE_CHECKING:
    from fastin.ordering.order import OrderedCells


def _print(cells: OrderedCells) -> None:
    console = stdout_console()
    console.print(escape(repr(cells)))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("rank", "formula", "atoms", "Ewald energy eV", "above lowest meV/atom"):
        table.add_column(name, justify="left" if name == "formula" else "right")
    for row in cells.rows():
        energy, above = number(row["energy_eV"], 3), number(row["above_lowest_meV_per_atom"], 3)
        table.add_row(str(row["rank"]), row["formula"], str(row["atoms"]), energy, above)
    console.print(table)
    for note in cells.notes:
        console.print(f"note: {escape(note)}")
    console.print()


def _advance(bar: Progress, task: TaskID, done: int, share: float) -> None:
    bar.update(task, completed=done + share)


@click.command("order")
@click.argument("files", nargs=-1, required=True)
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
) -> None:
    """Neutral ordered cells of partly occupied FILES, ranked by Ewald energy.

    The numbers of ions follow the occupancies, split sites and sites that are too close are not filled together, copies
    by symmetry are left out. The energies (oxidation states in vacuum) rank arrangements of one crystal only.
    """
    from fastin.ordering.order import order

    paths = expand_inputs(files)
    rows: list[dict[str, Any]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    failed = 0
    with Progress(*columns, console=stderr_console(), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=len(paths))
        for k, (path, stem) in enumerate(zip(paths, unique_stems(paths), strict=True)):
            bar.update(task, description=escape(path.name), completed=k)
            try:
                refuse_folder(path)
                cells = order(
                    path,
                    supercell=supercell,
                    n=count,
                    seed=seed,
                    max_atoms=max_atoms,
                    num_threads=threads,
                    progress=partial(_advance, bar, task, k),
                )
            except FastinError as error:
                failed += 1
                name = type(error).__name__
                bar.console.print(f"[red]{name}[/red]: {escape(str(error))}", soft_wrap=True)
                rows.append({"source": str(path), "error": f"{name}: {error}"})
                continue
            row = cells.to_dict()
            if out is not None:
                row["files"] = [str(f) for f in cells.write(out, format=form, stem=stem)]
            rows.append(row)
            if not as_json:
                _print(cells)
    if as_json:
        click.echo(dump_json(rows))
    if failed:
        sys.exit(1)
