"""Results of a run as files: one JSON, the profiles as a table, the relaxed images of each leg; and that JSON read."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.errors import InputError
from fastin.relax.flags import FLAGS
from fastin.runtime.files import digest, write_text

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal


def write(found: Any, folder: Path) -> list[Path]:
    """Writes the files of a `RelaxedHops`.

    ``relaxed.json``, ``profiles.csv``, and for each leg ``leg_00.extxyz``: its images with their energies, and
    ``neb/leg_00/00/POSCAR`` ...: the same as the first images of a DFT run.

    Raises:
        InputError: the folder is a file, or results of a run lie among the POSCARs.
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
        files += _neb_folder(leg, folder / "neb" / f"leg_{k:02d}", f"{found.source} leg {k}, {found.potential}")
    return files


def _neb_folder(leg: Any, folder: Path, title: str) -> list[Path]:
    """The relaxed images as VASP's NEB expects them; atoms keep their order."""
    from fastin.crystal.elements import symbol
    from fastin.transport.neb_files import clear_images

    clear_images(folder)
    blocks = [(symbol(z), len(list(same))) for z, same in groupby(int(z) for z in leg.numbers)]
    inverse = np.linalg.inv(leg.cell)
    files = []
    for k, image in enumerate(leg.positions):
        lines = [f"{' '.join(title.split())} image {k}: {leg.profile[k]:.4f} eV", "1.0"]
        lines += [" ".join(f"{v:.12f}" for v in row) for row in leg.cell]
        lines += [" ".join(name for name, _ in blocks), " ".join(str(count) for _, count in blocks), "Direct"]
        lines += [" ".join(f"{v:.12f}" for v in x) for x in image @ inverse]
        files.append(folder / f"{k:02d}" / "POSCAR")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        write_text(files[-1], "\n".join(lines) + "\n")
    return files


def crystal_digest(crystal: Crystal) -> str:
    """Tells whether results belong to a crystal: of its cell, elements and positions."""
    rows = [
        np.round(crystal.cell, 4).tolist(), crystal.number.tolist(), np.round(crystal.frac, 5).tolist(),
        np.round(crystal.occupancy, 4).tolist(),
    ]  # fmt: skip
    return digest(json.dumps(rows).encode())


def read_results(folder: Path | str, crystal: Crystal | None = None, ion: str | None = None) -> dict[str, Any]:
    """What ``relaxed.json`` of a folder holds, checked; barriers that JSON lacks (no percolation) are inf.

    Args:
        folder: that `fastin.relax_hops` or ``fastin relax -o`` wrote.
        crystal: that the results must belong to.
        ion: symbol of the mobile ion that they must be of.

    Raises:
        InputError: there is none, it is damaged, or it is of another crystal or ion.
    """
    path = Path(folder) / "relaxed.json"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: no relaxed barriers ({error.strerror or error}); fastin relax FILE -o {folder} computes them"
        ) from None
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); the same fastin relax command writes it anew") from None
    try:
        found: dict[str, Any] = {
            **held,
            "barriers_eV": [math.inf if v is None else float(v) for v in held["barriers_eV"]],
        }
        legs = [_checked(leg) for leg in held["legs"]]
        belongs = held["crystal"]
        said = [held["ion"], held["potential"], *(f for flags in held["rests_on_flags"] for f in flags), *held["notes"]]
        whole = len(found["barriers_eV"]) == len(held["rests_on_flags"]) == len(held["rests_on_legs"]) == 3
        if not (isinstance(belongs, str) and whole and all(isinstance(text, str) for text in said)):
            raise ValueError("a field of another kind")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not what this version writes ({type(error).__name__}: {error}); the same fastin relax command "
            "writes it anew from what is there"
        ) from None
    if crystal is not None and belongs != crystal_digest(crystal):
        raise InputError(f"{path}: of another crystal ({held['source']}), not of {crystal.source}")
    if ion is not None and held["ion"] != ion:
        raise InputError(f"{path}: barriers of {held['ion']}, not of {ion}")
    return found | {"legs": legs}


def _checked(leg: dict[str, Any]) -> dict[str, Any]:
    columns = [leg["distance_A"], leg["profile_eV"], leg["bvse_profile_eV"]]
    numbers = [
        leg["barrier_eV"],
        leg["barrier_backward_eV"],
        leg["fitted_barrier_eV"],
        *(v for c in columns for v in c),
    ]
    if not all(math.isfinite(v) for v in numbers) or len({len(c) for c in columns}) != 1 or len(columns[0]) < 2:
        raise ValueError("a profile with gaps")
    if not all(flag in FLAGS for flag in leg["flags"]):
        raise ValueError("unknown flags")
    return {**leg, "leg": int(leg["leg"]), "places": [str(place) for place in leg["places"]]}


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
