"""The examples of the docstrings run as they stand, none is skipped, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import fastin

ROOT = Path(fastin.__file__).parent
# modules that run when they are imported, or need a library that may be missing
_COMMANDS = ("fastin.__main__",)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fastin.__path__, "fastin.")
    if ">>> " in (ROOT.joinpath(*module.name.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8")
                  if ROOT.joinpath(*module.name.split(".")[1:]).with_suffix(".py").exists() else "")
    and module.name not in _COMMANDS
)  # fmt: skip


def test_there_are_examples() -> None:
    assert {"fastin.bvse.grid", "fastin.network.network", "fastin.transport.arrhenius"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith(("fastin.ml.", "fastin.prediction")):
        pytest.importorskip("torch", reason="examples of models need the ml extra")
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_no_example_is_skipped() -> None:
    skipped = [path for path in ROOT.rglob("*.py") if re.search(r"doctest: *\+SKIP", path.read_text(encoding="utf-8"))]
    assert skipped == []
