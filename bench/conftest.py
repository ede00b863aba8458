"""Stamps every benchmark with the machine and the versions it ran on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FASTIN_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference structures beside the repository; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"reference data not found at {SHARED} (set FASTIN_SHARED)")
    return SHARED


def pytest_benchmark_update_machine_info(config, machine_info):
    import fastin

    facts = fastin.show_config(as_dict=True)
    facts.pop("openmp_runtimes", None)
    machine_info["fastin"] = facts
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")
        ]
        machine_info["cpu_model"] = f"{names[0]} x {len(names)}" if names else "unknown"
