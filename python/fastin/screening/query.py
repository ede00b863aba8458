"""Questions to a results table: the best rows by a column, under a condition, read-only.

The condition is SQL, evaluated by DuckDB on the table in memory. The connection can see nothing else: no file, no
network, no extension, no Python object, and its configuration is locked before the condition is read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastin.errors import InputError, missing_extra
from fastin.screening.store import KEY, read_results

TIME_LIMIT = 30.0
DEFAULT_COLUMNS = ("id", "formula", "ion", "space_group")
_HIDDEN = frozenset({KEY, "seconds"})


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _sandbox(table: Any) -> Iterator[Any]:
    """A DuckDB connection that holds the table `results` and can reach nothing else."""
    try:
        import duckdb
    except ImportError as error:
        raise missing_extra("duckdb", "screen") from error
    connection = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": "2GB"})
    try:
        connection.register("given", table)
        connection.execute("CREATE TABLE results AS SELECT row_number() OVER () AS input_row, * FROM given")
        connection.unregister("given")
        for setting in (
            "SET python_enable_replacements = false",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            "SET temp_directory = ''",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            connection.execute(setting)
        yield connection
    finally:
        connection.close()


def _select(connection: Any, statement: str, time_limit: float) -> Any:
    import duckdb

    timer = threading.Timer(time_limit, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        statements = connection.extract_statements(statement)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError("the condition must be one SQL expression")
        return connection.sql(statement).to_arrow_table()
    except duckdb.InterruptException as error:
        raise InputError(f"the condition took longer than {time_limit:g} s") from error
    except duckdb.Error as error:
        raise InputError(f"the condition cannot be evaluated: {str(error).splitlines()[0]}") from error
    finally:
        timer.cancel()


def _column(table: Any, name: str) -> str:
    if name in table.column_names:
        return name
    folded = [column for column in table.column_names if column.lower() == name.lower()]
    if len(folded) == 1:
        return str(folded[0])
    shown = ", ".join(column for column in table.column_names if column not in _HIDDEN)
    raise InputError(f"no column {name!r}; there are: {shown}")


def top(
    results: str | os.PathLike[str] | Any,
    by: str,
    *,
    where: str | None = None,
    limit: int = 20,
    descending: bool = False,
    columns: list[str] | None = None,
    time_limit: float = TIME_LIMIT,
) -> Any:
    """The best rows of a results table.

    Args:
        results: path of a finished or running screening, or a `pyarrow.Table`.
        by: column to sort by; rows without a finite value there are left out.
        where: SQL condition on the columns, e.g. ``"e3d < 0.4 AND free_sphere_a > 0.6"``.
        limit: number of rows.
        descending: largest first.
        columns: columns to show; by default the identity, `by`, and those that the barriers and the network fill.
        time_limit: seconds for the query.

    Returns:
        A `pyarrow.Table`.

    Raises:
        InputError: no such column, or a condition that is no single SQL expression or reaches outside the table.
    """
    table: Any = results if hasattr(results, "column_names") else read_results(results)
    by = _column(table, by)
    wanted = [_column(table, name) for name in columns] if columns else _default_columns(table, by)
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    numeric = str(table.schema.field(by).type) in ("double", "int64")
    conditions = [f"{_quoted(by)} IS NOT NULL"]
    if numeric:
        conditions.append(f"isfinite({_quoted(by)}::DOUBLE)")
    if where and where.strip():
        # the newline keeps a trailing comment from swallowing the parenthesis
        conditions.append(f"(\n{where}\n)")
    order = "DESC" if descending else "ASC"
    statement = (
        f"SELECT {', '.join(_quoted(name) for name in wanted)} FROM results WHERE {' AND '.join(conditions)} "
        f"ORDER BY {_quoted(by)} {order}, input_row LIMIT {int(limit)}"
    )
    with _sandbox(table) as connection:
        return _select(connection, statement, time_limit)


def _default_columns(table: Any, by: str) -> list[str]:
    preferred = ("e1d", "e2d", "e3d", "free_sphere_a", "free_sphere_b", "free_sphere_c", "channel_dimensionality")
    names = [name for name in (*DEFAULT_COLUMNS, by, *preferred) if name in table.column_names]
    return list(dict.fromkeys(names))
