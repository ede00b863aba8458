"""The view page in a driven browser: keyboard, phone, tables, powder pattern, saved picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import chromium, watch

import fastin
from fastin.view import build_scene
from fastin.view.drawing import grid_values
from fastin.view.isosurface import isosurface
from fastin.view.packing import packed
from fastin.view.page import page_of

EXAMPLES = fastin.examples()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def scene() -> Any:
    return build_scene(EXAMPLES["Li10GeP2S12"], resolution=0.35)


@pytest.fixture(scope="module")
def page(browser: Any, scene: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("view") / "v.html"
    path.write_text(page_of(scene), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1300, "height": 900})
    said = watch(opened)
    opened.goto(path.as_uri())
    opened.wait_for_selector("html[data-ready='3d']", state="attached")
    yield opened
    assert said == []
    opened.close()


def _pixels(page: Any) -> str:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return str(page.eval_on_selector("#gl", "node => node.toDataURL()"))


def _until(page: Any, expression: str) -> None:
    """Waits; playwright's own waiting evaluates in the page, whose policy refuses that."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def test_keys_turn_and_zoom_the_crystal(page: Any) -> None:
    page.focus("#gl")
    start = _pixels(page)
    seen = {start}
    for key in ("ArrowLeft", "ArrowUp", "+", "Shift+ArrowRight"):
        page.keyboard.press(key)
        now = _pixels(page)
        assert now not in seen, key
        seen.add(now)
    page.keyboard.press("Home")
    assert _pixels(page) == start
    assert "Arrow keys rotate" in page.get_attribute("#gl", "aria-label")


def test_the_wheel_scrolls_the_page_until_the_crystal_is_chosen(page: Any) -> None:
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    before = _pixels(page)
    box = page.locator("#gl").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.wheel(0, 240)
    _until(page, "scrollY > 0")
    assert _pixels(page) == before
    page.evaluate("() => scrollTo(0, 0)")
    page.focus("#gl")
    page.mouse.wheel(0, -240)
    for _ in range(100):
        if _pixels(page) != before:
            break
    assert _pixels(page) != before
    assert page.evaluate("scrollY") == 0
    page.keyboard.press("Home")


def test_hops_sort_by_keyboard_and_show_themselves(page: Any, scene: Any) -> None:
    header = page.locator("#hops th button").nth(1)
    header.focus()
    page.keyboard.press("Enter")
    assert page.get_attribute("#hops th:nth-child(2)", "aria-sort") == "ascending"
    column = [float(text) for text in page.locator("#hops td:nth-child(2)").all_inner_texts()]
    assert column == sorted(column)
    page.keyboard.press("Enter")
    assert page.get_attribute("#hops th:nth-child(2)", "aria-sort") == "descending"
    column = [float(text) for text in page.locator("#hops td:nth-child(2)").all_inner_texts()]
    assert column == sorted(column, reverse=True)
    before = _pixels(page)
    page.locator("#hops tbody button").first.focus()
    page.keyboard.press("Enter")
    assert _pixels(page) != before
    assert page.locator("#hops tr.on").count() == 1
    shown = int(page.get_attribute("#hops tr.on", "data-hop"))
    first = [float(text) for text in page.locator("#hops tr.on td").nth(7).inner_text().split()]
    assert np.allclose(first, np.array(scene.data["hops"][shown]["frac"][0]) % 1, atol=6e-4)


def test_powder_pattern_has_indices_tips_and_zoom(page: Any, scene: Any) -> None:
    strongest = int(np.argmax(scene.data["xrd"]["intensity"]))
    text = "".join(str(abs(i)) for i in scene.data["xrd"]["hkl"][strongest])
    assert text in [label.replace("\u0305", "") for label in page.locator("#xrd text.hkl").all_text_contents()]
    page.locator("#xrd").scroll_into_view_if_needed()
    box = page.locator("#xrd svg").bounding_box()
    x = 46 + (box["width"] - 56) * scene.data["xrd"]["two_theta"][strongest] / 90
    page.mouse.move(box["x"] + x, box["y"] + 60)
    assert f"{scene.data['xrd']['two_theta'][strongest]:.3f}" in page.inner_text("#tip")
    few = page.locator("#xrd text.hkl").count()
    page.mouse.move(box["x"] + 300, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 60)
    page.mouse.up()
    low, high = (float(part) for part in page.inner_text("#xrdrange").rstrip("°").split("–"))
    assert 15 < low < 30
    assert 35 < high < 50
    page.locator("#xrd svg").focus()
    page.keyboard.press("Home")
    assert page.inner_text("#xrdrange") == "0.0–90.0°"
    assert page.locator("#xrd text.hkl").count() == few
    page.keyboard.press("+")
    assert page.inner_text("#xrdrange") == "18.0–72.0°"
    page.keyboard.press("Home")


def test_charts_have_names_and_coinciding_paths_are_both_named(page: Any, browser: Any, tmp_path: Path) -> None:
    for name in page.locator("svg[role=img]").evaluate_all("nodes => nodes.map(n => n.getAttribute('aria-label'))"):
        assert len(name) > 20
    path = tmp_path / "lipo.html"
    path.write_text(page_of(build_scene(EXAMPLES["Li3OCl"], resolution=0.35, parts=["energies"])), encoding="utf-8")
    other = browser.new_page()
    other.goto(path.as_uri())
    assert "1D, 2D, 3D: " in other.inner_text("#profile .keys")
    other.close()


def test_method_and_legend(page: Any) -> None:
    text = page.inner_text("main")
    for part in (f"fastin {fastin.__version__}", "BVSE", "spse", "zero", "spacing", "radii", "Li10GeP2S12.cif"):
        assert part in text
    assert "Ge (mixed site)" in page.inner_text("#legend")


def test_saved_picture_has_the_legend(page: Any, tmp_path: Path) -> None:
    from PIL import Image

    with page.expect_download() as download:
        page.click("button:text-is('save PNG')")
    download.value.save_as(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    width = page.eval_on_selector("#gl", "node => node.clientWidth")
    assert pixels.shape[1] == 3 * width
    foot = pixels[-400:]
    germanium = np.array([0x66, 0x8F, 0x8F])
    assert (np.abs(foot - germanium).sum(axis=2) < 12).sum() > 200  # its dot in the legend


def test_surface_of_the_page_is_that_of_the_figures(page: Any, scene: Any) -> None:
    grid = scene.data["grid"]
    expected = isosurface(grid_values(scene.data), grid["level"], (2, 1, 1))
    found = page.evaluate(
        """([values, shape, level]) => {
          const s = Renderer.isosurface(Float32Array.from(values), shape, [2, 1, 1], level);
          return [s.places.length / 3, s.indices.length / 3, Math.min(...s.places), Math.max(...s.places)];
        }""",
        [grid_values(scene.data).ravel().tolist(), grid["shape"], grid["level"]],
    )
    assert found[:2] == [len(expected.frac), len(expected.triangles)]
    assert found[2:] == pytest.approx([0.0, 2.0])


def test_a_page_unpacks_the_numbers_of_its_scene(browser: Any, scene: Any) -> None:
    """What the page's script makes of its columns of codes is the scene that they were made of."""
    source = (Path(fastin.__file__).parent / "view" / "assets" / "view.js").read_text(encoding="utf-8")
    code = source[source.index("  function bytes(") : source.index("  const S = unpack(")]
    page = browser.new_page()
    found = page.evaluate(f"(text) => {{ {code} return unpack(JSON.parse(text)); }}", json.dumps(packed(scene.data)))
    page.close()
    data = scene.data
    for name, places in (("atoms", ["frac"]), ("polyhedra", ["centre", "points"]), ("voids", ["frac"])):
        assert len(found[name]) == len(data[name]) > 0
        for ours, theirs in zip(data[name], found[name], strict=True):
            for place in places:
                assert np.allclose(ours[place], theirs[place], atol=5.1e-5)
            rest = ours.keys() - {*places, "text", "radius", "energy"}
            assert {key: theirs[key] for key in rest} == json.loads(json.dumps({key: ours[key] for key in rest}))
    assert [v["radius"] for v in found["voids"]] == [round(v["radius"], 3) for v in data["voids"]]
    for ours, theirs in zip(data["voids"], found["voids"], strict=True):
        assert ours["energy"] is None or abs(ours["energy"] - theirs["energy"]) < 5.1e-4
        assert theirs["text"].startswith(ours["text"].split(",")[0])
    assert [e["text"] for e in found["edges"]] == [e["text"] for e in data["edges"]]
    for ours, theirs in zip(data["edges"], found["edges"], strict=True):
        assert all(np.allclose(ours[place], theirs[place], atol=5.1e-5) for place in ("from", "to", "at"))
    assert found["paths"] == data["paths"]
    assert {key: found[key] for key in ("hops", "xrd", "facts")} == json.loads(
        json.dumps({key: data[key] for key in ("hops", "xrd", "facts")})
    )


def test_notebook_frame_draws(browser: Any, scene: Any, tmp_path: Path) -> None:
    path = tmp_path / "cell.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{fastin.view(scene)._repr_html_()}", encoding="utf-8")
    page = browser.new_page()
    said = watch(page)
    page.goto(path.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready='3d']").wait_for(state="attached")
    assert "Li10.1Ge1.03P1.97S12" in frame.locator("h1").inner_text()
    assert said == []
    page.close()


def test_phone(browser: Any, scene: Any, tmp_path: Path) -> None:
    """390 px: nothing wider; a finger moving up over the crystal scrolls the page, sideways it turns the crystal."""
    path = tmp_path / "v.html"
    path.write_text(page_of(scene), encoding="utf-8")
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready='3d']", state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#gl").bounding_box()
    session = context.new_cdp_session(page)

    def swipe(dx: float, dy: float) -> None:
        x, y = box["x"] + 150, box["y"] + 250
        for k in range(11):
            kind = "touchMove" if k else "touchStart"
            at = {"x": x + dx * k / 10, "y": y + dy * k / 10}
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    before = _pixels(page)
    swipe(0, -200)
    _until(page, "scrollY > 50")
    for _ in range(100):  # the page glides on, and would take a jump back
        page.evaluate("() => scrollTo(0, 0)")
        page.wait_for_timeout(100)
        if page.evaluate("scrollY") == 0:
            break
    assert page.evaluate("scrollY") == 0
    assert _pixels(page) == before
    swipe(120, 0)
    assert _pixels(page) != before
    assert page.evaluate("scrollY") == 0
    context.close()


def test_big_cells_begin_without_polyhedra() -> None:
    assert build_scene(EXAMPLES["LiFePO4"], parts=[]).data["show_polyhedra"]
    assert not build_scene(EXAMPLES["Li7La3Zr2O12_cubic"], parts=[]).data["show_polyhedra"]


@pytest.mark.parametrize("size", [(390, 844), (320, 640)])
@pytest.mark.parametrize("name", ["LiFePO4", "CaF2"])
def test_the_arrows_of_the_axes_lie_on_no_atom(browser, tmp_path, name, size):
    """At first sight, on a phone: the corner with the arrows is left to them."""
    path = tmp_path / "v.html"
    path.write_text(page_of(build_scene(EXAMPLES[name], resolution=0.6)), encoding="utf-8")
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready='3d']", state="attached")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    other = page.eval_on_selector(
        "#gl",
        """node => {
          const gl = node.getContext("webgl2"), s = node.width / node.clientWidth;
          const all = new Uint8Array(4 * node.width * node.height);
          gl.readPixels(0, 0, node.width, node.height, gl.RGBA, gl.UNSIGNED_BYTE, all);
          let other = 0, drawn = 0;
          for (let y = 0; y < node.height; y++) for (let x = 0; x < node.width; x++) {
            if (all[4 * (y * node.width + x)] > 250 && all[4 * (y * node.width + x) + 1] > 250) continue;
            drawn++;
            if (Math.hypot(x / s - 46, y / s - 44) < 40) other++;
          }
          return [other, drawn];
        }""",
    )
    page.close()
    assert other[1] > 500
    assert other[0] == 0


def test_a_large_crystal_is_a_few_drawings(browser, tmp_path):
    """1,536 atoms: not one drawing an atom (what plays a graphics card makes one of every instance), and it turns."""
    from pymatgen.core import Structure

    salt = Structure.from_file(str(EXAMPLES["LiCl"]))
    salt.make_supercell([6, 6, 6])
    assert len(salt) > 1500
    path = tmp_path / "v.html"
    path.write_text(page_of(build_scene(salt, resolution=0.8)), encoding="utf-8")
    page = browser.new_page(viewport={"width": 700, "height": 700})
    page.add_init_script(
        """window.drawn = {};
        const all = WebGL2RenderingContext.prototype;
        for (const name of ["drawArrays", "drawElements", "drawArraysInstanced", "drawElementsInstanced"]) {
          const own = all[name];
          const count = () => { window.drawn[name] = (window.drawn[name] || 0) + 1; };
          all[name] = function (...a) { count(); return own.apply(this, a); };
        }"""
    )
    said = watch(page)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready='3d']", state="attached")
    first = page.evaluate("() => window.drawn")
    assert set(first) == {"drawElements"}
    assert first["drawElements"] <= 12
    before = _pixels(page)
    page.focus("#gl")
    page.keyboard.press("ArrowLeft")
    assert _pixels(page) != before
    assert said == []
    page.close()
