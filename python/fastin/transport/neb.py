"""Starting chains for nudged elastic band runs: one mobile ion moved along the path of a hop."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from fastin.errors import DisorderError, InputError
from fastin.transport.parts import FloatArray, Hops, Loop, Positions, Sites
from fastin.transport.profiles import HopProfile, interpolate, join_profiles

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import MobileIon

_FULL = 0.999  # occupancy from which a position counts as filled in every cell


class _Network(Protocol):
    """What a chain is made from."""

    @property
    def source(self) -> str: ...
    @property
    def ion(self) -> MobileIon: ...
    @property
    def cell(self) -> FloatArray: ...
    @property
    def energy_cutoff(self) -> float: ...
    @property
    def sites(self) -> Sites: ...
    @property
    def hops(self) -> Hops: ...
    @property
    def positions(self) -> Positions: ...
    @property
    def loops(self) -> tuple[Loop, ...]: ...
    @property
    def crystal(self) -> Crystal: ...
    def checked_hop(self, hop: int) -> int: ...
    def profiles(self, hops: Sequence[int]) -> list[HopProfile]: ...


def supercell_for(cell: FloatArray, wanted: float | Sequence[int] | None) -> tuple[int, int, int]:
    """Multiples of the cell vectors.

    Args:
        cell: (3, 3) lattice vectors in rows, angstrom.
        wanted: None for the cell itself; three multiples; or the smallest distance (angstrom) that an ion must have to
            its own images, as the spacing between opposite faces.

    Raises:
        InputError: multiples below 1, a distance that is not positive.
    """
    if wanted is None:
        return 1, 1, 1
    if isinstance(wanted, int | float):
        if not (math.isfinite(wanted) and wanted > 0):
            raise InputError(f"the supercell's smallest distance must be positive, not {wanted} A")
        spacing = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        a, b, c = (max(1, math.ceil(wanted / s - 1e-9)) for s in spacing)
        return a, b, c
    multiples = tuple(int(v) for v in wanted)
    if len(multiples) != 3 or min(multiples) < 1:
        raise InputError(f"a supercell needs three multiples of 1 or more, not {tuple(wanted)}")
    return multiples[0], multiples[1], multiples[2]


def _ordered_rows(crystal: Crystal, number: int) -> tuple[list[str], FloatArray]:
    """Symbols and positions of the framework; every position must hold one species for certain."""
    from fastin.crystal.elements import symbol

    symbols, frac = [], []
    for z, x, occupancy in zip(crystal.number, crystal.frac, crystal.occupancy, strict=True):
        if int(z) == number:
            continue
        if occupancy < _FULL:
            raise DisorderError(
                f"{crystal.source}: {symbol(int(z))} at ({', '.join(f'{v:.4f}' for v in x)}) has occupancy "
                f"{occupancy:.3f}; a NEB run needs an ordered framework: give an ordered structure of the crystal"
            )
        symbols.append(symbol(int(z)))
        frac.append(x)
    return symbols, np.array(frac).reshape(-1, 3)


def oriented(paths: _Network, hops: int | Sequence[int]) -> list[tuple[int, bool]]:
    """Consecutive hops with their directions: each starts on the site where the one before ended.

    Raises:
        InputError: no such hop, or hops that do not follow each other.
    """
    ids = [paths.checked_hop(h) for h in ([hops] if isinstance(hops, int | np.integer) else hops)]
    if not ids:
        raise InputError("a chain needs at least one hop")
    ends = [tuple(int(v) for v in paths.hops.index[:, h]) for h in ids]
    for first in (True, False):
        steps, at = [(ids[0], first)], ends[0][1 if first else 0]
        for h, (i, j) in zip(ids[1:], ends[1:], strict=True):
            if at not in (i, j):
                break
            steps.append((h, at == i))
            at = j if at == i else i
        else:
            return steps
    raise InputError(f"the hops {ids} of {paths.source} do not follow each other")


def leg(paths: _Network, dimensions: int) -> list[int]:
    """Hops of the path in that many dimensions that lead from one position of the crystal to the next, over its saddle.

    The whole path where it touches fewer than two crystallographic positions.

    Raises:
        InputError: the network does not reach that many dimensions below the cutoff.
    """
    steps, _ = paths.loops[dimensions - 1]
    if not steps:
        raise InputError(
            f"{paths.source}: no path in {dimensions} dimensions below {paths.energy_cutoff:.2f} eV; raise the cutoff"
        )
    sites = [int(paths.hops.index[0 if forward else 1, h]) for h, forward in steps]
    stops = [k for k, site in enumerate(sites) if paths.sites.mobile[site] >= 0]
    hops = [h for h, _ in steps]
    if not stops:
        return hops
    around = hops[stops[0] :] + hops[: stops[0]]
    at = [k - stops[0] for k in stops] + [len(hops)]
    legs = [around[a:b] for a, b in itertools.pairwise(at)]
    return max(legs, key=lambda part: max(paths.hops.energy[part]))


def neb_images(
    paths: _Network, hop: int | Sequence[int], n: int = 5, *, supercell: float | Sequence[int] | None = None
) -> list[Structure]:
    """Images of a hop: the mobile ion at equal distances along its path, everything else in place.

    The ion starts on the hop's first site and ends on its last; the mobile ions of the crystal that stand on these two
    sites are left out (the moving ion is the first one, the last site is the vacancy). Other positions of the mobile
    ion are filled where their occupancy is at least one half. In a supercell all of this happens in one cell, the
    others keep all their ions.

    Args:
        paths: the transport network.
        hop: id of the hop, or ids of consecutive hops: `leg` gives those between two positions of the crystal.
        n: images between the two ends; n + 2 structures are returned, as VASP counts them (IMAGES = n).
        supercell: three multiples, or the smallest distance (angstrom) between images of the ion; None for the cell.

    Returns:
        n + 2 pymatgen structures with the atoms in the same order; the moving ion is the last one. Each holds its
        energy on the network's zero in ``properties["bvse_energy"]`` (eV).

    Raises:
        InputError: no such hop, n below 1, bad supercell.
        DisorderError: the framework is disordered.
    """
    from pymatgen.core import Lattice, Structure

    if n < 1:
        raise InputError(f"a NEB chain needs at least one image between its ends, not {n}")
    steps = oriented(paths, hop)
    ends = [(int(paths.hops.index[0, h]), int(paths.hops.index[1, h])) for h, _ in steps]
    profiles = paths.profiles([h for h, _ in steps])
    profile = join_profiles(0, (0, 0, 0), 0.0, steps, profiles, ends, paths.cell)
    crystal = paths.crystal
    multiples = supercell_for(paths.cell, supercell)
    symbols, frac = _ordered_rows(crystal, paths.ion.number)
    cells = np.stack(np.meshgrid(*[np.arange(m) for m in multiples], indexing="ij"), axis=-1).reshape(-1, 3)
    species = [s for s in symbols for _ in cells]
    positions = (frac[:, None, :] + cells[None]).reshape(-1, 3) / multiples
    stand = [(profile.sites[0], profile.frac[0]), (profile.sites[-1], profile.frac[-1])]
    mobile = _other_ions(paths, stand, cells, multiples)
    species += [paths.ion.element] * (len(mobile) + 1)
    positions = np.concatenate([positions, mobile])
    along = profile.distance[-1] * np.arange(n + 2) / (n + 1)
    moving = interpolate(along, profile.distance, profile.frac) / multiples
    energy = np.interp(along, profile.distance, profile.energy)
    lattice = Lattice(paths.cell * np.array(multiples)[:, None])
    images = []
    for x, e in zip(moving, energy, strict=True):
        structure = Structure(lattice, species, np.concatenate([positions, x[None]]), to_unit_cell=False)
        structure.properties = {"bvse_energy": float(e)}
        images.append(structure)
    return images


def _other_ions(
    paths: _Network,
    stand: Sequence[tuple[int, FloatArray]],
    cells: npt.NDArray[np.int64],
    multiples: tuple[int, int, int],
) -> FloatArray:
    """Filled positions of the mobile ion in the supercell but for those of the given sites at the given places."""
    filled = np.flatnonzero(paths.positions.occupancy >= 0.5)
    all_positions = paths.positions.frac[filled][:, None, :] + cells[None]
    keep = np.ones(all_positions.shape[:2], dtype=bool)
    for site, where in stand:
        for k in np.flatnonzero(filled == paths.sites.mobile[site]):
            shift = np.round(where - paths.positions.frac[filled[k]])
            keep[k, ((cells - shift) % multiples == 0).all(axis=1)] = False
    positions: FloatArray = all_positions[keep] / multiples
    return positions


def write_neb(
    paths: _Network,
    hop: int | Sequence[int],
    path: str | PathLike[str],
    n: int = 5,
    *,
    supercell: float | Sequence[int] | None = None,
) -> list[Path]:
    """Writes the images of a hop.

    Args:
        paths: the transport network.
        hop: id of the hop, or ids of consecutive hops.
        path: a folder, which gets ``00/POSCAR`` ... as VASP's NEB expects, or a file ``.extxyz`` or ``.xyz`` with all
            images, as ASE reads them.
        n: images between the ends.
        supercell: as for `neb_images`.

    Returns:
        The files written.
    """
    images = neb_images(paths, hop, n, supercell=supercell)
    target = Path(path)
    if target.suffix.lower() in (".extxyz", ".xyz"):
        target.write_text("".join(_extended_xyz(image) for image in images), encoding="utf-8")
        return [target]
    files = []
    for k, image in enumerate(images):
        folder = target / f"{k:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "POSCAR").write_text(_poscar(image, f"{paths.source} hop {hop} image {k}"), encoding="utf-8")
        files.append(folder / "POSCAR")
    return files


def _poscar(structure: Any, title: str) -> str:
    """POSCAR with the atoms in the structure's order: consecutive equal elements are one block."""
    symbols = [site.specie.symbol for site in structure]
    blocks: list[tuple[str, int]] = []
    for s in symbols:
        if blocks and blocks[-1][0] == s:
            blocks[-1] = (s, blocks[-1][1] + 1)
        else:
            blocks.append((s, 1))
    lines = [" ".join(title.split()), "1.0"]
    lines += [" ".join(f"{v:.12f}" for v in row) for row in structure.lattice.matrix]
    lines += [" ".join(s for s, _ in blocks), " ".join(str(c) for _, c in blocks), "Direct"]
    lines += [" ".join(f"{v:.12f}" for v in x) for x in structure.frac_coords]
    return "\n".join(lines) + "\n"


def _extended_xyz(structure: Any) -> str:
    cell = " ".join(f"{v:.10f}" for v in structure.lattice.matrix.ravel())
    energy = structure.properties["bvse_energy"]
    lines = [
        str(len(structure)),
        f'Lattice="{cell}" Properties=species:S:1:pos:R:3 bvse_energy={energy:.8f} pbc="T T T"',
    ]
    for site in structure:
        lines.append(f"{site.specie.symbol} " + " ".join(f"{v:.10f}" for v in site.coords))
    return "\n".join(lines) + "\n"
