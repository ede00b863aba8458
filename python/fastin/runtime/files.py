"""Files that appear whole or not at all, with the digest that tells a damaged one."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError


def write_bytes(path: Path, data: bytes) -> None:
    """Writes under a temporary name, flushes to the disk and renames: a kill leaves the old file or the new one."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8."""
    write_bytes(path, text.encode())


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def refuse_special(path: Path | str) -> None:
    """Raises the error of an input that is no file: a pipe would be waited for, a device has no end.

    Nothing is raised for files, folders and what is not there.

    Raises:
        InputError: a named pipe, a socket or a device; links are followed.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise InputError(f"{path}: {kind}, not a regular file; save what it gives to a file and name that")


SUMS = "SHA256SUMS"  # of the files of a folder, as ``sha256sum`` writes it


def read_checked(path: Path) -> bytes:
    """The bytes of a file, compared with its SHA-256 in ``SHA256SUMS`` beside it, where that lists it.

    Raises:
        InputError: it cannot be read, or its bytes are not those of the digest.
    """
    refuse_special(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        lines = path.with_name(SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return data
    stated = {name.lstrip("*"): hexadecimal for hexadecimal, _, name in (line.partition("  ") for line in lines)}
    if path.name in stated and stated[path.name].lower() != digest(data):
        raise InputError(f"{path}: damaged, its SHA-256 is not that of {SUMS}; install or download it again")
    return data


_LARGEST_ARRAY = 2**33  # bytes; a damaged header may claim anything


def read_npz(path: Path, names: Sequence[str], data: bytes | None = None) -> dict[str, NDArray[Any]]:
    """The named arrays of an ``.npz`` without pickles; the checksum of every member is compared.

    Args:
        path: the file.
        names: arrays that must be there; others are not read.
        data: its bytes, where they are there already.

    Raises:
        InputError: it cannot be read, is no ``.npz``, lacks an array, or is damaged.
    """
    if data is None:
        refuse_special(path)
    try:
        source: Any = path.open("rb") if data is None else io.BytesIO(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        with source, zipfile.ZipFile(source) as archive:
            return {name: _member(archive, f"{name}.npy") for name in names}
    except KeyError as error:
        raise InputError(f"{path}: not what it should be ({error.args[0] if error.args else error})") from None
    except (*_DAMAGED, OverflowError, TypeError, SyntaxError, RecursionError) as error:
        raise InputError(f"{path}: no .npz file, or a damaged one ({error})") from None


_DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """One array; its header is compared with the size of the member before anything is allocated."""
    size = archive.getinfo(name).file_size
    if size > _LARGEST_ARRAY:
        raise ValueError(f"{name} claims {size} bytes")
    with archive.open(name) as stream:
        content = stream.read(size + 1)  # to the end, where the checksum is compared
    block = io.BytesIO(content)
    version = np.lib.format.read_magic(block)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(block)
    count = int(np.prod([int(n) for n in shape], dtype=object)) if shape else 1
    rest = len(content) - block.tell()
    if dtype.hasobject or any(n < 0 for n in shape) or count * dtype.itemsize != rest:
        raise ValueError(f"{name}: a header of shape {shape} and type {dtype} on {rest} bytes")
    values = np.frombuffer(content, dtype, count, block.tell()).reshape(shape, order="F" if fortran else "C")
    values = values.copy(order="K")
    return values
