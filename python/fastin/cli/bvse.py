"""``fastin bvse``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from fastin.cli._batch import Limits, failed_row, limits, run_one
from fastin.cli._common import (
    Finite,
    convention_option,
    dump_json,
    ion_option,
    json_option,
    number,
    plain_sum_option,
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


def worker(options: dict[str, Any], out: tuple[Path, ...], num_threads: int) -> Callable[[Path], dict[str, Any]]:
    """In a worker process: the function that takes one path, writes its grids and returns its row."""
    from fastin.bvse.grid import compute_bvse

    def answer(path: Path) -> dict[str, Any]:
        try:
            grid = compute_bvse(path, num_threads=num_threads, **options)
            for target in out:
                grid.write(target)
        except (FastinError, OSError) as error:
            return failed_row(path, error)
        return {
            "source": str(path),
            "ion": grid.ion.symbol,
            "convention": grid.convention,
            "shape": list(grid.values.shape),
            "lowest_energy_eV": float(grid.values.min()),
            "highest_energy_eV": float(grid.values.max()),
            "files": [str(target) for target in out],
            "notes": list(grid.notes),
        }

    return answer


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
@limits
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
    time_limit: float,
    memory: int | None,
) -> None:
    """Bond valence site energy of the mobile ion in FILE on a periodic grid, as files for VESTA and other programs."""
    options = {
        "ion": ion,
        "convention": convention,
        "resolution": resolution,
        "cutoff": cutoff,
        "plain_sum": plain_sum,
    }
    given = {"options": options, "out": out}
    row = run_one("fastin.cli.bvse:worker", file, file, given, Limits(time_limit, memory, threads))
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
