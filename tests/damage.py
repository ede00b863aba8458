"""Seeded damage to files: flipped bits, cut ends, numbers that no crystal has."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastin.errors import FastinError

ABSURD = (
    *("1e300", "-1e300", "1e20", "-1", "0", "nan", "inf", "x", "", "null", "[]", "1e-300", "0.5"),
    *("99999999999", "-99999999999", "2147483648", "9223372036854775807", "18446744073709551616", "1000000"),
)
_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")


def flipped(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies with a flipped bit each, every fourth cut short instead."""
    rng = random.Random(seed)
    for number in range(count):
        if number % 4 == 3:
            yield data[: rng.randrange(len(data))]
            continue
        damaged, bit = bytearray(data), rng.randrange(8 * len(data))
        damaged[bit // 8] ^= 1 << (bit % 8)
        yield bytes(damaged)


def absurd(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies with one number replaced."""
    rng = random.Random(seed)
    places = list(_NUMBER.finditer(data))
    for _ in range(count):
        place = rng.choice(places)
        yield data[: place.start()] + rng.choice(ABSURD).encode() + data[place.end() :]


def read_all(
    path: Path, copies: Iterator[bytes], read: Callable[[Path], Any], use: Callable[[Any], object] = lambda _: None
) -> tuple[int, list[Any]]:
    """Reads every copy: how many were refused by one typed line, and what the others gave. Foreign errors pass."""
    refused, rest = [], []
    for data in copies:
        path.write_bytes(data)
        try:
            found = read(path)
            use(found)
        except FastinError as error:
            refused.append(str(error))
        else:
            rest.append(found)
    assert not any("\n" in text for text in refused)
    return len(refused), rest
