"""What a default prediction costs, alone, in a batch, from a cold start; beside exact barriers, numpy beside torch.

CPU time of one thread, medians over the examples, numpy and torch alternating in one run:

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/bench_predict.py
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import fastin
from fastin.ml.dataset import graphs_of
from fastin.ml.inference import Light
from fastin.ml.landmarks import network_energies
from fastin.ml.store import GraphStore
from fastin.prediction import load_predictor, load_shipped, predict_entries
from fastin.runtime.openmp import _core

_REPEATS = 15
_NAMES = ("predict", "without measured", "exact barriers", "numpy", "torch")


def cpu_ms(*calls: Callable[[], Any], repeats: int = _REPEATS) -> list[float]:
    """Median CPU milliseconds of each call, alternating."""
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, times in zip(calls, spent, strict=True):
            begin = time.process_time()
            call()
            times.append(1e3 * (time.process_time() - begin))
    return [statistics.median(times[1:]) for times in spent]


def start_up(*arguments: str, repeats: int = 7) -> tuple[float, float]:
    """Least CPU seconds (with those of its worker) and wall seconds of a Python call."""
    cpu, wall = [], []
    for _ in range(repeats):
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - begin)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(cpu), min(wall)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    fastin.set_num_threads(1)
    paths = list(fastin.examples().values())
    light, trained = load_predictor(), load_shipped("default", "cpu")
    if not isinstance(light, Light):
        raise SystemExit("the shipped model has no form in numpy")
    rows: dict[str, list[float]] = {name: [] for name in _NAMES}
    entries = []
    for path in paths:
        entries.append(graphs_of(path, crystals=False))
        store = GraphStore.from_entries(entries[-1:])
        crystal = fastin.Crystal.from_file(path)
        calls = (
            lambda c=path: fastin.predict(c),
            lambda c=path: fastin.predict(c, experiment=False),
            lambda c=path: fastin.compute_barriers(fastin.Crystal.from_file(c)),
            lambda s=store: light.predict(s),
            lambda s=store: trained.predict(s, "cpu"),
        )
        for name, value in zip(_NAMES, cpu_ms(*calls), strict=True):
            rows[name].append(value)
        network = fastin.compute_network(crystal)
        graph = entries[-1].interstitial
        parts = {
            "reading": lambda c=path: fastin.Crystal.from_file(c),
            "network and graph": lambda c=crystal: graphs_of(c, crystals=False),
            "of which energies": lambda c=crystal, n=network, g=graph: network_energies(c, None, n, g),
        }
        for name, value in zip(parts, cpu_ms(*parts.values()), strict=True):
            rows.setdefault(name, []).append(value)
    many = entries * 10
    store = GraphStore.from_entries(many)
    batch = [
        ms / len(many)
        for ms in cpu_ms(
            lambda: predict_entries(many, light),
            lambda: light.predict(store),
            lambda: trained.predict(store, "cpu"),
            repeats=5,
        )
    ]
    out: dict[str, Any] = {"simd": _core.simd_level(), "examples": len(paths)}
    for name, values in rows.items():
        out[f"{name}, ms"] = round(statistics.median(values), 2)
    out["batch: from graphs, ms"], out["batch: numpy, ms"], out["batch: torch, ms"] = (round(x, 2) for x in batch)
    path = str(fastin.examples()["LiFePO4"])
    for name, arguments in (
        ("fastin predict FILE", ("-m", "fastin", "predict", path)),
        ("fastin.predict(FILE)", ("-c", f"import fastin; fastin.predict({path!r})")),
        ("import torch", ("-c", "import torch")),
        ("import numpy", ("-c", "import numpy")),
    ):
        cpu, wall = start_up(*arguments)
        out[f"{name}, s CPU"], out[f"{name}, s wall"] = round(cpu, 3), round(wall, 3)
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
