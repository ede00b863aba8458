"""Kill -9 of the whole process group at random moments, Ctrl-C, SIGTERM: the table is that of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from screening_support import install_plugin, write_lines

from fastin.screening import read_results

pytestmark = pytest.mark.slow

COUNT = 600
TASK = "screening_plugin:slow"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that starts ``fastin screen`` in its own process group."""
    folder = install_plugin(tmp_path / "plugin", monkeypatch)
    lines = write_lines(tmp_path / "cells.jsonl.gz", COUNT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([folder, *sys.path])}

    def run(out: str) -> subprocess.Popen[bytes]:
        arguments = ["screen", str(lines), "-o", str(tmp_path / out), "-t", TASK, "-j", "2"]
        command = [sys.executable, "-m", "fastin", *arguments]
        return subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    # Where this run was started with the interrupt ignored (a background job), its children would ignore it too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield run
    signal.signal(signal.SIGINT, before)


def _workers_of(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def _wait_until_gone(group: int) -> None:
    deadline = time.monotonic() + 30
    while _workers_of(group):
        assert time.monotonic() < deadline, "worker processes outlive their supervisor"
        time.sleep(0.05)


def _finish(start, out: str) -> bytes:
    process = start(out)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output.decode()
    return output


@pytest.mark.parametrize("out", ["o.parquet", "folder"])
def test_kill_group_at_random_moments(start, tmp_path: Path, out: str) -> None:
    _finish(start, f"whole-{out}")
    moments = random.Random(20)
    kills = 0
    while kills < 8:
        process = start(out)
        try:
            output, _ = process.communicate(timeout=moments.uniform(0.2, 4.0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            _wait_until_gone(process.pid)
            kills += 1
            continue
        assert process.returncode == 0, output.decode()
        break
    assert kills >= 1
    _finish(start, out)
    whole, interrupted = tmp_path / f"whole-{out}", tmp_path / out
    if whole.is_file():
        assert interrupted.read_bytes() == whole.read_bytes()
        assert not list(tmp_path.glob("*.parts"))
    else:
        tables = [read_results(path).drop_columns(["seconds"]) for path in (whole, interrupted)]
        assert tables[0].equals(tables[1])
    assert read_results(interrupted).num_rows == COUNT


def test_supervisor_alone_killed(start) -> None:
    """kill -9 of the supervisor only: the workers go with it."""
    process = start("o.parquet")
    deadline = time.monotonic() + 20
    while len(_workers_of(process.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _wait_until_gone(process.pid)
    _finish(start, "o.parquet")


def test_progress_survives_within_seconds(start, tmp_path: Path) -> None:
    """What was computed more than a few seconds before the kill is there after it."""
    process = start("o.parquet")
    parts = tmp_path / "o.parquet.parts"
    deadline = time.monotonic() + 60
    while not list(parts.glob("part-*.parquet")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = read_results(parts).num_rows
    assert kept > 0
    output = _finish(start, "o.parquet")
    assert f"{kept} were there".encode() in output


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stop_leaves_a_resumable_store(start, tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = start("o.parquet")
    deadline = time.monotonic() + 60
    while not list((tmp_path / "o.parquet.parts").glob("part-*.parquet")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output.decode()
    assert b"run the same command to continue" in output
    _wait_until_gone(process.pid)
    kept = read_results(tmp_path / "o.parquet.parts").num_rows
    assert 0 < kept < COUNT
    assert f"{kept} were there".encode() in _finish(start, "o.parquet")


def test_memory_stays_flat(tmp_path: Path) -> None:
    """30,000 records through the supervisor: nothing accumulates but a key and a name a record."""
    from fastin.screening import screen

    process = psutil.Process()
    sizes = []

    def records():
        for number in range(30_000):
            if number % 1000 == 0:
                sizes.append(process.memory_info().rss / 2**20)
            yield f"record-{number:06d}", None  # no structure: a row with an error, at no cost

    result = screen(records(), tmp_path / "out", tasks=["crystal"], workers=1)
    assert (result.total, result.failed) == (30_000, 30_000)
    assert max(sizes[15:]) - max(sizes[5:15]) < 40  # MB over the second half
