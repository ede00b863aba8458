"""Uploads under computation and their files, in a folder that the server owns and empties."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastin.serve.compute import FILES

_WAITING = 16


class BusyError(Exception):
    """Too many uploads wait already."""


@dataclass
class Job:
    """One answered upload.

    Attributes:
        token: its unguessable name in addresses.
        name: what the user called the file.
        folder: where its files are.
        result: what `fastin.serve.compute` said.
    """

    token: str
    name: str
    folder: Path
    result: dict[str, Any] = field(default_factory=dict)

    def file(self, name: str) -> Path | None:
        """A result file by its fixed name; None for any other name and where it was not made."""
        if name not in FILES:
            return None
        path = self.folder / name
        return path if path.is_file() else None


class Jobs:
    """Runs uploads, a few at a time, and keeps the latest.

    Args:
        root: folder of the server.
        time_limit: seconds for one upload.
        memory_bytes: address space of one computation.
        file_bytes: largest file that it may write.
        keep: number of answered uploads that stay.
        parallel: computations at a time.
    """

    def __init__(
        self, root: Path, time_limit: float, memory_bytes: int, file_bytes: int, keep: int = 50, parallel: int = 2
    ) -> None:
        self._root = root
        self._time_limit = time_limit
        self._limits = {"memory_bytes": memory_bytes, "file_bytes": file_bytes}
        self._keep = keep
        self._slots = asyncio.Semaphore(parallel)
        self._waiting = 0
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def get(self, token: str) -> Job | None:
        """A job by its token, if it is still kept."""
        return self._jobs.get(token)

    def latest(self) -> list[Job]:
        """The jobs that are kept, latest first."""
        return list(reversed(self._jobs.values()))

    async def run(self, payload: bytes, name: str, kind: str, ion: str | None) -> Job:
        """Computes one upload.

        Raises:
            BusyError: too many wait.
        """
        if self._waiting >= _WAITING:
            raise BusyError
        self._waiting += 1
        try:
            async with self._slots:
                return await self._compute(payload, name, kind, ion)
        finally:
            self._waiting -= 1

    async def _compute(self, payload: bytes, name: str, kind: str, ion: str | None) -> Job:
        token = secrets.token_urlsafe(18)
        job = Job(token, name, self._root / token)
        try:
            await self._fill(job, payload, {"name": name, "kind": kind, "ion": ion, **self._limits})
        finally:
            if "error" in job.result or not job.result:  # whatever was written before it failed is no result
                shutil.rmtree(job.folder, ignore_errors=True)
        self._jobs[token] = job
        while len(self._jobs) > self._keep:
            _, old = self._jobs.popitem(last=False)
            shutil.rmtree(old.folder, ignore_errors=True)
        return job

    async def _fill(self, job: Job, payload: bytes, request: dict[str, Any]) -> None:
        """Runs the computation and sets the job's result."""
        folder = job.folder
        folder.mkdir(mode=0o700)
        (folder / "upload").write_bytes(payload)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-m", "fastin.serve.compute", str(folder),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env=environment,
        )  # fmt: skip
        try:
            await asyncio.wait_for(process.communicate(json.dumps(request).encode()), self._time_limit)
            job.result = self._read(folder, process.returncode)
        except TimeoutError:
            job.result = {"error": f"stopped after {self._time_limit:g} s", "type": "TimeoutError"}
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    @staticmethod
    def _read(folder: Path, status: int | None) -> dict[str, Any]:
        try:
            result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"error": f"the computation ended with status {status}, most likely out of memory", "type": "Died"}
        return result
