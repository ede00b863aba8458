"""Pictures of one structure: a self-contained page and a static figure."""

from __future__ import annotations

from fastin.view.figure import write_figure
from fastin.view.page import view_html, write_view
from fastin.view.scene import Scene, build_scene

__all__ = ["Scene", "build_scene", "view_html", "write_figure", "write_view"]
