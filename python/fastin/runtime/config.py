"""What fastin runs on."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from fastin.runtime.arguments import checked_arguments

_PACKAGES = (
    *("numpy", "scipy", "spglib", "gemmi", "pymatgen", "ase"),
    *("torch", "torch-geometric", "torch-scatter", "pyarrow"),
)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def openmp_runtimes() -> list[str]:
    """Paths of the OpenMP runtimes loaded in this process (Linux; empty elsewhere)."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return []
    found = set()
    for line in maps.read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        name = Path(path).name
        if name.startswith(("libgomp", "libomp", "libiomp")):
            found.add(path)
    return sorted(found)


@checked_arguments
def show_config(*, as_dict: bool = False) -> dict[str, Any] | None:
    """Versions, threads, SIMD level, OpenMP runtime and CUDA.

    Args:
        as_dict: return the facts instead of printing them.
    """
    from fastin import __version__
    from fastin.runtime.openmp import _core
    from fastin.runtime.threads import get_num_threads

    facts: dict[str, Any] = {
        "fastin": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "simd": _core.simd_level(),
        "openmp": _core.has_openmp,
        "openmp_runtimes": openmp_runtimes(),
        "threads": get_num_threads(),
    }
    for name in (
        "numpy",
        "scipy",
        "spglib",
        "gemmi",
        "pymatgen",
        "ase",
        "torch",
        "torch-geometric",
        "torch-scatter",
        "pyarrow",
    ):
        facts[name] = _version(name)
    torch = sys.modules.get("torch")
    facts["cuda"] = bool(torch.cuda.is_available()) if torch is not None else "unknown (torch not imported)"
    if as_dict:
        return facts
    width = max(map(len, facts))
    for key, value in facts.items():
        print(f"{key:<{width}}  {'not installed' if value is None else value}")
    return None
