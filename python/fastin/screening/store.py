"""The results on disk: Parquet parts that appear whole or not at all, and what is needed to go on after a kill.

While a screening runs, its rows live in a folder of parts: ``<out>.parts`` beside ``<out>.parquet``, or ``<out>``
itself when that is a folder. Every part is written under a temporary name, fsynced and renamed, so that a kill at any
moment leaves whole parts only. A row is identified by its record's key (name and content); the same key in two parts
(a kill inside a compaction, a repeated computation) counts once, the later part wins. ``manifest.json`` says which
version and options the rows belong to; the finished table carries the same in its metadata.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from fastin.errors import FastinError, InputError, missing_extra
from fastin.runtime.files import refuse_special

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:  # pragma: no cover - depends on the installation
    raise missing_extra("pyarrow", "screen") from error

from fastin.screening.facts import columns_of, differences, joined
from fastin.screening.integrity import (
    numbers,
    parquet_bytes,
    read_groups,
    read_table,
    regrouped,
    release,
    sealed,
    table_of,
    unsealed,
    write_groups,
)
from fastin.screening.keys import Coded, KeyMap, KeySet
from fastin.screening.rows import TASKS, conform, folded, tasks_of
from fastin.screening.sorting import Stretches, plan

Resume = bool | Literal["recompute"]

KEY = "record_key"
SECONDS = "seconds"
_MANIFEST = "manifest.json"
METADATA = b"fastin"
_PARTS = ".parts"  # x.parquet grows as parts in x.parquet.parts
_OTHER_TABLES = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".xlsx", ".html", ".pq", ".feather", ".db"})
_PART = re.compile(r"part-(\d{9})\.parquet$")
_COMPACT_AT = 64
_ARROW = {
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "list": pa.list_(pa.string()),
}


class StoreError(FastinError, OSError):
    """The results cannot be written or read back: no permission, disk full, damaged part, other run active."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


def make_schema(columns: Iterable[tuple[str, str]]) -> pa.Schema:
    """The Arrow schema of the parts: id, source, tasks computed, their columns, the warnings, the error...."""
    fields = [("id", "string"), ("source", "string"), (TASKS, "string"), *columns]
    fields += [("warnings", "list"), ("failed_tasks", "string"), ("error_type", "string"), ("error_message", "string")]
    fields += [(SECONDS, "float"), (KEY, "int")]
    return pa.schema([(name, _ARROW[kind]) for name, kind in fields])


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _explain(error: OSError, path: Path) -> StoreError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "free some space and run the same command again: the rows written so far are kept"
    else:
        advice = "choose an output that can be written"
    return StoreError(error.errno, f"cannot write {path}: {reason}; {advice}")


class Store:
    """Rows of one screening on disk.

    Args:
        out: ``*.parquet`` (one file at the end) or a folder (parts).
        schema: from `make_schema`.
        manifest: JSON-able facts that every row depends on (version, tasks, options).
        resume: True continues and refuses a store of other facts; "recompute" starts such a store over; False starts
            any over.

    Raises:
        StoreError: not writable, or another process writes there.
        InputError: the rows that are there belong to another version or options, or are not fastin's.
    """

    def __init__(
        self, out: str | os.PathLike[str], schema: pa.Schema, manifest: dict[str, Any], resume: Resume
    ) -> None:
        self.out = Path(out)
        self.schema = schema
        self.final = self.out if self.out.suffix == ".parquet" else None
        self.folder = self.out.with_name(self.out.name + _PARTS) if self.final is not None else self.out
        if self.out.suffix.lower() in _OTHER_TABLES:
            raise InputError(f"{self.out}: the output is a .parquet file or a folder; `fastin top --csv` gives text")
        try:
            str(self.out).encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{str(self.out)!r}: the output's name must be unicode") from error
        self._manifest = json.loads(json.dumps(manifest))
        self._rows: list[dict[str, Any]] = []
        self._next = 1
        self._small: list[Path] = []
        self._lock: int | None = None
        self._use_final = False
        self.others = self.dropped = self.replaced = self.failed = 0
        try:
            if self.final is not None and self.final.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._open(resume)
        except (LookupError, TypeError, AttributeError) as error:
            self.close()
            text = f"{self.folder / _MANIFEST} is damaged ({error!r}); remove {self.folder} to start over"
            raise StoreError(errno.EIO, text) from error
        except OSError as error:
            self.close()
            raise error if isinstance(error, FastinError) else _explain(error, self.out) from error
        except FastinError:
            self.close()
            raise

    # ---- opening

    def _take_lock(self) -> None:
        self._lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(error.errno, f"{self.out}: another screening is writing there") from error
        except OSError:
            return  # a file system without locks

    def _open(self, resume: Resume) -> None:
        for leftover in self.folder.glob(".tmp-*"):
            leftover.unlink()
        manifest_path = self.folder / _MANIFEST
        here = self._read_manifest(manifest_path)
        if here is None and self._part_paths():
            raise InputError(
                f"{self.folder}: parts without {_MANIFEST}: not a folder that fastin wrote; choose another"
            )
        if not self._part_paths():
            here = None  # a run that ended before its first row binds nobody to its options
        finished = self._finished_manifest()
        for place, old in ((self.folder, here), (self.final, finished if here is None else None)):
            if old is not None and resume is True and (text := differences(old, self._manifest)):
                raise InputError(
                    f"{place} holds rows of another screening ({text}); use the same options, another output, "
                    "or resume='recompute' (--recompute) to compute every row again"
                )
        if resume is False or (here is not None and differences(here, self._manifest)):
            for _, path in self._part_paths():
                path.unlink()
        self._use_final = finished is not None and resume is not False and not differences(finished, self._manifest)
        if resume is False or (here is not None and differences(here, self._manifest)):
            here = None
        given = self._manifest
        for old in (finished if self._use_final else None, here):
            self._manifest = joined(old, self._manifest) if old is not None else self._manifest
        columns = columns_of(self._manifest)
        if columns is not None and self._manifest != given:
            self.schema = make_schema(columns)
        if here is None or self._manifest != {k: v for k, v in here.items() if k != "created"}:
            created = {"created": datetime.now(UTC).isoformat(timespec="seconds")}
            text = json.dumps(sealed(self._manifest | created), indent=1, ensure_ascii=False)
            _write_atomically(manifest_path, lambda stream: stream.write(text.encode()))
        parts = self._part_paths()
        self._next = parts[-1][0] + 1 if parts else 1
        self._small = [path for _, path in parts]

    def _read_manifest(self, path: Path) -> dict[str, Any] | None:
        try:
            return unsealed(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            text = f"{path} is damaged ({_line(error)}); remove {self.folder} to start over"
            raise StoreError(errno.EIO, text) from error

    def _finished_manifest(self) -> dict[str, Any] | None:
        """What the finished table says about itself; refuses to ever replace a file that is not a results table."""
        if self.final is None or not self.final.exists():
            return None
        try:
            metadata = pq.read_schema(self.final).metadata or {}
            return unsealed(metadata[METADATA])
        except (pa.ArrowException, LookupError, ValueError, RecursionError, MemoryError) as error:
            text = f"{self.final} exists and is not a table that fastin wrote, or a damaged one; choose another"
            raise InputError(text) from error

    def _part_paths(self) -> list[tuple[int, Path]]:
        found = [(int(match[1]), path) for path in self.folder.iterdir() if (match := _PART.match(path.name))]
        return sorted(found)

    def done(self, *, retry_errors: bool = False, tasks: Sequence[str] = ()) -> KeySet:
        """Keys of the rows that are there with all `tasks`; without those that hold an error when `retry_errors`."""
        return self.known(tasks, retry_errors=retry_errors)[0]

    def lacking(self, tasks: Sequence[str]) -> KeyMap:
        """What of `tasks` rows without an error that are there lack, by key."""
        return self.known(tasks)[1]

    def known(self, tasks: Sequence[str] = (), *, retry_errors: bool = False) -> tuple[KeySet, KeyMap]:
        """`done` and `lacking`, in one pass over the rows."""
        wanted = frozenset(tasks)
        keys, codes, values = self._held()
        good = np.array([wanted <= held and not (failed and retry_errors) for held, failed in values], bool)
        missing = [() if failed else tuple(task for task in tasks if task not in held) for held, failed in values]
        some = np.array([bool(names) for names in missing], bool)
        done = KeySet(keys if good.all() else keys[good[codes]])
        lack = KeyMap(keys[some[codes]], codes[some[codes]], missing)
        del keys, codes
        release(all_of_it=True)
        return done, lack

    def _held(self) -> tuple[Any, Any, list[tuple[frozenset[str], bool]]]:
        """Sorted keys, the code of each, and by code the tasks that a row holds and whether there is an error."""
        names = pa.schema([self.schema.field(name) for name in (KEY, "error_type", TASKS)])
        seen, everything = Coded(), self._manifest.get("tasks", ())
        keys, codes = array("q"), array("h")
        for table in self._groups(names):
            pairs = zip(table[TASKS].to_pylist(), table["error_type"].is_valid().to_pylist(), strict=True)
            keys.frombytes(numbers(table[KEY]).tobytes())
            codes.extend(seen.code(pair) for pair in pairs)
        release(all_of_it=True)
        if not keys:
            return np.empty(0, np.int64), np.empty(0, np.int16), []
        rows, code = np.frombuffer(keys, np.int64), np.frombuffer(codes, np.int16)
        order = np.argsort(rows, kind="stable")
        rows, code = rows[order], code[order]
        del order, keys, codes
        found = Coded()
        alone = [found.code((tasks_of(text, everything), failed)) for text, failed in seen.values]
        again = rows[1:] == rows[:-1]
        result = np.array(alone, np.int16)[code]
        if not again.any():
            return rows, result, found.values
        starts = np.flatnonzero(np.concatenate([[True], ~again]))
        ends = np.append(starts[1:], len(rows))
        merged = result[starts]
        for group in np.flatnonzero(ends - starts > 1):
            earlier, before = frozenset[str](), False
            for number in code[starts[group] : ends[group]]:
                held, failed = found.values[alone[number]]
                earlier, before = earlier | held, failed or (before and not earlier <= held)
            merged[group] = found.code((earlier, before))
        return rows[starts], merged, found.values

    def _sources(self) -> list[Path]:
        finished = [self.final] if self._use_final and self.final is not None else []
        return finished + [path for _, path in self._part_paths()]

    def _groups(self, schema: pa.Schema, paths: Sequence[Path] | None = None) -> Iterator[pa.Table]:
        """The rows of the parts (of all), with these columns, in order of writing, a row group at a time."""
        for path in self._sources() if paths is None else paths:
            try:
                for table in read_groups(path):
                    if KEY not in table.column_names:
                        raise ValueError(f"it does not hold {KEY}")
                    yield conform(table, schema)
            except (ValueError, OSError) as error:
                message = f"{path} is damaged ({_line(error)}); delete it, its rows will be computed again"
                raise StoreError(errno.EIO, message) from error
            release()

    # ---- writing

    def add(self, row: dict[str, Any]) -> None:
        """Keeps a row in memory until the next `flush`."""
        self._rows.append(row)

    @property
    def pending(self) -> int:
        """Rows in memory."""
        return len(self._rows)

    def flush(self) -> None:
        """Writes the rows in memory as one part; after the return they survive anything but the disk."""
        if not self._rows:
            return
        data = parquet_bytes(table_of(self._rows, self.schema))
        self._small.append(self._write(lambda stream: stream.write(data)))
        self._rows.clear()
        if len(self._small) >= _COMPACT_AT:
            self._compact()

    def _write(self, write: Callable[[IO[bytes]], object]) -> Path:
        path = self.folder / f"part-{self._next:09d}.parquet"
        try:
            _write_atomically(path, write)
        except OSError as error:
            raise error if isinstance(error, FastinError) else _explain(error, path) from error
        self._next += 1
        return path

    def _compact(self) -> None:
        """Merges small parts into one, so that long runs do not leave a hundred thousand files."""
        small = list(self._small)
        self._write(
            lambda stream: write_groups(stream, lambda: regrouped(self._groups(self.schema, small)), self.schema)
        )
        for path in small:
            path.unlink()
        self._small = []

    def finish(self, order: Iterable[int], *, prune: bool = False) -> Path:
        """Writes the table: the rows of `order` in that order, then those of earlier inputs; removes the parts.

        A row of an earlier input whose name and source are those of a row of `order` is that structure's old content
        and goes. The counts are in `others` (rows of earlier inputs), `dropped`, `replaced` and `failed` (in `order`).
        The finished ``.parquet`` holds no times and no run-dependent fact, so that an interrupted and an uninterrupted
        screening of the same records give the same bytes. Memory: about sixty bytes a row and a few row groups.

        Args:
            order: keys of this input.
            prune: leaves out the rows of earlier inputs.
        """
        self.flush()
        columns = self.schema if self.final is None else self.schema.remove(self.schema.get_field_index(SECONDS))
        names = pa.schema([columns.field(name) for name in (KEY, "id", "source")])
        keys = np.fromiter(order, np.int64) if not isinstance(order, array) else np.frombuffer(order, np.int64)
        try:
            found = plan(lambda: self._groups(names), KEY, keys, prune)
        except KeyError:
            text = f"{self.folder}: rows that were written are gone; run the same command again"
            raise StoreError(errno.EIO, text) from None
        release(all_of_it=True)
        self.others, self.dropped, self.replaced = found.others, found.dropped, found.replaced
        superseded = [path for _, path in self._part_paths()]
        per_task = {name: [c[0] for c in task["columns"]] for name, task in self._manifest.get("per_task", {}).items()}
        fold = (per_task, self._manifest.get("tasks", ()))
        stretches = Stretches(self.folder, found.keys, columns, KEY, fold)

        def counted() -> Iterator[pa.Table]:
            self.failed, left = 0, found.mine
            for table in stretches.tables():
                mine = table["error_type"].slice(0, left)
                self.failed += len(mine) - mine.null_count
                left -= len(mine)
                yield table
                del table, mine  # before the next is made

        try:
            for table in self._groups(columns):
                stretches.take(table)
            release(all_of_it=True)
            if self.final is not None:
                self._replace_final(counted, columns)
            elif found.whole and len(superseded) == 1:  # the one part is the table
                deque(counted(), 0)
                return self.folder
            else:
                self._write(lambda stream: write_groups(stream, counted, columns))
        except OSError as error:
            raise error if isinstance(error, FastinError) else _explain(error, self.folder) from error
        finally:
            stretches.close()
        for path in superseded:
            path.unlink()
        if self.final is None:
            return self.folder
        for path in (self.folder / _MANIFEST, self.folder / ".lock"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a file of the user's keeps the folder
            self.folder.rmdir()
        return self.final

    def _replace_final(self, groups: Callable[[], Iterator[pa.Table]], columns: pa.Schema) -> None:
        """Writes the finished table, whole or not at all."""
        facts = json.dumps(sealed(self._manifest), sort_keys=True, ensure_ascii=False).encode()
        schema = columns.with_metadata({METADATA: facts})
        assert self.final is not None
        try:
            _write_atomically(self.final, lambda stream: write_groups(stream, groups, schema))
        except OSError as error:
            raise error if isinstance(error, FastinError) else _explain(error, self.final) from error

    def close(self) -> None:
        """Releases the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def read_results(path: str | os.PathLike[str]) -> pa.Table:
    """The table of a finished or a running screening.

    Args:
        path: a ``.parquet`` file, also one that is not finished yet (its parts are read), or a folder of parts.

    Raises:
        InputError: nothing there, or no table that can be read.
    """
    place, parts = _locate(path)
    if parts:
        tables = [_read_file(part) for part in parts]
        if not all(KEY in table.column_names for table in tables):
            raise InputError(f"{place}: not results that fastin wrote")
        manifest = _manifest_of(place)
        per_task = {name: [c[0] for c in task["columns"]] for name, task in manifest.get("per_task", {}).items()}
        schema = pa.unify_schemas([table.schema for table in tables])
        whole = pa.concat_tables([conform(table, schema) for table in tables])
        return folded(whole, KEY, per_task, manifest.get("tasks", ()))[0]
    return _read_file(place)


def _manifest_of(folder: Path) -> dict[str, Any]:
    try:
        return unsealed((folder / _MANIFEST).read_bytes())
    except OSError:
        return {}
    except (ValueError, RecursionError) as error:
        raise InputError(f"{folder / _MANIFEST} is damaged ({_line(error)})") from error


def check_results(path: str | os.PathLike[str]) -> None:
    """Raises the InputError of `read_results` where that is cheap to know: nothing there, or no Parquet file."""
    place, parts = _locate(path)
    try:
        pq.read_schema(parts[0] if parts else place)
    except (pa.ArrowException, ValueError, OSError, MemoryError) as error:
        raise InputError(f"{place}: not a Parquet file ({_line(error)})") from error


def _locate(path: str | os.PathLike[str]) -> tuple[Path, list[Path]]:
    """The file, or the folder and its parts (of ``x.parquet`` too, as long as only ``x.parquet.parts`` exists)."""
    place = Path(path)
    if not place.exists() and place.suffix == ".parquet":
        unfinished = place.with_name(place.name + _PARTS)
        place = unfinished if unfinished.is_dir() else place
    if place.is_dir():
        parts = sorted(p for p in place.iterdir() if _PART.match(p.name))
        if not parts:
            raise InputError(f"{place}: holds no results")
        return place, parts
    refuse_special(place)
    if not place.is_file():
        raise InputError(f"{place}: does not exist")
    return place, []


def _read_file(path: Path) -> pa.Table:
    try:
        return read_table(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a Parquet file, or a damaged one ({_line(error)})") from error


def _line(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
