"""Volumetric files of an `EnergyGrid`: Gaussian ``.cube``, ``.grd``, VASP's LOCPOT and CHGCAR, and ``.npz``.

======================== ============ ==================================================================================
file                     fastest axis remarks
======================== ============ ==================================================================================
``.cube``                c            lengths in bohr, values in eV; N points of step cell / N along an axis
``.grd``                 c            title, cell parameters, shape, one value a line, as VESTA and BVlain have it;
                                      ``end_points=True`` repeats the first planes at the end (N + 1 points)
``.vasp``, ``LOCPOT*``   a            POSCAR header, values in eV
``CHGCAR*``, ``CHG*``    a            as LOCPOT, but values times the volume, which readers divide out
``.npz``                 c            everything, exact
======================== ============ ==================================================================================

Values carry nine digits, which a float32 survives. All grids are periodic: each point is there once.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastin.bvse.pairs import element
from fastin.crystal.ions import MobileIon
from fastin.crystal.poscar import read_header
from fastin.errors import FastinError, InputError
from fastin.runtime.files import read_npz, refuse_special

_LONGEST = 1e6  # A: of a lattice vector
_THINNEST = 1e-12  # volume of a cell, in cubes of its longest component

BOHR = 0.529177210903  # angstrom, CODATA 2018
_TITLE = re.compile(
    r"BVSE (?P<ion>\S+) (?P<convention>\S*) cutoff (?P<cutoff>\S+) screening (?P<screening>\S+) of (?P<source>.*)"
)


@dataclass
class GridFile:
    """What a volumetric file holds; `title` is empty where the format has none, `notes` say what was assumed."""

    title: str
    cell: NDArray[np.float64]
    atom_number: NDArray[np.int32]
    atom_frac: NDArray[np.float64]
    values: NDArray[np.float32]
    notes: tuple[str, ...] = ()


class GridLike(Protocol):
    """What a volumetric file takes of an energy grid; see `fastin.bvse.grid.EnergyGrid`."""

    @property
    def values(self) -> NDArray[np.float32]:
        """(na, nb, nc) energies, eV."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Points along each axis."""

    @property
    def cell(self) -> NDArray[np.float64]:
        """(3, 3) lattice vectors in rows, angstrom."""

    @property
    def ion(self) -> MobileIon:
        """The mobile ion."""

    @property
    def source(self) -> str:
        """What the crystal was read from."""

    @property
    def convention(self) -> str:
        """Convention of the energy, or empty."""

    @property
    def cutoff(self) -> float:
        """Of the pair sum, angstrom."""

    @property
    def screening(self) -> float:
        """Of the Coulomb term."""

    @property
    def atom_number(self) -> NDArray[np.int32]:
        """(M,) atomic numbers of the framework."""

    @property
    def atom_frac(self) -> NDArray[np.float64]:
        """(M, 3) their positions."""


def title_of(grid: GridLike) -> str:
    """One line that says what the grid is, and that `parse_title` understands."""
    own = getattr(grid, "title", None)  # of grids that hold no energy
    if isinstance(own, str):
        return own
    source = " ".join(grid.source.split())
    facts = f"cutoff {grid.cutoff:g} screening {grid.screening:g} of {source}"
    return f"BVSE {grid.ion.symbol} {grid.convention or '-'} {facts}"


def parse_title(title: str) -> dict[str, str]:
    """Ion, convention, cutoff, screening and source of a title written by `title_of`; empty for any other."""
    match = _TITLE.search(title)
    if match is None:
        return {}
    facts = match.groupdict()
    try:
        return facts if float(facts["cutoff"]) > 0.0 and float(facts["screening"]) >= 0.0 else {}
    except ValueError:
        return {}


def format_of(path: Path) -> str:
    """``cube``, ``grd``, ``locpot``, ``chgcar`` or ``npz`` by name.

    Raises:
        InputError: a name that says none of them.
    """
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    name, suffix = plain.name.upper(), plain.suffix.lower()
    if suffix in (".cube", ".grd", ".npz"):
        return suffix[1:]
    if name.startswith("CHG"):
        return "chgcar"
    if suffix == ".vasp" or name.startswith("LOCPOT"):
        return "locpot"
    raise InputError(f"{path}: unknown grid format; use .cube, .grd, .vasp, LOCPOT, CHGCAR or .npz")


def _write_values(values: NDArray[np.float64], per_line: int) -> Iterator[str]:
    """Lines of nine-digit numbers, in blocks."""
    block = per_line * 4096
    for start in range(0, len(values), block):
        part = values[start : start + block].tolist()
        rows, rest = divmod(len(part), per_line)
        line = " ".join(["%15.8e"] * per_line) + "\n"
        text = (line * rows) % tuple(part[: rows * per_line])
        if rest:
            text += " ".join(["%15.8e"] * rest) % tuple(part[rows * per_line :]) + "\n"
        yield text


def write_grid(grid: GridLike, path: Path, *, end_points: bool = False) -> None:
    """Writes `grid`; see the module's table."""
    kind = format_of(path)
    if end_points and kind != "grd":
        raise InputError(f"{path}: only .grd may repeat end points; the other formats are periodic by definition")
    if kind == "npz":
        _write_npz(grid, path)
        return
    with path.open("w", encoding="utf-8") as file:
        if kind == "cube":
            _write_cube_header(grid, file.write)
            data, per_line = grid.values.astype(np.float64).ravel(), 6
        elif kind == "grd":
            values = np.pad(grid.values, ((0, 1),) * 3, mode="wrap") if end_points else grid.values
            file.write(title_of(grid) + "\n")
            file.write(" ".join(f"{x:.8f}" for x in cell_parameters(grid.cell)) + "\n")
            file.write(" ".join(map(str, values.shape)) + "\n")
            data, per_line = values.astype(np.float64).ravel(), 1
        else:
            scale = abs(float(np.linalg.det(grid.cell))) if kind == "chgcar" else 1.0
            _write_poscar_header(grid, file.write)
            data, per_line = grid.values.astype(np.float64).ravel(order="F") * scale, 5
        file.writelines(_write_values(data, per_line))


def _write_cube_header(grid: GridLike, write: Callable[[str], object]) -> None:
    write(title_of(grid) + "\n")
    quantity = getattr(grid, "quantity", "energy (eV)")
    write(f"{quantity} on a periodic grid, c fastest; lengths in bohr\n")
    write(f"{len(grid.atom_number):6d} {0.0:14.8f} {0.0:14.8f} {0.0:14.8f}\n")
    for count, vector in zip(grid.shape, grid.cell, strict=True):
        step = vector / count / BOHR
        write(f"{count:6d} " + " ".join(f"{x:16.10f}" for x in step) + "\n")
    for number, position in zip(grid.atom_number, grid.atom_frac @ grid.cell / BOHR, strict=True):
        write(f"{number:6d} {float(number):10.4f} " + " ".join(f"{x:16.10f}" for x in position) + "\n")


def _write_poscar_header(grid: GridLike, write: Callable[[str], object]) -> None:
    order = np.argsort(grid.atom_number, kind="stable")
    numbers, counts = np.unique(grid.atom_number, return_counts=True)
    write(title_of(grid) + "\n   1.0\n")
    for vector in grid.cell:
        write(" ".join(f"{x:18.12f}" for x in vector) + "\n")
    write(" ".join(element(int(z)).symbol for z in numbers) + "\n")
    write(" ".join(map(str, counts)) + "\nDirect\n")
    for position in grid.atom_frac[order]:
        write(" ".join(f"{x:16.12f}" for x in position) + "\n")
    write("\n" + " ".join(map(str, grid.shape)) + "\n")


def _write_npz(grid: GridLike, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            title=np.array(title_of(grid)),
            cell=grid.cell,
            values=grid.values,
            atom_number=grid.atom_number,
            atom_frac=grid.atom_frac,
        )


def read_grid(path: Path, *, end_points: bool | None = None) -> GridFile:
    """Reads what `write_grid` and other programs write; see the module's table.

    Args:
        path: the file; its name says the format.
        end_points: of a ``.grd``, whether its last planes repeat its first; None finds out by comparing them.

    Raises:
        InputError: unknown format, or text that is not what the format says.
    """
    kind = format_of(path)
    refuse_special(path)
    try:
        if kind == "npz":
            found = _read_npz(path)
        else:
            data = path.read_bytes()
            text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8")
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                if kind == "cube":
                    found = _read_cube(text)
                elif kind == "grd":
                    found = _read_grd(text, end_points)
                else:
                    found = _read_vasp(text, kind == "chgcar", str(path))
        _check(found)
    except FastinError as error:
        raise InputError(str(error)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except (ValueError, LookupError, OverflowError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path}: not a {kind} file: {error}") from None
    return found


def _check(found: GridFile) -> None:
    """The numbers are those of a crystal.

    Raises:
        ValueError: they are not.
    """
    longest = float(np.abs(found.cell).max(initial=0.0))
    if found.cell.shape != (3, 3) or not 0.0 < longest < _LONGEST:  # NaN too
        raise ValueError("no three lattice vectors")
    if not abs(np.linalg.det(found.cell / longest)) > _THINNEST:
        raise ValueError("the lattice vectors lie in a plane")
    if found.values.ndim != 3 or 0 in found.values.shape:
        raise ValueError(f"values of shape {found.values.shape}")
    if found.atom_frac.shape != (len(found.atom_number), 3) or not np.isfinite(found.atom_frac).all():
        raise ValueError("positions of atoms that are no finite numbers")


def _numbers(text: str, shape: tuple[int, ...], order: str, *, surplus: bool = True) -> NDArray[np.float64]:
    """The values of a grid; with `surplus`, text may follow them (a second spin, augmentation charges)."""
    count = math.prod(shape)
    words = text.split(maxsplit=count)
    found = np.array(words[:count], dtype=np.float64)
    if len(found) != count:
        raise ValueError(f"{count} values expected, {len(found)} found")
    if not surplus and len(words) > count:
        more = len(words[count].split())
        what = f"{1 + more // count} values a point" if more % count == 0 else f"{more} values too many"
        raise ValueError(f"{what}: one is expected for each of {count} points")
    return found.reshape(shape, order="F" if order == "F" else "C")


def _frozen(values: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(values, dtype=np.float32)
    if np.isnan(data).any() or (np.isinf(data) & np.isfinite(values)).any():
        raise ValueError("values that are no numbers, or too large")
    data.flags.writeable = False
    return data


def _read_npz(path: Path) -> GridFile:
    data = read_npz(path, ["title", "cell", "values", "atom_number", "atom_frac"])
    return GridFile(
        title=str(data["title"]),
        cell=np.array(data["cell"], dtype=np.float64),
        atom_number=np.array(data["atom_number"], dtype=np.int32),
        atom_frac=np.array(data["atom_frac"], dtype=np.float64),
        values=_frozen(data["values"]),
    )


def _read_cube(text: str) -> GridFile:
    lines = text.split("\n", 6)
    head = lines[2].split()
    count = int(head[0])
    if count < 0:
        raise ValueError("orbital cubes (negative atom count) hold several values a point")
    if len(head) > 4 and int(head[4]) != 1:
        raise ValueError(f"{head[4]} values a point: one is expected")
    loops = re.findall(r"(?:OUTER|MIDDLE|INNER) LOOP\W*([XYZ])", lines[1].upper())
    if loops and "".join(loops) != "XYZ":
        raise ValueError(
            f"its loops run over {', '.join(loops)}; the format has the first axis outermost, the third innermost"
        )
    axes = [line.split() for line in lines[3:6]]
    shape = tuple(int(axis[0]) for axis in axes)
    unit = BOHR if shape[0] > 0 else 1.0  # negative counts mean angstrom
    shape = tuple(abs(n) for n in shape)
    ends = int("castep2cube" in lines[1].lower())  # which repeats the first planes at the end, as ASE knows too
    if ends and min(shape) < 2:
        raise ValueError("castep2cube writes two points or more along each axis")
    cell = np.array([[float(x) for x in axis[1:4]] for axis in axes]) * (np.array(shape)[:, None] - ends) * unit
    parts = lines[6].split("\n", count) if count else [lines[6]]
    atoms = [line.split() for line in parts[:count]]
    positions = np.array([[float(x) for x in atom[2:5]] for atom in atoms]).reshape(-1, 3) * unit
    values = _numbers(parts[-1], shape, "C", surplus=False)
    if ends:
        values = np.ascontiguousarray(values[:-1, :-1, :-1])
        shape = values.shape
    atom_frac = positions @ np.linalg.inv(cell)
    notes: tuple[str, ...] = ()
    origin = np.array([float(x) for x in head[1:4]]) * unit @ np.linalg.inv(cell) * shape  # in steps of the grid
    whole = np.rint(origin).astype(int)
    if whole.any():
        values = np.roll(values, whole.tolist(), axis=(0, 1, 2))
        notes = (f"the origin of the grid is applied: moved by {' '.join(map(str, whole.tolist()))} points",)
    rest = (origin - whole) / shape
    if np.abs(rest @ cell).max() > 1e-3:
        atom_frac = atom_frac - rest  # the field as it is, seen from its nearest point
        notes += (
            "the origin lies between grid points: positions are given from the point nearest to the cell's corner",
        )
    return GridFile(
        title=lines[0],
        cell=cell,
        atom_number=np.array([int(atom[0]) for atom in atoms], dtype=np.int32),
        atom_frac=atom_frac,
        values=_frozen(values),
        notes=notes,
    )


def _read_grd(text: str, end_points: bool | None) -> GridFile:
    title, parameters, counts, rest = text.split("\n", 3)
    shape = tuple(int(n) for n in counts.split())
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"the shape must be three positive numbers, not {counts!r}")
    values = _numbers(rest, shape, "C", surplus=False)
    if end_points is None:
        end_points = min(shape) > 1 and all(
            _same_plane(*(np.moveaxis(values, axis, 0)[k] for k in (0, -1, -2))) for axis in range(3)
        )
    if end_points:
        values = values[:-1, :-1, :-1]
    cell = cell_vectors([float(x) for x in parameters.split()])
    return GridFile(title, cell, np.zeros(0, dtype=np.int32), np.zeros((0, 3)), _frozen(values))


def _same_plane(first: NDArray[np.float64], last: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    """True where the last plane repeats the first up to the digits written; a smooth field differs by far more."""
    change = np.abs(first - last)
    if not (change <= 1e-3 * (1.0 + np.abs(first))).all():
        return False
    return bool(np.array_equal(first, last) or change.max() < 0.1 * max(np.abs(last - before).max(), 1e-12))


def _read_vasp(text: str, times_volume: bool, source: str) -> GridFile:
    lines = text.split("\n")
    sites, at = read_header(lines, source)
    while at < len(lines) and not lines[at].strip():
        at += 1
    shape = tuple(int(n) for n in lines[at].split())
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"the shape must be three positive numbers, not {lines[at]!r}")
    values = _numbers("\n".join(lines[at + 1 :]), shape, "F")
    if times_volume:
        values = values / abs(np.linalg.det(sites.cell))
    return GridFile(
        title=lines[0],
        cell=sites.cell,
        atom_number=sites.number,
        atom_frac=sites.frac,
        values=_frozen(values),
        notes=tuple(sites.notes),
    )


def cell_parameters(cell: NDArray[np.float64]) -> tuple[float, float, float, float, float, float]:
    """Lengths (A) and angles (degrees) of a cell."""
    a, b, c = (float(np.linalg.norm(v)) for v in cell)
    angles = [
        math.degrees(math.acos(max(-1.0, min(1.0, float(u @ v) / float(np.linalg.norm(u) * np.linalg.norm(v))))))
        for u, v in ((cell[1], cell[2]), (cell[0], cell[2]), (cell[0], cell[1]))
    ]
    return a, b, c, angles[0], angles[1], angles[2]


def cell_vectors(parameters: list[float]) -> NDArray[np.float64]:
    """Cell with a along x and b in the xy plane, from lengths (A) and angles (degrees)."""
    if len(parameters) != 6:
        raise ValueError(f"six cell parameters expected, {len(parameters)} found")
    a, b, c = parameters[:3]
    cos_alpha, cos_beta, cos_gamma = (math.cos(math.radians(x)) for x in parameters[3:])
    sin_gamma = math.sqrt(1.0 - cos_gamma * cos_gamma)
    cx, cy = c * cos_beta, c * (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    return np.array(
        [[a, 0.0, 0.0], [b * cos_gamma, b * sin_gamma, 0.0], [cx, cy, math.sqrt(c * c - cx * cx - cy * cy)]]
    )
