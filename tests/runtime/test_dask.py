"""The Dask engine on a real LocalCluster of separate processes, with one of them killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from screening_support import install_plugin, rocksalt, write_lines

from fastin.errors import InputError
from fastin.screening import Progress, read_results, screen
from fastin.screening.dask_engine import SchedulerLostError

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TASK = "screening_plugin:slow"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = install_plugin(tmp_path / "plugin", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, *sys.path]))
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
    ) as local:
        yield local


def test_same_bytes_as_local(cluster, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "s.jsonl.gz", 100)
    here = screen(lines, tmp_path / "here.parquet", tasks=[TASK], workers=1)
    there = screen(lines, tmp_path / "there.parquet", tasks=[TASK], scheduler=cluster.scheduler_address)
    assert there.computed == 100
    assert here.path.read_bytes() == there.path.read_bytes()


def test_worker_killed_mid_run(cluster, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "s.jsonl.gz", 300)
    with distributed.Client(cluster) as client:
        pids = client.run(os.getpid)
        killed = []

        def kill_one() -> None:
            time.sleep(2.0)
            pid = next(iter(pids.values()))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

        killer = threading.Thread(target=kill_one)
        killer.start()
        result = screen(lines, tmp_path / "o.parquet", tasks=[TASK], scheduler=client)
        killer.join()
        assert killed
        assert killed[0] not in client.run(os.getpid).values()
    assert (result.total, result.failed) == (300, 0)
    assert result.table["id"].to_pylist() == [f"cell-{i:04d}" for i in range(300)]


def test_poison_costs_one_row(cluster, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, anion in enumerate(("Cl", "Br", "Cl", "F", "Cl")):
        (folder / f"{number}-{anion}.cif").write_text(rocksalt(anion))
    with distributed.Client(cluster) as client:
        result = screen(
            folder, tmp_path / "o.parquet", tasks=["screening_plugin:misbehave"], scheduler=client, time_limit=2.0
        )
    kinds = result.table["error_type"].to_pylist()
    assert kinds == [None, "WorkerDied", None, "TimeoutError", None]


def test_no_scheduler_there(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "s.jsonl.gz", 1)
    with pytest.raises(InputError, match="no Dask scheduler"):
        screen(lines, tmp_path / "o.parquet", tasks=["crystal"], scheduler="tcp://127.0.0.1:9")


_CLUSTER = """
import sys
from distributed import LocalCluster
with LocalCluster(n_workers=1, threads_per_worker=1, protocol="tcp", processes=False) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


def test_scheduler_that_goes_away(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "s.jsonl.gz", 2000)
    command = [sys.executable, "-c", _CLUSTER]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()

        def kill(state: Progress) -> None:
            if state.computed >= 8:
                process.kill()

        with pytest.raises(SchedulerLostError, match="the rows so far are kept"):
            screen(lines, tmp_path / "o.parquet", tasks=["crystal"], scheduler=address, progress=kill)
    assert 8 <= read_results(tmp_path / "o.parquet").num_rows < 2000
