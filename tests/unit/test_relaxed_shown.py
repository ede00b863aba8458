"""Relaxed barriers where a structure is shown: folders of results read back, the page in a browser, `analyze`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import chromium, watch

import fastin
from fastin.cli import main
from fastin.errors import InputError
from fastin.relax.output import read_results
from fastin.view.page import view_html

pytest.importorskip("ase")

FILES = fastin.examples()
SPEC = "relax_support:make"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("relaxed") / "LiCl"
    fastin.relax_hops(FILES["LiCl"], SPEC, images=1, supercell=5.0, fmax=0.2).write(out)
    return out


def run(*words):
    return CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)


def changed(folder, to, change):
    held = json.loads((folder / "relaxed.json").read_text())
    change(held)
    to.mkdir(exist_ok=True)
    (to / "relaxed.json").write_text(json.dumps(held))
    return to


def test_results_are_read_as_they_were_written(folder):
    crystal = fastin.Crystal.from_file(FILES["LiCl"])
    found = read_results(folder, crystal, "Li+")
    assert found["barriers_eV"][2] == found["legs"][0]["barrier_eV"] > 0.5
    assert found["legs"][0]["flags"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.pop("crystal"), "writes it anew"),
        (lambda held: held["legs"][0]["profile_eV"].pop(), "profile with gaps"),
        (lambda held: held["legs"][0].update(barrier_eV=None), "not what this version"),
        (lambda held: held["legs"][0].update(flags=["invented"]), "unknown flags"),
        (lambda held: held.update(barriers_eV=[0.1]), "another kind"),
        (lambda held: held.update(crystal="0"), "of another crystal"),
        (lambda held: held.update(ion="Na+"), r"barriers of Na\+, not of Li\+"),
    ],
)
def test_what_is_not_this_crystals_is_refused(folder, tmp_path, change, message):
    other = changed(folder, tmp_path / "x", change)
    with pytest.raises(InputError, match=message):
        read_results(other, fastin.Crystal.from_file(FILES["LiCl"]), "Li+")


def test_folders_without_results(tmp_path):
    with pytest.raises(InputError, match=r"fastin relax FILE -o"):
        read_results(tmp_path)
    (tmp_path / "relaxed.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read_results(tmp_path)


def test_analyze_has_a_column(folder, tmp_path):
    result = run("analyze", FILES["LiCl"], "--relaxed", folder)
    assert result.exit_code == 0
    assert "(relaxed)" in result.stdout
    assert "*" in result.stdout
    assert "small-cell" in result.stdout
    held = json.loads(run("analyze", FILES["LiCl"], FILES["LiFePO4"], "--relaxed", folder.parent, "--json").stdout)
    assert held[0]["relaxed"]["e3d_eV"] > 0.5
    assert "small-cell" in held[0]["relaxed"]["rests_on_flags_3d"]
    assert held[1]["relaxed"] is None  # none there
    rows = run("analyze", FILES["LiCl"], "--relaxed", folder, "--csv").stdout
    assert "relaxed_barrier_3d_eV" in rows
    assert "small-cell" in rows
    assert "(relaxed)" not in run("analyze", FILES["LiCl"]).stdout
    wrong = run("analyze", FILES["LiFePO4"], "--relaxed", folder)
    assert wrong.exit_code == 1
    assert "of another crystal" in wrong.stderr


def test_view_takes_a_folder(folder, tmp_path):
    page = tmp_path / "v.html"
    result = run("view", FILES["LiCl"], "--relaxed", folder, "-o", page, "--resolution", 0.5)
    assert result.exit_code == 0, result.output
    assert "small-cell" in page.read_text()
    assert "of another crystal" in run("view", FILES["LiFePO4"], "--relaxed", folder, "-o", page).stderr


def test_the_page_shows_both_profiles_and_the_flags(folder, tmp_path):
    def two(held):
        first = held["legs"][0]
        second = {**first, "leg": 1, "barrier_eV": 0.123, "flags": ["not-converged"], "places": ["<b>", "4a"]}
        held["legs"].append({**second, "profile_eV": [0.0, 0.123, 0.0], "bvse_profile_eV": [0.0, 0.5, 0.0]})

    path = tmp_path / "v.html"
    path.write_text(view_html(FILES["LiCl"], resolution=0.5, relaxed=changed(folder, tmp_path / "x", two)), "utf-8")
    plain = tmp_path / "plain.html"
    plain.write_text(view_html(FILES["LiCl"], resolution=0.5), encoding="utf-8")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        said = watch(page)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.is_visible("#relaxedcard")
        assert "Relaxed barriers" in page.inner_text("#relaxedtitle")
        assert "rests on small-cell" in page.inner_text("#relaxedfacts")
        assert "less than 8 A" in page.inner_text("#relaxedflags")
        assert page.locator("#relaxed polyline").count() == 2
        assert page.locator("#relaxed circle").count() == 3
        first = page.get_attribute("#relaxed svg", "aria-label")
        page.select_option("#whichleg", "1")
        second = page.get_attribute("#relaxed svg", "aria-label")
        assert first != second
        assert "0.123 eV with everything relaxed" in second
        assert "<b>" in second  # text, never HTML
        page.click("#relaxedlegs tbody tr:first-child button")
        assert page.get_attribute("#relaxed svg", "aria-label") == first
        assert page.input_value("#whichleg") == "0"
        assert "not-converged" in page.inner_text("#relaxedlegs")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.goto(plain.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        assert not page.is_visible("#relaxedcard")
        assert said == []
        page.close()
