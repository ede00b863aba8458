"""The README's Python blocks run as they stand, from a folder with the bundled examples in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import fastin

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_python_block(block, tmp_path, monkeypatch):
    for path in fastin.examples().values():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[block], f"README block {block + 1}", "exec"), {})


def test_there_are_python_blocks():
    assert BLOCKS
