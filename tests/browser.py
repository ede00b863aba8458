"""A headless chromium for the page tests: the page after its scripts ran, and what it printed to the console."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--window-size=1400,900",
)  # fmt: skip


@dataclass(frozen=True)
class Page:
    """What chromium made of a page."""

    dom: str
    console: list[str]
    seconds: float


def find_chromium() -> str:
    """Path of the browser; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no chromium on this machine")


def open_page(page: Path, budget: int = 8000, fragment: str = "") -> Page:
    """Loads a local file, lets its scripts run `budget` ms of virtual time and returns the document."""
    browser = find_chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        start = time.monotonic()
        run = subprocess.run(
            [browser, *_FLAGS, f"--user-data-dir={profile}", f"--virtual-time-budget={budget}", "--dump-dom",
             page.resolve().as_uri() + fragment],
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - start
    console = re.findall(r"CONSOLE[^\]]*\] (.*)", run.stderr.decode("utf-8", "replace"))
    return Page(run.stdout.decode("utf-8", "replace"), console, seconds)
