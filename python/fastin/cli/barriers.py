"""``fastin barriers``."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from fastin.cli._batch import Limits, error_of, leave, limits, run_batch
from fastin.cli._common import (
    Finite,
    block_option,
    convention_option,
    dump_json,
    ion_legend,
    ion_mark,
    ion_option,
    is_guessed,
    json_option,
    json_ready,
    notes_option,
    number,
    plain_sum_option,
    print_warnings,
    stderr_console,
    stdout_console,
    strict_option,
    threads_option,
    unique_stems,
    warning_cell,
    warning_mark,
)
from fastin.cli._inputs import Source, expand_sources, open_source
from fastin.cli._table import WARNING_COLUMN, Column, csv_option, print_csv, print_table, print_text, wide_option
from fastin.errors import FastinError
from fastin.runtime.isolate import Failure

#: Names of grid files by format.
_GRID_FILES = {
    "cube": "{}.bvse.cube",
    "grd": "{}.bvse.grd",
    "npz": "{}.bvse.npz",
    "vasp": "{}.bvse.vasp",
    "locpot": "LOCPOT.{}",
    "chgcar": "CHGCAR.{}",
}


def worker(
    grid: dict[str, Any],
    barriers: dict[str, Any],
    ion: str | None,
    block: str | None,
    out: Path | None,
    formats: tuple[str, ...],
    num_threads: int,
    choices: int = 0,
) -> Callable[[tuple[Source, str]], dict[str, Any]]:
    """In a worker process: the function that takes one (path, stem), writes its files and returns its row."""
    import fastin.bvse.barriers  # noqa: F401 - no structure's time limit shall pay for imports

    options: dict[str, Any] = {"grid_options": grid, "barrier_options": barriers, "block": block}
    options["choices"] = choices
    return partial(_answer, ion=ion, out=out, formats=formats, threads=num_threads, **options)


def _answer(
    item: tuple[Source, str],
    *,
    grid_options: dict[str, Any],
    barrier_options: dict[str, Any],
    ion: str | None,
    block: str | None,
    out: Path | None,
    formats: tuple[str, ...],
    threads: int,
    choices: int,
) -> dict[str, Any]:
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse

    source, stem = item
    try:
        crystal = open_source(source, block=block, strict=grid_options["strict"])
        grid = compute_bvse(crystal, ion, num_threads=threads, **grid_options)
        barriers = compute_barriers(grid, num_threads=threads, **barrier_options)
        row = {**barriers.to_dict(), "ion_guessed": is_guessed(ion, barriers.ion.symbol, grid.warnings)}
        if choices and any(w.code == "ion-shared-site" for w in barriers.warnings):
            row["choices"] = _choices(crystal, barriers.ion.symbol, choices, threads, grid_options, barrier_options)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for kind in formats:
                grid.write(out / _GRID_FILES[kind].format(stem))
            (out / f"{stem}.barriers.json").write_text(dump_json(barriers.to_dict(paths=True)) + "\n", "utf-8")
    except (FastinError, OSError) as error:
        return {"source": source.name, "error": {"type": type(error).__name__, "message": str(error)}}
    row["source"] = source.name
    return json_ready(row)  # type: ignore[no-any-return]


def _choices(
    crystal: Any, ion: str, count: int, threads: int, grid: dict[str, Any], barriers: dict[str, Any]
) -> dict[str, Any]:
    from fastin.bvse.choices import choice_barriers

    options = {k: v for k, v in (grid | barriers).items() if k not in ("strict", "zero")}
    return choice_barriers(crystal, ion, choices=count, num_threads=threads, **options).to_dict()


def _choice_line(row: dict[str, Any]) -> str:
    """Smallest, median and largest of the explicit choices."""
    found = row["choices"]
    columns = [sorted(math.inf if v is None else v for v in column) for column in zip(*found["values_eV"], strict=True)]
    parts = [
        f"E_{d}D {number(c[0], 2)} / {number(statistics.median(c), 2)} / {number(c[-1], 2)}"
        for d, c in enumerate(columns, 1)
    ]
    held = ", ".join(f"{count} {name}" for name, count in found["drawn"].items())
    cells = " x ".join(map(str, found["supercell"]))
    return (
        f"{Path(row['source']).name}: {len(columns[0])} explicit choices of {held} in {cells} cells, smallest / median "
        f"/ largest from the network zero: {', '.join(parts)} eV"
    )


_COLUMNS = (
    Column("structure", "left", "left"),
    Column("ion", "left"),
    *(Column(f"E_{d}D\neV") for d in (1, 2, 3)),
    Column("percolates\n< 1 eV"),
    Column("1D saddle\nfractional"),
    Column("along", "left"),
)


def _texts(row: dict[str, Any], label: str) -> list[str]:
    if "error" in row:
        return [label, row["error"]["type"]]
    d = row["conduction_dimensionality_below_1eV"]
    saddle = row.get("saddle_1d_frac")
    along = row.get("translations_1d") or [[]]
    return [
        label,
        ion_mark(row) + warning_mark(row["warnings"]),
        *(number(row[f"e{k}d_eV"], 3) for k in (1, 2, 3)),
        f"{d}D" if d else "no",
        " ".join(f"{x:.3f}" for x in saddle) if saddle else "-",
        str(along[0]) if saddle else "-",
        warning_cell(row["warnings"]),
    ]


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """The row for ``--csv``, under the names of a results table."""
    if "error" in row:
        return {"source": row["source"], "error_type": row["error"]["type"], "error_message": row["error"]["message"]}
    inf = float("inf")  # null in JSON is an ion that cannot percolate
    energies = {f"barrier_{d}d_{row['zero']}_eV": row[f"e{d}d_eV"] for d in (1, 2, 3)}
    flat = {"source": row["source"], "ion": row["ion"], "convention": row.get("convention")}
    flat["warnings"] = [w["code"] for w in row["warnings"]]
    return flat | {name: inf if value is None else value for name, value in energies.items()}


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
@plain_sum_option
@click.option("--connectivity", type=click.Choice(["6", "26"]), default="26", show_default=True)
@click.option("--refine/--no-refine", default=True, show_default=True, help="Polish minima and saddles off the grid.")
@click.option(
    "--choices",
    type=click.IntRange(0, 1000),
    default=0,
    help="Where others share the ion's positions: also explicit choices of those, drawn at random in a supercell.",
)
@json_option
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for grids and JSON files with the paths.",
)
@click.option(
    "--grid",
    "formats",
    type=click.Choice(list(_GRID_FILES)),
    multiple=True,
    help="Format of the grids in --out; may be repeated.  [default: cube]",
)
@wide_option
@csv_option
@notes_option
@strict_option
@block_option
@threads_option
@limits
def command(
    files: tuple[str, ...],
    ion: str | None,
    convention: str,
    zero: str,
    resolution: float,
    cutoff: float,
    plain_sum: bool,
    connectivity: str,
    refine: bool,
    choices: int,
    as_json: bool,
    out: Path | None,
    formats: tuple[str, ...],
    wide: bool,
    as_csv: bool,
    show_notes: bool,
    strict: bool,
    block: str | None,
    threads: int | None,
    time_limit: float,
    memory: int | None,
) -> None:
    """1D, 2D and 3D percolation barriers of each structure FILE (CIF, POSCAR, or a folder of them)."""
    sources = expand_sources(files)
    paths = [source.name for source in sources]
    errors = stderr_console()
    given = {
        "ion": ion,
        "out": out,
        "formats": formats or ("cube",),
        "block": block,
        "choices": choices,
        "grid": {
            "resolution": resolution,
            "cutoff": cutoff,
            "convention": convention,
            "plain_sum": plain_sum,
            "strict": strict,
        },
        "barriers": {"refine": refine, "connectivity": int(connectivity), "zero": zero},
    }
    items = list(zip(sources, unique_stems(Path(source.label) for source in sources), strict=True))
    answers, interrupted = run_batch("fastin.cli.barriers:worker", items, given, Limits(time_limit, memory, threads))
    done = [k for k, answer in enumerate(answers) if answer is not None]
    rows: list[dict[str, Any]] = [
        {"source": paths[k], "error": error_of(paths[k], answers[k])} if isinstance(answers[k], Failure) else answers[k]
        for k in done
    ]
    if as_json:
        click.echo(dump_json(rows))
    elif as_csv:
        print_csv(_flat(row) for row in rows)
    else:
        console = stdout_console()
        computed = any("error" not in row for row in rows)
        if computed:
            marked = any(row.get("warnings") for row in rows)
            columns = (*_COLUMNS, WARNING_COLUMN) if marked else _COLUMNS
            print_table(columns, [_texts(row, sources[k].label) for k, row in zip(done, rows, strict=True)], wide=wide)
            where = "percolating component" if zero == "network" else "cell"
            console.print(f"{convention} convention; measured from the lowest point of the {where}.", style="dim")
            for line in ion_legend(rows):
                console.print(line, style="dim", markup=False)
        for row in rows:
            if "choices" in row:
                print_text(_choice_line(row), "  ")
        if out is not None and computed:
            console.print(f"files written to {escape(str(out))}", style="dim")
        for row in rows:
            print_warnings(Path(row["source"]).name, row.get("warnings", ()), show_notes)
            for note in row.get("notes" if show_notes else "flags", ()):
                console.print(f"{escape(Path(row['source']).name)}: {escape(note)}", style="dim")
    failed = [r for r in rows if "error" in r]
    for row in failed:
        errors.print(f"[red]{escape(row['error']['type'])}[/red] {escape(row['error']['message'])}", soft_wrap=True)
    leave(bool(failed), interrupted, len(done), len(paths))
