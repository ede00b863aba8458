"""``fastin top``."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import click

from fastin.errors import FastinError


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return "inf" if math.isinf(value) else f"{value:.4g}"
    text = str(value)
    return "".join(character if character.isprintable() else "?" for character in text)


@click.command("top")
@click.argument("results")
@click.option("--by", required=True, help="Column to sort by, smallest first.")
@click.option("--where", help='Condition in SQL, e.g. "barrier_3d_network_eV < 0.4".')
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of rows.")
@click.option("-d", "--descending", is_flag=True, help="Largest first.")
@click.option("-c", "--columns", help="Columns to show, comma-separated.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object a row; unreachable is "inf".')
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values.")
def command(
    results: str,
    by: str,
    where: str | None,
    limit: int,
    descending: bool,
    columns: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Best rows of a results table (a .parquet file or a folder of parts, finished or still growing)."""
    from fastin.screening.query import top

    names = [name.strip() for name in columns.split(",") if name.strip()] if columns else None
    try:
        table = top(results, by, where=where, limit=limit, descending=descending, columns=names)
    except FastinError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    rows = table.to_pylist()
    if not rows:
        click.echo("no row has a finite value there and meets the condition", err=True)
    if as_json:
        for row in rows:
            finite = {k: ("inf" if isinstance(v, float) and math.isinf(v) else v) for k, v in row.items()}
            click.echo(json.dumps(finite, ensure_ascii=False))
        return
    if as_csv:
        import csv

        writer = csv.writer(sys.stdout)
        writer.writerow(table.column_names)
        writer.writerows(list(row.values()) for row in rows)
        return
    from rich.table import Table
    from rich.text import Text

    from fastin.cli._common import stdout_console
    from fastin.screening.catalogue import column_unit

    shown = Table(box=None, header_style="bold")
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        unit = column_unit(name)
        heading = Text(f"{name}\n{unit}" if unit else name)
        shown.add_column(heading, justify="left" if str(kind) == "string" else "right")
    for row in rows:
        shown.add_row(*(Text(_text(value)) for value in row.values()))
    stdout_console().print(shown)
