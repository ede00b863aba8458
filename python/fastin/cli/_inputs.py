"""Structures named on the command line: files, folders, globs, archives and lines of JSON, as `screen` takes them."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastin.cli._common import expand_inputs, refuse_folder

_COLLECTIONS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".jsonl", ".jsonl.gz")


@dataclass(frozen=True)
class Source:
    """One structure: what messages call it, what the table calls it, and its file or its bytes.

    Attributes:
        name: file, or archive and member.
        label: short name.
        path: its file; ``None`` for a member of an archive.
        record: (uid, source, kind, payload) of a member of an archive.
    """

    name: str
    label: str
    path: Path | None = None
    record: tuple[str, str, str, bytes] | None = None


def expand_sources(arguments: Iterable[str]) -> list[Source]:
    """The structures that the arguments name, in order; a file that is not there stays, for its own error.

    Raises:
        UsageError: a folder without a structure.
        MissingDependencyError: an archive, and the extra ``screen`` is not installed.
    """
    found: list[Source] = []
    for argument in arguments:
        path = Path(argument)
        names = [argument] if path.exists() else sorted(glob.glob(argument, recursive=True)) or [argument]  # noqa: PTH207
        for name in names:
            if name.lower().endswith(_COLLECTIONS) and Path(name).is_file():
                from fastin.screening.inputs import records

                found += [
                    Source(r.source, r.uid, record=(r.uid, r.source, r.kind, r.payload)) for r in records([Path(name)])
                ]
            else:
                found += [Source(str(p), p.name, p) for p in expand_inputs([name])]
    return found


def open_source(source: Source, *, block: str | None = None, strict: bool = False) -> Any:
    """The crystal of a source.

    Args:
        source: from `expand_sources`.
        block: data block or frame of its file.
        strict: refuse a crystal with severe warnings.

    Raises:
        FastinError: it cannot be read.
    """
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.warnings import refuse_severe

    if source.record is not None:
        from fastin.screening.job import load_crystal

        crystal = load_crystal(source.record)
        refuse_severe(source.name, crystal.warnings, strict)
        return crystal
    assert source.path is not None
    refuse_folder(source.path)
    return Crystal.from_file(source.path, block=block, strict=strict)
