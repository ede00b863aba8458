"""Files of weights: tensors and plain values in torch's own format, sealed with the SHA-256 of every byte.

torch writes a zip archive and compares no checksum when it reads one, so a flipped bit is another weight. The seal is
the archive's comment, which torch does not look at: the file stays one that torch can read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastin.errors import InputError
from fastin.runtime.files import digest, read_checked, write_bytes
from fastin.runtime.torchfile import read_arrays

_SEAL = b"fastin sha256="
_HEX = 64
_END = 22  # bytes of the archive's end record before its comment
_SEALED = "sealed"

#: What torch and its unpickler raise at damaged files.
_DAMAGED = (
    *(OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError, OverflowError),
    *(MemoryError, AssertionError, ImportError, RecursionError, pickle.UnpicklingError, zipfile.BadZipFile),
)


def save_weights(path: Path | str, content: Mapping[str, Any]) -> None:
    """Writes tensors and plain values; the file appears whole or not at all."""
    import torch

    buffer = io.BytesIO()
    torch.save({**content, _SEALED: True}, buffer)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, _with_seal(buffer.getvalue()))


def _with_seal(data: bytes) -> bytes:
    length = len(_SEAL) + _HEX
    body = data[:-2] + length.to_bytes(2, "little") + _SEAL
    return body + digest(body).encode()


def _unsealed(data: bytes, path: Path) -> tuple[bytes, bool]:
    """The bytes as torch wrote them, and whether the seal was there and right."""
    body, stated = data[:-_HEX], data[-_HEX:]
    if not body.endswith(_SEAL):
        return data, False
    if digest(body).encode() != stated:
        raise InputError(f"{path}: damaged, its content is not what was written; get the file again")
    return body[: -len(_SEAL) - 2] + b"\0\0", True


def load_weights(path: Path | str, device: Any = "cpu", *, finite: bool = True) -> dict[str, Any]:
    """What `save_weights` wrote, with ``weights_only=True``: no code of the file runs.

    The bytes are compared with their seal, and with ``SHA256SUMS`` beside the file where that lists it.

    Args:
        path: the file.
        device: where the tensors go.
        finite: refuse tensors with NaN or infinity.

    Raises:
        InputError: no such file, another kind of file, a damaged one, or weights that are no finite numbers.
    """
    import torch

    def read(data: bytes) -> Any:
        return torch.load(io.BytesIO(data), map_location=device, weights_only=True)

    return _load(Path(path), read, finite)


def load_arrays(path: Path | str) -> dict[str, Any]:
    """As `load_weights`, with numpy arrays for tensors, and without torch; see `fastin.runtime.torchfile`.

    Raises:
        InputError: as `load_weights`, or tensors of a type that numpy does not have.
    """
    return _load(Path(path), read_arrays, finite=True)


def _load(path: Path, read: Callable[[bytes], Any], finite: bool) -> dict[str, Any]:
    data, sealed = _unsealed(read_checked(path), path)
    try:
        stored = read(data)
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise InputError(f"{path}: not a model file of fastin ({reason})") from None
    if not isinstance(stored, dict):
        raise InputError(f"{path}: not a model file of fastin")
    if stored.get(_SEALED) and not sealed:
        raise InputError(f"{path}: damaged, its seal is missing; get the file again")
    if finite and (bad := _not_finite(stored)):
        raise InputError(f"{path}: the weights {bad} hold values that are not finite")
    return stored


def _not_finite(value: Any, where: str = "") -> str:
    """The place of the first tensor with a value that is not finite; empty without one."""
    if isinstance(value, np.ndarray):
        return (where or "of it") if value.dtype.kind in "fc" and not np.isfinite(value).all() else ""
    if hasattr(value, "is_floating_point"):  # a tensor
        real = value.is_floating_point() or value.is_complex()
        return (where or "of it") if real and not bool(value.isfinite().all()) else ""
    if isinstance(value, Mapping):
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        return ""
    return next((bad for name, part in parts if (bad := _not_finite(part, f"{where}/{name}".lstrip("/")))), "")


def refuse_damaged(path: Path | str, error: BaseException) -> InputError:
    """The error to raise where a file's content cannot be turned into a model."""
    said = " ".join(str(error).split())[:300]
    return InputError(f"{path}: not a whole model file of this version ({type(error).__name__}: {said})")


#: What turning damaged content into a model raises.
DAMAGED = _DAMAGED
