"""One OpenMP runtime per process, then the compiled core.

torch ships its own libgomp under the plain soname. If the core were loaded first with another copy, two runtimes
would live in one process: torch's thread count would not reach the core and the two pools would fight. Loading
torch's copy first (without importing torch) makes both bind to one runtime, in either import order.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

_BUNDLED = Path(__file__).parents[1] / "_libs"  # of a repaired wheel (CMake: FASTIN_BUNDLE_OPENMP)


def _load_runtime() -> None:
    """Loads the one libgomp that serves this process: torch's where torch is installed, else the wheel's own.

    A wheel's core asks for ``libgomp.so.1`` by its plain name, which the library that is loaded here answers; without
    either, the system's is found as for any program.
    """
    if not sys.platform.startswith("linux") or "torch" in sys.modules:
        return
    try:
        spec = find_spec("torch")
    except (ImportError, ValueError):
        spec = None
    folders = [] if spec is None else [Path(place) / "lib" for place in spec.submodule_search_locations or ()]
    for folder in (*folders, _BUNDLED):
        library = folder / "libgomp.so.1"
        if library.is_file():
            try:
                ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            except OSError:
                continue
            return


_load_runtime()

from fastin import _core  # noqa: E402

_in_forked_child = False


def _after_fork_in_child() -> None:
    # libgomp's pool does not survive a fork: more than one thread in the child would hang.
    global _in_forked_child
    _in_forked_child = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def in_forked_child() -> bool:
    """True in a process that was forked after fastin was imported."""
    return _in_forked_child


__all__ = ["_core", "in_forked_child"]
