"""Questions to a results table: the best rows by a column, under a condition, read-only.

The condition is SQL, evaluated by DuckDB on the table in memory. The connection can see nothing else: no file, no
network, no extension, no Python object, and its configuration is locked before the condition is read. It runs in a
process of its own that is killed when its time is over and cannot allocate more than it was granted: one costly
scalar function heeds neither DuckDB's interrupt nor its memory limit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fastin.crystal.warnings import SEVERE_CODES
from fastin.errors import InputError, missing_extra
from fastin.runtime.pool import Failure, Pool, Target
from fastin.screening.labels import FORMER_NAMES, present_name
from fastin.screening.rows import WARNINGS
from fastin.screening.store import KEY, check_results, read_results

TIME_LIMIT = 30.0
MEMORY = 2 * 2**30  # bytes for one query
DEFAULT_COLUMNS = ("id", "formula", "ion", "space_group")
_HIDDEN = frozenset({KEY, "seconds"})
LEFT_OUT = b"left_out"  # metadata of an answer: rows with severe warnings that are not in it


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _sandbox(table: Any, memory: int) -> Iterator[Any]:
    """A DuckDB connection that holds the table `results` and can reach nothing else."""
    try:
        import duckdb
    except ImportError as error:
        raise missing_extra("duckdb", "screen") from error
    connection = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": f"{memory * 3 // 4 // 2**20}MiB"})
    try:
        connection.register("given", table)
        connection.execute(
            f"CREATE TABLE results AS SELECT row_number() OVER () AS input_row, *{_views(table)} FROM given"
        )
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


def _select(connection: Any, statement: str) -> Any:
    import duckdb

    try:
        statements = connection.extract_statements(statement)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError("the condition must be one SQL expression")
        return connection.sql(statement).to_arrow_table()
    except duckdb.OutOfMemoryException as error:
        raise MemoryError from error
    except duckdb.Error as error:
        raise InputError(f"the condition cannot be evaluated: {str(error).splitlines()[0]}") from error


def _column(table: Any, name: str) -> str:
    if (present := present_name(name, table.column_names)) is not None:
        return present
    folded = [column for column in table.column_names if column.lower() == name.lower()]
    if len(folded) == 1:
        return str(folded[0])
    shown = ", ".join(column for column in table.column_names if column not in _HIDDEN)
    raise InputError(f"no column {name!r}; there are: {shown}")


@dataclass(frozen=True)
class Question:
    """What is asked of a table; see `top`."""

    by: str
    where: str | None = None
    limit: int = 20
    descending: bool = False
    columns: tuple[str, ...] | None = None
    severe: bool = False


def _answer(table: Any, question: Question, memory: int) -> Any:
    by = _column(table, question.by)
    names = question.columns
    wanted = [_column(table, name) for name in names] if names else _default_columns(table, by)
    numeric = str(table.schema.field(by).type) in ("double", "int64")
    conditions = [f"{_quoted(by)} IS NOT NULL"]
    if numeric:
        conditions.append(f"isfinite({_quoted(by)}::DOUBLE)")
    if question.where and question.where.strip():
        # the newline keeps a trailing comment from swallowing the parenthesis
        conditions.append(f"(\n{question.where}\n)")
    doubted = _severe_condition(table)
    with_doubted = list(conditions)
    if doubted and not question.severe:
        conditions.append(f"NOT {doubted}")
    order = "DESC" if question.descending else "ASC"
    statement = (
        f"SELECT {', '.join(_quoted(name) for name in wanted)} FROM results WHERE {' AND '.join(conditions)} "
        f"ORDER BY {_quoted(by)} {order}, input_row LIMIT {int(question.limit)}"
    )
    with _sandbox(table, memory) as connection:
        found = _select(connection, statement)
        left_out = 0
        if doubted and not question.severe:
            counted = f"SELECT count(*) AS n FROM results WHERE {' AND '.join([*with_doubted, doubted])}"
            left_out = _select(connection, counted)["n"][0].as_py()
    return found.replace_schema_metadata({LEFT_OUT: str(left_out).encode()})


def _severe_condition(table: Any) -> str:
    """SQL that is true for rows with severe warnings; empty for tables without the column."""
    if WARNINGS not in table.column_names:
        return ""
    codes = ", ".join(f"'{code}'" for code in sorted(SEVERE_CODES))
    return f"coalesce(list_has_any({_quoted(WARNINGS)}, [{codes}]), false)"


def left_out(table: Any) -> int:
    """How many rows `top` left out for their severe warnings, of a table that it returned."""
    return int((table.schema.metadata or {}).get(LEFT_OUT, b"0"))


def worker(results: Any, memory: int) -> Callable[[Question], Any]:
    """In a worker process: the function that answers a `Question` from the table (or the path of one)."""
    try:
        import duckdb  # noqa: F401 - no question's time limit shall pay for imports
    except ImportError as error:
        raise missing_extra("duckdb", "screen") from error
    try:
        table = results if hasattr(results, "column_names") else read_results(results)
    except InputError as error:
        unreadable = Failure(type(error).__name__, str(error))
        return lambda _: unreadable
    return lambda question: _answer(table, question, memory)


class Questions:
    """Answers questions to one table, one at a time, in a process that is kept between them.

    Args:
        results: path of a finished or running screening, or a `pyarrow.Table`.
        time_limit: seconds for one question.
        memory: bytes for one question.
    """

    def __init__(
        self, results: str | os.PathLike[str] | Any, *, time_limit: float = TIME_LIMIT, memory: int = MEMORY
    ) -> None:
        self._limit = time_limit
        self._memory = memory
        given = results if hasattr(results, "column_names") else Path(results)
        target = Target(
            "fastin.screening.query:worker", {"results": given, "memory": memory}, 2, memory, time_limit, attempts=1
        )
        self._pool: Pool[Question] = Pool(target, 1, keep=True)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, question: Question) -> Any:
        """A `pyarrow.Table`.

        Raises:
            InputError: see `top`.
        """
        with self._lock:
            found = [answer for answer in self._pool.answers(iter([question])) if answer is not None]
        answer = found[0][1]
        if not isinstance(answer, Failure):
            return answer
        if answer.kind == "TimeoutError":
            raise InputError(f"the condition took longer than {self._limit:g} s")
        if answer.kind == "MemoryError":
            raise InputError(f"the condition needs more memory than the {self._memory / 2**30:.3g} GiB of a query")
        if answer.kind == "WorkerDied":
            raise InputError(f"the condition cannot be evaluated: {answer.message}")
        raise answer.error("")

    def kill(self) -> None:
        """Ends the question at work, from any thread."""
        self._pool.kill()

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._pool.close()


def top(
    results: str | os.PathLike[str] | Any,
    by: str,
    *,
    where: str | None = None,
    limit: int = 20,
    descending: bool = False,
    columns: list[str] | None = None,
    severe: bool = False,
    time_limit: float = TIME_LIMIT,
    memory: int = MEMORY,
) -> Any:
    """The best rows of a results table.

    Args:
        results: path of a finished or running screening, or a `pyarrow.Table`.
        by: column to sort by; rows without a finite value there are left out.
        where: SQL condition on the columns, e.g. ``"barrier_3d_network_eV < 0.4 AND channel_dimensionality = 3"``; it
            runs in a process of its own, which is killed when it exceeds its limits.
        limit: number of rows.
        descending: largest first.
        columns: columns to show; by default the identity, `by`, and those that the barriers and the network fill.
        severe: show rows with severe warnings too (`fastin.crystal.warnings`); else they are left out.
        time_limit: seconds for the query.
        memory: bytes for the query.

    Returns:
        A `pyarrow.Table`; `left_out` says how many rows it lacks for their warnings.

    Raises:
        InputError: no such column, or a condition that is no single SQL expression, reaches outside the table or
            exceeds its limits.
    """
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    question = Question(by, where, limit, descending, tuple(columns) if columns else None, severe)
    if not where or not where.strip():
        table: Any = results if hasattr(results, "column_names") else read_results(results)
        return _answer(table, question, memory)
    if not hasattr(results, "column_names"):
        check_results(results)
    with Questions(results, time_limit=time_limit, memory=memory) as questions:
        return questions.ask(question)


def _default_columns(table: Any, by: str) -> list[str]:
    barriers = [present_name(f"barrier_{d}d_network_eV", table.column_names) for d in (1, 2, 3)]
    names = (*DEFAULT_COLUMNS, by, *barriers, "channel_dimensionality", WARNINGS)
    return list(dict.fromkeys(name for name in names if name is not None and name in table.column_names))


def _views(table: Any) -> str:
    """Former names of the columns (and today's, in an older table) as further columns of the table in SQL."""
    known = {name: present_name(name, table.column_names) for pair in FORMER_NAMES.items() for name in pair}
    return "".join(
        f", {_quoted(column)} AS {_quoted(name)}" for name, column in known.items() if column not in (None, name)
    )
