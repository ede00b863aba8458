"""Structures that crash, hang, fill the memory or raise, by the name of their file: through a ``sitecustomize``.

Worker processes inherit ``sys.path`` and so load it; nothing in fastin knows of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_SITE = """
import sys
if any("fastin.runtime.worker" in word for word in sys.orig_argv):
    import ctypes, time
    import fastin.crystal.crystal as crystal
    import fastin.crystal.files as files

    sites = files.read_sites
    read, parse = crystal.as_crystal, crystal.Crystal.from_cif_string.__func__

    def misbehave(name):
        if "crash" in name:
            ctypes.string_at(0)
        if "hang" in name:
            time.sleep(1000)
        if "fill" in name:
            kept = [bytearray(2**26) for _ in range(1024)]
        if "raise" in name:
            raise KeyError("nobody expected this")

    def as_crystal(source, *args, **kwargs):
        misbehave(str(source))
        return read(source, *args, **kwargs)

    def from_cif_string(cls, text, *args, **kwargs):
        misbehave(kwargs.get("source", ""))
        return parse(cls, text, *args, **kwargs)

    def read_sites(path, *args, **kwargs):
        misbehave(str(path))
        return sites(path, *args, **kwargs)

    files.read_sites = read_sites
    crystal.as_crystal = as_crystal
    crystal.Crystal.from_cif_string = classmethod(from_cif_string)
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the workers of this process misbehave."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
