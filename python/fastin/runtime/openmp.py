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


def _share_torch_runtime() -> None:
    if not sys.platform.startswith("linux") or "torch" in sys.modules:
        return
    try:
        spec = find_spec("torch")
    except (ImportError, ValueError):
        return
    if spec is None or not spec.submodule_search_locations:
        return
    library = Path(spec.submodule_search_locations[0]) / "lib" / "libgomp.so.1"
    if library.is_file():
        try:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            return  # the bundled runtime serves


_share_torch_runtime()

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
