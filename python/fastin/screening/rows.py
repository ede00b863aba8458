"""Rows of one record in several parts: which count, and what they make together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastin.errors import missing_extra

try:
    import pyarrow as pa
except ImportError as error:  # pragma: no cover - depends on the installation
    raise missing_extra("pyarrow", "screen") from error

from fastin.screening.integrity import array_of, numbers, table_of

TASKS = "tasks"
WARNINGS = "warnings"
_ALWAYS = ("id", "source")
_ERROR = ("failed_tasks", "error_type", "error_message")


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of the schema, in its order; what it lacks is null."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def tasks_of(text: str | None, everything: Sequence[str]) -> frozenset[str]:
    """The tasks that a row holds; a row that does not say holds all of its table's."""
    return frozenset(everything) if text is None else frozenset(filter(None, text.split(",")))


def gather(keys: Sequence[int]) -> dict[int, list[int]]:
    """Places of each key, in order of the first."""
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return places


def folded(
    table: pa.Table, key: str, columns: Mapping[str, Sequence[str]], everything: Sequence[str]
) -> tuple[pa.Table, list[int]]:
    """One row a key: a later row replaces what its tasks fill and leaves the rest of the earlier ones.

    Args:
        table: rows in order of writing.
        key: the column that identifies a record.
        columns: columns that each task fills.
        everything: tasks of rows that do not say.

    Returns:
        The rows in order of their key's first appearance, and the keys.
    """
    places = gather(numbers(table[key]).tolist())
    last = [rows[-1] for rows in places.values()]
    held = table[TASKS].to_pylist() if TASKS in table.column_names else [None] * len(table)
    merged: dict[int, dict[str, Any]] = {}
    for index, rows in enumerate(places.values()):
        newest = tasks_of(held[rows[-1]], everything)
        if len(rows) > 1 and not all(tasks_of(held[row], everything) <= newest for row in rows[:-1]):
            merged[index] = _merge([table.slice(row, 1).to_pylist()[0] for row in rows], columns, everything)
    found = table.take(array_of(np.array(last, np.int64)))
    if merged:
        listed = found.to_pylist()
        for index, row in merged.items():
            listed[index] = row
        found = table_of(listed, table.schema)
    return found, list(places)


def _merge(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Sequence[str]], everything: Sequence[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    held: dict[str, None] = {}
    errors: dict[str, tuple[Any, Any]] = {}
    codes: dict[str, None] = {}
    for row in rows:
        tasks = tasks_of(row.get(TASKS), everything)
        codes |= dict.fromkeys(row.get(WARNINGS) or ())
        if not result:
            result = dict(row)
        for task in tasks:
            result.update({name: row[name] for name in columns.get(task, ()) if name in row})
            errors.pop(task, None)
        held |= dict.fromkeys(sorted(tasks, key=list(everything).index if tasks <= set(everything) else None))
        for task in (row.get("failed_tasks") or "").split(","):
            if task:
                errors[task] = (row["error_type"], row["error_message"])
        result.update({name: row[name] for name in row if name not in result or name in _ALWAYS})
    result[TASKS] = ",".join(held)
    if WARNINGS in result:
        result[WARNINGS] = list(codes)
    first = next(iter(errors.values()), (None, None))
    result.update(zip(_ERROR, (",".join(errors) or None, *first), strict=True))
    return result
