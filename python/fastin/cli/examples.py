"""``fastin examples``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click

from fastin.cli._table import shorten
from fastin.crystal.examples import examples
from fastin.errors import InputError


@click.group("examples", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """The bundled example crystals: their names and sources; copies of their CIFs."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list")
def list_() -> None:
    """Names of the examples, and where each was published."""
    for name, path in examples().items():
        click.echo(f"{name:24}{_source(path)}")


def _source(path: Path) -> str:
    """Journal, volume, page and year of the publication that the CIF names."""
    text = path.read_text("utf-8")
    found = dict(re.findall(r"^_journal_(name_full|year|volume|page_first)\s+'?([^'\n]+)", text, re.MULTILINE))
    where = shorten(found.get("name_full", "").strip(), 32, "right")
    return f"{where} {found.get('volume', '')}, {found.get('page_first', '')} ({found.get('year', '')})"


@command.command("copy")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
def copy(folder: Path, names: tuple[str, ...]) -> None:
    """Copy the CIFs of NAMES (default: all) into FOLDER; files that are there already stay as they are."""
    known = examples()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"no example {unknown[0]!r}; there are: {', '.join(known)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or known:
        target = folder / known[name].name
        if target.exists():
            click.echo(f"{target}: there already", err=True)
            continue
        shutil.copyfile(known[name], target)
        click.echo(str(target))
