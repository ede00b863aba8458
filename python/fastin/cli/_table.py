"""Tables on a terminal of 80 columns: elastic columns are cut, paths from the left, until the row fits."""

from __future__ import annotations

import csv
import math
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click
from rich.table import Table
from rich.text import Text

from fastin.cli._common import stdout_console
from fastin.runtime.plain import plain

WIDTH = 80
_LEAST = 10  # characters that an elastic column keeps


@dataclass(frozen=True)
class Column:
    """Heading of a column; `cut` says from which side its cells may be shortened.

    Attributes:
        name: heading, lines parted by a newline.
        side: of the text in the column.
        cut: "left" for paths (their ends tell them apart), "right" for words, ``None``: never.
        wide: shown with ``--wide`` only.
    """

    name: str
    side: Literal["left", "right"] = "right"
    cut: Literal["left", "right"] | None = None
    wide: bool = False


#: Codes of a structure's warnings; the mark stands beside the ion.
WARNING_COLUMN = Column("warnings", "left", wide=True)


def wide_option(command: Any) -> Any:
    """Adds ``--wide``."""
    return click.option("--wide", is_flag=True, help="All columns, however wide; else what fits 80.")(command)


def csv_option(command: Any) -> Any:
    """Adds ``--csv``."""
    return click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, unrounded.")(command)


def print_text(text: str, indent: str = "") -> None:
    """Prints a sentence in lines of 80 columns; later lines begin with `indent`."""
    click.echo(textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False))


def shorten(text: str, width: int, side: Literal["left", "right"]) -> str:
    """The text, or what fits of it with an ellipsis at the side where it was cut."""
    if len(text) <= width:
        return text
    return "…" + text[len(text) - width + 1 :] if side == "left" else text[: width - 1] + "…"


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, wide: bool = False, title: str | None = None
) -> None:
    """Prints rows of texts (without markup); without `wide` within 80 characters, as far as the cells can be cut."""
    if not rows:
        return
    kept = [k for k, column in enumerate(columns) if wide or not column.wide]
    cells = [[plain(row[k]) if k < len(row) else "" for k in kept] for row in rows]
    shown = [columns[k] for k in kept]
    heads = [max(map(len, column.name.split("\n"))) for column in shown]
    widths = [max(head, *(len(row[k]) for row in cells)) for k, head in enumerate(heads)]
    gap = 1 if sum(widths) + 2 * (len(widths) - 1) > WIDTH and not wide else 2
    if not wide:
        _squeeze(widths, heads, shown, WIDTH - gap * (len(widths) - 1))
    table = Table(
        box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0), title=title, title_justify="left"
    )
    for column, width in zip(shown, widths, strict=True):
        table.add_column(Text(column.name), justify=column.side, no_wrap=True, min_width=width)
    for row in cells:
        texts = (
            shorten(text, width, column.cut) if column.cut and not wide else text
            for text, width, column in zip(row, widths, shown, strict=True)
        )
        table.add_row(*map(Text, texts))
    console = stdout_console()
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def _squeeze(widths: list[int], heads: Sequence[int], columns: Sequence[Column], room: int) -> None:
    """Takes width from the elastic columns, words before paths, until all fit or nothing is left to take."""
    for sides, least in ((("right",), 2 + _LEAST), (("left",), 2 * _LEAST), (("left", "right"), _LEAST)):
        while sum(widths) > room:
            elastic = [k for k, c in enumerate(columns) if c.cut in sides and widths[k] > max(least, heads[k])]
            if not elastic:
                break
            widths[max(elastic, key=lambda k: widths[k])] -= 1


def print_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows as comma-separated values under the names of all their keys; nothing where there are none.

    A number that is missing is an empty cell, an unreachable one ``inf``.
    """
    listed = list(rows)
    names = list(dict.fromkeys(name for row in listed for name in row))
    if not names:
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in listed)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value))
    return value
