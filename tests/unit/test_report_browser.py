"""The report page in a driven browser: a real table, keyboard, axes, colours, saved plots, phones."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import chromium, watch

from fastin.screening.report import write_report

ROWS = 400


def _table() -> pa.Table:
    """Energies between 0 and 1 eV, some of them infinite, a few in the hundreds."""
    random = np.random.default_rng(3)
    energy = random.uniform(0.05, 0.95, ROWS)
    energy[::20] = np.inf
    energy[1::40] = random.uniform(50, 900, 10)
    table = pa.table(
        {
            "id": [f"mp-{i}" for i in range(ROWS)],
            "formula": ["LiCl"] * ROWS,
            "space_group": ["Pnma" if i % 3 else "Fm-3m" for i in range(ROWS)],
            "percolation_radius_1d_A": random.uniform(0.2, 1.2, ROWS),
            "barrier_3d_network_eV": energy,
        }
    )
    made = {
        "fastin": "9.9",
        "ion": "Li",
        "per_task": {"barriers": {"options": {"convention": "softbv"}}, "network": {}},
    }
    return table.replace_schema_metadata({b"fastin": json.dumps(made).encode()})


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(_table(), tmp_path_factory.mktemp("report") / "r.html").as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    said = watch(opened)
    opened.goto(address)
    opened.wait_for_selector("html[data-ready]", state="attached")
    yield opened
    assert said == []
    opened.close()


def _range(page: Any, canvas: str = "#c1") -> tuple[float, float]:
    found = re.search(r"from (\S+) to (\S+):", page.get_attribute(canvas, "aria-label"))
    assert found
    return float(found[1]), float(found[2])


def _pixels(page: Any, canvas: str) -> str:
    return str(page.eval_on_selector(canvas, "node => node.toDataURL()"))


def test_outliers_do_not_squeeze_the_energies(page: Any) -> None:
    low, high = _range(page)
    assert low == 0
    assert 1 <= high <= 2  # 0 to 1 eV is at least half of the axis
    label = page.get_attribute("#c1", "aria-label")
    assert "10 above" in label
    assert "20 infinite" in label
    assert "10 outside" in page.get_attribute("#c3", "aria-label")
    page.click("#t1 button:text-is('all')")
    assert _range(page)[1] > 500


def test_zoom_by_buttons_keys_and_dragging(page: Any) -> None:
    usual = _range(page)
    page.click("#t1 button[aria-label='zoom in']")
    near = _range(page)
    assert near == pytest.approx((0.2 * usual[1], 0.8 * usual[1]), rel=1e-3)
    page.focus("#c1")
    page.keyboard.press("ArrowRight")
    assert _range(page)[0] > near[0]
    page.keyboard.press("Home")
    assert _range(page) == usual
    page.select_option("#drag", "zoom")
    box = page.locator("#c1").bounding_box()
    for run, x in ((page.mouse.down, 0.4), (page.mouse.up, 0.7)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + 80)
        run()
    low, high = _range(page)
    assert 0.2 < low / usual[1] < 0.45
    assert 0.55 < high / usual[1] < 0.8
    assert "400 of 400" in page.inner_text("#count")
    page.dblclick("#c1")
    page.select_option("#drag", "filter")
    for run, x in ((page.mouse.down, 0.4), (page.mouse.up, 0.7)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + 80)
        run()
    assert "400 of 400" not in page.inner_text("#count")
    assert page.locator(".chip").count() == 1


def test_logarithmic_axes(page: Any) -> None:
    page.click("#t1 button:text-is('all')")
    page.check("#t1 label:has-text('log') >> nth=0 >> input")
    low, _ = _range(page)
    assert 0 < low <= 0.06
    before = _pixels(page, "#c3")
    page.check("#t3 label:has-text('log y') input")
    assert _pixels(page, "#c3") != before
    before = _pixels(page, "#c1")
    page.check("#t1 label:has-text('log count') input")
    assert _pixels(page, "#c1") != before


def test_colour_by_a_word_and_by_a_number(page: Any) -> None:
    pictures = {_pixels(page, "#c3")}
    for column in ("space_group", "barrier_3d_network_eV"):
        page.select_option("#sc", column)
        pictures.add(_pixels(page, "#c3"))
    assert len(pictures) == 3
    assert "colour " in page.get_attribute("#c3", "aria-label")


def test_table_is_one_and_sorts_by_keyboard(page: Any) -> None:
    assert page.locator("table#grid thead th[scope=col]").count() == 4
    assert page.get_attribute("#grid", "aria-rowcount") == str(ROWS + 1)
    header = page.locator("#head button", has_text="E3D")
    assert page.locator("#head th[aria-sort=ascending]").inner_text().startswith("E3D")
    header.focus()
    page.keyboard.press("Enter")
    assert page.locator("#head th[aria-sort=descending]").inner_text().startswith("E3D")
    assert page.evaluate("document.activeElement.textContent").startswith("E3D")
    shown = page.locator("#rows tr.row td:last-child").all_inner_texts()
    assert shown[0] == "∞"
    page.keyboard.press("Enter")
    shown = [float(text) for text in page.locator("#rows tr.row td:last-child").all_inner_texts()]
    assert shown == sorted(shown)
    assert page.locator("#rows tr.row").count() < 60
    page.eval_on_selector("#table", "node => { node.scrollTop = node.scrollHeight; }")
    page.wait_for_selector(f"#rows tr[aria-rowindex='{ROWS + 1}']")


def test_saved_plot_names_method_and_selection(page: Any, tmp_path: Path) -> None:
    from PIL import Image

    with page.expect_download() as download:
        page.click("#t3 button:text-is('save')")
    assert download.value.suggested_filename.endswith(".png")
    download.value.save_as(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        width, height = image.size
    assert width == 3 * page.eval_on_selector("#c3", "node => node.clientWidth")
    assert height > 3 * page.eval_on_selector("#c3", "node => node.clientHeight")
    text = page.inner_text("#method")
    for part in ("table: fastin 9.9", "mobile ion: Li", "softbv convention", "0.2 Å", "ionic radii", "zero"):
        assert part in text


def test_phone(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#rows tr.row").count() > 10
    context.close()
