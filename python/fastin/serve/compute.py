"""One upload in a process of its own: ``python -m fastin.serve.compute FOLDER``, request as JSON on standard input.

Writes the files of `FILES` that could be made and ``result.json`` into FOLDER. The server kills the process when its
time is over, so whatever a file does to the parser, it does it here.
"""

from __future__ import annotations

import errno
import json
import resource
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastin.errors import FastinError

#: name of each file -> what it is
FILES = {
    "view.html": "view page",
    "network.json": "interstitial network, every number",
    "network.net": "interstitial network, CAVD's and Zeo++'s text format",
    "voids.cif": "voids as dummy atoms",
    "energy.cube": "bond valence site energies, Gaussian cube",
    "barriers.json": "barriers and percolating paths",
    "paths.json": "sites, hops and cheapest paths",
}


def _write_files(crystal: Any, ion: str | None, folder: Path) -> list[str]:
    """Writes what can be computed; a message for each part that cannot."""
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse
    from fastin.network.network import compute_network
    from fastin.transport.paths import compute_paths

    problems: list[str] = []

    def attempt(what: str, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except FastinError as error:
            problems.append(f"No {what}: {error}")
        except OSError as error:
            problems.append(f"No {what}: {'too large' if error.errno == errno.EFBIG else error.strerror}")
            (folder / what).unlink(missing_ok=True)
        return None

    def attempt_json(name: str, content: Any) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        attempt(name, lambda: (folder / name).write_text(text, encoding="utf-8"))

    network = attempt("network", lambda: compute_network(crystal, ion))
    if network is not None:
        for name in ("network.json", "network.net", "voids.cif"):
            attempt(name, partial(network.write, folder / name))
    grid = attempt("energies", lambda: compute_bvse(crystal, ion))
    if grid is not None:
        attempt("energy.cube", lambda: grid.write(folder / "energy.cube"))
        paths = attempt("hops", lambda: compute_paths(crystal, ion))
        if paths is not None:
            attempt_json("paths.json", paths.to_dict())
        barriers = attempt("barriers", lambda: compute_barriers(grid))
        if barriers is not None:
            attempt_json("barriers.json", barriers.to_dict(paths=True))
    return problems


def answer(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The result of one request: ``formula`` and ``facts``, or ``error``."""
    from fastin.screening.job import load_crystal
    from fastin.view.page import page_of
    from fastin.view.scene import build_scene

    payload = (folder / "upload").read_bytes()
    try:
        crystal = load_crystal((request["name"], request["name"], request["kind"], payload))
        scene = build_scene(crystal, request["ion"], title=request["name"])
        problems = _write_files(crystal, request["ion"], folder)
    except FastinError as error:
        return {"error": str(error), "type": type(error).__name__}
    (folder / "view.html").write_text(page_of(scene), encoding="utf-8")
    return {
        "formula": crystal.formula,
        "subtitle": scene.data["subtitle"],
        "facts": scene.data["facts"],
        "problems": problems,
        "notes": scene.notes,
    }


def main() -> None:
    """Entry point."""
    request = json.load(sys.stdin)
    folder = Path(sys.argv[1])
    for kind, name in ((resource.RLIMIT_AS, "memory_bytes"), (resource.RLIMIT_FSIZE, "file_bytes")):
        limit = int(request[name])
        resource.setrlimit(kind, (limit, limit))
    warnings.simplefilter("ignore")
    try:
        result = answer(request, folder)
    except OSError as error:
        result = {"error": f"the results cannot be written: {error.strerror or error}", "type": "OSError"}
    except MemoryError:
        result = {"error": "the structure needs more memory than the server grants", "type": "MemoryError"}
    (folder / "result.json").write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
