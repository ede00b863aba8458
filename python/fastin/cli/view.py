"""``fastin view``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fastin.cli._batch import Limits, complain, error_of, failed_row, leave, limits, run_batch
from fastin.cli._common import Finite, unique_stems
from fastin.errors import FastinError
from fastin.runtime.isolate import Failure

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


def worker(
    options: dict[str, Any], figure: dict[str, Any], num_threads: int
) -> Callable[[tuple[str, list[str], str | None]], dict[str, Any]]:
    """In a worker process: the function that takes (file, figures, page), writes them and says what it wrote."""
    from fastin.view.scene import build_scene

    def answer(item: tuple[str, list[str], str | None]) -> dict[str, Any]:
        file, pictures, page = item
        written: list[str] = []
        try:
            scene = build_scene(file, **options)
            for path in pictures:
                from fastin.view.figure import write_figure

                written.append(str(write_figure(scene, path, **figure)))
            if page is not None:
                from fastin.view.page import page_of

                Path(page).write_text(page_of(scene), encoding="utf-8")
                written.append(page)
        except FastinError as error:
            return failed_row(file, error) | {"written": written}
        except OSError as error:
            failed = failed_row(file, error)
            failed["error"]["message"] = f"{file}: cannot write: {error}"
            return failed | {"written": written}
        return {"written": written}

    return answer


@click.command("view")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False))
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
@click.option(
    "--relaxed",
    type=click.Path(exists=True, file_okay=False),
    help="Folder of fastin relax -o: its barriers and profiles on the page.",
)
@click.option("--title", help="Heading; default: the formula.")
@click.option("--resolution", type=Finite(0.02, 10.0), default=0.2, show_default=True, help="Grid's spacing (A).")
@click.option("--convention", default="spse", show_default=True, help="Of the energies: spse, bvlain or softbv.")
@limits
def command(
    files: tuple[str, ...],
    out: str | None,
    size: tuple[float, float] | None,
    dpi: float,
    angle: str | None,
    only: str | None,
    level: float | None,
    transparent: bool,
    ion: str | None,
    relaxed: str | None,
    title: str | None,
    resolution: float,
    convention: str,
    time_limit: float,
    memory: int | None,
    **pictures: str | None,
) -> None:
    """One self-contained page of each structure: crystal, voids, paths, energies, hops, powder pattern.

    With --png, --svg or --pdf and without -o only the figures are written. Several FILES get a page each, NAME.html.
    """
    wanted = [(kind, path) for kind in _SUFFIXES if (path := pictures.get(kind))]
    for kind, path in wanted:
        if Path(path).suffix.lower() != f".{kind}":
            raise click.UsageError(f"--{kind} {path}: the name must end in .{kind}")
    if len(files) > 1 and (out or wanted or title or relaxed):
        raise click.UsageError("-o, --png, --svg, --pdf, --title and --relaxed go with one FILE")
    figures = [path for _, path in wanted]
    names = [f"{stem}.html" for stem in unique_stems(Path(file) for file in files)]
    pages = [out or (None if wanted else name) for name in names]
    options = {"ion": ion, "title": title, "resolution": resolution, "convention": convention, "relaxed": relaxed}
    figure = {"size": size, "dpi": dpi, "view": angle, "only": only, "level": level, "transparent": transparent}
    answers, interrupted = run_batch(
        "fastin.cli.view:worker",
        [(file, figures, page) for file, page in zip(files, pages, strict=True)],
        {"options": options, "figure": figure},
        Limits(time_limit, memory, None),
    )
    failed = []
    for file, answer in zip(files, answers, strict=True):
        if isinstance(answer, Failure):
            answer = {"error": error_of(file, answer)}
        for path in (answer or {}).get("written", ()):
            click.echo(path)
        if answer is not None and "error" in answer:
            complain(answer["error"])
            failed.append(answer.get("status", 1))
    if len(files) == 1 and failed and not interrupted:
        sys.exit(failed[0])
    leave(bool(failed), interrupted, sum(answer is not None for answer in answers), len(files))
