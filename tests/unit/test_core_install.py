"""What the package does without its extras: every command of a plain ``pip install fastin``, workers included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastin

BLOCK = """
import sys
EXTRAS = {"ase", "torch", "torch_geometric", "torch_scatter", "sklearn", "pyarrow", "duckdb", "dask", "distributed",
          "starlette", "uvicorn", "matplotlib", "chgnet", "sevenn", "mace", "pandas", "networkx"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
FILE = str(fastin.examples()["LiCl"])


def without_extras(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(BLOCK)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "fastin", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        timeout=300,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["analyze", FILE],
        ["network", FILE],
        ["barriers", FILE],
        ["bvse", FILE, "-o", "grid.cube"],
        ["paths", FILE, "--neb", "0"],
        ["view", FILE, "-o", "page.html"],
        ["order", FILE],
        ["xrd", FILE],
        ["predict", FILE],
        ["predict", "--formula", "Li6PS5Cl"],
        ["info"],
    ],
    ids=lambda words: " ".join(words[:1] + words[2:]),
)
def test_commands_of_a_plain_install(words: list[str], tmp_path: Path) -> None:
    done = without_extras(words, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[data]\npath = 'x'\n")
    for words, extra in (
        (["view", FILE, "--png", "a.png"], "view"),
        (["screen", FILE, "-o", "a.parquet"], "screen"),
        (["relax", FILE], "mlip"),
        (["train", "a.toml"], "ml"),
    ):
        done = without_extras(words, tmp_path)
        assert done.returncode in (1, 2), (words, done.stderr)
        assert f"fastin[{extra}]" in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr
