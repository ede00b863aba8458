"""`fastin.screen`: many structures into one table, one row a structure, resumable."""

from __future__ import annotations

import logging
import os
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, Protocol

import fastin
from fastin.crystal.ions import IonName
from fastin.crystal.mobile import ion_name
from fastin.errors import InputError
from fastin.runtime.arguments import checked_arguments
from fastin.runtime.memory import parse_memory, share_of_memory
from fastin.runtime.threads import get_num_threads, resolve_threads
from fastin.screening import inputs
from fastin.screening.engine import Row, Supervisor
from fastin.screening.inputs import Record
from fastin.screening.rows import TASKS
from fastin.screening.store import KEY, Resume, Store, make_schema, read_results
from fastin.screening.tasks import DEFAULT_TASKS, check_options, resolve_tasks

log = logging.getLogger("fastin.screening")

FLUSH_SECONDS = 2.0
_FLUSH_ROWS = 2000
_PROGRESS_SECONDS = 0.2


class Engine(Protocol):
    """What computes the rows: the local supervisor or Dask."""

    def rows(self, records: Iterator[Record], tick: float = 0.5) -> Iterator[tuple[Record, Row] | None]:
        """Each record with its row as it completes; None regularly in between."""
        ...


@dataclass
class Progress:
    """How far a screening is.

    Attributes:
        total: number of records, None while unknown.
        resumed: rows that were there already.
        computed: rows computed now, errors included.
        failed: those of them that hold an error.
        seconds: since the start.
        last_error: ``name: type: message`` of the latest error row.
    """

    total: int | None = None
    resumed: int = 0
    computed: int = 0
    failed: int = 0
    seconds: float = 0.0
    last_error: str = ""

    @property
    def rate(self) -> float:
        """Structures a second of this run."""
        return self.computed / self.seconds if self.seconds > 0 else 0.0


_HEAD = ("id", "formula", "ion", "space_group", *(f"barrier_{d}d_network_eV" for d in (1, 2, 3)), "error_type")


def _short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class ScreenResult:
    """What a screening left.

    Attributes:
        path: the ``.parquet`` file or the folder of parts.
        total: rows, one for each record of the input.
        failed: rows that hold an error.
        computed: rows computed by this call; the others were there.
        renamed: records whose name was taken already (their id carries ``#2``, ``#3``...).
        seconds: wall time of this call.
        others: rows of earlier inputs that the table holds besides.
        dropped: rows of earlier inputs that `prune` left out.
        replaced: rows of structures of this input whose content has changed since.
    """

    path: Path
    total: int
    failed: int
    computed: int
    renamed: int
    seconds: float
    others: int = 0
    dropped: int = 0
    replaced: int = 0
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ok(self) -> int:
        """Rows without an error."""
        return self.total - self.failed

    @property
    def table(self) -> Any:
        """The rows as a `pyarrow.Table`: this input's in its order, then those of earlier inputs."""
        if "table" not in self._cache:
            self._cache["table"] = read_results(self.path)
        return self._cache["table"]

    def to_dataframe(self) -> Any:
        """The rows as a `pandas.DataFrame`; integers stay integers where some are missing (``Int64``)."""
        import pandas as pd
        import pyarrow as pa

        return self.table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)

    def _repr_html_(self) -> str:
        """Counts and the first rows, for notebooks."""
        head = self.table.slice(0, 8)
        names = [name for name in _HEAD if name in head.column_names]
        header = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(_short(row[name]))}</td>" for name in names) + "</tr>"
            for row in head.select(names).to_pylist()
        )
        text = f"{escape(str(self.path))}: {self.total} rows, {self.ok} ok, {self.failed} with an error"
        return f"<p>{text}</p><table><tr>{header}</tr>{rows}</table>"


class _Stream:
    """The records still to compute; counts and orders the others on the way."""

    def __init__(
        self, sources: Any, done: Set[int], progress: Progress, lacking: Mapping[int, tuple[str, ...]] | None = None
    ) -> None:
        self.order = array("q")
        self.renamed = 0
        self._sources = sources
        self._done = done
        self._lacking = lacking or {}
        self._progress = progress

    def __iter__(self) -> Iterator[Record]:
        for record in inputs.records(self._sources):
            self.order.append(record.key)
            self.renamed += record.renamed
            if record.key in self._done:
                self._progress.resumed += 1
            elif record.key in self._lacking:
                yield replace(record, tasks=self._lacking[record.key])
            else:
                yield record


def _engine(
    config: dict[str, Any],
    workers: int | None,
    records: int | None,
    scheduler: Any,
    time_limit: float,
    memory: int | str | None,
    stack: ExitStack,
    log_file: Any,
) -> Engine:
    if scheduler is not None:
        config["memory"] = None if memory is None else parse_memory(memory)  # of each process there
        from fastin.screening.dask_engine import DaskEngine

        engine: Engine = stack.enter_context(DaskEngine(config, scheduler, time_limit))
        return engine
    cores = get_num_threads()
    count = cores if workers is None else workers
    if count < 1:
        raise InputError(f"workers must be at least 1, not {count}")
    count = resolve_threads(count)  # more processes than processors only share the memory out
    count = min(count, max(1, records or count))  # a process for each of a few records, and no more
    config["threads"] = max(1, cores // count)
    config["memory"] = share_of_memory(count, memory)
    if log_file is None:
        return Supervisor(config, count, time_limit)
    return Supervisor(config, count, time_limit, stack.enter_context(open(log_file, "ab")))  # noqa: PTH123


def _described(sources: Any) -> list[str]:
    if isinstance(sources, list) and all(isinstance(item, Path) for item in sources):
        return [str(path) for path in sources[:20]]
    return [type(sources).__name__]


def _planned(
    tasks: Iterable[str], ion: IonName | None, options: Mapping[str, Any]
) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """What the engine needs, the schema of the rows, and the facts that they depend on."""
    resolved = resolve_tasks([tasks] if isinstance(tasks, str) else list(tasks))
    facts = check_options(resolved, options)
    given, named = [task.name for task in resolved], ion_name(ion)
    config = {"tasks": given, "ion": named, "options": dict(options), "threads": 1}
    manifest = {"fastin": fastin.__version__, "tasks": given, "ion": named, "per_task": facts}
    return config, make_schema(column for task in resolved for column in task.columns), manifest


@checked_arguments
def screen(
    sources: Any,
    out: str | os.PathLike[str],
    *,
    ion: IonName | None = None,
    tasks: Iterable[str] = DEFAULT_TASKS,
    workers: int | None = None,
    scheduler: Any = None,
    resume: Resume = True,
    options: Mapping[str, Any] | None = None,
    time_limit: float = 300.0,
    memory: int | str | None = None,
    retry_errors: bool = False,
    prune: bool = False,
    progress: Callable[[Progress], None] | None = None,
    worker_log: str | os.PathLike[str] | None = None,
) -> ScreenResult:
    """Computes the tasks for every structure and streams one row a structure to Parquet.

    An error of any kind is a row too (``failed_tasks``, ``error_type``, ``error_message``). The call can be killed at
    any moment: the same call again continues where it was, with the last seconds lost and nothing twice. Another input
    adds its rows to the table; other tasks add their columns, and only what is missing is computed.

    Args:
        sources: path, folder, glob, .zip, .tar[.gz|.bz2|.xz], .jsonl[.gz] with a ``cif`` (and ``id``) field, a list of
            these, or any iterable of structures or ``(id, structure)``.
        out: ``*.parquet`` for one table in input order, else a folder of Parquet parts.
        ion: mobile ion; None takes the default of each structure.
        tasks: names of `fastin.screening.task_names`, or ``package.module:function``.
        workers: processes on this machine; None means one a core, with one thread each. Never more than records.
        scheduler: a Dask scheduler's address or a `dask.distributed.Client`; the rows are gathered here by chunks.
        resume: True continues, and refuses rows of another version or other options; "recompute" computes those
            again; False starts over.
        options: keyword options of the tasks, e.g. ``{"resolution": 0.3}``.
        time_limit: seconds for one structure; it is stopped after that and its row says TimeoutError.
        memory: for all processes on this machine together (bytes, or a text such as ``"8GB"``), each has its share;
            None takes three quarters of what is free. A structure that needs more has a row that says so. On Dask: for
            each process, None without a limit.
        retry_errors: computes rows again that hold an error.
        prune: leaves rows of earlier inputs out of the table; else it holds both (a union).
        progress: called a few times a second.
        worker_log: file that receives what the worker processes print.

    Returns:
        Path, counts and (read at first use) the table.

    Raises:
        InputError: no such input, an unknown task, a store of other options.
        MissingDependencyError: a task needs an extra that is not installed.
        StoreError: the output cannot be written (the rows so far are kept).
    """
    start = time.monotonic()
    if resume not in (True, False, "recompute"):
        raise InputError(f"resume must be True, False or 'recompute', not {resume!r}")
    if not time_limit > 0:  # NaN too
        raise InputError(f"time_limit must be positive, not {time_limit}")
    expanded = inputs.expand(sources)
    config, schema, manifest = _planned(tasks, ion, options or {})
    given = config["tasks"]
    if memory is not None:
        parse_memory(memory)
    state = Progress(total=inputs.count(expanded))
    store = Store(out, schema, manifest, resume)
    with ExitStack() as stack:
        stack.callback(store.close)
        done, lacking = store.known(given, retry_errors=retry_errors)
        stream = _Stream(expanded, done, state, lacking)
        engine = _engine(config, workers, state.total, scheduler, time_limit, memory, stack, worker_log)
        try:
            _collect(engine, stream, store, state, progress, start, given)
        finally:
            store.flush()  # whatever ends the run, the rows that are here are kept
        order, renamed = stream.order, stream.renamed
        del stream, done, lacking  # before the table is made
        state.total = len(order)
        path = store.finish(order, prune=prune)
    if renamed:
        log.warning("%d structures share a name with an earlier one; their ids end in #2, #3...", renamed)
    counts = (store.others, store.dropped, store.replaced)
    return ScreenResult(path, len(order), store.failed, state.computed, renamed, time.monotonic() - start, *counts)


def _collect(
    engine: Engine,
    stream: _Stream,
    store: Store,
    state: Progress,
    progress: Callable[[Progress], None] | None,
    start: float,
    tasks: Sequence[str],
) -> None:
    flushed = reported = time.monotonic()
    rows = engine.rows(iter(stream))
    try:
        for answer in rows:
            if answer is not None:
                record, row = answer
                held = ",".join(record.tasks or tasks)
                store.add({"id": record.uid, "source": record.source, TASKS: held, KEY: record.key, **row})
                state.computed += 1
                if row.get("error_type"):
                    state.failed += 1
                    state.last_error = f"{record.uid}: {row['error_type']}: {row['error_message']}"
            now = time.monotonic()
            state.seconds = now - start
            if now - flushed >= FLUSH_SECONDS or store.pending >= _FLUSH_ROWS:
                store.flush()
                flushed = time.monotonic()
            if progress is not None and now - reported >= _PROGRESS_SECONDS:
                progress(state)
                reported = now
    finally:
        if hasattr(rows, "close"):
            rows.close()  # ends the workers now, not when the generator is collected
    if progress is not None:
        progress(state)
