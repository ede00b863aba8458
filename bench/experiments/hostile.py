"""Hostile structures through the public calls, each in a process of its own: answers, typed errors, crashes, hangs.

    python bench/experiments/hostile.py --seed 1 --count 200

Families: skewed bases, needles, vacuum boxes, sparse cells, lattices with noise around the merge tolerance, with odd
ions and grids. Exit status 1 when any structure ended its process, took more than 60 CPU seconds or 2 GB, or left with
an exception that is not fastin's.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import resource
import sys
import warnings
from typing import Any

import numpy as np

CPU_SECONDS, MEMORY = 60, "2GB"
FAMILIES = ("skewed", "needle", "vacuum", "sparse", "noisy lattice")
IONS = (None, "Li", "Na", "F", "O", "Mg")


def make(family: str, rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """A structure and the options of its grid."""
    from pymatgen.core import Lattice, Structure

    edge = rng.uniform(3.0, 9.0)
    count = int(rng.integers(2, 24))
    lattice = Lattice.cubic(edge)
    if family == "skewed":
        angle = rng.uniform(12.0, 40.0)
        lattice = Lattice.from_parameters(edge * 2.0, edge * 2.0, edge * rng.uniform(2.0, 6.0), angle, angle, angle)
    elif family == "needle":
        lattice = Lattice.orthorhombic(rng.uniform(2.5, 4.0), rng.uniform(2.5, 4.0), rng.uniform(40.0, 400.0))
    elif family == "vacuum":
        lattice = Lattice.orthorhombic(edge, edge, edge + rng.uniform(10.0, 80.0))
    elif family == "sparse":
        lattice = Lattice.from_parameters(*rng.uniform(15.0, 30.0, 3), *rng.uniform(60.0, 100.0, 3))
    steps = int(rng.integers(2, 5))
    frac = rng.integers(0, steps, (count, 3)) / steps if family == "noisy lattice" else rng.uniform(size=(count, 3))
    frac = frac + rng.choice([0.0, 1e-9, 1e-6, 1e-5, 1e-4]) * rng.uniform(-1.0, 1.0, frac.shape)
    species = ["Li" if i % 2 else "F" for i in range(count)]
    options = {"resolution": float(rng.choice([0.15, 0.2, 0.3, 0.5])), "ion": IONS[int(rng.integers(len(IONS)))]}
    return Structure(lattice, species, frac), options


def run(seed: int, index: int, pipe: Any) -> None:
    """One structure; sends how it ended."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    import fastin
    from fastin.runtime import memory

    memory.set_memory_limit(MEMORY)
    fastin.set_num_threads(1)
    rng = np.random.default_rng([seed, index])
    structure, options = make(FAMILIES[index % len(FAMILIES)], rng)
    ended = "answer"
    for call in ("network", "barriers"):
        try:
            if call == "network":
                fastin.compute_network(structure, options["ion"], exact=bool(rng.integers(2)))
            else:
                result = fastin.compute_barriers(structure, **options)
                found = np.isfinite(result.levels)
                low = result.network_minimum[found] < result.energy_minimum - 1e-9
                if np.any(np.diff(result.values()[found]) < 0.0) or np.any(low):
                    ended = "WRONG"
        except fastin.FastinError:
            ended = "typed error" if ended == "answer" else ended
        except BaseException as error:
            ended = f"FOREIGN {type(error).__name__}: {error}"[:200]
    pipe.send((ended, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def main() -> int:
    """Runs the families and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn" if sys.platform == "darwin" else "fork")
    counts: collections.Counter[str] = collections.Counter()
    most, bad = 0.0, 0
    for index in range(arguments.count):
        here, there = spawn.Pipe(duplex=False)
        process = spawn.Process(target=run, args=(arguments.seed, index, there))
        process.start()
        there.close()
        try:
            ended, peak = here.recv()
        except EOFError:
            process.join()
            ended, peak = f"DIED with {process.exitcode}", 0.0
        process.join()
        most = max(most, peak)
        counts[f"{FAMILIES[index % len(FAMILIES)]}: {ended.split(':')[0]}"] += 1
        if ended not in ("answer", "typed error") or peak > 2.5:
            bad += 1
            print(f"seed {arguments.seed} case {index}: {ended}, {peak:.2f} GB")
    for name, count in sorted(counts.items()):
        print(f"{count:6d}  {name}")
    print(f"{arguments.count} structures, {bad} faults, at most {most:.2f} GB in a process")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
