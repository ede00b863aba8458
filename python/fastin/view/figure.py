"""`fastin view --png`: the same structure as a static figure (matplotlib)."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError, missing_extra
from fastin.view.scene import Scene, build_scene

_ENERGY_COLOURS = ("#1b4f9c", "#2f8fc4", "#63c5b1", "#f2e28b", "#f39b4a", "#c8332b")
_SOFT = "#5c6b7a"


def _rotation(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rows: right, up, towards the viewer; c up, b to the right, turned a little."""

    def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return vector / np.linalg.norm(vector)

    up = unit(cell[2])
    towards = unit(np.cross(cell[1], cell[2]))
    right = np.cross(up, towards)
    turn, tilt = -0.42, 0.2
    about_up = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    about_right = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    view: NDArray[np.float64] = about_right @ about_up @ np.array([right, up, towards])
    return view


def _images(frac: list[float], margin: float = 0.011) -> NDArray[np.float64]:
    """(n, 3) images of a position in the cell, its boundary included."""
    low, high = np.ceil(-margin - np.array(frac)), np.floor(1 + margin - np.array(frac))
    ranges = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    return np.array(list(itertools.product(*ranges))).reshape(-1, 3) + frac


class _Painter:
    """Draws balls and lines far to near: a painter's algorithm on matplotlib patches."""

    def __init__(self, axes: Any, cell: NDArray[np.float64]) -> None:
        self._axes = axes
        self._cell = cell
        self._view = _rotation(cell)
        self._items: list[tuple[float, Any]] = []

    def eye(self, frac: Any) -> NDArray[np.float64]:
        """Fractional to viewer's coordinates."""
        place: NDArray[np.float64] = (np.asarray(frac, dtype=float) - 0.5) @ self._cell @ self._view.T
        return place

    def ball(self, frac: Any, radius: float, colour: str, alpha: float = 1.0) -> None:
        from matplotlib.patches import Circle

        x, y, z = self.eye(frac)
        rim = "none" if alpha < 1 else "#2a3440"
        self._items.append((z, Circle((x, y), radius, facecolor=colour, edgecolor=rim, linewidth=0.6, alpha=alpha)))
        if alpha == 1:
            spot = Circle(
                (x - 0.3 * radius, y + 0.33 * radius), 0.38 * radius, facecolor="white", alpha=0.4, linewidth=0
            )
            self._items.append((z + 1e-6, spot))

    def line(self, start: Any, end: Any, colour: Any, width: float) -> None:
        from matplotlib.lines import Line2D

        a, b = self.eye(start), self.eye(end)
        z = float((a[2] + b[2]) / 2)
        line = Line2D([a[0], b[0]], [a[1], b[1]], color=colour, linewidth=width, solid_capstyle="round")
        self._items.append((z, line))

    def finish(self) -> None:
        """Puts everything on the axes."""
        corners = self.eye(list(itertools.product((0, 1), repeat=3)))
        for order, (_, item) in enumerate(sorted(self._items, key=lambda entry: entry[0])):
            item.set_zorder(2 + order * 1e-4)
            (self._axes.add_line if hasattr(item, "get_xdata") else self._axes.add_patch)(item)
        margin = 1.2
        self._axes.set_xlim(corners[:, 0].min() - margin, corners[:, 0].max() + margin)
        self._axes.set_ylim(corners[:, 1].min() - margin, corners[:, 1].max() + margin)
        self._axes.set_aspect("equal")
        self._axes.axis("off")


def _bonds(painter: _Painter, data: dict[str, Any], cell: NDArray[np.float64]) -> None:
    placed = [(image, atom) for atom in data["atoms"] if not atom["mobile"] for image in _images(atom["frac"])]
    anions = [(image, atom) for image, atom in placed if atom["charge"] < 0]
    if not anions:
        return
    places = np.array([image for image, _ in anions])
    for image, atom in placed:
        if atom["charge"] <= 0:
            continue
        distances = np.linalg.norm((places - image) @ cell, axis=1)
        for k in np.flatnonzero((distances < 1.12 * atom["bond"]) & (distances > 0.3)):
            middle = (image + places[k]) / 2
            painter.line(image, middle, data["elements"][atom["symbol"]]["colour"], 2.4)
            painter.line(middle, places[k], data["elements"][anions[k][1]["symbol"]]["colour"], 2.4)


def _structure(axes: Any, data: dict[str, Any]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    energy_map = LinearSegmentedColormap.from_list("energy", _ENERGY_COLOURS)
    cell = np.array(data["cell"])
    painter = _Painter(axes, cell)
    for corner in itertools.product((0, 1), repeat=3):
        for k in range(3):
            if corner[k] == 0:
                end = list(corner)
                end[k] = 1
                painter.line(corner, end, "#7a8794", 1.0)
    _bonds(painter, data, cell)
    for atom in data["atoms"]:
        look = data["elements"][atom["symbol"]]
        for image in _images(atom["frac"]):
            alpha = 1.0 if atom["occupancy"] > 0.99 or not atom["mobile"] else 0.35 + 0.6 * atom["occupancy"]
            painter.ball(image, look["radius"] * (0.8 if atom["mobile"] else 1.0), look["colour"], alpha)
    for void in data["voids"]:
        energy = void["energy"]
        if energy is None or energy > data["energy_span"]:
            continue
        for image in _images(void["frac"]):
            painter.ball(image, min(0.5 * void["radius"], 1.1), energy_map(energy / data["energy_span"]), 0.3)
    if data["paths"]:
        path = data["paths"][0]
        top = max(max(path["energy"]), 1e-6)
        for a, b, energy in zip(path["frac"][:-1], path["frac"][1:], path["energy"], strict=False):
            middle = (np.array(a) + b) / 2
            for image in _images(middle.tolist(), 0.0):  # every piece where it falls in the cell
                shift = image - middle
                painter.line(a + shift, b + shift, energy_map(max(energy, 0.0) / top), 5.0)
    painter.finish()
    axes.set_title(f"{data['name']}\n{data['subtitle']}", fontsize=11, loc="left")
    _legend(axes, data)


def _legend(axes: Any, data: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D

    used = list(dict.fromkeys(atom["symbol"] for atom in data["atoms"]))
    marks = [
        Line2D([], [], marker="o", linestyle="", markersize=8, markerfacecolor=data["elements"][s]["colour"],
               markeredgecolor="#2a3440", label=s)
        for s in used
    ]  # fmt: skip
    axes.legend(handles=marks, loc="lower left", ncols=max(1, len(used)), frameon=False, fontsize=9, handletextpad=0.1)


def _profile(axes: Any, data: dict[str, Any]) -> None:
    cell = np.array(data["cell"])
    shown = set()
    for path, colour in zip(data["paths"], ("#1f6feb", "#2b9348", "#d9480f"), strict=False):
        key = tuple(path["energy"])
        if key in shown:  # one pass may open several dimensions
            continue
        shown.add(key)
        steps = np.linalg.norm(np.diff(np.array(path["frac"]), axis=0) @ cell, axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        axes.plot(along, path["energy"], color=colour, linewidth=1.8, label=path["name"])
        axes.fill_between(along, path["energy"], color=colour, alpha=0.08)
    axes.set_xlabel("distance along the path (Å)")
    axes.set_ylabel("energy (eV)")
    if data["paths"]:
        axes.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        axes.margins(x=0)
    else:
        axes.text(0.5, 0.5, "no percolating path", ha="center", va="center", transform=axes.transAxes, color=_SOFT)


def _pattern(axes: Any, data: dict[str, Any]) -> None:
    if data["xrd"] is None:
        axes.axis("off")
        return
    axes.vlines(data["xrd"]["two_theta"], 0, data["xrd"]["intensity"], color="#33475b", linewidth=1.0)
    axes.set_xlim(*data["xrd"]["range"])
    axes.set_ylim(0, 1.05)
    axes.set_xlabel(f"2θ (degrees), {data['xrd']['label']}")
    axes.set_ylabel("intensity")


def figure_of(scene: Scene) -> Any:
    """The `matplotlib.figure.Figure` of a scene."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "view") from error
    figure = Figure(figsize=(12, 6.4), dpi=160, layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1.35, 1), height_ratios=(1.05, 1, 0.85))
    _structure(figure.add_subplot(grid[:, 0]), scene.data)
    _profile(figure.add_subplot(grid[0, 1]), scene.data)
    facts = figure.add_subplot(grid[1, 1])
    facts.axis("off")
    text = "\n".join(f"{name:<13} {value}" for name, value in scene.data["facts"])
    facts.text(0, 1, text, va="top", family="monospace", fontsize=8.5, parse_math=False)
    _pattern(figure.add_subplot(grid[2, 1]), scene.data)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_parse_math(False)
    return figure


def write_figure(source: Any, out: str | os.PathLike[str], ion: str | None = None, **options: Any) -> Path:
    """Writes the figure (the suffix says how: .png, .pdf, .svg) and returns its path.

    Args:
        source: path, pymatgen Structure, ASE Atoms, Crystal or a `Scene`.
        out: file to write.
        ion: mobile ion; None takes the default.
        **options: of `fastin.view.build_scene`.
    """
    scene = source if isinstance(source, Scene) else build_scene(source, ion, **options)
    path = Path(out)
    figure = figure_of(scene)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path}: {error}") from error
    return path
