"""Where a crystal comes from: files by name and content, pymatgen structures, ASE atoms."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import re
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.cif import parse_cif
from fastin.crystal.poscar import looks_like_poscar, parse_poscar
from fastin.crystal.sites import LONGEST, Sites, decode
from fastin.crystal.species import parse_species
from fastin.errors import FastinError, GeometryError, InputError
from fastin.runtime.arguments import real_array
from fastin.runtime.files import refuse_special
from fastin.runtime.plain import plain

_POSCAR_NAMES = ("POSCAR", "CONTCAR", "CHG", "LOCPOT", "AECCAR", "PARCHG")  # volumetric files begin like a POSCAR
_POSCAR_SUFFIXES = (".vasp", ".poscar", ".contcar")
_CIF_SUFFIXES = (".cif", ".mcif")
_PACKED = {
    b"\x1f\x8b": (gzip.decompress, ".gz"),
    b"BZh": (bz2.decompress, ".bz2"),
    b"\xfd7zXZ": (lzma.decompress, ".xz"),
}
#: Files that ASE is asked for before pymatgen, by suffix or name, and the format where ASE cannot tell it.
_ASE_FIRST = {
    **{".extxyz": "extxyz", ".xyz": "extxyz", ".gen": "gen", ".pwi": "espresso-in", ".pwo": "espresso-out"},
    **{".cell": "castep-cell", ".castep": "castep-castep", ".lmp": "lammps-data", ".lammps": "lammps-data"},
    **{".lammps-data": "lammps-data", ".data": "lammps-data", ".dump": "lammps-dump-text"},
    **{".lammpstrj": "lammps-dump-text", ".traj": "traj", ".struct": "struct", ".cfg": "cfg", ".res": "res"},
    "XDATCAR": "vasp-xdatcar", "geometry.in": "aims", "CONFIG": "dlp4",
}  # fmt: skip
_SHARES = frozenset({"occupancy", "occupancies", "occ", "site_occupancy"})
_RES_WORDS = frozenset(
    {"CELL", "ZERR", "UNIT", "TITL", "REM", "FVAR", "WGHT", "TEMP", "SIZE", "PLAN", "OMIT", "TWIN", "BASF"}
)
_NO_ELEMENTS = (
    "numbers its atom types without naming elements; add the elements (dump_modify element, a Masses section)"
)


def read_sites(path: Path, block: str | int | None = None) -> tuple[Sites, str]:
    """Sites of a file and the name to use in messages.

    Args:
        path: a CIF or POSCAR by name or content; anything else that ASE or pymatgen reads. gz, bz2 and xz are unpacked.
        block: data block of a CIF, frame of a trajectory.

    Raises:
        InputError: missing, a directory, or of an unknown format.
    """
    source = plain(str(path))
    refuse_special(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{source}: no such file (CIF text goes through Crystal.from_cif_string)") from None
    except IsADirectoryError:
        raise InputError(f"{source}: a directory; give the file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read ({error})") from None
    data, name = unpacked(data, path.name, source)
    suffix = Path(name).suffix.lower()
    if suffix in _CIF_SUFFIXES:
        return parse_cif(decode(data, source), source, block=block), source
    if suffix in _POSCAR_SUFFIXES or name.upper().startswith(_POSCAR_NAMES):
        return parse_poscar(decode(data, source), source), source
    if _ase_format(name) is None and b"\0" not in data:  # a foreign reader would have its own idea of these
        text = decode(data, source)
        if _has_data_block(text):
            return parse_cif(text, source, block=block), source
        if looks_like_poscar(text):
            return parse_poscar(text, source), source
    return _by_library(path, data, name, source, block), source


def unpacked(data: bytes, name: str, source: str) -> tuple[bytes, str]:
    """The bytes of a packed file and its name without .gz, .bz2 or .xz; others as they are."""
    for magic, (unpack, suffix) in _PACKED.items():
        if data.startswith(magic):
            try:
                return unpack(data), name[: -len(suffix)] if name.lower().endswith(suffix) else name
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
                raise InputError(f"{source}: a damaged compressed file ({error})") from None
    return data, name


def sites_from_bytes(data: bytes, source: str) -> Sites:
    """Sites of a CIF or POSCAR, packed or not, told apart by its content.

    Raises:
        InputError: binary, or neither.
    """
    text = decode(unpacked(data, "", source)[0], source)
    return parse_cif(text, source) if _has_data_block(text) else parse_poscar(text, source)


def _has_data_block(text: str) -> bool:
    return any(line.lstrip().lower().startswith("data_") for line in text.splitlines()[:50])


def _ase_format(name: str) -> str | None:
    """ASE's name of a format that it is asked for first; None for all others."""
    suffix = "".join(Path(name).suffixes[-1:]).lower()
    return _ASE_FIRST.get(suffix) or next(
        (f for n, f in _ASE_FIRST.items() if n[0] != "." and name.startswith(n)), None
    )


def _by_library(path: Path, data: bytes, name: str, source: str, block: str | int | None) -> Sites:
    """What ASE or pymatgen makes of a file; whichever knows it better is asked first."""
    known = _ase_format(name)
    if known in ("lammps-data", "lammps-dump-text") and not _names_elements(data, known):
        raise InputError(f"{source}: {_NO_ELEMENTS}")
    lost = _not_read(Path(name).suffix.lower(), data)
    if lost:
        raise InputError(f"{source}: {lost}, which the readers of this format leave out; write a CIF of it")
    readers = [_by_ase, _by_pymatgen] if known else [_by_pymatgen, _by_ase]
    reasons = []
    with tempfile.TemporaryDirectory() as folder:
        plain = path
        if name != path.name:
            plain = Path(folder) / name
            plain.write_bytes(data)
        for reader in readers:
            try:
                return reader(plain, source, known, block)
            except FastinError:
                raise
            except Exception as error:  # whatever a foreign parser raises
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                reasons.append(f"{reader.__name__.removeprefix('_by_')}: {reason[:160]}")
    what = "a binary file" if b"\0" in data else "neither a CIF nor a POSCAR"
    raise InputError(f"{source}: {what}, and no reader takes it ({'; '.join(reasons)})")


def _not_read(suffix: str, data: bytes) -> str:
    """What a file states that ASE and pymatgen pass over without a word: symmetry and occupancies; empty if nothing."""
    text = data.decode("utf-8", "replace") if suffix in (".pdb", ".ent", ".res") else ""
    for line in text.splitlines():
        words = line.upper().split()
        if not words:
            continue
        if words[0] == "CRYST1" and line[55:66].strip().upper().replace(" ", "") not in ("", "P1"):
            return f"a space group, {line[55:66].strip()}"
        if suffix == ".res":
            if words[0] == "SYMM" or (words[0] == "LATT" and words[1:2] not in ([], ["-1"])):
                return f"symmetry ({line.strip()})"
            if len(words) > 5 and words[1].isdigit() and words[0][0].isalpha() and words[0] not in _RES_WORDS:
                share = words[5].partition("(")[0]
                if re.fullmatch(r"-?\d+\.?\d*", share) and float(share) not in (1.0, 11.0):  # 11: fixed at 1
                    return f"an occupancy ({line.strip()})"
        if words[0] in ("HKLF", "END"):
            break
    return ""


def _names_elements(data: bytes, kind: str) -> bool:
    text = data.decode("utf-8", "replace")
    if kind == "lammps-data":
        return re.search(r"^\s*Masses", text, re.MULTILINE) is not None
    match = re.search(r"^ITEM: ATOMS (.*)$", text, re.MULTILINE)
    return match is not None and "element" in match[1].split()


def _by_pymatgen(path: Path, source: str, known: str | None, block: str | int | None) -> Sites:
    from pymatgen.core import Structure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure.from_file(str(path))
    if path.suffix.lower() == ".cssr":  # pymatgen makes states of the numbers in its labels: Cl5 is Cl5+
        structure.remove_oxidation_states()
    return sites_from_structure(structure, source)


def _by_ase(path: Path, source: str, known: str | None, block: str | int | None) -> Sites:
    try:
        import ase.io
    except ImportError:
        raise RuntimeError("not installed (pip install ase)") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = ase.io.read(str(path), index=":", format=known)
    if not frames:
        raise InputError(f"{source}: holds no structure")
    at = len(frames) - 1
    if block is not None:
        if not str(block).isdigit() or not 1 <= int(block) <= len(frames):
            raise InputError(f"{source}: no frame {block!r}; there are 1 to {len(frames)}")
        at = int(block) - 1
    sites = sites_from_atoms(frames[at], source)
    if path.suffix.lower() in (".json", ".db") and bool((sites.occupancy == 1.0).all()):
        sites.notes.append("ASE's databases hold no partial occupancies: if the crystal had some, they are lost")
    if len(frames) > 1 and block is None:
        sites.notes.append(f"{len(frames)} frames: the last is read; block (--block) chooses another")
    return sites


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
            label.append(plain(str(getattr(site, "label", None) or f"{found[0]}{at}")))
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
    """Rows of ASE Atoms, with the partial occupancies that its CIF reader keeps in ``info["occupancy"]``.

    An atom whose symbol is not the commonest of its entry there was edited since: the symbol counts.
    """
    cell = np.array(atoms.cell[:], dtype=np.float64)
    if np.abs(cell).max() > LONGEST:
        raise GeometryError(f"{source}: a lattice vector of the Atoms is longer than {LONGEST:g} A; check atoms.cell")
    if not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1e-9:
        raise GeometryError(f"{source}: the Atoms have no three-dimensional cell; call atoms.set_cell")
    positions = np.asarray(atoms.positions, dtype=np.float64)
    frac: NDArray[np.float64] = np.asarray(np.linalg.solve(cell.T, positions.T).T, dtype=np.float64)
    numbers = np.asarray(atoms.numbers)
    if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= 103):
        raise InputError(f"{source}: atomic numbers must be between 1 and 103 (0 is a dummy atom)")
    rows: list[tuple[int, int, float]] = []
    edited = 0
    shares = _shares_of_atoms(atoms, source)
    for k, held in enumerate(_held_by_atoms(atoms, source)):
        z = int(numbers[k])
        if held and max(held, key=lambda name: (held[name], name == z)) != z:
            edited += 1
            held = {}
        own = 1.0 if shares is None else float(shares[k])
        rows += [(k, number, share) for number, share in held.items()] or ([(k, z, own)] if own > 0.0 else [])
    symbols = atoms.get_chemical_symbols()
    notes = [f"{edited} atoms differ from info['occupancy']: their symbols count"] if edited else []
    open_along = [axis for axis, closed in zip("abc", np.asarray(atoms.pbc), strict=True) if not closed]
    if 0 < len(open_along) < 3:  # all open is ASE's default, which says nothing
        notes.append(f"the Atoms are not periodic along {', '.join(open_along)}: read as a crystal that is")
    if shares is not None:
        notes.append("occupancies are those of the atoms' own column")
    partial = len(rows) > len(numbers) or any(share < 1.0 for _, _, share in rows)
    if partial and shares is None and "spacegroup_kinds" not in atoms.arrays:
        notes.append("occupancies are those of info['occupancy'], by the atoms' symbols")
    return Sites(
        cell,
        frac[[k for k, _, _ in rows]],
        np.array([z for _, z, _ in rows], dtype=np.int32),
        np.array([share for _, _, share in rows]),
        [f"{symbols[k]}{k + 1}" for k, _, _ in rows],
        notes=notes,
    )


def _shares_of_atoms(atoms: Any, source: str) -> NDArray[np.float64] | None:
    """Occupancies in a column of the atoms' own, as some programs write extended XYZ; None without such a column.

    Raises:
        InputError: they are no numbers between 0 and 1.
    """
    name = next((n for n in atoms.arrays if n.lower() in _SHARES), None)
    if name is None:
        return None
    shares = real_array(atoms.arrays[name], f"{source}: the column {name!r}")
    if shares.shape != (len(atoms),) or not ((shares >= 0.0) & (shares <= 1.02)).all():
        raise InputError(f"{source}: the column {name!r} holds what is no occupancy between 0 and 1")
    return np.minimum(shares, 1.0)


def _held_by_atoms(atoms: Any, source: str) -> list[dict[int, float]]:
    """What ``info["occupancy"]`` says of each atom: atomic number -> share; empty where it says nothing.

    ASE's trajectories keep it but not which entry is whose: then it must follow from the symbols.

    Raises:
        InputError: an element that is none, or entries between which the symbols cannot tell.
    """
    shares, kinds = atoms.info.get("occupancy"), atoms.arrays.get("spacegroup_kinds")
    if not isinstance(shares, dict):
        return [{} for _ in range(len(atoms))]
    if kinds is not None:
        return [_entry(shares.get(str(kind), shares.get(int(kind))) or {}, source) for kind in kinds]
    by_symbol: dict[int, dict[int, float]] = {}
    for held in (_entry(entry, source) for entry in shares.values() if isinstance(entry, dict) and entry):
        z = max(held, key=lambda name: held[name])
        if any(
            abs(held.get(n, 0.0) - by_symbol.get(z, held).get(n, 0.0)) > 1e-6 for n in {*held, *by_symbol.get(z, {})}
        ):
            raise InputError(
                f"{source}: info['occupancy'] holds several entries for the sites of one element, and not which atom "
                "has which (ASE's trajectories lose that); give the CIF, or extended XYZ"
            )
        by_symbol[z] = held
    return [by_symbol.get(int(z), {}) for z in atoms.numbers]


def _entry(entry: dict[Any, Any], source: str) -> dict[int, float]:
    held: dict[int, float] = {}
    for name, share in entry.items():
        found = parse_species(str(name))
        if found is None:
            raise InputError(f"{source}: unknown element {name!r} in info['occupancy']")
        held[found[0]] = held.get(found[0], 0.0) + float(share)
    return held
