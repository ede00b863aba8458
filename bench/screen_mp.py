"""The full Materials Project set through ``fastin.screen``: rate, where the time goes, scaling, memory.

    python bench/screen_mp.py FOLDER_OF_JSONL_GZ [--out results.parquet] [--sample 1000] [--workers 2]

What it prints also goes to ``bench/results/screen_mp.json`` when the full set was screened in one go (``--out``).
Wall times mean something only on an idle machine; the CPU times a structure (of one process, measured inside it) stand
on a busy one too. Interrupted runs continue.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

import fastin
from fastin.crystal.crystal import Crystal
from fastin.screening import Progress, screen
from fastin.screening.job import Job
from fastin.screening.tasks import resolve_tasks

TASKS = ("network", "barriers", "descriptors")


class Memory:
    """Largest resident memory of this process and of its workers, sampled."""

    def __init__(self) -> None:
        self.supervisor: list[float] = []
        self.workers: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(1.0):
            self.supervisor.append(me.memory_info().rss / 2**20)
            sizes = []
            for child in me.children():
                try:
                    sizes.append(child.memory_info().rss / 2**20)
                except psutil.Error:
                    continue
            self.workers.append(max(sizes, default=0.0))


RESULT = Path(__file__).resolve().parent / "results" / "screen_mp.json"


def start_up(repeats: int = 5) -> dict[str, float]:
    """Wall seconds of the command on one small crystal, from the shell's call to its end, and of ``--help``."""
    example = str(fastin.examples()["LiFePO4"])
    spent: dict[str, list[float]] = {"help_s": [], "one_structure_s": []}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats):
            for name, arguments in (
                ("help_s", ["--help"]),
                ("one_structure_s", [example, "-o", f"{folder}/{i}.parquet", "--quiet", "--workers", "1"]),
            ):
                start = time.perf_counter()
                subprocess.run([sys.executable, "-m", "fastin", "screen", *arguments], check=True, capture_output=True)
                spent[name].append(time.perf_counter() - start)
    found = {name: round(statistics.median(values), 3) for name, values in spent.items()}
    print(f"start-up: {found['help_s']} s for --help, {found['one_structure_s']} s for LiFePO4 from call to result")
    return found


def profile(lines: list[bytes]) -> dict[str, float]:
    """CPU milliseconds a structure, step by step, in this process."""
    spent: Counter[str] = Counter()
    done = failed = 0
    tasks = resolve_tasks(TASKS)
    for line in lines:
        start = time.process_time()
        try:
            job = Job(Crystal.from_cif_string(json.loads(line)["cif"]), None, {})
            spent["read, symmetry, oxidation states"] += time.process_time() - start
            job.paths_wanted = True
            for name in ("network", "grid", "barriers"):
                start = time.process_time()
                getattr(job, name)
                spent[name] += time.process_time() - start
            start = time.process_time()
            for task in tasks:
                task.run(job)
            spent["descriptors and the rest"] += time.process_time() - start
            done += 1
        except Exception as error:  # a profile of what works; the screening itself reports errors
            failed += 1
            print(f"  left out: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
    total = sum(spent.values())
    print(f"\nCPU time of {done} random structures ({failed} left out), one process:")
    for name, seconds in spent.most_common():
        print(f"  {name:36s} {1000 * seconds / done:8.2f} ms  {100 * seconds / total:5.1f} %")
    print(f"  {'sum':36s} {1000 * total / done:8.2f} ms  -> {2 * done / total:.0f} structures/s on two idle cores")
    return {name: round(1000 * seconds / done, 3) for name, seconds in spent.items()}


def scaling(lines: list[bytes]) -> dict[str, float]:
    """Rate with one and with two processes on the same sample, start-up excluded."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.jsonl"
        sample.write_bytes(b"".join(lines))
        rates = []
        for workers in (1, 2, 1, 2):
            marks: list[tuple[float, int]] = []

            def note(state: Progress, marks: list[tuple[float, int]] = marks) -> None:
                marks.append((state.seconds, state.computed))

            out = Path(folder) / f"{len(rates)}.parquet"
            screen(sample, out, tasks=TASKS, workers=workers, progress=note)
            begun = next(mark for mark in marks if mark[1] > 0)
            rates.append((marks[-1][1] - begun[1]) / (marks[-1][0] - begun[0]))
    one, two = max(rates[0], rates[2]), max(rates[1], rates[3])
    print(f"\nscaling on {len(lines)} structures: {one:.1f}/s with 1 process, {two:.1f}/s with 2: {two / one / 2:.2f}")
    return {"one_process": round(one, 1), "two_processes": round(two, 1), "efficiency": round(two / one / 2, 3)}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--no-scaling", action="store_true")
    options = parser.parse_args()
    files = sorted(options.folder.glob("*_mp_ordered.jsonl.gz"))
    lines: list[bytes] = []
    for file in files:
        with gzip.open(file, "rb") as stream:
            lines.extend(stream)
    sample = random.Random(1).sample(lines, min(options.sample, len(lines)))
    print(f"{len(lines)} structures in {len(files)} files")
    found: dict[str, Any] = {"structures": len(lines), "tasks": list(TASKS), "processor": platform.processor()}
    del lines
    found["start_up"] = start_up()
    found["cpu_ms_a_structure"] = profile(sample)
    if not options.no_scaling:
        found["structures_a_second"] = scaling(sample)
    if options.out is None:
        return

    def show(state: Progress) -> None:
        print(f"\r{state.resumed + state.computed} {state.rate:.1f}/s {state.failed} errors", end="", file=sys.stderr)

    with Memory() as memory:
        result = screen(files, options.out, tasks=TASKS, workers=options.workers, progress=show)
    print(f"\n{result}: {result.computed / result.seconds:.1f} structures/s")
    found["full"] = {
        "seconds": round(result.seconds, 1),
        "structures_a_second": round(result.computed / result.seconds, 1),
        "errors": result.failed,
        "workers": options.workers or psutil.cpu_count(),
    }
    half = len(memory.supervisor) // 2
    for name, sizes in (("supervisor", memory.supervisor), ("largest worker", memory.workers)):
        if half:
            print(f"{name}: {max(sizes[:half]):.0f} MB in the first half, {max(sizes[half:]):.0f} MB in the second")
            found["full"][f"{name} MB by half"] = [round(max(sizes[:half])), round(max(sizes[half:]))]
    if result.computed == result.total:  # a resumed run has no rate of the whole
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
        print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
