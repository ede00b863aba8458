"""Memory of a screening's supervisor by the number of rows: opening, resuming and finishing a store.

    python bench/bench_store.py [--rows 20000 100000 1000000] [--other PYTHON_FOLDER]

Synthetic rows with the columns of the default tasks, 2,000 a part, in the order in which workers answer. The parts are
written by one process, the rest is done by another: names made unique, rows that are there looked up, the table
finished. Its peak resident memory and CPU time are printed; ``--other`` does the same with another build, whose
``python`` folder it names, on a copy of the parts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path

import numpy as np
import pyarrow as pa

import fastin
from fastin.screening import inputs
from fastin.screening.integrity import parquet_bytes
from fastin.screening.store import KEY, Store, make_schema
from fastin.screening.tasks import DEFAULT_TASKS, check_options, resolve_tasks

PART = 2000


def peak() -> float:
    """Largest resident memory of this process so far, in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    raise SystemExit("no /proc/self/status here")


def opened(out: Path) -> Store:
    """The store of the default tasks."""
    tasks = resolve_tasks(DEFAULT_TASKS)
    schema = make_schema(column for task in tasks for column in task.columns)
    names = [task.name for task in tasks]
    manifest = {"fastin": fastin.__version__, "tasks": names, "ion": None, "per_task": check_options(tasks, {})}
    return Store(out, schema, manifest, True)


def key_of(number: int) -> int:
    """A key spread over 63 bits."""
    return (number * 0x9E3779B97F4A7C15) % (1 << 63)


def fill(out: Path, rows: int) -> None:
    """Writes the parts of an unfinished screening."""
    store = opened(out)
    rng = np.random.default_rng(0)
    order = np.arange(rows) + rng.integers(0, 200, rows)  # answers come a little out of order
    numbers = np.argsort(order, kind="stable")
    for start in range(0, rows, PART):
        here = numbers[start : start + PART].tolist()
        columns = []
        for field in store.schema:
            if field.name == "id":
                values = pa.array([f"mp-{number}" for number in here])
            elif field.name == "source":
                values = pa.array([f"structures/batch.jsonl.gz:{number}" for number in here])
            elif field.name == KEY:
                values = pa.array([key_of(number) for number in here], pa.int64())
            elif field.name.startswith("error") or field.name == "failed_tasks":
                values = pa.nulls(len(here), field.type)
            elif field.name == "tasks":
                values = pa.array([",".join(DEFAULT_TASKS)] * len(here))
            elif pa.types.is_floating(field.type):
                values = pa.array(rng.random(len(here)))
            elif pa.types.is_integer(field.type):
                values = pa.array(rng.integers(0, 99, len(here)))
            elif pa.types.is_string(field.type):
                values = pa.array([f"text {number % 997}" for number in here])
            else:
                values = pa.array([None if pa.types.is_boolean(field.type) else []] * len(here), field.type)
            columns.append(values)
        data = parquet_bytes(pa.table(columns, schema=store.schema))
        (store.folder / f"part-{start // PART + 1:09d}.parquet").write_bytes(data)
    store.close()


def name(rows: int) -> None:
    """Makes the names of so many records unique, as `fastin.screening.inputs.records` does."""
    names = getattr(inputs, "Names", None)
    seen: dict[str, int] = {}  # of builds before that
    unique = names().unique if names is not None else lambda text: inputs._unique(text, seen)  # type: ignore[attr-defined]
    for number in range(rows):
        unique(f"mp-{number}")


def finish(out: Path, rows: int) -> dict[str, float]:
    """What a supervisor that resumes a complete run does."""
    start, idle = time.process_time(), peak()
    name(rows)
    store = opened(out)
    if hasattr(store, "known"):
        done, lacking = store.known(DEFAULT_TASKS)
    else:  # of builds before that
        done, lacking = store.done(tasks=DEFAULT_TASKS), store.lacking(DEFAULT_TASKS)
    assert len(done) == rows
    assert not lacking
    del done, lacking
    store.finish(array("q", map(key_of, range(rows))))
    store.close()
    return {"idle": idle, "peak": peak(), "seconds": time.process_time() - start}


def child(path: str, *arguments: str) -> str:
    """Runs this file with another build."""
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[20_000, 100_000, 1_000_000])
    parser.add_argument("--other", help="the python folder of another build")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        out, rows = Path(options.child[1]), options.rows[0]
        if options.child[0] == "fill":
            fill(out, rows)
        else:
            print(json.dumps(finish(out, rows)))
        return
    builds = {"this": os.environ["PYTHONPATH"]} | ({"other": options.other} if options.other else {})
    print(f"{'rows':>9s} {'build':>6s}{'idle, MB':>10s}{'peak, MB':>10s}{'CPU s':>8s}{'file, MB':>10s}")
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "r.parquet"
            child(builds["this"], "--child", "fill", str(out), "--rows", str(rows))
            parts = Path(folder) / "r.parquet.parts"
            for name, path in builds.items():
                copy = Path(folder) / f"{name}.parquet"
                shutil.copytree(parts, Path(folder) / f"{name}.parquet.parts")
                found = json.loads(child(path, "--child", "finish", str(copy), "--rows", str(rows)))
                figures = (found["idle"], found["peak"], found["seconds"], copy.stat().st_size / 1e6)
                idle, most, seconds, size = figures
                print(f"{rows:9d} {name:>6s}{idle:10.0f}{most:10.0f}{seconds:8.1f}{size:10.1f}", flush=True)


if __name__ == "__main__":
    main()
