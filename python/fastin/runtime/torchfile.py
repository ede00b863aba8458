"""Reads torch's own file format into numpy, without torch: a stored zip archive of raw tensors and one description.

The description is a pickle, and a pickle may hold any code. Here it is read by an unpickler that knows three kinds of
thing by name (a dictionary, a storage and a tensor) and refuses every other name, so that nothing else can be called:
the rule of ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: torch's names of storages -> dtype. Others (bfloat16, quantised) have no numpy form.
_STORAGES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


class _Plain(dict[Any, Any]):
    """Stands for ``OrderedDict``; torch hangs a ``_metadata`` on the ones of a module, which lands in ``__dict__``."""


class _Storage:
    """Names a storage's dtype inside the description."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)


class _Reader(pickle.Unpickler):
    """The description of one archive."""

    def __init__(self, archive: _Archive, root: str) -> None:
        self._archive, self._root = archive, root
        self._storages: dict[str, NDArray[Any]] = {}
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for.

        Raises:
            UnpicklingError: any name but the few of tensors and plain dictionaries.
        """
        if (module, name) == ("collections", "OrderedDict"):
            return _Plain
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return _Storage(_STORAGES[name])
        raise pickle.UnpicklingError(f"the name {module}.{name} is not one of tensors and plain values")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        """The numbers of one storage.

        Raises:
            UnpicklingError: not the storage of a tensor, or of another size than said.
        """
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Storage) or not isinstance(key, str):
            raise pickle.UnpicklingError("not the storage of a tensor")
        if key not in self._storages:
            data = self._archive.read(f"{self._root}/data/{key}")
            if len(data) != count * storage.dtype.itemsize:
                raise pickle.UnpicklingError(f"storage {key} of {len(data)} bytes for {count} values")
            self._storages[key] = np.frombuffer(data, storage.dtype)
        return self._storages[key]


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> NDArray[Any]:
    """A copy of the tensor that these numbers describe.

    Raises:
        UnpicklingError: it reaches beyond its storage.
    """
    if not isinstance(storage, np.ndarray) or len(size) != len(stride):
        raise pickle.UnpicklingError("not a tensor")
    if any(not isinstance(n, int) or n < 0 for n in (offset, *size, *stride)):
        raise pickle.UnpicklingError("a tensor of negative size, place or stride")
    if math.prod(size) > len(storage):
        raise pickle.UnpicklingError(f"a tensor of shape {size} on a storage of {len(storage)} values")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= len(storage):
        raise pickle.UnpicklingError(f"a tensor of shape {size} beyond its storage of {len(storage)} values")
    if 0 in size:
        return np.empty(size, storage.dtype)
    steps = [n * storage.itemsize for n in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()


_LOCAL = struct.Struct("<4s5H3L2H")  # header in front of a member's bytes


class _Archive:
    """A zip archive of stored members; `zipfile` reads its directory, the members are cut out of the bytes."""

    def __init__(self, data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            self.members = {info.filename: info for info in archive.infolist()}
        self._data = data

    def read(self, name: str) -> memoryview:
        """The bytes of a member; its checksum is compared.

        Raises:
            BadZipFile: it is damaged, or compressed, which torch never does (and which could swell without bound).
        """
        info = self.members[name]
        signature, _, _, _, _, _, _, _, _, named, extra = _LOCAL.unpack_from(self._data, info.header_offset)
        start = info.header_offset + _LOCAL.size + named + extra
        content = memoryview(self._data)[start : start + info.file_size]
        if signature != b"PK\3\4" or info.compress_type != zipfile.ZIP_STORED or len(content) != info.file_size:
            raise zipfile.BadZipFile(f"{name} is not stored whole")
        if zlib.crc32(content) != info.CRC:
            raise zipfile.BadZipFile(f"{name} has another checksum than it should have")
        return content


def read_arrays(data: bytes) -> Any:
    """What ``torch.save`` wrote, with numpy arrays for tensors.

    Raises:
        UnpicklingError, BadZipFile, KeyError, ValueError, TypeError, ...: not such an archive, a damaged one, or a
            description with other things than tensors, dictionaries, lists, strings and numbers.
    """
    archive = _Archive(data)
    root = next((name.split("/")[0] for name in archive.members if name.endswith("/data.pkl")), None)
    if root is None:
        raise zipfile.BadZipFile("no file of torch")
    if f"{root}/byteorder" in archive.members and bytes(archive.read(f"{root}/byteorder")) != b"little":
        raise zipfile.BadZipFile("written on a machine of another byte order")
    return _Reader(archive, root).load()
