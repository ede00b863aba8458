"""Threads, fork, one OpenMP runtime, import cost."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastin
from fastin.runtime.config import openmp_runtimes
from fastin.runtime.threads import resolve_threads


def _run(code: str, **env: str) -> str:
    """What a fresh interpreter prints for this code."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_neither_torch_nor_pymatgen():
    heavy = "('torch', 'pymatgen', 'matplotlib', 'scipy', 'spglib', 'rich')"
    assert _run(f"import sys, fastin; print([m for m in {heavy} if m in sys.modules])") == "[]"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/maps")
@pytest.mark.parametrize("order", ["import fastin.runtime.openmp, torch", "import torch, fastin.runtime.openmp"])
def test_one_openmp_runtime_beside_torch(order):
    pytest.importorskip("torch")
    runtimes = _run(f"{order}; from fastin.runtime.config import openmp_runtimes; print(*openmp_runtimes())").split()
    assert len(runtimes) == 1, runtimes


def test_symbol_ceiling_of_openmp():
    """The oldest libgomp that may serve us (torch's copy) stops at GOMP_5.0; we stay at 4.5."""
    nm = Path("/usr/bin/nm")
    if not nm.is_file():
        pytest.skip("nm not found")
    from fastin.runtime.openmp import _core

    table = subprocess.run([nm, "-D", _core.__file__], capture_output=True, text=True, check=True).stdout
    versions = {line.split("@")[-1] for line in table.splitlines() if "@GOMP_" in line}
    assert all(tuple(map(int, v.split("_")[1].split("."))) <= (4, 5) for v in versions), versions


def test_thread_policy():
    assert resolve_threads(3) == 3
    for wish in (0, -1, 1.5, math.nan, "2"):
        with pytest.raises(fastin.errors.InputError, match="at least 1"):
            resolve_threads(wish)
        with pytest.raises(fastin.errors.InputError, match="at least 1"):
            fastin.set_num_threads(wish)
    before = fastin.get_num_threads()
    with fastin.num_threads(1):
        assert fastin.get_num_threads() == 1
    assert fastin.get_num_threads() == before
    assert _run("import fastin; print(fastin.get_num_threads())", OMP_NUM_THREADS="5") == "5"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_uses_one_thread_and_does_not_hang():
    code = """
import os, warnings, fastin
warnings.simplefilter("ignore")
path = fastin.examples()["Li3N"]
fastin.compute_network(path, num_threads=2)
child = os.fork()
if child == 0:
    assert fastin.get_num_threads() == 1
    fastin.compute_network(path, num_threads=2)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("ok")
"""
    assert _run(code) == "ok"


def test_concurrent_calls_give_the_serial_answer():
    """Many Python threads go through the core at once (the GIL is released)."""
    from concurrent.futures import ThreadPoolExecutor

    path = fastin.examples()["Li10GeP2S12"]
    serial = fastin.compute_network(path, num_threads=1).to_dict()
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: fastin.compute_network(path, num_threads=2).to_dict(), range(8)):
            assert repr(result) == repr(serial)


def test_show_config(capsys):
    fastin.show_config()
    out = capsys.readouterr().out
    assert "simd" in out
    assert fastin.__version__ in out
    if sys.platform.startswith("linux") and fastin.show_config(as_dict=True)["openmp"]:
        assert openmp_runtimes()
