"""`fastin view --png`: the scene of the page as a figure for print (matplotlib)."""

from __future__ import annotations

import math
import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError, missing_extra
from fastin.view.drawing import Drawing, build_drawing
from fastin.view.raster import Camera, render
from fastin.view.scene import Scene, build_scene

ONLY = ("crystal", "isosurface", "profile", "pattern")
_SHOW = {
    None: ("framework", "mobile", "polyhedra", "voids", "path", "surface"),
    "crystal": ("framework", "mobile", "polyhedra", "path"),
    "isosurface": ("framework", "mobile", "path", "surface"),
}
_INK, _SOFT = "#1b2733", "#4f5d6b"
_STAND = (-24.0, 11.5)  # degrees: about the vertical, about the horizontal
_MOST_INCHES, _MOST_PIXELS = 60.0, 60_000_000
_STYLES = ("-", "--", ":")
_FINE = 4_000_000  # pixels of the crystal, beyond which its edges need no smoothing
_LABELLED = 8  # peaks of a pattern that carry their indices


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def rotation_of(cell: NDArray[np.float64], view: str | tuple[float, float] | None = None) -> NDArray[np.float64]:
    """(3, 3) rows: right, up, towards the viewer.

    Args:
        cell: (3, 3) lattice vectors in rows.
        view: "a", "b" or "c" looks down that axis; two angles (degrees) turn the standing crystal (c up, b to the
            right) about the vertical and then about the horizontal, as a tuple or as "30,20"; None is "-24,11.5".

    Raises:
        InputError: neither.
    """
    if isinstance(view, str) and view.strip().lower() in ("a", "b", "c"):
        k = "abc".index(view.strip().lower())
        towards = _unit(cell[k])
        up = _unit(np.cross(towards, cell[(k + 1) % 3]))
        return np.array([np.cross(up, towards), up, towards])
    try:
        turn, tilt = (
            _STAND if view is None else (float(v) for v in (view.split(",") if isinstance(view, str) else view))
        )
    except (TypeError, ValueError):
        turn = tilt = math.nan
    if not (math.isfinite(turn) and math.isfinite(tilt)):
        raise InputError(f"view must be a, b, c or two angles in degrees such as 30,20, not {view!r}")
    up, towards = _unit(cell[2]), _unit(np.cross(cell[1], cell[2]))
    t, u = math.radians(turn), math.radians(tilt)
    about_up = np.array([[math.cos(t), 0, math.sin(t)], [0, 1, 0], [-math.sin(t), 0, math.cos(t)]])
    about_right = np.array([[1, 0, 0], [0, math.cos(u), -math.sin(u)], [0, math.sin(u), math.cos(u)]])
    rotation: NDArray[np.float64] = about_right @ about_up @ np.array([np.cross(up, towards), up, towards])
    return rotation


def extent(drawing: Drawing, rotation: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest (x, y, z) of everything, in viewer's coordinates."""
    points = [drawing.corners @ rotation.T]
    radii = [np.full(8, 0.05)]
    for places in (drawing.balls, drawing.glass):
        if places:
            points.append(np.array([entry[0] for entry in places]) @ rotation.T)
            radii.append(np.array([entry[1] for entry in places]))
    at, radius = np.concatenate(points), np.concatenate(radii)[:, None]
    return (at - radius).min(axis=0), (at + radius).max(axis=0)


def _picture(axes: Any, drawing: Drawing, cell: NDArray[np.float64], rotation: NDArray[np.float64], dpi: float) -> None:
    """The drawing fills `axes`, with the directions of the axes in a corner."""
    from matplotlib.lines import Line2D

    box = axes.get_window_extent()
    width, height = (
        max(16, round(box.width / axes.figure.dpi * dpi)),
        max(16, round(box.height / axes.figure.dpi * dpi)),
    )
    low, high = extent(drawing, rotation)
    scale = 0.97 * min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    centre = (low + high) / 2 @ rotation
    camera = Camera(rotation, centre, scale, width, height, 1.1 * (high[2] - low[2]) / 2)
    axes.imshow(
        render(drawing, camera, 2 if width * height < _FINE else 1), extent=(0, width, 0, height), aspect="auto"
    )
    axes.axis("off")
    corner, arm = np.array([0.075, 0.075]) * min(width, height), 0.055 * min(width, height)
    for name, vector in zip("abc", cell, strict=True):
        right, up = (rotation @ _unit(vector))[:2]
        end = corner + arm * np.array([right, up])
        axes.add_line(Line2D([corner[0], end[0]], [corner[1], end[1]], color=_INK, linewidth=1.4))
        tip = corner + 1.35 * arm * np.array([right, up])
        if math.hypot(right, up) > 0.15:
            axes.text(*tip, name, color=_INK, ha="center", va="center", style="italic")
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)


def _legend(axes: Any, data: dict[str, Any], shown: tuple[str, ...]) -> None:
    """Every element of the picture, those of mixed sites too, and the surface."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    mixed = {symbol for atom in data["atoms"] if len(atom["shares"]) > 1 for symbol, _ in atom["shares"]}
    marks: list[Any] = [
        Line2D([], [], marker="o", linestyle="", markersize=7, markerfacecolor=look["colour"], markeredgecolor=_INK,
               markeredgewidth=0.6, label=symbol + (" (mixed site)" if symbol in mixed else ""))
        for symbol, look in data["elements"].items()
    ]  # fmt: skip
    if "surface" in shown and data["grid"] is not None:
        marks.append(Patch(facecolor="#3b97f3", alpha=0.6, label=f"isosurface, {data['grid']['level']:.2f} eV"))
    axes.axis("off")
    axes.legend(
        handles=marks, loc="center", ncols=max(1, min(len(marks), 6)), frameon=False, handletextpad=0.2,
        columnspacing=1.2, borderaxespad=0,
    )  # fmt: skip


def _colour_bar(axes: Any, data: dict[str, Any], what: str) -> None:
    from matplotlib.colorbar import ColorbarBase
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("energy", data["ramp"])
    norm = Normalize(0, data["energy_span"])
    bar = ColorbarBase(axes, cmap=colours, norm=norm, orientation="horizontal")
    bar.set_label(f"energy of the {what} (eV)")
    bar.outline.set_linewidth(0.5)


def profile_curves(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The curves of an energy profile: paths that coincide are one curve that names them all."""
    cell = np.array(data["cell"])
    curves: list[dict[str, Any]] = []
    for k, path in enumerate(data["paths"]):
        steps = np.linalg.norm(np.diff(np.array(path["frac"]), axis=0) @ cell, axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        same = next((c for c in curves if c["energy"] == path["energy"] and np.allclose(c["distance"], along)), None)
        if same is not None:
            same["dimensions"].append(path["dimensions"])
            continue
        curves.append(
            {
                "dimensions": [path["dimensions"]],
                "distance": along,
                "energy": path["energy"],
                "barrier": path["barrier"],
                "direction": " ".join(map(str, path["translation"])),
                "colour": data["series"][k],
                "style": _STYLES[k],
            }
        )
    for curve in curves:
        names = ", ".join(f"{d}D" for d in curve["dimensions"])
        curve["name"] = f"{names}: {curve['barrier']:.3f} eV along [{curve['direction']}]"
    return curves


def draw_profile(axes: Any, data: dict[str, Any]) -> None:
    """Energy along the cheapest percolating paths."""
    curves = profile_curves(data)
    for curve in curves:
        axes.plot(
            curve["distance"], curve["energy"], color=curve["colour"], linestyle=curve["style"], linewidth=1.8,
            label=curve["name"],
        )  # fmt: skip
    axes.set_xlabel("distance along the path (Å)")
    axes.set_ylabel("BVSE energy (eV)")
    if curves:
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=1, borderaxespad=0.2)
        axes.margins(x=0)
    else:
        text = "no percolating path" if data["grid"] is not None else "energies were not computed"
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=_SOFT)


def hkl_text(hkl: Any) -> str:
    """Miller indices in a row, negative ones with a bar; apart where one has two digits."""
    parts = [("\u0305".join([*str(abs(int(i))), ""]) if i < 0 else str(int(i))) for i in hkl]
    return (" " if max(abs(int(i)) for i in hkl) > 9 else "").join(parts)


def draw_pattern(axes: Any, data: dict[str, Any], profile: tuple[Any, Any] | None = None) -> None:
    """Powder pattern with the indices of the strongest peaks; a profile is drawn instead of sticks."""
    xrd = data["xrd"]
    if xrd is None:
        axes.axis("off")
        return
    heights = np.array(xrd["intensity"], dtype=float)
    if profile is None:
        axes.vlines(xrd["two_theta"], 0, heights, color=_INK, linewidth=0.9)
    else:
        axes.plot(*profile, color=_INK, linewidth=0.9)
        heights = np.maximum(heights, np.interp(xrd["two_theta"], *profile))
    axes.set_xlim(*xrd["range"])
    axes.set_ylim(0, 1.32)
    axes.set_yticks([0, 0.5, 1])
    placed: list[float] = []
    apart = 0.03 * (xrd["range"][1] - xrd["range"][0])
    for k in np.argsort(-np.array(xrd["intensity"])):
        angle = xrd["two_theta"][k]
        if not xrd["range"][0] <= angle <= xrd["range"][1]:
            continue
        if len(placed) >= _LABELLED or any(abs(angle - other) < apart for other in placed):
            continue
        placed.append(angle)
        axes.text(
            angle, heights[k] + 0.03, hkl_text(xrd["hkl"][k]), rotation=90, ha="center", va="bottom",
            fontsize="x-small", color=_SOFT,
        )  # fmt: skip
    axes.set_xlabel(f"2θ (degrees), {xrd['label']}")
    axes.set_ylabel("intensity")


def caption(scene: Scene, width: int, most: int = 6) -> str:
    """How the picture was made, what may be wrong and what was assumed; lines of at most `width` characters."""
    lines = textwrap.wrap("; ".join(f"{name}: {value}" for name, value in scene.data["method"]) + ".", width)
    said = [f"Warning ({warning['code']}): {warning['text']}" for warning in scene.data["warnings"]]
    said += [f"Note: {note}" for note in scene.notes]
    more = [line for text in said for line in textwrap.wrap(text, width, subsequent_indent="  ")]
    room = max(1, most - len(lines))
    if len(more) > room:
        more = [*more[: room - 1], f"… {len(said)} warnings and notes in all, listed on the structure's page."]
    return "\n".join([*lines, *more])


def _check_there(scene: Scene, only: str | None) -> None:
    """Refuses a picture of a part that could not be computed, and says why it is missing."""
    missing = {
        "isosurface": ("grid", "energy landscape"),
        "profile": ("grid", "energy landscape"),
        "pattern": ("xrd", ""),
    }
    if only in missing and scene.data[missing[only][0]] is None:
        reasons = [note for note in scene.notes if note.startswith("No ")] or ["it was not computed"]
        raise InputError(f"{scene.data['name']}: there is no {only} to draw: {'; '.join(reasons)}")


def figure_of(
    scene: Scene,
    *,
    size: tuple[float, float] | None = None,
    dpi: float = 200.0,
    view: str | tuple[float, float] | None = None,
    only: str | None = None,
    level: float | None = None,
) -> Any:
    """The `matplotlib.figure.Figure` of a scene.

    Args:
        scene: from `build_scene`.
        size: width and height in inches.
        dpi: pixels per inch, also of the crystal inside a vector file.
        view: as for `rotation_of`.
        only: one of `ONLY`; None shows all.
        level: of the isosurface (eV above the zero); None takes the scene's own.

    Raises:
        InputError: an option out of range.
        MissingDependencyError: matplotlib is not installed.
    """
    if only not in (None, *ONLY):
        raise InputError(f"only must be one of {', '.join(ONLY)}, not {only!r}")
    if level is not None and not (math.isfinite(level) and level > 0):
        raise InputError(f"level must be a positive energy (eV), not {level}")
    _check_there(scene, only)
    width, height = size or ((12.0, 7.2) if only is None else (6.0, 5.6) if only in _SHOW else (6.0, 3.6))
    if not all(math.isfinite(v) and 0.5 <= v <= _MOST_INCHES for v in (width, height)):
        raise InputError(f"size must be 0.5 to {_MOST_INCHES:g} inches each way, not {width:g} x {height:g}")
    if not (math.isfinite(dpi) and dpi >= 10 and width * height * dpi * dpi <= _MOST_PIXELS):
        raise InputError(f"dpi must be at least 10 and make at most {_MOST_PIXELS:,} pixels; {dpi:g} does not")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "view") from error
    rotation = rotation_of(np.array(scene.data["cell"]), view)
    base = float(np.clip(9.0 * (width / 12 if only is None else width / 6), 6.0, 11.0))
    with matplotlib.rc_context(
        {"font.size": base, "axes.labelsize": base, "legend.fontsize": 0.92 * base, "text.parse_math": False,
         "xtick.labelsize": 0.9 * base, "ytick.labelsize": 0.9 * base, "text.color": _INK, "axes.labelcolor": _INK}
    ):  # fmt: skip
        figure = Figure(figsize=(width, height), dpi=dpi)
        _compose(figure, scene, rotation, only, base, level)
    return figure


def _compose(
    figure: Any, scene: Scene, rotation: NDArray[np.float64], only: str | None, base: float, level: float | None
) -> None:
    """Places the panels; everything in fractions of the figure."""
    data = scene.data
    if level is not None and data["grid"] is not None:
        data = data | {"grid": data["grid"] | {"level": level}}
    width, height = figure.get_size_inches()
    em_x, em_y = base / 72 / width, base / 72 / height
    text = caption(scene, int(0.96 / (0.53 * 0.72 * em_x)), 6 if only is None else 4)
    foot = (text.count("\n") + 1) * 0.72 * 1.25 * em_y + 1.3 * em_y
    figure.text(0.015, 0.5 * em_y, text, va="bottom", fontsize=0.72 * base, color=_SOFT, linespacing=1.2)
    figure.text(0.015, 1 - 0.6 * em_y, data["name"], va="top", fontsize=1.25 * base, weight="bold")
    figure.text(0.015, 1 - 2.4 * em_y, data["subtitle"], va="top", color=_SOFT)
    top = 1 - 4.2 * em_y
    if only in _SHOW:
        right = 0.56 if only is None else 0.985
        _crystal(figure, data, rotation, only, (0.015, foot, right, top), em_y)
    if only == "profile":
        axes = figure.add_axes((4.6 * em_x, foot + 3.7 * em_y, 0.97 - 4.6 * em_x, top - foot - 8.9 * em_y))
        draw_profile(axes, data)
    elif only == "pattern":
        axes = figure.add_axes((4.6 * em_x, foot + 3.7 * em_y, 0.97 - 4.6 * em_x, top - foot - 3.9 * em_y))
        draw_pattern(axes, data)
    elif only is None:
        left, wide = 0.56 + 5.0 * em_x, 0.43 - 5.5 * em_x
        lines = len(data["facts"]) * 1.45 * em_y
        upper = 0.54 * (top - foot - lines)
        draw_profile(figure.add_axes((left, top - upper + 3.2 * em_y, wide, upper - 8.0 * em_y)), data)
        rows = top - upper - 1.2 * em_y
        for k, (name, value) in enumerate(data["facts"]):
            figure.text(left - 3.4 * em_x, rows - (1.45 * k + 1) * em_y, name, va="baseline", color=_SOFT)
            figure.text(left + 4.6 * em_x, rows - (1.45 * k + 1) * em_y, value, va="baseline")
        low = foot + 3.6 * em_y
        draw_pattern(figure.add_axes((left, low, wide, max(0.05, rows - lines - low - 0.8 * em_y))), data)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)


def _crystal(
    figure: Any,
    data: dict[str, Any],
    rotation: NDArray[np.float64],
    only: str | None,
    box: tuple[float, float, float, float],
    em_y: float,
) -> None:
    """The picture with its legend and colour bar below it."""
    shown = tuple(name for name in _SHOW[only] if data.get(f"show_{name}", True))
    left, bottom, right, top = box
    coloured = [
        name
        for name, there in (("path", "path" in shown and data["paths"]), ("voids", "voids" in shown and data["voids"]))
        if there
    ]
    bar = 5.2 * em_y if coloured and data["grid"] is not None else 0.0
    marks = len(data["elements"]) + ("surface" in shown)
    keys = 1.9 * em_y * math.ceil(marks / 6)
    axes = figure.add_axes((left, bottom + bar + keys, right - left, top - bottom - bar - keys))
    _picture(axes, build_drawing(data, shown), np.array(data["cell"]), rotation, figure.dpi)
    _legend(figure.add_axes((left, bottom + bar, right - left, keys)), data, shown)
    if bar:
        middle, half = (left + right) / 2, 0.32 * (right - left)
        _colour_bar(
            figure.add_axes((middle - half, bottom + 3.8 * em_y, 2 * half, 0.9 * em_y)),
            data,
            " and the ".join(coloured),
        )


def write_figure(
    source: Any,
    out: str | os.PathLike[str],
    ion: str | None = None,
    *,
    size: tuple[float, float] | None = None,
    dpi: float = 200.0,
    view: str | tuple[float, float] | None = None,
    only: str | None = None,
    level: float | None = None,
    transparent: bool = False,
    **options: Any,
) -> Path:
    """Writes the figure (the suffix says how: .png, .pdf, .svg) and returns its path.

    Args:
        source: path, pymatgen Structure, ASE Atoms, Crystal or a `Scene`.
        out: file to write.
        ion: mobile ion; None takes the default.
        size: width and height in inches; None fits what is shown.
        dpi: pixels per inch, also of the crystal inside a vector file.
        view: "a", "b", "c", or angles in degrees, see `rotation_of`.
        only: "crystal", "isosurface", "profile" or "pattern"; None shows all.
        level: of the isosurface (eV above the zero); None takes the scene's own.
        transparent: no white ground.
        **options: of `fastin.view.build_scene`.

    Raises:
        InputError: an option out of range, or the file cannot be written.
    """
    scene = source if isinstance(source, Scene) else build_scene(source, ion, **options)
    path = Path(out)
    figure = figure_of(scene, size=size, dpi=dpi, view=view, only=only, level=level)
    try:
        figure.savefig(path, transparent=transparent, dpi=dpi)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path}: {error}") from error
    return path
