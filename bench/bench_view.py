"""What a page of one structure costs: CPU seconds from a cold start and warm, and its size.

OMP_NUM_THREADS=1 python bench/bench_view.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fastin
from fastin.view import view_html


def cold(path: Path) -> float:
    """Least CPU seconds of three runs of ``fastin view``."""
    spent = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "fastin", "view", str(path), "--out", f"{folder}/v.html"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def main() -> None:
    for name in ("Li7La3Zr2O12_cubic", "Li10GeP2S12", "LiFePO4"):
        path = fastin.examples()[name]
        warm = []
        for _ in range(4):
            begin = time.process_time()
            page = view_html(path)
            warm.append(time.process_time() - begin)
        size = len(page.encode()) / 1e3
        print(f"{name:20s} {cold(path):.2f} s of CPU cold, {min(warm):.2f} s warm, {size:.0f} kB")


if __name__ == "__main__":
    main()
