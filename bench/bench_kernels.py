"""Pair kernels of the energy grid at every instruction set of this processor: nanoseconds a pair, CPU time, one run.

    python bench/bench_kernels.py

Random atoms at the density of an oxide (0.07 an A^3) in a 12 A cube, one term of Morse or of Coulomb form, 20^3 points
without symmetry, one thread; each level in a process of its own (FASTIN_SIMD), median of seven. The pairs are those
within the term's own cutoff.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np

from fastin.runtime.openmp import _core

LEVELS = ("baseline", "x86-64-v3", "x86-64-v4")
EDGE, ATOMS, POINTS = 12.0, 121, 20


def nanoseconds(coulomb: bool) -> float:
    """CPU time a pair of one kernel at this process's level."""
    rng = np.random.default_rng(1)
    field = _core.BvseField(
        np.eye(3) * EDGE,
        rng.random((ATOMS, 3)),
        np.zeros(ATOMS, np.int32),
        np.ones(ATOMS),
        np.array([coulomb]),
        np.array([10.0 if coulomb else 0.5]),
        np.array([1.5 if coulomb else 2.0]),
        np.array([0.0 if coulomb else 2.0]),
        10.0,
    )
    identity = np.eye(3, dtype=np.int32)[None], np.zeros((1, 3), np.int32)
    times = []
    for _ in range(7):
        start = time.process_time()
        field.grid((POINTS,) * 3, *identity, 1)
        times.append(time.process_time() - start)
    pairs = POINTS**3 * ATOMS / EDGE**3 * 4.0 / 3.0 * np.pi * field.term_cutoff(0) ** 3
    return 1e9 * sorted(times)[3] / pairs


def main() -> None:
    if sys.argv[1:] == ["--here"]:
        print(json.dumps([_core.simd_level(), nanoseconds(False), nanoseconds(True)]))
        return
    print(f"{'level':12}{'Morse, ns':>12}{'Coulomb, ns':>14}")
    for level in LEVELS:
        out = subprocess.run(
            [sys.executable, __file__, "--here"],
            env={**os.environ, "FASTIN_SIMD": level},
            capture_output=True,
            text=True,
            check=True,
        )
        ran, morse, coulomb = json.loads(out.stdout)
        print(f"{ran:12}{morse:12.2f}{coulomb:14.2f}")


if __name__ == "__main__":
    main()
