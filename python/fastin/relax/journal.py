"""Structures that a stage has computed, written as they come: a stage that was killed is run again over them.

ASE's optimisers do the same steps from the same energies and forces, whatever their version keeps inside. So nothing of
their state is written, only what the potential said, under the digest of the positions it was asked for: the stage runs
from its beginning, what is written is not computed again, and the numbers are those of a run that was not killed.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastin.transport.parts import FloatArray

_SUM = 8  # bytes of the check at the end of a record


class Journal:
    """Energies and forces by positions, in a file that only grows.

    A record is SHA-256 of key and positions, energy, forces, and a check; what follows a broken one is cut off.

    Args:
        path: of the file; None keeps nothing.
        key: digest of all else that the results depend on.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self.path = path
        self.key = key.encode()
        self._held: dict[bytes, tuple[float, FloatArray]] | None = None
        self._stream: BinaryIO | None = None

    def find(self, several: Sequence[FloatArray]) -> list[tuple[float, FloatArray]] | None:
        """Energies and forces of all these (N, 3) positions, or None where one is missing."""
        if self.path is None:
            return None
        if self._held is None:
            self._held = self._read(self.path, len(several[0]))
        names = [self._name(x) for x in several]
        return [self._held[n] for n in names] if all(n in self._held for n in names) else None

    def add(self, several: Sequence[FloatArray], results: Sequence[tuple[float, FloatArray]]) -> None:
        """Writes what was computed."""
        if self.path is None:
            return
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("ab")
        for x, (energy, forces) in zip(several, results, strict=True):
            body = self._name(x) + struct.pack("<d", energy) + np.asarray(forces, dtype="<f8").tobytes()
            self._stream.write(body + _check(body))
        self._stream.flush()

    def close(self) -> None:
        """Lets go of the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def remove(self) -> None:
        """The stage is over: its result is written elsewhere."""
        self.close()
        self._held = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _name(self, positions: FloatArray) -> bytes:
        return hashlib.sha256(self.key + np.ascontiguousarray(positions, dtype="<f8").tobytes()).digest()

    def _read(self, path: Path, atoms: int) -> dict[bytes, tuple[float, FloatArray]]:
        size = 32 + 8 + 24 * atoms + _SUM
        held: dict[bytes, tuple[float, FloatArray]] = {}
        try:
            data = path.read_bytes()
        except OSError:
            return held
        whole = 0
        while whole + size <= len(data):
            body = data[whole : whole + size - _SUM]
            if data[whole + size - _SUM : whole + size] != _check(body):
                break
            forces = np.frombuffer(body[40:], dtype="<f8").astype(np.float64).reshape(-1, 3)
            held[body[:32]] = (float(struct.unpack("<d", body[32:40])[0]), forces)
            whole += size
        if whole < len(data):
            with path.open("r+b") as stream:
                stream.truncate(whole)
        return held


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_SUM]


NOTHING = Journal(None, "")
