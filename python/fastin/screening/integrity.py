"""What tells a damaged table from a whole one: page checksums, a digest of the values, a digest of the facts."""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import missing_extra

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:  # pragma: no cover - depends on the installation
    raise missing_extra("pyarrow", "screen") from error

ROWS = 2048  # of a row group: what a long table is written and read by
GROUPS = 128  # row groups of a finished table at most: the writer keeps two kilobytes a column for each until the end
_CONTENT = b"fastin.content"  # key of the digest in the metadata of a table of one row group
_GROUPS = b"fastin.groups"  # of one of several: SHA-256 of the digests of its row groups
_DIGEST = "sha256"  # its name among the facts


def _facts_digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def sealed(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts with their digest."""
    return facts | {_DIGEST: _facts_digest(facts)}


def unsealed(text: bytes) -> dict[str, Any]:
    """Facts as `sealed` left them, without the digest.

    Raises:
        ValueError: no such text, or a damaged one; RecursionError likewise.
    """
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError("no facts in it")
    stated = facts.pop(_DIGEST, None)
    if stated is not None and stated != _facts_digest(facts):
        raise ValueError("it does not hold what was written")
    return facts


# pyarrow imports pandas, 40 MB, wherever it makes arrays or scalars of Python objects: here buffers go both ways.


def numbers(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """The numbers of a column, zero where there is none."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = np.dtype(str(column.type).replace("double", "float64"))
    if not len(column):
        return np.empty(0, kind)
    values = np.frombuffer(column.buffers()[1], kind)[column.offset : column.offset + len(column)]
    return np.where(_valid(column), values, kind.type(0)) if column.null_count else values


def _valid(column: pa.Array) -> NDArray[np.bool_]:
    return numbers(column.is_valid().cast(pa.int8())).astype(bool)


def array_of(values: NDArray[Any]) -> pa.Array:
    """The numbers of an array as a column."""
    kind = {"i8": pa.int64(), "f8": pa.float64(), "i4": pa.int32(), "i1": pa.int8()}[values.dtype.str[1:]]
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def column_of(values: list[Any], kind: pa.DataType) -> pa.Array:
    """The column of numbers, truth values, texts or lists of texts, None where there is none."""
    valid = np.array([value is not None for value in values], bool)
    mask = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    missing = len(values) - int(valid.sum())
    if pa.types.is_string(kind) or pa.types.is_list(kind):
        offsets = np.zeros(len(values) + 1, np.int64)
        held = [value for value in values if value is not None]
        if pa.types.is_string(kind):
            held = [text.encode() for text in held]
        offsets[1:][valid] = [len(value) for value in held]
        places = np.cumsum(offsets)
        if places[-1] > np.iinfo(np.int32).max:
            raise MemoryError("texts of more than two gigabytes")
        start = pa.py_buffer(places.astype(np.int32))
        if pa.types.is_string(kind):
            return pa.Array.from_buffers(kind, len(values), [mask, start, pa.py_buffer(b"".join(held))], missing)
        items = column_of([text for texts in held for text in texts], kind.value_type)
        return pa.Array.from_buffers(kind, len(values), [mask, start], missing, children=[items])
    number = np.dtype(str(kind).replace("double", "float64"))
    plain = np.zeros(len(values), number)
    plain[valid] = [value for value in values if value is not None]
    data = np.packbits(plain, bitorder="little") if pa.types.is_boolean(kind) else plain
    return pa.Array.from_buffers(kind, len(values), [mask, pa.py_buffer(data)], missing)


def table_of(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table; what a row lacks is null."""
    columns = [column_of([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _content_digest(table: pa.Table) -> bytes:
    """SHA-256 of names, types and values, whatever the chunks and the encoding."""
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name].combine_chunks()
        kind, listed = str(column.type), pa.types.is_list(column.type)
        if listed:  # of texts: each as one text, whatever Parquet calls the items
            kind = "list"
        digest.update(f"\0{name}\0{kind}\0{len(column)}\0".encode())
        digest.update(np.packbits(_valid(column)).tobytes())
        if listed or pa.types.is_string(column.type):
            found = column.to_pylist()
            texts = [("\0".join(text) if listed else text).encode() if text else b"" for text in found]
            digest.update(np.array([len(text) for text in texts], "<u8").tobytes())
            digest.update(b"".join(texts))
        else:
            plain = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
            digest.update(numbers(plain).tobytes())
    return digest.hexdigest().encode()


def parquet_bytes(table: pa.Table) -> bytes:
    """The file: every page with its checksum, and a digest of the content in the metadata, for what is between them."""
    sink = pa.BufferOutputStream()
    metadata = {**(table.schema.metadata or {}), _CONTENT: _content_digest(table)}
    table = table.replace_schema_metadata(metadata)
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())


def group_rows(count: int) -> int:
    """Rows of a row group of a finished table with so many: `ROWS`, doubled until there are at most `GROUPS`."""
    rows = ROWS
    while count > GROUPS * rows:
        rows *= 2
    return rows


def release(*, all_of_it: bool = False) -> None:
    """Gives memory back that Arrow keeps for later: between two passes over the rows it only adds up.

    Args:
        all_of_it: also what the C library keeps of large arrays that are gone; takes some milliseconds.
    """
    pa.default_memory_pool().release_unused()
    if all_of_it and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:  # glibc
        trim(0)


def regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of ROWS; the last one holds what is left (none where there are no rows)."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += len(table)
        while rows >= ROWS:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROWS).combine_chunks()
            held, rows = [whole.slice(ROWS)], rows - ROWS
    if rows:
        yield pa.concat_tables(held).combine_chunks()


def write_groups(stream: IO[bytes], groups: Callable[[], Iterator[pa.Table]], schema: pa.Schema) -> None:
    """Writes tables of so many rows, and a last shorter one, as the row groups of one file; one at a time is in memory.

    The bytes depend on the rows alone. A single table is written as `parquet_bytes` does.

    Args:
        stream: where to.
        groups: called twice, gives the same tables: the digest stands in front of the rows.
        schema: of the tables, with the metadata of the file.
    """
    digests = []
    first: pa.Table | None = None
    for table in groups():
        digests.append(_content_digest(table))
        first = table if len(digests) == 1 else None
        del table  # before the next is made
    if len(digests) < 2:
        single = first if first is not None else schema.empty_table()
        stream.write(parquet_bytes(single.replace_schema_metadata(schema.metadata)))
        return
    metadata = {**(schema.metadata or {}), _GROUPS: _joined(digests)}
    whole = schema.with_metadata(metadata)
    with pq.ParquetWriter(stream, whole, compression="zstd", write_page_checksum=True) as writer:
        for table in groups():
            writer.write_table(table.replace_schema_metadata(metadata), row_group_size=max(1, len(table)))
            del table
            release()


def _joined(digests: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(digests)).hexdigest().encode()


def read_groups(path: Path) -> Iterator[pa.Table]:
    """The row groups of a Parquet file one after the other, verified as `read_table` does; at the end at the latest.

    Raises:
        ValueError: as `read_table`; OSError where it cannot be read.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = dict(file.schema_arrow.metadata or {})
            content, groups = metadata.pop(_CONTENT, None), metadata.pop(_GROUPS, None)
            if content is not None and file.num_row_groups > 1:  # of an earlier version, over a million rows
                yield read_table(path)
                return
            digests = []
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, use_threads=False)
                if content is not None or groups is not None:
                    table.validate(full=True)
                    digests.append(_content_digest(table))
                if content is not None and digests[-1] != content:
                    raise ValueError("the values are not those that were written")
                yield table.replace_schema_metadata(metadata or None)
            if groups is not None and _joined(digests) != groups:
                raise ValueError("the values are not those that were written")
    except OSError:
        raise
    except (pa.ArrowException, ArithmeticError, LookupError, MemoryError, TypeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file, its checksums verified, without the digest in its metadata.

    Raises:
        ValueError: damaged, or no Parquet file, or one without these columns; OSError where it cannot be read.
    """
    try:
        table = pq.read_table(path, columns=columns, partitioning=None, page_checksum_verification=True)
        if columns is not None and table.column_names != columns:
            raise ValueError(f"it does not hold {', '.join(columns)}")
        metadata = dict(table.schema.metadata or {})
        content, groups = metadata.pop(_CONTENT, None), metadata.pop(_GROUPS, None)
        if columns is None and (content is not None or groups is not None):
            table.validate(full=True)
            if content is not None and content != _content_digest(table):
                raise ValueError("the values are not those that were written")
            if groups is not None and groups != _digest_of_groups(table, _group_rows_of(path)):
                raise ValueError("the values are not those that were written")
        return table.replace_schema_metadata(metadata or None)
    except OSError:
        raise
    except (pa.ArrowException, ArithmeticError, LookupError, MemoryError, TypeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _group_rows_of(path: Path) -> int:
    """Rows of the row groups of a file, but for the last."""
    with pq.ParquetFile(path) as file:
        return max(1, file.metadata.row_group(0).num_rows) if file.num_row_groups else ROWS


def _digest_of_groups(table: pa.Table, rows: int) -> bytes:
    return _joined([_content_digest(table.slice(start, rows)) for start in range(0, len(table), rows)])
