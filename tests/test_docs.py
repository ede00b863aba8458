"""The tutorials run as they stand: each page is one session in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
PAGES = sorted(DOCS.glob("tutorials/*.md"))
NEEDS = {"data-scientist": ("torch", "pyarrow", "duckdb"), "experimentalist": ("matplotlib",), "student": ()}


def shell(folder: Path, text: str) -> None:
    """Runs shell lines in the folder, with this Python's ``fastin`` first on the path."""
    binaries = folder / ".bin"
    binaries.mkdir(exist_ok=True)
    (binaries / "fastin").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fastin "$@"\n')
    (binaries / "fastin").chmod(0o755)
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tutorial(page, tmp_path, monkeypatch):
    for name in NEEDS[page.stem]:
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert len(blocks) >= 4
    session: dict[str, object] = {"__name__": "__main__"}
    for number, (language, text) in enumerate(blocks, 1):
        if language == "bash":
            shell(tmp_path, text)
        else:
            exec(compile(text, f"{page.name}, block {number}", "exec"), session)


def test_every_page_begins_with_its_title():
    for page in DOCS.rglob("*.md"):
        assert page.read_text(encoding="utf-8").startswith("# "), page


LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def test_links_between_files_lead_somewhere():
    """Links of the README too, which the site's builder does not see."""
    for page in (*DOCS.rglob("*.md"), DOCS.parent / "README.md"):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"
