"""``fastin barriers``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from fastin.cli._common import (
    convention_option,
    dump_json,
    expand_inputs,
    ion_option,
    json_option,
    notes_option,
    number,
    stderr_console,
    stdout_console,
    threads_option,
    unique_stems,
)
from fastin.errors import FastinError


def _table(rows: list[dict[str, Any]], labels: list[str]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("structure", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("ion")
    for name in ("E_1D\neV", "E_2D\neV", "E_3D\neV", "conducts\n< 1 eV"):
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
            row["ion"] + (" (guest)" if row["guest"] else ""),
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
@click.option("--resolution", type=click.FloatRange(min=0.0, min_open=True), default=0.2, show_default=True, help="A.")
@click.option("--cutoff", type=click.FloatRange(min=2.0, max=50.0), default=10.0, show_default=True, help="A.")
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
) -> None:
    """1D, 2D and 3D percolation barriers of each structure FILE (CIF, POSCAR, or a folder of them)."""
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse

    paths = expand_inputs(files)
    errors = stderr_console()
    rows: list[dict[str, Any]] = []
    for path, stem in zip(paths, unique_stems(paths), strict=True):
        try:
            grid = compute_bvse(
                path, ion, resolution=resolution, cutoff=cutoff, convention=convention, num_threads=threads
            )
            barriers = compute_barriers(grid, refine=refine, connectivity=int(connectivity), zero=zero)
            row = barriers.to_dict()
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                grid.write(out / f"{stem}.bvse.cube")
                (out / f"{stem}.barriers.json").write_text(dump_json(barriers.to_dict(paths=True)) + "\n", "utf-8")
        except (FastinError, OSError) as error:
            row = {"source": str(path), "error": {"type": type(error).__name__, "message": str(error)}}
        rows.append(row)
    if as_json:
        click.echo(dump_json(rows))
    else:
        console = stdout_console()
        console.print(_table(rows, [p.name for p in paths]))
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
    if failed:
        sys.exit(1)
