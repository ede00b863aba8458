"""fastin serve: uploads, files, tables; and every limit and refusal that it promises."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import open_page
from screening_support import rocksalt, write_lines

import fastin
from fastin.cli.serve import command
from fastin.serve import Settings, create_app
from fastin.serve.compute import FILES

LFP = fastin.examples()["LiFePO4"]
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class _Client(httpx.Client):
    """A client that waits until a structure is computed."""

    def post(self, *arguments: Any, **options: Any) -> httpx.Response:
        answer = super().post(*arguments, **options)
        self.finish(answer)
        return answer

    def finish(self, answer: httpx.Response) -> None:
        """Waits for the job that `answer` leads to."""
        deadline = time.monotonic() + 60
        while answer.status_code == 303 and self.get(answer.headers["location"]).status_code == 202:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@contextlib.contextmanager
def _client(**settings: Any) -> Iterator[_Client]:
    """A client of the application on a real socket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(Settings(**settings)), log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.02)
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with _Client(base_url=base, timeout=60, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(timeout=20)


def _raw(client: httpx.Client, path: str) -> tuple[int, str]:
    """Status and text of a GET whose path no client library has tidied."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 80, timeout=20)
    connection.putrequest("GET", path, skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, text


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with _client(max_upload=300_000) as running:
        yield running


@pytest.fixture(scope="module")
def job(client: httpx.Client) -> str:
    """Address of an analyzed LiFePO4."""
    with LFP.open("rb") as stream:
        answer = client.post("/analyze", files={"file": ("LiFePO4.cif", stream)}, data={"ion": "Li"})
    assert answer.status_code == 303
    return str(answer.headers["location"])


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Any]:
    lines = write_lines(tmp_path / "cells.jsonl.gz", 3)
    rows = {"id": ["cell-0000", "cell-0001", EVIL], "formula": ["LiCl", EVIL, "LiCl"], "e3d": [0.5, 0.25, float("inf")]}
    pq.write_table(pa.table(rows), tmp_path / "r.parquet")
    return {"results": str(tmp_path / "r.parquet"), "sources": (str(lines),)}


def test_upload_to_page_and_files(client: httpx.Client, job: str) -> None:
    page = client.get(job)
    assert page.status_code == 200
    assert "0.373 eV" in page.text
    assert "Pnma" in page.text
    links = re.findall(r"href='([^']*/file/[^']*)'", page.text)
    assert {link.rsplit("/", 1)[1] for link in links} == set(FILES)
    for link in links:
        answer = client.get(link)
        assert answer.status_code == 200
        assert "attachment" in answer.headers["content-disposition"]
        assert len(answer.content) > 500
    assert "LiFePO4.cif" in client.get("/").text


def test_view_page_draws_under_its_policy(client: httpx.Client, job: str, tmp_path: Path) -> None:
    answer = client.get(f"{job}/view")
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    (tmp_path / "v.html").write_text(answer.text, encoding="utf-8")
    assert 'data-ready="3d"' in open_page(tmp_path / "v.html").dom


@pytest.mark.parametrize(
    "path",
    [
        "/job/{t}/file/../upload",
        "/job/{t}/file/..%2f..%2f..%2fetc%2fpasswd",
        "/job/{t}/file/%2e%2e/upload",
        "/job/{t}/file/upload",
        "/job/{t}/file/result.json",
        "/job/{t}/file//etc/passwd",
        "/job/../../etc/passwd",
        "/job/%2e%2e/view",
        "/job/nothing/view",
        "/static/../../etc/passwd",
        "/etc/passwd",
    ],
)
def test_no_other_file_is_served(client: httpx.Client, job: str, path: str) -> None:
    status, text = _raw(client, path.replace("{t}", job.rsplit("/", 1)[1]))
    assert status in (404, 405)
    assert "root:" not in text
    assert "_cell_length_a" not in text


def test_foreign_text_is_escaped(client: httpx.Client) -> None:
    """File name, element, label and message come from outside; no page carries them as HTML."""
    cif = rocksalt().replace("Li Li0", "Li <img/src=x/onerror=alert(1)>")
    for content in (cif, f"data_x\n{EVIL}\n", cif.replace("Li Li1", f"{EVIL.split()[0]} Li1")):
        answer = client.post("/analyze", files={"file": (f"{EVIL}.cif", content.encode())})
        page = client.get(answer.headers["location"])
        for text in (page.text, client.get("/").text):
            assert "<script" not in text
            assert "<img" not in text
        assert "script-src" not in page.headers["content-security-policy"]  # default-src 'none': no script at all


def test_limits_of_an_upload(client: httpx.Client) -> None:
    big = b"x" * 400_000
    answer = client.post("/analyze", files={"file": ("big.cif", big)})
    assert answer.status_code == 413

    def chunks() -> Iterator[bytes]:  # no content-length: the stream itself is counted
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.cif"\r\n\r\n'
        yield head
        for _ in range(40):
            yield b"y" * 10_000
        yield b"\r\n--b--\r\n"

    answer = client.post("/analyze", content=chunks(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 413
    assert client.post("/analyze", data={"ion": "Li"}).status_code == 400
    assert client.post("/analyze", files=[("file", ("a.cif", b"a")), ("file", ("b.cif", b"b"))]).status_code == 400


def test_time_limit() -> None:
    with _client(time_limit=0.05) as client:
        answer = client.post("/analyze", files={"file": ("slow.cif", rocksalt().encode())})
        page = client.get(answer.headers["location"])
        assert page.status_code == 422
        assert "stopped after 0.05 s" in page.text
        assert client.get("/").status_code == 200
        assert client.get(f"{answer.headers['location']}/file/network.json").status_code == 404


def test_files_are_bounded() -> None:
    """A few hundred bytes of CIF with an enormous cell must not fill the disk."""
    with _client(file_bytes=400_000) as client:
        answer = client.post("/analyze", files={"file": ("wide.cif", rocksalt(a=9.0).encode())})
        page = client.get(answer.headers["location"])
        assert page.status_code == 200
        assert "No energy.cube: too large" in page.text
        assert client.get(f"{answer.headers['location']}/file/energy.cube").status_code == 404
        assert client.get(f"{answer.headers['location']}/file/network.json").status_code == 200


def test_settings_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no table")
    for arguments in (
        ["--max-upload", "nan"],
        ["--max-upload", "-1"],
        ["--time-limit", "0"],
        ["--results", str(tmp_path / "text.parquet")],
        ["--results", str(tmp_path / "none.parquet")],
    ):
        assert CliRunner().invoke(command, arguments).exit_code == 2, arguments


def test_unreadable_uploads_are_explained(client: httpx.Client) -> None:
    for name, content in (
        ("a.cif", b""),
        ("b.cif", bytes(range(256))),
        ("POSCAR", b"nonsense"),
        ("c.cif", b"data_x\n"),
    ):
        answer = client.post("/analyze", files={"file": (name, content)})
        page = client.get(answer.headers["location"])
        assert page.status_code == 422
        assert "Error" in page.text


def test_old_uploads_are_removed() -> None:
    with _client(keep=1) as client:
        first, second = (
            client.post("/analyze", files={"file": ("a.cif", rocksalt(a=a).encode())}).headers["location"]
            for a in (5.1, 5.2)
        )
        assert client.get(first).status_code == 404
        assert client.get(second).status_code == 200


def test_other_sites_and_names_are_refused(client: httpx.Client) -> None:
    files = {"file": ("a.cif", rocksalt().encode())}
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400  # DNS rebinding
    assert client.post("/analyze", files=files, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/analyze", files=files, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/", headers=headers).status_code == 403
    for origin in ("null", f"http://{client.base_url.host}:1", "file://"):
        assert client.post("/analyze", files=files, headers={"origin": origin}).status_code == 403
    hidden = {
        "origin": "null",
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
    }
    assert client.post("/analyze", files=files, headers=hidden).status_code == 403
    ordinary = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert client.post("/analyze", files=files, headers=ordinary).status_code == 303


def test_every_answer_carries_the_guards(client: httpx.Client, job: str) -> None:
    for path in ("/", job, f"{job}/view", "/nowhere", "/results"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"


def test_only_own_pages_may_frame_a_picture(client: httpx.Client, job: str) -> None:
    headers = client.get(f"{job}/frame").headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'self'" in policy
    assert "sandbox allow-scripts allow-downloads" in policy
    assert "default-src 'none'" in policy
    assert headers["referrer-policy"] == "same-origin"


def test_choices_that_the_form_does_not_offer(client: httpx.Client) -> None:
    for fields in ({"example": "../../etc/passwd"}, {"convention": "mine", "example": "LiCl"}, {"part": "shell"}):
        answer = client.post("/analyze", data=fields)
        assert answer.status_code == 400
        assert "href='/'" in answer.text
        assert "passwd" not in answer.text


def test_results_and_query(tables: dict[str, Any]) -> None:
    with _client(**tables) as client:
        report = client.get("/results")
        assert report.status_code == 200
        assert "/structure?id={id}" in report.text
        assert "sandbox" in report.headers["content-security-policy"]
        page = client.get("/query", params={"by": "e3d", "where": "formula = 'LiCl'"})
        assert "cell-0000" in page.text
        assert "/structure?id=cell-0000" in page.text
        rows = client.get("/query", params={"by": "e3d", "format": "json"}).json()["rows"]
        assert [row["id"] for row in rows] == ["cell-0001", "cell-0000"]
        for where in ("exists (select * from read_text('/etc/passwd'))", EVIL, "1=1); drop table results; select (1"):
            page = client.get("/query", params={"where": where})
            assert page.status_code == 400
            assert "root:" not in page.text
            assert "<script" not in page.text
        evil = client.get("/query", params={"by": "e3d", "where": "e3d < 0.3"})
        assert EVIL not in evil.text
        assert "&lt;script&gt;" in evil.text
        assert client.get("/query", params={"by": EVIL}).status_code == 400
        assert client.get("/query", params={"limit": "99999999999999999999"}).status_code == 200


def test_rows_open_from_the_given_data_only(tables: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "secret.cif").write_text(rocksalt())
    with _client(**tables) as client:
        answer = client.get("/structure", params={"id": "cell-0001"})
        assert answer.status_code == 303
        client.finish(answer)
        assert "LiCl" in client.get(answer.headers["location"]).text
        for uid in (str(tmp_path / "secret.cif"), "../secret", "secret", "/etc/passwd", ""):
            assert client.get("/structure", params={"id": uid}).status_code == 404
    with _client(results=tables["results"]) as client:
        assert client.get("/structure", params={"id": "cell-0001"}).status_code == 404


def test_without_results(client: httpx.Client) -> None:
    assert client.get("/results").status_code == 404
    with pytest.raises(fastin.InputError, match="does not exist"):
        create_app(Settings(results="/nowhere/r.parquet"))


def test_real_server_listens_on_this_machine_only() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "fastin", "serve", "--port", str(port)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/")
                answer = connection.getresponse()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert answer.status == 200
        assert answer.getheader("server") is None
        connection.close()
        listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        addresses = {fields[1] for fields in listening if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")}
        assert addresses == {f"0100007F:{port:04X}"}
    finally:
        process.terminate()
        process.communicate(timeout=20)
