"""``fastin report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fastin.errors import FastinError


def _write_views(
    results: str, sources: tuple[str, ...], folder: Path, page: Path, limit: int, by: str, ion: str | None
) -> dict[str, str]:
    """View pages of the best rows beside the report; their addresses relative to it, by id."""
    import os

    from fastin.screening import inputs
    from fastin.screening.job import load_crystal
    from fastin.screening.query import top
    from fastin.view import write_view

    wanted = set(top(results, by, limit=limit, columns=["id"])["id"].to_pylist())
    folder.mkdir(parents=True, exist_ok=True)
    views: dict[str, str] = {}
    for record in inputs.records(inputs.expand(list(sources))):
        if record.uid not in wanted:
            continue
        name = f"{record.key:016x}.html"  # ids may hold anything; keys are plain
        try:
            crystal = load_crystal((record.uid, record.source, record.kind, record.payload))
            write_view(crystal, folder / name, ion=ion, title=record.uid)
        except FastinError as error:
            click.echo(f"{record.uid}: no view: {error}", err=True)
            continue
        relative = os.path.relpath(folder.resolve() / name, page.resolve().parent)
        views[record.uid] = Path(relative).as_posix()
        if len(views) == len(wanted):
            break
    return views


@click.command("report")
@click.argument("results")
@click.option("-o", "--out", default="report.html", show_default=True, help="The page to write.")
@click.option("--title", help="Heading of the page.")
@click.option("--view-url", help="Address of a structure's own page with {id} in it, e.g. of a running fastin serve.")
@click.option("--views", type=click.Path(file_okay=False), help="Folder to write view pages of the best rows into.")
@click.option("--input", "sources", multiple=True, help="What was screened (for --views); may be repeated.")
@click.option("--top", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many view pages.")
@click.option(
    "--by",
    default="barrier_3d_network_eV",
    show_default=True,
    help="Column that says which rows are best (for --views).",
)
@click.option("--ion", help="Mobile ion of the view pages.")
@click.option("--severe", is_flag=True, help="Keep rows with severe warnings, which are left out else.")
def command(
    results: str,
    out: str,
    title: str | None,
    view_url: str | None,
    views: str | None,
    sources: tuple[str, ...],
    limit: int,
    by: str,
    ion: str | None,
    severe: bool,
) -> None:
    """One self-contained page of a results table: sort, filter, histograms, barrier against free-sphere radius."""
    from fastin.screening.report import write_report

    if views and not sources:
        raise click.UsageError("--views needs --input: the structures that were screened")
    options: dict[str, Any] = {"title": title, "view_url": view_url, "severe": severe}
    try:
        if views:
            options["views"] = _write_views(results, sources, Path(views), Path(out), limit, by, ion)
        path = write_report(results, out, **options)
    except FastinError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    click.echo(f"{path}: {path.stat().st_size / 1e3:,.0f} kB")
