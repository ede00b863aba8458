"""`fastin view`: one structure as one self-contained page that works offline."""

from __future__ import annotations

import html
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastin.errors import InputError
from fastin.runtime.plain import plain, plain_json
from fastin.view.packing import packed
from fastin.view.scene import Scene, build_scene


def page_of(scene: Scene) -> str:
    """The page of a computed scene. Every text of the structure enters as JSON and is shown as text, never as HTML."""
    assets = files("fastin.view") / "assets"
    page, renderer, charts, script = (
        (assets / name).read_text(encoding="utf-8") for name in ("view.html", "renderer.js", "charts.js", "view.js")
    )
    text = plain_json(json.dumps(packed(scene.data), ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    for escaped in "<>&":
        text = text.replace(escaped, f"\\u{ord(escaped):04x}")
    # from the bottom up: the last place is the page's own, whatever the texts hold
    for name, content in (("script", script), ("charts", charts), ("renderer", renderer), ("scene", text)):
        before, _, after = page.rpartition("{{" + name + "}}")
        page = before + content + after
    return page.replace("{{title}}", html.escape(plain(str(scene.data["name"]))), 1)


def view_html(
    source: Any,
    ion: str | None = None,
    *,
    title: str | None = None,
    resolution: float = 0.2,
    relaxed: str | os.PathLike[str] | None = None,
) -> str:
    """The page of a structure: crystal, voids, bottlenecks, paths, energy isosurface, profile, hops, powder pattern.

    Args:
        source: path, pymatgen Structure, ASE Atoms or Crystal.
        ion: mobile ion; None takes the default.
        title: heading; None takes the formula.
        resolution: spacing of the energy grid (A).
        relaxed: folder of `fastin relax -o` with relaxed barriers of this structure.

    Raises:
        InputError: the structure cannot be read, or holds no such ion.
    """
    return page_of(build_scene(source, ion, title=title, resolution=resolution, relaxed=relaxed))


def write_view(source: Any, out: str | os.PathLike[str], ion: str | None = None, **options: Any) -> Path:
    """Writes `view_html` to a file and returns its path."""
    page = view_html(source, ion, **options)
    path = Path(out)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path
