"""What is computed for each structure: named tasks, each with the columns that it fills.

A task is a function of one `Job` (a crystal with its network, barriers... computed once and shared) that returns a flat
dictionary of scalars. The columns are declared, so that every part of the results has the same schema. A user's own
task is named ``package.module:function``; the function takes a `Job` and carries its columns as an attribute,
``function.columns = {"name": "float"}`` (float, int, bool or string).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

from fastin.crystal.warnings import codes_of, refuse_severe
from fastin.errors import FastinError, InputError, missing_extra
from fastin.runtime.memory import memory_limit
from fastin.runtime.worker import out_of_memory
from fastin.screening.catalogue import TASKS
from fastin.screening.job import Job, PartialError, Scalar, Task, load_crystal

_KINDS = frozenset({"float", "int", "bool", "string"})
DEFAULT_TASKS = ("network", "barriers", "descriptors")


def task_names() -> tuple[str, ...]:
    """Names of fastin's own tasks."""
    return tuple(TASKS)


def _custom(name: str) -> Task:
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"task {name!r}: {error}") from error
    columns = getattr(function, "columns", None)
    if not isinstance(columns, Mapping) or not columns or not set(columns.values()) <= _KINDS:
        raise InputError(f"task {name!r}: the function needs columns = {{name: 'float' | 'int' | 'bool' | 'string'}}")
    return Task(name, tuple(columns.items()), function, options=None)


def resolve_tasks(names: tuple[str, ...] | list[str]) -> list[Task]:
    """The tasks by name, "crystal" always first.

    Raises:
        InputError: an unknown task, one named twice, or two tasks that fill the same column.
        MissingDependencyError: an optional library that a task needs is not installed.
    """
    tasks: list[Task] = []
    for name in dict.fromkeys(("crystal", *names)):
        if name in TASKS:
            task = TASKS[name]()
        elif ":" in name:
            task = _custom(name)
        else:
            raise InputError(f"unknown task {name!r}; choose from {', '.join(TASKS)}, or package.module:function")
        for module, extra in task.needs:
            if find_spec(module) is None:
                raise missing_extra(module, extra)
        tasks.append(task)
    owner: dict[str, str] = {}
    for task in tasks:
        for column, _ in task.columns:
            if column in owner:
                raise InputError(f"tasks {owner[column]!r} and {task.name!r} both fill the column {column!r}")
            owner[column] = task.name
    return tasks


def check_options(tasks: list[Task], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Refuses options that no task takes or that cannot work.

    Returns:
        For each task what its columns depend on: their names and kinds, its options, other facts (a model's digest).

    Raises:
        InputError: names the options that exist.
    """
    facts: dict[str, dict[str, Any]] = {}
    for task in tasks:
        taken = {k: v for k, v in options.items() if task.options is None or k in task.options}
        found = {} if task.check is None else task.check(options)
        facts[task.name] = {"columns": [list(column) for column in task.columns], "options": taken, "facts": found}
    if any(task.options is None for task in tasks):
        return facts
    known = frozenset[str]().union(*(task.options or frozenset() for task in tasks))
    unknown = sorted(set(options) - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise InputError(f"no task takes the option {', '.join(unknown)}; there are: {names}")
    return facts


def _clean(value: Any, kind: str) -> Scalar:
    """A plain Python value of the column's kind; NaN becomes null, infinities stay."""
    if value is None:
        return None
    if kind == "float":
        number = float(value)
        return None if number != number else number
    if kind == "string":
        return str(value).encode("utf-8", "replace").decode()
    return bool(value) if kind == "bool" else int(value)


def run_tasks(tasks: list[Task], load: Callable[[], Job]) -> dict[str, Scalar]:
    """Every task on one structure; a task that fails leaves its columns null and the others run.

    Returns:
        Values by column, with ``failed_tasks``, ``error_type`` and ``error_message`` (of the first) if any failed.
    """
    row: dict[str, Scalar] = {}
    failures: list[tuple[str, Exception]] = []
    try:
        job = load()
    except Exception as error:  # whatever a structure does to the code, it is that structure's row
        return _failure_columns([("read", error)])
    job.paths_wanted = bool(job.options.get("paths", False)) and any(task.name == "descriptors" for task in tasks)
    for task in tasks:
        kinds = dict(task.columns)
        try:
            try:
                values = task.run(job)
            except PartialError as error:
                values = error.values
                failures.append((task.name, error.cause))
            row.update({name: _clean(value, kinds[name]) for name, value in values.items()})
        except Exception as error:  # whatever the structure does to the task, it is that structure's row
            failures.append((task.name, error))
    codes = {"warnings": list(codes_of(job.warnings))}
    return row | codes | _failure_columns(failures)


def _failure_columns(failures: list[tuple[str, Exception]]) -> dict[str, Scalar]:
    if not failures:
        return {}
    error = failures[0][1]
    if isinstance(error, MemoryError) and not isinstance(error, FastinError):
        lost = out_of_memory(memory_limit())
        error = MemoryError(lost.message)
    return {
        "failed_tasks": ",".join(name for name, _ in failures),
        "error_type": type(error).__name__,
        "error_message": _clean(str(error)[:2000] or type(error).__name__, "string"),
    }


def job_loader(
    record: tuple[str, str, str, bytes], ion: str | None, options: Mapping[str, Any], threads: int
) -> Callable[[], Job]:
    """A function that reads the record (uid, source, kind, payload) into a `Job`."""
    return partial(_load, record, ion, options, threads)


def _load(record: tuple[str, str, str, bytes], ion: str | None, options: Mapping[str, Any], threads: int) -> Job:
    crystal = load_crystal(record)
    refuse_severe(crystal.source, crystal.warnings, bool(options.get("strict", False)))
    return Job(crystal, ion, options, threads)
