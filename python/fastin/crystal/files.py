"""Where a crystal comes from: files by name and content, pymatgen structures, ASE atoms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif import parse_cif
from fastin.crystal.sites import Sites, decode
from fastin.crystal.species import parse_species
from fastin.errors import GeometryError, InputError

_POSCAR_NAMES = ("POSCAR", "CONTCAR")
_POSCAR_SUFFIXES = (".vasp", ".poscar", ".contcar")


def read_sites(path: Path, block: str | int | None = None) -> tuple[Sites, str]:
    """Sites of a file and the name to use in messages.

    Raises:
        InputError: missing, a directory, binary, or of an unknown format.
    """
    source = str(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{source}: no such file (CIF text goes through Crystal.from_cif_string)") from None
    except IsADirectoryError:
        raise InputError(f"{source}: a directory; give the file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read ({error})") from None
    name, suffix = path.name.upper(), path.suffix.lower()
    if suffix == ".cif":
        return parse_cif(decode(data, source), source), source
    if suffix in _POSCAR_SUFFIXES or name.startswith(_POSCAR_NAMES):
        return parse_poscar(decode(data, source), source), source
    if _has_data_block(text := decode(data, source)):
        return parse_cif(text, source), source
    return _by_pymatgen(path, source), source


def sites_from_bytes(data: bytes, source: str) -> Sites:
    """Sites of a CIF or POSCAR, told apart by its content.

    Raises:
        InputError: binary, or neither.
    """
    text = decode(data, source)
    return parse_cif(text, source) if _has_data_block(text) else parse_poscar(text, source)


def _has_data_block(text: str) -> bool:
    return any(line.lstrip().lower().startswith("data_") for line in text.splitlines()[:50])


def _by_pymatgen(path: Path, source: str) -> Sites:
    from pymatgen.core import Structure

    try:
        structure = Structure.from_file(str(path))
    except Exception as error:
        raise InputError(f"{source}: neither a CIF nor a POSCAR, and pymatgen cannot read it ({error})") from None
    return sites_from_structure(structure, source)


def parse_poscar(text: str, source: str) -> Sites:
    """Sites of a VASP 5 POSCAR (element symbols on line 6, or behind each position).

    Raises:
        InputError: a line that cannot be read, or no element names.
    """
    lines = text.splitlines()
    try:
        scale = [float(v) for v in lines[1].split()]
        cell = np.array([[float(v) for v in lines[k].split()[:3]] for k in (2, 3, 4)])
        if cell.shape != (3, 3):
            raise ValueError("three vectors of three numbers expected")
        at = 5
        names = lines[at].split()
        if names and names[0].isdigit():
            names = []
        else:
            at += 1
        counts = [int(v) for v in lines[at].split()]
        at += 1
        if lines[at].strip()[:1].upper() == "S":
            at += 1
        cartesian = lines[at].strip()[:1].upper() in ("C", "K")
        total = sum(counts)
        if total <= 0 or min(counts) < 0 or total > len(lines):
            raise ValueError(f"{total} atoms announced")
        rows = [lines[at + 1 + k].split() for k in range(total)]
        coordinates = np.array([[float(v) for v in row[:3]] for row in rows]).reshape(total, 3)
    except (IndexError, ValueError) as error:
        raise InputError(f"{source}: not a readable POSCAR ({error})") from None
    if names and len(names) != len(counts):
        raise InputError(f"{source}: the POSCAR names {len(names)} elements but counts {len(counts)}")
    if names:
        symbols = [n.partition("/")[0].partition("_")[0] for n, c in zip(names, counts, strict=True) for _ in range(c)]
    else:
        symbols = [row[3] if len(row) > 3 else "" for row in rows]
    cell, factor = _scaled(cell, scale, source)
    if cartesian:
        coordinates = np.linalg.solve(cell.T, (coordinates * factor).T).T
    numbers = []
    for k, name in enumerate(symbols):
        found = parse_species(name)
        if found is None:
            raise InputError(f"{source}: unknown element {name!r} of atom {k + 1}; name the elements on line 6")
        numbers.append(found[0])
    label = [f"{name}{k + 1}" for k, name in enumerate(symbols)]
    return Sites(cell, coordinates, np.array(numbers, dtype=np.int32), np.ones(total), label)


def _scaled(cell: Any, scale: list[float], source: str) -> tuple[Any, Any]:
    volume = abs(float(np.linalg.det(cell)))
    if not math.isfinite(volume) or volume < 1e-9:
        raise GeometryError(f"{source}: the cell has zero volume; check the lattice vectors")
    factor = np.array(scale) if len(scale) == 3 else scale[0]
    if len(scale) == 1 and scale[0] < 0.0:
        factor = (-scale[0] / volume) ** (1.0 / 3.0)
    if np.min(factor) <= 0.0:
        raise InputError(f"{source}: the scale factor of the POSCAR must not be zero")
    return cell * factor, factor


def sites_from_structure(structure: Any, source: str) -> Sites:
    """Rows of a pymatgen Structure; charges are certain when every species carries one."""
    frac, number, occupancy, label, charge = [], [], [], [], []
    for at, site in enumerate(structure):
        for specie, share in site.species.items():
            found = parse_species(getattr(specie, "symbol", str(specie)))
            if found is None:
                raise InputError(f"{source}: unknown element {specie} at site {at}; dummy species cannot be used")
            if not 0.0 < share <= 1.02:
                raise InputError(f"{source}: occupancy {share:g} of {specie} at site {at} is not between 0 and 1")
            state = getattr(specie, "oxi_state", None)
            frac.append(site.frac_coords)
            number.append(found[0])
            occupancy.append(min(float(share), 1.0))
            label.append(str(getattr(site, "label", None) or f"{found[0]}{at}"))
            charge.append(math.nan if state is None else float(state))
    charges = np.array(charge)
    complete = len(charges) > 0 and bool(np.isfinite(charges).all())
    return Sites(
        np.array(structure.lattice.matrix, dtype=np.float64),
        np.array(frac, dtype=np.float64).reshape(-1, 3),
        np.array(number, dtype=np.int32),
        np.array(occupancy, dtype=np.float64),
        label,
        charges if complete else None,
        complete,
    )


def sites_from_atoms(atoms: Any, source: str) -> Sites:
    """Rows of ASE Atoms, with the partial occupancies that its CIF reader keeps in ``info["occupancy"]``."""
    cell = np.array(atoms.cell[:], dtype=np.float64)
    if not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1e-9:
        raise GeometryError(f"{source}: the Atoms have no three-dimensional cell; call atoms.set_cell")
    positions = np.asarray(atoms.positions, dtype=np.float64)
    frac: NDArray[np.float64] = np.asarray(np.linalg.solve(cell.T, positions.T).T, dtype=np.float64)
    numbers = np.asarray(atoms.numbers)
    if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= 103):
        raise InputError(f"{source}: atomic numbers must be between 1 and 103 (0 is a dummy atom)")
    shares = atoms.info.get("occupancy")
    kinds = atoms.arrays.get("spacegroup_kinds")
    rows: list[tuple[int, int, float]] = []
    for k, z in enumerate(numbers.tolist()):
        held = shares.get(str(kinds[k]), shares.get(int(kinds[k]))) if shares and kinds is not None else None
        if not held:
            rows.append((k, z, 1.0))
            continue
        for name, share in held.items():
            found = parse_species(str(name))
            if found is None:
                raise InputError(f"{source}: unknown element {name!r} at atom {k}")
            rows.append((k, found[0], float(share)))
    symbols = atoms.get_chemical_symbols()
    return Sites(
        cell,
        frac[[k for k, _, _ in rows]],
        np.array([z for _, z, _ in rows], dtype=np.int32),
        np.array([share for _, _, share in rows]),
        [f"{symbols[k]}{k + 1}" for k, _, _ in rows],
    )
