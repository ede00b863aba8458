"""fastin serve against slow, foreign and costly requests; its processes end with it; each end is told apart."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from screening_support import rocksalt, write_lines

from fastin.errors import InputError
from fastin.screening.query import top
from fastin.serve import Settings, create_app
from fastin.serve.compute import NO_SPACE
from fastin.serve.jobs import Jobs
from fastin.serve.server import TimedProtocol, configuration

TABLE = pa.table({"id": ["cell-0000", "cell-0001"], "e3d": [0.5, 0.25]})
GUARDS = ("x-content-type-options", "referrer-policy", "content-security-policy", "cache-control")
#: One scalar function that neither heeds DuckDB's interrupt nor its memory limit.
COSTLY = "levenshtein(repeat('a', 300000), repeat('b', 300000)) > 0"
LARGE = "length(repeat('abcdefgh', 4000000000)) > 0"


class _Quick(TimedProtocol):
    header_seconds = 0.5


@contextlib.contextmanager
def _serve(**settings: Any) -> Iterator[httpx.Client]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = create_app(Settings(**settings))
        server = uvicorn.Server(configuration(app, http=_Quick, log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.02)
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("tables")
    pq.write_table(TABLE, folder / "r.parquet")
    lines = write_lines(folder / "cells.jsonl.gz", 2)
    settings = {"results": str(folder / "r.parquet"), "sources": (str(lines),), "pause_seconds": 0.5}
    with _serve(max_upload=100_000, **settings) as running:
        yield running


def _connect(client: httpx.Client, sent: bytes) -> socket.socket:
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20)
    connection.sendall(sent)
    return connection


def _everything(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    with connection:
        found = b""
        while block := connection.recv(65536):
            found += block
    return found


def test_conditions_end_at_their_limits() -> None:
    with pytest.raises(InputError, match="longer than 1 s"):
        top(TABLE, "e3d", where=COSTLY, time_limit=1.0)
    with pytest.raises(InputError, match=r"more memory|cannot be evaluated"):
        top(TABLE, "e3d", where=LARGE, memory=2**29, time_limit=20.0)


def test_a_costly_question_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastin.serve.app._QUERY_SECONDS", 1.0)
    pq.write_table(TABLE, tmp_path / "r.parquet")
    with _serve(results=str(tmp_path / "r.parquet")) as fresh:
        waiting = [
            threading.Thread(target=lambda: fresh.get("/query", params={"where": COSTLY}), daemon=True)
            for _ in range(3)
        ]
        for thread in waiting:
            thread.start()
        time.sleep(0.3)
        assert fresh.get("/").status_code == 200
        assert fresh.get("/results").status_code == 200
        assert sum(thread.is_alive() for thread in waiting) > 0  # they were answered while the questions ran
        for thread in waiting:
            thread.join(timeout=30)
        page = fresh.get("/query", params={"where": COSTLY})
        assert page.status_code == 400
        assert "longer than 1 s" in page.text
        assert fresh.get("/query", params={"where": "e3d < 0.3"}).status_code == 200


@pytest.mark.parametrize("limit", ["²", "-1", "", "1e3", "9" * 30, "٣"])
def test_odd_numbers_of_rows(client: httpx.Client, limit: str) -> None:
    assert client.get("/query", params={"limit": limit}).status_code == 200


FOREIGN = [
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},
    {"referer": "http://evil.example/page"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/query?where=1=1", "/query", "/structure?id=cell-0001", "/results?x=1", "/?by=e3d"])
def test_other_sites_cannot_make_it_compute(client: httpx.Client, headers: dict[str, str], path: str) -> None:
    assert client.get(path, headers=headers).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200


def test_a_link_from_elsewhere_asks_first(client: httpx.Client) -> None:
    """The report page runs in an origin of its own, so its links come from another site too."""
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    page = client.get("/structure", params={"id": "cell-0001"}, headers=headers)
    assert page.status_code == 403
    assert "name='id' value='cell-0001'" in page.text
    assert "<script" not in client.get("/structure", params={"id": "<script>'\""}, headers=headers).text
    own = {"sec-fetch-site": "same-origin", "origin": str(client.base_url).rstrip("/")}
    assert client.post("/structure", data={"id": "cell-0001"}, headers=own).status_code == 303
    assert (
        client.post("/structure", data={"id": "cell-0001"}, headers={"origin": "http://evil.example"}).status_code
        == 403
    )
    assert client.post("/structure", data={"id": "no"}).status_code == 404


def test_links_of_the_own_report_need_no_question(client: httpx.Client) -> None:
    """Its page has an origin of its own, so a browser calls its links cross-site: they carry a key."""
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    (key,) = re.findall(r"/structure\?id=\{id\}&key=([\w-]+)", client.get("/results").text)
    own = {"id": "cell-0001", "key": key}
    assert client.get("/structure", params=own, headers=headers).status_code == 303
    for wrong in ("", key[:-1], key + "x", "ä"):
        assert client.get("/structure", params=own | {"key": wrong}, headers=headers).status_code == 403
    assert client.get("/query", params={"where": "1=1", "key": key}, headers=headers).status_code == 403


def test_headers_that_never_end(client: httpx.Client) -> None:
    """A hundred unfinished requests: everybody else is answered, and they are closed in time."""
    slow = [_connect(client, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-") for _ in range(100)]
    assert client.get("/").status_code == 200
    for connection in slow:
        assert _everything(connection) == b""
    again = _connect(client, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HT")  # the second request of a connection
    assert _everything(again).count(b"HTTP/1.1 200") == 1
    assert _everything(_connect(client, b"")) == b""


def test_a_body_that_never_comes(client: httpx.Client) -> None:
    head = b"POST /analyze HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    stalled = [_connect(client, head + b"Content-Length: 5000\r\n\r\n--b") for _ in range(10)]
    assert client.get("/").status_code == 200
    for connection in stalled:
        answer = _everything(connection)
        assert answer.startswith(b"HTTP/1.1 408")
        assert all(name.encode() in answer for name in GUARDS)


def test_refusals_carry_the_guards(client: httpx.Client) -> None:
    answers = [
        client.get("/", headers={"host": "evil.example"}),
        client.get("/query", headers=FOREIGN[0]),
        client.get("/nowhere"),
        client.get("/analyze"),
        client.post("/analyze", content=b"x" * 200_000),
        client.post("/analyze", data={"ion": "Li"}),
    ]
    assert [answer.status_code for answer in answers] == [400, 403, 404, 405, 413, 400]
    for answer in answers:
        assert set(GUARDS) <= set(answer.headers), answer.status_code


def test_the_unexpected_carries_them_too(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("fastin.serve.pages.home", broken)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert set(GUARDS) <= set(answer.headers)


def test_ends_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"formula": "LiCl"}')
    assert Jobs._read(tmp_path, 0) == {"formula": "LiCl"}
    assert "disk" in Jobs._read(tmp_path, NO_SPACE)["error"]
    (tmp_path / "result.json").write_text('{"formula": "Li')
    said = {status: Jobs._read(tmp_path, status)["error"] for status in (-signal.SIGSEGV, -signal.SIGKILL, 1, -99)}
    assert "SIGSEGV" in said[-signal.SIGSEGV]
    assert "memory" not in said[-signal.SIGSEGV]
    assert "memory" in said[-signal.SIGKILL]
    assert len(set(said.values())) == 4


_SITE = """
import sys
if any("fastin.serve.compute" in word for word in sys.orig_argv):
    import ctypes
    import fastin.screening.job as job

    def load_crystal(record):
        if "crash" in record[0]:
            ctypes.string_at(0)
        if "fill" in record[0]:
            kept = [bytearray(2**26) for _ in range(1024)]
        if "hang" in record[0]:
            while True:
                pass
        raise OSError(28, "No space left on device")

    job.load_crystal = load_crystal
"""


@pytest.fixture
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_SITE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return str(tmp_path / "site")


def test_crash_memory_and_full_disk_have_their_own_words(misbehaving: str) -> None:
    said = {}
    with _serve(memory_bytes=2**29, time_limit=30.0) as client:
        for name in ("crash", "fill", "disk"):
            sent = client.post("/analyze", files={"file": (f"{name}.cif", rocksalt().encode())})
            address = sent.headers["location"]
            deadline = time.monotonic() + 40
            while (page := client.get(address)).status_code == 202:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert page.status_code == 422
            said[name] = page.text
    assert "SIGSEGV" in said["crash"]
    assert "more memory than the" in said["fill"]
    assert "No space left" in said["disk"]


def _start(folder: str) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([folder, *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-m", "fastin", "serve", "--port", str(port), "--memory", "2G"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 40
    with httpx.Client(base_url=base, timeout=20, trust_env=False) as client:
        while True:
            try:
                client.get("/")
                break
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        client.post("/analyze", files={"file": ("hang.cif", rocksalt().encode())})
    return process, base


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_computations_end_with_the_server(misbehaving: str, number: signal.Signals) -> None:
    process, _ = _start(misbehaving)
    try:
        deadline = time.monotonic() + 20
        while not (children := psutil.Process(process.pid).children(recursive=True)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        process.communicate(timeout=15)
        _, alive = psutil.wait_procs(children, timeout=15)
        assert not alive
        assert process.returncode == -number
    finally:
        process.kill()
        process.communicate()
