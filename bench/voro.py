"""The tessellation beside voro++ itself, built here from its library: CPU time, alternating, volumes checked first.

    python bench/voro.py [--sizes 200 1008 5040 10000 50000] [--rounds 5]

Needs a C++ compiler and the library with its headers (Debian: ``voro++-dev``). voro++ computes the cells, once bare and
once with the neighbours and vertices of each; fastin the merged diagram: vertices with generators, edges with owners,
volumes. A library whose summed volumes miss the cell's by more than 1e-9 is not timed.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from network_cases import synthetic

import fastin
from fastin import _core

SOURCE = Path(__file__).with_name("voro_cells.cpp")


def build(folder: Path) -> Path:
    """The compiled peer."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise SystemExit("no C++ compiler")
    program = folder / "voro_cells"
    command = [compiler, "-O3", str(SOURCE), "-lvoro++", "-o", str(program)]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit("voro++ was not found; on Debian: apt install voro++-dev")
    return program


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[200, 1008, 5040, 10000, 50000])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        f"instruction set: {fastin.show_config(as_dict=True)['simd']}; medians of {options.rounds}, CPU ms, one thread"
    )
    print(f"{'atoms':>7s}{'fastin':>10s}{'cells':>10s}{'full':>10s}{'of cells':>10s}{'of full':>10s}")
    own: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for n in options.sizes:
            cell, frac, radius = synthetic(n)
            given = Path(folder) / "crystal"
            given.write_bytes(
                np.int64(n).tobytes() + b"".join(np.asarray(a, float).tobytes() for a in (cell, frac, radius))
            )
            ours, theirs = [], []
            _core.tessellate(cell, frac, radius)
            volume = 0.0
            for _ in range(options.rounds):
                start = time.process_time()
                found = _core.tessellate(cell, frac, radius)
                ours.append(1e3 * (time.process_time() - start))
                volume = found["cell_volume"].sum()
                del found  # its memory serves the next round
                line = subprocess.run(
                    [str(program), str(given), "1"], check=True, capture_output=True, text=True
                ).stdout
                theirs.append([float(word) for word in line.split()])
            for name, sum_ in (("voro++", theirs[0][2]), ("fastin", volume / np.linalg.det(cell))):
                if abs(sum_ - 1.0) > 1e-9:
                    sys.exit(f"{name}: the volumes of {n} cells sum to {sum_:.12f} of the cell's; not timed")
            own[n] = statistics.median(ours)
            cells, full = (1e3 * statistics.median(row[k] for row in theirs) for k in (0, 1))
            print(f"{n:7d}{own[n]:10.2f}{cells:10.2f}{full:10.2f}{own[n] / cells:10.3f}{own[n] / full:10.3f}")
    large = [n for n in own if n >= 1000]
    if len(large) > 1:
        low, high = min(large), max(large)
        print(
            f"growth from {low} to {high} atoms: exponent {math.log(own[high] / own[low]) / math.log(high / low):.3f}"
        )


if __name__ == "__main__":
    main()
