"""`.plot()` of the results, their small pictures in notebooks, and the names that `dir(fastin)` shows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastin
from fastin.view.plots import plot_parity
from fastin.xrd.pattern import xrd_peaks

matplotlib = pytest.importorskip("matplotlib", reason="plots need the view extra")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

EXAMPLES = fastin.examples()
LFP = EXAMPLES["LiFePO4"]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def grid() -> Any:
    return fastin.compute_bvse(LFP, resolution=0.3)


@pytest.fixture(scope="module")
def paths() -> Any:
    return fastin.compute_paths(LFP, resolution=0.3)


def _curve(axes: Any, k: int = 0) -> tuple[Any, Any]:
    line = axes.get_lines()[k]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_barriers(grid: Any) -> None:
    barriers = fastin.compute_barriers(grid)
    axes = barriers.plot()
    x, y = _curve(axes)
    assert y.max() == pytest.approx(barriers.e1d, abs=1e-5)
    path = barriers.path_1d
    length = np.linalg.norm(np.diff(path.frac, axis=0) @ barriers.cell, axis=1).sum()
    assert x[-1] == pytest.approx(length, abs=1e-3)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0].startswith(f"1D: {barriers.e1d:.3f} eV")
    assert "(eV)" in axes.get_ylabel()


def test_titles_name_the_method(grid: Any, paths: Any) -> None:
    network = fastin.compute_network(LFP)
    for axes in (fastin.compute_barriers(grid).plot(), grid.plot(), paths.plot(), paths.plot(hop=0), network.plot()):
        title = axes.get_title(loc="left")
        assert f"fastin {fastin.__version__}" in title
        assert "LiFePO4.cif" in title
        assert ("BVSE" in title and "spse" in title) or "Voronoi" in title


def test_titles_name_the_warnings(grid: Any) -> None:
    from dataclasses import replace

    doubtful = replace(grid, warnings=(fastin.CrystalWarning("vacuum", "a slab"),))
    assert "warnings: vacuum" in doubtful.plot().get_title(loc="left")
    assert "warnings: vacuum" in fastin.compute_barriers(doubtful).plot().get_title(loc="left")
    assert "warnings" not in grid.plot().get_title(loc="left")


def test_leg_and_hop(paths: Any) -> None:
    path = paths.path(1)
    x, y = _curve(paths.plot(dimensions=1))
    assert np.array_equal(x, path.distance)
    assert np.array_equal(y, path.energy)
    x, y = _curve(paths.plot(hop=0))
    assert np.array_equal(y, paths.profile(0).energy)
    assert np.array_equal(_curve(path.plot())[1], path.energy)
    with pytest.raises(fastin.InputError, match="not both"):
        paths.plot(dimensions=1, hop=0)
    with pytest.raises(fastin.InputError):
        paths.plot(dimensions=4)
    with pytest.raises(fastin.InputError):
        paths.plot(hop=10**6)


@pytest.mark.parametrize("axis", ["a", "b", "c"])
@pytest.mark.parametrize("name", ["LiFePO4", "Li3N"])
def test_slice_is_the_grid_in_angstrom(name: str, axis: str) -> None:
    """Energies and edge lengths of the slice; Li3N's hexagonal cell is sheared."""
    grid = fastin.compute_bvse(EXAMPLES[name], resolution=0.5)
    axes = grid.plot(axis=axis, at=0.0)
    mesh = axes.collections[0]
    k = "abc".index(axis)
    values = np.take(grid.values, 0, axis=k).astype(float) - grid.minimum
    expected = np.pad(values.T if axis == "b" else values, (0, 1), mode="wrap")
    assert np.asarray(mesh.get_array()).reshape(expected.shape) == pytest.approx(expected, abs=1e-4)
    corners = mesh.get_coordinates()
    edges = sorted([np.linalg.norm(corners[-1, 0] - corners[0, 0]), np.linalg.norm(corners[0, -1] - corners[0, 0])])
    lengths = sorted(np.linalg.norm(np.delete(grid.cell, k, axis=0), axis=1))
    assert edges == pytest.approx(lengths)


def test_slice_goes_through_the_minimum(grid: Any) -> None:
    axes = grid.plot(axis="b")
    assert float(np.min(axes.collections[0].get_array())) == pytest.approx(0, abs=1e-4)
    for bad in ({"axis": "x"}, {"at": float("nan")}, {"top": 0.0}):
        with pytest.raises(fastin.InputError):
            grid.plot(**bad)


def test_arrhenius() -> None:
    fit = fastin.fit_arrhenius([300, 350, 400], [1e-5, 6e-5, 2e-4])
    axes = fit.plot(label="this work")
    x, y = _curve(axes)
    assert x == pytest.approx(1000 / np.array([300, 350, 400]))
    assert y == pytest.approx(np.log10(np.array([1e-5, 6e-5, 2e-4]) * [300, 350, 400]))
    assert "this work" in axes.get_legend().get_texts()[0].get_text()


def test_pattern() -> None:
    peaks = xrd_peaks(LFP)
    axes = peaks.plot(source="LiFePO4.cif")
    strongest = int(np.argmax(peaks.intensity))
    text = "".join(map(str, np.abs(peaks.hkl[strongest])))
    assert text in [label.get_text().replace("\u0305", "") for label in axes.texts]


def test_parity() -> None:
    truth = np.array([0.1, 0.2, 0.3, np.nan])
    axes = plot_parity(truth, truth + 0.1, unit="eV", quantity="barrier")
    assert "MAE 0.1 eV" in axes.get_title(loc="left")
    assert "3 rows" in axes.get_title(loc="left")
    assert axes.get_xlabel() == "given barrier (eV)"
    assert "R² undefined" in plot_parity([1, 1], [1, 2]).get_title(loc="left")
    for bad in (([1, 2], [1]), ([1.0], [np.nan]), ([1, 2], [1, 2], [1])):
        with pytest.raises(fastin.InputError):
            plot_parity(*bad)


def test_given_axes_are_used(grid: Any, paths: Any) -> None:
    crystal = fastin.Crystal.from_file(LFP)
    for result in (
        crystal,
        fastin.compute_network(crystal),
        grid,
        fastin.compute_barriers(grid),
        paths,
        xrd_peaks(LFP),
    ):
        axes = pyplot.figure(figsize=(2, 2), dpi=40).subplots()
        assert result.plot(axes) is axes
        assert axes.has_data() or axes.images


def test_notebooks_show_a_small_picture(grid: Any, paths: Any) -> None:
    for result in (fastin.compute_barriers(grid), grid, paths, fastin.fit_arrhenius([300, 400], [1e-5, 1e-4])):
        text = result._repr_html_()
        assert re.search(r'<img src="data:image/png;base64,[A-Za-z0-9+/=]{2000,}" alt="', text)
        assert "<table>" in text
        assert len(text) < 200_000


def test_without_matplotlib(grid: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table alone in a notebook; a plot says which extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "<img" not in grid._repr_html_()
    assert "<table>" in grid._repr_html_()
    with pytest.raises(fastin.MissingDependencyError, match="view"):
        grid.plot()


def test_dir_shows_public_names_only() -> None:
    assert sorted(fastin.__all__) == dir(fastin)
    from fastin import xrd

    assert sorted(xrd.__all__) == dir(xrd)
