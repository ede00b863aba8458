"""``fastin dataset``: graph data sets with BVSE labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastin.cli._batch import Limits, limits
from fastin.errors import FastinError


@click.group()
def command() -> None:
    """Build graph data sets with BVSE labels, and look at them."""


def _build(sources: Any, out: Path, options: Any, workers: int, given: Limits) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fastin.cli._common import stderr_console, stdout_console
    from fastin.ml.dataset import build_dataset

    columns = (TextColumn("data set"), BarColumn(), MofNCompleteColumn(), TextColumn("shards"), TimeRemainingColumn())
    with Progress(*columns, console=stderr_console()) as bar:
        line = bar.add_task("build", total=None)

        def show(done: int, total: int) -> None:
            bar.update(line, completed=done, total=total)

        manifest = build_dataset(
            sources, out, options, workers=workers, progress=show, time_limit=given.time_limit, memory=given.memory
        )
    failed = manifest["failures"]
    console = stdout_console()
    console.print(f"{manifest['structures']} structures in {out} (version {manifest['version']})")
    for name, message in list(failed.items())[:10]:
        stderr_console().print(f"left out {name}: {message}", markup=False)
    if len(failed) > 10:
        stderr_console().print(f"... and {len(failed) - 10} more: see {out / 'dataset.json'}", markup=False)
    if failed:
        raise SystemExit(1)


def _options(ion: str | None, resolution: float, convention: str, crystals: bool) -> Any:
    from fastin.ml.dataset import BuildOptions

    return BuildOptions(ion=ion, resolution=resolution, convention=convention, crystals=crystals)


@command.command("build")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the data set.")
@click.option("--ion", help="Mobile ion; default: the most usual one present in each structure.")
@click.option("--resolution", default=0.2, show_default=True, help="Spacing of the BVSE grid, angstrom.")
@click.option("--convention", default="spse", show_default=True, help="BVSE convention.")
@click.option("--crystals/--no-crystals", default=True, show_default=True, help="Keep the crystal graphs too.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--limit", default=0, help="Only the first so many structures.")
@limits
def build_command(
    sources: tuple[Path, ...],
    out: Path,
    ion: str | None,
    resolution: float,
    convention: str,
    crystals: bool,
    workers: int,
    limit: int,
    time_limit: float,
    memory: int | None,
) -> None:
    """Graphs and labels of CIF files, folders of them, or .jsonl(.gz) collections. Resumes where it stopped."""
    from fastin.ml.dataset import read_sources

    options = _options(ion, resolution, convention, crystals)
    _build(read_sources(sources, limit), out, options, workers, Limits(time_limit, memory, 1))


@command.command("mp")
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the data set.")
@click.option("--ion", required=True, help="Mobile ion, an element that every structure holds.")
@click.option("--api-key", envvar="MP_API_KEY", help="Materials Project key (default: the variable MP_API_KEY).")
@click.option("--max-sites", default=160, show_default=True, help="Largest cell.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@limits
def mp_command(
    out: Path,
    ion: str,
    api_key: str | None,
    max_sites: int,
    workers: int,
    time_limit: float,
    memory: int | None,
) -> None:
    """Graphs and labels of all ordered Materials Project structures with an element (needs mp-api and a key)."""
    from fastin.ml.materials_project import fetch_sources

    sources = fetch_sources(ion, api_key=api_key, max_sites=max_sites)
    _build(sources, out, _options(ion, 0.2, "spse", True), workers, Limits(time_limit, memory, 1))


@command.command("join")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Folder of the joined data set.")
def join_command(folders: tuple[Path, ...], out: Path) -> None:
    """One data set of several, such as one for each mobile ion; ids become id/ion."""
    from fastin.cli._common import stdout_console
    from fastin.ml.join import join_datasets

    try:
        manifest = join_datasets(folders, out)
    except FastinError as error:
        raise click.ClickException(str(error)) from None
    stdout_console().print(f"{manifest['structures']} structures in {out} (version {manifest['version']})")


@command.command("info")
@click.argument("folder", type=click.Path(path_type=Path))
def info_command(folder: Path) -> None:
    """Version, options, labels and failures of a data set."""
    from fastin.cli._common import stdout_console
    from fastin.ml.dataset import load_dataset, read_manifest

    manifest = read_manifest(folder)
    store = load_dataset(folder)
    console = stdout_console()
    console.print(f"version {manifest['version']}, {store}, {len(manifest['failures'])} left out", markup=False)
    console.print(f"options {manifest['options']}", markup=False)
    for name, counts in manifest.get("labels", {}).items():
        console.print(f"{name}: {', '.join(f'{v} {k}' for k, v in counts.items())}", markup=False)
