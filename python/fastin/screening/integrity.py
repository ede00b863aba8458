"""What tells a damaged table from a whole one: page checksums, a digest of the values, a digest of the facts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from fastin.errors import missing_extra

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:  # pragma: no cover - depends on the installation
    raise missing_extra("pyarrow", "screen") from error

_CONTENT = b"fastin.content"  # key of the digest in the metadata of a table
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


def _content_digest(table: pa.Table) -> bytes:
    """SHA-256 of names, types and values, whatever the chunks and the encoding."""
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name].combine_chunks()
        kind = str(column.type)
        if pa.types.is_list(column.type):  # of texts: each as one text, whatever Parquet calls the items
            words = column.to_pylist()
            column, kind = pa.array([None if w is None else "\0".join(w) for w in words], pa.string()), "list"
        digest.update(f"\0{name}\0{kind}\0{len(column)}\0".encode())
        digest.update(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).tobytes())
        if pa.types.is_string(column.type):
            texts = [text.encode() for text in column.fill_null("").to_pylist()]
            digest.update(np.array([len(text) for text in texts], "<u8").tobytes())
            digest.update(b"".join(texts))
        else:
            numbers = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
            digest.update(numbers.fill_null(0).to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest().encode()


def parquet_bytes(table: pa.Table) -> bytes:
    """The file: every page with its checksum, and a digest of the content in the metadata, for what is between them."""
    sink = pa.BufferOutputStream()
    metadata = {**(table.schema.metadata or {}), _CONTENT: _content_digest(table)}
    table = table.replace_schema_metadata(metadata)
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())


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
        stated = metadata.pop(_CONTENT, None)
        if columns is None and stated is not None:
            table.validate(full=True)
            if stated != _content_digest(table):
                raise ValueError("the values are not those that were written")
        return table.replace_schema_metadata(metadata or None)
    except OSError:
        raise
    except (pa.ArrowException, ArithmeticError, LookupError, MemoryError, TypeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
