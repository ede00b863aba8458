"""What results show in Jupyter: a heading and a small table, as plain HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from fastin.runtime.late import later
from fastin.runtime.plain import plain


def table(title: str, rows: Iterable[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """A heading above a table; every cell is escaped.

    Args:
        title: heading.
        rows: cells of each row.
        header: column names; none for a table of names and values.
    """
    lines = [f"<div><b>{html.escape(plain(title))}</b><table>"]
    if header:
        lines.append("<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in header) + "</tr>")
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{html.escape(plain(str(cell)))}</td>" for cell in row) + "</tr>")
    return "".join(lines) + "</table></div>"


def with_picture(result: Any, text: str) -> str:
    """The result's small plot beside its table; the table alone where there is no plot (no matplotlib)."""
    picture = later("picture")(result)
    return f'<div style="display:flex;gap:18px;flex-wrap:wrap">{picture}{text}</div>' if picture else text


def number_text(value: float | None, digits: int = 3) -> str:
    """A number with that many digits; a dash where there is none or it is not finite."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def numbers_text(values: Iterable[float]) -> str:
    """Numbers with three digits, separated by commas."""
    return ", ".join(number_text(float(v)) for v in values)
