"""What to screen: files, folders, globs, archives, JSON lines or structures, as one lazy stream of records.

Nothing is extracted to disk and nothing is held: each record carries the bytes of one structure. A record that cannot
be read (a broken archive member, a line that is no JSON) is still a record, so that it gets its row with its error.
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import json
import logging
import lzma
import os
import pickle
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from fastin.errors import InputError
from fastin.screening.keys import Names

# One structure's text; a CIF of 10,000 atoms has about 1 MB.
MAX_RECORD_BYTES = 64 * 2**20

log = logging.getLogger("fastin.screening.inputs")

_WANTED = ".cif, .mcif, .vasp, POSCAR*, CONTCAR*, also .gz"
_LOOKED_AT = 10_000  # entries of a linked folder

_STRUCTURE_SUFFIXES = frozenset({".cif", ".mcif", ".vasp", ".poscar", ".contcar"})
_LINES_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ARCHIVE_ERRORS = (
    *(OSError, EOFError, NotImplementedError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One structure to screen.

    Attributes:
        uid: name of the row, unique within the stream (a repeated name gets ``#2``, ``#3``...).
        source: where it came from, for messages: ``folder/a.cif``, ``set.zip::a.cif``, ``set.jsonl.gz:17``.
        kind: ``cif``, ``poscar`` (text), ``object`` (a pickled structure) or ``broken`` (payload = the error message).
        payload: the bytes.
        key: 63-bit digest of uid, kind and payload; the identity of the record between runs.
        renamed: its name was taken already.
        tasks: those to compute for it; empty: all.
    """

    uid: str
    source: str
    kind: str
    payload: bytes
    key: int
    renamed: bool = False
    tasks: tuple[str, ...] = ()


def _key(uid: str, kind: str, content: bytes) -> int:
    digest = hashlib.blake2b(content, digest_size=8, person=b"fastin")
    digest.update(f"\0{kind}\0{uid}".encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "little") >> 1


def _printable(name: str) -> str:
    """File names may hold bytes that are no UTF-8; rows may not."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _plain(name: str) -> str:
    """The name of a packed structure file without .gz."""
    return name[:-3] if name.lower().endswith(tuple(f"{suffix}.gz" for suffix in _STRUCTURE_SUFFIXES)) else name


def is_structure_name(name: str) -> bool:
    """True for the files that a folder or an archive contributes: .cif, .mcif, .vasp (also .gz), POSCAR*, CONTCAR*."""
    base = PurePosixPath(name).name
    if base.startswith("."):
        return False
    if PurePosixPath(_plain(base)).suffix.lower() in _STRUCTURE_SUFFIXES:
        return True
    return base.upper().split("_")[0].split("-")[0].split(".")[0] in {"POSCAR", "CONTCAR"}


def _kind(name: str) -> str:
    return "cif" if PurePosixPath(_plain(name)).suffix.lower() in {".cif", ".mcif"} else "poscar"


def _stem(name: str) -> str:
    path = PurePosixPath(_plain(name))
    return str(path.with_suffix("")) if path.suffix.lower() in _STRUCTURE_SUFFIXES else str(path)


# A record before its name is made unique: (name, source, kind, content that identifies it, payload).
_Raw = tuple[str, str, str, bytes, bytes]


def _text(name: str, source: str, kind: str, data: bytes) -> _Raw:
    if len(data) > MAX_RECORD_BYTES:
        return _broken(name, source, f"{source}: larger than {MAX_RECORD_BYTES // 2**20} MiB")
    return name, source, kind, data, data


def _broken(name: str, source: str, message: str) -> _Raw:
    payload = message.encode("utf-8", "replace")
    return name, source, "broken", payload, payload


def _from_file(path: Path, name: str) -> _Raw:
    source = _printable(str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device has no end
            return _broken(name, source, f"{source}: not a regular file")
        with path.open("rb") as stream:
            data = stream.read(MAX_RECORD_BYTES + 1)
    except OSError as error:
        return _broken(name, source, f"{source}: {error.strerror or error}")
    return _text(name, source, _kind(path.name), data)


def _from_folder(folder: Path) -> Iterator[_Raw]:
    for path, problem in _listed(folder):
        name = _printable(_stem(path.relative_to(folder).as_posix()))
        if problem:
            yield _broken(name if path != folder else _printable(folder.name), _printable(str(path)), problem)
        else:
            yield _from_file(path, name)


def _listed(folder: Path) -> Iterator[tuple[Path, str]]:
    """Structure files in and below a folder, in order; what stays out of sight there, with the reason.

    Out of sight are folders that cannot be listed, and linked folders that hold structures: following links could go
    round in circles or read everything twice.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield here, f"{_printable(str(here))}: the folder cannot be listed: {error.strerror or error}"
            continue
        folders = []
        for entry in entries:
            path = here / entry.name
            if _is_folder(entry, follow=False):
                folders.append(path)
            elif entry.is_symlink() and _is_folder(entry, follow=True):
                if _holds_structures(path):
                    text = "a link to a folder is not followed; give that folder as an input of its own"
                    yield path, f"{_printable(str(path))}: {text}"
            elif is_structure_name(entry.name):
                yield path, ""
        waiting.extend(reversed(folders))


def _is_folder(entry: os.DirEntry[str], *, follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False


def _holds_structures(folder: Path) -> bool:
    """Whether a linked folder would add anything; where that cannot be seen soon, it counts as yes."""
    unlisted: list[OSError] = []
    seen = 0
    for _, _, files in os.walk(folder, onerror=unlisted.append):
        seen += 1 + len(files)
        if seen > _LOOKED_AT or any(map(is_structure_name, files)):
            return True
    return bool(unlisted)


def _from_zip(path: Path) -> Iterator[_Raw]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir() or not is_structure_name(member.filename):
                continue
            name, source = _printable(_stem(member.filename)), _printable(f"{path}::{member.filename}")
            try:
                with archive.open(member) as stream:
                    data = stream.read(MAX_RECORD_BYTES + 1)
            except (*_ARCHIVE_ERRORS, RuntimeError) as error:  # RuntimeError: encrypted member
                yield _broken(name, source, f"{source}: {error}")
                continue
            yield _text(name, source, _kind(member.filename), data)


def _from_tar(path: Path) -> Iterator[_Raw]:
    with tarfile.open(path, mode="r|*") as archive:
        for member in archive:
            if member.isdir() or not is_structure_name(member.name):
                continue
            name, source = _printable(_stem(member.name)), _printable(f"{path}::{member.name}")
            if not member.isfile():
                log.warning("%s: left out, links and devices inside an archive are not followed", source)
                continue
            if member.size > MAX_RECORD_BYTES:
                yield _broken(name, source, f"{source}: larger than {MAX_RECORD_BYTES // 2**20} MiB")
                continue
            stream = archive.extractfile(member)
            yield _text(name, source, _kind(member.name), stream.read() if stream is not None else b"")


def _open_lines(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(MAX_RECORD_BYTES + 1):
        yield line
        oversized = len(line) > MAX_RECORD_BYTES
        while oversized and line and not line.endswith(b"\n"):  # skip the rest of an oversized line
            line = stream.readline(MAX_RECORD_BYTES)


def _from_json_lines(path: Path) -> Iterator[_Raw]:
    with _open_lines(path) as stream:
        for number, line in enumerate(_lines(stream), start=1):
            if not line.strip():
                continue
            source = _printable(f"{path}:{number}")
            name = _printable(f"{path.name.split('.')[0]}:{number}")
            if len(line) > MAX_RECORD_BYTES:
                yield _broken(name, source, f"{source}: larger than {MAX_RECORD_BYTES // 2**20} MiB")
                continue
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield _broken(name, source, f"{source}: not JSON ({error})")
                continue
            cif = fields.get("cif") if isinstance(fields, dict) else None
            label = fields.get("id") if isinstance(fields, dict) else None
            if isinstance(label, str | int) and str(label).strip():
                name = str(label).encode("utf-8", "replace").decode()
            if not isinstance(cif, str) or not cif.strip():
                yield _broken(name, source, f"{source}: no 'cif' field that holds text")
                continue
            yield _text(name, source, "cif", cif.encode("utf-8", "replace"))


def _from_archive(path: Path) -> Iterator[_Raw]:
    lower = path.name.lower()
    if lower.endswith(".zip"):
        records = _from_zip(path)
    elif lower.endswith(_TAR_SUFFIXES):
        records = _from_tar(path)
    else:
        records = _from_json_lines(path)
    source, empty = _printable(str(path)), True
    try:
        for record in records:
            empty = False
            yield record
    except _ARCHIVE_ERRORS as error:  # truncated or damaged: what was read so far counts, the rest is one row
        yield _broken(_printable(path.name), source, f"{source}: damaged archive, reading stopped: {error}")
        return
    if empty:
        yield _broken(_printable(path.name), source, f"{source}: holds no structure ({_WANTED}, or lines with a cif)")


def _is_collection(path: Path) -> bool:
    lower = path.name.lower()
    return lower.endswith((".zip", *_TAR_SUFFIXES, *_LINES_SUFFIXES))


def _from_path(path: Path) -> Iterator[_Raw]:
    if path.is_dir():
        yield from _from_folder(path)
    elif _is_collection(path) and path.is_file():
        yield from _from_archive(path)
    else:
        yield _from_file(path, _printable(_stem(path.name)))


def _structure_content(structure: Any) -> bytes:
    """Bytes that identify a pymatgen Structure, an ASE Atoms or a Crystal: cell, species, positions."""
    if hasattr(structure, "lattice"):
        species = [site.species_string for site in structure]
        parts: tuple[Any, ...] = (structure.lattice.matrix.tobytes(), species, structure.frac_coords.tobytes())
    elif hasattr(structure, "get_atomic_numbers"):
        cell = structure.cell.array.tobytes()
        parts = (cell, structure.get_atomic_numbers().tolist(), structure.get_positions().tobytes())
    else:
        arrays = (structure.cell, structure.frac, structure.number, structure.occupancy, structure.charge)
        parts = tuple(array.tobytes() for array in arrays)
    return repr(parts).encode()


def _from_object(item: Any, number: int) -> _Raw:
    name = f"structure-{number:06d}"
    if isinstance(item, tuple) and len(item) == 2:
        name, item = str(item[0]).encode("utf-8", "replace").decode(), item[1]
    source = f"structure {number}"
    known = hasattr(item, "lattice") or hasattr(item, "get_atomic_numbers") or hasattr(item, "occupancy")
    if not known:
        return _broken(name, source, f"{source}: {type(item).__name__} is no path, Structure, Atoms or Crystal")
    return name, source, "object", _structure_content(item), pickle.dumps(item, protocol=5)


def expand(sources: Any) -> list[Path] | Iterable[Any]:
    """Resolves globs and checks that every given path exists.

    Args:
        sources: a path, glob or structure, a list of them, or any iterator of structures or ``(id, structure)``.

    Returns:
        A list of paths, or the iterable of structures itself.

    Raises:
        InputError: a path that does not exist, a glob or folder without a structure file, or no input at all.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    elif hasattr(sources, "lattice") or hasattr(sources, "get_atomic_numbers"):
        return [sources]
    if not isinstance(sources, list | tuple):
        return sources if isinstance(sources, Iterable) else [sources]
    if not sources:
        raise InputError("nothing to screen: give at least one file, folder, archive or structure")
    if not all(isinstance(source, str | os.PathLike) for source in sources):
        return sources
    paths: list[Path] = []
    for source in sources:
        path = Path(source)
        pattern = str(source)  # glob.glob takes absolute patterns, Path.glob does not
        found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
        if not found:
            wanted = "matches nothing" if glob.has_magic(str(source)) else "does not exist"
            raise InputError(f"{source}: {wanted}")
        if path.is_dir() and next(_folder_names(path), None) is None:
            raise InputError(f"{source}: the folder holds no structure file ({_WANTED})")
        paths.extend(found)
    return paths


def _folder_names(folder: Path) -> Iterator[str]:
    return (path.name for path, _ in _listed(folder))


def records(sources: Any) -> Iterator[Record]:
    """The stream of records, in a deterministic order for files, with unique names.

    Args:
        sources: what `expand` returned.
    """
    taken = Names()
    for number, item in enumerate(sources, start=1):
        found = _from_path(item) if isinstance(item, Path) else _from_path_or_object(item, number)
        for name, source, kind, content, payload in found:
            uid = taken.unique(name)
            yield Record(uid, source, kind, payload, _key(uid, kind, content), uid != name)


def _from_path_or_object(item: Any, number: int) -> Iterator[_Raw]:
    if isinstance(item, str | os.PathLike):
        path = Path(item)
        if path.exists():
            yield from _from_path(path)
        else:
            source = _printable(str(path))
            yield _broken(_printable(path.name), source, f"{source}: does not exist")
    else:
        yield _from_object(item, number)


def count(sources: Any) -> int | None:
    """Number of records where it is cheap to know, for the progress bar; None for archives in tar and iterators."""
    if not isinstance(sources, list) or not all(isinstance(item, Path) for item in sources):
        return len(sources) if isinstance(sources, list | tuple) else None
    total = 0
    for path in sources:
        lower = path.name.lower()
        if path.is_dir():
            total += sum(1 for _ in _folder_names(path))
        elif not path.is_file():
            total += 1
        elif lower.endswith(_TAR_SUFFIXES):
            return None
        elif _is_collection(path):
            try:
                total += max(1, _count_members(path))
            except _ARCHIVE_ERRORS:
                return None
        else:
            total += 1
    return total


def _count_members(path: Path) -> int:
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return sum(1 for m in archive.infolist() if not m.is_dir() and is_structure_name(m.filename))
    with _open_lines(path) as stream:
        lines = 0
        while block := stream.read(io.DEFAULT_BUFFER_SIZE * 128):
            lines += block.count(b"\n")
        return lines
