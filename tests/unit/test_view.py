"""fastin view: the page draws in a real browser without errors, carries the right numbers, and escapes foreign text."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import open_page
from screening_support import rocksalt

import fastin
from fastin.cli.view import command
from fastin.view import build_scene, view_html, write_view

EXAMPLES = fastin.examples()
LFP = EXAMPLES["LiFePO4"]
# chromium says so about its own software renderer, not about the page
_DRIVER = ("GL Driver Message", "software WebGL", "swiftshader")


def _console(page: Any) -> list[str]:
    return [line for line in page.console if not any(word in line for word in _DRIVER)]


@pytest.fixture(scope="module")
def scene() -> Any:
    return build_scene(LFP)


def test_scene_numbers_are_the_results(scene: Any) -> None:
    barriers, network = fastin.compute_barriers(LFP), fastin.compute_network(LFP)
    data = scene.data
    assert data["subtitle"] == "LiFePO4, Pnma (no. 62), mobile Li+"
    assert max(data["paths"][0]["energy"]) == pytest.approx(barriers.e1d, abs=1e-4)
    assert [abs(t) for t in data["paths"][0]["translation"]] == [0, 1, 0]
    assert len(data["voids"]) == np.count_nonzero(network.site_radius >= 0.35)
    widest = max(data["voids"], key=lambda void: void["radius"])
    assert widest["radius"] == pytest.approx(network.largest_sphere_radius, abs=1e-4)
    assert sum(atom["mobile"] for atom in data["atoms"]) == 4
    assert dict(data["facts"])["barrier 1D"] == f"{barriers.e1d:.3f} eV"


def test_hops_are_the_transport_networks(scene: Any) -> None:
    kinds = fastin.compute_paths(LFP).hop_classes()
    assert len(scene.data["hops"]) == len(kinds)
    first = scene.data["hops"][0]
    assert first["forward"] == pytest.approx(kinds[0]["barrier_forward_eV"], abs=1e-5)
    assert first["dimensions"] == 1
    steps = np.diff(np.array(first["frac"]), axis=0) @ np.array(scene.data["cell"])
    assert np.linalg.norm(steps, axis=1).sum() == pytest.approx(first["length"], abs=0.05)


def test_bottlenecks_lie_on_their_edges(scene: Any) -> None:
    cell = np.array(scene.data["cell"])
    assert scene.data["edges"]
    for edge in scene.data["edges"]:
        start, end, at = (np.array(edge[name]) @ cell for name in ("from", "to", "at"))
        detour = np.linalg.norm(at - start) + np.linalg.norm(end - at) - np.linalg.norm(end - start)
        assert abs(detour) < 1e-3


def test_page_draws_in_three_dimensions(tmp_path: Path) -> None:
    page = open_page(write_view(LFP, tmp_path / "v.html"))
    assert _console(page) == []
    assert 'data-ready="3d"' in page.dom
    assert "0.373 eV" in page.dom
    assert "<polyline" in page.dom
    assert 'data-hop="0"' in page.dom
    assert "Powder pattern, Cu" in page.dom


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_has_a_page(name: str) -> None:
    text = view_html(EXAMPLES[name], resolution=0.3)
    data = json.loads(re.findall(r'<script id="scene"[^>]*>(.*?)</script>', text, flags=re.DOTALL)[0])
    assert data["voids"]
    assert data["grid"]["level"] > 0
    assert len(text) < 1_500_000


def test_page_is_self_contained(scene: Any) -> None:
    text = view_html(LFP)
    links = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert links == {"http://www.w3.org/2000/svg"}  # a name, nothing is fetched
    assert "default-src 'none'" in text


def test_foreign_text_is_escaped(tmp_path: Path) -> None:
    evil = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>{{script}}"
    text = rocksalt().replace("Li Li0", "Li <img/src=x/onerror=alert(1)>")
    path = tmp_path / "evil.cif"
    path.write_text(text)
    page = open_page(write_view(path, tmp_path / "v.html", title=evil))
    assert _console(page) == []
    assert "<img" not in page.dom.replace(html.escape(evil), "").split('id="scene"')[0]
    assert "owned</title>" not in page.dom
    assert 'data-ready="3d"' in page.dom


def test_what_cannot_be_computed_is_said(tmp_path: Path) -> None:
    """No bond valence parameters: the network is shown, the energies are not, and the page says why."""
    path = tmp_path / "liar.cif"
    path.write_text(rocksalt(anion="Ar"))
    scene = build_scene(path, "Li", title="no energies")
    assert scene.data["grid"] is None
    assert scene.data["paths"] == []
    assert any(note.startswith("No energy landscape: ") for note in scene.notes)
    page = open_page(write_view(path, tmp_path / "v.html", ion="Li"))
    assert _console(page) == []
    assert "No energy landscape" in page.dom


def test_command_line(tmp_path: Path) -> None:
    page, picture = tmp_path / "v.html", tmp_path / "v.png"
    run = CliRunner().invoke(
        command, [str(LFP), "-o", str(page), "--png", str(picture), "--resolution", "0.3", "--dpi", "50"]
    )
    assert run.exit_code == 0
    assert page.exists()
    assert picture.exists()
    (tmp_path / "x.cif").write_text("nothing")
    assert CliRunner().invoke(command, [str(tmp_path / "x.cif")]).exit_code == 1
    assert CliRunner().invoke(command, [str(LFP), "-o", "/proc/fastin/x.html"]).exit_code == 2
