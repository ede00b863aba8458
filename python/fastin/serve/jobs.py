"""Uploads under computation and their files, in a folder that the server owns and empties."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastin.runtime.pool import words_of_status
from fastin.serve.compute import FILES, NO_SPACE, PROGRESS

_WAITING = 16
_CPU_MARGIN = 30.0  # s of processor time beyond the time limit, which nobody keeps when the server is killed


class BusyError(Exception):
    """Too many uploads wait already."""


@dataclass
class Job:
    """One upload, waiting, under computation or answered.

    Attributes:
        token: its unguessable name in addresses.
        name: what the user called the file.
        folder: where its files are.
        result: what `fastin.serve.compute` said; empty while it has not.
        started: when it was sent, on the monotonic clock (s).
    """

    token: str
    name: str
    folder: Path
    result: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> bool:
        """Whether it is answered."""
        return bool(self.result)

    def seconds(self) -> float:
        """Since it was sent."""
        return time.monotonic() - self.started

    def stages(self) -> list[str]:
        """What the computation has begun so far, in order."""
        try:
            return (self.folder / PROGRESS).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

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
        memory_bytes: what one computation may allocate.
        file_bytes: largest file that it may write.
        keep: number of answered uploads that stay.
        parallel: computations at a time.
    """

    def __init__(
        self, root: Path, time_limit: float, memory_bytes: int, file_bytes: int, keep: int = 50, parallel: int = 2
    ) -> None:
        self._root = root
        self._time_limit = time_limit
        self._limits = {"memory_bytes": memory_bytes, "file_bytes": file_bytes, "cpu_seconds": time_limit + _CPU_MARGIN}
        self._keep = keep
        self._slots = asyncio.Semaphore(parallel)
        self._waiting = 0
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, token: str) -> Job | None:
        """A job by its token, if it is still kept."""
        return self._jobs.get(token)

    def latest(self) -> list[Job]:
        """The jobs that are kept, latest first."""
        return list(reversed(self._jobs.values()))

    def start(self, payload: bytes, request: dict[str, Any]) -> Job:
        """Begins to compute one upload; `Job.done` says when it is over.

        Args:
            payload: the file.
            request: what `fastin.serve.compute` is asked: ``name``, ``kind``, ``ion``, ``convention``, ``parts``.

        Raises:
            BusyError: too many wait.
        """
        if self._waiting >= _WAITING:
            raise BusyError
        self._waiting += 1
        token = secrets.token_urlsafe(18)
        job = self._jobs[token] = Job(token, request["name"], self._root / token)
        task = asyncio.create_task(self._work(job, payload, request | self._limits))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def close(self) -> None:
        """Stops what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, job: Job, payload: bytes, request: dict[str, Any]) -> None:
        try:
            async with self._slots:
                await self._fill(job, payload, request)
        except OSError as error:  # a full disk, no process to be had
            job.result = {"error": f"the server could not compute it: {error.strerror or error}", "type": "OSError"}
        finally:
            self._waiting -= 1
            if "error" in job.result or not job.result:  # whatever was written before it failed is no result
                shutil.rmtree(job.folder, ignore_errors=True)
                job.result = job.result or {"error": "stopped with the server", "type": "Stopped"}
        answered = [token for token, other in self._jobs.items() if other.done]
        for token in answered[: max(0, len(answered) - self._keep)]:
            shutil.rmtree(self._jobs.pop(token).folder, ignore_errors=True)

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
        theirs, lifeline = os.pipe()  # closes when the server is gone, however it went
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "ignore", "-m", "fastin.serve.compute", str(folder), str(theirs),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                env=environment, pass_fds=(theirs,),
            )  # fmt: skip
            try:
                await asyncio.wait_for(process.communicate(json.dumps(request).encode()), self._time_limit)
                job.result = self._read(folder, process.returncode or 0)
            except TimeoutError:
                job.result = {"error": f"stopped after {self._time_limit:g} s", "type": "TimeoutError"}
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        finally:
            os.close(theirs)
            os.close(lifeline)

    @staticmethod
    def _read(folder: Path, status: int) -> dict[str, Any]:
        """The result, or what the process's end says: a crash, a full disk and a lack of memory are three things."""
        if status == NO_SPACE:
            return {"error": "the disk of the server is full", "type": "OSError"}
        try:
            result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kind = "MemoryError" if status == -signal.SIGKILL else "Died"
            return {"error": words_of_status(status), "type": kind}
        return result
