"""``fastin top``."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import click

from fastin.errors import FastinError


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, float):
        return "inf" if math.isinf(value) else f"{value:.4g}"
    text = str(value)
    return "".join(character if character.isprintable() else "?" for character in text)


def _dump(table: Any, rows: list[dict[str, Any]], *, as_csv: bool) -> None:
    """Rows on standard output; an unreachable barrier is inf in both formats."""
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(table.column_names)
        writer.writerows(["; ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows)
        return
    for row in rows:
        finite = {k: ("inf" if isinstance(v, float) and math.isinf(v) else v) for k, v in row.items()}
        print(json.dumps(finite, ensure_ascii=False))


@click.command("top")
@click.argument("results")
@click.option("--by", required=True, help="Column to sort by, smallest first.")
@click.option("--where", help='Condition in SQL, e.g. "barrier_3d_network_eV < 0.4".')
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of rows.")
@click.option("-d", "--descending", is_flag=True, help="Largest first.")
@click.option("-c", "--columns", help="Columns to show, comma-separated.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object a row; unreachable is "inf".')
@click.option("--wide", is_flag=True, help="Cells uncut, however wide; else what fits 80 columns.")
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Write the rows to a .csv or .jsonl file.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values.")
@click.option("--severe", is_flag=True, help="Show rows with severe warnings too.")
def command(
    results: str,
    by: str,
    where: str | None,
    limit: int,
    descending: bool,
    columns: str | None,
    as_json: bool,
    wide: bool,
    out: str | None,
    as_csv: bool,
    severe: bool,
) -> None:
    """Best rows of a results table (a .parquet file or a folder of parts, finished or still growing)."""
    from fastin.screening.query import left_out, top

    names = [name.strip() for name in columns.split(",") if name.strip()] if columns else None
    try:
        table = top(results, by, where=where, limit=limit, descending=descending, columns=names, severe=severe)
    except FastinError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    rows = table.to_pylist()
    if hidden := left_out(table):
        click.echo(f"{hidden} row(s) with severe warnings are left out; --severe shows them", err=True)
    if not rows:
        click.echo("no row has a finite value there and meets the condition", err=True)
    if out is not None:
        if not out.endswith((".csv", ".jsonl")):
            raise click.UsageError(f"-o {out}: the name must end in .csv or .jsonl")
        with Path(out).open("w", encoding="utf-8", newline="") as stream, contextlib.redirect_stdout(stream):
            _dump(table, rows, as_csv=out.endswith(".csv"))
        click.echo(f"wrote {out}")
        return
    if as_json or as_csv:
        _dump(table, rows, as_csv=as_csv)
        return
    if not rows:
        return
    from fastin.cli._table import Column, print_table
    from fastin.screening.labels import column_unit

    shown = []
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        words = str(kind).startswith(("string", "list"))
        side: Any = "left" if words else "right"
        unit = column_unit(name)
        heading = f"{_broken(name)}\n{unit}" if unit else _broken(name)
        shown.append(Column(heading, side, ("left" if name in ("id", "source") else "right") if words else None))
    print_table(shown, [[_text(value) for value in row.values()] for row in rows], wide=wide)


def _broken(name: str) -> str:
    """A long name on several lines, so that the column is as narrow as its numbers."""
    lines = [""]
    for part in name.split("_"):
        if lines[-1] and len(lines[-1]) + len(part) > 8:
            lines[-1] += "_"
            lines.append(part)
        else:
            lines[-1] += f"_{part}" if lines[-1] else part
    return "\n".join(lines)
