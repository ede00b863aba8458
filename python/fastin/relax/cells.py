"""The crystal and the images of a leg as ASE atoms, the relaxed parent carried over into the images.

Ends stand on the crystal's own positions (an interstitial on its site of the energy landscape); between them the moving
ion follows the way of the landscape, and everything is unwrapped: no coordinate jumps by a cell from image to image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastin.errors import DisorderError, InputError
from fastin.transport.parts import FloatArray, periodic_distances
from fastin.transport.ways import FILLED

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.transport.legs import Leg
    from fastin.transport.network import TransportNetwork

MOST_ATOMS = 5000
"""Of one image: beyond that a band is days of any potential, and its memory that of a cluster."""
_SHAKE = 0.03  # angstrom, standard deviation
_AT_ROW = 1e-3  # angstrom between an atom of a chain and the row of the crystal that it is


@dataclass(frozen=True, eq=False)
class Band:
    """Images of a leg before anything relaxes.

    Attributes:
        numbers: (N,) atomic numbers.
        cell: (3, 3) of the supercell, angstrom.
        positions: (n + 2, N, 3) Cartesian, unwrapped, angstrom.
        moving: rows of the ions that move.
        mobile: rows of all ions of the mobile element.
        supercell: multiples of the crystal's cell.
        formula: of every image.
        charge: of every image by oxidation states.
        taken_out: ions that the way crosses and that the cell does not hold.
        bvse: (n + 2,) energies of the bond valence landscape, eV.
    """

    numbers: npt.NDArray[np.int64]
    cell: FloatArray
    positions: FloatArray
    moving: tuple[int, ...]
    mobile: tuple[int, ...]
    supercell: tuple[int, int, int]
    formula: str
    charge: float
    taken_out: int
    bvse: FloatArray


def refuse_disorder(crystal: Crystal) -> None:
    """Raises for a crystal in which a position is partly filled or shared.

    Raises:
        DisorderError: names the position and the remedy.
    """
    rows = np.flatnonzero(crystal.occupancy < FILLED)
    if not len(rows):
        return
    k = int(rows[0])
    x = ", ".join(f"{v:.4f}" for v in crystal.frac[k])
    raise DisorderError(
        f"{crystal.source}: {crystal.label[k] or 'a site'} at ({x}) has occupancy {crystal.occupancy[k]:.3f}: a "
        "potential needs every atom in its place; make ordered cells with fastin order (fastin.order)"
    )


def refuse_large(source: str, atoms: int, supercell: Sequence[int]) -> None:
    """Raises for an image of more than `MOST_ATOMS` atoms.

    Raises:
        InputError: says how many, and the remedy.
    """
    if atoms > MOST_ATOMS:
        raise InputError(
            f"{source}: {' x '.join(map(str, supercell))} cells hold {atoms} atoms, more than {MOST_ATOMS}; take "
            "a smaller supercell"
        )


def crystal_atoms(crystal: Crystal, positions: FloatArray | None = None) -> Any:
    """The ordered crystal as ASE atoms, rows in order.

    Args:
        crystal: without disorder.
        positions: (N, 3) Cartesian in place of the crystal's own, angstrom.
    """
    from ase import Atoms

    frac = crystal.frac @ crystal.cell if positions is None else positions
    return Atoms(numbers=crystal.number, positions=frac, cell=crystal.cell, pbc=True)


def shaken(
    crystal: Crystal, displacement: FloatArray, supercell: tuple[int, int, int]
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
    """Numbers, cell and positions of a supercell of the relaxed crystal, its atoms moved a little at random."""
    size = np.array(supercell)
    cells = np.stack(np.meshgrid(*[np.arange(k) for k in supercell], indexing="ij"), axis=-1).reshape(-1, 3)
    one = crystal.frac @ crystal.cell + displacement
    positions = (one[None] + (cells @ crystal.cell)[:, None]).reshape(-1, 3)
    positions += np.random.default_rng(0).normal(scale=_SHAKE, size=positions.shape)
    return np.tile(crystal.number, len(cells)).astype(np.int64), crystal.cell * size[:, None], positions


def common_supercell(
    paths: TransportNetwork, legs: Sequence[Leg], supercell: float | Sequence[int]
) -> tuple[int, int, int]:
    """Multiples of the cell that serve all legs, so that their energies can be compared.

    Args:
        paths: the transport network.
        legs: of it.
        supercell: smallest distance (angstrom) between images of the moving ion: more cells are taken where the two
            ends of a leg would be one position; or three multiples, taken as they are.

    Raises:
        InputError: three multiples in which the two ends of a leg are one position.
    """
    from fastin.transport.neb import leg_stands, supercell_for

    m = list(supercell_for(paths.cell, supercell))
    gaps = []
    for leg in legs:
        stands = leg_stands(paths, leg)
        if len(stands) == 2 and stands[0][0] == stands[1][0]:
            gaps.append(stands[1][1] - stands[0][1])
    while any(gap.any() and not (gap % m).any() for gap in gaps):
        gap = next(gap for gap in gaps if gap.any() and not (gap % m).any())
        if not isinstance(supercell, int | float):
            axes = "".join(axis for axis, v in zip("abc", gap, strict=True) if v)
            raise InputError(
                f"{paths.source}: start and end of a leg are one position of a supercell of {tuple(m)} cells; take "
                f"more cells along {axes}"
            )
        axis = int(np.flatnonzero(gap)[np.abs(gap[gap != 0]).argmin()])
        m[axis] += 1
    return m[0], m[1], m[2]


def build_band(
    paths: TransportNetwork, leg: Leg, images: int, supercell: tuple[int, int, int], displacement: FloatArray
) -> Band:
    """The images of a leg.

    Args:
        paths: the transport network.
        leg: of it.
        images: between the ends.
        supercell: multiples of the cell.
        displacement: (N, 3) of the crystal's rows from their places to those of the relaxed parent, angstrom.

    Raises:
        GeometryError: the way comes too near to atoms that stay.
    """
    from fastin.transport.neb import leg_stands, neb_chain

    chain = neb_chain(paths, leg, images, supercell=supercell)
    size = np.array(supercell, dtype=np.float64)
    cell = paths.cell * size[:, None]
    count = len(chain.images[0])
    numbers = np.array([site.specie.Z for site in chain.images[0]], dtype=np.int64)
    positions: FloatArray = np.stack([image.frac_coords @ cell for image in chain.images])
    moving = tuple(range(count - chain.moving, count))
    frame = chain.images[0].frac_coords[: moving[0]] * size
    positions[:, : moving[0]] += displacement[_rows(paths.crystal, numbers[: moving[0]], frame)]
    stands = [_stand(paths, k, at, displacement) for k, at in leg_stands(paths, leg)]
    share = np.linspace(0.0, 1.0, images + 2)[:, None]
    if leg.mechanism == "vacancy":
        shifts = [(stands[0] - positions[0, moving[0]], stands[1] - positions[-1, moving[0]])]
    elif leg.mechanism == "exchange":
        none = np.zeros(3)
        shifts = [(none, stands[0] - positions[-1, moving[0]]), (stands[0] - positions[0, moving[1]], none)]
    else:
        shifts = []
    for ion, (at_start, at_end) in zip(moving, shifts, strict=False):
        positions[:, ion] += (1.0 - share) * at_start + share * at_end
    return Band(
        numbers=numbers,
        cell=cell,
        positions=positions,
        moving=moving,
        mobile=tuple(np.flatnonzero(numbers == paths.ion.number).tolist()),
        supercell=supercell,
        formula=chain.formula,
        charge=chain.charge,
        taken_out=chain.taken_out,
        bvse=np.array([image.properties["bvse_energy"] for image in chain.images]),
    )


def _rows(crystal: Crystal, numbers: npt.NDArray[np.int64], frac: FloatArray) -> npt.NDArray[np.int64]:
    """Row of the crystal that each atom of a supercell is."""
    distance = periodic_distances(crystal.cell, frac, crystal.frac)
    distance[numbers[:, None] != crystal.number[None]] = np.inf
    rows: npt.NDArray[np.int64] = distance.argmin(axis=1)
    assert distance.min(axis=1, initial=0.0).max(initial=0.0) < _AT_ROW
    return rows


def _stand(paths: TransportNetwork, position: int, at: npt.NDArray[np.int64], displacement: FloatArray) -> FloatArray:
    """Where an ion of the relaxed parent stands, Cartesian."""
    x = paths.positions.frac[position]
    row = _rows(paths.crystal, np.array([paths.ion.number]), x[None])[0]
    place: FloatArray = (x + at) @ paths.cell + displacement[row]
    return place


def shortest_image(cell: FloatArray) -> float:
    """Shortest distance between an atom and its own images, angstrom."""
    from ase.geometry import minkowski_reduce

    reduced, _ = minkowski_reduce(cell)
    return float(np.linalg.norm(reduced, axis=1).min())
