"""The rows of many parts in the order of the finished table, in memory that does not grow with the rows.

Two passes: the keys alone say where each row belongs (a few integers a row); then the rows go, part after part, into
one file of raw rows for each stretch of the table, and each stretch is brought into order by itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastin.screening import integrity
from fastin.screening.keys import digest64
from fastin.screening.rows import folded

Groups = Callable[[], Iterator[pa.Table]]  # the rows in order of writing, by stretches
_Keys = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """Which rows the table holds.

    Attributes:
        keys: of its rows, in order: those of this input, then those of earlier ones.
        mine: how many are of this input.
        others: rows of earlier inputs that stay; `dropped` and `replaced`: that do not.
        whole: the rows that are written are these, in this order, each key once.
    """

    keys: _Keys
    mine: int
    others: int
    dropped: int
    replaced: int
    whole: bool


def plan(groups: Groups, key: str, order: _Keys, prune: bool) -> Plan:
    """The keys of the finished table.

    Args:
        groups: the rows, in order of writing; their ``id`` and ``source`` are read only where there are earlier inputs.
        key: the column that identifies a record.
        order: keys of this input.
        prune: leaves out the rows of earlier inputs.

    Raises:
        KeyError: a key of `order` is not there.
    """
    distinct, whole = _distinct(groups, key, order)
    wanted = np.sort(order)
    if len(wanted) and (wanted[1:] == wanted[:-1]).any():
        wanted = np.unique(wanted)
    if np.array_equal(distinct, wanted):
        return Plan(order, len(order), 0, 0, 0, whole)
    found = np.searchsorted(distinct, wanted)
    if len(wanted) and (not len(distinct) or (distinct[np.minimum(found, len(distinct) - 1)] != wanted).any()):
        raise KeyError("rows are missing")
    rest = np.ones(len(distinct), bool)
    rest[found] = False
    earlier = _first_to_last(groups, key, distinct[rest])
    kept = earlier[_still(groups, key, earlier, wanted)]
    replaced = len(earlier) - len(kept)
    others, dropped = (0, len(kept)) if prune else (len(kept), 0)
    keys = np.concatenate([order, kept[:others]])
    return Plan(keys, len(order), others, dropped, replaced, False)


def _distinct(groups: Groups, key: str, order: _Keys) -> tuple[_Keys, bool]:
    """The sorted keys of the rows, each once; and whether the rows are those of `order`, in that order, each once."""
    written: array[int] = array("q")
    for table in groups():
        written.frombytes(integrity.numbers(table[key]).tobytes())
    rows: _Keys = np.frombuffer(written, np.int64) if len(written) else np.empty(0, np.int64)
    whole = np.array_equal(rows, order)
    rows.sort()
    if len(rows) and (rows[1:] == rows[:-1]).any():
        return np.unique(rows), False
    return rows, whole


def _first_to_last(groups: Groups, key: str, keys: _Keys) -> _Keys:
    """These sorted keys in the order in which they first appear."""
    first = np.full(len(keys), -1, np.int64)
    count = 0
    for table in groups():
        rows = integrity.numbers(table[key])
        at = np.searchsorted(keys, rows)
        here = at < len(keys)
        here[here] = keys[at[here]] == rows[here]
        places = np.flatnonzero(here)[::-1]  # the first of several is written last
        new = first[at[places]] < 0
        first[at[places[new]]] = count + places[new]
        count += len(rows)
    return keys[np.argsort(first)]


def _still(groups: Groups, key: str, earlier: _Keys, wanted: _Keys) -> NDArray[np.bool_]:
    """Whether no row of this input bears the name and the source of each earlier row."""
    place = np.sort(earlier)
    names = np.zeros(len(place), np.uint64)
    mine = np.zeros(len(wanted), np.uint64)
    for table in groups():
        columns = (table[key].to_pylist(), table["id"].to_pylist(), table["source"].to_pylist())
        keys = np.array(columns[0], np.int64)
        texts = (f"{name!r} {source!r}" for _, name, source in zip(*columns, strict=True))
        digests = np.fromiter(map(digest64, texts), np.uint64, len(keys))  # np.array makes floats of mixed sizes
        for known, into in ((place, names), (wanted, mine)):  # the latest row of a key names it
            at = np.searchsorted(known, keys)
            here = at < len(known)
            here[here] = known[at[here]] == keys[here]
            into[at[here]] = digests[here]
    stays = ~np.isin(names, mine)
    return stays[np.searchsorted(place, earlier)]


class Stretches:
    """The rows of a plan, sorted into files of one row group of the table each.

    Args:
        folder: for the files, named ``.tmp-*``.
        keys: of the table, in order.
        schema: of its rows.
        fold: `folded` with all but the table.
    """

    def __init__(
        self, folder: Path, keys: _Keys, schema: pa.Schema, key: str, fold: tuple[Mapping[str, Sequence[str]], Any]
    ) -> None:
        self._folder, self._keys, self._schema, self._key, self._fold = folder, keys, schema, key, fold
        self._sorted = np.argsort(keys, kind="stable").astype(np.uint32)  # a table of 2^32 rows has other worries
        self._files: dict[int, Path] = {}
        self._held: list[pa.Table] = []  # instead of files where there is one stretch
        self._rows_each = integrity.group_rows(len(keys))
        self.count = max(1, -(-len(keys) // self._rows_each))

    def take(self, table: pa.Table) -> None:
        """Puts rows of the schema, in order of writing, where they belong; those of other keys are left out."""
        if self.count == 1:
            self._held.append(table)
            return
        keys = integrity.numbers(table[self._key])
        low = np.searchsorted(self._keys, keys, sorter=self._sorted)
        high = np.searchsorted(self._keys, keys, side="right", sorter=self._sorted)
        for level in range(int((high - low).max(initial=0))):  # a key stands once but where an input repeats a record
            here = np.flatnonzero(low + level < high)
            stretch = self._sorted[low[here] + level] // self._rows_each
            for number in np.unique(stretch):
                self._append(int(number), table.take(integrity.array_of(here[stretch == number])))

    def _append(self, number: int, rows: pa.Table) -> None:
        path = self._files.setdefault(number, self._folder / f".tmp-rows-{number:06d}")
        with path.open("ab") as stream:
            for batch in rows.combine_chunks().to_batches():
                stream.write(memoryview(batch.serialize()))

    def _rows(self, number: int) -> pa.Table:
        if self.count == 1:
            return pa.concat_tables(self._held) if self._held else self._schema.empty_table()
        with pa.OSFile(str(self._files[number])) as stream:
            reader = pa.ipc.MessageReader.open_stream(stream)
            batches = [pa.ipc.read_record_batch(message, self._schema) for message in reader]
        return pa.Table.from_batches(batches, self._schema)

    def tables(self) -> Iterator[pa.Table]:
        """The finished rows, stretch after stretch, when all are taken; can be called again."""
        self._sorted = self._sorted[:0]
        for number in range(self.count):
            yield self._stretch(number)  # without a name: one is in memory at a time

    def _stretch(self, number: int) -> pa.Table:
        table = self._rows(number)
        keys = integrity.numbers(table[self._key]).tolist()
        place = {key: row for row, key in enumerate(keys)}
        if len(place) < len(keys):  # rows to join
            table, keys = folded(table, self._key, *self._fold)
            place = {key: row for row, key in enumerate(keys)}
        wanted = self._keys[number * self._rows_each : (number + 1) * self._rows_each].tolist()
        order = integrity.array_of(np.array([place[key] for key in wanted], np.int64))
        columns = [column.combine_chunks().take(order) for column in table.columns]  # each alone: one copy less
        return pa.Table.from_arrays(columns, schema=table.schema)

    def close(self) -> None:
        """Removes the files."""
        for path in self._files.values():
            path.unlink(missing_ok=True)
        self._held = []
