"""``fastin barriers``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from fastin.cli._batch import Limits, error_of, leave, limits, run_batch
from fastin.cli._common import (
    Finite,
    convention_option,
    dump_json,
    expand_inputs,
    ion_option,
    ion_text,
    is_guessed,
    json_option,
    json_ready,
    notes_option,
    number,
    refuse_folder,
    stderr_console,
    stdout_console,
    threads_option,
    unique_stems,
)
from fastin.errors import FastinError
from fastin.runtime.isolate import Failure


def worker(
    grid: dict[str, Any], barriers: dict[str, Any], ion: str | None, out: Path | None, num_threads: int
) -> Callable[[tuple[Path, str]], dict[str, Any]]:
    """In a worker process: the function that takes one (path, stem), writes its files and returns its row."""
    import fastin.bvse.barriers  # noqa: F401 - no structure's time limit shall pay for imports

    return partial(_answer, grid_options=grid, barrier_options=barriers, ion=ion, out=out, threads=num_threads)


def _answer(
    item: tuple[Path, str],
    *,
    grid_options: dict[str, Any],
    barrier_options: dict[str, Any],
    ion: str | None,
    out: Path | None,
    threads: int,
) -> dict[str, Any]:
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse

    path, stem = item
    try:
        refuse_folder(path)
        grid = compute_bvse(path, ion, num_threads=threads, **grid_options)
        barriers = compute_barriers(grid, num_threads=threads, **barrier_options)
        row = {**barriers.to_dict(), "ion_guessed": is_guessed(ion, barriers.ion.symbol, grid.warnings)}
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            grid.write(out / f"{stem}.bvse.cube")
            (out / f"{stem}.barriers.json").write_text(dump_json(barriers.to_dict(paths=True)) + "\n", "utf-8")
    except (FastinError, OSError) as error:
        return {"source": str(path), "error": {"type": type(error).__name__, "message": str(error)}}
    return json_ready(row)  # type: ignore[no-any-return]


def _table(rows: list[dict[str, Any]], labels: list[str]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("structure", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("ion")
    for name in ("E_1D\neV", "E_2D\neV", "E_3D\neV", "percolates\n< 1 eV"):
        table.add_column(name, justify="right")
    table.add_column("1D saddle\nfractional", justify="right")
    table.add_column("along")
    for row, label in zip(rows, labels, strict=True):
        if "error" in row:
            table.add_row(escape(label), f"[red]{escape(row['error']['type'])}[/red]")
            continue
        d = row["conduction_dimensionality_below_1eV"]
        saddle = row.get("saddle_1d_frac")
        along = row.get("translations_1d") or [[]]
        table.add_row(
            escape(label),
            ion_text(row),
            *(number(row[f"e{k}d_eV"], 3) for k in (1, 2, 3)),
            f"{d}D" if d else "no",
            " ".join(f"{x:.3f}" for x in saddle) if saddle else "-",
            escape(str(along[0])) if saddle else "-",
        )
    return table


@click.command("barriers")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=str))
@ion_option
@convention_option
@click.option(
    "--zero",
    type=click.Choice(["network", "global"]),
    default="network",
    show_default=True,
    help="Barriers from the lowest point of the percolating component, or of the cell.",
)
@click.option(
    "--resolution", type=Finite(0.0, 1.0, min_open=True), default=0.2, show_default=True, help="A; above 0.5 warned."
)
@click.option("--cutoff", type=Finite(4.0, 50.0), default=10.0, show_default=True, help="A, of the energy.")
@click.option("--connectivity", type=click.Choice(["6", "26"]), default="26", show_default=True)
@click.option("--refine/--no-refine", default=True, show_default=True, help="Polish minima and saddles off the grid.")
@json_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for grids (.cube) and JSON files with the paths.",
)
@notes_option
@threads_option
@limits
def command(
    files: tuple[str, ...],
    ion: str | None,
    convention: str,
    zero: str,
    resolution: float,
    cutoff: float,
    connectivity: str,
    refine: bool,
    as_json: bool,
    out: Path | None,
    show_notes: bool,
    threads: int | None,
    time_limit: float,
    memory: int | None,
) -> None:
    """1D, 2D and 3D percolation barriers of each structure FILE (CIF, POSCAR, or a folder of them)."""
    paths = expand_inputs(files)
    errors = stderr_console()
    given = {
        "ion": ion,
        "out": out,
        "grid": {"resolution": resolution, "cutoff": cutoff, "convention": convention},
        "barriers": {"refine": refine, "connectivity": int(connectivity), "zero": zero},
    }
    items = list(zip(paths, unique_stems(paths), strict=True))
    answers, interrupted = run_batch("fastin.cli.barriers:worker", items, given, Limits(time_limit, memory, threads))
    done = [k for k, answer in enumerate(answers) if answer is not None]
    rows: list[dict[str, Any]] = [
        {"source": str(paths[k]), "error": error_of(paths[k], answers[k])}
        if isinstance(answers[k], Failure)
        else answers[k]
        for k in done
    ]
    if as_json:
        click.echo(dump_json(rows))
    else:
        console = stdout_console()
        console.print(_table(rows, [paths[k].name for k in done]))
        computed = any("error" not in row for row in rows)
        if computed:
            where = "percolating component" if zero == "network" else "cell"
            console.print(f"{convention} convention; measured from the lowest point of the {where}.", style="dim")
        if out is not None and computed:
            console.print(f"files written to {escape(str(out))}", style="dim")
        for row in rows:
            for note in row.get("notes" if show_notes else "flags", ()):
                console.print(f"{escape(Path(row['source']).name)}: {escape(note)}", style="dim")
    failed = [r for r in rows if "error" in r]
    for row in failed:
        errors.print(f"[red]{escape(row['error']['type'])}[/red] {escape(row['error']['message'])}", soft_wrap=True)
    leave(bool(failed), interrupted, len(done), len(paths))
