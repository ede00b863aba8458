"""`fastin.view(x)`: a picture of one structure that shows itself in a notebook."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

from fastin.errors import InputError
from fastin.view.figure import write_figure
from fastin.view.page import page_of
from fastin.view.scene import Scene, build_scene

_PICTURES = (".png", ".pdf", ".svg")


class View:
    """One structure to look at.

    Attributes:
        scene: what there is to show, as plain numbers.
    """

    def __init__(self, scene: Scene, height: int = 760) -> None:
        self.scene = scene
        self._height = height
        self._html: str | None = None

    def __repr__(self) -> str:
        return f"View({self.scene.data['subtitle']})"

    @property
    def html(self) -> str:
        """The self-contained page."""
        if self._html is None:
            self._html = page_of(self.scene)
        return self._html

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Writes the page (.html) or a figure (.png, .pdf, .svg) and returns its path.

        Args:
            path: file to write; its suffix says what.
            **options: of a figure, see `fastin.view.write_figure`: size, dpi, view, only, transparent.

        Raises:
            InputError: another suffix, options with a page, or the file cannot be written.
        """
        out = Path(path)
        if out.suffix.lower() in _PICTURES:
            return write_figure(self.scene, out, **options)
        if out.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"{out}: the suffix must be .html, .png, .pdf or .svg")
        if options:
            raise InputError(f"{out}: a page takes no options ({', '.join(options)})")
        try:
            out.write_text(self.html, encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {out}: {error.strerror or error}") from error
        return out

    def _repr_html_(self) -> str:
        page, title = (html.escape(text, quote=True) for text in (self.html, repr(self)))
        style = f"width:100%;height:{self._height}px;border:0"
        sandbox = "allow-scripts allow-downloads"
        return f'<iframe srcdoc="{page}" sandbox="{sandbox}" style="{style}" title="{title}"></iframe>'


def show(source: Any, ion: str | None = None, *, height: int = 760, **options: Any) -> View:
    """A picture of one structure: shows itself in a notebook, else `View.save` writes it.

    Args:
        source: path, pymatgen Structure, ASE Atoms, Crystal or a `Scene`.
        ion: mobile ion; None takes the default.
        height: of the frame in a notebook, pixels.
        **options: of `fastin.view.build_scene`: title, resolution, convention, parts.

    Raises:
        InputError: the structure cannot be read, or holds no such ion.

    Examples:
        >>> import fastin
        >>> picture = fastin.view(fastin.examples()["LiFePO4"], resolution=0.4)
        >>> picture
        View(LiFePO4, Pnma (no. 62), mobile Li+)
    """
    scene = source if isinstance(source, Scene) else build_scene(source, ion, **options)
    return View(scene, height)
