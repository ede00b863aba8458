"""CPU time of this build beside that of another one, alternating in one run: medians and their ratio.

    python bench/two_builds.py OTHER [--data FOLDER] [--structures 100] [--rounds 5] [--sizes 1008 5040]

OTHER is the ``python`` folder of another checkout with its extension built in place (this file reads the layout of
8945295 too); this build is the one that PYTHONPATH names. FOLDER holds ``li_mp_ordered.jsonl.gz``. One thread. Each
round is a process of its own for each build, so the load of the machine falls on both.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from network_cases import synthetic

import fastin
from fastin import _core
from fastin.screening.job import Job
from fastin.screening.tasks import resolve_tasks

HERE = Path(__file__).resolve()
FIRST = 5  # structures that only warm up


def _module(*names: str) -> Any:
    """The first of these modules that this build has: 8945295 has a flat layout."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError(f"none of {', '.join(names)}")


Crystal: Any = fastin.Crystal
build_crystal: Any = _module("fastin.crystal.crystal", "fastin.crystal").build_crystal
network_from_arrays: Any = _module("fastin.network.network", "fastin.network").network_from_arrays
Sites: Any = _module("fastin.crystal.sites", "fastin.cif").Sites


def lap(spent: Counter[str], name: str, work: Callable[[], Any]) -> Any:
    """What `work` returns; its CPU time is added under the name."""
    start = time.process_time()
    result = work()
    spent[name] += time.process_time() - start
    return result


def structures(data: str, count: int) -> list[str]:
    """CIF texts of randomly chosen ordered lithium compounds, the same for every build."""
    with gzip.open(Path(data) / "li_mp_ordered.jsonl.gz") as stream:
        lines = stream.readlines()
    return [json.loads(line)["cif"] for line in random.Random(1).sample(lines, count + FIRST)]


def screening(cifs: list[str], spent: Counter[str]) -> None:
    """The stages of `fastin.screen` with its default tasks, in milliseconds a structure."""
    tasks = resolve_tasks(("network", "barriers", "descriptors"))
    for k, cif in enumerate(cifs):
        if k == FIRST:
            spent.clear()
        job = lap(spent, "reading", lambda cif=cif: Job(Crystal.from_cif_string(cif), None, {}))
        job.paths_wanted = True
        for name in ("network", "grid", "barriers"):
            lap(spent, name, lambda job=job, name=name: getattr(job, name))
        for task in tasks:
            lap(spent, f"task {task.name}", lambda job=job, task=task: task.run(job))
    for name in spent:
        spent[name] /= len(cifs) - FIRST
    spent["screening, sum"] = sum(spent.values())


def large(sizes: list[int], spent: Counter[str]) -> None:
    """Disordered crystals by number of atoms: diagram, network of arrays, reading of sites, network of sites."""
    for atoms in sizes:
        cell, frac, radius = synthetic(atoms)
        lap(spent, f"tessellation, {atoms} atoms", lambda a=(cell, frac, radius): _core.tessellate(*a))
        lap(spent, f"network of arrays, {atoms} atoms", lambda a=(cell, frac, radius): network_from_arrays(*a))
        number = np.where(np.arange(atoms) % 2 == 0, 3, 9).astype(np.int32)
        sites = Sites(cell, frac, number, np.ones(atoms), [f"X{k}" for k in range(atoms)])
        crystal = lap(spent, f"crystal of sites, {atoms} atoms", lambda s=sites: build_crystal(s, "sites"))
        lap(spent, f"network of that crystal, {atoms} atoms", lambda c=crystal: fastin.compute_network(c, "Li"))


def child(options: argparse.Namespace) -> None:
    """One round of one build; prints seconds by name."""
    fastin.set_num_threads(1)
    spent: Counter[str] = Counter()
    if options.data:
        screening(structures(options.data, options.structures), spent)
    for _ in range(2):  # the first touches the memory
        found: Counter[str] = Counter()
        large(options.sizes, found)
    print(json.dumps({**spent, **found}))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--structures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1008, 5040])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    paths = {"other": str(options.other.resolve()), "this": os.environ["PYTHONPATH"]}
    found: dict[str, dict[str, list[float]]] = {name: {} for name in paths}
    for _ in range(options.rounds):
        for name, path in paths.items():
            environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
            command = [sys.executable, str(HERE), *sys.argv[1:], "--child"]
            out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
            for key, seconds in json.loads(out.splitlines()[-1]).items():
                found[name].setdefault(key, []).append(1000.0 * seconds)
    print(f"medians of {options.rounds} rounds, CPU ms ({'a structure, ' if options.data else ''}one thread)")
    print(f"{'':36s}{'other':>10s}{'this':>10s}{'other / this':>14s}")
    for key in found["this"]:
        a, b = (statistics.median(found[name].get(key, [float("nan")])) for name in ("other", "this"))
        print(f"{key:36s}{a:10.2f}{b:10.2f}{a / b:14.2f}")


if __name__ == "__main__":
    main()
