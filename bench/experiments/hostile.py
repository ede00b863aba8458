"""Hostile inputs through the public calls, each in a process of its own: answers, typed errors, crashes, hangs.

    python bench/experiments/hostile.py --seed 1 --count 200
    python bench/experiments/hostile.py --seed 1 --count 200 --out run.jsonl      # killed and started again: same bytes
    python bench/experiments/hostile.py --resume-check --seed 1                   # a screening killed five times

Families: mutated texts and mutated values of the bundled examples, skewed bases, needles, vacuum boxes, sparse cells,
lattices with noise around the merge tolerance, supercells of up to 2,000 atoms, all with odd ions and grids. Exit
status 1 when any input ended its process, took more than 60 CPU seconds or 2 GB, left with an exception that is not
fastin's, or gave levels that contradict each other.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

CPU_SECONDS, MEMORY, PEAK_GB = 60, "2GB", 2.5
FAMILIES = ("text", "values", "skewed", "needle", "vacuum", "sparse", "noisy lattice", "supercell")
IONS = (None, "Li", "Na", "F", "O", "Mg", "H", "Al")
RESOLUTIONS = (0.15, 0.2, 0.3, 0.5, 1.0)
WORDS = (
    "?",
    ".",
    "-1",
    "0",
    "1e9",
    "1e400",
    "nan",
    "0.5(",
    "'",
    ";",
    "loop_",
    "data_",
    "Xx",
    "O2-",
    "-x,y,z",
    "90",
    "1",
)


def example_text(rng: np.random.Generator) -> str:
    """The CIF of a bundled example."""
    import fastin

    paths = sorted(fastin.examples().values())
    return Path(paths[int(rng.integers(len(paths)))]).read_text(encoding="utf-8")


def mutated_text(rng: np.random.Generator) -> str:
    """Words replaced, lines dropped, repeated and swapped, the end cut off."""
    lines = example_text(rng).split("\n")
    for _ in range(int(rng.integers(1, 6))):
        row, other = rng.integers(len(lines), size=2).tolist()
        kind = int(rng.integers(5))
        if kind == 0:
            lines[row : row + 1] = []
        elif kind == 1:
            lines.insert(other, lines[row])
        elif kind == 2:
            lines[row], lines[other] = lines[other], lines[row]
        elif kind == 3:
            words = lines[row].split(" ")
            words[int(rng.integers(len(words)))] = WORDS[int(rng.integers(len(WORDS)))]
            lines[row] = " ".join(words)
        else:
            lines = lines[: max(2, row)]
        lines = lines or [""]
    return "\n".join(lines)


def mutated_values(rng: np.random.Generator) -> str:
    """Numbers changed by a digit, a sign, a factor or a little noise."""
    words = example_text(rng).split(" ")
    places = [k for k, word in enumerate(words) if word.replace(".", "", 1).isdigit()]
    for k in rng.choice(places, min(len(places), int(rng.integers(1, 5))), replace=False).tolist():
        value = float(words[k])
        change = int(rng.integers(4))
        changed = (
            value * 10.0 ** rng.integers(-2, 3),
            -value,
            value + rng.normal() * 1e-5,
            value * rng.uniform(0.5, 2.0),
        )
        words[k] = f"{changed[change]:.8g}"
    return " ".join(words)


def make_structure(family: str, rng: np.random.Generator) -> Any:
    """A pymatgen Structure of a family."""
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
    on_lattice = family in ("noisy lattice", "supercell")
    frac = rng.integers(0, steps, (count, 3)) / steps if on_lattice else rng.uniform(size=(count, 3))
    frac = np.unique(frac, axis=0) if on_lattice else frac
    frac = frac + rng.choice([0.0, 1e-9, 1e-6, 1e-5, 1e-4]) * rng.uniform(-1.0, 1.0, frac.shape)
    structure = Structure(lattice, ["Li" if i % 2 else "F" for i in range(len(frac))], frac)
    if family == "supercell":
        most = max(1, int(np.cbrt(2000 / len(structure))))
        structure.make_supercell(rng.integers(1, most + 1, 3).tolist())
    return structure


def run(seed: int, index: int, pipe: Any) -> None:
    """One input; sends how it ended."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    import fastin
    from fastin.runtime import memory

    memory.set_memory_limit(MEMORY)
    fastin.set_num_threads(1)
    rng = np.random.default_rng([seed, index])
    family = FAMILIES[index % len(FAMILIES)]
    ion, resolution = IONS[int(rng.integers(len(IONS)))], float(rng.choice(RESOLUTIONS))
    exact = bool(rng.integers(4) == 0)
    ended = "answer"
    source: Any = None
    for call in ("read", "network", "barriers"):
        try:
            if call == "read":
                if family in ("text", "values"):
                    text = mutated_text(rng) if family == "text" else mutated_values(rng)
                    source = fastin.Crystal.from_cif_string(text, source="hostile.cif")
                else:
                    source = fastin.Crystal.from_structure(make_structure(family, rng))
            elif call == "network":
                fastin.compute_network(source, ion, exact=exact)
            else:
                result = fastin.compute_barriers(source, ion, resolution=resolution)
                found = np.isfinite(result.levels)
                low = result.network_minimum[found] < result.energy_minimum - 1e-9
                if np.any(np.diff(result.values()[found]) < 0.0) or np.any(low):
                    ended = "WRONG"
        except fastin.FastinError:
            ended = "typed error" if ended == "answer" else ended
            if source is None:
                break
        except BaseException as error:
            ended = f"FOREIGN {type(error).__name__}: {error}"[:200]
    used = resource.getrusage(resource.RUSAGE_SELF)
    pipe.send((ended, used.ru_maxrss / 1e6, used.ru_utime + used.ru_stime))


def campaign(seed: int, count: int, out: Path | None) -> int:
    """Runs the inputs that `out` does not hold yet and prints the counts."""
    done: list[dict[str, Any]] = []
    if out is not None and out.exists():
        whole = out.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]  # a line that a kill cut off
        out.write_bytes(whole)
        done = [json.loads(line) for line in whole.splitlines()]
    spawn = multiprocessing.get_context("spawn" if sys.platform == "darwin" else "fork")
    most = longest = 0.0
    for index in range(len(done), count):
        here, there = spawn.Pipe(duplex=False)
        process = spawn.Process(target=run, args=(seed, index, there))
        process.start()
        there.close()
        try:
            ended, peak, seconds = here.recv()
        except EOFError:
            process.join()
            ended, peak = f"DIED with {process.exitcode}", 0.0
            seconds = float(CPU_SECONDS)
        process.join()
        most, longest = max(most, peak), max(longest, seconds)
        large = peak > PEAK_GB
        done.append({"case": index, "family": FAMILIES[index % len(FAMILIES)], "ended": ended, "large": large})
        if out is not None:
            with out.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(done[-1]) + "\n")
    bad = [row for row in done if row["ended"] not in ("answer", "typed error") or row["large"]]
    for row in bad:
        print(f"seed {seed} case {row['case']}: {row['ended']}{', more than 2 GB' if row['large'] else ''}")
    counts = collections.Counter(f"{row['family']}: {row['ended'].split(':')[0]}" for row in done)
    for name, number in sorted(counts.items()):
        print(f"{number:6d}  {name}")
    print(f"{len(done)} inputs, {len(bad)} faults, at most {most:.2f} GB and {longest:.1f} s of CPU in a process")
    return 1 if bad else 0


def resume_check(seed: int, count: int, kills: int = 5) -> int:
    """Screens a folder of mutated files once at a stretch and once with kill -9 in between; compares the bytes."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = folder / "files"
        files.mkdir()
        for k in range(count):
            text = mutated_text(rng) if k % 3 == 0 else mutated_values(rng) if k % 3 == 1 else example_text(rng)
            (files / f"{k:04d}.cif").write_text(text, encoding="utf-8")
        words = [
            sys.executable,
            "-m",
            "fastin",
            "screen",
            str(files),
            "--workers",
            "1",
            "--time-limit",
            "60",
            "-q",
            "-o",
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        begin = time.monotonic()
        subprocess.run([*words, str(folder / "whole.parquet")], check=False, **quiet)  # type: ignore[call-overload]
        took = time.monotonic() - begin
        for _ in range(kills):
            cut = subprocess.Popen([*words, str(folder / "cut.parquet")], start_new_session=True, **quiet)  # type: ignore[call-overload]
            try:
                cut.wait(timeout=took * rng.uniform(0.2, 0.8))
            except subprocess.TimeoutExpired:
                os.killpg(cut.pid, signal.SIGKILL)
                cut.wait()
        subprocess.run([*words, str(folder / "cut.parquet")], check=False, **quiet)  # type: ignore[call-overload]
        same = (folder / "whole.parquet").read_bytes() == (folder / "cut.parquet").read_bytes()
    print(f"{count} files, {kills} kills: the tables are {'the same, byte for byte' if same else 'DIFFERENT'}")
    return 0 if same else 1


def main() -> int:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--out", type=Path, help="JSON lines; what it holds is not run again")
    parser.add_argument("--resume-check", action="store_true", help="screen, kill, resume and compare instead")
    given = parser.parse_args()
    return resume_check(given.seed, given.count) if given.resume_check else campaign(given.seed, given.count, given.out)


if __name__ == "__main__":
    sys.exit(main())
