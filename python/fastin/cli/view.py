"""``fastin view``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fastin.cli._common import Finite
from fastin.errors import FastinError

_SUFFIXES = ("png", "svg", "pdf")


class _Size(click.ParamType):  # type: ignore[type-arg]
    """WIDTHxHEIGHT in inches."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Two numbers."""
        try:
            width, height = (float(part) for part in str(value).lower().replace("×", "x").split("x"))
        except ValueError:
            self.fail(f"{value!r} is not a size such as 6x4 (inches)", param, ctx)
        return width, height


@click.command("view")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="The page to write. [default: FILE's name + .html]")
@click.option("--png", type=click.Path(dir_okay=False), help="A figure for a slide.")
@click.option("--svg", type=click.Path(dir_okay=False), help="A figure with text as text.")
@click.option("--pdf", type=click.Path(dir_okay=False), help="A figure for a paper.")
@click.option("--size", type=_Size(), help="Of figures, inches.  [default: 12x7.2, or 6x5.6 for a part]")
@click.option("--dpi", type=Finite(10, 2400), default=200.0, show_default=True, help="Pixels per inch of figures.")
@click.option("--view", "angle", help="Of figures: a, b, c, or degrees about the vertical and the horizontal: 30,20.")
@click.option("--only", type=click.Choice(["crystal", "isosurface", "profile", "pattern"]), help="One part of figures.")
@click.option("--level", type=Finite(0.001, 100), help="Of the isosurface in figures, eV.  [default: opens the path]")
@click.option("--transparent", is_flag=True, help="Figures without a white ground.")
@click.option("--ion", help="Mobile ion, e.g. Li or Na+; default: the structure's own.")
@click.option("--title", help="Heading; default: the formula.")
@click.option("--resolution", type=Finite(0.02, 10.0), default=0.2, show_default=True, help="Grid's spacing (A).")
@click.option("--convention", default="spse", show_default=True, help="Of the energies: spse, bvlain or softbv.")
def command(
    file: str,
    out: str | None,
    size: tuple[float, float] | None,
    dpi: float,
    angle: str | None,
    only: str | None,
    level: float | None,
    transparent: bool,
    ion: str | None,
    title: str | None,
    resolution: float,
    convention: str,
    **pictures: str | None,
) -> None:
    """One self-contained page of a structure: crystal, voids, paths, energies, hops, powder pattern.

    With --png, --svg or --pdf and without -o only the figures are written.
    """
    from fastin.view.figure import write_figure
    from fastin.view.page import page_of
    from fastin.view.scene import build_scene

    wanted = [(kind, path) for kind in _SUFFIXES if (path := pictures.get(kind))]
    for kind, path in wanted:
        if Path(path).suffix.lower() != f".{kind}":
            raise click.UsageError(f"--{kind} {path}: the name must end in .{kind}")
    try:
        scene = build_scene(file, ion, title=title, resolution=resolution, convention=convention)
        for _, path in wanted:
            figure = write_figure(
                scene, path, size=size, dpi=dpi, view=angle, only=only, level=level, transparent=transparent
            )
            click.echo(str(figure))
        if out or not wanted:
            page = Path(out) if out else Path(Path(file).stem + ".html")
            page.write_text(page_of(scene), encoding="utf-8")
            click.echo(str(page))
    except FastinError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"Error: cannot write: {error}", err=True)
        sys.exit(2)
