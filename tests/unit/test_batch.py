"""Every command over many structures: one that crashes, hangs or fills the memory costs its own row; exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import batch_support
from screening_support import rocksalt

import fastin
from fastin.cli import EXIT_STATUSES, main
from fastin.cli._batch import Size
from fastin.runtime.isolate import isolate, shared_out
from fastin.runtime.pool import Failure, LostError, Pool, Target, WorkerStartError

KINDS = {"crash": "WorkerDied", "hang": "TimeoutError", "fill": "MemoryError", "raise": "KeyError"}
LIMITS = ["--time-limit", "6", "--memory", "1G"]


@pytest.fixture
def structures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    batch_support.install(tmp_path / "site", monkeypatch)
    paths = []
    for name in ("good-1", "crash", "hang", "fill", "raise", "good-2"):
        paths.append(tmp_path / f"{name}.cif")
        paths[-1].write_text(rocksalt())
    return [str(path) for path in paths]


@pytest.mark.parametrize("command", [["analyze", "--no-barriers"], ["barriers", "--resolution", "0.5"]])
def test_misbehaving_structures_cost_their_own_row(command: list[str], structures: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, *structures, *LIMITS, "--threads", "1", "--json"])
    assert result.exit_code == 1, result.output
    rows = json.loads(result.stdout)
    assert [row["source"] for row in rows] == structures
    for row, path in zip(rows, structures, strict=True):
        kind = KINDS.get(Path(path).stem)
        assert row.get("error", {}).get("type") == kind
        if kind is not None:
            assert path in row["error"]["message"]
            assert path in result.stderr
    assert "SIGSEGV" in rows[1]["error"]["message"]
    assert "--time-limit" in rows[2]["error"]["message"]
    assert "--memory" in rows[3]["error"]["message"]


def test_cells_of_the_others_are_kept(structures: list[str]) -> None:
    result = CliRunner().invoke(main, ["order", *structures, *LIMITS, "--json"])
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert [Path(row["source"]).stem for row in rows if "error" not in row] == ["good-1", "good-2"], rows
    for row in rows:
        kind = KINDS.get(Path(row["source"]).stem)
        assert kind is None or row["error"].startswith(kind), row
        assert kind is None or row["source"] in row["error"]


def test_network_of_a_crashing_structure_is_one_line(structures: list[str]) -> None:
    result = CliRunner().invoke(main, ["network", structures[1]])
    assert result.exit_code == 1
    assert "WorkerDied" in result.stderr
    assert structures[1] in result.stderr


def test_patterns_of_the_others_are_kept(structures: list[str]) -> None:
    pytest.importorskip("torch")
    result = CliRunner().invoke(main, ["xrd", "classify", *structures[:2], structures[5], "--json"])
    assert result.exit_code == 1, result.output
    rows = json.loads(result.stdout)
    assert [("error" in row) for row in rows] == [False, True, False], rows
    assert structures[1] in rows[1]["error"]
    assert "SIGSEGV" in rows[1]["error"]


def test_predictions_of_the_others_are_kept(structures: list[str]) -> None:
    pytest.importorskip("torch")
    from fastin.prediction import predict_many

    some = [structures[0], structures[1], structures[4], structures[5]]
    result = CliRunner().invoke(main, ["predict", *some, *LIMITS, "--no-experiment", "--device", "cpu", "--json"])
    assert result.exit_code == 1, result.output
    assert [row["source"] for row in json.loads(result.stdout)] == [some[0], some[3]]
    assert "WorkerDied" in result.stderr
    assert "KeyError" in result.stderr
    said = predict_many(some[2:], device="cpu", experiment=False, on_error="skip")
    assert [p.source for p in said] == [some[3]]
    with pytest.raises(LostError, match=r"crash\.cif.*SIGSEGV"):
        predict_many(some[:2], device="cpu", experiment=False)
    alone = fastin.predict(some[0], device="cpu", experiment=False)
    assert said[0].activation_energy == pytest.approx(alone.activation_energy, rel=1e-5)


def test_a_data_set_leaves_out_and_tries_again(structures: list[str], tmp_path: Path) -> None:
    out = tmp_path / "set"
    command = ["dataset", "build", structures[0], structures[2], structures[5], "--out", str(out), "--time-limit", "2"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1, result.output
    manifest = json.loads((out / "dataset.json").read_text())
    assert manifest["structures"] == 2
    assert manifest["failures"] == {"hang": "TimeoutError: exceeded the time limit of 2 s"}
    (tmp_path / "site" / "sitecustomize.py").write_text("")
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 0, again.output
    whole = json.loads((out / "dataset.json").read_text())
    assert whole["structures"] == 3
    assert whole["version"] != manifest["version"]


def _run(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "fastin", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_interrupt_keeps_what_is_done(structures: list[str], tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        out = tmp_path / "out"
        arguments = [structures[0], structures[2], "--no-barriers", "--threads", "1", "--out", str(out), "--json"]
        process = _run("analyze", *arguments)
        deadline = time.monotonic() + 60
        while not (out / "good-1.analysis.json").is_file():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == 130, stderr
    assert [row["source"] for row in json.loads(stdout)] == [structures[0]]
    assert "1 of 2 structures done" in stderr


def test_an_early_interrupt_has_the_status_of_a_late_one() -> None:
    """While the command line is still being loaded; Python may also pass the signal on (130 in a shell)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'click':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['fastin', 'info']\n"
        "from fastin.__main__ import main\n"
        "main()\n"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 130
    assert done.stderr == "interrupted\n"


def test_the_unexpected_has_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("nobody expected this")

    monkeypatch.setattr("fastin.cli.info.show_config", broken)
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 70
    assert "nobody expected this" in result.stderr
    assert "please report" in result.stderr


def test_interrupt_and_lost_reader_of_any_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, status in ((KeyboardInterrupt(), 130), (BrokenPipeError(32, "gone"), 141), (OSError(28, "full"), 2)):

        def ended(error: BaseException = error, **_: object) -> None:
            raise error

        monkeypatch.setattr("fastin.cli.info.show_config", ended)
        assert CliRunner().invoke(main, ["info"]).exit_code == status


def test_help_holds_the_table() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    guide = Path(__file__).resolve().parents[2] / "docs" / "guide" / "exit-statuses.md"
    for status in EXIT_STATUSES:
        assert f"  {status} " in text
        if guide.is_file():
            assert f"| {status} |" in guide.read_text(encoding="utf-8")
    assert CliRunner().invoke(main, ["no-such-command"]).exit_code == 2


def test_amounts_of_memory() -> None:
    size = Size()
    assert size.convert("4G", None, None) == 4_000_000_000
    assert size.convert("1.5GiB", None, None) == 3 * 2**29
    assert size.convert("4000000000", None, None) == 4_000_000_000
    for text in ("4", "nan", "-1G", "1e9G", "10K", "", "4 gigs", "99999999999T"):
        with pytest.raises(Exception, match=r"memory|outside"):
            size.convert(text, None, None)


def test_processors_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastin.runtime.isolate.get_num_threads", lambda: 8)
    assert shared_out(1) == (1, 8)
    assert shared_out(8) == (2, 4)
    assert shared_out(1000) == (8, 1)
    assert shared_out(1000, 4) == (2, 4)
    assert shared_out(3, None, 64) == (3, 2)


def test_answers_are_in_the_place_of_their_items() -> None:
    answers = dict(isolate("batch_support_functions:squares", [1, 2, lambda: None, 3]))
    assert isinstance(answers[2], Failure)
    assert "another process" in answers[2].message
    assert {k: v for k, v in answers.items() if k != 2} == {0: 1, 1: 4, 3: 9}


def test_waiting_threads_of_workers_sleep_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMP's own choice, to spin for milliseconds, doubled the CPU time of a screening; the user's choice counts."""

    def seen() -> list[str | None]:
        found = dict(isolate("batch_support_functions:settings", names))
        return [found[i] for i in range(len(names))]

    names = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    spins, policy = seen()
    assert spins is not None
    assert 0 < int(spins) <= 100_000
    assert policy is None
    monkeypatch.setenv("GOMP_SPINCOUNT", "77")
    assert seen() == ["77", None]
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert seen() == [None, "active"]


def test_a_target_that_cannot_be_imported_ends_the_run() -> None:
    pool: Pool[int] = Pool(Target("no_such_module:nothing"), 1)
    with pytest.raises(WorkerStartError, match="no_such_module"):
        list(pool.answers(iter([1])))
