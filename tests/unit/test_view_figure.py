"""Figures: closed isosurfaces, a renderer that hides what is hidden, colours for every eye, options, captions."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from screening_support import rocksalt

import fastin
from fastin.cli.view import command
from fastin.crystal import elements
from fastin.view import View, build_scene, write_figure
from fastin.view.drawing import Drawing, build_drawing
from fastin.view.figure import caption, figure_of, hkl_text, profile_curves, rotation_of
from fastin.view.isosurface import isosurface
from fastin.view.palette import ENERGY, SERIES, colours_of
from fastin.view.raster import Camera, render

EXAMPLES = fastin.examples()


@pytest.fixture(scope="module")
def scene() -> Any:
    return build_scene(EXAMPLES["Li10GeP2S12"], resolution=0.4)


def _volume(frac: Any, triangles: Any) -> float:
    a, b, c = (frac[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("centre", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (0.0, 0.0, 0.0), (0.97, 0.02, 0.5)])
@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 1, 1)])
def test_isosurface_is_closed_wherever_the_block_cuts_it(centre: tuple[float, ...], repeat: tuple[int, ...]) -> None:
    """A periodic ball, whole or cut by faces, edges and corners: each edge in two triangles, the ball's volume."""
    n, radius = 36, 0.3
    grid = np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"), axis=-1)
    gap = grid - np.array(centre)
    values = np.linalg.norm(gap - np.round(gap), axis=-1)
    surface = isosurface(values, radius, repeat)
    edges = Counter(frozenset(map(int, e)) for a, b, c in surface.triangles for e in ((a, b), (b, c), (c, a)))
    assert set(edges.values()) == {2}
    expected = math.prod(repeat) * 4 / 3 * math.pi * radius**3
    assert _volume(surface.frac, surface.triangles) == pytest.approx(expected, rel=0.02)
    assert surface.frac.min() >= 0
    assert (surface.frac.max(axis=0) <= np.array(repeat)).all()
    assert surface.cap.any() == (centre != (0.5, 0.5, 0.5))


def test_isosurface_of_a_real_landscape_is_closed() -> None:
    grid = fastin.compute_bvse(EXAMPLES["LiFePO4"], resolution=0.4)
    surface = isosurface(grid.values, grid.minimum + 0.8)
    edges = Counter(frozenset(map(int, e)) for a, b, c in surface.triangles for e in ((a, b), (b, c), (c, a)))
    assert all(count % 2 == 0 for count in edges.values())
    assert _volume(surface.frac, surface.triangles) > 0
    assert not len(isosurface(grid.values, grid.minimum - 1).triangles)


def _camera(size: int = 200) -> Camera:
    return Camera(np.eye(3), np.zeros(3), size / 4, size, size, 2.0)


def test_balls_rods_and_triangles_hide_each_other() -> None:
    red, green, blue = (np.array(c, dtype=float) for c in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    drawing = Drawing(
        balls=[(np.array([0, 0, 0.0]), 1.0, [(red, 1.0)]), (np.array([0, 0, -2.0]), 1.5, [(green, 1.0)])],
        rods=[(np.array([-2, 0, 1.5]), np.array([2, 0, 1.5]), 0.1, blue)],
    )
    picture = render(drawing, _camera()).astype(int)
    assert np.argmax(picture[80, 100, :3]) == 0  # the near ball
    assert np.argmax(picture[100, 100, :3]) == 2  # the rod before it
    assert np.argmax(picture[35, 100, :3]) == 1  # the far ball beside it
    assert picture[2, 2].tolist() == [0, 0, 0, 0]  # nothing
    one = render(Drawing(balls=[drawing.balls[0]]), _camera())
    assert (one[..., 3] / 255).sum() == pytest.approx(math.pi * 50**2, rel=0.01)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_translucent_layers_are_sorted(order: tuple[int, int]) -> None:
    """The nearer of two translucent sheets tints more, whichever is given first."""
    corners = np.array([[[-3, -3, 0], [3, -3, 0], [0, 4, 0]]], dtype=float)
    normal = np.tile(np.array([0, 0, 1.0]), (1, 3, 1))
    sheets = [
        (corners + np.array([0, 0, 0.5]), normal, np.array([1.0, 0, 0]), 0.8),
        (corners - np.array([0, 0, 0.5]), normal, np.array([0, 0, 1.0]), 0.8),
    ]
    picture = render(Drawing(meshes=[sheets[k] for k in order]), _camera()).astype(int)
    assert picture[120, 100, 0] > picture[120, 100, 2]


def test_mixed_site_is_a_pie(scene: Any) -> None:
    drawing = build_drawing(scene.data, ["framework"])
    pies = [sectors for _, _, sectors in drawing.balls if len(sectors) > 1]
    assert pies
    assert all(sum(share for _, share in sectors) == pytest.approx(1, abs=0.02) for sectors in pies)
    one = Drawing(balls=[(np.zeros(3), 1.0, [(np.array([1.0, 0, 0]), 0.5), (np.array([0, 0, 1.0]), 0.5)])])
    picture = render(one, _camera()).astype(int)
    assert picture[100, 130, 0] > picture[100, 130, 2]
    assert picture[100, 70, 2] > picture[100, 70, 0]


def _gap(first: str, second: str) -> float:
    """The smaller of the CIELAB distances for full vision and for deuteranopia, by an independent package."""
    colorspacious = pytest.importorskip("colorspacious", reason="simulates colour blindness")
    blind = {"name": "sRGB1+CVD", "cvd_type": "deuteranomaly", "severity": 100}

    def code(text: str) -> Any:
        return np.array([int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)])

    def distance(a: Any, b: Any) -> float:
        return float(colorspacious.deltaE(a, b, input_space="sRGB1", uniform_space="CIELab"))

    a, b = code(first), code(second)
    dim = [np.clip(colorspacious.cspace_convert(c, blind, "sRGB1"), 0, 1) for c in (a, b)]
    return min(distance(a, b), distance(*dim))


def test_colours_are_apart_for_colour_blind_readers() -> None:
    assert min(_gap(a, b) for a, b in itertools.combinations(SERIES, 2)) > 30
    assert min(_gap(a, b) for a, b in itertools.pairwise(ENERGY)) > 15
    for path in EXAMPLES.values():
        present = sorted({int(n) for n in fastin.Crystal.from_file(path).number})
        colours = colours_of(present)
        for a, b in itertools.combinations(present, 2):
            assert _gap(colours[a], colours[b]) > 15, (path.stem, elements.symbol(a), elements.symbol(b))


def test_curves_that_coincide_are_one_curve_with_both_names() -> None:
    curves = profile_curves(build_scene(EXAMPLES["Li3OCl"], resolution=0.35, parts=["energies"]).data)
    assert [curve["dimensions"] for curve in curves] == [[1, 2, 3]]
    assert curves[0]["name"].startswith("1D, 2D, 3D: ")


def _texts(figure: Any) -> str:
    from matplotlib.text import Text

    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


@pytest.mark.parametrize("only", [None, "crystal", "isosurface", "profile", "pattern"])
def test_every_picture_names_its_method(scene: Any, only: str | None) -> None:
    text = _texts(figure_of(scene, dpi=40, only=only))
    for part in (f"fastin {fastin.__version__}", "Li10GeP2S12.cif", "BVSE", "spse", "cut-off 10", "zero", "spacing"):
        assert part in text, part
    assert "radii: ionic" in text
    assert "Note: oxidation states" in text
    if only in (None, "crystal", "isosurface"):
        for symbol in ("Li", "P (mixed site)", "Ge (mixed site)", "S"):
            assert symbol in text
        assert "energy of the path" in text
        assert ("isosurface, " in text) == (only != "crystal")


def test_warnings_are_in_the_caption(scene: Any) -> None:
    from dataclasses import replace

    warning = {"code": "vacuum", "severe": False, "text": "a slab"}
    assert "Warning (vacuum): a slab" in caption(replace(scene, data=scene.data | {"warnings": [warning]}), 200)
    many = replace(scene, notes=[f"note {k}" for k in range(40)])
    assert "40 warnings and notes in all" in caption(many, 200)


def test_sizes_formats_and_ground(tmp_path: Path, scene: Any) -> None:
    from PIL import Image

    path = write_figure(scene, tmp_path / "f.png", size=(3.0, 2.5), dpi=80, only="crystal", transparent=True)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels.shape == (200, 240, 4)
    assert pixels[0, -1, 3] == 0
    assert len(np.unique(pixels[pixels[..., 3] == 255].reshape(-1, 4), axis=0)) > 200  # drawn, not blank
    path = write_figure(scene, tmp_path / "g.png", size=(3.0, 2.5), dpi=80, only="profile")
    with Image.open(path) as image:
        assert np.asarray(image.convert("RGBA"))[0, -1].tolist() == [255] * 4
    assert write_figure(scene, tmp_path / "f.pdf", only="profile").read_bytes().startswith(b"%PDF")
    svg = write_figure(scene, tmp_path / "f.svg", only="isosurface", size=(3, 3), dpi=60).read_text(encoding="utf-8")
    assert "<image" in svg
    with pytest.raises(fastin.InputError, match="cannot write"):
        write_figure(scene, tmp_path / "f.nonsense", only="profile")


@pytest.mark.parametrize(
    "options", [{"only": "all"}, {"view": "d"}, {"view": "1,2,3"}, {"view": "nan,1"}, {"dpi": 1}, {"dpi": 1e9},
                {"size": (0, 3)}, {"size": (math.inf, 3)}, {"level": -1.0}, {"level": math.nan}]
)  # fmt: skip
def test_options_out_of_range(scene: Any, options: dict[str, Any]) -> None:
    with pytest.raises(fastin.InputError):
        figure_of(scene, **options)


def test_what_is_missing_is_not_drawn(tmp_path: Path) -> None:
    """No bond valence parameters: the crystal with its voids, and no picture called isosurface or profile."""
    path = tmp_path / "liar.cif"
    path.write_text(rocksalt(anion="Ar"))
    scene = build_scene(path, "Li")
    assert build_drawing(scene.data, ["voids"]).glass
    for only in ("isosurface", "profile"):
        with pytest.raises(fastin.InputError, match="No energy landscape"):
            figure_of(scene, only=only)
    text = _texts(figure_of(scene, dpi=40))
    assert "No energy landscape" in text
    assert "BVSE" not in text.replace("BVSE energy", "")
    assert "energies were not computed" in text
    with pytest.raises(fastin.InputError, match="no pattern to draw"):
        figure_of(build_scene(path, "Li", parts=["network"]), only="pattern")


def test_level_of_the_isosurface(scene: Any) -> None:
    assert "isosurface, 0.70 eV" in _texts(figure_of(scene, dpi=40, only="isosurface", level=0.7))
    low, high = (len(build_drawing(scene.data, ["surface"], level).meshes[0][0]) for level in (0.1, 0.7))
    assert low != high


@pytest.mark.parametrize("name", ["LiFePO4", "Li3N", "Li10GeP2S12"])
def test_views_look_down_their_axes(name: str) -> None:
    cell = fastin.Crystal.from_file(EXAMPLES[name]).cell
    for k, view in enumerate("abc"):
        rotation = rotation_of(cell, view)
        assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert rotation @ cell[k] == pytest.approx([0, 0, np.linalg.norm(cell[k])], abs=1e-9)
    assert rotation_of(cell, "0,0") @ cell[2] == pytest.approx([0, np.linalg.norm(cell[2]), 0], abs=1e-9)
    assert rotation_of(cell) == pytest.approx(rotation_of(cell, (-24, 11.5)))


def test_indices_of_a_reflection() -> None:
    assert hkl_text([2, 0, 0]) == "200"
    assert hkl_text([1, -1, 2]) == "11\u03052"
    assert hkl_text([10, -12, 0]) == "10 1\u03052\u0305 0"


def test_view_object(tmp_path: Path, scene: Any) -> None:
    shown = fastin.view(scene)
    assert isinstance(shown, View)
    assert shown.save(tmp_path / "v.html").read_text(encoding="utf-8") == shown.html
    assert shown.save(tmp_path / "v.png", only="profile", dpi=40).stat().st_size > 1000
    frame = shown._repr_html_()
    assert frame.startswith("<iframe srcdoc=")
    assert "sandbox=" in frame
    assert "<script" not in frame
    with pytest.raises(fastin.InputError, match="suffix"):
        shown.save(tmp_path / "v.txt")
    with pytest.raises(fastin.InputError, match="no options"):
        shown.save(tmp_path / "v.html", dpi=3)
    with pytest.raises(fastin.InputError):
        fastin.view(7)
    import fastin.view as package  # the room of that name is still one

    assert package.build_scene is build_scene


def test_command_line_options(tmp_path: Path) -> None:
    out = {kind: tmp_path / f"f.{kind}" for kind in ("png", "svg", "pdf")}
    arguments = [str(EXAMPLES["LiCl"]), "--resolution", "0.4", "--size", "3x3", "--dpi", "50", "--view", "a"]
    arguments += [
        "--only",
        "crystal",
        "--transparent",
        *(str(x) for kind, path in out.items() for x in (f"--{kind}", path)),
    ]
    run = CliRunner().invoke(command, arguments)
    assert run.exit_code == 0, run.output
    assert all(path.stat().st_size > 1000 for path in out.values())
    assert re.findall(r"f\.(\w+)", run.output) == ["png", "svg", "pdf"]
    for bad in (["--size", "3"], ["--dpi", "nan"], ["--only", "x"], ["--png", str(tmp_path / "f.svg")]):
        assert CliRunner().invoke(command, [str(EXAMPLES["LiCl"]), *bad]).exit_code == 2
    run = CliRunner().invoke(command, [str(EXAMPLES["LiCl"]), "--png", str(tmp_path / "g.png"), "--view", "q"])
    assert run.exit_code == 1
    assert "view must be" in run.output
