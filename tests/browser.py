"""A headless chromium for the page tests: one-shot dumps of a page, and a driven browser (playwright)."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--window-size=1400,900",
)  # fmt: skip
# chromium says so about its own software renderer, not about the page
DRIVER = ("GL Driver Message", "software WebGL", "swiftshader")


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


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A playwright browser on the machine's own chromium; skips the test where one of the two is missing.

    While it is open its event loop belongs to this thread: keep it to modules that run no loop of their own.
    """
    path = find_chromium()
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        )
        try:
            yield browser
        finally:
            browser.close()


def watch(page: Any) -> list[str]:
    """The list that fills with what the page prints to the console as an error or warning, and throws."""
    said: list[str] = []

    def heard(message: Any) -> None:
        if message.type in ("error", "warning") and not any(word in message.text for word in DRIVER):
            said.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said
