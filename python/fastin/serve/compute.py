"""One upload in a process of its own: ``python -m fastin.serve.compute FOLDER LIFELINE``, request on standard input.

Writes the files of `FILES` that could be made and ``result.json`` into FOLDER. The server kills the process when its
time is over, so whatever a file does to the parser, it does it here. When the server itself is gone the lifeline closes
and the process ends; should even that not reach it, its processor time is limited.
"""

from __future__ import annotations

import errno
import json
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastin.errors import FastinError
from fastin.runtime.worker import die_with_parent, first_to_go, limit_cpu, limit_memory

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


#: file that names what the computation has begun, a line each
PROGRESS = "progress"

#: exit status that says that not even the result could be written (EX_IOERR)
NO_SPACE = 74


def _write_files(results: dict[str, Any], folder: Path) -> list[str]:
    """Writes what was computed; a message for each file that cannot be."""
    problems: list[str] = []

    def attempt(name: str, run: Callable[[], Any]) -> None:
        try:
            run()
        except FastinError as error:
            problems.append(f"No {name}: {error}")
        except OSError as error:
            problems.append(f"No {name}: {'too large' if error.errno == errno.EFBIG else error.strerror}")
            (folder / name).unlink(missing_ok=True)

    def attempt_json(name: str, content: Any) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        attempt(name, lambda: (folder / name).write_text(text, encoding="utf-8"))

    if (network := results.get("network")) is not None:
        for name in ("network.json", "network.net", "voids.cif"):
            attempt(name, partial(network.write, folder / name))
    if (grid := results.get("grid")) is not None:
        attempt("energy.cube", lambda: grid.write(folder / "energy.cube"))
    if (paths := results.get("paths")) is not None:
        attempt_json("paths.json", paths.to_dict())
    if (barriers := results.get("barriers")) is not None:
        attempt_json("barriers.json", barriers.to_dict(paths=True))
    return problems


def answer(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The result of one request: ``formula`` and ``facts``, or ``error``."""
    from fastin.screening.job import load_crystal
    from fastin.view.page import page_of
    from fastin.view.scene import build_scene

    def progress(stage: str) -> None:
        with (folder / PROGRESS).open("a", encoding="utf-8") as stream:
            stream.write(stage + "\n")

    payload = (folder / "upload").read_bytes()
    try:
        progress("reading the structure")
        crystal = load_crystal((request["name"], request["name"], request["kind"], payload))
        scene = build_scene(
            crystal, request["ion"], title=request["name"], convention=request["convention"], parts=request["parts"],
            progress=progress,
        )  # fmt: skip
        progress("writing the files")
        problems = _write_files(scene.results, folder)
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
    folder, lifeline = Path(sys.argv[1]), int(sys.argv[2])
    die_with_parent(lifeline)
    first_to_go()
    request = json.load(sys.stdin)
    limit_memory(int(request["memory_bytes"]))
    limit_cpu(float(request["cpu_seconds"]))
    limit = int(request["file_bytes"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that grows too large is an OSError
    warnings.simplefilter("ignore")
    try:
        result = answer(request, folder)
    except OSError as error:
        result = {"error": f"the results cannot be written: {error.strerror or error}", "type": "OSError"}
    except MemoryError:
        granted = int(request["memory_bytes"]) / 2**30
        result = {
            "error": f"the structure needs more memory than the {granted:.3g} GiB that this server grants (--memory)",
            "type": "MemoryError",
        }
    try:
        (folder / "result.json").write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")
    except OSError:
        sys.exit(NO_SPACE)


if __name__ == "__main__":
    main()
