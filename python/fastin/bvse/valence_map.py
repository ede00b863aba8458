"""Bond valence sum of the mobile ion on a grid, beside the energy: where it equals the ion's charge, an ion fits.

The sum at x is that of exp((R0 - R) / b) over the counter-ions within each pair's cutoff, occupancies counted
(I. D. Brown, The Chemical Bond in Inorganic Chemistry (2002)). Sites and paths of an ion follow the points where the
sum misses its charge least (`BondValenceMap.mismatch`); unlike the energy the sum knows no repulsion of like charges.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.bvse.field import build_field
from fastin.bvse.files import write_grid
from fastin.bvse.grid import grid_shape, require_grid_memory
from fastin.bvse.pairs import element
from fastin.bvse.parameters import pair_mixture
from fastin.crystal.crystal import as_crystal
from fastin.crystal.ions import MobileIon, OxidationStates
from fastin.errors import MissingParameterError
from fastin.runtime.arguments import checked_arguments, checked_methods

_CLOSEST = 0.5  # angstrom: nearer distances count as this, so that the sum stays finite on an atom


@checked_methods
@dataclass(frozen=True, eq=False)
class BondValenceMap:
    """Bond valence sum of one ion on a periodic grid.

    Attributes:
        values: (na, nb, nc) float32, valence units; points as in `EnergyGrid`.
        cell: (3, 3) rows are lattice vectors (A).
        ion: the mobile ion.
        source: where the crystal came from.
        atom_number: (M,) atomic numbers of the framework, for files.
        atom_frac: (M, 3) their fractional positions.
        notes: derived parameters.
    """

    values: NDArray[np.float32]
    cell: NDArray[np.float64]
    ion: MobileIon
    source: str
    atom_number: NDArray[np.int32]
    atom_frac: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    convention = ""
    cutoff = float("nan")
    screening = float("nan")
    quantity = "bond valence sum (valence units)"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Points along each axis."""
        a, b, c = self.values.shape
        return a, b, c

    @property
    def title(self) -> str:
        """First line of files."""
        return f"bond valence sum of {self.ion.symbol} in {' '.join(self.source.split())}"

    @property
    def mismatch(self) -> NDArray[np.float32]:
        """(na, nb, nc) size of the difference between the sum and the ion's charge."""
        out: NDArray[np.float32] = np.abs(self.values - np.float32(abs(self.ion.charge)))
        return out

    def __repr__(self) -> str:
        """Counts, not contents."""
        shape = " x ".join(map(str, self.shape))
        return f"BondValenceMap({self.source}: {self.ion.symbol}, {shape}, least mismatch {self.mismatch.min():.3f})"

    def write(self, path: str | Path, *, end_points: bool = False) -> Path:
        """Writes the sums; formats as for `EnergyGrid.write`."""
        path = Path(path)
        write_grid(self, path, end_points=end_points)
        return path


@checked_arguments
def bond_valence_map(
    source: Any,
    ion: str | None = None,
    *,
    resolution: float = 0.2,
    shape: tuple[int, int, int] | None = None,
    oxidation_states: OxidationStates | None = None,
) -> BondValenceMap:
    """Bond valence sums of the mobile ion on a grid.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        ion: element or species; None takes the most usual mobile ion present.
        resolution: largest spacing along each axis, angstrom; the grid is that of `compute_bvse`.
        shape: points along each axis instead, for example those of an `EnergyGrid`.
        oxidation_states: as for `Crystal`.

    Raises:
        InputError: unreadable source, no such ion, no framework, a resolution out of range.
        MissingParameterError: no bond valence parameters for a pair.
        ResourceError: a grid too large for the memory at hand.
    """
    crystal = as_crystal(source, oxidation_states=oxidation_states)
    mobile = crystal.resolve_ion(ion)
    field = build_field(crystal, mobile)
    points = grid_shape(field, resolution) if shape is None else shape
    require_grid_memory(points, crystal.cell)
    values = np.zeros(points, dtype=np.float64)
    notes: list[str] = []
    counter = (crystal.number != mobile.number) & (crystal.charge * mobile.charge < 0)
    for row in np.flatnonzero(counter).tolist():
        _add(values, crystal.cell, crystal.frac[row], _valence(crystal, mobile, row, notes))
    return BondValenceMap(
        values.astype(np.float32),
        crystal.cell,
        mobile,
        crystal.source,
        field.atom_number,
        field.atom_frac,
        tuple(dict.fromkeys(notes)),
    )


def _valence(crystal: Any, ion: MobileIon, row: int, notes: list[str]) -> list[tuple[float, float, float, float]]:
    """(weight, R0, b, cutoff) of the pairs that stand for the mobile ion and one counter-ion."""
    own, other = (
        (element(ion.number).symbol, float(ion.charge)),
        (
            element(int(crystal.number[row])).symbol,
            float(crystal.charge[row]),
        ),
    )
    cation, anion = (own, other) if ion.charge > 0 else (other, own)
    try:
        mixture = pair_mixture(*cation, *anion)
    except MissingParameterError as error:
        raise MissingParameterError(f"{crystal.source}: {error}") from None
    notes += [f"{p.cation}-{p.anion}: {p.note or p.quality}" for p, _ in mixture if p.quality != "ok"]
    return [(w * float(crystal.occupancy[row]), p.r0, p.b, p.bv_cutoff) for p, w in mixture]


def _add(
    values: NDArray[np.float64],
    cell: NDArray[np.float64],
    frac: NDArray[np.float64],
    pairs: list[tuple[float, float, float, float]],
) -> None:
    """Adds the valences of one counter-ion and all its images to the grid."""
    shape = np.array(values.shape)
    reach = max(cutoff for *_, cutoff in pairs)
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    center = frac * shape
    low = np.floor(center - reach / spacing * shape).astype(np.int64)
    high = np.ceil(center + reach / spacing * shape).astype(np.int64)
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    b, c = np.meshgrid(axes[1], axes[2], indexing="ij")
    for a in axes[0]:  # a plane at a time: the box may be large
        gap = np.stack([np.full(b.shape, a), b, c], axis=-1) / shape - frac
        distance = np.maximum(np.linalg.norm(gap @ cell, axis=-1), _CLOSEST)
        valence = np.zeros(distance.shape)
        for weight, r0, softness, cutoff in pairs:
            valence += weight * np.where(distance <= cutoff, np.exp((r0 - distance) / softness), 0.0)
        np.add.at(values[a % shape[0]], (b % shape[1], c % shape[2]), valence)
