"""Tables of numbers in text files, as instruments and spreadsheets write them.

Nothing but the columns decides how a file is read: of all separators and decimal marks, the pair under which most lines
become equally many numbers. Where two readings are left that give different numbers, the caller is asked.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError
from fastin.runtime.files import refuse_special

_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers", ".gsheet")
_COMMENT = ("#", "!", "%", "//", "*")
_BLANKS = "\u00a0\u202f\u2009\u2007"
_DASHES = str.maketrans({"−": "-", "–": "-", **dict.fromkeys(_BLANKS, "\u00a0")})
_LIMIT = 64 * 1024 * 1024  # bytes of a text file; more is no table of a measurement


@dataclass(frozen=True)
class Convention:
    """How numbers are written in a file: what parts the columns, the decimals and the thousands.

    Attributes:
        delimiter: one character, or "" for blanks.
        decimal: "." or ",".
        thousands: what may stand between groups of three digits, or "".
    """

    delimiter: str
    decimal: str
    thousands: str

    def __str__(self) -> str:
        names = {"": "blanks", "\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
        return f"columns parted by {names[self.delimiter]}, decimals by '{self.decimal}'"


@dataclass(frozen=True, eq=False)
class TextTable:
    """Rows of numbers with what stands above them.

    Attributes:
        source: the file.
        names: heading of each column, or ``None`` where the file has none.
        units: the row of units below the headings, or ``None``.
        values: (N, M) numbers; NaN where a cell is empty or text.
        cells: the same as written.
        lines: number of each row's line in the file, from 1.
        preamble: the lines above, headings included.
        convention: how the numbers are written.
    """

    source: str
    names: tuple[str, ...] | None
    units: tuple[str, ...] | None
    values: npt.NDArray[np.float64]
    cells: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    preamble: tuple[str, ...]
    convention: Convention

    def column(self, index: int, what: str) -> npt.NDArray[np.float64]:
        """Numbers of a column.

        Raises:
            InputError: a cell that is empty or no number; names its line and shows it.
        """
        values = self.values[:, index]
        bad = np.flatnonzero(np.isnan(values))
        for i in bad.tolist():
            cell = self.cells[i][index]
            if cell.strip().lower() in ("nan", "-nan", "+nan"):
                raise InputError(f"{self.source}, line {self.lines[i]}: the {what} is not finite ({cell})")
            shown = f"{cell!r} is no number" if cell.strip() else "the cell is empty"
            raise InputError(f"{self.source}, line {self.lines[i]}: no {what}: {shown}")
        if not np.isfinite(values).all():
            i = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(f"{self.source}, line {self.lines[i]}: the {what} is not finite ({self.cells[i][index]})")
        return values

    def heading(self, index: int) -> str:
        """Name of a column for messages."""
        return f"column {index + 1}" if self.names is None else f"column {index + 1} ({self.names[index]!r})"


def read_text(path: Path) -> str:
    """Text of a file in UTF-8, UTF-16 (with a mark, or by its zeros) or Windows-1252.

    Raises:
        InputError: it cannot be read, is a spreadsheet, or holds no text.
    """
    if path.suffix.lower() in _SPREADSHEETS:
        raise InputError(f"{path}: is a spreadsheet; save the sheet as CSV (text) and give that file")
    refuse_special(path)
    try:
        if path.stat().st_size > _LIMIT:
            raise InputError(f"{path}: larger than {_LIMIT // 1024**2} MB, which no table of a measurement is")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return decode(data, str(path))


def decode(data: bytes, source: str) -> str:
    """Text of bytes; see `read_text`."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    head = data[:4096]
    zeros = head.count(0)
    if zeros:
        odd = head[1::2].count(0)
        if zeros > 0.3 * len(head) and max(odd, zeros - odd) > 0.95 * zeros:
            text = data.decode("utf-16-le" if odd > zeros - odd else "utf-16-be", errors="replace")
            if sum(c.isprintable() or c.isspace() for c in text[:1000]) > 0.95 * len(text[:1000]):
                return text
        raise InputError(f"{source}: is a binary file, not a table in text; export it as text (2 theta, intensity)")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


@cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    mark = re.escape(decimal)
    whole = r"\d+"
    if thousands:
        whole = rf"(?:\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+)"
    return re.compile(
        rf"(?P<sign>[+-]?)(?P<whole>{whole})?(?:{mark}(?P<part>\d*))?(?:\(\d+\))?"
        r"(?:[eEdD](?P<power>[+-]?\d{1,3})|\s*[x×·*]\s*10\^?(?P<ten>[+-]?\d{1,3}))?(?:\s*(?:±|\+/-).*)?$"
    )


def parse_number(cell: str, decimal: str = ".", thousands: str = "") -> float | None:
    """The number in a cell, or ``None``.

    Takes Fortran's exponents (1.5D+03), "4.5×10^-3", and drops uncertainties ("4.51(3)", "4.5 ± 0.1").
    """
    text = cell.strip()
    if text.lower() in ("nan", "-nan", "+nan"):
        return math.nan
    if text.lower() in ("inf", "+inf", "-inf", "infinity"):
        return math.inf
    match = _pattern(decimal, thousands).match(text)
    if match is None or (match["whole"] is None and not match["part"]):
        return None
    whole = (match["whole"] or "0").replace(thousands, "") if thousands else match["whole"] or "0"
    return float(f"{match['sign']}{whole}.{match['part'] or '0'}e{match['power'] or match['ten'] or '0'}")


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == "":
        cells = [a or b for a, b in re.findall(r'"([^"]*)"|([^ \t"]+)', line)]
    elif '"' in line:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    else:
        cells = line.split(delimiter)
    cells = [cell.strip(" \t") for cell in cells]
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


def _conventions(text: str, decimal: str | None) -> list[Convention]:
    quoted = '"' in text
    found = []
    for delimiter in (";", "\t", "|", ",", ""):
        if delimiter and delimiter not in text:
            continue
        for mark, groups in ((".", ("", ",", "'", "\u00a0", " ")), (",", ("", ".", "'", "\u00a0", " "))):
            if decimal is not None and mark != decimal:
                continue
            if mark == delimiter and not quoted:
                continue
            for thousands in groups:
                blank = thousands == " " and delimiter == ""
                if thousands and (thousands not in text or blank or (thousands == delimiter and not quoted)):
                    continue
                found.append(Convention(delimiter, mark, thousands))
    return found


@dataclass
class _Reading:
    """Lines that are rows under one convention: index of the line, cells, numbers."""

    convention: Convention
    width: int
    rows: list[tuple[int, list[str], list[float | None]]]
    score: tuple[int, float, int]


def _read_as(lines: Sequence[str], convention: Convention) -> _Reading | None:
    parsed = []
    for index, line in enumerate(lines):
        if not line or line.lstrip().startswith(_COMMENT):
            continue
        body = re.split(r"\s[#!]", line, maxsplit=1)[0]
        cells = _split(body, convention.delimiter)
        numbers = [parse_number(cell, convention.decimal, convention.thousands) for cell in cells]
        count = sum(number is not None for number in numbers)
        if count >= 2 or (count == 1 and len(cells) == 1):
            parsed.append((index, cells, numbers))
    if not parsed:
        return None
    widths = Counter(len(cells) for _, cells, _ in parsed)
    width = max(widths, key=lambda w: (widths[w], w))
    rows = [row for row in parsed if len(row[1]) == width]
    total = width * len(rows)
    numeric = sum(number is not None for _, _, numbers in rows for number in numbers)
    return _Reading(convention, width, rows, (len(rows) if width > 1 else 0, numeric / total, len(rows)))


def _same(a: _Reading, b: _Reading) -> bool:
    return a.width == b.width and [r[2] for r in a.rows] == [r[2] for r in b.rows]


def _thousands_rather(plain: _Reading, grouped: _Reading) -> bool:
    """Whether marks before three digits part thousands: no number without one reaches 1000, and there are some."""
    mark = grouped.convention.thousands
    columns = {k for _, cells, _ in plain.rows for k, cell in enumerate(cells) if mark in cell}
    bare = [
        abs(value)
        for _, cells, numbers in plain.rows
        for k in columns
        if (value := numbers[k]) is not None and mark not in cells[k]
    ]
    return bool(bare) and max(bare) < 1000.0


def choose_reading(lines: Sequence[str], source: str, decimal: str | None = None) -> _Reading | None:
    """The convention under which most lines are rows of equally many numbers; ``None`` without any row.

    Raises:
        InputError: two conventions are left that give different numbers.
    """
    text = "\n".join(lines)
    readings = [r for c in _conventions(text, decimal) if (r := _read_as(lines, c)) is not None]
    if not readings:
        return None
    best = max(r.score for r in readings)
    rivals = [r for r in readings if r.score == best]
    chosen = rivals[0]
    for other in rivals[1:]:
        if other.width != chosen.width or _same(chosen, other):
            continue
        plain, grouped = sorted((chosen, other), key=lambda r: bool(r.convention.thousands))
        if _implausible(plain) != _implausible(grouped):
            chosen = grouped if _implausible(plain) else plain
        elif _thousands_rather(plain, grouped):
            chosen = grouped
        else:
            row = next(a for a, b in zip(plain.rows, grouped.rows, strict=True) if a[2] != b[2])
            raise InputError(
                f"{source}, line {row[0] + 1}: {lines[row[0]].strip()[:60]!r} can be read with decimals or with "
                "thousands; say which mark is the decimal one (decimal='.' or ',', --decimal)"
            )
    return chosen


def _implausible(reading: _Reading) -> bool:
    """Whether the first column, what is measured against, is in the thousands: nothing of a laboratory is."""
    first = [abs(v) for _, _, numbers in reading.rows if (v := numbers[0]) is not None]
    return bool(first) and sorted(first)[len(first) // 2] > 3000.0


def read_table(path: str | Path, *, decimal: str | None = None, text: str | None = None) -> TextTable:
    """Reads the table of numbers in a text file.

    Args:
        path: the file.
        decimal: "." or "," where the file leaves it open.
        text: its text, where that is read already.

    Raises:
        InputError: no table, a row of another length or with text where numbers stand (the line is shown), or numbers
            that can be read in two ways.
    """
    path = Path(path)
    text = read_text(path) if text is None else text
    lines = [line.translate(_DASHES).rstrip() for line in text.splitlines()]
    if decimal not in (None, ".", ","):
        raise InputError(f"the decimal mark is '.' or ',', not {decimal!r}")
    reading = choose_reading(lines, str(path), decimal)
    if reading is None:
        filled = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
        if not filled:
            raise InputError(f"{path}: is empty; a header line and rows of numbers are needed")
        number, line = next(((n, line) for n, line in filled if line[0].isdigit()), filled[0])
        raise InputError(f"{path}, line {number}: not a row of numbers: {line[:60]!r}")
    first, last = reading.rows[0][0], reading.rows[-1][0]
    _check_lines(path, lines, reading, first, last)
    preamble = [line for line in lines[:first] if line.strip()]
    names, units = _headings(preamble, reading)
    values = np.array([[math.nan if v is None else v for v in row[2]] for row in reading.rows], dtype=np.float64)
    return TextTable(
        source=str(path), names=names, units=units, values=values,
        cells=tuple(tuple(row[1]) for row in reading.rows), lines=tuple(row[0] + 1 for row in reading.rows),
        preamble=tuple(preamble), convention=reading.convention,
    )  # fmt: skip


def _check_lines(path: Path, lines: Sequence[str], reading: _Reading, first: int, last: int) -> None:
    """Refuses lines between and below the rows that begin with a digit and are none."""
    taken = {row[0] for row in reading.rows}
    for index in range(first, len(lines)):
        line = lines[index].strip()
        if index in taken or not line or line.startswith(_COMMENT):
            continue
        if index < last or re.match(r'["\']?[+-]?[.,]?\d', line):
            cells = len(_split(line, reading.convention.delimiter))
            width = f"{cells} columns, not {reading.width}" if cells != reading.width else "not a row of numbers"
            raise InputError(f"{path}, line {index + 1}: {width}: {line[:60]!r} ({reading.convention})")


_UNIT_CELL = re.compile(
    r"[\[(]?\s*(°|deg|degrees?|°?\s*c|°2th\.?|k|[mµμun]?s\s*/?.*|ohm.*|cps|counts?|cts|a\.?u\.?|arb.*|å.*|1/.*|nm.*|"
    r"cm.*|m\^?2.*|ev|%|-|)\s*[\])]?",
    re.IGNORECASE,
)


def _headings(preamble: Sequence[str], reading: _Reading) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Headings and units: the last lines above the rows that have as many cells."""
    found: list[tuple[str, ...]] = []
    for line in reversed(preamble):
        cells = _heading_cells(line, reading)
        if cells is None:
            break
        found.append(cells)
        if len(found) == 2:
            break
    if not found:
        return None, None
    if len(found) == 2 and all(_UNIT_CELL.fullmatch(cell) for cell in found[0]):
        return found[1], found[0]
    return found[0], None


def _heading_cells(line: str, reading: _Reading) -> tuple[str, ...] | None:
    text = line.strip().lstrip("#!%*/").strip() if not line.strip().startswith("*RAS") else ""
    if not re.search(r"[^\W\d_]|[°θσ]", text):
        return None
    for delimiter in dict.fromkeys((reading.convention.delimiter, "\t", ";", ",", "  ", "")):
        cells = re.split(r"\s{2,}", text) if delimiter == "  " else _split(text, delimiter)
        if delimiter == "":
            cells = _join_units(cells)
        if len(cells) == reading.width and not any(parse_number(cell) is not None for cell in cells):
            return tuple(cells)
        if len(cells) == reading.width + 1 and cells[0] == "":
            return tuple(cells[1:])
    return None


def _join_units(cells: Sequence[str]) -> list[str]:
    """Cells of a heading that is parted by blanks, with "(S/cm)" or "[K]" joined to the name before."""
    joined: list[str] = []
    open_bracket = False
    for cell in cells:
        if joined and (open_bracket or cell[:1] in "([/"):
            joined[-1] += f" {cell}"
        else:
            joined.append(cell)
        open_bracket = joined[-1].count("(") + joined[-1].count("[") > joined[-1].count(")") + joined[-1].count("]")
    return joined


def ask(source: str, question: str, remedy: str) -> InputError:
    """The error that asks: what is unclear, and how to say it."""
    return InputError(f"{source}: {question}; {remedy}")


def plain_name(name: Any) -> str:
    """A heading for comparison: lower case, without blanks, quotes, underscores, dots and brackets."""
    return re.sub(r"[\s_\-.\"'()\[\]{}]", "", str(name).lower())
