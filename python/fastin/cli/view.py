"""``fastin view``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fastin.cli._common import Finite
from fastin.errors import FastinError


@click.command("view")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="The page to write. [default: FILE's name + .html]")
@click.option("--png", type=click.Path(dir_okay=False), help="A static figure (.png, .pdf or .svg).")
@click.option("--ion", help="Mobile ion, e.g. Li or Na+; default: the structure's own.")
@click.option("--title", help="Heading; default: the formula.")
@click.option("--resolution", type=Finite(0.02, 10.0), default=0.2, show_default=True, help="Grid's spacing (A).")
def command(file: str, out: str | None, png: str | None, ion: str | None, title: str | None, resolution: float) -> None:
    """One self-contained page of a structure: crystal, voids, paths, energies, hops, powder pattern.

    With --png and without -o only the figure is written.
    """
    from fastin.view.figure import write_figure
    from fastin.view.page import page_of
    from fastin.view.scene import build_scene

    try:
        scene = build_scene(file, ion, title=title, resolution=resolution)
        if png:
            click.echo(str(write_figure(scene, png)))
        if out or not png:
            path = Path(out) if out else Path(Path(file).stem + ".html")
            path.write_text(page_of(scene), encoding="utf-8")
            click.echo(str(path))
    except FastinError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"Error: cannot write: {error}", err=True)
        sys.exit(2)
