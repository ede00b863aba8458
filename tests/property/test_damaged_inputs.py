"""Seeded damage to what a user gives: structures, sets, patterns, tables, settings: one typed line, no warning."""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from damage import absurd, flipped, read_all

import fastin
from fastin.errors import FastinError

WORDS = (
    *(b"?", b".", b"-1", b"0", b"1e9", b"1e400", b"nan", b"'", b'"', b";", b"Xx", b"T", b"\xff\xfe", b"\0", b"1e-300"),
    *(b"direct", b"cartesian", b"{", b"}", b"[", b"]", b"null", b"\n", b"\r", b"\t", b",", b"99999999999999999999"),
)
CIF = Path(fastin.examples()["LiCl"]).read_text(encoding="utf-8")
POSCAR = b"""LiCl
1.0
5.13 0 0
0 5.13 0
0 0 5.13
Li Cl
4 4
Direct
0 0 0
0 0.5 0.5
0.5 0 0.5
0.5 0.5 0
0.5 0.5 0.5
0.5 0 0
0 0.5 0
0 0 0.5
"""
PATTERN = "\n".join(
    f"{x:.2f} {100 * np.exp(-((x - 30) ** 2)) + 5 + x % 3:.3f}" for x in np.arange(10, 60, 0.5)
).encode()
ARRHENIUS = "T (K),sigma (S/cm)\n" + "\n".join(f"{t},{100 / t * np.exp(-3481 / t):.4e}" for t in range(300, 500, 20))
SETTINGS = b'model = "gcn"\ndataset = "set"\nrun = "run"\nepochs = 3\nlearning_rate = 1e-3\ntargets = ["e3d_network"]\n'
LINES = b"\n".join(json.dumps({"id": f"a{k}", "cif": CIF, "sigma": 1e-3}).encode() for k in range(2))


def reworded(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies with lines dropped, repeated, swapped, cut off, and words replaced."""
    rng = random.Random(seed)
    for _ in range(count):
        lines = data.split(b"\n")
        for _ in range(rng.randint(1, 4)):
            kind, a, b = rng.randrange(5), rng.randrange(len(lines)), rng.randrange(len(lines))
            if kind == 0:
                del lines[a]
            elif kind == 1:
                lines.insert(b, lines[a])
            elif kind == 2:
                lines[a], lines[b] = lines[b], lines[a]
            elif kind == 3:
                words = lines[a].split(b" ")
                words[rng.randrange(len(words))] = rng.choice(WORDS)
                lines[a] = b" ".join(words)
            else:
                lines = lines[: max(1, a)]
            lines = lines or [b""]
        yield b"\n".join(lines)


def read_lines(path: Path) -> None:
    """As `fastin screen` does: what a record cannot be read for is that record's error, and the first is raised."""
    from fastin.screening.inputs import records
    from fastin.screening.job import load_crystal

    failed: list[FastinError] = []
    for record in records([path]):
        try:
            load_crystal((record.uid, record.source, record.kind, record.payload))
        except FastinError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def read_set(path: Path) -> None:
    from fastin.xrd.dataset import read_records

    read_records(path)


def read_pattern(path: Path) -> None:
    from fastin.xrd.measured import prepare_measured
    from fastin.xrd.measured import read_pattern as read

    prepare_measured(read(path))


def read_conductivities(path: Path) -> None:
    from fastin.transport.arrhenius import fit_arrhenius
    from fastin.transport.arrhenius_table import read_table

    table = read_table(path)
    fit_arrhenius(table.temperature, table.value, quantity=table.quantity, relative_error=table.relative_error)


def read_settings(path: Path) -> None:
    from fastin.ml.config import TrainConfig

    TrainConfig.from_toml(path)


@pytest.mark.parametrize(
    ("name", "data", "read"),
    [
        ("x.vasp", POSCAR, fastin.Crystal.from_file),
        ("x.cif", CIF.encode(), fastin.Crystal.from_file),
        ("x.jsonl", LINES, read_lines),
        ("x.jsonl.gz", gzip.compress(LINES, mtime=0), read_lines),
        ("set.jsonl", LINES, read_set),
        ("set.jsonl.gz", gzip.compress(LINES, mtime=0), read_set),
        ("x.xy", PATTERN, read_pattern),
        ("x.csv", b"2theta,intensity\n" + PATTERN.replace(b" ", b","), read_pattern),
        ("arrhenius.csv", ARRHENIUS.encode(), read_conductivities),
        ("gcn.toml", SETTINGS, read_settings),
    ],
)
def test_damaged_inputs_are_one_typed_line(
    name: str, data: bytes, read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / name
    for copies in (flipped(data, 40), reworded(data, 60), () if name.endswith("gz") else absurd(data, 40)):
        read_all(path, iter(copies), read)
    path.write_bytes(data)
    read(path)


def test_what_deep_nesting_and_cut_archives_give(tmp_path: Path) -> None:
    for name, data, read in (
        ("set.jsonl", b"[" * 100_000, read_set),
        ("set.jsonl", b"[1, 2]\n", read_set),
        ("set.jsonl", b'{"id": 1, "cif": 3}\n', read_set),
        ("set.jsonl.gz", gzip.compress(LINES, mtime=0)[:200], read_set),
        ("gcn.toml", b"a = " + b"[" * 5_000, read_settings),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FastinError, match=name.replace(".", r"\.")):
            read(tmp_path / name)


@pytest.mark.parametrize("length", ["1e300", "1e160", "1e-300", "9e9"])
def test_cells_of_absurd_lengths(length: str) -> None:
    text = CIF.replace("_cell_length_b", f"_cell_length_b {length}\n#")
    with pytest.raises(FastinError, match=r"length|flatter|volume"):
        fastin.Crystal.from_cif_string(text, source="x.cif")
