"""NEB chains as folders of POSCARs or extended XYZ files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from fastin.errors import DisorderError, FastinError, GeometryError, InputError
from fastin.transport.chain_hops import Network, default_mechanism
from fastin.transport.legs import Leg
from fastin.transport.neb import Chain, neb_chain

_OURS = {"POSCAR"}  # what a folder of an image holds that nothing was run in


def write_neb(
    paths: Network,
    hop: Leg | int | str | Sequence[int],
    path: str | PathLike[str],
    n: int = 5,
    *,
    supercell: float | Sequence[int] | None = None,
    mechanism: str | None = None,
) -> list[Path]:
    """Writes the images of a leg, or of all.

    Args:
        paths: the transport network.
        hop: as for `neb_images`; ``"all"`` for every leg of the mechanism.
        path: a folder, which gets ``00/POSCAR`` ... as VASP's NEB expects, or a file ``.extxyz`` or ``.xyz`` with all
            images, as ASE reads them. With ``"all"``: see `write_legs`.
        n: images between the ends.
        supercell: as for `neb_images`.
        mechanism: as for `neb_images`.

    Returns:
        The files written.

    Raises:
        InputError: as for `neb_images`; a folder that holds results; with ``"all"`` no chain at all.
    """
    if isinstance(hop, str) and hop.lower() == "all":
        written, refused = write_legs(paths, path, n, supercell=supercell, mechanism=mechanism)
        if not written:
            reasons = "; ".join(dict.fromkeys(str(error) for error in refused.values()))
            raise InputError(f"{paths.source}: no chain could be written: {reasons or 'there is no leg'}")
        return [file for _, files in written.values() for file in files]
    chain = neb_chain(paths, hop, n, supercell=supercell, mechanism=mechanism)
    return write_chain(chain, Path(path), f"{paths.source} {'leg' if isinstance(hop, Leg) else f'hop {hop}'}")


def write_legs(
    paths: Network,
    path: str | PathLike[str],
    n: int = 5,
    *,
    supercell: float | Sequence[int] | None = None,
    mechanism: str | None = None,
) -> tuple[dict[int, tuple[Chain, list[Path]]], dict[int, FastinError]]:
    """Writes a chain for every leg of a mechanism; a leg whose chain is refused is left out.

    Each leg gets a folder ``leg_00`` ... in that of `path`, or a file with ``_00`` ... at the end of its name.

    Returns:
        By number of the leg: chains and files written, and why the others were refused.
    """
    target = Path(path)
    written: dict[int, tuple[Chain, list[Path]]] = {}
    refused: dict[int, FastinError] = {}
    for k, leg in enumerate(paths.leg_finder.legs(default_mechanism(paths, mechanism))):
        part = target.with_stem(f"{target.stem}_{k:02d}") if target.suffix else target / f"leg_{k:02d}"
        try:
            chain = neb_chain(paths, leg, n, supercell=supercell)
        except (DisorderError, GeometryError) as error:
            refused[k] = error
            continue
        written[k] = (chain, write_chain(chain, part, f"{paths.source} leg {k}"))
    return written, refused


def write_chain(chain: Chain, target: Path, title: str) -> list[Path]:
    """Writes ``00/POSCAR`` ... into a folder, or one ``.extxyz`` / ``.xyz`` file.

    Folders of images that are there already are replaced where they hold a POSCAR and nothing else.

    Raises:
        InputError: a folder of an image holds other files: results of a run are not written over.
    """
    if target.suffix.lower() in (".extxyz", ".xyz"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(_extended_xyz(image, chain) for image in chain.images), encoding="utf-8")
        return [target]
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; name a folder or a .extxyz file for the images")
    clear_images(target)
    files = []
    for k, image in enumerate(chain.images):
        folder = target / f"{k:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "POSCAR"
        file.write_text(_poscar(image, f"{title} image {k}: {chain.describe()}"), encoding="utf-8")
        files.append(file)
    return files


def clear_images(target: Path) -> None:
    """Removes the folders of an older chain.

    Raises:
        InputError: one holds other files: results of a run are not written over.
    """
    if not target.is_dir():
        return
    old = sorted(p for p in target.iterdir() if p.is_dir() and re.fullmatch(r"\d\d+", p.name))
    for folder in old:
        more = sorted(p.name for p in folder.iterdir() if p.name not in _OURS)
        if more:
            raise InputError(f"{folder} holds {more[0]}: results of a run are not written over; name another folder")
    for folder in old:
        shutil.rmtree(folder)


def _poscar(structure: Any, title: str) -> str:
    """POSCAR; the elements follow each other in blocks already."""
    symbols = [site.specie.symbol for site in structure]
    names = list(dict.fromkeys(symbols))
    lines = [" ".join(title.split()), "1.0"]
    lines += [" ".join(f"{v:.12f}" for v in row) for row in structure.lattice.matrix]
    lines += [" ".join(names), " ".join(str(symbols.count(s)) for s in names), "Direct"]
    lines += [" ".join(f"{v:.12f}" for v in x) for x in structure.frac_coords]
    return "\n".join(lines) + "\n"


def _extended_xyz(structure: Any, chain: Chain) -> str:
    cell = " ".join(f"{v:.10f}" for v in structure.lattice.matrix.ravel())
    energy = structure.properties["bvse_energy"]
    lines = [
        str(len(structure)),
        f'Lattice="{cell}" Properties=species:S:1:pos:R:3 bvse_energy={energy:.8f} charge={chain.charge:g} '
        f'mechanism={chain.mechanism} taken_out={chain.taken_out} pbc="T T T"',
    ]
    for site in structure:
        lines.append(f"{site.specie.symbol} " + " ".join(f"{v:.10f}" for v in site.coords))
    return "\n".join(lines) + "\n"
