"""fastin serve in a real browser: every way to send a structure, what is shown meanwhile, the result, the way back."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import chromium, watch
from screening_support import rocksalt, write_lines
from test_serve import _client

import fastin

LICL = fastin.examples()["LiCl"]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with _client(max_upload=300_000) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Any, base: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(base)
    yield page
    context.close()


def _result(page: Any) -> Any:
    """The drawn picture inside the result page."""
    page.wait_for_selector("iframe, [role=alert]")
    assert page.locator("[role=alert]").count() == 0, page.inner_text("main")
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready='3d']").wait_for(state="attached")
    return frame


def test_choose_a_file_and_go_back(page: Any) -> None:
    said = watch(page)
    page.set_input_files("input[type=file]", str(LICL))
    page.click("button:text-is('analyze')")
    frame = _result(page)
    assert "LiCl" in page.inner_text("h1")
    assert "Fm-3m" in frame.locator("#subtitle").inner_text()
    assert "BVSE" in frame.locator("body").inner_text()
    with page.expect_download() as download:
        page.click("a:text-is('network.json')")
    assert download.value.suggested_filename == "network.json"
    page.click("a.back")
    page.wait_for_selector("input[type=file]")
    assert "LiCl.cif" in page.inner_text("main")
    assert said == []


def test_progress_is_shown(page: Any) -> None:
    page.click("button:text-is('Li7La3Zr2O12_cubic')")
    page.wait_for_selector("[role=status] li[aria-current=step]")
    assert re.search(r"Under computation for \d+ s", page.inner_text("[role=status]"))
    _result(page)
    assert "0.46" in page.inner_text("dl")


def test_drop_a_file(page: Any) -> None:
    """A file dropped on the field, as the browser's own input handling delivers it."""
    box = page.locator(".drop input").bounding_box()
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(LICL)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    assert page.eval_on_selector(".drop input", "node => node.files[0].name") == "LiCl.cif"
    page.click("button:text-is('analyze')")
    _result(page)


def test_paste_text_with_options(page: Any) -> None:
    page.click("summary")
    page.fill("textarea", rocksalt())
    page.fill("input[name=ion]", "Li")
    page.select_option("select[name=convention]", "softbv")
    page.uncheck("input[value=hops]")
    page.uncheck("input[value=pattern]")
    page.click("button:text-is('analyze')")
    frame = _result(page)
    assert "softbv" in frame.locator("body").inner_text()
    assert not frame.locator("#hopcard").is_visible()
    assert not frame.locator("#xrdcard").is_visible()
    assert page.locator("a:text-is('paths.json')").count() == 0


def test_errors_are_readable(page: Any) -> None:
    page.click("button:text-is('analyze')")
    assert "choose a file" in page.inner_text("[role=alert]")
    page.click("a.back")
    page.set_input_files("input[type=file]", {"name": "bad.cif", "mimeType": "text/plain", "buffer": b"data_x\n"})
    page.click("button:text-is('analyze')")
    page.wait_for_selector("[role=alert]")
    assert "InputError" in page.inner_text("[role=alert]")
    page.click("a.back")
    page.set_input_files("input[type=file]", {"name": "big.cif", "mimeType": "text/plain", "buffer": b"x" * 400_000})
    page.click("button:text-is('analyze')")
    page.wait_for_selector("[role=alert]")
    assert "0.3 MB" in page.inner_text("[role=alert]")
    page.click("a.back")
    page.wait_for_selector("input[type=file]")


def test_from_the_results_table_to_a_structure(browser: Any, tmp_path: Path) -> None:
    """A link of the report, which lives in an origin of its own, carries the server's key; the query sorts by link."""
    write_lines(tmp_path / "cells.jsonl.gz", 3)
    ids, barriers = ["cell-0000", "cell-0001", "cell-0002"], [0.5, 0.25, 0.4]
    table = pa.table({"id": ids, "formula": ["LiCl"] * 3, "barrier_3d_network_eV": barriers})
    pq.write_table(table, tmp_path / "r.parquet")
    with _client(results=str(tmp_path / "r.parquet"), sources=(str(tmp_path / "cells.jsonl.gz"),)) as client:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        base_url = str(client.base_url).rstrip("/")
        page.goto(base_url + "/results")
        page.click("#rows a:text-is('cell-0001')")
        _result(page)
        page.goto(base_url + "/query?by=barrier_3d_network_eV")
        assert page.locator("th[aria-sort=ascending]").inner_text() == "barrier_3d_network_eV"
        assert page.locator("tbody td:first-child").all_inner_texts() == ["cell-0001", "cell-0002", "cell-0000"]
        page.locator("thead a", has_text="id").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("th[aria-sort]:not([aria-sort=none]):has-text('id')")
        page.close()


def test_another_site_can_neither_post_nor_frame(browser: Any, base: str, tmp_path: Path) -> None:
    other = base.replace("127.0.0.1", "localhost")  # another site as far as the browser is concerned
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{base}/")
    form = f"<form method=post action='{other}/analyze' enctype='multipart/form-data'><button name=example value=LiCl>"
    answers = []
    page.on("response", lambda answer: answers.append((answer.request.method, answer.status)))
    page.route("**/evil", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto(f"{base}/evil")
    page.click("button")
    page.wait_for_load_state()
    assert ("POST", 403) in answers
    context.close()


def test_nothing_is_wider_than_a_phone(browser: Any, base: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(base)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("button:text-is('LiCl')")
    frame = _result(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert frame.locator("html").evaluate("node => node.scrollWidth - node.clientWidth") <= 0
    context.close()
