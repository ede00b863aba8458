"""Keys of many rows in little memory: sorted arrays instead of sets and dictionaries of Python objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Set
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest64(text: str) -> int:
    """A digest of 64 bits, as an unsigned integer."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class KeySet(Set[int]):
    """A set of 64-bit keys: eight bytes each.

    Args:
        keys: sorted and distinct, int64.
    """

    def __init__(self, keys: NDArray[np.int64]) -> None:
        self._keys = keys

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        return set(it)  # unions and such

    def __contains__(self, key: object) -> bool:
        place = int(np.searchsorted(self._keys, key))  # type: ignore[call-overload]
        return place < len(self._keys) and bool(self._keys[place] == key)

    def __iter__(self) -> Iterator[int]:
        return (int(key) for key in self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class KeyMap(Mapping[int, Any]):
    """A mapping of 64-bit keys to few distinct values: ten bytes a key.

    Args:
        keys: sorted and distinct, int64.
        codes: which of the values each has, int16.
        values: the distinct values.
    """

    def __init__(self, keys: NDArray[np.int64], codes: NDArray[np.int16], values: list[Any]) -> None:
        self._keys, self._codes, self._values = keys, codes, values

    def __getitem__(self, key: int) -> Any:
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            raise KeyError(key)
        return self._values[self._codes[place]]

    def __iter__(self) -> Iterator[int]:
        return (int(key) for key in self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class Coded:
    """Small integers for values that repeat."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._codes: dict[Any, int] = {}

    def code(self, value: Any) -> int:
        """The number of a hashable value, a new one at its first appearance."""
        found = self._codes.get(value)
        if found is None:
            found = self._codes[value] = len(self.values)
            self.values.append(value)
        return found


class Names:
    """Names that were taken, as digests of 64 bits in an open table: sixteen bytes a name at most.

    Two different names of one digest (about 3e-8 likely among a million) count as one: the later is numbered.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 10))
        self._taken = 0
        self._counts: dict[int, int] = {}  # of names that came more than once

    def _find(self, digest: int) -> int:
        mask = len(self._slots) - 1
        place = digest & mask
        while self._slots[place] not in (0, digest):
            place = (place + 1) & mask
        return place

    def _take(self, digest: int) -> bool:
        """Whether it was free."""
        place = self._find(digest)
        if self._slots[place]:
            return False
        self._slots[place] = digest
        self._taken += 1
        if 2 * self._taken > len(self._slots):
            old = self._slots
            self._slots = array("Q", bytes(16 * len(old)))
            for held in old:
                if held:
                    self._slots[self._find(held)] = held
        return True

    def unique(self, name: str) -> str:
        """The name, or ``name#2``, ``name#3``... where it is taken; the answer is taken from now on."""
        digest = digest64(name) or 1  # 0 marks a free slot
        if self._take(digest):
            return name
        count = self._counts.get(digest, 1) + 1
        while not self._take(digest64(candidate := f"{name}#{count}") or 1):
            count += 1
        self._counts[digest] = count
        return candidate
