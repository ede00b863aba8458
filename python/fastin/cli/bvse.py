"""``fastin bvse``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from fastin.cli._common import (
    Finite,
    convention_option,
    dump_json,
    ion_option,
    json_option,
    number,
    plain_sum_option,
    stderr_console,
    stdout_console,
    threads_option,
)
from fastin.errors import FastinError


def _check_names(_: click.Context, parameter: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    from fastin.bvse.files import format_of
    from fastin.errors import InputError

    for path in paths:
        try:
            format_of(path)
        except InputError as error:
            raise click.BadParameter(str(error), param=parameter) from None
    return paths


@click.command("bvse")
@click.argument("file", type=click.Path(path_type=Path))
@ion_option
@convention_option
@click.option("--resolution", type=Finite(min=0.02, max=10.0), default=0.2, show_default=True, help="Spacing, Å.")
@click.option("--cutoff", type=Finite(min=2.0, max=50.0), default=10.0, show_default=True, help="Å.")
@plain_sum_option
@click.option(
    "-o",
    "--out",
    multiple=True,
    type=click.Path(path_type=Path),
    callback=_check_names,
    help="Write the grid: .cube, .grd, .vasp, LOCPOT, CHGCAR or .npz; may be given several times.",
)
@json_option
@threads_option
def command(
    file: Path,
    ion: str | None,
    convention: str,
    resolution: float,
    cutoff: float,
    plain_sum: bool,
    out: tuple[Path, ...],
    as_json: bool,
    threads: int | None,
) -> None:
    """Bond valence site energy of the mobile ion in FILE on a periodic grid, as files for VESTA and other programs."""
    from fastin.bvse.grid import compute_bvse

    try:
        grid = compute_bvse(
            file, ion, convention=convention, resolution=resolution, cutoff=cutoff, plain_sum=plain_sum,
            num_threads=threads,
        )  # fmt: skip
        for path in out:
            grid.write(path)
    except (FastinError, OSError) as error:
        stderr_console().print(f"[red]{type(error).__name__}[/red]: {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    row: dict[str, Any] = {
        "source": str(file),
        "ion": grid.ion.symbol,
        "convention": grid.convention,
        "shape": list(grid.values.shape),
        "lowest_energy_eV": float(grid.values.min()),
        "highest_energy_eV": float(grid.values.max()),
        "files": [str(path) for path in out],
        "notes": list(grid.notes),
    }
    if as_json:
        click.echo(dump_json(row))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("structure", escape(row["source"]))
    table.add_row("mobile ion", row["ion"])
    table.add_row("grid", " x ".join(map(str, row["shape"])) + f", {convention} convention")
    table.add_row("energies", f"{number(row['lowest_energy_eV'], 3)} to {number(row['highest_energy_eV'], 3)} eV")
    stdout_console().print(table)
    for path in out:
        click.echo(f"wrote {path}")
