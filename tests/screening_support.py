"""Small structures and misbehaving tasks for the screening tests."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

_CIF = """data_{name}
_cell_length_a {a:.5f}
_cell_length_b {a:.5f}
_cell_length_c {a:.5f}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{rows}
"""
_CATIONS = ((0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))
_ANIONS = ((0.5, 0.5, 0.5), (0, 0, 0.5), (0, 0.5, 0), (0.5, 0, 0))

# What `screening_plugin.misbehave` does to the process, by the anion of the rocksalt cell.
PLUGIN = """
import ctypes, os, signal, time

def misbehave(job):
    formula = job.crystal.formula
    if "Br" in formula:
        os.kill(os.getpid(), signal.SIGKILL)
    if "I" in formula:
        ctypes.string_at(0)
    if "F" in formula:
        time.sleep(1000)
    if "H" in formula:
        raise ValueError("a poisoned structure")
    return {"answer": 42.0, "text": "Grüße"}

misbehave.columns = {"answer": "float", "text": "string"}

def slow(job):
    time.sleep(0.01)
    return {"cell_volume": job.crystal.volume}

slow.columns = {"cell_volume": "float"}
"""


def rocksalt(anion: str = "Cl", a: float = 5.13, cation: str = "Li") -> str:
    """CIF text of a rocksalt cell in P1."""
    rows = [f"{cation} {cation}{i} {x} {y} {z} 1" for i, (x, y, z) in enumerate(_CATIONS)]
    rows += [f"{anion} {anion}{i} {x} {y} {z} 1" for i, (x, y, z) in enumerate(_ANIONS)]
    return _CIF.format(name=f"{cation}{anion}", a=a, rows="\n".join(rows))


def write_lines(path: Path, count: int) -> Path:
    """A ``.jsonl.gz`` of rocksalt cells of growing size."""
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        for i in range(count):
            stream.write(json.dumps({"id": f"cell-{i:04d}", "cif": rocksalt(a=5.0 + 0.001 * i)}) + "\n")
    return path


def install_plugin(folder: Path, monkeypatch: object) -> str:
    """Makes the module ``screening_plugin`` importable here and in workers; returns its folder."""
    folder.mkdir(exist_ok=True)
    (folder / "screening_plugin.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))  # type: ignore[attr-defined]
    sys.modules.pop("screening_plugin", None)
    return str(folder)
