"""One table of exit statuses, true for every command: `fastin.cli.EXIT_STATUSES`."""

from __future__ import annotations

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

from fastin.cli import _COMMANDS, main

ONE = (["network"], ["bvse", "--resolution", "0.5"], ["paths", "--resolution", "0.5"], ["xrd"])
MANY = (
    ["analyze", "--no-barriers"],
    ["barriers", "--resolution", "0.5"],
    ["order"],
    ["view", "--resolution", "0.5"],
    ["xrd", "classify"],
)
TABLES = (["top"], ["report"], ["train"], ["arrhenius"], ["relax"], ["xrd", "rank"], ["screen"])


def status(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert not isinstance(result.exception, Exception), result.exception
    return result.exit_code, result.stderr


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A structure and a file that is none."""
    monkeypatch.chdir(tmp_path)
    good, bad = tmp_path / "good.cif", tmp_path / "bad.cif"
    good.write_text(rocksalt())
    bad.write_text("data_x\n_cell_length_a 5\n")
    return good, bad


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_wrong_usage_is_2(name: str) -> None:
    code, said = status(name, "--no-such-option-at-all")
    assert code == 2
    assert "No such" in said
    assert status(name, "--help") == (0, "")


@pytest.mark.parametrize("words", [*ONE, *MANY, *TABLES], ids=" ".join)
def test_a_missing_file_is_2(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = status(*words, "absent.cif")
    assert code == 2, said
    assert "absent.cif: No such file or directory" in said


@pytest.mark.parametrize("words", ONE, ids=" ".join)
def test_one_structure(words: list[str], files: tuple[Path, Path]) -> None:
    good, bad = files
    assert status(*words, good) == (0, "")
    code, said = status(*words, bad)
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith("InputError: ")
    assert "bad.cif" in said


@pytest.mark.parametrize("words", MANY, ids=" ".join)
def test_many_structures(words: list[str], files: tuple[Path, Path]) -> None:
    if words == ["xrd", "classify"]:
        pytest.importorskip("torch")
    code, said = status(*words, *files)
    assert code == 1
    assert "bad.cif" in said or words == ["xrd", "classify"]


@pytest.mark.parametrize("words", ONE, ids=" ".join)
def test_a_structure_that_takes_its_process_along(
    words: list[str], files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if words == ["xrd"]:
        pytest.skip("scattering_atoms reads without from_file; its isolation is that of the others")
    batch_support.install(tmp_path / "site", monkeypatch)
    crash = files[0].rename(tmp_path / "crash.cif")
    code, said = status(*words, crash)
    assert code == 1
    assert "WorkerDied" in said
    assert str(crash) in said
    hang = crash.rename(tmp_path / "hang.cif")
    code, said = status(*words, hang, "--time-limit", "1")
    assert code == 1
    assert "TimeoutError" in said
    assert "--time-limit" in said


@pytest.mark.parametrize(
    "words",
    [
        ["bvse", "good.cif", "-o", "absent/x.cube"],
        ["network", "good.cif", "-o", "absent/x.net"],
        ["paths", "good.cif", "--profile", "absent/x.csv"],
        ["view", "good.cif", "--png", "absent/x.png"],
        ["xrd", "good.cif", "-o", "absent/x.xy"],
        ["view", "good.cif", "good.cif", "-o", "x.html"],
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written_is_2_at_once(words: list[str], files: tuple[Path, Path]) -> None:
    del files
    assert status(*words)[0] == 2


def test_interrupt_is_130_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_support.install(tmp_path / "site", monkeypatch)
    (tmp_path / "hang.cif").write_text(rocksalt())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "fastin", "bvse", str(tmp_path / "hang.cif")],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        time.sleep(3.0)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == 130
    assert said == "interrupted: 0 of 1 structures done\n"


def test_suggestions() -> None:
    assert "Did you mean analyze?" in status("analyse")[1]
    assert "Did you mean build?" in status("dataset", "biuld")[1]
    assert "Did you mean --resolution?" in status("barriers", "x.cif", "--res", "0.3")[1]
    assert "Did you mean --temperature?" in status("paths", "x.cif", "--temprature", "300")[1]
    assert "Did you mean" not in status("barriers", "x.cif", "--qqqqqqqq")[1]
    assert "Did you mean" not in status("analyze", "x.cif", "--resoluton", "0.2")[1]  # it has --out, not --resolution
