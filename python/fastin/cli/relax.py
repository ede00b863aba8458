"""``fastin relax``."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.markup import escape
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from fastin.cli._common import (
    Finite,
    block_option,
    dump_json,
    ion_option,
    json_option,
    number,
    stderr_console,
    stdout_console,
    strict_option,
)
from fastin.cli._table import print_text
from fastin.errors import FastinError

if TYPE_CHECKING:
    from fastin.relax.hops import Run
    from fastin.relax.progress import Progress
    from fastin.relax.result import RelaxedHops

_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DEMO = {"legs": "needed", "images": 3, "supercell": 7.0, "fmax": 0.1}


def _seconds(_: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(s|min|m|h|d|)\s*", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no time; write 600, 90s, 30min or 2h", param=parameter)
    return float(found[1]) * _UNITS[found[2]]


def _legs(_: click.Context, parameter: click.Parameter, value: str) -> str | list[int]:
    if value in ("needed", "smallest", "all"):
        return value
    parts = value.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is neither needed, smallest, all nor numbers such as 0,2", param=parameter)
    return [int(part) for part in parts]


def _print(found: RelaxedHops, temperature: float, carriers: float | None) -> None:
    console = stdout_console()
    print_text(repr(found), "  ")
    cells = " x ".join(map(str, found.supercell))
    atoms = next((len(leg.numbers) for leg in found.legs.values()), 0)
    console.print(f"{cells} cells, {atoms} atoms; barriers by {escape(found.potential)}, BVSE's (rigid) beside\n")
    table = Table(box=None, header_style="bold", pad_edge=False, title_justify="left")
    table.title = f"legs by {found.mechanism}"
    name = found.potential
    for column in ("leg", "places", f"{name} eV", "back eV", "fit eV", "BVSE eV", "in cell", "opens"):
        table.add_column(column, justify="right")
    table.add_column("flags")
    listed = found.paths.legs(found.mechanism)
    for k, leg in found.legs.items():
        opens = " ".join(f"{d}D" for d in (1, 2, 3) if k in found.percolation.legs[d - 1])
        table.add_row(
            str(k),
            " - ".join(listed[k].places),
            number(leg.barrier, 3),
            number(leg.barrier_backward, 3),
            number(leg.fitted, 3),
            number(listed[k].barrier, 3),
            str(listed[k].multiplicity),
            opens,
            ", ".join(leg.flags),
        )
    console.print(table)
    for k, why in found.left.items():
        print_text(f"leg {k} has no barrier: {why}", "  ")
    for k, why in found.closed.items():
        print_text(f"leg {k} was not needed: {why}", "  ")
    console.print()
    bvse = found.paths.barriers.values("network")
    for d, (relaxed, rigid) in enumerate(zip(found.barriers, bvse, strict=True), 1):
        if math.isfinite(relaxed):
            flags = found.flags_of(d)
            doubt = f"; rests on {', '.join(flags)}" if flags else ""
            console.print(
                f"E{d}D ({escape(name)}) {number(float(relaxed), 3)} eV, BVSE {number(float(rigid), 3)} eV{doubt}"
            )
    _kinetics(found, temperature, carriers)
    for note in found.notes:
        print_text(f"note: {note}", "  ")


def _kinetics(found: RelaxedHops, temperature: float, carriers: float | None) -> None:
    if not math.isfinite(found.barriers[0]):
        return
    console = stdout_console()
    what = "vacancy" if found.mechanism == "vacancy" else "added ion"
    d = float(np.trace(found.diffusivity(temperature))) / 3
    text = f"diffusivity of one {what} at {temperature:.0f} K: {d:.1e} cm²/s (attempt frequency 1e13 Hz)"
    if carriers is not None:
        sigma = found.conductivity(temperature, carriers_per_cell=carriers)
        text += f"; conductivity with {carriers:g} of them in a cell: {float(np.trace(sigma)) / 3:.1e} S/cm"
    console.print(text)


_SILENCE = 60.0
"""Seconds between two lines of progress where nobody looks at a bar."""


def _watched(
    run: Run, budget: float | None, workers: int, scheduler: str | None, quiet: bool, expected: float
) -> RelaxedHops:
    """Runs it with a bar, or with a line now and then where stderr is no terminal.

    Args:
        run: to finish.
        budget: seconds.
        workers: processes.
        scheduler: of Dask.
        quiet: no bar, no lines.
        expected: seconds that it will take, the time left before a leg is done.
    """
    from fastin.relax.plan import span

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    console, shown = stderr_console(), sys.stderr.isatty()
    told = [0.0]
    with Bar(*columns, console=console, transient=True, disable=quiet or not shown) as bar:
        task = bar.add_task("crystal", total=len(run.numbers), left="")

        def follow(at: Progress) -> None:
            where = "crystal" if at.leg < 0 else f"leg {at.leg} {at.stage}"
            force = f", {at.force:.2f} eV/Å" if math.isfinite(at.force) else ""
            remaining = max(expected - at.seconds, 0.0) if math.isnan(at.remaining) else at.remaining
            left = f"about {span(remaining)} left"
            if shown:
                bar.update(task, total=at.legs, completed=at.done, description=f"{where} {at.step}{force}", left=left)
            elif not quiet and at.seconds - told[0] >= _SILENCE:
                told[0] = at.seconds
                console.print(f"{at.done} of {at.legs} legs, {where}, step {at.step}{force}, {left}", highlight=False)

        return run.finish(budget, follow, workers, scheduler)


@click.command("relax")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--demo", is_flag=True, help="Li3OCl, quickly, with CHGNet; needs no file.")
@click.option(
    "--calculator",
    metavar="NAME",
    help="sevennet (accurate, the default), chgnet (fast; the demo's), mace:PATH, or module:factory of your own.",
)
@ion_option
@click.option(
    "--mechanism",
    type=click.Choice(["vacancy", "interstitial", "exchange"]),
    help="Default: vacancy, interstitial for a guest.",
)
@click.option(
    "--legs",
    default="needed",
    callback=_legs,
    show_default=True,
    help="needed (until no other can change the percolation barriers), smallest (a smallest set that percolates in "
    "BVSE), all, or numbers as fastin paths lists them: 0,2.",
)
@click.option(
    "--softening",
    type=Finite(0.0),
    help="With needed: relaxing lowers no BVSE barrier by more, eV; skips legs.  [default: no bound]",
)
@click.option("--images", type=click.IntRange(min=1), default=5, show_default=True, help="Images between the ends.")
@click.option(
    "--supercell",
    type=Finite(1.0, 60.0),
    default=8.0,
    show_default=True,
    help="Smallest distance between images of the moving ion, Å.",
)
@click.option("--fmax", type=Finite(0.0, 1.0, min_open=True), default=0.05, show_default=True, help="eV/Å.")
@click.option("--no-climb", is_flag=True, help="Do not let the highest image climb to the saddle.")
@click.option("--energy-cutoff", type=Finite(0.0, min_open=True), help="Highest BVSE saddle of the legs, eV.")
@click.option("--budget", callback=_seconds, metavar="TIME", help="Stop after 600, 90s, 30min or 2h; -o goes on later.")
@click.option("-j", "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Legs side by side.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler that relaxes the legs, tcp://host:8786.")
@click.option("--estimate", "only_estimate", is_flag=True, help="Print what it would cost, and stop.")
@click.option("--temperature", type=Finite(1.0, 5000.0), default=300.0, show_default=True, help="K.")
@click.option("--carriers", type=Finite(0.0, min_open=True), help="Vacancies (added ions) in the crystal's cell.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for results and checkpoints: the same command goes on there.",
)
@json_option
@strict_option
@block_option
def command(
    file: Path | None,
    demo: bool,
    calculator: str | None,
    ion: str | None,
    mechanism: str | None,
    legs: str | list[int],
    softening: float | None,
    images: int,
    supercell: float,
    fmax: float,
    no_climb: bool,
    energy_cutoff: float | None,
    budget: float | None,
    workers: int,
    scheduler: str | None,
    only_estimate: bool,
    temperature: float,
    carriers: float | None,
    out: Path | None,
    as_json: bool,
    strict: bool,
    block: str | None,
) -> None:
    """Barriers of FILE's inequivalent legs with every atom relaxed, by nudged elastic bands with any ASE potential.

    Percolation and kinetics follow from the relaxed barriers, and say which flags they rest on. What it will cost is
    printed first.
    """
    from fastin.relax.hops import prepare
    from fastin.relax.request import Request

    if demo == (file is not None):
        raise click.UsageError("name one structure file, or --demo")
    console = stderr_console()
    given: dict[str, Any] = {"legs": legs, "images": images, "supercell": supercell, "fmax": fmax}
    if demo:
        given = _DEMO | {"legs": legs}
    if softening is not None:
        given["softening"] = softening
    try:
        run = prepare(
            _crystal(file, block, strict),
            calculator or ("chgnet" if demo else "sevennet"),
            Request(mechanism=mechanism, climb=not no_climb, **given),
            ion=ion,
            out=out,
            energy_cutoff=energy_cutoff,
        )
        cost = run.estimate(workers)
        most = "at most " if run.bounded and len(run.numbers) > 1 else ""
        console.print(f"{most}{len(run.numbers)} of {len(run.all_legs)} legs, {most}{cost.describe()}", highlight=False)
        if only_estimate:
            return
        found = _watched(run, budget, workers, scheduler, as_json, cost.elapsed)
        if out is not None:
            files = found.write(out)
            console.print(f"wrote {len(files)} files into {escape(str(out))}")
    except (FastinError, OSError) as error:
        console.print(f"[red]{type(error).__name__}[/red]: {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    if as_json:
        click.echo(dump_json(found.to_dict()))
    else:
        _print(found, temperature, carriers)
    if not found.legs:
        sys.exit(1)


def _crystal(file: Path | None, block: str | None, strict: bool) -> Any:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.examples import examples

    if file is None:
        return Crystal.from_file(examples()["Li3OCl"])
    return Crystal.from_file(file, block=block, strict=strict)
