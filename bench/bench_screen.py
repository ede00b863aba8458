"""Screening: the engine's own cost a structure, and the bundled examples through all default tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fastin
from fastin.screening import screen
from fastin.screening.job import SMALL_CRYSTAL
from fastin.screening.tasks import DEFAULT_TASKS, job_loader, resolve_tasks, run_tasks

EXAMPLES = fastin.examples()


def _lines(path: Path, count: int) -> Path:
    rows = [
        json.dumps({"id": f"s{i}", "cif": SMALL_CRYSTAL.replace("5.13", f"{5 + i / 1000:.4f}")}) for i in range(count)
    ]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.benchmark(group="screen: 500 small crystals, formula and symmetry only")
def test_engine(benchmark, tmp_path: Path) -> None:
    """Reading, distribution, collection and Parquet: little else happens."""
    lines = _lines(tmp_path / "s.jsonl", 500)
    turn = iter(range(1000))
    result = benchmark.pedantic(
        lambda: screen(lines, tmp_path / f"{next(turn)}.parquet", tasks=["crystal"], workers=1), rounds=3
    )
    assert result.total == 500
    assert result.failed == 0


@pytest.mark.benchmark(group="screen: bundled examples, one process")
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_structure(benchmark, name: str) -> None:
    """One structure through the default tasks, as a worker does it."""
    tasks = resolve_tasks(DEFAULT_TASKS)
    record = (name, name, "cif", EXAMPLES[name].read_bytes())
    row = benchmark.pedantic(lambda: run_tasks(tasks, job_loader(record, None, {}, 1)), rounds=3, warmup_rounds=1)
    assert "error_type" not in row
