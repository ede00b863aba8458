"""Pictures of one structure: a self-contained page and figures for print.

The package itself is callable: ``fastin.view(source)`` is `fastin.view.show`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from fastin.view.figure import write_figure
from fastin.view.page import view_html, write_view
from fastin.view.scene import Scene, build_scene
from fastin.view.shown import View, show

__all__ = ["Scene", "View", "build_scene", "show", "view_html", "write_figure", "write_view"]


class _Callable(ModuleType):
    """A package that is a function as well."""

    def __call__(self, source: Any, ion: str | None = None, **options: Any) -> View:
        """See `show`."""
        return show(source, ion, **options)


view = sys.modules[__name__]
view.__class__ = _Callable
