"""Pipes, sockets and devices named as inputs: one typed line from every command and reader, and no waiting."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.errors import InputError

SECONDS = 20


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """What waits or reads for ever fails instead."""

    def ring(*_: Any) -> None:
        raise AssertionError(f"not done in {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


#: command line with the place of the input; the suffix that the input's name needs
COMMANDS = [
    ("analyze {}", ".cif"),
    ("analyze {}", ""),
    ("network {}", ".cif"),
    ("bvse {} -o {out}.cube", ".cif"),
    ("barriers {}", ".cif"),
    ("paths {}", ".cif"),
    ("order {} -o {out}", ".cif"),
    ("predict {}", ".cif"),
    ("predict {example} --model {}", ".pt"),
    ("xrd {}", ".cif"),
    ("xrd classify {}", ".xy"),
    ("xrd classify {}", ".brml"),
    ("screen {} -o {out}.parquet --workers 1 -q", ".cif"),
    ("screen {} -o {out}.parquet --workers 1 -q", ".zip"),
    ("screen {} -o {out}.parquet --workers 1 -q", ".tar"),
    ("screen {} -o {out}.parquet --workers 1 -q", ".jsonl.gz"),
    ("top {} --by conductivity", ".parquet"),
    ("report {}", ".parquet"),
    ("view {} -o {out}.html", ".cif"),
    ("arrhenius {}", ".csv"),
    ("arrhenius {table} --network {}", ".cif"),
    ("dataset build {} -o {out}", ".cif"),
    ("dataset build {} -o {out}", ".jsonl"),
    ("train {}", ".toml"),
    ("evaluate --dataset {}", ".npz"),
]


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def answer_of(line: str, path: Path, folder: Path) -> Any:
    table = folder / "table.csv"
    table.write_text("T (K),sigma (S/cm)\n300,1e-4\n320,2e-4\n340,4e-4\n360,7e-4\n")
    words = line.format(str(path), out=folder / "out", example=fastin.examples()["LiCl"], table=table).split()
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("make", [pipe, device])
@pytest.mark.parametrize(("line", "suffix"), COMMANDS)
def test_every_command(line: str, suffix: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    result = answer_of(line, make(tmp_path / f"special{suffix}"), tmp_path)
    assert result.exit_code in (1, 2), result.output
    assert "not a regular file" in " ".join(result.output.split()) or line.startswith("screen"), result.output
    assert "Traceback" not in result.output


def readers() -> dict[str, tuple[Callable[[Path], Any], str]]:
    from fastin.bvse.files import read_grid
    from fastin.ml.config import TrainConfig
    from fastin.ml.splits import Split
    from fastin.network.network import InterstitialNetwork
    from fastin.runtime.files import read_checked, read_npz
    from fastin.transport.arrhenius_table import read_table
    from fastin.xrd.dataset import read_records
    from fastin.xrd.match import train_from_toml

    return {
        "crystal": (fastin.Crystal.from_file, ".cif"),
        "crystal of a library": (fastin.Crystal.from_file, ".xyz"),
        "grid": (read_grid, ".cube"),
        "grid in npz": (read_grid, ".npz"),
        "network": (InterstitialNetwork.read, ".json"),
        "table": (read_table, ".csv"),
        "records": (read_records, ".jsonl.gz"),
        "settings": (TrainConfig.from_toml, ".toml"),
        "settings of the classifier": (train_from_toml, ".toml"),
        "split": (lambda path: Split.load(path, []), ".json"),
        "checked": (read_checked, ".pt"),
        "arrays": (lambda path: read_npz(path, ["x"]), ".npz"),
    }


@pytest.mark.parametrize("make", [pipe, device])
@pytest.mark.parametrize("name", readers())
def test_every_reader(name: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    read, suffix = readers()[name]
    with pytest.raises(InputError, match="not a regular file"):
        read(make(tmp_path / f"special{suffix}"))


def test_sockets(tmp_path: Path) -> None:
    path = tmp_path / "special.cif"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with pytest.raises(InputError, match="a socket, not a regular file"):
            fastin.Crystal.from_file(path)
