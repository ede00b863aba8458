"""Results of a run as files: one JSON, the profiles as a table, the relaxed images of each leg."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from fastin.errors import InputError
from fastin.runtime.files import write_text


def write(found: Any, folder: Path) -> list[Path]:
    """Writes the files of a `RelaxedHops`.

    ``relaxed.json``, ``profiles.csv``, and for each leg ``leg_00.extxyz``: its images with their energies.

    Raises:
        InputError: the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "relaxed.json", folder / "profiles.csv"]
    write_text(files[0], json.dumps(_finite(found.to_dict()), indent=1) + "\n")
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(["leg", "image", "distance_A", f"energy_{found.potential}_eV", "energy_bvse_eV"])
    for k, leg in found.legs.items():
        for n, (x, energy, bvse) in enumerate(zip(leg.distance, leg.profile, leg.bvse_profile, strict=True)):
            table.writerow([k, n, f"{x:.4f}", f"{energy:.5f}", f"{bvse:.5f}"])
    write_text(files[1], rows.getvalue())
    for k, leg in found.legs.items():
        files.append(folder / f"leg_{k:02d}.extxyz")
        write_text(files[-1], extended_xyz(leg, found.potential))
    return files


def extended_xyz(leg: Any, potential: str) -> str:
    """The images of a `RelaxedLeg`, unwrapped, the moving ions marked, as ASE reads them."""
    from fastin.crystal.elements import symbol

    names = [symbol(int(z)) for z in leg.numbers]
    moving = np.isin(np.arange(len(names)), leg.moving).astype(int)
    cell = " ".join(f"{v:.10f}" for v in leg.cell.ravel())
    lines = []
    for energy, image in zip(leg.energies, leg.positions, strict=True):
        lines.append(str(len(names)))
        lines.append(
            f'Lattice="{cell}" Properties=species:S:1:pos:R:3:moving:I:1 energy={energy:.8f} potential={potential} '
            f'pbc="T T T"'
        )
        lines += [
            f"{name} {x[0]:.10f} {x[1]:.10f} {x[2]:.10f} {mark}"
            for name, x, mark in zip(names, image, moving, strict=True)
        ]
    return "\n".join(lines) + "\n"


def _finite(value: Any) -> Any:
    """Numbers that JSON lacks become null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
